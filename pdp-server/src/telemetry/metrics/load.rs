//! Metrics of how much is taken on.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge};

words! {
    /// Which limit a request was one too many for.
    ShedReason {
        ThreadRequests = "thread_requests",
        Requests = "requests",
        Queue = "queue",
        CallerRequests = "caller_requests",
        CallerRate = "caller_rate",
    }
}

/// These metrics.
pub(super) struct Load {
    shed: [Counter; ShedReason::COUNT],
    in_flight: Gauge,
}

const SHED: &str = "pdp_requests_shed_total";
const IN_FLIGHT: &str = "pdp_requests_in_flight";

// === impl Load ===

impl Load {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            shed: std::array::from_fn(|reason| {
                counter(recorder, SHED, &[("reason", ShedReason::word(reason))])
            }),
            in_flight: gauge(recorder, IN_FLIGHT),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts a request that was not taken on.
    pub(crate) fn shed(&self, reason: ShedReason) {
        if let Some(counter) = self.load.shed.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// Notes how many requests are in flight.
    pub(crate) fn in_flight(&self, requests: usize) {
        self.load.in_flight.set(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
    }
}

/// What these metrics tell, for those who read them.
pub(super) const DESCRIBED: [(&str, bool, &str); 2] = [
    (SHED, false, "Requests that were refused unread as there was too much to do, by limit."),
    (IN_FLIGHT, true, "Requests that have arrived and have no answer yet, this one included."),
];
