//! Metrics of what the server holds, its policies and its store, and of how long changing them takes.

use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge, histogram};
use crate::publish::{Compiles, PolicyState, Publisher, Standing};
use crate::store::Commits;

/// These metrics.
pub(super) struct State {
    compile_seconds: Histogram,
    compile_failures: Counter,
    commit_seconds: Histogram,
    commit_failures: Counter,
    store_bytes: Gauge,
    log_age: Gauge,
    log_followed: Gauge,
}

const COMPILE_SECONDS: &str = "pdp_compile_seconds";
const COMPILE_FAILURES: &str = "pdp_compile_failures_total";
const COMMIT_SECONDS: &str = "pdp_commit_seconds";
const COMMIT_FAILURES: &str = "pdp_commit_failures_total";
const STORE_BYTES: &str = "pdp_store_bytes";
const LOG_AGE: &str = "pdp_log_age_seconds";
const LOG_FOLLOWED: &str = "pdp_log_followed";

/// What these metrics tell; a gauge, or else a histogram.
pub(super) const DESCRIBED: [(&str, bool, &str); 5] = [
    (COMPILE_SECONDS, false, "How long it took to compile a change set, in seconds."),
    (
        COMMIT_SECONDS,
        false,
        "How long a commit of the store took until it was durable, in seconds.",
    ),
    (STORE_BYTES, true, "How large the file of the store is, in bytes."),
    (
        LOG_AGE,
        true,
        "How long ago the server knew that it had everything the shared log has, in seconds.",
    ),
    (LOG_FOLLOWED, true, "1 while the shared log is followed, or there is none; 0 otherwise."),
];

/// What those that count tell.
pub(super) const COUNTED: [(&str, &str); 2] = [
    (
        COMPILE_FAILURES,
        "Change sets refused as the policy would compile to more than a server holds.",
    ),
    (COMMIT_FAILURES, "Commits of the store that failed; after one no writes are taken."),
];

/// How the policy of a tenant is told in one number.
type Told = (&'static str, &'static str, fn(&PolicyState) -> String);

/// What is told of the policy of every tenant. Tenants come and go, so that no handle is kept.
const POLICIES: [Told; 3] = [
    ("pdp_snapshot_revision", "The policy revision that questions are answered from.", |policy| {
        policy.revision.to_string()
    }),
    ("pdp_snapshot_facts", "How many facts the policy was compiled from.", |policy| {
        policy.facts.to_string()
    }),
    (
        "pdp_snapshot_age_seconds",
        "How long ago the policy was compiled, by a change or at the start, in seconds.",
        |policy| policy.age.as_secs_f64().to_string(),
    ),
];

// === impl State ===

impl State {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            compile_seconds: histogram(recorder, COMPILE_SECONDS, &[]),
            compile_failures: counter(recorder, COMPILE_FAILURES, &[]),
            commit_seconds: histogram(recorder, COMMIT_SECONDS, &[]),
            commit_failures: counter(recorder, COMMIT_FAILURES, &[]),
            store_bytes: gauge(recorder, STORE_BYTES),
            log_age: gauge(recorder, LOG_AGE),
            log_followed: gauge(recorder, LOG_FOLLOWED),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Has the publisher note how its steps go.
    pub(super) fn measure(&self, publisher: &Publisher) {
        let State {
            compile_seconds,
            compile_failures,
            commit_seconds,
            commit_failures,
            store_bytes: _,
            log_age: _,
            log_followed: _,
        } = &self.state;
        publisher.measured_by(
            Compiles { seconds: compile_seconds.clone(), failures: compile_failures.clone() },
            Commits { seconds: commit_seconds.clone(), failures: commit_failures.clone() },
        );
        self.store(publisher.store_bytes());
        self.log(publisher.standing());
    }

    /// Notes how the shared log is followed, if there is one.
    pub(crate) fn log(&self, standing: Option<Standing>) {
        let age = standing.map_or(0.0, |standing| standing.age.as_secs_f64());
        let followed = standing.is_none_or(|standing| standing.reachable && !standing.diverged);
        self.state.log_age.set(age);
        self.state.log_followed.set(if followed { 1.0 } else { 0.0 });
    }

    /// Notes how large the store is, if that can be seen.
    pub(crate) fn store(&self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            #[expect(clippy::cast_precision_loss, reason = "exact up to eight petabytes")]
            self.state.store_bytes.set(bytes as f64);
        }
    }
}

/// Writes what is told of policies, in Prometheus's text format.
pub(super) fn tell(text: &mut String, policies: &[PolicyState]) {
    for (name, help, value) in POLICIES {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for policy in policies {
            let tenant = escaped(policy.tenant.as_str());
            text.push_str(&format!("{name}{{tenant=\"{tenant}\"}} {}\n", value(policy)));
        }
    }
}

/// A label's value, with the three characters that end it escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
