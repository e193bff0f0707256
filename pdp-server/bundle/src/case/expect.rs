//! What a check expects, how it is read, and whether an answer is that.

use std::collections::BTreeSet;
use std::fmt;

use pdp_engine::id::{GroupId, PersonId};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::session::{AccountMode, Obligations, Privileged};
use pdp_engine::time::Timestamp;

use super::answer::{Answer, Why};
use crate::diagnostic::shown;
use crate::question::AnyQuestion;
use crate::read::{At, Fields};
use crate::time::{format_time, parse_time};
use crate::yaml::Value;

/// What a check expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// A decision.
    Decision {
        /// Its effect.
        effect: Effect,
        /// Its reason; any if `None`.
        reason: Option<Reason>,
        /// Exactly what decides, any if `None`: the ids of assignments, and for vault actions the
        /// shares, written `ENTITY with GRANTEE`.
        deciding: Option<BTreeSet<String>>,
        /// The ids of exactly the assignments that a deny masks; any if `None`.
        masked: Option<BTreeSet<String>>,
        /// What goes with a session; anything if `None`.
        obligations: Option<ExpectedObligations>,
        /// Exactly the people who could approve, by id; anybody if `None`.
        approvers: Option<Vec<PersonId>>,
    },
    /// A refusal of the question, with this code.
    Error {
        /// The status code.
        code: ErrorCode,
    },
}

/// What goes with a session; what is `None` is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpectedObligations {
    /// The native group.
    pub group: Option<GroupId>,
    /// Which kind of account.
    pub account: Option<AccountWord>,
    /// The account's id.
    pub account_id: Option<String>,
    /// Whether the account is deleted when the session ends.
    pub delete_account: Option<bool>,
    /// When the session has to end.
    pub not_after: Option<Timestamp>,
}

/// Which kind of account a session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountWord {
    /// The person's own.
    Existing,
    /// One made for the session.
    JitNew,
    /// One kept from an earlier session.
    JitReuse,
}

/// Why a question may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The question is malformed.
    InvalidArgument,
}

const EFFECTS: [(&str, Effect); 3] = [
    ("allow", Effect::Allow),
    ("deny", Effect::Deny),
    ("requires_approval", Effect::RequiresApproval),
];

const ERRORS: [(&str, ErrorCode); 1] =
    [(ErrorCode::InvalidArgument.as_str(), ErrorCode::InvalidArgument)];

const ACCOUNTS: [(&str, AccountWord); 3] = [
    (AccountWord::Existing.as_str(), AccountWord::Existing),
    (AccountWord::JitNew.as_str(), AccountWord::JitNew),
    (AccountWord::JitReuse.as_str(), AccountWord::JitReuse),
];

/// What a decision may be expected to say, besides its effect.
const DETAILS: [&str; 5] = ["reason", "deciding", "masked", "obligations", "approvers"];

// === impl ErrorCode ===

impl ErrorCode {
    /// The status code's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
        }
    }
}

// === impl AccountWord ===

impl AccountWord {
    /// The word that case files use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::JitNew => "jit_new",
            Self::JitReuse => "jit_reuse",
        }
    }
}

// === impl Expectation ===

impl Expectation {
    /// This effect, whatever the rest.
    #[must_use]
    pub const fn effect(effect: Effect) -> Self {
        let (deciding, masked) = (None, None);
        let (obligations, approvers) = (None, None);
        Self::Decision { effect, reason: None, deciding, masked, obligations, approvers }
    }

    /// Reads an expectation. What the question's family does not have is a mistake.
    pub(super) fn read(at: &At<'_>, question: Option<&AnyQuestion>) -> Option<Self> {
        if matches!(at.node.value, Value::Scalar { .. }) {
            return at.word(&EFFECTS).map(Self::effect);
        }
        let fields = at.fields(&[
            "effect",
            "reason",
            "deciding",
            "masked",
            "obligations",
            "approvers",
            "error",
        ])?;
        if let Some(error) = fields.get("error") {
            for key in ["effect"].iter().chain(&DETAILS) {
                if let Some(other) = fields.get(key) {
                    other.fail("a refusal is no decision: leave this out beside `error`");
                }
            }
            return Some(Self::Error { code: error.word(&ERRORS)? });
        }
        let effect = fields.required("effect").and_then(|at| at.word(&EFFECTS));
        if let Some(question) = question {
            reject_meaningless(&fields, question, effect);
        }
        let reasons = Reason::ALL.map(|reason| (reason.as_str(), reason));
        let reason = fields.strict("reason").map(|at| at.word(&reasons));
        let deciding = fields.strict("deciding").map(|at| match question {
            Some(AnyQuestion::Vault(_)) => at.items().filter_map(|at| share(&at)).collect(),
            _ => ids(&at),
        });
        Some(Self::Decision {
            effect: effect?,
            reason: match reason {
                Some(reason) => Some(reason?),
                None => None,
            },
            deciding,
            masked: fields.strict("masked").map(|at| ids(&at)),
            obligations: match fields.get("obligations") {
                Some(at) => Some(obligations(&at)?),
                None => None,
            },
            approvers: fields.strict("approvers").map(|at| approvers(&at)),
        })
    }

    /// Whether only an explanation can show that an answer is as expected.
    #[must_use]
    pub const fn needs_explanation(&self) -> bool {
        match self {
            Self::Decision { deciding, masked, .. } => deciding.is_some() || masked.is_some(),
            Self::Error { .. } => false,
        }
    }

    /// Whether only the list of approvers can show that an answer is as expected.
    #[must_use]
    pub const fn needs_approvers(&self) -> bool {
        matches!(self, Self::Decision { approvers: Some(_), .. })
    }

    /// Whether the answer is as expected. An expectation that needs the explanation or the
    /// approvers is not met by an answer without them.
    #[must_use]
    pub fn is_met_by(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Error { code }, Answer::Error { code: actual, .. }) => code.as_str() == actual,
            (Self::Error { .. }, Answer::Decision { .. })
            | (Self::Decision { .. }, Answer::Error { .. }) => false,
            (
                Self::Decision { effect, reason, deciding, masked, obligations, approvers },
                Answer::Decision {
                    effect: actual,
                    reason: actual_reason,
                    obligations: actual_obligations,
                    approvers: actual_approvers,
                    why,
                },
            ) => {
                let agrees = |expected: &Option<BTreeSet<String>>,
                              of: fn(&Why) -> &BTreeSet<String>| {
                    expected
                        .as_ref()
                        .is_none_or(|ids| why.as_ref().is_some_and(|why| of(why) == ids))
                };
                effect == actual
                    && reason.is_none_or(|reason| reason == *actual_reason)
                    && agrees(deciding, |why| &why.deciding)
                    && agrees(masked, |why| &why.masked)
                    && obligations.as_ref().is_none_or(|expected| {
                        actual_obligations.as_ref().is_some_and(|actual| expected.is_met_by(actual))
                    })
                    && (approvers.is_none() || approvers == actual_approvers)
            }
        }
    }

    /// The answer, with what this expectation compares.
    pub(super) fn told(&self, answer: &Answer) -> String {
        match answer {
            Answer::Error { code, message } => format!("error {code}: {message}"),
            Answer::Decision { effect, reason, obligations, approvers, why } => {
                let why = why.as_ref().filter(|_| self.needs_explanation());
                let compared = matches!(self, Self::Decision { obligations: Some(_), .. });
                let masked = matches!(self, Self::Decision { masked: Some(_), .. });
                let mut told = Self::Decision {
                    effect: *effect,
                    reason: Some(*reason),
                    deciding: why.map(|why| why.deciding.clone()),
                    masked: why
                        .filter(|why| masked || !why.masked.is_empty())
                        .map(|why| why.masked.clone()),
                    obligations: obligations
                        .as_ref()
                        .filter(|_| compared)
                        .map(ExpectedObligations::from),
                    approvers: approvers.clone().filter(|_| self.needs_approvers()),
                }
                .to_string();
                if compared && obligations.is_none() {
                    told.push_str(", no obligations");
                }
                told
            }
        }
    }
}

/// `DENY EXPLICIT_DENY, deciding [a-1], masked []`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { code } => write!(f, "error {}", code.as_str()),
            Self::Decision { effect, reason, deciding, masked, obligations, approvers } => {
                f.write_str(effect.as_str())?;
                if let Some(reason) = reason {
                    write!(f, " {}", reason.as_str())?;
                }
                for (what, ids) in [("deciding", deciding), ("masked", masked)] {
                    if let Some(ids) = ids {
                        write!(f, ", {what} {}", listed(ids.iter().cloned()))?;
                    }
                }
                if let Some(obligations) = obligations {
                    write!(f, ", obligations {obligations}")?;
                }
                if let Some(people) = approvers {
                    let people = people.iter().map(|id| format!("person:{id}"));
                    write!(f, ", approvers {}", listed(people))?;
                }
                Ok(())
            }
        }
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

// === impl ExpectedObligations ===

impl ExpectedObligations {
    fn is_met_by(&self, actual: &Obligations) -> bool {
        let actual = Self::from(actual);
        let Self { group, account, account_id, delete_account, not_after } = self;
        (group.is_none() || *group == actual.group)
            && (account.is_none() || *account == actual.account)
            && (account_id.is_none() || *account_id == actual.account_id)
            && (delete_account.is_none() || *delete_account == actual.delete_account)
            && (not_after.is_none() || *not_after == actual.not_after)
    }
}

impl From<&Obligations> for ExpectedObligations {
    fn from(obligations: &Obligations) -> Self {
        let Obligations { privileged, not_after } = obligations;
        let not_after = Some(*not_after);
        let Some(Privileged { group, account, delete_account }) = privileged else {
            return Self { not_after, ..Self::default() };
        };
        let (word, id) = match account {
            AccountMode::Existing(id) => (AccountWord::Existing, Some(id)),
            AccountMode::JitNew => (AccountWord::JitNew, None),
            AccountMode::JitReuse(id) => (AccountWord::JitReuse, Some(id)),
        };
        Self {
            group: Some(group.clone()),
            account: Some(word),
            account_id: id.map(ToString::to_string),
            delete_account: Some(*delete_account),
            not_after,
        }
    }
}

/// As a case file writes it.
impl fmt::Display for ExpectedObligations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, account, account_id, delete_account, not_after } = self;
        let parts = [
            group.as_ref().map(|group| format!("group: group:{group}")),
            account.map(|account| format!("account: {}", account.as_str())),
            account_id.as_ref().map(|id| format!("account_id: {id}")),
            delete_account.map(|delete| format!("delete_account: {delete}")),
            not_after.map(|instant| format!("not_after: {}", format_time(instant))),
        ];
        write!(f, "{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Reports what answers to this question never say.
fn reject_meaningless(fields: &Fields<'_>, question: &AnyQuestion, effect: Option<Effect>) {
    let allows = matches!(effect, Some(Effect::Allow) | None);
    let meaningless = |key: &str| match (key, question) {
        ("deciding", AnyQuestion::Delegation(_) | AnyQuestion::Session(_)) => {
            Some("only operations, rights and vault actions have something that decides")
        }
        (
            "masked",
            AnyQuestion::Delegation(_) | AnyQuestion::Session(_) | AnyQuestion::Vault(_),
        ) => Some("only operations and rights have assignments that a deny masks"),
        ("obligations", AnyQuestion::Session(_)) if allows => None,
        ("obligations", _) => Some("only a session that is allowed has obligations"),
        ("approvers", AnyQuestion::Access(question)) if question.counterpart.is_none() => {
            Some("only delegations, dual checks and sessions have approvers")
        }
        ("approvers", AnyQuestion::Vault(_)) => {
            Some("only delegations, dual checks and sessions have approvers")
        }
        _ => None,
    };
    for key in DETAILS {
        if let (Some(at), Some(message)) = (fields.get(key), meaningless(key)) {
            at.fail(message);
        }
    }
}

fn ids(at: &At<'_>) -> BTreeSet<String> {
    at.items().filter_map(|at| at.text().map(str::to_owned)).collect()
}

fn share(at: &At<'_>) -> Option<String> {
    at.parsed(|text| {
        let is_share = text.contains(" with person:") || text.contains(" with group:");
        if is_share {
            return Ok(text.to_owned());
        }
        let (entity, grantee) = ("`Type:id` or `resource_group:ID`", "`person:ID` or `group:ID`");
        let shown = shown(text);
        Err(format!(
            "`{shown}` does not name a share; write `ENTITY with GRANTEE`: {entity}, then {grantee}"
        ))
    })
}

fn obligations(at: &At<'_>) -> Option<ExpectedObligations> {
    let fields = at.fields(&["group", "account", "account_id", "delete_account", "not_after"])?;
    Some(ExpectedObligations {
        group: fields.get("group").and_then(|at| at.parsed(group)),
        account: fields.get("account").and_then(|at| at.word(&ACCOUNTS)),
        account_id: fields.get("account_id").and_then(|at| at.text()).map(str::to_owned),
        delete_account: fields.get("delete_account").and_then(|at| at.flag()),
        not_after: fields.get("not_after").and_then(|at| at.parsed(parse_time)),
    })
}

fn group(text: &str) -> Result<GroupId, String> {
    let id = text
        .strip_prefix("group:")
        .ok_or_else(|| format!("`{}` does not name a group; write `group:ID`", shown(text)))?;
    GroupId::new(id).map_err(|error| error.to_string())
}

/// In the order of the ids, however they are written down.
fn approvers(at: &At<'_>) -> Vec<PersonId> {
    let person = |text: &str| {
        let id = text.strip_prefix("person:").ok_or_else(|| {
            format!("`{}` does not name a person; write `person:ID`", shown(text))
        })?;
        PersonId::new(id).map_err(|error| error.to_string())
    };
    let people: BTreeSet<PersonId> = at.items().filter_map(|at| at.parsed(person)).collect();
    people.into_iter().collect()
}
