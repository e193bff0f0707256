//! `replay`: asks again what a log says was decided, and tells what is decided otherwise now.

mod policy;
mod record;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pdp_bundle::question::AnyQuestion;
use pdp_engine::time::Timestamp;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, STRONG, Screen, paint};
use policy::{Now, Policy};
use record::{Question, Record};

/// How many records are asked at once.
const TOGETHER: usize = 256;

/// How long a line may be, in bytes: many times what a server writes.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The tenant that a bundle is the policy of, unless told otherwise.
const DEFAULT_TENANT: &str = "default";

/// How many records there were of each kind.
#[derive(Debug, Default)]
struct Counts {
    same: usize,
    changed: usize,
    masked: usize,
    cut: usize,
    no_subject: usize,
    other_tenant: usize,
    unreadable: usize,
}

/// A replay under way.
struct Replay<'a> {
    policy: Policy,
    /// Only records of this tenant are asked.
    tenant: Option<String>,
    counts: Counts,
    waiting: VecDeque<(Record, AnyQuestion)>,
    screen: &'a mut Screen,
    /// Whoever reads has seen enough.
    seen: bool,
}

/// Replays logs.
pub(crate) async fn replay(
    server: &Server,
    logs: &[PathBuf],
    bundle: Option<&Path>,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let named = Some(server.tenant.clone()).filter(|tenant| !tenant.is_empty());
    let tenant = named.or_else(|| bundle.map(|_| DEFAULT_TENANT.to_owned()));
    let policy = Policy::open(server, bundle).await?;
    let (counts, waiting) = (Counts::default(), VecDeque::new());
    let mut replay = Replay { policy, tenant, counts, waiting, screen, seen: false };
    for path in logs {
        let unreadable = |error: std::io::Error| {
            let message = format!("`{}` cannot be read: {error}", path.display());
            Problem::argument("LOG", message)
        };
        let log: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(path).map_err(unreadable)?))
        };
        replay.log(path, log, &unreadable).await?;
    }
    replay.ask().await?;
    let Replay { counts, screen, .. } = replay;
    let _ = screen.event(|| counts.text(), || counts.json())?;
    Ok(counts.exit())
}

// === impl Replay ===

impl Replay<'_> {
    async fn log(
        &mut self,
        path: &Path,
        mut log: Box<dyn BufRead>,
        unreadable: &dyn Fn(std::io::Error) -> Problem,
    ) -> Result<(), Problem> {
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        for number in 1_usize.. {
            let mut line = Vec::new();
            let read = log.by_ref().take(limit).read_until(b'\n', &mut line);
            if read.map_err(unreadable)? == 0 || self.seen {
                return Ok(());
            }
            if line.len() == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                let path = path.display();
                let message = format!(
                    "line {number} of `{path}` has more than {MAX_LINE_BYTES} bytes, which is the limit"
                );
                return Err(Problem::argument("LOG", message));
            }
            match Record::read(line.trim_ascii()) {
                Ok(record) => self.take(record).await?,
                Err(message) => self.unreadable(path, number, &message)?,
            }
        }
        Ok(())
    }

    async fn take(&mut self, record: Record) -> Result<(), Problem> {
        if self.tenant.as_ref().is_some_and(|tenant| *tenant != record.tenant) {
            self.counts.other_tenant += 1;
            return Ok(());
        }
        let question = match record.question.clone() {
            Question::Whole(question) => question,
            Question::Masked => {
                self.counts.masked += 1;
                return Ok(());
            }
            Question::Cut => {
                self.counts.cut += 1;
                return Ok(());
            }
            Question::NoSubject => {
                self.counts.no_subject += 1;
                return Ok(());
            }
        };
        let other = self.waiting.front().is_some_and(|(first, _)| first.tenant != record.tenant);
        if other || self.waiting.len() >= TOGETHER {
            self.ask().await?;
        }
        self.waiting.push_back((record, question));
        Ok(())
    }

    /// Asks what waits, all of one tenant.
    async fn ask(&mut self) -> Result<(), Problem> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some((first, _)) = waiting.front() else { return Ok(()) };
        let questions: Vec<(&AnyQuestion, Timestamp)> =
            waiting.iter().map(|(record, question)| (question, record.at)).collect();
        let answers = self.policy.ask(&first.tenant, &questions).await?;
        for ((record, question), now) in waiting.iter().zip(answers) {
            let same = matches!(&now, Now::Decided { effect, reason, revision: _ }
                if *effect == record.effect && *reason == record.reason);
            if same {
                self.counts.same += 1;
                continue;
            }
            self.counts.changed += 1;
            let told = self.screen.event(
                || changed_text(record, question, &now),
                || changed_json(record, question, &now),
            )?;
            self.seen |= told == ControlFlow::Break(());
        }
        Ok(())
    }

    fn unreadable(&mut self, path: &Path, line: usize, message: &str) -> Result<(), Problem> {
        self.counts.unreadable += 1;
        let file = path.display().to_string();
        let message: String = message.chars().filter(|c| !c.is_control()).collect();
        self.screen.aside(
            || format!("{} {file}:{line}: {message}\n", paint(BAD, "error:")),
            || json!({"event": "unreadable", "file": file, "line": line, "message": message}),
        )
    }
}

fn changed_text(record: &Record, question: &AnyQuestion, now: &Now) -> String {
    let Record { id, time, rpc, tenant, effect, reason, revision, .. } = record;
    let title = paint(STRONG, &format!("{question}"));
    let about = paint(FAINT, &format!("{time}  {rpc}  tenant {tenant}  {id}"));
    let was = format!("{effect} {reason}  {}", paint(FAINT, &format!("revision {revision}")));
    let now = match now {
        Now::Decided { effect, reason, revision } => {
            let revision = revision.map(|number| paint(FAINT, &format!("revision {number}")));
            format!("{effect} {reason}  {}", revision.unwrap_or_default()).trim_end().to_owned()
        }
        Now::Refused(error) => paint(BAD, &format!("no decision: {error}")),
    };
    format!("{title}\n  {about}\n  was  {was}\n  now  {now}\n")
}

fn changed_json(record: &Record, question: &AnyQuestion, now: &Now) -> Value {
    let Record { id, time, rpc, tenant, effect, reason, revision, .. } = record;
    let now = match now {
        Now::Decided { effect, reason, revision: Some(revision) } => {
            json!({"effect": effect, "reason": reason, "revision": revision})
        }
        Now::Decided { effect, reason, revision: None } => {
            json!({"effect": effect, "reason": reason})
        }
        Now::Refused(error) => json!({"error": error}),
    };
    json!({
        "event": "changed", "id": id, "time": time, "rpc": rpc, "tenant": tenant,
        "question": question.to_string(),
        "was": {"effect": effect, "reason": reason, "revision": revision},
        "now": now,
    })
}

// === impl Counts ===

impl Counts {
    const fn replayed(&self) -> usize {
        self.same + self.changed
    }

    /// A replay that asked nothing has shown nothing.
    const fn exit(&self) -> Exit {
        if self.unreadable > 0 || self.replayed() == 0 {
            Exit::Error
        } else if self.changed > 0 {
            Exit::No
        } else {
            Exit::Success
        }
    }

    fn text(&self) -> String {
        let Self { same, changed, masked, cut, no_subject, other_tenant, unreadable } = self;
        let replayed = self.replayed();
        let decisions = if replayed == 1 { "decision" } else { "decisions" };
        let mut text = match (replayed, changed) {
            (0, _) => paint(BAD, "nothing was replayed"),
            (_, 0) => paint(GOOD, &format!("{replayed} {decisions} replayed, and none differs")),
            _ => {
                let differ = format!("{changed} of {replayed} {decisions} differ, {same} do not");
                paint(BAD, &differ)
            }
        };
        for (count, what) in [
            (masked, "masked"),
            (cut, "cut"),
            (no_subject, "of what is no subject"),
            (other_tenant, "of other tenants"),
            (unreadable, "not readable"),
        ] {
            if *count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        }
        text.push('\n');
        text
    }

    fn json(&self) -> Value {
        let Self { same, changed, masked, cut, no_subject, other_tenant, unreadable } = self;
        json!({
            "event": "summary", "replayed": self.replayed(), "same": same, "changed": changed,
            "masked": masked, "cut": cut, "no_subject": no_subject, "other_tenant": other_tenant,
            "unreadable": unreadable,
        })
    }
}
