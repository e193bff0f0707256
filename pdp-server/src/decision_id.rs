//! Names for decisions that cross a gateway: what a refusal shows its reader and what an access log
//! keeps are the same name, so that one leads to the other. Knows nothing of decisions themselves.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives every decision a name of its own, for as long as the server runs and beyond: the first half
/// is drawn at random when the server starts, the second half counts.
#[derive(Debug)]
pub(crate) struct DecisionIds {
    process: u128,
    next: AtomicU64,
}

/// The name of one decision: 48 hexadecimal digits when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DecisionId {
    process: u128,
    number: u64,
}

// === impl DecisionIds ===

impl DecisionIds {
    /// Ids that no other process gives.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        Ok(Self { process: u128::from_be_bytes(random), next: AtomicU64::new(1) })
    }

    /// The next id. Takes no lock.
    pub(crate) fn next(&self) -> DecisionId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        DecisionId { process: self.process, number }
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, number } = self;
        write!(f, "{process:032x}{number:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_decisions_share_a_name() {
        let (here, elsewhere) = (DecisionIds::new().unwrap(), DecisionIds::new().unwrap());
        let (first, second) = (here.next().to_string(), here.next().to_string());
        assert_eq!(first.len(), 48);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, second);
        assert_ne!(first[..32], elsewhere.next().to_string()[..32]);
    }
}
