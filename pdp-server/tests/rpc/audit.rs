//! AuditService: what is listed, page by page, and that a chain is verified.

use std::sync::atomic::Ordering;

use pdp_proto::v1::{self, ChangeKind, audit_record::Event, fact::Fact, fact_key::Key};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::errors::told;
use crate::facts::actor;
use crate::families::folder;
use crate::served::{NOW, Served, object, put, put_person};

fn at(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000)).unwrap() * 1_000;
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

async fn list(
    served: &Served,
    request: v1::AuditServiceListRequest,
) -> Result<v1::AuditServiceListResponse, Status> {
    served.audit().list(request).await.map(tonic::Response::into_inner)
}

async fn verify(
    served: &Served,
    request: v1::AuditServiceVerifyRequest,
) -> Result<v1::AuditServiceVerifyResponse, Status> {
    served.audit().verify(request).await.map(tonic::Response::into_inner)
}

async fn numbers(served: &Served, request: v1::AuditServiceListRequest) -> Vec<u64> {
    let page = list(served, request).await.unwrap();
    assert_eq!(page.next_page_token, "");
    page.records.iter().map(|record| record.sequence).collect()
}

/// Six records: the tenant, its policy, two people at 1 s and 2 s, and at 3 s two assignments of Cy.
async fn busy(served: &Served) {
    for (second, id) in [(1, "new-1"), (2, "new-2")] {
        served.now.store(NOW + second * 1_000_000, Ordering::SeqCst);
        served.apply(vec![put_person(id)]).await.unwrap();
    }
    served.now.store(NOW + 3_000_000, Ordering::SeqCst);
    for id in ["n-1", "n-2"] {
        let scope = v1::scope::Scope::OnResource(object("Report", "absence"));
        let grant = put(Fact::Assignment(v1::Assignment {
            id: id.into(),
            to: actor(v1::actor_ref::Actor::Person("bo".into())),
            level: Some(v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }),
            scope: Some(v1::Scope { scope: Some(scope) }),
            window: None,
        }));
        let request = v1::ApplyRequest {
            changes: vec![grant],
            on_behalf_of: Some("cy".into()),
            request_id: id.into(),
            ..Default::default()
        };
        served.policy().apply(request).await.unwrap();
    }
}

#[tokio::test]
async fn records_say_what_was_changed_when_and_for_whom() {
    let folder = folder();
    let served = Served::start(&folder).await;
    busy(&served).await;
    let all = list(&served, v1::AuditServiceListRequest::default()).await.unwrap();
    assert_eq!((all.records.len(), all.next_page_token.as_str()), (6, ""));
    let created = Event::TenantCreated(v1::AuditTenantCreated { tenant: "default".into() });
    assert_eq!(all.records[0].event, Some(created.clone()));
    let last = all.records.last().unwrap();
    assert_eq!((last.sequence, last.revision, last.person.as_deref()), (6, 5, Some("cy")));
    assert_eq!((last.at, last.hash.len()), (Some(at(NOW + 3_000_000)), 32));
    let Some(Event::PolicyChanged(changed)) = &last.event else { panic!("{last:?}") };
    assert_eq!((changed.created, changed.changed, changed.removed), (1, 0, 0));
    assert_eq!((changed.request_id.as_str(), changed.digest.len()), ("n-2", 32));
    let [one] = changed.changes.as_slice() else { panic!("{changed:?}") };
    let key = one.key.clone().unwrap().key;
    assert_eq!((key, one.kind()), (Some(Key::Assignment("n-2".into())), ChangeKind::Created));
    assert_eq!((&all.records[2].person, all.records[2].at), (&None, Some(at(NOW + 1_000_000))));

    let verified = verify(&served, v1::AuditServiceVerifyRequest::default()).await.unwrap();
    assert_eq!((verified.records, &verified.head, verified.broken), (6, &last.hash, None));
    // The same after a restart.
    served.stop().await;
    let served = Served::start(&folder).await;
    let again = list(&served, v1::AuditServiceListRequest::default()).await.unwrap();
    assert_eq!(again, all);
    let of_server = v1::AuditServiceListRequest { of_server: true, ..Default::default() };
    let of_server = list(&served, of_server).await.unwrap();
    assert_eq!(of_server.records[0].event, Some(created));
    let request = v1::AuditServiceVerifyRequest { of_server: true, ..Default::default() };
    assert_eq!(verify(&served, request).await.unwrap().records, 1);
    served.stop().await;
}

#[tokio::test]
async fn time_person_and_kind_narrow_the_list() {
    let folder = folder();
    let served = Served::start(&folder).await;
    busy(&served).await;
    let all = v1::AuditServiceListRequest::default;
    let second = |n: i64| Some(at(NOW + n * 1_000_000));
    let kind = |kind: v1::AuditKind| i32::from(kind);
    for (request, expected) in [
        (v1::AuditServiceListRequest { from: second(1), ..all() }, vec![3, 4, 5, 6]),
        (v1::AuditServiceListRequest { from: second(9), ..all() }, vec![]),
        (v1::AuditServiceListRequest { until: second(2), ..all() }, vec![1, 2, 3]),
        (v1::AuditServiceListRequest { from: second(1), until: second(3), ..all() }, vec![3, 4]),
        (v1::AuditServiceListRequest { person: Some("cy".into()), ..all() }, vec![5, 6]),
        (v1::AuditServiceListRequest { person: Some("zoe".into()), ..all() }, vec![]),
        (
            v1::AuditServiceListRequest { kind: kind(v1::AuditKind::TenantCreated), ..all() },
            vec![1],
        ),
        (
            v1::AuditServiceListRequest {
                kind: kind(v1::AuditKind::PolicyChanged),
                person: Some("cy".into()),
                until: second(4),
                ..all()
            },
            vec![5, 6],
        ),
        (v1::AuditServiceListRequest { kind: kind(v1::AuditKind::AuditBegan), ..all() }, vec![]),
    ] {
        assert_eq!(numbers(&served, request.clone()).await, expected, "{request:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_and_see_what_was_added() {
    let folder = folder();
    let served = Served::start(&folder).await;
    busy(&served).await;
    let page = |page_token: String| v1::AuditServiceListRequest {
        page_size: 4,
        page_token,
        ..Default::default()
    };
    let first = list(&served, page(String::new())).await.unwrap();
    assert_eq!(first.records.len(), 4);
    served.apply(vec![put_person("later")]).await.unwrap();
    let second = list(&served, page(first.next_page_token.clone())).await.unwrap();
    let numbers: Vec<_> = second.records.iter().map(|record| record.sequence).collect();
    assert_eq!((numbers, second.next_page_token.as_str()), (vec![5, 6, 7], ""));

    let token = first.next_page_token;
    let refused =
        |code: &str| (Code::InvalidArgument, code.to_owned(), vec!["page_token".to_owned()]);
    let tenant = v1::TenantServiceCreateRequest { tenant: "acme".into() };
    served.tenants().create(tenant).await.unwrap();
    let cy = Some("cy".to_owned());
    for other in [
        v1::AuditServiceListRequest { tenant: "acme".into(), ..page(token.clone()) },
        v1::AuditServiceListRequest { of_server: true, ..page(token.clone()) },
        v1::AuditServiceListRequest { person: cy, ..page(token.clone()) },
        v1::AuditServiceListRequest { from: Some(at(NOW)), ..page(token.clone()) },
        v1::AuditServiceListRequest { kind: 4, ..page(token.clone()) },
    ] {
        let status = list(&served, other.clone()).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_MISMATCH"), "{other:?}");
    }
    // The same list, told otherwise: the default tenant by its name, pages of another size.
    let named = v1::AuditServiceListRequest {
        tenant: "default".into(),
        page_size: 1,
        ..page(token.clone())
    };
    assert_eq!(list(&served, named).await.unwrap().records[0].sequence, 5);
    // The digest of the list, and what is no number behind it.
    let forged = format!("{}7a", &token[..16]);
    for forged in ["x", "00", forged.as_str()] {
        let status = list(&served, page(forged.to_owned())).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_INVALID"), "{forged}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let all = v1::AuditServiceListRequest::default;
    let wrong =
        |field: &str| (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()]);
    let fine = Some(Timestamp { seconds: 0, nanos: 1 });
    for (request, field) in [
        (v1::AuditServiceListRequest { person: Some(String::new()), ..all() }, "person"),
        (v1::AuditServiceListRequest { kind: 99, ..all() }, "kind"),
        (v1::AuditServiceListRequest { from: fine, ..all() }, "from"),
        (v1::AuditServiceListRequest { until: fine, ..all() }, "until"),
        (v1::AuditServiceListRequest { tenant: "a\nb".into(), ..all() }, "tenant"),
        (
            v1::AuditServiceListRequest { tenant: "default".into(), of_server: true, ..all() },
            "tenant",
        ),
    ] {
        let status = list(&served, request).await.unwrap_err();
        assert_eq!(told(&status), wrong(field));
    }
    let status = list(&served, v1::AuditServiceListRequest { page_size: 1_001, ..all() }).await;
    assert_eq!(told(&status.unwrap_err()).1, "LIMIT_EXCEEDED");
    let unknown = || "nowhere".to_owned();
    let status = list(&served, v1::AuditServiceListRequest { tenant: unknown(), ..all() }).await;
    assert_eq!(told(&status.unwrap_err()).1, "UNKNOWN_TENANT");
    let request = v1::AuditServiceVerifyRequest { tenant: unknown(), of_server: false };
    assert_eq!(told(&verify(&served, request).await.unwrap_err()).1, "UNKNOWN_TENANT");
    let request = v1::AuditServiceVerifyRequest { tenant: unknown(), of_server: true };
    assert_eq!(told(&verify(&served, request).await.unwrap_err()), wrong("tenant"));
    served.stop().await;
}

#[tokio::test]
async fn a_byte_that_was_changed_on_disk_is_found() {
    let folder = folder();
    let served = Served::start(&folder).await;
    busy(&served).await;
    let all = list(&served, v1::AuditServiceListRequest::default()).await.unwrap().records;
    served.stop().await;
    {
        let table = redb::TableDefinition::<(&str, u64), (&[u8; 32], &[u8])>::new("audit");
        let db = redb::Database::open(folder.path().join("data/pdp.redb")).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut table = txn.open_table(table).unwrap();
            let (hash, mut bytes) = {
                let row = table.remove(("default", 4)).unwrap().unwrap();
                (*row.value().0, row.value().1.to_vec())
            };
            *bytes.last_mut().unwrap() ^= 1;
            table.insert(("default", 4), (&hash, bytes.as_slice())).unwrap();
        }
        txn.commit().unwrap();
    }
    let served = Served::start(&folder).await;
    let verified = verify(&served, v1::AuditServiceVerifyRequest::default()).await.unwrap();
    assert_eq!((verified.records, &verified.head), (3, &all[2].hash));
    let broken = verified.broken.unwrap();
    assert_eq!(broken.sequence, 4);
    assert!(broken.problem.contains("is not as it was written"), "{broken:?}");
    served.stop().await;
}
