//! A question to a world as a case file that `pdpctl test` replays.

use std::fmt::Write as _;

use pdp_bundle::case::{Answer as CaseAnswer, CaseFile, ExpectedObligations, run_in_process};
use pdp_bundle::export::export;
use pdp_bundle::question::{AnyQuestion, OwnedScope, OwnedSubject};
use pdp_bundle::time::format_time;
use pdp_engine::delegate::DelegationAction;
use pdp_engine::facts::Facts;
use pdp_engine::query::Effect;
use pdp_engine::session::OpenSession;
use pdp_engine::time::Timestamp;

use super::Told;
use crate::oracle::{Existing, Refused};

/// One question to one world.
#[derive(Debug, Clone)]
pub struct Case {
    /// The policy.
    pub facts: Facts,
    /// What exists besides it.
    pub existing: Existing,
    /// The question.
    pub question: AnyQuestion,
    /// The instant at which it is asked.
    pub now: Timestamp,
}

// === impl Case ===

impl Case {
    /// The case file that expects this answer. What case files have no words for (an account that was
    /// made for a session and is not kept, say) is written as what comes nearest: whoever writes one
    /// asks [`Case::read`] what it has become.
    #[must_use]
    pub fn text(&self, expected: &Told, about: &str) -> String {
        let Self { facts, existing, question, now } = self;
        let mut text = format!("about: {}\nbundle:\n", quoted(about));
        for line in export(facts).lines() {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "now: {}", format_time(*now));
        let sessions = sessions(facts, existing, *now);
        if !sessions.is_empty() {
            let _ = writeln!(text, "open_sessions:\n{sessions}");
        }
        let _ = writeln!(text, "checks:\n  - {{{}, expect: {}}}", asked(question), told(expected));
        text
    }

    /// What a case file says, if it can be read and asks one thing.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let file = parse(text)?;
        let mut facts = Facts::default();
        facts.apply(&file.bundle.changes()).ok()?;
        let now = file.now?;
        let found = file.sessions_at(&facts, now);
        let existing = Existing { sessions: found.sessions, accounts: found.accounts };
        let [check] = file.checks.as_slice() else { return None };
        Some(Self { facts, existing, question: check.question.clone(), now })
    }
}

/// Whether a case file runs and its check does not hold.
#[must_use]
pub fn fails(text: &str) -> bool {
    let report = parse(text).and_then(|file| run_in_process(&file, Timestamp::MIN).ok());
    report.is_some_and(|report| report.failed() == 1)
}

fn parse(text: &str) -> Option<CaseFile> {
    CaseFile::parse("case", text, |_| Err("the policy stands in the file".to_owned())).ok()
}

/// What the answer is, for a reader.
#[must_use]
pub fn worded(told: &Told) -> String {
    let answer = match told {
        Ok(((effect, reason), obligations)) => {
            CaseAnswer::decided(*effect, *reason).with_obligations(obligations.clone())
        }
        Err(Refused) => return "a refusal".to_owned(),
    };
    match answer {
        CaseAnswer::Decision { effect, reason, obligations, .. } => {
            let due = obligations.map(|it| format!(" {}", ExpectedObligations::from(&it)));
            format!("{} {}{}", effect.as_str(), reason.as_str(), due.unwrap_or_default())
        }
        CaseAnswer::Error { code, .. } => code,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn told(expected: &Told) -> String {
    let Ok(((effect, reason), obligations)) = expected else {
        return "{error: INVALID_ARGUMENT}".to_owned();
    };
    let effect = match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::RequiresApproval => "requires_approval",
    };
    let due = obligations.as_ref().map(|due| format!(", obligations: {}", duties(due)));
    format!("{{effect: {effect}, reason: {}{}}}", reason.as_str(), due.unwrap_or_default())
}

fn duties(due: &pdp_engine::session::Obligations) -> String {
    let ExpectedObligations { group, account, account_id, delete_account, not_after } = due.into();
    let parts = [
        group.map(|group| format!("group: {}", quoted(&format!("group:{group}")))),
        account.map(|word| format!("account: {}", word.as_str())),
        account_id.map(|id| format!("account_id: {}", quoted(&id))),
        delete_account.map(|delete| format!("delete_account: {delete}")),
        not_after.map(|instant| format!("not_after: {}", format_time(instant))),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn asked(question: &AnyQuestion) -> String {
    let subject = |key: &str, it: &OwnedSubject| format!("{key}: {}", quoted(&it.to_string()));
    let (mut parts, routing) = match question {
        AnyQuestion::Access(it) => {
            let mut parts = vec![
                subject("subject", &it.subject),
                format!("{}: {}", it.kind.as_str(), quoted(&it.permission)),
                format!("resource: {}", quoted(&it.resource.to_string())),
            ];
            let other = it.counterpart.as_ref();
            parts.extend(other.map(|it| format!("counterpart: {}", quoted(&it.to_string()))));
            (parts, it.routing)
        }
        AnyQuestion::Vault(it) => {
            let entity = format!("resource: {}", quoted(&it.entity.to_string()));
            let action = format!("vault: {}", quoted(&it.action));
            (vec![subject("subject", &it.subject), action, entity], it.routing)
        }
        AnyQuestion::Session(it) => {
            let level = it.level.as_deref().unwrap_or("none");
            let computer = format!("resource: {}", quoted(&it.computer.to_string()));
            let level = format!("session: {}", quoted(level));
            (vec![subject("subject", &it.subject), level, computer], it.routing)
        }
        AnyQuestion::Delegation(it) => {
            let verb = match it.action {
                DelegationAction::Grant => "grant",
                DelegationAction::Revoke => "revoke",
            };
            let scope = match &it.scope {
                OwnedScope::On(object) => format!("on: {}", quoted(&object.to_string())),
                OwnedScope::In(location) => format!("in: {}", quoted(location)),
                OwnedScope::Relative(relative) => format!("relative: {}", relative.as_str()),
            };
            let level = quoted(&format!("{}/{}", it.type_name, it.level));
            let to = format!("to: {}", quoted(&it.recipient.to_string()));
            let delegator = subject("delegator", &it.delegator);
            (vec![delegator, format!("{verb}: {level}"), to, scope], it.routing)
        }
    };
    if !routing {
        parts.push("routing: false".to_owned());
    }
    parts.join(", ")
}

/// The lines of the sessions; an account that no session uses is that of one that is over.
fn sessions(facts: &Facts, existing: &Existing, now: Timestamp) -> String {
    let made = |session: &OpenSession| {
        let is_it = |id| existing.accounts.iter().any(|it| Some(&it.id) == id);
        is_it(session.account.as_ref())
    };
    let mut lines: Vec<String> = existing.sessions.iter().map(|it| line(it, made(it))).collect();
    let level = facts.permission_levels().next().map(|it| it.id.clone());
    let before = |micros: i64| Timestamp::from_micros(now.as_micros().saturating_sub(micros));
    for (n, account) in existing.accounts.iter().enumerate() {
        let used = existing.sessions.iter().any(|it| it.account.as_ref() == Some(&account.id));
        let (false, Ok(id)) = (used, pdp_engine::id::SessionId::new(format!("over{n}"))) else {
            continue;
        };
        let over = OpenSession {
            id,
            person: account.person.clone(),
            computer: account.computer.clone(),
            level: level.clone(),
            group: None,
            account: Some(account.id.clone()),
            opened: before(2),
            not_after: before(1),
        };
        lines.push(line(&over, true));
    }
    lines.join("\n")
}

fn line(session: &OpenSession, jit: bool) -> String {
    let OpenSession { id, person, computer, level, group, account, opened, not_after } = session;
    let mut parts = vec![
        format!("id: {}", quoted(id.as_str())),
        format!("person: {}", quoted(person.as_str())),
        format!("computer: {}", quoted(computer.as_str())),
    ];
    if let (Some(level), Some(account)) = (level, account) {
        parts.push(format!("level: {}", quoted(level.as_str())));
        let group = group.as_ref().map(|it| format!("group: {}", quoted(&format!("group:{it}"))));
        parts.extend(group);
        parts.push(format!("account: {}", quoted(account.as_str())));
        if jit {
            parts.push("jit: true".to_owned());
        }
    }
    parts.push(format!("opened: {}", format_time(*opened)));
    parts.push(format!("not_after: {}", format_time(*not_after)));
    format!("  - {{{}}}", parts.join(", "))
}
