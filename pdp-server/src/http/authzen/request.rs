//! Requests as objects: subjects, actions, resources and contexts, and how defaults fill them up.
//! What a request says is borrowed. Members that nobody knows are looked past; `properties` must be
//! objects and decide nothing, as every fact that decides is in the policy.

use pdp_bundle::question::parse_permission;
use pdp_engine::query::{ObjectRef, SubjectRef};

use super::super::json::{Json, Object};
use super::search::Searched;
use crate::config::PersonTypes;
use crate::decision_log::{Noted, NotedSubject};
use crate::rpc::{Asked, Malformed};

/// A subject or a resource; what is absent may be said elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entity<'a> {
    pub(super) type_name: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

/// What one evaluation is about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tuple<'a> {
    pub(super) subject: Option<Entity<'a>>,
    /// The action's name, if there is an action and it has one.
    pub(super) action: Option<Option<&'a str>>,
    pub(super) resource: Option<Entity<'a>>,
    pub(super) context: Option<&'a Object<'a>>,
}

/// A question, and whether anybody could be its subject.
pub(super) struct Read<'a> {
    pub(super) asked: Asked<'a>,
    /// The subject's type, if there is no subject of it.
    pub(super) nobody: Option<&'a str>,
}

/// A member that is wrong.
fn mistyped(field: &str, value: &Json<'_>, expected: &str) -> Malformed {
    Malformed::new(field, format_args!("is {}; expected {expected}", value.kind()))
}

/// A member that must be there.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, "is required"))
}

/// An object that may be absent or null.
pub(super) fn optional_object<'a>(
    from: &'a Object<'a>,
    field: &str,
) -> Result<Option<&'a Object<'a>>, Malformed> {
    match from.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(other) => Err(mistyped(field, other, "an object")),
    }
}

/// A string that may be absent.
pub(super) fn text<'a>(from: &'a Object<'a>, field: &str) -> Result<Option<&'a str>, Malformed> {
    match from.get(field) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(other) => Err(mistyped(field, other, "a string")),
    }
}

/// An object that may be absent and may not be null.
fn strict_object<'a>(
    from: &'a Object<'a>,
    field: &str,
) -> Result<Option<&'a Object<'a>>, Malformed> {
    match from.get(field) {
        Some(value @ Json::Null) => Err(mistyped(field, value, "an object")),
        _ => optional_object(from, field),
    }
}

/// A subject, a resource or an action: what it is made of, and its properties an object.
fn part<'a, T>(
    from: &'a Object<'a>,
    field: &str,
    read: impl FnOnce(&'a Object<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    let Some(object) = strict_object(from, field)? else { return Ok(None) };
    let part = optional_object(object, "properties").and_then(|_| read(object));
    part.map(Some).map_err(|malformed| malformed.inside(field))
}

fn entity<'a>(from: &'a Object<'a>) -> Result<Entity<'a>, Malformed> {
    Ok(Entity { type_name: text(from, "type")?, id: text(from, "id")? })
}

/// An entity that is searched for: its id is looked past, whatever it is.
fn searched_entity<'a>(from: &'a Object<'a>) -> Result<Entity<'a>, Malformed> {
    Ok(Entity { type_name: text(from, "type")?, id: None })
}

// === impl Entity ===

impl<'a> Entity<'a> {
    /// Both of its parts.
    pub(super) fn whole(self, field: &str) -> Result<ObjectRef<'a>, Malformed> {
        let part = |name: &str, value: Option<&'a str>| {
            required(name, value).map_err(|malformed| malformed.inside(field))
        };
        Ok(ObjectRef { type_name: part("type", self.type_name)?, id: part("id", self.id)? })
    }

    fn or(self, other: Self) -> Self {
        Self { type_name: self.type_name.or(other.type_name), id: self.id.or(other.id) }
    }
}

/// What is there, and what it leaves out from its default.
fn filled<T>(own: Option<T>, default: Option<T>, fill: impl FnOnce(T, T) -> T) -> Option<T> {
    match (own, default) {
        (Some(own), Some(default)) => Some(fill(own, default)),
        (own, default) => own.or(default),
    }
}

// === impl Read ===

impl<'a> Read<'a> {
    /// The question as it is noted: with the subject as it was named.
    pub(super) fn noted(&self) -> Noted<&'a str> {
        match (self.asked.noted(), self.nobody) {
            (
                Noted::Check {
                    subject: NotedSubject::Person(id),
                    permission,
                    resource,
                    counterpart,
                    routing,
                },
                Some(kind),
            ) => {
                let subject = NotedSubject::Nobody(kind, id);
                Noted::Check { subject, permission, resource, counterpart, routing }
            }
            (noted, _) => noted,
        }
    }
}

// === impl Tuple ===

impl<'a> Tuple<'a> {
    /// The four members of a request or of one of its evaluations.
    pub(super) fn read(from: &'a Object<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            subject: part(from, "subject", entity)?,
            action: part(from, "action", |action| text(action, "name"))?,
            resource: part(from, "resource", entity)?,
            context: optional_object(from, "context")?,
        })
    }

    /// Those of a search, but for what is searched for: that is not looked at.
    pub(super) fn given(from: &'a Object<'a>, searched: Searched) -> Result<Self, Malformed> {
        let entity_but = |is_searched| if is_searched { searched_entity } else { entity };
        let action = match searched {
            Searched::Action => None,
            Searched::Subject | Searched::Resource => {
                part(from, "action", |action| text(action, "name"))?
            }
        };
        Ok(Self {
            subject: part(from, "subject", entity_but(searched == Searched::Subject))?,
            action,
            resource: part(from, "resource", entity_but(searched == Searched::Resource))?,
            context: optional_object(from, "context")?,
        })
    }

    /// The same, with defaults: whole entities, but for a required member that one lacks.
    pub(super) fn or(self, default: Self) -> Self {
        Self {
            subject: filled(self.subject, default.subject, Entity::or),
            action: filled(self.action, default.action, Option::or),
            resource: filled(self.resource, default.resource, Entity::or),
            context: self.context.or(default.context),
        }
    }

    /// The question.
    pub(super) fn question(self, people: &PersonTypes) -> Result<Read<'a>, Malformed> {
        let (subject, nobody) =
            subject(required("subject", self.subject)?.whole("subject")?, people);
        let permission = parse_permission(self.action_name()?);
        let resource = required("resource", self.resource)?.whole("resource")?;
        let counterpart = self.counterpart()?;
        let asked = Asked::new(subject, permission, resource, counterpart, true).map_err(told)?;
        Ok(Read { asked, nobody })
    }

    /// The name of the action, which must have one.
    pub(super) fn action_name(self) -> Result<&'a str, Malformed> {
        required("action.name", required("action", self.action)?)
    }

    /// The second object of a dual check. What names one in another way than it should is refused:
    /// to look past it would be to ask for less.
    pub(super) fn counterpart(self) -> Result<Option<ObjectRef<'a>>, Malformed> {
        let Some(context) = self.context else { return Ok(None) };
        let counterpart = part(context, "counterpart", entity).and_then(|found| {
            found.map(|counterpart| counterpart.whole("counterpart")).transpose()
        });
        counterpart.map_err(|malformed| malformed.inside("context"))
    }

    /// Whether the answer is to say why.
    pub(super) fn wants_explanation(self) -> bool {
        let explain = self.context.and_then(|context| context.get("explain"));
        matches!(explain, Some(Json::Bool(true)))
    }
}

/// Who asks, and the type that makes it nobody. A type that there is no subject of stands for a person of
/// that id, for as long as it takes to say that there is none.
pub(super) fn subject<'a>(
    of: ObjectRef<'a>,
    people: &PersonTypes,
) -> (SubjectRef<'a>, Option<&'a str>) {
    match of.type_name {
        "account" => (SubjectRef::Account(of.id), None),
        "person" => (SubjectRef::Person(of.id), None),
        other => (SubjectRef::Person(of.id), Some(other).filter(|it| !people.contains(it))),
    }
}

/// What the engine refused to answer, by the member that these requests call it.
pub(super) fn told(malformed: Malformed) -> Malformed {
    let Malformed { path, message } = malformed;
    let path = match path.as_str() {
        "operation" | "right" | "vault_action" | "session.level" => "action.name".to_owned(),
        "counterpart" => "context.counterpart".to_owned(),
        _ => path,
    };
    Malformed { path, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        match Json::parse(text) {
            Ok(Json::Object(object)) => object,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        let object = object(text);
        let read = Tuple::read(&object).and_then(|it| it.question(&PersonTypes::default()));
        read.err().map(|malformed| malformed.path).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_or_mistyped_is_named() {
        const S: &str = r#""subject": {"type": "user", "id": "a"}"#;
        const A: &str = r#""action": {"name": "read"}"#;
        const R: &str = r#""resource": {"type": "T", "id": "1"}"#;
        for (text, path) in [
            (format!("{{{S}, {A}, {R}}}"), ""),
            (format!("{{{A}, {R}}}"), "subject"),
            (format!("{{\"subject\": null, {A}, {R}}}"), "subject"),
            (format!("{{\"subject\": \"a\", {A}, {R}}}"), "subject"),
            (format!("{{\"subject\": {{\"id\": \"a\"}}, {A}, {R}}}"), "subject.type"),
            (format!("{{\"subject\": {{\"type\": \"user\", \"id\": 1}}, {A}, {R}}}"), "subject.id"),
            (format!("{{{S}, {R}}}"), "action"),
            (format!("{{{S}, \"action\": {{}}, {R}}}"), "action.name"),
            (format!("{{{S}, \"action\": {{\"name\": null}}, {R}}}"), "action.name"),
            (format!("{{{S}, {A}}}"), "resource"),
            (format!("{{{S}, {A}, {R}, \"context\": []}}"), "context"),
            (format!("{{{S}, {A}, {R}, \"context\": null}}"), ""),
            (
                format!("{{{S}, {A}, {R}, \"context\": {{\"counterpart\": null}}}}"),
                "context.counterpart",
            ),
            (
                format!("{{{S}, {A}, {R}, \"context\": {{\"counterpart\": {{\"type\": \"T\"}}}}}}"),
                "context.counterpart.id",
            ),
            (
                format!(
                    "{{{S}, \"action\": {{\"name\": \"vault:manage\"}}, {R}, \"context\": \
                     {{\"counterpart\": {{\"type\": \"T\", \"id\": \"2\"}}}}}}"
                ),
                "context.counterpart",
            ),
            (
                format!(
                    "{{{S}, {A}, \"resource\": {{\"type\": \"T\", \"id\": \"1\", \"properties\": 1}}}}"
                ),
                "resource.properties",
            ),
        ] {
            assert_eq!(refused(&text), path, "{text}");
        }
    }

    #[test]
    fn defaults_fill_whole_entities_and_the_members_that_one_lacks() {
        let defaults = object(
            r#"{"subject": {"type": "user", "id": "a"}, "resource": {"type": "T"},
                "action": {"name": "read"}, "context": {"explain": true}}"#,
        );
        let item = object(r#"{"resource": {"id": "1"}, "context": {}, "action": {}}"#);
        let filled = Tuple::read(&item).unwrap().or(Tuple::read(&defaults).unwrap());
        assert_eq!(filled.subject, Some(Entity { type_name: Some("user"), id: Some("a") }));
        assert_eq!(filled.resource, Some(Entity { type_name: Some("T"), id: Some("1") }));
        assert_eq!(filled.action_name().unwrap(), "read");
        // A context is taken or left as a whole.
        assert!(!filled.wants_explanation());
    }
}
