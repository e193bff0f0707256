//! Settings of the log that several servers share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::authzen::is_loopback;
use super::{
    ConfigError, DEFAULT_ETCD_CHECKPOINT_BYTES, DEFAULT_ETCD_CHECKPOINT_ENTRIES,
    DEFAULT_ETCD_PREFIX, Settings, bounds, millis,
};

/// The bounds of `etcd_checkpoint_entries`: few enough for a server that is behind to fetch.
const ENTRIES: std::ops::RangeInclusive<usize> = 1..=1_000_000;

/// The bounds of `etcd_checkpoint_bytes`: beyond the upper one etcd has no room by default.
const BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;

/// What says nothing without members of etcd.
const OF_ETCD: [&str; 7] = [
    "etcd_prefix",
    "etcd_ca",
    "etcd_cert",
    "etcd_key",
    "max_stale_ms",
    "etcd_checkpoint_entries",
    "etcd_checkpoint_bytes",
];

/// The members of etcd, with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints(Vec<String>);

/// The log that several servers share; none unless a member of etcd is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    /// The members.
    pub endpoints: Vec<String>,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// Who vouches for the members' certificates; the system's authorities if nobody is named.
    pub ca: Option<PathBuf>,
    /// The certificate that the server shows, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// How old what the server knows may be for it to be ready; `None` for any age.
    pub max_stale: Option<Duration>,
    /// After how many entries a checkpoint is written.
    pub checkpoint_entries: u64,
    /// After how many bytes of entries a checkpoint is written.
    pub checkpoint_bytes: u64,
}

// === impl Endpoints ===

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let endpoints = text.split(',').map(str::trim).map(|endpoint| {
            let uri: Option<http::Uri> = endpoint.parse().ok();
            let is_one = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.port_u16().is_some()
                    && matches!(uri.path(), "" | "/")
            });
            let refused = "it must be addresses such as http://127.0.0.1:2379, with commas between";
            is_one.then(|| endpoint.trim_end_matches('/').to_owned()).ok_or(refused.to_owned())
        });
        Ok(Self(endpoints.collect::<Result<_, _>>()?))
    }
}

// === impl Etcd ===

impl Etcd {
    pub(super) fn of(given: &Settings) -> Result<Self, ConfigError> {
        let endpoints = given.etcd_endpoints.clone().map(|it| it.0).unwrap_or_default();
        // Whoever misspells the members is not to have a server that shares nothing.
        let others = given.said().into_iter().find(|name| OF_ETCD.contains(name));
        if let Some(other) = others.filter(|_| endpoints.is_empty()) {
            let because = "there is no log without members of etcd";
            return Err(ConfigError::Half { given: other, missing: "etcd_endpoints", because });
        }
        // Not told again.
        if endpoints.iter().any(|endpoint| endpoint.contains('@')) {
            return Err(ConfigError::NamesUser("etcd_endpoints"));
        }
        let half = |given, missing| {
            let because = "etcd is shown a certificate only with its key";
            Err(ConfigError::Half { given, missing, because })
        };
        let client = match (&given.etcd_cert, &given.etcd_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (Some(_), None) => return half("etcd_cert", "etcd_key"),
            (None, Some(_)) => return half("etcd_key", "etcd_cert"),
        };
        let in_clear = endpoints.iter().find(|endpoint| is_exposed(endpoint));
        if let Some(endpoint) = in_clear.filter(|_| given.insecure != Some(true)) {
            return Err(ConfigError::PlainEtcd(endpoint.clone()));
        }
        let prefix = given.etcd_prefix.clone().unwrap_or_else(|| DEFAULT_ETCD_PREFIX.to_owned());
        if prefix.trim_end_matches('/').is_empty() {
            return Err(ConfigError::EmptyPrefix);
        }
        let max_stale = millis("max_stale_ms", given.max_stale_ms, Duration::ZERO)?;
        let entries = given.etcd_checkpoint_entries.unwrap_or(DEFAULT_ETCD_CHECKPOINT_ENTRIES);
        let bytes = given.etcd_checkpoint_bytes.unwrap_or(DEFAULT_ETCD_CHECKPOINT_BYTES);
        bounds("etcd_checkpoint_entries", entries, ENTRIES)?;
        bounds("etcd_checkpoint_bytes", bytes, BYTES)?;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Self {
            endpoints,
            prefix,
            ca: given.etcd_ca.clone(),
            client,
            max_stale: Some(max_stale).filter(|limit| !limit.is_zero()),
            checkpoint_entries: count(entries),
            checkpoint_bytes: count(bytes),
        })
    }

    /// The settings as a file would name them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, prefix, ca, client, max_stale, checkpoint_entries, checkpoint_bytes } =
            self;
        if endpoints.is_empty() {
            return Ok(());
        }
        writeln!(f, "etcd_endpoints: {:?}", endpoints.join(","))?;
        writeln!(f, "etcd_prefix: {prefix:?}")?;
        let (cert, key) = client.as_ref().map(|(cert, key)| (cert, key)).unzip();
        for (name, path) in [("etcd_ca", ca.as_ref()), ("etcd_cert", cert), ("etcd_key", key)] {
            if let Some(path) = path {
                writeln!(f, "{name}: {:?}", path.to_string_lossy())?;
            }
        }
        writeln!(f, "max_stale_ms: {}", max_stale.unwrap_or_default().as_millis())?;
        writeln!(f, "etcd_checkpoint_entries: {checkpoint_entries}")?;
        writeln!(f, "etcd_checkpoint_bytes: {checkpoint_bytes}")
    }
}

/// Whether an endpoint is spoken with in clear, beyond this machine.
pub(super) fn is_exposed(endpoint: &str) -> bool {
    let uri: Option<http::Uri> = endpoint.parse().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("http") && !is_loopback(&uri))
}
