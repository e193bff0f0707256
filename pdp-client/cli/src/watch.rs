//! `watch`: change sets as they are committed, or effective permissions as they change.

mod held;

use pdp_client::engine::change_from_wire;
use pdp_client::{CommittedSet, PolicyEvent, Position};
use pdp_engine::facts::Change;
use serde_json::{Value, json};

use crate::args::Watch;
use crate::audit::time;
use crate::diff::in_words;
use crate::exit::Exit;
use crate::fact;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, STRONG, Screen, paint};

/// Watches until it is told to end.
pub(crate) async fn watch(
    server: &Server,
    options: Watch,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let Watch { after, count, effective } = options;
    if let Some(query) = held::query(effective)? {
        return held::watch(server, (query, count), screen).await;
    }
    let client = server.connect().await?;
    let mut watch = client.watch_policy(after);
    let (mut seen, mut begun) = (0, false);
    while count.is_none_or(|count| seen < count) {
        match watch.event().await? {
            PolicyEvent::Lost { error, pause } => screen.lost(&error, pause)?,
            PolicyEvent::Current(position) => {
                let first = !std::mem::replace(&mut begun, true);
                screen.aside(
                    || if first { current_text(position) } else { String::new() },
                    || current_json(position),
                )?;
            }
            PolicyEvent::Committed(set) => {
                seen += 1;
                let changes: Vec<Change> =
                    set.changes.iter().cloned().map(change_from_wire).collect::<Result<_, _>>()?;
                let shown =
                    screen.event(|| set_text(&set, &changes), || set_json(&set, &changes))?;
                if shown.is_break() {
                    break;
                }
            }
        }
    }
    Ok(Exit::Success)
}

fn current_text(position: Position) -> String {
    paint(FAINT, &format!("watching from revision {}", position.revision)) + "\n"
}

fn current_json(position: Position) -> Value {
    let revision = position.revision.get();
    json!({"event": "current", "revision": revision, "position": position.to_string()})
}

fn set_text(set: &CommittedSet, changes: &[Change]) -> String {
    let title = paint(STRONG, &format!("revision {}", set.position.revision));
    let mut text = format!("{title}  {}\n", paint(FAINT, &time(set.committed_at)));
    for change in changes {
        let (key, sign, style, notes) = match change {
            Change::Put(fact) => (fact.key(), "=", GOOD, in_words(fact)),
            Change::Delete { key, cascade: _ } => (key.clone(), "-", BAD, String::new()),
        };
        text.push_str(&paint(style, &format!("{sign} {} {}", key.kind().as_str(), key.name())));
        if !notes.is_empty() {
            text.push_str(&format!("  {}", paint(FAINT, &notes)));
        }
        text.push('\n');
    }
    text
}

fn set_json(set: &CommittedSet, changes: &[Change]) -> Value {
    let change = |change: &Change| match change {
        Change::Put(put) => {
            let key = put.key();
            let (kind, name) = (fact::word(key.kind()), key.name());
            json!({"kind": kind, "name": name, "change": "put", "fact": fact::json(put)})
        }
        Change::Delete { key, cascade: _ } => {
            json!({"kind": fact::word(key.kind()), "name": key.name(), "change": "deleted"})
        }
    };
    let CommittedSet { position, committed_at, changes: _ } = set;
    json!({
        "event": "committed",
        "revision": position.revision.get(),
        "position": position.to_string(),
        "committed_at": time(*committed_at),
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
    })
}
