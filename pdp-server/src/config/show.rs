//! The effective settings, as a file would name them.

use std::fmt;

use super::{Config, GatewayFile, PublicUrl, access};

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
            traces,
            decision_log,
            etcd,
            sidecar,
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
        let gateway = gateway.as_ref().map(|GatewayFile { path, mapping: _ }| path);
        // A sidecar has no store.
        let data = Some(data).filter(|_| sidecar.is_none());
        for (name, path) in [("data", data), ("load", load.as_ref()), ("gateway", gateway)] {
            optional(f, name, path.map(|path| path.to_string_lossy()).as_deref())?;
        }
        access::show(f, callers.as_ref(), tls.as_ref())?;
        if sidecar.is_none() {
            writeln!(f, "grpc: {}", quoted(&grpc.to_string()))?;
        }
        writeln!(f, "http: {}", quoted(&http.to_string()))?;
        writeln!(f, "grpc_threads: {}", quoted(&grpc_threads.to_string()))?;
        writeln!(f, "insecure: {insecure}")?;
        writeln!(f, "log: {}", quoted(log))?;
        writeln!(f, "log_format: {log_format}")?;
        traces.show(f)?;
        write!(f, "{decision_log}")?;
        etcd.show(f)?;
        sidecar.as_ref().map_or(Ok(()), |sidecar| sidecar.show(f))?;
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
        optional(f, "public_url", public_url.as_ref().map(PublicUrl::as_str))?;
        optional(f, "access_request_url", access_request_url.as_ref().map(PublicUrl::as_str))?;
        writeln!(f, "person_types: {}", quoted(&person_types.to_string()))?;
        writeln!(f, "max_evaluations: {max_evaluations}")?;
        writeln!(f, "max_body_bytes: {max_body_bytes}")?;
        writeln!(f, "http_timeout_ms: {}", http_timeout.as_millis())
    }
}

/// A text, if there is one.
fn optional(f: &mut fmt::Formatter<'_>, name: &str, text: Option<&str>) -> fmt::Result {
    text.map_or(Ok(()), |text| writeln!(f, "{name}: {text:?}"))
}
