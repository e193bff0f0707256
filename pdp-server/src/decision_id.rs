//! Names for decisions that cross a gateway: what a refusal shows its reader and what an access log
//! keeps are the same name, so that one leads to the other. Knows nothing of decisions themselves.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Of the permutation of numbers: with four of them it cannot be told from one that was drawn from
/// all there are (Luby and Rackoff).
const ROUNDS: u8 = 4;

/// How many digits the name of a decision has.
const DIGITS: usize = 32;

/// Gives every decision a name of its own, for as long as the server runs and beyond: the first half
/// is drawn at random when the server starts, the second half is a number, counted up and then
/// permuted under a key that is drawn at the start as well. Who knows some names can neither guess
/// others nor tell how many there are, or in what order they were given.
#[derive(Debug)]
pub(crate) struct DecisionIds {
    process: u64,
    next: AtomicU64,
    key: RandomState,
}

/// The name of one decision: 32 hexadecimal digits when written, as many as a trace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DecisionId {
    process: u64,
    number: u64,
}

// === impl DecisionIds ===

impl DecisionIds {
    /// Ids that no other process gives.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        Ok(Self {
            process: u64::from_be_bytes(random),
            next: AtomicU64::new(1),
            key: RandomState::new(),
        })
    }

    /// The next id. Takes no lock.
    pub(crate) fn next(&self) -> DecisionId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        DecisionId { process: self.process, number: self.permuted(number) }
    }

    /// A Feistel network: whatever its rounds do, no two numbers come out the same. Theirs is the
    /// keyed hash (SipHash) of the standard library.
    fn permuted(&self, number: u64) -> u64 {
        const LOW: u64 = 0xFFFF_FFFF;
        let (left, right) = (0..ROUNDS)
            .fold((number >> 32, number & LOW), |(left, right), round| {
                (right, left ^ (self.key.hash_one((round, right)) & LOW))
            });
        left << 32 | right
    }
}

// === impl DecisionId ===

impl DecisionId {
    /// Its last sixteen digits as a number: any is as likely as any other.
    pub(crate) const fn number(self) -> u64 {
        self.number
    }

    /// Its digits, as they are written.
    pub(crate) fn digits(self) -> [u8; DIGITS] {
        let Self { process, number } = self;
        let written = u128::from(process) << u64::BITS | u128::from(number);
        let mut digits = [0; DIGITS];
        for (place, byte) in digits.as_chunks_mut().0.iter_mut().zip(written.to_be_bytes()) {
            *place = [digit(byte >> 4), digit(byte & 0xF)];
        }
        digits
    }
}

/// A hexadecimal digit.
const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_decisions_share_a_name() {
        let (here, elsewhere) = (DecisionIds::new().unwrap(), DecisionIds::new().unwrap());
        let (first, second) = (here.next().to_string(), here.next().to_string());
        assert_eq!(first.len(), DIGITS);
        assert_ne!(first, second);
        assert_eq!(first[..16], second[..16]);
        assert_ne!(first[..16], elsewhere.next().to_string()[..16]);
    }

    #[test]
    fn a_name_is_two_numbers_in_hexadecimal() {
        let id = DecisionId { process: 0x0123_4567_89AB_CDEF, number: 0x00FE_DCBA };
        assert_eq!(id.to_string(), "0123456789abcdef0000000000fedcba");
        let id = DecisionIds::new().unwrap().next();
        assert_eq!(id.to_string(), format!("{:016x}{:016x}", id.process, id.number()));
    }

    #[test]
    fn names_do_not_tell_their_order_nor_each_other() {
        let ids = DecisionIds::new().unwrap();
        let numbers: Vec<u64> = (0..1_000).map(|_| ids.next().number).collect();
        let unlike: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(unlike.len(), numbers.len());
        assert!(!numbers.is_sorted());
        let steps: std::collections::BTreeSet<u64> =
            numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > 900, "{}", steps.len());
        let elsewhere = DecisionIds::new().unwrap();
        assert_ne!(elsewhere.permuted(1), ids.permuted(1));
    }
}
