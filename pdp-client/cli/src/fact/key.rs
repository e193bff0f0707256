//! Names of facts from the command line, written as they are printed.

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{FactKey, FactKind};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, IdError, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionLevelId, PersonId,
    ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::LevelRef;
use pdp_engine::psm::{COMPUTER, EligibilityKey, EligibilityKind, EligibilityScope};
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{Entity, Grantee, ShareKey};

use crate::problem::Problem;

/// Reads the name of a fact.
pub(crate) fn parse_key(kind: &str, name: &str) -> Result<FactKey, Problem> {
    let kind = super::parse_kind(kind)?;
    let wrong = |error: IdError| Problem::argument("NAME", error.to_string());
    Ok(match kind {
        FactKind::ResourceType => FactKey::ResourceType(TypeName::new(name).map_err(wrong)?),
        FactKind::Location => FactKey::Location(LocationId::new(name).map_err(wrong)?),
        FactKind::BusinessRole => FactKey::BusinessRole(BusinessRoleId::new(name).map_err(wrong)?),
        FactKind::AccessLevel => FactKey::AccessLevel(
            LevelRef::parse(name).map_err(|error| Problem::argument("NAME", error.to_string()))?,
        ),
        FactKind::Person => FactKey::Person(PersonId::new(name).map_err(wrong)?),
        FactKind::Account => FactKey::Account(AccountId::new(name).map_err(wrong)?),
        FactKind::Group => FactKey::Group(GroupId::new(name).map_err(wrong)?),
        FactKind::SetGroup => FactKey::SetGroup(SetGroupId::new(name).map_err(wrong)?),
        FactKind::ManagementRoleDefinition => {
            FactKey::ManagementRoleDefinition(ManagementRoleDefinitionId::new(name).map_err(wrong)?)
        }
        FactKind::ManagementRole => {
            FactKey::ManagementRole(ManagementRoleId::new(name).map_err(wrong)?)
        }
        FactKind::Resource => FactKey::Resource(
            ResourceRef::parse(name)
                .map_err(|error| Problem::argument("NAME", error.to_string()))?,
        ),
        FactKind::ResourceGroup => {
            FactKey::ResourceGroup(ResourceGroupId::new(name).map_err(wrong)?)
        }
        FactKind::Assignment => FactKey::Assignment(AssignmentId::new(name).map_err(wrong)?),
        FactKind::Share => FactKey::Share(share_key(name)?),
        FactKind::PermissionLevel => {
            FactKey::PermissionLevel(PermissionLevelId::new(name).map_err(wrong)?)
        }
        FactKind::Psm => FactKey::Psm(ObjectId::new(name).map_err(wrong)?),
        FactKind::Eligibility => FactKey::Eligibility(eligibility_key(name)?),
    })
}

/// Reads `ENTITY with GRANTEE`. Ids may hold the words between them: only a text with one reading
/// names a share.
fn share_key(text: &str) -> Result<ShareKey, Problem> {
    let readings = splits(text, " with ").filter_map(|(on, to)| {
        let to = ActorRef::parse(to).ok().and_then(|actor| Grantee::from_actor(&actor))?;
        Some(ShareKey { to, on: Entity::parse(on).ok()? })
    });
    only(readings, text, "a share", "Type:id with person:ID")
}

/// Reads `KIND of ACTOR for LEVEL on Computer:id`, or `in LOCATION`. Ids may hold the words between
/// them: only a text with one reading names an eligibility.
fn eligibility_key(text: &str) -> Result<EligibilityKey, Problem> {
    let (word, rest) = text.split_once(" of ").unwrap_or((text, ""));
    let kind = EligibilityKind::from_word(word);
    let readings = splits(rest, " for ").flat_map(|(actor, rest)| {
        let on = splits(rest, " on ").filter_map(|(level, on)| {
            let id = on.strip_prefix(COMPUTER)?.strip_prefix(':')?;
            Some((level, EligibilityScope::On(ObjectId::new(id).ok()?)))
        });
        let within = splits(rest, " in ").filter_map(|(level, location)| {
            Some((level, EligibilityScope::In(LocationId::new(location).ok()?)))
        });
        on.chain(within).filter_map(move |(level, scope)| {
            let (to, level) = (ActorRef::parse(actor).ok()?, PermissionLevelId::new(level).ok()?);
            Some(EligibilityKey { to, level, scope, kind: kind? })
        })
    });
    let form = "eligible of person:ID for LEVEL on Computer:id";
    only(readings, text, "an eligibility", form)
}

/// Every way to part a text at these words.
fn splits<'t>(text: &'t str, at: &'static str) -> impl Iterator<Item = (&'t str, &'t str)> {
    text.match_indices(at)
        .filter_map(move |(place, _)| Some((text.get(..place)?, text.get(place + at.len()..)?)))
}

fn only<T>(
    mut readings: impl Iterator<Item = T>,
    text: &str,
    what: &str,
    form: &str,
) -> Result<T, Problem> {
    let shown = text.escape_debug();
    let wrong = |message: String| Err(Problem::argument("NAME", message));
    match (readings.next(), readings.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => wrong(format!("`{shown}` does not name {what}; write it like `{form}`")),
        (Some(_), Some(_)) => wrong(format!(
            "`{shown}` can be read as the name of {what} in more than one way; `pdpctl list facts` shows it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_printed() {
        for (kind, name) in [
            ("share", "Computer:web-07 with person:ana"),
            ("shares", "resource_group:a with b with group:hr with c"),
            ("eligibility", "pre_approved of group:hr for local-admin on Computer:web-07"),
            ("eligibilities", "excluded of business_role:teller@zurich for root in the attic"),
            ("psm", "web-07"),
            ("psm_settings", "web-07"),
            ("permission_level", "local-admin"),
            ("resource_group", "web-tier"),
        ] {
            assert_eq!(parse_key(kind, name).unwrap().name(), name);
        }
    }

    #[test]
    fn a_name_that_is_none_or_two_is_refused() {
        let told = |kind, name| parse_key(kind, name).unwrap_err().to_string();
        assert_eq!(
            told("share", "Computer:web-07"),
            "NAME: `Computer:web-07` does not name a share; write it like `Type:id with person:ID`"
        );
        assert!(told("share", "A:a with person:b with person:c").contains("more than one way"));
        assert!(told("eligibility", "friend of person:a for b in c").contains("does not name"));
        assert!(told("eligibility", "eligible of person:a for b in c in d").contains("more than"));
    }
}
