//! `pdp-server backup` of a server that runs, with TLS and callers.

use std::path::Path;

use crate::child::{Child, pdp_server};
use crate::guarded::{caller, key};
use crate::secrets::{Authority, Name};
use crate::served::folder;

/// Takes a backup with what these arguments say besides: what it said, and whether there is one.
fn backup(server: &str, arguments: &[&str], folder: &Path) -> Result<String, String> {
    let file = folder.join("taken.backup");
    let mut command = pdp_server();
    command.args(["backup", "--server", server]).args(arguments).arg(&file).current_dir(folder);
    let output = command.output().unwrap();
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(output.status.success(), file.exists());
    if file.exists() {
        std::fs::remove_file(file).unwrap();
        return Ok(said(output.stdout));
    }
    Err(said(output.stderr))
}

#[test]
fn a_backup_is_for_who_has_the_role_and_goes_to_who_is_vouched_for() {
    let folder = folder();
    let path = folder.path();
    let [(admin, one), (checks, two)] = [key(), key()];
    let callers =
        [caller("backups", &one, "{\"*\": [admin]}"), caller("checks", &two, "{default: [check]}")];
    std::fs::write(path.join("callers.yaml"), format!("callers:\n{}", callers.concat())).unwrap();
    for (name, key) in [("admin.key", admin), ("checks.key", checks)] {
        let secret = key.strip_prefix("Bearer ").unwrap();
        std::fs::write(path.join(name), format!("{secret}\n")).unwrap();
    }
    Authority::new().file(&path.join("another.pem"));
    let authority = Authority::new();
    authority.file(&path.join("ca.pem"));
    authority.issue(path, "server", &[Name::Dns("localhost")], 2_100);
    let settings = ["--load", "policy.yaml", "--callers", "callers.yaml"];
    let tls = ["--tls-cert", "server.pem", "--tls-key", "server-key.pem"];
    let child = Child::start(path, &[settings, tls].concat()).unwrap();
    let server = format!("https://localhost:{}", child.http.port());
    let taken = backup(&server, &["--ca", "ca.pem", "--token-file", "admin.key"], path).unwrap();
    assert!(taken.contains(" rows are in `"), "{taken}");
    let clear = server.replace("https", "http");
    let elsewhere = "http://pdp.example:7071";
    for (server, arguments, expected) in [
        (&*server, &["--ca", "ca.pem"][..], "refuses with status 401"),
        (&*server, &["--ca", "ca.pem", "--token-file", "checks.key"], "refuses with status 403"),
        (&*server, &["--ca", "ca.pem", "--token-file", "no.key"], "cannot read `no.key`: No such"),
        (
            &*server,
            &["--ca", "another.pem", "--token-file", "admin.key"],
            "invalid peer certificate",
        ),
        (&*server, &["--token-file", "admin.key"], "invalid peer certificate"),
        (&*clear, &["--token-file", "admin.key"], "the server"),
        (elsewhere, &["--token-file", "admin.key"], "a key is not sent there in clear"),
    ] {
        let said = backup(server, arguments, path).unwrap_err();
        assert!(said.contains(expected), "{server} {arguments:?}: {said}");
    }
}
