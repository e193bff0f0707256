//! A copy of the tree with mutants in it, and what the compiler says of that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::instrument::{Blame, instrument};
use crate::listed::{Mutant, Place};

/// Errors of code that a mutant puts in, which it has wherever it stands: its types do not fit.
const ITS_OWN: [&str; 7] = ["E0277", "E0308", "E0368", "E0369", "E0433", "E0599", "E0600"];

/// Asks which mutant is on.
const MUTANT: &str = "\n#[doc(hidden)]\npub mod mutant {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static ON: AtomicUsize = AtomicUsize::new(UNKNOWN);
    const UNKNOWN: usize = usize::MAX;
    const NONE: usize = usize::MAX - 1;
    /// Whether the mutant is on.
    #[inline(always)]
    pub fn on(number: usize) -> bool {
        let on = ON.load(Relaxed);
        on == number || on == UNKNOWN && read() == number
    }
    #[cold]
    fn read() -> usize {
        let on = match std::env::var(\"PDP_MUTANT\") {
            Ok(number) => number.parse().expect(\"PDP_MUTANT is a number\"),
            Err(_) => NONE,
        };
        ON.store(on, Relaxed);
        on
    }
}\n";

/// The copy.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    target: PathBuf,
    /// The root of the crate that has the mutants.
    library: String,
}

/// What became of the mutants that were put in together.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// They are in the build.
    pub(crate) together: Vec<usize>,
    /// They do not compile.
    pub(crate) unviable: Vec<usize>,
    /// They have to be built one by one.
    pub(crate) alone: Vec<usize>,
}

/// A binary of tests.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    /// The folder it runs in, as cargo has it.
    pub(crate) folder: PathBuf,
}

impl Tree {
    /// Copies what git knows of, or would, from `root`.
    pub(crate) fn copy(from: &Path, to: &Path, library: &str) -> Result<Self> {
        let tree =
            Self { root: to.join("tree"), target: to.join("build"), library: library.to_owned() };
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from)
            .output()
            .context("cannot run git")?;
        ensure!(listed.status.success(), "git cannot list the files");
        for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            // A file may be deleted, and not yet from the index.
            if let Ok(bytes) = fs::read(from.join(file)) {
                tree.write(file, &bytes)?;
            }
        }
        Ok(tree)
    }

    /// Puts all the mutants in that compile together.
    pub(crate) fn instrument(
        &self,
        mutants: &[Mutant],
        sources: &BTreeMap<String, String>,
    ) -> Result<Sorted> {
        let mut sorted = Sorted::default();
        let mut candidates: BTreeSet<usize> = (0..mutants.len()).collect();
        loop {
            let mut files = BTreeMap::new();
            for (file, source) in sources {
                let these: Vec<_> = candidates
                    .iter()
                    .map(|n| (*n, &mutants[*n]))
                    .filter(|(_, it)| it.file == *file)
                    .collect();
                let text = instrument(source, &these).with_context(|| file.clone())?;
                for (numbers, sorted) in
                    [(&text.left, &mut sorted.alone), (&text.unviable, &mut sorted.unviable)]
                {
                    sorted.extend(numbers.iter().filter(|number| candidates.remove(number)));
                }
                self.write(file, self.with_switch(file, &text.text).as_bytes())?;
                files.insert(file.clone(), text);
            }
            let errors = self.check()?;
            if errors.is_empty() {
                sorted.together = candidates.into_iter().collect();
                return Ok(sorted);
            }
            let before = candidates.len();
            for error in &errors {
                let blame = match error.not_const() {
                    Some(name) => Some(Blame::Around(
                        files.values().flat_map(|file| file.consts(name)).collect(),
                    )),
                    None => files.get(&error.file).and_then(|file| file.blame(error.place)),
                };
                let (numbers, own) = match blame {
                    Some(Blame::Own(number)) => {
                        (vec![number], ITS_OWN.contains(&error.code.as_str()))
                    }
                    Some(Blame::Around(numbers)) => (numbers, false),
                    None => bail!("no mutant is to blame for {error:?}"),
                };
                for number in numbers.into_iter().filter(|number| candidates.remove(number)) {
                    if own { sorted.unviable.push(number) } else { sorted.alone.push(number) }
                }
            }
            ensure!(candidates.len() < before, "the tree does not compile: {errors:?}");
            eprintln!("{} of {before} mutants do not compile together", before - candidates.len());
        }
    }

    /// Puts one mutant in, as cargo-mutants does; whether it compiles.
    pub(crate) fn alone(
        &self,
        mutant: &Mutant,
        sources: &BTreeMap<String, String>,
    ) -> Result<bool> {
        for (file, source) in sources {
            let text = if mutant.file == *file { mutant.applied(source)? } else { source.clone() };
            self.write(file, text.as_bytes())?;
        }
        Ok(self.check()?.is_empty())
    }

    /// Builds the tests of these packages, without what takes a server; `None` if they do not build, as some mistakes
    /// are found only where code is made.
    pub(crate) fn suites(&self) -> Result<Option<Vec<Suite>>> {
        let output = self.cargo("test", &["--no-run"]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            // Without a mistake in the code it is another reason, such as a disk that is full.
            ensure!(!errors(&output.stdout)?.is_empty(), "cargo test fails without an error");
            return Ok(None);
        }
        let mut suites = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let Ok(artifact) = serde_json::from_str::<Artifact>(line) else { continue };
            if let (Some(binary), true) = (artifact.executable, artifact.profile.test) {
                let folder =
                    Path::new(&artifact.manifest_path).parent().unwrap_or(&self.root).to_owned();
                suites.push(Suite { name: artifact.target.name, binary, folder });
            }
        }
        Ok(Some(suites))
    }

    fn check(&self) -> Result<Vec<Error>> {
        let output =
            self.cargo("check", &["--tests", "--keep-going"]).stderr(Stdio::null()).output()?;
        let errors = errors(&output.stdout)?;
        ensure!(
            output.status.success() || !errors.is_empty(),
            "cargo check fails without an error"
        );
        Ok(errors)
    }

    /// Of the packages whose tests are asked.
    fn cargo(&self, command: &str, options: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo
            .arg(command)
            .args(["--package", "pdp-engine", "--package", "pdp-bundle", "--package", "pdp-tests"])
            .arg("--no-default-features")
            .args(options)
            .arg("--message-format=json")
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn with_switch(&self, file: &str, text: &str) -> String {
        if file == self.library { format!("{text}{MUTANT}") } else { text.to_owned() }
    }

    /// Leaves a file as it is that says the same, so that nothing is built anew for it.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(file);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The mistakes that cargo tells of.
fn errors(stdout: &[u8]) -> Result<Vec<Error>> {
    let mut errors = Vec::new();
    for line in str::from_utf8(stdout)?.lines() {
        let Ok(Said { message }) = serde_json::from_str::<Said>(line) else { continue };
        if message.level != "error" {
            continue;
        }
        let code = message.code.map(|code| code.code).unwrap_or_default();
        for span in message.spans.into_iter().filter(|span| span.is_primary) {
            let place = Place { line: span.line_start, column: span.column_start };
            errors.push(Error {
                code: code.clone(),
                file: span.file_name,
                place,
                message: message.message.clone(),
            });
        }
    }
    Ok(errors)
}

#[derive(Debug)]
struct Error {
    code: String,
    file: String,
    place: Place,
    message: String,
}

impl Error {
    /// The function that is none of those that constants are made with.
    fn not_const(&self) -> Option<&str> {
        let path = self.message.split('`').nth(1).filter(|_| self.code == "E0015")?;
        // What asks which mutant is on is none either; then it is the place that tells.
        path.rsplit("::").next().filter(|name| *name != "on")
    }
}

#[derive(Deserialize)]
struct Said {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    message: String,
    code: Option<Code>,
    spans: Vec<MessageSpan>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct MessageSpan {
    file_name: String,
    line_start: usize,
    column_start: usize,
    is_primary: bool,
}

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    manifest_path: String,
    target: Target,
    profile: Profile,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}
