//! Metrics of the log of decisions.

use metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter};

words! {
    /// Why a decision is not in the log that should be.
    Dropped {
        Full = "full",
        Failed = "failed",
    }
}

/// These metrics.
pub(super) struct DecisionLog {
    records: Counter,
    dropped: [Counter; Dropped::COUNT],
}

const RECORDS: &str = "pdp_decision_log_records_total";
const DROPPED: &str = "pdp_decision_log_dropped_total";

// === impl DecisionLog ===

impl DecisionLog {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            records: counter(recorder, RECORDS, &[]),
            dropped: std::array::from_fn(|reason| {
                counter(recorder, DROPPED, &[("reason", Dropped::word(reason))])
            }),
        }
    }

    fn drop(&self, reason: Dropped, count: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.increment(count);
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts decisions that were written to the log.
    pub(crate) fn decisions_logged(&self, count: u64) {
        self.decision_log.records.increment(count);
    }

    /// Counts a decision that found its ring full.
    pub(crate) fn decision_dropped(&self) {
        self.decision_log.drop(Dropped::Full, 1);
    }

    /// Counts decisions that could not be written.
    pub(crate) fn decisions_lost(&self, count: u64) {
        self.decision_log.drop(Dropped::Failed, count);
    }
}

/// What these metrics tell, for those who read them.
pub(super) const DESCRIBED: [(&str, &str); 2] = [
    (RECORDS, "Decisions that were written to the log of decisions."),
    (DROPPED, "Decisions that should be in the log of decisions and are not, by reason."),
];
