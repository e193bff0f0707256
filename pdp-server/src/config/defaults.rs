//! What the settings are unless told otherwise.

use std::time::Duration;

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

/// The default of `grace_ms`: load balancers look every second or so.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// The default of `drain_ms`: long enough for every request, and for most exports.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// The default of `max_body_bytes`: a batch of [`crate::rpc::MAX_BATCH`] questions of a kilobyte each.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// The default of `http_timeout_ms`: longer than any network takes that is worth waiting for.
pub const DEFAULT_HTTP_TIMEOUT: Duration = Duration::from_secs(30);
