//! The program that does an item of work.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use pdp_client::Revocation;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::options::Server;

/// How much of what a program writes to standard error is kept, in bytes: its end.
const KEPT_BYTES: usize = 4_096;

/// How long a program that has ended may keep standard error open, through what it has started.
const GRACE: Duration = Duration::from_millis(100);

/// Why an item of work is not done.
#[derive(Debug)]
pub(super) enum Failed {
    /// The program cannot be started at all.
    Start(io::Error),
    /// It ran and failed, in one line.
    Work(String),
}

/// Runs the program for this item, for this long at most. Nothing of the item becomes an argument, and
/// no shell is asked: names are data, whatever is in them.
pub(super) async fn run(
    program: &OsStr,
    item: &Revocation,
    server: &Server,
    limit: Duration,
) -> Result<(), Failed> {
    let mut child = start(program, item, server).map_err(Failed::Start)?;
    let said = child.stderr.take();
    let mut kept = Vec::new();
    let ended = timeout(limit, wait(&mut child, said, &mut kept)).await;
    let failure = match ended {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => {
            // It is gone, or the end of this process takes it along.
            let _ = child.kill().await;
            format!("did not end within {} s and was killed", limit.as_secs_f64())
        }
    };
    let name = program.to_string_lossy();
    let last = last_line(&kept);
    let told = if last.is_empty() { String::new() } else { format!(": {last}") };
    Err(Failed::Work(format!("{}: {failure}{told}", in_one_line(&name))))
}

fn start(program: &OsStr, item: &Revocation, server: &Server) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .env("PDP_SERVER", &server.url)
        .env("PDP_TENANT", &server.tenant)
        .env("PDP_REVOCATION", &item.id)
        .env("PDP_KIND", item.task.kind().as_str())
        .env("PDP_SESSION", &item.session)
        .env("PDP_COMPUTER", &item.computer)
        .env("PDP_ACCOUNT", &item.account)
        .env("PDP_FAILURES", item.failures.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match item.task.group() {
        Some(group) => command.env("PDP_GROUP", group),
        None => command.env_remove("PDP_GROUP"),
    };
    command.spawn()
}

/// Waits for the end of the program, and keeps the end of what it says meanwhile.
async fn wait(
    child: &mut Child,
    mut said: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
) -> io::Result<std::process::ExitStatus> {
    let status = loop {
        let Some(open) = &mut said else { break child.wait().await? };
        tokio::select! {
            more = keep(open, kept) => if !more? { said = None },
            status = child.wait() => break status?,
        }
    };
    if let Some(open) = &mut said {
        let rest = async {
            while keep(open, kept).await? {}
            io::Result::Ok(())
        };
        // Whoever else holds it open says nothing about the work.
        let _ = timeout(GRACE, rest).await;
    }
    Ok(status)
}

/// Reads some more; says whether there may be more still.
async fn keep(from: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) -> io::Result<bool> {
    kept.reserve(KEPT_BYTES);
    let read = from.read_buf(kept).await?;
    let excess = kept.len().saturating_sub(KEPT_BYTES);
    kept.drain(..excess);
    Ok(read > 0)
}

fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    in_one_line(last.unwrap_or_default())
}

fn in_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_went_wrong() {
        assert_eq!(last_line(b"trying\nno route to host\n\n"), "no route to host");
        assert_eq!(last_line(b"a\tb\x1b[31m"), "a b [31m");
        assert_eq!(last_line(b""), "");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_story_is_kept() {
        let story = [vec![b'x'; 3 * KEPT_BYTES], b"\nthe end\n".to_vec()].concat();
        let (mut from, mut kept) = (story.as_slice(), Vec::new());
        while keep(&mut from, &mut kept).await.unwrap() {}
        assert_eq!((kept.len(), last_line(&kept).as_str()), (KEPT_BYTES, "the end"));
    }
}
