//! SessionService.

mod outbound;
mod watch;

use std::sync::Arc;

use pdp_engine::id::{ObjectId, PermissionLevelId, PersonId, SessionId, TenantId};
use pdp_engine::query::{Decision, Effect, Malformed as Refused, Reason, Revision};
use pdp_engine::session::SessionDecision;
use pdp_proto::v1;
use pdp_proto::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::Door;
use super::failure::Failure;
use super::leave::{Lasting, granted};
use super::malformed::{Malformed, name, optional_name};
use super::page::ListOf;
use super::question::{decided, decision};
use super::stream::LiveStream;
use crate::callers::Granted;
use crate::publish::{Publisher, SessionFilter};
use crate::session::{
    MAX_FAILURE_BYTES, Open, Opened, Outcome, RequestKey, RevocationId, Selection, StepError,
};
use crate::telemetry::{Rpc, write_span};
pub(super) use outbound::audited;
use outbound::{revocation, session};

/// How long the note of a forced end may be, in bytes.
const MAX_NOTE_BYTES: usize = 1_000;

/// How many random bytes name a session.
const SESSION_ID_BYTES: usize = 16;

/// The service.
pub(super) struct Service(pub(super) Arc<Door>);

#[tonic::async_trait]
impl SessionService for Service {
    type WatchRevocationsStream = LiveStream<v1::WatchRevocationsResponse>;

    async fn open(
        &self,
        request: Request<v1::SessionServiceOpenRequest>,
    ) -> Result<Response<v1::SessionServiceOpenResponse>, Status> {
        let span =
            write_span(Rpc::SessionOpen.as_str(), &request.get_ref().tenant, request.metadata());
        let work = async {
            let (metadata, extensions, request) = request.into_parts();
            let named = request.tenant.clone();
            let leave = granted(&extensions, &named)?;
            self.0.fresh(leave, request.at_least, &metadata).await?;
            self.on(leave, request, open).await
        };
        self.0.answer(Rpc::SessionOpen, work.instrument(span)).await
    }

    async fn renew(
        &self,
        request: Request<v1::SessionServiceRenewRequest>,
    ) -> Result<Response<v1::SessionServiceRenewResponse>, Status> {
        let span =
            write_span(Rpc::SessionRenew.as_str(), &request.get_ref().tenant, request.metadata());
        let work = async {
            let (metadata, extensions, request) = request.into_parts();
            let named = request.tenant.clone();
            let leave = granted(&extensions, &named)?;
            self.0.fresh(leave, request.at_least, &metadata).await?;
            self.on(leave, request, renew).await
        };
        self.0.answer(Rpc::SessionRenew, work.instrument(span)).await
    }

    async fn close(
        &self,
        request: Request<v1::SessionServiceCloseRequest>,
    ) -> Result<Response<v1::SessionServiceCloseResponse>, Status> {
        let span =
            write_span(Rpc::SessionClose.as_str(), &request.get_ref().tenant, request.metadata());
        let work = self.granted(request, |request| &request.tenant, close);
        self.0.answer(Rpc::SessionClose, work.instrument(span)).await
    }

    async fn force_end(
        &self,
        request: Request<v1::ForceEndRequest>,
    ) -> Result<Response<v1::ForceEndResponse>, Status> {
        let span = write_span(
            Rpc::SessionForceEnd.as_str(),
            &request.get_ref().tenant,
            request.metadata(),
        );
        let work = self.granted(request, |request| &request.tenant, force_end);
        self.0.answer(Rpc::SessionForceEnd, work.instrument(span)).await
    }

    async fn get(
        &self,
        request: Request<v1::SessionServiceGetRequest>,
    ) -> Result<Response<v1::SessionServiceGetResponse>, Status> {
        let work = self.granted(request, |request| &request.tenant, get);
        self.0.answer(Rpc::SessionGet, work).await
    }

    async fn list(
        &self,
        request: Request<v1::SessionServiceListRequest>,
    ) -> Result<Response<v1::SessionServiceListResponse>, Status> {
        let work = self.granted(request, |request| &request.tenant, list);
        self.0.answer(Rpc::SessionList, work).await
    }

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let begun = async {
            let (metadata, extensions, request) = request.into_parts();
            let named = request.tenant.clone();
            let standing = self.0.standing(&metadata, &extensions, Rpc::WatchRevocations)?;
            let begun = watch::begin(&self.0, granted(&extensions, &named)?, request)?;
            Ok(begun.by(Lasting::new(standing, &named)))
        };
        self.0.answer(Rpc::WatchRevocations, begun).await
    }

    async fn acknowledge_revocation(
        &self,
        request: Request<v1::AcknowledgeRevocationRequest>,
    ) -> Result<Response<v1::AcknowledgeRevocationResponse>, Status> {
        let rpc = Rpc::AcknowledgeRevocation;
        let span = write_span(rpc.as_str(), &request.get_ref().tenant, request.metadata());
        let work = self.granted(request, |request| &request.tenant, acknowledge);
        self.0.answer(rpc, work.instrument(span)).await
    }
}

/// What a request is worked on with.
#[derive(Clone, Copy)]
struct On<'a> {
    door: &'a Door,
    publisher: &'a Publisher,
    tenant: &'a TenantId,
}

// === impl Service ===

impl Service {
    /// Works for a caller with leave for the tenant of the request.
    async fn granted<Q: Send + 'static, A: Send + 'static>(
        &self,
        request: Request<Q>,
        tenant: fn(&Q) -> &String,
        work: fn(On<'_>, Q) -> Result<A, Failure>,
    ) -> Result<A, Failure> {
        let (_, extensions, request) = request.into_parts();
        let named = tenant(&request).clone();
        self.on(granted(&extensions, &named)?, request, work).await
    }

    async fn on<Q: Send + 'static, A: Send + 'static>(
        &self,
        leave: Granted<'_>,
        request: Q,
        work: fn(On<'_>, Q) -> Result<A, Failure>,
    ) -> Result<A, Failure> {
        let door = Arc::clone(&self.0);
        let work = move |publisher: &Publisher, tenant: &TenantId| {
            work(On { door: &door, publisher, tenant }, request)
        };
        self.0.blocking(leave, work).await
    }
}

fn open(
    on: On<'_>,
    request: v1::SessionServiceOpenRequest,
) -> Result<v1::SessionServiceOpenResponse, Failure> {
    let On { door: _, publisher, tenant } = on;
    let v1::SessionServiceOpenRequest {
        tenant: _,
        request_key,
        person,
        computer,
        level,
        at_least: _,
    } = request;
    let key = name("request_key", &request_key, RequestKey::new)?;
    let request = Open { key: &key, person: &person, computer: &computer, level: level.as_deref() };
    let opened = publisher.open_session(tenant, request, session_id()?)?;
    Ok(match opened {
        Opened::Denied(denied) => v1::SessionServiceOpenResponse {
            decision: Some(decision(&denied)),
            session: None,
            replayed: false,
        },
        Opened::New(opened, allowed, obligations) => {
            tracing::info!(
                %tenant, session = %opened.id, person = %opened.person, computer = %opened.computer,
                "session opened"
            );
            let allowed = SessionDecision { decision: allowed, obligations: Some(obligations) };
            v1::SessionServiceOpenResponse {
                decision: Some(decided(&allowed)),
                session: Some(session(&opened, opened.opened)),
                replayed: false,
            }
        }
        Opened::Replayed(opened, stands) => v1::SessionServiceOpenResponse {
            decision: stands.map(|stands| {
                let revision = publisher.revision(tenant.as_str()).unwrap_or_default();
                let (effect, reason, obligations) = match stands {
                    Ok(()) => (Effect::Allow, Reason::Granted, Some(opened.obligations())),
                    Err(reason) => (Effect::Deny, reason, None),
                };
                let decision = Decision { effect, reason, revision };
                decided(&SessionDecision { decision, obligations })
            }),
            session: Some(session(&opened, publisher.now())),
            replayed: true,
        },
    })
}

/// An ALLOW that was given before, or that a renewal comes to.
fn allowed(revision: Revision) -> v1::Decision {
    decision(&Decision { effect: Effect::Allow, reason: Reason::Granted, revision })
}

fn renew(
    on: On<'_>,
    request: v1::SessionServiceRenewRequest,
) -> Result<v1::SessionServiceRenewResponse, Failure> {
    let On { door, publisher, tenant } = on;
    let v1::SessionServiceRenewRequest { tenant: _, session: id, at_least: _ } = request;
    let id = name("session", &id, SessionId::new)?;
    let (renewed, revision) = publisher.renew_session(tenant, id.as_str())?;
    let decided = renewed.decided.map(|decided| match decided {
        Ok(()) => allowed(revision),
        Err(reason) => {
            tracing::info!(%tenant, session = %id, reason = reason.as_str(), "session revoked");
            decision(&Decision { effect: Effect::Deny, reason, revision })
        }
    });
    let session = Some(session(&renewed.session, door.now()));
    Ok(v1::SessionServiceRenewResponse { decision: decided, session })
}

fn close(
    on: On<'_>,
    request: v1::SessionServiceCloseRequest,
) -> Result<v1::SessionServiceCloseResponse, Failure> {
    let On { door, publisher, tenant } = on;
    let v1::SessionServiceCloseRequest { tenant: _, session: id } = request;
    let id = name("session", &id, SessionId::new)?;
    let closed = publisher.close_session(tenant, id.as_str())?;
    tracing::info!(%tenant, session = %id, "session closed");
    Ok(v1::SessionServiceCloseResponse { session: Some(session(&closed, door.now())) })
}

fn force_end(on: On<'_>, request: v1::ForceEndRequest) -> Result<v1::ForceEndResponse, Failure> {
    let On { door: _, publisher, tenant } = on;
    let v1::ForceEndRequest { tenant: _, person, computer, level, note } = request;
    let selection = selection(person.as_deref(), computer.as_deref(), level.as_deref())?;
    if selection.is_empty() {
        let message = "is required, or else `computer` or `level`: whose sessions are to be ended";
        return Err(Malformed::new("person", message).into());
    }
    bounded("max_note_bytes", "note", &note, MAX_NOTE_BYTES)?;
    let ended = publisher.end_sessions(tenant, &selection, &note)?;
    tracing::warn!(%tenant, ?selection, ended, "sessions ended by force");
    Ok(v1::ForceEndResponse { ended: u64::try_from(ended).unwrap_or(u64::MAX) })
}

fn get(
    on: On<'_>,
    request: v1::SessionServiceGetRequest,
) -> Result<v1::SessionServiceGetResponse, Failure> {
    use v1::session_service_get_request::By;
    let On { door, publisher, tenant } = on;
    let v1::SessionServiceGetRequest { tenant: _, by } = request;
    let (found, asked) = match by {
        None => {
            let message = "is required, or else `request_key`: which session";
            return Err(Malformed::new("session", message).into());
        }
        Some(By::Session(id)) => {
            let id = name("session", &id, SessionId::new)?;
            (publisher.session(tenant, id.as_str())?, id.to_string())
        }
        Some(By::RequestKey(key)) => {
            let key = name("request_key", &key, RequestKey::new)?;
            (publisher.session_by_key(tenant, &key)?, key.to_string())
        }
    };
    let found = found.ok_or(Failure::Step(StepError::UnknownSession(asked)))?;
    Ok(v1::SessionServiceGetResponse { session: Some(session(&found, door.now())) })
}

fn list(
    on: On<'_>,
    mut request: v1::SessionServiceListRequest,
) -> Result<v1::SessionServiceListResponse, Failure> {
    let On { door, publisher, tenant } = on;
    let token = std::mem::take(&mut request.page_token);
    let size = door.pages.size(std::mem::take(&mut request.page_size))?;
    request.tenant.clear();
    let list = ListOf::asked("sessions", tenant.as_str(), &request);
    let after = list.after(&token)?.map(|number| number.parse());
    let after = after.transpose().map_err(|_| Failure::PageTokenInvalid)?.unwrap_or(0);
    let filter = filter(&request)?;
    // One more than the page holds tells whether it is the last.
    let now = door.now();
    let mut found = publisher.sessions(tenant, &filter, after, size + 1, now)?;
    let more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| more).map(|session| session.number);
    Ok(v1::SessionServiceListResponse {
        sessions: found.iter().map(|found| session(found, now)).collect(),
        next_page_token: last.map(|last| list.token_after(&last.to_string())).unwrap_or_default(),
    })
}

fn filter(request: &v1::SessionServiceListRequest) -> Result<SessionFilter, Malformed> {
    let v1::SessionServiceListRequest {
        tenant: _,
        person,
        computer,
        state,
        outstanding,
        page_size: _,
        page_token: _,
    } = request;
    let unknown = || Malformed::new("state", format_args!("{state} is no state that is known"));
    Ok(SessionFilter {
        selection: selection(person.as_deref(), computer.as_deref(), None)?,
        open: match v1::SessionState::try_from(*state).map_err(|_| unknown())? {
            v1::SessionState::Unspecified => None,
            v1::SessionState::Open => Some(true),
            v1::SessionState::Ended => Some(false),
        },
        outstanding: *outstanding,
    })
}

fn selection(
    person: Option<&str>,
    computer: Option<&str>,
    level: Option<&str>,
) -> Result<Selection, Malformed> {
    Ok(Selection {
        person: optional_name("person", person, PersonId::new)?,
        computer: optional_name("computer", computer, ObjectId::new)?,
        level: optional_name("level", level, PermissionLevelId::new)?,
    })
}

fn acknowledge(
    on: On<'_>,
    request: v1::AcknowledgeRevocationRequest,
) -> Result<v1::AcknowledgeRevocationResponse, Failure> {
    use v1::acknowledge_revocation_request::Outcome as Wire;
    let On { door: _, publisher, tenant } = on;
    let v1::AcknowledgeRevocationRequest { tenant: _, revocation: id, outcome } = request;
    name("revocation", &id, |id| pdp_engine::id::validate_id("revocation id", id))?;
    let unknown = || Failure::Step(StepError::UnknownRevocation(id.clone()));
    let named = RevocationId::parse(&id).ok_or_else(unknown)?;
    let outcome = match &outcome {
        None => return Err(Malformed::new("done", "is required, or else `failed`").into()),
        Some(Wire::Done(v1::RevocationDone {})) => Outcome::Done,
        Some(Wire::Failed(v1::RevocationFailed { message })) => {
            bounded("max_failure_bytes", "failed.message", message, MAX_FAILURE_BYTES)?;
            tracing::warn!(%tenant, revocation = %id, message, "a broker failed at revoking");
            Outcome::Failed(message)
        }
    };
    let session = publisher.acknowledge(tenant, &named, outcome)?;
    let item = session.revocations.iter().find(|it| it.kind == named.kind);
    Ok(v1::AcknowledgeRevocationResponse { revocation: item.map(|it| revocation(&session, it)) })
}

fn bounded(
    limit: &'static str,
    field: &'static str,
    text: &str,
    maximum: usize,
) -> Result<(), Failure> {
    if text.len() <= maximum {
        return Ok(());
    }
    Err(Failure::Limit { limit, field, unit: "bytes", maximum, actual: text.len() })
}

/// A new name for a session: nobody can guess it.
fn session_id() -> Result<SessionId, Failure> {
    let mut bytes = [0; SESSION_ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Failure::Internal
    })?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    SessionId::new(id).map_err(|_| Failure::Internal)
}

/// What is wrong with a request for a session, by the field that the message calls it.
pub(super) fn refused(refused: &Refused) -> Malformed {
    let field = match refused.field() {
        "subject" => "person",
        "permission" => "level",
        "resource" => "computer",
        other => other,
    };
    Malformed::new(field, refused)
}
