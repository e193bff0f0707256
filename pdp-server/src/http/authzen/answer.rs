//! Decisions as they leave: a boolean, and a context with what else there is to say. Obligations have
//! the shape of the obligations profile, and what may be asked for that of the access request and
//! approval profile (both drafts).

use pdp_bundle::time::format_time;
use pdp_engine::query::{Decision, Effect};
use pdp_engine::session::{AccountMode, Obligations, Privileged, SessionDecision};
use pdp_engine::time::Timestamp;
use serde::Serialize;

use super::Options;
use super::approval::Approvers;
use crate::decision_id::DecisionId;

/// Who the obligations are defined by: those of the profile do not say what sessions need.
const VENDOR: &str = "pdp";

/// The type of obligations that two parties agree on by themselves.
pub(super) const CUSTOM: &str = "custom";

/// How long a requestable denial may be brought to the access request service, in microseconds.
const REQUESTABLE_MICROS: i64 = 10 * 60 * 1_000_000;

/// One decision.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
}

/// What goes with a decision.
#[derive(Debug, Default, Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obligations: Vec<Obligation>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    requestable: Option<Requestable<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    approvers: Option<Approvers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError>,
}

/// What a denial says that approval would turn.
#[derive(Debug, Serialize)]
struct Requestable<'a> {
    evaluation_id: String,
    evaluated_at: String,
    access_request: AccessRequest<'a>,
}

/// Where to ask for approval, and until when.
#[derive(Debug, Serialize)]
struct AccessRequest<'a> {
    endpoint: &'a str,
    expires_at: String,
}

/// Why one of several evaluations has no decision.
#[derive(Debug, Serialize)]
struct ItemError {
    status: u16,
    message: String,
}

/// What a session's broker has to do.
#[derive(Debug, Serialize)]
struct Obligation {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'static str,
    properties: Properties,
}

/// What obligations of two parties' own are about.
#[derive(Debug, Serialize)]
struct Properties {
    vendor: &'static str,
    #[serde(flatten)]
    action: Action,
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    /// End the session then, at the latest.
    EndSession { not_after: String },
    /// Use this account, and put it into the native group.
    AddToGroup {
        group: String,
        account_mode: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
    /// When the session has ended.
    OnEnd { steps: Vec<&'static str> },
}

// === impl Answer ===

impl<'a> Answer<'a> {
    /// A decision with everything there is to say about it.
    pub(super) fn told(
        decided: &SessionDecision,
        id: DecisionId,
        options: &'a Options,
        now: Timestamp,
    ) -> Self {
        let SessionDecision { decision, obligations } = decided;
        let Decision { effect, reason, revision } = *decision;
        let id = id.to_string();
        let requestable = options.access_request_url.as_ref();
        let requestable = requestable.filter(|_| effect == Effect::RequiresApproval).map(|url| {
            let expires_at =
                Timestamp::from_micros(now.as_micros().saturating_add(REQUESTABLE_MICROS));
            Requestable {
                evaluation_id: id.clone(),
                evaluated_at: instant(now),
                access_request: AccessRequest {
                    endpoint: url.as_str(),
                    expires_at: instant(expires_at),
                },
            }
        });
        let context = Context {
            effect: Some(effect.as_str()),
            reason: Some(reason.as_str()),
            revision: Some(revision.get()),
            decision_id: Some(id),
            obligations: obligations.as_ref().map(due).unwrap_or_default(),
            requestable,
            approvers: None,
            error: None,
        };
        Self { decision: decision.is_allow(), context: Some(context) }
    }

    /// Says who could agree.
    pub(super) fn approved_by(&mut self, approvers: Option<Approvers>) {
        if let Some(context) = &mut self.context {
            context.approvers = approvers;
        }
    }

    /// A decision alone. What a permit depends on is never left out.
    pub(super) fn bare(decided: &SessionDecision) -> Self {
        let obligations = decided.obligations.as_ref().map(due);
        let context = obligations.map(|obligations| Context { obligations, ..Context::default() });
        Self { decision: decided.decision.is_allow(), context }
    }

    /// No decision, which denies.
    pub(super) fn error(message: String) -> Self {
        let error = Some(ItemError { status: 400, message });
        Self { decision: false, context: Some(Context { error, ..Context::default() }) }
    }

    /// Whether it permits.
    pub(super) const fn permits(&self) -> bool {
        self.decision
    }
}

fn due(obligations: &Obligations) -> Vec<Obligation> {
    let Obligations { privileged, not_after } = obligations;
    let one = |id, action| {
        let properties = Properties { vendor: VENDOR, action };
        Obligation { kind: CUSTOM, id, properties }
    };
    let mut due = vec![one("end-session", Action::EndSession { not_after: instant(*not_after) })];
    if let Some(Privileged { group, account, delete_account }) = privileged {
        let account_mode = account.as_str();
        let account = match account {
            AccountMode::Existing(id) | AccountMode::JitReuse(id) => Some(id.to_string()),
            AccountMode::JitNew => None,
        };
        let group = group.to_string();
        due.push(one("add-to-group", Action::AddToGroup { group, account_mode, account }));
        let delete = delete_account.then_some("DELETE_ACCOUNT");
        let steps = std::iter::once("REMOVE_FROM_GROUP").chain(delete).collect();
        due.push(one("on-end", Action::OnEnd { steps }));
    }
    due
}

fn instant(instant: Timestamp) -> String {
    format_time(crate::rpc::last_instant(instant))
}
