//! What writers and readers of several servers saw, and whether one policy that goes forward explains it.
//!
//! Every write sets one bit, and was answered with the revision that it made; every answer is all bits at a
//! revision. So the writes in the order of their revisions are the whole history, and each answer is right or
//! wrong. What was not acknowledged is sent again until it is, so that no write is missing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The revision that a history begins at, with no bit set.
pub(crate) const FIRST: u64 = 1;

/// A write that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) bit: u32,
    pub(crate) on: bool,
    pub(crate) revision: u64,
}

/// An answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) replica: usize,
    /// The highest revision that this server had told of, in whatever way, before it was asked.
    pub(crate) floor: u64,
    pub(crate) revision: u64,
    pub(crate) answer: u64,
}

/// What there was.
#[derive(Debug, Default)]
pub(crate) struct History {
    writes: Mutex<Vec<Write>>,
    seen: Mutex<Vec<Seen>>,
}

// === impl History ===

impl History {
    pub(crate) fn write(&self, write: Write) {
        self.writes.lock().unwrap().push(write);
    }

    pub(crate) fn see(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }

    /// The revision that the last write made.
    pub(crate) fn last(&self) -> u64 {
        self.writes.lock().unwrap().iter().map(|write| write.revision).max().unwrap_or(FIRST)
    }

    /// How many writes and how many answers there were.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.writes.lock().unwrap().len(), self.seen.lock().unwrap().len())
    }

    /// Whatever one policy that goes forward on so many servers does not explain.
    pub(crate) fn faults(&self, replicas: usize) -> Vec<String> {
        let (writes, seen) = (self.writes.lock().unwrap(), self.seen.lock().unwrap());
        let mut faults = Vec::new();
        let mut by_revision = BTreeMap::new();
        for write in writes.iter() {
            if let Some(other) = by_revision.insert(write.revision, *write) {
                faults.push(format!("one revision for two writes: {write:?} and {other:?}"));
            }
        }
        let (mut answers, mut answer, mut next) = (BTreeMap::from([(FIRST, 0)]), 0_u64, FIRST + 1);
        for (revision, Write { bit, on, .. }) in &by_revision {
            if *revision != next {
                faults.push(format!("a write of revision {next} that nobody made"));
            }
            answer = if *on { answer | 1 << bit } else { answer & !(1 << bit) };
            answers.insert(*revision, answer);
            next = revision + 1;
        }
        let last = next - 1;
        let mut told: BTreeMap<u64, Seen> = BTreeMap::new();
        for seen in seen.iter() {
            let Seen { replica, floor, revision, answer } = *seen;
            if revision < floor {
                faults.push(format!("server {replica} went back from {floor} to {revision}"));
            }
            let other = *told.entry(revision).or_insert(*seen);
            if other.answer != answer {
                faults.push(format!("two answers at one revision: {seen:?} and {other:?}"));
            }
            match answers.get(&revision) {
                Some(expected) if *expected == answer => {}
                Some(expected) => faults.push(format!("{seen:?} should be {expected:#x}")),
                None => faults.push(format!("{seen:?} is of a revision that nobody made")),
            }
        }
        let whole = seen.iter().filter(|seen| seen.revision == last).map(|seen| seen.replica);
        let whole: BTreeSet<usize> = whole.collect();
        let behind = (0..replicas).filter(|replica| !whole.contains(replica));
        faults.extend(behind.map(|it| format!("server {it} was not seen at revision {last}")));
        faults
    }
}

/// A history of two servers that is one, after a change.
fn faults(change: impl FnOnce(&mut Vec<Write>, &mut Vec<Seen>)) -> String {
    let write = |bit, on, revision| Write { bit, on, revision };
    let mut writes = vec![write(0, true, 2), write(3, true, 4), write(1, true, 3)];
    writes.push(write(0, false, 5));
    let see = |replica, floor, revision, answer| Seen { replica, floor, revision, answer };
    let mut seen = vec![see(0, 1, 2, 0b1), see(1, 1, 1, 0), see(1, 1, 2, 0b1)];
    seen.extend([see(0, 2, 4, 0b1011), see(0, 4, 5, 0b1010), see(1, 2, 5, 0b1010)]);
    change(&mut writes, &mut seen);
    let history = History { writes: Mutex::new(writes), seen: Mutex::new(seen) };
    history.faults(2).join("\n")
}

#[test]
fn a_history_that_one_policy_explains_has_no_faults() {
    assert_eq!(faults(|_, _| {}), "");
}

#[test]
fn whatever_no_policy_explains_is_told() {
    let lost = faults(|writes, _| {
        writes.remove(2);
    });
    assert!(lost.contains("a write of revision 3 that nobody made"), "{lost}");
    let forgotten = faults(|_, seen| seen[4].answer = 0b1000);
    assert!(forgotten.contains("should be 0xa"), "{forgotten}");
    let two = faults(|writes, _| writes[0].revision = 3);
    assert!(two.contains("one revision for two writes"), "{two}");
    let back = faults(|_, seen| seen[3].floor = 5);
    assert_eq!(back, "server 0 went back from 5 to 4");
    let other = faults(|_, seen| seen[2].answer = 0b11);
    assert!(other.contains("two answers at one revision"), "{other}");
    let unknown = faults(|_, seen| seen[3].revision = 9);
    assert!(unknown.contains("is of a revision that nobody made"), "{unknown}");
    let behind = faults(|_, seen| seen.truncate(5));
    assert_eq!(behind, "server 1 was not seen at revision 5");
}
