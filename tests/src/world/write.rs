//! Writes to the facts of vault sharing, of every shape that V1 speaks about.

use pdp_engine::facts::{Fact, Facts};
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{Entity, Grantee, Share, ShareKey, ShareLevel};

use super::{Gene, Reader};

/// A write that waits for the policy to choose from.
#[derive(Debug, Clone, Copy)]
pub struct VaultWrite(Gene);

// === impl VaultWrite ===

impl VaultWrite {
    pub(super) const fn new(gene: Gene) -> Self {
        Self(gene)
    }

    /// The write on this policy; every reference in it resolves. `None` where there is nothing to
    /// choose from.
    #[must_use]
    pub fn on(&self, facts: &Facts) -> Option<Fact> {
        let reader = &mut Reader::new(&self.0);
        let resources: Vec<ResourceRef> = facts.resources().map(|it| it.name.clone()).collect();
        match reader.byte() % 10 {
            0..=4 => share(facts, &resources, reader).map(Fact::from),
            5 => {
                let mut group = reader.of(&facts.groups().collect::<Vec<_>>())?.clone();
                group.default = reader.chance(128);
                Some(group.into())
            }
            6 => {
                let groups: Vec<_> = facts.resource_groups().collect();
                let mut group = reader.of(&groups)?.clone();
                if reader.chance(128) {
                    group.default = reader.chance(128);
                } else {
                    let mut members = resources;
                    members.extend(accounts(facts));
                    group.members = reader.of(&members).into_iter().collect();
                }
                Some(group.into())
            }
            7 | 8 => {
                let mut resource = reader.of(&facts.resources().collect::<Vec<_>>())?.clone();
                if reader.chance(150) {
                    let platforms = [None, Some("windows"), Some("windows_domain"), Some("linux")];
                    resource.platform = reader.of(&platforms)?.map(str::to_owned);
                } else {
                    let mut parents = resources.clone();
                    parents.extend(accounts(facts).take(1));
                    resource.parent = reader.of(&parents).filter(|_| reader.chance(150));
                }
                Some(resource.into())
            }
            _ => {
                let mut account = reader.of(&facts.accounts().collect::<Vec<_>>())?.clone();
                let is_computer = |it: &&ResourceRef| it.type_name.as_str() == "Computer";
                let computers: Vec<_> =
                    resources.iter().filter(is_computer).map(|it| it.id.clone()).collect();
                account.computer = reader.of(&computers).filter(|_| reader.chance(128));
                Some(account.into())
            }
        }
    }
}

fn accounts(facts: &Facts) -> impl Iterator<Item = ResourceRef> {
    facts.accounts().map(|it| ResourceRef::parse(&format!("UserAccount:{}", it.id)).unwrap())
}

fn share(facts: &Facts, resources: &[ResourceRef], reader: &mut Reader<'_>) -> Option<Share> {
    let people = facts.people().map(|it| Grantee::Person(it.id.clone()));
    let groups = facts.groups().map(|it| Grantee::Group(it.id.clone()));
    let to = reader.of(&people.chain(groups).collect::<Vec<_>>())?;
    let resource_groups = facts.resource_groups().map(|it| Entity::Group(it.id.clone()));
    let other = facts.people().take(1).map(|it| format!("Person:{}", it.id));
    let other = other.map(|name| Entity::Resource(ResourceRef::parse(&name).unwrap()));
    let entities: Vec<Entity> = (resources.iter().cloned().map(Entity::Resource))
        .chain(accounts(facts).map(Entity::Resource))
        .chain(resource_groups)
        .chain(other)
        .collect();
    let on = reader.of(&entities)?;
    let level = reader.of(&ShareLevel::ALL)?;
    Some(Share { key: ShareKey { to, on }, level })
}
