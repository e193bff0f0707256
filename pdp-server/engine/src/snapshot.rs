//! The compiled policy of one tenant at one revision with the sessions that are open: immutable,
//! look-ups only. Opening or ending a session makes another snapshot that shares the policy.
//!
//! The first part is what a check reads. Names become handles; whoever a subject counts as is a
//! sorted list of actors; whatever covers a resource is a few lists of grants sorted by assignee;
//! a check intersects the two. What depends on the clock lies in lists of its own, so that a
//! policy without windows pays nothing for them. The cold part is read by explanations only.

mod memory;
mod names;
mod order;
mod psm;
mod settle;
mod unite;
mod vault;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub use memory::Memory;
pub(crate) use names::{Fingerprint, LookUp, NameTable, NameTableBuilder};
pub(crate) use psm::{Computer, Eligible, EligibleFor, EligibleOn, Offer, Sessions};
pub(crate) use vault::{Shared, Vault, VaultEntity};

use crate::actor::ActorRef;
use crate::arena::{
    ActorIx, AssignmentIx, CoverIx, Handle as _, HasKey, Keyed, LevelIx, Lists, LocationIx, Patch,
    PermissionIx, ResourceGroupIx, ResourceIx, RoleIx, Sets, ShardIx, SortedSet, Table, TypeIx,
    Unions, WindowIx,
};
use crate::id::{BusinessRoleId, LocationId, TypeName};
use crate::level::{Assignment, LevelRef, Relative};
use crate::permission::Qualifier;
use crate::query::Revision;
use crate::resource::ResourceRef;
use crate::session::OpenSessions;
use crate::time::Window;

/// A few names, or many that only the compiler and explanations look up. Whoever asks adds none: only who
/// writes the policy could choose names that meet.
pub(crate) type Names<H> = Arc<NameMap<H>>;
pub(crate) type NameMap<H> = HashMap<Arc<str>, H, foldhash::fast::FixedState>;

/// Lists of grants, each sorted by assignee.
pub(crate) type GrantLists<H> = Keyed<H, ActorIx, Grant>;

/// Lists of grants with relative scopes, each sorted by assignee.
pub(crate) type RelativeLists = Keyed<TypeIx, ActorIx, RelativeGrant>;

/// What questions are answered from: a compiled policy, and the sessions that are open.
#[derive(Debug, Clone)]
pub struct Snapshot {
    policy: Arc<Policy>,
    sessions: OpenSessions,
}

/// A compiled policy. Cloning it copies pointers: the policy of the next revision shares what it does not
/// change.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) revision: Revision,

    // Names to handles.
    pub(crate) people: NameTable<ActorIx>,
    pub(crate) accounts: NameTable<ActorIx>,
    pub(crate) types: Names<TypeIx>,
    pub(crate) kinds: Table<TypeIx, Kind>,
    /// The objects of each type.
    pub(crate) objects: NameTable<ResourceIx>,

    // The subject's side. Both lists of a subject are sorted; an actor is never in both.
    pub(crate) subjects: Table<ActorIx, Subject>,
    pub(crate) closure: Lists<ActorIx, ActorIx>,
    pub(crate) closure_timed: Lists<ActorIx, Timed<ActorIx>>,

    // The resource's side.
    pub(crate) resources: Table<ResourceIx, Object>,
    pub(crate) direct: GrantLists<ResourceIx>,
    /// What covers the resources of a cover by location: the grants of all small shards in one list,
    /// and the large shards, which stay by themselves.
    pub(crate) merged: GrantLists<CoverIx>,
    pub(crate) covers: Lists<CoverIx, ShardIx>,
    /// Which assignees the large shards of a cover have together, and those of relative grants of a type, by
    /// the permission that they are assigned something of.
    pub(crate) unions: Unions<CoverIx, PermissionIx>,
    pub(crate) relative_unions: Unions<TypeIx, PermissionIx>,
    pub(crate) covers_timed: Lists<CoverIx, Timed<ShardIx>>,
    pub(crate) shards: GrantLists<ShardIx>,
    pub(crate) relative: RelativeLists,

    // What grants say, and when.
    pub(crate) says: Lists<LevelIx, Option<Qualifier>>,
    pub(crate) windows: Table<WindowIx, Window>,

    // What relative scopes are resolved by.
    pub(crate) locations: Table<LocationIx, Place>,
    pub(crate) placements: Lists<CoverIx, Placement>,
    /// Positions as held, of people and groups.
    pub(crate) positions: Lists<ActorIx, Timed<Held>>,
    /// Positions of everything that a person counts as; compiled only if some assignment asks.
    pub(crate) reached_positions: Lists<ActorIx, Timed<LocationIx>>,

    pub(crate) vault: Vault,
    pub(crate) psm: Sessions,
    /// What stands for every account that exists besides the policy (P10).
    pub(crate) besides: Besides,

    pub(crate) cold: Late,
}

/// The rows of an account that no policy names: enabled, without an owner, in no group, covered by
/// nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Besides {
    pub(crate) actor: ActorIx,
    pub(crate) object: ResourceIx,
}

/// What a policy that was read from an image lacks ([`crate::image`]). Whoever reads it nevertheless is stopped: an
/// empty table could hide a deny.
#[derive(Debug, Clone)]
pub(crate) struct Late(Option<Cold>);

/// What only explanations, lists and the compiler read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cold {
    pub(crate) actors: Table<ActorIx, ActorRef>,
    pub(crate) resources: Table<ResourceIx, ResourceRef>,
    pub(crate) locations: Table<LocationIx, LocationId>,
    pub(crate) roles: Table<RoleIx, (BusinessRoleId, Option<RoleIx>)>,
    pub(crate) types: Table<TypeIx, TypeName>,
    pub(crate) levels: Table<LevelIx, LevelRef>,
    pub(crate) level_kind: Table<LevelIx, TypeIx>,
    pub(crate) levels_of: Lists<TypeIx, LevelIx>,
    pub(crate) shard_location: Table<ShardIx, LocationIx>,
    /// Whether the grants of a shard stand in the merged lists of the covers that it always covers.
    pub(crate) shard_merged: Table<ShardIx, bool>,
    /// Where the covers of a type are placed: numbers of a walk of the forest, in order.
    pub(crate) covers_placed: Sets<TypeIx, (u32, CoverIx)>,
    /// The cover of what is placed nowhere, if the type has had such objects.
    pub(crate) unplaced: Table<TypeIx, Option<CoverIx>>,
    /// The pairs of each role that something names, or has named, by location.
    pub(crate) pairs_of: Lists<RoleIx, (LocationIx, ActorIx)>,
    /// What makes an actor count as others, in the order of [`Policy::edge_order`].
    pub(crate) edges: Lists<ActorIx, Edge>,
    pub(crate) assignments: Table<AssignmentIx, Arc<Assignment>>,
    pub(crate) grants_of: Lists<ActorIx, Grant>,
    /// The shards of each type with the numbers of their locations in a walk of the forest, in
    /// order.
    pub(crate) shards_of: Lists<TypeIx, (u32, ShardIx)>,
    /// Who holds positions where, people and groups: numbers of a walk of the forest, in order.
    pub(crate) held_at: SortedSet<(u32, ActorIx)>,
    /// The people whose manager a person is.
    pub(crate) reports: Sets<ActorIx, ActorIx>,
    /// The accounts that a person owns, enabled or not.
    pub(crate) owned: Sets<ActorIx, ActorIx>,
    /// The actor as a resource; a pair is none.
    pub(crate) object_of: Table<ActorIx, Option<ResourceIx>>,
    /// The subjects that count as an actor, always or at times: the closure turned round.
    pub(crate) subjects_of: Sets<ActorIx, ActorIx>,
    /// The logins of the people who have one.
    pub(crate) logins: Table<ActorIx, Option<Arc<str>>>,
    /// Where the resources of a type are placed: numbers of a walk of the forest, in order.
    pub(crate) placed: Sets<TypeIx, (u32, ResourceIx)>,
    /// Whether some assignment needs `reached_positions`.
    pub(crate) asks_reached_positions: bool,
    pub(crate) fresh: Fresh,
    pub(crate) spent: Spent,
    pub(crate) spare: Spare,
}

/// From which handles on names came one by one, after the policy was compiled as a whole. Below, handles
/// of one kind are in the order of the names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fresh {
    pub(crate) actor: ActorIx,
    pub(crate) resource: ResourceIx,
    pub(crate) group: ResourceGroupIx,
}

/// How much of what is limited the policy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spent {
    pub(crate) edges: usize,
    pub(crate) closure: usize,
    pub(crate) windows: usize,
}

/// What the compiler of the next revision may use again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spare {
    /// Handles of assignments that were taken away.
    pub(crate) assignments: Vec<AssignmentIx>,
    /// The windows that came since the policy was compiled as a whole.
    pub(crate) windows: Patch<Window, WindowIx>,
    /// How many rows nothing reaches any more, or may not be reached some day.
    pub(crate) garbage: usize,
}

/// A resource type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kind {
    pub(crate) operations: Names<PermissionIx>,
    pub(crate) rights: Names<PermissionIx>,
    pub(crate) levels: Names<LevelIx>,
    /// Whether some definition of the type denies the permission: if none does, the first allow
    /// settles it.
    pub(crate) deniable: Table<PermissionIx, bool>,
}

/// An actor as a subject: a person or an account. The rows of other actors are those of nobody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// Enabled, and not an account of a disabled owner (A8).
    pub(crate) enabled: bool,
    /// An account's owner.
    pub(crate) owner: Option<ActorIx>,
    /// A person's manager.
    pub(crate) manager: Option<ActorIx>,
    pub(crate) is_person: bool,
    /// A person with a vault privilege (V6).
    pub(crate) remote_apps: bool,
}

/// A resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    pub(crate) kind: TypeIx,
    pub(crate) cover: CoverIx,
    pub(crate) is: Is,
}

/// What a resource is besides a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Person(ActorIx),
    Account(ActorIx),
    /// A group, a set group, a management role or a definition.
    Actor(ActorIx),
    BusinessRole(RoleIx),
    Location(LocationIx),
    Plain,
}

/// A position as held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    pub(crate) role: RoleIx,
    pub(crate) location: LocationIx,
}

/// One assignment, seen from what it covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) assignee: ActorIx,
    pub(crate) level: LevelIx,
    pub(crate) window: WindowIx,
    pub(crate) assignment: AssignmentIx,
}

/// One assignment with a relative scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativeGrant {
    pub(crate) relative: Relative,
    pub(crate) grant: Grant,
}

/// Something that holds while a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timed<T> {
    pub(crate) item: T,
    pub(crate) window: Window,
}

/// A location among the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) parent: Option<LocationIx>,
    /// This location and all below it are numbered `first..after` in a walk of the forest.
    pub(crate) first: u32,
    pub(crate) after: u32,
    /// The last location on `up` of this one (A5).
    pub(crate) top: LocationIx,
    /// The first location flagged `organization` on `up` of this one.
    pub(crate) organization: Option<LocationIx>,
}

/// Where a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Placement {
    pub(crate) location: LocationIx,
    pub(crate) window: Window,
    pub(crate) by: PlacedBy,
}

/// What places a resource in a location (C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PlacedBy {
    Listing,
    Position,
    Itself,
}

/// What makes one actor count as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) to: ActorIx,
    pub(crate) window: Window,
    pub(crate) by: EdgeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EdgeKind {
    Owns,
    MemberOf,
    /// The position as held; `to` is a pair above it.
    Position(RoleIx, LocationIx),
    Includes,
    MadeFrom,
}

// === impl Place ===

impl Place {
    /// Whether the location of this number is this one or lies below it.
    pub(crate) fn holds(&self, number: u32) -> bool {
        self.first <= number && number < self.after
    }
}

// === impl Late ===

impl Late {
    /// What is not there.
    pub(crate) const MISSING: Self = Self(None);
}

impl From<Cold> for Late {
    fn from(cold: Cold) -> Self {
        Self(Some(cold))
    }
}

#[expect(clippy::expect_used, reason = "INVARIANT: an image is only decided upon")]
impl Deref for Late {
    type Target = Cold;

    fn deref(&self) -> &Cold {
        self.0.as_ref().expect("an image is only decided upon")
    }
}

#[expect(clippy::expect_used, reason = "INVARIANT: an image is only decided upon")]
impl DerefMut for Late {
    fn deref_mut(&mut self) -> &mut Cold {
        self.0.as_mut().expect("an image is only decided upon")
    }
}

// === impl Subject ===

impl Subject {
    /// The row of what is no subject.
    pub(crate) const NOBODY: Self =
        Self { enabled: false, owner: None, manager: None, is_person: false, remote_apps: false };
}

// === impl Grant ===

impl HasKey<ActorIx> for Grant {
    fn key(&self) -> ActorIx {
        self.assignee
    }
}

// === impl RelativeGrant ===

impl HasKey<ActorIx> for RelativeGrant {
    fn key(&self) -> ActorIx {
        self.grant.assignee
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The compiled policy, without the sessions.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether it can do more than decide: explain, list and be compiled further.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.policy.cold.0.is_some()
    }

    /// A policy without any session.
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy: Arc::new(policy), sessions: OpenSessions::default() }
    }

    /// The same policy with these sessions in place of the present ones. The policy is shared, so
    /// that this costs nothing.
    #[must_use]
    pub fn with_sessions(&self, sessions: OpenSessions) -> Self {
        Self { policy: Arc::clone(&self.policy), sessions }
    }

    /// What exists besides the policy.
    #[must_use]
    pub fn sessions(&self) -> &OpenSessions {
        &self.sessions
    }
}

impl Deref for Snapshot {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

// === impl Policy ===

impl Policy {
    /// The policy revision it was compiled from.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What a level says about a permission of its type.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: see below")]
    pub(crate) fn says(&self, level: LevelIx, permission: PermissionIx) -> Option<Qualifier> {
        // INVARIANT: a level's list has an entry for every permission of its type, and a grant is
        // only met on resources of that type.
        self.says[level][permission.index()]
    }

    /// Whether a subject is enabled (A8). One that is counts as itself, and one that is not as nobody, which
    /// a check reads anyhow.
    #[inline]
    pub(crate) fn is_enabled(&self, subject: ActorIx) -> bool {
        !self.closure[subject].is_empty()
    }

    /// Whether `inner` is `outer` or lies below it.
    pub(crate) fn lies_in(&self, inner: LocationIx, outer: LocationIx) -> bool {
        self.locations[outer].holds(self.locations[inner].first)
    }

    /// Whether `upper` is on `up` of `lower` (A5).
    pub(crate) fn climbs_to(&self, lower: LocationIx, upper: LocationIx) -> bool {
        self.lies_in(lower, upper) && self.lies_in(upper, self.locations[lower].top)
    }

    /// The object of a type and a name.
    pub(crate) fn object(&self, kind: TypeIx, id: &str) -> Option<ResourceIx> {
        self.objects.get_of(kind, id).copied()
    }
}
