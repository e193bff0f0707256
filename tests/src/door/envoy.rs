//! External authorization as Envoy asks for it: the question in the context extensions of a route or
//! in the path that a route of the mapping takes apart, the subject from wherever a gateway may know
//! it, and the decision out of what Envoy is told.
//!
//! It can ask everything but delegations, questions that want no routing where there would be some,
//! and sessions with a permission level `none`, which none can have. Obligations do not come back.

use std::collections::{BTreeMap, HashMap};

use pdp_bundle::case::Answer;
use pdp_bundle::question::{AnyQuestion, WrittenPermission};
use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, ObjectRef, Reason, SubjectRef};
use pdp_proto::ext_authz::attribute_context::{HttpRequest, Peer, Request};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::ext_authz::check_response::HttpResponse;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse, Metadata};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Code;
use tonic::transport::Channel;

use super::Server;

/// Whoever may name a subject.
const SUBJECTS: &str = r"
subject:
- {claim: person, as: 'person:{value}'}
- {header: x-account, as: 'account:{value}'}
- {principal: 'spiffe://bank/{id...}', as: 'person:{id}'}
routes:
";

/// What the routes of [`mapping`] ask, and about what: the names of the random worlds.
const ROUTED: [&str; 14] = [
    "operation:View",
    "operation:AddPart",
    "operation:Edit",
    "right:View",
    "right:Read",
    "vault:view_password",
    "vault:share",
    "vault:modify_password",
    "vault:manage",
    "session:none",
    "session:admin",
    "session:reader",
    "session:x0",
    "session:nothing",
];
const TYPES: [&str; 6] = ["Report", "Door", "Computer", "Person", "Account", "Location"];

/// The mapping of a server that [`Envoy`] asks.
#[must_use]
pub fn mapping() -> String {
    let mut text = SUBJECTS.to_owned();
    for permission in ROUTED {
        let path = permission.replace(':', "/");
        for of in TYPES {
            text.push_str(&format!(
                "- {{path: '/{path}/{of}/{{id...}}', permission: '{permission}', resource: '{of}:{{id}}'}}\n"
            ));
            for with in TYPES.into_iter().filter(|_| permission.starts_with("operation:")) {
                text.push_str(&format!(
                    "- {{path: '/both/{path}/{of}/{{id}}/{with}/{{other}}', permission: '{permission}', resource: '{of}:{{id}}', counterpart: '{with}:{{other}}'}}\n"
                ));
            }
        }
    }
    text
}

/// Where Envoy keeps the claims that it verified.
const VERIFIED: &str = "envoy.filters.http.jwt_authn";

/// External authorization, for one tenant.
pub struct Envoy<'s> {
    server: &'s Server,
    client: AuthorizationClient<Channel>,
    tenant: String,
}

/// What a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The decision's effect.
    pub effect: Effect,
    /// Its reason.
    pub reason: Reason,
    /// The revision that it was made on.
    pub revision: u64,
}

/// A question as a gateway can ask it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who.
    pub subject: SubjectRef<'a>,
    /// What.
    pub permission: AnyPermission<'a>,
    /// To what.
    pub resource: ObjectRef<'a>,
    /// The second object of a dual check.
    pub counterpart: Option<ObjectRef<'a>>,
}

/// What tells Envoy who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// A verified claim for people, a trusted header for accounts.
    Proof,
    /// The caller's certificate for people, a trusted header for accounts.
    Certificate,
    /// Envoy's own route.
    Route,
    /// As [`Teller::Proof`], while the path says what is asked, where a route of the mapping fits.
    Path,
}

// === impl Teller ===

impl Teller {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Proof, Self::Certificate, Self::Route, Self::Path];
}

// === impl Envoy ===

impl<'s> Envoy<'s> {
    /// For a tenant of a server that was started with [`mapping`].
    #[must_use]
    pub fn new(server: &'s Server, tenant: &str) -> Self {
        Self { server, client: server.authorization(), tenant: tenant.to_owned() }
    }

    /// Asks; `None` if the question is refused as malformed.
    ///
    /// # Panics
    /// If there is no answer for another reason, or its parts do not agree.
    #[must_use]
    pub fn ask(&self, asked: &Asked<'_>, teller: Teller) -> Option<Told> {
        let mut attributes = asked.attributes(teller);
        attributes.context_extensions.insert("pdp.tenant".to_owned(), self.tenant.clone());
        let request = CheckRequest { attributes: Some(attributes) };
        let answered = self.server.block_on(async { self.client.clone().check(request).await });
        match answered {
            Ok(response) => told(response.into_inner()),
            Err(status) if status.code() == Code::InvalidArgument => None,
            Err(status) => panic!("{asked:?}: {status:?}"),
        }
    }

    /// Asks a question of a file, whoever tells who asks; `None` if a gateway cannot ask it.
    ///
    /// # Panics
    /// If the answers are not the same.
    #[must_use]
    pub fn answer(&self, question: &AnyQuestion) -> Option<Answer> {
        let asked = Asked::new(question)?;
        let [by_proof, others @ ..] = Teller::ALL.map(|teller| self.ask(&asked, teller));
        assert!(others.iter().all(|other| *other == by_proof), "{question}");
        Some(match by_proof {
            Some(Told { effect, reason, revision: _ }) => Answer::decided(effect, reason),
            None => {
                let code = "INVALID_ARGUMENT".to_owned();
                Answer::Error { code, message: String::new() }
            }
        })
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// A question of a file; `None` if a gateway cannot ask it.
    #[must_use]
    pub fn new(question: &'a AnyQuestion) -> Option<Self> {
        match question {
            AnyQuestion::Delegation(_) => None,
            AnyQuestion::Access(it) => {
                let asked = it.as_question();
                let routed = asked.routing || asked.counterpart.is_none();
                routed.then_some(Self {
                    subject: asked.subject,
                    permission: AnyPermission::Access(asked.permission),
                    resource: asked.resource,
                    counterpart: asked.counterpart,
                })
            }
            AnyQuestion::Vault(it) => {
                let asked = it.as_question();
                let permission = AnyPermission::Vault(asked.action);
                let (subject, resource) = (asked.subject, asked.entity);
                Some(Self { subject, permission, resource, counterpart: None })
            }
            AnyQuestion::Session(it) => {
                let asked = it.as_question();
                let permission = AnyPermission::Session(asked.level);
                let (subject, resource) = (asked.subject, asked.computer);
                let sayable = asked.routing && asked.level != Some("none");
                sayable.then_some(Self { subject, permission, resource, counterpart: None })
            }
        }
    }

    /// The path that a route of [`mapping`] makes this question of, if there is one: with every letter
    /// of the ids encoded.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let Self { subject: _, permission, resource, counterpart } = *self;
        let written = WrittenPermission(permission).to_string();
        let written = match permission {
            AnyPermission::Access(it) if it.kind == PermissionKind::Operation => {
                format!("operation:{}", it.name)
            }
            _ => written,
        };
        let object = |object: ObjectRef<'_>| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let fits = !object.id.is_empty() && object.id.bytes().all(plain);
            let encoded: String = object.id.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let known = fits && TYPES.contains(&object.type_name);
            known.then(|| format!("{}/{encoded}", object.type_name))
        };
        let asks = ROUTED.contains(&written.as_str()).then(|| written.replace(':', "/"))?;
        let of = object(resource)?;
        Some(match counterpart {
            None => format!("/{asks}/{of}"),
            // Nothing else has a counterpart.
            Some(_) if !written.starts_with("operation:") => return None,
            Some(with) => format!("/both/{asks}/{of}/{}", object(with)?),
        })
    }

    /// As Envoy would ask it: the route says what, and the teller who.
    fn attributes(&self, teller: Teller) -> AttributeContext {
        let Self { subject, permission, resource, counterpart } = *self;
        let (name, value) = match permission {
            AnyPermission::Access(it) if it.kind == PermissionKind::Right => ("pdp.right", it.name),
            AnyPermission::Access(it) => ("pdp.operation", it.name),
            AnyPermission::Vault(action) => ("pdp.vault_action", action),
            AnyPermission::Session(level) => ("pdp.session", level.unwrap_or("none")),
        };
        let mut said = HashMap::from([
            (name.to_owned(), value.to_owned()),
            ("pdp.resource".to_owned(), resource.to_string()),
        ]);
        said.extend(counterpart.map(|it| ("pdp.counterpart".to_owned(), it.to_string())));
        let path = self.path().filter(|_| teller == Teller::Path);
        if path.is_some() {
            said.clear();
        }
        let path = path.unwrap_or_else(|| "/any".to_owned()).into_bytes();
        let mut http = HttpRequest { path, ..HttpRequest::default() };
        let (mut source, mut metadata_context) = (None, None);
        // An empty name proves nothing, but may be asked about.
        let teller = if subject.id().is_empty() { Teller::Route } else { teller };
        match (subject, teller) {
            (SubjectRef::Person(id), Teller::Proof | Teller::Path) => {
                metadata_context = Some(verified(id));
            }
            (SubjectRef::Person(id), Teller::Certificate) => {
                source = Some(Peer { principal: format!("spiffe://bank/{id}") });
            }
            (SubjectRef::Account(id), Teller::Proof | Teller::Certificate | Teller::Path) => {
                http.headers.insert("x-account".to_owned(), id.as_bytes().to_vec());
            }
            (SubjectRef::Person(id), Teller::Route) => {
                said.insert("pdp.subject".to_owned(), format!("person:{id}"));
            }
            (SubjectRef::Account(id), Teller::Route) => {
                said.insert("pdp.subject".to_owned(), format!("account:{id}"));
            }
        }
        AttributeContext {
            source,
            request: Some(Request { http: Some(http) }),
            context_extensions: said,
            metadata_context,
        }
    }
}

/// The claim `person` of a token.
fn verified(id: &str) -> Metadata {
    let inside = |name: &str, kind: Kind| Struct {
        fields: BTreeMap::from([(name.to_owned(), Value { kind: Some(kind) })]),
    };
    let claims = inside("person", Kind::StringValue(id.to_owned()));
    let payload = inside("jwt_payload", Kind::StructValue(claims));
    Metadata { filter_metadata: HashMap::from([(VERIFIED.to_owned(), payload)]) }
}

/// What a response says, having held that its parts agree; `None` if a name cannot be one.
fn told(response: CheckResponse) -> Option<Told> {
    let fields = response.dynamic_metadata.unwrap().fields;
    let field = |name: &str| match fields.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.as_str(),
        other => panic!("{name}: {other:?}"),
    };
    let (effect, reason) = (field("effect"), field("reason"));
    let status = response.status.unwrap();
    assert_eq!(status.message, reason);
    if reason == "MALFORMED" {
        let HttpResponse::DeniedResponse(denied) = response.http_response.unwrap() else {
            panic!("a malformed name passes")
        };
        assert_eq!((status.code, denied.status.unwrap().code, effect), (3, 400, "DENY"));
        return None;
    }
    let revision = field("revision");
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(_) => assert_eq!((status.code, effect), (0, "ALLOW")),
        HttpResponse::DeniedResponse(denied) => {
            assert_eq!((status.code, denied.status.unwrap().code), (7, 403));
            assert_ne!(effect, "ALLOW");
            let (body, id) = (denied.body, field("decision_id"));
            let told = format!(r#"{{"effect":"{effect}","reason":"{reason}","#);
            let rest = format!(r#""revision":{revision},"decision_id":"{id}"}}"#);
            assert_eq!(body, told + &rest);
        }
    }
    Some(Told {
        effect: Effect::ALL.into_iter().find(|it| it.as_str() == effect).unwrap(),
        reason: Reason::ALL.into_iter().find(|it| it.as_str() == reason).unwrap(),
        revision: revision.parse().unwrap(),
    })
}
