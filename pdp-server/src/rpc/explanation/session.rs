//! Explanations of sessions as they leave.

use pdp_engine::session::{AppliedEligibility, SessionExplanation};
use pdp_proto::v1;

use super::super::outbound;
use super::super::question::decided;
use super::path;

/// An explanation of a session.
pub(in crate::rpc) fn session(explanation: &SessionExplanation) -> v1::Explanation {
    let SessionExplanation { decided: decision, evaluated_at, eligibilities, visible_levels } =
        explanation;
    v1::Explanation {
        decision: Some(decided(decision)),
        evaluated_at: Some(outbound::instant(*evaluated_at)),
        sides: Vec::new(),
        vault: None,
        session: Some(v1::SessionFindings {
            eligibilities: eligibilities.iter().map(applied).collect(),
            visible_levels: visible_levels.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn applied(applied: &AppliedEligibility) -> v1::AppliedEligibility {
    let AppliedEligibility { to, kind, subject_path } = applied;
    v1::AppliedEligibility {
        to: Some(outbound::actor(to)),
        kind: outbound::psm::eligibility_kind(*kind).into(),
        subject_path: path(subject_path),
    }
}
