//! Explanations of vault actions as they leave.

use pdp_engine::share::Share;
use pdp_engine::vault::{AppliedShare, Layer, Ruling, VaultExplanation};
use pdp_proto::v1;

use super::super::outbound;
use super::super::question::decision;
use super::path;

/// An explanation of a vault action.
pub(in crate::rpc) fn vault(explanation: &VaultExplanation) -> v1::Explanation {
    let VaultExplanation { decision: decided, evaluated_at, layers, ruling } = explanation;
    v1::Explanation {
        decision: Some(decision(decided)),
        evaluated_at: Some(outbound::instant(*evaluated_at)),
        sides: Vec::new(),
        vault: Some(v1::VaultFindings {
            layers: layers.iter().map(layer).collect(),
            ruling: ruling.as_ref().map(self::ruling),
        }),
        session: None,
    }
}

fn layer(layer: &Layer) -> v1::VaultLayer {
    let Layer { entities, shares } = layer;
    v1::VaultLayer {
        entities: entities.iter().map(outbound::vault::entity).collect(),
        shares: shares.iter().map(applied).collect(),
    }
}

fn applied(applied: &AppliedShare) -> v1::AppliedShare {
    let AppliedShare { share, level, deciding, subject_path } = applied;
    let share = outbound::vault::share(&Share { key: share.clone(), level: *level });
    v1::AppliedShare { share: Some(share), deciding: *deciding, subject_path: path(subject_path) }
}

fn ruling(ruling: &Ruling) -> v1::VaultRuling {
    use v1::vault_ruling::Rule;
    let rule = match ruling {
        Ruling::Owner(id) => Rule::Owner(id.to_string()),
        Ruling::FullAnywhere => Rule::FullAnywhere(v1::FullAnywhere {}),
        Ruling::NearestLayer { layer, personal, level: _ } => {
            let layer = u32::try_from(*layer).unwrap_or(u32::MAX);
            Rule::NearestLayer(v1::NearestLayer { layer, personal: *personal })
        }
    };
    let level = outbound::vault::share_level(ruling.level()).into();
    v1::VaultRuling { level, rule: Some(rule) }
}
