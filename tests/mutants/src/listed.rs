//! The mutants that cargo-mutants lists.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// What cargo-mutants would do to the source text.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mutant {
    /// File, line, column and what is done: how a mutant is told from all others.
    pub(crate) name: String,
    /// The file, from the root of the tree.
    pub(crate) file: String,
    pub(crate) genre: Genre,
    /// What takes the place of `span`.
    pub(crate) replacement: String,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// Both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mutant {
    /// The source with this mutant alone.
    pub(crate) fn applied(&self, source: &str) -> Result<String> {
        let text = Source::new(source);
        let (Some(start), Some(end)) = (text.offset(self.span.start), text.offset(self.span.end))
        else {
            bail!("{} is not in its file", self.name)
        };
        Ok(format!("{}{}{}", &source[..start], self.replacement, &source[end..]))
    }
}

/// A text, and where its lines begin.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    /// The byte at this place.
    pub(crate) fn offset(&self, place: Place) -> Option<usize> {
        let start = *self.lines.get(place.line.checked_sub(1)?)?;
        let line = &self.text[start..];
        Some(start + line.char_indices().nth(place.column - 1).map_or(line.len(), |(at, _)| at))
    }
}

/// The mutants of `package`, as cargo-mutants lists them for the tree at `root`.
pub(crate) fn list(root: &Path, package: &str) -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", package])
        .current_dir(root)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "`cargo mutants` does not work (cargo install --locked cargo-mutants@27.1.0): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .context("cargo-mutants lists in another form than version 27.1.0 does")
}
