//! Resource types with their permissions, and what each Access Level Definition says about them (Q8).

use std::sync::Arc;

use crate::arena::{Handle as _, LevelIx, Lists, ListsBuilder, PermissionIx, Rows, Table, TypeIx};
use crate::facts::Facts;
use crate::id::PermissionName;
use crate::level::AccessLevel;
use crate::permission::{Pattern, Qualifier};
use crate::snapshot::{Kind, NameMap};

use super::names::Names;

pub(super) struct Levels {
    pub(super) kinds: Table<TypeIx, Kind>,
    pub(super) says: Lists<LevelIx, Option<Qualifier>>,
    pub(super) kind_of: Table<LevelIx, TypeIx>,
    pub(super) of: Lists<TypeIx, LevelIx>,
}

pub(super) fn compile(facts: &Facts, names: &Names) -> Levels {
    let mut says = ListsBuilder::default();
    let mut levels_of = Vec::new();
    let mut named: Rows<TypeIx, NameMap<LevelIx>> =
        names.type_rows.iter().map(|_| NameMap::default()).collect();
    let mut kind_of = Rows::default();
    let mut last = None;
    for level in facts.access_levels() {
        // The levels of a type come one after the other.
        let of = match last {
            Some((name, of)) if name == &level.name.type_name => of,
            _ => super::handles::Handles::kind(names, &level.name.type_name),
        };
        last = Some((&level.name.type_name, of));
        let handle = says.push(said_by(level, facts));
        named[of].insert(level.name.name.to_shared(), handle);
        levels_of.push((of, handle));
        kind_of.push(of);
    }
    let says = Lists::from(says);
    let of = Lists::from_pairs(names.type_rows.len(), levels_of);
    let mut named = named.iter_mut();
    let kinds = names.type_rows.iter().map(|(ix, name)| {
        let mut kind = Kind::default();
        if let Some(declared) = facts.resource_type(name) {
            let mut number = (0..).map(PermissionIx::from_index);
            let mut number =
                |name: &PermissionName| (name.to_shared(), super::handles::known(number.next()));
            kind.operations = Arc::new(declared.operations.iter().map(&mut number).collect());
            kind.rights = Arc::new(declared.rights.iter().map(&mut number).collect());
        }
        let permissions = kind.operations.len() + kind.rights.len();
        kind.deniable = deniable(&says, &of[ix], permissions);
        kind.levels = Arc::new(named.next().map(std::mem::take).unwrap_or_default());
        kind
    });
    let kinds = kinds.collect();
    Levels { kinds, says, kind_of: kind_of.into(), of }
}

/// Whether some level of a type denies each of its permissions.
pub(super) fn deniable(
    says: &Lists<LevelIx, Option<Qualifier>>,
    levels: &[LevelIx],
    permissions: usize,
) -> Table<PermissionIx, bool> {
    let mut deniable: Rows<PermissionIx, bool> = (0..permissions).map(|_| false).collect();
    for level in levels {
        for (deniable, qualifier) in deniable.iter_mut().zip(&says[*level]) {
            *deniable |= *qualifier == Some(Qualifier::Denied);
        }
    }
    deniable.into()
}

/// What a level says about every permission of its type; an exact name overrides `*`.
pub(super) fn said_by(level: &AccessLevel, facts: &Facts) -> Vec<Option<Qualifier>> {
    let Some(declared) = facts.resource_type(&level.name.type_name) else { return Vec::new() };
    let operations = declared.operations.iter().map(|name| (name, &level.operations));
    let rights = declared.rights.iter().map(|name| (name, &level.rights));
    operations
        .chain(rights)
        .map(|(name, said)| {
            let exact = said.get(&Pattern::Name(name.clone()));
            exact.or_else(|| said.get(&Pattern::All)).copied()
        })
        .collect()
}
