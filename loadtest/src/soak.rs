//! Whether a server that works for long keeps its memory and its handles: a mixed load, a look every second, and
//! the slope of what was seen by least squares, once it has warmed up.
//!
//! The server is a process of its own, so that nothing of the clients is counted. Everything comes and goes:
//! checks, batches, streams, change sets, sessions with the work of their ends, connections. What a server keeps on
//! purpose has its limits, and they have to be reached before it is measured: so many sessions have come and gone
//! before as are remembered, and the warm-up is for the pages of the file, the tables that are made anew from time
//! to time, and the allocator.

mod load;
mod process;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pdp_engine::compile::compile;
use pdp_engine::query::Revision;
use pdp_server::session::{MAX_SESSIONS, RETAINED_SESSIONS};
use tokio::runtime::Runtime;

pub use load::Done;
pub use process::{ServerProcess, serve_until_told};

use crate::drive::Connection;
use crate::embedded::Filled;
use crate::organisation::{NOW, Organisation};
use crate::questions::{Mix, hold, sample};
use crate::random::Skew;
use crate::shape::Shape;
use crate::targets::served::until_ready;
use crate::targets::{Bound, TargetsError};
use crate::wire::Requests;

use load::Load;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much memory may grow in an hour, in MiB, and how many handles.
const MAX_MIB_AN_HOUR: f64 = 16.0;
const MAX_HANDLES_AN_HOUR: f64 = 60.0;

/// What is measured, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many assignments the policy has.
    pub size: u64,
    /// The seed of the policy and of the questions.
    pub seed: u64,
    /// How long the server works before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
    /// How many questions there are.
    pub questions: usize,
    /// How many sessions have come and gone before the server starts.
    pub sessions_before: usize,
}

/// A look at the server.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Look {
    /// When, in seconds after the warm-up.
    pub seconds: f64,
    /// What it has in memory, in bytes.
    pub resident_bytes: f64,
    /// How many files and sockets it has open.
    pub handles: f64,
}

/// What one thing came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Grown {
    /// What.
    pub name: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// The first and the last look, and the least and the most of all.
    pub first: f64,
    /// See `first`.
    pub last: f64,
    /// See `first`.
    pub least: f64,
    /// See `first`.
    pub most: f64,
    /// How much more an hour, by least squares.
    pub an_hour: f64,
    /// What that is held against.
    pub bound: Bound,
    /// Whether it holds.
    pub met: bool,
}

/// A whole soak.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Soaked {
    /// What was done after the warm-up.
    pub done: Done,
    /// Memory, and handles.
    pub grown: Vec<Grown>,
    /// Every look.
    pub looks: Vec<Look>,
}

// === impl Settings ===

impl Default for Settings {
    /// Half an hour.
    fn default() -> Self {
        Self {
            size: 200_000,
            seed: 1,
            warm_up: Duration::from_secs(600),
            duration: Duration::from_secs(1_200),
            questions: 20_000,
            sessions_before: RETAINED_SESSIONS,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), TargetsError> {
        for (name, given, least, most) in [
            ("size", self.size, 100, 100_000_000),
            ("questions", self.questions as u64, load::BATCH as u64, 10_000_000),
            ("sessions-before", self.sessions_before as u64, 0, MAX_SESSIONS as u64),
            ("seconds", self.duration.as_secs(), 2, 7 * 86_400),
            ("warm-up, in seconds", self.warm_up.as_secs(), 0, 86_400),
        ] {
            if !(least..=most).contains(&given) {
                return Err(TargetsError::Bounds { name, given, least, most });
            }
        }
        Ok(())
    }

    /// Loads a server that `start` starts on the folder; `say` is told what is going on.
    ///
    /// # Errors
    /// [`TargetsError`] if the server does not run, or answers wrongly or not at all.
    pub fn measure(
        &self,
        start: impl FnOnce(&Path) -> Result<ServerProcess, TargetsError>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Soaked, TargetsError> {
        self.check()?;
        say("the policy and its questions");
        let organisation = Organisation::new(Shape::sized(self.size), self.seed)?;
        let (changes, broker) = load::policy(&organisation)?;
        let filled = Filled::with(&changes)?;
        drop(changes);
        let facts = hold(organisation.facts());
        let facts = facts.map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
        let snapshot = compile(&facts, Revision::new(1));
        let mix = Mix { skew: Skew::Uniform, allow: 0.5, count: self.questions, seed: self.seed };
        let asks = sample(&organisation, &snapshot, mix, NOW)?;
        drop((facts, snapshot));
        say("the sessions of before");
        load::come_and_go(&filled.publisher()?, &broker, self.sessions_before)?;
        let server = start(filled.path())?;
        let load = Arc::new(Load::new(server.endpoint(), &asks, &organisation, broker)?);
        let runtime = Runtime::new()?;
        let soaked = runtime.block_on(self.soak(&server, load, say))?;
        drop(runtime);
        server.stop()?;
        Ok(soaked)
    }

    async fn soak(
        &self,
        server: &ServerProcess,
        load: Arc<Load>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Soaked, TargetsError> {
        let mut first = Connection::open(server.endpoint()).await?;
        until_ready(&mut first, &Requests::checks("", load.first())).await?;
        drop(first);
        say("warming up");
        let at_work = Load::start(&load);
        let begin = Instant::now() + self.warm_up;
        tokio::time::sleep(self.warm_up).await;
        let before = load.done();
        say("measuring");
        let (mut looks, mut told) = (Vec::new(), Instant::now());
        // What was never done says nothing, so that it is waited for.
        let lacks = || load.clean().is_ok() && !load.done().since(&before).is_whole();
        while begin.elapsed() < self.duration || lacks() {
            looks.push(server.look(begin.elapsed())?);
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                say(&format!("{} of {} s", begin.elapsed().as_secs(), self.duration.as_secs()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let done = load.done().since(&before);
        load.clean()?;
        drop(at_work);
        let resident = |look: &Look| look.resident_bytes / f64::from(1 << 20);
        let grown = vec![
            Grown::of(&looks, ("memory", "MiB"), resident, Bound::AtMost(MAX_MIB_AN_HOUR)),
            Grown::of(&looks, ("handles", ""), |it| it.handles, Bound::AtMost(MAX_HANDLES_AN_HOUR)),
        ];
        Ok(Soaked { done, grown, looks })
    }
}

// === impl Grown ===

impl Grown {
    fn of(
        looks: &[Look],
        (name, unit): (&'static str, &'static str),
        figure: impl Fn(&Look) -> f64,
        bound: Bound,
    ) -> Self {
        let values: Vec<f64> = looks.iter().map(figure).collect();
        let points: Vec<(f64, f64)> = looks
            .iter()
            .zip(&values)
            .map(|(look, value)| (look.seconds / 3_600.0, *value))
            .collect();
        let an_hour = slope(&points);
        let at = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (first, last, met) = (at(values.first()), at(values.last()), bound.holds(an_hour));
        Self { name, unit, first, last, least, most, an_hour, bound, met }
    }
}

/// The slope of the line that is nearest to the points, by least squares; no number where they have none.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let squared: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    along / squared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(figure: impl Fn(f64) -> f64) -> Vec<Look> {
        let at = (0..600).map(f64::from);
        at.map(|seconds| Look { seconds, resident_bytes: 0.0, handles: figure(seconds) }).collect()
    }

    #[test]
    fn a_slope_is_found_under_what_swings() {
        let swings = |seconds: f64| 40.0 + (seconds % 7.0) - (seconds % 3.0);
        let grown = |figure: &dyn Fn(f64) -> f64| {
            let bound = Bound::AtMost(MAX_HANDLES_AN_HOUR);
            Grown::of(&looks(figure), ("handles", ""), |look| look.handles, bound)
        };
        let flat = grown(&swings);
        assert!(flat.an_hour.abs() < 5.0 && flat.met, "{flat:?}");
        let leak = grown(&|seconds| swings(seconds) + seconds / 36.0);
        assert!((leak.an_hour - 100.0).abs() < 5.0 && !leak.met, "{leak:?}");
        assert_eq!((flat.least, flat.first), (38.0, 40.0));
    }

    #[test]
    fn one_look_is_no_slope_and_holds_nothing() {
        let one = looks(|_| 1.0).into_iter().take(1).collect::<Vec<_>>();
        let bound = Bound::AtMost(MAX_HANDLES_AN_HOUR);
        let grown = Grown::of(&one, ("handles", ""), |look| look.handles, bound);
        assert!(grown.an_hour.is_nan() && !grown.met);
    }
}
