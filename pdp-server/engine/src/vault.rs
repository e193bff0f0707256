//! What may somebody do with a vault entity? (semantics, section 6)

use std::ops::ControlFlow;

use crate::arena::{ActorIx, ResourceGroupIx, ResourceIx};
use crate::check::{object, subject};
use crate::explain::{Hop, Paths};
use crate::id::{PersonId, validate_id};
use crate::query::{Decision, Effect, Malformed, ObjectRef, Reason, SubjectRef, validate_object};
use crate::share::{Entity, ShareKey, ShareLevel, VaultAction};
use crate::snapshot::{Shared, Snapshot};
use crate::time::Timestamp;
use crate::walk::Who;

/// May this subject do this with that entity?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultQuestion<'a> {
    /// Who.
    pub subject: SubjectRef<'a>,
    /// What: the name of a [`VaultAction`].
    pub action: &'a str,
    /// With what: a resource, or a resource group where the type is `resource_group`.
    pub entity: ObjectRef<'a>,
}

/// A vault decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultExplanation {
    /// The same decision that [`check_vault`] gives.
    pub decision: Decision,
    /// The instant it was computed for.
    pub evaluated_at: Timestamp,
    /// The entity's layers, nearest first (V2). Empty where nothing was looked at.
    pub layers: Vec<Layer>,
    /// What decided, if anything did.
    pub ruling: Option<Ruling>,
}

/// One layer of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The entities on the layer.
    pub entities: Vec<Entity>,
    /// The shares on it that apply to the subject.
    pub shares: Vec<AppliedShare>,
}

/// A share that applies to the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedShare {
    /// The share.
    pub share: ShareKey,
    /// What it gives.
    pub level: ShareLevel,
    /// Whether it is one of those that decided.
    pub deciding: bool,
    /// How the subject counts as the grantee; empty if it is the grantee.
    pub subject_path: Vec<Hop>,
}

/// Which rule gave the level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// The subject owns the resource, or the account's parent (V3).
    Owner(PersonId),
    /// A `full` share, on whatever layer (V3).
    FullAnywhere,
    /// The nearest layer with a share decides: its number from 0, and whether shares to the person
    /// themselves beat those to groups there (V4).
    NearestLayer {
        /// The layer's number, nearest 0.
        layer: usize,
        /// Whether the deciding shares are to the person.
        personal: bool,
        /// The level they give.
        level: ShareLevel,
    },
}

impl Ruling {
    /// The level that it gives.
    #[must_use]
    pub const fn level(&self) -> ShareLevel {
        match self {
            Self::Owner(_) | Self::FullAnywhere => ShareLevel::Full,
            Self::NearestLayer { level, .. } => *level,
        }
    }
}

/// Decides at the instant `now` (V1 to V7).
///
/// # Errors
/// [`Malformed`] if a part could not name anything, or the action is none that the entity takes.
pub fn check_vault(
    snapshot: &Snapshot,
    question: &VaultQuestion<'_>,
    now: Timestamp,
) -> Result<Decision, Malformed> {
    let (effect, reason) = match admit(snapshot, question)? {
        Err(reason) => (Effect::Deny, reason),
        Ok((subject, place, action)) => {
            let who = Who::named(snapshot, subject, question.subject, now);
            let seen = Seen::new(snapshot, &who, place);
            conclude(snapshot, subject, place, action, seen.level())
        }
    };
    Ok(Decision { effect, reason, revision: snapshot.revision() })
}

/// Decides at the instant `now` and says why.
///
/// # Errors
/// [`Malformed`] as for [`check_vault`].
pub fn explain_vault(
    snapshot: &Snapshot,
    question: &VaultQuestion<'_>,
    now: Timestamp,
) -> Result<VaultExplanation, Malformed> {
    let explanation = |(effect, reason), layers, ruling| VaultExplanation {
        decision: Decision { effect, reason, revision: snapshot.revision() },
        evaluated_at: now,
        layers,
        ruling,
    };
    let (subject, place, action) = match admit(snapshot, question)? {
        Err(reason) => return Ok(explanation((Effect::Deny, reason), Vec::new(), None)),
        Ok(admitted) => admitted,
    };
    let who = Who::named(snapshot, subject, question.subject, now);
    let seen = Seen::new(snapshot, &who, place);
    let ruling = seen.ruling();
    let decided = conclude(snapshot, subject, place, action, seen.level());
    let layers = seen.tell(ruling.as_ref(), &Paths::new(snapshot, &who));
    Ok(explanation(decided, layers, ruling))
}

/// A vault entity, or something else that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Resource(ResourceIx),
    Group(ResourceGroupIx),
}

type Admitted = Result<(ActorIx, At, VaultAction), Reason>;

fn admit(snapshot: &Snapshot, question: &VaultQuestion<'_>) -> Result<Admitted, Malformed> {
    let part = |field, outcome: Result<(), crate::id::IdError>| {
        outcome.map_err(|source| Malformed::Name { field, source })
    };
    part("subject", validate_id("subject id", question.subject.id()))?;
    let is_group = question.entity.type_name == Entity::GROUP_WORD;
    if is_group {
        part("resource", validate_id("resource group id", question.entity.id))?;
    } else {
        part("resource", validate_object(question.entity))?;
    }
    let action = action(question.action, is_group)?;
    let known = subject(snapshot, question.subject).and_then(|subject| {
        let at = if is_group {
            let group = snapshot.vault.groups.get(question.entity.id).copied();
            At::Group(group.ok_or(Reason::UnknownResource)?)
        } else {
            At::Resource(object(snapshot, question.entity)?)
        };
        Ok((subject, at, action))
    });
    Ok(known)
}

/// V2: only `manage` and `share` may be asked of a group.
fn action(name: &str, of_group: bool) -> Result<VaultAction, Malformed> {
    let (on, actions) = if of_group {
        ("a resource group", "`manage` and `share`")
    } else {
        (
            "a vault entity",
            "`use_remote_app`, `view_password`, `modify_password`, `manage` and `share`",
        )
    };
    VaultAction::from_name(name)
        .filter(|action| !of_group || matches!(action, VaultAction::Manage | VaultAction::Share))
        .ok_or_else(|| {
            let action = name.chars().take(80).collect::<String>().escape_debug().to_string();
            Malformed::UnknownAction { action, on, actions }
        })
}

/// V5 to V7: the reasons in their order.
fn conclude(
    snapshot: &Snapshot,
    subject: ActorIx,
    at: At,
    action: VaultAction,
    level: Option<ShareLevel>,
) -> (Effect, Reason) {
    let deny = |reason| (Effect::Deny, reason);
    let Some(level) = level else { return deny(Reason::NotShared) };
    if !level.gives(action) {
        return deny(Reason::LevelTooLow);
    }
    if action == VaultAction::UseRemoteApp {
        let platform_has = match at {
            At::Group(_) => false,
            At::Resource(resource) => {
                let entities = &snapshot.vault.entities;
                entities[entities[resource].parent.unwrap_or(resource)].remote_apps
            }
        };
        if !platform_has {
            return deny(Reason::RemoteAppUnsupported);
        }
        if !snapshot.subjects[subject].remote_apps {
            return deny(Reason::RemoteAppNotPrivileged);
        }
    }
    (Effect::Allow, Reason::Granted)
}

/// The entities on one layer, and the shares of each that apply.
type SeenLayer = (Vec<At>, Vec<(At, Shared)>);

/// The layers of an entity as one subject sees them.
struct Seen<'a> {
    snapshot: &'a Snapshot,
    subject: ActorIx,
    owner: Option<ActorIx>,
    layers: Vec<SeenLayer>,
}

impl<'a> Seen<'a> {
    fn new(snapshot: &'a Snapshot, who: &Who<'_>, at: At) -> Self {
        let (vault, subject) = (&snapshot.vault, who.subject);
        let layer = |entities: Vec<At>| {
            let mut shares = Vec::new();
            for at in &entities {
                let list = match at {
                    At::Resource(resource) => &vault.shares[*resource],
                    At::Group(group) => &vault.group_shares[*group],
                };
                // It never breaks off.
                let (ControlFlow::Continue(()) | ControlFlow::Break(())) = who.meet(
                    list,
                    |shared| shared.to,
                    |shared| {
                        // What several sessions make the subject count as comes several times.
                        if who.by_session.is_empty() || !shares.contains(&(*at, *shared)) {
                            shares.push((*at, *shared));
                        }
                        ControlFlow::Continue(())
                    },
                );
            }
            (entities, shares)
        };
        let groups_of = |resource: ResourceIx| {
            vault.groups_of[resource].iter().copied().map(At::Group).collect()
        };
        let (owner, layers) = match at {
            At::Group(_) => (None, vec![layer(vec![at])]),
            At::Resource(resource) => {
                let entity = vault.entities[resource];
                match entity.parent {
                    _ if !entity.is_entity => (None, Vec::new()),
                    None => (entity.owner, vec![layer(vec![at]), layer(groups_of(resource))]),
                    Some(parent) => (
                        vault.entities[parent].owner,
                        vec![
                            layer(vec![at]),
                            layer(vec![At::Resource(parent)]),
                            layer(groups_of(parent)),
                        ],
                    ),
                }
            }
        };
        Self { snapshot, subject, owner, layers }
    }

    /// V3 and V4.
    fn level(&self) -> Option<ShareLevel> {
        if self.is_owned() {
            return Some(ShareLevel::Full);
        }
        self.shared().as_ref().map(Ruling::level)
    }

    /// Which of them gives the level.
    fn ruling(&self) -> Option<Ruling> {
        use crate::actor::ActorRef;
        if self.is_owned()
            && let ActorRef::Person(owner) = &self.snapshot.cold.actors[self.subject]
        {
            return Some(Ruling::Owner(owner.clone()));
        }
        self.shared()
    }

    fn is_owned(&self) -> bool {
        self.owner == Some(self.subject) && self.snapshot.subjects[self.subject].is_person
    }

    /// What the shares come to.
    fn shared(&self) -> Option<Ruling> {
        let mut all = self.layers.iter().flat_map(|(_, shares)| shares);
        if all.any(|(_, shared)| shared.level == ShareLevel::Full) {
            return Some(Ruling::FullAnywhere);
        }
        let layer = self.layers.iter().position(|(_, shares)| !shares.is_empty())?;
        let (_, shares) = self.layers.get(layer)?;
        let best = |personal: bool| {
            let same_kind =
                shares.iter().filter(|(_, shared)| self.is_personal(shared) == personal);
            // INVARIANT: the levels are declared in the order in which they are tried.
            let level = same_kind.map(|(_, shared)| shared.level).min()?;
            Some(Ruling::NearestLayer { layer, personal, level })
        };
        best(true).or_else(|| best(false))
    }

    fn is_personal(&self, shared: &Shared) -> bool {
        shared.to == self.subject
    }

    fn tell(&self, ruling: Option<&Ruling>, paths: &Paths<'_>) -> Vec<Layer> {
        let decides = |number: usize, shared: &Shared| match ruling {
            None | Some(Ruling::Owner(_)) => false,
            Some(Ruling::FullAnywhere) => shared.level == ShareLevel::Full,
            Some(Ruling::NearestLayer { layer, personal, level }) => {
                number == *layer && self.is_personal(shared) == *personal && shared.level == *level
            }
        };
        // Those of each entity by grantee.
        let in_order = |entities: &[At], shares: &[(At, Shared)]| {
            let place = |at: &At| entities.iter().position(|entity| entity == at);
            let mut shares = shares.to_vec();
            shares.sort_by(|(one_at, one), (other_at, other)| {
                let by_grantee = || self.snapshot.actor_order(one.to, other.to);
                place(one_at).cmp(&place(other_at)).then_with(by_grantee)
            });
            shares
        };
        let told = self.layers.iter().enumerate().map(|(number, (entities, shares))| Layer {
            entities: entities.iter().map(|at| self.entity(*at)).collect(),
            shares: in_order(entities, shares)
                .iter()
                .filter_map(|(at, shared)| {
                    let to = &self.snapshot.cold.actors[shared.to];
                    let to = crate::share::Grantee::from_actor(to)?;
                    let share = ShareKey { to, on: self.entity(*at) };
                    let deciding = decides(number, shared);
                    let subject_path = paths.to(shared.to);
                    Some(AppliedShare { share, level: shared.level, deciding, subject_path })
                })
                .collect(),
        });
        told.collect()
    }

    fn entity(&self, at: At) -> Entity {
        match at {
            At::Resource(resource) => {
                Entity::Resource(self.snapshot.cold.resources[resource].clone())
            }
            At::Group(group) => Entity::Group(self.snapshot.vault.group_names[group].clone()),
        }
    }
}
