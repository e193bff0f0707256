//! The server, and what it answers with.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pdp_client::{Client, Retries, v1};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status};

/// What a watch is sent.
pub(crate) type Message = Result<v1::WatchRevocationsResponse, Status>;

/// What the server does with the next request.
pub(crate) enum Answer {
    Fail(Code),
    Open(v1::SessionServiceOpenResponse),
    Renew(v1::SessionServiceRenewResponse),
    Session(Option<v1::Session>),
    Ended(u64),
    Page(v1::SessionServiceListResponse),
    Revocation(Option<v1::Revocation>),
    Watch(mpsc::Receiver<Message>),
}

/// What the server was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Open(v1::SessionServiceOpenRequest),
    Renew(v1::SessionServiceRenewRequest),
    Close(v1::SessionServiceCloseRequest),
    ForceEnd(v1::ForceEndRequest),
    Get(v1::SessionServiceGetRequest),
    List(v1::SessionServiceListRequest),
    /// And whether the stream has a deadline.
    Watch(v1::WatchRevocationsRequest, bool),
    Acknowledge(v1::AcknowledgeRevocationRequest),
}

/// A server that follows a script and notes what it was sent.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

// === impl Scripted ===

impl Scripted {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn next(&self, seen: Seen) -> Result<Answer, Status> {
        self.seen.lock().unwrap().push(seen);
        match self.script.lock().unwrap().pop_front().expect("a request too many") {
            Answer::Fail(code) => Err(Status::new(code, "as told")),
            answer => Ok(answer),
        }
    }

    fn session(&self, seen: Seen) -> Result<Option<v1::Session>, Status> {
        let Answer::Session(session) = self.next(seen)? else { panic!("another answer") };
        Ok(session)
    }
}

#[tonic::async_trait]
impl v1::session_service_server::SessionService for Scripted {
    type WatchRevocationsStream = ReceiverStream<Message>;

    async fn open(
        &self,
        request: Request<v1::SessionServiceOpenRequest>,
    ) -> Result<Response<v1::SessionServiceOpenResponse>, Status> {
        let answer = self.next(Seen::Open(request.into_inner()))?;
        let Answer::Open(response) = answer else { panic!("another answer") };
        Ok(Response::new(response))
    }

    async fn renew(
        &self,
        request: Request<v1::SessionServiceRenewRequest>,
    ) -> Result<Response<v1::SessionServiceRenewResponse>, Status> {
        let answer = self.next(Seen::Renew(request.into_inner()))?;
        let Answer::Renew(response) = answer else { panic!("another answer") };
        Ok(Response::new(response))
    }

    async fn close(
        &self,
        request: Request<v1::SessionServiceCloseRequest>,
    ) -> Result<Response<v1::SessionServiceCloseResponse>, Status> {
        let session = self.session(Seen::Close(request.into_inner()))?;
        Ok(Response::new(v1::SessionServiceCloseResponse { session }))
    }

    async fn force_end(
        &self,
        request: Request<v1::ForceEndRequest>,
    ) -> Result<Response<v1::ForceEndResponse>, Status> {
        let answer = self.next(Seen::ForceEnd(request.into_inner()))?;
        let Answer::Ended(ended) = answer else { panic!("another answer") };
        Ok(Response::new(v1::ForceEndResponse { ended }))
    }

    async fn get(
        &self,
        request: Request<v1::SessionServiceGetRequest>,
    ) -> Result<Response<v1::SessionServiceGetResponse>, Status> {
        let session = self.session(Seen::Get(request.into_inner()))?;
        Ok(Response::new(v1::SessionServiceGetResponse { session }))
    }

    async fn list(
        &self,
        request: Request<v1::SessionServiceListRequest>,
    ) -> Result<Response<v1::SessionServiceListResponse>, Status> {
        let answer = self.next(Seen::List(request.into_inner()))?;
        let Answer::Page(page) = answer else { panic!("another answer") };
        Ok(Response::new(page))
    }

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let timeout = request.metadata().contains_key("grpc-timeout");
        let answer = self.next(Seen::Watch(request.into_inner(), timeout))?;
        let Answer::Watch(messages) = answer else { panic!("another answer") };
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn acknowledge_revocation(
        &self,
        request: Request<v1::AcknowledgeRevocationRequest>,
    ) -> Result<Response<v1::AcknowledgeRevocationResponse>, Status> {
        let answer = self.next(Seen::Acknowledge(request.into_inner()))?;
        let Answer::Revocation(revocation) = answer else { panic!("another answer") };
        Ok(Response::new(v1::AcknowledgeRevocationResponse { revocation }))
    }
}

/// A server with this script, and a client of its tenant `acme`.
pub(crate) async fn serve(script: impl IntoIterator<Item = Answer>) -> (Scripted, Client) {
    let server = Scripted::default();
    server.script.lock().unwrap().extend(script);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = v1::session_service_server::SessionServiceServer::new(server.clone());
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let retries = Retries { first_backoff: Duration::from_millis(1), ..Retries::default() };
    let client = Client::builder(format!("http://{address}")).tenant("acme").retries(retries);
    (server, client.connect().await.unwrap())
}

pub(crate) fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// A session of `ana` on `web-07` with the level `root` and a made account.
pub(crate) fn session() -> v1::Session {
    v1::Session {
        id: "s-1".into(),
        person: "ana".into(),
        computer: "web-07".into(),
        level: Some("root".into()),
        account: Some("web-07/ana_000000000001".into()),
        jit: true,
        group: Some("web-07/Administrators".into()),
        opened: at(10),
        not_after: at(20),
        state: 1,
        request_key: "k-1".into(),
        delete_account: true,
        account_mode: 2,
        ..v1::Session::default()
    }
}

/// The same, closed, with what is due then.
pub(crate) fn closed() -> v1::Session {
    let revocations = vec![removal("r-1"), deletion("r-2")];
    v1::Session { state: 2, ended: at(15), end: 1, revocations, ..session() }
}

/// The ALLOW that opens it.
pub(crate) fn allow() -> v1::Decision {
    let privileged = v1::PrivilegedObligations {
        group: "web-07/Administrators".into(),
        account_mode: 2,
        account: None,
        on_end: vec![1, 2],
    };
    let obligations = v1::Obligations { not_after: at(20), privileged: Some(privileged) };
    v1::Decision { effect: 1, reason: 1, revision: 5, obligations: Some(obligations) }
}

/// A denial for this reason.
pub(crate) fn deny(reason: i32) -> v1::Decision {
    v1::Decision { effect: 2, reason, revision: 5, obligations: None }
}

/// Work: taking the account out of the group.
pub(crate) fn removal(id: &str) -> v1::Revocation {
    v1::Revocation {
        id: id.to_owned(),
        kind: 1,
        session: "s-1".into(),
        computer: "web-07".into(),
        account: "web-07/ana_000000000001".into(),
        group: Some("web-07/Administrators".into()),
        due: at(15),
        state: 1,
        ..v1::Revocation::default()
    }
}

/// Work: deleting the account.
pub(crate) fn deletion(id: &str) -> v1::Revocation {
    v1::Revocation { kind: 2, group: None, ..removal(id) }
}
