//! The calls of the session service.

use pdp_proto::v1;

use super::{Outcome, Revocation, Session, SessionPages, Watch, Watched};
use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Decision;
use crate::obligation::Privileged;
use crate::question::Permission;

/// The sessions of a client's tenant. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Sessions {
    client: Client,
}

/// Asks for a session to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct OpenRequest {
    /// The key under which it can be asked again: 1 to 128 bytes without control characters.
    pub request_key: String,
    /// The id of the person.
    pub person: String,
    /// The id of the computer.
    pub computer: String,
    /// The id of the permission level; `None`: a session without one.
    pub level: Option<String>,
}

/// What became of opening a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Opened {
    /// The decision, with its obligations. Of a repeated request: whether the session that it opened still
    /// stands, and `None` if that has ended.
    pub decision: Option<Decision>,
    /// The session; `None` if a decision that was not `ALLOW` opened none.
    pub session: Option<Session>,
    /// The request was answered before, and the session is the one that it opened then.
    pub replayed: bool,
}

/// What became of renewing a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Renewed {
    /// The decision; `None` if the session had ended before.
    pub decision: Option<Decision>,
    /// The session as it is now.
    pub session: Session,
}

/// Which sessions to end: those that fit all that is said. The server refuses to end whatever there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct ForceEnd {
    person: Option<String>,
    computer: Option<String>,
    level: Option<String>,
    note: String,
}

// === impl OpenRequest ===

impl OpenRequest {
    /// A session of this person on this computer, without a permission level.
    pub fn new(
        request_key: impl Into<String>,
        person: impl Into<String>,
        computer: impl Into<String>,
    ) -> Self {
        let (request_key, person) = (request_key.into(), person.into());
        Self { request_key, person, computer: computer.into(), level: None }
    }

    /// The same with this permission level.
    pub fn level(mut self, level: impl Into<String>) -> Self {
        self.level = Some(level.into());
        self
    }
}

// === impl Opened ===

impl Opened {
    /// The session, if it was open and allowed when the server answered. Only this means: go ahead. A
    /// repeated request may be answered with a session that has ended, or that is about to.
    #[must_use]
    pub fn open(&self) -> Option<&Session> {
        let allowed = self.decision.as_ref().is_some_and(Decision::is_allow);
        self.session.as_ref().filter(|session| allowed && session.is_open())
    }

    fn from_wire(
        wire: v1::SessionServiceOpenResponse,
        client: &Client,
        asked: &OpenRequest,
    ) -> Result<Self, Error> {
        let v1::SessionServiceOpenResponse { decision, session, replayed } = wire;
        let session = session.map(|wire| Session::from_wire(Some(wire))).transpose()?;
        let decision = match decision {
            // Only a session that is over needs no decision.
            None if replayed && session.as_ref().is_some_and(|session| !session.is_open()) => None,
            wire => {
                let decision = Decision::from_wire(wire, client.oldest())?;
                Some(decision.about(&Permission::Session(asked.level.clone()))?)
            }
        };
        match (&session, &decision) {
            (Some(session), decision) => {
                let refused = decision.as_ref().filter(|decision| !decision.is_allow());
                if let (Some(Decision { effect, .. }), false) = (refused, replayed) {
                    return Err(Error::protocol(format!("its {effect} comes with a session")));
                }
                answers(session, asked, decision.as_ref())?;
            }
            (None, Some(decision)) if decision.is_allow() => {
                return Err(Error::protocol("it allows a session and holds none"));
            }
            (None, _) if replayed => {
                return Err(Error::protocol("it was answered before, and holds no session"));
            }
            (None, _) => {}
        }
        Ok(Self { decision, session, replayed })
    }
}

/// A session of somebody else, or with something else, would be used in the wrong name.
fn answers(
    session: &Session,
    asked: &OpenRequest,
    decision: Option<&Decision>,
) -> Result<(), Error> {
    let level = session.privileges.as_ref().map(|privileges| &privileges.level);
    let same = session.person == asked.person
        && session.computer == asked.computer
        && session.request_key == asked.request_key
        && level == asked.level.as_ref();
    if !same {
        let message = format!("session `{}` is not the one that was asked for", session.id);
        return Err(Error::protocol(message));
    }
    let due = decision.and_then(|decision| decision.obligations.as_ref());
    let due = due.and_then(|due| due.privileged.as_ref());
    let (Some(Privileged { group, account, on_end: _ }), Some(given)) = (due, &session.privileges)
    else {
        return Ok(());
    };
    if *group != given.group || *account != given.mode {
        let message = format!("session `{}` is not what its obligations say", session.id);
        return Err(Error::protocol(message));
    }
    Ok(())
}

// === impl Renewed ===

impl Renewed {
    /// The session, if it was open when the server answered.
    #[must_use]
    pub fn open(&self) -> Option<&Session> {
        Some(&self.session).filter(|session| session.is_open())
    }

    fn from_wire(
        wire: v1::SessionServiceRenewResponse,
        client: &Client,
        id: &str,
    ) -> Result<Self, Error> {
        let v1::SessionServiceRenewResponse { decision, session } = wire;
        let session = Session::from_wire(session)?.of(id)?;
        let decision =
            decision.map(|wire| Decision::from_wire(Some(wire), client.oldest())).transpose()?;
        if session.is_open() && !decision.as_ref().is_some_and(Decision::is_allow) {
            let message = format!("it does not renew session `{id}` and leaves it open");
            return Err(Error::protocol(message));
        }
        Ok(Self { decision, session })
    }
}

// === impl ForceEnd ===

impl ForceEnd {
    /// Only those of the person of this id.
    pub fn person(mut self, person: impl Into<String>) -> Self {
        self.person = Some(person.into());
        self
    }

    /// Only those on the computer of this id.
    pub fn computer(mut self, computer: impl Into<String>) -> Self {
        self.computer = Some(computer.into());
        self
    }

    /// Only those with the permission level of this id.
    pub fn level(mut self, level: impl Into<String>) -> Self {
        self.level = Some(level.into());
        self
    }

    /// Why, for the audit: up to 1,000 bytes.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

// === impl Client ===

impl Client {
    /// The sessions of the client's tenant.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions { client: self.clone() }
    }
}

// === impl Sessions ===

impl Sessions {
    /// Opens a session if the decision is `ALLOW`. Asking again with the same key is safe, and done on
    /// `UNAVAILABLE`: the session is opened once. After an error without an answer, such as
    /// [`Error::DeadlineExceeded`], ask again, or [`Sessions::get_by_key`], to know whether it was.
    ///
    /// # Errors
    /// [`Error::Setting`] without a request key. [`Error::Refused`] with the reason
    /// `REQUEST_KEY_REUSED` if the key opened a session for another question, `TOO_MANY_SESSIONS` if the
    /// tenant has as many as it may, `STORE_UNAVAILABLE` if nothing can be made durable. None of them
    /// opened anything.
    pub async fn open(&self, asked: &OpenRequest) -> Result<Opened, Error> {
        let OpenRequest { request_key, person, computer, level } = asked.clone();
        if request_key.is_empty() {
            let message = "a session is opened under a request key, and there is none".to_owned();
            return Err(Error::Setting { message });
        }
        let message = v1::SessionServiceOpenRequest {
            tenant: self.client.tenant().to_owned(),
            request_key,
            person,
            computer,
            level,
            at_least: self.client.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.open(request).await }
        };
        let response = self.client.unary(Repeat::Idempotent, || message.clone(), send).await?;
        Opened::from_wire(response, &self.client, asked)
    }

    /// Decides anew whether a session may go on, and extends it or ends it.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_SESSION` if there is none of this id. After any
    /// error the session is as it was, or renewed, or has ended: [`Sessions::get`] tells.
    pub async fn renew(&self, session: &str) -> Result<Renewed, Error> {
        let request = || v1::SessionServiceRenewRequest {
            tenant: self.client.tenant().to_owned(),
            session: session.to_owned(),
            at_least: self.client.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.renew(request).await }
        };
        let response = self.client.unary(Repeat::Idempotent, request, send).await?;
        Renewed::from_wire(response, &self.client, session)
    }

    /// Ends a session; one that has ended stays as it is. The work that is due now is in
    /// [`Session::revocations`] of the answer, and is handed out to whoever watches.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_SESSION` if there is none of this id.
    pub async fn close(&self, session: &str) -> Result<Session, Error> {
        let request = || v1::SessionServiceCloseRequest {
            tenant: self.client.tenant().to_owned(),
            session: session.to_owned(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.close(request).await }
        };
        let response = self.client.unary(Repeat::Idempotent, request, send).await?;
        let v1::SessionServiceCloseResponse { session: wire } = response;
        let closed = Session::from_wire(wire)?.of(session)?;
        if closed.is_open() {
            return Err(Error::protocol(format!(
                "it closes session `{session}` and leaves it open"
            )));
        }
        Ok(closed)
    }

    /// Ends sessions, whoever opened them, and says how many. After a retry it counts what the attempt
    /// ended that was answered.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `MALFORMED` if it is not said which. After any other error it is
    /// not known whether they have ended: do it again.
    pub async fn force_end(&self, which: &ForceEnd) -> Result<u64, Error> {
        let request = || {
            let ForceEnd { person, computer, level, note } = which.clone();
            let tenant = self.client.tenant().to_owned();
            v1::ForceEndRequest { tenant, person, computer, level, note }
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.force_end(request).await }
        };
        let v1::ForceEndResponse { ended } =
            self.client.unary(Repeat::Idempotent, request, send).await?;
        Ok(ended)
    }

    /// Reads one session.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_SESSION` if there is none of this id.
    pub async fn get(&self, session: &str) -> Result<Session, Error> {
        let by = v1::session_service_get_request::By::Session(session.to_owned());
        self.read(by).await?.of(session)
    }

    /// Reads the session that the request with this key opened.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_SESSION` if it opened none.
    pub async fn get_by_key(&self, request_key: &str) -> Result<Session, Error> {
        let by = v1::session_service_get_request::By::RequestKey(request_key.to_owned());
        let session = self.read(by).await?;
        if session.request_key != request_key {
            let (id, other) = (session.id, session.request_key);
            let message = format!("session `{id}` was opened under `{other}`, not `{request_key}`");
            return Err(Error::protocol(message));
        }
        Ok(session)
    }

    /// Lists sessions, in the order in which they were opened: every open one, and those that have ended
    /// as long as they are remembered.
    pub fn list(&self) -> SessionPages {
        SessionPages::new(self.client.for_pages())
    }

    /// Watches for work that is due.
    pub fn watch_revocations(&self, watch: Watch) -> Watched {
        Watched::new(self.client.clone(), watch)
    }

    /// Says what became of an item of work; saying it again changes nothing. Look at the state of the
    /// answer: [`Superseded`](super::RevocationState::Superseded) means that another session uses the
    /// account and the group by now, and that what was taken away has to be given back.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `UNKNOWN_REVOCATION` if there is no such item. After any other
    /// error the item may be handed out again.
    pub async fn acknowledge(
        &self,
        revocation: &str,
        outcome: &Outcome,
    ) -> Result<Revocation, Error> {
        let request = || v1::AcknowledgeRevocationRequest {
            tenant: self.client.tenant().to_owned(),
            revocation: revocation.to_owned(),
            outcome: Some(outcome.to_wire()),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.acknowledge_revocation(request).await }
        };
        let response = self.client.unary(Repeat::Idempotent, request, send).await?;
        let v1::AcknowledgeRevocationResponse { revocation: wire } = response;
        let answered = Revocation::from_wire(wire)?;
        if answered.id != revocation {
            let other = answered.id;
            let message = format!("it is about revocation `{other}` and not about `{revocation}`");
            return Err(Error::protocol(message));
        }
        if *outcome == Outcome::Done && answered.is_outstanding() {
            let message = format!("revocation `{revocation}` is done and stays outstanding");
            return Err(Error::protocol(message));
        }
        Ok(answered)
    }

    async fn read(&self, by: v1::session_service_get_request::By) -> Result<Session, Error> {
        let request = || v1::SessionServiceGetRequest {
            tenant: self.client.tenant().to_owned(),
            by: Some(by.clone()),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.session_calls();
            async move { service.get(request).await }
        };
        let response = self.client.unary(Repeat::Read, request, send).await?;
        let v1::SessionServiceGetResponse { session } = response;
        Session::from_wire(session)
    }
}
