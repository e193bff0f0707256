//! Asks one question and says what to do with the answer:
//! `cargo run -p pdp-client --example check -- http://127.0.0.1:7070`.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use pdp_client::{Client, Effect, Permission, Question, Resource, Subject};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7070".to_owned());
    let client = Client::builder(server).deadline(Duration::from_secs(2)).connect().await?;

    let question = Question::new(
        Subject::person("ana"),
        Permission::operation("View"),
        Resource::new("Report", "absence"),
    );
    // An error leaves by `?` and is neither an ALLOW nor a DENY.
    let decision = client.check(&question).await?;
    let advice = match decision.effect {
        Effect::Allow => "go ahead",
        Effect::Deny => "do not",
        Effect::RequiresApproval => "ask somebody who may approve it",
    };
    let (reason, revision) = (decision.reason, decision.revision);
    writeln!(std::io::stdout(), "{question}: {advice} ({reason} at revision {revision})")?;
    Ok(())
}
