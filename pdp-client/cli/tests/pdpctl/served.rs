//! A server on ports of its own, and `pdpctl` run against it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pdp_client::Client;
use pdp_server::clock::Clock;
use pdp_server::config::{DecisionLogSettings, Settings};
use pdp_server::{Listeners, RunError, run};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The policy that servers begin with.
const POLICY: &str = "\
resource_types:
  Report: {operations: [View, Edit, Delete], rights: [ReadData]}
  Person: {operations: [View]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
  - {type: Report, name: No Deletes, operations: {Delete: denied}}
locations: [{id: europe}, {id: zurich, parent: europe}]
people: [{id: ana, name: Ana}, {id: bo}]
groups: [{id: hr, members: [person:ana]}]
resources: [{type: Report, id: absence, locations: [zurich]}]
assignments:
  - {id: a-1, to: group:hr, level: Report/Viewer, in: europe}
  - {id: a-2, to: person:ana, level: Report/No Deletes, on: Report:absence}
";

/// A server that ends with the test.
pub(crate) struct Served {
    folder: TempDir,
    address: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

/// What a run printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

// === impl Served ===

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with(POLICY).await
    }

    /// One whose policy this bundle is.
    pub(crate) async fn start_with(bundle: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_logging(bundle, folder, DecisionLogSettings::default()).await
    }

    /// The same in this folder, logging its decisions as these settings say.
    pub(crate) async fn start_logging(
        bundle: &str,
        folder: TempDir,
        decision_log: DecisionLogSettings,
    ) -> Self {
        let policy = folder.path().join("policy.yaml");
        std::fs::write(&policy, bundle).unwrap();
        let settings = Settings {
            data: Some(folder.path().join("data")),
            load: Some(policy),
            grpc: Some("127.0.0.1:0".parse().unwrap()),
            http: Some("127.0.0.1:0".parse().unwrap()),
            grace_ms: Some(0),
            // However busy the machine is.
            max_queue_ms: Some(60_000),
            decision_log,
            ..Settings::default()
        };
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let address = format!("http://{}", listeners.grpc_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            stopped.await.ok();
        };
        let running = tokio::spawn(run(config, listeners, Clock::system(), shutdown));
        let client = Client::connect(address.as_str()).await.unwrap();
        client.wait_until_serving("").await.unwrap();
        Self { folder, address, stop, running }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Writes a file beside the server's.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs `pdpctl` against this server, in the folder of its files.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Ran {
        self.ctl_with(arguments, "").await
    }

    /// The same, with this on standard input.
    pub(crate) async fn ctl_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut all = vec!["--server".to_owned(), self.address.clone()];
        all.extend(arguments.iter().map(ToString::to_string));
        let (folder, input) = (self.folder.path().to_owned(), input.to_owned());
        tokio::task::spawn_blocking(move || ctl_in(&folder, &all, &input)).await.unwrap()
    }

    /// Runs `pdpctl` with JSON output, which must be that.
    pub(crate) async fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let mut all = vec!["--output", "json"];
        all.extend(arguments);
        let ran = self.ctl(&all).await;
        let printed = if ran.out.is_empty() { &ran.err } else { &ran.out };
        (ran.status, serde_json::from_str(printed).unwrap())
    }

    /// Ends the server and waits until it is gone.
    pub(crate) async fn stop(self) {
        drop(self.stop_and_keep().await);
    }

    /// The same, and keeps its files for as long as the folder is.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
        self.folder
    }
}

/// Runs `pdpctl` without a server, in this folder.
pub(crate) fn ctl(folder: &Path, arguments: &[&str]) -> Ran {
    let all: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    ctl_in(folder, &all, "")
}

fn ctl_in(folder: &Path, arguments: &[String], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pdpctl"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("PDP_SERVER")
        .env_remove("PDP_TENANT")
        .env_remove("PDP_TOKEN")
        .env_remove("PDP_TOKEN_FILE")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

// === impl Ran ===

impl Ran {
    /// What is printed when all is well.
    pub(crate) fn said(out: impl Into<String>) -> Self {
        Self { status: 0, out: out.into(), err: String::new() }
    }

    /// What is printed when nothing is.
    pub(crate) fn failed(err: impl Into<String>) -> Self {
        Self { status: 2, out: String::new(), err: err.into() }
    }
}
