//! Why there is no configuration.

use std::net::SocketAddr;

use pdp_bundle::BundleError;

use super::{FileError, Origin};

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting cannot be what it is said to be there.
    #[error("{origin}: {problem}")]
    At {
        /// Where it stands.
        origin: Origin,
        /// What is wrong.
        problem: Box<ConfigError>,
    },
    /// The file that `gateway` or `callers` names cannot be used.
    #[error(transparent)]
    Gateway(#[from] BundleError),
    /// An address beyond loopback.
    #[error(
        "`{name}` is {address}, which other machines can reach, and {missing}: listen on a loopback address such as 127.0.0.1:{}, or say `--insecure`",
        .address.port()
    )]
    Exposed {
        /// `grpc` or `http`.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// What there is not.
        missing: &'static str,
    },
    /// A member of etcd that is spoken with in clear, beyond loopback.
    #[error(
        "`etcd_endpoints` names {0}: whoever can change what is on the way there changes the policy; write https://, or say `--insecure`"
    )]
    PlainEtcd(String),
    /// A server to follow that is spoken with in clear, beyond loopback.
    #[error(
        "`follow` names {0}: whoever can change what is on the way there changes the decisions; write https://, or say `--insecure`"
    )]
    PlainFollow(String),
    /// A setting that a sidecar has no use for.
    #[error("`{0}` and `follow` are both set: a sidecar {because}; leave one of them out", because = .1)]
    NotOfSidecar(&'static str, &'static str),
    /// A setting that says nothing without another.
    #[error("`{given}` is set and `{missing}` is not; {because}")]
    Half {
        /// The setting that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
        /// Why they go together.
        because: &'static str,
    },
    /// Keys of etcd without a name.
    #[error("`etcd_prefix` is empty; name what all keys begin with, such as `pdp`")]
    EmptyPrefix,
    /// Both doors at one address.
    #[error("`grpc` and `http` are both {0}; give each a port of its own")]
    SameAddress(SocketAddr),
    /// A number outside of its bounds.
    #[error("`{name}` is {given}; it must be {least} to {most}")]
    Bounds {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// What no log can be filtered by.
    #[error("`log` is `{given}`, which is no filter: {why}")]
    Filter {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// An endpoint that spans cannot be sent to.
    #[error("`otlp_endpoint` is `{0}`; write an address such as http://127.0.0.1:4317")]
    Endpoint(String),
    /// An address with somebody's password in it, which is not told again.
    #[error("`{0}` names a user; write an address without one")]
    NamesUser(&'static str),
}
