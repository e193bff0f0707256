//! Why a session can be opened or not: the eligibilities that apply with their paths, the check
//! that failed, what goes with an allow, and what could be chosen.

use pdp_engine::psm::EligibilityKind;
use pdp_engine::query::{Effect, Reason};
use pdp_engine::session::{
    AccountMode, AppliedEligibility, Obligations, Privileged, SessionExplanation,
};

use super::{Branch, Tone, draw, headline, hops, meaning};
use crate::question::OwnedSession;
use crate::time::format_time;

/// The checks in their order (P2 to P6), each with the reasons it fails for.
const CHECKS: [(&str, &[Reason]); 6] = [
    (
        "the person and the computer are known, and sessions are enabled",
        &[
            Reason::UnknownSubject,
            Reason::SubjectDisabled,
            Reason::UnknownResource,
            Reason::PsmDisabled,
        ],
    ),
    (
        "the computer offers the level and maps it to a native group",
        &[Reason::LevelNotOffered, Reason::LevelNotMapped],
    ),
    ("the person is eligible and not excluded", &[Reason::Excluded, Reason::NotEligible]),
    ("there is an account", &[Reason::NoAccount]),
    ("there is room for another session", &[Reason::SessionLimit]),
    ("it is approved, or needs no approval", &[Reason::NeedsApproval]),
];

/// The checks of a session without a level (P8).
const UNPRIVILEGED_CHECKS: [(&str, &[Reason]); 3] = [
    CHECKS[0],
    ("sessions without a level are taken", &[Reason::UnprivilegedNotAllowed]),
    CHECKS[4],
];

/// The explanation as plain text, without a line feed at the end.
#[must_use]
pub fn render_session(explanation: &SessionExplanation, question: &OwnedSession) -> String {
    render_session_with(explanation, question, &|_, text| text.to_owned())
}

/// The explanation as text, with each toned piece put through `paint`.
#[must_use]
pub fn render_session_with(
    explanation: &SessionExplanation,
    question: &OwnedSession,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let SessionExplanation { decided, evaluated_at, eligibilities, visible_levels } = explanation;
    let decision = decided.decision;
    let why = match decision.reason {
        Reason::Granted => "every check holds",
        reason => meaning::of(reason),
    };
    let mut out = headline(decision, why, *evaluated_at, question, paint);
    let mut below = checks(decision.effect, decision.reason, question, paint);
    let [(_, known), ..] = CHECKS;
    // Where the first check fails, nothing else was looked at.
    if !known.contains(&decision.reason) {
        if question.level.is_some() {
            below.push(eligible(eligibilities, question, paint));
        }
        if let Some(obligations) = &decided.obligations {
            below.push(self::obligations(obligations));
        }
        let levels: Vec<_> = visible_levels.iter().map(ToString::to_string).collect();
        let levels = if levels.is_empty() { "none".to_owned() } else { levels.join(", ") };
        below.push(Branch::leaf(format!("levels that {} can choose: {levels}", question.subject)));
    }
    out.push_str("\n\n");
    let text = paint(Tone::Heading, &question.computer.to_string());
    draw(&mut out, &Branch { text, below });
    out
}

/// The checks up to the one that failed.
fn checks(
    effect: Effect,
    reason: Reason,
    question: &OwnedSession,
    paint: &dyn Fn(Tone, &str) -> String,
) -> Vec<Branch> {
    let all: &[_] = if question.level.is_some() { &CHECKS } else { &UNPRIVILEGED_CHECKS };
    let mut told = Vec::new();
    for (check, reasons) in all {
        if !reasons.contains(&reason) {
            told.push(Branch::leaf(format!("{}: {check}", paint(Tone::Allow, "holds"))));
            continue;
        }
        let tone = match effect {
            Effect::RequiresApproval => Tone::Approval,
            Effect::Allow | Effect::Deny => Tone::Deny,
        };
        let fails = paint(tone, "fails");
        told.push(Branch::leaf(format!("{fails}: {check}: {}", reason.as_str())));
        break;
    }
    told
}

fn eligible(
    eligibilities: &[AppliedEligibility],
    question: &OwnedSession,
    paint: &dyn Fn(Tone, &str) -> String,
) -> Branch {
    let subject = &question.subject;
    let level = question.level.as_deref().unwrap_or_default();
    if eligibilities.is_empty() {
        return Branch::leaf(format!("no eligibility for {level} applies to {subject}"));
    }
    let below = eligibilities.iter().map(|applied| {
        let AppliedEligibility { to, kind, subject_path } = applied;
        let tone = match kind {
            EligibilityKind::Excluded => Tone::Deny,
            EligibilityKind::PreApproved | EligibilityKind::Approved => Tone::Allow,
            EligibilityKind::Eligible | EligibilityKind::Suggested => Tone::Approval,
        };
        let kind = paint(tone, kind.as_str());
        let counts = if subject_path.is_empty() {
            format!("{subject} is named")
        } else {
            format!("{subject} counts as {to}")
        };
        Branch { text: format!("{kind}: {to}: {counts}"), below: hops(subject_path) }
    });
    Branch { text: format!("eligibilities for {level} that apply"), below: below.collect() }
}

fn obligations(obligations: &Obligations) -> Branch {
    let Obligations { privileged, not_after } = obligations;
    let mut below = Vec::new();
    if let Some(Privileged { group, account, delete_account }) = privileged {
        let account = match account {
            AccountMode::Existing(id) => format!("account:{id}, the person's own"),
            AccountMode::JitNew => "a new one, made for the session".to_owned(),
            AccountMode::JitReuse(id) => format!("account:{id}, kept from an earlier session"),
        };
        below.push(Branch::leaf(format!("native group: group:{group}")));
        below.push(Branch::leaf(format!("account: {account}")));
        let deleted = if *delete_account { ", and the account is deleted" } else { "" };
        below.push(Branch::leaf(format!("on end: the account leaves the group{deleted}")));
    }
    below.push(Branch::leaf(format!("not after: {}", format_time(*not_after))));
    Branch { text: "obligations".to_owned(), below }
}
