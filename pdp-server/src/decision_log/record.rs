//! A record as a deciding thread makes it: a value of a fixed size, so that it can be put into a
//! ring without allocating. Its texts lie one behind the other in bytes beside it.

use pdp_engine::query::{Decision, Effect, Reason, Revision};
use pdp_engine::time::Timestamp;

use super::{Asking, Noted};
use crate::decision_id::DecisionId;
use crate::telemetry::{DecisionRpc, TraceId};

/// How many bytes the texts of a record may have together: several times what questions have. Where
/// they have more, the last ones are cut, and the record says so.
pub(super) const TEXT_BYTES: usize = 640;

/// One decision.
#[derive(Debug, Clone)]
pub(super) struct Record {
    id: DecisionId,
    at: Timestamp,
    rpc: DecisionRpc,
    effect: Effect,
    reason: Reason,
    revision: Revision,
    trace: Option<TraceId>,
    tenant: Place,
    question: Noted<Place>,
    caller: Place,
    cut: bool,
    text_bytes: u16,
}

/// Where a text lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u16,
    end: u16,
}

/// A record as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) id: DecisionId,
    pub(super) at: Timestamp,
    pub(super) rpc: DecisionRpc,
    pub(super) effect: Effect,
    pub(super) reason: Reason,
    pub(super) revision: Revision,
    pub(super) trace: Option<TraceId>,
    pub(super) tenant: &'a str,
    pub(super) question: Noted<&'a str>,
    /// Empty where nobody is asked who they are.
    pub(super) caller: &'a str,
    /// A text is not whole.
    pub(super) cut: bool,
}

/// Puts the texts of a record one behind the other.
pub(super) struct Texts {
    bytes: [u8; TEXT_BYTES],
    used: usize,
    cut: bool,
}

// === impl Record ===

impl Record {
    /// Copies everything. The caller's name comes last, so that it is the first to be cut.
    pub(super) fn new(
        id: DecisionId,
        asking: &Asking<'_>,
        question: Noted<&str>,
        decision: &Decision,
        texts: &mut Texts,
    ) -> Self {
        let Asking { rpc, tenant, caller, trace, span: _, at } = *asking;
        let Decision { effect, reason, revision } = *decision;
        let tenant = texts.put(tenant);
        let question = question.map(&mut |text| texts.put(text));
        let caller = texts.put(caller);
        let (cut, text_bytes) = (texts.cut, narrow(texts.used));
        Self {
            id,
            at,
            rpc,
            effect,
            reason,
            revision,
            trace,
            tenant,
            question,
            caller,
            cut,
            text_bytes,
        }
    }

    /// How long its texts are together.
    pub(super) fn text_bytes(&self) -> usize {
        usize::from(self.text_bytes)
    }

    /// What it says, with its texts.
    pub(super) fn read<'a>(&self, texts: &'a [u8]) -> Read<'a> {
        let Self {
            id,
            at,
            rpc,
            effect,
            reason,
            revision,
            trace,
            tenant,
            question,
            caller,
            cut,
            text_bytes: _,
        } = self;
        // INVARIANT: texts are cut between characters only.
        let texts = std::str::from_utf8(texts).unwrap_or_default();
        let at_place = |place: Place| {
            texts.get(usize::from(place.start)..usize::from(place.end)).unwrap_or_default()
        };
        Read {
            id: *id,
            at: *at,
            rpc: *rpc,
            effect: *effect,
            reason: *reason,
            revision: *revision,
            trace: *trace,
            tenant: at_place(*tenant),
            question: question.map(&mut |place| at_place(place)),
            caller: at_place(*caller),
            cut: *cut,
        }
    }
}

// === impl Texts ===

impl Texts {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES], used: 0, cut: false }
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    fn put(&mut self, text: &str) -> Place {
        let mut taken = text.len().min(TEXT_BYTES - self.used);
        while !text.is_char_boundary(taken) {
            taken -= 1;
        }
        self.cut |= taken < text.len();
        let start = self.used;
        let end = start + taken;
        if let (Some(to), Some(from)) =
            (self.bytes.get_mut(start..end), text.as_bytes().get(..taken))
        {
            to.copy_from_slice(from);
        }
        self.used = end;
        Place { start: narrow(start), end: narrow(end) }
    }
}

/// A place within the texts.
fn narrow(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use pdp_engine::delegate::DelegationAction;
    use pdp_engine::level::Relative;

    use super::super::noted::{
        NotedObject, NotedPermission, NotedRecipient, NotedScope, NotedSubject,
    };
    use super::*;
    use crate::decision_id::DecisionIds;

    fn record(question: Noted<&str>, caller: &str) -> (Record, Texts) {
        let mut texts = Texts::new();
        let asking = Asking {
            rpc: DecisionRpc::Check,
            tenant: "acme",
            caller,
            trace: None,
            span: None,
            at: Timestamp::from_micros(7),
        };
        let decision = Decision {
            effect: Effect::Deny,
            reason: Reason::NotGranted,
            revision: Revision::new(3),
        };
        let id = DecisionIds::new().unwrap().next();
        (Record::new(id, &asking, question, &decision, &mut texts), texts)
    }

    #[test]
    fn a_record_is_small_and_reads_back() {
        assert!(size_of::<Record>() <= 160, "{}", size_of::<Record>());
        let object = |type_name, id| NotedObject { type_name, id };
        let check = Noted::Check {
            subject: NotedSubject::Person("ana"),
            permission: NotedPermission::Session(Some("root")),
            resource: object("Computer", "web-07"),
            counterpart: Some(object("Person", "bo")),
            routing: true,
        };
        let delegation = Noted::Delegation {
            delegator: NotedSubject::Nobody("robot", "r"),
            action: DelegationAction::Revoke,
            type_name: "Report",
            level: "Viewer",
            recipient: NotedRecipient::Pair("teller", "z\u{fc}rich"),
            scope: NotedScope::Relative(Relative::Manager),
            routing: false,
        };
        for question in [check, delegation] {
            let (record, texts) = record(question, "edge");
            assert_eq!(record.text_bytes(), texts.bytes().len());
            let read = record.read(texts.bytes());
            assert_eq!((read.question, read.caller, read.tenant), (question, "edge", "acme"));
            assert!(!read.cut);
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_between_characters_and_said() {
        let long = "\u{fc}".repeat(128);
        let object = NotedObject { type_name: "T", id: long.as_str() };
        let question = Noted::Check {
            subject: NotedSubject::Account(long.as_str()),
            permission: NotedPermission::Operation("View"),
            resource: object,
            counterpart: Some(object),
            routing: true,
        };
        let (record, texts) = record(question, "edge");
        let read = record.read(texts.bytes());
        assert!(read.cut);
        let Noted::Check { resource, counterpart: Some(counterpart), .. } = read.question else {
            panic!("{:?}", read.question)
        };
        assert_eq!(resource.id, long);
        assert_eq!(counterpart.id.len(), 118);
        assert!(long.starts_with(counterpart.id));
        assert_eq!(read.caller.len(), 0);
    }
}
