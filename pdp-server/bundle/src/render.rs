//! An explanation as text for people: the decision first, then for each object a tree of the
//! assignments that apply, each with how the subject counts as its assignee and how its scope
//! covers the object, one fact a line. Where nothing granted: what would. [`render_delegation`],
//! [`render_vault`] and [`render_session`] do the same for the other families.

mod delegation;
mod meaning;
mod session;
mod vault;

use std::fmt::{Display, Write};

pub use delegation::{render_delegation, render_delegation_with};
pub use session::{render_session, render_session_with};
pub use vault::{render_vault, render_vault_with};

use pdp_engine::actor::ActorRef;
use pdp_engine::explain::{
    Coverage, Entry, Explanation, Gap, Hop, HopKind, NearMiss, Side, Standing, Thing,
};
use pdp_engine::level::{Relative, Scope};
use pdp_engine::permission::Qualifier;
use pdp_engine::query::{Decision, Effect, Reason};
use pdp_engine::resource::ResourceRef;
use pdp_engine::time::{Timestamp, Window};

use crate::question::{OwnedQuestion, OwnedSubject};
use crate::time::format_time;

/// How many levels that would grant are named.
const NAMED_LEVELS: usize = 12;

/// What a piece of the text is, for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// An `ALLOW`, or an entry that allows and decides.
    Allow,
    /// A `DENY`, or an entry that denies and decides.
    Deny,
    /// A `REQUIRES_APPROVAL`.
    Approval,
    /// A heading.
    Heading,
    /// Something that did not matter.
    Faint,
}

/// The explanation as plain text, without a line feed at the end.
#[must_use]
pub fn render_explanation(explanation: &Explanation, question: &OwnedQuestion) -> String {
    render_explanation_with(explanation, question, &|_, text| text.to_owned())
}

/// The explanation as text, with each toned piece put through `paint`.
#[must_use]
pub fn render_explanation_with(
    explanation: &Explanation,
    question: &OwnedQuestion,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let why = meaning::of(explanation.decision.reason);
    let mut out = headline(explanation.decision, why, explanation.evaluated_at, question, paint);
    let words = Words { subject: &question.subject, paint };
    for side in &explanation.sides {
        out.push_str("\n\n");
        let title = format!("{}  {}", side.object, side.outcome.as_str());
        let below = words.side(side, question);
        draw(&mut out, &Branch { text: paint(Tone::Heading, &title), below });
    }
    out
}

/// The decision and what it means.
fn headline(
    decision: Decision,
    why: &str,
    evaluated_at: Timestamp,
    question: &dyn Display,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let Decision { effect, reason, revision } = decision;
    let tone = match effect {
        Effect::Allow => Tone::Allow,
        Effect::Deny => Tone::Deny,
        Effect::RequiresApproval => Tone::Approval,
    };
    let decided = paint(tone, &format!("{} {}", effect.as_str(), reason.as_str()));
    let at = format_time(evaluated_at);
    format!("{decided}  {question}\n{why}; decided for {at} on revision {revision}")
}

/// A line and what hangs under it.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }
}

fn draw(out: &mut String, root: &Branch) {
    out.push_str(&root.text);
    draw_below(out, "", &root.below);
}

fn draw_below(out: &mut String, margin: &str, branches: &[Branch]) {
    for (position, branch) in branches.iter().enumerate() {
        let last = position + 1 == branches.len();
        let (fork, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let _ = write!(out, "\n{margin}{fork}{}", branch.text);
        draw_below(out, &format!("{margin}{under}"), &branch.below);
    }
}

struct Words<'a> {
    subject: &'a OwnedSubject,
    paint: &'a dyn Fn(Tone, &str) -> String,
}

// === impl Words ===

impl Words<'_> {
    fn side(&self, side: &Side, question: &OwnedQuestion) -> Vec<Branch> {
        let mut branches: Vec<Branch> = Vec::new();
        for standing in [Standing::Deciding, Standing::Masked, Standing::Outweighed] {
            let entries = side.entries.iter().filter(|entry| entry.standing == standing);
            branches
                .extend(entries.map(|entry| self.entry(entry, self.coverage(&side.object, entry))));
        }
        branches.extend(omitted(side.omitted_entries));
        if side.outcome != Reason::NotGranted {
            return branches;
        }
        let OwnedQuestion { subject, kind, permission, .. } = question;
        let asked = format!("{} {permission}", kind.as_str());
        branches.push(Branch::leaf(format!("nothing that {subject} has here allows {asked}")));
        if side.granting_levels.is_empty() {
            branches.push(Branch::leaf(format!(
                "no level of type {} allows {asked}",
                side.object.type_name
            )));
        } else {
            let mut names: Vec<String> =
                side.granting_levels.iter().take(NAMED_LEVELS).map(ToString::to_string).collect();
            if let Some(more) = side.granting_levels.len().checked_sub(NAMED_LEVELS + 1) {
                names.push(format!("and {} more", more + 1));
            }
            branches.push(Branch::leaf(format!("levels that would: {}", names.join(", "))));
        }
        branches.extend(side.near_misses.iter().map(|miss| self.near_miss(side, miss)));
        branches
    }

    fn entry(&self, entry: &Entry, coverage: Branch) -> Branch {
        let (tone, standing) = match (entry.standing, entry.qualifier) {
            (Standing::Deciding, Qualifier::Allowed) => (Tone::Allow, "decides"),
            (Standing::Deciding, _) => (Tone::Deny, "decides"),
            (Standing::Masked, _) => (Tone::Faint, "masked by the deny"),
            (Standing::Outweighed, _) => (Tone::Faint, "outweighed"),
        };
        let says = match entry.qualifier {
            Qualifier::Allowed => "allows",
            Qualifier::Denied => "denies",
            Qualifier::Disabled => "disables",
            Qualifier::Unassigned => "leaves unassigned",
        };
        let standing = (self.paint)(tone, standing);
        let grant = grant(&entry.to, &entry.level.to_string(), &entry.scope, &entry.window);
        Branch {
            text: format!("{standing}: `{}` {says} it: {grant}", entry.assignment),
            below: vec![self.subject(&entry.to, &entry.subject_path), coverage],
        }
    }

    fn subject(&self, to: &ActorRef, path: &[Hop]) -> Branch {
        let subject = self.subject;
        if path.is_empty() {
            return Branch::leaf(format!("subject: {subject} is the assignee"));
        }
        Branch { text: format!("subject: {subject} counts as {to}"), below: hops(path) }
    }

    fn coverage(&self, object: &ResourceRef, entry: &Entry) -> Branch {
        let Coverage { relation, placement } = &entry.coverage;
        let subject = self.subject;
        let below: Vec<Branch> = hops(relation).into_iter().chain(hops(placement)).collect();
        let text = match &entry.scope {
            Scope::On(_) => format!("scope: it names {object}"),
            Scope::In(location) if below.is_empty() => {
                format!("scope: {object} is {location} itself")
            }
            Scope::In(location) => format!("scope: {object} is placed in or below {location}"),
            Scope::Relative(relative) => {
                format!("scope: {object} {} {subject}", relation_of(*relative))
            }
        };
        Branch { text, below }
    }

    fn near_miss(&self, side: &Side, miss: &NearMiss) -> Branch {
        let subject = self.subject;
        let NearMiss { assignment, to, level, scope, window, gap, subject_path } = miss;
        let (missing, repair) = match gap {
            Gap::Window if !subject_path.is_empty() => (
                format!(
                    "a membership or position on the way from {subject} to {to} is out of its window"
                ),
                format!("extend that window, or assign {level} {scope} to {subject}"),
            ),
            Gap::Window => (
                "its own window is closed".to_owned(),
                format!("extend its window, or assign {level} {scope} to {subject} without one"),
            ),
            Gap::Assignee => (
                format!("it grants this here, and {subject} does not count as {to}"),
                match to {
                    ActorRef::Person(_) | ActorRef::Account(_) => {
                        format!("assign {level} {scope} to {subject} too")
                    }
                    _ => format!(
                        "assign {level} {scope} to {subject}, or let {subject} count as {to}"
                    ),
                },
            ),
            Gap::Scope => (
                format!("it grants this to {subject}, and does not cover {}", side.object),
                format!("assign {level} on {} to {to}", side.object),
            ),
        };
        let mut below = vec![Branch { text: missing, below: hops(subject_path) }];
        below.push(Branch::leaf(format!("repair: {repair}")));
        let near = (self.paint)(Tone::Approval, "near miss");
        let grant = grant(to, &level.to_string(), scope, window);
        Branch { text: format!("{near}: `{assignment}`: {grant}"), below }
    }
}

fn grant(to: &ActorRef, level: &str, scope: &Scope, window: &Window) -> String {
    let scope = match scope {
        Scope::On(_) | Scope::In(_) => scope.to_string(),
        Scope::Relative(relative) => format!("relative to the subject ({})", relative.as_str()),
    };
    format!("{to} has {level} {scope}{}", when(window))
}

/// What a relative scope says of an object and, after it, of the subject.
const fn relation_of(relative: Relative) -> &'static str {
    match relative {
        Relative::Myself => "is the person object of",
        Relative::Manager => "is the manager of",
        Relative::DirectReports => "is a direct report of",
        Relative::OwnAccounts => "is owned by",
        Relative::AccountsOfDirectReports => "is owned by a direct report of",
        Relative::InMyLocations => "is placed in or below the location of a position of",
        Relative::MyLocationsAndAbove => "is, or lies above, a location of",
        Relative::MyLocationsAndBelow => "is, or lies below, a location of",
        Relative::InMyOrganization => "is placed in or below the organization of a position of",
    }
}

/// Says how many entries there are besides those listed, if there are any.
fn omitted(count: usize) -> Option<Branch> {
    (count > 0).then(|| Branch::leaf(format!("and {count} more that apply, not listed")))
}

fn hops(path: &[Hop]) -> Vec<Branch> {
    path.iter().map(|hop| Branch::leaf(step(hop))).collect()
}

fn step(hop: &Hop) -> String {
    let Hop { kind, from, to, window } = hop;
    let pair = matches!(from, Thing::Actor(ActorRef::BusinessRoleLocation(..)));
    let words = match kind {
        HopKind::RoleParent if pair => "counts as its parent role,",
        HopKind::LocationParent if pair => "counts in the location above,",
        kind => kind.as_str(),
    };
    format!("{from} {words} {to}{}", when(window))
}

fn when(window: &Window) -> String {
    let mut text = String::new();
    if let Some(from) = window.from {
        let _ = write!(text, " from {}", format_time(from));
    }
    if let Some(until) = window.until {
        let _ = write!(text, " until {}", format_time(until));
    }
    text
}
