//! The server of a soak: this program again, with a hidden command, which serves a folder until its standard
//! input ends.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Look;
use crate::embedded::Embedded;
use crate::memory::resident_of;
use crate::targets::TargetsError;

/// A server in a process of its own. It ends when it is dropped, or with [`ServerProcess::stop`].
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    endpoint: String,
}

/// Serves the folder, writes the address as a line, and ends once nobody holds the other end of standard input.
///
/// # Errors
/// [`TargetsError`] if the server does not start or does not end well.
pub fn serve_until_told(folder: &Path, told: &mut dyn io::Write) -> Result<(), TargetsError> {
    let server = Embedded::start(folder)?;
    writeln!(told, "{}", server.endpoint())?;
    told.flush()?;
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(server.stop()?)
}

// === impl ServerProcess ===

impl ServerProcess {
    /// Starts this program with these arguments, which make it [`serve_until_told`].
    ///
    /// # Errors
    /// [`TargetsError::Io`] if it does not say where it serves.
    pub fn start(arguments: &[&std::ffi::OsStr]) -> Result<Self, TargetsError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self { child: command.spawn()?, endpoint: String::new() };
        if let Some(told) = server.child.stdout.take() {
            BufReader::new(told).read_line(&mut server.endpoint)?;
        }
        server.endpoint.truncate(server.endpoint.trim_end().len());
        if server.endpoint.is_empty() {
            return Err(io::Error::other("the server ended before it served; see above").into());
        }
        Ok(server)
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Looks at it.
    ///
    /// # Errors
    /// [`TargetsError::Io`] where the operating system does not tell, which only Linux does.
    pub(super) fn look(&self, after: Duration) -> Result<Look, TargetsError> {
        let id = self.child.id();
        let resident = resident_of(id);
        let resident = resident.ok_or_else(|| io::Error::other("the server is gone"))?;
        let handles = fs::read_dir(format!("/proc/{id}/fd"))?.count();
        let (resident_bytes, handles) = (resident as f64, handles as f64);
        Ok(Look { seconds: after.as_secs_f64(), resident_bytes, handles })
    }

    /// Stops it and waits until it has closed its store.
    ///
    /// # Errors
    /// [`TargetsError::Io`] if it did not end well.
    pub fn stop(mut self) -> Result<(), TargetsError> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("the server ended with {status}")).into()),
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
