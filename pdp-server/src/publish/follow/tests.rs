//! Two copies of one log in memory: what one of them takes, the other has, and of two writers who decided
//! on the same state one decides anew.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

use std::io::{self, Cursor, Read};
use std::sync::Mutex;
use std::time::Duration;

use pdp_engine::facts::Change;
use pdp_engine::query::Revision;

use super::*;
use crate::publish::{Apply, ApplyError, Draft, RequestId, Standing, With};
use crate::store::disk::Disk;
use crate::store::sample::{delete, put};

/// A log in memory, and how it is to fail.
#[derive(Default)]
struct Memory(Mutex<Logs>);

#[derive(Default)]
struct Logs {
    heads: HashMap<u64, Place>,
    entries: HashMap<u64, Vec<Option<Vec<u8>>>>,
    checkpoint: Vec<u8>,
    /// How many times it is taken away while it is read.
    superseded: usize,
    claims: HashMap<(u64, String), u64>,
    away: bool,
}

/// What comes where a part of a checkpoint was.
struct Gone;

impl Read for Gone {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Memory {
    /// Has all that a copy knows in a checkpoint, and no entries any more.
    fn write_down(&self, copy: &Publisher) {
        let mut checkpoint = Vec::new();
        copy.backup(&mut checkpoint).unwrap();
        let mut logs = self.0.lock().unwrap();
        logs.checkpoint = checkpoint;
        logs.entries.values_mut().flatten().for_each(|entry| *entry = None);
    }
}

impl Log for Memory {
    fn append(&self, draft: &Draft) -> Result<bool, LogError> {
        let mut logs = self.0.lock().unwrap();
        if logs.away {
            return Err(LogError::Unavailable("away".to_owned()));
        }
        let begins = draft.at.log == 0 && draft.at.entries == 0;
        let head = logs.heads.get(&draft.at.log);
        if head != Some(&draft.at) && !(begins && head.is_none()) {
            return Ok(false);
        }
        match draft.with {
            With::Nothing => {}
            With::Begin(place) => {
                logs.heads.insert(place.log, place);
            }
            With::End(place) if logs.heads.get(&place.log) == Some(&place) => {
                logs.heads.remove(&place.log);
            }
            With::End(_) => return Ok(false),
        }
        logs.heads.insert(draft.then.log, draft.then);
        logs.entries.entry(draft.then.log).or_default().push(Some(draft.entry.clone()));
        Ok(true)
    }

    fn read(&self, at: &Place) -> Result<Behind, LogError> {
        let logs = self.0.lock().unwrap();
        if logs.away {
            return Err(LogError::Unavailable("away".to_owned()));
        }
        if !logs.heads.contains_key(&at.log) {
            return Ok(if at.log == 0 { Behind::Entries(Vec::new()) } else { Behind::Ended });
        }
        let entries = logs.entries.get(&at.log).cloned().unwrap_or_default();
        let behind = entries.into_iter().skip(usize::try_from(at.entries).unwrap());
        Ok(behind.collect::<Option<_>>().map_or(Behind::Trimmed, Behind::Entries))
    }

    fn checkpoint(&self) -> Result<Box<dyn std::io::Read + '_>, LogError> {
        let mut logs = self.0.lock().unwrap();
        let all = logs.checkpoint.clone();
        if logs.superseded == 0 {
            return Ok(Box::new(Cursor::new(all)));
        }
        logs.superseded -= 1;
        let half = Cursor::new(all[..all.len() / 2].to_vec());
        Ok(Box::new(half.chain(Gone)))
    }

    fn claim(&self, log: u64, work: &str, watcher: u64, _: Duration) -> Result<bool, LogError> {
        let mut logs = self.0.lock().unwrap();
        let holder = logs.claims.entry((log, work.to_owned())).or_insert(watcher);
        Ok(*holder == watcher)
    }

    fn unclaim(&self, log: u64, work: &str, watcher: Option<u64>) {
        let mut logs = self.0.lock().unwrap();
        let work = (log, work.to_owned());
        if watcher.is_none() || logs.claims.get(&work) == watcher.as_ref() {
            logs.claims.remove(&work);
        }
    }

    fn standing(&self) -> Standing {
        let reachable = !self.0.lock().unwrap().away;
        Standing { age: Duration::ZERO, heard: true, reachable, diverged: false, limit: None }
    }
}

fn copy(log: &Arc<Memory>) -> Publisher {
    copy_on(log, Disk::default())
}

fn copy_on(log: &Arc<Memory>, disk: Disk) -> Publisher {
    let store = Store::with_backend(disk).unwrap();
    let log = Arc::clone(log) as Arc<dyn Log>;
    let publisher = Publisher::open_copy(store, Clock::system(), log).unwrap();
    publisher.catch_up().unwrap();
    publisher.begin_log().unwrap();
    publisher
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn plain(changes: &[Change]) -> Apply<'_> {
    Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None }
}

fn people(publisher: &Publisher, id: &str) -> Vec<String> {
    let read = publisher.read(&tenant(id), |_, facts| {
        facts.people().map(|person| person.id.to_string()).collect::<Vec<_>>()
    });
    read.unwrap()
}

/// Everything that tells one copy from another: revisions, facts, audits.
fn state(publisher: &Publisher) -> Vec<(String, u64, Vec<String>, String)> {
    let tenants = publisher.tenants().into_iter().map(|(id, revision)| {
        let audit = publisher.verify_audit(&Chain::Tenant(id.clone())).unwrap();
        assert!(audit.broken.is_none(), "{audit:?}");
        let people = people(publisher, id.as_str());
        (id.to_string(), revision.get(), people, audit.head.to_string())
    });
    let server = publisher.verify_audit(&Chain::Server).unwrap();
    assert!(server.broken.is_none(), "{server:?}");
    tenants.chain([(String::new(), 0, Vec::new(), server.head.to_string())]).collect()
}

#[test]
fn what_one_copy_takes_the_other_has() {
    let log = Arc::new(Memory::default());
    let (one, other) = (copy(&log), copy(&log));
    one.apply(&tenant("default"), plain(&[put("ana"), put("bo")])).unwrap();
    one.create_tenant(&tenant("acme")).unwrap();
    one.apply(&tenant("acme"), plain(&[put("carl")])).unwrap();
    assert_eq!(other.revision("default"), Some(Revision::ZERO));
    assert_eq!(other.catch_up().unwrap(), 3);
    assert_eq!(state(&one), state(&other));
    assert_eq!(people(&other, "default"), ["ana", "bo"]);

    other.apply(&tenant("default"), plain(&[delete("ana")])).unwrap();
    other.delete_tenant(&tenant("acme")).unwrap();
    other.create_tenant(&tenant("acme")).unwrap();
    one.catch_up().unwrap();
    assert_eq!(state(&one), state(&other));
    assert_eq!(people(&one, "acme"), Vec::<String>::new());
    assert_eq!(copy(&log).tenants(), one.tenants(), "a third begins from nothing");
}

#[test]
fn who_is_behind_decides_anew() {
    let log = Arc::new(Memory::default());
    let (one, other) = (copy(&log), copy(&log));
    let default = tenant("default");
    one.apply(&default, plain(&[put("ana")])).unwrap();
    // By what this copy had, there was nothing to delete.
    let receipt = other.apply(&default, plain(&[delete("ana")])).unwrap();
    assert_eq!((receipt.revision, receipt.counts.removed), (Revision::new(2), 1));
    let expected = Some(Revision::new(2));
    let receipt = one.apply(&default, Apply { expected, ..plain(&[put("bo")]) }).unwrap();
    assert_eq!(receipt.revision, Revision::new(3), "it expected what another copy made");
    let error = other.apply(&default, Apply { expected, ..plain(&[put("carl")]) }).unwrap_err();
    assert!(matches!(error, ApplyError::RevisionMismatch { .. }), "{error}");
    assert_eq!(state(&one), state(&other));

    let id = RequestId::new("r-1").unwrap();
    let dora = [put("dora")];
    let again = Apply { request_id: Some(&id), ..plain(&dora) };
    assert!(!one.apply(&default, again).unwrap().replayed);
    assert!(other.apply(&default, again).unwrap().replayed, "by any server");
    other.create_tenant(&tenant("acme")).unwrap();
    one.create_tenant(&tenant("acme")).unwrap_err();
    one.delete_tenant(&tenant("acme")).unwrap();
    other.apply(&tenant("acme"), plain(&[put("ana")])).unwrap_err();
    assert_eq!(state(&one), state(&other));
}

#[test]
fn writers_on_many_copies_lose_nothing() {
    let log = Arc::new(Memory::default());
    let copies: Vec<_> = (0..3).map(|_| copy(&log)).collect();
    std::thread::scope(|scope| {
        for (at, copy) in copies.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..20 {
                    let person = format!("p{at}-{n}");
                    copy.apply(&tenant("default"), plain(&[put(&person)])).unwrap();
                }
            });
        }
    });
    for copy in &copies {
        copy.catch_up().unwrap();
        assert_eq!(state(copy), state(&copies[0]));
    }
    assert_eq!(people(&copies[0], "default").len(), 60);
    assert_eq!(copies[0].revision("default"), Some(Revision::new(60)));
}

#[test]
fn without_the_log_nothing_is_written_and_a_copy_starts_with_what_it_has() {
    let log = Arc::new(Memory::default());
    let disk = Disk::default();
    let one = copy_on(&log, disk.clone());
    one.apply(&tenant("default"), plain(&[put("ana")])).unwrap();
    log.0.lock().unwrap().away = true;
    let error = one.apply(&tenant("default"), plain(&[put("bo")])).unwrap_err();
    assert!(matches!(error, ApplyError::Log(LogError::Unavailable(_))), "{error}");
    assert_eq!(people(&one, "default"), ["ana"], "it is as if it had not been tried");
    drop(one);
    let store = Store::with_backend(disk.clone()).unwrap();
    let shared = Arc::clone(&log) as Arc<dyn Log>;
    let one = Publisher::open_copy(store, Clock::system(), shared).unwrap();
    one.catch_up().unwrap_err();
    assert_eq!(people(&one, "default"), ["ana"]);
    log.0.lock().unwrap().away = false;
    one.apply(&tenant("default"), plain(&[put("bo")])).unwrap();
    drop(one);
    let alone = Publisher::open(Store::with_backend(disk).unwrap(), Clock::system());
    assert!(matches!(alone, Err(PublishError::Store(StoreError::Copy))));
}

#[test]
fn a_copy_that_is_too_far_behind_takes_the_checkpoint() {
    let log = Arc::new(Memory::default());
    let (one, other) = (copy(&log), copy(&log));
    one.create_tenant(&tenant("acme")).unwrap();
    other.catch_up().unwrap();
    other.delete_tenant(&tenant("acme")).unwrap();
    other.create_tenant(&tenant("acme")).unwrap();
    for n in 0..5 {
        other.apply(&tenant("default"), plain(&[put(&n.to_string())])).unwrap();
    }
    log.write_down(&other);
    other.apply(&tenant("default"), plain(&[put("later")])).unwrap();
    let watched = one.snapshot("default").unwrap().revision();
    assert_eq!(watched, Revision::ZERO);
    one.catch_up().unwrap();
    assert_eq!(state(&one), state(&other));
    assert_eq!(people(&one, "default").len(), 6);
    one.apply(&tenant("default"), plain(&[put("after")])).unwrap();
    other.catch_up().unwrap();
    assert_eq!(state(&one), state(&other));
    assert_eq!(state(&copy(&log)), state(&other), "and so does one that begins");
}

#[test]
fn a_checkpoint_that_is_taken_away_while_it_is_read_is_read_anew() {
    let log = Arc::new(Memory::default());
    let (one, other) = (copy(&log), copy(&log));
    one.apply(&tenant("default"), plain(&[put("ana")])).unwrap();
    log.write_down(&one);
    log.0.lock().unwrap().superseded = 3;
    let before = state(&other);
    other.catch_up().unwrap();
    assert_eq!(people(&other, "default"), ["ana"]);
    assert_ne!(state(&other), before);
    // One whose parts are gone for good is told of, and nothing is lost.
    one.apply(&tenant("default"), plain(&[put("bo")])).unwrap();
    log.write_down(&one);
    log.0.lock().unwrap().superseded = usize::MAX;
    let error = other.catch_up().unwrap_err();
    assert!(matches!(error, FollowError::Store(StoreError::Superseded)), "{error}");
    assert_eq!(people(&other, "default"), ["ana"]);
}

#[test]
fn entries_that_are_gone_and_in_no_checkpoint_are_told_and_nothing_is_lost() {
    let log = Arc::new(Memory::default());
    let (one, other) = (copy(&log), copy(&log));
    let mut checkpoint = Vec::new();
    one.backup(&mut checkpoint).unwrap();
    one.apply(&tenant("default"), plain(&[put("ana")])).unwrap();
    other.catch_up().unwrap();
    one.apply(&tenant("default"), plain(&[put("bo")])).unwrap();
    {
        // Somebody has taken away by hand what nobody has written down.
        let mut logs = log.0.lock().unwrap();
        logs.checkpoint = checkpoint;
        logs.entries.values_mut().flatten().for_each(|entry| *entry = None);
    }
    let before = state(&other);
    let error = other.catch_up().unwrap_err();
    assert!(matches!(error, FollowError::Store(StoreError::Checkpoint(_))), "{error}");
    assert_eq!(state(&other), before);
    assert_eq!(people(&other, "default"), ["ana"]);
}

#[test]
fn another_history_is_refused() {
    let (log, foreign) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let disk = Disk::default();
    drop(copy_on(&log, disk.clone()));
    let other = copy(&foreign);
    other.apply(&tenant("default"), plain(&[put("ana")])).unwrap();
    let store = Store::with_backend(disk).unwrap();
    let strayed = Publisher::open_copy(store, Clock::system(), foreign as Arc<dyn Log>).unwrap();
    let error = strayed.catch_up().unwrap_err();
    assert!(matches!(error, FollowError::Log(LogError::Diverged(_))), "{error}");
    strayed.apply(&tenant("default"), plain(&[put("bo")])).unwrap_err();
    assert!(people(&strayed, "default").is_empty());
}
