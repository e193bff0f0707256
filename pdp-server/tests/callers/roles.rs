//! Roles: every method that is served is asked by callers who may not.

use std::collections::BTreeMap;

use pdp_proto::v1;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::guarded::{Guarded, caller, key, reason};
use crate::served;

/// Messages as they are on the wire.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = prost::bytes::Buf::remaining(buffer);
        Ok(Some(prost::bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}

/// Every method of this project's services, with a message that names a tenant and nothing else.
fn methods(tenant: &str) -> BTreeMap<String, Vec<u8>> {
    let set = FileDescriptorSet::decode(pdp_proto::FILE_DESCRIPTOR_SET).unwrap();
    let messages: BTreeMap<String, &DescriptorProto> = set
        .file
        .iter()
        .flat_map(|file| {
            let package = file.package();
            file.message_type.iter().map(move |it| (format!(".{package}.{}", it.name()), it))
        })
        .collect();
    let mut methods = BTreeMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let input = messages[method.input_type()];
                let field = input.field.iter().find(|field| field.name() == "tenant");
                let message = field.map_or_else(Vec::new, |field| {
                    assert_eq!(field.r#type(), Type::String, "{path}");
                    let tag = u8::try_from(field.number() << 3 | 2).unwrap();
                    let length = u8::try_from(tenant.len()).unwrap();
                    [&[tag, length], tenant.as_bytes()].concat()
                });
                // Its first part names the tenant.
                let message = match path.as_str() {
                    "/pdp.v1.PolicyService/Import" => import_into(tenant),
                    _ => message,
                };
                methods.insert(path, message);
            }
        }
    }
    methods
}

fn import_into(tenant: &str) -> Vec<u8> {
    let header = v1::ImportHeader { tenant: tenant.to_owned(), ..v1::ImportHeader::default() };
    let part = Some(v1::import_request::Part::Header(header));
    v1::ImportRequest { part }.encode_to_vec()
}

/// What comes of a call, whatever kind of method it is: its first answer.
async fn call(
    guarded: &Guarded,
    path: &str,
    message: Vec<u8>,
    authorization: Option<&str>,
) -> Result<Option<Vec<u8>>, Status> {
    let mut client = tonic::client::Grpc::new(guarded.served.channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(message));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let path = path.parse().unwrap();
    let mut answers = client.streaming(request, path, Raw).await?.into_inner();
    answers.message().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_refused_to_those_without_its_role() {
    let [(none, one), (all, two)] = [key(), key()];
    let every = "[check, explain, write, session, admin]";
    let callers = format!(
        "callers:\n{}{}",
        caller("nobody", &one, "{}"),
        caller("somebody", &two, &format!("{{mine: {every}}}"))
    );
    let guarded = Guarded::start(&callers).await;
    let mut asked = 0;
    for (path, message) in methods("default") {
        let refused = call(&guarded, &path, message.clone(), None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{path}");
        assert_eq!(reason(&refused), "CREDENTIALS_MISSING", "{path}");
        // Every role there is, in another tenant.
        for authorization in [&none, &all] {
            // On a stream of checks each message names its tenant, and is refused in its place.
            if path.ends_with("/CheckStream") && authorization == &all {
                let answer = call(&guarded, &path, message.clone(), Some(authorization)).await;
                let answer = answer.unwrap().unwrap();
                let answer = v1::CheckStreamResponse::decode(answer.as_slice()).unwrap();
                let Some(v1::check_stream_response::Result::Error(error)) = answer.result else {
                    panic!("{path}: {answer:?}");
                };
                assert_eq!(error.reason, "ROLE_MISSING");
                continue;
            }
            let refused = call(&guarded, &path, message.clone(), Some(authorization)).await;
            let refused = refused.expect_err(&path);
            assert_eq!(refused.code(), Code::PermissionDenied, "{path}: {refused:?}");
            assert_eq!(reason(&refused), "ROLE_MISSING", "{path}");
        }
        asked += 1;
    }
    println!("roles: {asked} methods");
    // In their own tenant, which is not there, they are told so, or what is wrong with the request.
    for (path, message) in methods("mine") {
        if path.ends_with("/CheckStream") {
            continue;
        }
        let outcome = call(&guarded, &path, message, Some(&all)).await.unwrap_err();
        let server_wide = path.contains("TenantService");
        let expected = if server_wide { Code::PermissionDenied } else { outcome.code() };
        assert_eq!(outcome.code(), expected, "{path}");
        let known = [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied];
        assert!(known.contains(&outcome.code()), "{path}: {outcome:?}");
        assert_eq!(outcome.code() == Code::PermissionDenied, server_wide, "{path}: {outcome:?}");
    }
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_no_table_is_refused_and_health_is_not() {
    let (all, one) = key();
    let callers = format!(
        "callers:\n{}",
        caller("admin", &one, "{\"*\": [check, explain, write, session, admin, metrics]}")
    );
    let guarded = Guarded::start(&callers).await;
    for path in ["/pdp.v1.DecisionService/Nothing", "/a.B/C", "/grpc.health.v1.Health/Nothing"] {
        let refused = call(&guarded, path, Vec::new(), Some(&all)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{path}");
        assert_eq!(reason(&refused), "UNKNOWN_METHOD", "{path}");
    }
    call(&guarded, "/grpc.health.v1.Health/Check", Vec::new(), None).await.unwrap();
    // Any caller may know how to call.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let refused = call(&guarded, reflection, Vec::new(), None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let list = vec![0x3a, 0];
    call(&guarded, reflection, list, Some(&all)).await.unwrap();
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_in_a_list_and_the_servers_audit_take_more() {
    use pdp_proto::v1;
    let [(checks, one), (sees, two), (admin, three), (everywhere, four)] =
        [key(), key(), key(), key()];
    let callers = format!(
        "callers:\n{}{}{}{}",
        caller("checks", &one, "{default: [check]}"),
        caller("sees", &two, "{default: [check, explain]}"),
        caller("admin", &three, "{default: [admin]}"),
        caller("everywhere", &four, "{\"*\": [admin]}")
    );
    let guarded = Guarded::start(&callers).await;
    let with = |authorization: &str, explain| {
        let mut request = Request::new(v1::ListPermissionsRequest {
            subject: Some(served::person("ana")),
            resource: Some(served::object("Report", "absence")),
            explain,
            ..Default::default()
        });
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    };
    let mut decisions = guarded.served.decisions();
    decisions.list_permissions(with(&checks, false)).await.unwrap();
    decisions.list_permissions(with(&sees, true)).await.unwrap();
    let refused = decisions.list_permissions(with(&checks, true)).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_MISSING");

    let verify = |authorization: &str, of_server| {
        let message = v1::AuditServiceVerifyRequest { tenant: String::new(), of_server };
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    };
    let mut audit = guarded.served.audit();
    audit.verify(verify(&admin, false)).await.unwrap();
    audit.verify(verify(&everywhere, true)).await.unwrap();
    let refused = audit.verify(verify(&admin, true)).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_MISSING");
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_in_the_tenants_that_it_has_a_role_for() {
    use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
    use pdp_proto::ext_authz::{AttributeContext, CheckRequest, attribute_context};
    let (edge, entry) = key();
    let callers = format!("callers:\n{}", caller("edge", &entry, "{default: [check]}"));
    let folder = served::folder();
    let mapping = "subject: [{header: x-user, as: 'person:{value}'}]\nroutes: []\n";
    std::fs::write(folder.path().join("gateway.yaml"), mapping).unwrap();
    let settings = pdp_server::config::Settings {
        gateway: Some(folder.path().join("gateway.yaml")),
        ..Default::default()
    };
    let guarded = Guarded::with(folder, &callers, settings).await;
    let asked = |authorization: Option<&str>, tenant: &str| {
        let http = attribute_context::HttpRequest {
            method: "GET".to_owned(),
            path: "/a".to_owned().into(),
            headers: [("x-user".to_owned(), b"ana".to_vec())].into_iter().collect(),
            ..Default::default()
        };
        let request = attribute_context::Request { http: Some(http) };
        let extensions =
            [("pdp.tenant", tenant), ("pdp.operation", "View"), ("pdp.resource", "Report:absence")];
        let extensions = extensions.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let attributes = AttributeContext {
            request: Some(request),
            context_extensions: extensions.into_iter().collect(),
            ..Default::default()
        };
        let mut request = Request::new(CheckRequest { attributes: Some(attributes) });
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        request
    };
    let mut client = AuthorizationClient::new(guarded.served.channel.clone());
    let allowed = client.check(asked(Some(&edge), "default")).await.unwrap().into_inner();
    assert_eq!(allowed.status.unwrap().code, 0);
    // An error, and so no ALLOW: the gateway fails closed.
    let refused = client.check(asked(Some(&edge), "other")).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_MISSING");
    let refused = client.check(asked(None, "default")).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
    guarded.served.stop().await;
}
