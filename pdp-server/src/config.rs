//! Settings: what flags, `PDP_*` variables and a YAML file say becomes one validated [`Config`].
//! The first of the three that names a setting decides; nothing else reads flags or variables.

mod access;
mod authzen;
mod decision_log;
mod defaults;
mod describe;
mod etcd;
mod file;
mod files;
mod given;
mod logs;
mod origin;
mod overload;
mod refused;
mod show;
mod sidecar;
#[cfg(test)]
mod tests;
mod traces;
mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

pub use authzen::{PersonTypes, PublicUrl};
pub use decision_log::{DecisionLog, DecisionLogSettings, LogTarget, Mask, Masked, Share};
pub use defaults::*;
pub use describe::{Described, described};
pub use etcd::{Endpoints, Etcd};
pub use file::FileError;
pub use files::{CallersFile, GatewayFile};
pub use given::Given;
pub use logs::LogFormat;
pub use origin::Origin;
pub use overload::Overload;
pub use refused::ConfigError;
pub use sidecar::{Sidecar, SidecarSettings, SocketMode};
pub use traces::Traces;
pub use variables::unknown;

use crate::rpc::MAX_BATCH;
pub use crate::threads::GrpcThreads;
pub use crate::tls::{ClientAuth, TlsFiles};

/// The least that `http_timeout_ms` may be: less, and no request arrives in time.
const LEAST_TIMEOUT_MS: usize = 10;

/// What every setting may be, at most, where it counts milliseconds: an hour.
const MAX_MS: u64 = 3_600_000;

/// The bounds of `max_message_bytes`: a Check with the longest names fits the lower one, and the
/// upper one keeps a message within what a machine can hold several of.
const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 30;

/// The bounds of `max_import_bytes`: beyond the upper one no machine holds it.
const IMPORT_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=64 << 30;

// One entry a setting: its type, its flag and variable, its placeholder in the help.
macro_rules! settings {
    ($(#[$about:meta])* $Settings:ident $(with $group:ident: $Group:ty)* {
        $($(#[doc = $doc:literal])+ $name:ident: $type:ty, $variable:literal, $value:literal $(, $extra:meta)*;)+
    }) => {
        #[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
        $(#[$about])*
        pub struct $Settings {
            $(
                $(#[doc = $doc])+
                #[arg(long, env = $variable, value_name = $value $(, $extra)*)]
                pub $name: Option<$type>,
            )+
            $(
                #[doc = "A group of settings."]
                #[command(flatten)]
                pub $group: $Group,
            )*
        }

        impl $Settings {
            /// Every setting's name in a file.
            #[must_use]
            pub fn names() -> Vec<&'static str> {
                let own = [$(stringify!($name)),+].into_iter();
                own$(.chain(<$Group>::names()))*.collect()
            }

            /// Sets what a file names; `None` if there is no such setting.
            pub(in crate::config) fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($name) => Some(
                        <$type as std::str::FromStr>::from_str(text)
                            .map(|value| self.$name = Some(value))
                            .map_err(|error| crate::config::describe::refused(&error, $value)),
                    ),)+
                    _ => None$(.or_else(|| self.$group.set(name, text)))*,
                }
            }

            /// The names of those that are said.
            pub(in crate::config) fn said(&self) -> Vec<&'static str> {
                let own = [$((stringify!($name), self.$name.is_some())),+];
                let own = own.into_iter().filter(|(_, said)| *said).map(|(name, _)| name);
                own$(.chain(self.$group.said()))*.collect()
            }

            /// These settings, and where they say nothing, the others.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.or(other.$name),)+
                    $($group: self.$group.or(other.$group),)*
                }
            }
        }
    };
}
use settings;

settings! {
    /// Settings as they are given; what is absent is not said.
    Settings with decision_log: DecisionLogSettings with sidecar: SidecarSettings {
    /// Folder of the policy store
    data: PathBuf, "PDP_DATA", "DIR";
    /// Policy bundle for the tenant `default` of a new store; a policy that is there already stays
    load: PathBuf, "PDP_LOAD", "BUNDLE";
    /// YAML file that maps requests at a gateway to questions, for Envoy's external authorization
    gateway: PathBuf, "PDP_GATEWAY", "FILE";
    /// YAML file of those who may call, their keys and roles; without one everybody may do everything
    callers: PathBuf, "PDP_CALLERS", "FILE";
    /// PEM file of the server's certificate and those between it and its root, for both doors
    tls_cert: PathBuf, "PDP_TLS_CERT", "FILE";
    /// PEM file of the certificate's key
    tls_key: PathBuf, "PDP_TLS_KEY", "FILE";
    /// PEM file of the certificates that vouch for those of callers: mutual TLS
    tls_client_ca: PathBuf, "PDP_TLS_CLIENT_CA", "FILE";
    /// Whether callers need a certificate: `required`, as it is unless said, or `optional` where they have keys or tokens
    tls_client_auth: ClientAuth, "PDP_TLS_CLIENT_AUTH", "WHETHER";
    /// Address of the gRPC door
    grpc: SocketAddr, "PDP_GRPC", "ADDR";
    /// Address of the HTTP door: AuthZEN, health and metrics
    http: SocketAddr, "PDP_HTTP", "ADDR";
    /// Threads that serve connections: `per-core`, a number, or `shared` for those of everything else
    grpc_threads: GrpcThreads, "PDP_GRPC_THREADS", "THREADS";
    /// Allow addresses that other machines can reach although there is no TLS, or there are no callers
    insecure: bool, "PDP_INSECURE", "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true;
    /// What to log: a level, or a filter such as `info,pdp_server::rpc=debug`
    log: String, "PDP_LOG", "FILTER";
    /// How to log: `auto`, `text` or `json`
    log_format: LogFormat, "PDP_LOG_FORMAT", "FORMAT";
    /// Where to send traces over OTLP, such as `http://127.0.0.1:4317`; off by default
    otlp_endpoint: String, "PDP_OTLP_ENDPOINT", "URL";
    /// Which share of requests that belong to no trace to trace, from 0 to 1; those that do are traced as their callers say
    otlp_sample_ratio: Share, "PDP_OTLP_SAMPLE_RATIO", "SHARE";
    /// Members of etcd, with commas between: the policy is in a log there, which every server that names it shares; off by default
    etcd_endpoints: Endpoints, "PDP_ETCD_ENDPOINTS", "URLS";
    /// What the names of all keys in etcd begin with
    etcd_prefix: String, "PDP_ETCD_PREFIX", "TEXT";
    /// PEM file of the certificates that vouch for those of etcd; the system's unless said
    etcd_ca: PathBuf, "PDP_ETCD_CA", "FILE";
    /// PEM file of the certificate that etcd is shown
    etcd_cert: PathBuf, "PDP_ETCD_CERT", "FILE";
    /// PEM file of that certificate's key
    etcd_key: PathBuf, "PDP_ETCD_KEY", "FILE";
    /// How long ago etcd may have last answered for the server to be ready, in milliseconds; 0 for any time
    max_stale_ms: u64, "PDP_MAX_STALE_MS", "MS";
    /// After how many entries the log in etcd is made shorter
    etcd_checkpoint_entries: usize, "PDP_ETCD_CHECKPOINT_ENTRIES", "COUNT";
    /// After how many bytes of entries the log in etcd is made shorter
    etcd_checkpoint_bytes: usize, "PDP_ETCD_CHECKPOINT_BYTES", "BYTES";
    /// The largest gRPC message taken, in bytes
    max_message_bytes: usize, "PDP_MAX_MESSAGE_BYTES", "BYTES";
    /// How many exports and watches may run at a time
    max_live_streams: usize, "PDP_MAX_LIVE_STREAMS", "COUNT";
    /// How many streams of checks may be open at a time
    max_check_streams: usize, "PDP_MAX_CHECK_STREAMS", "COUNT";
    /// How long nothing may go over a stream of checks before it is ended, in milliseconds
    check_stream_idle_ms: u64, "PDP_CHECK_STREAM_IDLE_MS", "MS";
    /// How many imports may be under way at a time
    max_imports: usize, "PDP_MAX_IMPORTS", "COUNT";
    /// How large an import may be, in bytes as sent
    max_import_bytes: usize, "PDP_MAX_IMPORT_BYTES", "BYTES";
    /// How long an import may take to arrive, in milliseconds
    max_import_ms: u64, "PDP_MAX_IMPORT_MS", "MS";
    /// The longest wait for a revision that a request names, in milliseconds
    max_wait_ms: u64, "PDP_MAX_WAIT_MS", "MS";
    /// How many questions a batch may hold
    max_batch: usize, "PDP_MAX_BATCH", "COUNT";
    /// How many changes a change set may hold, other than an import
    max_changes: usize, "PDP_MAX_CHANGES", "COUNT";
    /// How many entries a page of a list may hold
    max_page_size: u32, "PDP_MAX_PAGE_SIZE", "COUNT";
    /// How many entries a page may hold where each comes with its explanation
    max_explained_page_size: u32, "PDP_MAX_EXPLAINED_PAGE_SIZE", "COUNT";
    /// How many lists and explanations may be made at a time
    max_running_lists: usize, "PDP_MAX_RUNNING_LISTS", "COUNT";
    /// How many connections each door may have at a time; one more is told about health only
    max_connections: usize, "PDP_MAX_CONNECTIONS", "COUNT";
    /// How many of them may be of one address; of IPv6, of one /64
    max_address_connections: usize, "PDP_MAX_ADDRESS_CONNECTIONS", "COUNT";
    /// How many requests a connection may have in flight
    max_connection_requests: u32, "PDP_MAX_CONNECTION_REQUESTS", "COUNT";
    /// How many watches of gRPC health and streams of reflection may be open at a time
    max_health_streams: usize, "PDP_MAX_HEALTH_STREAMS", "COUNT";
    /// How many of them may be open over one connection
    max_connection_health_streams: usize, "PDP_MAX_CONNECTION_HEALTH_STREAMS", "COUNT";
    /// How many bytes the bodies of all requests may have that are not answered yet; not less than one may have
    max_buffered_bytes: usize, "PDP_MAX_BUFFERED_BYTES", "BYTES";
    /// How many requests may be in flight on each thread that decides, at each door, without those that are refused for want of time
    max_thread_requests: usize, "PDP_MAX_THREAD_REQUESTS", "COUNT";
    /// How many requests may be in flight in all, and how many more may wait to be refused for want of time
    max_requests: usize, "PDP_MAX_REQUESTS", "COUNT";
    /// How long a request may have to wait for its turn before it is refused, in milliseconds
    max_queue_ms: u64, "PDP_MAX_QUEUE_MS", "MS";
    /// How many requests a caller may have in flight
    max_caller_requests: usize, "PDP_MAX_CALLER_REQUESTS", "COUNT";
    /// How many requests a caller may send in a second
    max_caller_rate: u64, "PDP_MAX_CALLER_RATE", "COUNT";
    /// The longest deadline of a gRPC request, and that of one without, in milliseconds
    max_deadline_ms: u64, "PDP_MAX_DEADLINE_MS", "MS";
    /// How old a connection becomes before it is told to go away, a tenth more or less, in milliseconds
    max_connection_age_ms: u64, "PDP_MAX_CONNECTION_AGE_MS", "MS";
    /// How long requests and streams may go on over a connection that was told to go away, in milliseconds
    connection_farewell_ms: u64, "PDP_CONNECTION_FAREWELL_MS", "MS";
    /// How long nothing may be asked on a connection before it is told to go away, in milliseconds
    connection_idle_ms: u64, "PDP_CONNECTION_IDLE_MS", "MS";
    /// How long a gRPC connection may take to begin, and to take what it asked for, in milliseconds
    grpc_timeout_ms: u64, "PDP_GRPC_TIMEOUT_MS", "MS";
    /// How often a peer of HTTP/2 that is silent is asked whether it is there, in milliseconds
    ping_interval_ms: u64, "PDP_PING_INTERVAL_MS", "MS";
    /// How long it may take to answer that before the connection is ended, in milliseconds
    ping_timeout_ms: u64, "PDP_PING_TIMEOUT_MS", "MS";
    /// How long a TLS handshake may take, in milliseconds
    tls_handshake_ms: u64, "PDP_TLS_HANDSHAKE_MS", "MS";
    /// How long to go on serving after saying NOT_SERVING, in milliseconds
    grace_ms: u64, "PDP_GRACE_MS", "MS";
    /// How long requests in flight may take to end after that, in milliseconds
    drain_ms: u64, "PDP_DRAIN_MS", "MS";
    /// What callers reach the HTTP door by, for AuthZEN metadata, such as `https://pdp.example.com`
    public_url: PublicUrl, "PDP_PUBLIC_URL", "URL";
    /// Where AuthZEN callers ask for what needs approval; they are told nowhere by default
    access_request_url: PublicUrl, "PDP_ACCESS_REQUEST_URL", "URL";
    /// What AuthZEN callers may call a `person` besides that, with commas between
    person_types: PersonTypes, "PDP_PERSON_TYPES", "TYPES";
    /// How many evaluations an AuthZEN request may hold
    max_evaluations: usize, "PDP_MAX_EVALUATIONS", "COUNT";
    /// The largest body of an HTTP request taken, in bytes
    max_body_bytes: usize, "PDP_MAX_BODY_BYTES", "BYTES";
    /// How long an HTTP connection may be silent and a request may take to arrive, in milliseconds
    http_timeout_ms: u64, "PDP_HTTP_TIMEOUT_MS", "MS";
    }
}

/// The settings of a server, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder of the policy store.
    pub data: PathBuf,
    /// Policy bundle for a new store.
    pub load: Option<PathBuf>,
    /// What requests at a gateway ask.
    pub gateway: Option<GatewayFile>,
    /// Who may call; everybody if nobody is named.
    pub callers: Option<CallersFile>,
    /// What makes connections secret.
    pub tls: Option<TlsFiles>,
    /// Address of the gRPC door.
    pub grpc: SocketAddr,
    /// Address of the HTTP door.
    pub http: SocketAddr,
    /// Threads that serve gRPC connections.
    pub grpc_threads: GrpcThreads,
    /// Addresses beyond loopback are allowed.
    pub insecure: bool,
    /// The filter of the logs.
    pub log: String,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How requests are traced.
    pub traces: Traces,
    /// How decisions are logged.
    pub decision_log: DecisionLog,
    /// The log that several servers share.
    pub etcd: Etcd,
    /// The server that is followed, where this one is a sidecar.
    pub sidecar: Option<Sidecar>,
    /// The largest gRPC message taken, in bytes.
    pub max_message_bytes: usize,
    /// How many streams may be open.
    pub max_live_streams: usize,
    /// How many streams of checks may be open.
    pub max_check_streams: usize,
    /// How long nothing may go over one of them.
    pub check_stream_idle: Duration,
    /// How many imports may be under way.
    pub max_imports: usize,
    /// How large an import may be, in bytes as sent.
    pub max_import_bytes: usize,
    /// How long an import may take to arrive.
    pub max_import: Duration,
    /// The longest wait for a revision.
    pub max_wait: Duration,
    /// What is taken on, and for how long.
    pub overload: Overload,
    /// How long to go on serving after saying NOT_SERVING.
    pub grace: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
    /// What callers reach the HTTP door by.
    pub public_url: Option<PublicUrl>,
    /// Where callers ask for what needs approval.
    pub access_request_url: Option<PublicUrl>,
    /// What callers call people.
    pub person_types: PersonTypes,
    /// How many evaluations a request may hold.
    pub max_evaluations: usize,
    /// The largest body taken, in bytes.
    pub max_body_bytes: usize,
    /// How long an HTTP connection may be silent.
    pub http_timeout: Duration,
}

// === impl Settings ===

impl Settings {
    /// These settings, completed from a file, checked.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting, and for a file the line.
    pub fn into_config(self, file: Option<&Path>) -> Result<Config, ConfigError> {
        let Some(path) = file else { return self.validated() };
        let (from_file, lines) = file::read(path)?;
        let said = self.said();
        self.or(from_file).validated().map_err(|problem| {
            problem.at(|name| {
                let line = lines.get(name).filter(|_| !said.contains(&name))?;
                Some(Origin::File { path: path.to_owned(), line: *line })
            })
        })
    }

    fn validated(self) -> Result<Config, ConfigError> {
        let (overload, traces, etcd) = (Overload::of(&self)?, Traces::of(&self), Etcd::of(&self)?);
        let (tls, sidecar) = (access::tls(&self)?, Sidecar::of(&self)?);
        let Self {
            data,
            load,
            gateway,
            callers,
            grpc,
            http,
            grpc_threads,
            insecure,
            log,
            log_format,
            max_message_bytes,
            max_live_streams,
            max_check_streams,
            check_stream_idle_ms: idle_ms,
            max_imports,
            max_import_bytes,
            max_import_ms,
            max_wait_ms,
            grace_ms,
            drain_ms,
            public_url,
            access_request_url,
            person_types,
            max_evaluations,
            max_body_bytes,
            http_timeout_ms,
            decision_log,
            // TLS, what is taken on, what is traced, the log and what is followed have been read above.
            ..
        } = self;
        let config = Config {
            data: data.unwrap_or_else(|| PathBuf::from("pdp-data")),
            load,
            gateway: gateway.map(GatewayFile::open).transpose()?,
            callers: callers.map(CallersFile::open).transpose()?,
            tls,
            grpc: grpc.unwrap_or_else(|| loopback(7070)),
            http: http.unwrap_or_else(|| loopback(7071)),
            grpc_threads: grpc_threads.unwrap_or_default(),
            insecure: insecure.unwrap_or(false),
            log: log.unwrap_or_else(|| "info".to_owned()),
            log_format: log_format.unwrap_or_default(),
            traces,
            decision_log: decision_log.settled()?,
            etcd,
            sidecar,
            max_message_bytes: max_message_bytes.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES),
            max_live_streams: max_live_streams.unwrap_or(DEFAULT_MAX_LIVE_STREAMS),
            max_check_streams: max_check_streams.unwrap_or(DEFAULT_MAX_CHECK_STREAMS),
            check_stream_idle: millis("check_stream_idle_ms", idle_ms, DEFAULT_CHECK_STREAM_IDLE)?,
            max_imports: max_imports.unwrap_or(DEFAULT_MAX_IMPORTS),
            max_import_bytes: max_import_bytes.unwrap_or(DEFAULT_MAX_IMPORT_BYTES),
            max_import: millis("max_import_ms", max_import_ms, DEFAULT_MAX_IMPORT)?,
            max_wait: millis("max_wait_ms", max_wait_ms, DEFAULT_MAX_WAIT)?,
            overload,
            grace: millis("grace_ms", grace_ms, DEFAULT_GRACE)?,
            drain: millis("drain_ms", drain_ms, DEFAULT_DRAIN)?,
            public_url,
            access_request_url,
            person_types: person_types.unwrap_or_default(),
            max_evaluations: max_evaluations.unwrap_or(MAX_BATCH),
            max_body_bytes: max_body_bytes.unwrap_or(DEFAULT_MAX_BODY_BYTES),
            http_timeout: millis("http_timeout_ms", http_timeout_ms, DEFAULT_HTTP_TIMEOUT)?,
        };
        config.check().map(|()| config)
    }
}

// === impl Config ===

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        self.check_access()?;
        if let Err(why) = EnvFilter::try_new(&self.log) {
            return Err(ConfigError::Filter { given: self.log.clone(), why: why.to_string() });
        }
        let urls =
            [("public_url", &self.public_url), ("access_request_url", &self.access_request_url)];
        for (name, url) in urls {
            if url.as_ref().is_some_and(PublicUrl::names_user) {
                return Err(ConfigError::NamesUser(name));
            }
        }
        if self.grpc == self.http && self.grpc.port() != 0 && self.sidecar.is_none() {
            return Err(ConfigError::SameAddress(self.grpc));
        }
        bounds("max_message_bytes", self.max_message_bytes, MESSAGE_BYTES)?;
        bounds("max_live_streams", self.max_live_streams, 1..=256)?;
        bounds("max_check_streams", self.max_check_streams, 1..=65_536)?;
        bounds("max_imports", self.max_imports, 1..=64)?;
        bounds("max_import_bytes", self.max_import_bytes, IMPORT_BYTES)?;
        bounds("max_evaluations", self.max_evaluations, 1..=MAX_BATCH)?;
        bounds("max_body_bytes", self.max_body_bytes, MESSAGE_BYTES)?;
        self.overload.check(self.max_message_bytes.max(self.max_body_bytes))?;
        let in_ms = |ms: u128| usize::try_from(ms).unwrap_or(usize::MAX);
        let within = LEAST_TIMEOUT_MS..=in_ms(MAX_MS.into());
        bounds("http_timeout_ms", in_ms(self.http_timeout.as_millis()), within)?;
        self.traces.check()
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn millis(
    name: &'static str,
    given: Option<u64>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    if given > MAX_MS {
        return Err(ConfigError::Bounds { name, given, least: 0, most: MAX_MS });
    }
    Ok(Duration::from_millis(given))
}

fn bounds(
    name: &'static str,
    given: usize,
    within: std::ops::RangeInclusive<usize>,
) -> Result<(), ConfigError> {
    if within.contains(&given) {
        return Ok(());
    }
    let [given, least, most] =
        [given, *within.start(), *within.end()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    Err(ConfigError::Bounds { name, given, least, most })
}
