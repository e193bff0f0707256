//! One answer through every door: the questions of random worlds, asked as Envoy would, get the
//! decisions that Check gives, with the same reason and revision, whoever names the subject.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_client::{Code, Question};
use pdp_engine::facts::Facts;
use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, SubjectRef};
use pdp_proto::ext_authz::attribute_context::{HttpRequest, Peer, Request};
use pdp_proto::ext_authz::check_response::HttpResponse;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse, Metadata};
use pdp_server::config::Settings;
use pdp_tests::door::{Door, Server, wire};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, NOON};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// How many worlds are asked, and how many questions of each family each of them is asked.
const WORLDS: u32 = 160;
const QUESTIONS: usize = 60;

/// Whoever may name a subject.
const MAPPING: &str = r"
subject:
- {claim: person, as: 'person:{value}'}
- {header: x-account, as: 'account:{value}'}
- {principal: 'spiffe://bank/{id...}', as: 'person:{id}'}
";

/// Effect, reason and revision; `None` where the question is refused.
type Said = Option<(String, String, String)>;

/// A question as gRPC and as Envoy ask it.
type Both = (Question, AttributeContext);

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

/// A question as Envoy would ask it: the route says what, and one thing or another says who.
fn attributes(
    n: usize,
    subject: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    resource: ObjectRef<'_>,
    counterpart: Option<ObjectRef<'_>>,
) -> AttributeContext {
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
    let mut http = HttpRequest { path: b"/any".to_vec(), ..HttpRequest::default() };
    let (mut source, mut metadata) = (None, None);
    // An empty name is no proof of anything, but may be asked about.
    match subject {
        SubjectRef::Person(id) if n.is_multiple_of(3) && !id.is_empty() => {
            let claims = Struct { fields: BTreeMap::from([("person".to_owned(), text(id))]) };
            let payload = Value { kind: Some(Kind::StructValue(claims)) };
            let found = Struct { fields: BTreeMap::from([("jwt_payload".to_owned(), payload)]) };
            let filter = "envoy.filters.http.jwt_authn".to_owned();
            metadata = Some(Metadata { filter_metadata: HashMap::from([(filter, found)]) });
        }
        SubjectRef::Person(id) if n % 3 == 1 && !id.is_empty() => {
            source = Some(Peer { principal: format!("spiffe://bank/{id}") });
        }
        SubjectRef::Account(id) if n.is_multiple_of(2) && !id.is_empty() => {
            http.headers.insert("x-account".to_owned(), id.as_bytes().to_vec());
        }
        SubjectRef::Person(id) => {
            said.insert("pdp.subject".to_owned(), format!("person:{id}"));
        }
        SubjectRef::Account(id) => {
            said.insert("pdp.subject".to_owned(), format!("account:{id}"));
        }
    }
    AttributeContext {
        source,
        request: Some(Request { http: Some(http) }),
        context_extensions: said,
        metadata_context: metadata,
    }
}

/// Every question of a world that a gateway can ask.
fn both(genome: &Genome, facts: &Facts) -> Vec<Both> {
    let mut asked: Vec<Both> = Vec::new();
    for (question, _) in genome.questions(facts) {
        let mut it = question.ask();
        it.routing = true;
        let permission = AnyPermission::Access(it.permission);
        let n = asked.len();
        let attributes = attributes(n, it.subject, permission, it.resource, it.counterpart);
        asked.push((wire::access(&it), attributes));
    }
    for (question, _) in genome.vault(facts) {
        let it = question.ask();
        let permission = AnyPermission::Vault(it.action);
        let attributes = attributes(asked.len(), it.subject, permission, it.entity, None);
        asked.push((wire::vault(&it), attributes));
    }
    for (question, ..) in genome.sessions(facts) {
        let mut it = question.ask();
        it.routing = true;
        // No level can be called so, and `none` is how a gateway asks about none.
        if it.level == Some("none") {
            continue;
        }
        let permission = AnyPermission::Session(it.level);
        let attributes = attributes(asked.len(), it.subject, permission, it.computer, None);
        asked.push((wire::session(&it), attributes));
    }
    asked
}

/// What Check says.
fn over_grpc(door: &Door<'_>, questions: &[Question]) -> Vec<Said> {
    let batch = door.block_on(door.client().batch_check(questions)).unwrap();
    let said = |result: Result<pdp_client::Decision, pdp_client::Refusal>| match result {
        Ok(it) => Some((
            it.effect.as_str().to_owned(),
            it.reason.as_str().to_owned(),
            it.revision.get().to_string(),
        )),
        Err(refusal) => {
            assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
            None
        }
    };
    batch.results.into_iter().map(said).collect()
}

/// What a response says, having held that its parts agree.
fn said(response: CheckResponse) -> Said {
    let fields = response.dynamic_metadata.unwrap().fields;
    let field = |name: &str| match fields.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let (effect, reason, revision) = (field("effect"), field("reason"), field("revision"));
    let status = response.status.unwrap();
    assert_eq!(status.message, reason);
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(_) => assert_eq!((status.code, effect.as_str()), (0, "ALLOW")),
        HttpResponse::DeniedResponse(denied) => {
            assert_eq!((status.code, denied.status.unwrap().code), (7, 403));
            assert_ne!(effect, "ALLOW");
            let mut body = format!(r#"{{"effect":"{effect}","reason":"{reason}","#);
            let id = field("decision_id");
            write!(body, r#""revision":{revision},"decision_id":"{id}"}}"#).unwrap();
            assert_eq!(denied.body, body);
        }
    }
    Some((effect, reason, revision))
}

#[test]
fn every_world_gives_one_answer() {
    let mapping = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(mapping.path(), MAPPING).unwrap();
    let gateway = Some(mapping.path().to_path_buf());
    let server = Server::start_with(Settings { gateway, ..Settings::default() });
    server.set_clock(NOON);
    let (tenants, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reasons: Mutex<BTreeMap<String, u64>> = Mutex::default();
    for_worlds(WORLDS, QUESTIONS, |genome| {
        let facts = genome.facts();
        let tenant = format!("world-{}", tenants.fetch_add(1, Ordering::Relaxed));
        let door = server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let mut envoy = server.authorization();
        let (questions, asked): (Vec<_>, Vec<_>) = both(genome, &facts).into_iter().unzip();
        let expected = over_grpc(&door, &questions);
        for ((question, expected), mut attributes) in questions.iter().zip(expected).zip(asked) {
            attributes.context_extensions.insert("pdp.tenant".to_owned(), tenant.clone());
            let request = CheckRequest { attributes: Some(attributes) };
            let actual = match door.block_on(envoy.check(request)) {
                Ok(response) => said(response.into_inner()),
                Err(status) if status.code() == Code::InvalidArgument => None,
                Err(status) => return Err(format!("{question}: {status:?}")),
            };
            if expected != actual {
                return Err(format!("{question}: Check says {expected:?}, Envoy {actual:?}"));
            }
            match expected {
                Some((_, reason, _)) => *reasons.lock().unwrap().entry(reason).or_default() += 1,
                None => drop(refused.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(())
    });
    let reasons = reasons.into_inner().unwrap();
    let decided: u64 = reasons.values().sum();
    println!("{decided} decisions and {} refusals are the same: {reasons:?}", refused.into_inner());
    let least = u64::from(WORLDS) * u64::try_from(QUESTIONS).unwrap();
    assert!(decided > least, "only {decided} decisions");
    assert!(reasons.len() >= 20, "{} reasons only: {reasons:?}", reasons.len());
    server.stop();
}
