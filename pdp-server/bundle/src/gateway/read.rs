//! Reading a mapping from its file. Everything that can be wrong with it is said with line and
//! column before the first request.

use std::path::Path;

use pdp_engine::id::{PermissionLevelId, PermissionName, TenantId, validate_type_name};
use pdp_engine::list::AnyPermission;
use pdp_engine::share::VaultAction;

use super::routes::{Ask, Host, ObjectTemplate, Route, RouteAnswer, Routes};
use super::slash::{Passed, passed};
use super::subject::{From, Kind, Source};
use super::template::{Pattern, Template};
use super::{Claim, Gateway, takes_counterpart};
use crate::diagnostic::{BundleError, shown};
use crate::question::parse_permission;
use crate::read::{At, Fields, Sink, text_of};
use crate::yaml;

/// How large the file of a mapping may be, in bytes: [`MAX_ROUTES`] routes of a kilobyte each.
pub const MAX_GATEWAY_BYTES: usize = 1 << 20;

/// How many routes there may be: several times what one gateway is told of.
pub const MAX_ROUTES: usize = 1_000;

/// How many sources of subjects there may be: each is looked at for every request.
const MAX_SOURCES: usize = 16;

/// How many methods, and how many hosts, one route may name.
const MAX_PER_ROUTE: usize = 16;

/// Where Envoy is told to put the payload of a token, if not elsewhere.
const PAYLOAD: &str = "jwt_payload";

/// The capture of a source that has only one thing to give.
const VALUE: &str = "{value}";

/// The names that the server gives to its own headers begin so.
const OURS: &str = "x-pdp-";

// === impl Gateway ===

impl Gateway {
    /// Reads a mapping. `source` is what messages call the file.
    ///
    /// # Errors
    /// [`BundleError`] lists what is wrong, each with its line.
    pub fn parse(source: &str, text: &str) -> Result<Self, BundleError> {
        if text.len() > MAX_GATEWAY_BYTES {
            let actual = text.len();
            let message = format!("the text has {actual} bytes; the limit is {MAX_GATEWAY_BYTES}");
            return Err(BundleError::whole_file(source, message));
        }
        let root = yaml::parse(text).map_err(|error| Sink::syntax(source, error))?;
        let Some(root) = root else {
            return Err(BundleError::whole_file(source, "the mapping is empty"));
        };
        let sink = Sink::new(source);
        let gateway = read(&At::top(&sink, &root));
        sink.finish(gateway)
    }

    /// Reads a mapping from the file system.
    ///
    /// # Errors
    /// [`BundleError`] says what cannot be read or is wrong.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let source = path.display().to_string();
        let text = text_of(path, MAX_GATEWAY_BYTES)?;
        Self::parse(&source, &text)
    }
}

fn read(at: &At<'_>) -> Option<Gateway> {
    let fields = at.fields(&["tenant", "subject", "challenge", "approval", "routes"])?;
    let tenant = fields.get("tenant").map(|at| at.parsed(TenantId::new));
    let sources = few(&fields, "subject", MAX_SOURCES, source);
    let challenge = fields.get("challenge").map(|at| at.parsed(header_value));
    let approval = fields.get("approval").map(|at| approval(&at));
    let routes = Routes::compile(few(&fields, "routes", MAX_ROUTES, route));
    if let Some(list) = fields.get("routes") {
        hold_slashes(&list, &routes);
    }
    Some(Gateway {
        tenant: optional(tenant)?,
        sources,
        routes,
        challenge: optional(challenge)?.unwrap_or_else(|| Gateway::CHALLENGE.into()),
        approval: optional(approval)?,
    })
}

/// Nothing that one route asks about passes by another with a slash more or less.
fn hold_slashes(list: &At<'_>, routes: &Routes) {
    for Passed { by, asks, form } in passed(routes.all()) {
        if let Some(at) = list.items().find(|at| at.node.place == by.place) {
            let (line, path) = (asks.place.line, &asks.path);
            at.fail(format_args!(
                "`{form}` would pass here without a question, while line {line} asks about `{path}`; write a route for `{form}` before this one"
            ));
        }
    }
}

/// What was said and could not be read is missing; what was not said is not.
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

/// A list of bounded length.
fn few<T>(
    fields: &Fields<'_>,
    key: &str,
    most: usize,
    read: impl Fn(At<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(list) = fields.strict(key) else { return Vec::new() };
    let count = list.items().count();
    if count > most {
        list.fail(format_args!("{count} entries; the limit is {most}"));
        return Vec::new();
    }
    list.items().filter_map(read).collect()
}

fn approval(at: &At<'_>) -> Option<(Box<str>, Box<str>)> {
    let fields = at.fields(&["header", "value"])?;
    let name = fields.required("header").and_then(|at| at.parsed(header_name));
    let value = fields.required("value").and_then(|at| at.parsed(header_value));
    Some((name?, value?))
}

fn source(at: At<'_>) -> Option<Source> {
    let fields = at.fields(&["claim", "payload", "header", "principal", "as"])?;
    let (claim, payload) = (fields.strict("claim"), fields.strict("payload"));
    let (header, principal) = (fields.strict("header"), fields.strict("principal"));
    if payload.is_some() && claim.is_none() {
        fields.at().fail("`payload` says where a token's claims are; it goes with `claim`");
        return None;
    }
    let written = fields.required("as");
    let value = Pattern::parse(VALUE, '\0').ok();
    let (from, captures) = match (claim, header, principal) {
        (Some(at), None, None) => {
            let payload = payload.map(|at| at.parsed(not_empty));
            let payload = optional(payload)?.unwrap_or_else(|| PAYLOAD.into());
            (From::Claim(Claim { payload, path: claim_path(&at)? }), value?)
        }
        (None, Some(at), None) => (From::Header(at.parsed(subject_header)?), value?),
        (None, None, Some(at)) => {
            let pattern = at.parsed(principal_pattern)?;
            (From::Principal(pattern.clone()), pattern)
        }
        _ => {
            fields.at().fail("expected exactly one of `claim`, `header` and `principal`");
            return None;
        }
    };
    let (kind, id) = written?.parsed(|text| subject_template(text, &captures))?;
    Some(Source { from, kind, id })
}

fn claim_path(at: &At<'_>) -> Option<Vec<Box<str>>> {
    if matches!(at.node.value, yaml::Value::List(_)) {
        let path: Vec<_> = at.items().map(|at| at.parsed(not_empty)).collect::<Option<_>>()?;
        if path.is_empty() {
            at.fail("an empty list names no claim");
            return None;
        }
        return Some(path);
    }
    Some(vec![at.parsed(not_empty)?])
}

fn subject_header(text: &str) -> Result<Box<str>, String> {
    let name = header_name(text)?;
    if name.starts_with(OURS) {
        return Err(format!("`{name}` is a header of this server, which is taken off requests"));
    }
    Ok(name)
}

/// Parts of URIs are told apart by slashes, those of DNS names by dots.
fn principal_pattern(text: &str) -> Result<Pattern, String> {
    let separator = if text.contains('/') { '/' } else { '.' };
    not_empty(text)?;
    Pattern::parse(text, separator).map_err(|error| error.to_string())
}

fn subject_template(text: &str, captures: &Pattern) -> Result<(Kind, Template), String> {
    let (kind, id) = match text.split_once(':') {
        Some(("person", id)) => (Kind::Person, id),
        Some(("account", id)) => (Kind::Account, id),
        _ => {
            let shown = shown(text);
            let capture = captures.names.first().map_or("value", |name| &**name);
            return Err(format!(
                "`{shown}` does not name a subject; write `person:{{{capture}}}` or `account:{{{capture}}}`"
            ));
        }
    };
    not_empty(id)?;
    Ok((kind, Template::parse(id, captures).map_err(|error| error.to_string())?))
}

fn route(at: At<'_>) -> Option<Route> {
    let fields = at.fields(&[
        "name",
        "methods",
        "hosts",
        "path",
        "public",
        "tenant",
        "permission",
        "resource",
        "counterpart",
    ])?;
    let name = fields.get("name").map(|at| at.parsed(not_empty));
    let methods = few(&fields, "methods", MAX_PER_ROUTE, |at| at.parsed(method));
    let hosts = few(&fields, "hosts", MAX_PER_ROUTE, |at| at.parsed(host));
    for key in ["methods", "hosts"] {
        if let Some(at) = fields.strict(key).filter(|at| at.items().next().is_none()) {
            at.fail("an empty list takes no request; leave the key out to take all");
        }
    }
    let path = fields.required("path").and_then(|at| at.parsed(path_pattern));
    let public = fields.flag("public", false);
    let path = path?;
    let answer = if public { answer_public(&fields) } else { ask(&fields, &path) };
    let (name, place) = (optional(name)?, at.node.place);
    Some(Route { name, place, methods, hosts, path, answer: answer? })
}

fn answer_public(fields: &Fields<'_>) -> Option<RouteAnswer> {
    for key in ["tenant", "permission", "resource", "counterpart"] {
        if let Some(at) = fields.strict(key) {
            at.fail("a public route asks nothing; leave this out, or `public`");
            return None;
        }
    }
    Some(RouteAnswer::Public)
}

fn ask(fields: &Fields<'_>, path: &Pattern) -> Option<RouteAnswer> {
    let tenant = fields.get("tenant").map(|at| at.parsed(TenantId::new));
    let written = fields.required("permission").and_then(|at| at.parsed(permission));
    let resource = fields.required("resource").and_then(|at| at.parsed(|text| object(text, path)));
    let counterpart = fields.strict("counterpart").map(|at| at.parsed(|text| object(text, path)));
    let (permission, resource) = (written?, resource?);
    let asked = parse_permission(&permission);
    if let Some(at) = fields.strict("counterpart").filter(|_| !takes_counterpart(asked)) {
        at.fail("a counterpart goes with an operation only");
        return None;
    }
    let is_group = *resource.type_name == *RESOURCE_GROUP;
    if let Some(at) = fields.strict("resource").filter(|_| is_group && !is_vault(asked)) {
        at.fail(format_args!("a `{RESOURCE_GROUP}` goes with a vault action only"));
        return None;
    }
    let (tenant, counterpart) = (optional(tenant)?, optional(counterpart)?);
    Some(RouteAnswer::Ask(Ask { tenant, permission, resource, counterpart }))
}

/// What stands for a type where a vault action is on a resource group.
const RESOURCE_GROUP: &str = "resource_group";

const fn is_vault(permission: AnyPermission<'_>) -> bool {
    matches!(permission, AnyPermission::Vault(_))
}

fn permission(text: &str) -> Result<Box<str>, String> {
    match parse_permission(text) {
        AnyPermission::Access(permission) => {
            PermissionName::new(permission.name).map_err(|error| error.to_string())?;
        }
        AnyPermission::Vault(action) => {
            if VaultAction::from_name(action).is_none() {
                let known = VaultAction::ALL.map(VaultAction::as_str);
                let known = crate::read::list(known.into_iter());
                return Err(format!("`{}` is not a vault action: {known}", shown(action)));
            }
        }
        AnyPermission::Session(Some(level)) => {
            PermissionLevelId::new(level).map_err(|error| error.to_string())?;
        }
        AnyPermission::Session(None) => {}
    }
    Ok(text.into())
}

fn object(text: &str, path: &Pattern) -> Result<ObjectTemplate, String> {
    let Some((type_name, id)) = text.split_once(':') else {
        let shown = shown(text);
        return Err(format!("`{shown}` does not name a resource; write `Type:id`"));
    };
    if type_name != RESOURCE_GROUP {
        validate_type_name("resource type", type_name).map_err(|error| error.to_string())?;
    }
    not_empty(id)?;
    let id = Template::parse(id, path).map_err(|error| error.to_string())?;
    Ok(ObjectTemplate { type_name: type_name.into(), id })
}

fn path_pattern(text: &str) -> Result<Pattern, String> {
    let Some(inner) = text.strip_prefix('/') else {
        return Err(format!("`{}` is no path; begin it with `/`", shown(text)));
    };
    // What requests can never be is a mistake; it is written as it is after decoding.
    let escape = inner
        .split('%')
        .skip(1)
        .any(|after| after.len() > 1 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()));
    let never = |c: char| c.is_ascii_control() || matches!(c, '?' | '#' | '\\' | ';');
    if let Some(sign) = escape.then_some('%').or_else(|| inner.chars().find(|c| never(*c))) {
        let (sign, advice) = (sign.escape_debug(), "write paths decoded and without a query");
        return Err(format!("`{sign}` never stands there in the path of a request; {advice}"));
    }
    let pattern = Pattern::parse(text, '/').map_err(|error| error.to_string())?;
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") || (segment.is_empty() && segments.peek().is_some()) {
            return Err("`//` and dot segments never stand in the path of a request".to_owned());
        }
        if segment.ends_with(['.', ' ']) {
            let advice = "no segment of a request's path ends in a dot or a space";
            return Err(format!("`{}`: {advice}", shown(segment)));
        }
    }
    Ok(pattern)
}

fn method(text: &str) -> Result<Box<str>, String> {
    let upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if text.is_empty() || !text.bytes().all(upper) {
        return Err(format!("`{}` is no method; write it like `GET`", shown(text)));
    }
    Ok(text.into())
}

fn host(text: &str) -> Result<Host, String> {
    let domain = text.strip_prefix("*.");
    let name = domain.unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]:".contains(&byte);
    let bare = super::routes::bare_host(name.as_bytes());
    if name.is_empty() || !name.bytes().all(fits) || bare != name.as_bytes() {
        let advice = "write a name without a port, or `*.` and a domain";
        return Err(format!("`{}` is no host; {advice}", shown(text)));
    }
    let name = name.to_ascii_lowercase();
    Ok(match domain {
        Some(_) => Host::Below(format!(".{name}").into()),
        None => Host::Exactly(name.into()),
    })
}

/// A header's name, in lower case.
fn header_name(text: &str) -> Result<Box<str>, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(token) {
        return Err(format!("`{}` is no name of a header", shown(text)));
    }
    Ok(text.to_ascii_lowercase().into())
}

fn header_value(text: &str) -> Result<Box<str>, String> {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.trim() != text || text.is_empty() || !text.bytes().all(visible) {
        return Err(format!("`{}` cannot be sent in a header: visible ASCII only", shown(text)));
    }
    Ok(text.into())
}

fn not_empty(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() { Err("an empty text".to_owned()) } else { Ok(text.into()) }
}
