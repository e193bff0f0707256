//! `session watch`: the work that is due, as it becomes due.

use std::ops::ControlFlow;
use std::time::Duration;

use pdp_client::{
    Client, Error, Outcome, Revocation, RevocationState, Watch as Watching, WatchEvent,
};
use pdp_engine::psm::COMPUTER;
use serde_json::{Map, Value, json};

use super::command::{self, Failed};
use super::{Watch, told};
use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, STRONG, Screen, harmless, paint};

/// Watches until it is told to end.
pub(super) async fn watch(
    server: &Server,
    options: Watch,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?;
    let mut watched = client.sessions().watch_revocations(watching(&options)?);
    let (mut seen, mut exit) = (0, Exit::Success);
    while options.count.is_none_or(|count| seen < count) {
        let item = match watched.event().await {
            Ok(WatchEvent::Work(item)) => item,
            Ok(WatchEvent::Idle) => continue,
            Ok(WatchEvent::Lost { error, pause }) => {
                screen.lost(&error, pause)?;
                continue;
            }
            // Of one item only: it stays outstanding for a broker that understands it.
            Err(error @ Error::Protocol { .. }) => {
                screen.complain(&error.into());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        seen += 1;
        if screen.event(|| work_text(&item), || work_json(&item))?.is_break() {
            break;
        }
        if let Some(program) = &options.exec {
            let worked = command::run(program, &item, server, limit(options.lease)).await;
            if worked.is_err() {
                exit = Exit::No;
            }
            let ack = options.ack.then_some(&client);
            if settle(ack, &item, worked, screen).await?.is_break() {
                break;
            }
        }
    }
    Ok(if options.count.is_some() { exit } else { Exit::Success })
}

fn watching(options: &Watch) -> Result<Watching, Problem> {
    let computers = &options.computers;
    let watch = if computers.is_empty() {
        Watching::everything()
    } else {
        Watching::of_computers(computers)?
    };
    // One item after the other: a lease begins when the item is handed out, not when its turn comes.
    let watch = if options.ack { watch.max_outstanding(1) } else { watch };
    Ok(watch.lease(options.lease))
}

/// What is left of a lease for the work, so that what became of it is told within the lease.
fn limit(lease: Duration) -> Duration {
    lease.saturating_sub(lease / 10)
}

/// Tells what became of an item, here and, with a client, to the server.
async fn settle(
    client: Option<&Client>,
    item: &Revocation,
    worked: Result<(), Failed>,
    screen: &mut Screen,
) -> Result<ControlFlow<()>, Problem> {
    let (outcome, stop) = match worked {
        Ok(()) => (Outcome::Done, None),
        Err(Failed::Work(message)) => (Outcome::Failed(message), None),
        Err(Failed::Start(error)) => {
            let message = format!("the program cannot be started: {error}");
            (Outcome::failed(&message), Some(Problem::argument("--exec", message)))
        }
    };
    let mut code = match &outcome {
        Outcome::Done => "DONE",
        Outcome::Failed(_) => "FAILED",
    };
    if let Some(client) = client {
        let settled = client.sessions().acknowledge(&item.id, &outcome).await;
        match settled {
            Ok(settled) if matches!(settled.state, RevocationState::Superseded { .. }) => {
                code = "SUPERSEDED";
            }
            Ok(_) => {}
            Err(error) => return Err(stop.unwrap_or_else(|| error.into())),
        }
    }
    let message = match (&outcome, code) {
        (Outcome::Failed(message), _) => Some(message.clone()),
        (Outcome::Done, "SUPERSEDED") => {
            Some("another session uses the account and the group by now".to_owned())
        }
        (Outcome::Done, _) => None,
    };
    if let Some(problem) = stop {
        return Err(problem);
    }
    screen.event(
        || outcome_text(item, code, message.as_deref()),
        || outcome_json(item, code, message.as_deref()),
    )
}

fn work_text(item: &Revocation) -> String {
    let mut text = paint(STRONG, &told::work(item));
    text.push_str(&format!("  {COMPUTER}:{}  session {}", item.computer, item.session));
    if let Some(failures) = told::failures(item) {
        text.push_str(&paint(FAINT, &format!("  {failures}")));
    }
    text + "\n"
}

fn work_json(item: &Revocation) -> Value {
    json!({"event": "work", "revocation": told::revocation_json(item)})
}

fn outcome_text(item: &Revocation, code: &str, message: Option<&str>) -> String {
    let style = match code {
        "DONE" => GOOD,
        "FAILED" => BAD,
        _ => MIDDLING,
    };
    let message = message.map(|message| format!(": {}", harmless(message)));
    format!("{}  {}{}\n", item.id, paint(style, code), message.unwrap_or_default())
}

fn outcome_json(item: &Revocation, code: &str, message: Option<&str>) -> Value {
    let mut map = Map::new();
    map.insert("event".to_owned(), json!("outcome"));
    map.insert("revocation".to_owned(), json!(item.id));
    map.insert("outcome".to_owned(), json!(code));
    if let Some(message) = message {
        map.insert("message".to_owned(), json!(message));
    }
    Value::Object(map)
}
