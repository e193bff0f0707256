//! What one dependent access to memory costs: a walk through a buffer far larger than the caches,
//! where each place says which is next.

use std::hint::black_box;
use std::time::Instant;

use crate::random::{Dice, Purpose};

/// How many bytes a place takes: a line of the caches.
const LINE: usize = 64;

/// How many steps a measurement takes.
const STEPS: u32 = 200_000;

/// A buffer whose places form one cycle without a pattern.
#[derive(Debug)]
pub(crate) struct Chase(Vec<Line>);

#[derive(Debug, Clone)]
#[repr(align(64))]
struct Line(u32);

// === impl Chase ===

impl Chase {
    /// One of so many bytes.
    pub(crate) fn new(bytes: usize, seed: u64) -> Self {
        let count = u32::try_from((bytes / LINE).max(2)).unwrap_or(u32::MAX);
        let mut lines: Vec<Line> = (0..count).map(Line).collect();
        let mut dice = Dice::at(seed, Purpose::Question, u64::MAX);
        // Sattolo's shuffle makes a single cycle.
        for at in (1..lines.len()).rev() {
            lines.swap(at, dice.below(at as u64) as usize);
        }
        Self(lines)
    }

    /// Nanoseconds an access.
    pub(crate) fn miss_ns(&self, start: u32) -> f64 {
        let mut at = start % u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let begun = Instant::now();
        for _ in 0..STEPS {
            at = self.0.get(at as usize).map_or(0, |line| line.0);
        }
        black_box(at);
        begun.elapsed().as_nanos() as f64 / f64::from(STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_visited() {
        let chase = Chase::new(64 * 1000, 3);
        let (mut at, mut steps) = (0, 0);
        loop {
            at = chase.0[at].0 as usize;
            steps += 1;
            if at == 0 {
                break;
            }
        }
        assert_eq!(steps, 1000);
        assert!(chase.miss_ns(7) > 0.0);
    }
}
