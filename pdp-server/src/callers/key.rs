//! Keys of callers: `pdp_`, 8 hexadecimal digits that may be known, `_`, and 64 that may not.
//!
//! What is kept is SHA-256 of the whole key. A slow hash, which passwords need, would buy nothing: a
//! key has 256 random bits, which nobody guesses however fast they can try.

use std::fmt;
use std::io;

use sha2::{Digest as _, Sha256};

/// What every key begins with, so that scanners of repositories and logs find one.
const PREFIX: &str = "pdp_";

/// How many random bytes a key has.
const SECRET_BYTES: usize = 32;

/// How many random bytes tell keys apart.
const ID_BYTES: usize = 4;

/// How long a key is, in bytes.
const LENGTH: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;

/// A new key. The text is shown once.
pub struct NewKey {
    id: String,
    text: String,
}

// === impl NewKey ===

impl NewKey {
    /// Draws one.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn draw() -> io::Result<Self> {
        let mut bytes = [0_u8; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        let id = hex(id);
        let text = format!("{PREFIX}{id}_{}", hex(secret));
        Ok(Self { id, text })
    }

    /// The key itself: for the caller, and for nobody else.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// The entry of the file of callers.
    #[must_use]
    pub fn entry(&self) -> String {
        // In quotes: an id of digits is no number.
        format!("{{id: \"{}\", sha256: \"{}\"}}", self.id, hex(&hash(self.text.as_bytes())))
    }
}

/// Says nothing of the secret.
impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether a bearer token is meant to be a key.
pub(super) fn is_key(token: &[u8]) -> bool {
    token.starts_with(PREFIX.as_bytes())
}

/// The part of a key that may be known, if it is as long as one.
pub(super) fn id_of(token: &[u8]) -> Option<&str> {
    let rest = token.strip_prefix(PREFIX.as_bytes()).filter(|_| token.len() == LENGTH)?;
    std::str::from_utf8(rest.get(..2 * ID_BYTES)?).ok()
}

/// What is kept of a key.
pub(super) fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_by_its_id_and_never_shown() {
        let (key, other) = (NewKey::draw().unwrap(), NewKey::draw().unwrap());
        assert_ne!(key.secret(), other.secret());
        assert!(is_key(key.secret().as_bytes()));
        assert_eq!(id_of(key.secret().as_bytes()), Some(key.id.as_str()));
        assert!(!format!("{key:?}").contains(key.secret()));
        assert!(!key.entry().contains(&key.secret()[13..]));
        for broken in ["pdp_", "pdp_00000000_", &key.secret()[1..], &format!("{}0", key.secret())] {
            assert_eq!(id_of(broken.as_bytes()), None);
        }
        let file = format!(
            "callers: [{{name: a, roles: {{}}, keys: [{}, {}]}}]",
            key.entry(),
            other.entry()
        );
        let read = pdp_bundle::callers::Callers::parse("c", &file).unwrap();
        assert_eq!(read.callers[0].keys[0].sha256, hash(key.secret().as_bytes()));
    }
}
