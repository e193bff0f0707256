//! The Cerbos binary, as the npm registry has it, and a running server of it.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

/// The package, and the SHA-512 of what the registry has under it.
const PACKAGE: &str = "@cerbos/cerbos-linux-x64";
pub(super) const VERSION: &str = "0.55.0";
const SHA_512: &str = "78b654c9c25f69058ad174d1807fcecf61375e234251abc37752e1cc5c61529677b390ae42a9aa1b7dbbb5ad0e9fc60e4f1b993bfd7d706e24bdf0b6dabd37fd";

/// Where it is kept, below the folder that this program was built in.
const FOLDER: &str = "tools";

/// A running server. It ends when it is dropped, and its folder with it.
pub(super) struct Server {
    child: Child,
    folder: TempDir,
    endpoint: String,
}

/// The binary: fetched with npm where it is not there yet.
///
/// # Errors
/// If npm or the registry has none, or has another than was tested.
pub(crate) fn fetch(say: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "there is a Cerbos binary for Linux on x86-64 only; name another with --binary"
    );
    let program = std::env::current_exe()?;
    let built = program.parent().and_then(Path::parent).context("this program has a folder")?;
    let folder = built.join(FOLDER).join(format!("cerbos-{VERSION}"));
    let binary = folder.join("package/cerbos-linux-x64");
    if binary.is_file() {
        return Ok(binary);
    }
    say(&format!("fetching {PACKAGE} {VERSION}"));
    fs::create_dir_all(&folder)?;
    let part = tempfile::tempdir_in(&folder)?;
    let package = format!("{PACKAGE}@{VERSION}");
    run(Command::new("npm").args(["pack", "--silent", &package]).current_dir(part.path()))?;
    let archive = part.path().join(format!("cerbos-cerbos-linux-x64-{VERSION}.tgz"));
    let found = sha_512(&archive)?;
    ensure!(found == SHA_512, "{package} is not what was tested: its SHA-512 is {found}");
    run(Command::new("tar").arg("xzf").arg(&archive).current_dir(part.path()))?;
    fs::rename(part.path().join("package"), folder.join("package"))?;
    Ok(binary)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("`{name}` does not run"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name}` failed: {}", said.trim());
    Ok(())
}

fn sha_512(path: &Path) -> anyhow::Result<String> {
    let (mut file, mut part, mut hash) = (File::open(path)?, vec![0; 1 << 20], Sha512::new());
    loop {
        let length = file.read(&mut part)?;
        if length == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(part.get(..length).unwrap_or_default());
    }
}

// === impl Server ===

impl Server {
    /// Starts one with these policies.
    ///
    /// # Errors
    /// If it does not start; whether it is ready is to be asked.
    pub(super) fn start(binary: &Path, policies: &[(&str, String)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let of = folder.path().join("policies");
        fs::create_dir(&of)?;
        for (name, text) in policies {
            fs::write(of.join(name), text)?;
        }
        // Held until both are known, so that they differ.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (grpc, http) = (free()?, free()?);
        let (grpc, http) = (grpc.local_addr()?, http.local_addr()?);
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(binary)
            .args(["server", "--log-level=error"])
            .arg(format!("--set=server.grpcListenAddr={grpc}"))
            .arg(format!("--set=server.httpListenAddr={http}"))
            .arg("--set=storage.driver=disk")
            .arg(format!("--set=storage.disk.directory={}", of.display()))
            .arg("--set=telemetry.disabled=true")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("`{}` does not run", binary.display()))?;
        Ok(Self { child, folder, endpoint: format!("http://{grpc}") })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What it has written.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
