//! A server as a process, which can be killed and paused, and comes back upon what it had stored.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pdp_proto::v1;
use pdp_proto::v1::audit_service_client::AuditServiceClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::child::Child;

/// How many people the policy has: each may view the report, or may not.
pub(crate) const PEOPLE: u32 = 24;

/// A server and what it has stored. It does not outlive its test.
pub(crate) struct Process {
    folder: TempDir,
    settings: Vec<String>,
    running: Mutex<Option<Child>>,
}

// === impl Process ===

impl Process {
    /// One that shares the log of these members, with an empty data folder. It runs.
    pub(crate) async fn start(endpoints: &str, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), policy()).unwrap();
        let settings = [&["--grace-ms", "0", "--etcd-endpoints", endpoints], settings].concat();
        let settings = settings.into_iter().map(str::to_owned).collect();
        let process = Self { folder, settings, running: Mutex::default() };
        process.begin().await.unwrap();
        process
    }

    /// Starts it where it does not run: once it serves, or what it said instead.
    pub(crate) async fn begin(&self) -> Result<(), String> {
        let (folder, settings) = (self.folder.path().to_owned(), self.settings.clone());
        let started = tokio::task::spawn_blocking(move || Child::start(&folder, &settings));
        let started = started.await.unwrap()?;
        *self.running.lock().unwrap() = Some(started);
        Ok(())
    }

    /// SIGKILL: it has no last word.
    pub(crate) fn kill(&self) {
        drop(self.running.lock().unwrap().take());
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn pause(&self, paused: bool) {
        let running = self.running.lock().unwrap();
        running.as_ref().unwrap().signal(if paused { "STOP" } else { "CONT" });
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn decisions(&self) -> Option<DecisionServiceClient<Channel>> {
        self.channel().map(DecisionServiceClient::new)
    }

    pub(crate) fn policy(&self) -> Option<PolicyServiceClient<Channel>> {
        self.channel().map(PolicyServiceClient::new)
    }

    /// The revision and who may view the report there, one bit a person.
    pub(crate) async fn answer(&self, at_least: u64) -> Option<(u64, u64)> {
        let questions = (0..PEOPLE).map(question).collect();
        let request = v1::BatchCheckRequest { questions, at_least, ..Default::default() };
        let answer = self.decisions()?.batch_check(request).await.ok()?.into_inner();
        let effects = answer.results.into_iter().zip(0..).map(|(result, bit)| {
            let Some(v1::batch_check_result::Result::Decision(decision)) = result.result else {
                panic!("a question without a decision: {result:?}");
            };
            u64::from(decision.effect() == v1::Effect::Allow) << bit
        });
        Some((answer.revision, effects.sum()))
    }

    /// The end of an audit, whole: how many records, and the hash of the last.
    pub(crate) async fn audit(&self) -> (u64, Vec<u8>) {
        let mut client = AuditServiceClient::new(self.channel().unwrap());
        let request = v1::AuditServiceVerifyRequest::default();
        let verified = client.verify(request).await.unwrap().into_inner();
        assert_eq!(verified.broken, None);
        (verified.records, verified.head)
    }

    fn channel(&self) -> Option<Channel> {
        self.running.lock().unwrap().as_ref().map(Child::channel)
    }
}

/// A report that nobody may view yet.
fn policy() -> String {
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("{{id: p-{n}}}")).collect();
    format!(
        "resource_types: {{Report: {{operations: [View]}}}}\n\
         access_levels: [{{type: Report, name: Viewer, operations: {{View: allowed}}}}]\n\
         resources: [{{type: Report, id: absence}}]\n\
         people: [{}]\n",
        people.join(", ")
    )
}

fn question(person: u32) -> v1::Question {
    crate::served::question(&format!("p-{person}"), "View", "absence")
}

/// What a server's file is called.
pub(crate) fn store(data: &Path) -> PathBuf {
    data.join("pdp.redb")
}
