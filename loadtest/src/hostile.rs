//! What the other clients feel of a bad one, and of one that asks for much: Checks are sent at
//! intended times, by turns with a guest and without, and their p99 is compared.
//!
//! Everything is one machine: the guests and the Checks take turns on the same cores as the server,
//! which makes a guest heavier than it is over a network.

mod guest;

use std::sync::Arc;
use std::time::Duration;

use pdp_client::{Permission, Resource};
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::list::{AnyPermission, SubjectKinds, list_subjects};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Revision};
use pdp_engine::snapshot::Snapshot;
use tokio::runtime::Runtime;

pub use guest::Guest;

use crate::drive::{Connection, Script, Timing, closed_loop, open_loop};
use crate::embedded::{Embedded, Filled};
use crate::organisation::{NOW, Organisation};
use crate::pace::Schedule;
use crate::questions::{Ask, Mix, QuestionsError, hold, sample};
use crate::random::Skew;
use crate::shape::Shape;
use crate::tally::Summary;
use crate::targets::served::{clean, until_ready};
use crate::targets::{Bound, MIN_ROUNDS, Spread, TargetsError, ratios};
use crate::wire::{MAX_BATCH, Requests};

use guest::{Popular, Table};

/// How long a guest is at work before anything is measured, and how long the server has to itself
/// after it.
const SETTLES: Duration = Duration::from_millis(300);

/// How many questions are looked at for what most people may use.
const LOOKED_AT: usize = 200;

/// What is measured, and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many assignments the policy has.
    pub size: u64,
    /// The seed of the policy and of the questions.
    pub seed: u64,
    /// How many rounds, [`MIN_ROUNDS`] at least.
    pub rounds: usize,
    /// How long is measured with a guest, and without, in each round.
    pub slice: Duration,
    /// How many connections ask.
    pub connections: usize,
    /// At which part of what the server can do is asked.
    pub load: f64,
    /// How many questions there are.
    pub questions: usize,
}

/// What the others feel of a guest.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Felt {
    /// The guest.
    pub guest: Guest,
    /// The p99 of the others beside it, in microseconds.
    pub with_us: Spread,
    /// The p99 of the others just before it, in microseconds.
    pub without_us: Spread,
    /// One over the other, round by round.
    pub ratio: Spread,
    /// What that is held against.
    pub bound: Bound,
    /// Whether it holds.
    pub met: bool,
    /// How much the guest did, in all rounds.
    pub done: u64,
}

/// All guests.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Evening {
    /// Checks a second in a closed loop.
    pub can: f64,
    /// Checks a second that were sent.
    pub rate: f64,
    /// Each guest.
    pub felt: Vec<Felt>,
}

/// Two p99 a round, and what the guest did.
#[derive(Debug, Default)]
struct Rounds {
    with: Vec<f64>,
    without: Vec<f64>,
    done: u64,
}

// === impl Settings ===

impl Default for Settings {
    /// A size that takes about two minutes.
    fn default() -> Self {
        Self {
            size: 10_000,
            seed: 1,
            rounds: MIN_ROUNDS,
            slice: Duration::from_secs(1),
            connections: 8,
            load: 0.25,
            questions: 20_000,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), TargetsError> {
        let load = (self.load * 1_000.0) as u64;
        for (name, given, least, most) in [
            ("size", self.size, 100, 100_000_000),
            ("rounds", self.rounds as u64, MIN_ROUNDS as u64, 1_000),
            ("questions", self.questions as u64, MAX_BATCH as u64, 10_000_000),
            ("milliseconds", self.slice.as_millis() as u64, 10, 3_600_000),
            ("load, in thousandths", load, 1, 1_000),
        ] {
            if !(least..=most).contains(&given) {
                return Err(TargetsError::Bounds { name, given, least, most });
            }
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        Timing::new(self.slice / 5, self.slice)
    }

    /// Measures each guest by turns with nobody; `say` is told what is going on.
    ///
    /// # Errors
    /// [`TargetsError`] if the server does not run, or if the others get a wrong answer or none.
    pub fn measure(&self, say: &mut dyn FnMut(&str)) -> Result<Evening, TargetsError> {
        self.check()?;
        say("the policy and its questions");
        let (filled, asks, popular) = self.prepare()?;
        let server = Embedded::start(filled.path())?;
        let script = Script::of(Requests::checks("", &asks));
        let table = Table {
            endpoint: server.endpoint().to_owned(),
            batches: Arc::new(Requests::batches("", &asks, 100)),
            largest: Arc::new(Requests::batches("", &asks, MAX_BATCH)),
            popular,
        };
        let runtime = Runtime::new()?;
        let evening = runtime.block_on(self.evening(&table, &script, say))?;
        drop(runtime);
        server.stop()?;
        Ok(evening)
    }

    async fn evening(
        &self,
        table: &Table,
        script: &Script,
        say: &mut dyn FnMut(&str),
    ) -> Result<Evening, TargetsError> {
        let mut to = Connection::open_many(&table.endpoint, self.connections).await?;
        if let Some(first) = to.first_mut() {
            until_ready(first, &script.requests).await?;
        }
        say("what the server can do");
        let can = clean("closed loop", closed_loop(&to, script, 16, self.timing()).await?)?;
        let can = can.requests_per_second;
        let rate = (can * self.load).max(20.0 / self.slice.as_secs_f64());
        let mut rounds: Vec<(Guest, Rounds)> = Guest::ALL.map(|it| (it, Rounds::default())).into();
        for round in 1..=self.rounds {
            for (guest, rounds) in &mut rounds {
                say(&format!("round {round} of {}: {}", self.rounds, guest.as_str()));
                rounds.without.push(self.ask(&to, script, rate).await?.all.p99_us);
                let at_work = guest.start(table)?;
                tokio::time::sleep(SETTLES).await;
                rounds.with.push(self.ask(&to, script, rate).await?.all.p99_us);
                rounds.done += at_work.done();
                drop(at_work);
                tokio::time::sleep(SETTLES).await;
            }
        }
        let felt = rounds.into_iter().filter_map(|(guest, rounds)| rounds.felt(guest)).collect();
        Ok(Evening { can, rate, felt })
    }

    async fn ask(
        &self,
        to: &[Connection],
        script: &Script,
        rate: f64,
    ) -> Result<Summary, TargetsError> {
        let timing = self.timing();
        let schedule = Schedule::constant(rate, timing.warm_up + timing.duration);
        clean("checks beside a guest", open_loop(to, script, schedule, timing).await?)
    }

    /// The store, the questions, and what most people may use.
    fn prepare(&self) -> Result<(Filled, Vec<Ask>, Popular), TargetsError> {
        let organisation = Organisation::new(Shape::sized(self.size), self.seed)?;
        let changes: Vec<Change> = organisation.changes().collect();
        let filled = Filled::with(&changes)?;
        drop(changes);
        let facts = hold(organisation.facts());
        let facts = facts.map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
        let snapshot = compile(&facts, Revision::new(1));
        let (count, seed) = (self.questions, self.seed);
        let mix = Mix { skew: Skew::Uniform, allow: 0.5, count, seed };
        let asks = sample(&organisation, &snapshot, mix, NOW)?;
        let popular = popular(&snapshot, &asks)?;
        Ok((filled, asks, popular))
    }
}

/// What most people may use, among the first questions.
fn popular(snapshot: &Snapshot, asks: &[Ask]) -> Result<Popular, TargetsError> {
    let some = asks.iter().filter(|ask| ask.kind == PermissionKind::Operation).take(LOOKED_AT);
    let found = some.max_by_key(|ask| {
        let permission = PermissionRef { kind: ask.kind, name: &ask.permission };
        let object = ObjectRef { type_name: &ask.type_name, id: &ask.id };
        let asked = AnyPermission::Access(permission);
        list_subjects(snapshot, asked, object, SubjectKinds::People, NOW).map_or(0, |it| it.len())
    });
    let found = found.ok_or(TargetsError::Questions(QuestionsError::Empty))?;
    let permission = Permission::operation(found.permission.clone());
    Ok((permission, Resource::new(found.type_name.clone(), found.id.clone())))
}

// === impl Rounds ===

impl Rounds {
    fn felt(self, guest: Guest) -> Option<Felt> {
        let ratio = Spread::of(&ratios(&self.with, &self.without))?;
        let bound = Bound::AtMost(guest.bound());
        Some(Felt {
            guest,
            with_us: Spread::of(&self.with)?,
            without_us: Spread::of(&self.without)?,
            ratio,
            bound,
            met: bound.holds(ratio.median),
            done: self.done,
        })
    }
}
