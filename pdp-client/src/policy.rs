//! Reading a policy: whole, one fact, or the facts of one kind.

use std::collections::VecDeque;

use pdp_proto::v1;
use tonic::Streaming;

use crate::attempt::Repeat;
use crate::balance::{Picked, Subchannel};
use crate::call::{Deadline, Error};
use crate::client::Client;
use crate::decision::Revision;
use crate::watch::Position;

/// How many facts are asked for at once: the most that the server gives.
const PAGE_SIZE: u32 = 1_000;

/// A policy as it arrives, part by part. The whole of it has one deadline.
#[derive(Debug)]
pub struct Export {
    stream: Streaming<v1::ExportResponse>,
    deadline: Deadline,
    server: Picked,
    position: Option<Position>,
}

/// A whole policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The revision it is of.
    pub revision: Revision,
    /// Where the policy was: what to watch from.
    pub position: Position,
    /// Every fact, kind by kind, each kind by its keys.
    pub facts: Vec<v1::Fact>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The fact.
    pub fact: v1::Fact,
    /// The revision it was read from.
    pub revision: Revision,
}

/// The facts of one kind, page by page. Each page is a call with a deadline of its own.
#[derive(Debug)]
pub struct Pages {
    client: Client,
    kind: v1::FactKind,
    revision: Option<Revision>,
    next: Option<String>,
    waiting: VecDeque<v1::Fact>,
}

/// The facts of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The revision they were read from.
    pub revision: Revision,
    /// The facts, in the order of their keys.
    pub facts: Vec<v1::Fact>,
}

// === impl Client ===

impl Client {
    /// Begins to read every fact of the tenant's policy. The client's deadline covers the whole
    /// export: give a large policy a longer one with [`Client::with_deadline`].
    ///
    /// # Errors
    /// [`Error`] if the export does not begin.
    pub async fn export(&self) -> Result<Export, Error> {
        let deadline = self.start();
        let request = || v1::ExportRequest { tenant: self.tenant().to_owned() };
        let send = |server: &Subchannel, request| {
            let mut service = server.policies();
            async move { service.export(request).await }
        };
        // It is long, and two at once would help nobody.
        let repeat = Repeat::Idempotent;
        let (response, server) = self.attempts(deadline, repeat, request, send).await?;
        Ok(Export { stream: response.into_inner(), deadline, server, position: None })
    }

    /// Reads one fact.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_FACT` if it does not exist.
    pub async fn get(&self, key: v1::FactKey) -> Result<Found, Error> {
        let request = || v1::PolicyServiceGetRequest {
            tenant: self.tenant().to_owned(),
            key: Some(key.clone()),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.policies();
            async move { service.get(request).await }
        };
        let response = self.unary(Repeat::Read, request, send).await?;
        let v1::PolicyServiceGetResponse { fact, revision } = response;
        let fact = fact.ok_or_else(|| Error::protocol("it holds no fact"))?;
        Ok(Found { fact, revision: Revision::new(revision) })
    }

    /// Lists the facts of one kind.
    #[must_use]
    pub fn list(&self, kind: v1::FactKind) -> Pages {
        Pages {
            client: self.for_pages(),
            kind,
            revision: None,
            next: Some(String::new()),
            waiting: VecDeque::new(),
        }
    }
}

// === impl Export ===

impl Export {
    /// The next facts; `None` once the export is complete.
    ///
    /// # Errors
    /// [`Error`] if the export breaks off: what came before is not the whole policy.
    pub async fn next(&mut self) -> Result<Option<Vec<v1::Fact>>, Error> {
        let part = self.deadline.wait(self.server.address(), self.stream.message()).await;
        self.server.note(part.as_ref());
        let Some(v1::ExportResponse { revision, facts, position }) = part? else {
            return match self.position {
                Some(_) => Ok(None),
                None => Err(Error::protocol("the export holds no message")),
            };
        };
        // A server that tells no position has no watch either.
        let position = position.unwrap_or(v1::PolicyPosition { revision, mark: Vec::new() });
        let position = Position::from_wire(position)?;
        if self.position.is_some_and(|first| first.revision != position.revision) {
            return Err(Error::protocol("the parts of the export are of different revisions"));
        }
        self.position = Some(position);
        Ok(Some(facts))
    }

    /// The revision of the export; `None` before its first part.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.position.map(|position| position.revision)
    }

    /// Where the policy was, to be watched from; `None` before the first part.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Reads the export to its end.
    ///
    /// # Errors
    /// As [`Export::next`].
    pub async fn collect(mut self) -> Result<Exported, Error> {
        let mut facts = Vec::new();
        while let Some(mut part) = self.next().await? {
            facts.append(&mut part);
        }
        let position = self.position.unwrap_or_default();
        Ok(Exported { revision: position.revision, position, facts })
    }
}

// === impl Pages ===

impl Pages {
    /// The next fact; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `PAGE_TOKEN_EXPIRED` if the policy changed between two
    /// pages: the list has to begin again.
    pub async fn next(&mut self) -> Result<Option<v1::Fact>, Error> {
        loop {
            if let Some(fact) = self.waiting.pop_front() {
                return Ok(Some(fact));
            }
            let Some(page_token) = self.next.clone() else { return Ok(None) };
            self.page(page_token).await?;
        }
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    /// As [`Pages::next`].
    pub async fn collect(mut self) -> Result<Listed, Error> {
        let mut facts = Vec::new();
        while let Some(fact) = self.next().await? {
            facts.push(fact);
        }
        Ok(Listed { revision: self.revision.unwrap_or_default(), facts })
    }

    async fn page(&mut self, page_token: String) -> Result<(), Error> {
        let request = || v1::PolicyServiceListRequest {
            tenant: self.client.tenant().to_owned(),
            kind: self.kind.into(),
            page_size: PAGE_SIZE,
            page_token: page_token.clone(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.policies();
            async move { service.list(request).await }
        };
        let response = self.client.unary(Repeat::Read, request, send).await?;
        let v1::PolicyServiceListResponse { facts, next_page_token, revision } = response;
        self.next = following(&page_token, next_page_token)?;
        self.revision = Some(Revision::new(revision));
        self.waiting.extend(facts);
        Ok(())
    }
}

/// The token after this one, if there is one. The same one again would never end.
pub(crate) fn following(token: &str, next: String) -> Result<Option<String>, Error> {
    if next.is_empty() {
        return Ok(None);
    }
    if next == token {
        return Err(Error::protocol("a page names itself as the next one"));
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end() {
        assert!(matches!(following("", String::new()), Ok(None)));
        assert!(matches!(following("", "a".into()), Ok(Some(next)) if next == "a"));
        assert!(following("a", "a".into()).is_err());
    }
}
