//! The settings as their users see them, taken from the definitions themselves: what the command
//! line knows of them, what they are unless said, and the bounds that refuse a number.

use std::collections::BTreeMap;
use std::fmt;

use clap::{Args as _, Command};

use super::{ConfigError, Given, Settings, SidecarSettings};

/// A setting as its users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name in a settings file; `None` for the file itself.
    pub name: Option<&'static str>,
    /// Its flag, such as `--grace-ms`.
    pub flag: String,
    /// Its variable, such as `PDP_GRACE_MS`.
    pub variable: String,
    /// What stands for its value in the help, such as `MS`.
    pub placeholder: String,
    /// What it means.
    pub meaning: String,
    /// What it is unless said, as a file would say it.
    pub default: Option<String>,
    /// The least and the most that it may be, where it is a number with bounds.
    pub bounds: Option<(u64, u64)>,
}

/// Every setting of `serve` and `config`, and before them the file that they may stand in.
#[must_use]
pub fn described() -> Vec<Described> {
    let defaults = defaults();
    let command = Given::augment_args(Command::new("settings"));
    let described = command.get_arguments().map(|argument| {
        let id = argument.get_id().as_str();
        let name = Settings::names().into_iter().find(|name| *name == id);
        let placeholders = argument.get_value_names().unwrap_or_default();
        let placeholder = placeholders.first().map(ToString::to_string).unwrap_or_default();
        Described {
            name,
            flag: argument.get_long().map(|long| format!("--{long}")).unwrap_or_default(),
            variable: argument.get_env().unwrap_or_default().to_string_lossy().into_owned(),
            meaning: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            default: defaults.get(id).cloned(),
            bounds: name.filter(|_| counts(&placeholder)).and_then(bounds),
            placeholder,
        }
    });
    described.collect()
}

/// What the settings are that nobody said, by their names.
fn defaults() -> BTreeMap<String, String> {
    // INVARIANT: nothing said but that is a valid configuration, which tests hold.
    let shown = [sidecar(), with_log()].map(|settings| {
        let shown = settings.validated().map(|config| config.to_string());
        shown.unwrap_or_default()
    });
    let pairs = shown.iter().flat_map(|shown| shown.lines());
    let pairs = pairs.filter_map(|line| line.split_once(": "));
    let pairs = pairs.filter(|(name, _)| !["etcd_endpoints", "follow", "socket"].contains(name));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// Nothing said but what is followed and where, without which nothing may be said of it.
fn sidecar() -> Settings {
    let (follow, socket) = ("http://127.0.0.1:7070".parse().ok(), Some("pdp.sock".into()));
    let sidecar = SidecarSettings { follow, socket, ..SidecarSettings::default() };
    Settings { sidecar, ..Settings::default() }
}

/// Nothing said but where a log is, without which nothing may be said of it.
fn with_log() -> Settings {
    Settings { etcd_endpoints: "http://127.0.0.1:2379".parse().ok(), ..Settings::default() }
}

/// Whether it is a number that the checks bound.
pub(super) fn counts(placeholder: &str) -> bool {
    matches!(placeholder, "BYTES" | "COUNT" | "MS")
}

/// The bounds that the checks refuse by, found by asking for less and for more than anything may be.
fn bounds(name: &'static str) -> Option<(u64, u64)> {
    let of_sidecar = SidecarSettings::names().contains(&name);
    let refused = [u64::MIN, u64::MAX].into_iter().filter_map(|number| {
        let mut settings = if of_sidecar { sidecar() } else { with_log() };
        settings.set(name, &number.to_string())?.ok()?;
        match settings.validated() {
            Err(ConfigError::Bounds { name: by, least, most, given: _ }) if by == name => {
                Some((least, most))
            }
            _ => None,
        }
    });
    refused.reduce(|one, other| (one.0.max(other.0), one.1.min(other.1)))
}

/// What a text is refused with that is no such value.
pub(super) fn refused(error: &dyn fmt::Display, placeholder: &str) -> String {
    match expected(placeholder) {
        Some(expected) => format!("{error}; it must be {expected}"),
        None => error.to_string(),
    }
}

/// What a value has to be, where what reads it does not say so itself.
fn expected(placeholder: &str) -> Option<&'static str> {
    match placeholder {
        "ADDR" => Some("an address with a port, such as 127.0.0.1:7070"),
        "BOOL" => Some("`true` or `false`"),
        "BYTES" => Some("a whole number of bytes"),
        "COUNT" => Some("a whole number"),
        "MS" => Some("a whole number of milliseconds"),
        _ => None,
    }
}

// === impl Described ===

impl Described {
    /// What a value has to be, where what reads it does not say so itself.
    #[must_use]
    pub fn expected(&self) -> Option<&'static str> {
        expected(&self.placeholder)
    }
}
