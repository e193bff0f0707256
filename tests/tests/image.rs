//! The root file system of the container image, laid out as `deploy/container/Containerfile` lays it out, mounted
//! read-only, with the server in it as it would run there: linked with the C library, as user 65532, without capabilities.
//! What is not here is the runtime of containers.
//!
//! Needs Linux, root (or `newuidmap` with subordinate ids), and `PDP_STATIC_BINARIES`: the folder of both programs, which
//! `tests/run` links.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Names the folder of the programs.
const BINARIES: &str = "PDP_STATIC_BINARIES";

/// The top of the tree.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The user that the image names.
const USER: &str = "65532";

/// What mounts, as a container's runtime does, and becomes the user: `$1` is the image, `$2` the data folder, `$3` the
/// settings, the rest the command.
const ENTER: &str = r#"set -eu
image=$1 data=$2 settings=$3
shift 3
mount --bind "$image" "$image"
mount --bind "$data" "$image/var/lib/pdp"
mount --bind "$settings" "$image/etc/pdp"
mkdir -p "$image/dev"
mount -t tmpfs tmpfs "$image/dev"
for device in random urandom; do
    : > "$image/dev/$device"
    mount --bind "/dev/$device" "$image/dev/$device"
done
mount -o remount,bind,ro "$image/etc/pdp"
mount -o remount,bind,ro "$image"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid,+setpcap \
    chroot --userspec=65532:65532 --groups= "$image" "$@"
"#;

/// What the image holds, and what is mounted into it.
struct Image {
    folder: TempDir,
}

/// A server in it.
struct Running {
    process: Child,
    grpc: String,
    http: String,
}

/// Whether this is root, who needs no other ids.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

/// A command that is root of a place where it may mount.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--propagation", "private", "--"]);
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn succeeds(command: &mut Command) -> String {
    let ended = output(command);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{command:?}: {told}");
    String::from_utf8(ended.stdout).unwrap()
}

// === impl Image ===

impl Image {
    fn lay_out() -> Self {
        let binaries = std::env::var_os(BINARIES)
            .unwrap_or_else(|| panic!("{BINARIES} names no folder; tests/run links what is in it"));
        let folder = tempfile::tempdir().unwrap();
        let image = Self { folder };
        for part in ["data", "settings"] {
            fs::create_dir(image.part(part)).unwrap();
        }
        let policy = Path::new(TOP).join("deploy/envoy/demo/policy.yaml");
        fs::copy(policy, image.part("settings").join("policy.yaml")).unwrap();
        let root = Path::new(TOP).join("deploy/container/root");
        succeeds(apart().arg(root).arg(PathBuf::from(binaries)).arg(image.part("image")));
        succeeds(apart().args(["chown", "65532:65532"]).arg(image.part("data")));
        image
    }

    fn part(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in it.
    fn command(&self, line: &[&str]) -> Command {
        let mut command = apart();
        command.args(["sh", "-c", ENTER, "enter"]);
        command.args(["image", "data", "settings"].map(|part| self.part(part))).args(line);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PDP_DATA", "/var/lib/pdp");
        command.stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Running {
        let line =
            ["/usr/bin/pdp-server", "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let more = ["--load", "/etc/pdp/policy.yaml", "--grace-ms", "0", "--max-queue-ms", "60000"];
        let mut command = self.command(&[&line[..], &more].concat());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let serving = loop {
            let Some(line) = lines.next() else { panic!("it has ended: {said}") };
            let line = line.unwrap();
            if line.contains(r#""message":"serving""#) {
                break serde_json::from_str::<serde_json::Value>(&line).unwrap();
            }
            said.push_str(&line);
        };
        std::thread::spawn(move || lines.for_each(drop));
        let address = |door: &str| serving.get(door).and_then(|it| it.as_str()).unwrap().to_owned();
        Running { process, grpc: address("grpc"), http: address("http") }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // What belongs to the user of the image is not ours to delete, unless we are root.
        output(apart().args(["rm", "-rf"]).arg(self.part("image")).arg(self.part("data")));
    }
}

// === impl Running ===

impl Running {
    /// What the operating system says of the process.
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:\t")));
        line.unwrap().to_owned()
    }

    fn get(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(&self.http).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: pdp\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// SIGTERM, as a runtime sends it.
    fn stop(mut self) {
        succeeds(Command::new("kill").args(["-s", "TERM", &self.process.id().to_string()]));
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn the_server_runs_in_its_image_as_nobody_with_nothing_to_write_to_but_its_data() {
    let image = Image::lay_out();
    let running = image.serve();
    if is_root() {
        assert_eq!(running.status("Uid"), [USER; 4].join("\t"));
        assert_eq!(running.status("Gid"), [USER; 4].join("\t"));
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(running.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(running.status("NoNewPrivs"), "1");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", running.process.id())).unwrap();
    let options = |mounted: &str| {
        let mut of = mounts.lines().map(|line| line.split(' ').skip(4));
        let mut options =
            of.find_map(|mut it| (it.next() == Some(mounted)).then(|| it.next())).unwrap();
        options.take().unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!([options("/"), options("/etc/pdp"), options("/var/lib/pdp")], ["ro", "ro", "rw"]);
    assert!(running.get("/healthz/ready").starts_with("HTTP/1.1 200"));

    let server = format!("http://{}", running.grpc);
    let pdpctl = |line: &[&str]| {
        let line = [&["/usr/bin/pdpctl", "--server", &server], line].concat();
        image.command(&line).output().unwrap()
    };
    assert!(pdpctl(&["health"]).status.success());
    let exported = pdpctl(&["export"]);
    assert!(exported.status.success() && !exported.stdout.is_empty(), "{exported:?}");
    running.stop();

    let again = image.serve();
    let server = format!("http://{}", again.grpc);
    let line = ["/usr/bin/pdpctl", "--server", &server, "export"];
    assert_eq!(
        image.command(&line).output().unwrap().stdout,
        exported.stdout,
        "its data is still there"
    );
    again.stop();
}

#[test]
fn the_image_holds_two_programs_and_no_shell() {
    let image = Image::lay_out();
    for program in ["pdp-server", "pdpctl"] {
        let version = succeeds(&mut image.command(&[&format!("/usr/bin/{program}"), "--version"]));
        assert!(version.starts_with(program), "{version}");
    }
    let programs = fs::read_dir(image.part("image").join("usr/bin")).unwrap().count();
    assert_eq!(programs, 2);
    let shell = output(&mut image.command(&["/bin/sh", "-c", "true"]));
    assert!(!shell.status.success());
    assert!(!image.part("image").join("lib").exists(), "nothing is linked at run time");
}
