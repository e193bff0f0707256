//! The records that a large policy is made of, assignments and resources, read straight from their
//! bytes: a start reads millions of them. It knows the bytes that this version writes and no others;
//! for anything else it has no answer, and the record is decoded as every record is, which also says
//! what is wrong with it.

use std::sync::Arc;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{Fact, FactKind};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PersonId, RecentNames, SetGroupId,
    TypeName,
};
use pdp_engine::level::{Assignment, LevelRef, Scope};
use pdp_engine::resource::{Resource, ResourceRef};
use pdp_engine::time::{Timestamp, Window};

use super::level::relative_of;
use super::place::kind_number;

const RESOURCE: u8 = kind_number(FactKind::Resource);
const ASSIGNMENT: u8 = kind_number(FactKind::Assignment);

/// The fact in `bytes`, which lies under this kind and name, if it is one of those and is written as
/// this version writes it.
pub(super) fn fact(kind: u8, name: &str, bytes: &[u8], recent: &mut RecentNames) -> Option<Fact> {
    if kind != RESOURCE && kind != ASSIGNMENT {
        return None;
    }
    let mut outer = Fields(bytes);
    let body = Fields(outer.message(u32::from(kind))?);
    outer.end()?;
    if kind == RESOURCE {
        let resource = resource(body, recent)?;
        let (of_type, id) = name.split_once(':')?;
        let same = resource.name.type_name.as_str() == of_type && resource.name.id.as_str() == id;
        return same.then(|| Fact::Resource(Arc::new(resource)));
    }
    let assignment = assignment(body, recent)?;
    (assignment.id.as_str() == name).then(|| Fact::Assignment(Arc::new(assignment)))
}

fn assignment(mut fields: Fields<'_>, recent: &mut RecentNames) -> Option<Assignment> {
    let assignment = Assignment {
        id: AssignmentId::new(fields.text(1)?).ok()?,
        to: actor(Fields(fields.message(2)?), recent)?,
        level: level(Fields(fields.message(3)?), recent)?,
        scope: scope(&mut fields, recent)?,
        window: window(&mut fields)?,
    };
    fields.end()?;
    Some(assignment)
}

fn resource(mut fields: Fields<'_>, recent: &mut RecentNames) -> Option<Resource> {
    let name = resource_ref(Fields(fields.message(1)?), recent)?;
    let mut locations = Vec::new();
    while fields.is_next(2) {
        locations.push(LocationId::shared(fields.text(2)?, recent).ok()?);
    }
    let platform = match fields.is_next(3) {
        true => Some(fields.text(3)?.to_owned()),
        false => None,
    };
    let owner = match fields.is_next(4) {
        true => Some(PersonId::shared(fields.text(4)?, recent).ok()?),
        false => None,
    };
    let parent = match fields.is_next(5) {
        true => Some(resource_ref(Fields(fields.message(5)?), recent)?),
        false => None,
    };
    fields.end()?;
    Some(Resource { name, locations, platform, owner, parent })
}

fn actor(mut fields: Fields<'_>, recent: &mut RecentNames) -> Option<ActorRef> {
    if fields.is_next(5) {
        let mut pair = Fields(fields.message(5)?);
        let role = BusinessRoleId::shared(pair.text(1)?, recent).ok()?;
        let location = LocationId::shared(pair.text(2)?, recent).ok()?;
        pair.end()?;
        fields.end()?;
        return Some(ActorRef::BusinessRoleLocation(role, location));
    }
    let (number, id) = fields.any_text()?;
    fields.end()?;
    Some(match number {
        1 => ActorRef::Person(PersonId::shared(id, recent).ok()?),
        2 => ActorRef::Account(AccountId::shared(id, recent).ok()?),
        3 => ActorRef::Group(GroupId::shared(id, recent).ok()?),
        4 => ActorRef::SetGroup(SetGroupId::shared(id, recent).ok()?),
        6 => ActorRef::ManagementRole(ManagementRoleId::shared(id, recent).ok()?),
        7 => {
            let id = ManagementRoleDefinitionId::shared(id, recent).ok()?;
            ActorRef::ManagementRoleDefinition(id)
        }
        _ => return None,
    })
}

fn level(mut fields: Fields<'_>, recent: &mut RecentNames) -> Option<LevelRef> {
    let type_name = TypeName::shared(fields.text(1)?, recent).ok()?;
    let name = LevelName::shared(fields.text(2)?, recent).ok()?;
    fields.end()?;
    Some(LevelRef { type_name, name })
}

fn resource_ref(mut fields: Fields<'_>, recent: &mut RecentNames) -> Option<ResourceRef> {
    let type_name = TypeName::shared(fields.text(1)?, recent).ok()?;
    // Most are named once, or by few.
    let id = ObjectId::new(fields.text(2)?).ok()?;
    fields.end()?;
    Some(ResourceRef { type_name, id })
}

fn scope(fields: &mut Fields<'_>, recent: &mut RecentNames) -> Option<Scope> {
    if fields.is_next(4) {
        return Some(Scope::On(resource_ref(Fields(fields.message(4)?), recent)?));
    }
    if fields.is_next(5) {
        return Some(Scope::In(LocationId::shared(fields.text(5)?, recent).ok()?));
    }
    let number = i32::try_from(fields.number(6)?).ok()?;
    Some(Scope::Relative(relative_of(number).ok()?))
}

fn window(fields: &mut Fields<'_>) -> Option<Window> {
    let mut window = Window::ALWAYS;
    if fields.is_message(7) {
        let mut bounds = Fields(fields.message(7)?);
        let mut bound = |number| match bounds.is_number(number) {
            true => bounds.number(number).map(|micros| Some(micros.cast_signed())),
            false => Some(None),
        };
        window.from = bound(1)?.map(Timestamp::from_micros);
        window.until = bound(2)?.map(Timestamp::from_micros);
        bounds.end()?;
        // One that is always open is not written.
        if window.is_always() {
            return None;
        }
    }
    Some(window)
}

/// What is left of a message's fields. Nothing is passed over: whoever reads them has to name the next
/// one, and the end.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

/// A varint, and text or a message: how fields are written.
const NUMBER: u64 = 0;
const BYTES: u64 = 2;

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Whether the next field is the text or message of this number.
    fn is_next(&self, number: u32) -> bool {
        self.is_message(number)
    }

    fn is_message(&self, number: u32) -> bool {
        self.starts(number, BYTES)
    }

    fn is_number(&self, number: u32) -> bool {
        self.starts(number, NUMBER)
    }

    /// Field numbers below 16 take one byte, and there are no others in these records.
    fn starts(&self, number: u32, as_what: u64) -> bool {
        self.0.first().is_some_and(|tag| u64::from(*tag) == u64::from(number) << 3 | as_what)
    }

    /// Nothing is left.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn message(&mut self, number: u32) -> Option<&'a [u8]> {
        self.starts(number, BYTES).then_some(())?;
        self.varint()?;
        self.bytes()
    }

    /// Text that is there. Empty text is written where it means more than none.
    fn text(&mut self, number: u32) -> Option<&'a str> {
        std::str::from_utf8(self.message(number)?).ok()
    }

    /// The next text, of whatever number.
    fn any_text(&mut self) -> Option<(u64, &'a str)> {
        let tag = self.varint()?;
        (tag & 7 == BYTES).then_some(())?;
        Some((tag >> 3, std::str::from_utf8(self.bytes()?).ok()?))
    }

    fn number(&mut self, number: u32) -> Option<u64> {
        self.starts(number, NUMBER).then_some(())?;
        self.varint()?;
        self.varint()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number in as few bytes as it takes.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            let (low, shift) = (u64::from(byte & 0x7f), 7 * u32::try_from(index).ok()?);
            let part = low << shift;
            if part >> shift != low || (index > 0 && *byte == 0) {
                return None;
            }
            value |= part;
            if byte & 0x80 == 0 {
                self.0 = self.0.get(index + 1..)?;
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{decode_any, encode, place};
    use super::*;
    use crate::store::sample;

    fn read(kind: u8, name: &str, bytes: &[u8]) -> Option<Fact> {
        fact(kind, name, bytes, &mut RecentNames::default())
    }

    proptest! {
        #[test]
        fn it_reads_what_is_written(written in sample::fact()) {
            let (key, bytes) = (written.key(), encode(&written));
            let (kind, name) = (kind_number(key.kind()), place::name(&key));
            let quick = read(kind, &name, &bytes);
            if kind == RESOURCE || kind == ASSIGNMENT {
                prop_assert_eq!(quick.as_ref(), Some(&written));
                prop_assert_eq!(read(kind, "other", &bytes), None);
            } else {
                prop_assert_eq!(quick, None);
            }
        }

        /// Whatever becomes of the bytes: it reads nothing that the other way does not read the same.
        #[test]
        fn it_reads_nothing_else(
            written in sample::fact(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in 0..3_usize,
            more in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let (key, mut bytes) = (written.key(), encode(&written));
            let (kind, name) = (kind_number(key.kind()), place::name(&key));
            let at = at.index(bytes.len());
            bytes.splice(at..(at + cut).min(bytes.len()), more.into_iter().chain([byte]));
            if let Some(quick) = read(kind, &name, &bytes) {
                prop_assert_eq!(decode_any(kind, &name, &bytes), Ok(quick));
            }
        }
    }

    #[test]
    fn numbers_are_written_in_as_few_bytes_as_they_take() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            assert_eq!(Fields(&bytes).varint(), Some(value));
        }
        for wrong in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(Fields(wrong).varint(), None, "{wrong:?}");
        }
    }
}
