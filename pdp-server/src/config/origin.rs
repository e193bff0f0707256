//! Where a setting stands that cannot be what it is said to be.

use std::fmt;
use std::path::PathBuf;

use super::ConfigError;

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line: the setting's name.
    Flag(&'static str),
    /// In the environment: the setting's name.
    Variable(&'static str),
    /// In the settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
            Self::Variable(name) => write!(f, "PDP_{}", name.to_uppercase()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// The settings that it is about, if it does not say where it is.
    fn settings(&self) -> &[&'static str] {
        match self {
            Self::Exposed { name, .. } | Self::Half { given: name, .. } => {
                std::slice::from_ref(name)
            }
            Self::Bounds { name, .. } | Self::NamesUser(name) => std::slice::from_ref(name),
            Self::SameAddress(_) => &["grpc", "http"],
            Self::Filter { .. } => &["log"],
            Self::Endpoint(_) => &["otlp_endpoint"],
            Self::EmptyPrefix => &["etcd_prefix"],
            Self::PlainEtcd(_) => &["etcd_endpoints"],
            Self::PlainFollow(_) => &["follow"],
            Self::NotOfSidecar(name, _) => std::slice::from_ref(name),
            // These name the file themselves.
            Self::File(_) | Self::Gateway(_) | Self::At { .. } => &[],
        }
    }

    /// The same, with the place of the first setting that has one.
    pub(super) fn at(self, place: impl Fn(&'static str) -> Option<Origin>) -> Self {
        match self.settings().iter().find_map(|name| place(name)) {
            Some(origin) => Self::At { origin, problem: Box::new(self) },
            None => self,
        }
    }
}
