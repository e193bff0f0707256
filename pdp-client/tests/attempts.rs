//! How calls are attempted, against a server that fails as the test tells it to.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pdp_client::{
    ChangeSet, Client, Code, Effect, Error, Permission, Question, Resource, Retries, Revision,
    Subject, v1,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What the server does with the next request.
enum Next {
    Fail(Code),
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
        let decision = v1::Decision { effect: 1, reason: 1, revision: 5 };
        Ok(Response::new(v1::CheckResponse { decision: Some(decision) }))
    }

    async fn batch_check(
        &self,
        request: Request<v1::BatchCheckRequest>,
    ) -> Result<Response<v1::BatchCheckResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::BatchCheckResponse { results: Vec::new(), revision: 5 }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.play(&request).await?;
        Ok(Response::new(v1::ExplainResponse { explanation: None }))
    }
}

#[tonic::async_trait]
impl v1::policy_service_server::PolicyService for Scripted {
    type ExportStream = tokio_stream::Empty<Result<v1::ExportResponse, Status>>;

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        self.request_ids.lock().unwrap().push(request.get_ref().request_id.clone());
        self.play(&request).await?;
        Ok(Response::new(v1::ApplyResponse { revision: 6, ..Default::default() }))
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
