//! What goes on where no server can be reached: nothing, but for a list that the caller writes.
//!
//! It is kept apart from decisions on purpose. [`Client::check`] never looks at the list, and what was let
//! through is no [`Decision`]: it has no reason and no revision, as nobody decided.

use std::collections::{HashMap, HashSet};

use crate::call::Error;
use crate::client::Client;
use crate::decision::{Decision, Revision};
use crate::question::{Permission, Question};

/// How many permissions a list holds at most: it is one that somebody has looked through.
pub const MAX_FAIL_OPEN: usize = 1_000;

/// The permissions that [`Client::check_or_fail_open`] lets through where no server can be reached, each of one
/// resource type. Nothing else is, and everything else fails closed.
///
/// **The risk**: whoever can keep this program from reaching a server, by cutting or flooding the network or by
/// stopping the servers, has these permissions on every resource of the type; so has everybody meanwhile, also who
/// was denied, disabled, or is not known at all. Name what may be done by anybody for an hour, such as
/// reading what is not secret, and nothing that hands out access or shows a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct FailOpen {
    listed: HashMap<String, HashSet<Permission>>,
}

/// What a question came to where it may have failed open.
#[derive(Debug)]
#[must_use]
pub enum Answer {
    /// A server decided, or this process on the policy that it follows.
    Decided(Decision),
    /// Nobody decided: no server could be reached, and the list lets this permission through. Write it down, as
    /// no server can.
    FailedOpen {
        /// Why there is no decision.
        error: Error,
    },
}

// === impl FailOpen ===

impl FailOpen {
    /// The empty list: everything fails closed.
    pub fn none() -> Self {
        Self::default()
    }

    /// The list with one more permission, on every resource of this type.
    ///
    /// A session cannot be on it ([`crate::Builder::connect`] says so): without its obligations nobody would know
    /// when it has to end. Dual checks are never let through.
    pub fn with(mut self, resource_type: impl Into<String>, permission: Permission) -> Self {
        self.listed.entry(resource_type.into()).or_default().insert(permission);
        self
    }

    /// Whether it can be meant.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refused = |message: String| Err(Error::Setting { message });
        let count: usize = self.listed.values().map(HashSet::len).sum();
        if count > MAX_FAIL_OPEN {
            return refused(format!(
                "a fail-open list holds up to {MAX_FAIL_OPEN} permissions, and this one {count}"
            ));
        }
        for (resource_type, permission) in
            self.listed.iter().flat_map(|(of, listed)| listed.iter().map(move |it| (of, it)))
        {
            if matches!(permission, Permission::Session(_)) {
                return refused(format!(
                    "`{permission}` cannot fail open: a session is not allowed without its obligations"
                ));
            }
            if resource_type.is_empty() || permission.name().is_empty() {
                return refused(format!(
                    "`{permission}` of `{resource_type}` cannot fail open: a name is empty"
                ));
            }
        }
        Ok(())
    }

    /// Whether a question is let through that has this error for an answer.
    fn opens(&self, question: &Question, at_least: Revision, error: &Error) -> bool {
        let Question { subject: _, permission, resource, counterpart, routing: _ } = question;
        let listed =
            self.listed.get(&resource.type_name).is_some_and(|listed| listed.contains(permission));
        // A revision that never comes is late at every server, and may be named by those who ask.
        let may_wait = at_least != Revision::default();
        let unreachable = if may_wait { error.is_away() } else { error.is_silence() };
        listed && counterpart.is_none() && unreachable
    }
}

// === impl Answer ===

impl Answer {
    /// Whether to go ahead: on an `ALLOW`, and on what failed open.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        match self {
            Self::Decided(decision) => decision.is_allow(),
            Self::FailedOpen { .. } => true,
        }
    }

    /// Whether nobody decided.
    #[must_use]
    pub const fn is_failed_open(&self) -> bool {
        matches!(self, Self::FailedOpen { .. })
    }

    /// The decision, if there is one.
    #[must_use]
    pub const fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Decided(decision) => Some(decision),
            Self::FailedOpen { .. } => None,
        }
    }
}

// === impl Client ===

impl Client {
    /// Decides one question as [`Client::check`] does, and lets through what is on the list of
    /// [`Builder::fail_open`](crate::Builder::fail_open) where no server can be reached.
    ///
    /// That is: every attempt ended without a connection, with a server that begins or ends (`UNAVAILABLE`), or at the
    /// deadline. Whatever a server says otherwise holds, a decision as well as a refusal such as
    /// `UNAUTHENTICATED`, `PERMISSION_DENIED`, `INVALID_ARGUMENT` or `RESOURCE_EXHAUSTED`; and so does
    /// `UNAVAILABLE` with a reason that is not about the server as a whole, such as `REVISION_NOT_REACHED`. Where
    /// [`Client::at_least`] names a revision, a deadline lets nothing through.
    ///
    /// ```no_run
    /// use pdp_client::{Answer, Client, FailOpen, Permission, Question, Resource, Subject};
    ///
    /// # async fn doc(question: Question) -> Result<(), pdp_client::Error> {
    /// let client = Client::builder("https://pdp-1:7070")
    ///     .endpoint("https://pdp-2:7070")
    ///     .fail_open(FailOpen::none().with("Timetable", Permission::operation("View")))
    ///     .connect_lazy()?;
    /// match client.check_or_fail_open(&question).await? {
    ///     Answer::Decided(decision) if decision.is_allow() => { /* go ahead */ }
    ///     Answer::Decided(_) => { /* do not; decision.reason says why */ }
    ///     Answer::FailedOpen { error } => { /* go ahead, and write down that nobody decided */ }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::check`], but for what is let through.
    pub async fn check_or_fail_open(&self, question: &Question) -> Result<Answer, Error> {
        match self.check(question).await {
            Ok(decision) => Ok(Answer::Decided(decision)),
            Err(error) if self.fail_open().opens(question, self.oldest(), &error) => {
                Ok(Answer::FailedOpen { error })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;
    use crate::refusal::Refusal;
    use crate::{Resource, Subject};

    fn view() -> Permission {
        Permission::operation("View")
    }

    fn question() -> Question {
        Question::new(Subject::person("ana"), view(), Resource::new("Report", "absence"))
    }

    fn late() -> Error {
        Error::DeadlineExceeded { endpoint: "http://pdp".into(), deadline: Duration::ZERO }
    }

    fn gone() -> Error {
        Error::lost("http://pdp", "connection refused")
    }

    fn refused(code: Code, reason: &str) -> Error {
        Error::Refused(Box::new(Refusal::new(code, String::new(), reason.to_owned())))
    }

    #[test]
    fn what_is_listed_opens_where_no_server_is_reached() {
        let list = FailOpen::none().with("Report", view());
        let opens = |error: &Error| list.opens(&question(), Revision::default(), error);
        for error in [late(), gone(), refused(Code::Unavailable, "SHUTTING_DOWN")] {
            assert!(opens(&error), "{error:?}");
            assert!(!FailOpen::none().opens(&question(), Revision::default(), &error));
        }
        for code in (0..=16).map(Code::from_i32).filter(|code| *code != Code::Unavailable) {
            // A server's own deadline arrives as one.
            assert!(!opens(&refused(code, "")), "{code:?}");
        }
        for reason in ["REVISION_NOT_REACHED", "AUTHENTICATION_BUSY", "ONE_THAT_IS_NEW"] {
            assert!(!opens(&refused(Code::Unavailable, reason)), "{reason}");
        }
        assert!(!opens(&Error::protocol("it holds no decision")));
        assert!(!opens(&Error::Setting { message: "the token is empty".into() }));
    }

    #[test]
    fn nothing_else_opens() {
        let list = FailOpen::none().with("Report", view()).with("Page", Permission::right("Read"));
        let opens = |question: &Question| list.opens(question, Revision::default(), &gone());
        let report = |permission| Question { permission, ..question() };
        let page = Resource::new("Page", "home");
        assert!(opens(&question()));
        assert!(!opens(&report(Permission::operation("Edit"))), "another operation");
        assert!(!opens(&report(Permission::right("View"))), "a right of the same name");
        assert!(!opens(&Question { resource: page.clone(), ..question() }), "another type");
        assert!(!opens(&question().with_counterpart(page)), "a dual check");
    }

    #[test]
    fn a_revision_that_does_not_come_opens_nothing() {
        let list = FailOpen::none().with("Report", view());
        let named = Revision::new(u64::MAX);
        assert!(!list.opens(&question(), named, &late()));
        assert!(list.opens(&question(), named, &gone()));
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let message = |list: FailOpen| list.validate().unwrap_err().to_string();
        assert!(FailOpen::none().with("Report", view()).validate().is_ok());
        for session in [Permission::session("root"), Permission::unprivileged_session()] {
            let text = message(FailOpen::none().with("Computer", session));
            assert!(text.contains("a session is not allowed without its obligations"), "{text}");
        }
        assert!(message(FailOpen::none().with("", view())).contains("a name is empty"));
        let nameless = Permission::operation("");
        assert!(message(FailOpen::none().with("Report", nameless)).contains("a name is empty"));
        let long = (0..1_001).fold(FailOpen::none(), |list, n| list.with(format!("T{n}"), view()));
        assert!(message(long).contains("holds up to 1000 permissions, and this one 1001"));
    }
}
