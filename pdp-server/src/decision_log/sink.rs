//! Where lines go: standard output, or a file that is put aside when it is full. Lines are gathered
//! and written together.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How many bytes are gathered before they are written.
const GATHERED_BYTES: usize = 64 << 10;

/// Who may read a file: its owner and the group, as with logs in general.
const MODE: u32 = 0o640;

/// Takes lines.
#[derive(Debug)]
pub(super) struct Sink {
    out: Out,
    gathered: Vec<u8>,
    lines: u64,
    /// The last write failed half-way, so that a line may have no end.
    torn: bool,
    /// A full file could not be put aside; that was told.
    stuck: bool,
}

#[derive(Debug)]
enum Out {
    StandardOutput,
    File(Rotated),
}

/// A file with its predecessors: `name.1` is the one before, and the highest number the oldest.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    keep: usize,
}

/// Lines that were not written, and why. None where it is the full file that cannot be put aside.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) source: io::Error,
}

// === impl Sink ===

impl Sink {
    /// Writes to standard output.
    pub(super) const fn standard_output() -> Self {
        Self::new(Out::StandardOutput)
    }

    /// Appends to a file.
    pub(super) fn file(path: &Path, max_bytes: u64, keep: usize) -> io::Result<Self> {
        let mut file = open(path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let torn = bytes > 0 && !ends_a_line(&mut file)?;
        let rotated = Rotated { path: path.to_owned(), file, bytes, max_bytes, keep };
        Ok(Self { torn, ..Self::new(Out::File(rotated)) })
    }

    const fn new(out: Out) -> Self {
        Self { out, gathered: Vec::new(), lines: 0, torn: false, stuck: false }
    }

    /// Takes a line, with its end.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<(), Lost> {
        let mut outcome = Ok(());
        if let Out::File(rotated) = &self.out
            && rotated.is_full_with(self.gathered.len(), line.len())
        {
            outcome = self.flush();
            outcome = outcome.and(self.put_aside());
        }
        self.gathered.extend_from_slice(line);
        self.lines += 1;
        if self.gathered.len() >= GATHERED_BYTES {
            outcome = outcome.and(self.flush());
        }
        outcome
    }

    /// Begins another file. That it cannot be done is told once, until it can.
    fn put_aside(&mut self) -> Result<(), Lost> {
        let Out::File(rotated) = &mut self.out else { return Ok(()) };
        match rotated.rotate() {
            Ok(()) => self.stuck = false,
            Err(source) if !self.stuck => {
                self.stuck = true;
                return Err(Lost { lines: 0, source });
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Writes what was gathered. What cannot be written is lost.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let written = self.write();
        self.torn = written.is_err();
        self.gathered.clear();
        written.map_err(|source| Lost { lines, source })
    }

    fn write(&mut self) -> io::Result<()> {
        let Self { out, gathered, lines: _, torn, stuck: _ } = self;
        let end: &[u8] = if *torn { b"\n" } else { b"" };
        match out {
            Out::StandardOutput => {
                let mut out = io::stdout().lock();
                out.write_all(end)?;
                out.write_all(gathered)?;
                out.flush()
            }
            Out::File(rotated) => {
                rotated.file.write_all(end)?;
                rotated.file.write_all(gathered)?;
                let bytes = u64::try_from(gathered.len() + end.len()).unwrap_or(u64::MAX);
                rotated.bytes = rotated.bytes.saturating_add(bytes);
                Ok(())
            }
        }
    }
}

// === impl Rotated ===

impl Rotated {
    /// Whether one more line is too much.
    fn is_full_with(&self, gathered: usize, line: usize) -> bool {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let before = self.bytes.saturating_add(wide(gathered));
        before > 0 && before.saturating_add(wide(line)) > self.max_bytes
    }

    /// Puts the file aside and begins another one. Where that fails, the file that there is grows by as
    /// much again before it is tried once more.
    fn rotate(&mut self) -> io::Result<()> {
        self.bytes = 0;
        if self.keep == 0 {
            return self.file.set_len(0);
        }
        // What is not there is not put aside: the ones before stay where they are.
        let shifted = if self.path.exists() { 1..self.keep } else { 0..0 };
        for number in shifted.rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) | Ok(()) => {}
            }
        }
        match std::fs::rename(&self.path, self.numbered(1)) {
            // Put aside before, when no other could be begun, or taken away by somebody.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        self.file = open(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_file_is_put_aside_and_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut sink = Sink::file(&path, 10, 2).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "longer than ten\n", "six\n"]
        {
            sink.push(line.as_bytes()).unwrap();
        }
        sink.flush().unwrap();
        assert_eq!(text(&path), "six\n");
        assert_eq!(text(&folder.path().join("log.1")), "longer than ten\n");
        assert_eq!(text(&folder.path().join("log.2")), "four\nfive\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(sink);
        let mut sink = Sink::file(&path, 10, 0).unwrap();
        for line in ["seven\n", "eight\n"] {
            sink.push(line.as_bytes()).unwrap();
        }
        sink.flush().unwrap();
        assert_eq!(text(&path), "eight\n");
    }

    #[test]
    fn a_line_without_an_end_is_ended_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "whole\nhal").unwrap();
        let mut sink = Sink::file(&path, 1_000, 1).unwrap();
        sink.push(b"next\n").unwrap();
        sink.flush().unwrap();
        sink.push(b"last\n").unwrap();
        sink.flush().unwrap();
        assert_eq!(text(&path), "whole\nhal\nnext\nlast\n");
    }

    #[test]
    fn a_file_that_could_not_be_begun_is_begun_later_and_pushes_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut sink = Sink::file(&path, 8, 2).unwrap();
        sink.push(b"one one\n").unwrap();
        sink.flush().unwrap();
        // As after a file that was put aside when no other could be opened.
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        sink.push(b"two two\n").unwrap();
        sink.flush().unwrap();
        assert_eq!(text(&path), "two two\n");
        assert_eq!(text(&folder.path().join("log.1")), "one one\n");
        assert!(!folder.path().join("log.2").exists());
    }

    #[test]
    fn what_cannot_be_put_aside_grows_and_what_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::create_dir(folder.path().join("log.1")).unwrap();
        let mut sink = Sink::file(&path, 8, 1).unwrap();
        sink.push(b"one one\n").unwrap();
        let lost = sink.push(b"two\n").unwrap_err();
        assert_eq!(lost.lines, 0);
        sink.push(b"x\n").unwrap();
        // It is told once until it goes well again.
        sink.push(b"three\n").unwrap();
        sink.flush().unwrap();
        assert_eq!(text(&path), "one one\ntwo\nx\nthree\n");
        std::fs::remove_dir(folder.path().join("log.1")).unwrap();
        sink.push(b"four\n").unwrap();
        sink.flush().unwrap();
        assert_eq!(text(&path), "four\n");
        assert_eq!(text(&folder.path().join("log.1")), "one one\ntwo\nx\nthree\n");
        std::fs::remove_file(folder.path().join("log.1")).unwrap();
        std::fs::create_dir(folder.path().join("log.1")).unwrap();
        assert_eq!(sink.push(b"long one\n").unwrap_err().lines, 0);
        sink.flush().unwrap();

        let unwritable = File::open(&path).unwrap();
        let Out::File(rotated) = &mut sink.out else { panic!("{sink:?}") };
        rotated.file = unwritable;
        sink.push(b"y\n").unwrap();
        assert_eq!(sink.flush().unwrap_err().lines, 1);
    }
}
