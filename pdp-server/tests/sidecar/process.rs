//! A sidecar as a process of its own: its socket, its end, and what it refuses to start with.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child as Process, Stdio};

use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;

use crate::beside::over;
use crate::child::{Child, pdp_server, signal};
use crate::served::{self, question};

/// A process that does not outlive its test.
struct Held(Process);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One that serves, or what it said instead.
fn sidecar(server: &Child, folder: &Path) -> Result<Held, String> {
    let mut command = pdp_server();
    command
        .args(["serve", "--log-format", "json", "--http", "127.0.0.1:0", "--grace-ms", "0"])
        .args(["--follow", &format!("http://{}", server.grpc), "--socket", "pdp.sock"])
        // As in a container image, which names it for whatever runs.
        .env("PDP_DATA", "data")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = Held(command.spawn().unwrap());
    let mut told = BufReader::new(process.0.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let before = said.len();
        if told.read_line(&mut said).unwrap() == 0 {
            assert_eq!(process.0.wait().unwrap().code(), Some(1), "{said}");
            return Err(said);
        }
        if said[before..].contains("\"serving\"") {
            assert!(said[before..].contains("unix:pdp.sock"), "{said}");
            std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
            return Ok(process);
        }
    }
}

async fn is_answered(folder: &Path) -> bool {
    let question = Some(question("ana", "View", "absence"));
    let request = v1::CheckRequest { question, ..Default::default() };
    let channel = over(&folder.join("pdp.sock"));
    DecisionServiceClient::new(channel).check(request).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_socket_comes_and_goes_with_it() {
    let (folder, own) = (served::folder(), tempfile::tempdir().unwrap());
    let server = Child::start(folder.path(), &["--load", "policy.yaml"]).unwrap();
    let socket = own.path().join("pdp.sock");
    let mut first = sidecar(&server, own.path()).unwrap();
    assert!(is_answered(own.path()).await);
    let mode = std::fs::symlink_metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // One that lives is not pushed aside.
    let refused = sidecar(&server, own.path()).map(drop).unwrap_err();
    assert!(refused.contains("another server answers on `pdp.sock`"), "{refused}");
    assert!(is_answered(own.path()).await);

    // One that was killed leaves its socket behind, which the next one replaces.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    assert!(socket.exists());
    let mut next = sidecar(&server, own.path()).unwrap();
    assert!(is_answered(own.path()).await);
    signal(next.0.id(), "TERM");
    assert_eq!(next.0.wait().unwrap().code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(own.path()).unwrap().collect();
    assert!(left.is_empty(), "neither a socket nor a store: {left:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(120);
    let follow = ["--follow", "http://127.0.0.1:1", "--http", "127.0.0.1:0", "--socket"];
    for (more, refused) in [
        (vec!["s", "--grpc", "127.0.0.1:0"], "`grpc` and `follow` are both set"),
        (vec!["s", "--load", "a.yaml"], "`load` and `follow` are both set"),
        (vec!["s", "--etcd-endpoints", "http://127.0.0.1:1"], "`etcd_endpoints` and `follow`"),
        (vec!["s", "--follow-cert", "a"], "`follow_cert` is set and `follow_key` is not"),
        (vec!["s", "--follow-tenants", "a,,b"], "--follow-tenants"),
        (vec!["s", "--socket-mode", "777"], "--socket-mode"),
        (vec![&*long], "too long for a socket"),
        (vec!["nowhere/s"], "its folder has to be there"),
        (vec!["."], "is no socket"),
        (vec!["s", "--follow", "pdp:7070"], "--follow"),
    ] {
        let mut command = pdp_server();
        command.arg("serve").args(follow).args(&more).current_dir(folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(refused), "{more:?}: {said}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
