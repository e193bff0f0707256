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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompileLimits = CompileLimits { edges: 10, closure: 20, windows: 30, steps: 40 };

    fn told(result: Result<(), TooLarge>) -> Option<(&'static str, usize)> {
        result.err().map(|TooLarge { what, limit }| (what, limit))
    }

    #[test]
    fn what_is_spent_is_counted_and_no_more_than_there_is() {
        let mut budget = Budget::new(LIMITS);
        assert_eq!(budget.edges(3).and(budget.closure(5)).and(budget.windows(7)), Ok(()));
        assert_eq!(budget.spent(), Spent { edges: 3, closure: 5, windows: 7 });
        assert_eq!(budget.steps(40), Ok(()));
        assert_eq!(told(budget.steps(1)), Some(("steps through windows", 40)));
        assert_eq!(told(budget.edges(8)), Some(("edges from positions", 10)));
        assert_eq!(told(budget.closure(16)), Some(("closure entries", 20)));
        assert_eq!(told(budget.windows(24)), Some(("closure windows", 30)));
        assert_eq!(budget.edges(7).and(budget.closure(15)).and(budget.windows(23)), Ok(()));
        assert_eq!(budget.spent(), Spent { edges: 10, closure: 20, windows: 30 });
    }

    #[test]
    fn what_is_given_back_may_be_spent_again() {
        let there = Spent { edges: 9, closure: 18, windows: 27 };
        let mut budget = Budget::on_top_of(LIMITS, there);
        assert_eq!(budget.spent(), there);
        assert!(told(budget.edges(2)).is_some());
        budget.give_back(Spent { edges: 4, closure: 5, windows: 6 });
        assert_eq!(budget.spent(), Spent { edges: 5, closure: 13, windows: 21 });
        assert_eq!(budget.edges(5).and(budget.closure(7)).and(budget.windows(9)), Ok(()));
        assert_eq!(budget.steps(40), Ok(()), "steps are counted for each change");
    }
}
