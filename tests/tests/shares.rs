//! Which shares may be written (V1), and what every combination of shares comes to (V2 to V7).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use pdp_engine::actor::{Account, ActorRef, Group, Membership, Person};
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{AccountId, GroupId, ObjectId, PersonId, ResourceGroupId, TypeName};
use pdp_engine::query::{Effect, ObjectRef, Revision, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultAction, VaultPrivilege,
};
use pdp_engine::time::Window;
use pdp_engine::vault::{VaultQuestion, check_vault, explain_vault};
use pdp_tests::oracle::{Holdings, Oracle};
use pdp_tests::proof::{for_worlds, least_seen};
use pdp_tests::verify::Verifier;
use pdp_tests::world::NOON;

const REVISION: Revision = Revision::new(2);

#[test]
fn a_write_is_accepted_exactly_where_v1_allows_the_state_it_leaves() {
    let seen: Mutex<BTreeMap<String, u64>> = Mutex::default();
    for_worlds(4_000, 60, |genome| {
        let mut facts = genome.facts();
        for write in genome.vault_writes() {
            let Some(fact) = write.on(&facts) else { continue };
            let kind = fact.key().to_string();
            let kind = kind.split([' ', ':', '`']).next().unwrap_or_default().to_owned();
            let before = facts.clone();
            let expected = Holdings::of(&before).with(&fact).are_writable();
            let applied = facts.apply(&[Change::Put(fact.clone())]);
            let codes: Vec<&str> = match &applied {
                Ok(_) => vec!["accepted"],
                Err(rejected) => rejected.rejections.iter().map(|it| it.problem.code()).collect(),
            };
            if applied.is_ok() != expected {
                let state = before.iter().map(|it| format!("{it:?}\n")).collect::<String>();
                return Err(format!(
                    "{fact:?}: should be allowed: {expected}; {applied:?} on\n{state}"
                ));
            }
            let mut seen = seen.lock().unwrap();
            for code in codes {
                *seen.entry(format!("{kind} {code}")).or_default() += 1;
            }
        }
        Ok(())
    });
    let seen = seen.into_inner().unwrap();
    for (key, count) in &seen {
        println!("{key:<45} {count:>9}");
    }
    let codes = [
        "accepted",
        "SHARE_LEVEL",
        "NOT_A_VAULT_ENTITY",
        "RESOURCE_GROUP_MEMBER",
        "PARENT_HAS_PARENT",
        "PLATFORM_OF_PARENT",
    ];
    for code in codes {
        let count: u64 = seen.iter().filter(|(key, _)| key.ends_with(code)).map(|(_, n)| n).sum();
        assert!(count > least_seen(100), "{code} occurred {count} times");
    }
}

/// Nothing, or a level.
type Shared = Option<ShareLevel>;

/// What may be shared of a vault account, of a resource on Windows, and of a resource group (V1).
const OF_ACCOUNTS: [Shared; 4] =
    [None, Some(ShareLevel::RemoteAppOnly), Some(ShareLevel::View), Some(ShareLevel::Modify)];
const OF_RESOURCES: [Shared; 5] = [
    None,
    Some(ShareLevel::RemoteAppOnly),
    Some(ShareLevel::View),
    Some(ShareLevel::Modify),
    Some(ShareLevel::Full),
];
const OF_GROUPS: [Shared; 4] =
    [None, Some(ShareLevel::View), Some(ShareLevel::Modify), Some(ShareLevel::Full)];

/// Every pair of what is shared with the person and what is shared with the group.
fn pairs(levels: &[Shared]) -> Vec<(Shared, Shared)> {
    let with = |person: &Shared| levels.iter().map(|group| (*person, *group)).collect::<Vec<_>>();
    levels.iter().flat_map(with).collect()
}

fn shares(on: &Entity, (person, group): (Shared, Shared)) -> impl Iterator<Item = Fact> {
    let person = person.map(|level| (Grantee::Person(PersonId::new("ana").unwrap()), level));
    let group = group.map(|level| (Grantee::Group(GroupId::new("staff").unwrap()), level));
    let on = on.clone();
    person
        .into_iter()
        .chain(group)
        .map(move |(to, level)| Share { key: ShareKey { to, on: on.clone() }, level }.into())
}

fn server() -> ResourceRef {
    ResourceRef { type_name: TypeName::computer(), id: ObjectId::new("server").unwrap() }
}

/// A member of a group, a computer in two resource groups, and an account on it for every pair of
/// shares that it may have.
fn base() -> Vec<Fact> {
    let ana = PersonId::new("ana").unwrap();
    let person = Person {
        id: ana.clone(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: [VaultPrivilege::ConnectionUser].into(),
    };
    let group = Group {
        id: GroupId::new("staff").unwrap(),
        members: vec![Membership { of: ActorRef::Person(ana), window: Window::ALWAYS }],
        positions: Vec::new(),
        default: false,
        locations: Vec::new(),
    };
    let computers = ResourceType {
        name: TypeName::computer(),
        operations: Default::default(),
        rights: Default::default(),
    };
    let computer = Resource {
        name: server(),
        locations: Vec::new(),
        platform: Some("windows".to_owned()),
        owner: None,
        parent: None,
    };
    let mut facts: Vec<Fact> = vec![person.into(), group.into(), computers.into(), computer.into()];
    for id in ["first", "second"] {
        let id = ResourceGroupId::new(id).unwrap();
        facts.push(ResourceGroup { id, members: vec![server()], default: false }.into());
    }
    for (n, pair) in pairs(&OF_ACCOUNTS).into_iter().enumerate() {
        let account = Account {
            id: AccountId::new(format!("account{n}")).unwrap(),
            owner: None,
            enabled: true,
            computer: Some(server().id),
            locations: Vec::new(),
        };
        facts.push(account.into());
        let on = Entity::parse(&format!("UserAccount:account{n}")).unwrap();
        facts.extend(shares(&on, pair));
    }
    facts
}

/// Decides every action on everything in the world as the oracle does; counts the allowed.
fn decide_all(facts: &Facts, names: &[(String, String)]) -> (u64, u64) {
    let snapshot = compile(facts, REVISION);
    let (oracle, verifier) = (Oracle::new(facts, NOON), Verifier::new(facts, NOON));
    let subject = SubjectRef::Person("ana");
    let (mut allowed, mut decided) = (0, 0);
    for (type_name, id) in names {
        let entity = ObjectRef { type_name, id };
        for action in VaultAction::ALL {
            let question = VaultQuestion { subject, action: action.as_str(), entity };
            let expected = oracle.decide_vault(&question).ok();
            let decision = check_vault(&snapshot, &question, NOON).ok();
            assert_eq!(expected, decision.map(|it| (it.effect, it.reason)), "{question:?}");
            allowed += u64::from(decision.is_some_and(|it| it.effect == Effect::Allow));
            decided += u64::from(decision.is_some());
        }
        let action = VaultAction::Manage.as_str();
        let question = VaultQuestion { subject, action, entity };
        let explanation = explain_vault(&snapshot, &question, NOON).unwrap();
        verifier.vault(&question, &explanation).unwrap();
    }
    (allowed, decided)
}

#[test]
fn every_combination_of_shares_is_decided_by_the_rules() {
    let (base, accounts) = (base(), pairs(&OF_ACCOUNTS).len());
    let mut start = Facts::default();
    start.apply(&base.into_iter().map(Change::Put).collect::<Vec<_>>()).unwrap();
    let mut names: Vec<(String, String)> =
        (0..accounts).map(|n| ("UserAccount".to_owned(), format!("account{n}"))).collect();
    names.push(("Computer".to_owned(), "server".to_owned()));
    names.extend(["first", "second"].map(|id| ("resource_group".to_owned(), id.to_owned())));
    let resources = pairs(&OF_RESOURCES);
    let work = Mutex::new(resources.clone());
    let (total, combinations) = (Mutex::new((0, 0)), Mutex::new(0));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(resource) = { work.lock().unwrap().pop() } {
                    for first in pairs(&OF_GROUPS) {
                        for second in pairs(&OF_GROUPS) {
                            let group = |id| Entity::Group(ResourceGroupId::new(id).unwrap());
                            let changes: Vec<Change> =
                                shares(&Entity::Resource(server()), resource)
                                    .chain(shares(&group("first"), first))
                                    .chain(shares(&group("second"), second))
                                    .map(Change::Put)
                                    .collect();
                            let mut facts = start.clone();
                            facts.apply(&changes).unwrap();
                            let (allowed, decided) = decide_all(&facts, &names);
                            let mut total = total.lock().unwrap();
                            *total = (total.0 + allowed, total.1 + decided);
                            *combinations.lock().unwrap() += accounts;
                        }
                    }
                }
            });
        }
    });
    let (allowed, decided) = total.into_inner().unwrap();
    let combinations = combinations.into_inner().unwrap();
    println!("{combinations} combinations, {decided} decisions, {allowed} of them ALLOW");
    // 4 levels for person and group on the account, 5 on the computer, 4 on each of two groups.
    assert_eq!(combinations, 16 * 25 * 16 * 16);
}
