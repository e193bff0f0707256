//! What it costs to know who calls: the same check over one connection to a server without callers, and
//! to one that is shown a key, a token that it has seen, and a token that it has not, whose signature it
//! verifies. All are asked by turns, so that a noisy machine slows them alike; the figures to go by are
//! the differences.
//!
//! Run with `cargo bench -p pdp-tests --bench callers`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_server::callers::NewKey;
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::{Listeners, run};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// Rounds of each kind, by turns; the median over the rounds is printed.
const ROUNDS: usize = 9;

/// Requests in a round.
const REQUESTS: usize = 1_000;

const POLICY: &str = "resource_types: {Report: {operations: [View]}}\npeople: [{id: ana}]\n\
                      resources: [{type: Report, id: absence}]\n";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let signer = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = signer.public_key().as_ref()[1..].split_at(32);
    let jwk = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","x":"{}","y":"{}"}}]}}"#,
        encoded(x),
        encoded(y)
    );
    std::fs::write(path("jwks.json"), jwk).unwrap();
    std::fs::write(path("policy.yaml"), POLICY).unwrap();
    let key = NewKey::draw().unwrap();
    let callers = format!(
        "callers: [{{name: a, keys: [{}], roles: {{default: [check]}}}}]\n\
         issuers: [{{issuer: i, audiences: [pdp], algorithms: [ES256], jwks_file: jwks.json,\n\
         grants: [{{claim: sub, is: a, roles: {{default: [check]}}}}]}}]\n",
        key.entry()
    );
    std::fs::write(path("callers.yaml"), callers).unwrap();
    let token = |number: usize| {
        let claims =
            format!(r#"{{"iss":"i","aud":"pdp","sub":"a","exp":4102444800,"jti":{number}}}"#);
        let header = encoded(br#"{"alg":"ES256","kid":"k"}"#);
        let signed = format!("{header}.{}", encoded(claims.as_bytes()));
        let signature = signer.sign(&random, signed.as_bytes()).unwrap();
        format!("Bearer {signed}.{}", encoded(signature.as_ref()))
    };

    let (open, _stop_open) = start(&path("open"), &path("policy.yaml"), None).await;
    let known = path("callers.yaml");
    let (guarded, _stop) = start(&path("guarded"), &path("policy.yaml"), Some(&known)).await;
    let key = format!("Bearer {}", key.secret());
    let seen = token(0);
    let mut number = 1;
    let mut rounds: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(round(&open, &[]).await);
        rounds[1].push(round(&guarded, std::slice::from_ref(&key)).await);
        rounds[2].push(round(&guarded, std::slice::from_ref(&seen)).await);
        let fresh: Vec<String> = (number..number + REQUESTS).map(token).collect();
        number += REQUESTS;
        rounds[3].push(round(&guarded, &fresh).await);
    }
    let names = ["check_without_callers", "check_key", "check_token_seen", "check_token_not_seen"];
    for (name, mut rounds) in names.into_iter().zip(rounds) {
        rounds.sort_unstable();
        println!("{name}_mean_us {:.1}", rounds[rounds.len() / 2].as_secs_f64() * 1e6);
    }
}

/// The mean of a round of checks, one after the other, each with the next of the credentials.
async fn round(channel: &Channel, credentials: &[String]) -> Duration {
    let mut client = DecisionServiceClient::new(channel.clone());
    let begun = Instant::now();
    for number in 0..REQUESTS {
        let subject = v1::subject::Subject::Person("ana".to_owned());
        let resource = v1::ResourceRef { r#type: "Report".to_owned(), id: "absence".to_owned() };
        let question = v1::Question {
            subject: Some(v1::Subject { subject: Some(subject) }),
            permission: Some(v1::question::Permission::Operation("View".to_owned())),
            resource: Some(resource),
            ..Default::default()
        };
        let message = v1::CheckRequest { question: Some(question), ..Default::default() };
        let mut request = tonic::Request::new(message);
        if let Some(credentials) = credentials.get(number % credentials.len().max(1)) {
            request.metadata_mut().insert("authorization", credentials.parse().unwrap());
        }
        client.check(request).await.unwrap();
    }
    begun.elapsed() / u32::try_from(REQUESTS).unwrap()
}

async fn start(
    data: &Path,
    policy: &Path,
    callers: Option<&Path>,
) -> (Channel, oneshot::Sender<()>) {
    let any_port: Option<SocketAddr> = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings {
        data: Some(data.to_owned()),
        load: Some(policy.to_owned()),
        callers: callers.map(Path::to_owned),
        grpc: any_port,
        http: any_port,
        ..Settings::default()
    };
    let config = settings.into_config(None).unwrap();
    let listeners = Listeners::bind(&config).unwrap();
    let address = listeners.grpc_address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    tokio::spawn(run(config, listeners, Clock::system(), shutdown));
    let address = format!("http://{address}");
    let client = pdp_client::Client::builder(address.as_str()).connect().await.unwrap();
    client.wait_until_serving("").await.unwrap();
    (Endpoint::from_shared(address).unwrap().connect().await.unwrap(), stop)
}
