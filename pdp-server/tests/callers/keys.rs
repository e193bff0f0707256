//! Callers with keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tonic::Request;

use crate::guarded::{Guarded, ask, caller, key, outcome, reason, until};
use crate::served::question;

/// 2026-06-01T00:00:00Z, in microseconds.
const JUNE: i64 = 1_780_272_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_or_it_is_not() {
    let [(good, one), (ends, two), (gone, _), (sees, three)] = [key(), key(), key(), key()];
    let two = two.replace('}', ", valid_until: 2026-06-01T00:00:00Z}");
    let callers = format!(
        "callers:\n{}{}{}",
        caller("gateway", &format!("{one}, {two}"), "{default: [check]}"),
        caller("scraper", &three, "{\"*\": [metrics]}"),
        "  - {name: other, keys: [], roles: {}}\n",
    );
    let guarded = Guarded::start(&callers).await;
    let wrong = format!("{}0", &good[..good.len() - 1]);
    let wrong = if wrong == good { format!("{}1", &good[..good.len() - 1]) } else { wrong };
    let long = format!("Bearer {}", "x".repeat(9_000));
    for (authorization, expected) in [
        (Some(good.as_str()), "REASON_GRANTED"),
        (Some(ends.as_str()), "REASON_GRANTED"),
        (Some(&good.replace("Bearer", "bearer")), "REASON_GRANTED"),
        (None, "CREDENTIALS_MISSING"),
        (Some(&wrong), "CREDENTIALS_INVALID"),
        (Some(&gone), "CREDENTIALS_INVALID"),
        (Some("Bearer pdp_"), "CREDENTIALS_INVALID"),
        (Some("Bearer "), "CREDENTIALS_INVALID"),
        (Some("Basic YTpi"), "CREDENTIALS_INVALID"),
        (Some(&long), "CREDENTIALS_INVALID"),
        (Some(&sees), "ROLE_MISSING"),
    ] {
        assert_eq!(guarded.ask(authorization, "").await, expected, "{authorization:?}");
    }
    // Two proofs are none: which of them a proxy looked at nobody knows.
    let message = pdp_proto::v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        ..Default::default()
    };
    let mut twice = Request::new(message);
    twice.metadata_mut().append("authorization", good.parse().unwrap());
    twice.metadata_mut().append("authorization", good.parse().unwrap());
    let refused = guarded.served.decisions().check(twice).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");

    guarded.served.now.store(JUNE - 1, Ordering::SeqCst);
    assert_eq!(guarded.ask(Some(&ends), "").await, "REASON_GRANTED");
    guarded.served.now.store(JUNE, Ordering::SeqCst);
    assert_eq!(guarded.ask(Some(&ends), "").await, "CREDENTIALS_EXPIRED");
    for (label, count) in
        [("MISSING", 1), ("WRONG_KEY", 1), ("UNKNOWN_KEY", 2), ("EXPIRED_KEY", 1), ("MALFORMED", 4)]
    {
        let name = format!("pdp_unauthenticated_total{{reason=\"{label}\"}}");
        assert_eq!(guarded.metric(&name, &sees).await, count, "{label}");
    }
    assert_eq!(guarded.metric("pdp_forbidden_total ", &sees).await, 1);
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_under_load_without_a_failed_request() {
    let [(old, one), (new, two)] = [key(), key()];
    let with =
        |entries: &str| format!("callers:\n{}", caller("gateway", entries, "{default: [check]}"));
    let guarded = Arc::new(Guarded::start(&with(&one)).await);
    assert_eq!(guarded.ask(Some(&new), "").await, "CREDENTIALS_INVALID");

    // A caller that asks without a pause, with the one key and then with the other.
    let (renewed, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asked, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (channel, old, new) = (guarded.served.channel.clone(), old.clone(), new.clone());
            let (renewed, done) = (Arc::clone(&renewed), Arc::clone(&done));
            let (asked, failed) = (Arc::clone(&asked), Arc::clone(&failed));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let key = if renewed.load(Ordering::SeqCst) { &new } else { &old };
                    let answer = ask(&channel, Some(key), "").await;
                    asked.fetch_add(1, Ordering::SeqCst);
                    if outcome(&answer) != "REASON_GRANTED" {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();

    // 1. Both are good.
    guarded.replace(&with(&format!("{one}, {two}")));
    until("the new key", async || guarded.ask(Some(&new), "").await == "REASON_GRANTED").await;
    // 2. The caller has the new one.
    renewed.store(true, Ordering::SeqCst);
    let at = asked.load(Ordering::SeqCst);
    until("requests", async || asked.load(Ordering::SeqCst) > at + 100).await;
    // 3. The old one is taken back.
    guarded.replace(&with(&two));
    until("the old key", async || guarded.ask(Some(&old), "").await == "CREDENTIALS_INVALID").await;
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    println!("key rotation: {} requests, none failed", asked.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_changes_nothing() {
    let [(good, one), (scrapes, two)] = [key(), key()];
    let file = format!(
        "callers:\n{}{}",
        caller("gateway", &one, "{default: [check]}"),
        caller("scraper", &two, "{\"*\": [metrics]}")
    );
    let guarded = Guarded::start(&file).await;
    let refused = r#"pdp_reloads_total{what="callers",outcome="refused"}"#;
    let taken = r#"pdp_reloads_total{what="callers",outcome="taken"}"#;
    for (number, broken) in [(1, ""), (2, "callers: [{name: x}]"), (3, "callers: 7")] {
        guarded.replace(broken);
        until(broken, async || guarded.metric(refused, &scrapes).await >= number).await;
        assert_eq!(guarded.ask(Some(&good), "").await, "REASON_GRANTED");
    }
    let before = guarded.metric(taken, &scrapes).await;
    guarded.replace(&file.replace("[check]", "[explain]"));
    until("the mended file", async || guarded.metric(taken, &scrapes).await > before).await;
    assert_eq!(guarded.ask(Some(&good), "").await, "ROLE_MISSING");
    guarded.served.stop().await;
}
