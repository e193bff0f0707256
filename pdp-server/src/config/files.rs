//! Files that settings name, and what they say: read once, with the settings.

use std::path::PathBuf;

use pdp_bundle::BundleError;
use pdp_bundle::callers::Callers;
use pdp_bundle::gateway::Gateway;

/// The file of a mapping, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub mapping: Gateway,
}

/// The file of callers, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallersFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub callers: Callers,
}

// === impl GatewayFile ===

impl GatewayFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, BundleError> {
        Ok(Self { mapping: Gateway::open(&path)?, path })
    }
}

// === impl CallersFile ===

impl CallersFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, BundleError> {
        Ok(Self { callers: Callers::open(&path)?, path })
    }
}
