//! casbin: role based access with a policy line for each assignment, which is what it has.
//!
//! Whom a subject counts as, and where a resource lies, are role links, flattened so that no link is
//! searched for over several steps; a definition is a role of permissions. A question goes through every line:
//! the comparison that is cheapest and leaves most lines out, that of the type, stands first. A line's
//! effect is allow or deny, and a deny overrides. Scopes that are relative to whoever asks are left out: a
//! line can only compare names.

use std::collections::BTreeSet;

use anyhow::Context as _;
use casbin::{Adapter as _, CoreApi as _, DefaultModel, Enforcer, MemoryAdapter};
use pdp_loadtest::questions::Ask;

use crate::peer::Peer;
use crate::world::{Covers, Permissions, World, permission, subject};

const MODEL: &str = "
[request_definition]
r = sub, typ, obj, act
[policy_definition]
p = sub, typ, obj, act, eft
[role_definition]
g = _, _
g2 = _, _
g3 = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.typ == p.typ && g2(r.obj, p.obj) && g3(r.act, p.act) && g(r.sub, p.sub)
";

/// casbin with a policy and questions.
pub(crate) struct Casbin {
    enforcer: Enforcer,
    asks: Vec<[String; 4]>,
}

// === impl Casbin ===

impl Casbin {
    /// Loads a policy, without what is relative to whoever asks.
    pub(crate) async fn load(world: &World) -> anyhow::Result<Self> {
        let mut adapter = MemoryAdapter::default();
        for (section, kind, lines) in [
            ("p", "p", lines(world)),
            ("g", "g", counts(world)),
            ("g", "g2", lies(world)),
            ("g", "g3", says(world)),
        ] {
            adapter.add_policies(section, kind, lines).await?;
        }
        let model = DefaultModel::from_str(MODEL).await?;
        Ok(Self { enforcer: Enforcer::new(model, adapter).await?, asks: Vec::new() })
    }
}

impl Peer for Casbin {
    fn name(&self) -> &'static str {
        "casbin"
    }

    fn knows_relative(&self) -> bool {
        false
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        let line = |ask: &Ask| {
            let object = format!("{}:{}", ask.type_name, ask.id);
            [subject(ask), ask.type_name.clone(), object, permission(ask)]
        };
        self.asks = asks.iter().map(line).collect();
        Ok(())
    }

    fn decide(&mut self, n: usize) -> anyhow::Result<bool> {
        let [subject, kind, object, permission] = self.asks.get(n).context("no such question")?;
        let asked = (subject.as_str(), kind.as_str(), object.as_str(), permission.as_str());
        Ok(self.enforcer.enforce(asked)?)
    }
}

/// What a location is called among the objects; no object is called so.
fn location(id: &str) -> String {
    format!("in:{id}")
}

fn lines(world: &World) -> Vec<Vec<String>> {
    let mut lines = BTreeSet::new();
    for given in &world.given {
        let object = match &given.covers {
            Covers::One(id) => format!("{}:{id}", given.type_name),
            Covers::In(place) => location(place),
            Covers::Relative(_) => continue,
        };
        let says = world.says(given);
        for (effect, permissions) in [("allow", says.allow), ("deny", says.deny)] {
            if !permissions.is_empty() {
                let act = act(effect, &permissions);
                let (to, kind) = (given.to.clone(), given.type_name.clone());
                lines.insert(vec![to, kind, object.clone(), act, effect.to_owned()]);
            }
        }
    }
    lines.into_iter().collect()
}

fn counts(world: &World) -> Vec<Vec<String>> {
    let subjects = world.parents.keys().filter(|actor| {
        let kind = actor.split(':').next();
        matches!(kind, Some("person" | "account"))
    });
    let links = subjects.flat_map(|subject| {
        let others = world.counts_as(subject).into_iter().filter(move |actor| actor != subject);
        others.map(move |actor| vec![subject.clone(), actor])
    });
    links.collect()
}

fn lies(world: &World) -> Vec<Vec<String>> {
    let links = world.objects.iter().flat_map(|((type_name, id), object)| {
        let around = object.places.iter().flat_map(|place| world.places.around(place));
        let around: BTreeSet<String> = around.collect();
        around.into_iter().map(move |place| vec![format!("{type_name}:{id}"), location(&place)])
    });
    links.collect()
}

/// What a definition's permissions are called; definitions with the same ones share a name.
fn act(effect: &str, permissions: &Permissions) -> String {
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    format!("{effect} {}", permissions.join(" "))
}

fn says(world: &World) -> Vec<Vec<String>> {
    let mut links = BTreeSet::new();
    for says in world.levels.values() {
        for (effect, permissions) in [("allow", &says.allow), ("deny", &says.deny)] {
            let act = act(effect, permissions);
            links.extend(permissions.iter().map(|it| vec![it.clone(), act.clone()]));
        }
    }
    links.into_iter().collect()
}
