//! Each step of a session, on a book of its own.

mod limits;
mod work;

use pdp_engine::psm::{EligibilityKind, Jit};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::session::{AccountMode, JitAccount};
use pdp_engine::snapshot::Snapshot;

use super::sample::{HOUR, SECOND, World, at, is_member, level};
use super::*;

/// A book, a policy and a clock.
struct Desk {
    world: World,
    book: Book,
    now: i64,
    opened: usize,
    /// What the audit was told, in order.
    told: Vec<Happened>,
}

// === impl Desk ===

impl Desk {
    fn new(world: World) -> Self {
        Self { world, book: Book::default(), now: 100 * SECOND, opened: 0, told: Vec::new() }
    }

    fn snapshot(&self) -> Snapshot {
        self.world.compiled(1).with_sessions(self.book.open_sessions())
    }

    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn take(&mut self, turn: Turn) {
        self.told.extend(turn.events.iter().map(|(_, event)| event.what.clone()));
        self.book.take(turn);
    }

    fn try_open(
        &mut self,
        key: &str,
        person: &str,
        computer: &str,
        level: Option<&str>,
    ) -> Result<Opened, StepError> {
        self.opened += 1;
        let id = SessionId::new(format!("s{}", self.opened)).unwrap();
        let key = RequestKey::new(key).unwrap();
        let request = Open { key: &key, person, computer, level };
        let (opened, turn) = self.book.open(&self.snapshot(), request, id, self.now())?;
        self.take(turn);
        Ok(opened)
    }

    /// Opens a session; its id.
    fn open(&mut self, person: &str, computer: &str, level: &str) -> String {
        let key = format!("key {}", self.opened + 1);
        match self.try_open(&key, person, computer, Some(level)).unwrap() {
            Opened::New(session, ..) => session.id.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self, id: &str) {
        let (session, turn) = self.book.close(&self.snapshot(), id, self.now()).unwrap();
        self.take(turn);
        assert_eq!(session, self.session(id));
    }

    fn renew(&mut self, id: &str) -> Renewed {
        let (renewed, turn) = self.book.renew(&self.snapshot(), id, self.now()).unwrap();
        self.take(turn);
        renewed
    }

    fn sweep(&mut self) {
        let ids: Vec<_> = self.book.not_ended().map(|session| session.id.clone()).collect();
        let turn = self.book.sweep(&self.snapshot(), &ids, self.now());
        self.take(turn);
    }

    fn force(&mut self, selection: &Selection, limit: usize) -> usize {
        let (ended, turn) =
            self.book.force_end(&self.snapshot(), selection, "a note", limit, self.now());
        self.take(turn);
        ended
    }

    fn acknowledge(&mut self, id: &str, kind: RevocationKind, outcome: Outcome<'_>) {
        let id = RevocationId { session: SessionId::new(id).unwrap(), kind };
        let (_, turn) = self.book.acknowledge(&self.snapshot(), &id, outcome, self.now()).unwrap();
        self.take(turn);
    }

    fn session(&self, id: &str) -> Arc<Session> {
        Arc::clone(self.book.by_id(id).unwrap())
    }

    fn ended(&self, id: &str) -> Option<(i64, End)> {
        self.session(id).ended.map(|Ended { at, why }| (at.as_micros(), why))
    }

    fn account(&self, id: &str) -> String {
        self.session(id).privilege.as_ref().unwrap().account.to_string()
    }

    /// What is to be done, as the work's names.
    fn outstanding(&self) -> Vec<String> {
        let name = |(session, kind): (&Arc<Session>, RevocationKind)| {
            RevocationId { session: session.id.clone(), kind }.to_string()
        };
        self.book.outstanding().map(name).collect()
    }

    fn is_member(&self, account: &str, group: &str) -> bool {
        is_member(&self.snapshot(), account, group, self.now())
    }
}

fn desk() -> Desk {
    Desk::new(World::open())
}

#[test]
fn a_session_makes_its_account_a_member_until_it_is_closed() {
    let mut desk = desk();
    let id = desk.open("p0", "c0", "l0");
    assert_eq!(desk.account(&id), "a0", "the least of the person's own");
    assert!(desk.is_member("a0", "g0") && !desk.is_member("a0-too", "g0"));
    assert!(!desk.is_member("a0", "g1"));
    desk.now += SECOND;
    desk.close(&id);
    assert!(!desk.is_member("a0", "g0"));
    assert_eq!(desk.ended(&id), Some((101 * SECOND, End::Closed)));
    assert_eq!(desk.outstanding(), ["s1:group"]);
    let told = desk.told.len();
    desk.now += SECOND;
    desk.close(&id);
    assert_eq!(desk.ended(&id), Some((101 * SECOND, End::Closed)), "closing again changes nothing");
    assert_eq!(desk.told.len(), told);
}

#[test]
fn whoever_ends_a_session_whose_time_is_over_finds_it_expired_then() {
    type Ending = fn(&mut Desk, &str);
    let endings: [(&str, Ending); 3] = [
        ("close", |desk, id| desk.close(id)),
        ("renew", |desk, id| {
            let renewed = desk.renew(id);
            assert_eq!((renewed.decided, renewed.session), (None, desk.session(id)));
        }),
        ("sweep", |desk, _| desk.sweep()),
    ];
    for (how, end) in endings {
        for late in [0, 5 * SECOND] {
            let mut desk = desk();
            let id = desk.open("p0", "c0", "l0");
            let over = desk.session(&id).not_after.as_micros();
            assert_eq!(over, 100 * SECOND + 8 * HOUR);
            desk.now = over - 1;
            assert!(desk.is_member("a0", "g0"));
            desk.now = over + late;
            assert!(!desk.is_member("a0", "g0"), "before anybody has noticed");
            end(&mut desk, &id);
            assert_eq!(desk.ended(&id), Some((over, End::Expired)), "{how}");
            assert_eq!(desk.outstanding(), ["s1:group"]);
            assert_eq!(desk.session(&id).revocations[0].due.as_micros(), over);
            let ended = Happened::Ended { at: at(over), why: End::Expired, note: String::new() };
            assert!(desk.told.contains(&ended), "{how}: {:?}", desk.told);
        }
    }
}

#[test]
fn what_forces_an_end_selects_and_leaves_a_note() {
    let mut desk = desk();
    let ids = [("p0", "c0", "l0"), ("p0", "c1", "l1"), ("p1", "c0", "l1"), ("p1", "c0", "l0")]
        .map(|(p, c, l)| desk.open(p, c, l));
    let selection = |person: Option<&str>, computer: Option<&str>, of: Option<&str>| Selection {
        person: person.map(|id| PersonId::new(id).unwrap()),
        computer: computer.map(|id| ObjectId::new(id).unwrap()),
        level: of.map(level),
    };
    assert!(Selection::default().is_empty() && !selection(None, None, Some("l0")).is_empty());
    assert_eq!(desk.force(&selection(Some("p0"), Some("c2"), None), 10), 0);
    assert_eq!(desk.force(&selection(Some("p0"), None, Some("l1")), 10), 1);
    assert_eq!(desk.ended(&ids[1]), Some((desk.now, End::Forced)));
    assert_eq!(desk.force(&selection(None, Some("c0"), None), 2), 2, "no more than the limit");
    assert!(desk.ended(&ids[0]).is_some() && desk.ended(&ids[2]).is_some());
    assert_eq!(desk.force(&selection(None, Some("c0"), None), 2), 1);
    let forced = Happened::Ended { at: desk.now(), why: End::Forced, note: "a note".to_owned() };
    assert_eq!(desk.told.iter().filter(|told| **told == forced).count(), 4);
}

#[test]
fn what_p12_finds_ends_a_session_at_the_next_renewal_or_sweep() {
    type Edit = fn(&mut World);
    let edits: [(Edit, Reason); 6] = [
        (|world| world.exclude("p0", "l0", "c0"), Reason::Excluded),
        (|world| assert!(world.disabled.insert("p0")), Reason::SubjectDisabled),
        (|world| drop(world.computers.remove("c0")), Reason::UnknownResource),
        (|world| world.computer("c0").enabled = false, Reason::PsmDisabled),
        (|world| assert!(world.owners.insert("a0", None).is_some()), Reason::NoAccount),
        (
            |world| {
                world.grants.remove(&("p0", "l0", "c0", EligibilityKind::PreApproved));
            },
            Reason::NotEligible,
        ),
    ];
    for (edit, reason) in edits {
        for renewing in [false, true] {
            let mut desk = desk();
            let id = desk.open("p0", "c0", "l0");
            desk.world = desk.world.with(edit);
            desk.now += SECOND;
            assert!(!desk.is_member("a0", "g0"), "{reason:?}: void at once");
            if renewing {
                assert_eq!(desk.renew(&id).decided, Some(Err(reason)));
            } else {
                desk.sweep();
            }
            assert_eq!(desk.ended(&id), Some((desk.now, End::Revoked(reason))));
            assert_eq!(desk.outstanding(), ["s1:group"]);
            desk.world = World::open();
            assert!(!desk.is_member("a0", "g0"), "it does not revive");
            assert_eq!(desk.renew(&id).decided, None);
        }
    }
}

#[test]
fn a_renewal_goes_up_to_the_longest_session_from_the_first_opening() {
    let mut desk = desk();
    let until = at(101 * SECOND + HOUR);
    desk.world.grants.insert(("p0", "l0", "c0", EligibilityKind::PreApproved), Some(until));
    let id = desk.open("p0", "c0", "l0");
    assert_eq!(desk.session(&id).not_after, until, "what is known to end is told");
    desk.world = World::open();
    desk.now += SECOND;
    let longest = 100 * SECOND + 8 * HOUR;
    assert_eq!(desk.renew(&id).session.not_after, at(longest));
    desk.world.computer("c0").max_session_micros = 10 * SECOND;
    assert_eq!(desk.renew(&id).session.not_after, at(110 * SECOND), "or less");
    desk.now = 105 * SECOND;
    desk.world.computer("c0").max_session_micros = 4 * SECOND;
    let renewed = desk.renew(&id);
    assert_eq!(renewed.decided, None);
    assert_eq!(desk.ended(&id), Some((105 * SECOND, End::Expired)));
}

#[test]
fn an_account_that_is_made_is_deleted_or_kept_for_the_next_session() {
    let mut desk = desk();
    let deleted = desk.open("p1", "c2", "l0");
    let account = desk.account(&deleted);
    assert_eq!(account, "c2/p1_000000000001");
    assert!(desk.is_member(&account, "g0"));
    desk.close(&deleted);
    assert_eq!(desk.outstanding(), ["s1:group", "s1:account"]);
    desk.acknowledge(&deleted, RevocationKind::DeleteAccount, Outcome::Failed("in use"));
    let id = AccountId::new(account).unwrap();
    assert!(desk.book.account(&id).is_some());
    desk.acknowledge(&deleted, RevocationKind::DeleteAccount, Outcome::Done);
    assert!(desk.book.account(&id).is_some(), "something is to be done with it");
    desk.acknowledge(&deleted, RevocationKind::RemoveFromGroup, Outcome::Done);
    assert!(desk.book.account(&id).is_none(), "deleted");
    assert!(desk.snapshot().sessions().jit_account(id.as_str()).is_none());

    let kept = desk.open("p1", "c1", "l0");
    let account = desk.account(&kept);
    assert_eq!(account, "c1/p1_000000000003", "the policy has an account of the name before");
    let others = desk.open("p0", "c1", "l0");
    assert_eq!(desk.account(&others), "c1/lana_000000000004", "named after the login");
    let second = desk.open("p1", "c1", "l1");
    assert_eq!(desk.account(&second), "c1/p1_000000000005", "the kept one is in use");
    desk.close(&kept);
    desk.close(&second);
    let again = desk.open("p1", "c1", "l1");
    assert_eq!(desk.account(&again), account, "the least of those kept");
    desk.world.computer("c1").jit.reuse_existing = false;
    let new = desk.open("p1", "c1", "l1");
    assert_eq!(desk.account(&new), "c1/p1_000000000006");
    desk.close(&new);
    desk.world.computer("c1").jit = Jit { delete_on_end: true, ..World::open().computer("c1").jit };
    let last = desk.open("p1", "c1", "l1");
    assert_eq!(desk.account(&last), "c1/p1_000000000007", "none is kept, so none is reused");
}

#[test]
fn an_account_s_number_is_never_given_again() {
    let mut desk = desk();
    let mut accounts = std::collections::BTreeSet::new();
    for round in 0..20 {
        let computer = if round % 2 == 0 { "c2" } else { "c1" };
        let id = desk.open("p2", computer, "l0");
        let number = desk.account(&id).rsplit_once('_').unwrap().1.to_owned();
        let reused = computer == "c1" && round > 1;
        assert_eq!(accounts.insert(number), !reused, "{round}");
        desk.close(&id);
        for kind in [RevocationKind::RemoveFromGroup, RevocationKind::DeleteAccount] {
            if desk.session(&id).revocations.iter().any(|it| it.kind == kind) {
                desk.acknowledge(&id, kind, Outcome::Done);
            }
        }
        // A restart goes on where it was.
        let Numbers { session, account } = desk.book.next;
        let stored = StoredSessions {
            sessions: desk.book.after(0).map(|it| Session::clone(it)).collect(),
            accounts: desk.jit_accounts(),
            next: Numbers { session, account },
        };
        desk.book = Book::load(stored);
        assert!(desk.outstanding().is_empty());
    }
}

impl Desk {
    /// The accounts that were made and not deleted.
    fn jit_accounts(&self) -> Vec<JitAccount> {
        let sessions = self.book.after(0).filter_map(|it| it.privilege.as_ref());
        let mut accounts: Vec<_> =
            sessions.filter_map(|it| self.book.account(&it.account)).cloned().collect();
        accounts.dedup();
        accounts
    }
}

#[test]
fn a_key_stands_for_one_session_and_one_question() {
    let mut desk = desk();
    let Opened::New(session, decision, obligations) =
        desk.try_open("k", "p0", "c0", Some("l0")).unwrap()
    else {
        panic!("it opens")
    };
    assert_eq!(decision.effect, Effect::Allow);
    let account = obligations.privileged.unwrap().account;
    assert_eq!(account, AccountMode::Existing(AccountId::new("a0").unwrap()));
    let again = desk.try_open("k", "p0", "c0", Some("l0")).unwrap();
    assert_eq!(again, Opened::Replayed(Arc::clone(&session), Some(Ok(()))));
    for (person, computer, level) in [
        ("p1", "c0", Some("l0")),
        ("p0", "c1", Some("l0")),
        ("p0", "c0", Some("l1")),
        ("p0", "c0", None),
    ] {
        let error = desk.try_open("k", person, computer, level).unwrap_err();
        assert!(matches!(error, StepError::KeyReused(_)), "{error}");
    }
    desk.close("s1");
    desk.world = desk.world.with(|world| world.exclude("p0", "l0", "c0"));
    let again = desk.try_open("k", "p0", "c0", Some("l0")).unwrap();
    assert_eq!(again, Opened::Replayed(desk.session("s1"), None), "even if it has ended");
    let denied = desk.try_open("k2", "p0", "c0", Some("l0")).unwrap();
    assert!(matches!(denied, Opened::Denied(decision) if decision.reason == Reason::Excluded));
    desk.world = World::open();
    let opened = desk.try_open("k2", "p0", "c0", Some("l0")).unwrap();
    assert!(matches!(opened, Opened::New(..)), "a denial is not remembered");
}

#[test]
fn a_session_without_a_level_makes_nobody_a_member_and_leaves_no_work() {
    let mut desk = desk();
    let Opened::New(session, ..) = desk.try_open("k", "p0", "c0", None).unwrap() else {
        panic!("it opens")
    };
    assert_eq!(session.privilege, None);
    assert!(!desk.is_member("a0", "g0"));
    desk.close("s1");
    assert!(desk.outstanding().is_empty() && desk.session("s1").is_finished());
}

#[test]
fn what_is_not_known_is_said() {
    let mut desk = desk();
    let (snapshot, now) = (desk.snapshot(), desk.now());
    let renewed = desk.book.renew(&snapshot, "s9", now).unwrap_err();
    let closed = desk.book.close(&snapshot, "s9", now).unwrap_err();
    for error in [renewed, closed] {
        assert_eq!(error.to_string(), "session `s9` is not known");
    }
    desk.open("p0", "c0", "l0");
    for session in ["s9", "s1"] {
        let session = SessionId::new(session).unwrap();
        let id = RevocationId { session, kind: RevocationKind::DeleteAccount };
        let error = desk.book.acknowledge(&snapshot, &id, Outcome::Done, now).unwrap_err();
        assert_eq!(error.to_string(), format!("revocation `{id}` is not known"));
        assert_eq!(RevocationId::parse(&id.to_string()), Some(id));
    }
    assert_eq!(RevocationId::parse("s1"), None);
    assert_eq!(RevocationId::parse("s1:person"), None);
    let malformed = desk.try_open("k", "", "c0", None).unwrap_err();
    assert!(matches!(malformed, StepError::Malformed(_)), "{malformed}");
    assert!(RequestKey::new("k".repeat(129)).is_err() && RequestKey::new("k".repeat(128)).is_ok());
    assert!(RequestKey::new("").is_err() && RequestKey::new("a\nb").is_err());
}
