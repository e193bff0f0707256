//! A broker of privileged sessions, at its smallest. It needs a server with the demo organisation:
//!
//! ```text
//! cargo run -p pdp-server -- demo
//! cargo run -p pdp-client --example psm_broker -- --server http://127.0.0.1:7070
//! ```
//!
//! It opens two sessions for Dario, who administers servers: one on the database server with an account of
//! his own, one on the web server with an account that is made for it. It shows that the accounts may
//! do something while the sessions are open and nothing before and after, and does the work that the
//! ends of the sessions leave; once it fails at it. `docs/sessions.md` says why each step is there.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write as _;
use std::process;
use std::time::{Duration, SystemTime};

use pdp_client::{
    AccountMode, Client, Effect, OpenRequest, Outcome, Permission, Question, Resource, Revocation,
    RevocationState, Session, Sessions, Subject, Task, Watch, WatchEvent, Watched,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the request keys of this broker begin with, so that it knows its sessions again.
const BROKER: &str = "psm-broker-example";

const PERSON: &str = "dario";
const DATABASE: &str = "db-01";
const WEB: &str = "web-07";

/// The example ends by itself, also where something does not come.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::builder(server()?).deadline(Duration::from_secs(5)).connect().await?;
    timeout(LONGEST, run(&client)).await?
}

async fn run(client: &Client) -> Result<()> {
    let sessions = client.sessions();

    // First the watch: work may be waiting from before. It goes on beside everything else, through lost
    // connections and restarts of the server, until it is dropped.
    let watched = sessions.watch_revocations(Watch::of_computers([DATABASE, WEB])?);
    let (settled, mut settlements) = mpsc::unbounded_channel();
    let worker = tokio::spawn(work(sessions.clone(), watched, settled));

    // Then what this broker opened and lost sight of, when it ended before its sessions did.
    let mut left = sessions.list().of_person(PERSON).open();
    while let Some(session) = left.next().await? {
        if session.request_key.starts_with(BROKER) {
            say(&format!("closing session {} of an earlier run", session.id))?;
            sessions.close(&session.id).await?;
        }
    }

    let mut due = BTreeSet::new();
    due.extend(on_the_database_server(client, &sessions).await?);
    due.extend(on_the_web_server(client, &sessions).await?);

    // Everything that the two sessions left has to be done before the example ends.
    say("waiting for the work to be done")?;
    while !due.is_empty() {
        let Some(id) = settlements.recv().await else {
            worker.await??;
            return Err("the watch has ended".into());
        };
        due.remove(&id);
    }
    worker.abort();
    say("nothing is left")
}

/// A session with an account that Dario has there anyway.
async fn on_the_database_server(client: &Client, sessions: &Sessions) -> Result<Vec<String>> {
    say(&format!("\n-- {PERSON} on {DATABASE} as sql-admin, with an account of his own"))?;
    let account = "db-01/dario";
    check(client, account, DATABASE, Effect::Deny).await?;
    let session = open(sessions, DATABASE, "sql-admin").await?;
    check(client, account, DATABASE, Effect::Allow).await?;

    // Long before `not_after`, a broker asks whether the session may go on. It may have ended meanwhile,
    // for a reason that the answer says; then the connection has to be cut.
    let renewed = sessions.renew(&session.id).await?;
    let renewed = renewed.open().ok_or("the session may not go on")?;
    say(&format!("renewed session {}, {}", renewed.id, lasting(renewed)))?;

    let due = close(sessions, &session).await?;
    check(client, account, DATABASE, Effect::Deny).await?;
    Ok(due)
}

/// A session with an account that is made for it and deleted afterwards.
async fn on_the_web_server(client: &Client, sessions: &Sessions) -> Result<Vec<String>> {
    say(&format!("\n-- {PERSON} on {WEB} as local-admin, with an account that is made for it"))?;
    let session = open(sessions, WEB, "local-admin").await?;
    let account = session.privileges.as_ref().map(|given| given.account.clone());
    let account = account.ok_or("the session has no account")?;
    check(client, &account, WEB, Effect::Allow).await?;
    let due = close(sessions, &session).await?;
    check(client, &account, WEB, Effect::Deny).await?;
    Ok(due)
}

async fn open(sessions: &Sessions, computer: &str, level: &str) -> Result<Session> {
    // A real broker writes the key down before it asks: after a crash of its own it asks again with the
    // same key, and gets the session that was opened then, if it was.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let key = format!("{BROKER}/{computer}/{}-{}", process::id(), now.as_micros());
    let opened = sessions.open(&OpenRequest::new(key, PERSON, computer).level(level)).await?;
    // Only a session that is open means: go ahead. A denial is an answer and no error; there is no decision
    // where the same key opened a session before that has ended.
    let why = || match &opened.decision {
        Some(decision) => format!("no session: {} {}", decision.effect, decision.reason),
        None => "the session of this key has ended".to_owned(),
    };
    let session = opened.open().ok_or_else(why)?;
    say(&format!("opened session {}, {}", session.id, lasting(session)))?;
    if let Some(given) = &session.privileges {
        let made = if given.mode == AccountMode::JitNew { "make" } else { "use" };
        say(&format!("   {made} account {}, put it into {}", given.account, given.group))?;
    }
    Ok(session.clone())
}

/// Closes a session, and says which work is due now.
async fn close(sessions: &Sessions, session: &Session) -> Result<Vec<String>> {
    say(&format!("closing session {}", session.id))?;
    let closed = sessions.close(&session.id).await?;
    let outstanding = closed.revocations.iter().filter(|item| item.is_outstanding());
    Ok(outstanding.map(|item| item.id.clone()).collect())
}

/// May this account use this computer? It must be as expected.
async fn check(client: &Client, account: &str, computer: &str, expected: Effect) -> Result<()> {
    let question = Question::new(
        Subject::account(account),
        Permission::operation("Use"),
        Resource::new("Computer", computer),
    );
    let decision = client.check(&question).await?;
    say(&format!("check {question}: {} {}", decision.effect, decision.reason))?;
    if decision.effect != expected {
        return Err(format!("it should be {expected}").into());
    }
    Ok(())
}

/// Does what is due, for as long as somebody wants to hear of it. Each item comes at least once: what is
/// done already is done again without harm, and said to be done again.
async fn work(
    sessions: Sessions,
    mut watched: Watched,
    settled: mpsc::UnboundedSender<String>,
) -> Result<()> {
    let mut host = Host { reachable: false };
    while !settled.is_closed() {
        let item = match watched.event().await {
            Ok(WatchEvent::Work(item)) => item,
            Ok(WatchEvent::Idle) => continue,
            Ok(WatchEvent::Lost { error, pause }) => {
                say(&format!("   the watch is lost: {error}; again in {pause:?}"))?;
                continue;
            }
            // Of one item, which another version may understand. Any other error is the server's no.
            Err(error @ pdp_client::Error::Protocol { .. }) => {
                say(&format!("   an item is not understood: {error}"))?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let outcome = match host.do_it(&item) {
            Ok(()) => Outcome::Done,
            Err(message) => Outcome::failed(message),
        };
        // A lost acknowledgement does no harm: the item comes again.
        let told = match sessions.acknowledge(&item.id, &outcome).await {
            Ok(told) => told,
            Err(error) => {
                say(&format!("   {} could not be acknowledged: {error}", item.id))?;
                continue;
            }
        };
        match told.state {
            RevocationState::Done { .. } => settled.send(told.id)?,
            RevocationState::Outstanding { .. } => {
                say(&format!("   {} has failed and will come again", told.id))?;
            }
            // Another session of the same account has been opened meanwhile and needs the membership that
            // was just taken away.
            RevocationState::Superseded { .. } => {
                say(&format!("   {} was taken back: put it into the group again", told.account))?;
                settled.send(told.id)?;
            }
        }
    }
    Ok(())
}

/// What stands for the computers here: they cannot be reached at first.
struct Host {
    reachable: bool,
}

impl Host {
    fn do_it(&mut self, item: &Revocation) -> std::result::Result<(), String> {
        let (account, computer) = (&item.account, &item.computer);
        let what = match &item.task {
            Task::RemoveFromGroup(group) => format!("take {account} out of {group} on {computer}"),
            Task::DeleteAccount => format!("delete {account} on {computer}"),
        };
        let failed = !std::mem::replace(&mut self.reachable, true);
        let told = if failed { "FAILED, the computer cannot be reached" } else { "done" };
        // What cannot be said here is not worth a revocation.
        let _ = say(&format!("   work {}: {what}: {told}", item.id));
        if failed { Err(format!("{computer} cannot be reached")) } else { Ok(()) }
    }
}

fn lasting(session: &Session) -> String {
    let left = session.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    format!("for {} minutes at most", left.as_secs().div_ceil(60))
}

/// The address after `--server`, or that of the demo.
fn server() -> Result<String> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => Ok("http://127.0.0.1:7070".to_owned()),
        (Some("--server"), Some(address)) => Ok(address),
        _ => Err("write `--server URL`, or nothing".into()),
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
