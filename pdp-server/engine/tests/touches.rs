//! Which change sets can matter to what somebody watches, and when time can: what concerns others is passed
//! over, and what leads to what is watched by whatever way is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{Account, ActorRef, Group, ManagementRole, Membership, Person};
use pdp_engine::compile::{compile, recompile, sessions_touch, touches};
use pdp_engine::facts::{Change, Fact, FactKey, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, GroupId, LocationId, ManagementRoleId, ObjectId, PermissionName,
    PersonId, SessionId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::list::{About, SubjectKinds, next_instant};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::session::{OpenSession, OpenSessions};
use pdp_engine::share::{Entity, Grantee, Share, ShareKey, ShareLevel};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

const ANA: About<'_> = About::Subject { subject: SubjectRef::Person("ana"), type_name: None };
const ACCOUNT: About<'_> =
    About::Subject { subject: SubjectRef::Account("corp/ana"), type_name: None };
const NOTICE: About<'_> = About::Resource {
    resource: ObjectRef { type_name: "Report", id: "notice" },
    kinds: SubjectKinds::People,
};
const OTHER: About<'_> = About::Resource {
    resource: ObjectRef { type_name: "Report", id: "other" },
    kinds: SubjectKinds::PeopleAndAccounts,
};

fn person(id: &str, enabled: bool) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    }
    .into()
}

fn account(id: &str, owner: &str) -> Fact {
    let (id, owner) = (AccountId::new(id).unwrap(), Some(PersonId::new(owner).unwrap()));
    Account { id, owner, enabled: true, computer: None, locations: vec![] }.into()
}

fn members(all: &[&str]) -> Vec<Membership> {
    let member = |of: &&str| Membership { of: actor(of), window: Window::ALWAYS };
    all.iter().map(member).collect()
}

fn actor(text: &str) -> ActorRef {
    ActorRef::parse(text).unwrap()
}

fn group(id: &str, all: &[&str]) -> Fact {
    let (id, members) = (GroupId::new(id).unwrap(), members(all));
    Group { id, members, positions: vec![], default: false, locations: vec![] }.into()
}

fn role(id: &str, all: &[&str], includes: &[&str]) -> Fact {
    let role = |id: &&str| ManagementRoleId::new(*id).unwrap();
    ManagementRole {
        id: role(&id),
        definition: None,
        members: members(all),
        includes: includes.iter().map(role).collect(),
        locations: vec![],
    }
    .into()
}

fn named(id: &str) -> ResourceRef {
    ResourceRef::parse(&format!("Report:{id}")).unwrap()
}

fn report(id: &str, location: &str, owner: Option<&str>) -> Fact {
    Resource {
        name: named(id),
        locations: vec![LocationId::new(location).unwrap()],
        platform: None,
        owner: owner.map(|id| PersonId::new(id).unwrap()),
        parent: None,
    }
    .into()
}

fn level(name: &str) -> LevelRef {
    LevelRef::parse(&format!("Report/{name}")).unwrap()
}

fn says(name: &str, qualifier: Qualifier) -> Fact {
    let view = Pattern::Name(PermissionName::new("View").unwrap());
    let (name, rights) = (level(name), [].into());
    AccessLevel { name, operations: [(view, qualifier)].into(), rights }.into()
}

fn grant(id: &str, to: &str, name: &str, scope: Scope, window: Window) -> Fact {
    let (id, to) = (AssignmentId::new(id).unwrap(), actor(to));
    Assignment { id, to, level: level(name), scope, window }.into()
}

fn on(id: &str) -> Scope {
    Scope::On(named(id))
}

fn within(location: &str) -> Scope {
    Scope::In(LocationId::new(location).unwrap())
}

fn share(id: &str, to: Grantee) -> Fact {
    let key = ShareKey { to, on: Entity::Resource(named(id)) };
    Share { key, level: ShareLevel::Full }.into()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn between(from: i64, until: i64) -> Window {
    Window { from: Some(at(from)), until: Some(at(until)) }
}

/// Ana is in `staff`, which is in `all`; `all` views everything in Zurich, where `notice` is. The role `desk`
/// views `other`, which is in Basel.
fn world() -> Vec<Fact> {
    let location = |id: &str| Location {
        id: LocationId::new(id).unwrap(),
        parent: None,
        organization: false,
        block_inheritance: false,
    };
    let view = PermissionName::new("View").unwrap();
    let declared = ResourceType {
        name: TypeName::new("Report").unwrap(),
        operations: [view].into(),
        rights: [].into(),
    };
    let mut facts: Vec<Fact> = vec![declared.into()];
    facts.extend(["zurich", "basel"].map(|id| location(id).into()));
    facts.extend([says("Viewer", Qualifier::Allowed), says("Unused", Qualifier::Allowed)]);
    facts.extend(["ana", "bo", "cy"].map(|id| person(id, true)));
    facts.push(account("corp/ana", "ana"));
    facts.extend([group("staff", &["person:ana"]), group("all", &["group:staff"])]);
    facts.extend([group("guests", &["person:bo"]), role("desk", &["person:cy"], &[])]);
    facts.extend([report("notice", "zurich", None), report("other", "basel", None)]);
    facts.push(grant("a-1", "group:all", "Viewer", within("zurich"), Window::ALWAYS));
    facts.push(grant("a-2", "management_role:desk", "Viewer", on("other"), Window::ALWAYS));
    facts
}

/// A policy, and who of Ana, her account, `notice` and `other` a change set touches.
struct Watched(Facts, Snapshot);

impl Watched {
    fn new() -> Self {
        let mut facts = Facts::default();
        facts.apply(&world().into_iter().map(Change::Put).collect::<Vec<_>>()).unwrap();
        let snapshot = compile(&facts, Revision::new(1));
        Self(facts, snapshot)
    }

    fn touched(&mut self, changes: &[Change]) -> String {
        let applied = self.0.apply(changes).unwrap();
        let revision = self.1.revision().next();
        self.1 = recompile(&self.1, &self.0, &applied.deltas, revision);
        let all = [("ana", ANA), ("account", ACCOUNT), ("notice", NOTICE), ("other", OTHER)];
        let those = all.into_iter().filter(|(_, it)| touches(&applied.deltas, &self.1, *it));
        those.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }

    fn put(&mut self, fact: Fact) -> String {
        self.touched(&[Change::Put(fact)])
    }

    fn delete(&mut self, key: FactKey, cascade: bool) -> String {
        self.touched(&[Change::Delete { key, cascade }])
    }
}

#[test]
fn what_is_given_to_others_and_elsewhere_touches_nobody() {
    let mut it = Watched::new();
    assert_eq!(it.put(person("dee", true)), "");
    assert_eq!(it.put(group("guests", &["person:bo", "person:dee"])), "");
    assert_eq!(it.put(group("new", &["person:dee"])), "");
    assert_eq!(it.put(role("spare", &["person:dee"], &[])), "");
    assert_eq!(it.put(says("Unused", Qualifier::Denied)), "notice other", "of the type");
    let elsewhere = grant("a-3", "group:guests", "Unused", within("basel"), Window::ALWAYS);
    assert_eq!(it.put(elsewhere), "other");
    // A member who comes to a group that Ana is in does not concern her.
    assert_eq!(it.put(group("staff", &["person:ana", "person:dee"])), "notice");
}

#[test]
fn what_leads_to_the_watched_touches_it_by_whatever_way() {
    let mut it = Watched::new();
    assert_eq!(
        it.put(grant("a-3", "person:ana", "Viewer", on("other"), Window::ALWAYS)),
        "ana other"
    );
    assert_eq!(
        it.put(grant("a-4", "account:corp/ana", "Viewer", on("other"), Window::ALWAYS)),
        "ana account other"
    );
    assert_eq!(it.put(role("desk", &["person:cy", "group:staff"], &[])), "ana other");
    // The last edge of a long way is cut.
    assert_eq!(it.put(group("all", &[])), "ana notice");
    assert_eq!(it.put(says("Viewer", Qualifier::Denied)), "ana account notice other");
    assert_eq!(it.put(person("ana", false)), "ana account other");
    assert_eq!(it.put(account("corp/new", "ana")), "ana");
}

#[test]
fn what_is_taken_away_touches_those_who_had_it() {
    let mut it = Watched::new();
    let staff = FactKey::Group(GroupId::new("staff").unwrap());
    assert_eq!(it.delete(staff, true), "ana notice other");
    let mut it = Watched::new();
    let gone = FactKey::Assignment(AssignmentId::new("a-2").unwrap());
    assert_eq!(it.delete(gone, false), "other");
    let gone = FactKey::Resource(named("notice"));
    assert_eq!(it.delete(gone, true), "ana notice");
    let mut it = Watched::new();
    // The chain as a whole, in one change set: every fact of it is gone afterwards.
    let chain = [
        Change::Delete { key: FactKey::Person(PersonId::new("cy").unwrap()), cascade: true },
        Change::Delete {
            key: FactKey::ManagementRole(ManagementRoleId::new("desk").unwrap()),
            cascade: true,
        },
    ];
    assert_eq!(it.touched(&chain), "notice other");
}

#[test]
fn the_vault_touches_its_owners_and_those_it_is_shared_with() {
    let mut it = Watched::new();
    assert_eq!(it.put(report("other", "basel", Some("ana"))), "ana other");
    assert_eq!(it.put(report("other", "basel", None)), "ana other");
    let staff = Grantee::Group(GroupId::new("staff").unwrap());
    assert_eq!(it.put(share("other", staff)), "ana other");
    assert_eq!(it.put(share("other", Grantee::Person(PersonId::new("bo").unwrap()))), "other");
    assert_eq!(it.put(group("staff", &[])), "ana notice other");
}

#[test]
fn what_everything_is_placed_by_touches_everybody() {
    let mut it = Watched::new();
    let place = Location {
        id: LocationId::new("geneva").unwrap(),
        parent: None,
        organization: false,
        block_inheritance: false,
    };
    assert_eq!(it.put(place.into()), "ana account notice other");
    assert_eq!(it.touched(&[]), "");
}

#[test]
fn of_another_type_nothing_is_told() {
    let mut it = Watched::new();
    let typed = About::Subject { subject: SubjectRef::Person("ana"), type_name: Some("Person") };
    let assignment = grant("a-3", "person:ana", "Viewer", on("other"), Window::ALWAYS);
    let applied = it.0.apply(&[Change::Put(assignment)]).unwrap();
    let after = recompile(&it.1, &it.0, &applied.deltas, Revision::new(2));
    assert!(touches(&applied.deltas, &after, ANA) && !touches(&applied.deltas, &after, typed));
}

#[test]
fn the_next_instant_is_that_of_a_window_that_matters() {
    let mut it = Watched::new();
    assert_eq!(next_instant(&it.1, ANA, at(0)), None);
    it.put(grant("a-3", "group:guests", "Viewer", on("other"), between(10, 20)));
    it.put(grant("a-4", "person:ana", "Viewer", on("other"), between(15, 30)));
    let next = |about, now| next_instant(&it.1, about, at(now)).map(Timestamp::as_micros);
    assert_eq!([next(ANA, 0), next(OTHER, 0), next(NOTICE, 0)], [Some(15), Some(10), None]);
    assert_eq!([next(ANA, 15), next(OTHER, 10), next(OTHER, 20)], [Some(30), Some(15), Some(30)]);
    assert_eq!([next(ANA, 30), next(OTHER, 30)], [None, None]);
}

#[test]
fn sessions_touch_their_account_and_their_computer() {
    let session = OpenSession {
        id: SessionId::new("s").unwrap(),
        person: PersonId::new("bo").unwrap(),
        computer: ObjectId::new("web").unwrap(),
        level: None,
        group: None,
        account: Some(AccountId::new("corp/ana").unwrap()),
        opened: at(1),
        not_after: at(9),
    };
    let (none, one) = (OpenSessions::default(), OpenSessions::new([session], []));
    let computer = |id| About::Resource {
        resource: ObjectRef { type_name: "Computer", id },
        kinds: SubjectKinds::People,
    };
    let on_reports =
        About::Subject { subject: SubjectRef::Person("bo"), type_name: Some("Report") };
    let touched = |about| sessions_touch(&none, &one, about);
    assert!(touched(ANA) && touched(ACCOUNT) && touched(OTHER) && touched(computer("web")));
    assert!(!touched(on_reports) && !touched(NOTICE) && !touched(computer("other")));
    assert!(!sessions_touch(&one, &one, ACCOUNT) && !sessions_touch(&one, &one, computer("web")));
}
