//! From a request at a gateway to a question: which route it takes, who asks, and what that asks
//! of the policy. The mapping is a file that people write; it is read and compiled once
//! ([`Gateway::parse`]) and then applied to every request ([`Gateway::map`]).
//!
//! What a request looks like is the caller's business ([`Caller`]); how the answer travels, too.
//! Nothing here decides anything.

mod extension;
mod path;
mod read;
mod routes;
mod slash;
mod subject;
mod template;

use std::borrow::Cow;

use pdp_engine::id::TenantId;
use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::ObjectRef;

pub use extension::ExtensionError;
pub use path::{MAX_PATH_BYTES, PathProblem};
pub use read::{MAX_GATEWAY_BYTES, MAX_ROUTES};
pub use routes::Route;
pub use template::{MAX_CAPTURES, MAX_SEGMENTS};

use crate::question::{
    AnyQuestion, OwnedObject, OwnedQuestion, OwnedSession, OwnedSubject, OwnedVault,
    parse_permission,
};
use extension::Extensions;
use path::read_path;
use routes::{Ask, ObjectTemplate, RouteAnswer, Routes, Target};
use subject::{Found, Source};
use template::Captures;

/// A mapping from requests to questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    tenant: Option<TenantId>,
    sources: Vec<Source>,
    routes: Routes,
    challenge: Box<str>,
    approval: Option<(Box<str>, Box<str>)>,
}

/// A request, as a gateway tells of it.
pub trait Caller {
    /// The HTTP request; `None` for a plain connection.
    fn http(&self) -> Option<Http<'_>>;
    /// The identity that the caller's certificate proves; empty without one.
    fn principal(&self) -> &str;
    /// The header of this name, which is in lower case.
    fn header(&self, name: &str) -> Proof<'_>;
    /// A claim of a token that the gateway verified.
    fn claim(&self, claim: &Claim) -> Proof<'_>;
    /// What the gateway's own configuration says for the route.
    fn extensions(&self) -> impl Iterator<Item = (&str, &str)>;
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Http<'r> {
    /// `GET` and the like.
    pub method: &'r str,
    /// The host, perhaps with a port.
    pub host: &'r [u8],
    /// The path with the query, as the client sent it.
    pub path: &'r [u8],
    /// The same, if the gateway tells it a second time, as a pseudo header.
    pub pseudo_path: Option<&'r [u8]>,
}

/// Something that may name a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'r> {
    /// It is not there.
    Absent,
    /// What it says.
    Text(&'r str),
    /// It is there and says nothing that could name anybody: it is not text, or there are two.
    Unusable,
}

/// Which claim of which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where the gateway puts the payload of a verified token: `payload_in_metadata` of Envoy.
    pub payload: Box<str>,
    /// The claim; more than one name for one inside another.
    pub path: Vec<Box<str>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped<'a> {
    /// It may pass without a question.
    Public(&'a Route),
    /// It asks this.
    Asked(Asked<'a>),
}

/// The question of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The route; `None` if the gateway's own configuration says everything.
    pub route: Option<&'a Route>,
    /// Whose policy; empty if nothing says so.
    pub tenant: &'a str,
    /// Who.
    pub subject: OwnedSubject,
    /// What told who, in words.
    pub source: Told<'a>,
    /// What.
    pub permission: AnyPermission<'a>,
    /// To what.
    pub resource: Object<'a>,
    /// The second object of a dual check.
    pub counterpart: Option<Object<'a>>,
}

/// What a question is about. The names may be malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The type's name.
    pub type_name: &'a str,
    /// The id within the type.
    pub id: Cow<'a, str>,
    /// Whether some of the id stood in the request: the rest is the configuration's.
    of_request: bool,
}

/// What told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a>(Option<&'a Source>);

/// Why a request asks nothing, and does not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// Its path could be read two ways.
    #[error(transparent)]
    Path(#[from] PathProblem),
    /// No route takes it.
    #[error("no route takes the request")]
    NoRoute,
    /// Nothing says who asks.
    #[error("nothing tells who asks")]
    NoSubject,
    /// The gateway's own configuration is at fault.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

// === impl Gateway ===

impl Gateway {
    /// What the answer to a caller whom nothing names asks for.
    const CHALLENGE: &'static str = "Bearer";

    /// What requests ask. One route is looked for, one subject; nothing is kept.
    ///
    /// # Errors
    /// [`Unmapped`] says why the request has to be turned down.
    pub fn map<'a, C: Caller>(&'a self, caller: &'a C) -> Result<Mapped<'a>, Unmapped> {
        let http = caller.http();
        let path = http.map(|http| self::path(&http)).transpose()?;
        let given = Extensions::read(caller.extensions())?;
        let route = http.zip(path.as_deref()).and_then(|(Http { method, host, .. }, path)| {
            self.routes.first(Target { method, host, path })
        });
        let captures = match (route, path.as_deref()) {
            (Some(route), Some(path)) => route.path.captures(path).unwrap_or([""; MAX_CAPTURES]),
            _ => [""; MAX_CAPTURES],
        };
        let ask = match route.map(|route| &route.answer) {
            Some(RouteAnswer::Ask(ask)) => Some(ask),
            Some(RouteAnswer::Public) if !given.ask() => {
                return route.map(Mapped::Public).ok_or(Unmapped::NoRoute);
            }
            Some(RouteAnswer::Public) | None => None,
        };
        self.asked(caller, route, ask, given, &captures).map(Mapped::Asked)
    }

    fn asked<'a, C: Caller>(
        &'a self,
        caller: &'a C,
        route: Option<&'a Route>,
        ask: Option<&'a Ask>,
        given: Extensions<'a>,
        captures: &Captures<'_>,
    ) -> Result<Asked<'a>, Unmapped> {
        let Extensions { tenant, subject, permission, resource, counterpart } = given;
        let filled = |template: &'a ObjectTemplate| template.filled(captures);
        let permission = permission.or(ask.map(|ask| parse_permission(&ask.permission)));
        let resource = resource.or_else(|| ask.map(|ask| filled(&ask.resource)));
        let counterpart =
            counterpart.or_else(|| ask.and_then(|ask| ask.counterpart.as_ref()).map(filled));
        let (Some(permission), Some(resource)) = (permission, resource) else {
            return Err(Unmapped::NoRoute);
        };
        if counterpart.is_some() && !takes_counterpart(permission) {
            return Err(ExtensionError::Counterpart.into());
        }
        let (subject, source) = match subject {
            Some(subject) => (subject, Told(None)),
            None => match subject::find(&self.sources, caller) {
                Found::Subject(subject, source) => (subject, Told(Some(source))),
                Found::Nobody => return Err(Unmapped::NoSubject),
            },
        };
        let configured = ask.and_then(|ask| ask.tenant.as_ref()).or(self.tenant.as_ref());
        let tenant = tenant.unwrap_or(configured.map_or("", TenantId::as_str));
        Ok(Asked { route, tenant, subject, source, permission, resource, counterpart })
    }

    /// The value of `WWW-Authenticate` for a caller whom nothing names.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Name and value of the header that says where to ask for approval.
    #[must_use]
    pub fn approval(&self) -> Option<(&str, &str)> {
        self.approval.as_ref().map(|(name, value)| (&**name, &**value))
    }
}

/// The decoded path.
fn path<'r>(http: &Http<'r>) -> Result<Cow<'r, str>, PathProblem> {
    let Http { path, pseudo_path, method: _, host: _ } = *http;
    if pseudo_path.is_some_and(|pseudo_path| pseudo_path != path) {
        return Err(PathProblem::Contradiction);
    }
    read_path(path)
}

/// Only operations have dual checks (Q7).
const fn takes_counterpart(permission: AnyPermission<'_>) -> bool {
    match permission {
        AnyPermission::Access(permission) => {
            matches!(permission.kind, PermissionKind::Operation)
        }
        AnyPermission::Vault(_) | AnyPermission::Session(_) => false,
    }
}

// === impl ObjectTemplate ===

impl ObjectTemplate {
    fn filled(&self, captures: &Captures<'_>) -> Object<'_> {
        let (id, of_request) = (Cow::Owned(self.id.filled(captures)), self.id.has_captures());
        Object { type_name: &self.type_name, id, of_request }
    }
}

// === impl Object ===

impl Object<'_> {
    /// The object as the engine takes it.
    #[must_use]
    pub fn as_ref(&self) -> ObjectRef<'_> {
        ObjectRef { type_name: self.type_name, id: &self.id }
    }

    fn to_owned(&self) -> OwnedObject {
        OwnedObject { type_name: self.type_name.to_owned(), id: self.id.to_string() }
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// Whether the request gave the part of the question of this name (`subject`, `resource`,
    /// `counterpart`), and not the gateway's own configuration: whose mistake a malformed name is.
    #[must_use]
    pub fn is_of_request(&self, part: &str) -> bool {
        match part {
            "subject" => self.source.0.is_some(),
            "resource" => self.resource.of_request,
            "counterpart" => self.counterpart.as_ref().is_some_and(|object| object.of_request),
            _ => false,
        }
    }

    /// The same question, on its own.
    #[must_use]
    pub fn to_question(&self) -> AnyQuestion {
        let (subject, resource) = (self.subject.clone(), self.resource.to_owned());
        match self.permission {
            AnyPermission::Access(permission) => AnyQuestion::Access(OwnedQuestion {
                counterpart: self.counterpart.as_ref().map(Object::to_owned),
                ..OwnedQuestion::new(subject, permission.kind, permission.name, resource)
            }),
            AnyPermission::Vault(action) => {
                let action = action.to_owned();
                AnyQuestion::Vault(OwnedVault { subject, action, entity: resource, routing: true })
            }
            AnyPermission::Session(level) => {
                let level = level.map(str::to_owned);
                let session = OwnedSession { subject, level, computer: resource, routing: true };
                AnyQuestion::Session(session)
            }
        }
    }
}

/// Nothing passes: the mapping of a server that was given none.
impl Default for Gateway {
    fn default() -> Self {
        Self {
            tenant: None,
            sources: Vec::new(),
            routes: Routes::default(),
            challenge: Self::CHALLENGE.into(),
            approval: None,
        }
    }
}

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(source) => source.fmt(f),
            None => f.write_str("context extension pdp.subject"),
        }
    }
}

// === impl Unmapped ===

impl Unmapped {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Path(_) => "BAD_PATH",
            Self::NoRoute => "NO_ROUTE",
            Self::NoSubject => "NO_SUBJECT",
            Self::Extension(_) => "BAD_EXTENSION",
        }
    }
}
