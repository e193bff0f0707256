//! Metrics of how much is taken on.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge, gauge_of};

words! {
    /// Which limit a request was one too many for.
    ShedReason {
        ThreadRequests = "thread_requests",
        Requests = "requests",
        Queue = "queue",
        CallerRequests = "caller_requests",
        CallerRate = "caller_rate",
        BufferedBytes = "buffered_bytes",
        Connections = "connections",
        AddressConnections = "address_connections",
    }
}

words! {
    /// Why a request was refused before its service saw it.
    RefusedReason {
        DeadlineExpired = "deadline_expired",
        DeadlineExceeded = "deadline_exceeded",
        MessageTooLarge = "message_too_large",
        MessageMalformed = "message_malformed",
    }
}

words! {
    /// The doors that connections come to.
    Port {
        Grpc = "grpc",
        Http = "http",
    }
}

words! {
    /// What waits in a row.
    Queue {
        Turns = "turns",
        Lists = "lists",
        Work = "work",
    }
}

/// These metrics.
pub(super) struct Load {
    shed: [Counter; ShedReason::COUNT],
    refused: [Counter; RefusedReason::COUNT],
    in_flight: Gauge,
    buffered: Gauge,
    queued: [Gauge; Queue::COUNT],
    connections: [Connections; Port::COUNT],
    health_streams: Gauge,
}

/// Those of the connections of a door.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Gauge,
    in_all: Counter,
    of_address: Counter,
}

const SHED: &str = "pdp_requests_shed_total";
const REFUSED: &str = "pdp_requests_refused_total";
const IN_FLIGHT: &str = "pdp_requests_in_flight";
const BUFFERED: &str = "pdp_buffered_bytes";
const QUEUED: &str = "pdp_queue_depth";
const OPEN: &str = "pdp_open_connections";
const CONNECTIONS_REFUSED: &str = "pdp_connections_refused_total";
const HEALTH_STREAMS: &str = "pdp_health_streams";

// === impl Load ===

impl Load {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            shed: std::array::from_fn(|reason| {
                counter(recorder, SHED, &[("reason", ShedReason::word(reason))])
            }),
            refused: std::array::from_fn(|reason| {
                counter(recorder, REFUSED, &[("reason", RefusedReason::word(reason))])
            }),
            in_flight: gauge(recorder, IN_FLIGHT),
            buffered: gauge(recorder, BUFFERED),
            queued: std::array::from_fn(|queue| {
                gauge_of(recorder, QUEUED, &[("queue", Queue::word(queue))])
            }),
            connections: std::array::from_fn(|port| Connections::new(recorder, Port::word(port))),
            health_streams: gauge(recorder, HEALTH_STREAMS),
        }
    }
}

// === impl Connections ===

impl Connections {
    fn new(recorder: &PrometheusRecorder, port: &'static str) -> Self {
        let refused = |reason: ShedReason| {
            let labels = [("port", port), ("reason", reason.as_str())];
            counter(recorder, CONNECTIONS_REFUSED, &labels)
        };
        Self {
            open: gauge_of(recorder, OPEN, &[("port", port)]),
            in_all: refused(ShedReason::Connections),
            of_address: refused(ShedReason::AddressConnections),
        }
    }

    /// Counts one that was let in.
    pub(crate) fn opened(&self) {
        self.open.increment(1.0);
    }

    /// Counts one that has ended.
    pub(crate) fn closed(&self) {
        self.open.decrement(1.0);
    }

    /// Counts one beyond the limits, by the limit.
    pub(crate) fn refused(&self, reason: ShedReason) {
        match reason {
            ShedReason::AddressConnections => self.of_address.increment(1),
            _ => self.in_all.increment(1),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts requests that were not taken on.
    pub(crate) fn shed(&self, reason: ShedReason, count: u64) {
        if let Some(counter) = self.load.shed.get(reason as usize) {
            counter.increment(count);
        }
    }

    /// Counts a request that its service did not see.
    pub(crate) fn refused(&self, reason: RefusedReason) {
        if let Some(counter) = self.load.refused.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// Notes how many requests are in flight, and how many bytes of them are held.
    pub(crate) fn in_flight(&self, requests: usize, bytes: usize) {
        self.load.in_flight.set(number(requests));
        self.load.buffered.set(number(bytes));
    }

    /// Notes how many wait in a row.
    pub(crate) fn queued(&self, queue: Queue, waiting: usize) {
        if let Some(gauge) = self.load.queued.get(queue as usize) {
            gauge.set(number(waiting));
        }
    }

    /// Those of the connections of a door.
    pub(crate) fn connections(&self, port: Port) -> Connections {
        let [grpc, http] = &self.load.connections;
        match port {
            Port::Grpc => grpc.clone(),
            Port::Http => http.clone(),
        }
    }

    /// The gauge of open streams of health and reflection.
    pub(crate) fn health_streams(&self) -> Gauge {
        self.load.health_streams.clone()
    }
}

/// For a gauge, which does not tell apart what is more than four billion.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What these metrics tell, for those who read them; a gauge, or else a counter.
pub(super) const DESCRIBED: [(&str, bool, &str); 8] = [
    (SHED, false, "Requests that were refused as there was too much to do, by limit."),
    (REFUSED, false, "Requests that were refused before their service saw them, by reason."),
    (IN_FLIGHT, true, "Requests that have arrived and have no answer yet, this one included."),
    (BUFFERED, true, "Bytes of the bodies of requests that have no answer yet."),
    (QUEUED, true, "What waits: for its first turn, to make a list, on the threads of work."),
    (OPEN, true, "Connections that are open, those beyond the limits included."),
    (
        CONNECTIONS_REFUSED,
        false,
        "Connections beyond a limit, which were told about health only, by limit.",
    ),
    (HEALTH_STREAMS, true, "Watches of health and streams of reflection that are open."),
];
