//! Streams of checks whose caller asks too much, or is let in no more.

use std::sync::atomic::Ordering;

use pdp_proto::v1::check_stream_response::Result as Wire;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::{self, Effect};
use pdp_server::config::Settings;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::guarded::{Guarded, ask, caller, key, outcome, reason, until};
use crate::secrets::{Signer, jwks};
use crate::served::{NOW, folder, put_person, question};

const CHECK: &str = "{default: [check]}";

/// A stream of checks.
struct Asking {
    questions: mpsc::Sender<v1::CheckStreamRequest>,
    answers: Streaming<v1::CheckStreamResponse>,
}

/// What came for a question: an effect, or the code, the reason and whether to come again.
type Came = Result<Effect, (Code, String, bool)>;

// === impl Asking ===

impl Asking {
    async fn open(guarded: &Guarded, authorization: &str) -> Self {
        let (questions, sent) = mpsc::channel(64);
        let mut request = Request::new(ReceiverStream::new(sent));
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        let mut client = DecisionServiceClient::new(guarded.served.channel.clone());
        let answers = client.check_stream(request).await.unwrap().into_inner();
        Self { questions, answers }
    }

    async fn send(&self, tenant: &str, at_least: u64) {
        let question = Some(question("ana", "View", "absence"));
        let tenant = tenant.to_owned();
        let asked = v1::CheckStreamRequest { number: 7, tenant, question, at_least };
        // The stream may be over, which is read from it.
        self.questions.send(asked).await.ok();
    }

    async fn next(&mut self) -> Result<Came, Status> {
        let answer = self.answers.next().await.expect("it does not end well")?;
        assert_eq!(answer.number, 7);
        Ok(match answer.result.unwrap() {
            Wire::Decision(decision) => Ok(decision.effect()),
            Wire::Error(error) => {
                Err((error.code.into(), error.reason, error.retry_delay.is_some()))
            }
        })
    }

    async fn ask(&mut self, tenant: &str) -> Result<Came, Status> {
        self.send(tenant, 0).await;
        self.next().await
    }

    /// Asks until the stream ends, which it does once the server has noticed.
    async fn ends(mut self) -> (Code, String) {
        loop {
            match self.ask("").await {
                Ok(came) => assert_eq!(came, Ok(Effect::Allow)),
                Err(status) => return (status.code(), reason(&status)),
            }
            tokio::task::yield_now().await;
        }
    }
}

fn refused(reason: &str) -> Came {
    Err((Code::ResourceExhausted, reason.to_owned(), true))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_stream_costs_what_a_request_costs() {
    let [(greedy, one), (modest, two)] = [key(), key()];
    let callers =
        format!("callers:\n{}{}", caller("greedy", &one, CHECK), caller("modest", &two, CHECK));
    let slow = Settings { max_caller_rate: Some(4), ..Settings::default() };
    let guarded = Guarded::with(folder(), &callers, slow).await;
    let mut asking = Asking::open(&guarded, &greedy).await;
    // However slow the machine is: more than four a second are asked at some time.
    let limited = refused("RATE_LIMITED");
    loop {
        for _ in 0..64 {
            asking.send("", 0).await;
        }
        let mut came = Vec::new();
        for _ in 0..64 {
            came.push(asking.next().await.unwrap());
        }
        assert!(came.iter().all(|came| *came == Ok(Effect::Allow) || *came == limited), "{came:?}");
        if came.contains(&limited) {
            break;
        }
    }
    // It is the caller's, whichever way they ask, and nobody else's; and the stream goes on.
    let mut request_refused = false;
    for _ in 0..64 {
        let asked = ask(&guarded.served.channel, Some(&greedy), "").await;
        request_refused |= outcome(&asked) == "RATE_LIMITED";
    }
    assert!(request_refused, "64 requests in less than 16 seconds");
    assert_eq!(guarded.ask(Some(&modest), "").await, "REASON_GRANTED");
    until("the next second", async || asking.ask("").await.unwrap() == Ok(Effect::Allow)).await;
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_is_one_in_flight() {
    let [(edge, one), (writer, two)] = [key(), key()];
    let callers = format!(
        "callers:\n{}{}",
        caller("edge", &one, CHECK),
        caller("writer", &two, "{default: [write]}")
    );
    let few = Settings {
        max_caller_requests: Some(1),
        max_wait_ms: Some(3_600_000),
        ..Settings::default()
    };
    let guarded = Guarded::with(folder(), &callers, few).await;
    let mut asking = Asking::open(&guarded, &edge).await;
    assert_eq!(asking.ask("").await.unwrap(), Ok(Effect::Allow), "the stream itself is none");
    // It is refused itself where it comes while another request of theirs is in flight.
    loop {
        asking.send("", 2).await;
        let waits =
            until("it waits", async || guarded.ask(Some(&edge), "").await == "TOO_MANY_REQUESTS");
        tokio::select! {
            came = asking.next() => assert_eq!(came.unwrap(), refused("TOO_MANY_REQUESTS")),
            () = waits => break,
        }
    }
    let mut apply =
        Request::new(v1::ApplyRequest { changes: vec![put_person("dee")], ..Default::default() });
    apply.metadata_mut().insert("authorization", writer.parse().unwrap());
    guarded.served.policy().apply(apply).await.unwrap();
    assert_eq!(asking.next().await.unwrap(), Ok(Effect::Allow));
    assert_eq!(guarded.ask(Some(&edge), "").await, "REASON_GRANTED");
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_taken_back() {
    let [(lost, one), (kept, two)] = [key(), key()];
    let other = caller("kept", &two, CHECK);
    let callers = format!("callers:\n{}{other}", caller("lost", &one, CHECK));
    let guarded = Guarded::with(folder(), &callers, Settings::default()).await;
    let mut ends = Asking::open(&guarded, &lost).await;
    let mut goes_on = Asking::open(&guarded, &kept).await;
    for asking in [&mut ends, &mut goes_on] {
        assert_eq!(asking.ask("").await.unwrap(), Ok(Effect::Allow));
    }
    guarded.replace(&format!("callers:\n{other}"));
    assert_eq!(ends.ends().await, (Code::Unauthenticated, "CREDENTIALS_INVALID".to_owned()));
    assert_eq!(goes_on.ask("").await.unwrap(), Ok(Effect::Allow), "somebody else's");
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let signer = Signer::es256("k1");
    let folder = folder();
    std::fs::write(folder.path().join("jwks.json"), jwks(&[&signer])).unwrap();
    let issuers = "issuers:\n  - issuer: https://login.bank.example\n    audiences: [pdp]\n    \
                   algorithms: [ES256]\n    jwks_file: jwks.json\n    grants:\n      \
                   - {claim: groups, is: gateways, roles: {default: [check]}}\n";
    let guarded = Guarded::with(folder, issuers, Settings::default()).await;
    let ends = NOW + 60_000_000;
    let claims = json!({"iss": "https://login.bank.example", "aud": "pdp", "sub": "edge",
                        "exp": ends / 1_000_000, "groups": ["gateways"]});
    let token = format!("Bearer {}", signer.token(&claims));
    let mut asking = Asking::open(&guarded, &token).await;
    assert_eq!(asking.ask("").await.unwrap(), Ok(Effect::Allow));
    guarded.served.now.store(ends - 1, Ordering::SeqCst);
    assert_eq!(asking.ask("").await.unwrap(), Ok(Effect::Allow));
    guarded.served.now.store(ends, Ordering::SeqCst);
    let ended = asking.ask("").await.unwrap_err();
    assert_eq!(
        (ended.code(), reason(&ended)),
        (Code::Unauthenticated, "CREDENTIALS_EXPIRED".into())
    );
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_role_is_taken() {
    let (authorization, entry) = key();
    let with = |roles| format!("callers:\n{}", caller("edge", &entry, roles));
    let guarded = Guarded::with(folder(), &with(CHECK), Settings::default()).await;
    let mut elsewhere = Asking::open(&guarded, &authorization).await;
    assert_eq!(elsewhere.ask("").await.unwrap(), Ok(Effect::Allow));
    // What is left of the role counts: the others are refused one by one.
    guarded.replace(&with("{elsewhere: [check]}"));
    let missing = Err((Code::PermissionDenied, "ROLE_MISSING".to_owned(), false));
    until("the new roles", async || elsewhere.ask("").await.unwrap() == missing).await;
    guarded.replace(&with(CHECK));
    until("the old roles", async || elsewhere.ask("").await.unwrap() == Ok(Effect::Allow)).await;
    guarded.replace(&with("{default: [explain]}"));
    assert_eq!(elsewhere.ends().await, (Code::PermissionDenied, "ROLE_MISSING".to_owned()));
    guarded.served.stop().await;
}
