//! The applications that Cedar's authors measure it with (Cutler and others, OOPSLA 2024): a drive of documents in folders,
//! repositories of organisations, and to-do lists of teams. Each is written twice, as their policy and as ours, and made
//! from a seed at their sizes: so many of each kind, connected by chance.
//!
//! The models are theirs; policies and generators here are our own. One thing differs: a folder lies in one
//! folder at most, as a location has one parent; documents lie in any number of folders, as theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use pdp_bundle::parse;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::Facts;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, Revision};
use pdp_loadtest::organisation::NOW;
use pdp_loadtest::questions::Ask;
use pdp_loadtest::random::{Dice, Purpose};
use pdp_loadtest::targets::{MIN_ROUNDS, Spread};

mod drive;
mod hub;
mod todo;

use crate::cedar::uid;
use crate::engines::{ask_all, quantile};
use crate::peer::{Ours, Peer};
use crate::report::{Line, put, table};

/// How large a scenario may be, in entities of each kind.
const MOST: u64 = 1_000;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How many of each kind.
    pub(crate) entities: u64,
    /// How probable a connection between two is.
    pub(crate) connected: f64,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    /// How many questions are measured in a round.
    pub(crate) questions: usize,
}

/// One application.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Application {
    name: &'static str,
    /// The share of questions that are allowed.
    allowed: f64,
    lines: Vec<Line>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct PublishedReport {
    entities: u64,
    connected: f64,
    seed: u64,
    rounds: usize,
    applications: Vec<Application>,
}

/// An operation, the type of what it is asked of, and how the names of those begin.
pub(super) type Operation = (&'static str, &'static str, &'static str);

/// An application while it is made, for both.
pub(super) struct Sketch {
    size: u64,
    connected: f64,
    dice: Dice,
    /// The sections of our bundle.
    sections: BTreeMap<&'static str, String>,
    /// Their entities: attributes and parents.
    attributes: BTreeMap<EntityUid, BTreeMap<String, RestrictedExpression>>,
    parents: BTreeMap<EntityUid, BTreeSet<EntityUid>>,
}

/// An application with its questions' kinds.
struct Model {
    name: &'static str,
    policies: &'static str,
    types: &'static str,
    operations: &'static [Operation],
    fill: fn(&mut Sketch) -> anyhow::Result<()>,
}

const MODELS: [Model; 3] = [
    Model {
        name: "documents in folders (gdrive)",
        policies: drive::POLICIES,
        types: drive::TYPES,
        operations: &drive::OPERATIONS,
        fill: drive::fill,
    },
    Model {
        name: "repositories of organisations (github)",
        policies: hub::POLICIES,
        types: hub::TYPES,
        operations: &hub::OPERATIONS,
        fill: hub::fill,
    },
    Model {
        name: "lists of teams (tinytodo)",
        policies: todo::POLICIES,
        types: todo::TYPES,
        operations: &todo::OPERATIONS,
        fill: todo::fill,
    },
];

/// Measures; `say` is told what is going on.
///
/// # Errors
/// If an answer is not the expected one: then with the question.
pub(crate) fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<PublishedReport> {
    let Settings { entities, connected, seed, rounds, questions } = *settings;
    ensure!(rounds >= MIN_ROUNDS, "`rounds` must be {MIN_ROUNDS} at least");
    ensure!((1..=MOST).contains(&entities), "`entities` must be 1 to {MOST}");
    ensure!((0.0..=1.0).contains(&connected), "`connected` must be 0 to 1");
    ensure!(questions >= 10, "`questions` must be 10 at least");
    let mut applications = Vec::new();
    for model in &MODELS {
        say(model.name);
        applications.push(model.measure(settings)?);
    }
    Ok(PublishedReport { entities, connected, seed, rounds, applications })
}

/// Cedar with these entities and policies.
struct Theirs {
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
    requests: Vec<Request>,
}

impl Peer for Theirs {
    fn name(&self) -> &'static str {
        "cedar, their encoding"
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        let request = |ask: &Ask| -> anyhow::Result<Request> {
            let (who, what) = (uid("User", &ask.subject)?, uid("Action", &ask.permission)?);
            Ok(Request::new(who, what, uid(&ask.type_name, &ask.id)?, Context::empty(), None)?)
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

// === impl Model ===

impl Model {
    fn measure(&self, settings: &Settings) -> anyhow::Result<Application> {
        let mut sketch = Sketch {
            size: settings.entities,
            connected: settings.connected,
            dice: Dice::at(settings.seed, Purpose::Group, 0),
            sections: BTreeMap::new(),
            attributes: BTreeMap::new(),
            parents: BTreeMap::new(),
        };
        (self.fill)(&mut sketch)?;
        let mut facts = Facts::default();
        let bundle = format!("{}{}", self.types, sketch.bundle());
        let bundle = parse(self.name, &bundle)?;
        facts.apply(&bundle.changes())?;
        let snapshot = compile(&facts, Revision::new(1));
        let mut asks = sketch.asks(self.operations, settings)?;
        for ask in &mut asks {
            ask.expected = check(&snapshot, &ask.as_question(), NOW)?.effect;
        }
        let allowed = asks.iter().filter(|ask| ask.expected == Effect::Allow).count();
        let policies = self.policies.parse().context("the policies do not parse")?;
        let entities = Entities::from_entities(sketch.entities()?, None)?;
        let (authorizer, requests) = (Authorizer::new(), Vec::new());
        let theirs = Theirs { policies, entities, authorizer, requests };
        let mut sides: [(Box<dyn Peer>, Vec<f64>, Vec<f64>); 2] =
            [(Box::new(Ours::new(snapshot)), vec![], vec![]), (Box::new(theirs), vec![], vec![])];
        for part in asks.chunks_exact(2 * settings.questions) {
            for (peer, p50, p99) in &mut sides {
                let taken = ask_all(&mut **peer, part, settings.questions)?;
                p50.push(quantile(&taken, 0.5) / 1e3);
                p99.push(quantile(&taken, 0.99) / 1e3);
            }
        }
        let allowed = allowed as f64 / asks.len().max(1) as f64;
        Ok(Application { name: self.name, allowed, lines: lines(settings, &sides)? })
    }
}

fn lines(
    settings: &Settings,
    sides: &[(Box<dyn Peer>, Vec<f64>, Vec<f64>); 2],
) -> anyhow::Result<Vec<Line>> {
    let [(_, ours, _), _] = sides;
    let spread = |values: &[f64]| Spread::of(values).context("there are rounds");
    let line = |(peer, p50, p99): &(Box<dyn Peer>, Vec<f64>, Vec<f64>)| {
        let ratios = p50.iter().zip(ours).map(|(their, our)| their / our.max(1e-9));
        Ok(Line {
            name: peer.name(),
            load_ms: None,
            asked: settings.questions * settings.rounds,
            p50_us: spread(p50)?,
            p99_us: spread(p99)?,
            ratio: spread(&ratios.collect::<Vec<_>>())?,
            target: None,
            knows_relative: true,
        })
    };
    sides.iter().map(line).collect()
}

// === impl Sketch ===

impl Sketch {
    /// Those of a kind that something is connected with, by chance.
    pub(super) fn some(&mut self, below: u64) -> Vec<u64> {
        (0..below).filter(|_| self.dice.chance(self.connected)).collect()
    }

    /// One of a kind.
    pub(super) fn one(&mut self) -> u64 {
        self.dice.below(self.size)
    }

    /// How many there are of each kind.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Something that happens half of the time.
    pub(super) fn coin(&mut self) -> bool {
        self.dice.chance(0.5)
    }

    /// An entry of our bundle, in flow style.
    pub(super) fn ours(&mut self, section: &'static str, entry: &str) {
        // Writing to a string does not fail.
        writeln!(self.sections.entry(section).or_default(), "  - {{{entry}}}").ok();
    }

    /// A person, and the entity for one.
    pub(super) fn user(&mut self, id: &str) -> anyhow::Result<()> {
        self.ours("people", &format!("id: {id}"));
        self.theirs("User", id)
    }

    /// An entity of theirs.
    pub(super) fn theirs(&mut self, kind: &str, id: &str) -> anyhow::Result<()> {
        self.parents.entry(uid(kind, id)?).or_default();
        Ok(())
    }

    /// One of their entities is in another.
    pub(super) fn within(&mut self, one: (&str, &str), other: (&str, &str)) -> anyhow::Result<()> {
        let other = uid(other.0, other.1)?;
        self.parents.entry(uid(one.0, one.1)?).or_default().insert(other);
        Ok(())
    }

    /// An attribute of one of their entities.
    pub(super) fn attribute(
        &mut self,
        of: (&str, &str),
        name: &str,
        value: RestrictedExpression,
    ) -> anyhow::Result<()> {
        let of = uid(of.0, of.1)?;
        self.parents.entry(of.clone()).or_default();
        self.attributes.entry(of).or_default().insert(name.to_owned(), value);
        Ok(())
    }

    fn bundle(&self) -> String {
        let sections = self.sections.iter();
        sections.map(|(name, entries)| format!("{name}:\n{entries}")).collect()
    }

    fn entities(self) -> anyhow::Result<Vec<Entity>> {
        let Self { mut attributes, parents, .. } = self;
        let entity = |(uid, parents): (EntityUid, BTreeSet<EntityUid>)| {
            let attributes = attributes.remove(&uid).unwrap_or_default();
            Entity::new_with_tags(uid, attributes, parents, [])
        };
        Ok(parents.into_iter().map(entity).collect::<Result<_, _>>()?)
    }

    fn asks(&mut self, operations: &[Operation], settings: &Settings) -> anyhow::Result<Vec<Ask>> {
        let count = 2 * settings.questions * settings.rounds;
        let mut asks = Vec::with_capacity(count);
        for _ in 0..count {
            let at = self.dice.below(operations.len() as u64) as usize;
            let (name, kind, begins) = operations.get(at).context("there are operations")?;
            // What there is one of has no number.
            let id = match begins.strip_suffix('!') {
                Some(only) => only.to_owned(),
                None => format!("{begins}{}", self.one()),
            };
            let permission = (PermissionKind::Operation, *name);
            asks.push(Ask::new(
                false,
                format!("u{}", self.one()),
                permission,
                (*kind).to_owned(),
                id,
            ));
        }
        Ok(asks)
    }
}

/// An entity as a value.
pub(super) fn entity(kind: &str, id: &str) -> anyhow::Result<RestrictedExpression> {
    Ok(RestrictedExpression::new_entity_uid(uid(kind, id)?))
}

/// Entities as a value.
pub(super) fn entities(kind: &str, ids: &[String]) -> anyhow::Result<RestrictedExpression> {
    let all = ids.iter().map(|id| entity(kind, id)).collect::<Result<Vec<_>, _>>()?;
    Ok(RestrictedExpression::new_set(all))
}

// === impl PublishedReport ===

impl PublishedReport {
    /// A table for each application.
    pub(crate) fn text(&self) -> String {
        let Self { entities, connected, seed, rounds, applications } = self;
        let mut out = String::new();
        put(
            &mut out,
            format_args!(
                "{entities} of each kind, {connected} of all pairs connected, seed {seed}; every answer agrees; medians of \
                 {rounds} rounds, least to most"
            ),
        );
        for Application { name, allowed, lines } in applications {
            put(&mut out, format_args!("\n{name}, {:.0} % allowed", allowed * 100.0));
            table(&mut out, lines);
        }
        out
    }
}
