//! What stands in a record for what it is not to show: a keyed hash, so that whoever reads the log
//! sees that two records are about the same thing, and neither which thing it is nor, without the key,
//! whether it is one that they think of.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::Path;

use ring::hmac;

use super::LogError;
use crate::config::{DecisionLog, Mask, Masked};

/// How long a key may be, in bytes: a random one has 32.
const MAX_KEY_BYTES: u64 = 4 << 10;

/// The least of a key, in bytes: less can be guessed.
const MIN_KEY_BYTES: usize = 32;

/// How many bytes of a hash are shown: two different names do not come to the same.
const SHOWN_BYTES: usize = 16;

/// Hides parts of records.
#[derive(Debug)]
pub(super) struct Masker {
    hidden: Mask,
    /// The names of what is hidden.
    words: Vec<&'static str>,
    key: hmac::Key,
}

// === impl Masker ===

impl Masker {
    /// What the settings say, with the key of their file, or one that is drawn here.
    pub(super) fn new(settings: &DecisionLog) -> Result<Self, LogError> {
        let mut drawn = [0; MIN_KEY_BYTES];
        let bytes = match &settings.mask_key {
            Some(path) => read_key(path)?,
            None => {
                getrandom::fill(&mut drawn)
                    .map_err(|error| LogError::Random(std::io::Error::other(error)))?;
                drawn.to_vec()
            }
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let hidden = settings.mask.clone();
        let parts = [Masked::Subject, Masked::Resource, Masked::Permission].into_iter();
        let words = parts.filter(|part| hidden.hides(*part)).map(Masked::word).collect();
        Ok(Self { hidden, words, key })
    }

    /// What records do not show.
    pub(super) fn hidden(&self) -> &[&'static str] {
        &self.words
    }

    /// The text, or what stands for it. `kind` keeps apart what may have the same text.
    pub(super) fn shown<'t>(
        &self,
        part: Masked,
        tenant: &str,
        kind: &str,
        text: &'t str,
    ) -> Cow<'t, str> {
        if !self.hidden.hides(part) {
            return text.into();
        }
        let mut hash = hmac::Context::with_key(&self.key);
        // Neither of the first three holds a zero byte.
        for part in [part.word(), tenant, kind] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        hash.update(text.as_bytes());
        let hash = hash.sign();
        let digits = hash.as_ref().iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}"));
        format!("hmac-{}", digits.collect::<String>()).into()
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, LogError> {
    let wrong = |why: String| LogError::Key { path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    let key = bytes.trim_ascii();
    let most = usize::try_from(MAX_KEY_BYTES).unwrap_or(usize::MAX);
    if key.len() < MIN_KEY_BYTES || bytes.len() > most {
        let length = key.len();
        return Err(wrong(format!("it has {length} bytes; {MIN_KEY_BYTES} to {most} are a key")));
    }
    Ok(key.to_vec())
}
