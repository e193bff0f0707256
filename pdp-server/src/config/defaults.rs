//! What the settings are unless told otherwise.

use std::time::Duration;

use super::Share;

/// The default of `otlp_sample_ratio`: one in a hundred, which shows what is slow, and is not much even
/// where there are many.
pub const DEFAULT_OTLP_SAMPLE_RATIO: Share = Share::percent(1);

/// The default of `max_message_bytes`: a change set of [`crate::rpc::MAX_CHANGES`] facts of a
/// kilobyte or two each.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The default of `max_live_streams`: each may hold a thread while its caller reads slowly.
pub const DEFAULT_MAX_LIVE_STREAMS: usize = 64;

/// The default of `max_check_streams`: one for each sidecar of a large installation. Each keeps a burst of
/// questions, and at most a window of bytes that its caller has sent ahead.
pub const DEFAULT_MAX_CHECK_STREAMS: usize = 1_024;

/// The default of `check_stream_idle_ms`: a caller that has been quiet for so long opens another one soon
/// enough.
pub const DEFAULT_CHECK_STREAM_IDLE: Duration = Duration::from_secs(300);

/// The default of `max_imports`: what each has sent is held in memory until it is whole.
pub const DEFAULT_MAX_IMPORTS: usize = 2;

/// The default of `max_import_bytes`: some ten million facts. In memory they take about four times as
/// much.
pub const DEFAULT_MAX_IMPORT_BYTES: usize = 1 << 30;

/// The default of `max_import_ms`: the largest import over a slow network.
pub const DEFAULT_MAX_IMPORT: Duration = Duration::from_secs(600);

/// The default of `max_wait_ms`: longer than any change set takes to become visible.
pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(10);

/// The default of `max_connections`: many times what gateways, sidecars and orchestrators hold.
pub const DEFAULT_MAX_CONNECTIONS: usize = 4_096;

/// The default of `max_address_connections`: a quarter of them all, and many times what a gateway or a
/// sidecar holds. Where everybody comes by way of one address, as behind a balancer that puts its own in
/// the place of its clients', it should be `max_connections`.
pub const DEFAULT_MAX_ADDRESS_CONNECTIONS: usize = 1_024;

/// The default of `max_connection_health_streams`: a client watches one service over a connection, or each
/// of those that there are.
pub const DEFAULT_MAX_CONNECTION_HEALTH_STREAMS: usize = 8;

/// The default of `max_health_streams`: one address may hold half of them.
pub const DEFAULT_MAX_HEALTH_STREAMS: usize = 16_384;

/// The default of `max_buffered_bytes`: sixteen messages of the largest size at once, and more than all
/// questions that may be in flight.
pub const DEFAULT_MAX_BUFFERED_BYTES: usize = 256 << 20;

/// The default of `max_connection_requests`: what a gateway has in flight on one connection. One more
/// waits at the caller. Under overload all of these wait, to be answered or refused: the fewer there are the sooner.
pub const DEFAULT_MAX_CONNECTION_REQUESTS: u32 = 128;

/// The default of `max_thread_requests`: several connections at their limit. What keeps latency flat is
/// `max_queue_ms`; this bounds memory.
pub const DEFAULT_MAX_THREAD_REQUESTS: usize = 4_096;

/// The default of `max_requests`: the same over the threads of a large machine.
pub const DEFAULT_MAX_REQUESTS: usize = 32_768;

/// The default of `max_queue_ms`: a few batches of a hundred, or one of the largest. A wait that stays longer than
/// that does not become shorter by taking on more, and what is taken on is answered about as quickly as at half load.
pub const DEFAULT_MAX_QUEUE: Duration = Duration::from_millis(1);

/// The default of `max_caller_requests`: one caller may use a thread fully, and not all of them.
pub const DEFAULT_MAX_CALLER_REQUESTS: usize = 4_096;

/// The default of `max_caller_rate`: more than one server does. Lower it where callers share a server.
pub const DEFAULT_MAX_CALLER_RATE: u64 = 1_000_000;

/// The default of `max_deadline_ms`: longer than any answer takes that somebody still waits for.
pub const DEFAULT_MAX_DEADLINE: Duration = Duration::from_secs(60);

/// The default of `max_connection_age_ms`: new instances behind a balancer get their share within that.
pub const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_secs(1_800);

/// The default of `connection_farewell_ms`: the longest import and the longest export are through by then.
pub const DEFAULT_CONNECTION_FAREWELL: Duration = Duration::from_secs(600);

/// The default of `connection_idle_ms`: connecting anew costs a caller a millisecond or two.
pub const DEFAULT_CONNECTION_IDLE: Duration = Duration::from_secs(900);

/// The default of `grpc_timeout_ms`: longer than any network takes that is worth waiting for.
pub const DEFAULT_GRPC_TIMEOUT: Duration = Duration::from_secs(30);

/// The default of `max_running_lists`: a list may keep a core busy for as long as its answer is large, and
/// decisions run on the same cores.
pub const DEFAULT_MAX_RUNNING_LISTS: usize = 8;

/// The default of `ping_interval_ms`: less than what forgets connections on the way does.
pub const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(30);

/// The default of `ping_timeout_ms`: longer than any network takes that is worth waiting for.
pub const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The default of `tls_handshake_ms`: two round trips over a bad network, several times.
pub const DEFAULT_TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// The default of `grace_ms`: load balancers look every second or so.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// The default of `drain_ms`: long enough for every request, and for most exports.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// The default of `max_body_bytes`: a batch of [`crate::rpc::MAX_BATCH`] questions of a kilobyte each.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// The default of `http_timeout_ms`: longer than any network takes that is worth waiting for.
pub const DEFAULT_HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// What the names of keys in etcd begin with, unless said.
pub const DEFAULT_ETCD_PREFIX: &str = "pdp";

/// After how many entries the log in etcd is made shorter, unless said: a server that is behind fetches
/// them within seconds.
pub const DEFAULT_ETCD_CHECKPOINT_ENTRIES: usize = 10_000;

/// After how many bytes of entries the log in etcd is made shorter, unless said: with the checkpoint it
/// stays far below the 2 GiB that etcd has room for by default.
pub const DEFAULT_ETCD_CHECKPOINT_BYTES: usize = 256 << 20;
