//! Why a change set is refused: which change, which reference, what to do.

use super::{FactKey, MAX_FACTS, MAX_PERMISSIONS_PER_TYPE, MAX_TEXT_BYTES, MAX_TREE_DEPTH};
use crate::permission::PermissionKind;

/// A refused change set. Nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong, in the order of the changes; at least one, at most [`Rejected::MAX_LISTED`].
    pub rejections: Vec<Rejection>,
}

impl Rejected {
    /// How many problems are listed: enough to mend a bundle by, and bounded.
    pub const MAX_LISTED: usize = 100;

    pub(super) fn new(mut rejections: Vec<Rejection>) -> Self {
        rejections.sort_by_key(|rejection| rejection.change);
        rejections.truncate(Self::MAX_LISTED);
        Self { rejections }
    }
}

impl std::error::Error for Rejected {}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, rejection) in self.rejections.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{rejection}")?;
        }
        Ok(())
    }
}

/// One thing wrong with a change set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Rejection {
    /// The position in the change set, from 0, of the change that brought it about.
    pub change: usize,
    /// The fact that the change touches.
    pub key: FactKey,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with the state that a change set would leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A reference leads nowhere.
    #[error(
        "`{field}` names {target}, which does not exist; create it in the same change set or correct the name"
    )]
    Dangling {
        /// The part of the fact that refers.
        field: &'static str,
        /// What it refers to.
        target: FactKey,
    },
    /// A delete of something that does not exist.
    #[error("does not exist, so it cannot be deleted")]
    NothingToDelete,
    /// A delete of something that is still named elsewhere.
    #[error("is still named by {}; change those first{}", list(.referrers, *.total), if *.cascadable { ", or delete with cascade" } else { "" })]
    StillReferenced {
        /// The first few that name it.
        referrers: Vec<FactKey>,
        /// How many name it.
        total: usize,
        /// Whether the delete could have said `cascade` and did not.
        cascadable: bool,
    },
    /// A chain of parents, or of included roles, that comes back to where it began.
    #[error("`{field}` makes a cycle: {}", .path.join(" -> "))]
    Cycle {
        /// `parent` or `includes`.
        field: &'static str,
        /// The ids along the cycle, the first one repeated at the end.
        path: Vec<String>,
    },
    /// A tree deeper than the limit.
    #[error("stands {depth} levels deep; the limit is {MAX_TREE_DEPTH}")]
    TooDeep {
        /// Nodes from the root to this one.
        depth: usize,
    },
    /// A window that is never open (A9).
    #[error("`{field}`: `valid_from` must be before `valid_until`")]
    EmptyWindow {
        /// The part of the fact that has the window.
        field: &'static str,
    },
    /// A member of a kind that this container does not take (A3, A4, A6).
    #[error("cannot have {member} as a member; it takes {takes}")]
    MemberKind {
        /// The member as written.
        member: String,
        /// The kinds it takes.
        takes: &'static str,
    },
    /// A person who is their own manager (C0).
    #[error("`manager` names the person themselves; leave it out or name another person")]
    OwnManager,
    /// An entry among the resources for a built-in type (section 1).
    #[error("`{type_name}` is built in: its objects are the {objects}, so create one of those")]
    BuiltInResource {
        /// The type.
        type_name: &'static str,
        /// What its objects are.
        objects: &'static str,
    },
    /// A definition that qualifies something its type does not declare (Q8).
    #[error("`{name}` is no {} that resource type `{type_name}` declares; declare it or correct the name", .kind.as_str())]
    UndeclaredPermission {
        /// Operation or right.
        kind: PermissionKind,
        /// The name.
        name: String,
        /// The type.
        type_name: String,
    },
    /// A right qualified as anything but `allowed` or `denied` (section 3).
    #[error("right `{name}` is qualified `{qualifier}`; a right is `allowed` or `denied`")]
    RightQualifier {
        /// The right.
        name: String,
        /// What it was qualified as.
        qualifier: &'static str,
    },
    /// A definition's name that cannot stand in delegation operations (section 5).
    #[error("its name gives the token `{token}`, which {why}; choose another name")]
    Token {
        /// The token of the name.
        token: String,
        /// What is wrong with it.
        why: String,
    },
    /// A scope that the definition's type does not take (C0).
    #[error("{scope} needs a level of type {needs}, and this level's type is `{type_name}`")]
    ScopeType {
        /// The scope as written.
        scope: String,
        /// The type it needs.
        needs: String,
        /// The level's type.
        type_name: String,
    },
    /// Too many operations and rights on one type.
    #[error("declares {actual} operations and rights; the limit is {MAX_PERMISSIONS_PER_TYPE}")]
    TooManyPermissions {
        /// How many it would declare.
        actual: usize,
    },
    /// A descriptive text that is too long.
    #[error("`{field}` has {actual} bytes; the limit is {MAX_TEXT_BYTES}")]
    TextTooLong {
        /// Which text.
        field: &'static str,
        /// Its length in bytes.
        actual: usize,
    },
    /// A share that V1 does not allow.
    #[error("`{level}` {why}")]
    ShareLevel {
        /// The level shared.
        level: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A share of something that vault sharing does not know (section 6).
    #[error(
        "`{object}` is no vault entity: those are resources of declared types, and accounts with a `computer`"
    )]
    NotVaultEntity {
        /// What was to be shared.
        object: String,
    },
    /// A resource group with something in it that does not belong there (V1).
    #[error("cannot have `{member}` as a member: it {why}")]
    ResourceGroupMember {
        /// The member.
        member: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A parent that has a parent itself (section 6).
    #[error("has the parent `{parent}`, which has a parent itself; name that one")]
    ParentHasParent {
        /// The parent.
        parent: String,
    },
    /// A vault account with another platform than its parent (section 6).
    #[error("has the platform `{own}`, and its parent has `{parents}`; leave it out")]
    PlatformOfParent {
        /// The account's own platform.
        own: String,
        /// The parent's; empty if it has none.
        parents: String,
    },
    /// An approval that does not name what an approval is of (section 7).
    #[error("an `approved` eligibility needs {needs}")]
    Approval {
        /// What is missing.
        needs: &'static str,
    },
    /// A session length that no session can have.
    #[error("`max_session` must be longer than nothing")]
    MaxSession,
    /// More facts than one policy may hold.
    #[error("the policy would hold {actual} facts; the limit is {MAX_FACTS}")]
    TooManyFacts {
        /// How many it would hold.
        actual: usize,
    },
}

impl Problem {
    /// A stable name of the problem, for error details.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Dangling { .. } => "DANGLING_REFERENCE",
            Self::NothingToDelete => "NOT_FOUND",
            Self::StillReferenced { .. } => "STILL_REFERENCED",
            Self::Cycle { .. } => "CYCLE",
            Self::TooDeep { .. } => "TREE_TOO_DEEP",
            Self::EmptyWindow { .. } => "EMPTY_WINDOW",
            Self::MemberKind { .. } => "MEMBER_KIND",
            Self::OwnManager => "OWN_MANAGER",
            Self::BuiltInResource { .. } => "BUILT_IN_RESOURCE_TYPE",
            Self::UndeclaredPermission { .. } => "UNDECLARED_PERMISSION",
            Self::RightQualifier { .. } => "RIGHT_QUALIFIER",
            Self::Token { .. } => "LEVEL_TOKEN",
            Self::ScopeType { .. } => "SCOPE_TYPE",
            Self::TooManyPermissions { .. } => "TOO_MANY_PERMISSIONS",
            Self::TextTooLong { .. } => "TEXT_TOO_LONG",
            Self::ShareLevel { .. } => "SHARE_LEVEL",
            Self::NotVaultEntity { .. } => "NOT_A_VAULT_ENTITY",
            Self::ResourceGroupMember { .. } => "RESOURCE_GROUP_MEMBER",
            Self::ParentHasParent { .. } => "PARENT_HAS_PARENT",
            Self::PlatformOfParent { .. } => "PLATFORM_OF_PARENT",
            Self::Approval { .. } => "APPROVAL",
            Self::MaxSession => "MAX_SESSION",
            Self::TooManyFacts { .. } => "TOO_MANY_FACTS",
        }
    }
}

fn list(referrers: &[FactKey], total: usize) -> String {
    let mut text = referrers.iter().map(FactKey::to_string).collect::<Vec<_>>().join(", ");
    if total > referrers.len() {
        text.push_str(&format!(" and {} more", total - referrers.len()));
    }
    text
}
