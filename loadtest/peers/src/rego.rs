//! Rego on regorus, compiled to its virtual machine, with all data in the machine in advance.
//!
//! The data are shaped for look-ups by name: a subject has the set of its keys (see [`crate::grants`]), all
//! worked out in advance, and an object has a short list of keys for each permission. A question walks the
//! list and looks each key up in the set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use pdp_engine::level::Relative;
use pdp_loadtest::questions::Ask;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Value};

use crate::grants::{Grants, Keys};
use crate::peer::Peer;
use crate::world::{World, permission, subject};

/// The rule that is asked.
const RULE: &str = "data.pdp.allow";

/// Rego with a policy and questions.
pub(crate) struct Rego {
    machine: RegoVM,
    inputs: Vec<Value>,
}

// === impl Rego ===

impl Rego {
    /// Loads a policy.
    pub(crate) fn load(world: &World, grants: &Grants) -> anyhow::Result<Self> {
        let kinds: BTreeSet<Relative> = grants.relative.keys().map(|(_, kind)| *kind).collect();
        let mut engine = Engine::new();
        engine.add_policy("pdp.rego".to_owned(), text(&kinds))?;
        let compiled = engine.compile_with_entrypoint(&RULE.into())?;
        let mut machine = RegoVM::new();
        machine.load_program(Compiler::compile_from_policy(&compiled, &[RULE])?);
        machine.set_data(data(world, grants)).map_err(anyhow::Error::msg)?;
        Ok(Self { machine, inputs: Vec::new() })
    }
}

impl Peer for Rego {
    fn name(&self) -> &'static str {
        "regorus, compiled"
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        let input = |ask: &Ask| {
            object([
                ("subject", subject(ask).into()),
                ("permission", permission(ask).into()),
                ("type", ask.type_name.as_str().into()),
                ("resource", format!("{}:{}", ask.type_name, ask.id).into()),
            ])
        };
        self.inputs = asks.iter().map(input).collect();
        Ok(())
    }

    fn decide(&mut self, n: usize) -> anyhow::Result<bool> {
        let input = self.inputs.get(n).context("no such question")?.clone();
        self.machine.set_input(input);
        let answer = self.machine.execute().map_err(anyhow::Error::msg)?;
        answer.as_bool().copied().map_err(anyhow::Error::msg)
    }
}

fn text(kinds: &BTreeSet<Relative>) -> String {
    let mut text = String::from(
        "package pdp\n\
         import rego.v1\n\
         default allow := false\n\
         allow if {\n  granted\n  not denied\n}\n",
    );
    for (rule, effect) in [("granted", "allow"), ("denied", "deny")] {
        text += &format!(
            "{rule} if {{\n  some key in data.objects[input.resource].{effect}[input.permission]\n  \
             data.subjects[input.subject].keys[key]\n}}\n"
        );
        for kind in kinds {
            text += &format!(
                "{rule} if {{\n  some key in data.relative[input.type].{}.{effect}[input.permission]\n  \
                 data.subjects[input.subject].keys[key]\n{}}}\n",
                kind.as_str(),
                holds(*kind)
            );
        }
    }
    text
}

/// What a relation is (C3). A subject that is no person has none of these attributes.
const fn holds(kind: Relative) -> &'static str {
    match kind {
        Relative::Myself => "  data.subjects[input.subject].self == input.resource\n",
        Relative::Manager => "  data.subjects[input.subject].manager == input.resource\n",
        Relative::DirectReports => {
            "  data.objects[input.resource].manager == data.subjects[input.subject].self\n"
        }
        Relative::OwnAccounts => {
            "  data.objects[input.resource].owner == data.subjects[input.subject].self\n"
        }
        Relative::AccountsOfDirectReports => {
            "  owner := data.objects[input.resource].owner\n  \
             data.objects[owner].manager == data.subjects[input.subject].self\n"
        }
        Relative::InMyLocations => {
            "  some home in data.subjects[input.subject].homes\n  \
             data.objects[input.resource].within[home]\n"
        }
        Relative::MyLocationsAndAbove => "  data.subjects[input.subject].above[input.resource]\n",
        Relative::MyLocationsAndBelow => {
            "  some place in data.subjects[input.subject].reached\n  \
             data.objects[input.resource].within[place]\n"
        }
        Relative::InMyOrganization => {
            "  some place in data.subjects[input.subject].organizations\n  \
             data.objects[input.resource].within[place]\n"
        }
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name.into(), value));
    fields.collect::<BTreeMap<Value, Value>>().into()
}

fn list<'a>(texts: impl IntoIterator<Item = &'a String>, shared: &mut Shared) -> Value {
    texts.into_iter().map(|text| shared.text(text)).collect::<Vec<_>>().into()
}

fn set<'a>(texts: impl IntoIterator<Item = &'a String>, shared: &mut Shared) -> Value {
    texts.into_iter().map(|text| shared.text(text)).collect::<BTreeSet<_>>().into()
}

/// Texts that occur over and over, each kept once.
#[derive(Default)]
struct Shared(BTreeMap<String, Value>);

impl Shared {
    fn text(&mut self, text: &str) -> Value {
        if let Some(value) = self.0.get(text) {
            return value.clone();
        }
        let value = Value::String(Arc::from(text));
        self.0.insert(text.to_owned(), value.clone());
        value
    }
}

fn lists(keys: &Keys, shared: &mut Shared) -> [(&'static str, Value); 2] {
    [("allow", &keys.allow), ("deny", &keys.deny)].map(|(effect, of)| {
        let lists = of.iter().map(|(permission, keys)| {
            let keys = list(keys, shared);
            (shared.text(permission), keys)
        });
        (effect, lists.collect::<BTreeMap<Value, Value>>().into())
    })
}

fn data(world: &World, grants: &Grants) -> Value {
    let shared = &mut Shared::default();
    let mut relative: BTreeMap<Value, BTreeMap<Value, Value>> = BTreeMap::new();
    for ((type_name, kind), keys) in &grants.relative {
        let of_type = relative.entry(type_name.as_str().into()).or_default();
        of_type.insert(kind.as_str().into(), object(lists(keys, shared)));
    }
    let relative: BTreeMap<Value, Value> =
        relative.into_iter().map(|(type_name, kinds)| (type_name, kinds.into())).collect();
    object([
        ("subjects", subjects(world, grants, shared)),
        ("objects", objects(world, grants, shared)),
        ("relative", relative.into()),
    ])
}

fn subjects(world: &World, grants: &Grants, shared: &mut Shared) -> Value {
    let mut subjects: BTreeMap<Value, Value> = BTreeMap::new();
    let resource = |id: &String| format!("Person:{id}");
    for (id, person) in &world.people {
        let actor = format!("person:{id}");
        let keys = set(&grants.keys_of(world, &actor), shared);
        let above: BTreeSet<String> =
            person.above.iter().map(|place| format!("Location:{place}")).collect();
        let mut fields = BTreeMap::from([
            (Value::from("keys"), keys),
            (Value::from("self"), shared.text(&resource(id))),
            (Value::from("homes"), list(&person.homes, shared)),
            (Value::from("organizations"), list(&person.organizations, shared)),
            (Value::from("reached"), list(&person.reached, shared)),
            (Value::from("above"), set(&above, shared)),
        ]);
        if let Some(manager) = &person.manager {
            fields.insert("manager".into(), shared.text(&resource(manager)));
        }
        subjects.insert(actor.into(), fields.into());
    }
    for (_, id) in world.objects.keys().filter(|(type_name, _)| type_name == "UserAccount") {
        let actor = format!("account:{id}");
        let keys = set(&grants.keys_of(world, &actor), shared);
        subjects.insert(actor.into(), object([("keys", keys)]));
    }
    subjects.into()
}

fn objects(world: &World, grants: &Grants, shared: &mut Shared) -> Value {
    let mut objects: BTreeMap<Value, Value> = BTreeMap::new();
    for (name, known) in &world.objects {
        let (type_name, id) = name;
        let keys = grants.of_object(world, name, known);
        let around = known.places.iter().flat_map(|place| world.places.around(place));
        let within: BTreeSet<String> = around.collect();
        let [allow, deny] = lists(&keys, shared);
        let mut fields = BTreeMap::from([(Value::from("within"), set(&within, shared))]);
        if !keys.is_empty() {
            fields.extend([allow, deny].map(|(effect, lists)| (effect.into(), lists)));
        }
        let manager = world.people.get(id).filter(|_| type_name == "Person");
        let manager = manager.and_then(|person| person.manager.as_ref());
        for (field, person) in [("manager", manager), ("owner", known.owner.as_ref())] {
            if let Some(person) = person {
                fields.insert(field.into(), shared.text(&format!("Person:{person}")));
            }
        }
        objects.insert(format!("{type_name}:{id}").into(), fields.into());
    }
    objects.into()
}
