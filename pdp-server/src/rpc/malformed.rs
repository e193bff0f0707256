//! What is wrong with a request, by the path of the field that is at fault. Conversions of inner
//! messages know their own fields only; the path grows on the way out, and only where there is an
//! error.

use std::fmt::Display;

use pdp_engine::id::IdError;

/// A field of a request that cannot be what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The field's path within the request, such as `changes[3].put.person.manager`.
    pub(crate) path: String,
    /// What is wrong with it, and what was expected.
    pub(crate) message: String,
}

// === impl Malformed ===

impl Malformed {
    /// A message about the field of this name.
    pub(crate) fn new(field: impl Into<String>, message: impl Display) -> Self {
        Self { path: field.into(), message: message.to_string() }
    }

    /// The same, seen from around the message that the field is part of.
    pub(crate) fn inside(mut self, outer: &str) -> Self {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{outer}{separator}{}", self.path);
        self
    }
}

/// A field that must be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, "is required"))
}

/// A message that must be there, converted.
pub(crate) fn one<W, T>(
    field: &str,
    wire: Option<W>,
    convert: impl FnOnce(W) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    convert(required(field, wire)?).map_err(|malformed| malformed.inside(field))
}

/// Messages, each converted.
pub(crate) fn all<W, T>(
    field: &str,
    wires: Vec<W>,
    convert: impl Fn(W) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let convert_at = |(index, wire)| {
        convert(wire).map_err(|malformed: Malformed| malformed.inside(&format!("{field}[{index}]")))
    };
    wires.into_iter().enumerate().map(convert_at).collect()
}

/// A name.
pub(crate) fn name<'a, T>(
    field: &str,
    text: &'a str,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<T, Malformed> {
    new(text).map_err(|error| Malformed::new(field, error))
}

/// A name that may be absent.
pub(crate) fn optional_name<'a, T>(
    field: &str,
    text: Option<&'a str>,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<Option<T>, Malformed> {
    text.map(|text| new(text).map_err(|error| Malformed::new(field, error))).transpose()
}

/// Names, such as the locations where something is placed.
pub(crate) fn names<'a, T, C: FromIterator<T>>(
    field: &str,
    texts: &'a [String],
    new: impl Fn(&'a str) -> Result<T, IdError>,
) -> Result<C, Malformed> {
    let name_at = |(index, text): (usize, &'a String)| {
        new(text).map_err(|error| Malformed::new(format!("{field}[{index}]"), error))
    };
    texts.iter().enumerate().map(name_at).collect()
}

/// A value of an enum, which must be set and known.
pub(crate) fn value_of<E: TryFrom<i32> + Default + PartialEq>(
    field: &str,
    number: i32,
) -> Result<E, Malformed> {
    let value = E::try_from(number).map_err(|_| {
        Malformed::new(field, format_args!("{number} is no value that this server knows"))
    })?;
    if value == E::default() {
        return Err(Malformed::new(field, "is required"));
    }
    Ok(value)
}
