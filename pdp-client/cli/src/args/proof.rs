//! What says who calls, and who is called.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// These options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct Proof {
    /// Who calls: a key or token that the server takes. Better in the environment, or in a file.
    #[arg(long, global = true, value_name = "TOKEN", env = "PDP_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Secret>,
    /// A file with the same, read anew while it is used.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PDP_TOKEN_FILE",
        conflicts_with = "token"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of the certificates that vouch for the server [default: the system's].
    #[arg(long, global = true, value_name = "FILE", env = "PDP_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The name in the server's certificate, where it is not that of the address.
    #[arg(long, global = true, value_name = "NAME", env = "PDP_SERVER_NAME")]
    pub(crate) server_name: Option<String>,
    /// PEM file of a certificate that says who calls, for mutual TLS.
    #[arg(long, global = true, value_name = "FILE", env = "PDP_CERT", requires = "cert_key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(long, global = true, value_name = "FILE", env = "PDP_CERT_KEY", requires = "cert")]
    pub(crate) cert_key: Option<PathBuf>,
}

/// Something that proves who calls. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

// === impl Secret ===

impl Secret {
    /// What it is, to be sent.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
