//! Settings of how much is taken on, and for how long: connections, requests, callers, time.

use std::fmt;
use std::time::Duration;

use super::{
    ConfigError, DEFAULT_CONNECTION_FAREWELL, DEFAULT_CONNECTION_IDLE, DEFAULT_GRPC_TIMEOUT,
    DEFAULT_MAX_ADDRESS_CONNECTIONS, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_BUFFERED_BYTES,
    DEFAULT_MAX_CALLER_RATE, DEFAULT_MAX_CALLER_REQUESTS, DEFAULT_MAX_CONNECTION_AGE,
    DEFAULT_MAX_CONNECTION_HEALTH_STREAMS, DEFAULT_MAX_CONNECTION_REQUESTS,
    DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_DEADLINE, DEFAULT_MAX_HEALTH_STREAMS,
    DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_MAX_QUEUE, DEFAULT_MAX_REQUESTS, DEFAULT_MAX_RUNNING_LISTS,
    DEFAULT_MAX_THREAD_REQUESTS, DEFAULT_PING_INTERVAL, DEFAULT_PING_TIMEOUT,
    DEFAULT_TLS_HANDSHAKE, LEAST_TIMEOUT_MS, MAX_MS, Settings, bounds, millis,
};

use crate::rpc::{MAX_BATCH, MAX_CHANGES, MAX_EXPLAINED_PAGE_SIZE, MAX_PAGE_SIZE, PageSizes};

/// The most connections, requests and requests a second that may be set: beyond these no machine keeps
/// up.
const MOST_CONNECTIONS: usize = 1 << 20;
const MOST_REQUESTS: usize = 1 << 24;
const MOST_RATE: usize = 10_000_000;

/// The most bytes that may be set: beyond that no machine holds them.
const MOST_BYTES: usize = 64 << 30;

/// The least that connections may become old in, in milliseconds.
const LEAST_AGE_MS: usize = 100;

/// What is taken on, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    /// How many questions a batch may hold.
    pub max_batch: usize,
    /// How many changes a change set may hold.
    pub max_changes: usize,
    /// How many entries pages may hold.
    pub pages: PageSizes,
    /// How many lists may be made at once.
    pub max_running_lists: usize,
    /// How many connections each door may have.
    pub max_connections: usize,
    /// How many of them may be of one address.
    pub max_address_connections: usize,
    /// How many watches of health and streams of reflection may be open.
    pub max_health_streams: usize,
    /// How many of them may be open over one connection.
    pub max_connection_health_streams: usize,
    /// How many bytes the bodies of requests may have that are not answered yet.
    pub max_buffered_bytes: usize,
    /// How many requests a connection may have in flight.
    pub max_connection_requests: u32,
    /// How many requests may be in flight on a thread.
    pub max_thread_requests: usize,
    /// How many requests may be in flight in all.
    pub max_requests: usize,
    /// How long a request may have to wait for its turn.
    pub max_queue: Duration,
    /// How many requests a caller may have in flight.
    pub max_caller_requests: usize,
    /// How many requests a caller may send in a second.
    pub max_caller_rate: u64,
    /// The longest deadline.
    pub max_deadline: Duration,
    /// How old a connection becomes.
    pub max_connection_age: Duration,
    /// How long requests and streams may go on over a connection that was told to go away.
    pub connection_farewell: Duration,
    /// How long nothing may be asked on a connection.
    pub connection_idle: Duration,
    /// How long a gRPC connection may take to begin, and to take what it asked for.
    pub grpc_timeout: Duration,
    /// How often a silent peer is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to answer that.
    pub ping_timeout: Duration,
    /// How long a TLS handshake may take.
    pub tls_handshake: Duration,
}

// === impl Overload ===

impl Overload {
    pub(super) fn of(given: &Settings) -> Result<Self, ConfigError> {
        let age = given.max_connection_age_ms;
        let one = largest_body(given);
        Ok(Self {
            max_batch: given.max_batch.unwrap_or(MAX_BATCH),
            max_changes: given.max_changes.unwrap_or(MAX_CHANGES),
            pages: PageSizes {
                plain: given.max_page_size.unwrap_or(MAX_PAGE_SIZE),
                explained: given.max_explained_page_size.unwrap_or(MAX_EXPLAINED_PAGE_SIZE),
            },
            max_running_lists: given.max_running_lists.unwrap_or(DEFAULT_MAX_RUNNING_LISTS),
            max_connections: given.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
            max_address_connections: given
                .max_address_connections
                .unwrap_or(DEFAULT_MAX_ADDRESS_CONNECTIONS),
            max_health_streams: given.max_health_streams.unwrap_or(DEFAULT_MAX_HEALTH_STREAMS),
            max_connection_health_streams: given
                .max_connection_health_streams
                .unwrap_or(DEFAULT_MAX_CONNECTION_HEALTH_STREAMS),
            max_buffered_bytes: given
                .max_buffered_bytes
                .unwrap_or(DEFAULT_MAX_BUFFERED_BYTES.max(one)),
            max_connection_requests: given
                .max_connection_requests
                .unwrap_or(DEFAULT_MAX_CONNECTION_REQUESTS),
            max_thread_requests: given.max_thread_requests.unwrap_or(DEFAULT_MAX_THREAD_REQUESTS),
            max_requests: given.max_requests.unwrap_or(DEFAULT_MAX_REQUESTS),
            max_queue: millis("max_queue_ms", given.max_queue_ms, DEFAULT_MAX_QUEUE)?,
            max_caller_requests: given.max_caller_requests.unwrap_or(DEFAULT_MAX_CALLER_REQUESTS),
            max_caller_rate: given.max_caller_rate.unwrap_or(DEFAULT_MAX_CALLER_RATE),
            max_deadline: millis("max_deadline_ms", given.max_deadline_ms, DEFAULT_MAX_DEADLINE)?,
            max_connection_age: millis("max_connection_age_ms", age, DEFAULT_MAX_CONNECTION_AGE)?,
            connection_farewell: millis(
                "connection_farewell_ms",
                given.connection_farewell_ms,
                DEFAULT_CONNECTION_FAREWELL,
            )?,
            connection_idle: millis(
                "connection_idle_ms",
                given.connection_idle_ms,
                DEFAULT_CONNECTION_IDLE,
            )?,
            grpc_timeout: millis("grpc_timeout_ms", given.grpc_timeout_ms, DEFAULT_GRPC_TIMEOUT)?,
            ping_interval: millis(
                "ping_interval_ms",
                given.ping_interval_ms,
                DEFAULT_PING_INTERVAL,
            )?,
            ping_timeout: millis("ping_timeout_ms", given.ping_timeout_ms, DEFAULT_PING_TIMEOUT)?,
            tls_handshake: millis(
                "tls_handshake_ms",
                given.tls_handshake_ms,
                DEFAULT_TLS_HANDSHAKE,
            )?,
        })
    }

    /// Where one request may have `one` bytes.
    pub(super) fn check(&self, one: usize) -> Result<(), ConfigError> {
        bounds("max_buffered_bytes", self.max_buffered_bytes, one..=MOST_BYTES)?;
        let number = |rate: u64| usize::try_from(rate).unwrap_or(usize::MAX);
        let count = |count: u32| number(u64::from(count));
        let in_ms = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        let most_ms = number(MAX_MS);
        for (name, given, least, most) in [
            ("max_batch", self.max_batch, 1, MAX_BATCH),
            ("max_changes", self.max_changes, 1, MAX_CHANGES),
            ("max_page_size", count(self.pages.plain), 1, count(MAX_PAGE_SIZE)),
            (
                "max_explained_page_size",
                count(self.pages.explained),
                1,
                count(MAX_EXPLAINED_PAGE_SIZE),
            ),
            ("max_running_lists", self.max_running_lists, 1, 1 << 16),
            ("max_connections", self.max_connections, 1, MOST_CONNECTIONS),
            ("max_address_connections", self.max_address_connections, 1, MOST_CONNECTIONS),
            ("max_health_streams", self.max_health_streams, 1, MOST_REQUESTS),
            ("max_connection_health_streams", self.max_connection_health_streams, 1, 1 << 16),
            ("max_connection_requests", count(self.max_connection_requests), 1, 1 << 16),
            ("max_thread_requests", self.max_thread_requests, 1, MOST_REQUESTS),
            ("max_requests", self.max_requests, 1, MOST_REQUESTS),
            ("max_queue_ms", in_ms(self.max_queue), 1, most_ms),
            ("max_caller_requests", self.max_caller_requests, 1, MOST_REQUESTS),
            ("max_caller_rate", number(self.max_caller_rate), 1, MOST_RATE),
            ("max_deadline_ms", in_ms(self.max_deadline), LEAST_TIMEOUT_MS, most_ms),
            ("max_connection_age_ms", in_ms(self.max_connection_age), LEAST_AGE_MS, most_ms),
            ("connection_idle_ms", in_ms(self.connection_idle), LEAST_AGE_MS, most_ms),
            ("grpc_timeout_ms", in_ms(self.grpc_timeout), LEAST_TIMEOUT_MS, most_ms),
            ("ping_interval_ms", in_ms(self.ping_interval), LEAST_TIMEOUT_MS, most_ms),
            ("ping_timeout_ms", in_ms(self.ping_timeout), LEAST_TIMEOUT_MS, most_ms),
            ("tls_handshake_ms", in_ms(self.tls_handshake), LEAST_TIMEOUT_MS, most_ms),
        ] {
            bounds(name, given, least..=most)?;
        }
        Ok(())
    }

    /// The settings as a file would name them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_batch,
            max_changes,
            pages: PageSizes { plain, explained },
            max_running_lists,
            max_connections,
            max_address_connections,
            max_health_streams,
            max_connection_health_streams,
            max_buffered_bytes,
            max_connection_requests,
            max_thread_requests,
            max_requests,
            max_queue,
            max_caller_requests,
            max_caller_rate,
            max_deadline,
            max_connection_age,
            connection_farewell,
            connection_idle,
            grpc_timeout,
            ping_interval,
            ping_timeout,
            tls_handshake,
        } = self;
        writeln!(f, "max_batch: {max_batch}")?;
        writeln!(f, "max_changes: {max_changes}")?;
        writeln!(f, "max_page_size: {plain}")?;
        writeln!(f, "max_explained_page_size: {explained}")?;
        writeln!(f, "max_running_lists: {max_running_lists}")?;
        writeln!(f, "max_connections: {max_connections}")?;
        writeln!(f, "max_address_connections: {max_address_connections}")?;
        writeln!(f, "max_health_streams: {max_health_streams}")?;
        writeln!(f, "max_connection_health_streams: {max_connection_health_streams}")?;
        writeln!(f, "max_buffered_bytes: {max_buffered_bytes}")?;
        writeln!(f, "max_connection_requests: {max_connection_requests}")?;
        writeln!(f, "max_thread_requests: {max_thread_requests}")?;
        writeln!(f, "max_requests: {max_requests}")?;
        writeln!(f, "max_queue_ms: {}", max_queue.as_millis())?;
        writeln!(f, "max_caller_requests: {max_caller_requests}")?;
        writeln!(f, "max_caller_rate: {max_caller_rate}")?;
        writeln!(f, "max_deadline_ms: {}", max_deadline.as_millis())?;
        writeln!(f, "max_connection_age_ms: {}", max_connection_age.as_millis())?;
        writeln!(f, "connection_farewell_ms: {}", connection_farewell.as_millis())?;
        writeln!(f, "connection_idle_ms: {}", connection_idle.as_millis())?;
        writeln!(f, "grpc_timeout_ms: {}", grpc_timeout.as_millis())?;
        writeln!(f, "ping_interval_ms: {}", ping_interval.as_millis())?;
        writeln!(f, "ping_timeout_ms: {}", ping_timeout.as_millis())?;
        writeln!(f, "tls_handshake_ms: {}", tls_handshake.as_millis())
    }
}

/// How large the body of a request may be, of either door.
fn largest_body(given: &Settings) -> usize {
    let message = given.max_message_bytes.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES);
    message.max(given.max_body_bytes.unwrap_or(DEFAULT_MAX_BODY_BYTES))
}
