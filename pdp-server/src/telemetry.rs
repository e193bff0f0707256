//! What operators see: metrics, traces and logs. Nothing here decides, and nothing that decides
//! waits for it.

mod metrics;
mod trace;

pub(crate) use self::metrics::{
    Connections, DecisionRpc, Handshake, ListRpc, Metrics, Port, Queue, RefusedReason, Reloaded,
    Rpc, ShedReason, Unasked, Unauthenticated,
};
pub(crate) use self::trace::write_span;
pub use self::trace::{Telemetry, TelemetryError, install};
