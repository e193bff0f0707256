//! Reading the file of callers. Everything that can be wrong with it is said with line and column
//! before the first request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pdp_engine::id::TenantId;

use super::{
    Algorithm, Caller, Callers, CertificateName, ClaimGrant, Grants, Issuer, Key, KeySource, Role,
    Roles,
};
use crate::diagnostic::{BundleError, Place, shown};
use crate::read::{At, Fields, Sink, text_of};
use crate::time::parse_time;
use crate::yaml;

/// How large the file of callers may be, in bytes: [`MAX_CALLERS`] of a kilobyte each.
pub const MAX_CALLERS_BYTES: usize = 1 << 20;

/// How many callers there may be: many times the enforcement points of one server.
pub const MAX_CALLERS: usize = 1_000;

/// How many issuers there may be: the keys of each are kept and fetched.
pub const MAX_ISSUERS: usize = 16;

/// How many keys, names, audiences, algorithms or grants one caller or issuer may have.
const MAX_PER_CALLER: usize = 64;

/// How long a name, a claim or its value may be, in bytes. Names stand in logs.
const MAX_NAME_BYTES: usize = 256;

/// The part of a key that may be known: 8 hexadecimal digits.
const KEY_ID_DIGITS: usize = 8;

/// Where roles are held everywhere.
const EVERYWHERE: &str = "*";

// === impl Callers ===

impl Callers {
    /// Reads callers. `source` is what messages call the file.
    ///
    /// # Errors
    /// [`BundleError`] lists what is wrong, each with its line.
    pub fn parse(source: &str, text: &str) -> Result<Self, BundleError> {
        if text.len() > MAX_CALLERS_BYTES {
            let actual = text.len();
            let message = format!("the text has {actual} bytes; the limit is {MAX_CALLERS_BYTES}");
            return Err(BundleError::whole_file(source, message));
        }
        let root = yaml::parse(text).map_err(|error| Sink::syntax(source, error))?;
        let Some(root) = root else {
            // Nobody at all could call: more likely a file that is being written.
            return Err(BundleError::whole_file(source, "the file of callers is empty"));
        };
        let sink = Sink::new(source);
        let callers = read(&At::top(&sink, &root));
        sink.finish(callers)
    }

    /// Reads callers from the file system. Paths within the file are relative to its folder.
    ///
    /// # Errors
    /// [`BundleError`] says what cannot be read or is wrong.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let source = path.display().to_string();
        let text = text_of(path, MAX_CALLERS_BYTES)?;
        let mut callers = Self::parse(&source, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for issuer in &mut callers.issuers {
            match &mut issuer.keys {
                KeySource::File(file) => *file = folder.join(&*file),
                KeySource::Url { ca, .. } => *ca = ca.as_ref().map(|file| folder.join(file)),
            }
        }
        Ok(callers)
    }
}

fn read(at: &At<'_>) -> Option<Callers> {
    let fields = at.fields(&["callers", "issuers"])?;
    let once = Once::default();
    let callers = few(&fields, "callers", MAX_CALLERS, |at| caller(&at, &once));
    let issuers = few(&fields, "issuers", MAX_ISSUERS, |at| issuer(&at, &once));
    Some(Callers { callers, issuers })
}

/// What stands in the file already: what proves one caller proves no other.
#[derive(Default)]
struct Once(RefCell<HashMap<(&'static str, Box<str>), Place>>);

// === impl Once ===

impl Once {
    fn hold(&self, at: &At<'_>, what: &'static str, name: &str) {
        let place = at.node.place;
        if let Some(first) = self.0.borrow_mut().insert((what, name.into()), place) {
            let (shown, line) = (shown(name), first.line);
            at.fail(format_args!("{what} `{shown}` stands in line {line} already"));
        }
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

/// A list of bounded length that has to say something.
fn some<T>(fields: &Fields<'_>, key: &str, read: impl Fn(At<'_>) -> Option<T>) -> Vec<T> {
    if let Some(list) = fields.required(key)
        && list.items().next().is_none()
    {
        list.fail("an empty list; name at least one");
    }
    few(fields, key, MAX_PER_CALLER, read)
}

fn caller(at: &At<'_>, once: &Once) -> Option<Caller> {
    let fields = at.fields(&["name", "keys", "certificates", "roles"])?;
    let named = fields.required("name").and_then(|at| {
        let name = at.parsed(name)?;
        once.hold(&at, "caller", &name);
        Some(name)
    });
    let keys = few(&fields, "keys", MAX_PER_CALLER, |at| key(&at, once));
    let certificates = few(&fields, "certificates", MAX_PER_CALLER, |at| {
        let name = at.parsed(certificate)?;
        let (CertificateName::Uri(text) | CertificateName::Dns(text)) = &name;
        once.hold(&at, "certificate", text);
        Some(name)
    });
    let grants = fields.required("roles").and_then(|at| grants(&at));
    if fields.strict("keys").is_none() && fields.strict("certificates").is_none() {
        at.fail("a caller without `keys` and `certificates` could never call");
    }
    Some(Caller { name: named?, keys, certificates, grants: grants? })
}

fn key(at: &At<'_>, once: &Once) -> Option<Key> {
    let fields = at.fields(&["id", "sha256", "valid_until"])?;
    let id = fields.required("id").and_then(|at| {
        let id = at.parsed(key_id)?;
        once.hold(&at, "key", &id);
        Some(id)
    });
    let sha256 = fields.required("sha256").and_then(|at| at.parsed(sha256));
    // One whose end was forgotten after its name would be good for ever.
    let valid_until = match fields.strict("valid_until") {
        None => None,
        Some(at) => Some(at.parsed(parse_time)?),
    };
    Some(Key { id: id?, sha256: sha256?, valid_until })
}

fn issuer(at: &At<'_>, once: &Once) -> Option<Issuer> {
    let keys = ["issuer", "audiences", "algorithms", "jwks_file", "jwks_url", "jwks_ca"];
    let fields = at.fields(&[&keys[..], &["caller", "grants"]].concat())?;
    let named = fields.required("issuer").and_then(|at| {
        let named = at.parsed(name)?;
        once.hold(&at, "issuer", &named);
        Some(named)
    });
    let audiences = some(&fields, "audiences", |at| at.parsed(name));
    let algorithms = some(&fields, "algorithms", |at| at.word(&Algorithm::NAMES));
    let keys = key_source(&fields);
    let caller = match fields.strict("caller") {
        None => Some(vec!["sub".into()]),
        Some(at) => claim(&at),
    };
    let grants = some(&fields, "grants", |at| claim_grant(&at));
    let (issuer, keys, caller) = (named?, keys?, caller?);
    Some(Issuer { issuer, audiences, algorithms, keys, caller, grants })
}

fn key_source(fields: &Fields<'_>) -> Option<KeySource> {
    let (file, url) = (fields.strict("jwks_file"), fields.strict("jwks_url"));
    let ca = fields.strict("jwks_ca");
    match (file, url) {
        (Some(file), None) => {
            if let Some(at) = ca {
                at.fail("`jwks_ca` vouches for an address; it goes with `jwks_url`");
            }
            Some(KeySource::File(file.parsed(path)?))
        }
        (None, Some(url)) => {
            let url = url.parsed(address)?;
            let ca = match ca {
                None => None,
                Some(at) => Some(at.parsed(path)?),
            };
            Some(KeySource::Url { url, ca })
        }
        _ => {
            fields.at().fail("expected exactly one of `jwks_file` and `jwks_url`");
            None
        }
    }
}

fn claim_grant(at: &At<'_>) -> Option<ClaimGrant> {
    let fields = at.fields(&["claim", "is", "roles"])?;
    let claim = fields.required("claim").and_then(|at| claim(&at));
    let is = fields.required("is").and_then(|at| at.parsed(name));
    let grants = fields.required("roles").and_then(|at| grants(&at));
    Some(ClaimGrant { claim: claim?, is: is?, grants: grants? })
}

/// A claim's name, or the names of claims one inside another.
fn claim(at: &At<'_>) -> Option<Vec<Box<str>>> {
    if !matches!(at.node.value, yaml::Value::List(_)) {
        return Some(vec![at.parsed(name)?]);
    }
    let path: Vec<_> = at.items().map(|at| at.parsed(name)).collect::<Option<_>>()?;
    if path.is_empty() || path.len() > yaml::MAX_DEPTH {
        at.fail(format_args!("expected one to {} names of a claim", yaml::MAX_DEPTH));
        return None;
    }
    Some(path)
}

fn grants(at: &At<'_>) -> Option<Grants> {
    let mut grants = Grants::default();
    let count = at.entries().count();
    if count > MAX_CALLERS {
        at.fail(format_args!("{count} tenants; the limit is {MAX_CALLERS}"));
        return None;
    }
    for (tenant, list) in at.entries() {
        let tenant = tenant.parsed(|text| match text {
            EVERYWHERE => Ok(None),
            text => TenantId::new(text).map(Some),
        })?;
        let mut roles = Roles::NONE;
        for at in list.items() {
            let role = at.word(&Role::ALL.map(|role| (role.as_str(), role)))?;
            if role == Role::Metrics && tenant.is_some() {
                at.fail("metrics are of the whole server; give `metrics` to `\"*\"`");
            }
            roles = roles.with(role);
        }
        grants.give(tenant, roles);
    }
    Some(grants)
}

fn name(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
        let shown = shown(text);
        return Err(format!(
            "`{shown}` is no name: 1 to {MAX_NAME_BYTES} bytes without control characters"
        ));
    }
    Ok(text.into())
}

fn key_id(text: &str) -> Result<Box<str>, String> {
    if text.len() == KEY_ID_DIGITS && is_lower_hex(text) {
        return Ok(text.into());
    }
    let shown = shown(text);
    Err(format!("`{shown}` is no id of a key; `pdp-server key` makes one with its line"))
}

fn sha256(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !is_lower_hex(text) {
        // What stands here may be a key that was pasted into the wrong place: it is not repeated.
        return Err("not a hash: 64 hexadecimal digits, as `pdp-server key` prints them".to_owned());
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        let digits = text.get(at..at + 2).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A URI has a scheme, and a DNS name none.
fn certificate(text: &str) -> Result<CertificateName, String> {
    let name = name(text)?;
    if name.contains("://") {
        return Ok(CertificateName::Uri(name));
    }
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(fits)
    };
    if !name.split('.').all(label) {
        let shown = shown(text);
        return Err(format!(
            "`{shown}` is neither a URI such as `spiffe://example.com/gateway` nor a DNS name"
        ));
    }
    Ok(CertificateName::Dns(name.to_ascii_lowercase().into()))
}

fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("an empty text names no file") } else { Ok(PathBuf::from(text)) }
}

/// Who could change what comes from there could make keys of their own.
fn address(text: &str) -> Result<Box<str>, String> {
    let text = name(text)?;
    let rest = text.strip_prefix("https://").map(|rest| (rest, true));
    let rest = rest.or_else(|| text.strip_prefix("http://").map(|rest| (rest, false)));
    let Some((rest, secure)) = rest else {
        return Err("it must be an address such as https://login.example.com/keys".to_owned());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || text.contains('#') {
        return Err("it must name a host, and neither a user nor a fragment".to_owned());
    }
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback =
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !secure && !loopback {
        return Err("it must begin with https:// unless it is on loopback".to_owned());
    }
    Ok(text)
}
