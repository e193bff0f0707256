//! The part of a snapshot that decisions about privileged sessions read (semantics, section 7).

use std::sync::Arc;

use super::{Names, Timed};
use crate::arena::{ActorIx, Lists, LocationIx, NativeIx, Patch, ResourceIx, Sets, Table};
use crate::id::{AccountId, GroupId, ObjectId, PermissionLevelId};
use crate::psm::{EligibilityKind, Jit};
use crate::time::Window;

/// Computers with their offers, and who is eligible.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    /// `None` is a computer whose settings were taken away.
    pub(crate) computers: Patch<ResourceIx, Option<Arc<Computer>>>,
    // Each list is sorted by actor.
    pub(crate) on: Patch<ResourceIx, Arc<[Eligible]>>,
    pub(crate) within: Patch<LocationIx, Arc<[Eligible]>>,
    /// What each actor is eligible for, sorted by level. Turned round, for lists: what makes nobody
    /// eligible is left out.
    pub(crate) eligible_for: Lists<ActorIx, EligibleFor>,
    /// The enabled accounts of each person with the computer that each is on, by account id.
    pub(crate) accounts: Lists<ActorIx, (ResourceIx, AccountId)>,
    /// What each native group counts as: the group, and whatever it is in, sorted as the closures of
    /// subjects are.
    pub(crate) native: Lists<NativeIx, ActorIx>,
    pub(crate) native_timed: Lists<NativeIx, Timed<ActorIx>>,
    pub(crate) native_group: Table<NativeIx, ActorIx>,
    pub(crate) native_of: Patch<ActorIx, NativeIx>,
    /// The native groups that count as an actor, always or at times.
    pub(crate) natives_of: Sets<ActorIx, NativeIx>,
}

// === impl Sessions ===

impl Sessions {
    pub(super) fn settle(&mut self) {
        let Self {
            // They have no base.
            computers: _,
            on: _,
            within: _,
            native_of: _,
            eligible_for,
            accounts,
            native,
            native_timed,
            native_group,
            natives_of,
        } = self;
        eligible_for.settle();
        accounts.settle();
        native.settle();
        native_timed.settle();
        native_group.settle();
        natives_of.settle();
    }

    /// A computer's settings, if it has any.
    pub(crate) fn computer(&self, computer: ResourceIx) -> Option<&Computer> {
        self.computers.get(&computer)?.as_deref()
    }

    /// Every computer that has settings.
    pub(crate) fn all_computers(&self) -> impl Iterator<Item = (ResourceIx, &Computer)> {
        self.computers.iter().filter_map(|(ix, settings)| Some((*ix, settings.as_deref()?)))
    }
}

/// A computer's settings.
#[derive(Debug)]
pub(crate) struct Computer {
    pub(crate) id: ObjectId,
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
