//! Random histories of a tenant with sessions, on a publisher and on a model at once: whatever is
//! opened, renewed, ended, acknowledged and changed, whichever way the clock is set, and wherever a
//! crash or a full disk cuts in.
//!
//! After every step the book, what decisions see, and the audit are what the model says. After a crash
//! they are what they were before the step or after it, and after it if it was acknowledged.

mod model;
mod step;
mod taken;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use pdp_engine::id::{PersonId, SessionId, TenantId};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::time::Timestamp;
use proptest::test_runner::{Config, TestRunner};

use crate::audit::{Chain, Event, Query};
use crate::clock::Clock;
use crate::publish::{DEFAULT_TENANT, Publisher, SessionError, SessionFilter};
use crate::session::sample::{ACCOUNTS, COMPUTERS, GROUPS, HOUR, at, is_member};
use crate::session::{
    End, Ended, Open, Opened, RequestKey, RevocationId, RevocationKind, Session, SessionEvent,
    Settlement,
};
use crate::store::disk::{Disk, Op, perform, tear};
use crate::store::{Store, StoreError};
use model::{Model, is_put_off};
use step::{Fault, Step, history};
use taken::{apply, on_model, on_publisher};

/// How many histories are tried.
const HISTORIES: u32 = 1_000;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Out {
    Denied(Effect, Reason),
    Opened(Session),
    Replayed(Session),
    KeyReused,
    Renewed(Session, Option<Result<(), Reason>>),
    Closed(Session),
    Ended(usize),
    Acknowledged(Session),
    Applied(bool),
    Swept,
    Unknown,
    Nothing,
}

/// A publisher and the model of it.
struct Machine<'a> {
    /// What was durable when the publisher was opened.
    base: Vec<u8>,
    disk: Disk,
    publisher: Publisher,
    model: Model,
    /// What the server's clock tells; within a process it never goes back.
    told: Arc<AtomicI64>,
    /// What the system's clock shows.
    system: i64,
    ids: u64,
    /// How each session ended; none ever does otherwise.
    ended: BTreeMap<SessionId, Ended>,
    ended_before: BTreeMap<SessionId, Ended>,
    /// How many sessions were open on each computer.
    open: BTreeMap<&'static str, usize>,
    tally: &'a Mutex<BTreeMap<String, usize>>,
}

fn tenant() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn clock(told: &Arc<AtomicI64>) -> Clock {
    let told = Arc::clone(told);
    Clock::from_fn(move || at(told.load(Ordering::SeqCst)))
}

// === impl Machine ===

impl<'a> Machine<'a> {
    fn new(tally: &'a Mutex<BTreeMap<String, usize>>) -> Self {
        let (disk, system) = (Disk::default(), 1_000 * HOUR);
        let told = Arc::new(AtomicI64::new(system));
        let store = Store::with_backend(disk.clone()).unwrap();
        let publisher = Publisher::open(store, clock(&told)).unwrap();
        let model = Model::new(at(system));
        let machine = Self {
            base: Vec::new(),
            disk,
            publisher,
            model,
            told,
            system,
            ids: 0,
            ended: BTreeMap::new(),
            ended_before: BTreeMap::new(),
            open: BTreeMap::new(),
            tally,
        };
        apply(&machine.publisher, &machine.model.world.whole()).unwrap();
        machine
    }

    fn now(&self) -> Timestamp {
        at(self.told.load(Ordering::SeqCst))
    }

    fn count(&self, what: impl Into<String>) {
        *self.tally.lock().unwrap().entry(what.into()).or_insert(0) += 1;
    }

    fn turn(&mut self, step: &Step, fault: Fault) {
        match step {
            Step::Pass(time) => {
                self.system += time;
                let passed = self.told.load(Ordering::SeqCst) + time;
                self.told.store(passed.max(self.system), Ordering::SeqCst);
            }
            Step::Set(by) => {
                self.system += by;
                self.told.fetch_max(self.system, Ordering::SeqCst);
            }
            _ => {}
        }
        if let Fault::Full { good, only_syncs, .. } = fault {
            self.disk.fail_after(good, only_syncs);
        }
        let before = self.model.clone();
        self.ended_before.clone_from(&self.ended);
        let mark = self.disk.log().len();
        self.ids += 1;
        let id = SessionId::new(format!("s{}", self.ids)).unwrap();
        let pick = |n: usize| {
            let numbers: Vec<_> = before.sessions.keys().copied().collect();
            numbers.get(n % numbers.len().max(1)).copied()
        };
        let now = self.now();
        let expected = on_model(&mut self.model, step, pick, &id, now);
        let picked = |n| pick(n).map(|number| before.sessions[&number].id.clone());
        let done = on_publisher(&self.publisher, step, picked, &id, &before, now);
        self.count(step.name());
        match &done {
            Ok(out) => {
                assert_eq!(*out, expected, "{step:?}");
                self.tell(out);
                self.agree();
            }
            Err(error) => {
                assert!(matches!(fault, Fault::Full { .. }), "{step:?}: {error}");
                self.refused(&before, error);
            }
        }
        self.befall(step, fault, mark, before, done);
    }

    fn tell(&self, out: &Out) {
        let why = |session: &Session| match session.ended.map(|ended| ended.why) {
            Some(End::Revoked(_)) => "revoked",
            Some(End::Expired) => "expired",
            Some(End::Closed) => "closed",
            Some(End::Forced) => "forced",
            None => "open",
        };
        match out {
            Out::Denied(_, reason) => self.count(format!("open: {}", reason.as_str())),
            Out::Opened(session) => {
                let jit = session.privilege.as_ref().map(|it| it.jit);
                let how = match jit {
                    None => "without a level",
                    Some(true) => "with an account that was made",
                    Some(false) => "with an own account",
                };
                self.count(format!("open: opened {how}"));
            }
            Out::Replayed(_) => self.count("open: replayed"),
            Out::KeyReused => self.count("open: key reused"),
            Out::Renewed(session, _) => self.count(format!("renew: {}", why(session))),
            Out::Closed(session) => self.count(format!("close: {}", why(session))),
            Out::Acknowledged(_) => self.count("acknowledge: known"),
            Out::Applied(true) => self.count("edit: changes"),
            Out::Ended(_) | Out::Swept | Out::Unknown | Out::Nothing | Out::Applied(false) => {}
        }
    }

    /// A step that the store did not take: nothing shows of it, and nothing more is taken.
    fn refused(&mut self, before: &Model, error: &StoreError) {
        let after = std::mem::replace(&mut self.model, before.clone());
        let ends = |(number, session): (&u64, &Session)| {
            (session.ended.is_some() && before.sessions[number].ended.is_none()).then_some(*number)
        };
        let known =
            after.sessions.iter().filter(|(number, _)| before.sessions.contains_key(number));
        self.model.void = known.filter_map(ends).collect();
        self.agree();
        self.model = after;
        let kind = match error {
            StoreError::OutcomeUnknown(_) => "the outcome is unknown",
            StoreError::Database(_) => "nothing was committed",
            other => panic!("{other}"),
        };
        self.count(format!("full disk: {kind}"));
        let key = RequestKey::new("another").unwrap();
        let request = Open { key: &key, person: "p0", computer: "c0", level: None };
        let id = SessionId::new("another").unwrap();
        match self.publisher.open_session(&tenant(), request, id) {
            Err(SessionError::Store(StoreError::Stopped { .. })) | Ok(Opened::Denied(_)) => {}
            other => panic!("{other:?}"),
        }
    }

    /// A crash, a full disk's end, or a restart; then one of the states that may be.
    fn befall(
        &mut self,
        step: &Step,
        fault: Fault,
        mark: usize,
        before: Model,
        done: Result<Out, StoreError>,
    ) {
        let log = self.disk.log();
        let after = self.model.clone();
        let (cut, dice, again) = match fault {
            Fault::None if matches!(step, Step::Restart) => (log.len(), None, None),
            Fault::None => return,
            Fault::Crash { at, dice, again } => {
                (mark + at % (log.len() - mark + 1), Some(dice), again)
            }
            Fault::Full { dice, .. } => (log.len(), Some(dice), None),
        };
        let states = match (&fault, &done) {
            (_, Ok(_)) if cut == log.len() => vec![after],
            (Fault::Full { .. }, Err(StoreError::OutcomeUnknown(_))) => vec![before, after],
            (Fault::Full { .. }, Err(_)) => vec![before],
            _ => vec![before, after],
        };
        if states.len() > 1 {
            // What was not acknowledged may have ended nothing.
            self.ended.clone_from(&self.ended_before);
        }
        let image = match dice {
            Some(dice) => image(&self.base, &log[..cut], dice),
            None => self.disk.live(),
        };
        self.count(match (&fault, states.len()) {
            (Fault::None, _) => "restarts",
            (Fault::Full { .. }, _) => "restarts after a full disk",
            (Fault::Crash { .. }, 1) => "crashes after the acknowledgement",
            (Fault::Crash { .. }, _) => "crashes within a step",
        });
        // A restart begins with the system's clock anew.
        self.told.store(self.system, Ordering::SeqCst);
        self.reopen(image);
        if let (Some(again), Some(dice)) = (again, dice) {
            let log = self.disk.log();
            let image = image_of_recovery(&self.base, &log, again, dice);
            self.count("crashes while recovering");
            self.reopen(image);
        }
        self.settle(states);
    }

    fn reopen(&mut self, image: Vec<u8>) {
        self.base.clone_from(&image);
        self.disk = Disk::holding(image);
        let store = Store::with_backend(self.disk.clone()).unwrap();
        self.publisher = Publisher::open(store, clock(&self.told)).unwrap();
    }

    /// Finds out which of the states it is.
    fn settle(&mut self, states: Vec<Model>) {
        let (shown, told, now) = (shown(&self.publisher), self.told_of(), self.now());
        let mut fitting = Vec::new();
        for mut state in states {
            let revision = state.revision;
            state.restart(now);
            let same: Vec<_> = state.sessions.values().cloned().collect();
            let at = self.publisher.revision(DEFAULT_TENANT).unwrap().get();
            if same == shown && told == state.told && revision == at {
                fitting.push(state);
            }
        }
        let Some(model) = fitting.pop() else {
            panic!("no state that may be: {shown:#?}, {told:#?}")
        };
        self.model = model;
        self.open.clear();
        self.agree();
        self.audited();
        self.handed_out();
    }

    /// Compares everything that can be seen with the model.
    fn agree(&mut self) {
        let now = self.now();
        let expected: Vec<_> = self.model.sessions.values().cloned().collect();
        assert_eq!(shown(&self.publisher), expected);
        let snapshot = self.publisher.snapshot(DEFAULT_TENANT).unwrap();
        let (snapshot, sessions) = (&**snapshot, snapshot.sessions());
        for computer in COMPUTERS {
            let seen: BTreeSet<_> =
                sessions.on_computer(computer).map(|it| format!("{it:?}")).collect();
            let of = |it: &&Session| {
                it.computer.as_str() == computer
                    && it.ended.is_none()
                    && !self.model.void.contains(&it.number)
            };
            let open: BTreeSet<_> = expected
                .iter()
                .filter(of)
                .map(|it| format!("{:?}", Arc::new(it.as_open())))
                .collect();
            assert_eq!(seen, open);
            // A lower limit ends none, and none is opened while there are as many.
            let (count, limit) = (self.model.open_on(computer, now), self.limit(computer));
            let before = self.open.insert(computer, count).unwrap_or(count);
            assert!(limit == 0 || count <= limit.max(before), "{count} of {limit} on {computer}");
        }
        let made = self.model.made.keys().map(String::as_str);
        let mut accounts: BTreeSet<_> = ACCOUNTS.into_iter().chain(made).collect();
        let used = expected.iter().filter_map(|it| it.privilege.as_ref());
        accounts.extend(used.map(|it| it.account.as_str()));
        for account in accounts {
            let is_made = sessions.jit_account(account).is_some();
            assert_eq!(is_made, self.model.made.contains_key(account), "{account}");
            for group in GROUPS {
                let is = is_member(snapshot, account, group, now);
                assert_eq!(is, self.model.is_member(account, group, now), "{account} of {group}");
                self.count(if is { "members" } else { "no members" });
            }
        }
        self.nothing_is_lost(&expected);
    }

    fn limit(&self, computer: &str) -> usize {
        self.model.world.computers.get(computer).map_or(0, |it| it.max_concurrent as usize)
    }

    /// What has ended stays as it ended, and nobody is forgotten in a group.
    fn nothing_is_lost(&mut self, sessions: &[Session]) {
        for session in sessions {
            if let Some(ended) = session.ended {
                let first = *self.ended.entry(session.id.clone()).or_insert(ended);
                assert_eq!(first, ended, "it ends once");
            }
            let Some(privilege) = &session.privilege else { continue };
            let pair = |it: &&Session| {
                let of = it.privilege.as_ref();
                of.is_some_and(|it| {
                    (&it.account, &it.group) == (&privilege.account, &privilege.group)
                })
            };
            let of_pair: Vec<_> = sessions.iter().filter(pair).collect();
            let work = of_pair.iter().flat_map(|it| &it.revocations);
            let removed = work
                .filter(|it| it.kind == RevocationKind::RemoveFromGroup)
                .any(|it| it.settled.is_none_or(|it| it.how == Settlement::Done));
            let all_ended = of_pair.iter().all(|it| it.ended.is_some());
            assert!(
                !all_ended || removed || ACCOUNTS.contains(&privilege.account.as_str()),
                "nobody takes {} out of {}",
                privilege.account,
                privilege.group
            );
        }
    }

    /// The chain holds, and has the model's events and no others.
    fn audited(&self) {
        for chain in [Chain::Server, Chain::Tenant(tenant())] {
            assert_eq!(self.publisher.verify_audit(&chain).unwrap().broken, None);
        }
        assert_eq!(self.told_of(), self.model.told);
    }

    /// What the audit says of sessions.
    fn told_of(&self) -> Vec<(PersonId, SessionEvent)> {
        let chain = Chain::Tenant(tenant());
        let page = self.publisher.audit(&chain, &Query::default(), 0, 100_000).unwrap();
        assert_eq!(page.next, None);
        let events = page.records.into_iter().filter_map(|record| match record.entry.event {
            Event::Session(event) => Some((record.entry.person.unwrap(), event)),
            _ => None,
        });
        events.collect()
    }

    /// A server that has just started hands out all that is due.
    fn handed_out(&self) {
        let now = self.now();
        let mut due = BTreeSet::new();
        for session in self.model.sessions.values() {
            for work in &session.revocations {
                // While the policy lists the account as a member it stays there.
                if work.settled.is_none()
                    && !is_put_off(work, now)
                    && !(work.kind == RevocationKind::RemoveFromGroup && self.model.lists(session))
                {
                    due.insert(RevocationId { session: session.id.clone(), kind: work.kind });
                }
            }
        }
        let lease = Duration::from_secs(60);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut watcher = self.publisher.watch_work(&tenant(), None, lease, 1_000).unwrap();
        let handed = runtime.block_on(async { watcher.next().now_or_never() });
        let handed = handed.map_or_else(Vec::new, Result::unwrap).into_iter();
        let handed: BTreeSet<_> = handed
            .map(|work| RevocationId { session: work.session.id.clone(), kind: work.kind })
            .collect();
        assert_eq!(handed, due);
        for _ in handed {
            self.count("work handed out after a restart");
        }
    }
}

fn shown(publisher: &Publisher) -> Vec<Session> {
    let all =
        publisher.sessions(&tenant(), &SessionFilter::default(), 0, usize::MAX, at(0)).unwrap();
    all.iter().map(|session| Session::clone(session)).collect()
}

/// What is left of a disk: all that was synced, and of the rest any sectors of any writes.
fn image(base: &[u8], log: &[Op], mut dice: u64) -> Vec<u8> {
    let (mut image, mut pending) = (base.to_vec(), Vec::new());
    for op in log {
        match op {
            Op::Sync => pending.drain(..).for_each(|op| perform(&mut image, op)),
            _ => pending.push(op),
        }
    }
    for op in pending {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match dice >> 62 {
            0 => {}
            1 => tear(&mut image, op, dice),
            _ => perform(&mut image, op),
        }
    }
    image
}

fn image_of_recovery(base: &[u8], log: &[Op], at: usize, dice: u64) -> Vec<u8> {
    image(base, &log[..at % (log.len() + 1)], dice.rotate_left(17))
}

#[test]
fn every_history_is_what_the_model_says() {
    let tally = Mutex::new(BTreeMap::new());
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&history(), |steps| {
        let mut machine = Machine::new(&tally);
        for (step, fault) in &steps {
            machine.turn(step, *fault);
        }
        machine.audited();
        Ok(())
    });
    let tally = tally.into_inner().unwrap();
    println!("{HISTORIES} histories: {tally:#?}");
    outcome.unwrap();
    let count = |what: &str| -> usize {
        tally.iter().filter(|(name, _)| name.starts_with(what)).map(|(_, count)| *count).sum()
    };
    for (what, at_least) in [
        ("open: opened", 2_000),
        ("open: opened with an account that was made", 1_000),
        ("open: opened with an own account", 500),
        ("open: opened without a level", 200),
        ("open: replayed", 100),
        ("open: key reused", 200),
        ("open: SESSION_LIMIT", 20),
        ("open: EXCLUDED", 10),
        ("renew: open", 500),
        ("renew: revoked", 20),
        ("close: closed", 500),
        ("close: expired", 100),
        ("acknowledge: known", 300),
        ("edit: changes", 1_000),
        ("clock set back", 200),
        ("crashes within a step", 1_000),
        ("crashes while recovering", 500),
        ("full disk", 200),
        ("work handed out after a restart", 3_000),
        ("members", 20_000),
    ] {
        assert!(count(what) >= at_least, "{what}: {} of {at_least}", count(what));
    }
    let opens = tally.keys().filter(|name| name.starts_with("open: ")).count();
    assert!(opens > 12, "{opens} ways for an opening to end");
}
