//! `check`, `explain` and `delegation`.

use pdp_bundle::question::AnyQuestion;
use pdp_bundle::render::Tone;
use pdp_bundle::time::format_time;
use pdp_client::engine::obligations_to_engine;
use pdp_client::{Client, Decision, Effect};
use pdp_engine::session::{Obligations, Privileged};
use serde_json::{Map, Value, json};

use crate::asked::{Asked, ToClient};
use crate::exit::Exit;
use crate::explained::Explained;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, STRONG, Screen, paint, table};

/// Asks, and prints the decision.
pub(crate) async fn check(
    server: &Server,
    asked: &Asked,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?.at_least(asked.at_least);
    let decision = match ToClient::new(&asked.question) {
        ToClient::Check(question) => client.check(&question).await?,
        ToClient::Delegation(question) => client.check_delegation(&question).await?,
    };
    let due = decision.obligations.clone().map(obligations_to_engine).transpose()?;
    screen.answer(
        || decision_text(&decision, due.as_ref(), &asked.question),
        || decision_json(&decision, due.as_ref()),
    )?;
    Ok(decision.effect.into())
}

/// Asks, and prints the decision with everything that led to it.
pub(crate) async fn explain(
    server: &Server,
    asked: &Asked,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?.at_least(asked.at_least);
    let (effect, explained) = explanation(&client, &asked.question).await?;
    screen.answer(
        || format!("{}\n", explained.text(&asked.question, &painted)),
        || explained.json(),
    )?;
    Ok(effect.into())
}

async fn explanation(
    client: &Client,
    question: &AnyQuestion,
) -> Result<(Effect, Explained), Problem> {
    Ok(match ToClient::new(question) {
        ToClient::Check(asked) => {
            let told = client.explain(&asked).await?;
            (told.decision.effect, Explained::check(told.message, question)?)
        }
        ToClient::Delegation(asked) => {
            let told = client.explain_delegation(&asked).await?;
            (told.decision.effect, Explained::delegation(told.message)?)
        }
    })
}

/// The decision in a line, and what goes with it.
pub(crate) fn decision_text(
    decision: &Decision,
    due: Option<&Obligations>,
    question: &AnyQuestion,
) -> String {
    let Decision { effect, reason, revision, obligations: _ } = decision;
    let style = match effect {
        Effect::Allow => GOOD,
        Effect::Deny => BAD,
        Effect::RequiresApproval => MIDDLING,
    };
    let decision = paint(style, &format!("{effect} {reason}"));
    let revision = paint(FAINT, &format!("revision {revision}"));
    let mut text = format!("{decision}  {question}  {revision}\n");
    if let Some(due) = due {
        text.push_str(&table(&obligation_rows(due), &[FAINT]));
    }
    text
}

fn obligation_rows(due: &Obligations) -> Vec<Vec<String>> {
    let Obligations { privileged, not_after } = due;
    let row = |name: &str, value: String| vec![format!("  {name}"), value];
    let mut rows = vec![row("not after", format_time(*not_after))];
    if let Some(privileged) = privileged {
        let Privileged { group, account, delete_account: _ } = privileged;
        let mode = account.as_str();
        let account = match account_id(privileged) {
            Some(id) => format!("account:{id} ({mode})"),
            None => mode.to_owned(),
        };
        rows.push(row("group", format!("group:{group}")));
        rows.push(row("account", account));
        rows.push(row("on end", on_end(privileged).join(", ")));
    }
    rows
}

/// The same for machines.
pub(crate) fn decision_json(decision: &Decision, due: Option<&Obligations>) -> Value {
    let Decision { effect, reason, revision, obligations: _ } = decision;
    let mut map = Map::new();
    map.insert("effect".to_owned(), json!(effect.as_str()));
    map.insert("reason".to_owned(), json!(reason.to_string()));
    map.insert("revision".to_owned(), json!(revision.get()));
    if let Some(due) = due {
        map.insert("obligations".to_owned(), obligations_json(due));
    }
    Value::Object(map)
}

/// What goes with the `ALLOW` of a session.
pub(crate) fn obligations_json(due: &Obligations) -> Value {
    let Obligations { privileged, not_after } = due;
    let mut map = Map::new();
    let mut add = |key: &str, value: Value| map.insert(key.to_owned(), value);
    add("not_after", json!(format_time(*not_after)));
    if let Some(privileged) = privileged {
        add("group", json!(privileged.group.to_string()));
        add("account_mode", json!(privileged.account.as_str()));
        if let Some(id) = account_id(privileged) {
            add("account", json!(id));
        }
        add("on_end", json!(on_end(privileged)));
    }
    Value::Object(map)
}

fn account_id(privileged: &Privileged) -> Option<String> {
    use pdp_engine::session::AccountMode;
    match &privileged.account {
        AccountMode::Existing(id) | AccountMode::JitReuse(id) => Some(id.to_string()),
        AccountMode::JitNew => None,
    }
}

fn on_end(privileged: &Privileged) -> Vec<&'static str> {
    let mut due = vec!["REMOVE_FROM_GROUP"];
    if privileged.delete_account {
        due.push("DELETE_ACCOUNT");
    }
    due
}

/// The text in the style of its tone.
pub(crate) fn painted(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Allow => GOOD,
        Tone::Deny => BAD,
        Tone::Approval => MIDDLING,
        Tone::Heading => STRONG,
        Tone::Faint => FAINT,
    };
    paint(style, text)
}
