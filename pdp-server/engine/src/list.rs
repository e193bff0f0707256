//! The questions asked backwards: what may somebody do here, where may they do it, who may do it,
//! and who could agree to it.
//!
//! Each list is exactly the set for which the check of the family says ALLOW. It is found by
//! turning the compiled structure round (candidates), and every candidate is then checked, so that
//! denies, windows and relations are heard by the one walk that decides.

mod approvers;
mod permissions;
mod resources;
mod subjects;

pub use approvers::{APPROVE_USE, ApprovalQuestion, list_approvers};
pub use permissions::list_permissions;
pub use resources::list_resources;
pub use subjects::{SubjectKinds, list_subjects};

use crate::check::check;
use crate::permission::PermissionKind;
use crate::query::{Malformed, ObjectRef, PermissionRef, Question, SubjectRef};
use crate::session::{SessionQuestion, allows_session};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::vault::{VaultQuestion, check_vault};

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
