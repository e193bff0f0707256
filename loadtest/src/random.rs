//! Numbers from a seed, the same on every machine: each is a function of the seed, of what it is
//! drawn for and of a position, so that any fact can be made without those before it.

/// What numbers are drawn for. Two purposes never see the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// People and their positions.
    Person,
    /// Accounts.
    Account,
    /// Groups, their members and windows.
    Group,
    /// Set groups.
    SetGroup,
    /// Management roles.
    Role,
    /// Resources.
    Resource,
    /// Assignments.
    Assignment,
    /// Shares of the vault.
    Share,
    /// Eligibilities.
    Eligibility,
    /// Questions.
    Question,
    /// Changes to a policy that is there.
    Change,
    /// When requests come.
    Arrival,
}

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skew {
    /// Every key as often as every other.
    Uniform,
    /// The n-th most wanted key 1/n as often as the first (Zipf's law with the exponent 1).
    Zipf,
}

/// A sequence of numbers. Not for secrets.
#[derive(Debug, Clone)]
pub struct Dice(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

// === impl Skew ===

impl Skew {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }

    /// A key below `count`. The most wanted keys are spread over the range.
    pub fn key(self, dice: &mut Dice, count: u64) -> u64 {
        match self {
            Self::Uniform => dice.below(count),
            Self::Zipf => {
                // The inverse of the distribution, as the harmonic sum is nearly a logarithm.
                let rank = ((count as f64 + 1.0).ln() * dice.unit()).exp() - 1.0;
                (rank as u64).min(count.saturating_sub(1)).wrapping_mul(0x9e37_79b1) % count.max(1)
            }
        }
    }
}

// === impl Dice ===

impl Dice {
    /// The numbers for one thing.
    #[must_use]
    pub fn at(seed: u64, purpose: Purpose, index: u64) -> Self {
        let start = mix(seed ^ mix((purpose as u64 + 1).wrapping_mul(STEP)));
        Self(mix(start ^ mix(index.wrapping_add(STEP))))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `count`, and 0 if that is 0. The bias is less than one in a billion.
    pub fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(count)) >> 64) as u64
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that happens with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the entries, each by its weight; the last one where the weights do not suffice.
    pub fn weighted<T: Copy>(&mut self, entries: &[(f64, T)]) -> Option<T> {
        let mut drawn = self.unit();
        for (weight, entry) in entries {
            if drawn < *weight {
                return Some(*entry);
            }
            drawn -= weight;
        }
        entries.last().map(|(_, entry)| *entry)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_depend_on_seed_purpose_and_index_alone() {
        let first = |seed, purpose, index| Dice::at(seed, purpose, index).number();
        assert_eq!(first(1, Purpose::Person, 7), first(1, Purpose::Person, 7));
        assert_ne!(first(1, Purpose::Person, 7), first(2, Purpose::Person, 7));
        assert_ne!(first(1, Purpose::Person, 7), first(1, Purpose::Group, 7));
        assert_ne!(first(1, Purpose::Person, 7), first(1, Purpose::Person, 8));
    }

    #[test]
    fn keys_stay_below_and_zipf_has_favourites() {
        let mut dice = Dice::at(1, Purpose::Question, 0);
        let mut hits = [vec![0_u32; 1000], vec![0_u32; 1000]];
        for _ in 0..100_000 {
            for (skew, hits) in [Skew::Uniform, Skew::Zipf].into_iter().zip(&mut hits) {
                hits[skew.key(&mut dice, 1000) as usize] += 1;
            }
        }
        let most = |hits: &[u32]| hits.iter().copied().max().unwrap();
        assert!(most(&hits[0]) < 200, "{}", most(&hits[0]));
        assert!(most(&hits[1]) > 8_000, "{}", most(&hits[1]));
        assert_eq!(Dice::at(1, Purpose::Question, 0).below(0), 0);
        assert_eq!(dice.weighted::<u8>(&[]), None);
    }
}
