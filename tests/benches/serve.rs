//! How long a decision takes through the gRPC door on loopback, beside the cheapest answer that the
//! same server gives: a health check, which looks nothing up. Both are asked by turns over one
//! connection, so that a noisy machine slows both alike; the figure to go by is the ratio. And beside
//! both what a decision takes in a client that keeps the policy and decides in process.
//!
//! Run with `cargo bench -p pdp-tests --bench serve`. The policy is the one of the bench `decide`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a measurement"
)]

use std::env;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pdp_client::{Client, LocalClient, LocalOptions, Permission, Question, Resource, Subject};
use pdp_tests::door::Server;
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};

/// Rounds of each kind, by turns; the median over the rounds is printed.
const ROUNDS: usize = 9;

/// Requests in a round.
const REQUESTS: usize = 2_000;

/// Requests under way at once, where several are.
const CALLERS: usize = 64;

/// Questions in a batch.
const BATCH: usize = 100;

fn main() {
    let matrix = match env::var("PDP_ACCESS_MATRICES") {
        Ok(folder) => Matrix::read(&PathBuf::from(folder), "americas_small"),
        Err(_) => Matrix::synthetic(3, 3_477, 1_587, 178),
    };
    let server = Server::start();
    let door = server.tenant("bench", &matrix.changes()).unwrap();
    let questions = questions(&matrix);
    let client = door.client();
    let local = door.block_on(async { client.follow(LocalOptions::default()) });
    door.block_on(async {
        let current = client.check(&questions[0]).await.unwrap().revision;
        local.wait_for(current).await;
    });
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.health.push(door.block_on(alone(|_| async {
            client.health("").await.unwrap();
        })));
        rounds.check.push(door.block_on(alone(|n| {
            let question = &questions[n % questions.len()];
            async move {
                black_box(&client.check(question).await.unwrap());
            }
        })));
        rounds.many_health.push(door.block_on(together(client, &questions, false)));
        rounds.many_check.push(door.block_on(together(client, &questions, true)));
        rounds.batch.push(door.block_on(batches(client, &questions)));
        rounds.local.push(in_process(&local, &questions));
    }
    rounds.print();
    drop(door);
    server.stop();
}

/// Cells without a pattern.
fn questions(matrix: &Matrix) -> Vec<Question> {
    let (users, permissions) = (matrix.users.len(), matrix.permissions.len());
    (0..1 << 14)
        .map(|n: usize| n * 2_654_435_761 % (users * permissions))
        .map(|n| {
            let operation = Permission::operation(OPERATION.name);
            let resource = Resource::new(TYPE, &matrix.permissions[n % permissions]);
            Question::new(Subject::person(&matrix.users[n / permissions]), operation, resource)
        })
        .collect()
}

/// One request after the other: how long each took, sorted.
async fn alone<F: Future<Output = ()>>(ask: impl Fn(usize) -> F) -> Vec<Duration> {
    let mut taken = Vec::with_capacity(REQUESTS);
    for n in 0..REQUESTS {
        let begun = Instant::now();
        ask(n).await;
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    taken
}

/// Many requests at once: requests a second.
async fn together(client: &Client, questions: &[Question], check: bool) -> f64 {
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let (client, questions) = (client.clone(), questions.to_vec());
        tokio::spawn(async move {
            for n in 0..REQUESTS / 10 {
                if check {
                    let question = &questions[(caller * 7_919 + n) % questions.len()];
                    black_box(&client.check(question).await.unwrap());
                } else {
                    client.health("").await.unwrap();
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    (CALLERS * (REQUESTS / 10)) as f64 / begun.elapsed().as_secs_f64()
}

/// Decisions that a client makes which keeps the policy: nanoseconds each.
fn in_process(local: &LocalClient, questions: &[Question]) -> f64 {
    let begun = Instant::now();
    for question in questions {
        black_box(&local.decide(question).unwrap());
    }
    begun.elapsed().as_nanos() as f64 / questions.len() as f64
}

/// Batches one after the other: questions a second.
async fn batches(client: &Client, questions: &[Question]) -> f64 {
    let begun = Instant::now();
    let batches: Vec<_> = questions.chunks_exact(BATCH).collect();
    for batch in &batches {
        black_box(&client.batch_check(batch).await.unwrap());
    }
    (batches.len() * BATCH) as f64 / begun.elapsed().as_secs_f64()
}

#[derive(Default)]
struct Rounds {
    health: Vec<Vec<Duration>>,
    check: Vec<Vec<Duration>>,
    many_health: Vec<f64>,
    many_check: Vec<f64>,
    batch: Vec<f64>,
    local: Vec<f64>,
}

impl Rounds {
    fn print(&self) {
        let quantile = |rounds: &[Vec<Duration>], q: f64| {
            median(rounds.iter().map(|round| {
                let index = ((round.len() - 1) as f64 * q) as usize;
                round[index].as_secs_f64() * 1e6
            }))
        };
        for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
            let (health, check) = (quantile(&self.health, q), quantile(&self.check, q));
            println!("health_alone_{name}_us {health:.1}");
            println!("check_alone_{name}_us {check:.1}");
            println!("check_to_health_alone_{name} {:.2}", check / health);
        }
        let health = median(self.many_health.iter().copied());
        let check = median(self.many_check.iter().copied());
        let batch = median(self.batch.iter().copied());
        println!("health_{CALLERS}_callers_per_s {health:.0}");
        println!("check_{CALLERS}_callers_per_s {check:.0}");
        println!("check_to_health_{CALLERS}_callers {:.2}", check / health);
        println!("batch_of_{BATCH}_questions_per_s {batch:.0}");
        let local = median(self.local.iter().copied());
        println!("in_process_ns {local:.0}");
        println!("check_alone_to_in_process {:.0}", quantile(&self.check, 0.5) * 1e3 / local);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
