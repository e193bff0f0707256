//! The list of sessions, page by page.

use std::collections::VecDeque;

use pdp_proto::v1;

use super::Session;
use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::policy::following;

/// How many sessions are asked for at once: the most that the server gives.
const PAGE_SIZE: u32 = 1_000;

/// Sessions, page by page. Each page is a call with a deadline of its own. Sessions that are opened or
/// end while it is read may be in it as they were or as they are.
#[derive(Debug)]
#[must_use]
pub struct SessionPages {
    client: Client,
    person: Option<String>,
    computer: Option<String>,
    state: v1::SessionState,
    outstanding: bool,
    next: Option<String>,
    waiting: VecDeque<Session>,
}

// === impl SessionPages ===

impl SessionPages {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            person: None,
            computer: None,
            state: v1::SessionState::Unspecified,
            outstanding: false,
            next: Some(String::new()),
            waiting: VecDeque::new(),
        }
    }

    /// Only those of the person of this id.
    pub fn of_person(mut self, person: impl Into<String>) -> Self {
        self.person = Some(person.into());
        self
    }

    /// Only those on the computer of this id.
    pub fn on_computer(mut self, computer: impl Into<String>) -> Self {
        self.computer = Some(computer.into());
        self
    }

    /// Only those that are open.
    pub const fn open(mut self) -> Self {
        self.state = v1::SessionState::Open;
        self
    }

    /// Only those that have ended.
    pub const fn ended(mut self) -> Self {
        self.state = v1::SessionState::Ended;
        self
    }

    /// Only those with outstanding work.
    pub const fn outstanding(mut self) -> Self {
        self.outstanding = true;
        self
    }

    /// The next session; `None` after the last.
    ///
    /// # Errors
    /// [`Error`] if a page cannot be read.
    pub async fn next(&mut self) -> Result<Option<Session>, Error> {
        loop {
            if let Some(session) = self.waiting.pop_front() {
                return Ok(Some(session));
            }
            let Some(page_token) = self.next.clone() else { return Ok(None) };
            self.page(page_token).await?;
        }
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    /// As [`SessionPages::next`].
    pub async fn collect(mut self) -> Result<Vec<Session>, Error> {
        let mut sessions = Vec::new();
        while let Some(session) = self.next().await? {
            sessions.push(session);
        }
        Ok(sessions)
    }

    async fn page(&mut self, page_token: String) -> Result<(), Error> {
        let request = || v1::SessionServiceListRequest {
            tenant: self.client.tenant().to_owned(),
            person: self.person.clone(),
            computer: self.computer.clone(),
            state: self.state.into(),
            outstanding: self.outstanding,
            page_size: PAGE_SIZE,
            page_token: page_token.clone(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.list(request).await }
        };
        let response = self.client.unary(Repeat::Read, request, send).await?;
        let v1::SessionServiceListResponse { sessions, next_page_token } = response;
        let sessions = sessions.into_iter().map(|wire| Session::from_wire(Some(wire)));
        let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        self.next = following(&page_token, next_page_token)?;
        self.waiting.extend(sessions);
        Ok(())
    }
}
