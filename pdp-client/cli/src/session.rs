//! `session`: privileged sessions, and the work that they leave.

mod command;
mod told;
mod watch;

use std::ffi::OsString;
use std::time::Duration;

use pdp_bundle::question::{OwnedObject, OwnedSession, OwnedSubject};
use pdp_client::engine::obligations_to_engine;
use pdp_client::{AuditQuery, ForceEnd, OpenRequest, Opened, Renewed, Revision, Session};
use pdp_engine::id::validate_id;
use pdp_engine::psm::COMPUTER;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::options::{Server, person};
use crate::problem::Problem;
use crate::question::obligations_json;
use crate::screen::Screen;
use crate::{args, asked, audit};

/// The longest key of a request, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Open { asked: OwnedSession, request: OpenRequest, at_least: Revision },
    Renew { session: String, at_least: Revision },
    Close { session: String },
    End(ForceEnd),
    Get(By),
    List(List),
    Watch(Watch),
    History { query: AuditQuery, limit: usize },
}

/// How a session is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Id(String),
    Key(String),
}

/// Which sessions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    person: Option<String>,
    computer: Option<String>,
    state: Option<args::State>,
    outstanding: bool,
}

/// What to watch for, and what to do then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    computers: Vec<String>,
    lease: Duration,
    exec: Option<OsString>,
    ack: bool,
    count: Option<u64>,
}

// === impl Task ===

impl Task {
    pub(crate) fn new(args: args::Session) -> Result<Self, Problem> {
        Ok(match args {
            args::Session::Open(open) => to_open(open)?,
            args::Session::Renew(args::Renew { session, at_least }) => {
                Self::Renew { session: id(session)?, at_least: Revision::new(at_least) }
            }
            args::Session::Close(args::Close { session }) => Self::Close { session: id(session)? },
            args::Session::End(end) => Self::End(to_end(end)?),
            args::Session::Get(args::GetSession { session, key }) => {
                Self::Get(match (session, key) {
                    (Some(session), _) => By::Id(id(session)?),
                    (None, key) => By::Key(to_key(key.unwrap_or_default())?),
                })
            }
            args::Session::List(args::ListSessions {
                person: whose,
                computer,
                state,
                outstanding,
            }) => Self::List(List {
                person: whose.map(|text| person("--person", &text)).transpose()?,
                computer: computer.map(|text| to_computer("--computer", &text)).transpose()?,
                state,
                outstanding,
            }),
            args::Session::Watch(args::WatchWork { computers, lease, exec, ack, count }) => {
                let computers = computers.iter().map(|text| to_computer("--computer", text));
                let computers = computers.collect::<Result<Vec<_>, _>>()?;
                Self::Watch(Watch { computers, lease, exec, ack, count })
            }
            args::Session::History(history) => to_history(history)?,
        })
    }
}

fn to_open(args: args::Open) -> Result<Task, Problem> {
    let args::Open { person: who, level, computer, key, at_least } = args;
    let who = person("PERSON", &who)?;
    if level != "none" {
        let told = |error: pdp_engine::id::IdError| Problem::argument("LEVEL", error.to_string());
        validate_id("permission level id", &level).map_err(told)?;
    }
    let level = OwnedSession::parse_level(&level);
    let computer = to_computer("COMPUTER", &computer)?;
    let asked = OwnedSession {
        subject: OwnedSubject::Person(who.clone()),
        level: level.clone(),
        computer: OwnedObject { type_name: COMPUTER.to_owned(), id: computer.clone() },
        routing: true,
    };
    let request = OpenRequest { request_key: to_key(key)?, person: who, computer, level };
    Ok(Task::Open { asked, request, at_least: Revision::new(at_least) })
}

fn to_end(args: args::End) -> Result<ForceEnd, Problem> {
    let args::End { which: args::Which { person: whose, computer, level }, note } = args;
    let mut which = ForceEnd::default();
    if let Some(whose) = whose {
        which = which.person(person("--person", &whose)?);
    }
    if let Some(computer) = computer {
        which = which.computer(to_computer("--computer", &computer)?);
    }
    if let Some(level) = level {
        let told = |error: pdp_engine::id::IdError| Problem::argument("--level", error.to_string());
        validate_id("permission level id", &level).map_err(told)?;
        which = which.level(level);
    }
    Ok(which.note(note))
}

fn to_history(args: args::History) -> Result<Task, Problem> {
    let args::History { session, person: whose, computer, from, until, limit } = args;
    let mut query = AuditQuery::default();
    if let Some(session) = session {
        query = query.session(id(session)?);
    }
    if let Some(whose) = whose {
        query = query.person(person("--person", &whose)?);
    }
    if let Some(computer) = computer {
        query = query.computer(to_computer("--computer", &computer)?);
    }
    if let Some(from) = from {
        query = query.from(audit::system_time(from));
    }
    if let Some(until) = until {
        query = query.until(audit::system_time(until));
    }
    Ok(Task::History { query, limit: limit.unwrap_or(usize::MAX) })
}

/// The id of a computer, written `Computer:ID`.
fn to_computer(argument: &'static str, text: &str) -> Result<String, Problem> {
    let OwnedObject { type_name, id } = asked::object(argument, text)?;
    if type_name != COMPUTER {
        let text = text.escape_debug();
        let message = format!("`{text}` is no computer; write `{COMPUTER}:ID`");
        return Err(Problem::argument(argument, message));
    }
    Ok(id)
}

fn id(session: String) -> Result<String, Problem> {
    let told = |error: pdp_engine::id::IdError| Problem::argument("SESSION", error.to_string());
    validate_id("session id", &session).map_err(told)?;
    Ok(session)
}

fn to_key(key: String) -> Result<String, Problem> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        let shown: String = key.escape_debug().take(40).collect();
        let message = format!(
            "`{shown}` is no request key; give it 1 to {MAX_KEY_BYTES} bytes without control characters"
        );
        return Err(Problem::argument("--key", message));
    }
    Ok(key)
}

/// Does what the arguments say.
pub(crate) async fn run(server: &Server, task: Task, screen: &mut Screen) -> Result<Exit, Problem> {
    match task {
        Task::Open { asked, request, at_least } => {
            let client = server.connect().await?.at_least(at_least);
            let opened = client.sessions().open(&request).await?;
            show_opened(&opened, &asked, screen)
        }
        Task::Renew { session, at_least } => {
            let client = server.connect().await?.at_least(at_least);
            let renewed = client.sessions().renew(&session).await?;
            show_renewed(&renewed, screen)
        }
        Task::Close { session } => {
            let closed = server.connect().await?.sessions().close(&session).await?;
            show(&closed, screen)
        }
        Task::End(which) => {
            let ended = server.connect().await?.sessions().force_end(&which).await?;
            let word = if ended == 1 { "session" } else { "sessions" };
            screen.answer(|| format!("ended {ended} {word}\n"), || json!({"ended": ended}))?;
            Ok(Exit::Success)
        }
        Task::Get(by) => {
            let sessions = server.connect().await?.sessions();
            let session = match by {
                By::Id(id) => sessions.get(&id).await?,
                By::Key(key) => sessions.get_by_key(&key).await?,
            };
            show(&session, screen)
        }
        Task::List(which) => list(server, which, screen).await,
        Task::Watch(options) => watch::watch(server, options, screen).await,
        Task::History { query, limit } => {
            audit::list(server, query, limit, audit::Of::Sessions, screen).await
        }
    }
}

/// Only a session that is open is a reason to go ahead.
fn show_opened(
    opened: &Opened,
    asked: &OwnedSession,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let Opened { decision, session, replayed } = opened;
    let due = decision.as_ref().and_then(|decision| decision.obligations.clone());
    let due = due.map(obligations_to_engine).transpose()?;
    let text = || {
        let mut text = match (decision, session) {
            (Some(decision), Some(session)) => {
                told::decision(decision, &asked.to_string()) + &told::session_rows(session)
            }
            (Some(decision), None) => told::decision(decision, &asked.to_string()),
            (None, session) => session.as_ref().map(told::session).unwrap_or_default(),
        };
        if *replayed {
            text.push_str("  the session was opened before, with the same key\n");
        }
        text
    };
    screen.answer(text, || {
        let mut map = decision.as_ref().map(told::decision_json).unwrap_or_default();
        map.insert("replayed".to_owned(), json!(replayed));
        if let Some(due) = &due {
            map.insert("obligations".to_owned(), obligations_json(due));
        }
        if let Some(session) = session {
            map.insert("session".to_owned(), told::session_json(session));
        }
        Value::Object(map)
    })?;
    Ok(match (opened.open(), decision) {
        (Some(_), _) => Exit::Success,
        (None, Some(decision)) if !decision.is_allow() => decision.effect.into(),
        (None, _) => Exit::No,
    })
}

fn show_renewed(renewed: &Renewed, screen: &mut Screen) -> Result<Exit, Problem> {
    let Renewed { decision, session } = renewed;
    let text = || match decision {
        Some(decision) => {
            let about = format!("session {}", session.id);
            told::decision(decision, &about) + &told::session_rows(session)
        }
        None => told::session(session),
    };
    screen.answer(text, || {
        let mut map = decision.as_ref().map(told::decision_json).unwrap_or_default();
        map.insert("session".to_owned(), told::session_json(session));
        Value::Object(map)
    })?;
    Ok(if renewed.open().is_some() { Exit::Success } else { Exit::No })
}

fn show(session: &Session, screen: &mut Screen) -> Result<Exit, Problem> {
    let json = || json!({"session": told::session_json(session)});
    screen.answer(|| told::session(session), json)?;
    Ok(Exit::Success)
}

async fn list(server: &Server, which: List, screen: &mut Screen) -> Result<Exit, Problem> {
    let List { person, computer, state, outstanding } = which;
    let mut pages = server.connect_for_policy().await?.sessions().list();
    if let Some(person) = person {
        pages = pages.of_person(person);
    }
    if let Some(computer) = computer {
        pages = pages.on_computer(computer);
    }
    pages = match state {
        Some(args::State::Open) => pages.open(),
        Some(args::State::Ended) => pages.ended(),
        None => pages,
    };
    if outstanding {
        pages = pages.outstanding();
    }
    let sessions = pages.collect().await?;
    screen.answer(
        || told::sessions(&sessions),
        || json!({"sessions": sessions.iter().map(told::session_json).collect::<Vec<_>>()}),
    )?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn task(line: &str) -> Result<Task, String> {
        let line = format!("pdpctl session {line}");
        let args =
            args::Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let args::Command::Session(args) = args.command else { panic!("another command") };
        Task::new(args).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_session_is_opened_as_it_is_asked_for() {
        let opened = |line| match task(line) {
            Ok(Task::Open { asked, request, at_least }) => (asked.to_string(), request, at_least),
            other => panic!("{other:?}"),
        };
        let (asked, request, at_least) =
            opened("open person:ana root Computer:web:07 --key k --at-least 3");
        assert_eq!(asked, "person:ana, session root, Computer:web:07");
        assert_eq!(request, OpenRequest::new("k", "ana", "web:07").level("root"));
        assert_eq!(at_least, Revision::new(3));
        let (_, request, _) = opened("open person:ana none Computer:web-07 --key k");
        assert_eq!(request.level, None);
    }

    #[test]
    fn what_is_wrong_is_told_by_argument() {
        let long = "k".repeat(129);
        let too_long = format!("open person:a l Computer:c --key {long}");
        for (line, told) in [
            (
                "open account:a l Computer:c --key k",
                "PERSON: `account:a` is no person; write `person:ID`",
            ),
            ("open a l Computer:c --key k", "PERSON: `a` does not name a subject;"),
            ("open person:a l web-07 --key k", "COMPUTER: `web-07` does not name a resource;"),
            (
                "open person:a l Report:c --key k",
                "COMPUTER: `Report:c` is no computer; write `Computer:ID`",
            ),
            (
                "open person:a l Computer:c --key=",
                "--key: `` is no request key; give it 1 to 128 bytes",
            ),
            (
                too_long.as_str(),
                "--key: `kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk` is no request key;",
            ),
            ("get --key=", "--key: `` is no request key;"),
            ("list --person ana", "--person: `ana` does not name a subject;"),
            ("watch --computer web-07", "--computer: `web-07` does not name a resource;"),
            ("end --level=", "--level: an empty permission level id; give it 1 to 256 bytes"),
        ] {
            let problem = task(line).unwrap_err();
            assert!(problem.starts_with(told), "{line}: {problem}");
        }
        for (line, told) in [
            ("open person:a l Computer:c", "--key <KEY>"),
            ("get", "required arguments were not provided"),
            ("get s-1 --key k", "cannot be used with"),
            ("end", "required arguments were not provided"),
            ("end --note why", "required arguments were not provided"),
            ("watch --ack", "--exec <PROGRAM>"),
            ("watch --count 0", "0 is not in 1.."),
            ("watch --lease 1h", "`1h` is not a time"),
            ("list --state closed", "invalid value 'closed'"),
        ] {
            let problem = task(line).unwrap_err();
            assert!(problem.contains(told), "{line}: {problem}");
        }
        let empty = ["pdpctl", "session", "close", ""];
        let args = args::Args::try_parse_from(empty).unwrap();
        let args::Command::Session(args) = args.command else { panic!("another command") };
        let problem = Task::new(args).unwrap_err().to_string();
        assert_eq!(problem, "SESSION: an empty session id; give it 1 to 256 bytes");
    }

    #[test]
    fn sessions_are_ended_by_all_that_is_said() {
        let ended = task("end --person person:ana --computer Computer:web-07 --note gone").unwrap();
        let which = ForceEnd::default().person("ana").computer("web-07").note("gone");
        assert_eq!(ended, Task::End(which));
    }
}
