//! Tokens of OpenID providers: signed JWTs in compact form (RFC 7519, RFC 7515). Issuer, audience,
//! end and signature have to be right, all of them, and what is cheap is looked at first: whoever
//! sends a token of an unknown issuer, with an unknown key or past its end does not get a signature
//! verified.
//!
//! The signature itself is `ring`'s business; this reads what it is over.

use pdp_bundle::callers::{Algorithm, Grants, Issuer};
use pdp_engine::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Denied;
use super::jwks::{KeySet, bytes};

/// How much earlier than this clock says a token may be used that is not good yet: issuers' clocks
/// differ. Its end is exact.
const LEEWAY_MICROS: i64 = 30_000_000;

/// How long a name of a caller may be, in bytes: it stands in logs.
const MAX_NAME_BYTES: usize = 256;

/// The types of tokens that are for access (RFC 7519, section 5.1; RFC 9068, section 2.1): another kind,
/// such as one that logs somebody out, proves nothing here (RFC 8725, section 3.11).
const TYPES: [&str; 4] = ["JWT", "application/jwt", "at+jwt", "application/at+jwt"];

/// A token, taken apart and not believed.
#[derive(Debug)]
pub(super) struct Token<'t> {
    signed: &'t str,
    signature: &'t str,
    /// How it says that it is signed.
    pub(super) algorithm: Algorithm,
    /// With which key.
    pub(super) key_id: String,
    claims: Claims,
    payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: serde_json::Number,
    nbf: Option<serde_json::Number>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

/// Who a token proves the caller to be.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) name: Box<str>,
    pub(super) grants: Grants,
    pub(super) ends: Timestamp,
}

// === impl Token ===

impl<'t> Token<'t> {
    /// Takes a token apart.
    pub(super) fn parse(text: &'t str) -> Result<Self, Denied> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Denied::MalformedToken)?;
        let (header, payload) = signed.split_once('.').ok_or(Denied::MalformedToken)?;
        let header = bytes(header).ok_or(Denied::MalformedToken)?;
        let Header { alg, kid, typ, crit } =
            serde_json::from_slice(&header).map_err(|_| Denied::MalformedToken)?;
        // What has to be understood and is not (RFC 7515, section 4.1.11).
        if crit.is_some() {
            return Err(Denied::MalformedToken);
        }
        if typ.is_some_and(|typ| !TYPES.iter().any(|it| it.eq_ignore_ascii_case(&typ))) {
            return Err(Denied::MalformedToken);
        }
        let algorithm = Algorithm::from_name(&alg).ok_or(Denied::Algorithm)?;
        let key_id = kid.ok_or(Denied::UnknownKeyId)?;
        let payload = bytes(payload).ok_or(Denied::MalformedToken)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| Denied::MalformedToken)?;
        Ok(Self { signed, signature, algorithm, key_id, claims, payload })
    }

    /// Whose token it says to be.
    pub(super) fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Looks at everything that costs next to nothing.
    pub(super) fn plausible(&self, issuer: &Issuer, now: Timestamp) -> Result<(), Denied> {
        let Claims { iss: _, aud, exp, nbf } = &self.claims;
        if !issuer.algorithms.contains(&self.algorithm) {
            return Err(Denied::Algorithm);
        }
        let audience = |name: &String| issuer.audiences.iter().any(|ours| **ours == **name);
        let ours = match aud {
            Audience::One(name) => audience(name),
            Audience::Some(names) => names.iter().any(audience),
        };
        if !ours {
            return Err(Denied::Audience);
        }
        if now >= instant(exp)? {
            return Err(Denied::ExpiredToken);
        }
        let soon = Timestamp::from_micros(now.as_micros().saturating_add(LEEWAY_MICROS));
        match nbf {
            Some(nbf) if instant(nbf)? > soon => Err(Denied::ExpiredToken),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the issuer signed it.
    pub(super) fn is_signed(&self, keys: &KeySet) -> Result<(), Denied> {
        let key = keys.get(&self.key_id).ok_or(Denied::UnknownKeyId)?;
        if !key.is_for(self.algorithm) {
            return Err(Denied::Algorithm);
        }
        let signature = bytes(self.signature).ok_or(Denied::MalformedToken)?;
        if !key.verifies(self.algorithm, self.signed.as_bytes(), &signature) {
            return Err(Denied::Signature);
        }
        Ok(())
    }

    /// What the claims of a token that is signed say.
    pub(super) fn proves(&self, issuer: &Issuer) -> Result<Proved, Denied> {
        let claims: Value =
            serde_json::from_slice(&self.payload).map_err(|_| Denied::MalformedToken)?;
        let name = find(&claims, &issuer.caller).and_then(Value::as_str);
        let fits = |name: &&str| {
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control)
        };
        let name = name.filter(fits).ok_or(Denied::MalformedToken)?;
        let mut grants = Grants::default();
        for grant in &issuer.grants {
            if find(&claims, &grant.claim).is_some_and(|value| says(value, &grant.claim, &grant.is))
            {
                grants.extend(&grant.grants);
            }
        }
        let name = format!("{name} of {}", issuer.issuer).into();
        Ok(Proved { name, grants, ends: instant(&self.claims.exp)? })
    }
}

fn find<'v>(claims: &'v Value, path: &[Box<str>]) -> Option<&'v Value> {
    path.iter().try_fold(claims, |value, name| value.get(&**name))
}

/// Whether a claim is a text, or a list with it. Scopes are a list with blanks between (RFC 8693,
/// section 4.2).
fn says(value: &Value, path: &[Box<str>], wanted: &str) -> bool {
    match value {
        Value::String(text) if matches!(path, [name] if &**name == "scope") => {
            text.split(' ').any(|scope| scope == wanted)
        }
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// A date as tokens write it (RFC 7519, section 2): seconds, perhaps with a fraction, which is cut off.
fn instant(seconds: &serde_json::Number) -> Result<Timestamp, Denied> {
    let whole = seconds.as_i64().or_else(|| {
        let seconds = seconds.as_f64().filter(|it| it.is_finite() && it.abs() < 1e12)?;
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds above")]
        Some(seconds.floor() as i64)
    });
    let whole = whole.ok_or(Denied::MalformedToken)?;
    Ok(Timestamp::from_micros(whole.saturating_mul(1_000_000)))
}
