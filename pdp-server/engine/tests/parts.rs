//! A list can be had part by part; a part is decided and nothing else, and only while somebody
//! wants it. What concerns many root locations is told in bounded size.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use std::cell::Cell;

use pdp_engine::actor::{ActorRef, Group, Membership, Person};
use pdp_engine::compile::compile;
use pdp_engine::delegate::{
    DelegationAction, DelegationQuestion, MAX_OBJECTS, RecipientRef, ScopeRef, Status,
    check_delegation, explain_delegation,
};
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{AssignmentId, GroupId, LocationId, PermissionName, PersonId, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, CANDIDATES_PER_LOOK, ListError, Part, SubjectKinds,
    list_approvers, list_resources, list_resources_part, list_subjects, list_subjects_part,
};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{ObjectRef, PermissionRef, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

const NOW: Timestamp = Timestamp::from_micros(0);
const ANA: SubjectRef<'_> = SubjectRef::Person("ana");
const VIEW: AnyPermission<'_> =
    AnyPermission::Access(PermissionRef { kind: PermissionKind::Operation, name: "View" });
const NOTICE: ObjectRef<'_> = ObjectRef { type_name: "Report", id: "notice" };

/// How many people and reports there are: several times what is gone through between two looks.
const MANY: usize = 10 * CANDIDATES_PER_LOOK as usize;

fn person(id: &str) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    }
    .into()
}

fn group<'a>(id: &str, members: impl Iterator<Item = &'a String>) -> Fact {
    let listing = |id: &String| Membership {
        of: ActorRef::parse(&format!("person:{id}")).unwrap(),
        window: Window::ALWAYS,
    };
    let (id, members) = (GroupId::new(id).unwrap(), members.map(listing).collect());
    Group { id, members, positions: vec![], default: false, locations: vec![] }.into()
}

fn location(id: &str) -> Fact {
    let id = LocationId::new(id).unwrap();
    Location { id, parent: None, organization: false, block_inheritance: false }.into()
}

fn report(id: &str, location: &str) -> Fact {
    let name = ResourceRef::parse(&format!("Report:{id}")).unwrap();
    let locations = vec![LocationId::new(location).unwrap()];
    Resource { name, locations, platform: None, owner: None, parent: None }.into()
}

/// A type with what its objects take, and a level for each of those.
fn type_with(name: &str, operations: &[&str]) -> Vec<Fact> {
    let operation = |name: &&str| PermissionName::new(*name).unwrap();
    let level = |name: String, qualifier| -> Fact {
        let each = operations.iter().map(|it| (Pattern::Name(operation(it)), qualifier));
        let name = LevelRef::parse(&name).unwrap();
        AccessLevel { name, operations: each.collect(), rights: [].into() }.into()
    };
    let operations = operations.iter().map(operation).collect();
    let type_name = TypeName::new(name).unwrap();
    vec![
        ResourceType { name: type_name, operations, rights: [].into() }.into(),
        level(format!("{name}/Holder"), Qualifier::Allowed),
        level(format!("{name}/Barred"), Qualifier::Denied),
    ]
}

fn assignment(id: &str, to: &str, level: &str, scope: Scope) -> Fact {
    let id = AssignmentId::new(id).unwrap();
    let (to, level) = (ActorRef::parse(to).unwrap(), LevelRef::parse(level).unwrap());
    Assignment { id, to, level, scope, window: Window::ALWAYS }.into()
}

fn on(name: &str) -> Scope {
    Scope::On(ResourceRef::parse(name).unwrap())
}

fn within(id: &str) -> Scope {
    Scope::In(LocationId::new(id).unwrap())
}

fn compiled(facts: Vec<Fact>) -> Snapshot {
    let changes: Vec<Change> = facts.into_iter().map(Change::Put).collect();
    let mut facts = Facts::default();
    facts.apply(&changes).unwrap();
    compile(&facts, Revision::new(1))
}

/// Everybody may view the notice and `ana` every report of the archive, but for two of three.
fn thinned() -> Snapshot {
    let names: Vec<String> = (0..MANY).map(|n| format!("n-{n:05}")).collect();
    let mut facts = type_with("Report", &["View"]);
    facts.extend([location("archive"), location("closed"), person("ana")]);
    facts.extend(names.iter().map(|name| person(name)));
    facts.push(group("everybody", names.iter()));
    let barred = names.iter().enumerate().filter(|(n, _)| n % 3 > 0).map(|(_, name)| name);
    facts.push(group("barred", barred));
    facts.push(report("notice", "closed"));
    for (n, name) in names.iter().enumerate() {
        facts.push(report(name, "archive"));
        if n % 3 > 0 {
            let id = format!("bar-{name}");
            facts.push(assignment(
                &id,
                "person:ana",
                "Report/Barred",
                on(&format!("Report:{name}")),
            ));
        }
    }
    facts.extend([
        assignment("all", "group:everybody", "Report/Holder", on("Report:notice")),
        assignment("bar", "group:barred", "Report/Barred", on("Report:notice")),
        assignment("ana", "person:ana", "Report/Holder", within("archive")),
    ]);
    compiled(facts)
}

/// Reads a list in parts of a size.
fn in_parts<T: Clone>(size: usize, part: impl Fn(Option<&T>) -> Vec<T>) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let next = part(all.last());
        assert!(next.len() <= size);
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

#[test]
fn parts_of_any_size_make_up_the_list_where_denies_thin_it_out() {
    let snapshot = thinned();
    let kinds = SubjectKinds::People;
    let resources = list_resources(&snapshot, ANA, VIEW, "Report", NOW).unwrap();
    let subjects = list_subjects(&snapshot, VIEW, NOTICE, kinds, NOW).unwrap();
    assert_eq!([resources.len(), subjects.len()], [MANY.div_ceil(3); 2]);
    for limit in [1, 2, 100, MANY] {
        let parts = in_parts(limit, |last: Option<&pdp_engine::id::ObjectId>| {
            let part = Part { after: last.map(|id| id.as_str()), limit, wanted: &|| true };
            list_resources_part(&snapshot, ANA, VIEW, "Report", part, NOW).unwrap()
        });
        assert_eq!(parts, resources);
        let parts = in_parts(limit, |last: Option<&ActorRef>| {
            let after = last.map(|last| match last {
                ActorRef::Person(id) => SubjectRef::Person(id.as_str()),
                other => panic!("{other}"),
            });
            let part = Part { after, limit, wanted: &|| true };
            list_subjects_part(&snapshot, VIEW, NOTICE, kinds, part, NOW).unwrap()
        });
        assert_eq!(parts, subjects);
    }
    // A part may begin after something that is not in the list, or nowhere at all.
    let after = |after| {
        let part = Part { after: Some(after), limit: 1, wanted: &|| true };
        list_resources_part(&snapshot, ANA, VIEW, "Report", part, NOW).unwrap()
    };
    assert_eq!(after("n-00001")[0].as_str(), "n-00003");
    assert_eq!(after("a")[0].as_str(), "n-00000");
    assert_eq!(after("z"), []);
}

#[test]
fn a_part_is_decided_and_nothing_else_and_only_while_it_is_wanted() {
    let snapshot = thinned();
    let kinds = SubjectKinds::People;
    let looks = Cell::new(0);
    let list = |limit, patience: usize| {
        looks.set(0);
        let wanted = || {
            looks.set(looks.get() + 1);
            looks.get() <= patience
        };
        let part = Part { after: None, limit, wanted: &wanted };
        list_subjects_part(&snapshot, VIEW, NOTICE, kinds, part, NOW)
    };
    // So few that the first look is the only one.
    assert_eq!((list(10, MANY).unwrap().len(), looks.get()), (10, 1));
    assert_eq!((list(MANY, MANY).unwrap().len(), looks.get()), (MANY.div_ceil(3), 11));
    for patience in 0..11 {
        assert_eq!((list(MANY, patience), looks.get()), (Err(ListError::Unwanted), patience + 1));
    }
}

/// The approvers hold what a relative delegation asks at every root, all others at the first.
fn rooted(roots: usize, barred: Option<&str>) -> Snapshot {
    let mut facts = type_with("Report", &["AddToHolderInRelativeResource"]);
    facts.extend(type_with("Person", &["AddPersonToRelativeResourceRole"]));
    let names: Vec<String> = (0..20).map(|n| format!("n-{n:02}")).collect();
    facts.extend(names.iter().map(|name| person(name)));
    facts.extend([group("all", names.iter()), group("approvers", names.iter().take(4))]);
    facts.push(assignment("recipient", "group:all", "Person/Holder", on("Person:n-19")));
    for n in 0..roots {
        let id = format!("root-{n:03}");
        let to = if n == 0 { "group:all" } else { "group:approvers" };
        facts.push(assignment(&id, to, "Report/Holder", within(&id)));
        facts.push(location(&id));
    }
    if let Some(person) = barred {
        facts.push(assignment("bar", person, "Report/Barred", within("root-110")));
    }
    compiled(facts)
}

const fn relative(delegator: &str) -> DelegationQuestion<'_> {
    DelegationQuestion {
        delegator: SubjectRef::Person(delegator),
        action: DelegationAction::Grant,
        type_name: "Report",
        level: "Holder",
        recipient: RecipientRef::Person("n-19"),
        scope: ScopeRef::Relative(Relative::InMyLocations),
        routing: true,
    }
}

#[test]
fn approvers_of_a_relative_delegation_hold_every_root() {
    for (barred, expected) in
        [(None, &["n-00", "n-02", "n-03"][..]), (Some("person:n-02"), &["n-00", "n-03"])]
    {
        let question = ApprovalQuestion::Delegation(relative("n-01"));
        let approvers = list_approvers(&rooted(150, barred), &question, NOW).unwrap();
        let approvers: Vec<_> = approvers.iter().map(PersonId::as_str).collect();
        assert_eq!(approvers, expected);
    }
}

#[test]
fn an_explanation_tells_as_many_objects_as_somebody_can_read_and_first_what_decides() {
    let snapshot = rooted(150, Some("person:n-02"));
    for (delegator, reason, first, last) in [
        ("n-01", Reason::Granted, (Status::Held, "root-000"), Status::Held),
        ("n-02", Reason::ExplicitDeny, (Status::Denied, "root-110"), Status::Held),
        ("n-05", Reason::MissingOnResource, (Status::Missing, "root-001"), Status::Missing),
    ] {
        let question = relative(delegator);
        let told = explain_delegation(&snapshot, &question, NOW).unwrap();
        assert_eq!(Ok(told.decision), check_delegation(&snapshot, &question, NOW));
        assert_eq!(told.decision.reason, reason);
        let side = told.resource.unwrap();
        assert_eq!((side.objects.len(), side.omitted_objects), (MAX_OBJECTS, 50));
        let object = side.objects.first().unwrap();
        let (status, root) = first;
        assert_eq!(
            (object.status, object.of.to_string()),
            (status, format!("every Report in {root}"))
        );
        assert_eq!(side.objects.last().unwrap().status, last);
        assert_eq!(told.recipient.unwrap().omitted_objects, 0);
    }
    let few = explain_delegation(&rooted(3, None), &relative("n-01"), NOW).unwrap();
    assert_eq!(few.resource.unwrap().omitted_objects, 0);
}
