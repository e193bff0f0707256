//! PolicyService: what it holds reads back as it was written.

use pdp_proto::v1::{self, FactKind, fact::Fact, fact_key::Key};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::errors::{metadata, told};
use crate::facts::{actor, one_of_each};
use crate::served::{Served, folder, put, put_person};

async fn export(served: &Served, tenant: &str) -> Vec<v1::ExportResponse> {
    let request = v1::ExportRequest { tenant: tenant.to_owned() };
    let stream = served.policy().export(request).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

#[tokio::test]
async fn every_kind_of_fact_reads_back_as_written() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let facts = one_of_each();
    assert_eq!(
        served
            .apply(facts.iter().map(|(_, fact)| put(fact.clone())).collect())
            .await
            .unwrap()
            .revision,
        2
    );
    let exported = export(&served, "").await;
    assert!(exported.iter().all(|part| part.revision == 2));
    let exported: Vec<Fact> =
        exported.into_iter().flat_map(|part| part.facts).map(|fact| fact.fact.unwrap()).collect();
    // Kinds are exported in another order than they are numbered in.
    let kinds: Vec<i32> = (1..=11).chain([13, 12]).chain(14..=17).collect();
    assert_eq!(kinds.len(), facts.len());
    for (kind, (key, fact)) in kinds.into_iter().zip(facts) {
        let request = v1::PolicyServiceGetRequest {
            key: Some(v1::FactKey { key: Some(key) }),
            ..Default::default()
        };
        let got = served.policy().get(request).await.unwrap().into_inner();
        assert_eq!((got.revision, got.fact.unwrap().fact.unwrap()), (2, fact.clone()));
        let request = v1::PolicyServiceListRequest { kind, ..Default::default() };
        let listed = served.policy().list(request).await.unwrap().into_inner();
        assert!(
            listed.facts.iter().any(|listed| listed.fact.as_ref() == Some(&fact)),
            "kind {kind}"
        );
        assert!(exported.contains(&fact), "kind {kind}");
    }
    served.stop().await;
}

#[tokio::test]
async fn every_scope_reads_back_as_written_and_ids_are_derived() {
    use v1::scope::Scope;
    let folder = folder();
    let served = Served::start(&folder).await;
    let relative = (1..=9).map(Scope::Relative);
    for (n, scope) in relative.chain([Scope::InLocation("zurich".into())]).enumerate() {
        let type_name = match &scope {
            Scope::Relative(1..=3) => "Person",
            Scope::Relative(4 | 5) => "UserAccount",
            Scope::Relative(7 | 8) => "Location",
            _ => "Report",
        };
        let level = v1::LevelRef { r#type: type_name.into(), name: format!("Level {n}") };
        let definition = v1::AccessLevel { name: Some(level.clone()), ..Default::default() };
        let assignment = v1::Assignment {
            id: String::new(),
            to: actor(v1::actor_ref::Actor::Account("robot".into())),
            level: Some(level),
            scope: Some(v1::Scope { scope: Some(scope) }),
            window: None,
        };
        let robot = v1::Account { id: "robot".into(), ..Default::default() };
        let changes = vec![
            put(Fact::Account(robot)),
            put(Fact::AccessLevel(definition)),
            put(Fact::Assignment(assignment.clone())),
        ];
        let answer = served.apply(changes).await.unwrap();
        let key = answer.changes.last().unwrap().key.clone().unwrap();
        let Some(Key::Assignment(id)) = key.key.clone() else { panic!("{key:?}") };
        assert!(id.starts_with("auto-"), "{id}");
        let request = v1::PolicyServiceGetRequest { key: Some(key), ..Default::default() };
        let got = served.policy().get(request).await.unwrap().into_inner().fact.unwrap().fact;
        assert_eq!(got, Some(Fact::Assignment(v1::Assignment { id, ..assignment })));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_fact_that_is_not_there_is_not_found() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let key = Some(v1::FactKey { key: Some(Key::Group("nobody".into())) });
    let request = v1::PolicyServiceGetRequest { key, ..Default::default() };
    let refused = served.policy().get(request).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "UNKNOWN_FACT".to_owned(), Vec::new()));
    assert_eq!(
        (metadata(&refused, "kind"), metadata(&refused, "name")),
        ("group".into(), "nobody".into())
    );
    served.stop().await;
}

fn ids(page: &v1::PolicyServiceListResponse) -> Vec<String> {
    let id = |fact: &v1::Fact| match &fact.fact {
        Some(Fact::Person(person)) => person.id.clone(),
        other => panic!("{other:?}"),
    };
    page.facts.iter().map(id).collect()
}

#[tokio::test]
async fn a_list_comes_in_pages_bound_to_their_list_and_revision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let list = async |page_size, page_token: &str, kind: FactKind| {
        let request = v1::PolicyServiceListRequest {
            kind: kind.into(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        served.policy().list(request).await.map(tonic::Response::into_inner)
    };
    let first = list(2, "", FactKind::Person).await.unwrap();
    assert_eq!((ids(&first), first.revision), (vec!["ana".to_owned(), "bo".to_owned()], 1));
    let last = list(2, &first.next_page_token, FactKind::Person).await.unwrap();
    assert_eq!((ids(&last), last.next_page_token.as_str()), (vec!["cy".to_owned()], ""));
    // A page that ends with the list is the last one.
    assert_eq!(list(3, "", FactKind::Person).await.unwrap().next_page_token, "");

    let refused = |status: tonic::Status| told(&status);
    let expected =
        |reason: &str| (Code::InvalidArgument, reason.to_owned(), vec!["page_token".to_owned()]);
    let other = list(2, &first.next_page_token, FactKind::Group).await.unwrap_err();
    assert_eq!(refused(other), expected("PAGE_TOKEN_MISMATCH"));
    let forged = list(2, "no token", FactKind::Person).await.unwrap_err();
    assert_eq!(refused(forged), expected("PAGE_TOKEN_INVALID"));
    served.apply(vec![put_person("dee")]).await.unwrap();
    let late = list(2, &first.next_page_token, FactKind::Person).await.unwrap_err();
    assert_eq!((metadata(&late, "token"), metadata(&late, "actual")), ("1".into(), "2".into()));
    assert_eq!(refused(late), expected("PAGE_TOKEN_EXPIRED"));
    served.stop().await;
}

#[tokio::test]
async fn an_export_is_whole_in_order_and_of_one_revision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let changes = (0..2_500).map(|n| put_person(&format!("p-{n:04}"))).collect();
    served.apply(changes).await.unwrap();
    let parts = export(&served, "").await;
    assert!(
        parts.len() >= 3
            && parts.iter().all(|part| part.revision == 2 && part.facts.len() <= 1_000)
    );
    let facts: Vec<_> = parts.into_iter().flat_map(|part| part.facts).collect();
    let people: Vec<_> = facts
        .iter()
        .filter_map(|fact| match &fact.fact {
            Some(Fact::Person(person)) => Some(person.id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(people.len(), 2_503);
    assert!(people.is_sorted());
    let place = |fact: &v1::Fact| match fact.fact.as_ref().unwrap() {
        Fact::ResourceType(_) => 1,
        Fact::Location(_) => 2,
        Fact::AccessLevel(_) => 4,
        Fact::Person(_) => 5,
        Fact::Group(_) => 7,
        Fact::Resource(_) => 11,
        Fact::Assignment(_) => 12,
        other => panic!("{other:?}"),
    };
    assert!(facts.is_sorted_by_key(place));

    // A tenant without facts.
    let request = v1::TenantServiceCreateRequest { tenant: "empty".into() };
    served.tenants().create(request).await.unwrap();
    assert_eq!(
        export(&served, "empty").await,
        [v1::ExportResponse {
            position: Some(v1::PolicyPosition::default()),
            ..Default::default()
        }]
    );
    served.stop().await;
}
