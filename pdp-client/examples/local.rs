//! Keeps a policy and decides in process, and asks the server the same beside it:
//! `cargo run --release -p pdp-client --features local --example local -- http://127.0.0.1:7070`.

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

use pdp_client::{Client, LocalOptions, Permission, Question, Resource, Revision, Subject};

/// How many times the question is asked.
const TIMES: u32 = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7070".to_owned());
    // The export that it begins with has this deadline.
    let client = Client::builder(server).deadline(Duration::from_secs(60)).connect().await?;
    let local = client.follow(LocalOptions::default());
    local.wait_for(Revision::new(1)).await;

    let question = Question::new(
        Subject::person("lea"),
        Permission::operation("Edit"),
        Resource::new("Report", "client-portfolio"),
    );
    // In process, or from the server where it has to be asked; an error is neither an ALLOW nor a DENY.
    let decision = local.check(&question).await?;
    let mut out = std::io::stdout();
    let (effect, reason, revision) = (decision.effect, decision.reason, decision.revision);
    writeln!(out, "{question}: {effect} {reason} at revision {revision}")?;

    let begun = Instant::now();
    let decided = (0..TIMES).filter(|_| local.decide(&question).is_some()).count();
    writeln!(out, "in process  {decided} times, {:?} each", begun.elapsed() / TIMES)?;
    let (begun, times) = (Instant::now(), TIMES / 100);
    for _ in 0..times {
        let asked = client.check(&question).await?;
        assert_eq!(asked.effect, effect, "the policy has changed meanwhile");
    }
    writeln!(out, "the server  {times} times, {:?} each", begun.elapsed() / times)?;
    Ok(())
}
