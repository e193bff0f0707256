//! The policy that is being made of the one before.

use std::collections::BTreeSet;

use crate::actor::ActorRef;
use crate::arena::{ActorIx, CoverIx, LevelIx, LocationIx, NativeIx, ResourceIx, RoleIx, TypeIx};
use crate::facts::{Delta, Fact, Facts};
use crate::id::ObjectId;
use crate::query::Revision;
use crate::resource::{BuiltInType, ResourceRef};
use crate::snapshot::{Is, Object, Policy, Snapshot, Subject, VaultEntity};

use super::super::budget::{Budget, CompileLimits, TooLarge};
use super::super::handles::{Handles, known, type_of};
use super::super::names::pair_at;

pub(super) struct Draft<'a> {
    pub(super) policy: Policy,
    pub(super) facts: &'a Facts,
    pub(super) budget: Budget,
    /// The actors from which edges lead otherwise than before.
    pub(super) turned: BTreeSet<ActorIx>,
    /// Subjects that are new, or enabled otherwise than before.
    pub(super) recounted: BTreeSet<ActorIx>,
    /// Native groups that are new.
    pub(super) new_natives: BTreeSet<NativeIx>,
    /// Whether levels say something else than before.
    pub(super) says_otherwise: bool,
}

/// A fact before and after a change set.
pub(super) struct Between<'a, T> {
    pub(super) before: Option<&'a T>,
    pub(super) after: Option<&'a T>,
}

impl<T> Clone for Between<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Between<'_, T> {}

impl<'a, T> Between<'a, T> {
    /// A part of the fact before and after.
    pub(super) fn map<U>(self, part: impl Fn(&'a T) -> U) -> (Option<U>, Option<U>) {
        (self.before.map(&part), self.after.map(&part))
    }

    /// Whether a part differs.
    pub(super) fn differs<U: PartialEq>(self, part: impl Fn(&'a T) -> U) -> bool {
        let (before, after) = self.map(part);
        before != after
    }

    /// The fact, as it is or else as it was.
    pub(super) fn either(self) -> Option<&'a T> {
        self.after.or(self.before)
    }
}

/// Calls a method with a fact of one kind before and after.
macro_rules! between {
    ($delta:expr, $kind:ident) => {{
        let before = match &$delta.before {
            Some(Fact::$kind(fact)) => Some(&**fact),
            _ => None,
        };
        let after = match &$delta.after {
            Some(Fact::$kind(fact)) => Some(&**fact),
            _ => None,
        };
        Between { before, after }
    }};
}

// === impl Draft ===

impl<'a> Draft<'a> {
    pub(super) fn new(before: &Snapshot, facts: &'a Facts, limits: CompileLimits) -> Self {
        let policy = before.policy().clone();
        let budget = Budget::on_top_of(limits, policy.cold.spent);
        Self {
            policy,
            facts,
            budget,
            turned: BTreeSet::new(),
            recounted: BTreeSet::new(),
            new_natives: BTreeSet::new(),
            says_otherwise: false,
        }
    }

    /// Takes a change set. `None` if so many subjects count otherwise afterwards that it is cheaper to
    /// compile the whole policy.
    pub(super) fn take(
        mut self,
        deltas: &[Delta],
        revision: Revision,
    ) -> Result<Option<Policy>, TooLarge> {
        deltas.iter().filter_map(|delta| delta.after.as_ref()).for_each(|fact| self.name(fact));
        for fact in deltas.iter().filter_map(|delta| delta.after.as_ref()) {
            self.name_pairs(fact)?;
        }
        for delta in deltas {
            self.change(delta)?;
        }
        if !self.count_anew()? {
            return Ok(None);
        }
        deltas.iter().filter(|delta| delta.after.is_none()).for_each(|delta| self.forget(delta));
        self.policy.revision = revision;
        self.policy.cold.spent = self.budget.spent();
        self.policy.settle(self.says_otherwise);
        Ok(Some(self.policy))
    }

    /// Gives handles to what is new.
    fn name(&mut self, fact: &Fact) {
        match fact {
            Fact::Person(person) => {
                if self.find_person(person.id.as_str()).is_none() {
                    let actor = self.add_actor(ActorRef::Person(person.id.clone()));
                    self.policy.people.set(person.id.as_str(), Some(actor));
                    let id = ObjectId::from_shared(person.id.to_shared());
                    self.add_object(type_of(BuiltInType::Person), id, Is::Person(actor));
                }
            }
            Fact::Account(account) => {
                if self.find_account(account.id.as_str()).is_none() {
                    let actor = self.add_actor(ActorRef::Account(account.id.clone()));
                    self.policy.accounts.set(account.id.as_str(), Some(actor));
                    let id = ObjectId::from_shared(account.id.to_shared());
                    self.add_object(type_of(BuiltInType::UserAccount), id, Is::Account(actor));
                }
            }
            Fact::Group(it) => {
                self.name_other(
                    BuiltInType::Group,
                    it.id.to_shared(),
                    ActorRef::Group(it.id.clone()),
                );
            }
            Fact::SetGroup(it) => {
                let actor = ActorRef::SetGroup(it.id.clone());
                self.name_other(BuiltInType::SetGroup, it.id.to_shared(), actor);
            }
            Fact::ManagementRole(it) => {
                let actor = ActorRef::ManagementRole(it.id.clone());
                self.name_other(BuiltInType::ManagementRole, it.id.to_shared(), actor);
            }
            Fact::ManagementRoleDefinition(it) => {
                let actor = ActorRef::ManagementRoleDefinition(it.id.clone());
                self.name_other(BuiltInType::ManagementRoleDefinition, it.id.to_shared(), actor);
            }
            Fact::Resource(resource) => {
                let kind = self.kind(&resource.name.type_name);
                if self.find_object(kind, resource.name.id.as_str()).is_none() {
                    self.add_object(kind, resource.name.id.clone(), Is::Plain);
                }
            }
            Fact::ResourceGroup(group) => self.name_group(&group.id),
            Fact::AccessLevel(level) => self.name_level(&level.name),
            Fact::ResourceType(_)
            | Fact::Location(_)
            | Fact::BusinessRole(_)
            | Fact::Assignment(_)
            | Fact::Share(_)
            | Fact::PermissionLevel(_)
            | Fact::Psm(_)
            | Fact::Eligibility(_) => {}
        }
    }

    fn name_other(&mut self, built_in: BuiltInType, id: std::sync::Arc<str>, actor: ActorRef) {
        if self.find_actor(built_in, &id).is_none() {
            let actor = self.add_actor(actor);
            self.add_object(type_of(built_in), ObjectId::from_shared(id), Is::Actor(actor));
        }
    }

    /// Gives handles to the pairs that a fact names.
    fn name_pairs(&mut self, fact: &Fact) -> Result<(), TooLarge> {
        match fact {
            Fact::Assignment(assignment) => self.name_pair(&assignment.to),
            Fact::Eligibility(eligibility) => self.name_pair(&eligibility.key.to),
            Fact::ManagementRole(role) => {
                role.members.iter().try_for_each(|member| self.name_pair(&member.of))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, delta: &Delta) -> Result<(), TooLarge> {
        use crate::facts::FactKind as Kind;
        match delta.key.kind() {
            Kind::Person => self.change_person(between!(delta, Person))?,
            Kind::Account => self.change_account(between!(delta, Account)),
            Kind::Group => self.change_group(between!(delta, Group))?,
            Kind::SetGroup => self.change_set_group(between!(delta, SetGroup)),
            Kind::ManagementRole => self.change_management_role(between!(delta, ManagementRole)),
            Kind::ManagementRoleDefinition => {
                self.change_definition(between!(delta, ManagementRoleDefinition));
            }
            Kind::Resource => self.change_resource(between!(delta, Resource)),
            Kind::ResourceGroup => self.change_resource_group(between!(delta, ResourceGroup)),
            Kind::AccessLevel => self.change_access_level(between!(delta, AccessLevel)),
            Kind::Assignment => self.change_assignment(delta),
            Kind::Share => self.change_share(between!(delta, Share)),
            Kind::Psm => self.change_psm(between!(delta, Psm)),
            Kind::Eligibility => self.change_eligibility(between!(delta, Eligibility)),
            // A level of sessions is told by its name alone.
            Kind::PermissionLevel => {}
            // INVARIANT: with those the whole policy is compiled.
            Kind::ResourceType | Kind::Location | Kind::BusinessRole => {}
        }
        Ok(())
    }

    /// Takes the name from what is gone.
    fn forget(&mut self, delta: &Delta) {
        let Some(before) = &delta.before else { return };
        match before {
            Fact::Person(person) => {
                self.policy.people.set(person.id.as_str(), None);
                self.forget_object(BuiltInType::Person, person.id.as_str());
            }
            Fact::Account(account) => {
                self.policy.accounts.set(account.id.as_str(), None);
                self.forget_object(BuiltInType::UserAccount, account.id.as_str());
            }
            Fact::Group(it) => self.forget_object(BuiltInType::Group, it.id.as_str()),
            Fact::SetGroup(it) => self.forget_object(BuiltInType::SetGroup, it.id.as_str()),
            Fact::ManagementRole(it) => {
                self.forget_object(BuiltInType::ManagementRole, it.id.as_str());
            }
            Fact::ManagementRoleDefinition(it) => {
                self.forget_object(BuiltInType::ManagementRoleDefinition, it.id.as_str());
            }
            Fact::Resource(resource) => {
                let kind = self.kind(&resource.name.type_name);
                self.policy.objects.set_of(kind, resource.name.id.as_str(), None);
                self.policy.cold.spare.garbage += 1;
            }
            Fact::ResourceGroup(group) => self.policy.vault.groups.set(group.id.as_str(), None),
            Fact::AccessLevel(level) => self.forget_level(&level.name),
            _ => {}
        }
    }

    fn forget_object(&mut self, built_in: BuiltInType, id: &str) {
        self.policy.objects.set_of(type_of(built_in), id, None);
        self.policy.cold.spare.garbage += 2;
    }

    /// A handle for an actor, with a row in every table of actors.
    pub(super) fn add_actor(&mut self, name: ActorRef) -> ActorIx {
        let policy = &mut self.policy;
        let actor = policy.cold.actors.push(name);
        policy.subjects.push(Subject::NOBODY);
        policy.cold.object_of.push(None);
        policy.cold.logins.push(None);
        let actors = policy.cold.actors.len();
        policy.closure.grow(actors);
        policy.closure_timed.grow(actors);
        policy.positions.grow(actors);
        policy.reached_positions.grow(actors);
        let cold = &mut policy.cold;
        cold.edges.grow(actors);
        cold.grants_of.grow(actors);
        cold.reports.grow(actors);
        cold.owned.grow(actors);
        cold.subjects_of.grow(actors);
        let vault = &mut policy.vault;
        vault.shared_with.grow(actors);
        vault.groups_shared_with.grow(actors);
        vault.owned.grow(actors);
        let psm = &mut policy.psm;
        psm.eligible_for.grow(actors);
        psm.accounts.grow(actors);
        psm.natives_of.grow(actors);
        actor
    }

    /// A handle for an object that is placed nowhere yet, with a row in every table of objects.
    fn add_object(&mut self, kind: TypeIx, id: ObjectId, is: Is) {
        let cover: CoverIx = self.cover_of(kind, &[]);
        let policy = &mut self.policy;
        let object = policy.resources.push(Object { kind, cover, is });
        policy.objects.set_of(kind, id.as_str(), Some(object));
        let type_name = policy.cold.types[kind].clone();
        policy.cold.resources.push(ResourceRef { type_name, id });
        policy.vault.entities.push(match is {
            Is::Plain => VaultEntity { is_entity: true, ..VaultEntity::NONE },
            _ => VaultEntity::NONE,
        });
        let objects = policy.resources.len();
        policy.direct.grow(objects);
        policy.vault.shares.grow(objects);
        policy.vault.groups_of.grow(objects);
        policy.vault.children.grow(objects);
        if let Is::Person(actor) | Is::Account(actor) | Is::Actor(actor) = is {
            policy.cold.object_of.set(actor, Some(object));
        }
    }

    /// The object that an actor is.
    pub(super) fn object_of(&self, actor: ActorIx) -> ResourceIx {
        known(self.policy.cold.object_of[actor])
    }
}

impl Handles for Draft<'_> {
    fn find_type(&self, name: &str) -> Option<TypeIx> {
        self.policy.types.get(name).copied()
    }

    fn find_object(&self, kind: TypeIx, id: &str) -> Option<ResourceIx> {
        self.policy.object(kind, id)
    }

    fn find_person(&self, id: &str) -> Option<ActorIx> {
        self.policy.people.get(id).copied()
    }

    fn find_account(&self, id: &str) -> Option<ActorIx> {
        self.policy.accounts.get(id).copied()
    }

    fn find_level(&self, kind: TypeIx, name: &str) -> Option<LevelIx> {
        self.policy.kinds[kind].levels.get(name).copied()
    }

    fn find_pair(&self, role: RoleIx, location: LocationIx) -> Option<ActorIx> {
        pair_at(&self.policy.cold.pairs_of[role], location)
    }

    fn is(&self, object: ResourceIx) -> Is {
        self.policy.resources[object].is
    }
}
