//! Why a decision is what it is: the same walk as [`crate::check`], with everything written down
//! (semantics, section 8). An explanation names facts only, so anybody can check it against them.

mod coverage;
mod near;
mod path;
mod side;

use std::fmt;

pub use near::MAX_NEAR_MISSES_PER_GAP;
pub(crate) use path::Paths;
pub use side::explain;
pub use side::{MAX_ENTRIES, MAX_HOPS};
pub(crate) use side::{Recorder, object_name};

use crate::actor::ActorRef;
use crate::id::{AssignmentId, BusinessRoleId, LocationId};
use crate::level::{LevelRef, Scope};
use crate::permission::Qualifier;
use crate::query::{Decision, Reason};
use crate::resource::ResourceRef;
use crate::time::{Timestamp, Window};

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The same decision that [`crate::check::check`] gives.
    pub decision: Decision,
    /// The instant it was computed for.
    pub evaluated_at: Timestamp,
    /// One for the resource, and for a dual check one for the counterpart (Q7). Empty where the
    /// decision was made before any assignment was looked at (Q6).
    pub sides: Vec<Side>,
}

/// What was found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The object.
    pub object: ResourceRef,
    /// What Q1 to Q4 come to for this object alone.
    pub outcome: Reason,
    /// Every applicable assignment whose definition mentions the permission, by assignment id. Where
    /// there are more than [`MAX_ENTRIES`], or than have [`MAX_HOPS`] together, those that decided
    /// are listed before others.
    pub entries: Vec<Entry>,
    /// How many more apply than are listed.
    pub omitted_entries: usize,
    /// For `NOT_GRANTED`: the levels of the type that allow the permission, by name.
    pub granting_levels: Vec<LevelRef>,
    /// For `NOT_GRANTED`: assignments that almost grant it, nearest first; a bounded number.
    pub near_misses: Vec<NearMiss>,
}

/// One applicable assignment, with both of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Its assignee.
    pub to: ActorRef,
    /// Its definition.
    pub level: LevelRef,
    /// Its scope.
    pub scope: Scope,
    /// Its own window.
    pub window: Window,
    /// What the definition says about the permission.
    pub qualifier: Qualifier,
    /// What became of it.
    pub standing: Standing,
    /// How the subject counts as the assignee; empty if it is the assignee.
    pub subject_path: Vec<Hop>,
    /// How the scope covers the object.
    pub coverage: Coverage,
}

/// What became of an applicable assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Its qualifier decided.
    Deciding,
    /// It allows, and a deny masked it (Q1).
    Masked,
    /// It was heard and did not matter.
    Outweighed,
}

impl Standing {
    /// The standing's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deciding => "DECIDING",
            Self::Masked => "MASKED",
            Self::Outweighed => "OUTWEIGHED",
        }
    }
}

/// How a scope covers an object. Both chains end at the same thing: for `in: L` at L, for a
/// relative scope at the place or the object where subject and object meet. A direct scope has
/// neither chain. Where a type at a location is asked (D1), `placement` leads from the lower one of
/// the location asked of and the location of the scope to the upper one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// From the subject to the meeting point; only for relative scopes.
    pub relation: Vec<Hop>,
    /// From the object to the meeting point; empty if the object is the meeting point.
    pub placement: Vec<Hop>,
}

/// One step of a path. Each is one fact, and each starts where the one before it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Which fact makes the step.
    pub kind: HopKind,
    /// Where it starts.
    pub from: Thing,
    /// Where it leads.
    pub to: Thing,
    /// When the fact holds; always open at the instant of the explanation, but for near misses.
    pub window: Window,
}

/// The kinds of facts that make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HopKind {
    /// A person owns an enabled account (A2), or an account of any kind in a relative scope (C3).
    Owns,
    /// A member is in a group, a set group or a management role (A3, A4, A6).
    MemberOf,
    /// A person or group holds a position: to the Business Role and Location pair (A5), or, in a
    /// coverage, to the location alone (C3).
    HoldsPosition,
    /// A pair counts as the pair of the same location with the parent role (A5).
    RoleParent,
    /// A pair counts as the pair of the same role at the parent location (A5), or a location lies
    /// in its parent (C2, C3).
    LocationParent,
    /// A management role includes another (A6).
    Includes,
    /// A management role is made from its definition (A7).
    MadeFrom,
    /// A resource is placed in a location by being listed there (C2).
    PlacedIn,
    /// A person is placed in the location of one of their own positions (C2).
    PlacedByPosition,
    /// A location is placed in itself (C2).
    PlacedInItself,
    /// The subject's own Person object (C3 `self`).
    Is,
    /// A person's manager (C3 `manager`): from the person to the manager.
    ReportsTo,
    /// A person's direct report (C3 `direct_reports`): from the manager to the person.
    Manages,
    /// The account of an open session is in the session's native group (P10); the window is the
    /// session's.
    MemberBySession,
}

impl HopKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Owns,
        Self::MemberOf,
        Self::HoldsPosition,
        Self::RoleParent,
        Self::LocationParent,
        Self::Includes,
        Self::MadeFrom,
        Self::PlacedIn,
        Self::PlacedByPosition,
        Self::PlacedInItself,
        Self::Is,
        Self::ReportsTo,
        Self::Manages,
        Self::MemberBySession,
    ];

    /// The step in words, to stand between where it starts and where it leads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owns => "owns",
            Self::MemberOf => "is a member of",
            Self::HoldsPosition => "holds a position at",
            Self::RoleParent => "has the parent role",
            Self::LocationParent => "lies in",
            Self::Includes => "includes",
            Self::MadeFrom => "is made from",
            Self::PlacedIn => "is placed in",
            Self::PlacedByPosition => "is placed by a position in",
            Self::PlacedInItself => "is placed in itself,",
            Self::Is => "is",
            Self::ReportsTo => "reports to",
            Self::Manages => "manages",
            Self::MemberBySession => "is by a session a member of",
        }
    }
}

/// What a hop starts or ends at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// An actor.
    Actor(ActorRef),
    /// A resource.
    Resource(ResourceRef),
    /// A location, as a place.
    Location(LocationId),
    /// A business role, as a node of its tree.
    BusinessRole(BusinessRoleId),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(actor) => actor.fmt(f),
            Self::Resource(resource) => resource.fmt(f),
            Self::Location(location) => write!(f, "location:{location}"),
            Self::BusinessRole(role) => write!(f, "business_role:{role}"),
        }
    }
}

/// An assignment that would have granted, but for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Its assignee.
    pub to: ActorRef,
    /// Its definition, which allows the permission.
    pub level: LevelRef,
    /// Its scope.
    pub scope: Scope,
    /// Its window.
    pub window: Window,
    /// The one thing.
    pub gap: Gap,
    /// For [`Gap::Window`], how the subject counts as the assignee: at this instant if it is the
    /// assignment's own window that is closed, else at the last instant before or the first after
    /// at which the way there was open. Empty for the other gaps.
    pub subject_path: Vec<Hop>,
}

/// What a near miss lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// A window is closed: the assignment's own, or one on the way from the subject to the assignee.
    /// Repaired by an assignment to the subject with the same level and scope and no window.
    Window,
    /// It grants this here, to somebody else. Repaired by an assignment to the subject with the
    /// same level and scope.
    Assignee,
    /// It grants this to the subject, elsewhere. Repaired by an assignment to the same assignee
    /// with the same level on this object.
    Scope,
}

impl Gap {
    /// The gap's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Window => "WINDOW",
            Self::Assignee => "ASSIGNEE",
            Self::Scope => "SCOPE",
        }
    }
}
