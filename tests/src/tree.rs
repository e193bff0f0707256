//! The source tree, for the tests that hold the house rules: its files, their text, and which rooms
//! and crates they use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top of the tree.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file of the tree, relative to its top; build products and what is git's own left out.
///
/// # Panics
/// If the tree cannot be read.
#[must_use]
pub fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, found);
                }
            } else if name != ".git" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    let mut found: Vec<PathBuf> =
        found.iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect();
    found.sort();
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

/// The Rust files below a folder.
///
/// # Panics
/// If the tree cannot be read.
#[must_use]
pub fn rust_files(under: &str) -> Vec<PathBuf> {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|it| it == "rs");
    let found: Vec<PathBuf> =
        files().into_iter().filter(is_rust).filter(|path| path.starts_with(under)).collect();
    assert!(!found.is_empty(), "no Rust files under `{under}`");
    found
}

/// The whole text of a file, by its path below the top.
#[must_use]
pub fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// The file without comments.
#[must_use]
pub fn code(path: &Path) -> String {
    let text = text(path);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.map(|line| format!("{line}\n")).collect()
}

/// Whether the module that declares this file declares it for tests only.
#[must_use]
pub fn is_for_tests(path: &Path) -> bool {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { return false };
    let declared = format!("#[cfg(test)]\nmod {};", stem.to_string_lossy());
    let parents = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs")];
    parents.iter().any(|parent| text(parent).contains(&declared))
}

/// The rooms of a crate that a file uses: what follows `crate::` or `super::`, groups taken apart.
///
/// # Panics
/// If the tree cannot be read.
#[must_use]
pub fn rooms_used(path: &Path) -> BTreeSet<String> {
    let code = code(path);
    let mut rooms = BTreeSet::new();
    let paths = code.match_indices("crate::").chain(code.match_indices("super::"));
    for (at, root) in paths {
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{').and_then(|group| group.split(';').next()) {
            Some(group) => rooms.extend(group.split([',', '{']).map(first_word)),
            None => drop(rooms.insert(first_word(rest))),
        }
    }
    rooms
}

/// What the text begins with, as far as it is a name.
#[must_use]
pub fn first_word(text: &str) -> String {
    let start = text.trim_start().chars();
    start.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The room that a file belongs to: `src/check.rs` and `src/check/x.rs` are both `check`.
///
/// # Panics
/// If the tree cannot be read.
#[must_use]
pub fn room(path: &Path) -> String {
    let mut below = path.iter().skip_while(|part| *part != "src").skip(1);
    below.next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The names under the given sections of a manifest.
#[must_use]
pub fn dependencies(manifest: &str, sections: &[&str]) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            if let Some((table, dependency)) = name.rsplit_once('.')
                && sections.contains(&table)
            {
                found.insert(dependency.to_owned());
            }
        } else if sections.contains(&section) && !line.is_empty() && !line.starts_with('#') {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            found.insert(line[..end].to_owned());
        }
    }
    found
}
