//! The questions asked backwards: what may somebody do here, where may they do it, who may do it,
//! and who could agree to it. A list arrives page by page; an item that is not understood is an
//! error and never left out.

mod ask;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use crate::call::Error;
use crate::decision::{Explanation, Revision};
use crate::delegation::{DelegationExplanation, DelegationQuestion};
use crate::policy::following;
use crate::question::Question;

/// How many items are asked for at once: the most that the server gives.
const PAGE_SIZE: u32 = 1_000;

/// The same for items with explanations.
const EXPLAINED_PAGE_SIZE: u32 = 100;

/// How often [`Listing::collect`] begins a list, where the policy changes between two pages.
const MAX_BEGINNINGS: usize = 3;

/// Who is listed as a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKinds {
    /// People only.
    People,
    /// People, then accounts.
    PeopleAndAccounts,
}

/// What would be agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ApprovalQuestion {
    /// A delegation.
    Delegation(DelegationQuestion),
    /// A dual check, which is an operation with a counterpart, or a session.
    Check(Question),
}

/// One item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item<T> {
    /// What is listed.
    pub value: T,
    /// Why, if it was asked for.
    pub because: Option<Because>,
}

/// Why an item is in a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Because {
    /// The check that says `ALLOW`.
    Check(Box<Explanation>),
    /// Of an approver of a delegation: the delegation that says `ALLOW`.
    Delegation(Box<DelegationExplanation>),
}

/// A whole list.
#[derive(Debug, Clone, PartialEq)]
pub struct Items<T> {
    /// The revision that it was computed on.
    pub revision: Revision,
    /// The items, in the order of the list.
    pub items: Vec<Item<T>>,
}

/// A list as it arrives. Each page is a call with a deadline of its own.
#[must_use]
pub struct Listing<T> {
    fetch: Fetch<T>,
    explain: bool,
    revision: Option<Revision>,
    next: Option<String>,
    waiting: VecDeque<Item<T>>,
}

/// Which page to fetch.
struct Turn {
    token: String,
    size: u32,
    explain: bool,
}

/// One page as it arrived.
struct Page<T> {
    items: Vec<Item<T>>,
    next: String,
    revision: Revision,
}

type Fetched<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;
type Fetch<T> = Box<dyn Fn(Turn) -> Fetched<T> + Send + Sync>;

// === impl ApprovalQuestion ===

impl From<DelegationQuestion> for ApprovalQuestion {
    fn from(question: DelegationQuestion) -> Self {
        Self::Delegation(question)
    }
}

impl From<Question> for ApprovalQuestion {
    fn from(question: Question) -> Self {
        Self::Check(question)
    }
}

// === impl Listing ===

impl<T> Listing<T> {
    fn new(fetch: impl Fn(Turn) -> Fetched<T> + Send + Sync + 'static) -> Self {
        Self {
            fetch: Box::new(fetch),
            explain: false,
            revision: None,
            next: Some(String::new()),
            waiting: VecDeque::new(),
        }
    }

    /// The same list with the explanation of every item.
    pub fn explained(mut self) -> Self {
        self.explain = true;
        self
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `PAGE_TOKEN_EXPIRED` if the policy changed between two
    /// pages: the list has to begin again.
    pub async fn next(&mut self) -> Result<Option<Item<T>>, Error> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(Some(item));
            }
            let Some(token) = self.next.clone() else { return Ok(None) };
            self.page(token).await?;
        }
    }

    /// The revision of the list; `None` before its first page.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Reads the list to its end. One that has not been begun is begun again, twice at most, where
    /// the policy changes between two pages: what is returned is of one revision.
    ///
    /// # Errors
    /// As [`Listing::next`].
    pub async fn collect(mut self) -> Result<Items<T>, Error> {
        let mut beginnings = if self.revision.is_none() { 1 } else { MAX_BEGINNINGS };
        let mut items = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) if error.reason() == Some("PAGE_TOKEN_EXPIRED") => {
                    if beginnings >= MAX_BEGINNINGS {
                        return Err(error);
                    }
                    beginnings += 1;
                    items.clear();
                    (self.revision, self.next) = (None, Some(String::new()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Items { revision: self.revision.unwrap_or_default(), items })
    }

    async fn page(&mut self, token: String) -> Result<(), Error> {
        let size = if self.explain { EXPLAINED_PAGE_SIZE } else { PAGE_SIZE };
        let turn = Turn { token: token.clone(), size, explain: self.explain };
        let Page { items, next, revision } = (self.fetch)(turn).await?;
        if self.revision.is_some_and(|first| first != revision) {
            return Err(Error::protocol("the pages of the list are of different revisions"));
        }
        self.next = following(&token, next)?;
        self.revision = Some(revision);
        self.waiting.extend(items);
        Ok(())
    }
}

impl<T: fmt::Debug> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fetch: _, explain, revision, next, waiting } = self;
        f.debug_struct("Listing")
            .field("explain", explain)
            .field("revision", revision)
            .field("next", next)
            .field("waiting", waiting)
            .finish_non_exhaustive()
    }
}
