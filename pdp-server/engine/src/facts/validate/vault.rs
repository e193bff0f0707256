//! The write rules of vault sharing (V1), judged on the resulting state: a change of a flag, a
//! platform or a parent under an existing share is as wrong as the share.

use super::super::apply::Journal;
use super::super::reference::object;
use super::super::rejection::{Problem, Rejection};
use super::super::{Fact, FactKey, FactRef, Facts};
use crate::resource::{BuiltInType, Resource, ResourceRef};
use crate::share::{Entity, Grantee, REMOTE_APP_PLATFORMS, ResourceGroup, Share, ShareLevel};

pub(super) fn vault(facts: &Facts, journal: &Journal, out: &mut Vec<Rejection>) {
    let mut check = Check { facts, journal, out };
    if journal.touched.iter().any(|(key, touch)| disturbs(facts, key, touch.before.as_ref())) {
        facts.of_vault().for_each(|fact| check.fact(fact));
    } else {
        let touched = journal.touched.keys().filter_map(|key| facts.borrow(key));
        touched.for_each(|fact| check.fact(fact));
    }
}

/// What is wrong with one fact, by itself.
pub(super) fn one(facts: &Facts, journal: &Journal, fact: FactRef<'_>, out: &mut Vec<Rejection>) {
    Check { facts, journal, out }.fact(fact);
}

/// Whether a fact that others may rest on has changed in a way that matters to them.
fn disturbs(facts: &Facts, key: &FactKey, before: Option<&Fact>) -> bool {
    match (before, facts.get(key)) {
        (Some(Fact::Resource(before)), Some(Fact::Resource(after))) => {
            before.platform != after.platform || before.parent != after.parent
        }
        (Some(Fact::Account(before)), Some(Fact::Account(after))) => {
            before.computer != after.computer
        }
        (Some(Fact::Group(before)), Some(Fact::Group(after))) => before.default != after.default,
        (Some(Fact::ResourceGroup(before)), Some(Fact::ResourceGroup(after))) => {
            before.default != after.default
        }
        _ => false,
    }
}

struct Check<'a> {
    facts: &'a Facts,
    journal: &'a Journal,
    out: &'a mut Vec<Rejection>,
}

impl Check<'_> {
    fn fact(&mut self, fact: FactRef<'_>) {
        match fact {
            FactRef::Share(share) => {
                if let Some(problem) = self.share(share) {
                    let on = match &share.key.on {
                        Entity::Resource(resource) => object(resource),
                        Entity::Group(group) => FactKey::ResourceGroup(group.clone()),
                    };
                    let mut causes = vec![on];
                    causes.extend(self.parent_of(&share.key.on).map(FactKey::Resource));
                    if let Grantee::Group(group) = &share.key.to {
                        causes.push(FactKey::Group(group.clone()));
                    }
                    self.reject(fact.key(), &causes, problem);
                }
            }
            FactRef::ResourceGroup(group) => self.group(group),
            FactRef::Resource(resource) => self.resource(resource),
            FactRef::Account(account) => {
                let parent = account.computer.as_ref().map(ResourceRef::computer);
                if let Some(parent) = parent {
                    self.parent(fact.key(), &parent);
                }
            }
            _ => {}
        }
    }

    fn share(&self, share: &Share) -> Option<Problem> {
        let refuse = |why: &str| {
            let (level, why) = (share.level.as_str(), why.to_owned());
            Some(Problem::ShareLevel { level, why })
        };
        let default_grantee = match &share.key.to {
            Grantee::Group(group) => self.facts.group(group).is_some_and(|group| group.default),
            Grantee::Person(_) => false,
        };
        if share.level == ShareLevel::Full && default_grantee {
            return refuse("cannot be given to a default group");
        }
        match &share.key.on {
            Entity::Group(group) => match share.level {
                ShareLevel::Full if self.facts.resource_group(group).is_some_and(|g| g.default) => {
                    refuse("cannot be given on a default resource group")
                }
                ShareLevel::RemoteAppOnly => {
                    refuse("cannot be given on a resource group; share its resources")
                }
                ShareLevel::Full | ShareLevel::View | ShareLevel::Modify => None,
            },
            Entity::Resource(resource) => {
                let Some(parent) = self.vault_parent(resource) else {
                    return Some(Problem::NotVaultEntity { object: resource.to_string() });
                };
                match share.level {
                    ShareLevel::Full if parent.is_some() => {
                        refuse("cannot be given on a vault account; share its resource")
                    }
                    ShareLevel::RemoteAppOnly
                        if !runs_remote_apps(self.facts, parent.as_ref().unwrap_or(resource)) =>
                    {
                        refuse("needs the platform `windows` or `windows_domain`")
                    }
                    ShareLevel::Full
                    | ShareLevel::View
                    | ShareLevel::Modify
                    | ShareLevel::RemoteAppOnly => None,
                }
            }
        }
    }

    /// The parent of a vault entity, if it is one: outer `None` for what is none.
    fn vault_parent(&self, name: &ResourceRef) -> Option<Option<ResourceRef>> {
        match BuiltInType::from_name(name.type_name.as_str()) {
            Some(BuiltInType::UserAccount) => {
                let account = self.facts.accounts.get(name.id.as_str())?;
                Some(Some(ResourceRef::computer(account.computer.as_ref()?)))
            }
            Some(_) => None,
            None => Some(self.facts.resource(name).and_then(|resource| resource.parent.clone())),
        }
    }

    fn parent_of(&self, entity: &Entity) -> Option<ResourceRef> {
        match entity {
            Entity::Resource(resource) => self.vault_parent(resource).flatten(),
            Entity::Group(_) => None,
        }
    }

    fn group(&mut self, group: &ResourceGroup) {
        for member in &group.members {
            let why = match self.vault_parent(member) {
                None => "is no vault entity",
                Some(Some(_)) => "is a vault account; put its resource in",
                Some(None) => continue,
            };
            let problem = Problem::ResourceGroupMember { member: member.to_string(), why };
            self.reject(FactKey::ResourceGroup(group.id.clone()), &[object(member)], problem);
        }
    }

    fn resource(&mut self, resource: &Resource) {
        let Some(parent_name) = &resource.parent else { return };
        let key = FactKey::Resource(resource.name.clone());
        self.parent(key.clone(), parent_name);
        let parents = self.facts.resource(parent_name).and_then(|parent| parent.platform.as_ref());
        if resource.platform.is_some() && resource.platform.as_ref() != parents {
            let own = resource.platform.clone().unwrap_or_default();
            let parents = parents.cloned().unwrap_or_default();
            let problem = Problem::PlatformOfParent { own, parents };
            self.reject(key, &[FactKey::Resource(parent_name.clone())], problem);
        }
    }

    /// A parent has no parent itself.
    fn parent(&mut self, child: FactKey, name: &ResourceRef) {
        if self.facts.resource(name).is_some_and(|parent| parent.parent.is_some()) {
            let problem = Problem::ParentHasParent { parent: name.to_string() };
            self.reject(child, &[FactKey::Resource(name.clone())], problem);
        }
    }

    /// Blames the change that touched the fact itself, or one of those it rests on.
    fn reject(&mut self, key: FactKey, rests_on: &[FactKey], problem: Problem) {
        let mut touched = std::iter::once(&key).chain(rests_on);
        if let Some(change) = touched.find_map(|key| self.journal.change(key)) {
            self.out.push(Rejection { change, key, problem });
        }
    }
}

fn runs_remote_apps(facts: &Facts, resource: &ResourceRef) -> bool {
    let platform = facts.resource(resource).and_then(|resource| resource.platform.as_deref());
    platform.is_some_and(|platform| REMOTE_APP_PLATFORMS.contains(&platform))
}
