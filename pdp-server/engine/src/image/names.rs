//! The names that questions are looked up by, each with its handle.

use std::io;

use super::plain::Plain;
use super::stream::{Reader, Writer, damaged};
use crate::actor::ActorRef;
use crate::arena::{ActorIx, ResourceGroupIx, ResourceIx};
use crate::snapshot::{NameTable, NameTableBuilder, Policy};

/// The tables of names of a policy.
pub(super) struct Named {
    pub(super) people: NameTable<ActorIx>,
    pub(super) accounts: NameTable<ActorIx>,
    pub(super) objects: NameTable<ResourceIx>,
    pub(super) groups: NameTable<ResourceGroupIx>,
}

/// Writes the names of a policy that is whole.
pub(super) fn write(policy: &Policy, to: &mut Writer<'_>) -> io::Result<()> {
    let actor = |actor: ActorIx| match &policy.cold.actors[actor] {
        ActorRef::Person(id) => Ok(id.as_str()),
        ActorRef::Account(id) => Ok(id.as_str()),
        // INVARIANT: nobody else has a name in these tables.
        _ => Err(damaged()),
    };
    write_table(&policy.people, to, |person| Ok((person, actor(person)?)))?;
    write_table(&policy.accounts, to, |account| Ok((account, actor(account)?)))?;
    write_table(&policy.objects, to, |object| {
        let kind = policy.resources[object].kind;
        Ok(((kind, object), policy.cold.resources[object].id.as_str()))
    })?;
    let names = &policy.vault.group_names;
    write_table(&policy.vault.groups, to, |group| Ok((group, names[group].as_str())))
}

fn write_table<'p, H: Copy, W: Plain>(
    table: &NameTable<H>,
    to: &mut Writer<'_>,
    named: impl Fn(H) -> io::Result<(W, &'p str)>,
) -> io::Result<()> {
    to.count(table.handles().count())?;
    for handle in table.handles() {
        let (handle, name) = named(handle)?;
        to.one(&handle)?;
        to.text(name)?;
    }
    Ok(())
}

/// Reads no more than so many names.
fn read_table<H: Copy, W: Plain>(
    from: &mut Reader<'_>,
    most: usize,
    insert: impl Fn(&mut NameTableBuilder<H>, &str, W),
) -> io::Result<NameTable<H>> {
    let count = from.count(W::BYTES)?;
    if count > most {
        return Err(damaged());
    }
    let mut table = NameTableBuilder::with_capacity(count);
    for _ in 0..count {
        let handle = from.one()?;
        insert(&mut table, from.text()?, handle);
    }
    Ok(table.into())
}

// === impl Named ===

impl Named {
    /// Reads the names of what this policy has.
    pub(super) fn read(policy: &Policy, from: &mut Reader<'_>) -> io::Result<Self> {
        let (actors, objects) = (policy.subjects.len(), policy.resources.len());
        let groups = policy.vault.group_names.len();
        let object = |table: &mut NameTableBuilder<_>, name: &str, (kind, object)| {
            table.insert_of(kind, name, object);
        };
        Ok(Self {
            people: read_table(from, actors, NameTableBuilder::insert)?,
            accounts: read_table(from, actors, NameTableBuilder::insert)?,
            objects: read_table(from, objects, object)?,
            groups: read_table(from, groups, NameTableBuilder::insert)?,
        })
    }
}
