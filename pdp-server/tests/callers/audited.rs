//! The audit names the caller of every change.

use pdp_proto::v1;
use tonic::{Code, Request};

use crate::guarded::{Guarded, caller, key};
use crate::served::put_person;

fn sent<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

async fn callers_of(
    guarded: &Guarded,
    authorization: &str,
    request: v1::AuditServiceListRequest,
) -> Vec<Option<String>> {
    let listed = guarded.served.audit().list(sent(authorization, request)).await.unwrap();
    listed.into_inner().records.into_iter().map(|record| record.caller).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_has_the_caller_who_sent_what_it_tells() {
    let [(desk, one), (other, two)] = [key(), key()];
    let callers = format!(
        "callers:\n{}{}",
        caller("policy desk", &one, "{\"*\": [write, admin]}"),
        caller("other", &two, "{default: [write]}"),
    );
    let guarded = Guarded::start(&callers).await;
    for (authorization, person) in [(&desk, "new-1"), (&other, "new-2"), (&desk, "new-3")] {
        let changes = vec![put_person(person)];
        let request = v1::ApplyRequest { changes, ..Default::default() };
        guarded.served.policy().apply(sent(authorization, request)).await.unwrap();
    }
    let create = v1::TenantServiceCreateRequest { tenant: "acme".to_owned() };
    guarded.served.tenants().create(sent(&desk, create)).await.unwrap();

    let named = |name: &str| Some(name.to_owned());
    let request = v1::AuditServiceListRequest::default();
    // The tenant and its first policy are the server's own doing.
    let expected = [None, None, named("policy desk"), named("other"), named("policy desk")];
    assert_eq!(callers_of(&guarded, &desk, request.clone()).await, expected);
    let by = v1::AuditServiceListRequest { caller: named("other"), ..request.clone() };
    assert_eq!(callers_of(&guarded, &desk, by).await, [named("other")]);
    let of_server = v1::AuditServiceListRequest { of_server: true, ..request.clone() };
    assert_eq!(callers_of(&guarded, &desk, of_server).await, [None, named("policy desk")]);

    let empty = v1::AuditServiceListRequest { caller: named(""), ..request.clone() };
    let refused = guarded.served.audit().list(sent(&desk, empty)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = guarded.served.audit().list(sent(&other, request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
