//! Streams of checks, against a server that answers as the test tells it to.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pdp_client::v1::check_stream_response::Result as Wire;
use pdp_client::{Client, Code, Error, Permission, Question, Resource, Revision, Subject, v1};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// What is answered to a question; nothing, or the end of the stream.
type Answer = fn(u64) -> Option<Result<v1::CheckStreamResponse, Status>>;

/// Answers, and then ends the stream, or says nothing more.
#[derive(Clone)]
struct Scripted(Answer, bool);

impl NamedService for Scripted {
    const NAME: &'static str = "pdp.v1.DecisionService";
}

impl Service<http::Request<Body>> for Scripted {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let script = self.clone();
        Box::pin(
            async move { Ok(Grpc::new(ProstCodec::default()).streaming(script, request).await) },
        )
    }
}

impl StreamingService<v1::CheckStreamRequest> for Scripted {
    type Response = v1::CheckStreamResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Self::Response, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<v1::CheckStreamRequest>>) -> Self::Future {
        assert!(!request.metadata().contains_key("grpc-timeout"), "it stays open");
        let Self(answer, hangs) = *self;
        let questions = request.into_inner();
        let answers = questions.map_while(move |asked| answer(asked.unwrap().number));
        let silence = tokio_stream::pending();
        ready(Ok(Response::new(match hangs {
            true => Box::pin(answers.chain(silence)),
            false => Box::pin(answers),
        })))
    }
}

async fn client(answer: Answer) -> Client {
    client_of(Scripted(answer, false)).await
}

async fn client_of(script: Scripted) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(script);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Client::connect(address).await.unwrap()
}

fn question() -> Question {
    let (person, view) = (Subject::person("ana"), Permission::operation("View"));
    Question::new(person, view, Resource::new("Report", "absence"))
}

fn told(number: u64, revision: u64) -> Option<Result<v1::CheckStreamResponse, Status>> {
    let decision = v1::Decision { effect: 1, reason: 1, revision, obligations: None };
    Some(Ok(v1::CheckStreamResponse { number, result: Some(Wire::Decision(decision)) }))
}

/// What `asked` questions get; the asking end is dropped then.
async fn answers(client: &Client, asked: u64) -> Vec<Result<pdp_client::Decision, Error>> {
    let (mut ask, mut answers) = client.check_stream().await.unwrap();
    for _ in 0..asked {
        ask.ask(&question()).await.unwrap();
    }
    drop(ask);
    let mut told = Vec::new();
    while let Some(answer) = answers.next().await {
        told.push(answer);
    }
    told
}

#[tokio::test]
async fn each_question_has_its_answer_and_then_the_stream_ends() {
    let client = client(|number| told(number, 7)).await;
    let told = answers(&client, 1_000).await;
    assert_eq!(told.len(), 1_000);
    assert!(told.iter().all(|answer| answer.as_ref().unwrap().is_allow()));
    assert!(answers(&client, 0).await.is_empty());
}

#[tokio::test]
async fn more_than_may_be_unanswered_are_asked_as_answers_are_taken() {
    let client = client(|number| told(number, 7)).await;
    let (mut ask, mut answers) = client.check_stream().await.unwrap();
    let asking = tokio::spawn(async move {
        for _ in 0..20_000 {
            ask.ask(&question()).await.unwrap();
        }
    });
    let mut count = 0;
    while let Some(answer) = answers.next().await {
        assert!(answer.unwrap().is_allow());
        count += 1;
    }
    assert_eq!(count, 20_000);
    asking.await.unwrap();
}

#[tokio::test]
async fn an_error_of_one_question_is_its_answer() {
    let client = client(|number| {
        let error = v1::QuestionError {
            code: 3,
            message: "no such thing".to_owned(),
            reason: "MALFORMED".to_owned(),
            field: "question.subject".to_owned(),
            retry_delay: None,
        };
        let error = v1::CheckStreamResponse { number, result: Some(Wire::Error(error)) };
        if number == 1 { Some(Ok(error)) } else { told(number, 7) }
    })
    .await;
    let told = answers(&client, 3).await;
    assert!(told[0].is_ok() && told[2].is_ok());
    let refusal = told[1].as_ref().unwrap_err().refusal().unwrap();
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, "MALFORMED"));
    assert_eq!(refusal.fields[0].field, "question.subject");
}

#[tokio::test]
async fn what_is_not_answered_when_the_stream_ends_is_an_error() {
    let ends: [(Answer, Code); 2] = [
        (|number| if number < 2 { told(number, 7) } else { None }, Code::Unavailable),
        (
            |number| match number {
                0 | 1 => told(number, 7),
                _ => Some(Err(Status::unavailable("as told"))),
            },
            Code::Unavailable,
        ),
    ];
    for (answer, code) in ends {
        let client = client(answer).await;
        let told = answers(&client, 5).await;
        assert_eq!(told.len(), 5);
        assert!(told[..2].iter().all(Result::is_ok));
        assert!(told[2..].iter().all(|told| told.as_ref().unwrap_err().code() == code), "{told:?}");
    }
}

#[tokio::test]
async fn after_the_end_nothing_is_asked() {
    let client = client(|_| None).await;
    let (mut ask, mut answers) = client.check_stream().await.unwrap();
    ask.ask(&question()).await.unwrap();
    assert!(answers.next().await.unwrap().is_err());
    assert!(ask.ask(&question()).await.is_err());
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn an_answer_that_is_none_is_never_an_allow() {
    // One to another question breaks the stream; an old one and an empty one are errors of their own.
    let strangers = answers(&client(|number| told(number + 1, 7)).await, 2).await;
    assert!(
        strangers.iter().all(|told| matches!(told, Err(Error::Protocol { .. }))),
        "{strangers:?}"
    );
    assert_eq!(strangers.len(), 2);
    let stale = client(|number| told(number, 7)).await.at_least(Revision::new(8));
    assert!(matches!(answers(&stale, 1).await[0], Err(Error::Protocol { .. })));
    let empty = client(|number| Some(Ok(v1::CheckStreamResponse { number, result: None }))).await;
    assert!(matches!(answers(&empty, 1).await[0], Err(Error::Protocol { .. })));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_ends_the_stream() {
    let hangs = Scripted(|number| if number == 0 { told(number, 7) } else { None }, true);
    let client = client_of(hangs).await.with_deadline(Duration::from_millis(300));
    let told = answers(&client, 3).await;
    assert_eq!(told.len(), 3);
    assert!(told[1..].iter().all(|told| matches!(told, Err(Error::DeadlineExceeded { .. }))));
}
