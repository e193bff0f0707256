//! The `pdp-server` command: its settings, its refusals, and the demo from start to end.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Output, Stdio};

use pdp_server::config::{Described, described};

use child::{PDP_SERVER, alone, pdp_server, signal};

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

/// Three values that a setting may have, none of them its default; of `insecure` there are two.
fn values(setting: &Described, folder: &std::path::Path) -> [String; 3] {
    let numbers = [1, 2, 3];
    match (setting.name.unwrap(), setting.placeholder.as_str()) {
        ("insecure", _) => ["true", "false", "true"].map(str::to_owned),
        ("tls_client_auth", _) => ["required", "optional", "required"].map(str::to_owned),
        ("log_format", _) => ["text", "json", "text"].map(str::to_owned),
        (name @ ("grpc" | "http"), _) => {
            numbers.map(|n| format!("127.0.0.1:{n}{}", if name == "grpc" { 1 } else { 2 }))
        }
        ("etcd_endpoints", _) => numbers.map(|n| format!("http://127.0.0.1:{n},http://[::1]:{n}")),
        ("etcd_prefix", _) => numbers.map(|n| format!("pdp-{n}")),
        (_, "BYTES") => numbers.map(|n| (n * 20_000).to_string()),
        (_, "COUNT" | "THREADS") => numbers.map(|n| n.to_string()),
        (_, "MS") => numbers.map(|n| (n * 100).to_string()),
        ("decision_log", _) => numbers.map(|n| format!("decisions-{n}.jsonl")),
        (_, "SHARE") => numbers.map(|n| format!("0.{n}")),
        (_, "PARTS") => ["subject", "resource", "permission"].map(str::to_owned),
        (_, "FILTER") => ["warn", "debug", "error"].map(str::to_owned),
        (_, "URL") => numbers.map(|n| format!("http://127.0.0.1:{n}")),
        (_, "TYPES" | "NAMES") => ["a", "b", "c"].map(str::to_owned),
        (_, "MODE") => ["640", "660", "666"].map(str::to_owned),
        (name, "DIR" | "FILE" | "BUNDLE") => numbers.map(|n| {
            let file = folder.join(format!("{name}-{n}"));
            let text = if name == "callers" { "callers: []\n" } else { "routes: []\n" };
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        }),
        (name, placeholder) => panic!("give `{name}` ({placeholder}) three values here"),
    }
}

#[test]
fn of_every_setting_a_flag_beats_a_variable_and_that_the_file() {
    let settings: Vec<_> = described().into_iter().filter(|it| it.name.is_some()).collect();
    // A sidecar has no use for what a server with a policy of its own is told.
    let of_sidecar = |it: &Described| {
        it.name.is_some_and(|name| name.starts_with("follow") || name.starts_with("socket"))
    };
    let (sidecar, server): (Vec<_>, Vec<_>) = settings.into_iter().partition(of_sidecar);
    assert!(sidecar.len() > 5 && server.len() > sidecar.len());
    for settings in [server, sidecar] {
        a_flag_beats_a_variable_and_that_the_file_of(&settings);
    }
}

fn a_flag_beats_a_variable_and_that_the_file_of(settings: &[Described]) {
    let folder = tempfile::tempdir().unwrap();
    let settings: Vec<_> = settings.iter().map(|it| (it, values(it, folder.path()))).collect();
    let file = folder.path().join("pdp.yaml");
    let lines =
        settings.iter().map(|(it, [value, ..])| format!("{}: {value:?}\n", it.name.unwrap()));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let shown = |sources: usize| {
        let mut command = pdp_server();
        command.arg("config").env("PDP_CONFIG", &file);
        for (setting, [_, variable, flag]) in &settings {
            if sources > 0 {
                command.env(&setting.variable, variable);
            }
            if sources > 1 {
                command.arg(format!("{}={flag}", setting.flag));
            }
        }
        let (ok, out, err) = told(&command.output().unwrap());
        assert!(ok, "{err}");
        out
    };
    for sources in 0..3 {
        let out = shown(sources);
        for (setting, values) in &settings {
            let (name, value) = (setting.name.unwrap(), &values[sources]);
            let said = [format!("{name}: {value}"), format!("{name}: {value:?}")];
            assert!(out.lines().any(|line| said.iter().any(|it| it == line)), "{said:?}: {out}");
        }
    }
}

#[test]
fn a_complaint_names_the_place_and_what_was_expected() {
    let config = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = pdp_server();
        command.arg("config").args(arguments).envs(variable);
        let (ok, _, err) = told(&command.output().unwrap());
        assert!(!ok, "{arguments:?}, {variable:?}");
        err
    };
    let err = config(&[], Some(("PDP_GRACE_MS", "soon")));
    for said in ["'soon'", "variable PDP_GRACE_MS", "a whole number of milliseconds"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    let err = config(&["--grpc", "nowhere"], None);
    assert!(err.contains("--grpc") && err.contains("such as 127.0.0.1:7070"), "{err}");
    assert!(!err.contains("PDP_GRPC"), "{err}");
    let err = config(&["--grpc=nowhere"], Some(("PDP_GRPC", "127.0.0.1:1")));
    assert!(!err.contains("PDP_GRPC"), "{err}");
    let err = config(&[], Some(("PDP_MAX_BODY_BYTES", "1")));
    assert!(err.contains("PDP_MAX_BODY_BYTES: `max_body_bytes` is 1; it must be 16384"), "{err}");
    let err = config(&["--max-live-streams=0"], None);
    assert!(err.contains("--max-live-streams: `max_live_streams` is 0; it must be 1"), "{err}");
    let err = config(&["--max-live-stream=1"], None);
    assert!(err.contains("--max-live-stream") && err.contains("--max-live-streams"), "{err}");
}

/// With a variable that names no setting, of which both commands complain, and what they say first.
#[test]
fn a_log_is_json_where_nobody_reads_it_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let serve =
        ["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--load", "nowhere.yaml"];
    let begins = |format: &[&str]| {
        let mut command = pdp_server();
        command.args(serve).args(format).current_dir(&folder).env("PDP_GRCP", "127.0.0.1:1");
        let (ok, _, err) = told(&command.output().unwrap());
        assert!(!ok, "there is no such bundle");
        err.lines().next().unwrap().to_owned()
    };
    for format in [&[][..], &["--log-format", "auto"], &["--log-format", "json"]] {
        let line: serde_json::Value = serde_json::from_str(&begins(format)).unwrap();
        assert_eq!((&line["level"], &line["variable"]), (&"WARN".into(), &"PDP_GRCP".into()));
    }
    let text = begins(&["--log-format", "text"]);
    assert!(text.contains(" WARN ") && text.contains(r#"variable="PDP_GRCP""#), "{text}");
    // On a terminal, with colours.
    let mut terminal = alone("script");
    let command = format!("{PDP_SERVER} {}", serve.join(" "));
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(&folder).env("PDP_GRCP", "x");
    let (ok, out, err) = told(&terminal.output().unwrap());
    assert!(!ok && err.is_empty(), "{err}");
    let first = out.lines().next().unwrap();
    assert!(first.contains("\u{1b}[33m WARN\u{1b}[0m ") && first.contains("PDP_GRCP"), "{first:?}");

    let (ok, _, err) = told(&pdp_server().arg("config").env("PDP_GRCP", "x").output().unwrap());
    assert!(ok && err.starts_with("pdp-server: PDP_GRCP names no setting; "), "{err}");
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
fn a_stopped_server_s_audit_is_verified_and_a_running_one_s_is_not() {
    use pdp_server::clock::Clock;
    use pdp_server::publish::Publisher;
    use pdp_server::store::Store;

    let folder = tempfile::tempdir().unwrap();
    let verify = || {
        let output = pdp_server().args(["audit", "verify", "--data"]).arg(folder.path()).output();
        told(&output.unwrap())
    };
    let (ok, _, err) = verify();
    assert!(!ok && err.contains("there is no `") && err.contains("pdp.redb"), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");

    let publisher = Publisher::open(Store::open(folder.path()).unwrap(), Clock::system()).unwrap();
    let (ok, _, err) = verify();
    assert!(!ok && err.contains("another pdp-server has"), "{err}");
    drop(publisher);
    let (ok, out, err) = verify();
    assert!(ok, "{err}");
    let lines: Vec<_> = out.lines().collect();
    let [server, tenant] = lines.as_slice() else { panic!("{out}") };
    assert!(server.starts_with("the server: 1 record, head "), "{out}");
    assert!(tenant.starts_with("tenant `default`: 1 record, head "), "{out}");

    flip(&folder.path().join("pdp.redb"), "default", 1);
    let (ok, out, err) = verify();
    assert!(!ok && err.contains("1 of 2 chains are broken"), "{err}");
    let broken = "tenant `default`: BROKEN: record 1 is not as it was written: its hash does not fit; 0 records before it";
    assert!(out.lines().any(|line| line.starts_with(broken)), "{out}");
}

/// Changes a byte of an audit record behind the server's back.
fn flip(file: &std::path::Path, chain: &str, sequence: u64) {
    let table = redb::TableDefinition::<(&str, u64), (&[u8; 32], &[u8])>::new("audit");
    let db = redb::Database::open(file).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut table = txn.open_table(table).unwrap();
        let (hash, mut bytes) = {
            let row = table.remove((chain, sequence)).unwrap().unwrap();
            (*row.value().0, row.value().1.to_vec())
        };
        *bytes.last_mut().unwrap() ^= 1;
        table.insert((chain, sequence), (&hash, bytes.as_slice())).unwrap();
    }
    txn.commit().unwrap();
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
    signal(demo.id(), "TERM");
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
