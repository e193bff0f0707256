//! What a client proves with who it is: a bearer token, read anew from its file now and then, and a
//! certificate. Nothing here is ever printed.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Uri};

use crate::call::Error;

/// How long a token from a file is used before the file is read again: whoever writes new ones there
/// does so well before the old one ends.
const REREAD_AFTER: Duration = Duration::from_secs(5);

/// How large a file of a token, certificate or key may be, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A bearer token, and where it is.
#[derive(Clone, Default)]
pub(crate) enum Bearer {
    /// There is none.
    #[default]
    None,
    /// This one.
    Token(String),
    /// What a file holds.
    File(PathBuf),
}

/// What TLS needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) server_name: Option<String>,
}

/// Puts the token on requests.
pub(crate) enum Authorization {
    None,
    Fixed(MetadataValue<Ascii>),
    File { path: PathBuf, read: Mutex<Option<(Instant, MetadataValue<Ascii>)>> },
}

// === impl Bearer ===

/// Says nothing of the token.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::File(_) => "File",
        })
    }
}

impl Bearer {
    /// What puts it on requests to these addresses. A token is not sent where others could read it.
    pub(crate) fn authorization(self, endpoints: &[Uri]) -> Result<Authorization, Error> {
        let is_open =
            |endpoint: &&Uri| endpoint.scheme_str() != Some("https") && !is_loopback(endpoint);
        match (self, endpoints.iter().find(is_open)) {
            (Self::None, _) => Ok(Authorization::None),
            (Self::Token(_) | Self::File(_), Some(endpoint)) => Err(setting(format!(
                "a token would be sent to {endpoint} in clear; use an address with `https://`"
            ))),
            (Self::Token(token), None) => value(&token).map(Authorization::Fixed),
            (Self::File(path), None) => {
                let token = token_in(&path)?;
                let read = Mutex::new(Some((Instant::now(), token)));
                Ok(Authorization::File { path, read })
            }
        }
    }
}

// === impl Authorization ===

impl Authorization {
    /// Puts the token on a request.
    pub(crate) fn put<T>(&self, request: &mut Request<T>) -> Result<(), Error> {
        let token = match self {
            Self::None => return Ok(()),
            Self::Fixed(token) => token.clone(),
            Self::File { path, read } => {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                match &*read {
                    Some((at, token)) if at.elapsed() < REREAD_AFTER => token.clone(),
                    _ => {
                        let token = token_in(path)?;
                        *read = Some((Instant::now(), token.clone()));
                        token
                    }
                }
            }
        };
        request.metadata_mut().insert("authorization", token);
        Ok(())
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization")
    }
}

// === impl Files ===

impl Files {
    /// Whether nothing is said.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none() && self.server_name.is_none()
    }

    /// How to connect with TLS.
    pub(crate) fn config(&self) -> Result<ClientTlsConfig, Error> {
        let config = ClientTlsConfig::new();
        let config = match &self.server_name {
            None => config,
            Some(name) => config.domain_name(name.clone()),
        };
        let config = match &self.ca {
            None => config.with_native_roots(),
            Some(path) => config.ca_certificate(Certificate::from_pem(contents(path)?)),
        };
        Ok(match &self.identity {
            None => config,
            Some((cert, key)) => {
                config.identity(Identity::from_pem(contents(cert)?, contents(key)?))
            }
        })
    }
}

fn is_loopback(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default();
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn token_in(path: &Path) -> Result<MetadataValue<Ascii>, Error> {
    let bytes = contents(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| setting(format!("{}: the token is not text", path.display())))?;
    value(text.trim())
}

fn value(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = fits.then(|| format!("Bearer {token}").parse().ok()).flatten();
    // What it is instead is not said: it may be most of a good one.
    let mut value: MetadataValue<Ascii> =
        value.ok_or_else(|| setting("the token is empty, or has blanks in it".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let unreadable =
        |error: std::io::Error| setting(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn setting(message: String) -> Error {
    Error::Setting { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bearer: Bearer, endpoint: &'static str) -> Result<String, String> {
        let authorization = bearer
            .authorization(&[Uri::from_static(endpoint)])
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(());
        authorization.put(&mut request).map_err(|error| error.to_string())?;
        let value = request.metadata().get("authorization").cloned();
        assert!(value.as_ref().is_none_or(MetadataValue::is_sensitive));
        Ok(value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn a_token_goes_where_nobody_else_reads_it() {
        let token = || Bearer::Token("abc".to_owned());
        for endpoint in ["https://pdp", "http://127.0.0.1:7070", "http://[::1]", "http://localhost"]
        {
            assert_eq!(sent(token(), endpoint).as_deref(), Ok("Bearer abc"));
        }
        let refused = sent(token(), "http://pdp:7070").unwrap_err();
        assert!(refused.starts_with("a token would be sent to http://pdp:7070/ in clear"));
        assert_eq!(sent(Bearer::None, "http://pdp:7070").as_deref(), Ok(""));
        let both = ["https://pdp", "http://pdp"].map(Uri::from_static);
        assert!(token().authorization(&both).is_err(), "one that others read is one too many");
    }

    #[test]
    fn a_token_is_read_from_a_file_and_never_shown() {
        let path = std::env::temp_dir().join(format!("pdp-client-token-{}", std::process::id()));
        std::fs::write(&path, "abc\n").unwrap();
        assert_eq!(sent(Bearer::File(path.clone()), "https://pdp").as_deref(), Ok("Bearer abc"));
        for broken in ["", "a b", "\u{e4}"] {
            std::fs::write(&path, broken).unwrap();
            let error = sent(Bearer::File(path.clone()), "https://pdp").unwrap_err();
            assert_eq!(error, "the token is empty, or has blanks in it");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(sent(Bearer::File(path), "https://pdp").unwrap_err().starts_with("cannot read"));
        assert!(!format!("{:?}", Bearer::Token("abc".to_owned())).contains("abc"));
    }
}
