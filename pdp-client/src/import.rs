//! Imports: one change set of any size, sent in parts and applied as a whole.

use pdp_proto::v1;
use pdp_proto::v1::import_request::Part;
use prost::Message as _;
use tonic::Request;

use crate::apply::generate_request_id;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Revision;

/// How many changes one part holds at most.
const PART_CHANGES: usize = 1_000;

/// How large a part grows before the next one is begun, in bytes. Small parts let what else the server
/// does come in between. A change is never split.
const PART_BYTES: usize = 64 << 10;

/// How an import is to be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Import {
    expected_revision: Option<Revision>,
    dry_run: bool,
    request_id: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// The revision that holds it; for a dry run, and for an import without effect, the revision that
    /// it was checked on.
    pub revision: Revision,
    /// How many facts it created.
    pub created: u64,
    /// How many facts it changed.
    pub changed: u64,
    /// How many facts it removed.
    pub removed: u64,
    /// The request id was known to the server: this is the first request's result, and nothing was
    /// applied now.
    pub replayed: bool,
}

// === impl Import ===

impl Import {
    /// Applied to whatever revision is current, under a request id of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies only if this is the current revision; 0 is the empty policy.
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected_revision = Some(revision);
        self
    }

    /// Checks everything and counts what would change, but changes nothing.
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Goes under this request id, 1 to 128 bytes: the same changes under the same id are applied once,
    /// however often they are sent.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }
}

// === impl Client ===

impl Client {
    /// Applies changes of any number as one change set: all of it is valid, durable, and visible to the
    /// next check, or none of it is.
    ///
    /// Changes are taken from the iterator as the server takes them, so that few are in memory at a
    /// time, and whoever counts in the iterator sees how far it is. An import is not sent again by
    /// itself; with [`Import::request_id`] whoever lost the answer may send it again.
    ///
    /// # Errors
    /// As [`Client::apply`], and `LIMIT_EXCEEDED`, `TOO_MANY_IMPORTS` or `IMPORT_TOO_SLOW` where the
    /// server's limits for imports are met.
    pub async fn import<C>(&self, import: Import, changes: C) -> Result<Imported, Error>
    where
        C: IntoIterator<Item = v1::Change>,
        C::IntoIter: Send + 'static,
    {
        let Import { expected_revision, dry_run, request_id } = import;
        let request_id = match request_id {
            Some(id) => id,
            None if dry_run => String::new(),
            None => generate_request_id()?,
        };
        let header = v1::ImportHeader {
            tenant: self.tenant().to_owned(),
            expected_revision: expected_revision.map(Revision::get),
            dry_run,
            request_id,
        };
        let deadline = self.start();
        let parts =
            Parts { header: Some(header), changes: changes.into_iter(), next: None, sent: Some(0) };
        let mut request = Request::new(tokio_stream::iter(parts));
        request.set_timeout(deadline.remaining());
        self.authorize(&mut request)?;
        let import = |server: &Subchannel| {
            let mut service = server.policies();
            async move { service.import(request).await }
        };
        let response = self.only_once(deadline, import).await?;
        let v1::ImportResponse { revision, created, changed, removed, replayed } = response;
        Ok(Imported { revision: Revision::new(revision), created, changed, removed, replayed })
    }
}

/// The parts of an import, made as they are asked for.
struct Parts<C> {
    header: Option<v1::ImportHeader>,
    changes: C,
    /// A change that was too much for the part before.
    next: Option<v1::Change>,
    /// How many changes were sent; `None` after the last part.
    sent: Option<u64>,
}

// === impl Parts ===

impl<C: Iterator<Item = v1::Change>> Iterator for Parts<C> {
    type Item = v1::ImportRequest;

    fn next(&mut self) -> Option<v1::ImportRequest> {
        let part = |part| Some(v1::ImportRequest { part: Some(part) });
        if let Some(header) = self.header.take() {
            return part(Part::Header(header));
        }
        let sent = self.sent?;
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while changes.len() < PART_CHANGES {
            let Some(change) = self.next.take().or_else(|| self.changes.next()) else { break };
            bytes += change.encoded_len();
            if bytes > PART_BYTES && !changes.is_empty() {
                self.next = Some(change);
                break;
            }
            changes.push(change);
        }
        if changes.is_empty() {
            self.sent = None;
            return part(Part::Commit(v1::ImportCommit { changes: sent }));
        }
        self.sent = Some(sent.saturating_add(changes.len() as u64));
        part(Part::Changes(v1::ImportChanges { changes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: String) -> v1::Change {
        let person = v1::Person { id, ..v1::Person::default() };
        let fact = v1::Fact { fact: Some(v1::fact::Fact::Person(person)) };
        v1::Change { change: Some(v1::change::Change::Put(fact)) }
    }

    fn parts(changes: Vec<v1::Change>) -> Vec<Part> {
        let header = Some(v1::ImportHeader::default());
        let parts = Parts { header, changes: changes.into_iter(), next: None, sent: Some(0) };
        parts.map(|message| message.part.unwrap()).collect()
    }

    #[test]
    fn parts_hold_every_change_once_in_order_and_none_is_large() {
        let large = |n: usize| put(format!("{n:0>256}"));
        for changes in [vec![], vec![put("a".to_owned())], (0..5_000).map(large).collect()] {
            let parts = parts(changes.clone());
            assert!(matches!(parts.first(), Some(Part::Header(_))));
            assert_eq!(
                parts.last(),
                Some(&Part::Commit(v1::ImportCommit { changes: changes.len() as u64 }))
            );
            let mut sent = Vec::new();
            for part in &parts[1..parts.len() - 1] {
                let Part::Changes(part) = part else { panic!("a part between") };
                assert!(part.encoded_len() <= PART_BYTES + 8 * PART_CHANGES);
                assert!((1..=PART_CHANGES).contains(&part.changes.len()));
                sent.extend(part.changes.iter().cloned());
            }
            assert_eq!(sent, changes);
        }
    }
}
