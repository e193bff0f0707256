//! A policy bundle: its facts with the places they were read from, and the changes that bring a
//! policy to hold them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use pdp_engine::facts::{Change, Fact, FactKey, FactKind, Facts, Rejected};
use pdp_engine::resource::ResourceType;

use crate::diagnostic::{BundleError, Place, Problem};
use crate::library;
use crate::locate::{Located, locate};
use crate::policy::{SECTIONS, section};
use crate::read::{At, Sink};
use crate::yaml;

/// A policy bundle as read from a file. Every reference in it is well formed; whether it leads
/// anywhere is checked when the changes are applied.
#[derive(Debug, Clone)]
pub struct Bundle {
    source: String,
    text: Arc<str>,
    /// The key under which the bundle stands in the file; `None` if the file is the bundle.
    under: Option<&'static str>,
    entries: Vec<Entry>,
    by_key: HashMap<FactKey, usize>,
    library_place: Option<Place>,
}

/// A fact and where it comes from.
#[derive(Debug, Clone)]
struct Entry {
    fact: Fact,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    File(Place),
    Library,
}

/// Reads a policy bundle. `source` names it in messages.
///
/// # Errors
/// [`BundleError`] lists what is wrong, each with file, line, column, key and what was expected.
pub fn parse(source: &str, text: &str) -> Result<Bundle, BundleError> {
    let root = yaml::parse(text).map_err(|error| Sink::syntax(source, error))?;
    let sink = Sink::new(source);
    let mut bundle = Bundle::empty(source, text, None);
    if let Some(root) = &root
        && !root.is_null()
    {
        bundle.read(&At::top(&sink, root));
    }
    sink.finish(Some(bundle))
}

// === impl Bundle ===

impl Bundle {
    /// The name of the file, as given to [`parse`].
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every fact, the library's included, in the order of an export's kinds.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = &Fact> + Clone {
        self.entries.iter().map(|entry| &entry.fact)
    }

    /// The changes that make a policy hold what the bundle names and touch nothing else. What is
    /// referred to stands before what refers to it, except among locations and among roles.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.facts().cloned().map(Change::Put).collect()
    }

    /// The changes that make the policy `current` equal to the bundle; facts that are so already
    /// are left out. A resource type that declares too much is deleted and put again.
    #[must_use]
    pub fn replace(&self, current: &Facts) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut puts = Vec::new();
        for fact in current.iter() {
            let key = fact.key();
            let kept = self.by_key.get(&key).and_then(|index| self.entries.get(*index));
            if kept.is_none_or(|entry| shrinks(&fact, &entry.fact)) {
                changes.push(Change::Delete { key, cascade: false });
            }
        }
        for fact in self.facts() {
            if current.get(&fact.key()).as_ref() != Some(fact) {
                puts.push(Change::Put(fact.clone()));
            }
        }
        changes.reverse();
        changes.append(&mut puts);
        changes
    }

    /// What the engine refused, told by file, line and key. The rejected change set may be the one
    /// of [`Bundle::changes`] or of [`Bundle::replace`].
    #[must_use]
    pub fn explain_rejection(&self, rejected: &Rejected) -> BundleError {
        let place_of = |key: &FactKey| {
            self.by_key.get(key).and_then(|index| self.entries.get(*index)).map(|e| e.origin)
        };
        let wanted: Vec<_> = rejected
            .rejections
            .iter()
            .filter_map(|rejection| match place_of(&rejection.key)? {
                Origin::File(place) => Some((place, &rejection.problem)),
                Origin::Library => None,
            })
            .collect();
        let mut located = locate(&self.text, self.under, &wanted).into_iter();
        let problems = rejected.rejections.iter().map(|rejection| {
            let origin = place_of(&rejection.key);
            let found = match origin {
                Some(Origin::File(place)) => located
                    .next()
                    .flatten()
                    .unwrap_or_else(|| Located { place, key: rejection.key.to_string() }),
                Some(Origin::Library) | None => Located {
                    place: self.library_place.unwrap_or(Place { line: 1, column: 1 }),
                    key: "library".to_owned(),
                },
            };
            let message = rejection.to_string();
            match origin {
                Some(Origin::File(_)) => self.problem(Some(found.place), found.key, message),
                Some(Origin::Library) => self.problem(
                    Some(found.place),
                    found.key,
                    format!("default library: {message}"),
                ),
                None => self.problem(None, String::new(), format!("not in the bundle: {message}")),
            }
        });
        BundleError::of(problems.collect())
    }

    fn problem(&self, place: Option<Place>, key: String, message: String) -> Problem {
        Problem { source: self.source.clone(), place, key, message }
    }

    pub(crate) fn empty(source: &str, text: &str, under: Option<&'static str>) -> Self {
        Self {
            source: source.to_owned(),
            text: Arc::from(text),
            under,
            entries: Vec::new(),
            by_key: HashMap::new(),
            library_place: None,
        }
    }

    /// Reads the sections, and the library before them if the bundle asks for it.
    pub(crate) fn read(&mut self, at: &At<'_>) {
        let mut keys: Vec<&str> = SECTIONS.map(|(key, _)| key).to_vec();
        keys.insert(1, "library");
        let Some(fields) = at.fields(&keys) else { return };
        for (key, kind) in SECTIONS {
            let Some(list) = fields.get(key) else { continue };
            section(kind, &list, &mut |at, place, fact| self.add(at, place, fact));
        }
        if let Some(list) = fields.get("library") {
            self.library_place = Some(list.node.place);
            let mut load = false;
            for name in list.items() {
                load |= name.word(&[(library::NAME, ())]).is_some();
            }
            if load {
                self.add_library(&list);
            }
        }
        let order = |kind| FactKind::ALL.iter().position(|other| *other == kind);
        self.entries.sort_by_key(|entry| order(entry.fact.key().kind()));
        let keys = self.entries.iter().enumerate();
        self.by_key = keys.map(|(index, entry)| (entry.fact.key(), index)).collect();
    }

    fn add(&mut self, at: &At<'_>, place: Place, fact: Fact) {
        match self.by_key.entry(fact.key()) {
            Slot::Vacant(slot) => {
                slot.insert(self.entries.len());
                self.entries.push(Entry { fact, origin: Origin::File(place) });
            }
            Slot::Occupied(slot) => {
                let first = self.entries.get(*slot.get()).map(|entry| entry.origin);
                let line = match first {
                    Some(Origin::File(place)) => place.line,
                    Some(Origin::Library) | None => 0,
                };
                at.fail(format_args!(
                    "{} stands twice: on line {line} and on line {}",
                    slot.key(),
                    place.line
                ));
            }
        }
    }

    /// The library comes before the rest: what the bundle declares itself replaces the library's
    /// definition of the same name, and adds to the library's resource types.
    fn add_library(&mut self, at: &At<'_>) {
        let facts: Vec<&Fact> = self.facts().collect();
        let expanded = match library::expand(&facts) {
            Ok(expanded) => expanded,
            Err(message) => return at.fail(message),
        };
        for fact in expanded {
            match self.by_key.entry(fact.key()) {
                Slot::Vacant(slot) => {
                    slot.insert(self.entries.len());
                    self.entries.push(Entry { fact, origin: Origin::Library });
                }
                Slot::Occupied(slot) => {
                    if let Some(entry) = self.entries.get_mut(*slot.get()) {
                        add_declarations(&mut entry.fact, &fact);
                    }
                }
            }
        }
    }
}

/// Whether putting `after` over `before` would leave more than `after` says: types only add.
fn shrinks(before: &Fact, after: &Fact) -> bool {
    match (before, after) {
        (Fact::ResourceType(before), Fact::ResourceType(after)) => {
            !before.operations.is_subset(&after.operations)
                || !before.rights.is_subset(&after.rights)
        }
        _ => false,
    }
}

fn add_declarations(fact: &mut Fact, library: &Fact) {
    if let (Fact::ResourceType(own), Fact::ResourceType(library)) = (&*fact, library) {
        *fact = ResourceType {
            name: own.name.clone(),
            operations: own.operations.union(&library.operations).cloned().collect(),
            rights: own.rights.union(&library.rights).cloned().collect(),
        }
        .into();
    }
}
