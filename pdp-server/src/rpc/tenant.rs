//! TenantService.

use std::sync::Arc;

use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::tenant_service_server::TenantService;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::Door;
use super::failure::Failure;
use super::leave::everywhere;
use super::malformed::name;
use super::page::{ListOf, PageSizes};
use crate::publish::Publisher;
use crate::telemetry::{Rpc, write_span};

/// The service.
pub(super) struct Service(pub(super) Arc<Door>);

#[tonic::async_trait]
impl TenantService for Service {
    async fn create(
        &self,
        request: Request<v1::TenantServiceCreateRequest>,
    ) -> Result<Response<v1::TenantServiceCreateResponse>, Status> {
        let rpc = Rpc::TenantCreate;
        let span = write_span(rpc.as_str(), &request.get_ref().tenant, request.metadata());
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let leave = everywhere(&extensions)?;
            self.0.blocking_everywhere(leave, |publisher| create(publisher, request)).await
        };
        self.0.answer(rpc, work.instrument(span)).await
    }

    async fn delete(
        &self,
        request: Request<v1::TenantServiceDeleteRequest>,
    ) -> Result<Response<v1::TenantServiceDeleteResponse>, Status> {
        let rpc = Rpc::TenantDelete;
        let span = write_span(rpc.as_str(), &request.get_ref().tenant, request.metadata());
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let leave = everywhere(&extensions)?;
            self.0.blocking_everywhere(leave, |publisher| delete(publisher, request)).await
        };
        self.0.answer(rpc, work.instrument(span)).await
    }

    async fn list(
        &self,
        request: Request<v1::TenantServiceListRequest>,
    ) -> Result<Response<v1::TenantServiceListResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let (leave, pages) = (everywhere(&extensions)?, self.0.pages);
            self.0
                .blocking_everywhere(leave, move |publisher| list(publisher, pages, request))
                .await
        };
        self.0.answer(Rpc::TenantList, work).await
    }
}

fn create(
    publisher: &Publisher,
    request: v1::TenantServiceCreateRequest,
) -> Result<v1::TenantServiceCreateResponse, Failure> {
    let v1::TenantServiceCreateRequest { tenant } = request;
    let tenant = name("tenant", &tenant, TenantId::new)?;
    publisher.create_tenant(&tenant)?;
    tracing::info!(%tenant, "tenant created");
    let tenant = wire((tenant, Revision::ZERO));
    Ok(v1::TenantServiceCreateResponse { tenant: Some(tenant) })
}

fn delete(
    publisher: &Publisher,
    request: v1::TenantServiceDeleteRequest,
) -> Result<v1::TenantServiceDeleteResponse, Failure> {
    let v1::TenantServiceDeleteRequest { tenant } = request;
    let tenant = name("tenant", &tenant, TenantId::new)?;
    publisher.delete_tenant(&tenant)?;
    tracing::info!(%tenant, "tenant deleted");
    Ok(v1::TenantServiceDeleteResponse {})
}

fn list(
    publisher: &Publisher,
    pages: PageSizes,
    request: v1::TenantServiceListRequest,
) -> Result<v1::TenantServiceListResponse, Failure> {
    let v1::TenantServiceListRequest { page_size: asked, page_token } = request;
    let size = pages.size(asked)?;
    let list = ListOf::new(&["tenants"]);
    let after = list.after(&page_token)?;
    let mut tenants = publisher
        .tenants()
        .into_iter()
        .skip_while(|(id, _)| after.as_deref().is_some_and(|after| id.as_str() <= after));
    let page: Vec<v1::Tenant> = tenants.by_ref().take(size).map(wire).collect();
    let next_page_token = match (tenants.next(), page.last()) {
        (Some(_), Some(last)) => list.token_after(&last.id),
        (_, _) => String::new(),
    };
    Ok(v1::TenantServiceListResponse { tenants: page, next_page_token })
}

fn wire((id, revision): (TenantId, Revision)) -> v1::Tenant {
    v1::Tenant { id: id.to_string(), revision: revision.get() }
}
