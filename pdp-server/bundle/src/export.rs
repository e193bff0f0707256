//! Facts to a policy bundle: one line a fact, the same bytes for the same facts every time, and a
//! bundle that applies back to the same facts. Defaults are left out.

use std::collections::BTreeMap;
use std::fmt;

use pdp_engine::actor::{Account, Group, Membership, Person, Position};
use pdp_engine::facts::{Fact, Facts};
use pdp_engine::id::LocationId;
use pdp_engine::level::{Assignment, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityScope, Jit, Psm};
use pdp_engine::resource::{Resource, ResourceRef};
use pdp_engine::share::{ResourceGroup, Share};
use pdp_engine::time::Window;

use crate::duration::format_duration;
use crate::policy::SECTIONS;
use crate::scalar;
use crate::time::format_time;

/// The longest chunk that [`chunks`] gives, in bytes: small beside the message limits of the doors
/// it goes through, large beside their overhead.
pub const CHUNK_BYTES: usize = 64 << 10;

/// The bundle of these facts.
#[must_use]
pub fn export(facts: &Facts) -> String {
    lines(facts).collect()
}

/// Writes the bundle of these facts line by line.
///
/// # Errors
/// Those of the writer.
pub fn write(facts: &Facts, out: &mut impl fmt::Write) -> fmt::Result {
    lines(facts).try_for_each(|line| out.write_str(&line))
}

/// The bundle of these facts in pieces of at most [`CHUNK_BYTES`], to be put together as they come.
pub fn chunks(facts: &Facts) -> impl Iterator<Item = String> + '_ {
    let mut lines = lines(facts);
    let mut rest = String::new();
    std::iter::from_fn(move || {
        while rest.len() < CHUNK_BYTES
            && let Some(line) = lines.next()
        {
            rest.push_str(&line);
        }
        if rest.is_empty() {
            return None;
        }
        // A fact with very many members is longer than a chunk: it is cut between characters.
        let longest = rest.len().min(CHUNK_BYTES);
        let end = (0..=longest).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(longest);
        let after = rest.split_off(end);
        Some(std::mem::replace(&mut rest, after))
    })
}

/// The bundle of facts that are made one after the other, as they come: nothing of it is kept. A
/// section begins where the kind changes, so each kind has to come in one run, and no fact twice;
/// an export's order ([`Facts::iter`]) is such an order.
pub fn stream(facts: impl IntoIterator<Item = Fact>) -> impl Iterator<Item = String> {
    let mut begun = None;
    facts.into_iter().map(move |fact| {
        let kind = fact.key().kind();
        let section = SECTIONS.iter().find(|(_, of)| *of == kind && begun != Some(kind));
        begun = Some(kind);
        let header = section.map_or_else(String::new, |(section, _)| format!("{section}:\n"));
        header + &line(&fact)
    })
}

fn lines(facts: &Facts) -> impl Iterator<Item = String> + '_ {
    let empty = facts.is_empty().then(|| "{}\n".to_owned());
    let sections = SECTIONS.into_iter().flat_map(|(section, kind)| {
        let mut of_kind = facts.of_kind(kind).peekable();
        let header = of_kind.peek().map(|_| format!("{section}:\n"));
        header.into_iter().chain(of_kind.map(|fact| line(&fact)))
    });
    empty.into_iter().chain(sections)
}

fn line(fact: &Fact) -> String {
    let mut out = String::new();
    match fact {
        Fact::ResourceType(declared) => {
            out.push_str("  ");
            scalar::push(&mut out, declared.name.as_str());
            out.push_str(": ");
        }
        _ => out.push_str("  - "),
    }
    let mut map = Map::begin(&mut out);
    fields(&mut map, fact);
    map.end();
    out.push('\n');
    out
}

fn fields(map: &mut Map<'_>, fact: &Fact) {
    match fact {
        Fact::ResourceType(declared) => {
            map.strings("operations", declared.operations.iter().map(|name| name.as_str()));
            map.strings("rights", declared.rights.iter().map(|name| name.as_str()));
        }
        Fact::AccessLevel(level) => {
            map.string("type", level.name.type_name.as_str());
            map.string("name", level.name.name.as_str());
            map.qualifiers("operations", &level.operations);
            map.qualifiers("rights", &level.rights);
        }
        Fact::Location(location) => {
            map.string("id", location.id.as_str());
            map.optional("parent", location.parent.as_ref().map(|id| id.as_str()));
            map.flag("organization", location.organization, false);
            map.flag("block_inheritance", location.block_inheritance, false);
        }
        Fact::BusinessRole(role) => {
            map.string("id", role.id.as_str());
            map.optional("parent", role.parent.as_ref().map(|id| id.as_str()));
            map.locations(&role.locations);
        }
        Fact::Person(person) => self::person(map, person),
        Fact::Account(account) => self::account(map, account),
        Fact::Group(group) => self::group(map, group),
        Fact::SetGroup(group) => {
            map.string("id", group.id.as_str());
            map.members(&group.members);
            map.locations(&group.locations);
        }
        Fact::ManagementRoleDefinition(definition) => {
            map.string("id", definition.id.as_str());
            map.locations(&definition.locations);
        }
        Fact::ManagementRole(role) => {
            map.string("id", role.id.as_str());
            map.optional("definition", role.definition.as_ref().map(|id| id.as_str()));
            map.members(&role.members);
            map.strings("includes", role.includes.iter().map(|id| id.as_str()));
            map.locations(&role.locations);
        }
        Fact::Resource(resource) => self::resource(map, resource),
        Fact::ResourceGroup(group) => self::resource_group(map, group),
        Fact::Assignment(assignment) => self::assignment(map, assignment),
        Fact::Share(share) => self::share(map, share),
        Fact::PermissionLevel(level) => {
            map.string("id", level.id.as_str());
            map.optional("name", level.name.as_deref());
        }
        Fact::Psm(psm) => self::psm(map, psm),
        Fact::Eligibility(eligibility) => self::eligibility(map, eligibility),
    }
}

fn person(map: &mut Map<'_>, person: &Person) {
    let Person { id, name, login, enabled, manager, locations, positions, vault_privileges } =
        person;
    map.string("id", id.as_str());
    map.optional("name", name.as_deref());
    map.optional("login", login.as_deref());
    map.flag("enabled", *enabled, true);
    map.optional("manager", manager.as_ref().map(|id| id.as_str()));
    map.locations(locations);
    map.positions(positions);
    map.strings("vault_privileges", vault_privileges.iter().map(|privilege| privilege.as_str()));
}

fn account(map: &mut Map<'_>, account: &Account) {
    let Account { id, owner, enabled, computer, locations } = account;
    map.string("id", id.as_str());
    map.optional("owner", owner.as_ref().map(|id| id.as_str()));
    map.optional("computer", computer.as_ref().map(|id| id.as_str()));
    map.flag("enabled", *enabled, true);
    map.locations(locations);
}

fn group(map: &mut Map<'_>, group: &Group) {
    let Group { id, members, positions, default, locations } = group;
    map.string("id", id.as_str());
    map.members(members);
    map.positions(positions);
    map.flag("default", *default, false);
    map.locations(locations);
}

fn resource(map: &mut Map<'_>, resource: &Resource) {
    let Resource { name: ResourceRef { type_name, id }, locations, platform, owner, parent } =
        resource;
    map.string("type", type_name.as_str());
    map.string("id", id.as_str());
    map.locations(locations);
    map.optional("platform", platform.as_deref());
    map.optional("owner", owner.as_ref().map(|id| id.as_str()));
    map.optional("parent", parent.as_ref().map(ToString::to_string).as_deref());
}

fn resource_group(map: &mut Map<'_>, group: &ResourceGroup) {
    let ResourceGroup { id, members, default } = group;
    map.string("id", id.as_str());
    map.list("members", members, |out, member| scalar::push(out, &member.to_string()));
    map.flag("default", *default, false);
}

fn share(map: &mut Map<'_>, share: &Share) {
    let Share { key, level } = share;
    map.string("to", &key.to.to_string());
    map.string("on", &key.on.to_string());
    map.string("level", level.as_str());
}

fn psm(map: &mut Map<'_>, psm: &Psm) {
    let Psm {
        computer,
        enabled,
        allow_unprivileged,
        account_store,
        max_session_micros,
        max_concurrent,
        jit,
        levels,
    } = psm;
    map.string("computer", computer.as_str());
    map.flag("enabled", *enabled, true);
    map.flag("allow_unprivileged", *allow_unprivileged, false);
    map.optional("account_store", account_store.as_deref());
    if *max_session_micros != DEFAULT_MAX_SESSION_MICROS {
        // A duration ends with a letter: no YAML takes it for a number.
        map.key("max_session").push_str(&format_duration(*max_session_micros));
    }
    if *max_concurrent != 0 {
        map.key("max_concurrent").push_str(&max_concurrent.to_string());
    }
    if *jit != Jit::default() {
        let Jit { enabled, delete_on_end, reuse_existing } = *jit;
        let mut jit = Map::begin(map.key("jit"));
        jit.flag("enabled", enabled, false);
        jit.flag("delete_on_end", delete_on_end, false);
        jit.flag("reuse_existing", reuse_existing, false);
        jit.end();
    }
    if !levels.is_empty() {
        let mut offered = Map::begin(map.key("levels"));
        for (level, group) in levels {
            match group {
                Some(group) => offered.string(level.as_str(), &format!("group:{group}")),
                None => offered.key(level.as_str()).push_str("null"),
            }
        }
        offered.end();
    }
}

fn eligibility(map: &mut Map<'_>, eligibility: &Eligibility) {
    let Eligibility { key, window } = eligibility;
    map.string("to", &key.to.to_string());
    map.string("level", key.level.as_str());
    match &key.scope {
        EligibilityScope::On(computer) => {
            map.string("on", &ResourceRef::computer(computer).to_string());
        }
        EligibilityScope::In(location) => map.string("in", location.as_str()),
    }
    map.string("kind", key.kind.as_str());
    map.window(window);
}

fn assignment(map: &mut Map<'_>, assignment: &Assignment) {
    let Assignment { id, to, level, scope, window } = assignment;
    if !Assignment::derived_id(to, level, scope, window).is_ok_and(|derived| derived == *id) {
        map.string("id", id.as_str());
    }
    map.string("to", &to.to_string());
    map.string("level", &level.to_string());
    match scope {
        Scope::On(resource) => map.string("on", &resource.to_string()),
        Scope::In(location) => map.string("in", location.as_str()),
        Scope::Relative(relative) => map.string("relative", relative.as_str()),
    }
    map.window(window);
}

/// A flow map that is being written.
struct Map<'o> {
    out: &'o mut String,
    begun: bool,
}

// === impl Map ===

impl<'o> Map<'o> {
    fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, begun: false }
    }

    fn end(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) -> &mut String {
        if self.begun {
            self.out.push_str(", ");
        }
        self.begun = true;
        scalar::push(self.out, key);
        self.out.push_str(": ");
        self.out
    }

    fn string(&mut self, key: &str, value: &str) {
        let out = self.key(key);
        scalar::push(out, value);
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool, default: bool) {
        if value != default {
            self.key(key).push_str(if value { "true" } else { "false" });
        }
    }

    /// A list, left out if it is empty; `item` writes one item.
    fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        item: impl Fn(&mut String, T),
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        let out = self.key(key);
        out.push('[');
        for (position, value) in items.enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            item(out, value);
        }
        out.push(']');
    }

    fn strings<'s>(&mut self, key: &str, items: impl Iterator<Item = &'s str>) {
        self.list(key, items, scalar::push);
    }

    fn locations(&mut self, locations: &[LocationId]) {
        self.strings("locations", locations.iter().map(LocationId::as_str));
    }

    fn members(&mut self, members: &[Membership]) {
        self.list("members", members, |out, Membership { of, window }| {
            if window.is_always() {
                return scalar::push(out, &of.to_string());
            }
            let mut map = Map::begin(out);
            map.string("of", &of.to_string());
            map.window(window);
            map.end();
        });
    }

    fn positions(&mut self, positions: &[Position]) {
        self.list("positions", positions, |out, position| {
            let Position { business_role, location, primary, window } = position;
            let mut map = Map::begin(out);
            map.string("business_role", business_role.as_str());
            map.string("location", location.as_str());
            map.flag("primary", *primary, false);
            map.window(window);
            map.end();
        });
    }

    fn qualifiers(&mut self, key: &str, qualifiers: &BTreeMap<Pattern, Qualifier>) {
        if qualifiers.is_empty() {
            return;
        }
        let mut map = Map::begin(self.key(key));
        for (pattern, qualifier) in qualifiers {
            map.string(&pattern.to_string(), qualifier.as_str());
        }
        map.end();
    }

    fn window(&mut self, window: &Window) {
        let Window { from, until } = window;
        for (key, instant) in [("valid_from", from), ("valid_until", until)] {
            if let Some(instant) = instant {
                // A time is a time in every YAML: it needs no quotes.
                self.key(key).push_str(&format_time(*instant));
            }
        }
    }
}
