//! What is wrong with a file, and where: the one error type of this crate. It knows nothing of
//! YAML or of policies.

use std::fmt;

/// How many problems of one file are listed: enough to mend it by, and bounded.
pub const MAX_LISTED: usize = 50;

/// A place in a file, counted from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

// === impl Place ===

impl Place {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as its reader named it.
    pub source: String,
    /// Where; `None` if it concerns the whole file.
    pub place: Option<Place>,
    /// The key it concerns, as a path from the top of the file (`people[2].manager`); empty for
    /// the top itself.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// An unusable file: at least one problem, in the order of the file, one a line when displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleError {
    /// The problems, at most [`MAX_LISTED`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

// === impl BundleError ===

impl BundleError {
    /// An error with one problem that concerns a whole file.
    #[must_use]
    pub fn whole_file(source: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem {
            source: source.into(),
            place: None,
            key: String::new(),
            message: message.into(),
        };
        Self { problems: vec![problem], omitted: 0 }
    }

    /// Sorts the problems by place and keeps the first [`MAX_LISTED`].
    pub(crate) fn of(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (&a.source, a.place).cmp(&(&b.source, b.place)));
        let omitted = problems.len().saturating_sub(MAX_LISTED);
        problems.truncate(MAX_LISTED);
        Self { problems, omitted }
    }
}

impl std::error::Error for BundleError {}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// A text shown in a message: shortened, and with its control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    if short.chars().any(char::is_control) { short.escape_debug().to_string() } else { short }
}
