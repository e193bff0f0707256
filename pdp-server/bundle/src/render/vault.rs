//! Why a vault action is allowed or not: the layers in order, what was found on each, and which
//! rule made the winner win.

use pdp_engine::query::Reason;
use pdp_engine::share::{Entity, ShareLevel, VaultAction};
use pdp_engine::vault::{AppliedShare, Layer, Ruling, VaultExplanation};

use super::{Branch, Tone, draw, headline, hops, meaning};
use crate::question::OwnedVault;

/// The explanation as plain text, without a line feed at the end.
#[must_use]
pub fn render_vault(explanation: &VaultExplanation, question: &OwnedVault) -> String {
    render_vault_with(explanation, question, &|_, text| text.to_owned())
}

/// The explanation as text, with each toned piece put through `paint`.
#[must_use]
pub fn render_vault_with(
    explanation: &VaultExplanation,
    question: &OwnedVault,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let VaultExplanation { decision, evaluated_at, layers, ruling } = explanation;
    let why = match decision.reason {
        Reason::Granted => "what the subject has gives the action",
        reason => meaning::of(reason),
    };
    let mut out = headline(*decision, why, *evaluated_at, question, paint);
    let looked = !matches!(
        decision.reason,
        Reason::UnknownSubject | Reason::SubjectDisabled | Reason::UnknownResource
    );
    if !looked {
        return out;
    }
    let mut below: Vec<Branch> = layers
        .iter()
        .enumerate()
        .map(|(number, layer)| self::layer(number, layer, question, paint))
        .collect();
    if layers.is_empty() {
        below.push(Branch::leaf("it is no vault entity: nothing can be shared of it"));
    }
    below.push(winner(ruling.as_ref(), question));
    if let Some(ruling) = ruling {
        below.push(Branch::leaf(gives(ruling.level())));
    }
    out.push_str("\n\n");
    let text = paint(Tone::Heading, &question.entity.to_string());
    draw(&mut out, &Branch { text, below });
    out
}

fn layer(
    number: usize,
    layer: &Layer,
    question: &OwnedVault,
    paint: &dyn Fn(Tone, &str) -> String,
) -> Branch {
    let Layer { entities, shares } = layer;
    let names: Vec<_> = entities.iter().map(Entity::to_string).collect();
    let names = if names.is_empty() { "no resource groups".to_owned() } else { names.join(", ") };
    let text = format!("layer {}: {names}", number + 1);
    let mut below: Vec<Branch> = shares.iter().map(|applied| share(applied, paint)).collect();
    if below.is_empty() && !entities.is_empty() {
        below.push(Branch::leaf(format!("nothing shared with {}", question.subject)));
    }
    Branch { text, below }
}

fn share(applied: &AppliedShare, paint: &dyn Fn(Tone, &str) -> String) -> Branch {
    let AppliedShare { share, level, deciding, subject_path } = applied;
    let standing =
        if *deciding { paint(Tone::Allow, "decides") } else { paint(Tone::Faint, "outweighed") };
    Branch { text: format!("{standing}: {} on {share}", level.as_str()), below: hops(subject_path) }
}

fn winner(ruling: Option<&Ruling>, question: &OwnedVault) -> Branch {
    let subject = &question.subject;
    match ruling {
        None => Branch::leaf(format!("nothing is shared with {subject} on any layer")),
        Some(Ruling::Owner(owner)) => {
            Branch::leaf(format!("wins: full, because person:{owner} is the owner"))
        }
        Some(Ruling::FullAnywhere) => {
            Branch::leaf("wins: full, which wins on whatever layer it is found")
        }
        Some(Ruling::NearestLayer { layer, personal, level }) => {
            let (level, layer) = (level.as_str(), layer + 1);
            let kind = if *personal {
                format!("shares with {subject} beat those with groups")
            } else {
                format!("no share on it is with {subject}, so those with groups count")
            };
            let order = "of the same kind view comes before modify before remote_app_only";
            Branch {
                text: format!("wins: {level}, on layer {layer}, the nearest with a share"),
                below: vec![Branch::leaf(kind), Branch::leaf(order)],
            }
        }
    }
}

fn gives(level: ShareLevel) -> String {
    let actions: Vec<_> = VaultAction::ALL
        .into_iter()
        .filter(|action| level.gives(*action))
        .map(VaultAction::as_str)
        .collect();
    format!("{} gives {}", level.as_str(), actions.join(", "))
}
