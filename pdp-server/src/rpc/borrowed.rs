//! The messages of the deciding RPCs as they lie in the bytes that were received: every text is
//! borrowed, nothing is copied, and reading one needs no memory of its own but a batch's list of
//! questions. What is read is exactly what `prost` reads from the same bytes (a property test holds it
//! to that); bytes that are no message are given to `prost`, so that the error is its error.

#[cfg(test)]
mod tests;
mod wire;

use pdp_proto::v1;
use prost::Message;

use super::malformed::Malformed;
use wire::{DEPTH, Kind, Reader, Unreadable, fields};

/// A `CheckRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CheckRequest<'a> {
    pub(super) tenant: &'a str,
    pub(super) question: Option<Question<'a>>,
    pub(super) at_least: u64,
}

/// A `BatchCheckRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BatchCheckRequest<'a> {
    pub(super) tenant: &'a str,
    /// As many as may be asked: what is beyond is counted and not kept.
    pub(super) questions: Vec<Question<'a>>,
    /// How many there are.
    pub(super) count: usize,
    pub(super) at_least: u64,
}

/// A `CheckStreamRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CheckStreamRequest<'a> {
    pub(super) number: u64,
    pub(super) tenant: &'a str,
    pub(super) question: Option<Question<'a>>,
    pub(super) at_least: u64,
}

/// A `Question`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Question<'a> {
    pub(super) subject: Option<Subject<'a>>,
    pub(super) permission: Option<Permission<'a>>,
    pub(super) resource: Option<ResourceRef<'a>>,
    pub(super) counterpart: Option<ResourceRef<'a>>,
    pub(super) no_routing: bool,
}

/// A `Subject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Subject<'a>(pub(super) Option<Who<'a>>);

/// Who a `Subject` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who<'a> {
    Person(&'a str),
    Account(&'a str),
}

/// What a `Question` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission<'a> {
    Operation(&'a str),
    Right(&'a str),
    VaultAction(&'a str),
    /// A session, with its level.
    Session(Option<&'a str>),
}

/// A `ResourceRef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ResourceRef<'a> {
    pub(super) type_name: &'a str,
    pub(super) id: &'a str,
}

// === impl CheckRequest ===

impl<'a> CheckRequest<'a> {
    /// Reads one.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        let read = fields(bytes, DEPTH, |tag, kind, from| {
            match tag {
                1 => message.tenant = from.text(kind)?,
                2 => {
                    from.message(kind, message.question.get_or_insert_default(), Question::field)?
                }
                3 => message.at_least = from.number(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        read.map(|()| message).map_err(|Unreadable| refused::<v1::CheckRequest>(bytes))
    }
}

impl<'a> From<&'a v1::CheckRequest> for CheckRequest<'a> {
    fn from(wire: &'a v1::CheckRequest) -> Self {
        let v1::CheckRequest { tenant, question, at_least } = wire;
        Self { tenant, question: question.as_ref().map(Question::from), at_least: *at_least }
    }
}

// === impl BatchCheckRequest ===

impl<'a> BatchCheckRequest<'a> {
    /// Reads one; of more questions than so many, the number only.
    pub(super) fn read(bytes: &'a [u8], most: usize) -> Result<Self, Malformed> {
        let mut message = Self::default();
        let read = fields(bytes, DEPTH, |tag, kind, from| {
            match tag {
                1 => message.tenant = from.text(kind)?,
                2 => {
                    let mut question = Question::default();
                    from.message(kind, &mut question, Question::field)?;
                    message.count += 1;
                    if message.count <= most {
                        message.questions.push(question);
                    }
                }
                3 => message.at_least = from.number(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        read.map(|()| message).map_err(|Unreadable| refused::<v1::BatchCheckRequest>(bytes))
    }
}

impl<'a> From<&'a v1::BatchCheckRequest> for BatchCheckRequest<'a> {
    fn from(wire: &'a v1::BatchCheckRequest) -> Self {
        let v1::BatchCheckRequest { tenant, questions, at_least } = wire;
        let count = questions.len();
        let questions = questions.iter().map(Question::from).collect();
        Self { tenant, questions, count, at_least: *at_least }
    }
}

// === impl CheckStreamRequest ===

impl<'a> CheckStreamRequest<'a> {
    /// Reads one.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        let read = fields(bytes, DEPTH, |tag, kind, from| {
            match tag {
                1 => message.number = from.number(kind)?,
                2 => message.tenant = from.text(kind)?,
                3 => {
                    from.message(kind, message.question.get_or_insert_default(), Question::field)?
                }
                4 => message.at_least = from.number(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        read.map(|()| message).map_err(|Unreadable| refused::<v1::CheckStreamRequest>(bytes))
    }
}

impl<'a> From<&'a v1::CheckStreamRequest> for CheckStreamRequest<'a> {
    fn from(wire: &'a v1::CheckStreamRequest) -> Self {
        let v1::CheckStreamRequest { number, tenant, question, at_least } = wire;
        let question = question.as_ref().map(Question::from);
        Self { number: *number, tenant, question, at_least: *at_least }
    }
}

// === impl Question ===

impl<'a> Question<'a> {
    fn field(&mut self, tag: u32, kind: Kind, from: &mut Reader<'a>) -> Result<bool, Unreadable> {
        match tag {
            1 => from.message(kind, self.subject.get_or_insert_default(), Subject::field)?,
            2 => self.permission = Some(Permission::Operation(from.text(kind)?)),
            3 => self.permission = Some(Permission::Right(from.text(kind)?)),
            4 => from.message(kind, self.resource.get_or_insert_default(), ResourceRef::field)?,
            5 => {
                from.message(kind, self.counterpart.get_or_insert_default(), ResourceRef::field)?
            }
            6 => self.no_routing = from.number(kind)? != 0,
            7 => self.permission = Some(Permission::VaultAction(from.text(kind)?)),
            8 => {
                // Once more the same one of several is merged with what there is.
                let mut level = match self.permission {
                    Some(Permission::Session(level)) => level,
                    Some(_) | None => None,
                };
                from.message(kind, &mut level, session_field)?;
                self.permission = Some(Permission::Session(level));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn session_field<'a>(
    level: &mut Option<&'a str>,
    tag: u32,
    kind: Kind,
    from: &mut Reader<'a>,
) -> Result<bool, Unreadable> {
    if tag == 1 {
        *level = Some(from.text(kind)?);
    }
    Ok(tag == 1)
}

impl<'a> From<&'a v1::Question> for Question<'a> {
    fn from(wire: &'a v1::Question) -> Self {
        let v1::Question { subject, permission, resource, counterpart, no_routing } = wire;
        Self {
            subject: subject.as_ref().map(Subject::from),
            permission: permission.as_ref().map(Permission::from),
            resource: resource.as_ref().map(ResourceRef::from),
            counterpart: counterpart.as_ref().map(ResourceRef::from),
            no_routing: *no_routing,
        }
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    fn field(&mut self, tag: u32, kind: Kind, from: &mut Reader<'a>) -> Result<bool, Unreadable> {
        match tag {
            1 => self.0 = Some(Who::Person(from.text(kind)?)),
            2 => self.0 = Some(Who::Account(from.text(kind)?)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'a> From<&'a v1::Subject> for Subject<'a> {
    fn from(wire: &'a v1::Subject) -> Self {
        let v1::Subject { subject } = wire;
        Self(subject.as_ref().map(|who| match who {
            v1::subject::Subject::Person(id) => Who::Person(id),
            v1::subject::Subject::Account(id) => Who::Account(id),
        }))
    }
}

// === impl Permission ===

impl<'a> From<&'a v1::question::Permission> for Permission<'a> {
    fn from(wire: &'a v1::question::Permission) -> Self {
        use v1::question::Permission as Wire;
        match wire {
            Wire::Operation(name) => Self::Operation(name),
            Wire::Right(name) => Self::Right(name),
            Wire::VaultAction(action) => Self::VaultAction(action),
            Wire::Session(v1::SessionPermission { level }) => Self::Session(level.as_deref()),
        }
    }
}

// === impl ResourceRef ===

impl<'a> ResourceRef<'a> {
    fn field(&mut self, tag: u32, kind: Kind, from: &mut Reader<'a>) -> Result<bool, Unreadable> {
        match tag {
            1 => self.type_name = from.text(kind)?,
            2 => self.id = from.text(kind)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'a> From<&'a v1::ResourceRef> for ResourceRef<'a> {
    fn from(wire: &'a v1::ResourceRef) -> Self {
        let v1::ResourceRef { r#type, id } = wire;
        Self { type_name: r#type, id }
    }
}

/// What `prost` says of bytes that are no message.
fn refused<M: Message + Default>(bytes: &[u8]) -> Malformed {
    let said = M::decode(bytes).map_or_else(|error| error.to_string(), |_| String::new());
    Malformed::new("", said)
}
