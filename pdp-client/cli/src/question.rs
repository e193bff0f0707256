//! `check` and `explain`.

use pdp_bundle::question::{OwnedObject, OwnedQuestion, OwnedSubject};
use pdp_bundle::render::{Tone, render_explanation_with};
use pdp_client::engine::explanation_from_wire;
use pdp_client::{Decision, Effect, Permission, Question, Resource, Subject};
use pdp_engine::permission::PermissionKind;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::explained;
use crate::options::{Asked, Server};
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, STRONG, Screen, paint};

/// Asks, and prints the decision.
pub(crate) async fn check(
    server: &Server,
    asked: &Asked,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?.at_least(asked.at_least);
    let decision = client.check(&to_client(&asked.question)).await?;
    screen.answer(|| decision_line(&decision, &asked.question), || decision_json(&decision))?;
    Ok(decision.effect.into())
}

/// Asks, and prints the decision with everything that led to it.
pub(crate) async fn explain(
    server: &Server,
    asked: &Asked,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?.at_least(asked.at_least);
    let explanation = client.explain(&to_client(&asked.question)).await?;
    let explanation = explanation_from_wire(explanation.message)?;
    screen.answer(
        || format!("{}\n", render_explanation_with(&explanation, &asked.question, &painted)),
        || explained::explanation(&explanation),
    )?;
    Ok(explanation.decision.effect.into())
}

fn to_client(question: &OwnedQuestion) -> Question {
    let OwnedQuestion { subject, kind, permission, resource, counterpart, routing } = question;
    let object = |object: &OwnedObject| Resource::new(&object.type_name, &object.id);
    Question {
        subject: match subject {
            OwnedSubject::Person(id) => Subject::person(id),
            OwnedSubject::Account(id) => Subject::account(id),
        },
        permission: match kind {
            PermissionKind::Operation => Permission::operation(permission),
            PermissionKind::Right => Permission::right(permission),
        },
        resource: object(resource),
        counterpart: counterpart.as_ref().map(object),
        routing: *routing,
    }
}

fn decision_line(decision: &Decision, question: &OwnedQuestion) -> String {
    let Decision { effect, reason, revision } = decision;
    let style = match effect {
        Effect::Allow => GOOD,
        Effect::Deny => BAD,
        Effect::RequiresApproval => MIDDLING,
    };
    let decision = paint(style, &format!("{effect} {reason}"));
    let revision = paint(FAINT, &format!("revision {revision}"));
    format!("{decision}  {question}  {revision}\n")
}

fn decision_json(decision: &Decision) -> Value {
    let Decision { effect, reason, revision } = decision;
    let (effect, reason) = (effect.as_str(), reason.to_string());
    json!({"effect": effect, "reason": reason, "revision": revision.get()})
}

fn painted(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Allow => GOOD,
        Tone::Deny => BAD,
        Tone::Approval => MIDDLING,
        Tone::Heading => STRONG,
        Tone::Faint => FAINT,
    };
    paint(style, text)
}
