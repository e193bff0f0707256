//! Gives a new store its first policy: applies a bundle to the default tenant at the start of a
//! server, unless the tenant has a policy already. Applied again, it would undo what was revoked
//! since.

use std::path::{Path, PathBuf};

use pdp_bundle::BundleError;
use pdp_bundle::case::read_file;
use pdp_engine::id::{IdError, TenantId};
use pdp_engine::query::Revision;

use crate::publish::{Apply, ApplyError, DEFAULT_TENANT, Publisher};

/// Why a bundle was not applied.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or the policy refuses it; each line names file, line and key.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// It was not applied for another reason.
    #[error("{}: {source}", .path.display())]
    Apply {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: Box<ApplyError>,
    },
    /// The name of the default tenant is not a name.
    #[error(transparent)]
    Tenant(#[from] IdError),
}

/// Reads a bundle and applies it as one change set, if the tenant is still at revision 0.
pub(crate) fn apply(publisher: &Publisher, path: &Path) -> Result<(), LoadError> {
    let tenant = TenantId::new(DEFAULT_TENANT)?;
    let revision = publisher.revision(DEFAULT_TENANT).unwrap_or_default();
    if revision != Revision::ZERO {
        has_one(path, revision);
        return Ok(());
    }
    let bundle = pdp_bundle::parse(&path.display().to_string(), &read_file(path)?)?;
    let changes = bundle.changes();
    let request = Apply {
        changes: &changes,
        expected: Some(Revision::ZERO),
        dry_run: false,
        request_id: None,
        on_behalf_of: None,
    };
    let receipt = match publisher.apply(&tenant, request) {
        Ok(receipt) => receipt,
        // Another server that shares the log was first.
        Err(ApplyError::RevisionMismatch { actual, .. }) => {
            has_one(path, actual);
            return Ok(());
        }
        Err(ApplyError::Rejected(rejected)) => {
            return Err(LoadError::Bundle(bundle.explain_rejection(&rejected)));
        }
        Err(other) => {
            return Err(LoadError::Apply { path: path.to_owned(), source: Box::new(other) });
        }
    };
    let (revision, changed) = (receipt.revision.get(), receipt.counts.total());
    tracing::info!(path = %path.display(), revision, changed, "bundle applied");
    Ok(())
}

fn has_one(path: &Path, revision: Revision) {
    let (path, revision) = (path.display(), revision.get());
    tracing::info!(%path, revision, "bundle not applied: the tenant has a policy already");
}
