//! Streams of checks: answers in their order, errors in their place, limits, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pdp_proto::v1::check_stream_response::Result as Wire;
use pdp_proto::v1::{self, Effect, Reason};
use pdp_server::config::Settings;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::errors::told;
use crate::lifecycle::fetch;
use crate::served::{A_1_ENDS, Served, delete, folder, put_person, question, settings};

type Answers = Streaming<v1::CheckStreamResponse>;

fn asked(number: u64, subject: &str) -> v1::CheckStreamRequest {
    let question = Some(question(subject, "View", "absence"));
    v1::CheckStreamRequest { number, tenant: String::new(), question, at_least: 0 }
}

impl Served {
    /// A stream with room for so many questions that are not sent yet.
    async fn stream(&self, room: usize) -> (mpsc::Sender<v1::CheckStreamRequest>, Answers) {
        let (ask, questions) = mpsc::channel(room);
        let opened = self.decisions().check_stream(ReceiverStream::new(questions)).await;
        (ask, opened.unwrap().into_inner())
    }

    /// What comes back for these.
    async fn streamed(
        &self,
        questions: Vec<v1::CheckStreamRequest>,
    ) -> Vec<v1::CheckStreamResponse> {
        let opened = self.decisions().check_stream(tokio_stream::iter(questions)).await;
        opened.unwrap().into_inner().map(Result::unwrap).collect().await
    }
}

fn effect(answer: &v1::CheckStreamResponse) -> Effect {
    match &answer.result {
        Some(Wire::Decision(decision)) => decision.effect(),
        other => panic!("{other:?}"),
    }
}

fn error(answer: &v1::CheckStreamResponse) -> (Code, &str, &str) {
    match &answer.result {
        Some(Wire::Error(error)) => (error.code.into(), &error.reason, &error.field),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_come_in_order_with_the_numbers_of_their_questions() {
    let folder = folder();
    let served = Served::start(&folder).await;
    // More than one burst and more than one turn; the numbers mean nothing to the server.
    let number = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let who = |n: u64| ["ana", "bo", "cy", "nobody"][n as usize % 4];
    let questions = (0..2_000).map(|n| asked(number(n), who(n))).collect();
    let answers = served.streamed(questions).await;
    assert_eq!(answers.len(), 2_000);
    for (n, answer) in (0..).zip(&answers) {
        assert_eq!(answer.number, number(n));
        let expected = if who(n) == "ana" { Effect::Allow } else { Effect::Deny };
        assert_eq!(effect(answer), expected, "{n}");
    }
    let metrics = fetch(served.http, "/metrics").await;
    let granted = r#"pdp_decisions_total{rpc="CheckStream",effect="ALLOW",reason="GRANTED"} 500"#;
    assert!(metrics.contains(granted), "{metrics}");
    assert!(metrics.contains("pdp_check_streams 0"), "{metrics}");
    served.stop().await;
}

#[tokio::test]
async fn an_error_stands_in_its_place_and_leaves_the_others_alone() {
    let folder = folder();
    let served = Served::with(Settings { max_wait_ms: Some(20), ..settings(folder.path()) }).await;
    let elsewhere =
        |tenant: &str| v1::CheckStreamRequest { tenant: tenant.to_owned(), ..asked(3, "ana") };
    let questions = vec![
        asked(1, "ana"),
        v1::CheckStreamRequest { question: None, ..asked(2, "ana") },
        elsewhere("nowhere"),
        elsewhere("a\tb"),
        asked(4, ""),
        v1::CheckStreamRequest { at_least: 99, ..asked(5, "ana") },
        asked(6, "ana"),
    ];
    let answers = served.streamed(questions).await;
    let numbers: Vec<u64> = answers.iter().map(|answer| answer.number).collect();
    assert_eq!(numbers, [1, 2, 3, 3, 4, 5, 6]);
    assert_eq!(effect(&answers[0]), Effect::Allow);
    assert_eq!(error(&answers[1]), (Code::InvalidArgument, "MALFORMED", "question"));
    assert_eq!(error(&answers[2]), (Code::NotFound, "UNKNOWN_TENANT", ""));
    assert_eq!(error(&answers[3]), (Code::InvalidArgument, "MALFORMED", "tenant"));
    assert_eq!(error(&answers[4]), (Code::InvalidArgument, "MALFORMED", "question.subject"));
    assert_eq!(error(&answers[5]), (Code::Unavailable, "REVISION_NOT_REACHED", ""));
    assert_eq!(effect(&answers[6]), Effect::Allow);
    served.stop().await;
}

#[tokio::test]
async fn a_question_that_waits_in_vain_is_answered_though_none_follows() {
    let folder = folder();
    let settings = Settings { max_wait_ms: Some(20), ..settings(folder.path()) };
    let served = Served::with(settings).await;
    let late = v1::CheckStreamRequest { at_least: 99, ..asked(2, "ana") };
    let answers = served.streamed(vec![asked(1, "ana"), late]).await;
    let [first, last] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((effect(first), last.number), (Effect::Allow, 2));
    assert_eq!(error(last), (Code::Unavailable, "REVISION_NOT_REACHED", ""));
    served.stop().await;
}

#[tokio::test]
async fn a_stream_answers_from_what_was_acknowledged_before_the_question() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let (ask, mut answers) = served.stream(4).await;
    let mut revisions = Vec::new();
    for n in 0..5 {
        let applied = served.apply(vec![put_person(&format!("p{n}"))]).await.unwrap();
        ask.send(asked(n, "ana")).await.unwrap();
        let answer = answers.next().await.unwrap().unwrap();
        let Some(Wire::Decision(decision)) = answer.result else { panic!("{answer:?}") };
        assert!(decision.revision >= applied.revision, "{decision:?}");
        revisions.push(decision.revision);
    }
    // A question waits for its revision, those behind it too, and those before it do not.
    let next = revisions.last().unwrap() + 1;
    ask.send(asked(10, "ana")).await.unwrap();
    ask.send(v1::CheckStreamRequest { at_least: next, ..asked(11, "ana") }).await.unwrap();
    ask.send(asked(12, "ana")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().number, 10);
    let key = v1::fact_key::Key::Person("ana".to_owned());
    served.apply(vec![delete(key, true)]).await.unwrap();
    for number in [11, 12] {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.number, number);
        let Some(Wire::Decision(decision)) = answer.result else { panic!("{answer:?}") };
        assert_eq!((decision.revision, decision.reason()), (next, Reason::UnknownSubject));
    }
    // And the clock is that of the moment.
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    drop(ask);
    assert!(answers.next().await.is_none(), "it ends well");
    served.stop().await;
}

#[tokio::test]
async fn who_does_not_read_is_not_read_from() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let (sent, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (sending, stop) = (Arc::clone(&sent), Arc::clone(&enough));
    let next = move |()| asked(sending.fetch_add(1, Ordering::SeqCst), "ana");
    let questions = tokio_stream::iter(std::iter::repeat(()))
        .take_while(move |()| !stop.load(Ordering::SeqCst))
        .map(next);
    let mut answers = served.decisions().check_stream(questions).await.unwrap().into_inner();
    // Everybody else is answered, and after some time nothing moves on the stream any more.
    let mut before = u64::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        assert!(before < 5_000_000, "the server takes whatever it is sent");
        for _ in 0..100 {
            let decision = served.check(question("ana", "View", "absence")).await;
            assert_eq!(decision.effect(), Effect::Allow);
        }
    }
    // Once it reads, it is read from, and every question is answered.
    enough.store(true, Ordering::SeqCst);
    let mut next = 0;
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.unwrap().number, next);
        next += 1;
    }
    assert_eq!(next, sent.load(Ordering::SeqCst));
    served.stop().await;
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let folder = folder();
    let two = Settings { max_check_streams: Some(2), ..settings(folder.path()) };
    let served = Served::with(two).await;
    let (ask, answers) = served.stream(1).await;
    let (other, mut others) = served.stream(1).await;
    let refused = served.decisions().check_stream(tokio_stream::pending()).await.unwrap_err();
    let (code, reason, _) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    drop((ask, answers));
    // The place is given back once the server knows.
    while served.decisions().check_stream(tokio_stream::pending()).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(other);
    assert!(others.next().await.is_none());
    served.stop().await;
}

#[tokio::test]
async fn a_stream_that_nothing_goes_over_is_ended() {
    let folder = folder();
    let short = Settings { check_stream_idle_ms: Some(1), ..settings(folder.path()) };
    let served = Served::with(short).await;
    let (_ask, mut answers) = served.stream(1).await;
    let ended = answers.next().await.unwrap().unwrap_err();
    let (code, reason, _) = told(&ended);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "STREAM_IDLE"));
    assert!(fetch(served.http, "/metrics").await.contains("pdp_check_streams 0"));
    served.stop().await;
}

#[tokio::test]
async fn when_the_server_stops_what_it_took_is_answered_and_the_stream_ends() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let (ask, mut answers) = served.stream(4).await;
    ask.send(asked(1, "ana")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().number, 1);
    let ended = served.shut_down();
    let mut last = None;
    while let Some(answer) = answers.next().await {
        last = Some(answer);
    }
    let (code, reason, _) = told(&last.unwrap().unwrap_err());
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_that_is_none_is_answered_in_its_place() {
    use tonic::client::Grpc;
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut client = Grpc::new(served.channel.clone());
    client.ready().await.unwrap();
    let path = "/pdp.v1.DecisionService/CheckStream".parse().unwrap();
    // A message of another type, which has a number where a question should be.
    let broken = v1::ListedResource { id: "x".to_owned(), explanation: None };
    let request = tonic::Request::new(tokio_stream::iter([broken]));
    let codec = tonic_prost::ProstCodec::<_, v1::CheckStreamResponse>::default();
    let answers = client.streaming(request, path, codec).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].number, 0);
    assert_eq!(error(&answers[0]), (Code::InvalidArgument, "MALFORMED", ""));
    served.stop().await;
}
