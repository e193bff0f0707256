//! What one AuthZEN evaluation costs on loopback, beside an empty handler of the same HTTP server: one
//! that takes a body of the same size, looks at nothing, and answers with JSON of the same size, on
//! threads of the same kind, with none of the server's limits. Both are asked by turns with the same client, so that a noisy machine slows both alike; the figure to go
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
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use pdp_server::threads::{GrpcThreads, Threads};
use pdp_tests::door::Server;
use pdp_tests::http::{Http, Protocol};
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The allocator that the server ships with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; the median over the rounds is printed.
const ROUNDS: usize = 21;

/// Requests of each kind in a round.
const REQUESTS: usize = 2_000;

/// Callers at once, where there are several.
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
    let (serving_empty, empty) = serve_empty(answer.body);
    // The client has threads of its own, apart from those of either server.
    let beside = Runtime::new().unwrap();
    for protocol in Protocol::ALL {
        let clients = |address: SocketAddr, path: &'static str| {
            let client = |_| Arc::new(Http::new(beside.handle().clone(), address, protocol));
            (0..CALLERS).map(client).map(move |client| (client, path)).collect::<Vec<_>>()
        };
        let nothing = clients(empty, "/");
        let evaluation = clients(server.http_address(), EVALUATION);
        let callers: Vec<Caller> = nothing.into_iter().zip(evaluation).collect();
        for (what, callers) in [("alone", &callers[..1]), ("together", &callers[..])] {
            let rounds = (0..ROUNDS).map(|_| beside.block_on(round(callers, &asked))).collect();
            print(protocol, what, rounds);
        }
    }
    let batches = Http::new(beside.handle().clone(), server.http_address(), Protocol::Http2);
    println!(
        "batch_of_{BATCH}_evaluations_per_s {:.0}",
        beside.block_on(in_batches(&batches, &asked))
    );
    drop(serving_empty);
    drop(beside);
    server.stop();
}

/// Serves the empty handler, on threads like the server's.
fn serve_empty(answer: Vec<u8>) -> (Threads, SocketAddr) {
    let threads = Threads::start(GrpcThreads::PerCore).unwrap();
    let answer = Bytes::from(answer);
    let handler = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            drop(body);
            ([(CONTENT_TYPE, "application/json")], answer)
        }
    };
    let service = TowerToHyperService::new(Router::new().route("/", post(handler)));
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let lanes = threads.lanes();
    threads.rest().spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        for lane in lanes.iter().cycle() {
            let (stream, service) = (listener.accept().await.unwrap().0, service.clone());
            stream.set_nodelay(true).unwrap();
            let stream = stream.into_std().unwrap();
            lane.spawn(async move {
                let stream = TokioIo::new(TcpStream::from_std(stream).unwrap());
                let connections = Builder::new(TokioExecutor::new());
                connections.serve_connection(stream, service).await.ok();
            });
        }
    });
    (threads, address)
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

/// Two connections, with what is asked over each: nothing, and an evaluation.
type Caller = ((Arc<Http>, &'static str), (Arc<Http>, &'static str));

/// How long each request took, sorted: nothing, and evaluations.
type Taken = [Vec<Duration>; 2];

/// Every caller asks both by turns, one request after the other, so that whatever else the machine
/// does is done to both.
async fn round(callers: &[Caller], asked: &Arc<Vec<Vec<u8>>>) -> Taken {
    let tasks = callers.iter().cloned().enumerate().map(|(n, (nothing, evaluation))| {
        let (asked, turns) = (Arc::clone(asked), REQUESTS / callers.len());
        tokio::spawn(async move {
            let mut taken = Taken::default();
            for turn in 0..turns {
                let body = &asked[(n * 7_919 + turn) % asked.len()];
                for ((client, path), taken) in [&nothing, &evaluation].into_iter().zip(&mut taken) {
                    let body = body.clone();
                    let begun = Instant::now();
                    let reply = client.post_written(path, body).await;
                    taken.push(begun.elapsed());
                    assert_eq!(reply.status, 200);
                }
            }
            taken
        })
    });
    let mut all = Taken::default();
    for task in tasks.collect::<Vec<_>>() {
        for (all, taken) in all.iter_mut().zip(task.await.unwrap()) {
            all.extend(taken);
        }
    }
    all.iter_mut().for_each(|taken| taken.sort_unstable());
    all
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

fn print(protocol: Protocol, what: &str, rounds: Vec<Taken>) {
    let name = format!("{protocol:?}_{what}").to_lowercase();
    for (quantile, q) in [("p50", 0.5), ("p90", 0.9)] {
        let of = |taken: &[Duration]| taken[(taken.len() as f64 * q) as usize].as_secs_f64() * 1e6;
        let empty = median(rounds.iter().map(|[empty, _]| of(empty)));
        let asked = median(rounds.iter().map(|[_, asked]| of(asked)));
        let ratio = median(rounds.iter().map(|[empty, asked]| of(asked) / of(empty)));
        println!("{name}_empty_{quantile}_us {empty:.1}");
        println!("{name}_evaluation_{quantile}_us {asked:.1}");
        println!("{name}_evaluation_to_empty_{quantile} {ratio:.2}");
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
