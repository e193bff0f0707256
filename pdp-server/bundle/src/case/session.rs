//! The sessions that a case file says are open, and what decisions make of them.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::facts::FactKey;
use pdp_engine::id::{AccountId, ObjectId, PermissionLevelId, PersonId};
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::{OpenSession, SessionFacts};
use pdp_engine::time::Timestamp;

use crate::diagnostic::{Place, shown};
use crate::question::OwnedSession;
use crate::read::{At, Fields};
use crate::time::parse_time;
use crate::yaml::Value;

/// A session that exists besides the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseSession {
    /// Names the session within the file.
    pub id: String,
    /// Who opened it.
    pub person: PersonId,
    /// Where.
    pub computer: ObjectId,
    /// With which permission level; `None` without one.
    pub level: Option<PermissionLevelId>,
    /// The account it uses; a session with a level has one.
    pub account: Option<AccountId>,
    /// Whether the account was made for a session.
    pub jit: bool,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ends at the latest.
    pub not_after: Timestamp,
}

/// What exists besides the policy at one instant, as decisions take it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedSessionFacts {
    /// The sessions.
    pub sessions: Vec<OpenSession>,
    /// Kept just-in-time accounts: whose, on which computer, which.
    pub kept_accounts: Vec<(PersonId, ObjectId, AccountId)>,
}

/// Something that a session names and the policy must have.
pub(super) struct Mention {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) target: FactKey,
}

// === impl OwnedSessionFacts ===

impl OwnedSessionFacts {
    /// What these sessions come to at `now`: the just-in-time account of one that has ended is kept.
    #[must_use]
    pub fn at(sessions: &[CaseSession], now: Timestamp) -> Self {
        let open = sessions.iter().map(|session| OpenSession {
            person: session.person.clone(),
            computer: session.computer.clone(),
            account: session.account.clone(),
            opened: session.opened,
            not_after: session.not_after,
        });
        let ended = sessions.iter().filter(|session| session.jit && session.not_after <= now);
        let kept = ended.filter_map(|session| {
            let account = session.account.clone()?;
            Some((session.person.clone(), session.computer.clone(), account))
        });
        let kept: BTreeSet<_> = kept.collect();
        Self { sessions: open.collect(), kept_accounts: kept.into_iter().collect() }
    }

    /// As decisions take them.
    #[must_use]
    pub fn as_facts(&self) -> SessionFacts<'_> {
        SessionFacts { sessions: &self.sessions, kept_accounts: &self.kept_accounts }
    }
}

/// Reads the list; `mentions` takes what the policy must have.
pub(super) fn sessions(at: &At<'_>, mentions: &mut Vec<Mention>) -> Vec<CaseSession> {
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    let mut sessions = Vec::new();
    for item in at.items() {
        let Some(session) = session(&item, mentions) else { continue };
        let line = item.node.place.line;
        match lines.get(&session.id) {
            Some(first) => item.fail(format_args!(
                "session `{}` stands twice: on line {first} and on line {line}",
                shown(&session.id)
            )),
            None => {
                lines.insert(session.id.clone(), line);
                sessions.push(session);
            }
        }
    }
    sessions
}

fn session(at: &At<'_>, mentions: &mut Vec<Mention>) -> Option<CaseSession> {
    let fields =
        at.fields(&["id", "person", "computer", "level", "account", "jit", "opened", "not_after"])?;
    let id = fields.required("id").and_then(|at| at.text()).map(str::to_owned);
    let person = fields.required("person").and_then(|at| at.parsed(PersonId::new));
    let computer = fields.required("computer").and_then(|at| at.parsed(ObjectId::new));
    let level = fields.get("level").filter(|at| !is_none(at));
    let level = optional(level.map(|at| at.parsed(PermissionLevelId::new)));
    let account = optional(fields.get("account").map(|at| at.parsed(AccountId::new)));
    let jit = fields.flag("jit", false);
    let opened = fields.required("opened").and_then(|at| at.parsed(parse_time));
    let not_after = fields.required("not_after").and_then(|at| at.parsed(parse_time));
    if let (Some(opened), Some(not_after), Some(at)) = (opened, not_after, fields.get("not_after"))
        && opened >= not_after
    {
        at.fail("`opened` must be before `not_after`");
    }
    let (level, account) = (level?, account?);
    match (&level, &account) {
        (Some(_), None) => {
            at.fail("a session with a level uses an account: the key `account` is missing")
        }
        (None, Some(_)) => {
            at.fail("a session without a level uses no account: leave `account` out")
        }
        (None, None) if jit => at.fail("`jit` is about an account: leave it out"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let session = CaseSession {
        id: id?,
        person: person?,
        computer: computer?,
        level,
        account,
        jit,
        opened: opened?,
        not_after: not_after?,
    };
    mention(&fields, &session, mentions);
    Some(session)
}

fn is_none(at: &At<'_>) -> bool {
    matches!(&at.node.value, Value::Scalar { text, .. } if OwnedSession::parse_level(text).is_none())
}

/// Outer `None` for what stands there and could not be read.
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |read| read.map(Some))
}

/// A just-in-time account is no account of the policy.
fn mention(fields: &Fields<'_>, session: &CaseSession, mentions: &mut Vec<Mention>) {
    let computer = ResourceRef::computer(&session.computer);
    let named = [
        ("person", Some(FactKey::Person(session.person.clone()))),
        ("computer", Some(FactKey::Resource(computer))),
        ("level", session.level.clone().map(FactKey::PermissionLevel)),
        ("account", session.account.clone().filter(|_| !session.jit).map(FactKey::Account)),
    ];
    for (key, target) in named {
        if let (Some(at), Some(target)) = (fields.get(key), target) {
            mentions.push(Mention { place: at.node.place, key: at.path(), target });
        }
    }
}
