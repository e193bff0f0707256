//! Facts as JSON, in the keys of a bundle, and the names of kinds and facts on a command line.

mod family;
mod key;

use std::collections::BTreeMap;

use pdp_bundle::time::format_time;
use pdp_engine::actor::{
    Account, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership, Person,
    Position, SetGroup,
};
use pdp_engine::facts::{Fact, FactKind, Facts};
use pdp_engine::id::LocationId;
use pdp_engine::level::{AccessLevel, Assignment, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::PermissionLevel;
use pdp_engine::resource::{Location, Resource, ResourceType};
use pdp_engine::share::{ShareKey, ShareLevel};
use pdp_engine::time::Window;
use serde_json::{Map, Value, json};

use crate::problem::Problem;

pub(crate) use key::parse_key;

/// The kind as one word: `set_group`.
pub(crate) fn word(kind: FactKind) -> String {
    kind.as_str().replace(' ', "_")
}

/// Reads a kind as one word, singular or as the section of a bundle.
pub(crate) fn parse_kind(text: &str) -> Result<FactKind, Problem> {
    let found = FactKind::ALL.iter().find(|kind| word(**kind) == text || section(**kind) == text);
    found.copied().ok_or_else(|| {
        let words: Vec<_> = FactKind::ALL.iter().map(|kind| format!("`{}`", word(*kind))).collect();
        let text = text.escape_debug();
        Problem::argument(
            "KIND",
            format!("`{text}` is no kind of fact; write {}", words.join(", ")),
        )
    })
}

/// A whole policy as a bundle.
pub(crate) fn bundle(facts: &Facts) -> Value {
    let mut sections = Map::new();
    for kind in FactKind::ALL {
        let mut of_kind = facts.of_kind(*kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        let section_json = if *kind == FactKind::ResourceType {
            Value::Object(of_kind.map(|fact| (fact.key().name(), json(&fact))).collect())
        } else {
            of_kind.map(|fact| json(&fact)).collect()
        };
        sections.insert(section(*kind).to_owned(), section_json);
    }
    Value::Object(sections)
}

/// One fact as it stands in a bundle. Defaults are left out.
pub(crate) fn json(fact: &Fact) -> Value {
    let mut map = Map::new();
    match fact {
        Fact::ResourceType(fact) => {
            let ResourceType { name: _, operations, rights } = &**fact;
            list(&mut map, "operations", operations.iter().map(ToString::to_string));
            list(&mut map, "rights", rights.iter().map(ToString::to_string));
        }
        Fact::Location(fact) => {
            let Location { id, parent, organization, block_inheritance } = &**fact;
            text(&mut map, "id", Some(id));
            text(&mut map, "parent", parent.as_ref());
            flag(&mut map, "organization", *organization, false);
            flag(&mut map, "block_inheritance", *block_inheritance, false);
        }
        Fact::BusinessRole(fact) => {
            let BusinessRole { id, parent, locations } = &**fact;
            text(&mut map, "id", Some(id));
            text(&mut map, "parent", parent.as_ref());
            places(&mut map, locations);
        }
        Fact::AccessLevel(fact) => {
            let AccessLevel { name, operations, rights } = &**fact;
            text(&mut map, "type", Some(&name.type_name));
            text(&mut map, "name", Some(&name.name));
            qualifiers(&mut map, "operations", operations);
            qualifiers(&mut map, "rights", rights);
        }
        Fact::Person(fact) => person(&mut map, fact),
        Fact::Account(fact) => {
            let Account { id, owner, enabled, computer, locations } = &**fact;
            text(&mut map, "id", Some(id));
            text(&mut map, "owner", owner.as_ref());
            text(&mut map, "computer", computer.as_ref());
            flag(&mut map, "enabled", *enabled, true);
            places(&mut map, locations);
        }
        Fact::Group(_) | Fact::SetGroup(_) | Fact::ManagementRole(_) => members_of(&mut map, fact),
        Fact::ManagementRoleDefinition(fact) => {
            let ManagementRoleDefinition { id, locations } = &**fact;
            text(&mut map, "id", Some(id));
            places(&mut map, locations);
        }
        Fact::Resource(fact) => {
            let Resource { name, locations, platform, owner, parent } = &**fact;
            text(&mut map, "type", Some(&name.type_name));
            text(&mut map, "id", Some(&name.id));
            places(&mut map, locations);
            text(&mut map, "platform", platform.as_ref());
            text(&mut map, "owner", owner.as_ref());
            text(&mut map, "parent", parent.as_ref());
        }
        Fact::ResourceGroup(fact) => family::resource_group(&mut map, fact),
        Fact::Assignment(fact) => return assignment(fact),
        Fact::Share(fact) => family::share(&mut map, &fact.key, fact.level),
        Fact::PermissionLevel(fact) => {
            let PermissionLevel { id, name } = &**fact;
            text(&mut map, "id", Some(id));
            text(&mut map, "name", name.as_ref());
        }
        Fact::Psm(fact) => family::psm(&mut map, fact),
        Fact::Eligibility(fact) => family::eligibility(&mut map, fact),
    }
    Value::Object(map)
}

/// An assignment as it stands in a bundle, always with its id.
pub(crate) fn assignment(assignment: &Assignment) -> Value {
    let Assignment { id, to, level, scope, window: open } = assignment;
    let mut map = Map::new();
    text(&mut map, "id", Some(id));
    text(&mut map, "to", Some(to));
    text(&mut map, "level", Some(level));
    match scope {
        Scope::On(resource) => text(&mut map, "on", Some(resource)),
        Scope::In(location) => text(&mut map, "in", Some(location)),
        Scope::Relative(relative) => text(&mut map, "relative", Some(&relative.as_str())),
    }
    window(&mut map, open);
    Value::Object(map)
}

/// A share as it stands in a bundle.
pub(crate) fn share(key: &ShareKey, level: ShareLevel) -> Value {
    let mut map = Map::new();
    family::share(&mut map, key, level);
    Value::Object(map)
}

/// The bounds of a window, as far as it has any.
pub(crate) fn window(map: &mut Map<String, Value>, window: &Window) {
    let Window { from, until } = window;
    text(map, "valid_from", from.map(format_time).as_ref());
    text(map, "valid_until", until.map(format_time).as_ref());
}

fn person(map: &mut Map<String, Value>, person: &Person) {
    let Person { id, name, login, enabled, manager, locations, positions: held, vault_privileges } =
        person;
    text(map, "id", Some(id));
    text(map, "name", name.as_ref());
    text(map, "login", login.as_ref());
    flag(map, "enabled", *enabled, true);
    text(map, "manager", manager.as_ref());
    places(map, locations);
    positions(map, held);
    list(map, "vault_privileges", vault_privileges.iter().map(|privilege| privilege.as_str()));
}

fn members_of(map: &mut Map<String, Value>, fact: &Fact) {
    match fact {
        Fact::Group(fact) => {
            let Group { id, members: listed, positions: held, default, locations } = &**fact;
            text(map, "id", Some(id));
            members(map, listed);
            positions(map, held);
            flag(map, "default", *default, false);
            places(map, locations);
        }
        Fact::SetGroup(fact) => {
            let SetGroup { id, members: listed, locations } = &**fact;
            text(map, "id", Some(id));
            members(map, listed);
            places(map, locations);
        }
        Fact::ManagementRole(fact) => {
            let ManagementRole { id, definition, members: listed, includes, locations } = &**fact;
            text(map, "id", Some(id));
            text(map, "definition", definition.as_ref());
            members(map, listed);
            list(map, "includes", includes.iter().map(ToString::to_string));
            places(map, locations);
        }
        _ => {}
    }
}

fn text(map: &mut Map<String, Value>, key: &str, value: Option<&impl ToString>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), json!(value.to_string()));
    }
}

fn flag(map: &mut Map<String, Value>, key: &str, value: bool, default: bool) {
    if value != default {
        map.insert(key.to_owned(), json!(value));
    }
}

fn list<T: Into<Value>>(map: &mut Map<String, Value>, key: &str, items: impl Iterator<Item = T>) {
    let items: Vec<Value> = items.map(Into::into).collect();
    if !items.is_empty() {
        map.insert(key.to_owned(), Value::Array(items));
    }
}

fn places(map: &mut Map<String, Value>, locations: &[LocationId]) {
    list(map, "locations", locations.iter().map(ToString::to_string));
}

fn members(map: &mut Map<String, Value>, members: &[Membership]) {
    let member = |member: &Membership| {
        let Membership { of, window: open } = member;
        if open.is_always() {
            return json!(of.to_string());
        }
        let mut map = Map::new();
        text(&mut map, "of", Some(of));
        window(&mut map, open);
        Value::Object(map)
    };
    list(map, "members", members.iter().map(member));
}

fn positions(map: &mut Map<String, Value>, positions: &[Position]) {
    let position = |position: &Position| {
        let Position { business_role, location, primary, window: open } = position;
        let mut map = Map::new();
        text(&mut map, "business_role", Some(business_role));
        text(&mut map, "location", Some(location));
        flag(&mut map, "primary", *primary, false);
        window(&mut map, open);
        Value::Object(map)
    };
    list(map, "positions", positions.iter().map(position));
}

fn qualifiers(map: &mut Map<String, Value>, key: &str, says: &BTreeMap<Pattern, Qualifier>) {
    if says.is_empty() {
        return;
    }
    let lines = says.iter().map(|(pattern, says)| (pattern.to_string(), json!(says.as_str())));
    map.insert(key.to_owned(), Value::Object(lines.collect()));
}

/// The section of a bundle that facts of a kind stand in.
const fn section(kind: FactKind) -> &'static str {
    match kind {
        FactKind::ResourceType => "resource_types",
        FactKind::Location => "locations",
        FactKind::BusinessRole => "business_roles",
        FactKind::AccessLevel => "access_levels",
        FactKind::Person => "people",
        FactKind::Account => "accounts",
        FactKind::Group => "groups",
        FactKind::SetGroup => "set_groups",
        FactKind::ManagementRoleDefinition => "management_role_definitions",
        FactKind::ManagementRole => "management_roles",
        FactKind::Resource => "resources",
        FactKind::ResourceGroup => "resource_groups",
        FactKind::Assignment => "assignments",
        FactKind::Share => "shares",
        FactKind::PermissionLevel => "permission_levels",
        FactKind::Psm => "psm",
        FactKind::Eligibility => "eligibilities",
    }
}
