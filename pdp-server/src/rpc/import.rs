//! `PolicyService/Import`: one change set of any size, staged as it arrives and applied as a whole.
//!
//! What is staged belongs to the call alone: it goes with it, whatever ends it, and no lock is held
//! before all of it is there. Conversions and applying run where blocking is allowed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Extensions;
use pdp_engine::facts::Change;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::import_request::Part;
use prost::Message as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Streaming;

use super::failure::Failure;
use super::last_resort::unreadable;
use super::leave::{Lasting, granted, tenant_of};
use super::malformed::Malformed;
use super::policy::request_id;
use super::{Door, inbound};
use crate::callers::Standing;
use crate::publish::{Apply, ApplyError, Counts, Publisher, Receipt, RequestId, UnknownTenant};

/// How long an import may be silent between two parts: whoever reads a file does not take that long,
/// and whoever has gone without a word is not waited for.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// What imports may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportLimits {
    /// How many may be under way.
    pub(crate) at_once: usize,
    /// How many bytes one may have, as sent.
    pub(crate) bytes: usize,
    /// How long one may take to arrive.
    pub(crate) time: Duration,
}

/// The imports that are under way.
pub(super) struct Imports {
    limits: ImportLimits,
    places: Semaphore,
}

/// An import that is arriving.
struct Staged {
    tenant: TenantId,
    expected: Option<Revision>,
    dry_run: bool,
    request_id: Option<RequestId>,
    changes: Vec<Change>,
    /// How large it was on the wire, so far.
    bytes: usize,
}

/// What became of a part.
enum Next {
    More(Staged),
    Whole(Staged),
}

// === impl Imports ===

impl Imports {
    pub(super) fn new(limits: ImportLimits) -> Self {
        Self { limits, places: Semaphore::new(limits.at_once) }
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let maximum = self.limits.at_once;
        self.places.try_acquire().map_err(|_| Failure::TooManyImports { maximum })
    }
}

/// Takes an import in and applies it.
pub(super) async fn import(
    door: &Arc<Door>,
    (extensions, standing): (&Extensions, Standing),
    mut parts: Streaming<v1::ImportRequest>,
) -> Result<v1::ImportResponse, Failure> {
    let limits = door.imports.limits;
    let _place = door.imports.place()?;
    let begun = Instant::now();
    let staged =
        tokio::time::timeout(limits.time, arrive(door, extensions, &mut parts, limits.bytes))
            .await
            .unwrap_or(Err(Failure::ImportTooSlow { limit: limits.time }))?;
    let (tenant, changes, bytes) = (staged.tenant.clone(), staged.changes.len(), staged.bytes);
    let received_ms = begun.elapsed().as_millis();
    tracing::info!(%tenant, changes, bytes, received_ms, "import received");
    let applying = Arc::clone(door);
    // It may have taken a while to arrive.
    let mut leave = Lasting::new(standing, tenant.as_str());
    door.blocking(leave.still()?, move |publisher, _| apply(&applying, publisher, staged)).await
}

/// Takes part after part, until the word to commit.
async fn arrive(
    door: &Door,
    extensions: &Extensions,
    parts: &mut Streaming<v1::ImportRequest>,
    most: usize,
) -> Result<Staged, Failure> {
    let mut staged = begin(door, extensions, next(parts).await?)?;
    loop {
        let part = next(parts).await?;
        staged = match door.aside(move || take(staged, part, most)).await? {
            Next::More(staged) => staged,
            Next::Whole(staged) => return Ok(staged),
        };
    }
}

/// The next part, if it comes in time.
async fn next(parts: &mut Streaming<v1::ImportRequest>) -> Result<Part, Failure> {
    let message = tokio::time::timeout(LONGEST_SILENCE, parts.message())
        .await
        .map_err(|_| Failure::ImportTooSlow { limit: LONGEST_SILENCE })?
        .map_err(|status| {
            unreadable(&status).map_or(Failure::Transport(status), |(failure, _)| failure)
        })?;
    let ended = "ended without `commit`, so nothing was applied; send it last";
    let v1::ImportRequest { part } = message.ok_or_else(|| Malformed::new("commit", ended))?;
    let empty = "is neither `header`, `changes` nor `commit`";
    Ok(part.ok_or_else(|| Malformed::new("part", empty))?)
}

/// Looks at the header before the changes are sent: what is refused anyway is refused at once.
fn begin(door: &Door, extensions: &Extensions, part: Part) -> Result<Staged, Failure> {
    let Part::Header(header) = part else {
        return Err(Malformed::new("header", "is missing; it is the first part").into());
    };
    let v1::ImportHeader { tenant, expected_revision, dry_run, request_id: given } = header;
    let leave = granted(extensions, &tenant)?;
    let publisher = door.behind.by(leave)?;
    let tenant = tenant_of(leave)?;
    let request_id = request_id(&given)?;
    let unknown = || UnknownTenant(tenant.to_string());
    let actual = publisher.revision(tenant.as_str()).ok_or_else(unknown)?;
    let expected = expected_revision.map(Revision::new);
    // Under a request id it may have been applied already, which moved the revision on.
    if let Some(expected) = expected.filter(|it| *it != actual && request_id.is_none()) {
        return Err(Failure::RevisionConflict { expected, actual });
    }
    Ok(Staged { tenant, expected, dry_run, request_id, changes: Vec::new(), bytes: 0 })
}

fn take(mut staged: Staged, part: Part, most: usize) -> Result<Next, Failure> {
    match part {
        Part::Header(_) => Err(Malformed::new("header", "was sent already").into()),
        Part::Changes(part) => {
            staged.bytes = staged.bytes.saturating_add(part.encoded_len());
            if staged.bytes > most {
                return Err(Failure::Limit {
                    limit: "max_import_bytes",
                    field: "changes",
                    unit: "bytes",
                    maximum: most,
                    actual: staged.bytes,
                });
            }
            let v1::ImportChanges { changes } = part;
            staged.changes.reserve(changes.len());
            for wire in changes {
                let place = staged.changes.len();
                let inside = |wrong: Malformed| wrong.inside(&format!("changes[{place}]"));
                staged.changes.push(inbound::change(wire).map_err(inside)?);
            }
            Ok(Next::More(staged))
        }
        Part::Commit(v1::ImportCommit { changes: sent }) => {
            let arrived = staged.changes.len();
            if sent != arrived as u64 {
                let message = format!("says {sent} changes, and {arrived} arrived");
                return Err(Malformed::new("commit.changes", message).into());
            }
            Ok(Next::Whole(staged))
        }
    }
}

fn apply(
    door: &Door,
    publisher: &Publisher,
    staged: Staged,
) -> Result<v1::ImportResponse, Failure> {
    let started = Instant::now();
    let Staged { tenant, expected, dry_run, request_id, changes, bytes: _ } = staged;
    let request_id = request_id.as_ref();
    let request = Apply { changes: &changes, expected, dry_run, request_id, on_behalf_of: None };
    let applied = publisher.apply(&tenant, request);
    let outcome = door.metrics.change_set(applied.as_ref(), started.elapsed()).as_str();
    let took_ms = started.elapsed().as_millis();
    match applied {
        Ok(receipt) => {
            let (revision, changed) = (receipt.revision.get(), receipt.counts.total());
            tracing::info!(%tenant, outcome, revision, changed, took_ms, "import");
            Ok(response(&receipt))
        }
        Err(error) => Err(refused(&tenant, outcome, error)),
    }
}

fn refused(tenant: &TenantId, outcome: &str, error: ApplyError) -> Failure {
    let failure = Failure::from(error);
    tracing::info!(%tenant, outcome, reason = failure.reason(), "import");
    failure
}

fn response(receipt: &Receipt) -> v1::ImportResponse {
    let Receipt { revision, changes: _, counts, replayed, dry_run: _, on_behalf_of: _ } = receipt;
    let Counts { created, changed, removed } = *counts;
    v1::ImportResponse { revision: revision.get(), created, changed, removed, replayed: *replayed }
}
