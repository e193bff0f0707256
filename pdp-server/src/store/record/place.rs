//! Where a fact lies: the number of its kind and its name within the kind, in the keys of the facts
//! table and in remembered requests.
//!
//! INVARIANT: a name on disk stands for one fact only, and reads back. Where a key has several
//! parts that could run into each other they stand on lines of their own: no part holds a control
//! character.

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{FactKey, FactKind};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, ObjectId, PermissionLevelId, PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::LevelRef;
use pdp_engine::psm::{EligibilityKey, EligibilityKind, EligibilityScope};
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{Entity, Grantee, ShareKey};

use super::RecordError;

/// The number that stands for a kind in the keys of the facts table. Numbers are never reused.
pub(in crate::store) const fn kind_number(kind: FactKind) -> u8 {
    match kind {
        FactKind::ResourceType => 1,
        FactKind::Location => 2,
        FactKind::BusinessRole => 3,
        FactKind::AccessLevel => 4,
        FactKind::Person => 5,
        FactKind::Account => 6,
        FactKind::Group => 7,
        FactKind::SetGroup => 8,
        FactKind::ManagementRoleDefinition => 9,
        FactKind::ManagementRole => 10,
        FactKind::Resource => 11,
        FactKind::Assignment => 12,
        FactKind::ResourceGroup => 13,
        FactKind::Share => 14,
        FactKind::PermissionLevel => 15,
        FactKind::Psm => 16,
        FactKind::Eligibility => 17,
    }
}

/// The name of a fact on disk.
pub(in crate::store) fn name(key: &FactKey) -> String {
    match key {
        FactKey::Share(ShareKey { to, on }) => format!("{to}\n{on}"),
        FactKey::Eligibility(EligibilityKey { to, level, scope, kind }) => {
            let (word, place) = match scope {
                EligibilityScope::On(computer) => (ON, computer.as_str()),
                EligibilityScope::In(location) => (IN, location.as_str()),
            };
            format!("{to}\n{level}\n{word}\n{place}\n{}", kind.as_str())
        }
        FactKey::ResourceType(_)
        | FactKey::Location(_)
        | FactKey::BusinessRole(_)
        | FactKey::AccessLevel(_)
        | FactKey::Person(_)
        | FactKey::Account(_)
        | FactKey::Group(_)
        | FactKey::SetGroup(_)
        | FactKey::ManagementRoleDefinition(_)
        | FactKey::ManagementRole(_)
        | FactKey::Resource(_)
        | FactKey::ResourceGroup(_)
        | FactKey::Assignment(_)
        | FactKey::PermissionLevel(_)
        | FactKey::Psm(_) => key.name(),
    }
}

const ON: &str = "on";
const IN: &str = "in";

/// The key of this kind number and name.
pub(super) fn key(kind: u32, name: &str) -> Result<FactKey, RecordError> {
    let number = |kind: FactKind| u32::from(kind_number(kind));
    let kind = FactKind::ALL
        .iter()
        .copied()
        .find(|known| number(*known) == kind)
        .ok_or(RecordError::UnknownNumber { field: "kind", value: i64::from(kind) })?;
    Ok(match kind {
        FactKind::ResourceType => FactKey::ResourceType(TypeName::new(name)?),
        FactKind::Location => FactKey::Location(LocationId::new(name)?),
        FactKind::BusinessRole => FactKey::BusinessRole(BusinessRoleId::new(name)?),
        FactKind::AccessLevel => FactKey::AccessLevel(LevelRef::parse(name)?),
        FactKind::Person => FactKey::Person(PersonId::new(name)?),
        FactKind::Account => FactKey::Account(AccountId::new(name)?),
        FactKind::Group => FactKey::Group(GroupId::new(name)?),
        FactKind::SetGroup => FactKey::SetGroup(SetGroupId::new(name)?),
        FactKind::ManagementRoleDefinition => {
            FactKey::ManagementRoleDefinition(ManagementRoleDefinitionId::new(name)?)
        }
        FactKind::ManagementRole => FactKey::ManagementRole(ManagementRoleId::new(name)?),
        FactKind::Resource => FactKey::Resource(ResourceRef::parse(name)?),
        FactKind::ResourceGroup => FactKey::ResourceGroup(ResourceGroupId::new(name)?),
        FactKind::Assignment => FactKey::Assignment(AssignmentId::new(name)?),
        FactKind::Share => FactKey::Share(share(name)?),
        FactKind::PermissionLevel => FactKey::PermissionLevel(PermissionLevelId::new(name)?),
        FactKind::Psm => FactKey::Psm(ObjectId::new(name)?),
        FactKind::Eligibility => FactKey::Eligibility(eligibility(name)?),
    })
}

fn share(name: &str) -> Result<ShareKey, RecordError> {
    let (to, on) = name.split_once('\n').ok_or(RecordError::Missing("entity"))?;
    let to = Grantee::from_actor(&ActorRef::parse(to)?).ok_or(RecordError::Missing("grantee"))?;
    Ok(ShareKey { to, on: Entity::parse(on)? })
}

fn eligibility(name: &str) -> Result<EligibilityKey, RecordError> {
    let parts: Vec<&str> = name.split('\n').collect();
    let [to, level, word, place, kind] = parts.as_slice() else {
        return Err(RecordError::Missing("scope"));
    };
    let scope = match *word {
        ON => EligibilityScope::On(ObjectId::new(place)?),
        IN => EligibilityScope::In(LocationId::new(place)?),
        _ => return Err(RecordError::Missing("scope")),
    };
    Ok(EligibilityKey {
        to: ActorRef::parse(to)?,
        level: PermissionLevelId::new(level)?,
        scope,
        kind: EligibilityKind::from_word(kind).ok_or(RecordError::Missing("kind"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_do_not_run_into_each_other() {
        let share = |to: &str, on: &str| {
            let to = Grantee::from_actor(&ActorRef::parse(to).unwrap()).unwrap();
            FactKey::Share(ShareKey { to, on: Entity::parse(on).unwrap() })
        };
        let eligible = |to: &str, level: &str, scope: EligibilityScope| {
            FactKey::Eligibility(EligibilityKey {
                to: ActorRef::parse(to).unwrap(),
                level: PermissionLevelId::new(level).unwrap(),
                scope,
                kind: EligibilityKind::PreApproved,
            })
        };
        let on = |id: &str| EligibilityScope::On(ObjectId::new(id).unwrap());
        let within = |id: &str| EligibilityScope::In(LocationId::new(id).unwrap());
        let keys = [
            share("person:c", "T:a with person:b"),
            share("person:b with person:c", "T:a"),
            share("group:g", "resource_group:r:s"),
            eligible("business_role:r@l for x", "y", on("c")),
            eligible("business_role:r@l", "x for y", on("c")),
            eligible("business_role:r@l", "x for y", within("c")),
        ];
        let names: std::collections::BTreeSet<_> = keys.iter().map(name).collect();
        assert_eq!(names.len(), keys.len());
        for key in keys {
            let kind = u32::from(kind_number(key.kind()));
            assert_eq!(super::key(kind, &name(&key)), Ok(key));
        }
        for wrong in ["", "person:a", "set_group:s\nT:a", "person:a\nT", "person:a\nT:a\nb"] {
            assert!(super::key(14, wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["person:a\nl\non\nc", "person:a\nl\nat\nc\nexcluded", "person:a\nl\non\nc\nx"]
        {
            assert!(super::key(17, wrong).is_err(), "{wrong:?}");
        }
    }
}
