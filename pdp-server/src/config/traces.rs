//! Settings of traces: where they go, and which requests have one.

use std::fmt;

use super::{ConfigError, DEFAULT_OTLP_SAMPLE_RATIO, Settings, Share};

/// How requests are traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// Where traces go.
    pub endpoint: Option<String>,
    /// Which share of requests without a trace is traced.
    pub sample_ratio: Share,
}

// === impl Traces ===

impl Traces {
    pub(super) fn of(given: &Settings) -> Self {
        Self {
            endpoint: given.otlp_endpoint.clone(),
            sample_ratio: given.otlp_sample_ratio.unwrap_or(DEFAULT_OTLP_SAMPLE_RATIO),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match &self.endpoint {
            Some(endpoint) if endpoint.contains('@') => {
                Err(ConfigError::NamesUser("otlp_endpoint"))
            }
            Some(endpoint) if !is_http(endpoint) => Err(ConfigError::Endpoint(endpoint.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// The settings as a file would name them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, sample_ratio } = self;
        if let Some(endpoint) = endpoint {
            writeln!(f, "otlp_endpoint: {endpoint:?}")?;
        }
        writeln!(f, "otlp_sample_ratio: {sample_ratio}")
    }
}

/// Whether spans can be sent to it.
fn is_http(endpoint: &str) -> bool {
    let uri: Option<http::Uri> = endpoint.parse().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}
