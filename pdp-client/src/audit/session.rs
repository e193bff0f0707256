//! What the audit tells of sessions.

use std::time::SystemTime;

use pdp_proto::v1;

use crate::call::Error;
use crate::obligation::OnEnd;
use crate::session::{SessionEnd, instant};

/// Something happened to a session. Its person is the record's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedSession {
    /// The session's id.
    pub session: String,
    /// The id of its computer.
    pub computer: String,
    /// The id of its permission level; `None` without one.
    pub level: Option<String>,
    /// Its account; `None` without a level.
    pub account: Option<String>,
    /// What happened.
    pub event: SessionEvent,
}

/// What happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// It was opened.
    Opened {
        /// The id of the native group that its account was put into; `None` without a level.
        group: Option<String>,
        /// When it ends at the latest.
        not_after: SystemTime,
    },
    /// It was renewed.
    Renewed {
        /// When it ends at the latest.
        not_after: SystemTime,
    },
    /// It ended.
    Ended {
        /// From when on it does not count: before the record, where it ran out.
        at: SystemTime,
        /// Why.
        end: SessionEnd,
        /// What the administrator said who ended it; empty: nothing.
        note: String,
    },
    /// Its end made work due.
    RevocationDue(OnEnd),
    /// A broker has done its work.
    RevocationDone(OnEnd),
    /// Its work is not to be done any more: another session of the same account and group was opened.
    RevocationSuperseded(OnEnd),
    /// A broker failed at its work.
    RevocationFailed {
        /// The work.
        kind: OnEnd,
        /// What the broker said.
        message: String,
    },
}

// === impl AuditedSession ===

impl AuditedSession {
    pub(super) fn from_wire(wire: v1::AuditSession) -> Result<Self, Error> {
        let v1::AuditSession { session, computer, level, account, event } = wire;
        let event = event.ok_or_else(|| {
            let message = format!(
                "an audit record of session `{session}` tells of something that this version does not know"
            );
            Error::protocol(message)
        })?;
        Ok(Self { session, computer, level, account, event: SessionEvent::from_wire(event)? })
    }
}

// === impl SessionEvent ===

impl SessionEvent {
    fn from_wire(wire: v1::audit_session::Event) -> Result<Self, Error> {
        use v1::audit_session::Event as Wire;
        Ok(match wire {
            Wire::Opened(v1::AuditSessionOpened { group, not_after }) => Self::Opened {
                group,
                not_after: instant("the latest end of a session", not_after)?,
            },
            Wire::Renewed(v1::AuditSessionRenewed { not_after }) => {
                Self::Renewed { not_after: instant("the latest end of a session", not_after)? }
            }
            Wire::Ended(v1::AuditSessionEnded { at, end, revoked_by, note }) => Self::Ended {
                at: instant("the end of a session", at)?,
                end: SessionEnd::from_wire(end, revoked_by),
                note,
            },
            Wire::RevocationDue(v1::AuditRevocationDue { kind }) => {
                Self::RevocationDue(OnEnd::from_wire(kind)?)
            }
            Wire::RevocationSettled(v1::AuditRevocationSettled { kind, state }) => {
                let kind = OnEnd::from_wire(kind)?;
                match v1::RevocationState::try_from(state) {
                    Ok(v1::RevocationState::Done) => Self::RevocationDone(kind),
                    Ok(v1::RevocationState::Superseded) => Self::RevocationSuperseded(kind),
                    Ok(v1::RevocationState::Outstanding | v1::RevocationState::Unspecified)
                    | Err(_) => {
                        let message = format!("an audit record settles work as {state}");
                        return Err(Error::protocol(message));
                    }
                }
            }
            Wire::RevocationFailed(v1::AuditRevocationFailed { kind, message }) => {
                Self::RevocationFailed { kind: OnEnd::from_wire(kind)?, message }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::time::{Duration, UNIX_EPOCH};

    fn read(event: Option<v1::audit_session::Event>) -> Result<SessionEvent, Error> {
        let (session, computer) = ("s-1".to_owned(), "web-07".to_owned());
        let wire = v1::AuditSession { session, computer, level: None, account: None, event };
        AuditedSession::from_wire(wire).map(|told| told.event)
    }

    #[test]
    fn every_event_is_read() {
        use v1::audit_session::Event as Wire;
        let ten = Some(prost_types::Timestamp { seconds: 10, nanos: 0 });
        let at = UNIX_EPOCH + Duration::from_secs(10);
        let removal = OnEnd::RemoveFromGroup;
        let opened = v1::AuditSessionOpened { group: Some("g".into()), not_after: ten };
        let revoked =
            v1::AuditSessionEnded { at: ten, end: 4, revoked_by: 24, note: String::new() };
        let failed = v1::AuditRevocationFailed { kind: 1, message: "no route".into() };
        let settled =
            |state| Wire::RevocationSettled(v1::AuditRevocationSettled { kind: 1, state });
        for (wire, event) in [
            (Wire::Opened(opened), SessionEvent::Opened { group: Some("g".into()), not_after: at }),
            (
                Wire::Renewed(v1::AuditSessionRenewed { not_after: ten }),
                SessionEvent::Renewed { not_after: at },
            ),
            (
                Wire::Ended(revoked),
                SessionEvent::Ended {
                    at,
                    end: SessionEnd::Revoked(Reason::Excluded),
                    note: String::new(),
                },
            ),
            (
                Wire::RevocationDue(v1::AuditRevocationDue { kind: 2 }),
                SessionEvent::RevocationDue(OnEnd::DeleteAccount),
            ),
            (settled(2), SessionEvent::RevocationDone(removal)),
            (settled(3), SessionEvent::RevocationSuperseded(removal)),
            (
                Wire::RevocationFailed(failed),
                SessionEvent::RevocationFailed { kind: removal, message: "no route".into() },
            ),
        ] {
            assert_eq!(read(Some(wire)).unwrap(), event);
        }
        for unknown in [
            None,
            Some(settled(1)),
            Some(settled(9)),
            Some(Wire::RevocationDue(v1::AuditRevocationDue { kind: 0 })),
            Some(Wire::Renewed(v1::AuditSessionRenewed { not_after: None })),
        ] {
            assert!(matches!(read(unknown), Err(Error::Protocol { .. })));
        }
    }
}
