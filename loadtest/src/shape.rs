//! How large an organisation is and what it is made of.

use pdp_engine::facts::MAX_TREE_DEPTH;

/// What an organisation is made of. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, clap::Args, serde::Serialize)]
pub struct Shape {
    /// How many people.
    #[arg(long, default_value_t = 1_000)]
    pub people: u64,
    /// How many accounts, each owned by a person.
    #[arg(long, default_value_t = 500)]
    pub accounts: u64,
    /// How many groups.
    #[arg(long, default_value_t = 200)]
    pub groups: u64,
    /// How many levels groups nest.
    #[arg(long, default_value_t = 4)]
    pub nesting: u32,
    /// How many groups list each person, on average.
    #[arg(long, default_value_t = 5)]
    pub memberships: u64,
    /// How many management roles.
    #[arg(long, default_value_t = 20)]
    pub roles: u64,
    /// How many locations.
    #[arg(long, default_value_t = 50)]
    pub locations: u64,
    /// How many levels the tree of locations has.
    #[arg(long, default_value_t = 5)]
    pub depth: u32,
    /// How many resource types are declared.
    #[arg(long, default_value_t = 10)]
    pub types: u64,
    /// How many resources.
    #[arg(long, default_value_t = 10_000)]
    pub resources: u64,
    /// How many assignments.
    #[arg(long, default_value_t = 10_000)]
    pub assignments: u64,
    /// The share of assignments to people, accounts and groups on one resource.
    #[arg(long, default_value_t = 0.35)]
    pub share_direct: f64,
    /// The share of assignments to people, groups and set groups in a location.
    #[arg(long, default_value_t = 0.30)]
    pub share_location: f64,
    /// The share of assignments to management roles, their definitions, and business roles at places.
    #[arg(long, default_value_t = 0.25)]
    pub share_role: f64,
    /// The share of assignments relative to whoever asks.
    #[arg(long, default_value_t = 0.10)]
    pub share_relative: f64,
    /// The share of assignments to groups that have groups in them, at least.
    #[arg(long, default_value_t = 0.10)]
    pub nested: f64,
    /// The share of assignments that deny something.
    #[arg(long, default_value_t = 0.08)]
    pub denies: f64,
    /// The share of assignments, memberships and eligibilities that have a window.
    #[arg(long, default_value_t = 0.08)]
    pub windows: f64,
    /// How many shares of the vault.
    #[arg(long, default_value_t = 1_000)]
    pub shares: u64,
    /// How many computers take privileged sessions.
    #[arg(long, default_value_t = 100)]
    pub computers: u64,
    /// How many eligibilities for privileged sessions.
    #[arg(long, default_value_t = 500)]
    pub eligibilities: u64,
}

/// Why a shape is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// A number outside of its bounds.
    #[error("`{name}` is {given}; it must be {least} to {most}")]
    Bounds {
        /// The parameter.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A share outside of 0 to 1.
    #[error("`{name}` is {given}; a share is from 0 to 1")]
    Share {
        /// The parameter.
        name: &'static str,
        /// What was given.
        given: f64,
    },
    /// The four kinds of assignments are not all of them.
    #[error(
        "`share-direct`, `share-location`, `share-role` and `share-relative` are {sum} together; they must be 1"
    )]
    Kinds {
        /// What they are together.
        sum: f64,
    },
    /// A name that no id can begin with.
    #[error("`{prefix}` cannot begin names: it must be at most 64 letters, digits, `-` and `_`")]
    Prefix {
        /// What was given.
        prefix: String,
    },
}

/// The most of anything: a hundred million lines are more than any machine loads.
const MOST: u64 = 100_000_000;

// === impl Shape ===

impl Default for Shape {
    /// The shape of [`Shape::sized`] with 10,000 assignments.
    fn default() -> Self {
        Self::sized(10_000)
    }
}

impl Shape {
    /// The usual proportions: for a million assignments 100,000 people, 20,000 groups, 2,000
    /// roles and a million resources in 5,000 locations.
    #[must_use]
    pub fn sized(assignments: u64) -> Self {
        let part = |divisor: u64, least: u64| (assignments / divisor).max(least);
        Self {
            people: part(10, 4),
            accounts: part(20, 1),
            groups: part(50, 6),
            nesting: 4,
            memberships: 5,
            roles: part(500, 4),
            locations: part(200, 4),
            depth: 5,
            types: 10,
            resources: part(1, 20),
            assignments,
            share_direct: 0.35,
            share_location: 0.30,
            share_role: 0.25,
            share_relative: 0.10,
            nested: 0.10,
            denies: 0.08,
            windows: 0.08,
            shares: part(10, 1),
            computers: part(100, 1),
            eligibilities: part(20, 1),
        }
    }

    /// Whether such an organisation can be made.
    ///
    /// # Errors
    /// [`ShapeError`] names the parameter.
    pub fn validate(&self) -> Result<(), ShapeError> {
        let vault_pairs = self.resources.saturating_mul(self.people.min(self.groups)).min(MOST);
        let session_pairs = self.computers.saturating_mul(self.groups).min(MOST);
        for (name, given, least, most) in [
            ("people", self.people, 4, MOST),
            ("accounts", self.accounts, 1, MOST),
            ("groups", self.groups, 4, MOST),
            ("nesting", u64::from(self.nesting), 2, 10),
            ("memberships", self.memberships, 1, 1_000),
            ("roles", self.roles, 1, MOST),
            ("locations", self.locations, 1, MOST),
            ("depth", u64::from(self.depth), 1, MAX_TREE_DEPTH as u64),
            ("types", self.types, 1, 1_000),
            ("resources", self.resources, 1, MOST),
            ("assignments", self.assignments, 1, MOST),
            ("shares", self.shares, 0, vault_pairs),
            ("computers", self.computers, 1, MOST),
            ("eligibilities", self.eligibilities, 0, session_pairs),
        ] {
            if given < least || given > most {
                return Err(ShapeError::Bounds { name, given, least, most });
            }
        }
        for (name, given) in [
            ("share-direct", self.share_direct),
            ("share-location", self.share_location),
            ("share-role", self.share_role),
            ("share-relative", self.share_relative),
            ("nested", self.nested),
            ("denies", self.denies),
            ("windows", self.windows),
        ] {
            if !(0.0..=1.0).contains(&given) {
                return Err(ShapeError::Share { name, given });
            }
        }
        let sum = self.share_direct + self.share_location + self.share_role + self.share_relative;
        if (sum - 1.0).abs() > 0.001 {
            return Err(ShapeError::Kinds { sum });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_refused_by_name() {
        assert_eq!(Shape::default().validate(), Ok(()));
        assert_eq!(Shape::sized(1).validate(), Ok(()));
        assert_eq!(Shape::sized(1_000_000).validate(), Ok(()));
        for (shape, said) in [
            (Shape { people: 0, ..Shape::default() }, "`people` is 0; it must be 4 to"),
            (Shape { denies: 1.5, ..Shape::default() }, "`denies` is 1.5; a share"),
            (Shape { share_role: 0.5, ..Shape::default() }, "are 1.25 together"),
            (Shape { shares: MOST, ..Shape::default() }, "`shares` is 100000000; it must be 0 to"),
        ] {
            let refused = shape.validate().unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
