//! From genes to the facts of vault sharing (semantics, section 6).

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::Account;
use pdp_engine::facts::Fact;
use pdp_engine::resource::{Resource, ResourceRef};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};

use super::fact::{Cast, placements};
use super::{Gene, Genome, Reader};

/// Platforms by how often they occur; the empty one is none.
const PLATFORMS: [&str; 6] = ["windows", "windows", "windows", "windows_domain", "linux", ""];

/// What a resource has besides its name and places. A parent has none itself, and a resource with
/// a parent has its platform or none.
pub(super) fn resources(genome: &Genome, cast: &Cast) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    let computers = cast.resources[cast.resources.len() - cast.computers.len()..].iter();
    for (name, gene) in computers.zip(&genome.computers) {
        let reader = &mut Reader::new(gene);
        let mut locations = placements(genome, cast, &name.to_string());
        if reader.chance(190) {
            locations.extend(reader.of(&cast.locations));
        }
        let platform = platform(reader);
        let owner = if reader.chance(80) { reader.of(&cast.people) } else { None };
        found.push(Resource { name: name.clone(), locations, platform, owner, parent: None });
    }
    for (name, gene) in cast.resources.iter().zip(&genome.resources) {
        let reader = &mut Reader::new(gene);
        reader.byte();
        let own = platform(reader);
        let owner = if reader.chance(80) { reader.of(&cast.people) } else { None };
        let parents: Vec<Resource> =
            found.iter().filter(|it| it.parent.is_none()).cloned().collect();
        let parent = if reader.chance(120) { reader.of(&parents) } else { None };
        let platform = match &parent {
            Some(parent) if reader.chance(100) => parent.platform.clone(),
            Some(_) => None,
            None => own,
        };
        let locations = placements(genome, cast, &name.to_string());
        let parent = parent.map(|parent| parent.name);
        found.push(Resource { name: name.clone(), locations, platform, owner, parent });
    }
    found
}

fn platform(reader: &mut Reader<'_>) -> Option<String> {
    reader.of(&PLATFORMS).filter(|it| !it.is_empty()).map(str::to_owned)
}

pub(super) fn privileges(reader: &mut Reader<'_>) -> BTreeSet<VaultPrivilege> {
    let byte = reader.byte();
    let has = |n: &usize| byte & (1 << n) != 0;
    (0..2).filter(has).map(|n| VaultPrivilege::ALL[n]).collect()
}

pub(super) fn is_default(gene: &Gene) -> bool {
    Reader::new(gene).chance(50)
}

/// The resource groups and every share that V1 allows.
pub(super) fn sharing(genome: &Genome, cast: &Cast, made: &[Fact]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let resources: Vec<&Resource> = made
        .iter()
        .filter_map(|fact| if let Fact::Resource(it) = fact { Some(&**it) } else { None })
        .collect();
    let tops: Vec<ResourceRef> =
        resources.iter().filter(|it| it.parent.is_none()).map(|it| it.name.clone()).collect();
    for (id, gene) in cast.resource_groups.iter().zip(&genome.resource_groups) {
        let reader = &mut Reader::new(gene);
        let default = reader.chance(50);
        let members: BTreeSet<ResourceRef> = (0..3)
            .filter_map(|_| if reader.chance(220) { reader.of(&tops) } else { None })
            .collect();
        let members = members.into_iter().collect();
        facts.push(ResourceGroup { id: id.clone(), members, default }.into());
    }
    let accounts: Vec<&Account> = made
        .iter()
        .filter_map(|fact| if let Fact::Account(it) = fact { Some(&**it) } else { None })
        .collect();
    let mut entities: Vec<Entity> =
        resources.iter().map(|it| Entity::Resource(it.name.clone())).collect();
    let vaulted = accounts.iter().filter(|it| it.computer.is_some());
    entities.extend(vaulted.map(|it| {
        Entity::parse(&format!("UserAccount:{}", it.id)).expect("an account's id is a resource's")
    }));
    entities.extend(cast.resource_groups.iter().cloned().map(Entity::Group));
    let mut shares = BTreeMap::new();
    for gene in &genome.shares {
        let reader = &mut Reader::new(gene);
        let grantee = match reader.byte() % 5 {
            0 | 1 => reader.of(&cast.people).map(Grantee::Person),
            _ => reader.of(&cast.groups).map(Grantee::Group),
        };
        let (Some(to), Some(on)) = (grantee, reader.of(&entities)) else { continue };
        let level = reader.of(&takes(genome, cast, &to, &on, &resources, &accounts));
        let Some(level) = level else { continue };
        let key = ShareKey { to, on };
        shares.insert(key.clone(), Share { key, level });
    }
    facts.extend(shares.into_values().map(Fact::from));
    facts
}

/// The levels at which this entity may be shared with this grantee (V1), `view` more than once.
fn takes(
    genome: &Genome,
    cast: &Cast,
    to: &Grantee,
    on: &Entity,
    resources: &[&Resource],
    accounts: &[&Account],
) -> Vec<ShareLevel> {
    let mut levels = vec![ShareLevel::View, ShareLevel::Modify, ShareLevel::View];
    let mut full = match to {
        Grantee::Group(id) => {
            let at = cast.groups.iter().position(|it| it == id);
            at.is_some_and(|at| !is_default(&genome.groups[at]))
        }
        Grantee::Person(_) => true,
    };
    let mut platform = None;
    match on {
        Entity::Group(id) => {
            let at = cast.resource_groups.iter().position(|it| it == id);
            full &= at.is_some_and(|at| !is_default(&genome.resource_groups[at]));
        }
        Entity::Resource(name) => {
            let of = |name: &ResourceRef| resources.iter().find(|it| it.name == *name);
            let account = accounts.iter().find(|it| {
                name.type_name.as_str() == "UserAccount" && it.id.as_str() == name.id.as_str()
            });
            let computer = account.and_then(|it| it.computer.as_ref()).map(ResourceRef::computer);
            let parent = computer.or_else(|| of(name).and_then(|it| it.parent.clone()));
            full &= parent.is_none();
            platform =
                of(&parent.unwrap_or_else(|| name.clone())).and_then(|it| it.platform.clone());
        }
    }
    if full {
        levels.push(ShareLevel::Full);
    }
    if matches!(platform.as_deref(), Some("windows" | "windows_domain")) {
        levels.extend([ShareLevel::RemoteAppOnly, ShareLevel::RemoteAppOnly]);
    }
    levels
}
