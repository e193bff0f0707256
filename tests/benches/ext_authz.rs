//! What a request of Envoy's costs beside an empty handler of the same gRPC server: the same service,
//! the same messages, and an answer of the same size that was made beforehand. Both are asked by
//! turns, so that a noisy machine slows both alike; the figure to go by is the ratio of the medians.
//!
//! Run with `cargo bench -p pdp-tests --bench ext_authz`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use pdp_proto::ext_authz::attribute_context::{HttpRequest, Request};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::ext_authz::authorization_server::{Authorization, AuthorizationServer};
use pdp_proto::ext_authz::{
    AttributeContext, CheckRequest, CheckResponse, HeaderMap, HeaderValue, Metadata,
};
use pdp_server::config::Settings;
use pdp_server::threads::{GrpcThreads, Threads};
use pdp_server::transport;
use pdp_tests::door::Server;
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};

/// The allocator that the server ships with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of each kind, by turns; the median over the rounds is printed.
const ROUNDS: usize = 61;

/// Requests in a round: few, so that what else the machine does slows both alike.
const REQUESTS: usize = 500;

/// Requests under way at once, where several are.
const CALLERS: usize = 64;

/// Answers the same to everything.
struct Empty(CheckResponse);

#[tonic::async_trait]
impl Authorization for Empty {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        black_box(request.get_ref());
        Ok(tonic::Response::new(self.0.clone()))
    }
}

fn main() {
    let matrix = Matrix::synthetic(3, 3_477, 1_587, 178);
    let mapping = tempfile::NamedTempFile::new().unwrap();
    let mut text =
        String::from("tenant: bench\nsubject: [{claim: sub, as: 'person:{value}'}]\nroutes:\n");
    // As many routes as a large gateway has, so that finding one is part of the figure.
    for n in 0..500 {
        text.push_str(&format!(
            "- {{path: '/api/v{}/things/{{id}}/part{n}', permission: View, resource: 'X:{{id}}'}}\n",
            n % 7
        ));
    }
    let asks = format!("permission: '{}', resource: '{TYPE}:{{id}}'", OPERATION.name);
    text.push_str(&format!("- {{path: '/resources/{{id}}/use', methods: [POST], {asks}}}\n"));
    std::fs::write(mapping.path(), text).unwrap();
    let gateway = Some(mapping.path().to_path_buf());
    let server = Server::start_with(Settings { gateway, ..Settings::default() });
    let door = server.tenant("bench", &matrix.changes()).unwrap();
    let requests = requests(&matrix);
    let ours = server.authorization();
    door.block_on(async {
        let answer = ours.clone().check(requests[0].clone()).await.unwrap().into_inner();
        let (threads, empty) = empty(answer);
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            rounds[0].push(alone(&empty, &requests).await);
            rounds[1].push(alone(&ours, &requests).await);
            rounds[2].push(together(&empty, &requests).await);
            rounds[3].push(together(&ours, &requests).await);
        }
        let [empty, ours, many_empty, many_ours] = rounds.map(median);
        println!("empty_alone_us {empty:.1}");
        println!("ext_authz_alone_us {ours:.1}");
        println!("ext_authz_to_empty_alone {:.2}", ours / empty);
        println!("empty_{CALLERS}_callers_us {many_empty:.1}");
        println!("ext_authz_{CALLERS}_callers_us {many_ours:.1}");
        println!("ext_authz_to_empty_{CALLERS}_callers {:.2}", many_ours / many_empty);
        drop(threads);
    });
    drop(door);
    server.stop();
}

/// An empty handler on the server's own transport, with threads like the server's.
fn empty(answer: CheckResponse) -> (Threads, AuthorizationClient<Channel>) {
    let threads = Threads::start(GrpcThreads::PerCore).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = Routes::new(AuthorizationServer::new(Empty(answer))).prepare();
    let lanes = threads.lanes();
    threads.rest().spawn(async move {
        // Until its threads end.
        let (_stop, stopped) = watch::channel(false);
        transport::serve(listener, service, lanes, stopped).await.unwrap();
    });
    let channel = Endpoint::from_shared(endpoint).unwrap().connect_lazy();
    (threads, AuthorizationClient::new(channel))
}

/// Requests as Envoy sends them: raw headers as a browser has them, and the claims of a token.
fn requests(matrix: &Matrix) -> Vec<CheckRequest> {
    let (users, permissions) = (matrix.users.len(), matrix.permissions.len());
    (0..1 << 12)
        .map(|n: usize| n * 2_654_435_761 % (users * permissions))
        .map(|n| request(&matrix.users[n / permissions], &matrix.permissions[n % permissions]))
        .collect()
}

fn request(user: &str, resource: &str) -> CheckRequest {
    let path = format!("/resources/{resource}/use");
    let token = "x".repeat(400);
    let headers = [
        (":method", "POST"),
        (":path", path.as_str()),
        (":authority", "api.bank.example"),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "5b1d3b3a-3bb2-4c0c-9a43-0b7d1ff1a5f0"),
    ];
    let headers = headers.map(|(name, value)| HeaderValue {
        key: name.to_owned(),
        value: Vec::new(),
        raw_value: value.as_bytes().to_vec(),
    });
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.to_owned())) };
    let claims = [
        ("iss", "https://login.bank.example"),
        ("aud", "bank-apis"),
        ("sub", user),
        ("name", "Somebody with a name"),
    ];
    let inside = |name: &str, fields: BTreeMap<String, Value>| Struct {
        fields: BTreeMap::from([(
            name.to_owned(),
            Value { kind: Some(Kind::StructValue(Struct { fields })) },
        )]),
    };
    let claims = claims.map(|(name, value)| (name.to_owned(), text(value))).into();
    let verified = ("envoy.filters.http.jwt_authn".to_owned(), inside("jwt_payload", claims));
    CheckRequest {
        attributes: Some(AttributeContext {
            source: None,
            request: Some(Request {
                http: Some(HttpRequest {
                    method: "POST".to_owned(),
                    headers: HashMap::new(),
                    path: path.into_bytes(),
                    host: b"api.bank.example".to_vec(),
                    header_map: Some(HeaderMap { headers: headers.into() }),
                }),
            }),
            context_extensions: HashMap::new(),
            metadata_context: Some(Metadata { filter_metadata: HashMap::from([verified]) }),
        }),
    }
}

/// The median time of one request after the other, in microseconds.
async fn alone(client: &AuthorizationClient<Channel>, requests: &[CheckRequest]) -> f64 {
    let mut client = client.clone();
    let mut taken: Vec<Duration> = Vec::with_capacity(REQUESTS);
    for request in requests.iter().cycle().take(REQUESTS) {
        let request = request.clone();
        let begun = Instant::now();
        black_box(&client.check(request).await.unwrap());
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    taken[REQUESTS / 2].as_secs_f64() * 1e6
}

/// Many requests at once: the time a request takes of all, in microseconds.
async fn together(client: &AuthorizationClient<Channel>, requests: &[CheckRequest]) -> f64 {
    let begun = Instant::now();
    let each = REQUESTS * 2 / CALLERS;
    let callers = (0..CALLERS).map(|caller| {
        let mut client = client.clone();
        let requests: Vec<_> =
            requests.iter().cycle().skip(caller * 61).take(each).cloned().collect();
        tokio::spawn(async move {
            for request in requests {
                black_box(&client.check(request).await.unwrap());
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e6 / (CALLERS * each) as f64
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}
