//! Explanations as they leave: the engine's, message by message.

mod delegation;
mod session;
mod vault;

use pdp_engine::actor::ActorRef;
use pdp_engine::explain::{
    Coverage, Entry, Explanation, Gap, Hop, HopKind, NearMiss, Side, Standing, Thing, explain,
};
use pdp_engine::id::AssignmentId;
use pdp_engine::level::{LevelRef, Scope};
use pdp_engine::query::Decision;
use pdp_engine::session::explain_session;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};
use pdp_engine::vault::explain_vault;
use pdp_proto::v1;

pub(super) use delegation::delegation;
pub(super) use session::session;
pub(super) use vault::vault;

use super::malformed::Malformed;
use super::outbound;
use super::question::{Asked, decision, reason};

/// Decides a question of whatever family, and tells why.
pub(super) fn explained(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<(Decision, v1::Explanation), Malformed> {
    match asked {
        Asked::Access(question) => explain(snapshot, question, now)
            .map(|explained| (explained.decision, explanation(&explained))),
        Asked::Vault(question) => explain_vault(snapshot, question, now)
            .map(|explained| (explained.decision, vault(&explained))),
        Asked::Session(question) => explain_session(snapshot, question, now)
            .map(|explained| (explained.decided.decision, session(&explained))),
    }
    .map_err(|error| asked.refused(&error))
}

/// An explanation.
pub(crate) fn explanation(explanation: &Explanation) -> v1::Explanation {
    let Explanation { decision: decided, evaluated_at, sides } = explanation;
    v1::Explanation {
        decision: Some(decision(decided)),
        evaluated_at: Some(outbound::instant(*evaluated_at)),
        sides: sides.iter().map(side).collect(),
        vault: None,
        session: None,
    }
}

fn side(side: &Side) -> v1::ExplainedSide {
    let Side { object, outcome, entries, omitted_entries, granting_levels, near_misses } = side;
    v1::ExplainedSide {
        object: Some(outbound::resource_ref(object)),
        outcome: reason(*outcome).into(),
        entries: entries.iter().map(entry).collect(),
        granting_levels: granting_levels.iter().map(outbound::level).collect(),
        near_misses: near_misses.iter().map(near_miss).collect(),
        omitted_entries: *omitted_entries as u64,
    }
}

fn entry(entry: &Entry) -> v1::ExplainedEntry {
    let Entry {
        assignment: id,
        to,
        level,
        scope,
        window,
        qualifier,
        standing: stands,
        subject_path,
        coverage: covered,
    } = entry;
    v1::ExplainedEntry {
        assignment: Some(assignment(id, to, level, scope, window)),
        qualifier: outbound::qualifier(*qualifier).into(),
        standing: standing(*stands).into(),
        subject_path: path(subject_path),
        coverage: Some(coverage(covered)),
    }
}

fn assignment(
    id: &AssignmentId,
    to: &ActorRef,
    level: &LevelRef,
    scope: &Scope,
    window: &Window,
) -> v1::Assignment {
    v1::Assignment {
        id: id.to_string(),
        to: Some(outbound::actor(to)),
        level: Some(outbound::level(level)),
        scope: Some(outbound::scope(scope)),
        window: outbound::window(window),
    }
}

fn standing(standing: Standing) -> v1::Standing {
    match standing {
        Standing::Deciding => v1::Standing::Deciding,
        Standing::Masked => v1::Standing::Masked,
        Standing::Outweighed => v1::Standing::Outweighed,
    }
}

fn coverage(coverage: &Coverage) -> v1::Coverage {
    let Coverage { relation, placement } = coverage;
    v1::Coverage { relation: path(relation), placement: path(placement) }
}

fn path(hops: &[Hop]) -> Vec<v1::Hop> {
    hops.iter().map(hop).collect()
}

fn hop(hop: &Hop) -> v1::Hop {
    let Hop { kind, from, to, window } = hop;
    v1::Hop {
        kind: hop_kind(*kind).into(),
        from: Some(thing(from)),
        to: Some(thing(to)),
        window: outbound::window(window),
    }
}

fn hop_kind(kind: HopKind) -> v1::HopKind {
    match kind {
        HopKind::Owns => v1::HopKind::Owns,
        HopKind::MemberOf => v1::HopKind::MemberOf,
        HopKind::HoldsPosition => v1::HopKind::HoldsPosition,
        HopKind::RoleParent => v1::HopKind::RoleParent,
        HopKind::LocationParent => v1::HopKind::LocationParent,
        HopKind::Includes => v1::HopKind::Includes,
        HopKind::MadeFrom => v1::HopKind::MadeFrom,
        HopKind::PlacedIn => v1::HopKind::PlacedIn,
        HopKind::PlacedByPosition => v1::HopKind::PlacedByPosition,
        HopKind::PlacedInItself => v1::HopKind::PlacedInItself,
        HopKind::Is => v1::HopKind::Is,
        HopKind::ReportsTo => v1::HopKind::ReportsTo,
        HopKind::Manages => v1::HopKind::Manages,
        HopKind::MemberBySession => v1::HopKind::MemberBySession,
    }
}

fn thing(thing: &Thing) -> v1::Thing {
    use v1::thing::Thing as Wire;
    v1::Thing {
        thing: Some(match thing {
            Thing::Actor(actor) => Wire::Actor(outbound::actor(actor)),
            Thing::Resource(name) => Wire::Resource(outbound::resource_ref(name)),
            Thing::Location(id) => Wire::Location(id.to_string()),
            Thing::BusinessRole(id) => Wire::BusinessRole(id.to_string()),
        }),
    }
}

fn near_miss(miss: &NearMiss) -> v1::NearMiss {
    let NearMiss { assignment: id, to, level, scope, window, gap: lacks, subject_path } = miss;
    v1::NearMiss {
        assignment: Some(assignment(id, to, level, scope, window)),
        gap: gap(*lacks).into(),
        subject_path: path(subject_path),
    }
}

fn gap(gap: Gap) -> v1::Gap {
    match gap {
        Gap::Window => v1::Gap::Window,
        Gap::Assignee => v1::Gap::Assignee,
        Gap::Scope => v1::Gap::Scope,
    }
}
