//! OpenID AuthZEN Authorization API 1.0, HTTPS JSON binding: evaluation, evaluations, the three
//! searches and the metadata document. A request is translated into the questions that the other
//! doors ask, and decided by the same functions on a snapshot that is loaded once. Nothing here
//! decides anything.
//!
//! A tenant other than `default` is asked under `/t/{tenant}`.

mod answer;
mod approval;
mod evaluate;
mod metadata;
mod request;
mod search;
#[cfg(test)]
pub(crate) mod tests;

use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tonic::{Code, Status};

use super::Routes;
use super::json::{Json, Object};
use crate::admission::Shed;
use crate::callers::{Denied, Granted, TENANT_PREFIX};
use crate::config::{PersonTypes, PublicUrl};
use crate::connection::Unread;
use crate::publish::DEFAULT_TENANT;
use crate::rpc::{Door, Failure, Malformed, granted};
use crate::telemetry::{DecisionRpc, Inner, Parent, RefusedReason, Rpc, TRACEPARENT, Traced};
use search::Searched;

/// What the configuration says to these routes.
#[derive(Debug)]
pub(crate) struct Options {
    /// What callers reach this door by.
    pub(crate) public_url: Option<PublicUrl>,
    /// Where callers ask for what needs approval.
    pub(crate) access_request_url: Option<PublicUrl>,
    /// What callers call people.
    pub(crate) person_types: PersonTypes,
    /// How many evaluations a request may hold.
    pub(crate) max_evaluations: usize,
    /// The largest body taken, in bytes.
    pub(crate) max_body_bytes: usize,
    /// How long a body may take to arrive.
    pub(crate) timeout: Duration,
}

/// What every handler looks at. The door is not kept open by a connection that lingers.
struct AuthZen {
    door: Weak<Door>,
    options: Options,
}

type Shared = State<Arc<AuthZen>>;

/// The tenant of the path, if the path names one.
type Tenant = Result<Option<Path<String>>, PathRejection>;

/// Why a request has no answer. None of these is ever a permit.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Failure(Failure),
    #[error(
        "the request's body has more than {maximum} bytes, which is the limit `max_body_bytes`"
    )]
    TooLarge { maximum: usize },
    #[error("the request's body did not arrive within {} ms", .0.as_millis())]
    Slow(Duration),
    #[error("the request's body did not arrive: {0}")]
    Broken(String),
    #[error("the request's body was not read: {0}")]
    Held(Shed),
    #[error("{}", .0.message())]
    Status(Status),
    #[error("there is no such document")]
    NoDocument,
    #[error("this server was not told its address: set `public_url`")]
    NoAddress,
}

/// Adds every route.
pub(super) fn add(routes: Routes, door: &Arc<Door>, options: Options) -> Routes {
    let authzen = Arc::new(AuthZen { door: Arc::downgrade(door), options });
    let api: [(&'static str, MethodRouter<Arc<AuthZen>>); 6] = [
        ("/access/v1/evaluation", post(evaluation)),
        ("/access/v1/evaluations", post(evaluations)),
        ("/access/v1/search/subject", post(search_subject)),
        ("/access/v1/search/resource", post(search_resource)),
        ("/access/v1/search/action", post(search_action)),
        ("/.well-known/authzen-configuration", get(metadata)),
    ];
    let by_path = "/.well-known/authzen-configuration/{*path}";
    let routes = routes.add(by_path, get(metadata_by_path).with_state(Arc::clone(&authzen)));
    api.into_iter().fold(routes, |routes, (path, handler)| {
        let handler = handler.with_state(Arc::clone(&authzen));
        let of_tenant = format!("{TENANT_PREFIX}{path}");
        match path.contains("/search/") {
            true => routes.add_slow(of_tenant, handler.clone()).add_slow(path, handler),
            false => routes.add(of_tenant, handler.clone()).add(path, handler),
        }
    })
}

async fn evaluation(State(authzen): Shared, tenant: Tenant, request: Request) -> Response {
    authzen.decide(DecisionRpc::Evaluation, tenant, request).await
}

async fn evaluations(State(authzen): Shared, tenant: Tenant, request: Request) -> Response {
    authzen.decide(DecisionRpc::Evaluations, tenant, request).await
}

async fn search_subject(State(authzen): Shared, tenant: Tenant, request: Request) -> Response {
    authzen.search(Searched::Subject, tenant, request).await
}

async fn search_resource(State(authzen): Shared, tenant: Tenant, request: Request) -> Response {
    authzen.search(Searched::Resource, tenant, request).await
}

async fn search_action(State(authzen): Shared, tenant: Tenant, request: Request) -> Response {
    authzen.search(Searched::Action, tenant, request).await
}

async fn metadata(State(authzen): Shared, tenant: Tenant) -> Response {
    let document = tenant_of(&tenant).and_then(|tenant| authzen.options.metadata(tenant));
    document.unwrap_or_else(|refused| refused.into_response())
}

async fn metadata_by_path(
    State(authzen): Shared,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let path = path.map_err(|rejected| malformed_path(&rejected));
    let document = path.and_then(|Path(path)| {
        let tenant = authzen.options.tenant_at(&path)?;
        authzen.options.metadata(tenant)
    });
    document.unwrap_or_else(|refused| refused.into_response())
}

fn tenant_of(tenant: &Tenant) -> Result<&str, Refused> {
    match tenant {
        // Where a message says nothing the default is meant; a path that names nobody is a mistake.
        Ok(Some(Path(tenant))) if tenant.is_empty() => {
            let why = "is empty; leave `/t/` out for the default tenant";
            Err(Malformed::new("tenant", why).into())
        }
        Ok(Some(Path(tenant))) => Ok(tenant),
        Ok(None) => Ok(DEFAULT_TENANT),
        Err(rejected) => Err(malformed_path(rejected)),
    }
}

fn malformed_path(rejected: &PathRejection) -> Refused {
    Malformed::new("", rejected.body_text()).into()
}

// === impl AuthZen ===

impl AuthZen {
    async fn decide(&self, rpc: DecisionRpc, tenant: Tenant, mut request: Request) -> Response {
        let started = Instant::now();
        let Some(door) = self.door.upgrade() else {
            return Refused::from(Failure::ShuttingDown).into_response();
        };
        let extensions = std::mem::take(request.extensions_mut());
        let counted = match rpc {
            DecisionRpc::Evaluations => Rpc::Evaluations,
            _ => Rpc::Evaluation,
        };
        let traced = door.traced(counted.as_str(), || parent_of(request.headers()));
        let decided = self.decided(rpc, (&door, &traced), &tenant, &extensions, request).await;
        let answered = ended(decided, traced, (&door, counted));
        door.metrics().decision_took(rpc, started.elapsed());
        answered
    }

    async fn decided(
        &self,
        rpc: DecisionRpc,
        (door, traced): (&Arc<Door>, &Traced),
        tenant: &Tenant,
        extensions: &Extensions,
        request: Request,
    ) -> Result<Response, Refused> {
        // Who has no leave is not listened to.
        let granted = granted(extensions, tenant_of(tenant)?)?;
        let body = self.body(request).await?;
        let asked = object(&body)?;
        let asker = evaluate::Asker { options: &self.options, door, granted, rpc, traced };
        match rpc {
            DecisionRpc::Evaluations => asker.many(&asked).await,
            _ => asker.one(&asked).await,
        }
    }

    async fn search(&self, searched: Searched, tenant: Tenant, mut request: Request) -> Response {
        let Some(door) = self.door.upgrade() else {
            return Refused::from(Failure::ShuttingDown).into_response();
        };
        let extensions = std::mem::take(request.extensions_mut());
        let traced = door.traced(searched.name(), || parent_of(request.headers()));
        let found = async {
            let granted = granted(&extensions, tenant_of(&tenant)?)?;
            if let Some(span) = traced.span() {
                span.about(granted.tenant(), granted.asker().name());
            }
            // What was sent is let go of before anything is waited for.
            let search = {
                let body = self.body(request).await?;
                search::Search::read(searched, &object(&body)?)?
            };
            search.run(&self.options, &door, granted).await
        };
        let found = found.await;
        ended(found, traced, (&door, searched.rpc()))
    }

    /// The body of a request that says it is JSON.
    async fn body(&self, request: Request) -> Result<Bytes, Refused> {
        says_json(request.headers())?;
        let maximum = self.options.max_body_bytes;
        let announced = request.body().size_hint().lower();
        if usize::try_from(announced).is_ok_and(|announced| announced > maximum) {
            return Err(Refused::TooLarge { maximum });
        }
        let body = Limited::new(request.into_body(), maximum);
        let arrived = tokio::time::timeout(self.options.timeout, body.collect()).await;
        let arrived = arrived.map_err(|_| Refused::Slow(self.options.timeout))?;
        let whole = arrived.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => Refused::TooLarge { maximum },
            Err(error) => shed(error.as_ref())
                .map_or_else(|| Refused::Broken(error.to_string()), Refused::Held),
        })?;
        Ok(whole.to_bytes())
    }
}

/// That there is too much to be held, if that is why a body was not read.
fn shed(error: &(dyn Error + 'static)) -> Option<Shed> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(Unread::Shed(shed)) => return Some(*shed),
            Some(Unread::Connection(_)) => return None,
            None => cause = error.source(),
        }
    }
    None
}

/// What a request says of its trace.
fn parent_of(headers: &HeaderMap) -> Option<Parent> {
    Parent::of(headers.get(TRACEPARENT)?.as_bytes())
}

/// The answer to a request, whose span ends with it.
fn ended(
    answered: Result<Response, Refused>,
    traced: Traced,
    (door, rpc): (&Door, Rpc),
) -> Response {
    traced.end(answered.as_ref().map_or_else(|refused| refused.status().1, |_| Code::Ok));
    answered.unwrap_or_else(|refused| refused.told(door, rpc))
}

/// A request to the gRPC door's own service, of whoever has this leave, as a part of one that is traced.
fn with<T>(granted: Granted<'_>, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(granted.asker().clone());
    request.extensions_mut().insert(Inner);
    request
}

/// Holds that a request says once that its content type is `application/json`, with whatever parameters.
fn says_json(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let said = only.and_then(|value| value.to_str().ok());
    let essence = said.and_then(|said| said.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Malformed::new("content-type", "must be application/json"))
}

/// The object that a body is.
fn object(body: &[u8]) -> Result<Object<'_>, Malformed> {
    let whole = |message: &dyn std::fmt::Display| Malformed::new("", message);
    let text = std::str::from_utf8(body).map_err(|error| {
        whole(&format_args!(
            "the body is not UTF-8: byte {} begins no character",
            error.valid_up_to()
        ))
    })?;
    match Json::parse(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => Err(whole(&format_args!("the body is {}; expected an object", other.kind()))),
        Err(error) => Err(whole(&format_args!("the body cannot be read: {error}"))),
    }
}

/// What a caller without leave has to show (RFC 6750, section 3).
fn challenge(failure: &Failure) -> Option<HeaderValue> {
    let challenge = match failure {
        Failure::Unauthenticated(Denied::Busy) => return None,
        Failure::Unauthenticated(Denied::Missing) => r#"Bearer realm="pdp""#,
        Failure::Unauthenticated(_) => r#"Bearer realm="pdp", error="invalid_token""#,
        Failure::Forbidden(_) => r#"Bearer realm="pdp", error="insufficient_scope""#,
        _ => return None,
    };
    Some(HeaderValue::from_static(challenge))
}

/// An answer.
fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

// === impl Refused ===

impl Refused {
    /// The status code, and the gRPC code that it is counted under.
    fn status(&self) -> (StatusCode, Code) {
        let code = match self {
            // That there is too much to do is nobody's fault in particular.
            Self::Failure(Failure::Shed(shed)) | Self::Held(shed) if !shed.is_of_caller() => {
                return (StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted);
            }
            Self::Held(_) => Code::ResourceExhausted,
            Self::Failure(failure) => failure.code(),
            Self::Status(status) => status.code(),
            Self::TooLarge { .. } => return (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument),
            Self::Slow(_) => return (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::Broken(_) => Code::InvalidArgument,
            Self::NoDocument | Self::NoAddress => Code::NotFound,
        };
        let status = match code {
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
                StatusCode::BAD_REQUEST
            }
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, code)
    }

    /// The answer, counted and, where it is for operators, logged.
    fn told(self, door: &Door, rpc: Rpc) -> Response {
        // What came as a status was counted where it was made.
        if !matches!(self, Self::Status(_)) {
            door.metrics().failed(rpc, self.status().1);
        }
        if let Self::Failure(failure) = &self
            && failure.is_for_operators()
        {
            tracing::error!(rpc = rpc.as_str(), %failure, "a request failed");
        }
        self.into_response()
    }

    /// An error message string (section 10.1.2 of the API's text), with its line ended.
    fn message(&self) -> String {
        match self {
            Self::Failure(Failure::Malformed(Malformed { path, message })) if !path.is_empty() => {
                format!("`{path}`: {message}\n")
            }
            other => format!("{other}\n"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, _) = self.status();
        let mut response = (status, self.message()).into_response();
        if let Self::TooLarge { .. } = self {
            // Counted where the request arrived.
            response.extensions_mut().insert(RefusedReason::MessageTooLarge);
        }
        if let Self::Failure(failure) = &self
            && let Some(challenge) = challenge(failure)
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        if again.contains(&status) {
            let value = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self::Failure(malformed.into())
    }
}
