//! The questions asked backwards: what may somebody do here, where may they do it, who may do it,
//! and who could agree to it.
//!
//! Each list is exactly the set for which the check of the family says ALLOW. It is found by
//! turning the compiled structure round (candidates), and every candidate is then checked, so that
//! denies, windows and relations are heard by the one walk that decides. Of a list any part can be
//! had: candidates are cheap, and only those of the part are checked.

mod approvers;
mod boundary;
mod candidates;
mod effective;
mod permissions;
mod resources;
mod subjects;

use std::cell::Cell;

pub use approvers::{APPROVE_USE, ApprovalQuestion, list_approvers, list_approvers_part};
pub use boundary::next_instant;
pub(crate) use boundary::{covering, grants_on};
pub use effective::{
    About, Effective, EffectiveError, Other as EffectiveOther, Part as EffectivePart, effective,
    is_question,
};
pub use permissions::{list_permissions, list_permissions_part};
pub use resources::{list_resources, list_resources_part};
pub use subjects::{SubjectKinds, list_subjects, list_subjects_part};

use crate::check::check;
use crate::permission::PermissionKind;
use crate::query::{Malformed, ObjectRef, PermissionRef, Question, SubjectRef};
use crate::session::{SessionQuestion, allows_session};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::vault::{VaultQuestion, check_vault};

/// How many candidates are gone through between two looks at whether the list is still wanted:
/// some tens of microseconds of ordinary candidates.
pub const CANDIDATES_PER_LOOK: u32 = 128;

/// Anything that may be asked about, of whatever family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyPermission<'a> {
    /// An operation or a native right.
    Access(PermissionRef<'a>),
    /// An action on a vault entity.
    Vault(&'a str),
    /// A session with a permission level, or with none.
    Session(Option<&'a str>),
}

/// A permission in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListedPermission {
    /// An operation.
    Operation(String),
    /// A native right.
    Right(String),
    /// A vault action.
    Vault(String),
    /// A session with a permission level; `None` is a session without one.
    Session(Option<String>),
}

/// Which part of a list is wanted, and by whom.
#[derive(Clone, Copy)]
pub struct Part<'a, T> {
    /// Only what comes after this in the order of the list, whether it is in the list or not.
    pub after: Option<T>,
    /// At most so many items: nothing is checked once they are found.
    pub limit: usize,
    /// Whether the list is still wanted; asked before the first and then after every
    /// [`CANDIDATES_PER_LOOK`] candidates.
    pub wanted: &'a dyn Fn() -> bool,
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The question is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nobody wants it any more ([`Part::wanted`]).
    #[error("the list is not wanted any more")]
    Unwanted,
}

// === impl Part ===

impl<T> Part<'_, T> {
    /// All of it, whatever happens.
    pub(crate) const fn whole() -> Self {
        Self { after: None, limit: usize::MAX, wanted: &|| true }
    }

    fn pace(&self) -> Pace<'_> {
        Pace { wanted: self.wanted, steps: Cell::new(0) }
    }
}

/// What is left of an outcome that somebody waits for whatever happens.
fn wanted_to_the_end<T>(listed: Result<Vec<T>, ListError>) -> Result<Vec<T>, Malformed> {
    match listed {
        Ok(listed) => Ok(listed),
        Err(ListError::Malformed(malformed)) => Err(malformed),
        // INVARIANT: a whole list is wanted to its end.
        Err(ListError::Unwanted) => Ok(Vec::new()),
    }
}

/// Looks now and then whether a list is still wanted.
struct Pace<'a> {
    wanted: &'a dyn Fn() -> bool,
    steps: Cell<u32>,
}

// === impl Pace ===

impl Pace<'_> {
    /// One more candidate.
    fn step(&self) -> Result<(), ListError> {
        let step = self.steps.get();
        self.steps.set((step + 1) % CANDIDATES_PER_LOOK);
        if step == 0 && !(self.wanted)() { Err(ListError::Unwanted) } else { Ok(()) }
    }
}

// === impl ListedPermission ===

impl ListedPermission {
    /// The permission as a question asks it.
    #[must_use]
    pub fn ask(&self) -> AnyPermission<'_> {
        match self {
            Self::Operation(name) => {
                AnyPermission::Access(PermissionRef { kind: PermissionKind::Operation, name })
            }
            Self::Right(name) => {
                AnyPermission::Access(PermissionRef { kind: PermissionKind::Right, name })
            }
            Self::Vault(name) => AnyPermission::Vault(name),
            Self::Session(level) => AnyPermission::Session(level.as_deref()),
        }
    }
}

/// Whether the check of the permission's family says ALLOW.
pub(crate) fn allows(
    snapshot: &Snapshot,
    subject: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    object: ObjectRef<'_>,
    now: Timestamp,
) -> Result<bool, Malformed> {
    let decision = match permission {
        AnyPermission::Access(permission) => {
            check(snapshot, &Question::new(subject, permission, object), now)?
        }
        AnyPermission::Vault(action) => {
            check_vault(snapshot, &VaultQuestion { subject, action, entity: object }, now)?
        }
        AnyPermission::Session(level) => {
            let question = SessionQuestion { subject, level, computer: object, routing: true };
            return allows_session(snapshot, &question, now);
        }
    };
    Ok(decision.is_allow())
}
