//! A real etcd as children of the test: one member, or several that form a cluster, on ports of loopback that
//! were free a moment ago, with their data in a folder of their own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pdp_proto::etcd::etcdserverpb as wire;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use wire::kv_client::KvClient;
use wire::maintenance_client::MaintenanceClient;

use crate::child::signal;
use crate::secrets::Issued;

/// Names the etcd to start.
const BINARY: &str = "PDP_ETCD";

/// The version that `tests/run` provides; 3.5.0 to 3.5.5 would lose what this test looks for.
const VERSION: &str = "3.4.23";

/// A cluster.
pub(crate) struct Etcd {
    members: Vec<Member>,
    folder: TempDir,
    settings: Vec<String>,
    /// Where the first member is reached with TLS, besides, and by what certificates.
    secured: Option<(u16, Secured)>,
}

/// The certificate of a member, and who vouches for those of its clients.
pub(crate) struct Secured {
    pub(crate) server: Issued,
    pub(crate) ca: PathBuf,
}

struct Member {
    client: u16,
    peer: u16,
    process: Option<Child>,
}

// === impl Etcd ===

impl Etcd {
    /// One of so many members, which answers.
    pub(crate) async fn start(members: usize) -> Self {
        Self::with(members, &[]).await
    }

    /// The same with more settings.
    pub(crate) async fn with(members: usize, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self::started(members, settings, None).await
    }

    /// One member that servers reach by TLS, and only with a certificate.
    pub(crate) async fn secured(secured: Secured) -> Self {
        Self::started(1, Vec::new(), Some(secured)).await
    }

    async fn started(members: usize, settings: Vec<String>, secured: Option<Secured>) -> Self {
        let listeners: Vec<_> =
            (0..=2 * members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
        drop(listeners);
        let member = |pair: &[u16]| Member { client: pair[0], peer: pair[1], process: None };
        let (pairs, more) = ports.split_at(2 * members);
        let secured = secured.map(|secured| (more[0], secured));
        let members = pairs.chunks(2).map(member).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut etcd = Self { members, folder, settings, secured };
        for at in 0..etcd.members.len() {
            etcd.begin(at);
        }
        etcd.answers().await;
        etcd
    }

    /// Starts a member that does not run.
    pub(crate) fn begin(&mut self, at: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster = self.members.iter().enumerate();
        let cluster: Vec<_> = cluster.map(|(at, it)| format!("m{at}={}", url(it.peer))).collect();
        let data = self.folder.path().join(at.to_string());
        let member = &mut self.members[at];
        let mut listened = url(member.client);
        let mut command = Command::new(binary());
        if let Some((port, Secured { server, ca })) = &self.secured {
            listened = format!("{listened},https://127.0.0.1:{port}");
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
            command.arg("--cert-file").arg(&server.cert).arg("--key-file").arg(&server.key);
        }
        let process = command
            .args(["--name", &format!("m{at}"), "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &listened])
            .args(["--advertise-client-urls", &url(member.client)])
            .args(["--listen-peer-urls", &url(member.peer)])
            .args(["--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--initial-cluster", &cluster.join(",")])
            .args(["--logger", "zap", "--log-level", "error"])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        member.process = Some(process);
    }

    /// Kills a member where it stands.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.members[at].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Pauses a member (SIGSTOP), or has it go on.
    pub(crate) fn pause(&self, at: usize, paused: bool) {
        let process = self.members[at].process.as_ref().unwrap();
        signal(process.id(), if paused { "STOP" } else { "CONT" });
    }

    /// Where members are asked.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// What servers name it by.
    pub(crate) fn endpoints(&self) -> String {
        let urls = self.members.iter().map(|it| format!("http://127.0.0.1:{}", it.client));
        urls.collect::<Vec<_>>().join(",")
    }

    /// What servers name it by where they use TLS.
    pub(crate) fn secured_endpoint(&self) -> String {
        format!("https://localhost:{}", self.secured.as_ref().unwrap().0)
    }

    /// Waits until it takes what only a cluster with a leader takes.
    pub(crate) async fn answers(&self) {
        loop {
            let asked = wire::RangeRequest { key: "none".into(), ..Default::default() };
            for at in 0..self.members.len() {
                if self.kv(at).range(asked.clone()).await.is_ok() {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Which member leads.
    pub(crate) async fn leader(&self) -> usize {
        loop {
            for at in 0..self.members.len() {
                let mut client = MaintenanceClient::new(self.channel(at));
                if let Ok(status) = client.status(wire::StatusRequest {}).await {
                    let status = status.into_inner();
                    let leads = status.header.unwrap().member_id == status.leader;
                    assert_eq!(status.version, VERSION, "`{BINARY}` names another etcd");
                    if leads {
                        return at;
                    }
                }
            }
        }
    }

    /// Keys and values of a member.
    pub(crate) fn kv(&self, at: usize) -> KvClient<Channel> {
        KvClient::new(self.channel(at)).max_decoding_message_size(64 << 20)
    }

    /// How many keys there are below a prefix.
    pub(crate) async fn count(&self, prefix: &str) -> i64 {
        let (key, range_end) = (format!("{prefix}/").into(), format!("{prefix}0").into());
        let asked = wire::RangeRequest { key, range_end, count_only: true, ..Default::default() };
        self.kv(0).range(asked).await.unwrap().into_inner().count
    }

    /// By what the cluster knows a member.
    pub(crate) async fn member_id(&self, at: usize) -> u64 {
        let mut client = MaintenanceClient::new(self.channel(at));
        let status = client.status(wire::StatusRequest {}).await.unwrap().into_inner();
        status.header.unwrap().member_id
    }

    /// When the last checkpoint was written, in revisions of etcd; 0 if none was.
    pub(crate) async fn checkpointed(&self) -> i64 {
        let asked = wire::RangeRequest { key: "pdp/checkpoint".into(), ..Default::default() };
        let found = self.kv(0).range(asked).await.unwrap().into_inner().kvs;
        found.first().map_or(0, |it| it.mod_revision)
    }

    fn channel(&self, at: usize) -> Channel {
        let url = format!("http://127.0.0.1:{}", self.members[at].client);
        Endpoint::from_shared(url).unwrap().connect_lazy()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}

fn binary() -> PathBuf {
    let named = std::env::var_os(BINARY);
    named
        .unwrap_or_else(|| panic!("`{BINARY}` names no etcd {VERSION}; tests/run fetches one"))
        .into()
}
