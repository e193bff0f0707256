//! Why a change set was not applied on behalf of a person, change by change.

use pdp_proto::v1;
use prost::Message as _;

use crate::decision::{Decision, Revision};

/// The name of the message among the details of a status.
const TYPE_NAME: &str = "pdp.v1.DelegationRefusal";

/// Which changes of a change set the person on whose behalf it was to be applied may not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationRefusal {
    /// The person's id.
    pub on_behalf_of: String,
    /// The refused changes, ordered by kind and key; as many as fit.
    pub refused: Vec<RefusedChange>,
    /// How many changes were refused, those not listed included.
    pub total_refused: u64,
    /// The revision that they were decided on.
    pub revision: Revision,
    /// What is wrong with the person themselves, unknown or disabled: then no change is decided.
    pub decision: Option<Decision>,
}

/// One change that the person may not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// The fact that would differ.
    pub key: v1::FactKey,
    /// What would become of it.
    pub change: FactChange,
    /// What the decision about it came to; `None` where nobody may make the change on their own
    /// behalf, because it is neither of an assignment nor of a share.
    pub decision: Option<Decision>,
    /// Of an assignment: the ids of the people who may make the same change; as many as fit.
    pub approvers: Vec<String>,
    /// How many they are, those not listed included.
    pub total_approvers: u64,
    /// The position in the changes, from 0, of the last one about this fact; `None` for what a
    /// cascade brought about.
    pub position: Option<usize>,
}

/// How a change set leaves a fact, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FactChange {
    /// It was not there before.
    Created,
    /// It is there with other content.
    Changed,
    /// It is not there any more.
    Removed,
}

// === impl FactChange ===

impl FactChange {
    /// `created`, `changed` or `removed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    pub(crate) fn from_wire(number: i32) -> Option<Self> {
        match v1::ChangeKind::try_from(number) {
            Ok(v1::ChangeKind::Created) => Some(Self::Created),
            Ok(v1::ChangeKind::Changed) => Some(Self::Changed),
            Ok(v1::ChangeKind::Removed) => Some(Self::Removed),
            Ok(v1::ChangeKind::Unspecified) | Err(_) => None,
        }
    }
}

// === impl DelegationRefusal ===

impl DelegationRefusal {
    /// Found among the details of a status, if it is there. What cannot be read is left out whole:
    /// the refusal stands without it.
    pub(crate) fn from_details(details: &[u8]) -> Option<Self> {
        let status = tonic_types::Status::decode(details).ok()?;
        let named = |url: &str| url.rsplit('/').next() == Some(TYPE_NAME);
        let detail = status.details.iter().find(|any| named(&any.type_url))?;
        Self::from_wire(v1::DelegationRefusal::decode(detail.value.as_slice()).ok()?)
    }

    fn from_wire(wire: v1::DelegationRefusal) -> Option<Self> {
        let v1::DelegationRefusal { on_behalf_of, refused, total_refused, revision, decision } =
            wire;
        let refused = refused.into_iter().map(RefusedChange::from_wire).collect::<Option<_>>()?;
        let (revision, decision) = (Revision::new(revision), decided(decision)?);
        Some(Self { on_behalf_of, refused, total_refused, revision, decision })
    }
}

// === impl RefusedChange ===

impl RefusedChange {
    fn from_wire(wire: v1::RefusedChange) -> Option<Self> {
        let v1::RefusedChange { key, kind, decision, approvers, total_approvers, position } = wire;
        Some(Self {
            key: key?,
            change: FactChange::from_wire(kind)?,
            decision: decided(decision)?,
            approvers,
            total_approvers,
            position: position.and_then(|position| usize::try_from(position).ok()),
        })
    }
}

/// The decision, if there is one; `None` for one that refuses nothing, or is not understood.
fn decided(wire: Option<v1::Decision>) -> Option<Option<Decision>> {
    let Some(wire) = wire else { return Some(None) };
    let decision = Decision::from_wire(Some(wire), Revision::default()).ok()?;
    (!decision.is_allow()).then_some(Some(decision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, Reason, Refusal};
    use tonic::{Code, Status};

    fn status(refusal: &v1::DelegationRefusal) -> Status {
        let any = prost_types::Any {
            type_url: format!("type.googleapis.com/{TYPE_NAME}"),
            value: refusal.encode_to_vec(),
        };
        let details = tonic_types::Status { code: 7, message: "no".into(), details: vec![any] };
        Status::with_details(Code::PermissionDenied, "no", details.encode_to_vec().into())
    }

    fn refused(effect: i32, kind: i32) -> v1::DelegationRefusal {
        let key = v1::fact_key::Key::Assignment("a-1".into());
        v1::DelegationRefusal {
            on_behalf_of: "ana".into(),
            refused: vec![v1::RefusedChange {
                key: Some(v1::FactKey { key: Some(key) }),
                kind,
                decision: Some(v1::Decision { effect, reason: 16, revision: 4, obligations: None }),
                approvers: vec!["bo".into()],
                total_approvers: 3,
                position: Some(2),
            }],
            total_refused: 9,
            revision: 4,
            decision: None,
        }
    }

    #[test]
    fn the_refused_changes_are_read_from_the_status() {
        let refusal = Refusal::from_status(&status(&refused(3, 1))).delegation.unwrap();
        assert_eq!((refusal.on_behalf_of.as_str(), refusal.total_refused), ("ana", 9));
        let change = &refusal.refused[0];
        let decision = change.decision.as_ref().unwrap();
        assert_eq!(
            (decision.effect, decision.reason),
            (Effect::RequiresApproval, Reason::MissingOnRecipient)
        );
        assert_eq!((change.change.as_str(), change.position), ("created", Some(2)));
        assert_eq!((change.approvers.as_slice(), change.total_approvers), (&["bo".into()][..], 3));
    }

    #[test]
    fn details_that_cannot_be_read_leave_the_refusal() {
        for wire in [refused(9, 1), refused(3, 0), refused(1, 1)] {
            let refusal = Refusal::from_status(&status(&wire));
            assert_eq!((refusal.code, refusal.delegation), (Code::PermissionDenied, None));
        }
        let garbled = Status::with_details(Code::PermissionDenied, "no", vec![0xff; 9].into());
        assert_eq!(Refusal::from_status(&garbled).delegation, None);
    }
}
