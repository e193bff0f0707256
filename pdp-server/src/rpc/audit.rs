//! AuditService.

use std::sync::Arc;

use http::Extensions;
use pdp_engine::id::{ObjectId, PersonId, SessionId, TenantId};
use pdp_proto::v1;
use pdp_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::failure::Failure;
use super::inbound::instant;
use super::leave::{everywhere, granted};
use super::malformed::{Malformed, optional_name, value_of};
use super::page::{ListOf, PageSizes};
use super::session::audited;
use super::{Door, outbound};
use crate::audit::{
    Break, CallerName, Chain, Digest, Entry, Event, Kind, PolicyChanged, Query, Record, Verified,
};
use crate::publish::Publisher;
use crate::telemetry::Rpc;

/// The service.
pub(super) struct Service(pub(super) Arc<Door>);

#[tonic::async_trait]
impl AuditService for Service {
    async fn list(
        &self,
        request: Request<v1::AuditServiceListRequest>,
    ) -> Result<Response<v1::AuditServiceListResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (tenant, of_server) = (request.tenant.clone(), request.of_server);
        let pages = self.0.pages;
        let list =
            move |publisher: &Publisher, chain: &Chain| list(publisher, chain, pages, request);
        let work = self.on_chain(&extensions, &tenant, of_server, list);
        self.0.answer(Rpc::AuditList, work).await
    }

    async fn verify(
        &self,
        request: Request<v1::AuditServiceVerifyRequest>,
    ) -> Result<Response<v1::AuditServiceVerifyResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let v1::AuditServiceVerifyRequest { tenant, of_server } = request;
        let work = self.on_chain(&extensions, &tenant, of_server, verify);
        self.0.answer(Rpc::AuditVerify, work).await
    }
}

// === impl Service ===

impl Service {
    /// Works on a tenant's chain, or on the server's own, which is for callers whose role is.
    async fn on_chain<T: Send + 'static>(
        &self,
        extensions: &Extensions,
        tenant: &str,
        of_server: bool,
        work: impl FnOnce(&Publisher, &Chain) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if !of_server {
            let leave = granted(extensions, tenant)?;
            let work = move |publisher: &Publisher, tenant: &TenantId| {
                work(publisher, &Chain::Tenant(tenant.clone()))
            };
            return self.0.blocking(leave, work).await;
        }
        let leave = everywhere(extensions)?;
        if !tenant.is_empty() {
            let message = "must be empty for the server's own chain";
            return Err(Malformed::new("tenant", message).into());
        }
        self.0.blocking_everywhere(leave, move |publisher| work(publisher, &Chain::Server)).await
    }
}

fn list(
    publisher: &Publisher,
    chain: &Chain,
    pages: PageSizes,
    mut request: v1::AuditServiceListRequest,
) -> Result<v1::AuditServiceListResponse, Failure> {
    let token = std::mem::take(&mut request.page_token);
    let size = pages.size(std::mem::take(&mut request.page_size))?;
    request.tenant.clear();
    let list = ListOf::asked("audit", chain.name(), &request);
    let after = list.after(&token)?.map(|number| number.parse());
    let after = after.transpose().map_err(|_| Failure::PageTokenInvalid)?.unwrap_or(0);
    let page = publisher.audit(chain, &query(request)?, after, size)?;
    Ok(v1::AuditServiceListResponse {
        records: page.records.into_iter().map(record).collect(),
        next_page_token: page
            .next
            .map(|next| list.token_after(&next.to_string()))
            .unwrap_or_default(),
    })
}

/// What a request asks for, but for the pages.
fn query(request: v1::AuditServiceListRequest) -> Result<Query, Malformed> {
    let v1::AuditServiceListRequest {
        tenant: _,
        of_server: _,
        from,
        until,
        person,
        kind,
        page_size: _,
        page_token: _,
        session,
        computer,
        caller,
    } = request;
    let bound = |field: &str, wire: Option<prost_types::Timestamp>| {
        wire.map(|wire| instant(field, wire)).transpose()
    };
    let unspecified = i32::from(v1::AuditKind::Unspecified);
    let kind = Some(kind).filter(|kind| *kind != unspecified);
    Ok(Query {
        from: bound("from", from)?,
        until: bound("until", until)?,
        person: optional_name("person", person.as_deref(), PersonId::new)?,
        caller: caller.map(|name| self::caller(&name)).transpose()?,
        kind: kind.map(|number| self::kind("kind", number)).transpose()?,
        computer: optional_name("computer", computer.as_deref(), ObjectId::new)?,
        session: optional_name("session", session.as_deref(), SessionId::new)?,
    })
}

fn caller(name: &str) -> Result<CallerName, Malformed> {
    CallerName::new(name).ok_or_else(|| Malformed::new("caller", "is empty; leave it out for all"))
}

fn kind(field: &str, number: i32) -> Result<Kind, Malformed> {
    Ok(match value_of(field, number)? {
        v1::AuditKind::Unspecified => return Err(Malformed::new(field, "is required")),
        v1::AuditKind::AuditBegan => Kind::Began,
        v1::AuditKind::TenantCreated => Kind::TenantCreated,
        v1::AuditKind::TenantDeleted => Kind::TenantDeleted,
        v1::AuditKind::PolicyChanged => Kind::PolicyChanged,
        v1::AuditKind::SessionOpened => Kind::SessionOpened,
        v1::AuditKind::SessionRenewed => Kind::SessionRenewed,
        v1::AuditKind::SessionEnded => Kind::SessionEnded,
        v1::AuditKind::RevocationDue => Kind::RevocationDue,
        v1::AuditKind::RevocationSettled => Kind::RevocationSettled,
        v1::AuditKind::RevocationFailed => Kind::RevocationFailed,
    })
}

fn verify(publisher: &Publisher, chain: &Chain) -> Result<v1::AuditServiceVerifyResponse, Failure> {
    let Verified { records, head: Digest(head), broken } = publisher.verify_audit(chain)?;
    if let Some(broken) = &broken {
        tracing::error!(%chain, %broken, "the audit is not as it was written");
    }
    let broken = broken.map(|Break { sequence, problem }| v1::AuditBreak {
        sequence,
        problem: problem.to_string(),
    });
    Ok(v1::AuditServiceVerifyResponse { records, head: head.to_vec(), broken })
}

fn record(record: Record) -> v1::AuditRecord {
    let Record { sequence, entry, hash: Digest(hash) } = record;
    let Entry { at, revision, person, caller, event } = entry;
    v1::AuditRecord {
        sequence,
        at: Some(outbound::instant(at)),
        revision: revision.get(),
        person: person.map(|person| person.to_string()),
        hash: hash.to_vec(),
        event: Some(self::event(event)),
        caller: caller.map(|caller| caller.as_str().to_owned()),
    }
}

fn event(event: Event) -> v1::audit_record::Event {
    use v1::audit_record::Event as Wire;
    match event {
        Event::Began => Wire::AuditBegan(v1::AuditBegan {}),
        Event::TenantCreated(tenant) => {
            Wire::TenantCreated(v1::AuditTenantCreated { tenant: tenant.to_string() })
        }
        Event::TenantDeleted { tenant, records, head: Digest(head) } => {
            let (tenant, head) = (tenant.to_string(), head.to_vec());
            Wire::TenantDeleted(v1::AuditTenantDeleted { tenant, records, head })
        }
        Event::PolicyChanged(changed) => Wire::PolicyChanged(policy_changed(changed)),
        Event::Session(event) => Wire::Session(audited(event)),
    }
}

fn policy_changed(changed: PolicyChanged) -> v1::AuditPolicyChanged {
    let PolicyChanged { created, changed, removed, digest: Digest(digest), request_id, changes } =
        changed;
    v1::AuditPolicyChanged {
        created,
        changed,
        removed,
        digest: digest.to_vec(),
        request_id: request_id.map(|id| id.to_string()).unwrap_or_default(),
        changes: changes.iter().map(outbound::changed_fact).collect(),
    }
}
