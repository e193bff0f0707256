//! The part of a snapshot that decisions about privileged sessions read (semantics, section 7).

use std::collections::HashMap;

use super::{Names, Timed};
use crate::arena::{ActorIx, Lists, LocationIx, NativeIx, ResourceIx, Table};
use crate::id::{GroupId, PermissionLevelId};
use crate::psm::{EligibilityKind, Jit};
use crate::time::Window;

/// Computers with their offers, and who is eligible.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) computers: HashMap<ResourceIx, Computer>,
    // Each list is sorted by actor.
    pub(crate) on: HashMap<ResourceIx, Vec<Eligible>>,
    pub(crate) within: HashMap<LocationIx, Vec<Eligible>>,
    /// What each actor is eligible for, sorted by level. Turned round, for lists: what makes nobody
    /// eligible is left out.
    pub(crate) eligible_for: Lists<ActorIx, EligibleFor>,
    /// The enabled accounts of each person with the computer that each is on, by account id.
    pub(crate) accounts: Lists<ActorIx, (ResourceIx, ActorIx)>,
    /// What each native group counts as: the group, and whatever it is in, sorted as the closures of
    /// subjects are.
    pub(crate) native: Lists<NativeIx, ActorIx>,
    pub(crate) native_timed: Lists<NativeIx, Timed<ActorIx>>,
    pub(crate) native_group: Table<NativeIx, ActorIx>,
    pub(crate) native_of: Names<NativeIx>,
}

/// A computer's settings.
#[derive(Debug)]
pub(crate) struct Computer {
    pub(crate) enabled: bool,
    pub(crate) allow_unprivileged: bool,
    /// Just-in-time accounts are enabled and the account store can make them (P4).
    pub(crate) jit: Option<Jit>,
    pub(crate) max_session_micros: i64,
    pub(crate) max_concurrent: u32,
    pub(crate) offers: Names<Offer>,
}

/// A permission level that a computer offers.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) level: PermissionLevelId,
    /// The native group that it maps to, if it is mapped.
    pub(crate) group: Option<(GroupId, NativeIx)>,
}

/// One eligibility, seen from the actor that it is to.
#[derive(Debug, Clone)]
pub(crate) struct EligibleFor {
    pub(crate) level: PermissionLevelId,
    pub(crate) on: EligibleOn,
    pub(crate) window: Window,
}

/// Which computers an eligibility covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EligibleOn {
    Computer(ResourceIx),
    Within(LocationIx),
}

/// One eligibility, seen from the computers that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Eligible {
    pub(crate) to: ActorIx,
    pub(crate) level: PermissionLevelId,
    pub(crate) kind: EligibilityKind,
    pub(crate) window: Window,
}
