//! Settings of who comes in: certificates, callers, and where to listen without them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{CallersFile, ClientAuth, Config, ConfigError, Settings, TlsFiles};

/// The files of TLS, of which some go together.
pub(super) fn tls(given: &Settings) -> Result<Option<TlsFiles>, ConfigError> {
    let Settings { tls_cert, tls_key, tls_client_ca, tls_client_auth, .. } = given.clone();
    let (cert, key, client_ca, client_auth) = (tls_cert, tls_key, tls_client_ca, tls_client_auth);
    let half = |given, missing, because| Err(ConfigError::Half { given, missing, because });
    if client_auth.is_some() && client_ca.is_none() {
        let because = "it is about certificates that somebody vouches for";
        return half("tls_client_auth", "tls_client_ca", because);
    }
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => {
            return half("tls_cert", "tls_key", "a certificate is of no use without its key");
        }
        (None, Some(_)) => {
            return half("tls_key", "tls_cert", "a key is of no use without its certificate");
        }
        (None, None) if client_ca.is_some() => {
            return half("tls_client_ca", "tls_cert", "there is no mutual TLS without TLS");
        }
        (None, None) => return Ok(None),
    };
    let client_ca = client_ca.map(|path| (path, client_auth.unwrap_or_default()));
    Ok(Some(TlsFiles { cert, key, client_ca }))
}

/// The settings as a file would name them.
pub(super) fn show(
    f: &mut fmt::Formatter<'_>,
    callers: Option<&CallersFile>,
    tls: Option<&TlsFiles>,
) -> fmt::Result {
    let mut file = |name: &str, path: &PathBuf| writeln!(f, "{name}: {:?}", path.to_string_lossy());
    if let Some(CallersFile { path, callers: _ }) = callers {
        file("callers", path)?;
    }
    let Some(TlsFiles { cert, key, client_ca }) = tls else { return Ok(()) };
    file("tls_cert", cert)?;
    file("tls_key", key)?;
    if let Some((path, auth)) = client_ca {
        file("tls_client_ca", path)?;
        writeln!(f, "tls_client_auth: {auth}")?;
    }
    Ok(())
}

// === impl Config ===

impl Config {
    /// Beyond loopback nothing is listened to that anybody could read, or ask, or change.
    pub(super) fn check_access(&self) -> Result<(), ConfigError> {
        let missing = match (&self.tls, &self.callers) {
            (None, None) => "there is neither TLS nor authentication",
            (None, Some(_)) => "there is no TLS, so that keys and answers could be read on the way",
            (Some(_), None) => "there are no `callers`, so that everybody may do everything",
            (Some(_), Some(_)) => return self.check_certificates(),
        };
        for (name, address) in [("grpc", self.grpc), ("http", self.http)] {
            if !self.insecure && !address.ip().is_loopback() {
                return Err(ConfigError::Exposed { name, address, missing });
            }
        }
        self.check_certificates()
    }

    /// Names in certificates prove something only where somebody vouches for them.
    fn check_certificates(&self) -> Result<(), ConfigError> {
        let named = self.callers.as_ref().is_some_and(|file| {
            file.callers.callers.iter().any(|caller| !caller.certificates.is_empty())
        });
        let vouched = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if named && !vouched {
            return Err(ConfigError::Half {
                given: "callers",
                missing: "tls_client_ca",
                because: "nobody vouches for the certificates that callers are to prove themselves with",
            });
        }
        Ok(())
    }
}

// === impl ClientAuth ===

impl ClientAuth {
    const WORDS: [(&'static str, Self); 2] =
        [("required", Self::Required), ("optional", Self::Optional)];
}

impl FromStr for ClientAuth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, auth)| auth).ok_or("it must be `required` or `optional`")
    }
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::WORDS.into_iter().find(|(_, auth)| auth == self);
        f.write_str(found.map_or("", |(word, _)| word))
    }
}
