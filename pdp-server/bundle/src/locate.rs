//! Finds the line that a refused fact's problem is about, by reading the text a second time. That
//! costs nothing until something is refused.

use std::collections::HashMap;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{FactKey, FactKind, Problem};
use pdp_engine::permission::PermissionKind;
use pdp_engine::psm::COMPUTER;
use pdp_engine::resource::{BuiltInType, ResourceRef};
use pdp_engine::share::Entity;

use crate::diagnostic::Place;
use crate::policy::SECTIONS;
use crate::time::parse_time;
use crate::yaml::{Key, Node, Value, parse};

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) place: Place,
    pub(crate) key: String,
}

/// What to look for within a fact.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'p> {
    /// What a problem is about.
    Cause(&'p Problem),
    /// Where a fact is named.
    Mention(&'p FactKey),
    /// Nothing: the place is not that of a fact.
    Nothing,
}

/// For each fact's place, the place within the fact.
pub(crate) fn locate(
    text: &str,
    under: Option<&str>,
    wanted: &[(Place, Wanted<'_>)],
) -> Vec<Option<Located>> {
    let mut found: Vec<Option<Located>> = vec![None; wanted.len()];
    let Ok(Some(root)) = parse(text) else { return found };
    let (root, prefix) = match under {
        Some(key) => (value(&root, key), format!("{key}.")),
        None => (Some(&root), String::new()),
    };
    let Some(root) = root else { return found };
    let mut by_place: HashMap<Place, Vec<usize>> = HashMap::new();
    for (index, (place, wanted)) in wanted.iter().enumerate() {
        if matches!(wanted, Wanted::Nothing) {
            continue;
        }
        by_place.entry(*place).or_default().push(index);
    }
    let mut visit = |place: Place, path: &dyn Fn() -> String, node: &Node<'_>| {
        for index in by_place.get(&place).into_iter().flatten() {
            let Some((_, wanted)) = wanted.get(*index) else { continue };
            let mut located = Located { place, key: path() };
            let within = match wanted {
                Wanted::Cause(problem) => cause(node, problem),
                Wanted::Mention(key) => mention(node, key),
                Wanted::Nothing => None,
            };
            if let Some((within, suffix)) = within {
                located.place = within;
                located.key.push_str(&suffix);
            }
            if let Some(slot) = found.get_mut(*index) {
                *slot = Some(located);
            }
        }
    };
    for (section, kind) in SECTIONS {
        let Some(node) = value(root, section) else { continue };
        match (&node.value, kind) {
            (Value::Map(entries), FactKind::ResourceType) => {
                for (key, node) in entries {
                    visit(key.place, &|| format!("{prefix}{section}.{}", key.text), node);
                }
            }
            (Value::List(items), _) => {
                for (index, node) in items.iter().enumerate() {
                    visit(node.place, &|| format!("{prefix}{section}[{index}]"), node);
                }
            }
            (Value::Map(_) | Value::Scalar { .. }, _) => {}
        }
    }
    found
}

/// The place within a fact, and the rest of the key path.
fn cause(fact: &Node<'_>, problem: &Problem) -> Option<(Place, String)> {
    let whole = |field: &str| Some((value(fact, field)?.place, format!(".{field}")));
    let item = |field: &str, is: &dyn Fn(&Node<'_>) -> bool| {
        let Value::List(items) = &value(fact, field)?.value else { return whole(field) };
        let at = items.iter().enumerate().find(|(_, node)| is(node));
        at.map(|(index, node)| (node.place, format!(".{field}[{index}]"))).or_else(|| whole(field))
    };
    let named = |field: &str, name: &str| {
        let Value::Map(entries) = &value(fact, field)?.value else { return whole(field) };
        let at = entries.iter().find(|(key, _)| key.text == name);
        at.map(|(key, _)| (key.place, format!(".{field}.{name}")))
    };
    match problem {
        Problem::Dangling { field: "levels", target } => {
            level(fact, target).or_else(|| whole("levels"))
        }
        Problem::Dangling { field, target } => item(field, &|node| mentions(node, target)),
        Problem::Cycle { field, .. } | Problem::TextTooLong { field, .. } => whole(field),
        Problem::EmptyWindow { field } => item(field, &has_empty_window),
        Problem::MemberKind { member, .. } => {
            item("members", &|node| text(node).or_else(|| text(value(node, "of")?)) == Some(member))
        }
        Problem::OwnManager => whole("manager"),
        Problem::UndeclaredPermission { kind, name, .. } => match kind {
            PermissionKind::Operation => named("operations", name),
            PermissionKind::Right => named("rights", name),
        },
        Problem::RightQualifier { name, .. } => named("rights", name),
        Problem::Token { .. } => whole("name"),
        Problem::ScopeType { .. } => {
            whole("on").or_else(|| whole("in")).or_else(|| whole("relative"))
        }
        Problem::TooDeep { .. } => whole("parent"),
        Problem::BuiltInResource { .. } => whole("type"),
        Problem::ShareLevel { .. } => whole("level"),
        Problem::NotVaultEntity { .. } => whole("on"),
        Problem::ResourceGroupMember { member, .. } => {
            item("members", &|node| text(node) == Some(member))
        }
        Problem::ParentHasParent { .. } => whole("parent").or_else(|| whole("computer")),
        Problem::PlatformOfParent { .. } => whole("platform"),
        Problem::MaxSession => whole("max_session"),
        Problem::Approval { .. } => whole("kind"),
        _ => None,
    }
}

/// A permission level that a computer offers, or the native group that it maps to, and the rest of
/// the key path.
fn level(psm: &Node<'_>, target: &FactKey) -> Option<(Place, String)> {
    let Value::Map(levels) = &value(psm, "levels")?.value else { return None };
    levels.iter().find_map(|(level, group)| {
        let path = || format!(".levels.{}", level.text);
        match target {
            FactKey::PermissionLevel(id) => {
                (level.text == id.as_str()).then(|| (level.place, path()))
            }
            _ => mentions(group, target).then(|| (group.place, path())),
        }
    })
}

/// The first value of a fact that names another one, and the rest of the key path.
fn mention(fact: &Node<'_>, target: &FactKey) -> Option<(Place, String)> {
    let Value::Map(entries) = &fact.value else { return None };
    entries.iter().filter(|(key, _)| key.text != "id").find_map(|(key, node)| match &node.value {
        Value::List(items) => {
            let at = items.iter().enumerate().find(|(_, node)| mentions(node, target));
            at.map(|(index, node)| (node.place, format!(".{}[{index}]", key.text)))
        }
        Value::Scalar { .. } => {
            mentions(node, target).then(|| (node.place, format!(".{}", key.text)))
        }
        Value::Map(_) if key.text == "levels" => level(fact, target),
        Value::Map(_) => None,
    })
}

fn value<'n>(node: &'n Node<'n>, key: &str) -> Option<&'n Node<'n>> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(Key { text, .. }, _)| text == key).map(|(_, node)| node)
}

fn text<'n>(node: &'n Node<'n>) -> Option<&'n str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// Whether an item of a list (a location, a member, a position, a role) names the fact.
fn mentions(node: &Node<'_>, target: &FactKey) -> bool {
    match &node.value {
        Value::Scalar { text, .. } => names(text, target),
        Value::Map(entries) => entries.iter().any(|(key, node)| {
            let fits = match &*key.text {
                "business_role" => target.kind() == FactKind::BusinessRole,
                "location" => target.kind() == FactKind::Location,
                _ => true,
            };
            fits && mentions(node, target)
        }),
        Value::List(_) => false,
    }
}

fn names(text: &str, target: &FactKey) -> bool {
    if text == target.name() {
        return true;
    }
    if let Ok(actor) = ActorRef::parse(text) {
        let pair = match (&actor, target) {
            (ActorRef::BusinessRoleLocation(role, _), FactKey::BusinessRole(id)) => role == id,
            (ActorRef::BusinessRoleLocation(_, place), FactKey::Location(id)) => place == id,
            _ => false,
        };
        let same_kind = actor.kind() == target.kind().as_str().replace(' ', "_");
        return pair
            || (same_kind && text.split_once(':').is_some_and(|(_, id)| id == target.name()));
    }
    match (target, Entity::parse(text)) {
        (FactKey::ResourceGroup(id), Ok(Entity::Group(group))) => group == *id,
        // A computer is named by its id alone where nothing else can be meant.
        (FactKey::Resource(resource), _) => {
            resource.type_name.as_str() == COMPUTER && resource.id.as_str() == text
        }
        (target, Ok(Entity::Resource(object))) => is_object(&object, target),
        (_, Ok(Entity::Group(_)) | Err(_)) => false,
    }
}

/// Whether an object of a built-in type is the fact.
fn is_object(object: &ResourceRef, target: &FactKey) -> bool {
    let kind = match BuiltInType::from_name(object.type_name.as_str()) {
        Some(BuiltInType::Person) => FactKind::Person,
        Some(BuiltInType::UserAccount) => FactKind::Account,
        Some(BuiltInType::Group) => FactKind::Group,
        Some(BuiltInType::SetGroup) => FactKind::SetGroup,
        Some(BuiltInType::BusinessRole) => FactKind::BusinessRole,
        Some(BuiltInType::Location) => FactKind::Location,
        Some(BuiltInType::ManagementRole) => FactKind::ManagementRole,
        Some(BuiltInType::ManagementRoleDefinition) => FactKind::ManagementRoleDefinition,
        None => return false,
    };
    target.kind() == kind && target.name() == object.id.as_str()
}

fn has_empty_window(node: &Node<'_>) -> bool {
    let instant = |key| parse_time(text(value(node, key)?)?).ok();
    matches!((instant("valid_from"), instant("valid_until")), (Some(from), Some(until)) if from >= until)
}
