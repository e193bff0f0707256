//! Page tokens: where a list goes on. A token is opaque to callers and bound to its list: it holds
//! a digest of what the list is of, so that a token of another list is noticed. It is not a secret:
//! a forged one shows nothing that its forger may not list.

use pdp_engine::query::Revision;
use sha2::{Digest as _, Sha256};

use super::failure::Failure;

/// How many entries a page holds where the caller does not say.
pub(crate) const DEFAULT_PAGE_SIZE: u32 = 100;

/// The most that `max_page_size` may be: about as much as a caller can look at, and far below the
/// message size that clients take.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// The most that `max_explained_page_size` may be: an explanation is as long as it is.
pub const MAX_EXPLAINED_PAGE_SIZE: u32 = 100;

/// How long a page token may be, in characters: a digest, a revision, and the longest id with a mark
/// before it, twice over in hex.
const MAX_TOKEN_CHARS: usize = 2 * (DIGEST_BYTES + 8 + 1 + 256);

const DIGEST_BYTES: usize = 8;

/// How many entries pages may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSizes {
    /// Of any list.
    pub plain: u32,
    /// Where each comes with its explanation.
    pub explained: u32,
}

/// What a list is of; a token of one list is refused by every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListOf([u8; DIGEST_BYTES]);

// === impl ListOf ===

impl ListOf {
    /// The list that these words name.
    pub(crate) fn new(words: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for word in words {
            hash.update(word.len().to_be_bytes());
            hash.update(word);
        }
        let mut digest = [0; DIGEST_BYTES];
        for (to, from) in digest.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(digest)
    }

    /// The list that a message asks for; what is about pages must be left out of it.
    pub(crate) fn asked(kind: &str, tenant: &str, question: &impl prost::Message) -> Self {
        let question: String =
            question.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        Self::new(&[kind, tenant, &question])
    }

    /// A token for going on after an entry, by its place in the order of a list at a revision.
    pub(crate) fn token_past(self, revision: Revision, entry: &[u8]) -> String {
        self.token(&[&revision.get().to_be_bytes(), entry].concat())
    }

    /// The place of the entry that the token has behind it, which must be of this list at this
    /// revision; `None` for the first page.
    pub(crate) fn past(self, token: &str, actual: Revision) -> Result<Option<Vec<u8>>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let place = self.place(token)?;
        let (revision, entry) = place.split_first_chunk().ok_or(Failure::PageTokenInvalid)?;
        let token = Revision::new(u64::from_be_bytes(*revision));
        if token != actual {
            return Err(Failure::PageTokenExpired { token, actual });
        }
        Ok(Some(entry.to_vec()))
    }

    /// A token for going on after so many entries of a list at a revision.
    pub(crate) fn token_at(self, revision: Revision, entries: u64) -> String {
        let place = [revision.get().to_be_bytes(), entries.to_be_bytes()].concat();
        self.token(&place)
    }

    /// How many entries the token has behind it; it must be of this list at this revision.
    pub(crate) fn entries(self, token: &str, actual: Revision) -> Result<u64, Failure> {
        if token.is_empty() {
            return Ok(0);
        }
        let place = self.place(token)?;
        let (revision, entries) = place.split_first_chunk().ok_or(Failure::PageTokenInvalid)?;
        let entries = <[u8; 8]>::try_from(entries).map_err(|_| Failure::PageTokenInvalid)?;
        let token = Revision::new(u64::from_be_bytes(*revision));
        if token != actual {
            return Err(Failure::PageTokenExpired { token, actual });
        }
        Ok(u64::from_be_bytes(entries))
    }

    /// A token for going on after a name, in a list that may change on the way.
    pub(crate) fn token_after(self, name: &str) -> String {
        self.token(name.as_bytes())
    }

    /// The name that the token has behind it; `None` for the first page.
    pub(crate) fn after(self, token: &str) -> Result<Option<String>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let name = String::from_utf8(self.place(token)?).map_err(|_| Failure::PageTokenInvalid)?;
        Ok(Some(name))
    }

    fn token(self, place: &[u8]) -> String {
        self.0.iter().chain(place).map(|byte| format!("{byte:02x}")).collect()
    }

    fn place(self, token: &str) -> Result<Vec<u8>, Failure> {
        let bytes = from_hex(token).ok_or(Failure::PageTokenInvalid)?;
        let (digest, place) =
            bytes.split_first_chunk::<DIGEST_BYTES>().ok_or(Failure::PageTokenInvalid)?;
        if *digest != self.0 {
            return Err(Failure::PageTokenMismatch);
        }
        Ok(place.to_vec())
    }
}

// === impl PageSizes ===

impl PageSizes {
    /// How many entries a page is to hold.
    pub(crate) fn size(self, asked: u32) -> Result<usize, Failure> {
        within("max_page_size", asked, self.plain)
    }

    /// How many entries a page is to hold where each comes with its explanation.
    pub(crate) fn explained_size(self, asked: u32) -> Result<usize, Failure> {
        within("max_explained_page_size", asked, self.explained)
    }
}

fn within(limit: &'static str, asked: u32, maximum: u32) -> Result<usize, Failure> {
    let size = if asked == 0 { DEFAULT_PAGE_SIZE.min(maximum) } else { asked };
    let [size, maximum] = [size, maximum].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    if size > maximum {
        return Err(Failure::Limit {
            limit,
            field: "page_size",
            unit: "entries",
            maximum,
            actual: size,
        });
    }
    Ok(size)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_TOKEN_CHARS || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Reads text as a page token of some list: for fuzzing, and for the tests that go through its corpora.
/// Whatever is taken is what was given out, but for the case of its digits.
///
/// # Errors
/// What is not so.
pub fn read_back(token: &str) -> Result<(), String> {
    let list = ListOf::new(&["list"]);
    // A token of this list, whatever list the text is of.
    let own: String = list.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let own = format!("{own}{token}");
    for token in [token, &own] {
        let again = |made: String| match made.eq_ignore_ascii_case(token) {
            true => Ok(()),
            false => Err(format!("the token `{token}` was taken and is given out as `{made}`")),
        };
        if let Some(place) = list.place(token).ok().as_deref().and_then(<[u8]>::split_first_chunk) {
            let revision = Revision::new(u64::from_be_bytes(*place.0));
            if let Ok(Some(entry)) = list.past(token, revision) {
                again(list.token_past(revision, &entry))?;
            }
            if let Ok(entries) = list.entries(token, revision) {
                again(list.token_at(revision, entries))?;
            }
        }
        if let Ok(Some(name)) = list.after(token) {
            again(list.token_after(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_on_where_it_was_made_and_nowhere_else() {
        let list = ListOf::new(&["facts", "default", "person"]);
        let at = Revision::new(7);
        let token = list.token_at(at, 300);
        assert_eq!(list.entries(&token, at).unwrap(), 300);
        assert_eq!(list.entries("", at).unwrap(), 0);
        let other = ListOf::new(&["facts", "default", "group"]);
        assert!(matches!(other.entries(&token, at), Err(Failure::PageTokenMismatch)));
        let later = list.entries(&token, Revision::new(8));
        assert!(matches!(later, Err(Failure::PageTokenExpired { .. })));
        for forged in ["x", "zz", "00", &"0".repeat(47), &"0".repeat(10_000), &token[..40]] {
            let read = list.entries(forged, at);
            assert!(
                matches!(read, Err(Failure::PageTokenInvalid | Failure::PageTokenMismatch)),
                "{forged}"
            );
        }
        let after = list.token_after("zürich");
        assert_eq!(list.after(&after).unwrap().as_deref(), Some("zürich"));
    }

    #[test]
    fn words_do_not_run_into_each_other() {
        assert_ne!(ListOf::new(&["ab", "c"]), ListOf::new(&["a", "bc"]));
    }
}
