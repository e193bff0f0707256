//! A seeded organisation: facts made one after the other, each from the seed and its own number, so
//! that a policy of any size is written without being held. The same seed and shape make the same
//! facts. It knows nothing of files, servers or measurements.

mod catalogue;
mod directory;
mod grants;

use pdp_engine::facts::{Change, Fact};
use pdp_engine::id::IdError;
use pdp_engine::time::{Timestamp, Window};

use crate::questions::{Ask, Workload};
use crate::random::{Dice, Purpose, Skew};
use crate::shape::{Shape, ShapeError};

pub use grants::{Grant, GrantClass};

/// The instant that questions are decided for when their answers are worked out: 2026-01-01. Every
/// window that is open then is so from 2020 to 2090, and every other one is not, so the answers are
/// those of a running server, too.
pub const NOW: Timestamp = Timestamp::from_micros(1_767_225_600 * SECOND);

const SECOND: i64 = 1_000_000;

/// The first second of 2010, of 2020 and of 2090: windows begin and end within five years of one.
const PAST: i64 = 1_262_304_000;
const BEGUN: i64 = 1_577_836_800;
const FUTURE: i64 = 3_786_912_000;
const FIVE_YEARS: u64 = 5 * 365 * 86_400;

/// How many people report to one.
const REPORTS: u64 = 8;

/// The share of groups that nest in families; the others stand alone.
const FAMILY_SHARE: f64 = 0.3;

/// A seeded organisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Organisation {
    shape: Shape,
    seed: u64,
    prefix: String,
    /// How many locations lie in one.
    branching: u64,
    /// How many groups a family of nested groups has, and how many families there are.
    family: u64,
    families: u64,
}

// === impl Organisation ===

impl Organisation {
    /// The organisation of this shape and seed.
    ///
    /// # Errors
    /// [`ShapeError`] if there is none.
    pub fn new(shape: Shape, seed: u64) -> Result<Self, ShapeError> {
        shape.validate()?;
        let fits = |branching: &u64| {
            let levels = (0..shape.depth).map(|level| branching.saturating_pow(level));
            levels.fold(0_u64, u64::saturating_add) >= shape.locations
        };
        let branching = (1..=shape.locations).find(fits).unwrap_or(1);
        let size = |levels: u32| (1_u64 << levels) - 1;
        let levels = (2..=shape.nesting).rev().find(|levels| size(*levels) <= shape.groups / 2);
        let family = size(levels.unwrap_or(2));
        let families = ((shape.groups as f64 * FAMILY_SHARE) as u64 / family).max(1);
        Ok(Self { shape, seed, prefix: String::new(), branching, family, families })
    }

    /// The same with other names: two organisations with different prefixes have nothing in common
    /// but the resource types and the definitions.
    ///
    /// # Errors
    /// [`ShapeError::Prefix`] if names cannot begin so.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, ShapeError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.len() > 64 || !prefix.chars().all(plain) {
            return Err(ShapeError::Prefix { prefix: prefix.chars().take(80).collect() });
        }
        Ok(Self { prefix: prefix.to_owned(), ..self })
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Every fact, kind by kind, what is referred to before what refers to it.
    pub fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        let Shape { people, accounts, groups, roles, locations, resources, .. } = self.shape;
        let Shape { assignments, shares, computers, eligibilities, .. } = self.shape;
        let places = (0..locations).map(|n| self.location(n).into());
        let business_roles = (0..self.business_roles()).map(|n| self.business_role(n).into());
        let actors = (0..people).map(|n| self.person(n).into());
        let actors = actors.chain((0..accounts).map(|n| self.account(n).into()));
        let actors = actors.chain((0..groups).map(|n| self.group(n).into()));
        let actors = actors.chain((0..self.natives()).map(|n| self.native(n).into()));
        let actors = actors.chain((0..self.set_groups()).map(|n| self.set_group(n).into()));
        let actors = actors.chain((0..self.definitions()).map(|n| self.definition(n).into()));
        let actors = actors.chain((0..roles).map(|n| self.role(n).into()));
        let things = (0..resources).map(|n| self.resource(n).into());
        let things = things.chain((0..computers).map(|n| self.computer(n).into()));
        let grants = (0..assignments).map(|n| self.grant(n).assignment.into());
        let grants = grants.chain((0..shares).map(|n| self.share(n).into()));
        let levels = std::iter::once_with(|| self.permission_level().into());
        let psm = (0..computers).map(|n| self.psm(n).into());
        let eligible = (0..eligibilities).map(|n| self.eligibility(n).into());
        let catalogue = catalogue::facts(self.shape.types);
        catalogue
            .chain(places)
            .chain(business_roles)
            .chain(actors)
            .chain(things)
            .chain(grants)
            .chain(levels.chain(psm).chain(eligible))
    }

    /// The changes that make a policy hold all of it.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.facts().map(Change::Put)
    }

    fn dice(&self, purpose: Purpose, index: u64) -> Dice {
        Dice::at(self.seed, purpose, index)
    }

    /// A name: the prefix, what it is a name of, and the number.
    fn name(&self, letter: &str, number: u64) -> String {
        format!("{}{letter}{number}", self.prefix)
    }

    /// A window, if there is one: three of four are open at [`NOW`].
    fn window(&self, dice: &mut Dice) -> Window {
        if !dice.chance(self.shape.windows) {
            return Window::ALWAYS;
        }
        let mut within = |start: i64, before: bool| {
            let offset = dice.below(FIVE_YEARS).cast_signed();
            let second = if before { start - offset - 1 } else { start + offset };
            Some(Timestamp::from_micros(second * SECOND))
        };
        let (from, until) = (within(BEGUN, true), within(FUTURE, false));
        match dice.below(8) {
            0 => Window { from, until: None },
            1 | 2 => Window { from: None, until },
            3..=5 => Window { from, until },
            6 => Window { from: None, until: Some(Timestamp::from_micros(PAST * SECOND)) },
            _ => Window { from: Some(Timestamp::from_micros(FUTURE * SECOND)), until },
        }
    }
}

impl Workload for Organisation {
    fn all(&self) -> Box<dyn Iterator<Item = Fact> + '_> {
        Box::new(self.facts())
    }

    fn granted(&self, dice: &mut Dice, skew: Skew) -> Ask {
        let grant = self.grant(skew.key(dice, self.shape.assignments));
        let pick = dice.below(u64::MAX);
        grant.ask(pick)
    }

    fn any(&self, dice: &mut Dice, skew: Skew) -> Ask {
        let person = skew.key(dice, self.shape.people);
        let resource = skew.key(dice, self.shape.resources);
        let permission = catalogue::any_permission(dice);
        let (type_name, id) = (self.type_of(resource), self.name("r", resource));
        Ask::new(false, self.name("p", person), permission, type_name, id)
    }
}

/// A name that is one.
#[expect(
    clippy::expect_used,
    reason = "INVARIANT: letters and digits behind a validated prefix are a name of every kind"
)]
fn named<T>(outcome: Result<T, IdError>) -> T {
    outcome.expect("letters and digits are a name")
}
