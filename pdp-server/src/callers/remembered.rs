//! Tokens that were verified, so that a signature is verified once and not with every request. Each
//! thread has its own few, so that there is nothing to lock; what is kept of a token is its hash.
//!
//! Only what was found good is kept, so that nobody can fill this with tokens of their own making.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pdp_engine::time::Timestamp;

use super::asker::Known;

/// How many tokens a thread keeps: a few hundred bytes each.
const MAX_KEPT: usize = 1_024;

/// What a token proved, and for how long.
pub(super) struct Proof {
    /// Under which file of callers.
    pub(super) callers: u64,
    /// With which set of keys.
    pub(super) keys: u64,
    pub(super) issuer: Box<str>,
    pub(super) ends: Timestamp,
    pub(super) known: Arc<Known>,
}

thread_local! {
    static KEPT: RefCell<HashMap<[u8; 32], Proof>> = RefCell::default();
}

/// Whom a token proves that this thread has seen, and until when. It has to be good still: under the same callers, with
/// the same keys (`fresh`), and before its end.
pub(super) fn find(
    digest: &[u8; 32],
    callers: u64,
    now: Timestamp,
    fresh: impl Fn(&str, u64) -> bool,
) -> Option<(Arc<Known>, Timestamp)> {
    KEPT.with_borrow(|kept| {
        let proof = kept.get(digest)?;
        let good = proof.callers == callers && now < proof.ends && fresh(&proof.issuer, proof.keys);
        good.then(|| (Arc::clone(&proof.known), proof.ends))
    })
}

/// Keeps what a token proved.
pub(super) fn keep(digest: [u8; 32], proof: Proof, now: Timestamp) {
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MAX_KEPT {
            let callers = proof.callers;
            kept.retain(|_, it| it.callers == callers && now < it.ends);
        }
        if kept.len() >= MAX_KEPT {
            // Which of so many will be used again nobody knows; verifying anew is what it costs.
            kept.clear();
        }
        kept.insert(digest, proof);
    });
}

#[cfg(test)]
mod tests {
    use pdp_bundle::callers::Grants;

    use super::*;
    use crate::admission::Quota;

    fn proof(callers: u64, ends: i64) -> Proof {
        let quota = Quota::new(crate::admission::tests::unlimited().all());
        let known = Arc::new(Known { name: "a".into(), grants: Grants::default(), quota });
        Proof { callers, keys: 1, issuer: "i".into(), ends: Timestamp::from_micros(ends), known }
    }

    #[test]
    fn a_token_is_remembered_for_as_long_as_it_is_good() {
        let at = Timestamp::from_micros;
        let found = |callers, now, keys| {
            find(&[7; 32], callers, at(now), |issuer, used| issuer == "i" && used == keys).is_some()
        };
        assert!(!found(1, 0, 1));
        keep([7; 32], proof(1, 10), at(0));
        assert!(found(1, 9, 1));
        assert!(!found(1, 10, 1), "its end");
        assert!(!found(2, 9, 1), "other callers");
        assert!(!found(1, 9, 2), "other keys");
    }

    #[test]
    fn only_so_many_are_kept() {
        for number in 0..3 * MAX_KEPT {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            keep(digest, proof(1, 10), Timestamp::from_micros(0));
            assert!(KEPT.with_borrow(HashMap::len) <= MAX_KEPT);
        }
    }
}
