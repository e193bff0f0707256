//! The ring of one thread: records of a fixed size, and beside them the bytes of their texts, of which a record
//! takes as many as it has. What is passed on is what is said, and no more of the memory is touched.

use rtrb::{Consumer, Producer, RingBuffer};

use super::record::{Record, TEXT_BYTES, Texts};

/// The end of the thread that decides.
pub(super) struct Sending {
    records: Producer<Record>,
    texts: Producer<u8>,
}

/// The end of the thread that writes.
pub(super) struct Arriving {
    records: Consumer<Record>,
    texts: Consumer<u8>,
}

/// A ring for so many records, however long their texts are.
pub(super) fn ring(records: usize) -> (Sending, Arriving) {
    let (sent, arrived) = RingBuffer::new(records);
    let (texts, read) = RingBuffer::new(records.saturating_mul(TEXT_BYTES));
    (Sending { records: sent, texts }, Arriving { records: arrived, texts: read })
}

// === impl Sending ===

impl Sending {
    pub(super) fn is_full(&self) -> bool {
        self.records.is_full()
    }

    /// Passes a record on; `None` where there is no place.
    pub(super) fn push(&mut self, record: Record, texts: &Texts) -> Option<()> {
        if self.is_full() {
            return None;
        }
        // Whoever sees the record finds its texts.
        self.texts.push_entire_slice(texts.bytes()).ok()?;
        self.records.push(record).ok()
    }
}

// === impl Arriving ===

impl Arriving {
    /// How many records are there.
    pub(super) fn len(&self) -> usize {
        self.records.slots()
    }

    /// The next record, and its texts in the place of those before.
    pub(super) fn pop(&mut self, texts: &mut Vec<u8>) -> Option<Record> {
        let record = self.records.pop().ok()?;
        texts.resize(record.text_bytes(), 0);
        self.texts.pop_entire_slice(texts).ok()?;
        Some(record)
    }

    /// Nothing is there, and nothing will come.
    pub(super) fn is_over(&self) -> bool {
        self.records.is_abandoned() && self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::query::{Decision, Effect, Reason, Revision};
    use pdp_engine::time::Timestamp;

    use super::super::noted::{NotedObject, NotedPermission, NotedSubject};
    use super::super::{Asking, Noted};
    use super::*;
    use crate::decision_id::DecisionIds;
    use crate::telemetry::DecisionRpc;

    /// A check of a resource.
    fn record(ids: &DecisionIds, id: &str) -> (Record, Texts) {
        let (rpc, at) = (DecisionRpc::Check, Timestamp::from_micros(7));
        let asking = Asking { rpc, tenant: "acme", caller: "edge", trace: None, span: None, at };
        let question = Noted::Check {
            subject: NotedSubject::Person("ana"),
            permission: NotedPermission::Operation("View"),
            resource: NotedObject { type_name: "Report", id },
            counterpart: None,
            routing: true,
        };
        let (effect, reason) = (Effect::Deny, Reason::NotGranted);
        let decision = Decision { effect, reason, revision: Revision::new(3) };
        let mut texts = Texts::new();
        (Record::new(ids.next(), &asking, question, &decision, &mut texts), texts)
    }

    #[test]
    fn records_come_with_their_own_texts_however_often_the_ring_goes_round() {
        let ids = DecisionIds::new().unwrap();
        let (mut sending, mut arriving) = ring(3);
        let mut texts = Vec::new();
        for round in 0..40_usize {
            let names: Vec<String> =
                (0..3).map(|n| "r".repeat((round * 97 + n * 61) % 700)).collect();
            for name in &names {
                let (record, texts) = record(&ids, name);
                assert_eq!(sending.push(record, &texts), Some(()));
            }
            let (one_more, its) = record(&ids, "late");
            assert!(sending.is_full());
            assert_eq!(sending.push(one_more, &its), None);
            assert_eq!(arriving.len(), 3);
            for name in &names {
                let arrived = arriving.pop(&mut texts).unwrap();
                let read = arrived.read(&texts);
                let Noted::Check { resource, .. } = read.question else { panic!("{read:?}") };
                assert!(name.starts_with(resource.id));
                assert!(read.cut || resource.id.len() == name.len());
                assert_eq!(read.tenant, "acme");
            }
            assert!(arriving.pop(&mut texts).is_none());
        }
        assert!(!arriving.is_over());
        let (left, its) = record(&ids, "left");
        sending.push(left, &its).unwrap();
        drop(sending);
        assert!(!arriving.is_over(), "a record is left");
        arriving.pop(&mut texts).unwrap();
        assert!(arriving.is_over());
    }
}
