//! What is taken on, how much of it waits, and what is refused.

use super::*;
use crate::threads::rest;

const LIMITS: AdmissionLimits = AdmissionLimits {
    thread_requests: 50,
    requests: 80,
    queue: Duration::from_millis(5),
    caller_requests: 3,
    caller_rate: 10,
    buffered_bytes: 1_000,
    patience: Duration::MAX,
};

/// What counts and refuses nothing.
pub(crate) fn everything() -> Arc<Admission> {
    let limits = AdmissionLimits {
        thread_requests: usize::MAX,
        requests: usize::MAX,
        queue: Duration::MAX,
        caller_requests: usize::MAX,
        caller_rate: 1_000_000_000,
        buffered_bytes: usize::MAX,
        patience: Duration::MAX,
    };
    Admission::new(limits, Arc::new(Metrics::new()))
}

pub(crate) fn unlimited() -> Arc<Load> {
    Load::new(&everything())
}

fn loads() -> (Arc<Admission>, [Arc<Load>; 2]) {
    let all = Admission::new(LIMITS, Arc::new(Metrics::new()));
    let loads = [Load::new(&all), Load::new(&all)];
    (all, loads)
}

/// A thread whose requests are not bounded by how many there are.
fn with_room() -> Arc<Load> {
    let limits = AdmissionLimits { thread_requests: 2_000, requests: 2_000, ..LIMITS };
    Load::new(&Admission::new(limits, Arc::new(Metrics::new())))
}

#[test]
fn requests_in_flight_are_bounded_on_a_thread_and_in_all() {
    let (all, [one, other]) = loads();
    let mut held = Vec::new();
    for _ in 0..50 {
        let (counted, shed) = one.arrive(all.epoch, false);
        assert_eq!(shed, None);
        held.push(counted);
    }
    assert_eq!(one.arrive(all.epoch, false).1, Some(Shed::Thread { maximum: 50 }));
    for _ in 0..30 {
        let (counted, shed) = other.arrive(all.epoch, false);
        assert_eq!(shed, None);
        held.push(counted);
    }
    assert_eq!(other.arrive(all.epoch, false).1, Some(Shed::All { maximum: 80 }));
    assert_eq!(all.in_flight(), 80);
    held.clear();
    assert_eq!((all.in_flight(), one.queued.load(Relaxed)), (0, 0));
    assert_eq!(one.arrive(all.epoch, false).1, None);
}

#[test]
fn bytes_are_bounded_in_all_and_given_back() {
    let (all, _) = loads();
    assert_eq!(all.buffer(600), Ok(()));
    assert_eq!(all.buffer(401), Err(Shed::Bytes { maximum: 1_000 }));
    assert_eq!(all.buffer(400), Ok(()));
    assert_eq!(all.buffered_bytes(), 1_000);
    all.let_go(600);
    assert_eq!(all.buffer(600), Ok(()));
}

#[test]
fn what_waits_is_counted_over_all_threads() {
    let (all, [one, other]) = loads();
    let mut held = [
        one.arrive(all.epoch, false).0,
        one.arrive(all.epoch, false).0,
        other.arrive(all.epoch, false).0,
    ];
    assert_eq!(all.queued(), 3);
    held[0].begin();
    assert_eq!(all.queued(), 2);
    drop((held, one));
    assert_eq!(all.queued(), 0);
}

/// Turns that take so long each while others wait.
fn learn(load: &Load, turns: u64, each_ns: u64) {
    for at in 1..=turns {
        load.queued.store(2, Relaxed);
        load.turn(at * each_ns);
    }
    load.queued.store(0, Relaxed);
}

#[test]
fn a_queue_that_stays_is_kept_short_and_a_burst_is_let_in() {
    let load = with_room();
    let all = Arc::clone(load.all());
    learn(&load, 100, 1_000_000);
    assert_eq!(load.turn_ns.load(Relaxed) / 10_000, 100);
    let start = all.epoch + Duration::from_secs(1);
    let at = |ms| start + Duration::from_millis(ms);
    let mut held: Vec<_> = (0..40).map(|_| load.arrive(at(0), false)).collect();
    assert!(held.iter().all(|(_, shed)| shed.is_none()), "40 ms of work at once are a burst");
    let refused = Some(Shed::Queue { maximum: LIMITS.queue });
    assert_eq!(load.arrive(at(101), false).1, refused, "which has become a queue");
    held.truncate(4);
    assert_eq!(load.arrive(at(102), false).1, None, "4 ms are within the limit");
    held.clear();
    let came = |ms, count| {
        let held: Vec<_> = (0..count).map(|_| load.arrive(at(ms), false)).collect();
        held.iter().filter(|(_, shed)| shed.is_none()).count()
    };
    assert_eq!(came(103, 40), 40, "all in all it is less than the thread can do: the next burst");
    assert_eq!(came(180, 100), 51, "which 50 ms of work may be");
    assert_eq!(came(202, 40), 5, "142 in 101 ms are too many, and the next may be the same");
    assert_eq!(came(304, 40), 40, "40 are not: the next burst");
}

#[test]
fn the_more_comes_the_shorter_is_the_queue() {
    let load = with_room();
    learn(&load, 100, 1_000_000);
    let came = |ms: u64, count: u64| {
        let now = load.all.epoch + Duration::from_millis(ms);
        let held: Vec<_> = (0..count).map(|_| load.arrive(now, false)).collect();
        held.iter().filter(|(_, shed)| shed.is_none()).count()
    };
    // In a hundred milliseconds there are so many hundredths of what can be done.
    let taken = [100, 200, 300, 500, 900].map(|percent: u64| {
        let begin = 1_000 * percent;
        came(begin, 1);
        came(begin + 50, percent - 1);
        came(begin + 101, 50)
    });
    assert_eq!(taken, [50, 4, 3, 3, 2], "up to 5 ms, 3.6, 2.9, 2.3, 1.7");
}

/// As if a little more came than the thread can do, for ever.
fn overload(load: &Load) {
    load.demand.since_ns.store(u64::MAX, Relaxed);
    load.demand.percent.store(ALL + 1, Relaxed);
}

#[test]
fn bodies_that_have_not_come_wait_until_they_are_late() {
    let (all, [load, _]) = loads();
    let at = |ms| all.epoch + Duration::from_millis(ms);
    rest(at(0));
    let begun = |ms| {
        let (mut counted, shed) = load.arrive(at(ms), true);
        counted.begin();
        (counted, shed)
    };
    learn(&load, 100, 1_000_000);
    overload(&load);
    let refused = Some(Shed::Queue { maximum: LIMITS.queue });
    let held: Vec<_> = (0..20).map(|_| begun(95)).collect();
    assert!(held.iter().all(|(_, shed)| shed.is_none()), "it may be their senders who are slow");
    assert_eq!(begun(101).1, refused, "or else it would have rested");
    rest(at(102));
    assert_eq!(begun(103).1, refused, "a rest is no proof that it has time");
    rest(at(108));
    assert_eq!(begun(109).1, refused, "nor is one so soon");
    rest(at(110));
    // 5 ms and a turn later nothing of them is there.
    let more: Vec<_> = (0..6).map(|_| begun(111)).collect();
    assert!(more.iter().all(|(_, shed)| shed.is_none()), "5 ms of others are within the limit");
    assert_eq!(begun(112).1, refused, "the last ones may be coming");
    drop(more);
    let again = begun(113);
    assert_eq!(again.1, None, "those that are late stay so, whatever is taken on");
    drop((held, again));
    let Undecided { new, old, late, .. } = &load.undecided;
    assert_eq!([new, old, late].map(|count| count.load(Relaxed)), [0, 0, 0]);
}

#[test]
fn heads_without_bodies_take_no_place_for_long() {
    let (all, [load, _]) = loads();
    let at = |ms| all.epoch + Duration::from_millis(ms);
    learn(&load, 100, 6_000_000);
    overload(&load);
    load.wary_until_ns.store(u64::MAX, Relaxed);
    // A head each millisecond, and no body ever; the thread has nothing to do.
    let (mut held, mut taken) = (Vec::new(), 0);
    for ms in 1_000..1_300 {
        rest(at(ms));
        let (mut counted, shed) = load.arrive(at(ms), true);
        counted.begin();
        if shed.is_none() {
            taken += 1;
            held.push(counted);
        }
    }
    assert!((12..=15).contains(&taken), "{taken} in 300 ms, one in two times 11 ms and a bit");
}

#[test]
fn what_is_decided_alone_tells_how_long_a_turn_is() {
    let (all, [load, _]) = loads();
    let decided = |answered: bool| {
        rest(Instant::now());
        let (mut counted, _) = load.arrive(all.epoch, true);
        counted.begin();
        if answered {
            counted.answered();
        }
    };
    // Where it took a millisecond it is the mean by itself.
    let told = || load.last_turns_ns.load(Relaxed) + load.turn_ns.load(Relaxed);
    load.turn_at_ns.store(0, Relaxed);
    decided(false);
    assert_eq!(told(), 0, "a caller who has gone tells nothing");
    load.turn_at_ns.store(0, Relaxed);
    let before_ns = load.all.nanos(Instant::now());
    decided(true);
    let since_ns = load.all.nanos(Instant::now()) - before_ns;
    assert!((1..=since_ns).contains(&told()), "the rest is no part of it: {} ns", told());
}

#[test]
fn one_that_is_decided_now_is_all_the_queue_there_may_be() {
    let (all, [load, _]) = loads();
    let at = |ms| all.epoch + Duration::from_millis(ms);
    rest(at(0));
    load.turn_ns.store(6_000_000, Relaxed);
    let (one, shed) = load.arrive(at(101), true);
    assert_eq!(shed, None);
    let refused = Some(Shed::Queue { maximum: LIMITS.queue });
    for _ in 0..100 {
        assert_eq!(load.arrive(at(102), true).1, refused, "which does not wear off");
    }
    drop(one);
    assert_eq!(load.arrive(at(103), true).1, None);
}

#[test]
fn what_costs_no_more_than_a_refusal_is_hardly_refused() {
    let load = with_room();
    learn(&load, 100, 40_000);
    let held: Vec<_> =
        (0..2_000).map(|_| load.arrive(load.all.epoch + Duration::from_secs(1), false)).collect();
    let taken = held.iter().filter(|(_, shed)| shed.is_none()).count();
    assert_eq!(taken, 1_251, "50 ms of work");
}

#[test]
fn the_more_wait_to_be_refused_the_shorter_is_the_queue_of_what_is_cheap() {
    let load = with_room();
    learn(&load, 100, 40_000);
    let now = load.all.epoch + Duration::from_secs(1);
    load.demand.since_ns.store(u64::MAX, Relaxed);
    let taken = |untold, demand| {
        load.untold.store(untold, Relaxed);
        load.demand.percent.store(demand, Relaxed);
        let held = std::iter::from_fn(|| {
            let (counted, shed) = load.arrive(now, false);
            shed.is_none().then_some(counted)
        });
        held.collect::<Vec<_>>().len()
    };
    assert_eq!(taken(450, BUSY), 1_251, "a thread that has time takes a burst on");
    let taken = [0, 50, 150, 450, 5_000].map(|untold| taken(untold, BUSY + 1));
    assert_eq!(taken, [1_251, 626, 313, 126, 42], "50 ms of work, 25, 12.5, 5, and 5 / 3 at least");
}

#[test]
fn what_is_refused_takes_no_place_of_others() {
    let load = with_room();
    learn(&load, 100, 1_000_000);
    let held: Vec<_> = (0..1_960).map(|_| load.arrive(load.all.epoch, false)).collect();
    let refused = held.iter().filter(|(_, shed)| shed.is_some_and(Shed::is_of_time)).count();
    assert_eq!(refused, 1_960 - 51, "all but 50 ms of work");
    let untold = || [&load.untold, &load.all.untold].map(|it| it.load(Relaxed));
    assert_eq!(untold(), [refused, refused]);
    // With these it is as many as may be in flight, were they work.
    let more: Vec<_> = (0..100).map(|_| load.arrive(load.all.epoch, false).1).collect();
    assert!(more.iter().all(|shed| !matches!(shed, Some(Shed::Thread { .. } | Shed::All { .. }))));
    drop(held);
    assert_eq!(untold(), [0, 0]);
}

#[test]
fn short_turns_count_with_what_is_done_for_all_of_them() {
    let (_, [load, _]) = loads();
    // Ninety-nine in a burst, and then they are written.
    for _ in 0..100 {
        (0..99).for_each(|_| load.measured(2_000));
        load.measured(1_000_000);
    }
    assert_eq!(load.turn_ns.load(Relaxed) / 100, 119, "1.198 ms for a hundred");
}

#[test]
fn one_long_pause_is_not_taken_for_slowness() {
    let (_, [load, _]) = loads();
    learn(&load, 2, 60_000_000_000);
    assert_eq!(load.turn_ns.load(Relaxed), 50_000_000, "the first that is measured is bounded");
    load.turn_ns.store(0, Relaxed);
    load.turn_at_ns.store(0, Relaxed);
    learn(&load, 100, 10_000);
    load.queued.store(2, Relaxed);
    load.turn(1_000_000_000);
    assert!(load.turn_ns.load(Relaxed) < 16_000);
    load.queued.store(0, Relaxed);
}

#[test]
fn what_was_measured_in_a_bad_moment_wears_off() {
    let (all, [load, _]) = loads();
    load.turn_ns.store(60_000_000_000, Relaxed);
    let (_waits, shed) = load.arrive(all.epoch, false);
    assert_eq!(shed, None);
    let refused = std::iter::from_fn(|| load.arrive(all.epoch, false).1).count();
    assert!((1..200).contains(&refused), "{refused}");
}

#[test]
fn a_refusal_does_not_wait() {
    let (all, [load, _]) = loads();
    let held: Vec<_> = (0..50).map(|_| load.arrive(all.epoch, false)).collect();
    let (mut refused, shed) = load.arrive(all.epoch, false);
    assert!(shed.is_some());
    refused.begin();
    assert_eq!(load.queued.load(Relaxed), held.len());
}
