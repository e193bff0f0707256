//! A server that logs its decisions to a file.

use std::path::{Path, PathBuf};

use pdp_proto::v1;
use pdp_server::config::{DecisionLogSettings, LogTarget, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::{self, Served, question};

/// A server and where it logs.
pub(crate) struct Logged {
    pub(crate) folder: TempDir,
    pub(crate) served: Served,
}

/// Where a server in this folder logs.
pub(crate) fn log_in(folder: &Path) -> PathBuf {
    folder.join("decisions.jsonl")
}

/// The records of a file.
pub(crate) fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

// === impl Logged ===

impl Logged {
    /// With these settings of the log, and these others.
    pub(crate) async fn start(log: DecisionLogSettings, others: Settings) -> Self {
        let folder = served::folder();
        Self::start_in(folder, log, others).await
    }

    pub(crate) async fn start_in(
        folder: TempDir,
        log: DecisionLogSettings,
        others: Settings,
    ) -> Self {
        let to = Some(LogTarget::File(log_in(folder.path())));
        let log = log.or(DecisionLogSettings { decision_log: to, ..Default::default() });
        let own = Settings { decision_log: log, ..served::settings(folder.path()) };
        let served = Served::with(others.or(own)).await;
        Self { folder, served }
    }

    /// Asks whether somebody may see a report.
    pub(crate) async fn asks(&self, who: &str, report: &str) {
        self.served.check(question(who, "View", report)).await;
    }

    /// Asks many questions at once.
    pub(crate) async fn asks_many(&self, who: &str, count: usize) {
        let questions = vec![question(who, "View", "absence"); count];
        let request = v1::BatchCheckRequest { questions, ..Default::default() };
        self.served.decisions().batch_check(request).await.unwrap();
    }

    /// Posts JSON.
    pub(crate) async fn posts(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.http(&request).await
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let request = "GET /metrics HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n";
        let text = self.http(request).await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).trim().parse().unwrap()
    }

    async fn http(&self, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.served.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        reply
    }

    /// Ends the server; what it had decided is in the log then.
    pub(crate) async fn stop(self) -> (TempDir, Vec<Value>) {
        let Self { folder, served } = self;
        served.stop().await;
        let records = records(&log_in(folder.path()));
        (folder, records)
    }
}
