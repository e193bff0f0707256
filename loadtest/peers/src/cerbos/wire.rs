//! What goes to Cerbos and comes back: the messages of its `CheckResources`, as far as they are needed, with
//! the numbers of its protocol.

use std::collections::BTreeMap;

use prost_types::Value;

/// The path of `CheckResources`.
pub(super) const CHECK_RESOURCES: &str = "/cerbos.svc.v1.CerbosService/CheckResources";

/// `cerbos.effect.v1.EFFECT_ALLOW`.
pub(super) const ALLOW: i32 = 1;

/// `cerbos.request.v1.CheckResourcesRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResourcesRequest {
    #[prost(message, optional, tag = "3")]
    pub(super) principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    pub(super) resources: Vec<ResourceEntry>,
}

/// `cerbos.request.v1.CheckResourcesRequest.ResourceEntry`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceEntry {
    #[prost(string, repeated, tag = "1")]
    pub(super) actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) resource: Option<Resource>,
}

/// `cerbos.engine.v1.Principal`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Principal {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) roles: Vec<String>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub(super) attr: BTreeMap<String, Value>,
}

/// `cerbos.engine.v1.Resource`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    pub(super) attr: BTreeMap<String, Value>,
}

/// `cerbos.response.v1.CheckResourcesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResourcesResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) results: Vec<ResultEntry>,
}

/// `cerbos.response.v1.CheckResourcesResponse.ResultEntry`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResultEntry {
    #[prost(btree_map = "string, int32", tag = "2")]
    pub(super) actions: BTreeMap<String, i32>,
}

/// A list of texts.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a String>) -> Value {
    let values = texts.into_iter().map(text).collect();
    Value { kind: Some(prost_types::value::Kind::ListValue(prost_types::ListValue { values })) }
}

/// A text.
pub(super) fn text(text: &String) -> Value {
    Value { kind: Some(prost_types::value::Kind::StringValue(text.clone())) }
}
