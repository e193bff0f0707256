//! Lists of grants that are far longer than what a subject counts as are answered from as short ones
//! are: nobody loses an allow or a deny in them, alone or in a batch.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{ActorRef, BusinessRole, Group, Membership, Person, Position};
use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId, ObjectId, PermissionName,
    PersonId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

/// Each person is in two groups: the one of their number, always, and the next one until [`END`].
const PEOPLE: usize = 600;
const GROUPS: usize = 300;
const END: i64 = 100;

/// Who are in many groups at times, up to the one of a number, and in which of them until [`END`]: the time of the
/// others is over.
type Busy = (&'static str, usize, fn(usize) -> bool);
const BUSY: [Busy; 4] = [
    ("reader", 100, |group| given(group) != Some("Denied")),
    ("reader everywhere", GROUPS, |group| given(group) != Some("Denied")),
    ("nobody", 100, |group| given(group).is_none()),
    ("nobody everywhere", GROUPS, |group| given(group).is_none()),
];

const VIEW: PermissionRef<'static> =
    PermissionRef { kind: PermissionKind::Operation, name: "View" };

/// What is given to the group of a number, on the one document that everything is about.
const fn given(group: usize) -> Option<&'static str> {
    match group % 7 {
        0 => Some("Denied"),
        1..=3 => Some("Reader"),
        _ => None,
    }
}

fn id(kind: &str, number: usize) -> String {
    format!("{kind}{number}")
}

fn level(name: &str) -> LevelRef {
    LevelRef { type_name: TypeName::new("Doc").unwrap(), name: LevelName::new(name).unwrap() }
}

fn document() -> ResourceRef {
    ResourceRef { type_name: TypeName::new("Doc").unwrap(), id: ObjectId::new("d").unwrap() }
}

fn catalogue() -> Vec<Fact> {
    let view = PermissionName::new("View").unwrap();
    let defined = |name: &str, qualifier| AccessLevel {
        name: level(name),
        operations: [(Pattern::Name(view.clone()), qualifier)].into(),
        rights: [].into(),
    };
    vec![
        ResourceType {
            name: TypeName::new("Doc").unwrap(),
            operations: [view.clone()].into(),
            rights: [].into(),
        }
        .into(),
        defined("Reader", Qualifier::Allowed).into(),
        defined("Denied", Qualifier::Denied).into(),
        Location {
            id: LocationId::new("here").unwrap(),
            parent: None,
            organization: false,
            block_inheritance: false,
        }
        .into(),
    ]
}

fn person(id: &str) -> Person {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![Position {
            business_role: BusinessRoleId::new("clerk").unwrap(),
            location: LocationId::new("here").unwrap(),
            primary: true,
            window: Window::ALWAYS,
        }],
        vault_privileges: std::collections::BTreeSet::new(),
    }
}

fn group(number: usize) -> Group {
    let until = |end| Window { from: None, until: Some(Timestamp::from_micros(end)) };
    let members = (0..PEOPLE).filter_map(|person| {
        let window = match person % GROUPS {
            own if own == number => Window::ALWAYS,
            own if (own + 1) % GROUPS == number => until(END),
            _ => return None,
        };
        let of = ActorRef::Person(PersonId::new(id("p", person)).unwrap());
        Some(Membership { of, window })
    });
    let busy = BUSY.into_iter().filter(|(_, groups, _)| number < *groups).map(|(id, _, is_in)| {
        let of = ActorRef::Person(PersonId::new(id).unwrap());
        Membership { of, window: until(if is_in(number) { END } else { 0 }) }
    });
    let members = members.chain(busy);
    Group {
        id: GroupId::new(id("g", number)).unwrap(),
        members: members.collect(),
        positions: vec![],
        default: false,
        locations: vec![],
    }
}

/// The world with every grant in one scope: one list of hundreds of assignees.
fn world(scope: &Scope) -> Facts {
    let mut facts = catalogue();
    let clerk = BusinessRoleId::new("clerk").unwrap();
    facts.push(BusinessRole { id: clerk, parent: None, locations: vec![] }.into());
    facts.extend((0..PEOPLE).map(|number| person(&id("p", number)).into()));
    facts.extend(BUSY.map(|(id, ..)| person(id).into()));
    facts.extend((0..GROUPS).map(|number| group(number).into()));
    let here = vec![LocationId::new("here").unwrap()];
    let name = document();
    let plain = Resource { name, locations: here, platform: None, owner: None, parent: None };
    facts.push(plain.into());
    facts.extend((0..GROUPS).filter_map(|number| {
        let assignment = Assignment {
            id: AssignmentId::new(id("x", number)).unwrap(),
            to: ActorRef::Group(GroupId::new(id("g", number)).unwrap()),
            level: level(given(number)?),
            scope: scope.clone(),
            window: Window::ALWAYS,
        };
        Some(assignment.into())
    }));
    let changes: Vec<Change> = facts.into_iter().map(Change::Put).collect();
    let mut held = Facts::default();
    held.apply(&changes).unwrap();
    held
}

/// What the rules say of a person: by their own group, and by the next one while that holds.
fn expected(person: usize, now: Timestamp) -> Reason {
    let own = given(person % GROUPS);
    let next = given((person % GROUPS + 1) % GROUPS);
    let said = [own, next.filter(|_| now.as_micros() < END)];
    if said.contains(&Some("Denied")) {
        Reason::ExplicitDeny
    } else if said.contains(&Some("Reader")) {
        Reason::Granted
    } else {
        Reason::NotGranted
    }
}

#[test]
fn nobody_loses_an_allow_or_a_deny() {
    let here = Scope::In(LocationId::new("here").unwrap());
    for scope in [Scope::On(document()), here, Scope::Relative(Relative::InMyLocations)] {
        let snapshot = compile(&world(&scope), Revision::new(1));
        let people: Vec<String> = (0..PEOPLE).map(|number| id("p", number)).collect();
        let object = ObjectRef { type_name: "Doc", id: "d" };
        let questions: Vec<Question<'_>> = people
            .iter()
            .map(|person| Question::new(SubjectRef::Person(person), VIEW, object))
            .collect();
        for now in [END - 1, END].map(Timestamp::from_micros) {
            let mut answered = 0;
            check_batch(&snapshot, &questions, now, |question, answer| {
                assert_eq!(answer, check(&snapshot, question, now), "{question:?}");
                let reason = answer.unwrap().reason;
                assert_eq!(reason, expected(answered, now), "{question:?} by {scope:?} at {now:?}");
                answered += 1;
            });
            assert_eq!(answered, PEOPLE);
        }
    }
}

#[test]
fn who_is_in_many_groups_at_times_is_in_those_of_now() {
    let here = Scope::In(LocationId::new("here").unwrap());
    let object = ObjectRef { type_name: "Doc", id: "d" };
    for scope in [Scope::On(document()), here, Scope::Relative(Relative::InMyLocations)] {
        let snapshot = compile(&world(&scope), Revision::new(1));
        for (id, ..) in BUSY {
            let question = Question::new(SubjectRef::Person(id), VIEW, object);
            let reason =
                |now| check(&snapshot, &question, Timestamp::from_micros(now)).unwrap().reason;
            let granted =
                if id.starts_with("reader") { Reason::Granted } else { Reason::NotGranted };
            assert_eq!(reason(END - 1), granted, "{id} by {scope:?}");
            assert_eq!(reason(END), Reason::NotGranted, "{id} by {scope:?} when all is over");
            assert_eq!(reason(-1), Reason::ExplicitDeny, "{id} by {scope:?} before any was over");
        }
    }
}
