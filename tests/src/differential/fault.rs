//! Mistakes that are made on purpose, so that it is seen that they are found: the reference reads a policy
//! that is not quite the one that the engine has.

use pdp_engine::actor::{ActorRef, Membership};
use pdp_engine::facts::{Fact, Facts};
use pdp_engine::permission::Qualifier;
use pdp_engine::time::{Timestamp, Window};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Denials are not heard (Q1).
    SkippedDeny,
    /// Windows end a microsecond late (A9).
    LateEnd,
    /// Groups in groups are not followed (A3).
    FlatGroups,
    /// What is deleted stays in the snapshot that grew.
    StaleDelete,
}

// === impl Fault ===

impl Fault {
    /// Every mistake.
    pub const ALL: [Self; 4] =
        [Self::SkippedDeny, Self::LateEnd, Self::FlatGroups, Self::StaleDelete];

    /// What it is called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SkippedDeny => "skipped-deny",
            Self::LateEnd => "late-end",
            Self::FlatGroups => "flat-groups",
            Self::StaleDelete => "stale-delete",
        }
    }

    /// The policy as whoever makes the mistake reads it.
    ///
    /// # Panics
    /// If what was read is no policy.
    #[must_use]
    pub fn misread(self, facts: &Facts) -> Facts {
        Facts::load(facts.iter().map(|fact| self.of(fact))).expect("less is a policy, too")
    }

    fn of(self, fact: Fact) -> Fact {
        match (self, fact) {
            (Self::SkippedDeny, Fact::AccessLevel(level)) => {
                let mut level = (*level).clone();
                for says in level.operations.values_mut().chain(level.rights.values_mut()) {
                    if *says == Qualifier::Denied {
                        *says = Qualifier::Allowed;
                    }
                }
                level.into()
            }
            (Self::LateEnd, Fact::Assignment(assignment)) => {
                let mut assignment = (*assignment).clone();
                assignment.window = late(assignment.window);
                assignment.into()
            }
            (Self::FlatGroups, Fact::Group(group)) => {
                let mut group = (*group).clone();
                let nested = |it: &Membership| matches!(it.of, ActorRef::Group(_));
                group.members.retain(|it| !nested(it));
                group.into()
            }
            (_, fact) => fact,
        }
    }
}

fn late(window: Window) -> Window {
    let later = |end: Timestamp| Timestamp::from_micros(end.as_micros().saturating_add(1));
    Window { until: window.until.map(later), ..window }
}
