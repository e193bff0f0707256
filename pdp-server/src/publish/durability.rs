//! What survives: crashes cut in after every operation on the disk, full disks, random histories.
//!
//! The disk forgets what was not synced, or keeps any part of it. After every such crash the store
//! must open and show the state after some number of whole steps, at least all acknowledged ones;
//! and sending the interrupted step again must bring about what it was to do, once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdp_engine::time::Timestamp;
use proptest::prelude::*;
use redb::Durability;

use super::*;
use crate::audit::{Chain, Verified};
use crate::store::StoreError;
use crate::store::disk::{Disk, Op, perform, tear};
use crate::store::sample::{bulk, change_set, crowd, delete, grant, put};

/// Of so many crashes, one is looked at for crashes while recovering from it.
const NESTED: usize = 60;

/// Every tenant with its revision and its facts.
type State = Vec<(TenantId, Revision, Facts)>;

#[derive(Debug, Clone)]
enum Step {
    Create(&'static str),
    Delete(&'static str),
    Apply(&'static str, Vec<Change>),
}

/// What the steps did, operation by operation.
struct History {
    steps: Vec<Step>,
    /// The state after so many steps.
    states: Vec<State>,
    log: Vec<Op>,
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_micros(7))
}

/// What is wrong with the audit: every chain holds, and a tenant's has one record for its creation
/// and one for each revision.
fn audited(publisher: &Publisher) -> Result<(), String> {
    let verify = |chain: &Chain| match publisher.verify_audit(chain).unwrap() {
        Verified { broken: Some(broken), .. } => Err(format!("the audit of {chain}: {broken}")),
        Verified { records, head: _, broken: None } => Ok(records),
    };
    verify(&Chain::Server)?;
    for (id, revision) in publisher.tenants() {
        let records = verify(&Chain::Tenant(id.clone()))?;
        if records != revision.get() + 1 {
            return Err(format!("tenant `{id}` has {records} records at revision {revision}"));
        }
    }
    Ok(())
}

fn state(publisher: &Publisher) -> State {
    let read = |(id, revision): (TenantId, Revision)| {
        let facts = publisher.read(&id, |at, facts| (at, facts.clone())).unwrap();
        assert_eq!(facts.0, revision, "the snapshot shows what is held");
        (id, revision, facts.1)
    };
    publisher.tenants().into_iter().map(read).collect()
}

/// Takes step number `number`; taking it again after a crash is safe.
fn take(publisher: &Publisher, step: &Step, number: usize) -> Result<(), String> {
    match step {
        Step::Create(id) => match publisher.create_tenant(&tenant(id)) {
            Ok(()) | Err(TenantError::Exists(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        Step::Delete(id) => match publisher.delete_tenant(&tenant(id)) {
            Ok(()) | Err(TenantError::UnknownTenant(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        Step::Apply(id, changes) => {
            let request_id = RequestId::new(format!("step-{number}")).unwrap();
            let (expected, dry_run) = (None, false);
            let apply = Apply {
                changes,
                expected,
                dry_run,
                request_id: Some(&request_id),
                on_behalf_of: None,
            };
            publisher.apply(&tenant(id), apply).map(|_| ()).map_err(|error| error.to_string())
        }
    }
}

/// Creations, growth of the file, small changes, deletions that shrink it, and growth again.
fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::Apply("default", grant("ana")),
        Step::Apply("default", vec![put("bo"), put("carl")]),
        Step::Create("acme"),
        Step::Apply("acme", bulk(1_500)),
        Step::Apply("acme", vec![put("bo")]),
        Step::Apply("default", vec![delete("bo")]),
        Step::Delete("acme"),
        Step::Apply("default", vec![put("carl")]),
    ];
    for n in 0..12 {
        steps.push(Step::Apply("default", vec![put(&format!("one-by-one-{n}"))]));
    }
    steps.push(Step::Create("acme"));
    steps.push(Step::Apply("acme", crowd("again", 100)));
    steps.push(Step::Apply("acme", (0..100).map(|n| delete(&format!("again-{n:07}"))).collect()));
    steps
}

fn run(steps: Vec<Step>, durability: Durability) -> History {
    let disk = Disk::default();
    let store = Store::with_durability(disk.clone(), durability).unwrap();
    let publisher = Publisher::open(store, clock()).unwrap();
    let mut states = vec![state(&publisher)];
    disk.mark(0);
    for (number, step) in steps.iter().enumerate() {
        take(&publisher, step, number).unwrap();
        disk.mark(number + 1);
        states.push(state(&publisher));
    }
    drop(publisher);
    History { steps, states, log: disk.log() }
}

/// A small generator: crashes are cut the same way in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The images that a crash may leave, besides what was synced: of the rest everything, the last
/// write alone, and any sectors of any writes.
fn images(durable: &[u8], pending: &[Op], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut all = durable.to_vec();
    pending.iter().for_each(|op| perform(&mut all, op));
    let mut last = durable.to_vec();
    pending.iter().rev().take(1).for_each(|op| perform(&mut last, op));
    let mut images = vec![all, last];
    // Among many writes, the next operation gives as good a chance.
    for _ in 0..if pending.len() < 16 { 3 } else { 1 } {
        let mut some = durable.to_vec();
        for op in pending {
            match dice.roll() % 4 {
                0 => {}
                1 => tear(&mut some, op, dice.roll()),
                _ => perform(&mut some, op),
            }
        }
        images.push(some);
    }
    images
}

/// Cuts a crash in after every operation of a log and looks at what each leaves. `acknowledged`
/// says how many steps were acknowledged at the time, none before the store was first open.
pub(super) fn cut(
    before: &[u8],
    log: &[Op],
    dice: &mut Dice,
    look: &mut dyn FnMut(Vec<u8>, Option<usize>) -> Result<(), String>,
) -> Result<usize, String> {
    let mut durable = before.to_vec();
    let mut pending = Vec::new();
    let (mut acknowledged, mut crashes) = (None, 1);
    look(durable.clone(), acknowledged)?;
    for op in log {
        // What was synced is all that is left of it, or any part of the rest is left, too.
        let images = match op {
            Op::Acknowledged(steps) => {
                acknowledged = Some(*steps);
                vec![durable.clone()]
            }
            Op::Sync => {
                pending.drain(..).for_each(|op| perform(&mut durable, &op));
                vec![durable.clone()]
            }
            Op::Write { .. } | Op::SetLen(_) => {
                pending.push(op.clone());
                images(&durable, &pending, dice)
            }
        };
        for image in images {
            crashes += 1;
            look(image, acknowledged)?;
        }
    }
    Ok(crashes)
}

/// Opens what a crash left; the number of steps it shows, or what is wrong with it.
fn reopen(
    history: &History,
    image: Vec<u8>,
    acknowledged: Option<usize>,
) -> Result<Option<(Disk, Publisher, usize)>, String> {
    let disk = Disk::holding(image);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Publisher::open(Store::with_backend(disk.clone())?, clock())
    }));
    let publisher = match (opened, acknowledged) {
        (Ok(Ok(publisher)), _) => publisher,
        // Until the file was made nothing can be lost; a half-made one says what to do.
        (Ok(Err(PublishError::Store(StoreError::Corrupt { .. }))), None) => return Ok(None),
        (Ok(Err(error)), _) => return Err(format!("it does not open: {error}")),
        (Err(_), _) => return Err("it panics".to_owned()),
    };
    let shown = state(&publisher);
    let at_least = acknowledged.unwrap_or(0);
    // The step that was under way may have become durable before it was acknowledged.
    let whole = (at_least..=at_least + 1).find(|steps| history.states.get(*steps) == Some(&shown));
    match whole {
        Some(steps) => {
            audited(&publisher)?;
            Ok(Some((disk, publisher, steps)))
        }
        None => {
            let earlier = history.states.iter().position(|state| *state == shown);
            Err(format!("{at_least} steps were acknowledged, and it shows {earlier:?}"))
        }
    }
}

/// Looks at every crash of a history, and every few of them at crashes while recovering.
fn examine(history: &History) -> Result<(usize, usize), String> {
    let (mut seen, mut nested) = (0, 0);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut inner_dice = Dice(0xD1B5_4A32_D192_ED03);
    let crashes = cut(&[], &history.log, &mut dice, &mut |image, acknowledged| {
        seen += 1;
        let Some((disk, publisher, steps)) = reopen(history, image.clone(), acknowledged)? else {
            return Ok(());
        };
        let recovery = disk.log();
        // Send the next step again: what it was to do happens, and happens once.
        if let Some(step) = history.steps.get(acknowledged.unwrap_or(0)) {
            take(&publisher, step, acknowledged.unwrap_or(0))?;
            if state(&publisher) != history.states[acknowledged.unwrap_or(0) + 1] {
                return Err(format!("step {steps} sent again does not do what it did"));
            }
            audited(&publisher)?;
        }
        drop(publisher);
        if seen % NESTED == 0 {
            nested += cut(&image, &recovery, &mut inner_dice, &mut |image, _| {
                let Some((_, _, again)) = reopen(history, image, acknowledged)? else {
                    return Ok(());
                };
                if again == steps { Ok(()) } else { Err("recovery changed its mind".to_owned()) }
            })?;
        }
        Ok(())
    })?;
    Ok((crashes, nested))
}

#[test]
fn a_crash_after_any_operation_loses_nothing_acknowledged() {
    let history = run(steps(), Durability::Immediate);
    let (crashes, nested) = examine(&history).unwrap();
    let operations = history.log.len();
    let lengths: Vec<_> = history.log.iter().filter_map(Op::length).collect();
    let grown = lengths.windows(2).filter(|pair| pair[0] < pair[1]).count();
    let shrunk = lengths.windows(2).filter(|pair| pair[0] > pair[1]).count();
    println!("the file grew {grown} times and shrank {shrunk} times");
    assert!(grown > 0 && shrunk > 0);
    println!(
        "{} steps, {operations} operations: {crashes} crashes, {nested} more while recovering",
        history.steps.len()
    );
    assert!(operations > 500 && crashes > 2_000 && nested > 1_000);
}

#[test]
fn without_durability_the_crashes_lose_what_was_acknowledged() {
    let history = run(steps(), Durability::None);
    let loss = examine(&history).unwrap_err();
    println!("without durability: {loss}");
    assert!(loss.contains("steps were acknowledged, and it shows Some("), "{loss}");
}

/// Applies one change set to a disk that fails after `good` operations.
fn apply_on_failing(good: usize, only_syncs: bool) -> Result<(), ApplyError> {
    let disk = Disk::default();
    let publisher = Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock()).unwrap();
    let id = tenant(DEFAULT_TENANT);
    let first = [put("ana")];
    let bo = [put("bo")];
    let apply = |changes| Apply {
        changes,
        expected: None,
        dry_run: false,
        request_id: None,
        on_behalf_of: None,
    };
    publisher.apply(&id, apply(&first)).unwrap();
    let before = state(&publisher);
    let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();

    disk.fail_after(good, only_syncs);
    let changes = crowd("many", 4_000);
    let outcome = publisher.apply(&id, apply(&changes));
    let Err(error) = outcome else { return outcome.map(|_| ()) };
    assert_eq!(state(&publisher), before, "the facts are as they were");
    assert!(Arc::ptr_eq(&snapshot, &publisher.snapshot(DEFAULT_TENANT).unwrap()));
    let next = publisher.apply(&id, apply(&bo)).unwrap_err();
    assert!(matches!(next, ApplyError::Store(StoreError::Stopped { .. })), "{next}");
    assert!(next.to_string().contains("until the server is restarted"), "{next}");
    let other = publisher.create_tenant(&tenant("acme")).unwrap_err();
    assert!(matches!(other, TenantError::Store(StoreError::Stopped { .. })), "{other}");
    drop(publisher);

    // With room again, a restart shows one of the two states and takes writes.
    let disk = Disk::holding(disk.live());
    let publisher = Publisher::open(Store::with_backend(disk).unwrap(), clock()).unwrap();
    let people = publisher.read(&id, |_, facts| facts.len()).unwrap();
    let expected: &[usize] = match &error {
        ApplyError::Store(StoreError::OutcomeUnknown(_)) => &[1, 4_001],
        ApplyError::Store(StoreError::Database(_)) => &[1],
        other => panic!("{other}"),
    };
    assert!(expected.contains(&people), "{people} people after: {error}");
    publisher.apply(&id, apply(&bo)).unwrap();
    assert_eq!(publisher.read(&id, |_, facts| facts.len()).unwrap(), people + 1);
    assert_eq!(audited(&publisher), Ok(()));
    Err(error)
}

#[test]
fn a_full_disk_fails_the_write_and_stops_writing() {
    let mut failures = BTreeMap::new();
    for only_syncs in [false, true] {
        let mut good = 0;
        while let Err(error) = apply_on_failing(good, only_syncs) {
            let kind = match error {
                ApplyError::Store(StoreError::OutcomeUnknown(_)) => "the outcome is unknown",
                _ => "nothing was committed",
            };
            *failures.entry((only_syncs, kind)).or_insert(0) += 1;
            good += 1;
        }
    }
    println!("full disks (only syncs fail, answer): {failures:?}");
    assert!(failures.contains_key(&(false, "the outcome is unknown")));
    assert!(failures.contains_key(&(true, "the outcome is unknown")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was applied or refused: after a restart, and after a crash, everything is there.
    #[test]
    fn after_any_history_a_restart_shows_the_same(
        history in proptest::collection::vec(
            (change_set(), any::<bool>(), option_id(), any::<bool>()), 1..20
        ),
    ) {
        let disk = Disk::default();
        let publisher = Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock()).unwrap();
        publisher.create_tenant(&tenant("acme")).unwrap();
        let mut applied = 0;
        for (changes, default, request_id, dry_run) in &history {
            let id = tenant(if *default { DEFAULT_TENANT } else { "acme" });
            let before = state(&publisher);
            let request_id = request_id.as_ref();
            let apply = Apply { changes, expected: None, dry_run: *dry_run, request_id, on_behalf_of: None };
            let outcome = publisher.apply(&id, apply);
            let changed = outcome.as_ref().is_ok_and(|receipt| {
                !receipt.dry_run && !receipt.replayed && !receipt.changes.is_empty()
            });
            prop_assert_eq!(state(&publisher) != before, changed, "{:?}", outcome);
            applied += usize::from(changed);
        }
        let expected = state(&publisher);
        let revisions: u64 = expected.iter().map(|(_, revision, _)| revision.get()).sum();
        prop_assert_eq!(revisions, applied as u64);

        let mut crashed = Vec::new();
        let mut pending = Vec::new();
        for op in disk.log() {
            pending.push(op);
            if matches!(pending.last(), Some(Op::Sync)) {
                pending.drain(..).for_each(|op| perform(&mut crashed, &op));
            }
        }
        drop(publisher);
        for image in [crashed, disk.live()] {
            let store = Store::with_backend(Disk::holding(image)).unwrap();
            let publisher = Publisher::open(store, clock()).unwrap();
            prop_assert_eq!(state(&publisher), expected.clone());
            prop_assert_eq!(audited(&publisher), Ok(()));
        }
    }
}

fn option_id() -> impl Strategy<Value = Option<RequestId>> {
    let ids = ["r-1", "r-2", "r-3"].map(|id| RequestId::new(id).unwrap());
    proptest::option::of(proptest::sample::select(ids.to_vec()))
}
