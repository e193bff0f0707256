//! How many sessions there may be, and how many are remembered.

use super::*;

/// A book with so many sessions without a level, closed or open.
fn crowded(count: usize, ended: bool) -> Desk {
    let desk = desk();
    let sessions = (1..=count as u64).map(|number| Session {
        number,
        id: SessionId::new(format!("c{number}")).unwrap(),
        person: PersonId::new("p1").unwrap(),
        computer: ObjectId::new(format!("elsewhere-{number}")).unwrap(),
        privilege: None,
        opened: at(0),
        not_after: at(1_000 * HOUR),
        ended: ended.then_some(Ended { at: at(1), why: End::Closed }),
        request_key: RequestKey::new(format!("c{number}")).unwrap(),
        revocations: Vec::new(),
    });
    let next = Numbers { session: count as u64 + 1, account: 1 };
    let stored = StoredSessions { sessions: sessions.collect(), accounts: Vec::new(), next };
    Desk { book: Book::load(stored), ..desk }
}

#[test]
fn the_oldest_of_those_that_have_ended_is_forgotten() {
    let mut desk = crowded(RETAINED_SESSIONS - 1, true);
    let ids = [("p0", "l0"), ("p1", "l0"), ("p2", "l0")].map(|(p, l)| desk.open(p, "c0", l));
    for id in &ids {
        desk.close(id);
    }
    assert!(desk.book.by_id("c1").is_some(), "with outstanding work it has not finished");
    let done = |desk: &mut Desk, id: &str| {
        desk.acknowledge(id, RevocationKind::RemoveFromGroup, Outcome::Done);
    };
    done(&mut desk, &ids[0]);
    assert!(desk.book.by_id("c1").is_some());
    done(&mut desk, &ids[1]);
    assert!(desk.book.by_id("c1").is_none());
    assert!(desk.book.by_key(&RequestKey::new("c1").unwrap()).is_none());
    done(&mut desk, &ids[2]);
    assert!(desk.book.by_id("c2").is_none() && desk.book.by_id("c3").is_some());
    assert!(ids.iter().all(|id| desk.book.by_id(id).is_some()));
    // Several in one turn.
    let unprivileged: Vec<_> =
        (0..3).map(|n| desk.try_open(&format!("u{n}"), "p0", "c0", None).unwrap()).collect();
    assert_eq!(unprivileged.len(), desk.force(&Selection::default(), 10));
    assert!(desk.book.by_id("c5").is_none() && desk.book.by_id("c6").is_some());
    assert_eq!(desk.book.after(0).count(), RETAINED_SESSIONS);
}

#[test]
fn only_so_many_may_be_open_or_have_outstanding_work() {
    let mut desk = crowded(MAX_SESSIONS - 1, false);
    let id = desk.open("p0", "c0", "l0");
    desk.close(&id);
    let error = desk.try_open("k", "p0", "c0", Some("l0")).unwrap_err();
    assert!(matches!(error, StepError::TooMany(MAX_SESSIONS)), "{error}");
    assert!(error.to_string().contains("the limit is 100000"), "{error}");
    desk.acknowledge(&id, RevocationKind::RemoveFromGroup, Outcome::Done);
    desk.open("p0", "c0", "l0");
    assert_eq!(desk.book.unfinished(), MAX_SESSIONS);
}
