//! Sessions and their work, as they leave.

use pdp_engine::time::Timestamp;
use pdp_proto::v1;

use super::super::outbound::instant;
use super::super::question::{last_instant, reason};
use crate::session::{
    End, Ended, Happened, Privilege, Revocation, RevocationId, RevocationKind, Session,
    SessionEvent, Settled, Settlement,
};

/// A session as it is at `now`.
pub(super) fn session(session: &Session, now: Timestamp) -> v1::Session {
    let ended = session.ended_by(now);
    let Session {
        number: _,
        id,
        person,
        computer,
        privilege,
        opened,
        not_after,
        ended: _,
        request_key,
        revocations,
    } = session;
    let told = |of: fn(&Privilege) -> String| privilege.as_ref().map(of);
    let state = if ended.is_none() { v1::SessionState::Open } else { v1::SessionState::Ended };
    let revoked_by = ended.map_or(v1::Reason::Unspecified, |Ended { at: _, why }| revoked_by(why));
    v1::Session {
        id: id.to_string(),
        person: person.to_string(),
        computer: computer.to_string(),
        level: told(|it| it.level.to_string()),
        account: told(|it| it.account.to_string()),
        jit: privilege.as_ref().is_some_and(|it| it.jit),
        group: told(|it| it.group.to_string()),
        opened: Some(instant(*opened)),
        not_after: Some(instant(last_instant(*not_after))),
        state: state.into(),
        ended: ended.map(|Ended { at, why: _ }| instant(at)),
        end: ended.map_or(v1::SessionEnd::Unspecified, |Ended { at: _, why }| end(why)).into(),
        revoked_by: revoked_by.into(),
        request_key: request_key.to_string(),
        revocations: revocations.iter().map(|it| revocation(session, it)).collect(),
        delete_account: privilege.as_ref().is_some_and(|it| it.delete_account),
        account_mode: privilege.as_ref().map_or(v1::AccountMode::Unspecified, account_mode).into(),
    }
}

/// An item of work of a session.
pub(super) fn revocation(session: &Session, revocation: &Revocation) -> v1::Revocation {
    let Revocation { kind, due, failures, last_failure, not_before, settled } = revocation;
    let privilege = session.privilege.as_ref();
    let of_group = *kind == RevocationKind::RemoveFromGroup;
    let state = settled.map_or(v1::RevocationState::Outstanding, |it| settlement(it.how));
    v1::Revocation {
        id: RevocationId { session: session.id.clone(), kind: *kind }.to_string(),
        kind: self::kind(*kind).into(),
        session: session.id.to_string(),
        computer: session.computer.to_string(),
        account: privilege.map(|it| it.account.to_string()).unwrap_or_default(),
        group: privilege.filter(|_| of_group).map(|it| it.group.to_string()),
        due: Some(instant(*due)),
        state: state.into(),
        failures: *failures,
        last_failure: last_failure.clone(),
        not_before: not_before.map(instant),
        settled: settled.map(|Settled { at, how: _ }| instant(at)),
    }
}

/// What is to be done.
fn kind(kind: RevocationKind) -> v1::OnEnd {
    match kind {
        RevocationKind::RemoveFromGroup => v1::OnEnd::RemoveFromGroup,
        RevocationKind::DeleteAccount => v1::OnEnd::DeleteAccount,
    }
}

/// Why a session ended.
fn end(why: End) -> v1::SessionEnd {
    match why {
        End::Closed => v1::SessionEnd::Closed,
        End::Expired => v1::SessionEnd::Expired,
        End::Forced => v1::SessionEnd::Forced,
        End::Revoked(_) => v1::SessionEnd::Revoked,
    }
}

fn account_mode(privilege: &Privilege) -> v1::AccountMode {
    match (privilege.jit, privilege.reused) {
        (false, _) => v1::AccountMode::Existing,
        (true, true) => v1::AccountMode::JitReuse,
        (true, false) => v1::AccountMode::JitNew,
    }
}

fn revoked_by(why: End) -> v1::Reason {
    match why {
        End::Revoked(by) => reason(by),
        End::Closed | End::Expired | End::Forced => v1::Reason::Unspecified,
    }
}

fn settlement(how: Settlement) -> v1::RevocationState {
    match how {
        Settlement::Done => v1::RevocationState::Done,
        Settlement::Superseded => v1::RevocationState::Superseded,
    }
}

/// What the audit says of a session.
pub(in crate::rpc) fn audited(event: SessionEvent) -> v1::AuditSession {
    use v1::audit_session::Event as Wire;
    let SessionEvent { session, computer, level, account, what } = event;
    let event = match what {
        Happened::Opened { group, not_after } => Wire::Opened(v1::AuditSessionOpened {
            group: group.map(|group| group.to_string()),
            not_after: Some(instant(last_instant(not_after))),
        }),
        Happened::Renewed { not_after } => Wire::Renewed(v1::AuditSessionRenewed {
            not_after: Some(instant(last_instant(not_after))),
        }),
        Happened::Ended { at, why, note } => Wire::Ended(v1::AuditSessionEnded {
            at: Some(instant(last_instant(at))),
            end: end(why).into(),
            revoked_by: revoked_by(why).into(),
            note,
        }),
        Happened::RevocationDue(due) => {
            Wire::RevocationDue(v1::AuditRevocationDue { kind: kind(due).into() })
        }
        Happened::RevocationSettled(of, how) => {
            let (kind, state) = (kind(of).into(), settlement(how).into());
            Wire::RevocationSettled(v1::AuditRevocationSettled { kind, state })
        }
        Happened::RevocationFailed { kind: of, message } => {
            let kind = kind(of).into();
            Wire::RevocationFailed(v1::AuditRevocationFailed { kind, message })
        }
    };
    v1::AuditSession {
        session: session.to_string(),
        computer: computer.to_string(),
        level: level.map(|level| level.to_string()),
        account: account.map(|account| account.to_string()),
        event: Some(event),
    }
}
