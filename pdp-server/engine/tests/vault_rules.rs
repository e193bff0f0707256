//! The write rules of vault sharing and of privileged sessions (V1, section 7), on the resulting
//! state.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{Account, ActorRef, Group, Person};
use pdp_engine::facts::{Change, Fact, FactKey, Facts};
use pdp_engine::id::{
    AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, ResourceGroupId, TypeName,
};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::share::{Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel};
use pdp_engine::time::{Timestamp, Window};

fn put(fact: impl Into<Fact>) -> Change {
    Change::Put(fact.into())
}

fn resource(name: &str, platform: Option<&str>, parent: Option<&str>) -> Resource {
    Resource {
        name: ResourceRef::parse(name).unwrap(),
        locations: vec![],
        platform: platform.map(str::to_owned),
        owner: None,
        parent: parent.map(|parent| ResourceRef::parse(parent).unwrap()),
    }
}

fn group(id: &str, default: bool) -> Group {
    Group {
        id: GroupId::new(id).unwrap(),
        members: vec![],
        positions: vec![],
        default,
        locations: vec![],
    }
}

fn resource_group(id: &str, members: &[&str], default: bool) -> ResourceGroup {
    let members = members.iter().map(|member| ResourceRef::parse(member).unwrap()).collect();
    ResourceGroup { id: ResourceGroupId::new(id).unwrap(), members, default }
}

fn share(on: &str, to: &str, level: ShareLevel) -> Share {
    let to = Grantee::from_actor(&ActorRef::parse(to).unwrap()).unwrap();
    Share { key: ShareKey { to, on: Entity::parse(on).unwrap() }, level }
}

fn account(id: &str, computer: Option<&str>) -> Account {
    Account {
        id: AccountId::new(id).unwrap(),
        owner: None,
        enabled: true,
        computer: computer.map(|id| ObjectId::new(id).unwrap()),
        locations: vec![],
    }
}

/// A windows and a linux computer, a key on the latter, an account on the former, groups of both kinds.
fn world() -> Facts {
    let mut facts = Facts::default();
    let of_type = |name| ResourceType {
        name: TypeName::new(name).unwrap(),
        operations: [].into(),
        rights: [].into(),
    };
    let ana = Person {
        id: PersonId::new("ana").unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    };
    facts
        .apply(&[
            put(of_type("Computer")),
            put(of_type("SshKey")),
            put(ana),
            put(group("hr", false)),
            put(group("everybody", true)),
            put(resource("Computer:win", Some("windows"), None)),
            put(resource("Computer:tux", Some("linux"), None)),
            put(resource("SshKey:deploy", None, Some("Computer:tux"))),
            put(account("win/ana", Some("win"))),
            put(account("loose", None)),
            put(resource_group("servers", &["Computer:win"], false)),
            put(resource_group("everything", &["Computer:tux"], true)),
        ])
        .unwrap();
    facts
}

/// The codes of a refusal, after checking that it changed nothing; empty if it was accepted.
fn codes(facts: &mut Facts, changes: &[Change]) -> Vec<&'static str> {
    let before = facts.clone();
    match facts.apply(changes) {
        Ok(_) => Vec::new(),
        Err(rejected) => {
            assert_eq!(*facts, before);
            rejected.rejections.iter().map(|rejection| rejection.problem.code()).collect()
        }
    }
}

#[test]
fn shares_follow_v1() {
    use ShareLevel::{Full, Modify, RemoteAppOnly, View};
    let cases = [
        ("Computer:win", "person:ana", Full, true),
        ("Computer:win", "group:hr", RemoteAppOnly, true),
        ("Computer:tux", "person:ana", RemoteAppOnly, false),
        ("Computer:win", "group:everybody", Full, false),
        ("Computer:win", "group:everybody", Modify, true),
        ("SshKey:deploy", "person:ana", Full, false),
        ("SshKey:deploy", "person:ana", RemoteAppOnly, false),
        ("SshKey:deploy", "person:ana", View, true),
        ("UserAccount:win/ana", "person:ana", RemoteAppOnly, true),
        ("UserAccount:win/ana", "person:ana", Full, false),
        ("resource_group:servers", "person:ana", Full, true),
        ("resource_group:servers", "person:ana", RemoteAppOnly, false),
        ("resource_group:everything", "person:ana", Full, false),
        ("resource_group:everything", "person:ana", Modify, true),
    ];
    for (on, to, level, accepted) in cases {
        let found = codes(&mut world(), &[put(share(on, to, level))]);
        let expected = if accepted { vec![] } else { vec!["SHARE_LEVEL"] };
        assert_eq!(found, expected, "{on} {to} {level:?}");
    }
    for on in ["UserAccount:loose", "Person:ana", "Group:hr"] {
        let found = codes(&mut world(), &[put(share(on, "person:ana", View))]);
        assert_eq!(found, ["NOT_A_VAULT_ENTITY"], "{on}");
    }
}

#[test]
fn a_change_under_an_existing_share_is_refused_too() {
    let mut facts = world();
    facts
        .apply(&[
            put(share("Computer:win", "group:hr", ShareLevel::Full)),
            put(share("UserAccount:win/ana", "person:ana", ShareLevel::RemoteAppOnly)),
            put(share("resource_group:servers", "person:ana", ShareLevel::Full)),
        ])
        .unwrap();
    assert_eq!(codes(&mut facts, &[put(group("hr", true))]), ["SHARE_LEVEL"]);
    let flip = put(resource_group("servers", &["Computer:win"], true));
    assert_eq!(codes(&mut facts, &[flip]), ["SHARE_LEVEL"]);
    let linux = put(resource("Computer:win", Some("linux"), None));
    assert_eq!(codes(&mut facts, &[linux]), ["SHARE_LEVEL"]);
    let moved = put(account("win/ana", Some("tux")));
    assert_eq!(codes(&mut facts, &[moved]), ["SHARE_LEVEL"]);
    let below = put(resource("Computer:win", None, Some("Computer:tux")));
    let found = codes(&mut facts, &[below]);
    assert!(found.contains(&"SHARE_LEVEL"), "{found:?}");
    assert!(found.contains(&"RESOURCE_GROUP_MEMBER"), "{found:?}");
    assert!(found.contains(&"PARENT_HAS_PARENT"), "{found:?}");
}

#[test]
fn groups_are_flat_and_hold_no_vault_accounts() {
    for member in ["SshKey:deploy", "UserAccount:win/ana", "Person:ana"] {
        let found = codes(&mut world(), &[put(resource_group("g", &[member], false))]);
        assert_eq!(found, ["RESOURCE_GROUP_MEMBER"], "{member}");
    }
}

#[test]
fn a_vault_account_takes_its_parents_platform() {
    let mut facts = world();
    let key = |platform| put(resource("SshKey:deploy", platform, Some("Computer:tux")));
    assert_eq!(codes(&mut facts, &[key(Some("windows"))]), ["PLATFORM_OF_PARENT"]);
    assert!(codes(&mut facts, &[key(Some("linux"))]).is_empty());
    let bsd = put(resource("Computer:tux", Some("bsd"), None));
    assert_eq!(codes(&mut facts, &[bsd]), ["PLATFORM_OF_PARENT"]);
    let own = put(resource("SshKey:deploy", None, Some("SshKey:deploy")));
    assert_eq!(codes(&mut facts, &[own]), ["PARENT_HAS_PARENT"]);
}

#[test]
fn approvals_are_of_one_person_on_one_computer_for_a_time() {
    let level = PermissionLevelId::new("local-admin").unwrap();
    let mut facts = world();
    facts.apply(&[put(PermissionLevel { id: level.clone(), name: None })]).unwrap();
    let approval = |to: &str, until| {
        put(Eligibility {
            key: EligibilityKey {
                to: ActorRef::parse(to).unwrap(),
                level: level.clone(),
                scope: EligibilityScope::On(ObjectId::new("win").unwrap()),
                kind: EligibilityKind::Approved,
            },
            window: Window { from: None, until },
        })
    };
    let until = Some(Timestamp::from_micros(1));
    assert!(codes(&mut facts, &[approval("person:ana", until)]).is_empty());
    assert_eq!(codes(&mut facts, &[approval("group:hr", None)]), ["APPROVAL", "APPROVAL"]);
    assert!(PermissionLevelId::new("none").is_err());
    let psm = Psm {
        computer: ObjectId::new("win").unwrap(),
        enabled: true,
        allow_unprivileged: true,
        account_store: None,
        max_session_micros: 0,
        max_concurrent: 0,
        jit: Jit::default(),
        levels: [(level, None)].into(),
    };
    assert_eq!(codes(&mut facts, &[put(psm)]), ["MAX_SESSION"]);
}

#[test]
fn cascade_takes_shares_along_but_no_exclusion_of_others() {
    let level = PermissionLevelId::new("local-admin").unwrap();
    let mut facts = world();
    let eligibility = |to: &str, kind| {
        put(Eligibility {
            key: EligibilityKey {
                to: ActorRef::parse(to).unwrap(),
                level: level.clone(),
                scope: EligibilityScope::On(ObjectId::new("tux").unwrap()),
                kind,
            },
            window: Window::ALWAYS,
        })
    };
    facts
        .apply(&[
            put(PermissionLevel { id: level.clone(), name: None }),
            put(share("Computer:win", "group:hr", ShareLevel::View)),
            eligibility("group:hr", EligibilityKind::Excluded),
            eligibility("group:everybody", EligibilityKind::Eligible),
        ])
        .unwrap();
    let delete = |key: FactKey| Change::Delete { key, cascade: true };
    let hr = FactKey::Group(GroupId::new("hr").unwrap());
    let mut without_hr = facts.clone();
    without_hr.apply(&[delete(hr)]).unwrap();
    assert_eq!((without_hr.shares().len(), without_hr.eligibilities().len()), (0, 1));
    let found = codes(&mut facts, &[delete(FactKey::PermissionLevel(level))]);
    assert_eq!(found, ["STILL_REFERENCED"]);
}

#[test]
fn a_share_bars_a_parent_that_it_could_not_be_on() {
    let mut facts = world();
    let on = |parent| put(resource("SshKey:key", None, Some(parent)));
    let shared = put(share("SshKey:key", "person:ana", ShareLevel::RemoteAppOnly));
    facts.apply(&[on("Computer:win"), shared]).unwrap();
    assert_eq!(codes(&mut facts, &[on("Computer:tux")]), ["SHARE_LEVEL"]);
}
