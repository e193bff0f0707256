//! What is the same in every organisation: the types' operations and rights, and the definitions.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::facts::Fact;
use pdp_engine::id::{LevelName, PermissionName, TypeName};
use pdp_engine::level::{AccessLevel, LevelRef};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::resource::{BuiltInType, ResourceType};

use super::named;
use crate::random::Dice;

/// An operation or a right.
pub(super) type Permission = (PermissionKind, &'static str);

const OPERATIONS: [&str; 6] = ["View", "Edit", "Export", "Delete", "Approve", "Publish"];
const RIGHTS: [&str; 3] = ["Read", "Write", "FullControl"];

/// The built-in types that levels are assigned of.
const BUILT_IN: [BuiltInType; 3] =
    [BuiltInType::Person, BuiltInType::UserAccount, BuiltInType::Location];

/// The type of computers. It declares what the others do.
const COMPUTER: &str = "Computer";

use PermissionKind::{Operation, Right};
use Qualifier::{Allowed, Denied, Disabled};

/// A definition, which every type has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) name: &'static str,
    operations: &'static [(&'static str, Qualifier)],
    rights: &'static [(&'static str, Qualifier)],
    /// What to ask to meet it.
    asks: &'static [Permission],
}

const GIVING: [(f64, Level); 4] = [
    (
        0.55,
        Level {
            name: "Viewer",
            operations: &[("View", Allowed)],
            rights: &[("Read", Allowed)],
            asks: &[(Operation, "View"), (Operation, "View"), (Right, "Read")],
        },
    ),
    (
        0.25,
        Level {
            name: "Editor",
            operations: &[("View", Allowed), ("Edit", Allowed), ("Export", Allowed)],
            rights: &[("Read", Allowed), ("Write", Allowed)],
            asks: &[(Operation, "Edit"), (Operation, "Export"), (Right, "Write")],
        },
    ),
    (
        0.15,
        Level {
            name: "Owner",
            operations: &[("*", Allowed)],
            rights: &[("*", Allowed)],
            asks: &[(Operation, "Delete"), (Operation, "Approve"), (Operation, "Publish")],
        },
    ),
    (
        0.05,
        Level {
            name: "Paused",
            operations: &[("Approve", Disabled)],
            rights: &[],
            asks: &[(Operation, "Approve")],
        },
    ),
];

const DENYING: [(f64, Level); 2] = [
    (
        0.6,
        Level {
            name: "No Export",
            operations: &[("Export", Denied)],
            rights: &[],
            asks: &[(Operation, "Export")],
        },
    ),
    (
        0.4,
        Level {
            name: "Frozen",
            operations: &[("Edit", Denied), ("Delete", Denied)],
            rights: &[("Write", Denied)],
            asks: &[(Operation, "Edit"), (Operation, "Delete"), (Right, "Write")],
        },
    ),
];

// === impl Level ===

impl Level {
    /// One that gives, or one that denies.
    pub(super) fn draw(dice: &mut Dice, denies: bool) -> Self {
        let drawn = if denies { dice.weighted(&DENYING) } else { dice.weighted(&GIVING) };
        drawn.unwrap_or(GIVING[0].1)
    }

    /// What to ask to meet it, by any number.
    pub(super) fn ask(&self, pick: u64) -> Permission {
        let at = (pick % (self.asks.len().max(1) as u64)) as usize;
        self.asks.get(at).copied().unwrap_or((Operation, "View"))
    }

    /// Its name among those of a type.
    pub(super) fn of(&self, type_name: TypeName) -> LevelRef {
        LevelRef { type_name, name: named(LevelName::new(self.name)) }
    }

    fn fact(&self, type_name: &TypeName) -> AccessLevel {
        let map = |entries: &[(&str, Qualifier)]| -> BTreeMap<Pattern, Qualifier> {
            let entry = |(name, qualifier): &(&str, Qualifier)| {
                let pattern = match *name {
                    "*" => Pattern::All,
                    name => Pattern::Name(named(PermissionName::new(name))),
                };
                (pattern, *qualifier)
            };
            entries.iter().map(entry).collect()
        };
        AccessLevel {
            name: self.of(type_name.clone()),
            operations: map(self.operations),
            rights: map(self.rights),
        }
    }
}

/// The name of a declared type.
pub(super) fn type_name(number: u64) -> String {
    format!("Doc{number:02}")
}

/// Any operation or right.
pub(super) fn any_permission(dice: &mut Dice) -> Permission {
    let at = dice.below((OPERATIONS.len() + RIGHTS.len()) as u64) as usize;
    let right = || RIGHTS.get(at.saturating_sub(OPERATIONS.len())).map(|name| (Right, *name));
    let operation = OPERATIONS.get(at).map(|name| (Operation, *name));
    operation.or_else(right).unwrap_or((Operation, "View"))
}

/// The types and the definitions.
pub(super) fn facts(types: u64) -> impl Iterator<Item = Fact> {
    let names = move || {
        let declared = (0..types).map(type_name).chain([COMPUTER.to_owned()]);
        let declared = declared.map(|name| named(TypeName::new(name)));
        declared.chain(BUILT_IN.into_iter().map(BuiltInType::type_name))
    };
    let declared = names().map(|name| {
        let all = |names: &[&str]| -> BTreeSet<PermissionName> {
            names.iter().map(|name| named(PermissionName::new(name))).collect()
        };
        ResourceType { name, operations: all(&OPERATIONS), rights: all(&RIGHTS) }.into()
    });
    let levels = || GIVING.iter().chain(&DENYING).map(|(_, level)| level);
    declared.chain(names().flat_map(move |name| levels().map(move |it| it.fact(&name).into())))
}
