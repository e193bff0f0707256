//! A server as a process of its own, which does not outlive its test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

/// A server that serves.
pub(crate) struct Child {
    process: Held,
    channel: OnceLock<Channel>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    /// What it said until it served.
    pub(crate) said: String,
}

/// A process that does not outlive whoever holds it.
struct Held(std::process::Child);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

// === impl Child ===

impl Child {
    /// One that works in this folder and stores in its folder `data`, once it serves; or what it said instead.
    pub(crate) fn start(folder: &Path, settings: &[impl AsRef<OsStr>]) -> Result<Self, String> {
        let mut command = pdp_server();
        command
            .args(["serve", "--log-format", "json", "--data", "data"])
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--max-queue-ms", "60000"]) // However busy the machine is.
            .args(settings)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Held(command.spawn().unwrap());
        let mut told = BufReader::new(process.0.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if told.read_line(&mut line).unwrap() == 0 {
                let ended = process.0.wait().unwrap();
                assert_eq!(ended.code(), Some(1), "{said}");
                return Err(said);
            }
            said.push_str(&line);
            if let Some([grpc, http]) = serving(&line) {
                // Whatever else it says is read, so that it never waits for a reader.
                std::thread::spawn(move || told.read_to_string(&mut String::new()));
                return Ok(Self { process, channel: OnceLock::new(), grpc, http, said });
            }
        }
    }

    /// Its gRPC door, in clear.
    pub(crate) fn channel(&self) -> Channel {
        let address = || Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        self.channel.get_or_init(|| address().connect_lazy()).clone()
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.0.id(), name);
    }

    /// How it ends.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.0.wait().unwrap()
    }
}

/// The program.
pub(crate) const PDP_SERVER: &str = env!("CARGO_BIN_EXE_pdp-server");

/// The command, without any settings of whoever runs the tests.
pub(crate) fn pdp_server() -> Command {
    alone(PDP_SERVER)
}

/// A program without any settings of whoever runs the tests.
pub(crate) fn alone(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PDP_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Sends a process a signal.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The doors that a line of the log says are open.
fn serving(line: &str) -> Option<[SocketAddr; 2]> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] != "serving" {
        return None;
    }
    Some(["grpc", "http"].map(|door| line[door].as_str().unwrap().parse().unwrap()))
}
