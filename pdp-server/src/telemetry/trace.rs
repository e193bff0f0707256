//! Traces and logs. Writes get their spans here, as children of what their callers say; those of questions
//! are made by a cheaper way. Logs are for people on a terminal and JSON elsewhere.

use std::io::IsTerminal as _;

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Link, SpanKind, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample};
use tonic::metadata::{KeyRef, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Config, LogFormat, Share};

/// The name that traces come under.
const SERVICE_NAME: &str = "pdp-server";

/// How long a text in a span may be, in bytes: as long as a name.
const MAX_TEXT_BYTES: usize = 256;

/// In the context of a request that belongs to no trace, and was chosen to begin one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen;

/// Follows what callers say of their traces; of requests without one, a share begins one.
#[derive(Debug, Clone)]
struct FollowsParents(Sampler);

/// What was installed; spans that still wait are sent when it is finished.
#[derive(Debug)]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the logs cannot be read.
    #[error("`log` is `{given}`, which is no filter: {source}")]
    Filter {
        /// The setting.
        given: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of spans cannot be made.
    #[error("`otlp_endpoint`: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Something else logs already.
    #[error(transparent)]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Installs logs and, if there is an endpoint, traces for the whole process. Call it inside of a
/// tokio runtime: spans are sent from there.
///
/// # Errors
/// [`TelemetryError`] names the setting.
pub fn install(config: &Config) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|source| TelemetryError::Filter { given: config.log.clone(), source })?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = if json {
        logs.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
    };
    let exporter = |endpoint| exporter(endpoint, config.traces.sample_ratio);
    let spans = config.traces.endpoint.as_deref().map(exporter).transpose()?;
    if let Some(provider) = &spans {
        global::set_tracer_provider(provider.clone());
    }
    let traces = spans.as_ref().map(|provider| {
        let tracer = provider.tracer(SERVICE_NAME);
        // Only this server's own spans: the exporter's connection would otherwise trace itself.
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(
            tracing_subscriber::filter::filter_fn(|span| span.target().starts_with("pdp_server")),
        )
    });
    tracing_subscriber::registry().with(logs).with(traces).try_init()?;
    Ok(Telemetry { spans })
}

fn exporter(endpoint: &str, share: Share) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let resource = Resource::builder().with_service_name(SERVICE_NAME).build();
    let builder = SdkTracerProvider::builder().with_sampler(FollowsParents::new(share));
    Ok(builder.with_batch_exporter(exporter).with_resource(resource).build())
}

/// What begins spans, as far as [`install`] has said where they go.
pub(super) fn tracer() -> BoxedTracer {
    global::tracer(SERVICE_NAME)
}

/// As much of a text as a span may have.
pub(super) fn bounded(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A span for an RPC that writes, under the caller's trace if the request names one.
pub(crate) fn write_span(rpc: &'static str, tenant: &str, metadata: &MetadataMap) -> Span {
    // The caller is known once the tenant is, for which their roles count.
    let (tenant, caller) = (bounded(tenant), tracing::field::Empty);
    let span =
        tracing::info_span!("write", otel.name = rpc, otel.kind = "server", rpc, tenant, caller);
    let caller = TraceContextPropagator::new().extract(&Headers(metadata));
    // Without an exporter there is nothing that a parent could be set on.
    span.set_parent(caller).ok();
    span
}

struct Headers<'a>(&'a MetadataMap);

// === impl FollowsParents ===

impl FollowsParents {
    fn new(share: Share) -> Self {
        let root = Sampler::TraceIdRatioBased(share.as_ratio());
        Self(Sampler::ParentBased(Box::new(root)))
    }
}

impl ShouldSample for FollowsParents {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let chosen = parent.is_some_and(|context| context.get::<Chosen>().is_some());
        let sampler = if chosen { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

// === impl Headers ===

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        let name = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(name).collect()
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends what still waits. It waits for the network, within the exporter's limits: call it
    /// where blocking is allowed.
    pub fn finish(self) {
        if let Some(provider) = self.spans
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some spans were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "\u{fc}".repeat(200);
        assert_eq!(bounded(&long).len(), 256);
        assert_eq!(bounded(&long[..10]), &long[..10]);
        let odd = format!("a{long}");
        assert_eq!(bounded(&odd).len(), 255);
    }

    #[test]
    fn a_write_is_a_child_of_its_caller_s_span() {
        let sent = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(sent.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut metadata = MetadataMap::new();
        metadata.insert("traceparent", caller.parse().unwrap());
        tracing::subscriber::with_default(subscriber, || {
            drop(write_span("PolicyService/Apply", "acme", &metadata));
            drop(write_span("PolicyService/Apply", "acme", &MetadataMap::new()));
        });
        let spans = sent.get_finished_spans().unwrap();
        let [child, root] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(child.name, "PolicyService/Apply");
        assert_eq!(child.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(child.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(!root.parent_span_id.to_string().contains(|c| c != '0'), "{root:?}");
        let tenant = child.attributes.iter().find(|attribute| attribute.key.as_str() == "tenant");
        assert!(tenant.is_some_and(|attribute| attribute.value.as_str() == "acme"), "{child:?}");
    }
}
