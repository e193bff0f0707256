//! Settings of a sidecar: which server it follows, how it proves itself there, and the socket that it
//! answers on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pdp_engine::id::TenantId;

use super::etcd::is_exposed;
use super::{ConfigError, Settings, millis, settings};
use crate::publish::DEFAULT_TENANT;

/// The default of `follow_max_stale_ms`: two of the server's heartbeats, which come every 10 seconds, and some
/// time on the way.
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(25);

/// How many tenants may be followed: each takes a stream of those that the server's `max_live_streams` bounds.
const MAX_TENANTS: usize = 64;

/// What a sidecar has no use for, and why. `data` is not among them: a container image names a folder for
/// whatever it runs.
const NOT_OF_SIDECAR: [(&str, &str); 12] = [
    ("load", "takes its policy from the server"),
    ("etcd_endpoints", "takes its policy from the server"),
    ("gateway", "leaves requests of gateways to the server"),
    ("callers", "answers whoever may open its socket"),
    (
        "tls_cert",
        "answers questions over its socket alone, and has health and metrics at `http` in clear",
    ),
    (
        "tls_key",
        "answers questions over its socket alone, and has health and metrics at `http` in clear",
    ),
    (
        "tls_client_ca",
        "answers questions over its socket alone, and has health and metrics at `http` in clear",
    ),
    (
        "tls_client_auth",
        "answers questions over its socket alone, and has health and metrics at `http` in clear",
    ),
    (
        "grpc",
        "answers questions over its socket alone, and has health and metrics at `http` in clear",
    ),
    ("public_url", "has no AuthZEN door"),
    ("access_request_url", "has no AuthZEN door"),
    ("person_types", "has no AuthZEN door"),
];

settings! {
    /// Settings of a sidecar as they are given.
    #[command(next_help_heading = "Sidecar")]
    SidecarSettings {
    /// Follow this server as a sidecar, such as `https://pdp.internal:7070`: keep its policy in memory, and answer on `socket`
    follow: ServerUrl, "PDP_FOLLOW", "URL";
    /// PEM file of the certificates that vouch for that of the server; the system's unless said
    follow_ca: PathBuf, "PDP_FOLLOW_CA", "FILE";
    /// PEM file of the certificate that the server is shown
    follow_cert: PathBuf, "PDP_FOLLOW_CERT", "FILE";
    /// PEM file of that certificate's key
    follow_key: PathBuf, "PDP_FOLLOW_KEY", "FILE";
    /// File with the key or token of the sidecar itself: role `explain` to follow, `check` to have the server asked
    follow_credentials: PathBuf, "PDP_FOLLOW_CREDENTIALS", "FILE";
    /// Tenants whose policy to keep, with commas between; what is about others the server is asked
    follow_tenants: Tenants, "PDP_FOLLOW_TENANTS", "NAMES";
    /// How long nothing may have been heard of the server for the sidecar to decide, in milliseconds; 0, and it never does
    follow_max_stale_ms: u64, "PDP_FOLLOW_MAX_STALE_MS", "MS";
    /// Unix socket that the sidecar answers on
    socket: PathBuf, "PDP_SOCKET", "FILE";
    /// Who may open the socket, as an octal mode: whoever may is answered
    socket_mode: SocketMode, "PDP_SOCKET_MODE", "MODE";
    }
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

/// Names of tenants, with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenants(Vec<TenantId>);

/// The mode of a socket's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

/// How a sidecar follows, and where it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The server.
    pub follow: String,
    /// Who vouches for the server's certificate; the system's authorities if nobody is named.
    pub ca: Option<PathBuf>,
    /// The certificate that the server is shown, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Where the sidecar's own key or token is.
    pub token_file: Option<PathBuf>,
    /// Whose policies are kept.
    pub tenants: Vec<TenantId>,
    /// How long nothing may have been heard of the server.
    pub max_stale: Duration,
    /// The socket.
    pub socket: PathBuf,
    /// Who may open it.
    pub mode: SocketMode,
}

// === impl ServerUrl ===

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Option<http::Uri> = text.parse().ok();
        let is_one = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.port_u16().is_some()
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        let refused = "it must be an address such as https://pdp.internal:7070";
        is_one.then(|| Self(text.trim_end_matches('/').to_owned())).ok_or(refused)
    }
}

// === impl Tenants ===

impl FromStr for Tenants {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = text.split(',').map(str::trim).map(TenantId::new);
        let mut names = names.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        names.sort();
        names.dedup();
        match names.len() {
            1..=MAX_TENANTS => Ok(Self(names)),
            actual => Err(format!("it names {actual} tenants; the limit is {MAX_TENANTS}")),
        }
    }
}

// === impl SocketMode ===

impl SocketMode {
    /// Whoever the sidecar runs as, and nobody else.
    const OWNER: Self = Self(0o600);

    /// The bits of it.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for SocketMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The owner has to be able to open it, and there is nothing to be run.
        let bits = u32::from_str_radix(text, 8).ok();
        let bits = bits.filter(|bits| bits & !0o666 == 0 && bits & 0o600 == 0o600);
        bits.map(Self).ok_or("it must be an octal mode such as 600 or 660")
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

// === impl Sidecar ===

impl Sidecar {
    pub(super) fn of(given: &Settings) -> Result<Option<Self>, ConfigError> {
        let SidecarSettings {
            follow,
            follow_ca,
            follow_cert,
            follow_key,
            follow_credentials,
            follow_tenants,
            follow_max_stale_ms,
            socket,
            socket_mode,
        } = &given.sidecar;
        let half = |given, missing, because| Err(ConfigError::Half { given, missing, because });
        let Some(ServerUrl(follow)) = follow else {
            // Whoever misspells the server is not to have one with a policy of its own.
            return match given.sidecar.said().first() {
                Some(other) => half(other, "follow", "there is no sidecar without a server"),
                None => Ok(None),
            };
        };
        let Some(socket) = socket else {
            return half("follow", "socket", "a sidecar answers on a Unix socket");
        };
        let said = given.said();
        let useless = NOT_OF_SIDECAR.into_iter().find(|(name, _)| said.contains(name));
        if let Some((name, because)) = useless {
            return Err(ConfigError::NotOfSidecar(name, because));
        }
        let client = match (follow_cert, follow_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (Some(_), None) => {
                return half("follow_cert", "follow_key", "a certificate is shown with its key");
            }
            (None, Some(_)) => {
                return half("follow_key", "follow_cert", "a key is shown with its certificate");
            }
        };
        // Not told again.
        if follow.contains('@') {
            return Err(ConfigError::NamesUser("follow"));
        }
        if is_exposed(follow) && given.insecure != Some(true) {
            return Err(ConfigError::PlainFollow(follow.clone()));
        }
        let default = || TenantId::new(DEFAULT_TENANT).into_iter().collect();
        Ok(Some(Self {
            follow: follow.clone(),
            ca: follow_ca.clone(),
            client,
            token_file: follow_credentials.clone(),
            tenants: follow_tenants.as_ref().map_or_else(default, |Tenants(names)| names.clone()),
            max_stale: millis("follow_max_stale_ms", *follow_max_stale_ms, DEFAULT_MAX_STALE)?,
            socket: socket.clone(),
            mode: socket_mode.unwrap_or(SocketMode::OWNER),
        }))
    }

    /// The settings as a file would name them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { follow, ca, client, token_file, tenants, max_stale, socket, mode } = self;
        writeln!(f, "follow: {follow:?}")?;
        let (cert, key) = client.as_ref().map(|(cert, key)| (cert, key)).unzip();
        let files = [
            ("follow_ca", ca.as_ref()),
            ("follow_cert", cert),
            ("follow_key", key),
            ("follow_credentials", token_file.as_ref()),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                writeln!(f, "{name}: {:?}", path.to_string_lossy())?;
            }
        }
        let tenants: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
        writeln!(f, "follow_tenants: {:?}", tenants.join(","))?;
        writeln!(f, "follow_max_stale_ms: {}", max_stale.as_millis())?;
        writeln!(f, "socket: {:?}", socket.to_string_lossy())?;
        writeln!(f, "socket_mode: \"{mode}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(more: &[(&str, &str)]) -> Result<Option<Sidecar>, ConfigError> {
        let mut settings = Settings::default();
        let least = [("follow", "https://pdp:7070"), ("socket", "pdp.sock")];
        for (name, value) in least.iter().chain(more) {
            settings.set(name, value).unwrap().unwrap();
        }
        Sidecar::of(&settings)
    }

    #[test]
    fn a_sidecar_keeps_one_tenant_for_one_owner_unless_said() {
        let least = sidecar(&[]).unwrap().unwrap();
        let tenants: Vec<_> = least.tenants.iter().map(TenantId::as_str).collect();
        assert_eq!((least.mode.to_string().as_str(), &tenants[..]), ("600", &["default"][..]));
        assert_eq!((least.max_stale, least.client), (DEFAULT_MAX_STALE, None));
        let more = sidecar(&[("follow_tenants", "b, a,b"), ("socket_mode", "660")]);
        let more = more.unwrap().unwrap();
        assert_eq!(more.tenants.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(more.mode.bits(), 0o660);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (name, _) in NOT_OF_SIDECAR {
            let value = match name {
                "grpc" => "127.0.0.1:1",
                "tls_client_auth" => "optional",
                "etcd_endpoints" | "public_url" | "access_request_url" => "http://127.0.0.1:1",
                _ => "a",
            };
            let refused = sidecar(&[(name, value)]).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("`{name}` and `follow`")), "{refused}");
        }
        for (more, refused) in [
            (("follow_cert", "a"), "`follow_cert` is set and `follow_key` is not"),
            (("follow_key", "a"), "`follow_key` is set and `follow_cert` is not"),
            (("follow", "http://pdp:7070"), "`follow` names http://pdp:7070: whoever"),
            (("follow", "https://me:secret@pdp:7070"), "`follow` names a user"),
            (("follow_max_stale_ms", "3600001"), "`follow_max_stale_ms` is 3600001"),
        ] {
            let said = sidecar(&[more]).unwrap_err().to_string();
            assert!(said.starts_with(refused), "{said}");
        }
        let alone = |name, value| {
            let mut settings = Settings::default();
            settings.set(name, value).unwrap().unwrap();
            Sidecar::of(&settings).unwrap_err().to_string()
        };
        assert!(alone("socket", "a").starts_with("`socket` is set and `follow` is not"));
        assert!(alone("follow", "https://a:1").starts_with("`follow` is set and `socket` is not"));
        assert!(sidecar(&[("follow", "http://127.0.0.1:7070")]).is_ok());
    }

    #[test]
    fn values_that_are_none_are_refused() {
        for text in ["pdp:7070", "https://pdp", "https://pdp:7070/a", "ftp://pdp:1", ""] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
        for text in ["", "a,,b", "a\u{1}"] {
            assert!(text.parse::<Tenants>().is_err(), "{text:?}");
        }
        for text in ["", "060", "777", "rw", "1600", "400"] {
            assert!(text.parse::<SocketMode>().is_err(), "{text}");
        }
        let many: Vec<_> = (0..=MAX_TENANTS).map(|n| format!("t{n}")).collect();
        let refused = many.join(",").parse::<Tenants>().unwrap_err();
        assert_eq!(refused, "it names 65 tenants; the limit is 64");
    }
}
