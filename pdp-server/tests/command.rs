//! The `pdp-server` command: its settings, its refusals, and the demo from start to end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

fn pdp_server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdp-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PDP_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn told(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.yaml");
    std::fs::write(&file, "grpc: 127.0.0.1:1\nhttp: 127.0.0.1:2\ndata: from-file\n").unwrap();
    let mut command = pdp_server();
    command.args(["config", "--grpc", "127.0.0.1:11", "--config"]).arg(&file);
    command.env("PDP_GRPC", "127.0.0.1:21").env("PDP_HTTP", "127.0.0.1:22");
    let (ok, out, err) = told(&command.output().unwrap());
    assert!(ok, "{err}");
    for line in [
        "grpc: \"127.0.0.1:11\"",
        "http: \"127.0.0.1:22\"",
        "data: \"from-file\"",
        "grace_ms: 2000",
    ] {
        assert!(out.lines().any(|printed| printed == line), "{line}: {out}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.yaml");
    std::fs::write(&file, "data: a\nport: 7\n").unwrap();
    let serve = |arguments: &[&str]| {
        let output = pdp_server().arg("serve").args(arguments).current_dir(&folder).output();
        told(&output.unwrap())
    };
    let (ok, _, err) = serve(&["--grpc", "0.0.0.0:0"]);
    assert!(!ok && err.contains("`grpc` is 0.0.0.0:0") && err.contains("--insecure"), "{err}");
    let (ok, _, err) = serve(&["--config", "pdp.yaml"]);
    assert!(!ok && err.contains("pdp.yaml:2: there is no setting `port`"), "{err}");
    let ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let (ok, _, err) = serve(&[&ports[..], &["--load", "nowhere.yaml"]].concat());
    assert!(!ok && err.contains("nowhere.yaml"), "{err}");
    let (ok, _, err) = serve(&[&ports[..], &["--log", "a=b=c"]].concat());
    assert!(!ok && err.contains("`log` is `a=b=c`"), "{err}");
}

#[test]
fn the_demo_tells_decisions_serves_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = pdp_server()
        .args(["demo", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    for line in lines.by_ref() {
        let last = line.contains("Ctrl-C");
        told.push(line);
        if last {
            break;
        }
    }
    let told = told.join("\n");
    for said in ["ALLOW GRANTED", "DENY EXPLICIT_DENY", "Serving gRPC on 127.0.0.1:", "pdpctl"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let address = told.split("HTTP on ").nth(1).and_then(|rest| rest.split(". ").next()).unwrap();
    ready(address);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let ended = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let status = demo.wait().unwrap();
    let mut errors = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(status.success(), "{errors}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is gone");
}

/// Asks until the server is ready; each try is a connection.
fn ready(address: &str) {
    use std::io::Write as _;
    loop {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /healthz/ready HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
    }
}
