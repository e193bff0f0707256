//! Privileged sessions: opening, renewing and ending them, and the work that is due when they end.
//!
//! What a broker has to do with all of this is told in `docs/sessions.md`. Nothing here knows a clock:
//! whether a session is open, and when it ends, is the server's word.

mod ask;
mod pages;
mod revocation;
mod watch;

pub use ask::{ForceEnd, OpenRequest, Opened, Renewed, Sessions};
pub use pages::SessionPages;
pub use revocation::{MAX_FAILURE_BYTES, Outcome, Revocation, RevocationState, Task};
pub use watch::{Watch, WatchEvent, Watched};

use std::fmt;
use std::time::SystemTime;

use pdp_proto::v1;

use crate::call::Error;
use crate::obligation::AccountMode;
use crate::reason::Reason;

/// One session, as it stood when the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Names it within its tenant.
    pub id: String,
    /// The id of the person who opened it.
    pub person: String,
    /// The id of the computer.
    pub computer: String,
    /// What it gives; `None` for a session without a permission level.
    pub privileges: Option<Privileges>,
    /// When it was opened.
    pub opened: SystemTime,
    /// When it ends at the latest.
    pub not_after: SystemTime,
    /// Whether it is open.
    pub state: SessionState,
    /// The key of the request that opened it.
    pub request_key: String,
    /// The work that its end made due, in order.
    pub revocations: Vec<Revocation>,
}

/// What a session with a permission level gives, and to which account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// The id of the permission level.
    pub level: String,
    /// The id of the native group that the account is in.
    pub group: String,
    /// The id of the account that the session uses.
    pub account: String,
    /// Which account that is, as the obligations said when the session was opened.
    pub mode: AccountMode,
    /// Whether the account was made for a session.
    pub jit: bool,
    /// Whether deleting the account is due when the session ends. Never of an account that was not
    /// made for a session.
    pub delete_account: bool,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It is open.
    Open,
    /// It has ended.
    Ended {
        /// When.
        at: SystemTime,
        /// Why.
        end: SessionEnd,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its broker closed it.
    Closed,
    /// Its time was over.
    Expired,
    /// An administrator ended it.
    Forced,
    /// Its person could not open it any more: the reason of the decision that ended it.
    Revoked(Reason),
    /// It has ended, and why is not known to this version of the client: the number on the wire.
    Unrecognized(i32),
}

// === impl Session ===

impl Session {
    /// Whether it was open when the server answered. It ends at [`Session::not_after`] at the latest,
    /// by the server's clock, and may end before.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, SessionState::Open)
    }

    /// A session that contradicts itself is none: what it gives, or whether it is open, is not guessed.
    pub(crate) fn from_wire(wire: Option<v1::Session>) -> Result<Self, Error> {
        let wire = wire.ok_or_else(|| Error::protocol("it holds no session"))?;
        let v1::Session {
            id,
            person,
            computer,
            level,
            account,
            jit,
            group,
            opened,
            not_after,
            state,
            ended,
            end,
            revoked_by,
            request_key,
            revocations,
            delete_account,
            account_mode,
        } = wire;
        let id = named("a session's id", id)?;
        let privileges = match (level, account, group) {
            (Some(level), Some(account), Some(group)) => {
                if delete_account && !jit {
                    let message =
                        format!("session `{id}` deletes an account that was not made for it");
                    return Err(Error::protocol(message));
                }
                let mode = mode(&id, account_mode, &account, jit)?;
                Some(Privileges { level, group, account, mode, jit, delete_account })
            }
            (None, None, None) if !jit && !delete_account && account_mode == 0 => None,
            _ => {
                let message = format!("session `{id}` has some of level, account and group only");
                return Err(Error::protocol(message));
            }
        };
        let state = match (v1::SessionState::try_from(state), ended) {
            (Ok(v1::SessionState::Open), None) => SessionState::Open,
            (Ok(v1::SessionState::Ended), Some(_)) => SessionState::Ended {
                at: instant("the end of a session", ended)?,
                end: SessionEnd::from_wire(end, revoked_by),
            },
            (Ok(v1::SessionState::Open | v1::SessionState::Ended), _) => {
                return Err(Error::protocol(format!("session `{id}` is both open and ended")));
            }
            (Ok(v1::SessionState::Unspecified) | Err(_), _) => {
                return Err(Error::protocol(format!(
                    "the state {state} of session `{id}` is not known"
                )));
            }
        };
        Ok(Self {
            person: named("a session's person", person)?,
            computer: named("a session's computer", computer)?,
            privileges,
            opened: instant("the opening of a session", opened)?,
            not_after: instant("the latest end of a session", not_after)?,
            state,
            request_key,
            revocations: revocations
                .into_iter()
                .map(|wire| Revocation::from_wire(Some(wire)))
                .collect::<Result<_, _>>()?,
            id,
        })
    }

    /// The session, if it is the one of this id.
    fn of(self, id: &str) -> Result<Self, Error> {
        if self.id == id {
            return Ok(self);
        }
        Err(Error::protocol(format!("it is about session `{}` and not about `{id}`", self.id)))
    }
}

// === impl SessionState ===

impl SessionState {
    /// The state's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Ended { .. } => "ENDED",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl SessionEnd ===

impl SessionEnd {
    /// Its code; `UNRECOGNIZED` for one that this client does not know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Expired => "EXPIRED",
            Self::Forced => "FORCED",
            Self::Revoked(_) => "REVOKED",
            Self::Unrecognized(_) => "UNRECOGNIZED",
        }
    }

    pub(crate) fn from_wire(number: i32, revoked_by: i32) -> Self {
        match v1::SessionEnd::try_from(number) {
            Ok(v1::SessionEnd::Closed) => Self::Closed,
            Ok(v1::SessionEnd::Expired) => Self::Expired,
            Ok(v1::SessionEnd::Forced) => Self::Forced,
            Ok(v1::SessionEnd::Revoked) => Self::Revoked(Reason::from_wire(revoked_by)),
            Ok(v1::SessionEnd::Unspecified) | Err(_) => Self::Unrecognized(number),
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked(reason) => write!(f, "{}, {reason}", self.as_str()),
            Self::Unrecognized(number) => write!(f, "{}({number})", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

/// Which account a session uses; one that was made is no account of the person's own.
fn mode(id: &str, number: i32, account: &str, jit: bool) -> Result<AccountMode, Error> {
    let made = number == i32::from(v1::AccountMode::JitNew);
    let mode = AccountMode::from_wire(number, (!made).then(|| account.to_owned()))?;
    if jit == matches!(mode, AccountMode::Existing(_)) {
        let message = format!("session `{id}` has an account that is both made for it and not");
        return Err(Error::protocol(message));
    }
    Ok(mode)
}

/// An instant that has to be there.
pub(crate) fn instant(
    what: &str,
    wire: Option<prost_types::Timestamp>,
) -> Result<SystemTime, Error> {
    let wire = wire.ok_or_else(|| Error::protocol(format!("{what} has no time")))?;
    SystemTime::try_from(wire).map_err(|error| Error::protocol(format!("{what}: {error}")))
}

/// A name that has to be there.
fn named(what: &str, name: String) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::protocol(format!("{what} is empty")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    pub(super) fn open() -> v1::Session {
        v1::Session {
            id: "s-1".into(),
            person: "ana".into(),
            computer: "web-07".into(),
            level: Some("root".into()),
            account: Some("web-07/ana_000000000001".into()),
            jit: true,
            group: Some("web-07/Administrators".into()),
            opened: at(10),
            not_after: at(20),
            state: 1,
            ended: None,
            end: 0,
            revoked_by: 0,
            request_key: "k".into(),
            revocations: Vec::new(),
            delete_account: true,
            account_mode: 2,
        }
    }

    fn read(wire: v1::Session) -> Result<Session, Error> {
        Session::from_wire(Some(wire))
    }

    #[test]
    fn a_session_is_read_whole() {
        let session = read(open()).unwrap();
        assert!(session.is_open());
        assert_eq!(session.not_after, UNIX_EPOCH + Duration::from_secs(20));
        let privileges = session.privileges.unwrap();
        assert_eq!(privileges.account, "web-07/ana_000000000001");
        assert!(privileges.jit && privileges.delete_account);
        assert_eq!(privileges.mode, AccountMode::JitNew);

        let ended = |end, revoked_by| {
            let wire = v1::Session { state: 2, ended: at(15), end, revoked_by, ..open() };
            read(wire).unwrap().state
        };
        let why = |end, revoked_by| match ended(end, revoked_by) {
            SessionState::Ended { end, .. } => end,
            SessionState::Open => panic!("it has ended"),
        };
        assert_eq!(why(1, 0), SessionEnd::Closed);
        assert_eq!(why(4, 24).to_string(), "REVOKED, EXCLUDED");
        assert_eq!(why(9, 0).to_string(), "UNRECOGNIZED(9)", "it has ended, whyever");
    }

    #[test]
    fn a_session_that_contradicts_itself_is_an_error() {
        let own = v1::Session { jit: false, delete_account: false, account_mode: 1, ..open() };
        assert!(read(own.clone()).is_ok());
        let none = v1::Session { account_mode: 0, ..own.clone() };
        let plain = v1::Session { level: None, account: None, group: None, ..none };
        assert!(read(plain.clone()).is_ok_and(|session| session.privileges.is_none()));
        for (wire, why) in [
            (v1::Session { id: String::new(), ..open() }, "a session's id is empty"),
            (v1::Session { person: String::new(), ..open() }, "a session's person is empty"),
            (v1::Session { computer: String::new(), ..open() }, "a session's computer is empty"),
            (v1::Session { opened: None, ..open() }, "the opening of a session has no time"),
            (v1::Session { not_after: None, ..open() }, "the latest end of a session has no time"),
            (v1::Session { state: 0, ..open() }, "the state 0 of session `s-1` is not known"),
            (v1::Session { state: 3, ..open() }, "the state 3 of session `s-1` is not known"),
            (v1::Session { state: 2, ..open() }, "session `s-1` is both open and ended"),
            (v1::Session { ended: at(15), ..open() }, "session `s-1` is both open and ended"),
            (
                v1::Session { account_mode: 1, ..open() },
                "session `s-1` has an account that is both made for it and not",
            ),
            (v1::Session { account_mode: 4, ..open() }, "its account mode 4 is not a known one"),
            (
                v1::Session { delete_account: true, ..own.clone() },
                "session `s-1` deletes an account that was not made for it",
            ),
            (
                v1::Session { account: None, ..open() },
                "session `s-1` has some of level, account and group only",
            ),
            (
                v1::Session { level: None, ..own },
                "session `s-1` has some of level, account and group only",
            ),
            (
                v1::Session { jit: true, ..plain },
                "session `s-1` has some of level, account and group only",
            ),
        ] {
            let told = read(wire).unwrap_err().to_string();
            assert_eq!(told, format!("the server's answer cannot be used: {why}"));
        }
        assert!(Session::from_wire(None).is_err());
    }
}
