//! How large a compiled policy may be. What few facts say can compile to a lot: a position counts for
//! every pair above it, and windows multiply along paths. A policy that is over a limit is refused
//! before it is committed; otherwise the store would hold what no server can load.

use crate::snapshot::Spent;

/// The limits on what compiling a policy makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Edges from positions to the pairs above them.
    pub edges: usize,
    /// Entries of all subjects' closures: whom they always count as, and the places they reach.
    pub closure: usize,
    /// Windows in all subjects' closures: when they count as whom.
    pub windows: usize,
    /// Steps spent on windows.
    pub steps: usize,
}

impl CompileLimits {
    /// What a server accepts: some gigabytes and some seconds, and far more than any organisation
    /// of a million people needs.
    pub const DEFAULT: Self =
        Self { edges: 10_000_000, closure: 200_000_000, windows: 20_000_000, steps: 500_000_000 };

    /// None.
    pub const NONE: Self =
        Self { edges: usize::MAX, closure: usize::MAX, windows: usize::MAX, steps: usize::MAX };
}

/// A policy that would compile to more than a limit allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy would compile to more than {limit} {what}; give fewer positions, windows or pairs to the same people"
)]
pub struct TooLarge {
    /// What there would be too many of.
    pub what: &'static str,
    /// How many there may be.
    pub limit: usize,
}

/// What is left of the limits.
pub(super) struct Budget {
    limits: CompileLimits,
    left: CompileLimits,
}

impl Budget {
    pub(super) const fn new(limits: CompileLimits) -> Self {
        Self { limits, left: limits }
    }

    /// For a change to a policy that has this much already. Steps are counted for each change.
    pub(super) fn on_top_of(limits: CompileLimits, spent: Spent) -> Self {
        let Spent { edges, closure, windows } = spent;
        let left = CompileLimits {
            edges: limits.edges.saturating_sub(edges),
            closure: limits.closure.saturating_sub(closure),
            windows: limits.windows.saturating_sub(windows),
            steps: limits.steps,
        };
        Self { limits, left }
    }

    /// How much there is.
    pub(super) fn spent(&self) -> Spent {
        let Self { limits, left } = self;
        Spent {
            edges: limits.edges - left.edges,
            closure: limits.closure - left.closure,
            windows: limits.windows - left.windows,
        }
    }

    /// What was there and is no more.
    pub(super) fn give_back(&mut self, freed: Spent) {
        self.left.edges += freed.edges;
        self.left.closure += freed.closure;
        self.left.windows += freed.windows;
    }

    pub(super) fn edges(&mut self, count: usize) -> Result<(), TooLarge> {
        take(&mut self.left.edges, count, "edges from positions", self.limits.edges)
    }

    pub(super) fn closure(&mut self, count: usize) -> Result<(), TooLarge> {
        take(&mut self.left.closure, count, "closure entries", self.limits.closure)
    }

    pub(super) fn windows(&mut self, count: usize) -> Result<(), TooLarge> {
        take(&mut self.left.windows, count, "closure windows", self.limits.windows)
    }

    pub(super) fn steps(&mut self, count: usize) -> Result<(), TooLarge> {
        take(&mut self.left.steps, count, "steps through windows", self.limits.steps)
    }
}

fn take(left: &mut usize, count: usize, what: &'static str, limit: usize) -> Result<(), TooLarge> {
    *left = left.checked_sub(count).ok_or(TooLarge { what, limit })?;
    Ok(())
}
