//! Servers and etcd under load while something goes wrong between them or with them: whatever it is, what was
//! acknowledged stays, no server goes back, and no two say different things of one revision. How long it takes
//! to get over it is printed.

use std::sync::Arc;
use std::time::Instant;

use crate::etcd::Etcd;
use crate::load::Load;
use crate::process::Process;
use crate::wire::{State, Wire};

/// How much happens with a fault, and after it.
const MEANWHILE: u64 = 20;

/// A server behind a wire of its own, and one beside it.
async fn servers(etcd: &Etcd, settings: &[&str]) -> (Wire, Arc<Process>, Arc<Process>) {
    let loads = [settings, &["--load", "policy.yaml"]].concat();
    let beside = Process::start(&etcd.endpoints(), &loads).await;
    let wire = Wire::to(&etcd.ports()).await;
    let behind = Process::start(wire.endpoints(), settings).await;
    (wire, Arc::new(behind), Arc::new(beside))
}

/// Waits until a server writes again and has what the others have, and says how long that took.
async fn recovered(load: &Load, at: usize, fault: &str) {
    let began = Instant::now();
    load.level(at).await;
    let level = began.elapsed();
    load.writes(at, 1).await;
    let ms = began.elapsed().as_millis();
    println!("{fault}: level after {} ms, writes after {ms} ms", level.as_millis());
    load.writes(at, MEANWHILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_off_decides_on_and_comes_back() {
    let etcd = Etcd::start(3).await;
    let (wire, behind, beside) = servers(&etcd, &[]).await;
    let load = Load::begin(&[&behind, &beside]);
    load.writes(0, MEANWHILE).await;
    wire.set(State::Cut);
    load.refusal(0).await;
    tokio::join!(load.writes(1, MEANWHILE), load.answers(0, MEANWHILE));
    wire.set(State::Whole);
    recovered(&load, 0, "cut").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_vanish_are_noticed_without_being_told() {
    let etcd = Etcd::start(3).await;
    let (wire, behind, beside) = servers(&etcd, &[]).await;
    let load = Load::begin(&[&behind, &beside]);
    for (to, from) in [(false, true), (true, false)] {
        load.writes(0, MEANWHILE).await;
        wire.set(State::Held { to, from });
        load.refusal(0).await;
        tokio::join!(load.writes(1, MEANWHILE), load.answers(0, MEANWHILE));
        wire.set(State::Whole);
        recovered(&load, 0, if to { "requests held" } else { "answers held" }).await;
    }
    wire.set(State::Held { to: true, from: true });
    load.refusal(0).await;
    wire.forget();
    recovered(&load, 0, "connections forgotten").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_paused_goes_on_where_the_others_are() {
    let etcd = Etcd::start(1).await;
    let (_wire, behind, beside) = servers(&etcd, &[]).await;
    let load = Load::begin(&[&behind, &beside]);
    for _ in 0..5 {
        load.writes(0, MEANWHILE).await;
        behind.pause(true);
        load.writes(1, MEANWHILE).await;
        behind.pause(false);
        recovered(&load, 0, "paused").await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_paused_is_left_for_another() {
    let etcd = Etcd::start(3).await;
    let (_wire, behind, beside) = servers(&etcd, &[]).await;
    let load = Load::begin(&[&behind, &beside]);
    for _ in 0..2 {
        load.writes(0, MEANWHILE).await;
        let leader = etcd.leader().await;
        etcd.pause(leader, true);
        let began = Instant::now();
        load.answers(0, MEANWHILE).await;
        tokio::join!(load.writes(0, 1), load.writes(1, 1));
        println!("leader paused: writes after {} ms", began.elapsed().as_millis());
        tokio::join!(load.writes(0, MEANWHILE), load.writes(1, MEANWHILE));
        etcd.pause(leader, false);
        recovered(&load, 0, "leader back").await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_what_is_compacted_takes_the_checkpoint_under_load() {
    let etcd = Etcd::start(1).await;
    let (wire, behind, beside) = servers(&etcd, &["--etcd-checkpoint-entries", "8"]).await;
    let load = Load::begin(&[&behind, &beside]);
    for _ in 0..2 {
        load.writes(0, MEANWHILE).await;
        wire.set(State::Held { to: true, from: true });
        load.refusal(0).await;
        // What comes before the last of so many writes is trimmed by the next checkpoint.
        load.writes(1, MEANWHILE).await;
        let before = etcd.checkpointed().await;
        while etcd.checkpointed().await == before {
            load.writes(1, 1).await;
        }
        wire.set(State::Whole);
        recovered(&load, 0, "compacted past a follower").await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_killed_at_once_and_nothing_is_lost() {
    let mut etcd = Etcd::start(3).await;
    let (_wire, behind, beside) = servers(&etcd, &[]).await;
    let load = Load::begin(&[&behind, &beside]);
    for _ in 0..2 {
        load.writes(0, MEANWHILE).await;
        for at in 0..3 {
            etcd.kill(at);
        }
        behind.kill();
        beside.kill();
        let began = Instant::now();
        for at in 0..3 {
            etcd.begin(at);
        }
        let (one, other) = tokio::join!(behind.begin(), beside.begin());
        one.unwrap();
        other.unwrap();
        println!("everything killed: both serve after {} ms", began.elapsed().as_millis());
        recovered(&load, 0, "everything killed").await;
        load.writes(1, 1).await;
    }
    load.end().await;
}
