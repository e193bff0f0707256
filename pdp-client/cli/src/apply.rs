//! `apply`: a bundle becomes one change set, and what it changed is shown.

use std::collections::HashMap;
use std::io::Read as _;

use pdp_bundle::case::read_file;
use pdp_bundle::{Bundle, BundleError, MAX_BYTES, parse};
use pdp_client::engine::change_to_wire;
use pdp_client::{Applied, ChangeSet, Client, Error, Revision};
use pdp_engine::facts::{Change, Fact, FactKey, Facts};

use crate::diff::Diff;
use crate::exit::Exit;
use crate::options::{Apply, Server, Source};
use crate::policy;
use crate::problem::Problem;
use crate::screen::Screen;

/// How many changes a server takes at once.
const MAX_CHANGES: usize = 10_000;

/// How often a replacing change set is made again because another writer came first.
const MAX_TRIES: usize = 3;

/// The changes to send, and the policy they were made for, where it was read.
struct Plan {
    changes: Vec<Change>,
    before: Option<(Facts, Revision)>,
}

/// Applies a bundle and prints the difference.
pub(crate) async fn apply(
    server: &Server,
    options: Apply,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let bundle = read(&options.source)?;
    let client = server.connect_for_policy().await?;
    let (applied, plan) = send(&client, &bundle, &options).await?;
    let diff = Diff::new(applied, options.dry_run)?;
    let by_key: HashMap<FactKey, &Fact> = bundle.facts().map(|fact| (fact.key(), fact)).collect();
    let before = plan.before.as_ref().map(|(facts, _)| facts);
    screen.answer(|| diff.text(before, |key| by_key.get(key).copied()), || diff.json())?;
    Ok(Exit::Success)
}

async fn send(
    client: &Client,
    bundle: &Bundle,
    options: &Apply,
) -> Result<(Applied, Plan), Problem> {
    let mut tries = 1;
    loop {
        let plan = Plan::new(client, bundle, options.replace).await?;
        within_limit(bundle, &plan.changes)?;
        match client.apply(change_set(&plan, options)).await {
            Ok(applied) => return Ok((applied, plan)),
            Err(error) => {
                let overtaken = error.reason() == Some("REVISION_CONFLICT");
                let again = options.replace && options.expected_revision.is_none();
                if !(overtaken && again && tries < MAX_TRIES) {
                    return Err(located(client, bundle, plan, error).await);
                }
            }
        }
        tries += 1;
    }
}

// === impl Plan ===

impl Plan {
    async fn new(client: &Client, bundle: &Bundle, replace: bool) -> Result<Self, Problem> {
        if !replace {
            return Ok(Self { changes: bundle.changes(), before: None });
        }
        let (facts, revision) = policy::read(client).await?;
        Ok(Self { changes: bundle.replace(&facts), before: Some((facts, revision)) })
    }
}

/// A replacing change set fits only the policy it was made for, so it always expects its revision.
fn change_set(plan: &Plan, options: &Apply) -> ChangeSet {
    let mut set = ChangeSet::new(plan.changes.iter().map(change_to_wire).collect());
    let read = plan.before.as_ref().map(|(_, revision)| *revision);
    if let Some(revision) = options.expected_revision.or(read) {
        set = set.expecting(revision);
    }
    if options.dry_run {
        set = set.dry_run();
    }
    if let Some(person) = &options.on_behalf_of {
        set = set.on_behalf_of(person.as_str());
    }
    match &options.request_id {
        Some(id) => set.request_id(id.as_str()),
        None => set,
    }
}

fn within_limit(bundle: &Bundle, changes: &[Change]) -> Result<(), Problem> {
    let count = changes.len();
    if count <= MAX_CHANGES {
        return Ok(());
    }
    let puts = changes.iter().filter(|change| matches!(change, Change::Put(_))).count();
    let deletes = count - puts;
    Err(Problem::Message(format!(
        "{}: makes {count} changes ({puts} facts to put, {deletes} to remove), and a change set holds {MAX_CHANGES} at most\n\
         it is not split, because parts of it would not be atomic: a policy that is half of each would decide in between\n\
         `pdpctl import` takes a bundle of any size as one change set",
        bundle.source()
    )))
}

/// A refusal by file and line. The server tells facts; going over the same changes here finds
/// where in the file they stand.
async fn located(client: &Client, bundle: &Bundle, plan: Plan, error: Error) -> Problem {
    if error.reason() != Some("CHANGE_SET_REJECTED") {
        return error.into();
    }
    let facts = match plan.before {
        Some((facts, _)) => Ok(facts),
        None => policy::read(client).await.map(|(facts, _)| facts),
    };
    let found = facts.ok().and_then(|mut facts| facts.apply(&plan.changes).err());
    match found {
        Some(rejected) => Problem::File {
            headline: Some("the change set was refused; nothing was changed".to_owned()),
            error: bundle.explain_rejection(&rejected),
        },
        // The policy may not be read, or has changed since: the server's own words have to do.
        None => error.into(),
    }
}

pub(crate) fn read(source: &Source) -> Result<Bundle, Problem> {
    let (name, text) = match source {
        Source::File(path) => (path.display().to_string(), read_file(path)?),
        Source::StandardInput => ("standard input".to_owned(), read_standard_input()?),
    };
    Ok(parse(&name, &text)?)
}

fn read_standard_input() -> Result<String, BundleError> {
    let fail = |message: String| BundleError::whole_file("standard input", message);
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(limit.saturating_add(1));
    input.read_to_end(&mut bytes).map_err(|error| fail(format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(fail(format!("has more than {MAX_BYTES} bytes, which is the limit")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        fail(format!("is not UTF-8 text: byte {valid} begins no character"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_set_that_is_too_large_is_not_split() {
        use std::fmt::Write as _;
        let mut text = String::from("people:\n");
        for number in 0..=MAX_CHANGES {
            writeln!(text, "  - {{id: p{number}}}").unwrap();
        }
        let bundle = parse("big.yaml", &text).unwrap();
        let mut changes = bundle.changes();
        let told = within_limit(&bundle, &changes).unwrap_err().to_string();
        let first = "big.yaml: makes 10001 changes (10001 facts to put, 0 to remove), and a change set holds 10000 at most";
        assert_eq!(told.lines().next(), Some(first));
        changes.pop();
        assert!(within_limit(&bundle, &changes).is_ok());
    }
}
