//! JSON as callers send it, read strictly: one value, nested to a depth, no member named twice
//! (RFC 7493, section 2.3), nothing after it. What is read borrows from the text. Which members
//! there should be is for others to say.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// How deep arrays and objects may lie in each other: no request needs more than half a dozen, and
/// what callers put into contexts and properties is looked past.
pub(crate) const MAX_JSON_DEPTH: usize = 32;

/// Up to so many members are compared each with each; more are sorted first.
const FEW: usize = 8;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Number,
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// An object's members, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

// === impl Json ===

impl<'a> Json<'a> {
    /// Reads a text that is one value.
    ///
    /// # Errors
    /// Says what is wrong with it and where.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Read { depth: 0 }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// What kind of value it is, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Whole(_) | Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// The member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(its, _)| its == name).map(|(_, value)| value)
    }

    /// The first name that two members share.
    fn twice(&self) -> Option<&str> {
        let members = &self.0;
        if members.len() <= FEW {
            let named_before = |(at, (name, _)): (usize, &(Cow<'a, str>, Json<'a>))| {
                members.iter().take(at).any(|(other, _)| other == name).then_some(at)
            };
            let at = members.iter().enumerate().find_map(named_before)?;
            return members.get(at).map(|(name, _)| name.as_ref());
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        pairs.find(|(one, other)| one == other).map(|(name, _)| *name)
    }
}

/// Reads a value that lies so deep.
#[derive(Clone, Copy)]
struct Read {
    depth: usize,
}

// === impl Read ===

impl Read {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_JSON_DEPTH {
            return Err(E::custom(format_args!(
                "arrays and objects are nested deeper than {MAX_JSON_DEPTH}, which is the limit"
            )));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Read {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut object = Object::default();
        while let Some(name) = members.next_key_seed(Name)? {
            object.0.push((name, members.next_value_seed(inner)?));
        }
        match object.twice() {
            Some(name) => {
                let shown: String = name.chars().take(80).collect();
                Err(A::Error::custom(format_args!("an object has two members `{shown}`")))
            }
            None => Ok(Json::Object(object)),
        }
    }
}

/// Reads a member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Json::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_what_they_are() {
        let text = r#"{"a": "x", "b\u0063": [null, true, 7, -7, 1.5, {}], "": "\u00e9"}"#;
        let Ok(Json::Object(object)) = Json::parse(text) else { panic!("no object") };
        assert_eq!(object.get("a"), Some(&Json::Text(Cow::Borrowed("x"))));
        let list = [
            Json::Null,
            Json::Bool(true),
            Json::Whole(7),
            Json::Number,
            Json::Number,
            Json::Object(Object::default()),
        ];
        assert_eq!(object.get("bc"), Some(&Json::List(list.to_vec())));
        assert_eq!(object.get(""), Some(&Json::Text(Cow::Borrowed("é"))));
        assert_eq!(object.get("b"), None);
    }

    #[test]
    fn no_member_is_named_twice_however_it_is_written() {
        assert!(refused(r#"{"a": 1, "b": 2, "a": 3}"#).contains("two members `a`"));
        assert!(refused(r#"[{"x": {"a": 1, "\u0061": 3}}]"#).contains("two members `a`"));
        let many: Vec<String> = (0..50).map(|n| format!("\"{n}\": 0")).collect();
        let many = many.join(", ");
        assert!(Json::parse(&format!("{{{many}}}")).is_ok());
        assert!(refused(&format!("{{{many}, \"31\": 0}}")).contains("two members `31`"));
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(MAX_JSON_DEPTH)).is_ok());
        assert!(refused(&nested(MAX_JSON_DEPTH + 1)).contains("deeper than 32"));
        assert!(refused(&"{\"a\":".repeat(100_000)).contains("deeper than 32"));
        assert!(refused(&"[".repeat(1_000_000)).contains("deeper than 32"));
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for text in ["", " ", "{", "{}{}", "{} x", "{\"a\"}", "'a'", "nul", "1e999", "\u{feff}{}"] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
        // Half a surrogate pair is no character (RFC 7493, section 2.1).
        assert!(Json::parse(r#"{"a": "\ud800"}"#).is_err());
    }
}
