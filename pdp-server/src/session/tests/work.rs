//! The work that the ends of sessions make due (P7, P11).

use super::*;

#[test]
fn the_account_leaves_the_group_when_the_last_session_of_both_ends() {
    let mut desk = desk();
    let first = desk.open("p0", "c0", "l0");
    let second = desk.open("p0", "c0", "l0");
    let other_group = desk.open("p0", "c0", "l1");
    desk.close(&first);
    assert_eq!(desk.outstanding(), Vec::<String>::new());
    assert!(desk.is_member("a0", "g0"));
    desk.close(&other_group);
    assert_eq!(desk.outstanding(), ["s3:group"]);
    desk.close(&second);
    assert_eq!(desk.outstanding(), ["s2:group", "s3:group"]);

    // All at once: once for each group.
    let mut desk = super::desk();
    for level in ["l0", "l0", "l1"] {
        desk.open("p0", "c0", level);
    }
    assert_eq!(desk.force(&Selection::default(), 10), 3);
    assert_eq!(desk.outstanding(), ["s2:group", "s3:group"]);

    // One that has run out needs the group no more, whether or not anybody has noticed.
    let mut desk = super::desk();
    let until = at(desk.now + 10);
    desk.world.grants.insert(("p0", "l0", "c0", EligibilityKind::PreApproved), Some(until));
    desk.open("p0", "c0", "l0");
    desk.world = World::open();
    let second = desk.open("p0", "c0", "l0");
    desk.now += 10;
    desk.close(&second);
    assert_eq!(desk.outstanding(), ["s2:group"]);
    desk.sweep();
    assert_eq!(desk.outstanding(), ["s2:group"], "once is enough");
}

#[test]
fn an_account_that_the_policy_lists_as_a_member_stays() {
    let mut desk =
        Desk::new(World::open().with(|world| assert!(world.listed.insert(("a0", "g0")))));
    let listed = desk.open("p0", "c0", "l0");
    let not_listed = desk.open("p1", "c0", "l0");
    desk.close(&listed);
    desk.close(&not_listed);
    assert_eq!(desk.outstanding(), ["s2:group"]);
    assert!(desk.is_member("a0", "g0"), "by the policy");
}

#[test]
fn opening_again_supersedes_the_work_and_its_end_makes_it_due_again() {
    let mut desk = desk();
    let first = desk.open("p0", "c0", "l0");
    desk.close(&first);
    let group = RevocationKind::RemoveFromGroup;
    desk.acknowledge(&first, group, Outcome::Failed("no answer"));
    desk.now += 1;
    let second = desk.open("p0", "c0", "l0");
    assert_eq!(desk.outstanding(), Vec::<String>::new());
    let settled = desk.session(&first).revocations[0].settled;
    assert_eq!(settled, Some(Settled { at: desk.now(), how: Settlement::Superseded }));
    assert!(desk.session(&first).is_finished());
    desk.acknowledge(&first, group, Outcome::Done);
    assert_eq!(desk.session(&first).revocations[0].settled, settled, "it is too late");
    desk.close(&second);
    assert_eq!(desk.outstanding(), ["s2:group"]);
    // A session in another group does not.
    desk.open("p0", "c0", "l1");
    assert_eq!(desk.outstanding(), ["s2:group"]);
}

#[test]
fn work_that_fails_is_put_off_twice_as_long_each_time_up_to_five_minutes() {
    let mut desk = desk();
    let id = desk.open("p0", "c0", "l0");
    desk.close(&id);
    let revocation = |desk: &Desk| desk.session(&id).revocations[0].clone();
    assert!(revocation(&desk).is_due(desk.now()));
    let mut waits = Vec::new();
    for failures in 1..=12 {
        desk.acknowledge(&id, RevocationKind::RemoveFromGroup, Outcome::Failed("no answer"));
        let failed = revocation(&desk);
        assert_eq!((failed.failures, failed.last_failure.as_str()), (failures, "no answer"));
        let not_before = failed.not_before.unwrap();
        assert!(!failed.is_due(at(not_before.as_micros() - 1)) && failed.is_due(not_before));
        waits.push((not_before.as_micros() - desk.now) / SECOND);
        desk.now = not_before.as_micros();
        assert_eq!(desk.outstanding(), ["s1:group"], "it stays visible");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let mut often = revocation(&desk);
    often.failures = u32::MAX;
    often.fail("again", desk.now());
    assert_eq!(often.failures, u32::MAX);
    desk.acknowledge(&id, RevocationKind::RemoveFromGroup, Outcome::Done);
    assert!(desk.outstanding().is_empty());
    let done = desk.session(&id);
    desk.now += 1;
    let told = desk.told.len();
    for outcome in [Outcome::Done, Outcome::Failed("late")] {
        desk.acknowledge(&id, RevocationKind::RemoveFromGroup, outcome);
    }
    assert_eq!((desk.session(&id), desk.told.len()), (done, told), "once is enough");
}

#[test]
fn work_is_not_put_off_for_longer_when_the_clock_is_set_back() {
    let mut desk = desk();
    let id = desk.open("p0", "c0", "l0");
    desk.close(&id);
    desk.now += 1_000 * HOUR;
    desk.acknowledge(&id, RevocationKind::RemoveFromGroup, Outcome::Failed("no answer"));
    let failed = desk.session(&id).revocations[0].clone();
    assert!(!failed.is_due(desk.now()));
    assert!(failed.is_due(at(desk.now - 1_000 * HOUR)));
}
