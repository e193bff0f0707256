//! Random policies: a genome of bytes, and the valid change set that it stands for.
//!
//! A gene is a few bytes; every choice is one of them modulo what there is to choose from. So any
//! genome is a valid policy, and dropping genes or lowering bytes (which is how proptest shrinks)
//! leaves a smaller valid one. The same ids are used for every kind of thing on purpose: whoever
//! confuses two kinds is found out.

mod delegation;
mod fact;
mod family;
mod open;
mod question;
mod session;
mod vault;
mod write;

use pdp_engine::facts::{Change, Facts};
use pdp_engine::time::{Timestamp, Window};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

pub use family::{OwnedDelegation, OwnedSession, OwnedSubject, OwnedVault};
pub use question::{OwnedQuestion, Prober};
pub use write::VaultWrite;

use crate::oracle::Existing;

/// The instant that windows and questions gather around: 2026-01-01T00:00:00Z.
pub const NOON: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Distances from [`NOON`] in microseconds at which windows begin and end; cut to [`WRITABLE`].
const EDGES: [i64; 8] = [-10, -1, 0, 0, 1, 10, i64::MIN, i64::MAX];

/// The first and the last instant that can be written: the years 1 to 9999.
const WRITABLE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// Distances from [`NOON`] in microseconds at which questions are asked.
pub const INSTANTS: [i64; 10] = [0, 0, -1, 1, -10, 9, 10, -11, i64::MAX, i64::MIN];

/// A few bytes that choose one thing.
pub type Gene = [u8; GENE];

/// How many.
const GENE: usize = 20;

/// One gene a thing.
#[derive(Clone)]
pub struct Genome {
    locations: Vec<Gene>,
    business_roles: Vec<Gene>,
    people: Vec<Gene>,
    accounts: Vec<Gene>,
    groups: Vec<Gene>,
    set_groups: Vec<Gene>,
    definitions: Vec<Gene>,
    management_roles: Vec<Gene>,
    levels: Vec<Gene>,
    resources: Vec<Gene>,
    members: Vec<Gene>,
    positions: Vec<Gene>,
    placements: Vec<Gene>,
    assignments: Vec<Gene>,
    computers: Vec<Gene>,
    psm: Vec<Gene>,
    resource_groups: Vec<Gene>,
    shares: Vec<Gene>,
    eligibilities: Vec<Gene>,
    plans: Vec<Gene>,
    open: Vec<Gene>,
    questions: Vec<Gene>,
}

impl std::fmt::Debug for Genome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The bytes say nothing to a reader: whoever reports a failure prints the policy.
        write!(f, "a world of {} assignments", self.assignments.len())
    }
}

/// Reads a gene byte by byte; past its end it reads zeros.
struct Reader<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(gene: &'a Gene) -> Self {
        Self { bytes: gene.iter() }
    }

    fn byte(&mut self) -> usize {
        self.bytes.next().copied().map_or(0, usize::from)
    }

    /// True `of` times out of 256; false for a byte that was shrunk away.
    fn chance(&mut self, of: usize) -> bool {
        self.byte() >= 256 - of
    }

    /// A number below `count`; `None` if there is none.
    fn below(&mut self, count: usize) -> Option<usize> {
        let byte = self.byte();
        (count > 0).then(|| byte % count)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        self.below(choices.len()).map(|at| choices[at].clone())
    }

    /// Mostly always; else bounds around [`NOON`], often exactly at it.
    fn window(&mut self) -> Window {
        let byte = self.byte();
        if byte < 170 {
            return Window::ALWAYS;
        }
        let edge = |n: usize| EDGES.get(n % (EDGES.len() + 1)).map(|distance| writable(*distance));
        let (from, until) = (edge(byte), edge(byte / 7));
        match (from, until) {
            (Some(a), Some(b)) if a == b => Window { from: Some(a), until: None },
            (Some(a), Some(b)) => Window { from: Some(a.min(b)), until: Some(a.max(b)) },
            (from, until) => Window { from, until },
        }
    }
}

/// The instant so many microseconds after [`NOON`], or the last (first) one there is.
#[must_use]
pub const fn at(distance: i64) -> Timestamp {
    Timestamp::from_micros(NOON.as_micros().saturating_add(distance))
}

fn writable(distance: i64) -> Timestamp {
    Timestamp::from_micros(at(distance).as_micros().clamp(WRITABLE.0, WRITABLE.1))
}

// === impl Genome ===

impl Genome {
    /// Worlds of up to about sixty things times `size`, with `questions` questions.
    pub fn strategy(size: usize, questions: usize) -> impl Strategy<Value = Self> {
        let genes = |most: usize| vec(any::<Gene>(), 0..=most * size);
        let trees = (genes(8), genes(5));
        let actors = (genes(9), genes(9), genes(6), genes(3), genes(3), genes(5));
        let links = (genes(30), genes(12), genes(18));
        let policy =
            (vec(any::<Gene>(), 2..=10 * size), genes(6), vec(any::<Gene>(), 1..=30 * size));
        let asked = vec(any::<Gene>(), questions);
        let families = (
            genes(4),
            genes(4),
            genes(3),
            vec(any::<Gene>(), 2..=16),
            genes(16),
            genes(5),
            genes(6),
        );
        let parts = (trees, actors, links, policy, families, asked);
        parts.prop_map(|(trees, actors, links, policy, families, asked)| Self {
            locations: trees.0,
            business_roles: trees.1,
            people: actors.0,
            accounts: actors.1,
            groups: actors.2,
            set_groups: actors.3,
            definitions: actors.4,
            management_roles: actors.5,
            members: links.0,
            positions: links.1,
            placements: links.2,
            levels: policy.0,
            resources: policy.1,
            assignments: policy.2,
            computers: families.0,
            psm: families.1,
            resource_groups: families.2,
            shares: families.3,
            eligibilities: families.4,
            plans: families.5,
            open: families.6,
            questions: asked,
        })
    }

    /// The same world with at most `count` of its questions, from one of them on and round again.
    #[must_use]
    pub fn asking(&self, from: usize, count: usize) -> Self {
        let mut other = self.clone();
        let questions = question::rotated(&self.questions, from);
        other.questions = questions.into_iter().take(count).collect();
        other
    }

    /// The change set that makes the policy.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        fact::facts_of(self).into_iter().map(Change::Put).collect()
    }

    /// A world of the same things that are linked otherwise: who is in what, where, and granted what.
    #[must_use]
    pub fn rearranged(&self, by: usize) -> Self {
        let mut other = self.clone();
        let all = [
            &mut other.people,
            &mut other.accounts,
            &mut other.levels,
            &mut other.members,
            &mut other.positions,
            &mut other.placements,
            &mut other.assignments,
            &mut other.management_roles,
            &mut other.resource_groups,
            &mut other.shares,
            &mut other.eligibilities,
            &mut other.psm,
        ];
        for (number, genes) in all.into_iter().enumerate() {
            for gene in genes {
                gene.rotate_left((by + number) % GENE);
            }
        }
        other
    }

    /// The policy.
    ///
    /// # Panics
    /// If the change set is refused: a genome always stands for a valid policy.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        if let Err(rejected) = facts.apply(&self.changes()) {
            panic!("a generated world was refused: {rejected}");
        }
        facts
    }

    /// The sessions and the accounts made for them that exist besides the policy.
    #[must_use]
    pub fn existing(&self, facts: &Facts) -> Existing {
        open::existing(self, facts)
    }

    /// The questions, with the instants at which they are asked.
    #[must_use]
    pub fn questions(&self, facts: &Facts) -> Vec<(OwnedQuestion, Timestamp)> {
        let existing = self.existing(facts);
        let mut prober = Prober::new(facts, &existing);
        self.questions.iter().filter_map(|gene| prober.question(gene)).collect()
    }

    /// Questions about delegations.
    #[must_use]
    pub fn delegations(&self, facts: &Facts) -> Vec<(OwnedDelegation, Timestamp)> {
        let (existing, plans) = (self.existing(facts), fact::plans_of(self));
        let mut prober = Prober::new(facts, &existing);
        self.questions.iter().filter_map(|gene| prober.delegation(gene, &plans)).collect()
    }

    /// Questions about vault entities.
    #[must_use]
    pub fn vault(&self, facts: &Facts) -> Vec<(OwnedVault, Timestamp)> {
        let existing = self.existing(facts);
        let mut prober = Prober::new(facts, &existing);
        self.questions.iter().filter_map(|gene| prober.vault(gene)).collect()
    }

    /// Questions about sessions, each with what exists besides the policy.
    #[must_use]
    pub fn sessions(&self, facts: &Facts) -> Vec<(OwnedSession, Existing, Timestamp)> {
        let existing = self.existing(facts);
        let mut prober = Prober::new(facts, &existing);
        self.questions.iter().filter_map(|gene| prober.session(gene)).collect()
    }

    /// Writes that sharing may refuse, each to be tried on what the ones before it left.
    #[must_use]
    pub fn vault_writes(&self) -> Vec<VaultWrite> {
        self.questions.iter().map(|gene| VaultWrite::new(*gene)).collect()
    }
}
