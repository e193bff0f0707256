//! Public keys of an issuer: a JWK set (RFC 7517), read to what verifies signatures.
//!
//! A key verifies signatures of its own kind only, whatever a token says of itself: that an RSA key
//! were taken for a shared secret, or one curve for another, cannot be written down here.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pdp_bundle::callers::Algorithm;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// How many keys a set may have: issuers publish two or three.
const MAX_KEYS: usize = 64;

/// How long an id of a key may be, in bytes.
const MAX_KEY_ID_BYTES: usize = 256;

/// A set of keys, by their ids.
#[derive(Debug, Default)]
pub(super) struct KeySet(HashMap<Box<str>, PublicKey>);

/// A key that verifies.
#[derive(Debug)]
pub(super) struct PublicKey {
    material: Material,
    /// The one algorithm that it is for, if it says so.
    only: Option<Algorithm>,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why there is no set of keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("not a JWK set: {0}")]
    Json(String),
    #[error("{0} keys; the limit is {MAX_KEYS}")]
    TooMany(usize),
    #[error("no key that verifies signatures and has an id")]
    None,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

// === impl KeySet ===

impl KeySet {
    /// Reads a set. Keys of kinds that are not known are passed over (RFC 7517, section 5).
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let document: Document =
            serde_json::from_slice(text).map_err(|error| KeySetError::Json(error.to_string()))?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(document.keys.len()));
        }
        let mut keys = HashMap::new();
        for key in document.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(key) else { continue };
            if let Some((id, key)) = usable(jwk) {
                keys.insert(id, key);
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::None);
        }
        Ok(Self(keys))
    }

    /// The key of an id.
    pub(super) fn get(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A key with an id that is for signatures.
fn usable(jwk: Jwk) -> Option<(Box<str>, PublicKey)> {
    let Jwk { kty, kid, usage, key_ops, alg, crv, n, e, x, y } = jwk;
    let id = kid.filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID_BYTES)?;
    if usage.is_some_and(|usage| usage != "sig") {
        return None;
    }
    if key_ops.is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return None;
    }
    let only = match alg {
        None => None,
        Some(name) => Some(Algorithm::from_name(&name)?),
    };
    let point = |size: usize| {
        let (x, y) = (bytes(x.as_deref()?)?, bytes(y.as_deref()?)?);
        let fits = x.len() == size && y.len() == size;
        // An uncompressed point (SEC 1, section 2.3.3).
        fits.then(|| [&[4][..], &x, &y].concat())
    };
    let material = match (kty.as_str(), crv.as_deref()) {
        ("RSA", _) => Material::Rsa {
            modulus: without_zeros(bytes(n.as_deref()?)?),
            exponent: without_zeros(bytes(e.as_deref()?)?),
        },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => {
            Material::Ed25519(bytes(x.as_deref()?).filter(|x| x.len() == 32)?)
        }
        _ => return None,
    };
    Some((id.into(), PublicKey { material, only }))
}

/// Base64 as JOSE writes it (RFC 7515, section 2).
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

// === impl PublicKey ===

impl PublicKey {
    /// Whether signatures of this algorithm are of this key's kind.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        let kind = match &self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Material::P256(_) => algorithm == A::Es256,
            Material::P384(_) => algorithm == A::Es384,
            Material::Ed25519(_) => algorithm == A::EdDsa,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether this key signed the message so.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm as A;
        let unparsed = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { modulus: n, exponent: e } => {
                let parameters = match algorithm {
                    A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    A::Es256 | A::Es384 | A::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            Material::P256(point) if algorithm == A::Es256 => {
                unparsed(&signature::ECDSA_P256_SHA256_FIXED, point)
            }
            Material::P384(point) if algorithm == A::Es384 => {
                unparsed(&signature::ECDSA_P384_SHA384_FIXED, point)
            }
            Material::Ed25519(point) if algorithm == A::EdDsa => {
                unparsed(&signature::ED25519, point)
            }
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_verifies_and_has_an_id() {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let set = format!(
            r#"{{"keys": [
                {{"kty": "EC", "crv": "P-256", "kid": "a", "x": "{x}", "y": "{x}"}},
                {{"kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": "{x}", "y": "{x}"}},
                {{"kty": "EC", "crv": "P-256", "kid": "short", "x": "AA", "y": "{x}"}},
                {{"kty": "EC", "crv": "P-256", "x": "{x}", "y": "{x}"}},
                {{"kty": "oct", "kid": "shared", "k": "{x}"}},
                {{"kty": "OKP", "crv": "Ed25519", "kid": "b", "alg": "EdDSA", "x": "{x}"}},
                {{"kty": "RSA", "kid": "c", "alg": "HS256", "n": "{x}", "e": "AQAB"}},
                {{"kty": "RSA", "kid": "d", "alg": "PS256", "n": "{x}", "e": "AQAB"}},
                {{"kid": "nothing"}}, 7]}}"#
        );
        let set = KeySet::parse(set.as_bytes()).unwrap();
        assert_eq!(set.len(), 3);
        let kinds = |id: &str| {
            let key = set.get(id).unwrap();
            let all = Algorithm::NAMES.into_iter();
            all.filter(|(_, it)| key.is_for(*it)).map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(kinds("a"), ["ES256"]);
        assert_eq!(kinds("b"), ["EdDSA"]);
        assert_eq!(kinds("d"), ["PS256"]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys": 1}"#] {
            assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::Json(_))), "{text}");
        }
        let parse = |text: String| KeySet::parse(text.as_bytes()).map(|set| set.len());
        assert_eq!(parse(r#"{"keys": []}"#.to_owned()), Err(KeySetError::None));
        let many = vec!["{}"; MAX_KEYS + 1].join(",");
        assert_eq!(parse(format!(r#"{{"keys": [{many}]}}"#)), Err(KeySetError::TooMany(65)));
    }

    /// Made with OpenSSL over [`MESSAGE`]; the key that signed was thrown away.
    const MESSAGE: &[u8] = b"header.payload";
    const MODULUS: &str = concat!(
        "u2txSQ1uHtb4qKcwBi1Ck7GLxEBwlneR5ii-UsonZZiJ_6VcWiKFUDqct1why4v0VdsueHAsnsMJolT8i4Ij",
        "iZpixxPbVyxSYxYrpsnIfM0biXErLA0fbAREOmQ4c128wTeuoIZRui6wwTd_4EXAaisSMpUI1vEXFoR_jU2H",
        "pBbOHz9vm3PMvENcypDDuf2nsZTxhUIMd3nxH7HxrmyLjC4XuTUIX-",
        "3gpv6F9A44lDr6I3DkUVL6gsYrLUimYZ3YAg-YBLD_XEfQZ7zBoMLkpDs8bVtvf-",
        "DEVL275pIMwkJQFeSieRBdVfr1NcYPQ3MmhRnoifE9C5EBolh9WC3mKw",
    );
    const RS256: &str = concat!(
        "GzRgAMRiNo3QzCbysQigpEu_7b6hJJ1T87n3PV3ENVh5N7VA55_VqUfwAGQfwttxXh3k7Z3pyfWny5GMDGC7",
        "y6hlNqLWX1XNlO2lYp8jhswQBprfpUYQ799wqbo71IbyvCGp_-UDxPCO4HFc_0qctnZRRzGJDL-uWrnNKF2Z",
        "BM98FVmd4d8Ptf16rzDQmqCzqHhPm3ZyVMplroduaK19X1IMrPIzLDGerFgcJMfe5n5Q8RY7ElsXRwWYn3q0",
        "F8L3vl5KW2hO8sk78rJNQeuzS0hmXUak3b1H-qqxaHPJnM-",
        "WDGGyhAUfi4MbzdbOAGfyh7wOOX0hOOZLwu1KldY4Fg",
    );
    const PS256: &str = concat!(
        "XYPWJaYA2aVt4yfCSNEDcp0framB6jDcogGnfihueVAyxh448D3cqhkm5bUy0ZJ6mVOtY3KGsyru5e8MIVk_",
        "L2pMUzjOMYpbhBH2UqFvGaN9splv_mx2lpdhmCIhGAIXNaJy2i4yCIRYVUpRSjU9Ffsgu361G6MBfSdBGYnS",
        "DqreMnaSm8D6uD5BMDnxgcX3p7VUCr-zyddLLK-AKtLWuzMe6z5VrlltbaeVq8oIi8u2TiXqdUetVJ6MFHTE",
        "gqhu067_3SSc5iu7ucc6CEDTdi5F1NhjnzioAgOSDRhCIbEDEkbcTDMb4ezNRy--",
        "MbRJn8TDKtP66szdCTT80vC5LA",
    );

    #[test]
    fn signatures_of_rsa_are_verified_as_what_they_are() {
        let set =
            format!(r#"{{"keys": [{{"kty": "RSA", "kid": "a", "n": "{MODULUS}", "e": "AQAB"}}]}}"#);
        let set = KeySet::parse(set.as_bytes()).unwrap();
        let key = set.get("a").unwrap();
        let (pkcs, pss) = (bytes(RS256).unwrap(), bytes(PS256).unwrap());
        assert!(key.verifies(Algorithm::Rs256, MESSAGE, &pkcs));
        assert!(key.verifies(Algorithm::Ps256, MESSAGE, &pss));
        for (algorithm, signature) in [
            (Algorithm::Ps256, &pkcs),
            (Algorithm::Rs256, &pss),
            (Algorithm::Rs512, &pkcs),
            (Algorithm::Es256, &pkcs),
            (Algorithm::EdDsa, &pss),
        ] {
            assert!(!key.verifies(algorithm, MESSAGE, signature), "{algorithm:?}");
        }
        assert!(!key.verifies(Algorithm::Rs256, b"header.other", &pkcs));
    }
}
