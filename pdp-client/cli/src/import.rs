//! `import`: bundles of any size become one change set, sent in parts.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use pdp_bundle::Bundle;
use pdp_client::engine::change_to_wire;
use pdp_client::{Import as How, Imported};
use pdp_engine::facts::{Change, Fact, FactKey};
use serde_json::json;

use crate::apply::read;
use crate::args::Output;
use crate::exit::Exit;
use crate::options::{Import, Server};
use crate::policy;
use crate::problem::Problem;
use crate::screen::Screen;

/// How often a bar on a terminal is drawn.
const DRAWN: Duration = Duration::from_millis(100);

/// How wide it is.
const WIDTH: u64 = 30;

/// Imports bundles and prints what came of it.
pub(crate) async fn import(
    server: &Server,
    options: Import,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let mut bundles = Vec::new();
    for source in &options.sources {
        bundles.push(read(source)?);
    }
    let client = server.connect_for_import().await?;
    let mut how = How::new();
    let changes = match (options.replace, bundles.as_slice()) {
        (true, [bundle]) => {
            let (facts, revision) = policy::read(&client).await?;
            how = how.expecting(options.expected_revision.unwrap_or(revision));
            bundle.replace(&facts)
        }
        _ => together(&bundles)?,
    };
    drop(bundles);
    if let Some(revision) = options.expected_revision {
        how = how.expecting(revision);
    }
    if options.dry_run {
        how = how.dry_run();
    }
    if let Some(id) = &options.request_id {
        how = how.request_id(id.as_str());
    }
    let mut progress = Progress::of(screen.output(), changes.len() as u64);
    let sent = changes.into_iter().map(move |change| {
        progress.step();
        change_to_wire(&change)
    });
    let imported = client.import(how, sent).await?;
    let dry_run = options.dry_run;
    screen.answer(|| text(&imported, dry_run), || json(&imported, dry_run))?;
    Ok(Exit::Success)
}

/// The changes of all bundles. Two bundles may say the same of a fact, and nothing else.
fn together(bundles: &[Bundle]) -> Result<Vec<Change>, Problem> {
    if let [bundle] = bundles {
        return Ok(bundle.changes());
    }
    let mut known: HashMap<FactKey, (&Fact, &Bundle)> = HashMap::new();
    let mut changes = Vec::new();
    for bundle in bundles {
        for fact in bundle.facts() {
            let (first, whose) = *known.entry(fact.key()).or_insert((fact, bundle));
            if first != fact {
                let (key, whose, source) = (fact.key(), whose.source(), bundle.source());
                let message = format!("{key} is one thing in {whose} and another in {source}");
                return Err(Problem::Message(message));
            }
            if std::ptr::eq(whose, bundle) {
                changes.push(Change::Put(fact.clone()));
            }
        }
    }
    Ok(changes)
}

fn text(imported: &Imported, dry_run: bool) -> String {
    let Imported { revision, created, changed, removed, replayed } = imported;
    let counts = format!("{created} created, {changed} changed, {removed} removed");
    match (dry_run, replayed) {
        (true, _) => {
            format!("dry run: would be {counts}; nothing was changed, revision {revision}\n")
        }
        (false, true) => format!("imported before: {counts}; revision {revision}\n"),
        (false, false) => format!("{counts}; revision {revision}\n"),
    }
}

fn json(imported: &Imported, dry_run: bool) -> serde_json::Value {
    let Imported { revision, created, changed, removed, replayed } = imported;
    json!({
        "revision": revision.get(),
        "dry_run": dry_run,
        "replayed": replayed,
        "created": created,
        "changed": changed,
        "removed": removed,
    })
}

/// How far sending is: a bar on a terminal, a line for every tenth elsewhere. It goes to standard error.
struct Progress {
    shown: Shown,
    total: u64,
    sent: u64,
    drawn: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bar,
    Lines,
    Nothing,
}

// === impl Progress ===

impl Progress {
    fn of(output: Output, total: u64) -> Self {
        let shown = match output {
            Output::Json => Shown::Nothing,
            Output::Human if std::io::stderr().is_terminal() => Shown::Bar,
            Output::Human => Shown::Lines,
        };
        Self { shown, total, sent: 0, drawn: Instant::now() }
    }

    /// One more was sent.
    fn step(&mut self) {
        self.sent += 1;
        let whole = self.sent == self.total;
        match self.shown {
            Shown::Bar if whole || self.drawn.elapsed() >= DRAWN => {
                self.drawn = Instant::now();
                self.tell(&format!("\r{}", bar(self.sent, self.total)));
            }
            Shown::Lines if self.sent.is_multiple_of((self.total / 10).max(10_000)) && !whole => {
                self.tell(&format!("{} of {} sent\n", self.sent, self.total));
            }
            Shown::Bar | Shown::Lines | Shown::Nothing => {}
        }
        if whole && self.shown != Shown::Nothing {
            let (start, total) = (if self.shown == Shown::Bar { "\n" } else { "" }, self.total);
            self.tell(&format!(
                "{start}{total} sent; the server checks, compiles and stores them\n"
            ));
        }
    }

    /// Whether anybody sees it changes nothing.
    fn tell(&self, text: &str) {
        std::io::stderr().write_all(text.as_bytes()).ok();
    }
}

fn bar(sent: u64, total: u64) -> String {
    let filled = WIDTH.saturating_mul(sent).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let empty = WIDTH - filled;
    let part = |sign: &str, length: u64| sign.repeat(usize::try_from(length).unwrap_or_default());
    format!("[{}{}] {sent} of {total}", part("#", filled), part(" ", empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_import_is_sent() {
        assert_eq!(bar(0, 2), format!("[{}] 0 of 2", " ".repeat(30)));
        assert_eq!(bar(1, 2), format!("[{}{}] 1 of 2", "#".repeat(15), " ".repeat(15)));
        assert_eq!(bar(2, 2), format!("[{}] 2 of 2", "#".repeat(30)));
        assert_eq!(bar(0, 0), format!("[{}] 0 of 0", "#".repeat(30)));
    }

    #[test]
    fn bundles_may_agree_and_not_contradict_each_other() {
        let read = |name: &str, text: &str| pdp_bundle::parse(name, text).unwrap();
        let one = read("one.yaml", "people: [{id: ana}, {id: bo}]\n");
        let same = read("same.yaml", "people: [{id: bo}, {id: cy}]\n");
        let other = read("other.yaml", "people: [{id: bo, enabled: false}]\n");
        assert_eq!(together(&[one.clone(), same]).unwrap().len(), 3);
        let told = together(&[one, other]).unwrap_err().to_string();
        assert_eq!(told, "person `bo` is one thing in one.yaml and another in other.yaml");
    }
}
