//! How cost grows with the policy: what a Check, compiling, memory and a start come to at one size
//! after another.
//!
//! Each part is measured in a process of its own, so that one size leaves nothing behind for the
//! next. A size that would not fit into the memory at hand, or takes too long, is left out with
//! the reason; it never takes the machine down.

mod child;
mod part;

use std::path::Path;
use std::time::Duration;

pub use child::Children;
pub use part::{Part, PolicyFigures, StartFigures, StoreFigures};

use crate::memory;
use crate::targets::TargetsError;

/// The least and the most assignments.
const SIZES: (u64, u64) = (100, 100_000_000);

/// The most sizes.
const MAX_SIZES: usize = 32;

/// The part of the memory at hand that a size may be expected to take.
const MEMORY_SHARE: f64 = 0.85;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How many assignments, from small to large.
    pub sizes: Vec<u64>,
    /// How each part is measured.
    pub each: Each,
    /// How long one part of one size may take.
    pub patience: Duration,
}

/// How a part is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Each {
    /// The seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many rounds, of which the median is taken
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// How many questions are asked in a round
    #[arg(long, default_value_t = 100_000)]
    pub questions: usize,
    /// How large the buffer is in which memory latency is measured, in MiB
    #[arg(long, default_value_t = 256)]
    pub buffer_mib: usize,
}

/// One size.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Row {
    /// How many assignments.
    pub assignments: u64,
    /// What the policy costs in process.
    pub policy: Option<PolicyFigures>,
    /// What the store costs.
    pub store: Option<StoreFigures>,
    /// What a start costs; a round each.
    pub starts: Vec<StartFigures>,
    /// Why something is missing.
    pub missing: Option<String>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// A setting outside of its bounds.
    #[error("`{name}` is {given}; it must be {least} to {most}")]
    Bounds {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// Sizes that do not grow.
    #[error("the sizes must grow from one to the next")]
    Order,
    /// A part failed.
    #[error("the part `{part}` at {size} assignments failed: {said}")]
    Part {
        /// Which.
        part: &'static str,
        /// At which size.
        size: u64,
        /// What it said.
        said: String,
    },
    /// It took too long.
    #[error("the part `{part}` at {size} assignments took longer than {seconds} s")]
    Patience {
        /// Which.
        part: &'static str,
        /// At which size.
        size: u64,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It cannot be measured.
    #[error(transparent)]
    Measure(#[from] TargetsError),
    /// A file or a process.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Whoever measures a part: other processes, usually.
pub trait Parts {
    /// The policy in process.
    ///
    /// # Errors
    /// [`ScaleError`] if it fails or takes too long.
    fn policy(&mut self, size: u64) -> Result<PolicyFigures, ScaleError>;

    /// Writes a store into the folder.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    fn store(&mut self, size: u64, folder: &Path) -> Result<StoreFigures, ScaleError>;

    /// Starts a server on that store.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    fn start(&mut self, size: u64, folder: &Path) -> Result<StartFigures, ScaleError>;
}

// === impl Plan ===

impl Plan {
    /// Whether it can be measured.
    ///
    /// # Errors
    /// [`ScaleError`] names the setting.
    pub fn check(&self) -> Result<(), ScaleError> {
        let bound = |name, given, (least, most)| match (least..=most).contains(&given) {
            true => Ok(()),
            false => Err(ScaleError::Bounds { name, given, least, most }),
        };
        bound("number of sizes", self.sizes.len() as u64, (1, MAX_SIZES as u64))?;
        for size in &self.sizes {
            bound("size", *size, SIZES)?;
        }
        if !self.sizes.is_sorted_by(|one, next| one < next) {
            return Err(ScaleError::Order);
        }
        let Each { seed: _, rounds, questions, buffer_mib } = self.each;
        bound("rounds", rounds as u64, (1, 1_000))?;
        bound("questions", questions as u64, (100, 10_000_000))?;
        bound("buffer-mib", buffer_mib as u64, (1, 64 << 10))?;
        bound("minutes", self.patience.as_secs() / 60, (1, 24 * 60))
    }

    /// Measures each size; `say` is told what is going on. What takes too long or would not fit is
    /// left out, and everything larger with it.
    ///
    /// # Errors
    /// [`ScaleError`] if a part fails.
    pub fn measure(
        &self,
        parts: &mut dyn Parts,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Row>, ScaleError> {
        self.check()?;
        let mut rows: Vec<Row> = Vec::new();
        for size in &self.sizes {
            let mut row = Row::new(*size);
            let before = rows.last();
            row.missing = before.and_then(|before| too_much(before, *size, memory::available()));
            if row.missing.is_none() {
                match self.one(&mut row, parts, say) {
                    Err(error @ ScaleError::Patience { .. }) => {
                        row.missing = Some(error.to_string());
                    }
                    outcome => outcome?,
                }
            }
            if let Some(why) = &row.missing {
                say(why);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn one(
        &self,
        row: &mut Row,
        parts: &mut dyn Parts,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), ScaleError> {
        let size = row.assignments;
        say(&format!("{size} assignments: in process"));
        row.policy = Some(parts.policy(size)?);
        say(&format!("{size} assignments: the store"));
        let folder = tempfile::tempdir()?;
        row.store = Some(parts.store(size, folder.path())?);
        for round in 1..=self.each.rounds {
            say(&format!("{size} assignments: start {round} of {}", self.each.rounds));
            row.starts.push(parts.start(size, folder.path())?);
        }
        Ok(())
    }
}

/// Why a size is not tried after the one before it: what that one took, grown by as much.
fn too_much(before: &Row, size: u64, available: Option<u64>) -> Option<String> {
    if let Some(why) = &before.missing {
        return Some(format!("{size} assignments: left out, as a smaller policy was: {why}"));
    }
    let (peak, available) = (before.peak_bytes()?, available?);
    let expected = peak as f64 * size as f64 / before.assignments.max(1) as f64;
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    (expected > available as f64 * MEMORY_SHARE).then(|| {
        format!(
            "{size} assignments: left out, as {:.1} GiB are expected to be needed and {:.1} GiB are at hand",
            gib(expected),
            gib(available as f64)
        )
    })
}

// === impl Row ===

impl Row {
    const fn new(assignments: u64) -> Self {
        Self { assignments, policy: None, store: None, starts: Vec::new(), missing: None }
    }

    /// The most memory that any part had.
    fn peak_bytes(&self) -> Option<u64> {
        let policy = self.policy.as_ref().and_then(|it| it.peak_bytes);
        let store = self.store.as_ref().and_then(|it| it.peak_bytes);
        let starts = self.starts.iter().filter_map(|it| it.peak_bytes);
        starts.chain(policy).chain(store).max()
    }

    /// The median of a figure of the starts.
    #[must_use]
    pub fn start(&self, figure: impl Fn(&StartFigures) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.starts.iter().filter_map(figure).collect();
        crate::targets::Spread::of(&values).map(|spread| spread.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Each = Each { seed: 1, rounds: 2, questions: 100, buffer_mib: 1 };

    fn plan(sizes: &[u64]) -> Plan {
        Plan { sizes: sizes.to_vec(), each: EACH, patience: Duration::from_secs(60) }
    }

    /// Parts that take a kilobyte for each assignment, and too long from some size on.
    struct Made(u64);

    impl Parts for Made {
        fn policy(&mut self, size: u64) -> Result<PolicyFigures, ScaleError> {
            if size >= self.0 {
                return Err(ScaleError::Patience { part: "policy", size, seconds: 60 });
            }
            Ok(PolicyFigures { peak_bytes: Some(size << 10), ..PolicyFigures::default() })
        }

        fn store(&mut self, _: u64, _: &Path) -> Result<StoreFigures, ScaleError> {
            Ok(StoreFigures::default())
        }

        fn start(&mut self, size: u64, _: &Path) -> Result<StartFigures, ScaleError> {
            Ok(StartFigures { ready_ms: size as f64, ..StartFigures::default() })
        }
    }

    #[test]
    fn what_takes_too_long_is_left_out_with_all_that_is_larger() {
        let rows = plan(&[100, 200, 300]).measure(&mut Made(200), &mut |_| {}).unwrap();
        let missing: Vec<bool> = rows.iter().map(|row| row.missing.is_some()).collect();
        assert_eq!(missing, [false, true, true]);
        assert_eq!(rows[0].start(|it| Some(it.ready_ms)), Some(100.0));
        assert!(rows[2].missing.as_ref().unwrap().contains("took longer than 60 s"));
    }

    #[test]
    fn what_would_not_fit_is_left_out_before_it_is_tried() {
        let mut before = Row::new(1_000);
        before.policy = Some(PolicyFigures { peak_bytes: Some(1 << 30), ..Default::default() });
        let why = too_much(&before, 10_000, Some(8 << 30)).unwrap();
        assert!(why.contains("10.0 GiB are expected"), "{why}");
        assert_eq!(too_much(&before, 10_000, Some(16 << 30)), None);
        assert_eq!(too_much(&before, 10_000, None), None);
    }

    #[test]
    fn a_plan_that_cannot_be_measured_is_refused() {
        for (sizes, said) in
            [(&[][..], "`number of sizes` is 0"), (&[5], "`size` is 5"), (&[200, 200], "must grow")]
        {
            let refused = plan(sizes).check().unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
