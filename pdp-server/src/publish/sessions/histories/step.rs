//! What can happen to a tenant with sessions, at random.

use pdp_engine::psm::EligibilityKind;
use pdp_engine::time::Timestamp;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::session::sample::{
    ACCOUNTS, COMPUTERS, GROUPS, HOUR, LEVELS, PEOPLE, SECOND, World, at, group, level,
};

type Name = &'static str;

/// One step. Numbers pick a session among those there are.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Open {
        key: u8,
        person: Name,
        computer: Name,
        level: Option<Name>,
    },
    /// The request that opened a session, sent again.
    Again(usize),
    Renew(usize),
    Close(usize),
    Force {
        person: Option<Name>,
        computer: Option<Name>,
        level: Option<Name>,
    },
    Acknowledge {
        session: usize,
        account: bool,
        fails: bool,
    },
    Edit(Edit),
    Sweep,
    /// Time passes.
    Pass(i64),
    /// The system's clock is set, forward or back.
    Set(i64),
    Restart,
}

/// A change of the policy.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    /// Grants, until some time from now or for ever, or takes back.
    Grant(Name, Name, Name, EligibilityKind, Option<Option<i64>>),
    Disable(Name, bool),
    Owner(Name, Option<Name>),
    List(Name, Name, bool),
    Map(Name, Name, Option<Name>),
    Offer(Name, Name, bool),
    Limit(Name, u32),
    Longest(Name, i64),
    Jit(Name, bool, bool, bool),
    Enable(Name, bool, bool),
    Remove(Name),
    Restore(Name),
}

/// What befalls the disk during a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    None,
    /// The server crashes after some of the step's operations on the disk.
    Crash {
        at: usize,
        dice: u64,
        again: Option<usize>,
    },
    /// The disk is full after some operations, and then the server is restarted.
    Full {
        good: usize,
        only_syncs: bool,
        dice: u64,
    },
}

// === impl Step ===

impl Step {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Again(_) => "open again",
            Self::Renew(_) => "renew",
            Self::Close(_) => "close",
            Self::Force { .. } => "force",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Edit(_) => "edit",
            Self::Sweep => "sweep",
            Self::Pass(_) => "time passes",
            Self::Set(by) if *by < 0 => "clock set back",
            Self::Set(_) => "clock set forward",
            Self::Restart => "restart",
        }
    }
}

// === impl Edit ===

impl Edit {
    /// The policy after it, where it makes sense.
    pub(super) fn apply(&self, world: &World, now: Timestamp) -> World {
        world.with(|world| match self.clone() {
            Self::Grant(p, l, c, kind, until) => {
                let until = until.map(|until| until.map(|wait| at(now.as_micros() + wait)));
                // The record of an approval always says until when.
                let until = match (kind, until) {
                    (EligibilityKind::Approved, Some(None)) => {
                        Some(Some(at(now.as_micros() + HOUR)))
                    }
                    (_, until) => until,
                };
                match until {
                    Some(until) => {
                        world.grants.insert((p, l, c, kind), until);
                    }
                    None => {
                        world.grants.remove(&(p, l, c, kind));
                    }
                }
            }
            Self::Disable(person, true) => {
                world.disabled.insert(person);
            }
            Self::Disable(person, false) => {
                world.disabled.remove(person);
            }
            Self::Owner(account, owner) => {
                world.owners.insert(account, owner);
            }
            Self::List(account, group, true) => {
                world.listed.insert((account, group));
            }
            Self::List(account, group, false) => {
                world.listed.remove(&(account, group));
            }
            Self::Remove(computer) => {
                world.computers.remove(computer);
            }
            Self::Restore(computer) => {
                let settings = World::open().computers[computer].clone();
                world.computers.entry(computer).or_insert(settings);
            }
            Self::Map(c, ..) | Self::Offer(c, ..) | Self::Limit(c, _) | Self::Longest(c, _)
                if !world.computers.contains_key(c) => {}
            Self::Jit(c, ..) | Self::Enable(c, ..) if !world.computers.contains_key(c) => {}
            Self::Map(c, l, g) => {
                world.computer(c).levels.insert(level(l), g.map(group));
            }
            Self::Offer(c, l, true) => {
                world.computer(c).levels.entry(level(l)).or_insert(Some(group("g2")));
            }
            Self::Offer(c, l, false) => {
                world.computer(c).levels.remove(&level(l));
            }
            Self::Limit(c, limit) => world.computer(c).max_concurrent = limit,
            Self::Longest(c, longest) => world.computer(c).max_session_micros = longest,
            Self::Jit(c, enabled, delete_on_end, reuse_existing) => {
                let jit = &mut world.computer(c).jit;
                (jit.enabled, jit.delete_on_end, jit.reuse_existing) =
                    (enabled, delete_on_end, reuse_existing);
            }
            Self::Enable(c, enabled, unprivileged) => {
                let settings = world.computer(c);
                (settings.enabled, settings.allow_unprivileged) = (enabled, unprivileged);
            }
        })
    }
}

fn person() -> impl Strategy<Value = Name> {
    select(PEOPLE.to_vec())
}

fn computer() -> impl Strategy<Value = Name> {
    select(COMPUTERS.to_vec())
}

fn one_level() -> impl Strategy<Value = Name> {
    select(LEVELS.to_vec())
}

fn one_group() -> impl Strategy<Value = Name> {
    select(GROUPS.to_vec())
}

fn wait() -> impl Strategy<Value = i64> {
    select(vec![1, SECOND / 2, SECOND, 4 * SECOND, 300 * SECOND, HOUR, 5 * HOUR])
}

fn account() -> impl Strategy<Value = Name> {
    select(ACCOUNTS.to_vec())
}

fn edit() -> impl Strategy<Value = Edit> {
    let kinds = [
        (4, EligibilityKind::Excluded),
        (4, EligibilityKind::PreApproved),
        (1, EligibilityKind::Eligible),
        (1, EligibilityKind::Approved),
    ];
    let kind = proptest::strategy::Union::new_weighted(
        kinds.map(|(weight, kind)| (weight, Just(kind))).to_vec(),
    );
    let until = option::weighted(0.6, option::of(wait()));
    prop_oneof![
        6 => (person(), one_level(), computer(), kind, until)
            .prop_map(|(p, l, c, kind, until)| Edit::Grant(p, l, c, kind, until)),
        2 => (person(), any::<bool>()).prop_map(|(p, disabled)| Edit::Disable(p, disabled)),
        2 => (account(), option::of(person())).prop_map(|(a, owner)| Edit::Owner(a, owner)),
        2 => (account(), one_group(), any::<bool>()).prop_map(|(a, g, on)| Edit::List(a, g, on)),
        2 => (computer(), one_level(), option::weighted(0.8, one_group()))
            .prop_map(|(c, l, g)| Edit::Map(c, l, g)),
        1 => (computer(), one_level(), any::<bool>()).prop_map(|(c, l, on)| Edit::Offer(c, l, on)),
        4 => (computer(), 0_u32..4).prop_map(|(c, limit)| Edit::Limit(c, limit)),
        1 => (computer(), wait()).prop_map(|(c, longest)| Edit::Longest(c, longest)),
        2 => (computer(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(c, enabled, delete, reuse)| Edit::Jit(c, enabled, delete, reuse)),
        1 => (computer(), any::<bool>(), any::<bool>())
            .prop_map(|(c, enabled, unprivileged)| Edit::Enable(c, enabled, unprivileged)),
        1 => computer().prop_map(Edit::Remove),
        3 => computer().prop_map(Edit::Restore),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0_usize..64;
    let force = (option::of(person()), option::of(computer()), option::of(one_level()));
    prop_oneof![
        12 => (0_u8..40, person(), computer(), option::weighted(0.85, one_level()))
            .prop_map(|(key, person, computer, level)| Step::Open { key, person, computer, level }),
        2 => pick().prop_map(Step::Again),
        5 => pick().prop_map(Step::Renew),
        6 => pick().prop_map(Step::Close),
        1 => force.prop_map(|(person, computer, level)| Step::Force { person, computer, level }),
        7 => (pick(), any::<bool>(), any::<bool>())
            .prop_map(|(session, account, fails)| Step::Acknowledge { session, account, fails }),
        7 => edit().prop_map(Step::Edit),
        4 => Just(Step::Sweep),
        4 => wait().prop_map(Step::Pass),
        2 => (wait(), any::<bool>()).prop_map(|(by, back)| Step::Set(if back { -by } else { by })),
        2 => Just(Step::Restart),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let again = option::weighted(0.3, 0_usize..1_000);
    prop_oneof![
        8 => Just(Fault::None),
        2 => (0_usize..1_000, any::<u64>(), again)
            .prop_map(|(at, dice, again)| Fault::Crash { at, dice, again }),
        1 => (0_usize..8, any::<bool>(), any::<u64>())
            .prop_map(|(good, only_syncs, dice)| Fault::Full { good, only_syncs, dice }),
    ]
}

/// A history: steps, and what befalls the disk meanwhile.
pub(super) fn history() -> impl Strategy<Value = Vec<(Step, Fault)>> {
    proptest::collection::vec((step(), fault()), 1..60)
}
