//! PolicyService.

use std::sync::Arc;
use std::time::Instant;

use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::policy_service_server::PolicyService;
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::failure::Failure;
use super::leave::{Lasting, granted};
use super::malformed::{Malformed, all, one, optional_name};
use super::page::{ListOf, PageSizes};
use super::stream::{Gone, LiveStream, Sender};
use super::{Door, inbound, named, outbound};
use crate::publish::{Apply, Publisher, Receipt, RequestId};
use crate::telemetry::{Rpc, write_span};

/// How many changes one change set may hold. They are validated and committed in one go, while
/// the tenant's other writers wait.
pub const MAX_CHANGES: usize = 10_000;

/// How long a request id may be, in bytes: room for two UUIDs and a name, and each is remembered.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// How many facts one message of an export holds.
const EXPORT_FACTS: usize = 1_000;

/// How large a message of an export grows before the next one is begun, in bytes. A fact is never
/// split.
const EXPORT_BYTES: usize = 1 << 20;

/// The service.
pub(super) struct Service(pub(super) Arc<Door>);

#[tonic::async_trait]
impl PolicyService for Service {
    type ExportStream = LiveStream<v1::ExportResponse>;
    type WatchStream = LiveStream<v1::PolicyServiceWatchResponse>;

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let span =
            write_span(Rpc::Apply.as_str(), named(&request.get_ref().tenant), request.metadata());
        let door = Arc::clone(&self.0);
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let named = request.tenant.clone();
            let leave = granted(&extensions, &named)?;
            let apply = move |publisher: &Publisher, tenant: &TenantId| {
                apply(&door, publisher, tenant, request)
            };
            self.0.blocking(leave, apply).await
        };
        self.0.answer(Rpc::Apply, work.instrument(span)).await
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<v1::ImportResponse>, Status> {
        let span = write_span(Rpc::Import.as_str(), "", request.metadata());
        let work = {
            let (metadata, extensions, parts) = request.into_parts();
            async move {
                let standing = self.0.standing(&metadata, &extensions, Rpc::Import)?;
                super::import::import(&self.0, (&extensions, standing), parts).await
            }
        };
        self.0.answer(Rpc::Import, work.instrument(span)).await
    }

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        self.0.answer(Rpc::Export, self.begin_export(request)).await
    }

    async fn get(
        &self,
        request: Request<v1::PolicyServiceGetRequest>,
    ) -> Result<Response<v1::PolicyServiceGetResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let named = request.tenant.clone();
            let leave = granted(&extensions, &named)?;
            self.0.blocking(leave, |publisher, tenant| get(publisher, tenant, request)).await
        };
        self.0.answer(Rpc::Get, work).await
    }

    async fn list(
        &self,
        request: Request<v1::PolicyServiceListRequest>,
    ) -> Result<Response<v1::PolicyServiceListResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let named = request.tenant.clone();
            let (leave, pages) = (granted(&extensions, &named)?, self.0.pages);
            let list = move |on: &Publisher, tenant: &TenantId| list(on, tenant, pages, request);
            self.0.blocking(leave, list).await
        };
        self.0.answer(Rpc::List, work).await
    }

    async fn watch(
        &self,
        request: Request<v1::PolicyServiceWatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.0.answer(Rpc::Watch, super::watch::begin(&self.0, request)).await
    }
}

// === impl Service ===

impl Service {
    /// Takes every fact of one revision, and sends them as the caller reads.
    async fn begin_export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<LiveStream<v1::ExportResponse>, Failure> {
        let v1::ExportRequest { tenant } = request.get_ref();
        let leave = granted(request.extensions(), tenant)?;
        let standing = self.0.standing(request.metadata(), request.extensions(), Rpc::Export)?;
        let (sender, stream) = self.0.streams.open(leave.asker().name())?;
        let stream = stream.by(Lasting::new(standing, tenant));
        let every = |revision, facts: &Facts| (revision, facts.iter().collect::<Vec<_>>());
        let (position, facts) = self
            .0
            .blocking(leave, move |publisher, tenant| {
                let (revision, facts) = publisher.read(tenant, every)?;
                Ok((super::watch::position(publisher, tenant, revision)?, facts))
            })
            .await?;
        // Whoever reads slowly holds a thread of the blocking pool, which is what limits streams.
        tokio::task::spawn_blocking(move || {
            send_facts(&sender, &position, &facts).and_then(|()| sender.finish())
        });
        Ok(stream)
    }
}

fn apply(
    door: &Door,
    publisher: &Publisher,
    tenant: &TenantId,
    request: v1::ApplyRequest,
) -> Result<v1::ApplyResponse, Failure> {
    let started = Instant::now();
    let v1::ApplyRequest {
        tenant: _,
        changes,
        expected_revision,
        dry_run,
        request_id,
        on_behalf_of,
    } = request;
    let request_id = self::request_id(&request_id)?;
    let changes = self::changes(changes, door.max_changes)?;
    let expected = expected_revision.map(Revision::new);
    let person = optional_name("on_behalf_of", on_behalf_of.as_deref(), PersonId::new)?;
    let on_behalf_of = person.as_ref();
    let request_id = request_id.as_ref();
    let request = Apply { changes: &changes, expected, dry_run, request_id, on_behalf_of };
    let applied = publisher.apply(tenant, request);
    let outcome = door.metrics.change_set(applied.as_ref(), started.elapsed());
    match applied {
        Ok(receipt) => {
            let (revision, changed) = (receipt.revision.get(), receipt.counts.total());
            let on_behalf_of = person.as_ref().map(PersonId::as_str);
            let outcome = outcome.as_str();
            tracing::info!(%tenant, outcome, revision, changed, on_behalf_of, "change set");
            Ok(response(receipt))
        }
        Err(error) => {
            let failure = Failure::from(error);
            let on_behalf_of = person.as_ref().map(PersonId::as_str);
            let (outcome, reason) = (outcome.as_str(), failure.reason());
            tracing::info!(%tenant, outcome, reason, on_behalf_of, "change set");
            Err(failure)
        }
    }
}

fn changes(wires: Vec<v1::Change>, maximum: usize) -> Result<Vec<Change>, Failure> {
    if wires.len() > maximum {
        return Err(Failure::Limit {
            limit: "max_changes",
            field: "changes",
            unit: "changes",
            maximum,
            actual: wires.len(),
        });
    }
    Ok(all("changes", wires, inbound::change)?)
}

pub(super) fn request_id(given: &str) -> Result<Option<RequestId>, Failure> {
    if given.is_empty() {
        return Ok(None);
    }
    if given.len() > MAX_REQUEST_ID_BYTES {
        return Err(Failure::Limit {
            limit: "max_request_id_bytes",
            field: "request_id",
            unit: "bytes",
            maximum: MAX_REQUEST_ID_BYTES,
            actual: given.len(),
        });
    }
    let id = RequestId::new(given).map_err(|error| Malformed::new("request_id", error))?;
    Ok(Some(id))
}

fn response(receipt: Receipt) -> v1::ApplyResponse {
    let Receipt { revision, changes, counts, replayed, dry_run: _, on_behalf_of } = receipt;
    v1::ApplyResponse {
        revision: revision.get(),
        total_changes: counts.total(),
        changes: changes.iter().map(outbound::changed_fact).collect(),
        replayed,
        on_behalf_of: on_behalf_of.map(|person| person.to_string()).unwrap_or_default(),
    }
}

fn get(
    publisher: &Publisher,
    tenant: &TenantId,
    request: v1::PolicyServiceGetRequest,
) -> Result<v1::PolicyServiceGetResponse, Failure> {
    let v1::PolicyServiceGetRequest { tenant: _, key } = request;
    let key = one("key", key, inbound::key)?;
    let (revision, found) =
        publisher.read(tenant, |revision, facts| (revision, facts.get(&key)))?;
    let fact = found.ok_or(Failure::UnknownFact(key))?;
    Ok(v1::PolicyServiceGetResponse { fact: Some(outbound::fact(&fact)), revision: revision.get() })
}

fn list(
    publisher: &Publisher,
    tenant: &TenantId,
    pages: PageSizes,
    request: v1::PolicyServiceListRequest,
) -> Result<v1::PolicyServiceListResponse, Failure> {
    let v1::PolicyServiceListRequest { tenant: _, kind, page_size: asked, page_token } = request;
    let kind = inbound::kind("kind", kind)?;
    let size = pages.size(asked)?;
    let list = ListOf::new(&["facts", tenant.as_str(), kind.as_str()]);
    publisher.read(tenant, |revision, facts| {
        let behind = list.entries(&page_token, revision)?;
        let mut rest = facts.of_kind(kind).skip(usize::try_from(behind).unwrap_or(usize::MAX));
        let (mut page, mut bytes) = (Vec::new(), 0);
        // A fact can be large, so a page ends by its bytes, too.
        for fact in rest.by_ref().take(size) {
            let wire = outbound::fact(&fact);
            bytes += wire.encoded_len();
            page.push(wire);
            if bytes >= EXPORT_BYTES {
                break;
            }
        }
        let next_page_token = match rest.next() {
            Some(_) => {
                let listed = u64::try_from(page.len()).unwrap_or(u64::MAX);
                list.token_at(revision, behind.saturating_add(listed))
            }
            None => String::new(),
        };
        Ok(v1::PolicyServiceListResponse { facts: page, next_page_token, revision: revision.get() })
    })?
}

fn send_facts(
    sender: &Sender<v1::ExportResponse>,
    position: &v1::PolicyPosition,
    facts: &[Fact],
) -> Result<(), Gone> {
    let response = |facts| {
        let (revision, position) = (position.revision, Some(position.clone()));
        v1::ExportResponse { revision, facts, position }
    };
    let mut part = Vec::new();
    let mut bytes = 0;
    for fact in facts {
        let wire = outbound::fact(fact);
        bytes += wire.encoded_len();
        part.push(wire);
        if part.len() == EXPORT_FACTS || bytes >= EXPORT_BYTES {
            sender.send(response(std::mem::take(&mut part)))?;
            bytes = 0;
        }
    }
    if !part.is_empty() || facts.is_empty() {
        sender.send(response(part))?;
    }
    Ok(())
}
