//! In which order lists and explanations tell things.

use std::cmp::Ordering;

use super::{Edge, Policy};
use crate::actor::ActorRef;
use crate::arena::{ActorIx, AssignmentIx, ResourceGroupIx, ResourceIx};

// === impl Policy ===

impl Policy {
    /// The order of two actors in lists: by kind, and within a kind by name.
    pub(crate) fn actor_order(&self, one: ActorIx, other: ActorIx) -> Ordering {
        let fresh = self.cold.fresh.actor;
        if one < fresh && other < fresh {
            return one.cmp(&other);
        }
        let (one, other) = (&self.cold.actors[one], &self.cold.actors[other]);
        rank(one).cmp(&rank(other)).then_with(|| one.cmp(other))
    }

    /// The order of the edges of an actor, by which explanations choose among paths.
    pub(crate) fn edge_order(&self, one: &Edge, other: &Edge) -> Ordering {
        let by_rest = || (one.window, one.by).cmp(&(other.window, other.by));
        self.actor_order(one.to, other.to).then_with(by_rest)
    }

    /// The order of two objects of one type in lists.
    pub(crate) fn resource_order(&self, one: ResourceIx, other: ResourceIx) -> Ordering {
        let fresh = self.cold.fresh.resource;
        if one < fresh && other < fresh {
            return one.cmp(&other);
        }
        self.cold.resources[one].id.cmp(&self.cold.resources[other].id)
    }

    /// The order of two resource groups in lists.
    pub(crate) fn group_order(&self, one: ResourceGroupIx, other: ResourceGroupIx) -> Ordering {
        let fresh = self.cold.fresh.group;
        if one < fresh && other < fresh {
            return one.cmp(&other);
        }
        self.vault.group_names[one].cmp(&self.vault.group_names[other])
    }

    /// The order of two assignments in explanations: by id.
    pub(crate) fn assignment_order(&self, one: AssignmentIx, other: AssignmentIx) -> Ordering {
        self.cold.assignments[one].id.cmp(&self.cold.assignments[other].id)
    }
}

/// In which order the compiler gives handles to the kinds of actors.
fn rank(actor: &ActorRef) -> u8 {
    match actor {
        ActorRef::Person(_) => 0,
        ActorRef::Account(_) => 1,
        ActorRef::Group(_) => 2,
        ActorRef::SetGroup(_) => 3,
        ActorRef::ManagementRole(_) => 4,
        ActorRef::ManagementRoleDefinition(_) => 5,
        ActorRef::BusinessRoleLocation(..) => 6,
    }
}
