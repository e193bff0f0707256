//! Why somebody may hand out an Access Level or not: both sides with their objects, the operations
//! tried on each with what they come to, and what is missing.

use pdp_engine::delegate::{
    Alternative, AskedOf, DelegationExplanation, DelegationSide, ObjectSide, Status,
};
use pdp_engine::explain::{Entry, Standing, Thing};
use pdp_engine::level::Scope;
use pdp_engine::query::Reason;

use super::{Branch, Tone, Words, draw, headline, hops, meaning, omitted};
use crate::question::{OwnedDelegation, OwnedSubject};

/// The explanation as plain text, without a line feed at the end.
#[must_use]
pub fn render_delegation(
    explanation: &DelegationExplanation,
    question: &OwnedDelegation,
) -> String {
    render_delegation_with(explanation, question, &|_, text| text.to_owned())
}

/// The explanation as text, with each toned piece put through `paint`.
#[must_use]
pub fn render_delegation_with(
    explanation: &DelegationExplanation,
    question: &OwnedDelegation,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let DelegationExplanation { decision, evaluated_at, resource, recipient } = explanation;
    let why = match decision.reason {
        Reason::Granted => "it is held on both sides",
        Reason::ExplicitDeny => "one of the operations is denied, whatever else is held",
        Reason::MissingOnResource => {
            "it is held on the recipient side and not on the resource side"
        }
        Reason::MissingOnBoth => "it is held on neither side",
        reason => meaning::of(reason),
    };
    let mut out = headline(*decision, why, *evaluated_at, question, paint);
    let words = Words { subject: &question.delegator, paint };
    if decision.reason == Reason::SelfDelegation {
        let (delegator, recipient) = (&question.delegator, &question.recipient);
        let owner = match delegator {
            OwnedSubject::Person(_) => "",
            OwnedSubject::Account(_) => ", or the owner of the account,",
        };
        out.push_str(&format!("\n{delegator}{owner} counts as {recipient}"));
    }
    for (name, side) in [("resource side", resource), ("recipient side", recipient)] {
        let Some(side) = side else { continue };
        out.push_str("\n\n");
        draw(&mut out, &words.delegation_side(name, side));
    }
    out
}

// === impl Words ===

impl Words<'_> {
    fn delegation_side(&self, name: &str, side: &DelegationSide) -> Branch {
        let DelegationSide { status, objects, omitted_objects } = side;
        let title = (self.paint)(Tone::Heading, &format!("{name}  {}", status.as_str()));
        let mut below: Vec<Branch> = objects.iter().map(|object| self.asked_of(object)).collect();
        if objects.is_empty() {
            below.push(Branch::leaf("there is nothing to hold it of: the policy has no location"));
        }
        if *omitted_objects > 0 {
            let text = format!("and {omitted_objects} more that it is asked of, not listed");
            below.push(Branch::leaf(text));
        }
        Branch { text: title, below }
    }

    fn asked_of(&self, object: &ObjectSide) -> Branch {
        let ObjectSide { of, status, alternatives } = object;
        let mut below: Vec<Branch> =
            alternatives.iter().map(|tried| self.alternative(of, tried)).collect();
        if *status == Status::Missing {
            let names: Vec<_> = alternatives
                .iter()
                .filter(|tried| tried.declared)
                .map(|it| &*it.operation)
                .collect();
            let missing = (self.paint)(Tone::Approval, "missing");
            below.push(Branch::leaf(match names.as_slice() {
                [] => format!("{missing}: no operation that the type declares would do"),
                [one] => format!("{missing}: {one} of {of}"),
                several => format!("{missing}: one of {} of {of}", several.join(", ")),
            }));
        }
        Branch { text: format!("{of}  {}", status.as_str()), below }
    }

    fn alternative(&self, of: &AskedOf, tried: &Alternative) -> Branch {
        let Alternative { operation, declared, outcome, entries, omitted_entries } = tried;
        if !declared {
            let faint = (self.paint)(Tone::Faint, "not declared");
            return Branch::leaf(format!("{operation}  {faint}"));
        }
        let mut below = Vec::new();
        for standing in [Standing::Deciding, Standing::Masked, Standing::Outweighed] {
            let entries = entries.iter().filter(|entry| entry.standing == standing);
            below.extend(entries.map(|entry| self.entry(entry, self.asked_coverage(of, entry))));
        }
        below.extend(omitted(*omitted_entries));
        let tone = match outcome {
            Reason::Granted => Tone::Allow,
            Reason::ExplicitDeny => Tone::Deny,
            _ => Tone::Faint,
        };
        let outcome = (self.paint)(tone, outcome.as_str());
        Branch { text: format!("{operation}  {outcome}"), below }
    }

    /// D1: what is asked of a place is answered by what is given by place.
    fn asked_coverage(&self, of: &AskedOf, entry: &Entry) -> Branch {
        match (of, &entry.scope) {
            (AskedOf::Resource(object), _) => self.coverage(object, entry),
            (AskedOf::TypeAt(_, asked), Scope::In(given)) if asked == given => {
                Branch::leaf(format!("scope: it is given in {given} itself"))
            }
            (AskedOf::TypeAt(_, asked), Scope::In(given)) => {
                // Only denials reach up from below.
                let way = &entry.coverage.placement;
                let starts_at = |location| way.first().is_some_and(|hop| hop.from == location);
                let above = starts_at(Thing::Location(asked.clone()));
                let side = if above { "above" } else { "below" };
                let text = format!("scope: it is given in {given}, which lies {side} {asked}");
                Branch { text, below: hops(way) }
            }
            (AskedOf::TypeAt(..), scope) => Branch::leaf(format!("scope: it is given {scope}")),
        }
    }
}
