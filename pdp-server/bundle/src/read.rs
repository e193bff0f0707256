//! Typed reading of a YAML tree: every reader says what it expects, and what it does not find it
//! reports with place and key path and goes on, so that one run shows several problems.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::diagnostic::{BundleError, MAX_LISTED, Place, Problem, shown};
use crate::yaml::{Key, Node, SyntaxError, Value};

/// Collects what is wrong with one file.
pub(crate) struct Sink {
    source: String,
    problems: RefCell<(Vec<Problem>, usize)>,
}

/// A node with the way to it from the top of the file.
#[derive(Clone, Copy)]
pub(crate) struct At<'p> {
    pub(crate) sink: &'p Sink,
    pub(crate) node: &'p Node<'p>,
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Top,
    Key(&'p Key<'p>),
    Item(usize),
}

/// A map whose keys are known to be among the expected ones.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'p> {
    at: At<'p>,
    entries: &'p [(Key<'p>, Node<'p>)],
}

/// The text of a file. Of one that is larger than it may be, one byte more than that: enough for its reader
/// to say so.
pub(crate) fn text_of(path: &Path, limit: usize) -> Result<String, BundleError> {
    let source = path.display().to_string();
    let whole = |error: std::io::Error| BundleError::whole_file(&source, error.to_string());
    let mut text = String::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).map_err(whole)?.take(limit).read_to_string(&mut text).map_err(whole)?;
    Ok(text)
}

// === impl Sink ===

impl Sink {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), problems: RefCell::default() }
    }

    pub(crate) fn syntax(source: &str, error: SyntaxError) -> BundleError {
        let SyntaxError { place, message } = error;
        let source = source.to_owned();
        BundleError::of(vec![Problem { source, place, key: String::new(), message }])
    }

    fn report(&self, place: Place, key: impl FnOnce() -> String, message: impl FnOnce() -> String) {
        let mut problems = self.problems.borrow_mut();
        if problems.0.len() >= MAX_LISTED {
            problems.1 += 1;
            return;
        }
        let source = self.source.clone();
        problems.0.push(Problem { source, place: Some(place), key: key(), message: message() });
    }

    /// The value if nothing was reported.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, BundleError> {
        let (problems, omitted) = self.problems.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                let mut error = BundleError::of(problems);
                error.omitted += omitted;
                Err(error)
            }
        }
    }
}

// === impl At ===

impl<'p> At<'p> {
    pub(crate) fn top(sink: &'p Sink, node: &'p Node<'p>) -> Self {
        Self { sink, node, parent: None, step: Step::Top }
    }

    /// Reports a problem here.
    pub(crate) fn fail(&self, message: impl Display) {
        self.fail_with(|| message.to_string());
    }

    /// Reports a problem here; the message is only made if it will be listed.
    fn fail_with(&self, message: impl FnOnce() -> String) {
        self.sink.report(self.node.place, || self.path(), message);
    }

    /// `people[2].manager`.
    pub(crate) fn path(&self) -> String {
        let mut path = self.parent.map_or_else(String::new, At::path);
        match self.step {
            Step::Top => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&shown(&key.text));
            }
            Step::Item(index) => path.push_str(&format!("[{index}]")),
        }
        path
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&'p str> {
        if let Value::Scalar { text, .. } = &self.node.value {
            return Some(text);
        }
        self.fail(format_args!("expected a string, found {}", self.node.describe()));
        None
    }

    /// The text of a scalar, read by `parse`.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&'p str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        if let Value::Scalar { text, .. } = &self.node.value
            && let Some((_, value)) = words.iter().find(|(word, _)| word == text)
        {
            return Some(*value);
        }
        self.fail_with(|| {
            let expected = list(words.iter().map(|(word, _)| *word));
            format!("expected one of {expected}, found {}", self.node.describe())
        });
        None
    }

    /// A whole number, not negative.
    pub(crate) fn number(&self) -> Option<u32> {
        if let Value::Scalar { text, .. } = &self.node.value
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(number) = text.parse()
        {
            return Some(number);
        }
        self.fail_with(|| {
            let found = self.node.describe();
            format!("expected a whole number from 0 to {}, found {found}", u32::MAX)
        });
        None
    }

    /// `true` or `false`, written plain.
    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => match &**text {
                "true" | "True" | "TRUE" => return Some(true),
                "false" | "False" | "FALSE" => return Some(false),
                _ => {}
            },
            Value::Scalar { text, plain: false } if matches!(&**text, "true" | "false") => {
                self.fail(format_args!(
                    "expected true or false, found the string `{text}`; leave the quotes out"
                ));
                return None;
            }
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {}
        }
        self.fail(format_args!("expected true or false, found {}", self.node.describe()));
        None
    }

    /// The items of a list.
    pub(crate) fn items<'s>(&'s self) -> impl Iterator<Item = At<'s>> + use<'s, 'p> {
        let items: &[Node<'_>] = match &self.node.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => {
                self.fail(format_args!("expected a list, found {}", self.node.describe()));
                &[]
            }
        };
        items.iter().enumerate().map(move |(index, node)| At {
            sink: self.sink,
            node,
            parent: Some(self),
            step: Step::Item(index),
        })
    }

    /// The entries of a map whose keys are names.
    pub(crate) fn entries<'s>(
        &'s self,
    ) -> impl Iterator<Item = (NameAt<'s>, At<'s>)> + use<'s, 'p> {
        let entries: &[(Key<'_>, Node<'_>)] = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => {
                self.fail(format_args!("expected a map, found {}", self.node.describe()));
                &[]
            }
        };
        entries.iter().map(move |(key, node)| (NameAt { map: self, key }, self.child(key, node)))
    }

    /// A map with these keys and no others.
    pub(crate) fn fields(&self, expected: &[&str]) -> Option<Fields<'_>> {
        let Value::Map(entries) = &self.node.value else {
            self.fail_with(|| {
                let keys = list(expected.iter().copied());
                format!("expected a map with {keys}, found {}", self.node.describe())
            });
            return None;
        };
        for (key, _) in entries {
            if !expected.contains(&&*key.text) {
                let name = NameAt { map: self, key };
                name.fail_with(|| unknown_key(&key.text, expected));
            }
        }
        Some(Fields { at: *self, entries })
    }

    fn child<'s>(&'s self, key: &'s Key<'s>, node: &'s Node<'s>) -> At<'s> {
        At { sink: self.sink, node, parent: Some(self), step: Step::Key(key) }
    }
}

/// A key of a map, read as a name.
pub(crate) struct NameAt<'p> {
    map: &'p At<'p>,
    key: &'p Key<'p>,
}

// === impl NameAt ===

impl<'p> NameAt<'p> {
    pub(crate) fn place(&self) -> Place {
        self.key.place
    }

    pub(crate) fn fail(&self, message: impl Display) {
        self.fail_with(|| message.to_string());
    }

    fn fail_with(&self, message: impl FnOnce() -> String) {
        let path = || At { step: Step::Key(self.key), parent: Some(self.map), ..*self.map }.path();
        self.map.sink.report(self.key.place, path, message);
    }

    pub(crate) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&'p str) -> Result<T, E>,
    ) -> Option<T> {
        parse(&self.key.text).map_err(|error| self.fail(error)).ok()
    }
}

// === impl Fields ===

impl<'p> Fields<'p> {
    /// The value of an optional key; null is as absent.
    pub(crate) fn get<'s>(&'s self, key: &str) -> Option<At<'s>> {
        self.strict(key).filter(|at| !at.node.is_null())
    }

    /// The value of a key that must stand here. A plain `null` is a string like any other.
    pub(crate) fn required<'s>(&'s self, key: &str) -> Option<At<'s>> {
        let found = self.strict(key);
        if found.is_none() {
            self.at.fail(format_args!("the key `{key}` is missing"));
        }
        found
    }

    /// The items of an optional list, each read by `read`.
    pub(crate) fn list<T>(&self, key: &str, read: impl Fn(At<'_>) -> Option<T>) -> Vec<T> {
        let Some(list) = self.get(key) else { return Vec::new() };
        list.items().filter_map(read).collect()
    }

    /// The value of an optional key, even a null: for values whose absence gives more access, so
    /// that one forgotten after its key is an error.
    pub(crate) fn strict<'s>(&'s self, key: &str) -> Option<At<'s>> {
        let (key, node) = self.entries.iter().find(|(entry, _)| entry.text == key)?;
        Some(self.at.child(key, node))
    }

    /// An optional `true` or `false`.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.strict(key).map_or(default, |at| at.flag().unwrap_or(default))
    }

    pub(crate) fn at(&self) -> &At<'p> {
        &self.at
    }
}

/// `a`, `b` or `c`, each in backticks.
pub(crate) fn list<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn unknown_key(key: &str, expected: &[&str]) -> String {
    const NEAR: usize = 2;
    let expected_keys = list(expected.iter().copied());
    let nearest = expected.iter().map(|word| (distance(key, word), word)).min();
    match nearest {
        Some((steps, word)) if steps <= NEAR && steps < key.chars().count() => {
            format!("unknown key; did you mean `{word}`? expected one of {expected_keys}")
        }
        _ => format!("unknown key; expected one of {expected_keys}"),
    }
}

/// How many letters have to be added, left out or changed to make one word the other. Long words
/// are as far from everything as they are long.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST {
        return a.len();
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for ((other, diagonal), above) in b.chars().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != other)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_near_the_right_one() {
        assert_eq!(distance("manager", "manager"), 0);
        assert_eq!(distance("manger", "manager"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert!(unknown_key("manger", &["id", "manager"]).contains("did you mean `manager`?"));
        assert!(!unknown_key("platform", &["id", "manager"]).contains("did you mean"));
        assert!(!unknown_key("x", &["id", "on"]).contains("did you mean"));
    }
}
