//! `import`.

use std::path::PathBuf;

pub(super) const JSON: &str = "\
JSON: {\"revision\": N, \"dry_run\": BOOL, \"replayed\": BOOL, \"created\": N, \"changed\": N, \"removed\": N}";

/// Many facts at a time: all of them, or none.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The bundles; `-` reads standard input. What several of them say together is one change set.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Make the policy equal to the bundle: what the bundle does not name is removed. Of one bundle only.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Check everything and count what would change, but change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Import only if this is the current revision.
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,
    /// Name the import, so that it is applied once however often it is sent.
    #[arg(long, value_name = "ID", conflicts_with = "replace")]
    pub(crate) request_id: Option<String>,
}
