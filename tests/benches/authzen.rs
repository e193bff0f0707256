//! What one AuthZEN evaluation costs on loopback, beside an empty handler of the same HTTP server: one
//! that takes a body of the same size, looks at nothing, and answers with JSON of the same size. Both
//! are asked by turns with the same client, so that a noisy machine slows both alike; the figure to go
//! by is the ratio.
//!
//! Run with `cargo bench -p pdp-tests --bench authzen`. The policy is the one of the bench `decide`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a measurement"
)]

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use pdp_tests::door::Server;
use pdp_tests::http::{Http, Protocol};
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};
use serde_json::json;
use tokio::runtime::Runtime;

/// Rounds of each kind, by turns; the median over the rounds is printed.
const ROUNDS: usize = 21;

/// Requests in a round.
const REQUESTS: usize = 2_000;

/// Connections that are used at once, where several are.
const CALLERS: usize = 16;

/// Evaluations in a batch.
const BATCH: usize = 100;

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

fn main() {
    let matrix = match env::var("PDP_ACCESS_MATRICES") {
        Ok(folder) => Matrix::read(&PathBuf::from(folder), "americas_small"),
        Err(_) => Matrix::synthetic(3, 3_477, 1_587, 178),
    };
    let server = Server::start();
    drop(server.default_tenant(&matrix.changes()).unwrap());
    let asked = Arc::new(questions(&matrix));
    let answer = server.http(Protocol::Http1).send(
        "POST",
        EVALUATION,
        &[("content-type", "application/json")],
        asked[0].clone(),
    );
    println!("question_bytes {}, answer_bytes {}", asked[0].len(), answer.body.len());
    let (beside, empty) = serve_empty(answer.body);
    for protocol in Protocol::ALL {
        let door = |path: &'static str, address: SocketAddr| Door {
            clients: (0..CALLERS)
                .map(|_| Arc::new(Http::new(beside.handle().clone(), address, protocol)))
                .collect(),
            path,
        };
        let (nothing, evaluation) = (door("/", empty), door(EVALUATION, server.http_address()));
        let mut rounds = Rounds::default();
        for _ in 0..ROUNDS {
            rounds.empty.push(beside.block_on(nothing.alone(&asked)));
            rounds.evaluation.push(beside.block_on(evaluation.alone(&asked)));
            rounds.many_empty.push(beside.block_on(nothing.together(&asked)));
            rounds.many_evaluation.push(beside.block_on(evaluation.together(&asked)));
        }
        rounds.print(protocol);
    }
    let batches = Http::new(beside.handle().clone(), server.http_address(), Protocol::Http2);
    println!(
        "batch_of_{BATCH}_evaluations_per_s {:.0}",
        beside.block_on(in_batches(&batches, &asked))
    );
    beside.shutdown_background();
    server.stop();
}

/// Serves the empty handler, on threads of its own like the server's.
fn serve_empty(answer: Vec<u8>) -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let answer = Bytes::from(answer);
    let handler = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            drop(body);
            ([(CONTENT_TYPE, "application/json")], answer)
        }
    };
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).unwrap();
        });
        let routes = Router::new().route("/", post(handler));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        address
    });
    (runtime, address)
}

/// Cells without a pattern, as evaluations.
fn questions(matrix: &Matrix) -> Vec<Vec<u8>> {
    let (users, permissions) = (matrix.users.len(), matrix.permissions.len());
    (0..1 << 14)
        .map(|n: usize| n * 2_654_435_761 % (users * permissions))
        .map(|n| {
            json!({
                "subject": {"type": "user", "id": matrix.users[n / permissions]},
                "action": {"name": OPERATION.name},
                "resource": {"type": TYPE, "id": matrix.permissions[n % permissions]},
            })
        })
        .map(|question| question.to_string().into_bytes())
        .collect()
}

/// Something to ask, over so many connections.
struct Door {
    clients: Vec<Arc<Http>>,
    path: &'static str,
}

impl Door {
    /// One request after the other: how long each took, sorted.
    async fn alone(&self, asked: &[Vec<u8>]) -> Vec<Duration> {
        let mut taken = Vec::with_capacity(REQUESTS);
        for body in asked.iter().cycle().take(REQUESTS) {
            let body = body.clone();
            let begun = Instant::now();
            let reply = self.clients[0].post_written(self.path, body).await;
            taken.push(begun.elapsed());
            assert_eq!(reply.status, 200);
        }
        taken.sort_unstable();
        taken
    }

    /// Every connection at once: requests a second.
    async fn together(&self, asked: &Arc<Vec<Vec<u8>>>) -> f64 {
        let begun = Instant::now();
        let callers = self.clients.iter().enumerate().map(|(caller, client)| {
            let (client, asked, path) = (Arc::clone(client), Arc::clone(asked), self.path);
            tokio::spawn(async move {
                for n in 0..REQUESTS / CALLERS {
                    let body = asked[(caller * 7_919 + n) % asked.len()].clone();
                    assert_eq!(client.post_written(path, body).await.status, 200);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        REQUESTS as f64 / begun.elapsed().as_secs_f64()
    }
}

/// Batches one after the other: evaluations a second.
async fn in_batches(client: &Http, asked: &[Vec<u8>]) -> f64 {
    let bodies: Vec<Vec<u8>> = asked
        .chunks_exact(BATCH)
        .map(|chunk| {
            let items = chunk.iter().map(|item| serde_json::from_slice(item).unwrap());
            let items: Vec<serde_json::Value> = items.collect();
            json!({"evaluations": items}).to_string().into_bytes()
        })
        .collect();
    let count = bodies.len() * BATCH;
    let begun = Instant::now();
    for body in bodies {
        assert_eq!(client.post_written(EVALUATIONS, body).await.status, 200);
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

#[derive(Default)]
struct Rounds {
    empty: Vec<Vec<Duration>>,
    evaluation: Vec<Vec<Duration>>,
    many_empty: Vec<f64>,
    many_evaluation: Vec<f64>,
}

impl Rounds {
    fn print(&self, protocol: Protocol) {
        let name = format!("{protocol:?}").to_lowercase();
        let quantile = |rounds: &[Vec<Duration>], q: f64| {
            median(rounds.iter().map(|round| {
                let index = ((round.len() - 1) as f64 * q) as usize;
                round[index].as_secs_f64() * 1e6
            }))
        };
        for (what, q) in [("p50", 0.5), ("p99", 0.99)] {
            let (empty, asked) = (quantile(&self.empty, q), quantile(&self.evaluation, q));
            println!("{name}_empty_alone_{what}_us {empty:.1}");
            println!("{name}_evaluation_alone_{what}_us {asked:.1}");
            println!("{name}_evaluation_to_empty_alone_{what} {:.2}", asked / empty);
        }
        let empty = median(self.many_empty.iter().copied());
        let asked = median(self.many_evaluation.iter().copied());
        println!("{name}_empty_{CALLERS}_callers_per_s {empty:.0}");
        println!("{name}_evaluation_{CALLERS}_callers_per_s {asked:.0}");
        println!("{name}_evaluation_to_empty_{CALLERS}_callers_cost {:.2}", empty / asked);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
