//! Handles and the tables they index.
//!
//! A table is made whole, flat and dense, and then never changes where it lies. What a change set alters
//! is laid beside it ([`patch`]): the table of the next snapshot shares the base of the one before and
//! knows which rows differ. Once much differs, the base is made anew ([`Table::settle`] and its like).
//!
//! INVARIANT: a handle is only ever used with the snapshot whose compilation made it or one that
//! came of it, so it is always in range. An index that is not is a bug, and stops that one request
//! rather than reading an empty list: an empty list could hide a deny.

mod fetch;
mod filter;
mod lists;
mod patch;
mod sets;
mod starts;
mod table;
mod unions;

pub(crate) use fetch::{fetch, fetch_first};
pub(crate) use filter::Filter;
pub(crate) use lists::{HasKey, Keyed, Lists, ListsBuilder, Run};
pub(crate) use patch::{Patch, Spread};
pub(crate) use sets::{Sets, Slice, SortedSet};
pub(crate) use starts::{side_by_side, try_side_by_side};
pub(crate) use table::{Rows, Table};
pub(crate) use unions::{Said, Unions};

/// A 32-bit index of one kind of thing.
pub(crate) trait Handle: Copy + Eq + Ord + std::hash::Hash {
    fn from_index(index: usize) -> Self;
    fn index(self) -> usize;
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub(crate) struct $name(u32);

        impl Handle for $name {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "INVARIANT: a policy holds fewer than 2^31 facts (facts::MAX_FACTS)"
            )]
            fn from_index(index: usize) -> Self {
                debug_assert!(u32::try_from(index).is_ok());
                Self(index as u32)
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )+};
}

handles! {
    /// An actor: person, account, group, set group, management role, definition or pair.
    ActorIx;
    /// A resource, of a built-in or a declared type.
    ResourceIx;
    /// A location.
    LocationIx;
    /// A business role.
    RoleIx;
    /// A resource type.
    TypeIx;
    /// An operation or right within its type: operations first.
    PermissionIx;
    /// An Access Level Definition.
    LevelIx;
    /// An assignment.
    AssignmentIx;
    /// A distinct window; 0 is always open.
    WindowIx;
    /// The assignments of one type made at one location.
    ShardIx;
    /// A distinct set of placements of resources of one type.
    CoverIx;
    /// A resource group.
    ResourceGroupIx;
    /// A group that some computer's permission level maps to.
    NativeIx;
}
