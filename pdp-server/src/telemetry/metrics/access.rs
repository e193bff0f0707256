//! Metrics of who comes in, and of what lets them in.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use pdp_engine::time::Timestamp;

use super::{Metrics, counter, gauge};

words! {
    /// Why nobody knew who sent a request.
    Unauthenticated {
        Missing = "MISSING",
        Malformed = "MALFORMED",
        UnknownKey = "UNKNOWN_KEY",
        WrongKey = "WRONG_KEY",
        ExpiredKey = "EXPIRED_KEY",
        UnknownCertificate = "UNKNOWN_CERTIFICATE",
        ExpiredCertificate = "EXPIRED_CERTIFICATE",
        MalformedToken = "MALFORMED_TOKEN",
        UnknownIssuer = "UNKNOWN_ISSUER",
        Algorithm = "ALGORITHM",
        Audience = "AUDIENCE",
        ExpiredToken = "EXPIRED_TOKEN",
        UnknownKeyId = "UNKNOWN_KEY_ID",
        Signature = "SIGNATURE",
        Busy = "BUSY",
    }
}

words! {
    /// What is read anew while the server runs.
    Reloaded {
        Callers = "callers",
        Certificate = "certificate",
        IssuerKeys = "issuer_keys",
    }
}

words! {
    /// How a TLS handshake went wrong.
    Handshake {
        Failed = "failed",
        Slow = "slow",
    }
}

words! {
    /// How reading something anew went.
    Read {
        Taken = "taken",
        Refused = "refused",
    }
}

/// These metrics.
pub(super) struct Access {
    unauthenticated: [Counter; Unauthenticated::COUNT],
    forbidden: Counter,
    reloads: [[Counter; Read::COUNT]; Reloaded::COUNT],
    handshakes: [Counter; Handshake::COUNT],
    certificate_ends: Gauge,
}

const UNAUTHENTICATED: &str = "pdp_unauthenticated_total";
const FORBIDDEN: &str = "pdp_forbidden_total";
const RELOADS: &str = "pdp_reloads_total";
const HANDSHAKES: &str = "pdp_tls_handshake_failures_total";
const CERTIFICATE_ENDS: &str = "pdp_tls_certificate_not_after_seconds";

// === impl Access ===

impl Access {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            unauthenticated: std::array::from_fn(|reason| {
                let labels = [("reason", Unauthenticated::word(reason))];
                counter(recorder, UNAUTHENTICATED, &labels)
            }),
            forbidden: counter(recorder, FORBIDDEN, &[]),
            reloads: std::array::from_fn(|what| {
                std::array::from_fn(|outcome| {
                    let labels = [("what", Reloaded::word(what)), ("outcome", Read::word(outcome))];
                    counter(recorder, RELOADS, &labels)
                })
            }),
            handshakes: std::array::from_fn(|outcome| {
                counter(recorder, HANDSHAKES, &[("reason", Handshake::word(outcome))])
            }),
            certificate_ends: gauge(recorder, CERTIFICATE_ENDS),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts a request of nobody knows whom.
    pub(crate) fn unauthenticated(&self, reason: Unauthenticated) {
        if let Some(counter) = self.access.unauthenticated.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// Counts a request that is refused at the gate, as its caller lacks a role.
    pub(crate) fn forbidden(&self) {
        self.access.forbidden.increment(1);
    }

    /// Counts what was read anew, or was refused.
    pub(crate) fn reloaded(&self, what: Reloaded, taken: bool) {
        let outcome = if taken { Read::Taken } else { Read::Refused };
        let counters = self.access.reloads.get(what as usize);
        if let Some(counter) = counters.and_then(|counters| counters.get(outcome as usize)) {
            counter.increment(1);
        }
    }

    /// Counts a TLS handshake that failed.
    pub(crate) fn handshake(&self, outcome: Handshake) {
        if let Some(counter) = self.access.handshakes.get(outcome as usize) {
            counter.increment(1);
        }
    }

    /// Notes until when the certificate is good.
    pub(crate) fn certificate_ends(&self, ends: Timestamp) {
        let seconds =
            std::time::Duration::from_micros(u64::try_from(ends.as_micros()).unwrap_or(0));
        self.access.certificate_ends.set(seconds);
    }
}

/// What these metrics tell, for those who read them.
pub(super) const DESCRIBED: [(&str, bool, &str); 5] = [
    (UNAUTHENTICATED, false, "Requests whose sender is not known, by reason."),
    (FORBIDDEN, false, "Requests refused before they were read, as their caller lacks a role."),
    (
        RELOADS,
        false,
        "Files and key sets that were read anew, by what they are and what came of it.",
    ),
    (HANDSHAKES, false, "TLS handshakes that failed, by reason."),
    (CERTIFICATE_ENDS, true, "When the server's certificate ends, in seconds since 1970."),
];
