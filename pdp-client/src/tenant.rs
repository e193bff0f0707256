//! The tenants of a server.

use std::collections::VecDeque;

use pdp_proto::v1;

use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Revision;
use crate::policy::following;

const PAGE_SIZE: u32 = 1_000;

/// One tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant's id.
    pub id: String,
    /// The current revision of its policy; 0 is the empty policy.
    pub revision: Revision,
}

/// The tenants, page by page. Each page is a call with a deadline of its own.
#[derive(Debug)]
pub struct Tenants {
    client: Client,
    next: Option<String>,
    waiting: VecDeque<Tenant>,
}

// === impl Tenant ===

impl From<v1::Tenant> for Tenant {
    fn from(tenant: v1::Tenant) -> Self {
        let v1::Tenant { id, revision } = tenant;
        Self { id, revision: Revision::new(revision) }
    }
}

// === impl Client ===

impl Client {
    /// Creates a tenant with an empty policy.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `TENANT_EXISTS` if there is one of this id.
    pub async fn create_tenant(&self, id: &str) -> Result<Tenant, Error> {
        let request = || v1::TenantServiceCreateRequest { tenant: id.to_owned() };
        let send = |server: &Subchannel, request| {
            let mut service = server.tenants();
            async move { service.create(request).await }
        };
        let v1::TenantServiceCreateResponse { tenant } =
            self.unary(Repeat::Never, request, send).await?;
        tenant.map(Tenant::from).ok_or_else(|| Error::protocol("it holds no tenant"))
    }

    /// Deletes a tenant with its whole policy.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_TENANT` if there is none of this id, and
    /// `TENANT_PROTECTED` for `default`.
    pub async fn delete_tenant(&self, id: &str) -> Result<(), Error> {
        let request = || v1::TenantServiceDeleteRequest { tenant: id.to_owned() };
        let send = |server: &Subchannel, request| {
            let mut service = server.tenants();
            async move { service.delete(request).await }
        };
        let v1::TenantServiceDeleteResponse {} = self.unary(Repeat::Never, request, send).await?;
        Ok(())
    }

    /// Lists the tenants, ordered by id.
    #[must_use]
    pub fn list_tenants(&self) -> Tenants {
        Tenants { client: self.for_pages(), next: Some(String::new()), waiting: VecDeque::new() }
    }
}

// === impl Tenants ===

impl Tenants {
    /// The next tenant; `None` after the last.
    ///
    /// # Errors
    /// [`Error`] if a page cannot be read.
    pub async fn next(&mut self) -> Result<Option<Tenant>, Error> {
        loop {
            if let Some(tenant) = self.waiting.pop_front() {
                return Ok(Some(tenant));
            }
            let Some(page_token) = self.next.clone() else { return Ok(None) };
            self.page(page_token).await?;
        }
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    /// As [`Tenants::next`].
    pub async fn collect(mut self) -> Result<Vec<Tenant>, Error> {
        let mut tenants = Vec::new();
        while let Some(tenant) = self.next().await? {
            tenants.push(tenant);
        }
        Ok(tenants)
    }

    async fn page(&mut self, page_token: String) -> Result<(), Error> {
        let request = || v1::TenantServiceListRequest {
            page_size: PAGE_SIZE,
            page_token: page_token.clone(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.tenants();
            async move { service.list(request).await }
        };
        let response = self.client.unary(Repeat::Read, request, send).await?;
        let v1::TenantServiceListResponse { tenants, next_page_token } = response;
        self.next = following(&page_token, next_page_token)?;
        self.waiting.extend(tenants.into_iter().map(Tenant::from));
        Ok(())
    }
}
