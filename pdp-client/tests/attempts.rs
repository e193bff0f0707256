//! How calls are attempted, against a server that fails as the test tells it to.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pdp_client::{
    ChangeSet, Client, Code, DelegationQuestion, Effect, Error, Level, Permission, Question,
    Recipient, Resource, Retries, Revision, Scope, Subject, SubjectKinds, v1,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the server does with the next request.
enum Next {
    Fail(Code),
    Expire,
    Allow,
    Hang,
}

/// A server that follows a script and notes what it was sent.
#[derive(Clone, Default)]
struct Scripted {
    next: Arc<Mutex<VecDeque<Next>>>,
    timeouts: Arc<Mutex<Vec<bool>>>,
    request_ids: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn play<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let timeout = request.metadata().contains_key("grpc-timeout");
        self.timeouts.lock().unwrap().push(timeout);
        let next = self.next.lock().unwrap().pop_front().expect("a request too many");
        match next {
            Next::Fail(code) => Err(Status::new(code, "as told")),
            Next::Expire => Err(Status::with_error_details(
                Code::InvalidArgument,
                "the policy has changed",
                ErrorDetails::with_error_info("PAGE_TOKEN_EXPIRED", "pdp", HashMap::new()),
            )),
            Next::Allow => Ok(()),
            Next::Hang => std::future::pending().await,
        }
    }

    fn attempts(&self) -> usize {
        self.timeouts.lock().unwrap().len()
    }
}

#[tonic::async_trait]
impl v1::decision_service_server::DecisionService for Scripted {
    async fn check(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        self.play(&request).await?;
        let decision = allow(5);
        Ok(Response::new(v1::CheckResponse { decision: Some(decision) }))
    }

    async fn batch_check(
        &self,
        request: Request<v1::BatchCheckRequest>,
    ) -> Result<Response<v1::BatchCheckResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::BatchCheckResponse { results: Vec::new(), revision: 5 }))
    }

    type CheckStreamStream = tokio_stream::Empty<Result<v1::CheckStreamResponse, Status>>;

    async fn check_stream(
        &self,
        request: Request<tonic::Streaming<v1::CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        self.play(&request).await?;
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::ExplainResponse { explanation: None }))
    }

    async fn check_delegation(
        &self,
        request: Request<v1::CheckDelegationRequest>,
    ) -> Result<Response<v1::CheckDelegationResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::CheckDelegationResponse { decision: Some(allow(5)) }))
    }

    async fn explain_delegation(
        &self,
        request: Request<v1::ExplainDelegationRequest>,
    ) -> Result<Response<v1::ExplainDelegationResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::ExplainDelegationResponse { explanation: None }))
    }

    async fn list_permissions(
        &self,
        request: Request<v1::ListPermissionsRequest>,
    ) -> Result<Response<v1::ListPermissionsResponse>, Status> {
        self.play(&request).await?;
        let none = v1::ListedPermission { permission: None, explanation: None };
        Ok(Response::new(v1::ListPermissionsResponse {
            permissions: vec![none],
            next_page_token: String::new(),
            revision: 5,
        }))
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        self.play(&request).await?;
        let request = request.into_inner();
        let (id, next, revision) = match request.page_token.as_str() {
            "" => ("a", "2", 5),
            _ => ("b", "", 5),
        };
        let explanation = request.explain.then(|| v1::Explanation {
            decision: Some(if id == "a" {
                allow(5)
            } else {
                v1::Decision { effect: 2, ..allow(5) }
            }),
            ..Default::default()
        });
        Ok(Response::new(v1::ListResourcesResponse {
            resources: vec![v1::ListedResource { id: id.to_owned(), explanation }],
            next_page_token: next.to_owned(),
            revision,
        }))
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsResponse>, Status> {
        self.play(&request).await?;
        let of = |subject| v1::ListedSubject {
            subject: Some(v1::Subject { subject: Some(subject) }),
            explanation: None,
        };
        let subjects = vec![
            of(v1::subject::Subject::Person("ana".into())),
            of(v1::subject::Subject::Account("corp/ana".into())),
        ];
        let next_page_token = String::new();
        Ok(Response::new(v1::ListSubjectsResponse { subjects, next_page_token, revision: 5 }))
    }

    async fn list_approvers(
        &self,
        request: Request<v1::ListApproversRequest>,
    ) -> Result<Response<v1::ListApproversResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::ListApproversResponse { revision: 5, ..Default::default() }))
    }

    type WatchPermissionsStream = tokio_stream::Empty<Result<v1::WatchPermissionsResponse, Status>>;

    async fn watch_permissions(
        &self,
        request: Request<v1::WatchPermissionsRequest>,
    ) -> Result<Response<Self::WatchPermissionsStream>, Status> {
        self.play(&request).await?;
        Ok(Response::new(tokio_stream::empty()))
    }
}

fn allow(revision: u64) -> v1::Decision {
    v1::Decision { effect: 1, reason: 1, revision, obligations: None }
}

#[tonic::async_trait]
impl v1::policy_service_server::PolicyService for Scripted {
    type ExportStream = tokio_stream::Empty<Result<v1::ExportResponse, Status>>;
    type WatchStream = tokio_stream::Empty<Result<v1::PolicyServiceWatchResponse, Status>>;

    async fn watch(
        &self,
        _: Request<v1::PolicyServiceWatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        self.request_ids.lock().unwrap().push(request.get_ref().request_id.clone());
        self.play(&request).await?;
        Ok(Response::new(v1::ApplyResponse { revision: 6, ..Default::default() }))
    }

    async fn import(
        &self,
        _: Request<tonic::Streaming<v1::ImportRequest>>,
    ) -> Result<Response<v1::ImportResponse>, Status> {
        Ok(Response::new(v1::ImportResponse::default()))
    }

    async fn export(
        &self,
        _: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn get(
        &self,
        _: Request<v1::PolicyServiceGetRequest>,
    ) -> Result<Response<v1::PolicyServiceGetResponse>, Status> {
        Ok(Response::new(v1::PolicyServiceGetResponse::default()))
    }

    async fn list(
        &self,
        request: Request<v1::PolicyServiceListRequest>,
    ) -> Result<Response<v1::PolicyServiceListResponse>, Status> {
        let asked = request.into_inner().page_token;
        let next_page_token = if asked.is_empty() { "2".to_owned() } else { String::new() };
        let facts = vec![v1::Fact::default()];
        Ok(Response::new(v1::PolicyServiceListResponse { facts, next_page_token, revision: 5 }))
    }
}

async fn serve(script: impl IntoIterator<Item = Next>) -> (Scripted, Client) {
    let server = Scripted::default();
    server.next.lock().unwrap().extend(script);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = tonic::transport::Server::builder()
        .add_service(v1::decision_service_server::DecisionServiceServer::new(server.clone()))
        .add_service(v1::policy_service_server::PolicyServiceServer::new(server.clone()));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let retries = Retries { first_backoff: Duration::from_millis(1), ..Retries::default() };
    let client = Client::builder(format!("http://{address}")).retries(retries).connect();
    (server, client.await.unwrap())
}

fn question() -> Question {
    Question::new(
        Subject::person("ana"),
        Permission::operation("View"),
        Resource::new("Report", "absence"),
    )
}

#[tokio::test]
async fn a_read_is_retried_while_the_server_is_unavailable() {
    let script = [Next::Fail(Code::Unavailable), Next::Fail(Code::Unavailable), Next::Allow];
    let (server, client) = serve(script).await;
    let decision = client.check(&question()).await.unwrap();
    assert_eq!((decision.effect, decision.revision), (Effect::Allow, Revision::new(5)));
    assert_eq!(*server.timeouts.lock().unwrap(), [true; 3], "every attempt tells its deadline");
}

#[tokio::test]
async fn retries_end() {
    let (server, client) = serve((0..4).map(|_| Next::Fail(Code::Unavailable))).await;
    let error = client.check(&question()).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (Code::Unavailable, "as told"));
    assert_eq!(server.attempts(), 4);
}

#[tokio::test]
async fn nothing_but_unavailable_is_retried() {
    for code in [Code::Internal, Code::ResourceExhausted, Code::Aborted, Code::Unknown] {
        let (server, client) = serve([Next::Fail(code)]).await;
        assert_eq!(client.check(&question()).await.unwrap_err().code(), code);
        assert_eq!(server.attempts(), 1);
    }
}

#[tokio::test]
async fn a_change_set_is_retried_under_one_request_id_and_never_without() {
    let (server, client) = serve([Next::Fail(Code::Unavailable), Next::Allow]).await;
    let applied = client.apply(ChangeSet::new(Vec::new())).await.unwrap();
    assert_eq!(applied.revision, Revision::new(6));
    let ids = server.request_ids.lock().unwrap().clone();
    assert_eq!((ids.len(), ids[0].len()), (2, 32));
    assert_eq!(ids[0], ids[1]);

    let (server, client) = serve([Next::Fail(Code::Unavailable)]).await;
    let set = ChangeSet::new(Vec::new()).without_request_id();
    assert_eq!(client.apply(set).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(*server.request_ids.lock().unwrap(), [""]);

    let (server, client) = serve([Next::Fail(Code::Unavailable), Next::Allow]).await;
    assert!(client.apply(ChangeSet::new(Vec::new()).dry_run()).await.is_ok());
    assert_eq!(*server.request_ids.lock().unwrap(), ["", ""]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_at_the_deadline() {
    let (_server, client) = serve([Next::Hang]).await;
    let hurried = client.with_deadline(Duration::from_millis(30));
    let error = hurried.check(&question()).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("{} did not answer within 0.03 s", client.endpoint()));
}

#[tokio::test]
async fn an_answer_with_nothing_in_it_is_an_error() {
    let (_server, client) = serve([Next::Allow, Next::Allow, Next::Allow]).await;
    let unusable = |error: Error| matches!(error, Error::Protocol { .. });
    assert!(unusable(client.explain(&question()).await.unwrap_err()));
    assert!(unusable(client.batch_check(&[question()]).await.unwrap_err()));
    assert!(unusable(client.at_least(Revision::new(6)).check(&question()).await.unwrap_err()));
    assert!(unusable(client.export().await.unwrap().collect().await.unwrap_err()));
    assert!(unusable(client.get(v1::FactKey::default()).await.unwrap_err()));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let (_server, client) = serve([]).await;
    let listed = client.list(v1::FactKind::Person).collect().await.unwrap();
    assert_eq!((listed.facts.len(), listed.revision), (2, Revision::new(5)));
}

#[tokio::test]
async fn calls_may_be_made_from_any_thread() {
    fn sendable<T: Send>(call: T) -> T {
        call
    }
    let (_server, client) = serve([Next::Allow]).await;
    let asked = question();
    assert!(sendable(client.check(&asked)).await.unwrap().is_allow());
    drop(sendable(client.apply(ChangeSet::new(Vec::new()))));
    drop(sendable(client.list(v1::FactKind::Person).collect()));
}

fn delegation() -> DelegationQuestion {
    DelegationQuestion::grant(
        Subject::person("ana"),
        Level::new("Report", "Viewer"),
        Recipient::Group("hr".into()),
        Scope::In("zurich".into()),
    )
}

#[tokio::test]
async fn a_delegation_is_asked_and_retried_like_a_check() {
    let (server, client) = serve([Next::Fail(Code::Unavailable), Next::Allow, Next::Allow]).await;
    assert!(client.check_delegation(&delegation()).await.unwrap().is_allow());
    assert_eq!(server.attempts(), 2);
    let error = client.explain_delegation(&delegation()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn an_allowed_session_without_obligations_is_an_error() {
    let (_server, client) = serve([Next::Allow, Next::Allow]).await;
    for permission in [Permission::session("root"), Permission::unprivileged_session()] {
        let asked = Question { permission, ..question() };
        let error = client.check(&asked).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_list_begins_again_where_the_policy_changed_on_the_way() {
    let list = |client: &Client| {
        client.list_resources(Subject::person("ana"), Permission::operation("View"), "Report")
    };
    let once = [Next::Allow, Next::Expire, Next::Allow, Next::Allow];
    let (server, client) = serve(once).await;
    let listed = list(&client).collect().await.unwrap();
    let names: Vec<_> = listed.items.iter().map(|item| item.value.to_string()).collect();
    assert_eq!(names, ["Report:a", "Report:b"]);
    assert_eq!((server.attempts(), listed.revision), (4, Revision::new(5)));

    let always = (0..3).flat_map(|_| [Next::Allow, Next::Expire]);
    let (server, client) = serve(always).await;
    let error = list(&client).collect().await.unwrap_err();
    assert_eq!((error.reason(), server.attempts()), (Some("PAGE_TOKEN_EXPIRED"), 6));

    let (_server, client) = serve([Next::Allow, Next::Expire]).await;
    let mut begun = list(&client);
    assert!(begun.next().await.unwrap().is_some());
    let error = begun.collect().await.unwrap_err();
    assert_eq!(error.reason(), Some("PAGE_TOKEN_EXPIRED"), "what was given out stays of one piece");
}

#[tokio::test]
async fn what_a_list_cannot_mean_is_an_error() {
    let (_server, client) = serve((0..8).map(|_| Next::Allow)).await;
    let unusable = |error: Error| matches!(error, Error::Protocol { .. });
    let (ana, report) = (Subject::person("ana"), Resource::new("Report", "a"));
    let view = || Permission::operation("View");
    let listing = client.list_permissions(ana.clone(), report.clone());
    assert!(unusable(listing.collect().await.unwrap_err()), "a permission of no kind");
    let listing = client.list_resources(ana, view(), "Report").explained();
    assert!(unusable(listing.collect().await.unwrap_err()), "an item that is denied");
    let people = client.list_subjects(view(), report.clone(), SubjectKinds::People);
    assert!(unusable(people.collect().await.unwrap_err()), "an account among people");
    let all = client.list_subjects(view(), report.clone(), SubjectKinds::PeopleAndAccounts);
    assert_eq!(all.collect().await.unwrap().items.len(), 2);
    let all = client.list_subjects(view(), report, SubjectKinds::PeopleAndAccounts).explained();
    assert!(unusable(all.collect().await.unwrap_err()), "an explanation that is missing");
    let approvers = client.at_least(Revision::new(6)).list_approvers(delegation());
    assert!(unusable(approvers.collect().await.unwrap_err()), "a revision that is too old");
    let nobody = client.list_approvers(delegation()).collect().await.unwrap();
    assert_eq!((nobody.items.len(), nobody.revision), (0, Revision::new(5)));
}

#[tokio::test]
async fn a_change_set_on_behalf_of_a_person_is_answered_as_such() {
    let (_server, client) = serve([Next::Allow]).await;
    let set = ChangeSet::new(Vec::new()).on_behalf_of("ana");
    let error = client.apply(set).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server's answer cannot be used: it was applied on behalf of `nobody` and not of `ana`"
    );
    let error = client.apply(ChangeSet::new(Vec::new()).on_behalf_of("")).await.unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
}
