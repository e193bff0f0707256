//! What a watch of effective permissions tells is what the checks say, whatever the history: the state at each
//! revision and instant, the changes that lead from one to the next, and that nothing differs where the engine
//! says that nothing can.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use pdp_engine::actor::ActorRef;
use pdp_engine::compile::{compile, recompile, sessions_touch, touches};
use pdp_engine::facts::{Delta, Facts};
use pdp_engine::id::{AccountId, PersonId};
use pdp_engine::list::{
    About, AnyPermission, Effective, EffectiveOther, EffectivePart, ListedPermission, SubjectKinds,
    effective, list_permissions, next_instant,
};
use pdp_engine::query::{Effect, ObjectRef, Revision, SubjectRef};
use pdp_engine::session::{SessionQuestion, check_session};
use pdp_engine::share::Entity;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_tests::history::{Draws, change_set, pool};
use pdp_tests::oracle::{Existing, Oracle};
use pdp_tests::proof::{for_worlds, least_seen};
use pdp_tests::world::{Genome, at};

/// How many change sets a history has at most.
const STEPS: usize = 12;

/// Distances from noon, in microseconds, at which states are compared: on the edges of windows, and between.
const TIMES: [i64; 9] = [-11, -10, -2, -1, 0, 1, 9, 10, 12];

/// Something that may be watched.
#[derive(Debug, Clone)]
enum Watched {
    Subject(ActorRef, Option<String>),
    Resource(String, String, SubjectKinds),
}

// === impl Watched ===

impl Watched {
    fn about(&self) -> About<'_> {
        match self {
            Self::Subject(actor, type_name) => {
                About::Subject { subject: subject_of(actor), type_name: type_name.as_deref() }
            }
            Self::Resource(type_name, id, kinds) => {
                About::Resource { resource: ObjectRef { type_name, id }, kinds: *kinds }
            }
        }
    }
}

fn subject_of(actor: &ActorRef) -> SubjectRef<'_> {
    match actor {
        ActorRef::Person(id) => SubjectRef::Person(id.as_str()),
        ActorRef::Account(id) => SubjectRef::Account(id.as_str()),
        other => panic!("{other} is no subject"),
    }
}

/// Everybody there is, in the policy or besides it, and somebody who may come yet.
fn subjects(facts: &Facts, existing: &Existing) -> Vec<ActorRef> {
    let people = facts.people().map(|it| ActorRef::Person(it.id.clone()));
    let accounts = facts.accounts().map(|it| ActorRef::Account(it.id.clone()));
    let besides = existing.all_accounts().into_iter().map(ActorRef::Account);
    let mut all: Vec<_> = people.chain(accounts).chain(besides).collect();
    all.push(ActorRef::Person(PersonId::new("nobody").unwrap()));
    all.push(ActorRef::Account(AccountId::new("nobody").unwrap()));
    all.sort();
    all.dedup();
    all
}

/// Everything there is.
fn objects(facts: &Facts) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |type_name: &str, id: &str| all.push((type_name.to_owned(), id.to_owned()));
    facts.resources().for_each(|it| add(it.name.type_name.as_str(), it.name.id.as_str()));
    facts.people().for_each(|it| add("Person", it.id.as_str()));
    facts.accounts().for_each(|it| add("UserAccount", it.id.as_str()));
    facts.groups().for_each(|it| add("Group", it.id.as_str()));
    facts.set_groups().for_each(|it| add("SetGroup", it.id.as_str()));
    facts.business_roles().for_each(|it| add("BusinessRole", it.id.as_str()));
    facts.locations().for_each(|it| add("Location", it.id.as_str()));
    facts.management_roles().for_each(|it| add("ManagementRole", it.id.as_str()));
    let definitions = facts.management_role_definitions();
    definitions.for_each(|it| add("ManagementRoleDefinition", it.id.as_str()));
    facts.resource_groups().for_each(|it| add(Entity::GROUP_WORD, it.id.as_str()));
    all
}

/// Everything that may be watched in a world; of each resource either people or accounts as well.
fn watched(facts: &Facts, existing: &Existing, draws: &mut Draws) -> Vec<Watched> {
    let objects = objects(facts);
    let mut all: Vec<Watched> = Vec::new();
    for actor in subjects(facts, existing) {
        let one_type = objects.get(draws.below(objects.len() * 3)).map(|(name, _)| name.clone());
        all.push(Watched::Subject(actor, one_type));
    }
    for (type_name, id) in objects {
        let kinds = match draws.below(2) {
            0 => SubjectKinds::People,
            _ => SubjectKinds::PeopleAndAccounts,
        };
        all.push(Watched::Resource(type_name, id, kinds));
    }
    all
}

fn held(snapshot: &Snapshot, watched: &Watched, now: Timestamp) -> Effective {
    let part = EffectivePart { permissions: &[], limit: usize::MAX, wanted: &|| true };
    effective(snapshot, watched.about(), part, now).unwrap()
}

fn entity(type_name: &str, id: &str) -> EffectiveOther {
    EffectiveOther::Resource(Entity::parse(&format!("{type_name}:{id}")).unwrap())
}

/// What one subject may do on one object, by one question after the other.
fn asked_one_by_one(
    facts: &Facts,
    snapshot: &Snapshot,
    (subject, object): (SubjectRef<'_>, ObjectRef<'_>),
    now: Timestamp,
) -> Vec<(ListedPermission, Effect)> {
    let listed = list_permissions(snapshot, subject, object, now).unwrap();
    let mut all: Vec<_> = listed.into_iter().map(|it| (it, Effect::Allow)).collect();
    let levels = facts.permission_levels().map(|level| level.id.as_str());
    for level in levels.filter(|_| object.type_name != Entity::GROUP_WORD) {
        let level = Some(level);
        let question = SessionQuestion { subject, level, computer: object, routing: true };
        let effect = check_session(snapshot, &question, now).unwrap().decision.effect;
        if effect == Effect::RequiresApproval {
            all.push((ListedPermission::Session(level.map(str::to_owned)), effect));
        }
    }
    all
}

/// The same by the oracle.
fn by_the_oracle(
    facts: &Facts,
    oracle: &Oracle<'_>,
    (subject, object): (SubjectRef<'_>, ObjectRef<'_>),
) -> Vec<(ListedPermission, Effect)> {
    let mut all: Vec<_> =
        oracle.permissions(subject, object).into_iter().map(|it| (it, Effect::Allow)).collect();
    for level in facts.permission_levels().map(|level| level.id.as_str()) {
        let level = Some(level);
        let question = SessionQuestion { subject, level, computer: object, routing: true };
        if let Ok((Effect::RequiresApproval, ..)) = oracle.decide_session(&question).map(|it| it.0)
        {
            let listed = ListedPermission::Session(level.map(str::to_owned));
            all.push((listed, Effect::RequiresApproval));
        }
    }
    all
}

/// What is to be held, where `ask` says what one subject may do on one object.
fn expected(
    (facts, existing): (&Facts, &Existing),
    watched: &Watched,
    ask: impl Fn(SubjectRef<'_>, ObjectRef<'_>) -> Vec<(ListedPermission, Effect)>,
) -> Effective {
    let mut all = Effective::new();
    let mut take = |other: EffectiveOther, found: Vec<(ListedPermission, Effect)>| {
        all.extend(found.into_iter().map(|(listed, effect)| ((other.clone(), listed), effect)));
    };
    match watched {
        Watched::Subject(actor, asked) => {
            for (type_name, id) in objects(facts) {
                if asked.as_ref().is_none_or(|asked| *asked == type_name) {
                    let object = ObjectRef { type_name: &type_name, id: &id };
                    take(entity(&type_name, &id), ask(subject_of(actor), object));
                }
            }
        }
        Watched::Resource(type_name, id, kinds) => {
            for actor in subjects(facts, existing) {
                let is_person = matches!(actor, ActorRef::Person(_));
                if is_person || *kinds == SubjectKinds::PeopleAndAccounts {
                    let found = ask(subject_of(&actor), ObjectRef { type_name, id });
                    take(EffectiveOther::Subject(actor), found);
                }
            }
        }
    }
    all
}

fn same(what: &str, watched: &Watched, one: &Effective, other: &Effective) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let only = |a: &Effective, b: &Effective| -> Vec<String> {
        let those = a.iter().filter(|(key, effect)| b.get(*key) != Some(*effect));
        those.map(|it| format!("{it:?}")).collect()
    };
    Err(format!(
        "{what}, {watched:?}:\nonly in the first: {:#?}\nonly in the second: {:#?}",
        only(one, other),
        only(other, one)
    ))
}

fn seeded(genome: &Genome, facts: &Facts) -> Draws {
    Draws::new(pool(genome).len() as u64 * 31 + facts.assignments().len() as u64)
}

#[test]
fn what_is_held_is_what_every_question_says() {
    let (all, approvals) = (AtomicU64::new(0), AtomicU64::new(0));
    for_worlds(1_200, 1, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, Revision::new(1)).with_sessions(existing.open());
        let mut draws = seeded(genome, &facts);
        let now = at(TIMES[draws.below(TIMES.len())]);
        let oracle = Oracle::new(&facts, now).beside(&existing);
        let watched = watched(&facts, &existing, &mut draws);
        let asked_of_the_oracle = draws.below(watched.len());
        for (number, watched) in watched.iter().enumerate() {
            let held = held(&snapshot, watched, now);
            let world = (&facts, &existing);
            let ask = |subject: SubjectRef<'_>, object: ObjectRef<'_>| {
                asked_one_by_one(&facts, &snapshot, (subject, object), now)
            };
            same("asked one by one", watched, &expected(world, watched, ask), &held)?;
            if number == asked_of_the_oracle {
                let ask = |subject: SubjectRef<'_>, object: ObjectRef<'_>| {
                    by_the_oracle(&facts, &oracle, (subject, object))
                };
                same("by the oracle", watched, &expected(world, watched, ask), &held)?;
            }
            let needs = held.values().filter(|it| **it == Effect::RequiresApproval).count();
            all.fetch_add(held.len() as u64, Ordering::Relaxed);
            approvals.fetch_add(needs as u64, Ordering::Relaxed);
        }
        Ok(())
    });
    let (all, approvals) = (all.into_inner(), approvals.into_inner());
    println!("{all} permissions held, {approvals} of them need an approval");
    assert!(all > least_seen(10_000) && approvals > least_seen(100));
}

#[test]
fn what_is_asked_for_is_told_and_nothing_else() {
    for_worlds(80, 1, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, Revision::new(1)).with_sessions(existing.open());
        let mut draws = seeded(genome, &facts);
        for watched in watched(&facts, &existing, &mut draws) {
            let mut whole = held(&snapshot, &watched, at(0));
            let named: Vec<ListedPermission> = whole.keys().map(|(_, it)| it.clone()).collect();
            let Some(one) = named.get(draws.below(named.len())).cloned() else { continue };
            whole.retain(|(_, it), _| *it == one);
            let part = |limit| EffectivePart {
                permissions: std::slice::from_ref(&one),
                limit,
                wanted: &|| true,
            };
            let some = effective(&snapshot, watched.about(), part(whole.len()), at(0));
            same("of one permission", &watched, &whole, &some.unwrap())?;
            let less = effective(&snapshot, watched.about(), part(whole.len() - 1), at(0));
            assert!(less.is_err(), "there is more than the limit");
        }
        Ok(())
    });
}

/// Counts how often change sets were held against what is watched, and how often they left it alone.
#[derive(Default)]
struct Counts {
    seen: AtomicU64,
    untouched: AtomicU64,
    differed: AtomicU64,
}

/// A watcher's state at every time.
fn at_all_times(snapshot: &Snapshot, watched: &Watched) -> Vec<Effective> {
    TIMES.iter().map(|distance| held(snapshot, watched, at(*distance))).collect()
}

fn hold_history(genome: &Genome, counts: &Counts) -> Result<(), String> {
    let mut facts = genome.facts();
    let existing = genome.existing(&facts);
    let sessions = existing.open();
    let pool = pool(genome);
    let mut draws = seeded(genome, &facts);
    let mut snapshot = compile(&facts, Revision::new(1)).with_sessions(sessions);
    let watched = watched(&facts, &existing, &mut draws);
    let mut states: Vec<_> = watched.iter().map(|it| at_all_times(&snapshot, it)).collect();
    // What came since each was looked at last: who is slow is told of several change sets at once.
    let mut behind: Vec<Vec<Vec<Delta>>> = watched.iter().map(|_| Vec::new()).collect();
    for step in 0..STEPS {
        let changes = change_set(&mut draws, &facts, &pool);
        let Ok(applied) = facts.apply(&changes) else { continue };
        snapshot = recompile(&snapshot, &facts, &applied.deltas, Revision::new(2 + step as u64));
        for ((watched, state), behind) in watched.iter().zip(&mut states).zip(&mut behind) {
            behind.push(applied.deltas.clone());
            if draws.below(3) == 0 {
                continue;
            }
            let sets = std::mem::take(behind);
            let after = at_all_times(&snapshot, watched);
            let about = watched.about();
            counts.seen.fetch_add(1, Ordering::Relaxed);
            counts.differed.fetch_add(u64::from(after != *state), Ordering::Relaxed);
            if !sets.iter().any(|deltas| touches(deltas, &snapshot, about)) {
                counts.untouched.fetch_add(1, Ordering::Relaxed);
                for (one, other) in state.iter().zip(&after) {
                    same("before and after what does not touch it", watched, one, other)
                        .map_err(|why| format!("{why}\n{sets:#?}"))?;
                }
            }
            *state = after;
        }
    }
    Ok(())
}

#[test]
fn what_a_change_set_does_not_touch_stays_as_it_is() {
    let counts = Counts::default();
    for_worlds(1_200, 1, |genome| hold_history(genome, &counts));
    let Counts { seen, untouched, differed } = counts;
    let [seen, untouched, differed] = [seen, untouched, differed].map(AtomicU64::into_inner);
    println!("{seen} looks: {untouched} left alone, {differed} changed");
    assert!(untouched * 4 > seen, "hardly anything is left alone");
    assert!(differed * 50 > seen, "hardly anything changes");
}

#[test]
fn between_two_instants_nothing_changes() {
    let (looks, changes) = (AtomicU64::new(0), AtomicU64::new(0));
    for_worlds(800, 1, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, Revision::new(1)).with_sessions(existing.open());
        for watched in watched(&facts, &existing, &mut seeded(genome, &facts)) {
            let mut now = at(TIMES[0]);
            let mut told = held(&snapshot, &watched, now);
            let mut next = next_instant(&snapshot, watched.about(), now);
            for distance in TIMES[0]..=TIMES[TIMES.len() - 1] {
                now = at(distance);
                let actual = held(&snapshot, &watched, now);
                if next.is_some_and(|next| next <= now) {
                    looks.fetch_add(1, Ordering::Relaxed);
                    changes.fetch_add(u64::from(told != actual), Ordering::Relaxed);
                    told = actual.clone();
                    next = next_instant(&snapshot, watched.about(), now);
                }
                same("told before, and held now", &watched, &told, &actual)
                    .map_err(|why| format!("at {distance}, beside {existing}: {why}"))?;
            }
            assert!(next.is_none_or(|next| next > now), "{next:?} is not after {now:?}");
        }
        Ok(())
    });
    let (looks, changes) = (looks.into_inner(), changes.into_inner());
    println!("{looks} looks when a window opens or closes: {changes} changes");
    assert!(changes > least_seen(200));
}

#[test]
fn sessions_that_do_not_touch_it_leave_it_as_it_is() {
    let (seen, untouched) = (AtomicU64::new(0), AtomicU64::new(0));
    for_worlds(1_000, 1, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let policy = compile(&facts, Revision::new(1));
        let mut fewer = existing.clone();
        let mut draws = seeded(genome, &facts);
        if fewer.sessions.is_empty() {
            return Ok(());
        }
        fewer.sessions.remove(draws.below(fewer.sessions.len()));
        fewer.accounts.truncate(draws.below(fewer.accounts.len() + 1));
        let [before, after] = [&existing, &fewer].map(|it| policy.with_sessions(it.open()));
        for watched in watched(&facts, &existing, &mut draws) {
            seen.fetch_add(1, Ordering::Relaxed);
            if !sessions_touch(before.sessions(), after.sessions(), watched.about()) {
                untouched.fetch_add(1, Ordering::Relaxed);
                for distance in TIMES {
                    let [one, other] = [&before, &after].map(|it| held(it, &watched, at(distance)));
                    same("with a session and without it", &watched, &one, &other)?;
                }
            }
        }
        Ok(())
    });
    let (seen, untouched) = (seen.into_inner(), untouched.into_inner());
    println!("{untouched} of {seen} are not touched by a session that ends");
    assert!(untouched * 5 > seen);
}

#[test]
fn a_question_that_is_none_is_refused() {
    let snapshot = compile(&Facts::default(), Revision::new(1));
    let part = EffectivePart { permissions: &[], limit: 1, wanted: &|| true };
    let of = |subject, type_name| About::Subject { subject, type_name };
    let on = |type_name, id| {
        let resource = ObjectRef { type_name, id };
        About::Resource { resource, kinds: SubjectKinds::People }
    };
    let ana = SubjectRef::Person("ana");
    for about in [of(SubjectRef::Person(""), None), of(ana, Some("1")), on("Doc", ""), on("1", "a")]
    {
        assert!(effective(&snapshot, about, part, at(0)).is_err(), "{about:?}");
    }
    for about in [of(ana, None), of(ana, Some("Doc")), of(ana, Some(Entity::GROUP_WORD))] {
        assert_eq!(effective(&snapshot, about, part, at(0)), Ok(Effective::new()), "{about:?}");
    }
    let unwanted = EffectivePart { wanted: &|| false, ..part };
    assert!(effective(&snapshot, of(ana, None), unwanted, at(0)).is_err());
    let view = AnyPermission::Vault("look");
    assert!(pdp_engine::list::is_question(&snapshot, of(ana, None), view, at(0)).is_err());
}
