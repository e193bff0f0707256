//! Cedar, with the relations in the entities and as few policies as possible.
//!
//! People, accounts, groups, set groups, roles and pairs are entities whose ancestors are all that they
//! count as; Cedar works the whole hierarchy out when it is loaded. A holding (see [`crate::grants`]) is an
//! entity, too, and the parent of whoever has it. A resource carries the set of entities of which the
//! subject must be in one, for each permission. Denies are the same under `forbid`. Relative scopes are
//! conditions over attributes of both sides.
//!
//! There are two ways to say "for each permission", and both are measured: tags, whose key comes
//! from the request, so that one `permit` and one `forbid` say everything; and attributes, with a `permit` and a
//! `forbid` for each permission, which Cedar goes through one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, ensure};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy,
    PolicyId, PolicySet, Request, RestrictedExpression,
};
use pdp_engine::level::Relative;
use pdp_loadtest::questions::Ask;

mod links;
mod policies;

pub(crate) use links::Links;

use crate::grants::{Grants, HOLDING, Keys};
use crate::peer::Peer;
use crate::world::{World, permission, subject};

/// How permissions are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByPermission {
    Tags,
    Attributes,
}

/// Cedar with a policy and questions.
pub(crate) struct Cedar {
    by: ByPermission,
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
    requests: Vec<Request>,
}

/// What decides for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

type Attributes = HashMap<String, RestrictedExpression>;

// === impl Cedar ===

impl Cedar {
    /// Loads a policy.
    pub(crate) fn load(world: &World, grants: &Grants, by: ByPermission) -> anyhow::Result<Self> {
        let permissions: BTreeSet<&str> = world
            .levels
            .values()
            .flat_map(|says| says.allow.iter().chain(&says.deny).map(String::as_str))
            .collect();
        let kinds: BTreeSet<Relative> = grants.relative.keys().map(|(_, kind)| *kind).collect();
        let text = policies::text(by, &permissions, &kinds);
        let policies = text.parse().context("the policies do not parse")?;
        let entities = Entities::from_entities(entities(world, grants, by)?, None)?;
        let (authorizer, requests) = (Authorizer::new(), Vec::new());
        Ok(Self { by, policies, entities, authorizer, requests })
    }
}

impl Peer for Cedar {
    fn name(&self) -> &'static str {
        match self.by {
            ByPermission::Tags => "cedar, two policies",
            ByPermission::Attributes => "cedar, two policies a permission",
        }
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        self.requests = asks.iter().map(|ask| request(ask, self.by)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn decide(&mut self, n: usize) -> anyhow::Result<bool> {
        let request = self.requests.get(n).context("no such question")?;
        let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        let mut errors = response.diagnostics().errors();
        ensure!(errors.next().is_none(), "Cedar found an error in a policy");
        Ok(response.decision() == Decision::Allow)
    }
}

fn request(ask: &Ask, by: ByPermission) -> anyhow::Result<Request> {
    let permission = permission(ask);
    let context = match by {
        ByPermission::Tags => {
            let key = |effect| RestrictedExpression::new_string(key(effect, &permission));
            let pairs = [("allow", key(Effect::Allow)), ("deny", key(Effect::Deny))];
            Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value)))?
        }
        ByPermission::Attributes => Context::empty(),
    };
    let resource = uid(&ask.type_name, &ask.id)?;
    Ok(Request::new(actor(&subject(ask))?, uid("Action", &permission)?, resource, context, None)?)
}

/// What the list of a permission is called.
pub(super) fn key(effect: Effect, permission: &str) -> String {
    let effect = match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    format!("{effect}_{}", permission.replace(':', "_"))
}

/// What the attribute is called that says what is granted by a relation.
pub(super) fn relation(kind: Relative) -> String {
    format!("by_{}", kind.as_str())
}

pub(super) fn uid(type_name: &str, id: &str) -> anyhow::Result<EntityUid> {
    let type_name: EntityTypeName = type_name.parse()?;
    Ok(EntityUid::from_type_name_and_id(type_name, EntityId::new(id)))
}

/// An actor or a holding, as an entity.
pub(super) fn actor(key: &str) -> anyhow::Result<EntityUid> {
    let (kind, id) = key.split_once(':').context("an actor has a kind")?;
    let type_name = match kind {
        "person" => "Person",
        "account" => "UserAccount",
        "group" => "Group",
        "set_group" => "SetGroup",
        "business_role" => "BusinessRole",
        "management_role" => "ManagementRole",
        "management_role_definition" => "ManagementRoleDefinition",
        HOLDING => "Holding",
        _ => anyhow::bail!("`{kind}` is no kind of actor"),
    };
    uid(type_name, id)
}

fn set(keys: &BTreeSet<String>) -> anyhow::Result<RestrictedExpression> {
    let uids = keys.iter().map(|key| actor(key).map(RestrictedExpression::new_entity_uid));
    Ok(RestrictedExpression::new_set(uids.collect::<Result<Vec<_>, _>>()?))
}

fn places(ids: &BTreeSet<String>) -> anyhow::Result<RestrictedExpression> {
    let uids = ids.iter().map(|id| uid("Location", id).map(RestrictedExpression::new_entity_uid));
    Ok(RestrictedExpression::new_set(uids.collect::<Result<Vec<_>, _>>()?))
}

/// The lists of each permission, in the order of their names.
fn lists(keys: &Keys) -> anyhow::Result<BTreeMap<String, RestrictedExpression>> {
    let mut lists = BTreeMap::new();
    for (effect, of) in [(Effect::Allow, &keys.allow), (Effect::Deny, &keys.deny)] {
        for (permission, keys) in of {
            lists.insert(key(effect, permission), set(keys)?);
        }
    }
    Ok(lists)
}

fn entity(
    uid: EntityUid,
    mut attributes: Attributes,
    parents: BTreeSet<EntityUid>,
    keys: &Keys,
    by: ByPermission,
) -> anyhow::Result<Entity> {
    let lists = lists(keys)?;
    Ok(match by {
        ByPermission::Tags => Entity::new_with_tags(uid, attributes, parents, lists)?,
        ByPermission::Attributes => {
            attributes.extend(lists);
            Entity::new_with_tags(uid, attributes, parents, [])?
        }
    })
}

fn entities(world: &World, grants: &Grants, by: ByPermission) -> anyhow::Result<Vec<Entity>> {
    let mut parents = parents(world, grants)?;
    let mut found = Vec::new();
    for (name, object) in &world.objects {
        let (type_name, id) = name;
        let uid = uid(type_name, id)?;
        let keys = grants.of_object(world, name, object);
        let mut above = parents.remove(&uid).unwrap_or_default();
        let mut attributes = attributes(world, grants, name)?;
        if type_name == "Location" {
            let around = world.places.around(id).into_iter().nth(1);
            above.extend(around.map(|id| self::uid("Location", &id)).transpose()?);
        } else {
            for place in &object.places {
                above.insert(self::uid("Location", place)?);
            }
        }
        if let Some(owner) = &object.owner {
            let owner = RestrictedExpression::new_entity_uid(self::uid("Person", owner)?);
            attributes.insert("owner".to_owned(), owner);
        }
        found.push(entity(uid, attributes, above, &keys, by)?);
    }
    for ((type_name, kind), keys) in &grants.relative {
        let uid = uid("Relation", &format!("{type_name}/{}", kind.as_str()))?;
        found.push(entity(uid, Attributes::new(), BTreeSet::new(), keys, by)?);
    }
    // Groups, roles and pairs, which are no objects here.
    for (uid, above) in parents {
        found.push(entity(uid, Attributes::new(), above, &Keys::default(), by)?);
    }
    Ok(found)
}

/// What every actor is directly in.
fn parents(
    world: &World,
    grants: &Grants,
) -> anyhow::Result<BTreeMap<EntityUid, BTreeSet<EntityUid>>> {
    let mut parents: BTreeMap<EntityUid, BTreeSet<EntityUid>> = BTreeMap::new();
    for (child, above) in world.parents.iter().chain(&grants.holdings) {
        let own = parents.entry(actor(child)?).or_default();
        for key in above {
            own.insert(actor(key)?);
        }
    }
    Ok(parents)
}

/// What relative scopes are conditions over.
fn attributes(
    world: &World,
    grants: &Grants,
    (type_name, id): &(String, String),
) -> anyhow::Result<Attributes> {
    let mut attributes = Attributes::new();
    for kind in Relative::ALL {
        if grants.relative.contains_key(&(type_name.clone(), kind)) {
            let uid = uid("Relation", &format!("{type_name}/{}", kind.as_str()))?;
            attributes.insert(relation(kind), RestrictedExpression::new_entity_uid(uid));
        }
    }
    if let Some(person) = world.people.get(id).filter(|_| type_name == "Person") {
        if let Some(manager) = &person.manager {
            let manager = RestrictedExpression::new_entity_uid(uid("Person", manager)?);
            attributes.insert("manager".to_owned(), manager);
        }
        for (name, ids) in [
            ("homes", &person.homes),
            ("organizations", &person.organizations),
            ("reached", &person.reached),
            ("above", &person.above),
        ] {
            attributes.insert(name.to_owned(), places(ids)?);
        }
    }
    Ok(attributes)
}

/// A policy of a text, under a name.
pub(super) fn policy(id: &str, text: &str) -> anyhow::Result<Policy> {
    Ok(Policy::parse(Some(PolicyId::new(id)), text)?)
}
