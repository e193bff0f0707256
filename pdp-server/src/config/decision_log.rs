//! Settings of the decision log: where records go, which of them, and what they leave out.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{ConfigError, bounds, settings};

/// The default of `decision_log_ring`: what a busy core decides while the writer looks after the
/// others. Six megabytes a thread.
const DEFAULT_RING: usize = 8_192;

/// The default of `decision_log_max_bytes`: some two hundred thousand records.
const DEFAULT_MAX_BYTES: usize = 64 << 20;

/// The default of `decision_log_keep`.
const DEFAULT_KEEP: usize = 8;

/// The upper bound of `decision_log_ring`: three quarters of a gigabyte for each thread.
const MAX_RING: usize = 1 << 20;

/// The bounds of `decision_log_max_bytes`: a record fits the lower one many times.
const FILE_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 40;

/// The most of `decision_log_keep`: each is looked at whenever a file is full.
const MAX_KEEP: usize = 1_000;

/// The whole of a share, in millionths.
const WHOLE: u32 = 1_000_000;

/// How decisions are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionLog {
    /// Where records go.
    pub to: LogTarget,
    /// Which share of what is allowed is logged. What is not allowed always is.
    pub allows: Share,
    /// What records do not show.
    pub mask: Mask,
    /// The file of the key that stands behind what is shown instead.
    pub mask_key: Option<PathBuf>,
    /// How many records of a thread may wait to be written.
    pub ring: usize,
    /// How large a file grows, in bytes.
    pub max_bytes: usize,
    /// How many full files are kept.
    pub keep: usize,
}

settings! {
    /// Settings of the decision log as they are given.
    #[command(next_help_heading = "Log of decisions")]
    DecisionLogSettings {
    /// Where to log decisions: `off`, `stdout`, or a file that is replaced when it is full
    decision_log: LogTarget, "PDP_DECISION_LOG", "WHERE";
    /// Which share of what is allowed to log, from 0 to 1; what is not allowed always is logged
    decision_log_allows: Share, "PDP_DECISION_LOG_ALLOWS", "SHARE";
    /// What the log of decisions does not show: `subject`, `resource`, `permission`, with commas between
    decision_log_mask: Mask, "PDP_DECISION_LOG_MASK", "PARTS";
    /// File of the secret of what is shown instead; without one it is drawn at every start
    decision_log_mask_key: PathBuf, "PDP_DECISION_LOG_MASK_KEY", "FILE";
    /// How many decisions of a thread may wait to be logged; what is more is dropped and counted
    decision_log_ring: usize, "PDP_DECISION_LOG_RING", "COUNT";
    /// How large a file of the log of decisions grows, in bytes
    decision_log_max_bytes: usize, "PDP_DECISION_LOG_MAX_BYTES", "BYTES";
    /// How many full files of the log of decisions to keep
    decision_log_keep: usize, "PDP_DECISION_LOG_KEEP", "COUNT";
    }
}

/// Where records of decisions go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    StandardOutput,
    /// To a file.
    File(PathBuf),
}

/// A share, from 0 to 1, to the millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// A part of a question that is not for everybody who reads logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Masked {
    /// Ids of people and accounts that ask, and whom a delegation is to.
    Subject,
    /// Ids of resources; not their types.
    Resource,
    /// Operations, rights, vault actions, permission levels and Access Levels.
    Permission,
}

/// Which parts records do not show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask(BTreeSet<Masked>);

// === impl DecisionLogSettings ===

impl DecisionLogSettings {
    pub(super) fn settled(self) -> Result<DecisionLog, ConfigError> {
        let Self {
            decision_log,
            decision_log_allows,
            decision_log_mask,
            decision_log_mask_key,
            decision_log_ring,
            decision_log_max_bytes,
            decision_log_keep,
        } = self;
        let log = DecisionLog {
            to: decision_log.unwrap_or_default(),
            allows: decision_log_allows.unwrap_or(Share(WHOLE)),
            mask: decision_log_mask.unwrap_or_default(),
            mask_key: decision_log_mask_key,
            ring: decision_log_ring.unwrap_or(DEFAULT_RING),
            max_bytes: decision_log_max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
            keep: decision_log_keep.unwrap_or(DEFAULT_KEEP),
        };
        bounds("decision_log_ring", log.ring, 1..=MAX_RING)?;
        bounds("decision_log_max_bytes", log.max_bytes, FILE_BYTES)?;
        bounds("decision_log_keep", log.keep, 0..=MAX_KEEP)?;
        Ok(log)
    }
}

// === impl DecisionLog ===

/// The settings as a file would name them.
impl fmt::Display for DecisionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, allows, mask, mask_key, ring, max_bytes, keep } = self;
        writeln!(f, "decision_log: {:?}", to.to_string())?;
        writeln!(f, "decision_log_allows: {allows}")?;
        writeln!(f, "decision_log_mask: {:?}", mask.to_string())?;
        if let Some(path) = mask_key {
            writeln!(f, "decision_log_mask_key: {:?}", path.to_string_lossy())?;
        }
        writeln!(f, "decision_log_ring: {ring}")?;
        writeln!(f, "decision_log_max_bytes: {max_bytes}")?;
        writeln!(f, "decision_log_keep: {keep}")
    }
}

// === impl LogTarget ===

impl FromStr for LogTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::StandardOutput),
            "" => Err("it must be `off`, `stdout` or a file"),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::StandardOutput => f.write_str("stdout"),
            Self::File(path) => f.write_str(&path.to_string_lossy()),
        }
    }
}

// === impl Share ===

impl Share {
    /// Whether a number that may be any is among the share.
    pub(crate) fn holds(self, number: u64) -> bool {
        // Numbers below 2^64 are spread over the millionths evenly.
        let millionth = (u128::from(number) * u128::from(WHOLE)) >> 64;
        millionth < u128::from(self.0)
    }

    /// The share as a number from 0 to 1.
    pub(crate) fn as_ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// So many in a hundred.
    pub(super) const fn percent(hundredths: u32) -> Self {
        Self(hundredths.saturating_mul(WHOLE / 100))
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "it must be a share from 0 to 1, such as 0.01, with six decimals at most";
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
            return Err(form);
        }
        let whole: u32 = whole.parse().map_err(|_| form)?;
        let decimals: u32 = format!("{decimals:0<6}").parse().map_err(|_| form)?;
        let millionths = whole.checked_mul(WHOLE).and_then(|whole| whole.checked_add(decimals));
        millionths.filter(|millionths| *millionths <= WHOLE).map(Self).ok_or(form)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = format!("{}.{:06}", self.0 / WHOLE, self.0 % WHOLE);
        f.write_str(written.trim_end_matches('0').trim_end_matches('.'))
    }
}

// === impl Masked ===

impl Masked {
    const WORDS: [(&'static str, Self); 3] = [
        ("subject", Self::Subject),
        ("resource", Self::Resource),
        ("permission", Self::Permission),
    ];

    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, masked)| *masked == self).map_or("", |(word, _)| word)
    }
}

// === impl Mask ===

impl Mask {
    /// Whether this is not shown.
    pub(crate) fn hides(&self, part: Masked) -> bool {
        self.0.contains(&part)
    }
}

impl FromStr for Mask {
    type Err = &'static str;

    /// Words with commas between them; an empty text is none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let part = |word: &str| {
            let found = Masked::WORDS.into_iter().find(|(known, _)| *known == word.trim());
            found.map(|(_, part)| part)
        };
        let parts: Option<BTreeSet<Masked>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or("write `subject`, `resource` and `permission` with commas between")
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|part| part.word()).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_back_and_holds_as_many_as_it_says() {
        for text in ["0", "1", "0.5", "0.000001", "0.999999"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        assert_eq!("1.0".parse::<Share>().unwrap(), Share(WHOLE));
        for text in ["", "1.1", "2", "-0.1", ".5", "0.", "0.0000001", "half", "1e-3"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        let share = |text: &str| text.parse::<Share>().unwrap();
        assert!(share("1").holds(u64::MAX) && !share("0").holds(0));
        assert!(share("0.000001").holds(0) && !share("0.999999").holds(u64::MAX));
        let step = u64::MAX / 1_000;
        let held = (0..1_000).filter(|number| share("0.25").holds(number * step)).count();
        assert!((249..=251).contains(&held), "{held}");
    }

    #[test]
    fn words_are_read_back() {
        for text in ["", "subject", "subject,resource,permission"] {
            assert_eq!(text.parse::<Mask>().unwrap().to_string(), text);
        }
        assert_eq!("resource, subject".parse::<Mask>().unwrap().to_string(), "subject,resource");
        assert!("subject,".parse::<Mask>().is_err());
        assert!("person".parse::<Mask>().unwrap_err().contains("`permission`"));
        for text in ["off", "stdout", "a/b.jsonl"] {
            assert_eq!(text.parse::<LogTarget>().unwrap().to_string(), text);
        }
        assert!("".parse::<LogTarget>().is_err());
    }
}
