//! Spans of requests that decide or list. A request whose trace is recorded by whoever sent it has one,
//! and of those that belong to no trace a share. Whether it has one is seen from the bytes of one header:
//! who has none costs a look at them, and nothing is allocated.
//!
//! A span says what was asked through, for which tenant and by which caller, and what came of it. It never
//! says who or what was asked about: that is for the log of decisions, which masks.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId as SpanTraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use pdp_engine::query::{Decision, Effect, Revision};
use tonic::Code;

use super::metrics::code_name;
use super::parent::{Parent, TraceId};
use super::trace::{Chosen, bounded, tracer};
use crate::config::{Config, Share};
use crate::decision_id::DecisionId;

/// Begins spans, if traces go anywhere.
#[derive(Default)]
pub(crate) struct Spans(Option<On>);

struct On {
    tracer: BoxedTracer,
    /// Of the requests that belong to no trace.
    share: Share,
}

/// What a request is traced by: mostly nothing.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    trace: Option<TraceId>,
    span: Option<Box<RequestSpan>>,
}

/// Marks a request that is a part of another one, which has the span of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inner;

/// The span of one request. It ends when it is dropped: without a code as one whose caller has gone.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    span: BoxedSpan,
    about: OnceLock<[String; 2]>,
    revision: OnceLock<Revision>,
    first: OnceLock<(Decision, DecisionId)>,
    /// How many decisions there were of each effect.
    counts: [AtomicU64; Effect::ALL.len()],
    code: Code,
}

/// What the decisions of a request that has several are told as, by effect.
const COUNTS: [&str; Effect::ALL.len()] = ["allowed", "denied", "approval_required"];

// === impl Spans ===

impl Spans {
    /// As the settings say. What was installed for the process sends them.
    pub(crate) fn new(config: &Config) -> Self {
        let on = || On { tracer: tracer(), share: config.traces.sample_ratio };
        Self(config.traces.endpoint.is_some().then(on))
    }

    /// Whether it matters what a request says of its trace.
    pub(crate) const fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request, if it is to have one.
    pub(crate) fn begin(&self, name: &'static str, parent: Option<Parent>) -> Traced {
        let trace = parent.map(Parent::trace);
        let none = Traced { trace, span: None };
        let Some(On { tracer, share }) = &self.0 else { return none };
        let context = match parent {
            Some(Parent { sampled: false, .. }) => return none,
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None if share.holds(drawn()) => Context::new().with_value(Chosen),
            None => return none,
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let mut span = builder.start_with_context(tracer, &context);
        span.set_attribute(KeyValue::new("rpc", name));
        let trace = TraceId::of_span(span.span_context().trace_id()).or(trace);
        Traced { trace, span: Some(Box::new(RequestSpan::new(span))) }
    }
}

/// The caller's span.
fn remote(parent: Parent) -> SpanContext {
    let trace = SpanTraceId::from_bytes(parent.trace.get().to_be_bytes());
    let span = SpanId::from_bytes(parent.span.to_be_bytes());
    SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
}

/// A number that may be any: SplitMix64, in each thread from another beginning.
fn drawn() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    let next = STATE.try_with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        next
    });
    // A thread that ends begins no traces: none but the whole holds this one.
    let Ok(mixed) = next else { return u64::MAX };
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

// === impl Traced ===

impl Traced {
    /// The trace that the request belongs to.
    pub(crate) const fn trace(&self) -> Option<TraceId> {
        self.trace
    }

    /// The request's span, if it has one.
    pub(crate) fn span(&self) -> Option<&RequestSpan> {
        self.span.as_deref()
    }

    /// The request is answered.
    pub(crate) fn end(mut self, code: Code) {
        if let Some(span) = &mut self.span {
            span.code = code;
        }
    }
}

// === impl RequestSpan ===

impl RequestSpan {
    fn new(span: BoxedSpan) -> Self {
        Self {
            span,
            about: OnceLock::new(),
            revision: OnceLock::new(),
            first: OnceLock::new(),
            counts: Default::default(),
            code: Code::Cancelled,
        }
    }

    /// Whose policy is asked, and who asks.
    pub(crate) fn about(&self, tenant: &str, caller: &str) {
        self.about.get_or_init(|| [tenant, caller].map(|text| bounded(text).to_owned()));
    }

    /// Which policy is asked.
    pub(crate) fn answered_from(&self, revision: Revision) {
        self.revision.set(revision).ok();
    }

    /// One decision of the request.
    pub(crate) fn decided(&self, decision: &Decision, id: DecisionId) {
        self.first.get_or_init(|| (*decision, id));
        if let Some(count) = self.counts.get(decision.effect as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What its decisions come to: one is told wholly, several are counted.
    fn decisions(&self) -> Vec<KeyValue> {
        let Some((decision, id)) = self.first.get() else { return Vec::new() };
        let Decision { effect, reason, revision } = *decision;
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let revision = KeyValue::new("revision", wide(revision.get()));
        if counts.iter().sum::<u64>() == 1 {
            return vec![
                KeyValue::new("effect", effect.as_str()),
                KeyValue::new("reason", reason.as_str()),
                revision,
                KeyValue::new("decision_id", id.to_string()),
            ];
        }
        let counts = COUNTS.into_iter().zip(counts);
        let counts = counts.map(|(name, count)| KeyValue::new(name, wide(count)));
        counts.chain([revision]).collect()
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if let Some([tenant, caller]) = self.about.take() {
            self.span.set_attribute(KeyValue::new("tenant", tenant));
            if !caller.is_empty() {
                self.span.set_attribute(KeyValue::new("caller", caller));
            }
        }
        for attribute in self.decisions() {
            self.span.set_attribute(attribute);
        }
        if let Some(revision) = self.revision.take() {
            self.span.set_attribute(KeyValue::new("revision", wide(revision.get())));
        }
        let code = code_name(usize::try_from(i32::from(self.code)).unwrap_or_default());
        self.span.set_attribute(KeyValue::new("code", code));
        if is_fault(self.code) {
            self.span.set_status(Status::error(code));
        }
        self.span.end();
    }
}

/// Whether a code says that it is the server that failed.
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// As traces write numbers.
fn wide(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_drawn_evenly() {
        let share: Share = "0.25".parse().unwrap();
        let held = (0..40_000).filter(|_| share.holds(drawn())).count();
        assert!((9_000..11_000).contains(&held), "{held}");
    }

    #[test]
    fn without_an_endpoint_nothing_has_a_span() {
        let spans = Spans(None);
        let parent = Parent::of(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let traced = spans.begin("DecisionService/Check", parent);
        assert!(traced.span().is_none() && !spans.are_on());
        assert_eq!(traced.trace(), parent.map(Parent::trace));
    }
}
