//! A compiled policy as bytes: what decisions read, and nothing else, so that a server that starts can decide
//! before it has read the facts.
//!
//! An image is of use to the build that wrote it, for the revision that it was compiled from. Whoever keeps it sees to
//! both, and to its being unchanged. What is read from it decides as what was written did; it neither explains nor
//! lists, and nothing is compiled upon it. Names are written as they are, and not as they are looked up, which is
//! each process's own secret.

mod names;
mod plain;
mod stream;

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::arena::{
    ActorIx, LevelIx, NativeIx, PermissionIx, ResourceIx, TypeIx, Unions, try_side_by_side,
};
use crate::id::{AccountId, GroupId, IdError, ObjectId, PermissionLevelId, ResourceGroupId};
use crate::psm::{EligibilityKind, Jit};
use crate::query::Revision;
use crate::snapshot::{
    Besides, Computer, Eligible, EligibleFor, EligibleOn, Kind, Late, NameMap, NameTable, Offer,
    Policy, Sessions, Snapshot, Vault,
};
use crate::time::Window;
use names::Named;
use stream::{Reader, Stored, Writer, damaged};

/// Writes what decisions read of a policy that is whole. The sessions are not part of it.
///
/// # Errors
/// `out` does not take it.
pub fn write(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let mut to = Writer::new(out);
    snapshot.policy().write(&mut to)?;
    names::write(snapshot.policy(), &mut to)?;
    to.end()
}

/// Reads what [`write()`] wrote, of no more than so many bytes.
///
/// # Errors
/// It cannot be read, or is no image.
pub fn read(from: &mut impl Read, bytes: u64, revision: Revision) -> io::Result<Snapshot> {
    let mut from = Reader::new(from, bytes);
    let mut policy = Policy { revision, ..Policy::read(&mut from)? };
    let Named { people, accounts, objects, groups } = Named::read(&policy, &mut from)?;
    (policy.people, policy.accounts, policy.objects) = (people, accounts, objects);
    policy.vault.groups = groups;
    if !policy.can_unite() {
        return Err(damaged());
    }
    policy.unite();
    policy.foretell();
    if policy.lay_side_by_side() { Ok(Snapshot::new(policy)) } else { Err(damaged()) }
}

/// Writes and reads the fields of a struct, in the order in which they stand here; what is left out is said, with
/// what stands in its place.
macro_rules! stored {
    ($($name:ident { $($field:ident),+ $(; $($left:ident: $missing:expr),+)? })+) => {$(
        impl Stored for $name {
            fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
                let Self { $($field,)+ $($($left: _,)+)? } = self;
                $($field.write(to)?;)+
                Ok(())
            }

            fn read(from: &mut Reader<'_>) -> io::Result<Self> {
                Ok(Self { $($field: Stored::read(from)?,)+ $($($left: $missing,)+)? })
            }
        }
    )+};
}

stored! {
    Policy {
        psm, types, kinds, subjects, closure, closure_timed, resources, direct, merged,
        covers, covers_timed, shards, relative, says, windows, locations, placements, positions,
        reached_positions, vault, besides;
        unions: Unions::default(),
        relative_unions: Unions::default(),
        revision: Revision::ZERO,
        people: NameTable::default(),
        accounts: NameTable::default(),
        objects: NameTable::default(),
        cold: Late::MISSING
    }
    Sessions {
        computers, on, within, eligible_for, accounts, native, native_timed, native_group, native_of, natives_of
    }
    Kind { operations, rights, levels, deniable }
    Vault {
        entities, shares, groups_of, group_shares, group_names, members, shared_with,
        groups_shared_with, owned, children;
        groups: NameTable::default()
    }
}

// === impl Policy ===

impl Policy {
    /// What is read together lies together, as the compiler lays it; whether there is as much of each.
    fn lay_side_by_side(&mut self) -> bool {
        let Self { merged, covers, covers_timed, placements, .. } = self;
        let by_cover = try_side_by_side([merged, covers, covers_timed, placements]);
        let Self { closure, closure_timed, positions, .. } = self;
        by_cover && try_side_by_side([closure, closure_timed, positions])
    }
}

// === impl Stored ===

macro_rules! ids {
    ($($id:ty),+) => {$(
        impl Stored for $id {
            fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
                to.text(self.as_str())
            }

            fn read(from: &mut Reader<'_>) -> io::Result<Self> {
                Self::new(from.text()?).map_err(|_: IdError| damaged())
            }
        }
    )+};
}

ids!(AccountId, GroupId, ObjectId, PermissionLevelId, ResourceGroupId);

/// What takes as many bytes as any other of its kind.
macro_rules! plain {
    ($($plain:ty),+) => {$(
        impl Stored for $plain {
            fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
                to.one(self)
            }

            fn read(from: &mut Reader<'_>) -> io::Result<Self> {
                from.one()
            }
        }
    )+};
}

plain!(
    ActorIx,
    Besides,
    EligibilityKind,
    EligibleOn,
    Jit,
    LevelIx,
    NativeIx,
    PermissionIx,
    ResourceIx,
    TypeIx,
    Window,
    bool,
    i64,
    u32
);

stored! {
    Eligible { to, level, kind, window }
    EligibleFor { level, on, window }
    Computer { id, enabled, allow_unprivileged, jit, max_session_micros, max_concurrent, offers }
    Offer { level, group }
}

impl<T: Stored> Stored for Option<T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.one(&self.is_some())?;
        self.iter().try_for_each(|it| it.write(to))
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        from.one::<bool>()?.then(|| T::read(from)).transpose()
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.0.write(to)?;
        self.1.write(to)
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

impl<T: Stored> Stored for Arc<T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        T::write(self, to)
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        T::read(from).map(Self::new)
    }
}

impl<T: Stored> Stored for Arc<[T]> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.each(self.iter(), |to, it| it.write(to))
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        from.each(T::read)
    }
}

impl<T: Stored> Stored for NameMap<T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.each(self.iter(), |to, (name, it)| {
            to.text(name)?;
            it.write(to)
        })
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        from.each(|from| Ok((from.text()?.into(), T::read(from)?)))
    }
}
