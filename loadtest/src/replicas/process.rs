//! etcd and the servers: real programs as children of this one, on ports of loopback, with what they store below
//! one folder. They end with this.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use pdp_proto::etcd::etcdserverpb as wire;
use tonic::transport::{Channel, Endpoint};
use wire::kv_client::KvClient;
use wire::maintenance_client::MaintenanceClient;

use super::ReplicasError;
use crate::memory;

/// How long etcd may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long is waited between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// An etcd of one member.
#[derive(Debug)]
pub(super) struct Etcd {
    _child: Ended,
    endpoint: String,
}

/// A server that shares the log.
#[derive(Debug)]
pub(super) struct Server {
    child: Ended,
    pub(super) endpoint: String,
    /// How long it took until it served.
    pub(super) started: Duration,
}

/// What a server is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) program: &'a Path,
    pub(super) data: &'a Path,
    pub(super) etcd: &'a Etcd,
    /// After how many entries it writes a checkpoint; as usual unless said.
    pub(super) checkpoint: Option<u64>,
}

/// A child that does not outlive this.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that is gone already needs nothing.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

// === impl Etcd ===

impl Etcd {
    /// Starts it with an empty folder, once it answers.
    pub(super) async fn start(program: &Path, data: &Path) -> Result<Self, ReplicasError> {
        let free = || -> std::io::Result<u16> {
            Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
        };
        let [endpoint, peer] = [free()?, free()?].map(|port| format!("http://127.0.0.1:{port}"));
        let child = Command::new(program)
            .args(["--name", "m0", "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m0={peer}")])
            .args(["--logger", "zap", "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let program = || program.to_owned();
        let child = child.map_err(|source| ReplicasError::Start { program: program(), source })?;
        let etcd = Self { _child: Ended(child), endpoint };
        let begun = Instant::now();
        while etcd.status().await.is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(ReplicasError::Silent { program: program() });
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(etcd)
    }

    /// How large its database is, and how much of that is in use, in bytes.
    pub(super) async fn bytes(&self) -> Result<(u64, u64), ReplicasError> {
        let status = self.status().await?;
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        Ok((bytes(status.db_size), bytes(status.db_size_in_use)))
    }

    /// How many entries of logs it has, and whether it has a checkpoint.
    pub(super) async fn log(&self) -> Result<(i64, bool), ReplicasError> {
        let count = async |from: &str, to: &str| {
            let (key, range_end) = (from.to_owned().into(), to.to_owned().into());
            let ask = wire::RangeRequest { key, range_end, count_only: true, ..Default::default() };
            Ok::<_, ReplicasError>(
                KvClient::new(self.channel()?).range(ask).await?.into_inner().count,
            )
        };
        let entries = count("pdp/entry/", "pdp/entry0").await?;
        Ok((entries, count("pdp/checkpoint", "").await? > 0))
    }

    async fn status(&self) -> Result<wire::StatusResponse, ReplicasError> {
        let mut client = MaintenanceClient::new(self.channel()?);
        Ok(client.status(wire::StatusRequest {}).await?.into_inner())
    }

    fn channel(&self) -> Result<Channel, ReplicasError> {
        channel(&self.endpoint)
    }
}

// === impl Server ===

impl Server {
    /// Starts it, once it serves.
    pub(super) fn start(start: Start<'_>) -> Result<Self, ReplicasError> {
        let Start { program, data, etcd, checkpoint } = start;
        let begun = Instant::now();
        let mut command = Command::new(program);
        command
            .args(["serve", "--log-format", "json", "--grpc", "127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0", "--etcd-endpoints", &etcd.endpoint, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(entries) = checkpoint {
            command.args(["--etcd-checkpoint-entries", &entries.to_string()]);
        }
        let named = |source| ReplicasError::Start { program: program.to_owned(), source };
        let mut child = Ended(command.spawn().map_err(named)?);
        let told = child.0.stderr.take();
        let endpoint = served(told).map_err(|said| {
            let program = PathBuf::from(program);
            ReplicasError::Ended { program, said }
        })?;
        Ok(Self { child, endpoint, started: begun.elapsed() })
    }

    pub(super) fn channel(&self) -> Result<Channel, ReplicasError> {
        channel(&self.endpoint)
    }

    /// What it has in memory, in bytes.
    pub(super) fn resident(&self) -> Option<u64> {
        memory::resident_of(self.child.0.id())
    }
}

/// Where it serves, once it says so; or what it said instead.
fn served(told: Option<ChildStderr>) -> Result<String, String> {
    let mut said = String::new();
    let mut lines = BufReader::new(told.ok_or_else(String::new)?).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        if line.contains(r#""message":"serving""#) {
            let address = line.split(r#""grpc":""#).nth(1).and_then(|rest| rest.split('"').next());
            let address = address.ok_or_else(|| line.clone())?;
            // Whatever else it says is read, so that it never waits for a reader.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(format!("http://{address}"));
        }
        // Writing to a string does not fail.
        writeln!(said, "{line}").ok();
    }
    Err(said)
}

fn channel(endpoint: &str) -> Result<Channel, ReplicasError> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?;
    Ok(endpoint.tcp_nodelay(true).connect_lazy())
}
