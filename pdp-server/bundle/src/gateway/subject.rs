//! Who asks: what a gateway has proved about the caller, made a person or an account.

use super::template::{Captures, MAX_CAPTURES, Pattern, Template};
use super::{Caller, Claim, Proof};
use crate::question::OwnedSubject;

/// Where a subject may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) from: From,
    pub(super) kind: Kind,
    pub(super) id: Template,
}

/// What a source looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// A claim of a token that the gateway verified.
    Claim(Claim),
    /// A header that the gateway sets.
    Header(Box<str>),
    /// The identity of the caller's certificate.
    Principal(Pattern),
}

/// What kind of subject it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Account,
}

/// What became of the search for a subject.
pub(super) enum Found<'g> {
    /// This source named it.
    Subject(OwnedSubject, &'g Source),
    /// Nothing names one, or what should is not usable.
    Nobody,
}

/// The first source that is there decides, even where it is not usable: a caller that garbles one
/// proof is not to be taken for the one that another proof names.
pub(super) fn find<'g>(sources: &'g [Source], caller: &impl Caller) -> Found<'g> {
    for source in sources {
        let captures = match &source.from {
            From::Claim(claim) => match caller.claim(claim) {
                Proof::Absent => continue,
                proof => one(proof),
            },
            From::Header(name) => match caller.header(name) {
                Proof::Absent => continue,
                proof => one(proof),
            },
            From::Principal(pattern) => match pattern.captures(caller.principal()) {
                // Several kinds of identities are told apart by their patterns.
                None => continue,
                some => some,
            },
        };
        let Some(captures) = captures else { return Found::Nobody };
        return Found::Subject(source.subject(&captures), source);
    }
    Found::Nobody
}

fn one(proof: Proof<'_>) -> Option<Captures<'_>> {
    let mut captures = [""; MAX_CAPTURES];
    match proof {
        Proof::Text(text) if !text.is_empty() => *captures.first_mut()? = text,
        Proof::Text(_) | Proof::Absent | Proof::Unusable => return None,
    }
    Some(captures)
}

// === impl Source ===

impl Source {
    fn subject(&self, captures: &Captures<'_>) -> OwnedSubject {
        let id = self.id.filled(captures);
        match self.kind {
            Kind::Person => OwnedSubject::Person(id),
            Kind::Account => OwnedSubject::Account(id),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.from {
            From::Claim(claim) => write!(f, "claim {}", claim.path.join(".")),
            From::Header(name) => write!(f, "header {name}"),
            From::Principal(pattern) => write!(f, "principal {pattern}"),
        }
    }
}
