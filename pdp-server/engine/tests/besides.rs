//! The row that stands for the accounts besides the policy is found by no name and listed nowhere, and
//! says the name that was asked for (P10).

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{ActorRef, Group, Person};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::list::{
    AnyPermission, SubjectKinds, list_permissions, list_resources, list_subjects,
};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::session::{JitAccount, OpenSession, OpenSessions};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

const NOW: Timestamp = Timestamp::from_micros(5);

const RESET: PermissionRef<'static> =
    PermissionRef { kind: PermissionKind::Operation, name: "Reset" };

const MADE: &str = "srv/ana_000000000001";

fn resource_type(name: &str) -> Fact {
    let operations = [pdp_engine::id::PermissionName::new("Reset").unwrap()].into();
    ResourceType { name: TypeName::new(name).unwrap(), operations, rights: [].into() }.into()
}

/// What lets Ana open sessions on `srv`.
fn sessions() -> Vec<Fact> {
    vec![
        PermissionLevel { id: PermissionLevelId::new("admin").unwrap(), name: None }.into(),
        Psm {
            computer: ObjectId::new("srv").unwrap(),
            enabled: true,
            allow_unprivileged: false,
            account_store: Some("local_windows_server".to_owned()),
            max_session_micros: DEFAULT_MAX_SESSION_MICROS,
            max_concurrent: 0,
            jit: Jit { enabled: true, delete_on_end: false, reuse_existing: true },
            levels: [(
                PermissionLevelId::new("admin").unwrap(),
                Some(GroupId::new("admins").unwrap()),
            )]
            .into(),
        }
        .into(),
        Eligibility {
            key: EligibilityKey {
                to: ActorRef::parse("person:ana").unwrap(),
                level: PermissionLevelId::new("admin").unwrap(),
                scope: EligibilityScope::On(ObjectId::new("srv").unwrap()),
                kind: EligibilityKind::PreApproved,
            },
            window: Window::ALWAYS,
        }
        .into(),
    ]
}

/// Ana may open sessions on `srv` as a member of `admins`, who may reset `Key:k`.
fn policy() -> Snapshot {
    let level = LevelRef::parse("Key/Resetter").unwrap();
    let operations = [(Pattern::All, Qualifier::Allowed)].into();
    let admins = ActorRef::parse("group:admins").unwrap();
    let plain = |name: &str| Resource {
        name: ResourceRef::parse(name).unwrap(),
        locations: vec![],
        platform: None,
        owner: None,
        parent: None,
    };
    let facts: Vec<Fact> = vec![
        resource_type("Computer"),
        resource_type("Key"),
        resource_type("UserAccount"),
        plain("Computer:srv").into(),
        plain("Key:k").into(),
        Person {
            id: PersonId::new("ana").unwrap(),
            name: None,
            login: None,
            enabled: true,
            manager: None,
            locations: vec![],
            positions: vec![],
            vault_privileges: [].into(),
        }
        .into(),
        Group {
            id: GroupId::new("admins").unwrap(),
            members: vec![],
            positions: vec![],
            default: false,
            locations: vec![],
        }
        .into(),
        AccessLevel { name: level.clone(), operations, rights: [].into() }.into(),
        Assignment {
            id: AssignmentId::new("reset").unwrap(),
            to: admins,
            level,
            scope: Scope::On(ResourceRef::parse("Key:k").unwrap()),
            window: Window::ALWAYS,
        }
        .into(),
    ];
    let facts = facts.into_iter().chain(sessions());
    let changes: Vec<Change> = facts.map(Change::Put).collect();
    let mut facts = Facts::default();
    facts.apply(&changes).unwrap();
    compile(&facts, Revision::new(1))
}

/// The policy with a session of Ana's.
fn world() -> Snapshot {
    let person = PersonId::new("ana").unwrap();
    let computer = ObjectId::new("srv").unwrap();
    let id = AccountId::new(MADE).unwrap();
    let session = OpenSession {
        id: SessionId::new("s").unwrap(),
        person: person.clone(),
        computer: computer.clone(),
        level: Some(PermissionLevelId::new("admin").unwrap()),
        group: Some(GroupId::new("admins").unwrap()),
        account: Some(id.clone()),
        opened: Timestamp::from_micros(0),
        not_after: Timestamp::from_micros(9),
    };
    policy().with_sessions(OpenSessions::new(
        [session],
        [JitAccount { id, person, computer, kept: true }],
    ))
}

const KEY: ObjectRef<'static> = ObjectRef { type_name: "Key", id: "k" };

fn account(id: &str) -> ObjectRef<'_> {
    ObjectRef { type_name: "UserAccount", id }
}

#[test]
fn an_empty_name_is_malformed_whatever_stands_behind_it() {
    for snapshot in [policy(), world()] {
        let by_nobody = Question::new(SubjectRef::Account(""), RESET, KEY);
        assert!(check(&snapshot, &by_nobody, NOW).is_err());
        let of_nobody = Question::new(SubjectRef::Person("ana"), RESET, account(""));
        assert!(check(&snapshot, &of_nobody, NOW).is_err());
        let counterpart = Question {
            counterpart: Some(account("")),
            ..Question::new(SubjectRef::Person("ana"), RESET, KEY)
        };
        assert!(check(&snapshot, &counterpart, NOW).is_err());
        assert!(list_permissions(&snapshot, SubjectRef::Account(""), KEY, NOW).is_err());
    }
}

#[test]
fn only_the_made_account_is_listed_and_by_its_name() {
    let made = ActorRef::Account(AccountId::new(MADE).unwrap());
    let may = |snapshot: &Snapshot| {
        let kinds = SubjectKinds::PeopleAndAccounts;
        list_subjects(snapshot, AnyPermission::Access(RESET), KEY, kinds, NOW).unwrap()
    };
    assert_eq!(may(&policy()), []);
    assert_eq!(may(&world()), [made]);
    let who = SubjectRef::Account(MADE);
    let of_keys = list_resources(&world(), who, AnyPermission::Access(RESET), "Key", NOW).unwrap();
    assert_eq!(of_keys, [ObjectId::new("k").unwrap()]);
    let of_accounts =
        list_resources(&world(), who, AnyPermission::Access(RESET), "UserAccount", NOW);
    assert_eq!(of_accounts.unwrap(), []);
}

#[test]
fn an_explanation_names_the_made_account() {
    let snapshot = world();
    let question = Question::new(SubjectRef::Account(MADE), RESET, KEY);
    let explanation = explain(&snapshot, &question, NOW).unwrap();
    assert_eq!(explanation.decision.reason, Reason::Granted);
    let path = &explanation.sides.first().unwrap().entries.first().unwrap().subject_path;
    let told: Vec<String> =
        path.iter().map(|hop| format!("{} {} {}", hop.from, hop.kind.as_str(), hop.to)).collect();
    assert_eq!(told, [format!("account:{MADE} is by a session a member of group:admins")]);
    let question = Question::new(SubjectRef::Account(MADE), RESET, account(MADE));
    let explanation = explain(&snapshot, &question, NOW).unwrap();
    assert_eq!(explanation.decision.reason, Reason::NotGranted);
    let side = explanation.sides.first().unwrap();
    assert_eq!(side.object.to_string(), format!("UserAccount:{MADE}"));
}
