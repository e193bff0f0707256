//! What a server asks about sessions besides the decision: whether one that is open stands, what an account
//! that is made is called, who is listed in a group, and which levels somebody sees (P7, P9, P10, P12).

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{Account, ActorRef, Group, Membership, Person};
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AccountId, GroupId, IdError, ObjectId, PermissionLevelId, PersonId, SessionId, TypeName,
};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_engine::query::{Malformed, ObjectRef, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::session::{
    JitAccount, OpenSession, OpenSessions, SessionQuestion, check_session, explain_session,
    is_listed_member, jit_account_id, recheck, stands, visible_levels,
};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

const NOW: Timestamp = Timestamp::from_micros(5);

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn window(from: Option<i64>, until: Option<i64>) -> Window {
    Window { from: from.map(at), until: until.map(at) }
}

fn person(id: &str, login: Option<&str>) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: login.map(str::to_owned),
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    }
    .into()
}

fn account(id: &str, computer: Option<&str>) -> Fact {
    Account {
        id: AccountId::new(id).unwrap(),
        owner: Some(PersonId::new("ana").unwrap()),
        enabled: true,
        computer: computer.map(|id| ObjectId::new(id).unwrap()),
        locations: vec![],
    }
    .into()
}

fn group(id: &str, members: &[(&str, Window)]) -> Fact {
    let listing = |(of, window): &(&str, Window)| Membership {
        of: ActorRef::parse(of).unwrap(),
        window: *window,
    };
    Group {
        id: GroupId::new(id).unwrap(),
        members: members.iter().map(listing).collect(),
        positions: vec![],
        default: false,
        locations: vec![],
    }
    .into()
}

fn computer(id: &str) -> Fact {
    Resource {
        name: ResourceRef::parse(&format!("Computer:{id}")).unwrap(),
        locations: vec![],
        platform: None,
        owner: None,
        parent: None,
    }
    .into()
}

fn psm(computer: &str, jit: bool, levels: &[(&str, Option<&str>)]) -> Psm {
    let level = |(level, group): &(&str, Option<&str>)| {
        (PermissionLevelId::new(level).unwrap(), group.map(|id| GroupId::new(id).unwrap()))
    };
    Psm {
        computer: ObjectId::new(computer).unwrap(),
        enabled: true,
        allow_unprivileged: false,
        account_store: Some("local_windows_server".to_owned()),
        max_session_micros: DEFAULT_MAX_SESSION_MICROS,
        max_concurrent: 0,
        jit: Jit { enabled: jit, delete_on_end: false, reuse_existing: true },
        levels: levels.iter().map(level).collect(),
    }
}

fn eligible(to: &str, level: &str, kind: EligibilityKind, window: Window) -> Fact {
    Eligibility {
        key: EligibilityKey {
            to: ActorRef::parse(to).unwrap(),
            level: PermissionLevelId::new(level).unwrap(),
            scope: EligibilityScope::On(ObjectId::new("srv").unwrap()),
            kind,
        },
        window,
    }
    .into()
}

/// Ana has an account on `srv`, which offers two levels that mean something and one that does not yet.
fn policy(besides: impl IntoIterator<Item = Fact>) -> Snapshot {
    let level = |id: &str| PermissionLevel { id: PermissionLevelId::new(id).unwrap(), name: None };
    let named = |name: &str| ResourceType {
        name: TypeName::new(name).unwrap(),
        operations: [].into(),
        rights: [].into(),
    };
    let facts = [
        named("Computer").into(),
        named("UserAccount").into(),
        level("admin").into(),
        level("operator").into(),
        level("later").into(),
        computer("srv"),
        person("ana", Some("a.meier")),
        person("bo", None),
        account("corp/ana", None),
        account("srv/ana", Some("srv")),
        group("admins", &[("account:srv/ana", window(Some(3), Some(7)))]),
        group("operators", &[("account:srv/ana", window(Some(3), None))]),
        psm(
            "srv",
            false,
            &[("admin", Some("admins")), ("later", None), ("operator", Some("operators"))],
        )
        .into(),
    ];
    // What comes later takes the place of what has the same name.
    let changes: Vec<Change> = facts.into_iter().map(Change::Put).collect();
    let besides: Vec<Change> = besides.into_iter().map(Change::Put).collect();
    let mut facts = Facts::default();
    facts.apply(&changes).unwrap();
    facts.apply(&besides).unwrap();
    compile(&facts, Revision::new(1))
}

/// Ana's, as an administrator with her own account.
fn session() -> OpenSession {
    OpenSession {
        id: SessionId::new("s").unwrap(),
        person: PersonId::new("ana").unwrap(),
        computer: ObjectId::new("srv").unwrap(),
        level: Some(PermissionLevelId::new("admin").unwrap()),
        group: Some(GroupId::new("admins").unwrap()),
        account: Some(AccountId::new("srv/ana").unwrap()),
        opened: at(1),
        not_after: at(90),
    }
}

fn pre_approved(window: Window) -> Fact {
    eligible("person:ana", "admin", EligibilityKind::PreApproved, window)
}

/// What both functions say of it; the instant is what one of them adds.
fn standing(snapshot: &Snapshot, session: &OpenSession) -> Result<Timestamp, Reason> {
    let until = recheck(snapshot, session, NOW);
    assert_eq!(stands(snapshot, session, NOW), until.map(|_| ()));
    until
}

#[test]
fn a_session_stands_for_as_long_as_what_opened_it_does() {
    let longest = at(1 + DEFAULT_MAX_SESSION_MICROS);
    assert_eq!(standing(&policy([pre_approved(Window::ALWAYS)]), &session()), Ok(longest));
    assert_eq!(standing(&policy([pre_approved(window(None, Some(8)))]), &session()), Ok(at(8)));
    let ended = policy([pre_approved(window(None, Some(5)))]);
    assert_eq!(standing(&ended, &session()), Err(Reason::NotEligible));
    let excluded =
        eligible("person:ana", "admin", EligibilityKind::Excluded, window(Some(6), None));
    let later = policy([pre_approved(Window::ALWAYS), excluded]);
    assert_eq!(standing(&later, &session()), Ok(at(6)));
    let asked = eligible("person:ana", "admin", EligibilityKind::Eligible, Window::ALWAYS);
    assert_eq!(standing(&policy([asked]), &session()), Err(Reason::NeedsApproval));
    let gone = OpenSession { person: PersonId::new("nobody").unwrap(), ..session() };
    assert_eq!(
        standing(&policy([pre_approved(Window::ALWAYS)]), &gone),
        Err(Reason::UnknownSubject)
    );
}

#[test]
fn a_session_stands_in_its_group_and_with_its_account_only() {
    let policy =
        |besides: Vec<Fact>| policy(std::iter::once(pre_approved(Window::ALWAYS)).chain(besides));
    let elsewhere = psm("srv", false, &[("admin", Some("operators"))]).into();
    assert_eq!(standing(&policy(vec![elsewhere]), &session()), Err(Reason::LevelNotMapped));
    let unmapped = psm("srv", false, &[("admin", None)]).into();
    assert_eq!(standing(&policy(vec![unmapped]), &session()), Err(Reason::LevelNotMapped));
    let withdrawn = psm("srv", false, &[]).into();
    assert_eq!(standing(&policy(vec![withdrawn]), &session()), Err(Reason::LevelNotOffered));
    let moved = account("srv/ana", None);
    assert_eq!(standing(&policy(vec![moved]), &session()), Err(Reason::NoAccount));
    let off = Psm { enabled: false, ..psm("srv", true, &[("admin", Some("admins"))]) };
    assert_eq!(standing(&policy(vec![off.into()]), &session()), Err(Reason::PsmDisabled));
    // An account that was made for sessions is nobody's but the session's; one that nobody made is none.
    let jit = || policy(vec![psm("srv", true, &[("admin", Some("admins"))]).into()]);
    let made = AccountId::new("srv/a.meier_000000000001").unwrap();
    let with_made = OpenSession { account: Some(made.clone()), ..session() };
    assert_eq!(standing(&jit(), &with_made), Err(Reason::NoAccount));
    let kept = JitAccount {
        id: made,
        person: PersonId::new("ana").unwrap(),
        computer: ObjectId::new("srv").unwrap(),
        kept: true,
    };
    let beside = jit().with_sessions(OpenSessions::new([], [kept]));
    assert!(standing(&beside, &with_made).is_ok());
    // Without a level nothing but P8 is asked.
    let plain = OpenSession { level: None, group: None, account: None, ..session() };
    assert_eq!(standing(&jit(), &plain), Err(Reason::UnprivilegedNotAllowed));
    let open_to_all = Psm { allow_unprivileged: true, ..psm("srv", false, &[]) };
    let until = standing(&policy(vec![open_to_all.into()]), &plain);
    assert_eq!(until, Ok(at(1 + DEFAULT_MAX_SESSION_MICROS)));
}

#[test]
fn an_account_is_called_after_the_login_and_never_as_one_that_there_is() {
    let taken = account("srv/a.meier_000000000002", None);
    let snapshot = policy([taken, person("nameless", None)]);
    let name = |person: &str, number| {
        let (computer, person) = (ObjectId::new("srv").unwrap(), PersonId::new(person).unwrap());
        jit_account_id(&snapshot, &computer, &person, number)
            .map(|id| id.map(|id| id.as_str().to_owned()))
    };
    assert_eq!(name("ana", 1), Ok(Some("srv/a.meier_000000000001".to_owned())));
    assert_eq!(name("ana", 2), Ok(None));
    assert_eq!(name("nameless", 12), Ok(Some("srv/nameless_000000000012".to_owned())));
    assert!(matches!(name(&"p".repeat(250), 1), Err(IdError::TooLong { .. })));
}

#[test]
fn a_listing_counts_within_its_window_and_for_good_without_an_end() {
    let snapshot = policy([]);
    let listed = |account: &str, group: &str, now, for_good| {
        let (account, group) = (AccountId::new(account).unwrap(), GroupId::new(group).unwrap());
        is_listed_member(&snapshot, &account, &group, at(now), for_good)
    };
    assert_eq!(
        [2, 3, 6, 7].map(|now| listed("srv/ana", "admins", now, false)),
        [false, true, true, false]
    );
    assert!(!listed("srv/ana", "admins", 5, true), "it ends");
    assert_eq!([2, 3].map(|now| listed("srv/ana", "operators", now, true)), [false, true]);
    assert!(!listed("corp/ana", "admins", 5, false) && !listed("nobody", "admins", 5, false));
}

#[test]
fn the_levels_that_somebody_sees_are_those_to_choose_from() {
    let snapshot = policy([
        eligible("person:ana", "operator", EligibilityKind::Eligible, Window::ALWAYS),
        eligible("person:ana", "later", EligibilityKind::Eligible, Window::ALWAYS),
        pre_approved(window(Some(5), Some(6))),
    ]);
    let seen = |person: &str, computer: &str, now| {
        let levels = visible_levels(&snapshot, person, computer, at(now));
        levels.iter().map(|level| level.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen("ana", "srv", 5), ["admin", "operator"]);
    assert_eq!(seen("ana", "srv", 6), ["operator"]);
    assert!(seen("bo", "srv", 5).is_empty() && seen("ana", "nowhere", 5).is_empty());
}

#[test]
fn a_question_that_names_nothing_is_malformed() {
    let snapshot = policy([]);
    let question = SessionQuestion {
        subject: SubjectRef::Person("ana"),
        level: Some("admin"),
        computer: ObjectRef { type_name: "Computer", id: "srv" },
        routing: false,
    };
    let malformed = [
        (SessionQuestion { subject: SubjectRef::Person(""), ..question }, "subject"),
        (SessionQuestion { level: Some(""), ..question }, "permission"),
        (
            SessionQuestion { computer: ObjectRef { type_name: "Computer", id: "" }, ..question },
            "resource",
        ),
        (
            SessionQuestion { computer: ObjectRef { type_name: "", id: "srv" }, ..question },
            "resource",
        ),
    ];
    assert!(check_session(&snapshot, &question, NOW).is_ok());
    for (question, field) in malformed {
        let checked = check_session(&snapshot, &question, NOW).map(|_| ());
        assert_eq!(checked.as_ref().map_err(Malformed::field), Err(field));
        assert_eq!(explain_session(&snapshot, &question, NOW).map(|_| ()), checked);
    }
}
