//! Bundles in the layout that exports have, a fact a line, read line by line: a million lines take a
//! second or two, and no tree of them is kept. It knows that layout and plain words only. For anything
//! else, and for anything that is wrong, it has no answer: then the text is read as any YAML is, which
//! also says what is wrong and where.

use std::borrow::Cow;

use pdp_engine::facts::{Fact, FactKind};

use crate::diagnostic::Place;
use crate::policy::{SECTIONS, section};
use crate::read::{At, Sink};
use crate::yaml::{Key, MAX_DEPTH, Node, Value};

/// Every fact of the text with its place, in the order of the lines, if all of it has the layout.
pub(crate) fn facts(text: &str) -> Option<Vec<(Fact, Place)>> {
    let sink = Sink::new("");
    let (mut found, mut seen, mut kind) = (Vec::new(), Vec::new(), None);
    for (index, line) in text.strip_suffix('\n')?.split('\n').enumerate() {
        let line_number = u32::try_from(index + 1).ok()?;
        let at = |column| Place { line: line_number, column };
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            let (_, of) = SECTIONS.iter().find(|(section, _)| *section == name)?;
            if seen.contains(of) {
                return None;
            }
            seen.push(*of);
            kind = Some(*of);
            continue;
        }
        let before = found.len();
        let mut add = |_: &At<'_>, place, fact| found.push((fact, place));
        let item = match (kind?, line.strip_prefix("  ")?) {
            (FactKind::ResourceType, rest) => {
                let mut rest = Rest(rest);
                let Value::Scalar { text, .. } = rest.word()? else { return None };
                rest.skip(": ")?;
                let item = Node { place: at(3), value: rest.value(MAX_DEPTH)? };
                rest.end()?;
                Node { place: at(3), value: Value::Map(vec![(Key { place: at(3), text }, item)]) }
            }
            (_, rest) => {
                let mut rest = Rest(rest.strip_prefix("- ")?);
                let item = Node { place: at(5), value: rest.value(MAX_DEPTH)? };
                rest.end()?;
                Node { place: at(3), value: Value::List(vec![item]) }
            }
        };
        section(kind?, &At::top(&sink, &item), &mut add);
        if found.len() != before + 1 {
            return None;
        }
    }
    sink.finish(Some(found)).ok()
}

/// What is left of a line.
struct Rest<'a>(&'a str);

// === impl Rest ===

impl<'a> Rest<'a> {
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// A map, a list or a word, with so many levels in it at most.
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        match self.0.as_bytes().first()? {
            b'{' => self.map(depth),
            b'[' => self.list(depth),
            _ => self.word(),
        }
    }

    fn map(&mut self, depth: usize) -> Option<Value<'a>> {
        self.skip("{")?;
        let mut entries: Vec<(Key<'a>, Node<'a>)> = Vec::new();
        while self.skip("}").is_none() {
            if !entries.is_empty() {
                self.skip(", ")?;
            }
            let Value::Scalar { text, .. } = self.word()? else { return None };
            self.skip(": ")?;
            if entries.iter().any(|(key, _)| key.text == text) {
                return None;
            }
            let key = Key { place: Place::START, text };
            entries.push((key, Node { place: Place::START, value: self.value(depth)? }));
        }
        Some(Value::Map(entries))
    }

    fn list(&mut self, depth: usize) -> Option<Value<'a>> {
        self.skip("[")?;
        let mut items = Vec::new();
        while self.skip("]").is_none() {
            if !items.is_empty() {
                self.skip(", ")?;
            }
            items.push(Node { place: Place::START, value: self.value(depth)? });
        }
        Some(Value::List(items))
    }

    /// A scalar whose text is what is written, in whatever way it is read.
    fn word(&mut self) -> Option<Value<'a>> {
        let quote = self.0.as_bytes().first().copied().filter(|byte| matches!(*byte, b'"' | b'\''));
        if let Some(quote) = quote {
            let inside = self.0.get(1..)?;
            let length = inside.bytes().position(|byte| byte == quote)?;
            let (text, rest) = (inside.get(..length)?, inside.get(length + 1..)?);
            let plain = |byte: u8| byte != b'\\' && (b' '..=b'~').contains(&byte);
            // Two quotes are one inside a quoted text.
            if !text.bytes().all(plain) || rest.as_bytes().first() == Some(&quote) {
                return None;
            }
            self.0 = rest;
            return Some(Value::Scalar { text: Cow::Borrowed(text), plain: false });
        }
        let length = plain_length(self.0.as_bytes());
        let (text, rest) = self.0.split_at_checked(length).filter(|(text, _)| !text.is_empty())?;
        self.0 = rest;
        Some(Value::Scalar { text: Cow::Borrowed(text), plain: true })
    }
}

/// How long the plain word is that a line begins with: letters and digits, and what may stand between
/// them without meaning anything.
fn plain_length(bytes: &[u8]) -> usize {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let follows = match *byte {
            b':' | b'/' | b'.' | b'-' | b'@' | b'+' => {
                length > 0 && is_letter(bytes.get(length + 1))
            }
            b'_' => true,
            other => other.is_ascii_alphanumeric(),
        };
        if !follows {
            break;
        }
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{parse, parse_any};

    const BUNDLE: &str = r#"resource_types:
  Report: {operations: [View, "*x"], rights: [Read]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed, "*": denied}}
locations:
  - {id: l0, organization: true}
  - {id: l1, parent: l0}
people:
  - {id: ana, name: "Ana Ng", positions: [{business_role: b, location: l1}]}
  - {id: corp/bo-1, enabled: false}
groups:
  - {id: g, members: [person:ana, {of: person:corp/bo-1, valid_from: 2019-12-21T05:11:33Z}]}
resources:
  - {type: Report, id: "2026:q1", locations: [l0, l1]}
assignments:
  - {id: x0, to: group:g, level: Report/Viewer, "on": Report:r1}
  - {id: x1, to: person:ana, level: Report/Viewer, in: l0, valid_until: 2030-01-01T00:00:00Z}
"#;

    fn same(text: &str) -> bool {
        let quick = facts(text).is_some();
        if quick {
            match (parse("x", text), parse_any("x", text)) {
                (Ok(one), Ok(other)) => {
                    assert!(one.facts().eq(other.facts()), "{text}");
                    assert!(one.places().eq(other.places()), "{text}");
                }
                (one, other) => assert_eq!(one.unwrap_err(), other.unwrap_err(), "{text}"),
            }
        }
        quick
    }

    #[test]
    fn a_bundle_in_the_layout_reads_as_any_other() {
        assert!(same(BUNDLE));
        assert_eq!(facts(BUNDLE).unwrap().len(), 10);
    }

    #[test]
    fn whatever_it_reads_is_read_the_same_otherwise() {
        let mut read = 0;
        for at in 0..BUNDLE.len() {
            for put in
                ["", " ", ":", ": ", "-", "#", "a", "\"", "'", ", ", "{", "]", "\n", "~", "\t"]
            {
                let mut text = BUNDLE.to_owned();
                text.replace_range(at..=at, put);
                read += usize::from(same(&text));
            }
        }
        assert!(read > 500, "{read}");
    }

    #[test]
    fn what_is_not_in_the_layout_is_left_to_others() {
        for text in [
            "",
            "{}\n",
            "people: [{id: ana}]\n",
            "people:\n  - id: ana\n",
            "people:\n  - {id: ana} # she\n",
            "people:\n  - {id: ana}\npeople:\n  - {id: bo}\n",
            "library: [default]\n",
            "library:\n  - default\n",
            "people:\n  - {id: ana, id: bo}\n",
            "people:\n  - {id: 'it''s'}\n",
            "people:\n  - {id: \"a\\n\"}\n",
            "people:\n  - {id: ana}",
            "people:\n  - {id: ana, colour: red}\n",
        ] {
            assert_eq!(facts(text), None, "{text}");
        }
    }
}
