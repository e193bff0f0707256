//! The unit of systemd: systemd itself takes it, finds little left open, and its command lines are the
//! server's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pdp_tests::tree::text;

use crate::run;

const UNIT: &str = "deploy/systemd/pdp-server.service";

/// How much a unit may leave open, in tenths, as systemd counts it: 0 is nothing, 100 is everything.
const EXPOSED: u32 = 15;

/// What stands after a key, once for each time.
fn values(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

fn value(unit: &str, key: &str) -> String {
    let [value] = <[String; 1]>::try_from(values(unit, key)).unwrap();
    value
}

fn systemd_analyze(arguments: &[&str], unit: &Path) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let output = output.unwrap_or_else(|error| {
        panic!("`systemd-analyze` does not run: {error}; install systemd, such as with: apt-get install systemd")
    });
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&told));
}

#[test]
fn systemd_takes_the_unit_and_finds_little_open() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("pdp-server.service");
    // Systemd looks whether the binary is there: this test's own stands for it.
    let itself = std::env::current_exe().unwrap();
    let binary = folder.path().join("pdp-server");
    std::os::unix::fs::symlink(itself, &binary).unwrap();
    let text = text(Path::new(UNIT)).replace("/usr/bin/pdp-server", binary.to_str().unwrap());
    std::fs::write(&unit, text).unwrap();
    systemd_analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
    systemd_analyze(&["security", "--offline=yes", &format!("--threshold={EXPOSED}")], &unit);
}

#[test]
fn its_command_lines_are_the_server_s() {
    let unit = text(Path::new(UNIT));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.yaml");
    std::fs::write(&file, "log: info\n").unwrap();
    for key in ["ExecStart", "ExecStartPre"] {
        let line = value(&unit, key);
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let (binary, line) = words.split_first().unwrap();
        assert_eq!(binary, "/usr/bin/pdp-server");
        let config = run::config(&run::with(line, &[("--config", &file)]));
        let state = Path::new("/var/lib").join(value(&unit, "StateDirectory"));
        assert_eq!(config.data, state, "{key} writes where it may");
        let stop = value(&unit, "TimeoutStopSec");
        let stop = stop.strip_suffix('s').unwrap().parse().unwrap();
        assert!(Duration::from_secs(stop) > config.grace + config.drain, "{key}");
    }
    let users = text(Path::new("deploy/systemd/pdp.sysusers"));
    assert!(users.starts_with(&format!("u {} ", value(&unit, "User"))), "{users}");
}
