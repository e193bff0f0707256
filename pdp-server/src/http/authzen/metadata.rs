//! The metadata document: where this decision point is and what it can do. Every address in it comes
//! from the setting `public_url`; what a request says of hosts is not looked at. It tells nothing of
//! which tenants there are.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use pdp_engine::id::TenantId;
use serde::Serialize;

use super::answer::CUSTOM;
use super::{Options, Refused, json};
use crate::publish::DEFAULT_TENANT;
use crate::rpc::{Failure, Malformed};

/// Callers may keep the document for an hour: it changes with the server's settings only.
const CACHED: HeaderValue = HeaderValue::from_static("max-age=3600");

/// That denials say where to ask for approval.
const ACCESS_REQUESTS: &str = "urn:openid:authzen:capability:access-request";

#[derive(Serialize)]
struct Document<'a> {
    policy_decision_point: &'a str,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
    search_subject_endpoint: String,
    search_resource_endpoint: String,
    search_action_endpoint: String,
    supported_obligations: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    access_request_endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<[&'static str; 1]>,
}

// === impl Options ===

impl Options {
    /// The document of a tenant.
    pub(super) fn metadata(&self, tenant: &str) -> Result<Response, Refused> {
        let url = self.public_url.as_ref().ok_or(Refused::NoAddress)?;
        TenantId::new(tenant).map_err(|error| Malformed::new("", error))?;
        // Encoded or not, these are no segments of an address but steps in it (RFC 3986, 6.2.2.3).
        if matches!(tenant, "." | "..") {
            return Err(Refused::NoDocument);
        }
        let base = match tenant {
            DEFAULT_TENANT => url.as_str().to_owned(),
            tenant => format!("{}/t/{}", url.as_str(), segment(tenant)),
        };
        let endpoint = |path: &str| format!("{base}/access/v1/{path}");
        let requests = self.access_request_url.as_ref();
        let document = Document {
            policy_decision_point: &base,
            access_evaluation_endpoint: endpoint("evaluation"),
            access_evaluations_endpoint: endpoint("evaluations"),
            search_subject_endpoint: endpoint("search/subject"),
            search_resource_endpoint: endpoint("search/resource"),
            search_action_endpoint: endpoint("search/action"),
            supported_obligations: [CUSTOM],
            access_request_endpoint: requests.map(|url| url.as_str()),
            capabilities: requests.map(|_| [ACCESS_REQUESTS]),
        };
        let body = serde_json::to_vec(&document).map_err(|_| Failure::Internal)?;
        let mut response = json(body);
        response.headers_mut().insert(header::CACHE_CONTROL, CACHED);
        Ok(response)
    }

    /// The tenant whose document lies at the path that follows the well-known one: that of the public
    /// address, and behind it a tenant's.
    pub(super) fn tenant_at<'a>(&self, path: &'a str) -> Result<&'a str, Refused> {
        let url = self.public_url.as_ref().ok_or(Refused::NoAddress)?;
        let base = url.path().trim_start_matches('/');
        match path.strip_prefix(base).ok_or(Refused::NoDocument)? {
            "" => Ok(DEFAULT_TENANT),
            rest => {
                let rest = if base.is_empty() { Some(rest) } else { rest.strip_prefix('/') };
                rest.and_then(|rest| rest.strip_prefix("t/")).ok_or(Refused::NoDocument)
            }
        }
    }
}

/// A name as a segment of a path (RFC 3986, section 3.3).
fn segment(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                written.push(char::from(byte));
            }
            other => written.push_str(&format!("%{other:02X}")),
        }
    }
    written
}
