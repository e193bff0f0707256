//! YAML as a tree of JSON values, in which every scalar is a text.

use granit_parser::{Event, Parser};
use serde_json::{Map, Value};

/// Every document of a text. Keys that stand twice are refused, and so is what is no YAML.
pub(crate) fn documents(name: &str, text: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.unwrap_or_else(|error| panic!("{name}: {error}"));
        events.push(event);
    }
    let mut events = events.into_iter().peekable();
    let mut documents = Vec::new();
    while let Some(event) = events.next() {
        if matches!(event, Event::DocumentStart(..)) {
            documents.push(node(name, &mut events));
        }
    }
    documents
}

/// The only document of a text.
pub(crate) fn document(name: &str, text: &str) -> Value {
    let mut documents = documents(name, text);
    assert_eq!(documents.len(), 1, "{name} has more than one document, or none");
    documents.remove(0)
}

fn node<'a>(
    name: &str,
    events: &mut std::iter::Peekable<impl Iterator<Item = Event<'a>>>,
) -> Value {
    match events.next().expect("documents end") {
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while !matches!(events.peek(), Some(Event::SequenceEnd)) {
                items.push(node(name, events));
            }
            events.next();
            Value::Array(items)
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            while !matches!(events.peek(), Some(Event::MappingEnd)) {
                let Value::String(key) = node(name, events) else { panic!("{name}: a key") };
                let twice = map.insert(key.clone(), node(name, events));
                assert!(twice.is_none(), "{name}: `{key}` stands twice");
            }
            events.next();
            Value::Object(map)
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// What lies at a path such as `/spec/ports/0/name`, as a text.
pub(crate) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    let found = value.pointer(path).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("there is no text at {path} of {value}"))
}

/// What lies at a path, as a list.
pub(crate) fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    let found = value.pointer(path).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("there is no list at {path} of {value}"))
}

/// What lies at a path, as a list of texts.
pub(crate) fn texts(value: &Value, path: &str) -> Vec<String> {
    list(value, path).iter().map(|item| text(item, "").to_owned()).collect()
}
