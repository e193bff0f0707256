//! YAML text to a tree of nodes that know their places. JSON is accepted: it is YAML.
//!
//! Only what the formats need is accepted: one document, no anchors, aliases or tags, so that the
//! tree is never larger than the text. Scalars stay the text that was written: whether `007` is a
//! number or an id is for the reader to say. Nothing here knows what the keys mean.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle};

use crate::diagnostic::{Place, shown};

/// The longest text accepted, in bytes: a million assignments and as many resources fit, and the
/// tree of the largest text still fits into the memory of the machines that read such bundles.
pub const MAX_BYTES: usize = 256 << 20;

/// How many nodes (scalars, lists and maps) one text may have: about 16 for every fact of the
/// largest bundle. It bounds the memory that a small text of empty nodes can take.
pub const MAX_NODES: usize = 32_000_000;

/// How deep lists and maps may nest. The formats need 7 levels; the rest is room for later ones.
pub const MAX_DEPTH: usize = 32;

/// A node and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) place: Place,
    pub(crate) value: Value<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A scalar; `plain` if it was written without quotes.
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) place: Place,
    pub(crate) text: Cow<'a, str>,
}

/// What is wrong with a text before anything of it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) place: Option<Place>,
    pub(crate) message: String,
}

// === impl Node ===

impl Node<'_> {
    /// What it is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain: true } if text.is_empty() => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", shown(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Nothing after the key, or a null as YAML 1.2 writes it.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads a text. An empty one gives `None`.
pub(crate) fn parse(text: &str) -> Result<Option<Node<'_>>, SyntaxError> {
    if text.len() > MAX_BYTES {
        let message = format!("the text has {} bytes; the limit is {MAX_BYTES}", text.len());
        return Err(SyntaxError { place: None, message });
    }
    parse_within(text, MAX_NODES)
}

fn parse_within(text: &str, max_nodes: usize) -> Result<Option<Node<'_>>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut tree = Tree { open: Vec::new(), root: None, nodes: 0, max_nodes };
    let mut documents = 0_usize;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| syntax_error(&error))?;
        let at = place(span.start);
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents > 1 {
                return Err(wrong(at, "a second document; the file holds exactly one"));
            }
        }
        let written = span.start.index() != span.end.index();
        tree.take(event, at, written)?;
    }
    Ok(tree.root)
}

fn place(marker: Marker) -> Place {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: narrow(marker.line()), column: narrow(marker.col().saturating_add(1)) }
}

fn wrong(place: Place, message: impl Into<String>) -> SyntaxError {
    SyntaxError { place: Some(place), message: message.into() }
}

fn syntax_error(error: &granit_parser::ScanError) -> SyntaxError {
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            format!("more than {MAX_DEPTH} levels of lists and maps; the limit is {MAX_DEPTH}")
        }
        ErrorKind::UnknownAnchor => ALIASES.to_owned(),
        _ => format!("not valid YAML: {}", error.info()),
    };
    wrong(place(*error.marker()), message)
}

const ALIASES: &str = "anchors, aliases and merge keys are not accepted; write the value out";

const NOT_A_KEY: &str = "a list or a map stands where a key was expected";

/// A list or a map that has begun and not ended.
enum Open<'a> {
    List { place: Place, items: Vec<Node<'a>> },
    Map { place: Place, entries: Vec<(Key<'a>, Node<'a>)>, key: Option<Key<'a>>, keys: Keys<'a> },
}

/// The keys of an open map with their places. Small maps, which are nearly all, are searched.
#[derive(Default)]
struct Keys<'a> {
    by_text: HashMap<Cow<'a, str>, Place>,
}

struct Tree<'a> {
    open: Vec<Open<'a>>,
    root: Option<Node<'a>>,
    nodes: usize,
    max_nodes: usize,
}

// === impl Tree ===

impl<'a> Tree<'a> {
    fn take(&mut self, event: Event<'a>, at: Place, written: bool) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                // The parser gives `~` for nothing at all; that is not what was written.
                let text = if plain && !written { Cow::Borrowed("") } else { text };
                self.finish(Node { place: at, value: Value::Scalar { text, plain } })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                self.deepen(at, Open::List { place: at, items: Vec::new() })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                let (entries, keys) = (Vec::new(), Keys::default());
                self.deepen(at, Open::Map { place: at, entries, key: None, keys })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { place, items }) => {
                    self.finish(Node { place, value: Value::List(items) })
                }
                Some(Open::Map { place, entries, .. }) => {
                    self.finish(Node { place, value: Value::Map(entries) })
                }
                None => Err(wrong(at, "not valid YAML: an end without a beginning")),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => {
                Err(wrong(at, ALIASES))
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => Ok(()),
            _ => Err(wrong(at, "not valid YAML: a construct that is not known here")),
        }
    }

    fn begin(&mut self, at: Place, anchor: usize, tagged: bool) -> Result<(), SyntaxError> {
        if anchor != 0 {
            return Err(wrong(at, ALIASES));
        }
        if tagged {
            return Err(wrong(at, "tags (`!`) are not accepted; quote the value instead"));
        }
        self.nodes += 1;
        if self.nodes > self.max_nodes {
            let limit = self.max_nodes;
            return Err(wrong(at, format!("more than {limit} values; the limit is {limit}")));
        }
        Ok(())
    }

    fn deepen(&mut self, at: Place, open: Open<'a>) -> Result<(), SyntaxError> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(wrong(at, NOT_A_KEY));
        }
        self.open.push(open);
        let depth = self.open.len();
        if depth > MAX_DEPTH {
            return Err(wrong(
                at,
                format!("{depth} levels of lists and maps; the limit is {MAX_DEPTH}"),
            ));
        }
        Ok(())
    }

    fn finish(&mut self, node: Node<'a>) -> Result<(), SyntaxError> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, keys, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let place = node.place;
                    let Value::Scalar { text, .. } = node.value else {
                        return Err(wrong(place, NOT_A_KEY));
                    };
                    let found = Key { place, text };
                    if let Some(first) = keys.first(&found, entries) {
                        let (key, line) = (shown(&found.text), first.line);
                        let message = format!(
                            "the key `{key}` stands twice in this map; the first is on line {line}"
                        );
                        return Err(wrong(place, message));
                    }
                    *key = Some(found);
                }
            },
        }
        Ok(())
    }
}

// === impl Keys ===

impl<'a> Keys<'a> {
    /// Up to this many keys are compared one by one.
    const SEARCHED: usize = 12;

    /// Where the key stands already; otherwise notes it.
    fn first(&mut self, key: &Key<'a>, entries: &[(Key<'a>, Node<'a>)]) -> Option<Place> {
        if entries.len() < Self::SEARCHED {
            return entries
                .iter()
                .find(|(entry, _)| entry.text == key.text)
                .map(|(key, _)| key.place);
        }
        if self.by_text.is_empty() {
            self.by_text = entries.iter().map(|(key, _)| (key.text.clone(), key.place)).collect();
        }
        self.by_text.insert(key.text.clone(), key.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_is_bounded() {
        assert!(parse_within("[a, b]", 3).is_ok());
        let error = parse_within("[a,\n b, c]", 3).unwrap_err();
        assert_eq!(error.place, Some(Place { line: 2, column: 5 }));
        assert_eq!(error.message, "more than 3 values; the limit is 3");
        assert!(parse_within("{a: {b: c}}", 4).is_err());
    }

    #[test]
    fn places_count_characters() {
        let root = parse("{é日🙂: 'x', y: z}").unwrap().unwrap();
        let Value::Map(entries) = root.value else { panic!("a map") };
        let columns: Vec<_> =
            entries.iter().map(|(key, node)| (key.place.column, node.place.column)).collect();
        assert_eq!(columns, [(2, 7), (12, 15)]);
    }

    #[test]
    fn nothing_is_not_a_tilde() {
        let root = parse("a: ~\nb:\nc: ''\nd: 'null'\n").unwrap().unwrap();
        let Value::Map(entries) = root.value else { panic!("a map") };
        let texts: Vec<_> = entries
            .iter()
            .map(|(_, node)| match &node.value {
                Value::Scalar { text, .. } => (text.to_string(), node.is_null()),
                Value::List(_) | Value::Map(_) => panic!("a scalar"),
            })
            .collect();
        let expected = [("~", true), ("", true), ("", false), ("null", false)];
        assert_eq!(texts, expected.map(|(text, null)| (text.to_owned(), null)));
    }

    #[test]
    fn block_and_quoted_styles_give_their_text() {
        let root =
            parse("- |\n  a\n  b\n- >-\n  a\n  b\n- \"a\\u00e9\\\n  b\"\n- 'it''s'\n- a\n  b\n");
        let Value::List(items) = root.unwrap().unwrap().value else { panic!("a list") };
        let described: Vec<_> = items.iter().map(Node::describe).collect();
        assert_eq!(described, ["`a\\nb\\n`", "`a b`", "`aéb`", "`it's`", "`a b`"]);
    }
}
