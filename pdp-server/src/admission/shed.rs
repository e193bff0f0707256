//! Why something is not taken on, and which setting says so.

use std::time::Duration;

use crate::telemetry::ShedReason;

/// Why a request is not taken on. It was not looked at, and may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shed {
    /// Too many on one thread.
    #[error(
        "{maximum} requests are in flight on this thread already, which is the limit; try again"
    )]
    Thread {
        /// The limit.
        maximum: usize,
    },
    /// Too many in all.
    #[error("{maximum} requests are in flight already, which is the limit; try again")]
    All {
        /// The limit.
        maximum: usize,
    },
    /// It would wait too long.
    #[error("the server is overloaded: the wait is longer than {} ms; try again", .maximum.as_millis())]
    Queue {
        /// The limit.
        maximum: Duration,
    },
    /// Too many of one caller.
    #[error(
        "{maximum} requests of this caller are in flight already, which is the limit; try again"
    )]
    Caller {
        /// The limit.
        maximum: usize,
    },
    /// Too many of one caller in a second.
    #[error(
        "this caller sends more than {maximum} requests a second, which is the limit; try again"
    )]
    Rate {
        /// The limit.
        maximum: u64,
        /// When the next one is taken.
        after: Duration,
    },
    /// Too many bytes of requests that are under way.
    #[error("{maximum} bytes of requests are being held already, which is the limit; try again")]
    Bytes {
        /// The limit.
        maximum: usize,
    },
    /// Too many connections.
    #[error(
        "{maximum} connections are open already, which is the limit: this one is told about health only; connect again"
    )]
    Connections {
        /// The limit.
        maximum: usize,
    },
    /// Too many connections of one address.
    #[error(
        "{maximum} connections of this address are open already, which is the limit: this one is told about health only; connect again"
    )]
    AddressConnections {
        /// The limit.
        maximum: usize,
    },
}

// === impl Shed ===

impl Shed {
    /// The reason in metrics.
    pub(crate) const fn label(self) -> ShedReason {
        match self {
            Self::Thread { .. } => ShedReason::ThreadRequests,
            Self::All { .. } => ShedReason::Requests,
            Self::Queue { .. } => ShedReason::Queue,
            Self::Caller { .. } => ShedReason::CallerRequests,
            Self::Rate { .. } => ShedReason::CallerRate,
            Self::Bytes { .. } => ShedReason::BufferedBytes,
            Self::Connections { .. } => ShedReason::Connections,
            Self::AddressConnections { .. } => ShedReason::AddressConnections,
        }
    }

    /// Whether it is because of the one who asks, and not because there is too much to do in all.
    pub(crate) const fn is_of_caller(self) -> bool {
        match self {
            Self::Caller { .. } | Self::Rate { .. } | Self::AddressConnections { .. } => true,
            Self::Thread { .. }
            | Self::All { .. }
            | Self::Queue { .. }
            | Self::Bytes { .. }
            | Self::Connections { .. } => false,
        }
    }

    /// Whether it is because the thread has no time for it.
    pub(crate) const fn is_of_time(self) -> bool {
        matches!(self, Self::Queue { .. })
    }

    /// The setting that is the limit, and what it is.
    pub(crate) fn limit(self) -> (&'static str, String) {
        match self {
            Self::Thread { maximum } => ("max_thread_requests", maximum.to_string()),
            Self::All { maximum } => ("max_requests", maximum.to_string()),
            Self::Queue { maximum } => ("max_queue_ms", maximum.as_millis().to_string()),
            Self::Caller { maximum } => ("max_caller_requests", maximum.to_string()),
            Self::Rate { maximum, after: _ } => ("max_caller_rate", maximum.to_string()),
            Self::Bytes { maximum } => ("max_buffered_bytes", maximum.to_string()),
            Self::Connections { maximum } => ("max_connections", maximum.to_string()),
            Self::AddressConnections { maximum } => {
                ("max_address_connections", maximum.to_string())
            }
        }
    }
}
