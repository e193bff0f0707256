//! Parts in processes of their own: this program again, with a hidden command, whose answer is JSON.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::part::{Part, PolicyFigures, StartFigures, StoreFigures};
use super::{Each, Parts, ScaleError};

/// Measures each part in a process of its own.
#[derive(Debug)]
pub struct Children {
    program: PathBuf,
    each: Each,
    patience: Duration,
}

// === impl Children ===

impl Children {
    /// Processes of this program.
    ///
    /// # Errors
    /// [`ScaleError::Io`] if it does not know where it is itself.
    pub fn new(each: Each, patience: Duration) -> Result<Self, ScaleError> {
        Ok(Self { program: std::env::current_exe()?, each, patience })
    }

    fn run<T: DeserializeOwned>(
        &self,
        part: Part,
        size: u64,
        folder: Option<&Path>,
    ) -> Result<T, ScaleError> {
        let Each { seed, rounds, questions, buffer_mib } = self.each;
        let mut command = Command::new(&self.program);
        command.args(["scale-part", part.as_str(), "--size", &size.to_string()]);
        for (name, value) in [
            ("--seed", seed),
            ("--rounds", rounds as u64),
            ("--questions", questions as u64),
            ("--buffer-mib", buffer_mib as u64),
        ] {
            command.args([name, &value.to_string()]);
        }
        if let Some(folder) = folder {
            command.args([OsStr::new("--folder"), folder.as_os_str()]);
        }
        let (part, failed) = (part.as_str(), |said: String| {
            let part = part.as_str();
            ScaleError::Part { part, size, said }
        });
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let Some(mut stdout) = child.stdout.take() else {
            return Err(failed("it has no standard output".to_owned()));
        };
        let (done, answered) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let outcome = stdout.read_to_string(&mut text).map(|_| text);
            // Where nobody waits any more nobody needs it.
            done.send(outcome).ok();
        });
        let Ok(text) = answered.recv_timeout(self.patience) else {
            child.kill()?;
            child.wait()?;
            return Err(ScaleError::Patience { part, size, seconds: self.patience.as_secs() });
        };
        let (text, status) = (text?, child.wait()?);
        if !status.success() {
            return Err(failed(format!("{status}; see above")));
        }
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

impl Parts for Children {
    fn policy(&mut self, size: u64) -> Result<PolicyFigures, ScaleError> {
        self.run(Part::Policy, size, None)
    }

    fn store(&mut self, size: u64, folder: &Path) -> Result<StoreFigures, ScaleError> {
        self.run(Part::Store, size, Some(folder))
    }

    fn start(&mut self, size: u64, folder: &Path) -> Result<StartFigures, ScaleError> {
        self.run(Part::Start, size, Some(folder))
    }
}
