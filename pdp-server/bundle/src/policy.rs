//! The sections of a policy bundle, each read into the engine's facts. Nothing here knows what
//! other facts exist: references are checked when the facts are applied.

mod session;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Fact, FactKind};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionName, PersonId, SetGroupId,
    TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::share::VaultPrivilege;
use pdp_engine::time::Window;

use crate::diagnostic::Place;
use crate::read::{At, Fields};
use crate::time::parse_time;

pub(crate) use session::native_group;

/// The sections of a bundle that hold facts, each with the kind of fact it holds, in the order
/// that exports use.
pub(crate) const SECTIONS: [(&str, FactKind); 17] = [
    ("resource_types", FactKind::ResourceType),
    ("access_levels", FactKind::AccessLevel),
    ("locations", FactKind::Location),
    ("business_roles", FactKind::BusinessRole),
    ("people", FactKind::Person),
    ("accounts", FactKind::Account),
    ("groups", FactKind::Group),
    ("set_groups", FactKind::SetGroup),
    ("management_role_definitions", FactKind::ManagementRoleDefinition),
    ("management_roles", FactKind::ManagementRole),
    ("resources", FactKind::Resource),
    ("resource_groups", FactKind::ResourceGroup),
    ("assignments", FactKind::Assignment),
    ("shares", FactKind::Share),
    ("permission_levels", FactKind::PermissionLevel),
    ("psm", FactKind::Psm),
    ("eligibilities", FactKind::Eligibility),
];

/// The words of the qualifiers.
pub(crate) const QUALIFIERS: [(&str, Qualifier); 4] = [
    ("allowed", Qualifier::Allowed),
    ("denied", Qualifier::Denied),
    ("disabled", Qualifier::Disabled),
    ("unassigned", Qualifier::Unassigned),
];

/// Reads one section; `found` takes each fact with its place.
pub(crate) fn section(kind: FactKind, at: &At<'_>, found: &mut dyn FnMut(&At<'_>, Place, Fact)) {
    if kind == FactKind::ResourceType {
        for (name, item) in at.entries() {
            let place = name.place();
            if let Some(fact) =
                name.parsed(TypeName::new).and_then(|name| resource_type(name, &item))
            {
                found(&item, place, fact);
            }
        }
        return;
    }
    for item in at.items() {
        if let Some(fact) = self::fact(kind, &item) {
            found(&item, item.node.place, fact);
        }
    }
}

fn fact(kind: FactKind, at: &At<'_>) -> Option<Fact> {
    match kind {
        FactKind::ResourceType => None,
        FactKind::Location => location(at).map(Fact::from),
        FactKind::BusinessRole => business_role(at).map(Fact::from),
        FactKind::AccessLevel => access_level(at).map(Fact::from),
        FactKind::Person => person(at).map(Fact::from),
        FactKind::Account => account(at).map(Fact::from),
        FactKind::Group => group(at).map(Fact::from),
        FactKind::SetGroup => set_group(at).map(Fact::from),
        FactKind::ManagementRoleDefinition => management_role_definition(at).map(Fact::from),
        FactKind::ManagementRole => management_role(at).map(Fact::from),
        FactKind::Resource => resource(at).map(Fact::from),
        FactKind::ResourceGroup => vault::resource_group(at).map(Fact::from),
        FactKind::Assignment => assignment(at).map(Fact::from),
        FactKind::Share => vault::share(at).map(Fact::from),
        FactKind::PermissionLevel => session::permission_level(at).map(Fact::from),
        FactKind::Psm => session::psm(at).map(Fact::from),
        FactKind::Eligibility => session::eligibility(at).map(Fact::from),
    }
}

fn resource_type(name: TypeName, at: &At<'_>) -> Option<Fact> {
    let (mut operations, mut rights) = (BTreeSet::new(), BTreeSet::new());
    if !at.node.is_null() {
        let fields = at.fields(&["operations", "rights"])?;
        let names = |key| fields.list(key, |at| at.parsed(PermissionName::new)).into_iter();
        operations.extend(names("operations"));
        rights.extend(names("rights"));
    }
    Some(ResourceType { name, operations, rights }.into())
}

fn access_level(at: &At<'_>) -> Option<AccessLevel> {
    let fields = at.fields(&["type", "name", "operations", "rights"])?;
    let type_name = fields.required("type").and_then(|at| at.parsed(TypeName::new));
    let name = fields.required("name").and_then(|at| at.parsed(LevelName::new));
    let (operations, rights) = (qualifiers(&fields, "operations"), qualifiers(&fields, "rights"));
    Some(AccessLevel { name: LevelRef { type_name: type_name?, name: name? }, operations, rights })
}

fn qualifiers(fields: &Fields<'_>, key: &str) -> BTreeMap<Pattern, Qualifier> {
    let Some(map) = fields.get(key) else { return BTreeMap::new() };
    let mut qualifiers = BTreeMap::new();
    for (name, value) in map.entries() {
        let pattern = name.parsed(|text| match text {
            "*" => Ok(Pattern::All),
            _ => PermissionName::new(text).map(Pattern::Name),
        });
        if let (Some(pattern), Some(qualifier)) = (pattern, value.word(&QUALIFIERS)) {
            qualifiers.insert(pattern, qualifier);
        }
    }
    qualifiers
}

fn location(at: &At<'_>) -> Option<Location> {
    let fields = at.fields(&["id", "parent", "organization", "block_inheritance"])?;
    let id = fields.required("id").and_then(|at| at.parsed(LocationId::new));
    let parent = fields.get("parent").and_then(|at| at.parsed(LocationId::new));
    Some(Location {
        organization: fields.flag("organization", false),
        block_inheritance: fields.flag("block_inheritance", false),
        id: id?,
        parent,
    })
}

fn business_role(at: &At<'_>) -> Option<BusinessRole> {
    let fields = at.fields(&["id", "parent", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(BusinessRoleId::new));
    let parent = fields.get("parent").and_then(|at| at.parsed(BusinessRoleId::new));
    let locations = locations(&fields);
    Some(BusinessRole { id: id?, parent, locations })
}

fn person(at: &At<'_>) -> Option<Person> {
    let fields = at.fields(&[
        "id",
        "name",
        "login",
        "enabled",
        "manager",
        "locations",
        "positions",
        "vault_privileges",
    ])?;
    let id = fields.required("id").and_then(|at| at.parsed(PersonId::new));
    let privileges = VaultPrivilege::ALL.map(|privilege| (privilege.as_str(), privilege));
    Some(Person {
        name: text(&fields, "name"),
        login: text(&fields, "login"),
        enabled: fields.flag("enabled", true),
        manager: fields.get("manager").and_then(|at| at.parsed(PersonId::new)),
        locations: locations(&fields),
        positions: sorted(fields.list("positions", |at| position(&at))),
        vault_privileges: fields
            .list("vault_privileges", |at| at.word(&privileges))
            .into_iter()
            .collect(),
        id: id?,
    })
}

fn account(at: &At<'_>) -> Option<Account> {
    let fields = at.fields(&["id", "owner", "computer", "enabled", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(AccountId::new));
    Some(Account {
        owner: fields.get("owner").and_then(|at| at.parsed(PersonId::new)),
        enabled: fields.flag("enabled", true),
        computer: fields.get("computer").and_then(|at| at.parsed(ObjectId::new)),
        locations: locations(&fields),
        id: id?,
    })
}

fn group(at: &At<'_>) -> Option<Group> {
    let fields = at.fields(&["id", "members", "positions", "default", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(GroupId::new));
    Some(Group {
        members: members(&fields),
        positions: sorted(fields.list("positions", |at| position(&at))),
        default: fields.flag("default", false),
        locations: locations(&fields),
        id: id?,
    })
}

fn set_group(at: &At<'_>) -> Option<SetGroup> {
    let fields = at.fields(&["id", "members", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(SetGroupId::new));
    let (members, locations) = (members(&fields), locations(&fields));
    Some(SetGroup { id: id?, members, locations })
}

fn management_role_definition(at: &At<'_>) -> Option<ManagementRoleDefinition> {
    let fields = at.fields(&["id", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(ManagementRoleDefinitionId::new));
    let locations = locations(&fields);
    Some(ManagementRoleDefinition { id: id?, locations })
}

fn management_role(at: &At<'_>) -> Option<ManagementRole> {
    let fields = at.fields(&["id", "definition", "members", "includes", "locations"])?;
    let id = fields.required("id").and_then(|at| at.parsed(ManagementRoleId::new));
    let definition = fields.get("definition");
    Some(ManagementRole {
        definition: definition.and_then(|at| at.parsed(ManagementRoleDefinitionId::new)),
        members: members(&fields),
        includes: sorted(fields.list("includes", |at| at.parsed(ManagementRoleId::new))),
        locations: locations(&fields),
        id: id?,
    })
}

fn resource(at: &At<'_>) -> Option<Resource> {
    let fields = at.fields(&["type", "id", "locations", "platform", "owner", "parent"])?;
    let type_name = fields.required("type").and_then(|at| at.parsed(TypeName::new));
    let id = fields.required("id").and_then(|at| at.parsed(ObjectId::new));
    Some(Resource {
        locations: locations(&fields),
        platform: text(&fields, "platform"),
        owner: fields.get("owner").and_then(|at| at.parsed(PersonId::new)),
        parent: fields.get("parent").and_then(|at| at.parsed(ResourceRef::parse)),
        name: ResourceRef { type_name: type_name?, id: id? },
    })
}

fn assignment(at: &At<'_>) -> Option<Assignment> {
    let fields =
        at.fields(&["id", "to", "level", "on", "in", "relative", "valid_from", "valid_until"])?;
    let id = fields.get("id").map(|at| at.parsed(AssignmentId::new));
    let to = fields.required("to").and_then(|at| at.parsed(ActorRef::parse));
    let level = fields.required("level").and_then(|at| at.parsed(LevelRef::parse));
    let (scope, window) = (scope(&fields), window(&fields));
    let (to, level, scope) = (to?, level?, scope?);
    let id = match id {
        Some(id) => id?,
        None => match Assignment::derived_id(&to, &level, &scope, &window) {
            Ok(id) => id,
            Err(error) => {
                at.fail(error);
                return None;
            }
        },
    };
    Some(Assignment { id, to, level, scope, window })
}

/// C0: exactly one scope.
fn scope(fields: &Fields<'_>) -> Option<Scope> {
    let given = [fields.get("on"), fields.get("in"), fields.get("relative")];
    if given.iter().flatten().count() != 1 {
        fields.at().fail("expected exactly one of `on`, `in`, `relative`");
        return None;
    }
    let [on, place, relative] = given;
    if let Some(on) = on {
        return on.parsed(ResourceRef::parse).map(Scope::On);
    }
    if let Some(place) = place {
        return place.parsed(LocationId::new).map(Scope::In);
    }
    let words = Relative::ALL.map(|relative| (relative.as_str(), relative));
    relative?.word(&words).map(Scope::Relative)
}

fn position(at: &At<'_>) -> Option<Position> {
    let fields =
        at.fields(&["business_role", "location", "primary", "valid_from", "valid_until"])?;
    let role = fields.required("business_role").and_then(|at| at.parsed(BusinessRoleId::new));
    let location = fields.required("location").and_then(|at| at.parsed(LocationId::new));
    Some(Position {
        primary: fields.flag("primary", false),
        window: window(&fields),
        business_role: role?,
        location: location?,
    })
}

fn members(fields: &Fields<'_>) -> Vec<Membership> {
    sorted(fields.list("members", |at| {
        if !matches!(at.node.value, crate::yaml::Value::Map(_)) {
            let of = at.parsed(ActorRef::parse)?;
            return Some(Membership { of, window: Window::ALWAYS });
        }
        let fields = at.fields(&["of", "valid_from", "valid_until"])?;
        let of = fields.required("of").and_then(|at| at.parsed(ActorRef::parse));
        let window = window(&fields);
        Some(Membership { of: of?, window })
    }))
}

fn text(fields: &Fields<'_>, key: &str) -> Option<String> {
    fields.get(key).and_then(|at| at.text()).map(str::to_owned)
}

fn locations(fields: &Fields<'_>) -> Vec<LocationId> {
    sorted(fields.list("locations", |at| at.parsed(LocationId::new)))
}

fn window(fields: &Fields<'_>) -> Window {
    let instant = |key| fields.strict(key).and_then(|at| at.parsed(parse_time));
    Window { from: instant("valid_from"), until: instant("valid_until") }
}

/// Lists mean the same in any order; sorted as the engine keeps them, facts compare as equal.
fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}
