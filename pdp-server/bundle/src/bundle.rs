//! A policy bundle: its facts with the places they were read from, and the changes that bring a
//! policy to hold them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use pdp_engine::facts::{self, Change, Fact, FactKey, FactKind, Facts, Rejected};
use pdp_engine::resource::ResourceType;

use crate::diagnostic::{BundleError, Place, Problem};
use crate::library;
use crate::locate::{Wanted, locate};
use crate::plain;
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
    library_place: Place,
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
    match plain::facts(text).and_then(|facts| Bundle::plain(source, text, facts)) {
        Some(bundle) => Ok(bundle),
        None => parse_any(source, text),
    }
}

/// Reads a policy bundle in whatever way it is written.
pub(crate) fn parse_any(source: &str, text: &str) -> Result<Bundle, BundleError> {
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
        let mut told = Vec::new();
        for rejection in &rejected.rejections {
            let message = rejection.to_string();
            match (self.origin(&rejection.key), &rejection.problem) {
                (Some(Origin::File(place)), problem) => {
                    told.push((place, "", Wanted::Cause(problem), message));
                }
                (Some(Origin::Library), _) => {
                    let message = format!("default library: {message}");
                    told.push((self.library_place, "library", Wanted::Nothing, message));
                }
                // Replacing removes it, and the bundle still names it.
                (None, facts::Problem::StillReferenced { referrers, .. }) => {
                    let key = &rejection.key;
                    let message = format!("names {key}, which the bundle does not have");
                    for referrer in referrers {
                        let Some(Origin::File(place)) = self.origin(referrer) else { continue };
                        told.push((place, "", Wanted::Mention(key), message.clone()));
                    }
                }
                (None, _) => {
                    let message = format!("not in the bundle: {message}");
                    told.push((Place::START, "", Wanted::Nothing, message));
                }
            }
        }
        if told.is_empty() {
            return BundleError::whole_file(&*self.source, rejected.to_string());
        }
        let wanted: Vec<_> = told.iter().map(|(place, _, wanted, _)| (*place, *wanted)).collect();
        let located = locate(&self.text, self.under, &wanted);
        let problems = told.into_iter().zip(located).map(|((place, key, _, message), located)| {
            let (place, key) =
                located.map_or_else(|| (place, key.to_owned()), |at| (at.place, at.key));
            Problem { source: self.source.clone(), place: Some(place), key, message }
        });
        BundleError::of(problems.collect())
    }

    /// The bundle of these facts; `None` if one stands twice.
    fn plain(source: &str, text: &str, facts: Vec<(Fact, Place)>) -> Option<Self> {
        let mut bundle = Self::empty(source, text, None);
        bundle.by_key.reserve(facts.len());
        let mut of_kinds: Vec<Vec<Entry>> = FactKind::ALL.iter().map(|_| Vec::new()).collect();
        for (fact, place) in facts {
            let entry = Entry { origin: Origin::File(place), fact };
            of_kinds.get_mut(entry.fact.kind() as usize)?.push(entry);
        }
        bundle.entries = of_kinds.into_iter().flatten().collect();
        for (index, entry) in bundle.entries.iter().enumerate() {
            if bundle.by_key.insert(entry.fact.key(), index).is_some() {
                return None;
            }
        }
        Some(bundle)
    }

    #[cfg(test)]
    pub(crate) fn places(&self) -> impl Iterator<Item = Option<Place>> {
        self.entries.iter().map(|entry| match entry.origin {
            Origin::File(place) => Some(place),
            Origin::Library => None,
        })
    }

    /// Whether the bundle, or the library that it asks for, has this fact.
    pub(crate) fn has(&self, key: &FactKey) -> bool {
        self.by_key.contains_key(key)
    }

    fn origin(&self, key: &FactKey) -> Option<Origin> {
        self.by_key.get(key).and_then(|index| self.entries.get(*index)).map(|entry| entry.origin)
    }

    pub(crate) fn empty(source: &str, text: &str, under: Option<&'static str>) -> Self {
        Self {
            source: source.to_owned(),
            text: Arc::from(text),
            under,
            entries: Vec::new(),
            by_key: HashMap::new(),
            library_place: Place::START,
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
            self.library_place = list.node.place;
            let mut load = false;
            for name in list.items() {
                load |= name.word(&[(library::NAME, ())]).is_some();
            }
            if load {
                self.add_library(&list);
            }
        }
        self.entries.sort_by_cached_key(|entry| entry.fact.key().kind());
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
