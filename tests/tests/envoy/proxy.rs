//! A real Envoy as a child of the test: with a configuration of `deploy/envoy`, in a folder of its
//! own, on ports that the system chooses. It is ended by its handle; a test that is killed before it
//! can drop one leaves its Envoy running, as nothing ties a child to its parent without `unsafe`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::caller::Caller;

/// Names the Envoy to start.
const BINARY: &str = "PDP_ENVOY";

/// Where the configurations are.
pub(crate) const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/envoy");

/// How often a child process that is starting is looked at, and how long after each time: it tells
/// nobody when it is ready. Together a minute.
const LOOKS: u32 = 1_200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How long to wait for a line of the access log that is certain to come.
const LOG_PATIENCE: Duration = Duration::from_secs(60);

/// What replaces the ports of a configuration, and its time limit.
pub(crate) struct Deployed<'a> {
    /// The file, in [`DEPLOY`].
    pub(crate) file: &'a str,
    /// The port that the file listens on; the system chooses another.
    pub(crate) listens: u16,
    /// Where decisions come from.
    pub(crate) pdp: SocketAddr,
    /// Where requests go.
    pub(crate) upstream: SocketAddr,
    /// Whether the time limit stays. Elsewhere it is a minute: a test does not depend on how busy
    /// its machine is.
    pub(crate) in_time: bool,
    /// Texts that stand in the file once, and what replaces them: none, where it is used as it is.
    pub(crate) changed: &'a [(&'a str, &'a str)],
}

/// A running Envoy.
pub(crate) struct Envoy {
    child: Child,
    pub(crate) address: SocketAddr,
    log: mpsc::Receiver<String>,
    _folder: TempDir,
}

// === impl Deployed ===

impl Deployed<'_> {
    /// The configuration as it is deployed, but for what has to be replaced.
    fn text(&self) -> String {
        let mut text = fs::read_to_string(Path::new(DEPLOY).join(self.file)).unwrap();
        let port =
            |from: u16, to: u16| (format!("port_value: {from}}}"), format!("port_value: {to}}}"));
        let mut replaced = vec![
            port(self.listens, 0),
            port(9901, 0),
            port(7070, self.pdp.port()),
            port(8080, self.upstream.port()),
        ];
        if !self.in_time {
            replaced.push(("timeout: 0.2s".to_owned(), "timeout: 60s".to_owned()));
        }
        let changed = self.changed.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        for (from, to) in replaced.into_iter().chain(changed) {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            assert_eq!(lines.filter(|line| line.contains(&from)).count(), 1, "{from}");
            text = text
                .lines()
                .map(|line| {
                    let comment = line.trim_start().starts_with('#');
                    if comment { line.to_owned() } else { line.replace(&from, &to) }
                })
                .collect::<Vec<_>>()
                .join("\n");
        }
        text
    }
}

// === impl Envoy ===

impl Envoy {
    /// Starts one and waits until it takes requests.
    pub(crate) async fn start(deployed: &Deployed<'_>) -> Self {
        let binary = std::env::var_os(BINARY).unwrap_or_else(|| {
            panic!("{BINARY} does not name an Envoy to test with; tests/run sets it, and tests/README.md says how")
        });
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("envoy.yaml");
        fs::write(&config, deployed.text()).unwrap();
        let admin_file = folder.path().join("admin");
        let errors = folder.path().join("errors");
        let mut child = Command::new(&binary)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"])
            .args(["--file-flush-interval-msec", "10"])
            // Where the paths of the configuration begin.
            .current_dir(DEPLOY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{BINARY}: {}: {error}", PathBuf::from(&binary).display())
            });
        let (lines, log) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // Ends with the child.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)).ok()
        });
        let unset = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut envoy = Self { child, address: unset, log, _folder: folder };
        let admin: SocketAddr =
            envoy.once(&errors, async || fs::read_to_string(&admin_file).ok()?.parse().ok()).await;
        let client = Caller::http_1();
        envoy
            .once(&errors, async || {
                (client.try_get(admin, "/ready").await?.status == 200).then_some(())
            })
            .await;
        // A line `NAME::127.0.0.1:PORT` for the only listener.
        let listeners = client.try_get(admin, "/listeners").await.unwrap().body;
        envoy.address = listeners.trim().split_once("::").unwrap().1.parse().unwrap();
        envoy
    }

    /// What `look` finds, as soon as it does.
    async fn once<T>(&mut self, errors: &Path, look: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..LOOKS {
            if let Some(found) = look().await {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let said = fs::read_to_string(errors).unwrap_or_default();
                panic!("Envoy ended with {status}:\n{said}");
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        panic!("Envoy is not ready:\n{}", fs::read_to_string(errors).unwrap_or_default());
    }

    /// The next line of the access log that holds a text.
    pub(crate) fn logged(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(LOG_PATIENCE).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
