//! What it costs a Check that callers prove who they are, that decisions are logged (denials all of them, of the
//! others one in a hundred), that one in a hundred requests is traced, and that connections are encrypted: the same server with and without, by turns. Metrics
//! are counted by all of them. Spans are sent to a collector in this process, which takes and drops them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use pdp_server::callers::NewKey;
use pdp_server::config::{DecisionLogSettings, LogTarget, Settings as Serving};
use pdp_server::telemetry::{Telemetry, install};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::served::{clean, ready};
use super::{Bound, Settings, Target, TargetsError, ratios};
use crate::drive::{Connection, Manners, Script, Timing, closed_loop};
use crate::embedded::{Embedded, Filled};

/// How many slices a side is measured in, in a round.
const SLICES: u32 = 5;

/// The name in the server's certificate.
const NAME: &str = "localhost";

/// What is turned on.
#[derive(Debug, Clone, Copy)]
struct On {
    callers: bool,
    /// Of what is allowed, how much is logged.
    log: Option<&'static str>,
    traces: bool,
    tls: bool,
}

/// Takes spans.
struct Collector(Arc<AtomicU64>);

/// A server, and what it is asked over.
struct Side {
    what: &'static str,
    server: Embedded,
    to: Vec<Connection>,
    /// Where its store and its log are.
    _folder: Filled,
    per_second: Vec<f64>,
}

const OFF: On = On { callers: false, log: None, traces: false, tls: false };

/// What is held against the target.
const ALL: &str = "with all three";

/// The share of what is allowed that is logged.
const SAMPLED: &str = "0.01";

const SIDES: [(&str, On); 7] = [
    ("everything off", OFF),
    ("with a key", On { callers: true, ..OFF }),
    ("with a log of all decisions", On { log: Some("1"), ..OFF }),
    ("with a log of denials and 1 in 100", On { log: Some(SAMPLED), ..OFF }),
    ("with traces of 1 in 100", On { traces: true, ..OFF }),
    (ALL, On { callers: true, log: Some(SAMPLED), traces: true, tls: false }),
    ("with all three and TLS", On { callers: true, log: Some(SAMPLED), traces: true, tls: true }),
];

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.iter().flat_map(|it| &it.scope_spans);
        self.0.fetch_add(scopes.map(|it| it.spans.len() as u64).sum(), Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(super) fn measure(
    settings: &Settings,
    (filled, script): (&Filled, &Script),
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Target>, TargetsError> {
    let runtime = Runtime::new()?;
    let taken = Arc::new(AtomicU64::new(0));
    let (collector, telemetry) = runtime.block_on(collected(Arc::clone(&taken)))?;
    let mut sides = Vec::with_capacity(SIDES.len());
    for (what, on) in SIDES {
        let to = (settings, collector.as_str());
        sides.push(Side::start(&runtime, (what, on), to, (filled, script))?);
    }
    for round in 1..=settings.rounds {
        say(&format!("observed: round {round} of {}", settings.rounds));
        runtime.block_on(one_round(settings, script, &mut sides))?;
    }
    let targets = targets(&sides);
    for Side { server, to, .. } in sides {
        drop(to);
        server.stop()?;
    }
    telemetry.finish();
    say(&format!("observed: {} spans were taken", taken.load(Relaxed)));
    Ok(targets)
}

/// A collector, and this process's spans on their way to it.
async fn collected(taken: Arc<AtomicU64>) -> Result<(String, Telemetry), TargetsError> {
    let incoming = TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let incoming = incoming.map_err(std::io::Error::other)?;
    let endpoint = format!("http://{}", incoming.local_addr()?);
    let service = TraceServiceServer::new(Collector(taken));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let (log, otlp_endpoint) = (Some("error".to_owned()), Some(endpoint.clone()));
    let traced = Serving { log, otlp_endpoint, ..Serving::default() };
    let config = traced.into_config(None).map_err(std::io::Error::other)?;
    let telemetry = install(&config).map_err(std::io::Error::other)?;
    Ok((endpoint, telemetry))
}

async fn one_round(
    settings: &Settings,
    script: &Script,
    sides: &mut [Side],
) -> Result<(), TargetsError> {
    let slice: Duration = settings.duration / SLICES;
    let timing = Timing::new(slice / 5, slice);
    let mut sums = vec![0.0; sides.len()];
    for _ in 0..SLICES {
        for (side, sum) in sides.iter().zip(&mut sums) {
            let summary = closed_loop(&side.to, script, settings.in_flight, timing).await?;
            *sum += clean(side.what, summary)?.questions_per_second / f64::from(SLICES);
        }
    }
    sides.iter_mut().zip(sums).for_each(|(side, sum)| side.per_second.push(sum));
    Ok(())
}

fn targets(sides: &[Side]) -> Vec<Target> {
    let Some((off, on)) = sides.split_first() else { return Vec::new() };
    let mut targets = vec![Target::reported(14, off.what, &off.per_second, "a second")];
    for side in on {
        let name = format!("check {} / without, throughput", side.what);
        let values = ratios(&side.per_second, &off.per_second);
        targets.push(if side.what == ALL {
            Target::held(14, &name, &values, Bound::AtLeast(0.90), "times")
        } else {
            Target::reported(14, &name, &values, "times")
        });
    }
    targets
}

// === impl Side ===

impl Side {
    fn start(
        runtime: &Runtime,
        (what, on): (&'static str, On),
        (settings, collector): (&Settings, &str),
        (filled, script): (&Filled, &Script),
    ) -> Result<Self, TargetsError> {
        let folder = filled.copied()?;
        let otlp_endpoint = on.traces.then(|| collector.to_owned());
        let mut serving = Serving { otlp_endpoint, ..Serving::default() };
        let mut manners = Manners::default();
        if on.callers {
            let key = NewKey::draw().map_err(|_| std::io::Error::other("no random bytes"))?;
            let roles = "{\"*\": [check]}";
            let file = folder.path().join("callers.yaml");
            let entry = format!("- {{name: load, keys: [{}], roles: {roles}}}\n", key.entry());
            std::fs::write(&file, format!("callers:\n{entry}"))?;
            serving.callers = Some(file);
            manners = manners.with_token(key.secret())?;
        }
        if let Some(share) = on.log {
            let decision_log = Some(LogTarget::File(folder.path().join("decisions.jsonl")));
            let decision_log_allows = Some(share.parse().map_err(std::io::Error::other)?);
            serving.decision_log =
                DecisionLogSettings { decision_log, decision_log_allows, ..Default::default() };
        }
        if on.tls {
            manners = manners.with_authority(certified(folder.path(), &mut serving)?, NAME);
        }
        let server = Embedded::start_with(folder.path(), serving)?;
        let to = runtime.block_on(ready(server.endpoint(), settings, script, &manners))?;
        Ok(Self { what, server, to, _folder: folder, per_second: Vec::new() })
    }
}

/// Gives the server a certificate of its own: who vouches for it.
fn certified(folder: &Path, serving: &mut Serving) -> Result<String, TargetsError> {
    let made = generate_simple_self_signed([NAME.to_owned()]);
    let CertifiedKey { cert, signing_key } = made.map_err(std::io::Error::other)?;
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, cert.pem())?;
    std::fs::write(&key_file, signing_key.serialize_pem())?;
    serving.tls_cert = Some(cert_file);
    serving.tls_key = Some(key_file);
    Ok(cert.pem())
}
