//! A small policy of privileged sessions for tests, held in a form that a model can decide by, and as
//! the facts that the server decides by.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{Account, ActorRef, Group, Membership, Person};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, FactKey, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, GroupId, ObjectId, PermissionLevelId, PermissionName, PersonId,
    TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::psm::{
    COMPUTER, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit,
    LOCAL_WINDOWS_SERVER, PermissionLevel, Psm,
};
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, Revision, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

/// Everybody. The first has a login, which the accounts that are made are named after.
pub(crate) const PEOPLE: [&str; 3] = ["p0", "p1", "p2"];
/// Every computer there may be: with people's own accounts; with accounts that are made and kept; with
/// accounts that are made and deleted.
pub(crate) const COMPUTERS: [&str; 3] = ["c0", "c1", "c2"];
pub(crate) const LEVELS: [&str; 2] = ["l0", "l1"];
pub(crate) const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
/// The accounts on the first computer.
pub(crate) const ACCOUNTS: [&str; 4] = ["a0", "a0-too", "a1", "a2"];
/// An account of nobody whose name the second account that is made could have.
pub(crate) const IN_THE_WAY: &str = "c1/p1_000000000002";

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;

type Grant = (&'static str, &'static str, &'static str, EligibilityKind);

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    /// People.
    pub(crate) disabled: BTreeSet<&'static str>,
    /// Whose the accounts are.
    pub(crate) owners: BTreeMap<&'static str, Option<&'static str>>,
    /// Those that there are.
    pub(crate) computers: BTreeMap<&'static str, Psm>,
    /// Person, level, computer and kind, and until when.
    pub(crate) grants: BTreeMap<Grant, Option<Timestamp>>,
    /// The accounts that the policy itself makes members of groups.
    pub(crate) listed: BTreeSet<(&'static str, &'static str)>,
}

// === impl World ===

impl World {
    /// Everybody may open anything at once; accounts as [`COMPUTERS`] says; no limits.
    pub(crate) fn open() -> Self {
        let settings = |computer: &'static str| {
            let jit = Jit {
                enabled: computer != "c0",
                delete_on_end: computer == "c2",
                reuse_existing: true,
            };
            let levels = LEVELS.iter().zip(GROUPS).map(|(l, g)| (level(l), Some(group(g))));
            let psm = Psm {
                computer: ObjectId::new(computer).unwrap(),
                enabled: true,
                allow_unprivileged: true,
                account_store: Some(LOCAL_WINDOWS_SERVER.to_owned()),
                max_session_micros: 8 * HOUR,
                max_concurrent: 0,
                jit,
                levels: levels.collect(),
            };
            (computer, psm)
        };
        let owners = [Some("p0"), Some("p0"), Some("p1"), Some("p2")];
        let grants = PEOPLE.iter().flat_map(|person| {
            let everywhere = COMPUTERS.iter().flat_map(|c| LEVELS.iter().map(move |l| (l, c)));
            everywhere.map(|(l, c)| ((*person, *l, *c, EligibilityKind::PreApproved), None))
        });
        Self {
            disabled: BTreeSet::new(),
            owners: ACCOUNTS.into_iter().zip(owners).collect(),
            computers: COMPUTERS.map(settings).into_iter().collect(),
            grants: grants.collect(),
            listed: BTreeSet::new(),
        }
    }

    /// The policy after an edit.
    pub(crate) fn with(&self, edit: impl FnOnce(&mut Self)) -> Self {
        let mut world = self.clone();
        edit(&mut world);
        world
    }

    /// The settings of a computer, to be edited.
    pub(crate) fn computer(&mut self, computer: &str) -> &mut Psm {
        self.computers.get_mut(computer).unwrap()
    }

    /// Excludes a person.
    pub(crate) fn exclude(&mut self, p: &'static str, l: &'static str, c: &'static str) {
        self.grants.insert((p, l, c, EligibilityKind::Excluded), None);
    }

    fn facts(&self) -> BTreeMap<FactKey, Fact> {
        let mut facts = fixed();
        for id in PEOPLE {
            facts.push(person(id, !self.disabled.contains(id)));
        }
        for (id, owner) in &self.owners {
            facts.push(account(id, *owner, self.computers.contains_key("c0")));
        }
        for id in GROUPS {
            let members = self.listed.iter().filter(|(_, of)| *of == id);
            facts.push(group_of(id, members.map(|(account, _)| *account)));
        }
        for (id, settings) in &self.computers {
            let name = ResourceRef::parse(&format!("{COMPUTER}:{id}")).unwrap();
            let (platform, owner, parent) = (None, None, None);
            facts.push(Resource { name, locations: vec![], platform, owner, parent }.into());
            facts.push(settings.clone().into());
        }
        let grants = self.grants.iter().filter(|((_, _, c, _), _)| self.computers.contains_key(c));
        for ((p, l, c, kind), until) in grants {
            let to = ActorRef::Person(PersonId::new(p).unwrap());
            let scope = EligibilityScope::On(ObjectId::new(c).unwrap());
            let key = EligibilityKey { to, level: level(l), scope, kind: *kind };
            facts.push(Eligibility { key, window: Window { from: None, until: *until } }.into());
        }
        facts.into_iter().map(|fact| (fact.key(), fact)).collect()
    }

    /// The change set that makes this policy.
    pub(crate) fn whole(&self) -> Vec<Change> {
        self.facts().into_values().map(Change::Put).collect()
    }

    /// The change set that makes this policy of another.
    pub(crate) fn changes(&self, before: &Self) -> Vec<Change> {
        let (before, after) = (before.facts(), self.facts());
        let put = after.iter().filter(|(key, fact)| before.get(key) != Some(fact));
        let put = put.map(|(_, fact)| Change::Put(fact.clone()));
        let gone = before.keys().rev().filter(|key| !after.contains_key(key));
        let gone = gone.map(|key| Change::Delete { key: key.clone(), cascade: false });
        put.chain(gone).collect()
    }

    /// The policy compiled, at this revision.
    pub(crate) fn compiled(&self, revision: u64) -> Snapshot {
        let mut facts = Facts::default();
        facts.apply(&self.whole()).unwrap();
        compile(&facts, Revision::new(revision))
    }
}

/// Whether an account may do what a group's members may.
pub(crate) fn is_member(snapshot: &Snapshot, account: &str, group: &str, now: Timestamp) -> bool {
    let question = Question::new(
        SubjectRef::Account(account),
        PermissionRef { kind: PermissionKind::Operation, name: "View" },
        ObjectRef { type_name: "Report", id: group },
    );
    check(snapshot, &question, now).unwrap().effect == Effect::Allow
}

pub(crate) fn level(id: &str) -> PermissionLevelId {
    PermissionLevelId::new(id).unwrap()
}

pub(crate) fn group(id: &str) -> GroupId {
    GroupId::new(id).unwrap()
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// What no edit changes: what the groups' members may do, and an account in the way.
fn fixed() -> Vec<Fact> {
    let view = PermissionName::new("View").unwrap();
    let viewer = LevelRef::parse("Report/Viewer").unwrap();
    let kind = |name, operations| -> Fact {
        ResourceType { name: TypeName::new(name).unwrap(), operations, rights: BTreeSet::new() }
            .into()
    };
    let operations = BTreeMap::from([(Pattern::Name(view.clone()), Qualifier::Allowed)]);
    let mut facts = vec![
        kind("Report", BTreeSet::from([view])),
        kind(COMPUTER, BTreeSet::new()),
        AccessLevel { name: viewer.clone(), operations, rights: BTreeMap::new() }.into(),
        account(IN_THE_WAY, None, false),
    ];
    for id in LEVELS {
        facts.push(PermissionLevel { id: level(id), name: None }.into());
    }
    for id in GROUPS {
        let name = ResourceRef::parse(&format!("Report:{id}")).unwrap();
        let (platform, owner, parent) = (None, None, None);
        let report = Resource { name: name.clone(), locations: vec![], platform, owner, parent };
        facts.push(report.into());
        let grant = Assignment {
            id: AssignmentId::new(id).unwrap(),
            to: ActorRef::Group(group(id)),
            level: viewer.clone(),
            scope: Scope::On(name),
            window: Window::ALWAYS,
        };
        facts.push(grant.into());
    }
    facts
}

fn person(id: &str, enabled: bool) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: (id == "p0").then(|| "lana".to_owned()),
        enabled,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: BTreeSet::new(),
    }
    .into()
}

fn account(id: &str, owner: Option<&str>, on_computer: bool) -> Fact {
    Account {
        id: AccountId::new(id).unwrap(),
        owner: owner.map(|owner| PersonId::new(owner).unwrap()),
        enabled: true,
        computer: on_computer.then(|| ObjectId::new("c0").unwrap()),
        locations: Vec::new(),
    }
    .into()
}

fn group_of<'a>(id: &str, members: impl Iterator<Item = &'a str>) -> Fact {
    let member = |id| Membership {
        of: ActorRef::Account(AccountId::new(id).unwrap()),
        window: Window::ALWAYS,
    };
    let members = members.map(member).collect();
    let (positions, locations) = (Vec::new(), Vec::new());
    Group { id: group(id), members, positions, default: false, locations }.into()
}
