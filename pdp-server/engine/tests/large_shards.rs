//! Locations at which more is assigned than is merged: what covers a resource there is looked into together,
//! by what is asked. Whatever comes, goes or moves, and whatever levels say since, the answers are those of the
//! policy compiled as a whole, one by one, in batches, explained, and from an image.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot build its world has failed"
)]

use pdp_engine::actor::{ActorRef, Group, Membership, Person};
use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::explain::explain;
use pdp_engine::facts::{Change, Fact, FactKey, Facts};
use pdp_engine::id::{
    AssignmentId, GroupId, LevelName, LocationId, ObjectId, PermissionName, PersonId, TypeName,
};
use pdp_engine::image;
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

const PEOPLE: u64 = 60;
const GROUPS: u64 = 150;
const DOCUMENTS: u64 = 12;
const ASSIGNMENTS: u64 = 900;
const OPERATIONS: [&str; 4] = ["View", "Edit", "Export", "Delete"];
const LEVELS: [&str; 4] = ["Reader", "Editor", "Frozen", "Silent"];
/// Each with the one that it lies in.
const PLACES: [(&str, Option<&str>); 6] = [
    ("all", None),
    ("north", Some("all")),
    ("south", Some("all")),
    ("n1", Some("north")),
    ("n2", Some("north")),
    ("s1", Some("south")),
];
const NOW: Timestamp = Timestamp::from_micros(50);
const STEPS: u64 = 120;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn window(&mut self) -> Window {
        let until = |end| Window { from: None, until: Some(Timestamp::from_micros(end)) };
        self.of(&[Window::ALWAYS, Window::ALWAYS, Window::ALWAYS, until(100), until(10)])
    }
}

fn location(id: &str) -> LocationId {
    LocationId::new(id).unwrap()
}

fn doc() -> TypeName {
    TypeName::new("Doc").unwrap()
}

/// A level that says so of each operation.
fn level(name: &str, says: &[(&str, Qualifier)]) -> Fact {
    let pattern = |(name, said): &(&str, Qualifier)| {
        (Pattern::Name(PermissionName::new(*name).unwrap()), *said)
    };
    AccessLevel {
        name: LevelRef { type_name: doc(), name: LevelName::new(name).unwrap() },
        operations: says.iter().map(pattern).collect(),
        rights: [].into(),
    }
    .into()
}

fn document(number: u64, dice: &mut Dice) -> Fact {
    let ends = PLACES.get(3..).unwrap();
    let mut locations = vec![location(dice.of(ends).0)];
    if dice.below(3) == 0 {
        let other = location(dice.of(&PLACES).0);
        if !locations.contains(&other) {
            locations.push(other);
        }
    }
    let id = ObjectId::new(format!("d{number}")).unwrap();
    let name = ResourceRef { type_name: doc(), id };
    Resource { name, locations, platform: None, owner: None, parent: None }.into()
}

fn person(id: &str, enabled: bool) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: std::collections::BTreeSet::new(),
    }
    .into()
}

fn group(number: u64, dice: &mut Dice) -> Fact {
    let mut people: Vec<u64> = (0..4).map(|_| dice.below(PEOPLE)).collect();
    people.sort_unstable();
    people.dedup();
    let member = |person: u64| Membership {
        of: ActorRef::Person(PersonId::new(format!("p{person}")).unwrap()),
        window: dice.window(),
    };
    Group {
        id: GroupId::new(format!("g{number}")).unwrap(),
        members: people.into_iter().map(member).collect(),
        positions: vec![],
        default: false,
        locations: vec![],
    }
    .into()
}

fn assignment(number: u64, dice: &mut Dice) -> Fact {
    let scope = match dice.below(20) {
        0 => Scope::Relative(Relative::InMyLocations),
        _ => Scope::In(location(dice.of(&PLACES).0)),
    };
    Assignment {
        id: AssignmentId::new(format!("x{number}")).unwrap(),
        to: ActorRef::Group(GroupId::new(format!("g{}", dice.below(GROUPS))).unwrap()),
        level: LevelRef { type_name: doc(), name: LevelName::new(dice.of(&LEVELS)).unwrap() },
        scope,
        window: dice.window(),
    }
    .into()
}

fn world(dice: &mut Dice) -> Facts {
    use Qualifier::{Allowed, Denied};
    let operations = OPERATIONS.map(|name| PermissionName::new(name).unwrap()).into();
    let mut facts: Vec<Fact> =
        vec![ResourceType { name: doc(), operations, rights: [].into() }.into()];
    facts.push(level("Reader", &[("View", Allowed)]));
    facts.push(level("Editor", &[("View", Allowed), ("Edit", Allowed), ("Export", Allowed)]));
    facts.push(level("Frozen", &[("Edit", Denied)]));
    facts.push(level("Silent", &[]));
    facts.extend(PLACES.map(|(id, parent)| {
        let (id, parent) = (location(id), parent.map(location));
        Location { id, parent, organization: false, block_inheritance: false }.into()
    }));
    facts.extend((0..PEOPLE).map(|number| person(&format!("p{number}"), number % 20 != 19)));
    facts.extend((0..GROUPS).map(|number| group(number, dice)));
    facts.extend((0..DOCUMENTS).map(|number| document(number, dice)));
    facts.extend((0..ASSIGNMENTS).map(|number| assignment(number, dice)));
    let changes: Vec<Change> = facts.into_iter().map(Change::Put).collect();
    let mut held = Facts::default();
    held.apply(&changes).unwrap();
    held
}

/// Something that comes, goes or becomes another.
fn change(step: u64, dice: &mut Dice) -> Change {
    use Qualifier::{Allowed, Denied, Disabled};
    let says = |dice: &mut Dice| dice.of(&[Allowed, Denied, Disabled]);
    match (step % 24, dice.below(10)) {
        (11, _) => {
            let said = [("Delete", says(dice)), (dice.of(&OPERATIONS), says(dice))];
            Change::Put(level("Silent", &said))
        }
        (23, _) => Change::Put(level("Silent", &[])),
        (_, 0..4) => Change::Put(assignment(ASSIGNMENTS + step, dice)),
        (_, 4..6) => {
            let id = AssignmentId::new(format!("x{}", dice.below(ASSIGNMENTS))).unwrap();
            Change::Delete { key: FactKey::Assignment(id), cascade: false }
        }
        (_, 6..8) => Change::Put(group(dice.below(GROUPS), dice)),
        _ => Change::Put(document(dice.below(DOCUMENTS + 3), dice)),
    }
}

/// Asks everybody about everything; how often each reason was the answer.
fn hold(step: u64, facts: &Facts, grown: &Snapshot) -> [usize; 4] {
    let whole = compile(facts, grown.revision());
    let mut written = Vec::new();
    image::write(grown, &mut written).unwrap();
    let read =
        image::read(&mut written.as_slice(), written.len() as u64, grown.revision()).unwrap();
    let people: Vec<String> = (0..PEOPLE).map(|number| format!("p{number}")).collect();
    let documents: Vec<String> = (0..DOCUMENTS).map(|number| format!("d{number}")).collect();
    let mut questions = Vec::new();
    for person in &people {
        for id in &documents {
            for name in OPERATIONS {
                let permission = PermissionRef { kind: PermissionKind::Operation, name };
                let object = ObjectRef { type_name: "Doc", id };
                questions.push(Question::new(SubjectRef::Person(person), permission, object));
            }
        }
    }
    let mut reasons = [0; 4];
    check_batch(grown, &questions, NOW, |question, answer| {
        let expected = check(&whole, question, NOW);
        assert_eq!(answer, expected, "step {step}: {question:?}, in a batch");
        assert_eq!(check(grown, question, NOW), expected, "step {step}: {question:?}");
        assert_eq!(check(&read, question, NOW), expected, "step {step}: {question:?}, read");
        let expected = expected.unwrap();
        let explained = explain(grown, question, NOW).unwrap();
        assert_eq!(explained.decision, expected, "step {step}: {question:?}, explained");
        assert_eq!(explained, explain(&whole, question, NOW).unwrap(), "step {step}: {question:?}");
        assert_eq!(expected.effect == Effect::Allow, expected.reason == Reason::Granted);
        match expected.reason {
            Reason::Granted => reasons[0] += 1,
            Reason::ExplicitDeny => reasons[1] += 1,
            Reason::NotGranted => reasons[2] += 1,
            _ => reasons[3] += 1,
        }
    });
    reasons
}

#[test]
fn what_covers_a_resource_by_much_answers_as_if_it_was_compiled_whole() {
    let mut dice = Dice(5);
    let mut facts = world(&mut dice);
    let mut grown = compile(&facts, Revision::new(1));
    let mut seen = hold(0, &facts, &grown);
    for step in 1..=STEPS {
        let Ok(applied) = facts.apply(&[change(step, &mut dice)]) else { continue };
        grown = recompile(&grown, &facts, &applied.deltas, Revision::new(1 + step));
        // One that changes what levels say is looked at, and some of the others.
        if step % 4 == 3 {
            let answers = hold(step, &facts, &grown);
            seen.iter_mut().zip(answers).for_each(|(sum, count)| *sum += count);
        }
    }
    // Every kind of answer was among them, and not by chance alone.
    assert!(seen.iter().all(|count| *count > 1_000), "{seen:?}");
}

/// More locations than may differ before the lists of all are made anew.
const MANY: u64 = 1_100;

#[test]
fn what_is_granted_is_found_once_the_lists_are_made_anew() {
    let mut dice = Dice(7);
    let mut facts = world(&mut dice);
    let place = |number: u64| location(&format!("k{number}"));
    let granted = |id: String, to: &str, location: LocationId| {
        Change::Put(Fact::from(Assignment {
            id: AssignmentId::new(id).unwrap(),
            to: ActorRef::Person(PersonId::new(to).unwrap()),
            level: LevelRef { type_name: doc(), name: LevelName::new("Reader").unwrap() },
            scope: Scope::In(location),
            window: Window::ALWAYS,
        }))
    };
    let mut changes: Vec<Change> =
        ["first", "everywhere", "above"].map(|id| Change::Put(person(id, true))).into();
    for number in 0..MANY {
        changes.push(Change::Put(Fact::from(Location {
            id: place(number),
            parent: Some(location("all")),
            organization: false,
            block_inheritance: false,
        })));
        let id = ObjectId::new(format!("d{}", DOCUMENTS + number)).unwrap();
        let name = ResourceRef { type_name: doc(), id };
        let locations = vec![place(number)];
        let resource = Resource { name, locations, platform: None, owner: None, parent: None };
        changes.push(Change::Put(resource.into()));
        changes.push(granted(format!("k{number}"), "first", place(number)));
    }
    facts.apply(&changes).unwrap();
    let before = compile(&facts, Revision::new(1));
    // Somebody else everywhere, and one more at the location above, where many are assigned something.
    let mut changes: Vec<Change> =
        (0..MANY).map(|n| granted(format!("l{n}"), "everywhere", place(n))).collect();
    changes.push(granted("above".into(), "above", location("all")));
    let applied = facts.apply(&changes).unwrap();
    let after = recompile(&before, &facts, &applied.deltas, Revision::new(2));
    hold(2, &facts, &after);
    for (person, number, effects) in [
        ("above", DOCUMENTS + 3, [Effect::Deny, Effect::Allow]),
        ("everywhere", DOCUMENTS + MANY - 1, [Effect::Deny, Effect::Allow]),
    ] {
        let permission = PermissionRef { kind: PermissionKind::Operation, name: "View" };
        let id = format!("d{number}");
        let object = ObjectRef { type_name: "Doc", id: &id };
        let question = Question::new(SubjectRef::Person(person), permission, object);
        let answers = [&before, &after].map(|it| check(it, &question, NOW).unwrap().effect);
        assert_eq!(answers, effects, "{person}");
    }
}
