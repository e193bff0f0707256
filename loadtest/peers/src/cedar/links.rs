//! Cedar as one would write assignments down without further thought: a template for each definition,
//! and a link of it for each assignment. Every question goes through every link.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, ensure};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request,
    SlotId, Template,
};
use pdp_loadtest::questions::Ask;

use super::{actor, policy, uid};
use crate::peer::Peer;
use crate::world::{Covers, World, permission, subject};

/// Cedar with a link an assignment; it is given no relative scopes.
pub(crate) struct Links {
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
    requests: Vec<Request>,
}

// === impl Links ===

impl Links {
    /// Loads a policy, without what is relative to whoever asks.
    pub(crate) fn load(world: &World) -> anyhow::Result<Self> {
        let (mut policies, mut templates) = (PolicySet::new(), BTreeSet::new());
        // An empty policy set would be asked nothing.
        policies.add(policy("nobody", "forbid(principal, action, resource) when { false };")?)?;
        for (n, given) in world.given.iter().enumerate() {
            let (covered, by_type) = match &given.covers {
                Covers::One(id) => (uid(&given.type_name, id)?, None),
                Covers::In(location) => (uid("Location", location)?, Some(&given.type_name)),
                Covers::Relative(_) => continue,
            };
            let says = world.says(given);
            for (word, permissions) in [("permit", &says.allow), ("forbid", &says.deny)] {
                if permissions.is_empty() {
                    continue;
                }
                let (level, kind) = (&given.level, by_type.map_or("", String::as_str));
                let template = format!("{word} {level} {kind}");
                if templates.insert(template.clone()) {
                    let text = text(word, permissions, by_type);
                    policies
                        .add_template(Template::parse(Some(PolicyId::new(&template)), text)?)?;
                }
                let values = HashMap::from([
                    (SlotId::principal(), actor(&given.to)?),
                    (SlotId::resource(), covered.clone()),
                ]);
                let link = PolicyId::new(format!("{word} {n}"));
                policies.link(PolicyId::new(template), link, values)?;
            }
        }
        let entities = Entities::from_entities(entities(world)?, None)?;
        let (authorizer, requests) = (Authorizer::new(), Vec::new());
        Ok(Self { policies, entities, authorizer, requests })
    }
}

impl Peer for Links {
    fn name(&self) -> &'static str {
        "cedar, a link an assignment"
    }

    fn knows_relative(&self) -> bool {
        false
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        let request = |ask: &Ask| -> anyhow::Result<Request> {
            let (who, what) = (actor(&subject(ask))?, uid("Action", &permission(ask))?);
            let resource = uid(&ask.type_name, &ask.id)?;
            Ok(Request::new(who, what, resource, Context::empty(), None)?)
        };
        self.requests = asks.iter().map(request).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn decide(&mut self, n: usize) -> anyhow::Result<bool> {
        let request = self.requests.get(n).context("no such question")?;
        let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        ensure!(
            response.diagnostics().errors().next().is_none(),
            "Cedar found an error in a policy"
        );
        Ok(response.decision() == Decision::Allow)
    }
}

fn text(word: &str, permissions: &BTreeSet<String>, by_type: Option<&String>) -> String {
    let actions: Vec<String> = permissions.iter().map(|it| format!("Action::\"{it}\"")).collect();
    let kind = by_type.map(|it| format!("is {it} ")).unwrap_or_default();
    format!(
        "{word}(principal in ?principal, action in [{}], resource {kind}in ?resource);",
        actions.join(", ")
    )
}

fn entities(world: &World) -> anyhow::Result<Vec<Entity>> {
    let mut parents: BTreeMap<EntityUid, BTreeSet<EntityUid>> = BTreeMap::new();
    for (child, above) in &world.parents {
        let own = parents.entry(actor(child)?).or_default();
        for key in above {
            own.insert(actor(key)?);
        }
    }
    for ((type_name, id), object) in &world.objects {
        let own = parents.entry(uid(type_name, id)?).or_default();
        for place in object.places.iter().filter(|_| type_name != "Location") {
            own.insert(uid("Location", place)?);
        }
    }
    for (id, around) in world.places.iter() {
        let own = parents.entry(uid("Location", id)?).or_default();
        own.extend(around.map(|around| uid("Location", around)).transpose()?);
    }
    let entity = |(uid, parents): (EntityUid, BTreeSet<EntityUid>)| {
        Entity::new(uid, HashMap::new(), parents.into_iter().collect())
    };
    Ok(parents.into_iter().map(entity).collect::<Result<_, _>>()?)
}
