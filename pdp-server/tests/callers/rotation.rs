//! A key and a certificate replaced while callers go on calling, as a transcript:
//!
//! ```console
//! $ cargo test -p pdp-server --test callers a_transcript -- --nocapture
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use pdp_server::config::{ClientAuth, Settings};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::task::JoinHandle;

use crate::certificates::shown;
use crate::guarded::{Guarded, Tls, ask, caller, key, outcome, until};
use crate::secrets::{Name, replace};
use crate::served;

/// How many callers ask at a time; every other one connects anew for each request.
const CALLERS: usize = 4;

/// How many requests are to be answered between two steps.
const BETWEEN: usize = 200;

/// What the callers share.
struct Load {
    guarded: Guarded,
    tls: Tls,
    keys: [String; 2],
    /// Which of the keys they use.
    renewed: AtomicBool,
    done: AtomicBool,
    /// Requests with each of the keys.
    asked: [AtomicUsize; 2],
    connected: AtomicUsize,
    failed: AtomicUsize,
    began: Instant,
}

// === impl Load ===

impl Load {
    /// One caller, until it is done.
    async fn call(self: Arc<Self>, connects_anew: bool) {
        let mut channel = self.connect().await;
        while !self.done.load(Ordering::SeqCst) {
            if connects_anew || channel.is_none() {
                channel = self.connect().await;
            }
            let Some(channel) = &channel else { continue };
            let which = usize::from(self.renewed.load(Ordering::SeqCst));
            let answer = ask(channel, Some(&self.keys[which]), "").await;
            self.asked[which].fetch_add(1, Ordering::SeqCst);
            if outcome(&answer) != "REASON_GRANTED" {
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    async fn connect(&self) -> Option<tonic::transport::Channel> {
        let connected = self.tls.connect(&self.guarded.served, None).await;
        let counted = if connected.is_ok() { &self.connected } else { &self.failed };
        counted.fetch_add(1, Ordering::SeqCst);
        connected.ok()
    }

    fn total(&self) -> usize {
        self.asked.iter().map(|asked| asked.load(Ordering::SeqCst)).sum()
    }

    /// Tells a step, and what was asked until then.
    fn tell(&self, step: &str) {
        let [old, new] = [0, 1].map(|which| self.asked[which].load(Ordering::SeqCst));
        let connected = self.connected.load(Ordering::SeqCst);
        let failed = self.failed.load(Ordering::SeqCst);
        println!("{:>6.2} s  {step}", self.began.elapsed().as_secs_f64());
        println!(
            "          {old} requests with the old key, {new} with the new one, {connected} connections; \
             {failed} failed"
        );
    }

    /// Waits until some more have been asked.
    async fn go_on(&self) {
        let at = self.total();
        until("requests", async || self.total() >= at + BETWEEN).await;
    }

    /// What comes of a request with one of the keys, beside the others.
    async fn tried(&self, which: usize) -> String {
        let channel = self.tls.connect(&self.guarded.served, None).await.unwrap();
        outcome(&ask(&channel, Some(&self.keys[which]), "").await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_of_a_key_and_a_certificate_replaced_under_load() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let [(old, one), (new, two)] = [key(), key()];
    let with =
        |entries: &str| format!("callers:\n{}", caller("gateway", entries, "{default: [check]}"));
    let settings = Settings { tls_client_auth: Some(ClientAuth::Optional), ..tls.settings() };
    let anybody = tls.authority.issue(folder.path(), "anybody", &[Name::Dns("a.example")], 2100);
    let guarded = Guarded::with_tls(folder, &with(&one), settings, &tls, &anybody).await;
    let load = Arc::new(Load {
        guarded,
        tls,
        keys: [old, new],
        renewed: AtomicBool::default(),
        done: AtomicBool::default(),
        asked: Default::default(),
        connected: AtomicUsize::default(),
        failed: AtomicUsize::default(),
        began: Instant::now(),
    });
    let callers: Vec<JoinHandle<()>> =
        (0..CALLERS).map(|number| tokio::spawn(Arc::clone(&load).call(number % 2 == 1))).collect();
    load.go_on().await;
    load.tell("4 callers ask over TLS with the old key; 2 of them connect anew for each request");

    load.guarded.replace(&with(&format!("{one}, {two}")));
    until("the new key", async || load.tried(1).await == "REASON_GRANTED").await;
    load.tell("the entry of the new key is beside the old one, and the server takes both");
    load.go_on().await;
    load.renewed.store(true, Ordering::SeqCst);
    load.go_on().await;
    load.tell("the callers have gone over to the new key");
    load.guarded.replace(&with(&two));
    until("the old key", async || load.tried(0).await == "CREDENTIALS_INVALID").await;
    load.tell("the entry of the old key is taken out: it gets CREDENTIALS_INVALID now");
    load.go_on().await;

    let name = [Name::Dns("pdp.example")];
    let next = load.tls.authority.issue(load.guarded.folder.path(), "next", &name, 2101);
    replace(&load.tls.server.cert, &std::fs::read(&next.cert).unwrap());
    load.go_on().await;
    load.tell("the new certificate is there, and its key is not yet: the server goes on with the old pair");
    replace(&load.tls.server.key, &std::fs::read(&next.key).unwrap());
    let new = CertificateDer::from_pem_file(&next.cert).unwrap();
    let shows = async || shown(&load.guarded, &load.tls, &anybody).await;
    until("the new certificate", async || shows().await[..] == new[..]).await;
    load.tell("its key is there, too: new connections get the new certificate");
    load.go_on().await;
    load.done.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    load.tell("done");
    assert_eq!(load.failed.load(Ordering::SeqCst), 0);
}
