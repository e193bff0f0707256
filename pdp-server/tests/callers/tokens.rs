//! Callers with tokens of an OpenID provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pdp_server::config::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::guarded::{Guarded, ask, caller, key, outcome, until};
use crate::secrets::{Signer, encoded, jwks, replace};
use crate::served;

/// The clock of a test says 2026-01-01 at first; in seconds.
const NOW: i64 = crate::served::NOW / 1_000_000;

fn issuers(keys: &str) -> String {
    format!(
        r#"issuers:
  - issuer: https://login.bank.example
    audiences: [pdp, pdp-test]
    algorithms: [ES256]
    {keys}
    grants:
      - {{claim: groups, is: gateways, roles: {{default: [check]}}}}
      - {{claim: [realm, role], is: desk, roles: {{default: [explain]}}}}
      - {{claim: scope, is: "pdp:check", roles: {{default: [check]}}}}
"#
    )
}

fn claims() -> Value {
    json!({"iss": "https://login.bank.example", "aud": "pdp", "sub": "edge", "exp": NOW + 60,
           "groups": ["others", "gateways"]})
}

/// The same with some of them changed; null takes one away.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// What is wrong with a token, or is not; the token; and what comes of it.
type Case = (&'static str, String, &'static str);

const GRANTED: &str = "REASON_GRANTED";
const INVALID: &str = "CREDENTIALS_INVALID";
const EXPIRED: &str = "CREDENTIALS_EXPIRED";
const NO_ROLE: &str = "ROLE_MISSING";

/// Tokens that differ in what they claim.
fn claimed(signer: &Signer) -> Vec<Case> {
    [
        ("good", json!({}), GRANTED),
        ("good again", json!({}), GRANTED),
        ("another audience", json!({"aud": ["x", "pdp-test"]}), GRANTED),
        ("a scope", json!({"groups": null, "scope": "a pdp:check b"}), GRANTED),
        ("a fraction", json!({"exp": 1_767_225_660.5}), GRANTED),
        ("a little early", json!({"nbf": NOW + 30}), GRANTED),
        ("no role", json!({"groups": ["others"]}), NO_ROLE),
        ("another role", json!({"groups": null, "realm": {"role": "desk"}}), NO_ROLE),
        ("its end", json!({"exp": NOW}), EXPIRED),
        ("too early", json!({"nbf": NOW + 31}), EXPIRED),
        ("no end", json!({"exp": null}), INVALID),
        ("an end that is none", json!({"exp": "4102444800"}), INVALID),
        ("a start that is none", json!({"nbf": "now"}), INVALID),
        ("another issuer", json!({"iss": "https://login.bank.example/"}), INVALID),
        ("no issuer", json!({"iss": null}), INVALID),
        ("another's audience", json!({"aud": ["pdp2"]}), INVALID),
        ("no audience", json!({"aud": null}), INVALID),
        ("no name", json!({"sub": null}), INVALID),
    ]
    .map(|(name, changes, expected)| (name, signer.token(&with(changes)), expected))
    .into()
}

/// Tokens that differ in how they say they are signed.
fn headed(signer: &Signer) -> Vec<Case> {
    [
        ("access token", json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), GRANTED),
        ("another's key", json!({"alg": "ES256", "kid": "ed"}), INVALID),
        ("no key id", json!({"alg": "ES256"}), INVALID),
        ("unknown key id", json!({"alg": "ES256", "kid": "k9"}), INVALID),
        ("another type", json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), INVALID),
        ("critical", json!({"alg": "ES256", "kid": "k1", "crit": ["b64"]}), INVALID),
        ("another algorithm", json!({"alg": "ES384", "kid": "k1"}), INVALID),
    ]
    .map(|(name, header, expected)| (name, signer.sign(&header, &claims()), expected))
    .into()
}

/// Tokens that somebody made of a good one.
fn forged(good: &str) -> Vec<Case> {
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let none = encoded(br#"{"alg":"none","kid":"k1"}"#);
    let shared = encoded(br#"{"alg":"HS256","kid":"k1"}"#);
    let root = encoded(with(json!({"sub": "root"})).to_string().as_bytes());
    [
        ("no algorithm", format!("{none}.{body}.")),
        ("none with a signature", format!("{none}.{body}.{signature}")),
        ("a shared secret", format!("{shared}.{body}.{signature}")),
        ("no signature", format!("{head}.{body}.")),
        ("two parts", format!("{head}.{body}")),
        ("not base64", format!("{head}.{body}.{signature}=")),
        ("changed", format!("{head}.{root}.{signature}")),
        ("words", "not-a-token".to_owned()),
    ]
    .map(|(name, token)| (name, token, INVALID))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_or_it_is_not() {
    let (signer, other) = (Signer::es256("k1"), Signer::es256("k1"));
    let edwards = Signer::ed25519("ed");
    let folder = served::folder();
    std::fs::write(folder.path().join("jwks.json"), jwks(&[&signer, &edwards])).unwrap();
    let guarded =
        Guarded::with(folder, &issuers("jwks_file: jwks.json"), Settings::default()).await;
    let good = signer.token(&claims());
    let mut cases = claimed(&signer);
    cases.extend(headed(&signer));
    cases.extend(forged(&good));
    cases.push(("another key", other.token(&claims()), INVALID));
    cases.push(("an algorithm that is not taken", edwards.token(&claims()), INVALID));
    for (name, token, expected) in &cases {
        let authorization = format!("Bearer {token}");
        assert_eq!(guarded.ask(Some(&authorization), "").await, *expected, "{name}");
    }
    // A token that was verified ends nevertheless.
    guarded.served.now.store((NOW + 60) * 1_000_000, Ordering::SeqCst);
    assert_eq!(guarded.ask(Some(&format!("Bearer {good}")), "").await, EXPIRED);
    println!("tokens: {} kinds", cases.len());
    guarded.served.stop().await;
}

/// An issuer's keys over HTTP.
struct Published {
    keys: Arc<std::sync::Mutex<String>>,
    fetched: Arc<AtomicUsize>,
    url: String,
}

// === impl Published ===

impl Published {
    async fn start(head: &'static str, keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let keys = Arc::new(std::sync::Mutex::new(keys));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (told, count) = (Arc::clone(&keys), Arc::clone(&fetched));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                // Whatever was asked, there is one answer.
                let _read = stream.read(&mut request).await.unwrap_or_default();
                let body = told.lock().unwrap().clone();
                count.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "{head}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { keys, fetched, url }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_replaces_its_keys_under_load_without_a_failed_request() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let published = Published::start(OK, jwks(&[&old])).await;
    let callers = issuers(&format!("jwks_url: \"{}\"", published.url));
    let guarded = Guarded::start(&callers).await;
    let bearer = |signer: &Signer, number: usize| {
        // Each its own, so that none was verified before.
        format!("Bearer {}", signer.token(&with(json!({"jti": number}))))
    };
    until("the first keys", async || {
        guarded.ask(Some(&bearer(&old, 0)), "").await == "REASON_GRANTED"
    })
    .await;

    let before = published.fetched.load(Ordering::SeqCst);
    let (done, renewed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asked, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let channel = guarded.served.channel.clone();
    let caller = async {
        while !done.load(Ordering::SeqCst) {
            let signer = if renewed.load(Ordering::SeqCst) { &new } else { &old };
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let answer = ask(&channel, Some(&bearer(signer, number)), "").await;
            if outcome(&answer) != "REASON_GRANTED" {
                failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let rotation = async {
        *published.keys.lock().unwrap() = jwks(&[&old, &new]);
        // The next token is signed with a key that the server has not seen.
        renewed.store(true, Ordering::SeqCst);
        let at = asked.load(Ordering::SeqCst);
        until("requests", async || asked.load(Ordering::SeqCst) > at + 100).await;
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(caller, rotation);
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert_eq!(published.fetched.load(Ordering::SeqCst), before + 1, "once, for the new key");
    println!(
        "rotation of an issuer's keys: {} requests, none failed",
        asked.load(Ordering::SeqCst)
    );

    // Keys of anybody's invention do not make the server fetch without end.
    for number in 0..50 {
        let stranger = Signer::es256(&format!("x{number}"));
        let answer = guarded.ask(Some(&bearer(&stranger, number)), "").await;
        assert_eq!(answer, "CREDENTIALS_INVALID");
    }
    assert!(published.fetched.load(Ordering::SeqCst) <= before + 10);
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_set_of_keys_is_not_believed() {
    let signer = Signer::es256("k1");
    let large = format!("{}{}", jwks(&[&signer]), " ".repeat(300_000));
    let elsewhere = Published::start(OK, jwks(&[&signer])).await;
    let moved: &'static str =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\n", elsewhere.url).leak();
    for (head, keys) in [
        (OK, large),
        (moved, jwks(&[&signer])),
        ("HTTP/1.1 500 Oh\r\n", jwks(&[&signer])),
        (OK, "<html>".to_owned()),
    ] {
        let published = Published::start(head, keys).await;
        let (scrapes, entry) = key();
        let callers = format!(
            "callers:\n{}{}",
            caller("scraper", &entry, "{\"*\": [metrics]}"),
            issuers(&format!("jwks_url: \"{}\"", published.url))
        );
        let guarded = Guarded::start(&callers).await;
        let name = r#"pdp_reloads_total{what="issuer_keys",outcome="refused"}"#;
        until("a refusal", async || guarded.metric(name, &scrapes).await > 0).await;
        let bearer = format!("Bearer {}", signer.token(&claims()));
        assert_eq!(guarded.ask(Some(&bearer), "").await, "CREDENTIALS_INVALID");
        guarded.served.stop().await;
    }
    assert_eq!(elsewhere.fetched.load(Ordering::SeqCst), 0, "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_back_is_good_no_more() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let folder = served::folder();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&old, &new])).unwrap();
    let guarded =
        Guarded::with(folder, &issuers("jwks_file: jwks.json"), Settings::default()).await;
    let bearer = |signer: &Signer| format!("Bearer {}", signer.token(&claims()));
    let (one, two) = (bearer(&old), bearer(&new));
    for token in [&one, &two] {
        assert_eq!(guarded.ask(Some(token), "").await, "REASON_GRANTED");
    }
    // Its tokens were verified and are remembered, and are refused all the same.
    replace(&file, jwks(&[&new]).as_bytes());
    until("the key", async || guarded.ask(Some(&one), "").await == "CREDENTIALS_INVALID").await;
    assert_eq!(guarded.ask(Some(&two), "").await, "REASON_GRANTED");
    guarded.served.stop().await;
}
