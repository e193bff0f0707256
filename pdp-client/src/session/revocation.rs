//! The work that the end of a session makes due, and what became of it.

use std::fmt;
use std::time::SystemTime;

use pdp_proto::v1;

use super::{instant, named};
use crate::call::Error;
use crate::obligation::OnEnd;

/// The longest account of a failure that the server takes, in bytes. A longer one is cut.
pub const MAX_FAILURE_BYTES: usize = 1_000;

/// An item of work that the end of a session made due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Names it within its tenant; goes into [`Sessions::acknowledge`](super::Sessions::acknowledge).
    pub id: String,
    /// The session whose end made it due.
    pub session: String,
    /// The id of the computer.
    pub computer: String,
    /// The id of the account.
    pub account: String,
    /// What is to be done to the account.
    pub task: Task,
    /// When it became due.
    pub due: SystemTime,
    /// How it stands.
    pub state: RevocationState,
    /// How often a broker failed at it.
    pub failures: u32,
    /// What the last failure was, as the broker put it.
    pub last_failure: Option<String>,
}

/// What is to be done to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Take it out of the native group of this id.
    RemoveFromGroup(String),
    /// Delete it.
    DeleteAccount,
}

/// How an item of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationState {
    /// It is to be done.
    Outstanding {
        /// Not handed out before this instant; `None`: at once.
        not_before: Option<SystemTime>,
    },
    /// A broker has done it.
    Done {
        /// When.
        at: SystemTime,
    },
    /// It is not to be done any more: another session of the same account and group was opened before
    /// it was, and the end of that one makes it due again.
    Superseded {
        /// When.
        at: SystemTime,
    },
}

/// What became of an item of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or there was nothing to do.
    Done,
    /// It failed, and is to be handed out again after a while: what went wrong, for people.
    Failed(String),
}

// === impl Revocation ===

impl Revocation {
    /// An item that is not understood, such as another kind of work, is an error: it is neither done
    /// nor said to be done.
    pub(crate) fn from_wire(wire: Option<v1::Revocation>) -> Result<Self, Error> {
        let wire = wire.ok_or_else(|| Error::protocol("it holds no revocation"))?;
        let v1::Revocation {
            id,
            kind,
            session,
            computer,
            account,
            group,
            due,
            state,
            failures,
            last_failure,
            not_before,
            settled,
        } = wire;
        let id = named("a revocation's id", id)?;
        let about = |error: Error| match error {
            Error::Protocol { message } => Error::protocol(format!("revocation `{id}`: {message}")),
            other => other,
        };
        let read = || {
            let task = match (OnEnd::from_wire(kind)?, group) {
                (OnEnd::RemoveFromGroup, Some(group)) => {
                    Task::RemoveFromGroup(named("its group", group)?)
                }
                (OnEnd::DeleteAccount, None) => Task::DeleteAccount,
                (OnEnd::RemoveFromGroup, None) => {
                    return Err(Error::protocol("it names no group to remove from"));
                }
                (OnEnd::DeleteAccount, Some(_)) => {
                    return Err(Error::protocol("it names a group and deletes an account"));
                }
            };
            let settled = || instant("its settlement", settled);
            let state = match v1::RevocationState::try_from(state) {
                Ok(v1::RevocationState::Outstanding) => RevocationState::Outstanding {
                    not_before: not_before
                        .map(|at| instant("its earliest hand-out", Some(at)))
                        .transpose()?,
                },
                Ok(v1::RevocationState::Done) => RevocationState::Done { at: settled()? },
                Ok(v1::RevocationState::Superseded) => {
                    RevocationState::Superseded { at: settled()? }
                }
                Ok(v1::RevocationState::Unspecified) | Err(_) => {
                    return Err(Error::protocol(format!("its state {state} is not known")));
                }
            };
            Ok(Self {
                id: id.clone(),
                session: named("its session", session)?,
                computer: named("its computer", computer)?,
                account: named("its account", account)?,
                task,
                due: instant("its beginning", due)?,
                state,
                failures,
                last_failure: Some(last_failure).filter(|failure| !failure.is_empty()),
            })
        };
        read().map_err(about)
    }

    /// Whether it is to be done.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        matches!(self.state, RevocationState::Outstanding { .. })
    }
}

// === impl Task ===

impl Task {
    /// The kind of work.
    #[must_use]
    pub const fn kind(&self) -> OnEnd {
        match self {
            Self::RemoveFromGroup(_) => OnEnd::RemoveFromGroup,
            Self::DeleteAccount => OnEnd::DeleteAccount,
        }
    }

    /// The native group that the account is taken out of.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        match self {
            Self::RemoveFromGroup(group) => Some(group),
            Self::DeleteAccount => None,
        }
    }
}

// === impl RevocationState ===

impl RevocationState {
    /// The state's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outstanding { .. } => "OUTSTANDING",
            Self::Done { .. } => "DONE",
            Self::Superseded { .. } => "SUPERSEDED",
        }
    }
}

impl fmt::Display for RevocationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Outcome ===

impl Outcome {
    /// It failed, with this for people to read.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn to_wire(&self) -> v1::acknowledge_revocation_request::Outcome {
        use v1::acknowledge_revocation_request::Outcome as Wire;
        match self {
            Self::Done => Wire::Done(v1::RevocationDone {}),
            // A failure that is told in part is told; one that is refused for its length is not.
            Self::Failed(message) => {
                let message = cut(message, MAX_FAILURE_BYTES).to_owned();
                Wire::Failed(v1::RevocationFailed { message })
            }
        }
    }
}

/// The beginning of a text that has this many bytes at most.
fn cut(text: &str, bytes: usize) -> &str {
    let ends = text.char_indices().map(|(start, letter)| start + letter.len_utf8());
    let end = ends.take_while(|&end| end <= bytes).last().unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn due() -> v1::Revocation {
        v1::Revocation {
            id: "r-1".into(),
            kind: 1,
            session: "s-1".into(),
            computer: "web-07".into(),
            account: "web-07/ana".into(),
            group: Some("web-07/Administrators".into()),
            due: at(20),
            state: 1,
            failures: 2,
            last_failure: "the host is down".into(),
            not_before: at(24),
            settled: None,
        }
    }

    #[test]
    fn work_is_read_whole() {
        let read = |wire| Revocation::from_wire(Some(wire)).unwrap();
        let removal = read(due());
        assert!(removal.is_outstanding());
        assert_eq!(removal.task.group(), Some("web-07/Administrators"));
        assert_eq!(removal.last_failure.as_deref(), Some("the host is down"));
        let deletion = read(v1::Revocation {
            kind: 2,
            group: None,
            state: 2,
            settled: at(30),
            last_failure: String::new(),
            ..due()
        });
        assert_eq!((deletion.task.kind(), deletion.last_failure), (OnEnd::DeleteAccount, None));
        assert_eq!(deletion.state.to_string(), "DONE");
        let over = read(v1::Revocation { state: 3, settled: at(30), ..due() });
        assert_eq!((over.state.as_str(), over.is_outstanding()), ("SUPERSEDED", false));
    }

    #[test]
    fn work_that_is_not_understood_is_an_error() {
        for (wire, why) in [
            (v1::Revocation { kind: 0, ..due() }, "what is due at the end of the session, 0, is"),
            (v1::Revocation { kind: 3, ..due() }, "what is due at the end of the session, 3, is"),
            (v1::Revocation { kind: 2, ..due() }, "it names a group and deletes an account"),
            (v1::Revocation { group: None, ..due() }, "it names no group to remove from"),
            (v1::Revocation { group: Some(String::new()), ..due() }, "its group is empty"),
            (v1::Revocation { state: 0, ..due() }, "its state 0 is not known"),
            (v1::Revocation { state: 4, ..due() }, "its state 4 is not known"),
            (v1::Revocation { state: 2, ..due() }, "its settlement has no time"),
            (v1::Revocation { due: None, ..due() }, "its beginning has no time"),
            (v1::Revocation { account: String::new(), ..due() }, "its account is empty"),
        ] {
            let told = Revocation::from_wire(Some(wire)).unwrap_err().to_string();
            let begins = format!("the server's answer cannot be used: revocation `r-1`: {why}");
            assert!(told.starts_with(&begins), "{told}");
        }
        let nameless = v1::Revocation { id: String::new(), ..due() };
        assert!(Revocation::from_wire(Some(nameless)).is_err());
        assert!(Revocation::from_wire(None).is_err());
    }

    #[test]
    fn a_long_failure_is_told_in_part() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aé", 2), "a", "no letter is cut in two");
        assert_eq!(cut("é", 1), "");
        let Outcome::Failed(long) = Outcome::failed("x".repeat(5_000)) else { panic!("it failed") };
        let wire = Outcome::Failed(long).to_wire();
        let v1::acknowledge_revocation_request::Outcome::Failed(failed) = wire else {
            panic!("it failed")
        };
        assert_eq!(failed.message.len(), MAX_FAILURE_BYTES);
    }
}
