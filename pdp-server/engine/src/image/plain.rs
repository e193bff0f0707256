//! Values that take as many bytes each, one after the other, least significant first.

use crate::arena::{
    ActorIx, AssignmentIx, CoverIx, Handle, LevelIx, LocationIx, NativeIx, PermissionIx,
    ResourceGroupIx, ResourceIx, RoleIx, ShardIx, TypeIx, WindowIx,
};
use crate::level::Relative;
use crate::permission::Qualifier;
use crate::psm::{EligibilityKind, Jit};
use crate::share::ShareLevel;
use crate::snapshot::{
    Besides, EligibleOn, Grant, Held, Is, Object, Place, PlacedBy, Placement, RelativeGrant,
    Shared, Subject, Timed, VaultEntity,
};
use crate::time::{Timestamp, Window};

/// A value that always takes as many bytes.
pub(super) trait Plain: Sized {
    const BYTES: usize;

    fn put(&self, to: &mut Vec<u8>);

    /// Takes it from the front; `None` where those bytes are none.
    fn get(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Plain for $number {
            const BYTES: usize = size_of::<Self>();

            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )+};
}

numbers!(u8, u16, u32, u64, i64);

macro_rules! handles {
    ($($handle:ty),+) => {$(
        impl Plain for $handle {
            const BYTES: usize = u32::BYTES;

            #[inline]
            #[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
            fn put(&self, to: &mut Vec<u8>) {
                (self.index() as u32).put(to);
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Option<Self> {
                u32::get(from).map(|index| Self::from_index(index as usize))
            }
        }
    )+};
}

handles!(
    ActorIx,
    AssignmentIx,
    CoverIx,
    LevelIx,
    LocationIx,
    NativeIx,
    PermissionIx,
    ResourceGroupIx,
    ResourceIx,
    RoleIx,
    ShardIx,
    TypeIx,
    WindowIx
);

/// Words that are numbered in the order of a list of them all.
macro_rules! words {
    ($($word:ty { $all:expr })+) => {$(
        impl Plain for $word {
            const BYTES: usize = 1;

            #[inline]
            #[expect(clippy::cast_possible_truncation, reason = "there are few")]
            fn put(&self, to: &mut Vec<u8>) {
                let number = $all.iter().position(|word| word == self);
                to.push(number.map_or(u8::MAX, |number| number as u8));
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Option<Self> {
                $all.get(usize::from(u8::get(from)?)).copied()
            }
        }
    )+};
}

words! {
    bool { [false, true] }
    Qualifier { Self::ALL }
    Relative { Self::ALL }
    ShareLevel { Self::ALL }
    EligibilityKind { Self::ALL }
    PlacedBy { [Self::Listing, Self::Position, Self::Itself] }
}

/// Fields one after the other.
macro_rules! structs {
    ($($name:ty { $($field:ident: $of:ty),+ })+) => {$(
        impl Plain for $name {
            const BYTES: usize = 0 $(+ <$of>::BYTES)+;

            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$field.put(to);)+
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: <$of>::get(from)?),+ })
            }
        }
    )+};
}

structs! {
    Window { from: Option<Timestamp>, until: Option<Timestamp> }
    Subject {
        enabled: bool,
        owner: Option<ActorIx>,
        manager: Option<ActorIx>,
        is_person: bool,
        remote_apps: bool
    }
    Object { kind: TypeIx, cover: CoverIx, is: Is }
    Besides { actor: ActorIx, object: ResourceIx }
    Held { role: RoleIx, location: LocationIx }
    Grant { assignee: ActorIx, level: LevelIx, window: WindowIx, assignment: AssignmentIx }
    RelativeGrant { relative: Relative, grant: Grant }
    Place {
        parent: Option<LocationIx>,
        first: u32,
        after: u32,
        top: LocationIx,
        organization: Option<LocationIx>
    }
    Placement { location: LocationIx, window: Window, by: PlacedBy }
    VaultEntity {
        is_entity: bool,
        parent: Option<ResourceIx>,
        owner: Option<ActorIx>,
        remote_apps: bool
    }
    Shared { to: ActorIx, level: ShareLevel }
    Jit { enabled: bool, delete_on_end: bool, reuse_existing: bool }
}

impl Plain for Timestamp {
    const BYTES: usize = i64::BYTES;

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.as_micros().put(to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        i64::get(from).map(Self::from_micros)
    }
}

impl<T: Plain> Plain for Option<T> {
    const BYTES: usize = 1 + T::BYTES;

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        match self {
            Some(it) => it.put(to),
            None => to.resize(to.len() + T::BYTES, 0),
        }
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        let is_some = bool::get(from)?;
        let (mut bytes, rest) = from.split_at_checked(T::BYTES)?;
        *from = rest;
        match is_some {
            true => T::get(&mut bytes).map(Some),
            false => Some(None),
        }
    }
}

impl<A: Plain, B: Plain> Plain for (A, B) {
    const BYTES: usize = A::BYTES + B::BYTES;

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some((A::get(from)?, B::get(from)?))
    }
}

impl<T: Plain> Plain for Timed<T> {
    const BYTES: usize = T::BYTES + Window::BYTES;

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.item.put(to);
        self.window.put(to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Self { item: T::get(from)?, window: Window::get(from)? })
    }
}

impl Plain for Is {
    const BYTES: usize = 1 + u32::BYTES;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
    fn put(&self, to: &mut Vec<u8>) {
        let (word, index) = match self {
            Self::Person(actor) => (0_u8, actor.index()),
            Self::Account(actor) => (1, actor.index()),
            Self::Actor(actor) => (2, actor.index()),
            Self::BusinessRole(role) => (3, role.index()),
            Self::Location(location) => (4, location.index()),
            Self::Plain => (5, 0),
        };
        (word, index as u32).put(to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (word, index) = <(u8, u32)>::get(from)?;
        let index = index as usize;
        Some(match word {
            0 => Self::Person(ActorIx::from_index(index)),
            1 => Self::Account(ActorIx::from_index(index)),
            2 => Self::Actor(ActorIx::from_index(index)),
            3 => Self::BusinessRole(RoleIx::from_index(index)),
            4 => Self::Location(LocationIx::from_index(index)),
            5 => Self::Plain,
            _ => return None,
        })
    }
}

impl Plain for EligibleOn {
    const BYTES: usize = 1 + u32::BYTES;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
    fn put(&self, to: &mut Vec<u8>) {
        let (word, index) = match self {
            Self::Computer(computer) => (0_u8, computer.index()),
            Self::Within(location) => (1, location.index()),
        };
        (word, index as u32).put(to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (word, index) = <(u8, u32)>::get(from)?;
        match word {
            0 => Some(Self::Computer(ResourceIx::from_index(index as usize))),
            1 => Some(Self::Within(LocationIx::from_index(index as usize))),
            _ => None,
        }
    }
}
