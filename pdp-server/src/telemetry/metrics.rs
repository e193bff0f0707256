//! Metrics. Every handle is made once, at the start, and lies in a table indexed by what it is
//! about: counting a decision looks nothing up and takes no lock.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use pdp_engine::query::{Decision, Effect, Reason};
use tonic::Code;

use crate::publish::{PolicyState, Publisher, Receipt};

/// Upper bounds of the histograms' buckets, in seconds: decisions take microseconds, commits
/// milliseconds.
const BUCKETS: [f64; 19] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How many gRPC status codes there are, `OK` included.
const CODES: usize = 17;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($variant,)+ }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const COUNT: usize = Self::ALL.len();

            /// The word that stands in labels.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn word(index: usize) -> &'static str {
                Self::ALL.get(index).map_or("", |item| item.as_str())
            }
        }
    };
}

mod access;
mod decision_log;
mod load;
mod state;

pub(crate) use access::{Handshake, Reloaded, Unauthenticated};
pub(crate) use load::{Connections, Port, Queue, RefusedReason, ShedReason};

words! {
    /// The RPCs, by service and name.
    Rpc {
        Check = "DecisionService/Check",
        BatchCheck = "DecisionService/BatchCheck",
        CheckStream = "DecisionService/CheckStream",
        Explain = "DecisionService/Explain",
        CheckDelegation = "DecisionService/CheckDelegation",
        ExplainDelegation = "DecisionService/ExplainDelegation",
        ListPermissions = "DecisionService/ListPermissions",
        ListResources = "DecisionService/ListResources",
        ListSubjects = "DecisionService/ListSubjects",
        ListApprovers = "DecisionService/ListApprovers",
        WatchPermissions = "DecisionService/WatchPermissions",
        Apply = "PolicyService/Apply",
        Import = "PolicyService/Import",
        Export = "PolicyService/Export",
        Get = "PolicyService/Get",
        List = "PolicyService/List",
        Watch = "PolicyService/Watch",
        TenantCreate = "TenantService/Create",
        TenantDelete = "TenantService/Delete",
        TenantList = "TenantService/List",
        AuditList = "AuditService/List",
        AuditVerify = "AuditService/Verify",
        SessionOpen = "SessionService/Open",
        SessionRenew = "SessionService/Renew",
        SessionClose = "SessionService/Close",
        SessionForceEnd = "SessionService/ForceEnd",
        SessionGet = "SessionService/Get",
        SessionList = "SessionService/List",
        WatchRevocations = "SessionService/WatchRevocations",
        AcknowledgeRevocation = "SessionService/AcknowledgeRevocation",
        ExtAuthz = "Authorization/Check",
        Evaluation = "AuthZEN/evaluation",
        Evaluations = "AuthZEN/evaluations",
        HealthWatch = "Health/Watch",
        Reflection = "ServerReflection/ServerReflectionInfo",
    }
}

words! {
    /// The RPCs that decide.
    DecisionRpc {
        Check = "Check",
        BatchCheck = "BatchCheck",
        CheckStream = "CheckStream",
        Explain = "Explain",
        CheckDelegation = "CheckDelegation",
        ExplainDelegation = "ExplainDelegation",
        ExtAuthz = "ext_authz",
        Evaluation = "evaluation",
        Evaluations = "evaluations",
    }
}

words! {
    /// Why a request at a gateway asked the policy nothing.
    Unasked {
        Public = "PUBLIC",
        NoRoute = "NO_ROUTE",
        NoSubject = "NO_SUBJECT",
        BadPath = "BAD_PATH",
        Malformed = "MALFORMED",
    }
}

words! {
    /// The RPCs that list.
    ListRpc {
        Permissions = "ListPermissions",
        Resources = "ListResources",
        Subjects = "ListSubjects",
        Approvers = "ListApprovers",
    }
}

words! {
    /// What became of a change set.
    Outcome {
        Applied = "applied",
        NoEffect = "no_effect",
        DryRun = "dry_run",
        Replayed = "replayed",
        Refused = "refused",
    }
}

/// Every metric of the server.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    rendered: PrometheusHandle,
    decisions: [[[Counter; Reason::ALL.len()]; Effect::ALL.len()]; DecisionRpc::COUNT],
    decision_seconds: [Histogram; DecisionRpc::COUNT],
    list_seconds: [Histogram; ListRpc::COUNT],
    failures: [[Counter; CODES]; Rpc::COUNT],
    unasked: [Counter; Unasked::COUNT],
    change_sets: [Counter; Outcome::COUNT],
    apply_seconds: Histogram,
    load_seconds: Gauge,
    open_sessions: Gauge,
    outstanding_revocations: Gauge,
    access: access::Access,
    decision_log: decision_log::DecisionLog,
    load: load::Load,
    state: state::State,
}

// === impl Metrics ===

impl Metrics {
    /// Makes every handle.
    pub(crate) fn new() -> Self {
        let recorder = builder().build_recorder();
        let rendered = recorder.handle();
        describe(&recorder);
        let decisions = std::array::from_fn(|rpc| {
            std::array::from_fn(|effect| {
                std::array::from_fn(|reason| {
                    let labels = [
                        ("rpc", DecisionRpc::word(rpc)),
                        ("effect", Effect::ALL.get(effect).map_or("", |effect| effect.as_str())),
                        ("reason", Reason::ALL.get(reason).map_or("", |reason| reason.as_str())),
                    ];
                    counter(&recorder, DECISIONS, &labels)
                })
            })
        });
        let decision_seconds = std::array::from_fn(|rpc| {
            histogram(&recorder, DECISION_SECONDS, &[("rpc", DecisionRpc::word(rpc))])
        });
        let list_seconds = std::array::from_fn(|rpc| {
            histogram(&recorder, LIST_SECONDS, &[("rpc", ListRpc::word(rpc))])
        });
        let failures = std::array::from_fn(|rpc| {
            std::array::from_fn(|code| {
                let labels = [("rpc", Rpc::word(rpc)), ("code", code_name(code))];
                counter(&recorder, FAILURES, &labels)
            })
        });
        let unasked = std::array::from_fn(|reason| {
            counter(&recorder, UNASKED, &[("reason", Unasked::word(reason))])
        });
        let change_sets = std::array::from_fn(|outcome| {
            counter(&recorder, CHANGE_SETS, &[("outcome", Outcome::word(outcome))])
        });
        let apply_seconds = histogram(&recorder, APPLY_SECONDS, &[]);
        let load_seconds = gauge(&recorder, LOAD_SECONDS);
        let open_sessions = gauge(&recorder, OPEN_SESSIONS);
        let outstanding_revocations = gauge(&recorder, OUTSTANDING_REVOCATIONS);
        let access = access::Access::new(&recorder);
        let decision_log = decision_log::DecisionLog::new(&recorder);
        let load = load::Load::new(&recorder);
        let state = state::State::new(&recorder);
        Self {
            recorder,
            rendered,
            decisions,
            decision_seconds,
            list_seconds,
            failures,
            unasked,
            change_sets,
            apply_seconds,
            load_seconds,
            open_sessions,
            outstanding_revocations,
            access,
            decision_log,
            load,
            state,
        }
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, rpc: DecisionRpc, decision: &Decision) {
        let Decision { effect, reason, revision: _ } = decision;
        let counter = self
            .decisions
            .get(rpc as usize)
            .and_then(|effects| effects.get(*effect as usize))
            .and_then(|reasons| reasons.get(*reason as usize));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    /// Counts a request at a gateway that asked nothing.
    pub(crate) fn unasked(&self, reason: Unasked) {
        if let Some(counter) = self.unasked.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// Notes how long a deciding RPC took, waiting for a revision included; of a stream, how long what
    /// had come together took, without waiting.
    pub(crate) fn decision_took(&self, rpc: DecisionRpc, took: Duration) {
        if let Some(histogram) = self.decision_seconds.get(rpc as usize) {
            histogram.record(took);
        }
    }

    /// Notes how long a page of a list took, waiting for a revision included.
    pub(crate) fn list_took(&self, rpc: ListRpc, took: Duration) {
        if let Some(histogram) = self.list_seconds.get(rpc as usize) {
            histogram.record(took);
        }
    }

    /// Counts a request that failed.
    pub(crate) fn failed(&self, rpc: Rpc, code: Code) {
        let code = usize::try_from(i32::from(code)).unwrap_or(CODES);
        if let Some(counter) = self.failures.get(rpc as usize).and_then(|codes| codes.get(code)) {
            counter.increment(1);
        }
    }

    /// Counts a change set.
    pub(crate) fn change_set<E>(&self, receipt: Result<&Receipt, E>, took: Duration) -> Outcome {
        let outcome = match receipt {
            Err(_) => Outcome::Refused,
            Ok(receipt) if receipt.replayed => Outcome::Replayed,
            Ok(receipt) if receipt.dry_run => Outcome::DryRun,
            Ok(receipt) if receipt.changes.is_empty() => Outcome::NoEffect,
            Ok(_) => Outcome::Applied,
        };
        if let Some(counter) = self.change_sets.get(outcome as usize) {
            counter.increment(1);
        }
        self.apply_seconds.record(took);
        outcome
    }

    /// How many sessions are open, and how much work is outstanding.
    pub(crate) fn sessions(&self, (open, outstanding): (usize, usize)) {
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.open_sessions.set(number(open));
        self.outstanding_revocations.set(number(outstanding));
    }

    /// Notes how long the start took, from opening the store to the first answer; from now on the
    /// publisher notes how long its steps take.
    pub(crate) fn loaded(&self, took: Duration, publisher: &Publisher) {
        self.load_seconds.set(took);
        self.measure(publisher);
    }

    /// The gauge of open streams.
    pub(crate) fn live_streams(&self) -> Gauge {
        gauge(&self.recorder, LIVE_STREAMS)
    }

    /// The gauge of open streams of checks.
    pub(crate) fn check_streams(&self) -> Gauge {
        gauge(&self.recorder, CHECK_STREAMS)
    }

    /// Moves what was recorded into the buckets, so that it does not pile up where nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.rendered.run_upkeep();
    }

    /// Everything in Prometheus's text format. Tenants come and go, so theirs are written here.
    pub(crate) fn render(&self, policies: &[PolicyState]) -> String {
        let mut text = self.rendered.render();
        state::tell(&mut text, policies);
        text
    }
}

const DECISIONS: &str = "pdp_decisions_total";
const DECISION_SECONDS: &str = "pdp_decision_seconds";
const LIST_SECONDS: &str = "pdp_list_seconds";
const FAILURES: &str = "pdp_rpc_failures_total";
const UNASKED: &str = "pdp_gateway_unasked_total";
const CHANGE_SETS: &str = "pdp_change_sets_total";
const APPLY_SECONDS: &str = "pdp_apply_seconds";
const LOAD_SECONDS: &str = "pdp_load_seconds";
const OPEN_SESSIONS: &str = "pdp_open_sessions";
const OUTSTANDING_REVOCATIONS: &str = "pdp_outstanding_revocations";
const LIVE_STREAMS: &str = "pdp_live_streams";
const CHECK_STREAMS: &str = "pdp_check_streams";

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn builder() -> PrometheusBuilder {
    // INVARIANT: the only error is an empty list of buckets, and ours is not empty.
    PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default()
}

fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, text: &'static str| {
        recorder.describe_counter(name.into(), None, text.into());
    };
    counter(DECISIONS, "Decisions, by RPC, effect and reason.");
    counter(FAILURES, "Requests that failed, by RPC and gRPC status code.");
    counter(UNASKED, "Requests at gateways that asked the policy nothing, by reason.");
    counter(CHANGE_SETS, "Change sets, by what became of them.");
    let counted = decision_log::DESCRIBED.into_iter().chain(state::COUNTED);
    counted.for_each(|(name, text)| counter(name, text));
    let histogram = |name: &'static str, text: &'static str| {
        recorder.describe_histogram(name.into(), None, text.into());
    };
    histogram(DECISION_SECONDS, "How long a deciding RPC took in the server, in seconds.");
    histogram(LIST_SECONDS, "How long a page of a list took in the server, in seconds.");
    histogram(
        APPLY_SECONDS,
        "How long a change set took, from validation to the new snapshot, in seconds.",
    );
    let gauge = |name: &'static str, text: &'static str| {
        recorder.describe_gauge(name.into(), None, text.into());
    };
    gauge(LIVE_STREAMS, "Exports and watches that are open.");
    gauge(CHECK_STREAMS, "Streams of checks that are open.");
    gauge(OPEN_SESSIONS, "Privileged sessions that have not been ended.");
    gauge(OUTSTANDING_REVOCATIONS, "Items of work after sessions that no broker has done yet.");
    gauge(LOAD_SECONDS, "How long the start took, from opening the store to ready, in seconds.");
    for (name, is_gauge, text) in access::DESCRIBED.into_iter().chain(load::DESCRIBED) {
        if is_gauge { gauge(name, text) } else { counter(name, text) }
    }
    for (name, is_gauge, text) in state::DESCRIBED {
        if is_gauge { gauge(name, text) } else { histogram(name, text) }
    }
}

fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
    let labels = labels.iter().map(|(name, value)| Label::from_static_parts(name, value));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

fn counter(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Counter {
    recorder.register_counter(&key(name, labels), &METADATA)
}

fn histogram(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Histogram {
    recorder.register_histogram(&key(name, labels), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, name: &'static str) -> Gauge {
    gauge_of(recorder, name, &[])
}

fn gauge_of(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Gauge {
    recorder.register_gauge(&key(name, labels), &METADATA)
}

/// A status code as gRPC writes it.
pub(super) const fn code_name(code: usize) -> &'static str {
    match code {
        0 => "OK",
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        _ => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::id::TenantId;
    use pdp_engine::query::Revision;

    use super::*;

    #[test]
    fn decisions_and_failures_are_counted_under_their_own_labels() {
        let metrics = Metrics::new();
        let decision = Decision {
            effect: Effect::Deny,
            reason: Reason::SelfDelegation,
            revision: Revision::new(3),
        };
        metrics.decided(DecisionRpc::BatchCheck, &decision);
        metrics.decided(DecisionRpc::BatchCheck, &decision);
        metrics.decision_took(DecisionRpc::BatchCheck, Duration::from_micros(20));
        metrics.failed(Rpc::TenantList, Code::Unauthenticated);
        let text = metrics.render(&[PolicyState {
            tenant: TenantId::new("a\"b").unwrap(),
            revision: Revision::new(3),
            facts: 7,
            age: Duration::from_millis(1_500),
        }]);
        let line =
            r#"pdp_decisions_total{rpc="BatchCheck",effect="DENY",reason="SELF_DELEGATION"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains(r#"rpc="TenantService/List",code="UNAUTHENTICATED"} 1"#), "{text}");
        assert!(
            text.contains(r#"pdp_decision_seconds_bucket{rpc="BatchCheck",le="0.000025"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"pdp_snapshot_revision{tenant="a\"b"} 3"#), "{text}");
        assert!(text.contains(r#"pdp_snapshot_facts{tenant="a\"b"} 7"#), "{text}");
        assert!(text.contains(r#"pdp_snapshot_age_seconds{tenant="a\"b"} 1.5"#), "{text}");
    }

    #[test]
    fn the_tables_are_in_the_order_of_their_enums() {
        for (index, effect) in Effect::ALL.into_iter().enumerate() {
            assert_eq!(effect as usize, index);
        }
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        assert_eq!(Rpc::TenantList.as_str(), Rpc::word(Rpc::TenantList as usize));
    }
}
