//! The names that questions are looked up by, each with its handle.

use std::io;

use super::plain::Plain;
use super::stream::{Reader, Writer, damaged};
use crate::actor::ActorRef;
use crate::arena::{ActorIx, ResourceGroupIx, ResourceIx, TypeIx};
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

fn read_table<H: Copy, W: Plain>(
    from: &mut Reader<'_>,
    insert: impl Fn(&mut NameTableBuilder<H>, &str, W),
) -> io::Result<NameTable<H>> {
    let count = from.count(W::BYTES)?;
    let mut table = NameTableBuilder::with_capacity(count);
    for _ in 0..count {
        let handle = from.one()?;
        insert(&mut table, from.text()?, handle);
    }
    Ok(table.into())
}

// === impl Named ===

impl Named {
    pub(super) fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Ok(Self {
            people: read_table(from, NameTableBuilder::insert)?,
            accounts: read_table(from, NameTableBuilder::insert)?,
            objects: read_table(from, |table, name, (kind, object): (TypeIx, ResourceIx)| {
                table.insert_of(kind, name, object);
            })?,
            groups: read_table(from, NameTableBuilder::insert)?,
        })
    }
}
