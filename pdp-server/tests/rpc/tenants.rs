//! TenantService, and that tenants share nothing.

use pdp_proto::v1::{self, Reason};
use tonic::Code;

use crate::errors::{metadata, told};
use crate::served::{Served, folder, put_person, question};

async fn create(served: &Served, tenant: &str) -> Result<v1::Tenant, tonic::Status> {
    let request = v1::TenantServiceCreateRequest { tenant: tenant.to_owned() };
    served.tenants().create(request).await.map(|answer| answer.into_inner().tenant.unwrap())
}

async fn delete(served: &Served, tenant: &str) -> Result<(), tonic::Status> {
    let request = v1::TenantServiceDeleteRequest { tenant: tenant.to_owned() };
    served.tenants().delete(request).await.map(|_| ())
}

async fn list(served: &Served, page_size: u32, page_token: &str) -> (Vec<(String, u64)>, String) {
    let page_token = page_token.to_owned();
    let request = v1::TenantServiceListRequest { page_size, page_token };
    let page = served.tenants().list(request).await.unwrap().into_inner();
    (page.tenants.into_iter().map(|t| (t.id, t.revision)).collect(), page.next_page_token)
}

#[tokio::test]
async fn tenants_come_go_and_share_nothing() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let acme = v1::Tenant { id: "acme".into(), revision: 0 };
    assert_eq!(create(&served, "acme").await.unwrap(), acme);
    let changes = vec![put_person("dee")];
    let apply = v1::ApplyRequest { tenant: "acme".into(), changes, ..Default::default() };
    assert_eq!(served.policy().apply(apply).await.unwrap().into_inner().revision, 1);

    let ask = async |tenant: &str, subject: &str| {
        let request = v1::CheckRequest {
            tenant: tenant.to_owned(),
            question: Some(question(subject, "View", "absence")),
            at_least: 0,
        };
        served.decisions().check(request).await.unwrap().into_inner().decision.unwrap().reason()
    };
    assert_eq!(ask("default", "dee").await, Reason::UnknownSubject);
    assert_eq!(ask("acme", "dee").await, Reason::UnknownResource);
    assert_eq!(ask("acme", "ana").await, Reason::UnknownSubject);

    delete(&served, "acme").await.unwrap();
    assert_eq!(list(&served, 0, "").await, (vec![("default".into(), 1)], String::new()));
    // A tenant of the same name begins from nothing.
    create(&served, "acme").await.unwrap();
    assert_eq!(ask("acme", "dee").await, Reason::UnknownSubject);
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_to_a_tenant_is_refused() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let exists = create(&served, "default").await.unwrap_err();
    assert_eq!(told(&exists), (Code::AlreadyExists, "TENANT_EXISTS".to_owned(), Vec::new()));
    assert_eq!(metadata(&exists, "tenant"), "default");
    let protected = delete(&served, "default").await.unwrap_err();
    let expected = (Code::FailedPrecondition, "TENANT_PROTECTED".to_owned(), Vec::new());
    assert_eq!(told(&protected), expected);
    let unknown = delete(&served, "acme").await.unwrap_err();
    assert_eq!(told(&unknown), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), Vec::new()));
    let malformed = (Code::InvalidArgument, "MALFORMED".to_owned(), vec!["tenant".to_owned()]);
    for name in ["", "a\tb", &"t".repeat(257)] {
        assert_eq!(told(&create(&served, name).await.unwrap_err()), malformed);
        assert_eq!(told(&delete(&served, name).await.unwrap_err()), malformed);
    }
    served.stop().await;
}

#[tokio::test]
async fn tenants_are_listed_in_pages() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for tenant in ["a", "z", "m"] {
        create(&served, tenant).await.unwrap();
    }
    let names = |page: &[(String, u64)]| page.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let (first, token) = list(&served, 2, "").await;
    assert_eq!(names(&first), ["a", "default"]);
    // One that goes between two pages is simply gone.
    delete(&served, "m").await.unwrap();
    let (last, end) = list(&served, 2, &token).await;
    assert_eq!((names(&last), end.as_str()), (vec!["z".to_owned()], ""));
    let request = v1::TenantServiceListRequest { page_size: 2, page_token: "00".repeat(20) };
    let refused = served.tenants().list(request).await.unwrap_err();
    assert_eq!(told(&refused).1, "PAGE_TOKEN_MISMATCH");
    served.stop().await;
}
