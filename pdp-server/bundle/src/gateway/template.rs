//! Texts with captures: `/computers/{id}/restart` takes a text apart, `Computer:{id}` puts one
//! together.
//!
//! INVARIANT: what a template made tells what its captures held, so that no two requests are mixed up.
//! A capture never holds the separator, and between two captures of what is put together there
//! always is one; a capture of the rest, which may hold it, stands last.

use std::fmt;

/// How many captures one template may have: they are kept in a fixed place while a request is mapped.
pub const MAX_CAPTURES: usize = 8;

/// How many segments one template may have.
pub const MAX_SEGMENTS: usize = 32;

/// What a request's captures are, in the order of the template.
pub(super) type Captures<'t> = [&'t str; MAX_CAPTURES];

/// A text taken apart at a separator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) separator: char,
    pub(super) segments: Vec<Segment>,
    /// The names of the captures, in order.
    pub(super) names: Vec<Box<str>>,
}

/// What stands between two separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text.
    Text(Box<str>),
    /// Any text but none, up to the next separator.
    Capture,
    /// Everything that is left, at least one character: only at the end.
    Rest,
}

/// A text to be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Capture(usize),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("a `{{` or `}}` that is not part of a capture; write captures like `{{name}}`")]
    Brace,
    #[error("`{0}` is no name for a capture; use letters, digits and `_`")]
    Name(String),
    #[error("a capture stands for a whole part between two `{0}`; `{1}` is more")]
    Partial(char, String),
    #[error("the capture `{0}` stands here twice")]
    Twice(String),
    #[error("a capture of the rest stands at the end only")]
    RestInside,
    #[error("{0} captures; the limit is {MAX_CAPTURES}")]
    TooManyCaptures(usize),
    #[error("{0} segments; the limit is {MAX_SEGMENTS}")]
    TooManySegments(usize),
    #[error("there is no capture `{name}`; {known}")]
    Unknown { name: String, known: String },
    #[error(
        "nothing keeps `{0}` and `{1}` apart: put a `{2}` between them, or two requests could name the same thing"
    )]
    Touching(String, String, char),
}

/// A piece of a template as written.
enum Piece<'t> {
    Text(&'t str),
    Capture { name: &'t str, rest: bool },
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut left = text;
    while !left.is_empty() {
        let (before, from) = match left.find(['{', '}']) {
            Some(at) => left.split_at(at),
            None => (left, ""),
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        if from.is_empty() {
            break;
        }
        let inner = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (written, after) = inner.ok_or(TemplateError::Brace)?;
        let (name, rest) = match written.strip_suffix("...") {
            Some(name) => (name, true),
            None => (written, false),
        };
        let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !named {
            return Err(TemplateError::Name(crate::diagnostic::shown(written)));
        }
        pieces.push(Piece::Capture { name, rest });
        left = after;
    }
    Ok(pieces)
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str, separator: char) -> Result<Self, TemplateError> {
        let mut pattern = Self { separator, segments: Vec::new(), names: Vec::new() };
        for part in text.split(separator) {
            if let Some(Segment::Rest) = pattern.segments.last() {
                return Err(TemplateError::RestInside);
            }
            let segment = pattern.segment(part)?;
            pattern.segments.push(segment);
        }
        if pattern.names.len() > MAX_CAPTURES {
            return Err(TemplateError::TooManyCaptures(pattern.names.len()));
        }
        if pattern.segments.len() > MAX_SEGMENTS {
            return Err(TemplateError::TooManySegments(pattern.segments.len()));
        }
        Ok(pattern)
    }

    fn segment(&mut self, part: &str) -> Result<Segment, TemplateError> {
        match *pieces(part)?.as_slice() {
            [] => Ok(Segment::Text("".into())),
            [Piece::Text(text)] => Ok(Segment::Text(text.into())),
            [Piece::Capture { name, rest }] => {
                if self.names.iter().any(|known| **known == *name) {
                    return Err(TemplateError::Twice(name.to_owned()));
                }
                self.names.push(name.into());
                Ok(if rest { Segment::Rest } else { Segment::Capture })
            }
            _ => Err(TemplateError::Partial(self.separator, crate::diagnostic::shown(part))),
        }
    }

    /// What the captures hold, if the text fits.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        let mut captures = [""; MAX_CAPTURES];
        let mut free = captures.iter_mut();
        let mut left = Some(text);
        for segment in &self.segments {
            let from = left?;
            let (part, after) = match from.split_once(self.separator) {
                Some((part, after)) => (part, Some(after)),
                None => (from, None),
            };
            match segment {
                Segment::Text(text) if **text == *part => {}
                Segment::Capture if !part.is_empty() => *free.next()? = part,
                Segment::Rest if !from.is_empty() => {
                    *free.next()? = from;
                    return Some(captures);
                }
                Segment::Text(_) | Segment::Capture | Segment::Rest => return None,
            }
            left = after;
        }
        left.is_none().then_some(captures)
    }

    /// The names of the captures, and whether each may hold the separator.
    fn is_rest(&self, capture: usize) -> bool {
        self.segments.last() == Some(&Segment::Rest) && capture + 1 == self.names.len()
    }
}

// === impl Template ===

impl Template {
    /// Reads a template of the captures of a pattern.
    pub(super) fn parse(text: &str, of: &Pattern) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.into()),
                Piece::Capture { name, rest: false } => {
                    let at = of.names.iter().position(|known| **known == *name);
                    Part::Capture(at.ok_or_else(|| unknown(name, of))?)
                }
                Piece::Capture { name, rest: true } => {
                    return Err(TemplateError::Name(format!("{name}...")));
                }
            });
        }
        let template = Self { parts };
        template.keeps_apart(of)?;
        Ok(template)
    }

    /// Holds the invariant of this room.
    fn keeps_apart(&self, of: &Pattern) -> Result<(), TemplateError> {
        let name = |capture: usize| of.names.get(capture).map_or("", |name| &**name).to_owned();
        let mut before: Option<(usize, bool)> = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    if let Some((_, apart)) = &mut before {
                        *apart |= text.contains(of.separator);
                    }
                }
                Part::Capture(capture) => {
                    if let Some((first, apart)) = before
                        && (!apart || of.is_rest(first))
                    {
                        let (first, second) = (name(first), name(*capture));
                        return Err(TemplateError::Touching(first, second, of.separator));
                    }
                    before = Some((*capture, false));
                }
            }
        }
        Ok(())
    }

    /// Whether what it makes depends on the captures.
    pub(super) fn has_captures(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// The text with the captures put in.
    pub(super) fn filled(&self, captures: &Captures<'_>) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Capture(at) => captures.get(*at).map_or(0, |text| text.len()),
        };
        let mut filled = String::with_capacity(self.parts.iter().map(text).sum());
        for part in &self.parts {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Capture(at) => captures.get(*at).copied().unwrap_or_default(),
            });
        }
        filled
    }
}

fn unknown(name: &str, of: &Pattern) -> TemplateError {
    let known = match of.names.as_slice() {
        [] => "there are none".to_owned(),
        names => format!("there are {}", crate::read::list(names.iter().map(|name| &**name))),
    };
    TemplateError::Unknown { name: name.to_owned(), known }
}

/// As it is written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names.iter();
        for (at, segment) in self.segments.iter().enumerate() {
            if at > 0 {
                write!(f, "{}", self.separator)?;
            }
            match segment {
                Segment::Text(text) => f.write_str(text)?,
                Segment::Capture => write!(f, "{{{}}}", names.next().map_or("", |name| name))?,
                Segment::Rest => write!(f, "{{{}...}}", names.next().map_or("", |name| name))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Two texts make the same only if the captures that are used are the same.
        #[test]
        fn what_was_made_tells_what_it_was_made_of(
            texts in proptest::collection::vec("/[a-]{1,2}/[ay-]{1,2}/[a/-]{1,4}", 2),
            template in proptest::sample::select(vec!["x{a}/y{b}-/{c}", "{b}/{a}", "{a}-/-{c}", "{c}"]),
        ) {
            let pattern = Pattern::parse("/{a}/{b}/{c...}", '/').unwrap();
            let template = Template::parse(template, &pattern).unwrap();
            let used: Vec<usize> = template
                .parts
                .iter()
                .filter_map(|part| match part {
                    Part::Capture(at) => Some(*at),
                    Part::Text(_) => None,
                })
                .collect();
            let made = |text: &str| {
                let captures = pattern.captures(text)?;
                let held: Vec<String> = used.iter().map(|at| captures[*at].to_owned()).collect();
                Some((template.filled(&captures), held))
            };
            if let (Some((first, of)), Some((second, of_second))) = (made(&texts[0]), made(&texts[1])) {
                prop_assert_eq!(first == second, of == of_second);
            }
        }
    }

    fn mapped(pattern: &str, template: &str, text: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern, '/').unwrap();
        let template = Template::parse(template, &pattern).unwrap();
        Some(template.filled(&pattern.captures(text)?))
    }

    #[test]
    fn what_is_taken_apart_is_put_together() {
        for (pattern, template, text, filled) in [
            ("/c/{id}/restart", "{id}", "/c/web-07/restart", Some("web-07")),
            ("/c/{id}/restart", "{id}", "/c/web-07/stop", None),
            ("/c/{id}/restart", "{id}", "/c//restart", None),
            ("/c/{id}", "{id}", "/c/a/b", None),
            ("/c/{id}", "{id}", "/c/a/", None),
            ("/c/{id}", "{id}", "/c", None),
            ("/c/{id}/", "{id}", "/c/a/", Some("a")),
            ("/{a}/{b}", "{b}/{a}", "/1/2", Some("2/1")),
            ("/f/{path...}", "/{path}", "/f/a/b/c", Some("/a/b/c")),
            ("/f/{path...}", "{path}", "/f/", None),
            ("/", "fixed", "/", Some("fixed")),
        ] {
            assert_eq!(mapped(pattern, template, text).as_deref(), filled, "{pattern} {text}");
            assert_eq!(Pattern::parse(pattern, '/').unwrap().to_string(), pattern);
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        use TemplateError as E;
        let pattern = |text: &str| Pattern::parse(text, '/').unwrap_err();
        assert_eq!(pattern("/a{"), E::Brace);
        assert_eq!(pattern("/a}"), E::Brace);
        assert_eq!(pattern("/{}"), E::Name(String::new()));
        assert_eq!(pattern("/{a b}"), E::Name("a b".to_owned()));
        assert_eq!(pattern("/a-{b}"), E::Partial('/', "a-{b}".to_owned()));
        assert_eq!(pattern("/{a}/{a}"), E::Twice("a".to_owned()));
        assert_eq!(pattern("/{a...}/b"), E::RestInside);
        assert_eq!(pattern("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), E::TooManyCaptures(9));
        assert_eq!(pattern(&"/a".repeat(32)), E::TooManySegments(33));
        let of = Pattern::parse("/{a}/{b}/{c...}", '/').unwrap();
        let template = |text: &str| Template::parse(text, &of);
        assert!(matches!(template("{x}"), Err(E::Unknown { .. })));
        assert!(matches!(template("{a}{b}"), Err(E::Touching(..))));
        assert!(matches!(template("{a}-{b}"), Err(E::Touching(..))));
        assert!(matches!(template("{c}/{a}"), Err(E::Touching(..))));
        assert!(matches!(template("{c...}"), Err(E::Name(_))));
        assert!(template("x{a}/y{b}-/{c}").is_ok());
    }
}
