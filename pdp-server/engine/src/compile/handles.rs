//! Names to handles, for the compiler: where what is compiled looks up what it refers to.

use crate::actor::ActorRef;
use crate::arena::{ActorIx, Handle as _, LevelIx, LocationIx, ResourceIx, RoleIx, TypeIx};
use crate::id::{AccountId, BusinessRoleId, GroupId, LocationId, ObjectId, PersonId, TypeName};
use crate::level::LevelRef;
use crate::psm::COMPUTER;
use crate::resource::{BuiltInType, ResourceRef};
use crate::snapshot::Is;

/// Looks up names that are there.
///
/// INVARIANT: see the compiler's. A name that is not there is a bug, and stops the change set.
pub(super) trait Handles {
    fn find_type(&self, name: &str) -> Option<TypeIx>;
    fn find_object(&self, kind: TypeIx, id: &str) -> Option<ResourceIx>;
    fn find_person(&self, id: &str) -> Option<ActorIx>;
    fn find_account(&self, id: &str) -> Option<ActorIx>;
    fn find_level(&self, kind: TypeIx, name: &str) -> Option<LevelIx>;
    fn find_pair(&self, role: RoleIx, location: LocationIx) -> Option<ActorIx>;
    fn is(&self, object: ResourceIx) -> Is;

    fn kind(&self, name: &TypeName) -> TypeIx {
        known(self.find_type(name.as_str()))
    }

    fn person(&self, id: &PersonId) -> ActorIx {
        known(self.find_person(id.as_str()))
    }

    fn account(&self, id: &AccountId) -> ActorIx {
        known(self.find_account(id.as_str()))
    }

    fn group(&self, id: &GroupId) -> ActorIx {
        known(self.find_actor(BuiltInType::Group, id.as_str()))
    }

    fn level(&self, level: &LevelRef) -> LevelIx {
        known(self.find_level(self.kind(&level.type_name), level.name.as_str()))
    }

    fn resource(&self, resource: &ResourceRef) -> ResourceIx {
        let kind = self.kind(&resource.type_name);
        known(self.find_object(kind, resource.id.as_str()))
    }

    fn computer(&self, id: &ObjectId) -> ResourceIx {
        known(self.find_type(COMPUTER).and_then(|kind| self.find_object(kind, id.as_str())))
    }

    fn location(&self, id: &LocationId) -> LocationIx {
        let object = known(self.find_object(type_of(BuiltInType::Location), id.as_str()));
        known(match self.is(object) {
            Is::Location(location) => Some(location),
            _ => None,
        })
    }

    fn role(&self, id: &BusinessRoleId) -> RoleIx {
        let object = known(self.find_object(type_of(BuiltInType::BusinessRole), id.as_str()));
        known(match self.is(object) {
            Is::BusinessRole(role) => Some(role),
            _ => None,
        })
    }

    /// The group, set group, management role or definition of this name.
    fn find_actor(&self, built_in: BuiltInType, id: &str) -> Option<ActorIx> {
        match self.is(self.find_object(type_of(built_in), id)?) {
            Is::Actor(actor) => Some(actor),
            _ => None,
        }
    }

    fn actor(&self, actor: &ActorRef) -> ActorIx {
        known(match actor {
            ActorRef::Person(id) => self.find_person(id.as_str()),
            ActorRef::Account(id) => self.find_account(id.as_str()),
            ActorRef::Group(id) => self.find_actor(BuiltInType::Group, id.as_str()),
            ActorRef::SetGroup(id) => self.find_actor(BuiltInType::SetGroup, id.as_str()),
            ActorRef::ManagementRole(id) => {
                self.find_actor(BuiltInType::ManagementRole, id.as_str())
            }
            ActorRef::ManagementRoleDefinition(id) => {
                self.find_actor(BuiltInType::ManagementRoleDefinition, id.as_str())
            }
            ActorRef::BusinessRoleLocation(role, location) => {
                self.find_pair(self.role(role), self.location(location))
            }
        })
    }
}

/// The handle of a built-in type: those come first.
pub(super) fn type_of(built_in: BuiltInType) -> TypeIx {
    TypeIx::from_index(built_in as usize)
}

/// What is there by the compiler's INVARIANT.
#[expect(clippy::expect_used, reason = "INVARIANT: see the compiler's")]
pub(super) fn known<T>(found: Option<T>) -> T {
    found.expect("facts refer to what is there")
}
