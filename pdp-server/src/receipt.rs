//! What a writer is told about a change set, and the name a writer gives it so that sending it
//! again is safe. Shared by the store, which remembers receipts, and the publisher, which issues
//! them; it knows neither of the two.

use std::fmt;
use std::sync::Arc;

use pdp_engine::facts::{Delta, FactKey};
use pdp_engine::id::{IdError, PersonId, validate_id};
use pdp_engine::query::Revision;

/// The name a writer gives a change set: the same name again returns the first receipt and applies
/// nothing (semantics, section 9). 1 to 256 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

/// What became of one fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It did not exist before.
    Created,
    /// It existed and reads differently now.
    Changed,
    /// It existed and no longer does.
    Removed,
}

/// How many changed facts a receipt lists: an import may change millions, a receipt is remembered with
/// its request id, and whoever sent a change set knows what was in it.
pub const MAX_LISTED_CHANGES: usize = 10_000;

/// How many facts a change set created, changed and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How many it created.
    pub created: u64,
    /// How many it changed.
    pub changed: u64,
    /// How many it removed.
    pub removed: u64,
}

/// What a change set did, or for a dry run what it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The revision that the change set made. A change set without net effect makes none: then the
    /// revision it was applied to. For a dry run: the revision it was judged on.
    pub revision: Revision,
    /// The facts that differ, in the order of the keys: the net effect, cascades included. The first
    /// [`MAX_LISTED_CHANGES`] of them.
    pub changes: Vec<(FactKey, ChangeKind)>,
    /// How many facts differ, those not listed included.
    pub counts: Counts,
    /// The request id had been used before: this is the first receipt, and nothing was applied.
    pub replayed: bool,
    /// Nothing was applied, because the writer asked only what would happen.
    pub dry_run: bool,
    /// The person on whose behalf it was applied (D7).
    pub on_behalf_of: Option<PersonId>,
}

// === impl RequestId ===

impl RequestId {
    /// Checks and takes a request id.
    ///
    /// # Errors
    /// [`IdError`] says what is wrong with the string.
    pub fn new(id: impl AsRef<str>) -> Result<Self, IdError> {
        let id = id.as_ref();
        validate_id("request id", id)?;
        Ok(Self(Arc::from(id)))
    }

    /// The id as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Counts ===

impl Counts {
    /// Counts what became of facts.
    pub(crate) fn of(kinds: impl IntoIterator<Item = ChangeKind>) -> Self {
        let mut counts = Self::default();
        for kind in kinds {
            match kind {
                ChangeKind::Created => counts.created += 1,
                ChangeKind::Changed => counts.changed += 1,
                ChangeKind::Removed => counts.removed += 1,
            }
        }
        counts
    }

    /// How many facts differ.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.created.saturating_add(self.changed).saturating_add(self.removed)
    }
}

// === impl ChangeKind ===

impl ChangeKind {
    /// The word for it: `created`, `changed` or `removed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// What a delta did to its fact.
    #[must_use]
    pub const fn of(delta: &Delta) -> Self {
        match (&delta.before, &delta.after) {
            (None, Some(_)) => Self::Created,
            (Some(_), Some(_)) => Self::Changed,
            (_, None) => Self::Removed,
        }
    }
}
