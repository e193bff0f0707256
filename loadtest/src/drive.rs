//! Load on a server: connections, what is asked over them, in a closed loop or at intended times.
//! Every run ends by itself: a server that does not answer costs a few seconds more.

mod closed;
mod open;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use prost::bytes::Bytes;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tower::{Service as _, ServiceExt as _};

use crate::tally::Summary;
use crate::wire::{EVALUATIONS, MAX_BATCH, Prepared, Raw, Requests};

pub use closed::closed_loop;
pub use open::open_loop;
pub use stream::stream_loop;

/// The most connections: each has its own histograms, and a machine has few cores.
pub const MAX_CONNECTIONS: usize = 1_024;

/// The most requests under way, over all connections.
pub const MAX_UNDER_WAY: usize = 100_000;

/// The longest run: a day.
pub const MAX_DURATION: Duration = Duration::from_secs(86_400);

/// How long what is under way at the end is waited for, usually.
pub const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The windows of a connection and of a stream, in bytes: as generous as the server's.
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAM_WINDOW: u32 = 1 << 20;

/// The largest answer, in bytes: one to the largest batch.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The address is none.
    #[error("`{0}` is not the address of a server; write it like `http://127.0.0.1:7070`")]
    Address(String),
    /// No header can carry the token.
    #[error("the token has characters that no header can carry")]
    Token,
    /// Nobody answers there.
    #[error("cannot reach {endpoint}")]
    Connect {
        /// The address.
        endpoint: String,
        /// What the transport says.
        source: tonic::transport::Error,
    },
    /// A size outside of its bounds.
    #[error("`{name}` is {given}; it must be {least} to {most}")]
    Bounds {
        /// What.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// There is nothing to ask.
    #[error("there are no requests to send; a batch needs at least its size of questions")]
    Nothing,
    /// The server refused.
    #[error("the server refuses: {} ({})", .0.message(), .0.code())]
    Refused(Box<Status>),
    /// The operating system gives no connection, or ends it.
    #[error("a connection fails")]
    System(#[source] std::io::Error),
    /// The server does not keep to HTTP/2, or ends the connection.
    #[error("a connection fails: {0}")]
    Protocol(&'static str),
    /// A part of the run ended in a panic.
    #[error("a part of the run ended in an internal error")]
    Panicked,
}

/// What is asked: requests, and changes now and then.
#[derive(Debug, Clone)]
pub struct Script {
    /// The requests.
    pub requests: Arc<Requests>,
    /// Change sets, and the share of all requests that they are.
    pub writes: Option<(Arc<Requests>, f64)>,
}

/// When a run is measured, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long nothing is measured at first.
    pub warm_up: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How long what is under way at the end is waited for: [`LAST_ANSWERS`] unless told otherwise.
    pub last_answers: Duration,
}

/// How a connection is made, and what goes with each request.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    authorization: Option<MetadataValue<Ascii>>,
    tls: Option<ClientTlsConfig>,
}

/// A connection that bytes are sent over: as messages of gRPC, or over HTTP/2 as they are where the path is one of
/// AuthZEN.
#[derive(Debug, Clone)]
pub struct Connection {
    grpc: Grpc<Channel>,
    http: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Manners ===

impl Manners {
    /// With this token in each request.
    ///
    /// # Errors
    /// [`DriveError::Token`] if no header can carry it.
    pub fn with_token(self, token: &str) -> Result<Self, DriveError> {
        let value = format!("Bearer {token}").parse().map_err(|_| DriveError::Token)?;
        Ok(Self { authorization: Some(value), ..self })
    }

    /// With TLS: who vouches for the server, as PEM, and its name.
    #[must_use]
    pub fn with_authority(self, pem: String, name: &str) -> Self {
        let authority = Certificate::from_pem(pem);
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name(name);
        Self { tls: Some(tls), ..self }
    }
}

// === impl Connection ===

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`DriveError::Address`] or [`DriveError::Connect`].
    pub async fn open(address: &str) -> Result<Self, DriveError> {
        Self::open_with(address, &Manners::default()).await
    }

    /// The same in this manner.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_with(address: &str, manners: &Manners) -> Result<Self, DriveError> {
        let none = || DriveError::Address(address.to_owned());
        let scheme = if manners.tls.is_some() { "https://" } else { "http://" };
        if !address.starts_with(scheme) {
            return Err(none());
        }
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| none())?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW);
        let unreachable = |source| {
            let endpoint = address.to_owned();
            DriveError::Connect { endpoint, source }
        };
        let endpoint = match &manners.tls {
            Some(tls) => endpoint.tls_config(tls.clone()).map_err(unreachable)?,
            None => endpoint,
        };
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let grpc = Grpc::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { grpc, http: channel, authorization: manners.authorization.clone() })
    }

    /// As many connections.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_many(address: &str, count: usize) -> Result<Vec<Self>, DriveError> {
        Self::open_many_with(address, count, &Manners::default()).await
    }

    /// The same in this manner.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_many_with(
        address: &str,
        count: usize,
        manners: &Manners,
    ) -> Result<Vec<Self>, DriveError> {
        bounds("connections", count as u64, 1, MAX_CONNECTIONS as u64)?;
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Self::open_with(address, manners).await?);
        }
        Ok(connections)
    }

    /// Sends a message and waits for the answer.
    ///
    /// # Errors
    /// The status that came instead.
    pub async fn call(&mut self, path: &PathAndQuery, body: Bytes) -> Result<Bytes, Status> {
        if path.path() == EVALUATIONS {
            return self.post(path, body).await;
        }
        self.grpc.ready().await.map_err(gone)?;
        let mut request = Request::new(body);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let answer = self.grpc.unary(request, path.clone(), Raw).await?;
        Ok(answer.into_inner())
    }

    /// The same over HTTP. An answer that says to come later is `RESOURCE_EXHAUSTED`, as it is over gRPC.
    async fn post(&mut self, path: &PathAndQuery, body: Bytes) -> Result<Bytes, Status> {
        let mut request = http::Request::new(tonic::body::Body::new(Full::new(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(path.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_bytes(authorization.as_encoded_bytes());
            let value = value.map_err(|error| Status::invalid_argument(error.to_string()))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let channel = self.http.ready().await.map_err(gone)?;
        let (head, body) = channel.call(request).await.map_err(gone)?.into_parts();
        let body = body.collect().await?.to_bytes();
        match head.status {
            StatusCode::OK => Ok(body),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(Status::resource_exhausted(String::from_utf8_lossy(&body)))
            }
            status => Err(Status::unknown(format!("{status}: {}", String::from_utf8_lossy(&body)))),
        }
    }
}

// === impl Script ===

impl Script {
    /// These requests and nothing else.
    #[must_use]
    pub fn of(requests: Requests) -> Self {
        Self { requests: Arc::new(requests), writes: None }
    }

    /// These requests with changes among them. Answers are not held against the expected ones, as
    /// the changes may change them.
    #[must_use]
    pub fn with_writes(requests: Requests, writes: Requests, share: f64) -> Self {
        let requests = Arc::new(requests.unexpected());
        Self { requests, writes: Some((Arc::new(writes), share)) }
    }

    fn check(&self) -> Result<(), DriveError> {
        let writes = self.writes.as_ref();
        let nothing = writes.is_some_and(|(writes, _)| writes.prepared.is_empty());
        if self.requests.prepared.is_empty() || nothing {
            return Err(DriveError::Nothing);
        }
        bounds("batch", u64::from(self.requests.questions), 0, MAX_BATCH as u64)
    }

    /// The n-th thing to send: writes are spread evenly by their share.
    fn at(&self, n: u64) -> Option<(&Arc<Requests>, &Prepared)> {
        if let Some((writes, share)) = &self.writes {
            let so_far = |n: u64| (n as f64 * share).floor() as u64;
            if so_far(n + 1) > so_far(n) {
                return Some((writes, writes.at(so_far(n))?));
            }
        }
        Some((&self.requests, self.requests.at(n)?))
    }
}

// === impl Timing ===

impl Timing {
    /// So long, after a warm-up.
    #[must_use]
    pub const fn new(warm_up: Duration, duration: Duration) -> Self {
        Self { warm_up, duration, last_answers: LAST_ANSWERS }
    }

    pub(crate) fn check(&self) -> Result<(), DriveError> {
        let whole = self.warm_up.saturating_add(self.duration).saturating_add(self.last_answers);
        bounds("seconds", whole.as_secs(), 0, MAX_DURATION.as_secs())
    }
}

fn gone(error: tonic::transport::Error) -> Status {
    Status::unavailable(format!("the connection is gone: {error}"))
}

pub(crate) fn bounds(
    name: &'static str,
    given: u64,
    least: u64,
    most: u64,
) -> Result<(), DriveError> {
    match (least..=most).contains(&given) {
        true => Ok(()),
        false => Err(DriveError::Bounds { name, given, least, most }),
    }
}

/// Asks once, and holds that the server answers at all.
///
/// # Errors
/// [`DriveError::Refused`] if it does not.
pub async fn try_once(connection: &mut Connection, requests: &Requests) -> Result<(), DriveError> {
    let prepared = requests.at(0).ok_or(DriveError::Nothing)?;
    let answer = connection.call(&requests.path, prepared.body.clone()).await;
    answer.map(drop).map_err(|status| DriveError::Refused(Box::new(status)))
}

/// Whether every answer was there and was the expected one.
#[must_use]
pub const fn is_clean(summary: &Summary) -> bool {
    summary.errors == 0 && summary.wrong == 0 && summary.unsent == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Schedule;
    use crate::questions::Ask;
    use crate::wire::Reads;

    #[test]
    fn writes_are_spread_by_their_share() {
        let ask = Ask::from_line("DENY\tperson:p1\toperation:View\tDoc00:r1").unwrap();
        let checks = Requests::checks("", &[ask]);
        let writes = Requests { reads: Reads::Apply, ..checks.clone() };
        let script = Script::with_writes(checks, writes, 0.25);
        let kinds: Vec<Reads> = (0..8).map(|n| script.at(n).unwrap().0.reads).collect();
        let (check, apply) = (Reads::Check, Reads::Apply);
        assert_eq!(kinds, [check, check, check, apply, check, check, check, apply]);
        assert!(script.requests.prepared.iter().all(|it| it.expected.is_empty()));
    }

    /// A server that takes connections and never answers.
    async fn silent() -> (std::net::TcpListener, Vec<Connection>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        (listener, Connection::open_many(&address, 2).await.unwrap())
    }

    fn script() -> Script {
        let ask = Ask::from_line("DENY\tperson:p1\toperation:View\tDoc00:r1").unwrap();
        Script::of(Requests::checks("", &[ask]))
    }

    const SHORT: Timing = Timing {
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(10),
        last_answers: Duration::from_millis(20),
    };

    #[tokio::test]
    async fn a_run_ends_although_nobody_answers() {
        let (listener, to) = silent().await;
        let closed = closed_loop(&to, &script(), 3, SHORT).await.unwrap();
        assert_eq!((closed.requests, closed.errors), (0, 6));
        let schedule = Schedule::constant(1_000.0, SHORT.duration);
        let open = open_loop(&to, &script(), schedule, SHORT).await.unwrap();
        assert_eq!((open.requests, open.errors, open.unsent), (0, 10, 0));
        assert!(open.first_error.unwrap().starts_with("no answer"));
        assert!(!is_clean(&closed));
        drop(listener);
    }

    #[tokio::test]
    async fn what_has_no_bounds_is_refused() {
        let (_listener, to) = silent().await;
        let forever = Timing { duration: MAX_DURATION * 2, ..SHORT };
        for (in_flight, timing) in [(0, SHORT), (MAX_UNDER_WAY, SHORT), (1, forever)] {
            let refused = closed_loop(&to, &script(), in_flight, timing).await;
            assert!(matches!(refused, Err(DriveError::Bounds { .. })), "{in_flight} {timing:?}");
        }
        assert!(matches!(
            closed_loop(&[], &script(), 1, SHORT).await,
            Err(DriveError::Bounds { name: "connections", .. })
        ));
        let nothing = Script::of(Requests::checks("", &[]));
        let refused = closed_loop(&to, &nothing, 1, SHORT).await;
        assert!(matches!(refused, Err(DriveError::Nothing)));
        let schedule = Schedule::constant(1.0, MAX_DURATION);
        let refused = open_loop(&to, &script(), schedule, forever).await;
        assert!(matches!(refused, Err(DriveError::Bounds { .. })));
    }
}
