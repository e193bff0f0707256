//! What operators see: metrics, traces and logs. Nothing here decides, and nothing that decides
//! waits for it.

mod metrics;
mod parent;
mod span;
mod trace;

pub(crate) use self::metrics::{
    Connections, DecisionRpc, Handshake, ListRpc, Metrics, Port, Queue, RefusedReason, Reloaded,
    Rpc, ShedReason, Unasked, Unauthenticated,
};
pub(crate) use self::parent::{Parent, TRACEPARENT, TraceId};
pub(crate) use self::span::{Inner, RequestSpan, Spans, Traced};
pub(crate) use self::trace::write_span;
pub use self::trace::{Telemetry, TelemetryError, install};
