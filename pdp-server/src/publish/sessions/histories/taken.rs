//! One step, on the model and on the publisher.

use std::sync::Arc;

use pdp_engine::facts::Change;
use pdp_engine::id::{ObjectId, PersonId, SessionId};
use pdp_engine::time::Timestamp;

use super::model::Model;
use super::step::{Edit, Step};
use super::{Out, tenant};
use crate::publish::{Apply, ApplyError, Publisher, SessionError};
use crate::session::sample::level;
use crate::session::{
    End, Open, Opened, Outcome, Renewed, RequestKey, RevocationId, RevocationKind, Selection,
    Session, StepError,
};
use crate::store::StoreError;

/// Takes a step on the model.
pub(super) fn on_model(
    model: &mut Model,
    step: &Step,
    pick: impl Fn(usize) -> Option<u64>,
    id: &SessionId,
    now: Timestamp,
) -> Out {
    match step {
        Step::Open { key, person, computer, level } => {
            model.open(&format!("k{key}"), (person, computer), *level, id, now)
        }
        Step::Again(n) => pick(*n).map_or(Out::Nothing, |number| {
            let first = model.sessions[&number].clone();
            let of = first.privilege.as_ref().map(|it| it.level.as_str());
            let question = (first.person.as_str(), first.computer.as_str());
            model.open(first.request_key.as_str(), question, of, id, now)
        }),
        Step::Renew(n) => pick(*n).map_or(Out::Unknown, |number| model.renew(number, now)),
        Step::Close(n) => pick(*n)
            .map_or(Out::Unknown, |number| Out::Closed(model.end(number, End::Closed, "", now))),
        Step::Force { person, computer, level } => model.force((*person, *computer, *level), now),
        Step::Acknowledge { session, account, fails } => match pick(*session) {
            Some(number) => {
                model.acknowledge(number, kind(*account), fails.then_some("no answer"), now)
            }
            None => Out::Unknown,
        },
        Step::Edit(edit) => model.change(Edit::apply(edit, &model.world, now), now),
        Step::Sweep => {
            model.sweep(now);
            Out::Swept
        }
        Step::Pass(_) | Step::Set(_) | Step::Restart => Out::Nothing,
    }
}

fn kind(account: bool) -> RevocationKind {
    if account { RevocationKind::DeleteAccount } else { RevocationKind::RemoveFromGroup }
}

/// Takes a step on the publisher.
pub(super) fn on_publisher(
    publisher: &Publisher,
    step: &Step,
    pick: impl Fn(usize) -> Option<SessionId>,
    id: &SessionId,
    before: &Model,
    now: Timestamp,
) -> Result<Out, StoreError> {
    let tenant = tenant();
    let plain = |session: Arc<Session>| Session::clone(&session);
    let unknown = SessionId::new("nobody").unwrap();
    let opened = |opened| match opened {
        Opened::Denied(decision) => Out::Denied(decision.effect, decision.reason),
        Opened::New(session, ..) => Out::Opened(plain(session)),
        Opened::Replayed(session, _) => Out::Replayed(plain(session)),
    };
    let out = match step {
        Step::Open { key, person, computer, level } => {
            let key = RequestKey::new(format!("k{key}")).unwrap();
            let request = Open { key: &key, person, computer, level: *level };
            publisher.open_session(&tenant, request, id.clone()).map(opened)
        }
        Step::Again(n) => {
            let first = pick(*n);
            let first = before.sessions.values().find(|it| Some(&it.id) == first.as_ref());
            let Some(Session { request_key, person, computer, privilege, .. }) = first else {
                return Ok(Out::Nothing);
            };
            let level = privilege.as_ref().map(|it| it.level.as_str());
            let (person, computer) = (person.as_str(), computer.as_str());
            let request = Open { key: request_key, person, computer, level };
            publisher.open_session(&tenant, request, id.clone()).map(opened)
        }
        Step::Renew(n) => {
            let id = pick(*n).unwrap_or(unknown);
            let renewed = publisher.renew_session(&tenant, id.as_str());
            renewed.map(|(Renewed { session, decided }, _)| Out::Renewed(plain(session), decided))
        }
        Step::Close(n) => {
            let id = pick(*n).unwrap_or(unknown);
            publisher.close_session(&tenant, id.as_str()).map(|it| Out::Closed(plain(it)))
        }
        Step::Force { person, computer, level: of } => {
            let selection = Selection {
                person: person.map(|id| PersonId::new(id).unwrap()),
                computer: computer.map(|id| ObjectId::new(id).unwrap()),
                level: of.map(level),
            };
            publisher.end_sessions(&tenant, &selection, "forced").map(Out::Ended)
        }
        Step::Acknowledge { session, account, fails } => {
            let session = pick(*session).unwrap_or(unknown);
            let id = RevocationId { session, kind: kind(*account) };
            let outcome = if *fails { Outcome::Failed("no answer") } else { Outcome::Done };
            publisher.acknowledge(&tenant, &id, outcome).map(|it| Out::Acknowledged(plain(it)))
        }
        Step::Edit(edit) => {
            let changes = edit.apply(&before.world, now).changes(&before.world);
            return match apply(publisher, &changes) {
                Ok(changed) => Ok(Out::Applied(changed)),
                Err(ApplyError::Store(error)) => Err(error),
                Err(error) => panic!("{edit:?}: {error}"),
            };
        }
        Step::Sweep => publisher.sweep_sessions().map(|()| Out::Swept),
        Step::Pass(_) | Step::Set(_) | Step::Restart => Ok(Out::Nothing),
    };
    match out {
        Ok(out) => Ok(out),
        Err(SessionError::Store(error)) => Err(error),
        Err(SessionError::Step(StepError::KeyReused(_))) => Ok(Out::KeyReused),
        Err(SessionError::Step(StepError::UnknownSession(_) | StepError::UnknownRevocation(_))) => {
            Ok(Out::Unknown)
        }
        Err(error) => panic!("{step:?}: {error}"),
    }
}

/// Applies a change set; whether it changed anything.
pub(super) fn apply(publisher: &Publisher, changes: &[Change]) -> Result<bool, ApplyError> {
    let apply =
        Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None };
    publisher.apply(&tenant(), apply).map(|receipt| !receipt.changes.is_empty())
}
