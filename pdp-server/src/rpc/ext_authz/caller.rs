//! A request as Envoy tells of it. Headers come by name or, if the filter sends them raw, in order;
//! both are read.

use pdp_bundle::gateway::{Caller, Claim, Http, Proof};
use pdp_proto::ext_authz::attribute_context::HttpRequest;
use pdp_proto::ext_authz::{AttributeContext, HeaderValue};
use prost_types::value::Kind;

use crate::telemetry::{Parent, TRACEPARENT};

/// Where Envoy keeps the payloads of the tokens that it verified.
const VERIFIED: &str = "envoy.filters.http.jwt_authn";

/// What Envoy says of a request.
#[derive(Clone, Copy)]
pub(super) struct Envoy<'r>(pub(super) &'r AttributeContext);

// === impl Envoy ===

impl<'r> Envoy<'r> {
    fn request(self) -> Option<&'r HttpRequest> {
        self.0.request.as_ref()?.http.as_ref()
    }

    /// Names and values of all headers.
    pub(super) fn headers(self) -> impl Iterator<Item = (&'r str, &'r [u8])> {
        let http = self.request();
        let by_name = http.into_iter().flat_map(|http| &http.headers);
        let in_order = http.and_then(|http| http.header_map.as_ref());
        let in_order = in_order.into_iter().flat_map(|map| &map.headers).map(raw);
        by_name.map(|(name, value)| (name.as_str(), value.as_slice())).chain(in_order)
    }

    /// What the request says of its trace.
    pub(super) fn trace(self) -> Option<Parent> {
        Parent::of(self.values(TRACEPARENT).next()?)
    }

    /// The values of one header.
    fn values(self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        let http = self.request();
        let by_name = http.and_then(|http| http.headers.get(name)).map(Vec::as_slice);
        let in_order = http.and_then(|http| http.header_map.as_ref());
        let in_order = in_order.into_iter().flat_map(|map| &map.headers).map(raw);
        let of_name = in_order.filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        by_name.into_iter().chain(of_name.map(|(_, value)| value))
    }
}

fn raw(header: &HeaderValue) -> (&str, &[u8]) {
    let HeaderValue { key, value, raw_value } = header;
    (key, if raw_value.is_empty() { value } else { raw_value })
}

impl Caller for Envoy<'_> {
    fn http(&self) -> Option<Http<'_>> {
        let HttpRequest { method, headers: _, path, host, header_map: _ } = self.request()?;
        Some(Http { method, host, path, pseudo_path: self.values(":path").next() })
    }

    fn principal(&self) -> &str {
        self.0.source.as_ref().map_or("", |source| &source.principal)
    }

    fn header(&self, name: &str) -> Proof<'_> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Proof::Absent,
            (Some(value), None) => std::str::from_utf8(value).map_or(Proof::Unusable, Proof::Text),
            (Some(_), Some(_)) => Proof::Unusable,
        }
    }

    fn claim(&self, claim: &Claim) -> Proof<'_> {
        let Claim { payload, path } = claim;
        let metadata = self.0.metadata_context.as_ref();
        let verified = metadata.and_then(|metadata| metadata.filter_metadata.get(VERIFIED));
        let mut found = verified.and_then(|verified| verified.fields.get(&**payload));
        for name in path {
            let Some(value) = found else { return Proof::Absent };
            let Some(Kind::StructValue(inner)) = &value.kind else { return Proof::Unusable };
            found = inner.fields.get(&**name);
        }
        match found.map(|value| &value.kind) {
            None => Proof::Absent,
            Some(Some(Kind::StringValue(text))) => Proof::Text(text),
            Some(_) => Proof::Unusable,
        }
    }

    fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context_extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
