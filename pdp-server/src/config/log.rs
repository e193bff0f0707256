//! How logs are written.

use std::fmt;
use std::str::FromStr;

/// How to write logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

// === impl LogFormat ===

impl LogFormat {
    const WORDS: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, format)| format).ok_or("it must be `auto`, `text` or `json`")
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::WORDS.into_iter().find(|(_, format)| format == self);
        f.write_str(found.map_or("", |(word, _)| word))
    }
}
