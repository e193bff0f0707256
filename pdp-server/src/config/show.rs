//! The effective settings, as a file would name them.

use std::fmt;

use super::{Config, GatewayFile, access};

/// The settings as a file would name them.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            data,
            load,
            gateway,
            callers,
            tls,
            grpc,
            http,
            grpc_threads,
            insecure,
            log,
            log_format,
            otlp_endpoint,
            decision_log,
            max_message_bytes,
            max_live_streams,
            max_check_streams,
            check_stream_idle,
            max_imports,
            max_import_bytes,
            max_import,
            max_wait,
            overload,
            grace,
            drain,
            public_url,
            access_request_url,
            person_types,
            max_evaluations,
            max_body_bytes,
            http_timeout,
        } = self;
        let quoted = |text: &str| format!("{text:?}");
        writeln!(f, "data: {}", quoted(&data.to_string_lossy()))?;
        if let Some(load) = load {
            writeln!(f, "load: {}", quoted(&load.to_string_lossy()))?;
        }
        if let Some(GatewayFile { path, mapping: _ }) = gateway {
            writeln!(f, "gateway: {}", quoted(&path.to_string_lossy()))?;
        }
        access::show(f, callers.as_ref(), tls.as_ref())?;
        writeln!(f, "grpc: {}", quoted(&grpc.to_string()))?;
        writeln!(f, "http: {}", quoted(&http.to_string()))?;
        writeln!(f, "grpc_threads: {}", quoted(&grpc_threads.to_string()))?;
        writeln!(f, "insecure: {insecure}")?;
        writeln!(f, "log: {}", quoted(log))?;
        writeln!(f, "log_format: {log_format}")?;
        if let Some(endpoint) = otlp_endpoint {
            writeln!(f, "otlp_endpoint: {}", quoted(endpoint))?;
        }
        write!(f, "{decision_log}")?;
        writeln!(f, "max_message_bytes: {max_message_bytes}")?;
        writeln!(f, "max_live_streams: {max_live_streams}")?;
        writeln!(f, "max_check_streams: {max_check_streams}")?;
        writeln!(f, "check_stream_idle_ms: {}", check_stream_idle.as_millis())?;
        writeln!(f, "max_imports: {max_imports}")?;
        writeln!(f, "max_import_bytes: {max_import_bytes}")?;
        writeln!(f, "max_import_ms: {}", max_import.as_millis())?;
        writeln!(f, "max_wait_ms: {}", max_wait.as_millis())?;
        overload.show(f)?;
        writeln!(f, "grace_ms: {}", grace.as_millis())?;
        writeln!(f, "drain_ms: {}", drain.as_millis())?;
        if let Some(url) = public_url {
            writeln!(f, "public_url: {}", quoted(url.as_str()))?;
        }
        if let Some(url) = access_request_url {
            writeln!(f, "access_request_url: {}", quoted(url.as_str()))?;
        }
        writeln!(f, "person_types: {}", quoted(&person_types.to_string()))?;
        writeln!(f, "max_evaluations: {max_evaluations}")?;
        writeln!(f, "max_body_bytes: {max_body_bytes}")?;
        writeln!(f, "http_timeout_ms: {}", http_timeout.as_millis())
    }
}
