//! The sessions that a case file says are open, and what decisions make of them.

use std::collections::BTreeMap;

use pdp_engine::facts::{FactKey, Facts};
use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId};
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::{JitAccount, OpenSession, OpenSessions};
use pdp_engine::time::Timestamp;

use crate::diagnostic::{Place, shown};
use crate::policy::native_group;
use crate::question::OwnedSession;
use crate::read::{At, Fields};
use crate::time::parse_time;
use crate::yaml::Value;

/// A session that exists besides the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseSession {
    /// Names the session within the file.
    pub id: SessionId,
    /// Who opened it.
    pub person: PersonId,
    /// Where.
    pub computer: ObjectId,
    /// With which permission level; `None` without one.
    pub level: Option<PermissionLevelId>,
    /// The native group it was opened on, where that is not the one that its level is mapped to.
    pub group: Option<GroupId>,
    /// The account it uses; a session with a level has one.
    pub account: Option<AccountId>,
    /// Whether the account was made for a session.
    pub jit: bool,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ends at the latest.
    pub not_after: Timestamp,
}

/// What exists besides the policy at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaseSessions {
    /// The sessions, whether their time has come, is over, or neither.
    pub sessions: Vec<OpenSession>,
    /// The accounts that were made for sessions.
    pub accounts: Vec<JitAccount>,
}

/// Something that a session names and the policy must have.
pub(super) struct Mention {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) target: FactKey,
}

// === impl CaseSessions ===

impl CaseSessions {
    /// What these sessions come to at `now` beside the policy: a session was opened on its own native
    /// group, or else on the one that its level is mapped to; the account made for a session exists
    /// once the session has been opened, and is kept.
    pub(super) fn at(sessions: &[CaseSession], facts: &Facts, now: Timestamp) -> Self {
        let mut accounts: BTreeMap<&AccountId, JitAccount> = BTreeMap::new();
        for session in sessions.iter().filter(|session| session.jit && session.opened <= now) {
            let Some(id) = &session.account else { continue };
            accounts.entry(id).or_insert_with(|| JitAccount {
                id: id.clone(),
                person: session.person.clone(),
                computer: session.computer.clone(),
                kept: true,
            });
        }
        let accounts = accounts.into_values().collect();
        Self { sessions: sessions.iter().filter_map(|it| it.open(facts)).collect(), accounts }
    }

    /// As a snapshot takes them.
    #[must_use]
    pub fn open(&self) -> OpenSessions {
        OpenSessions::new(self.sessions.iter().cloned(), self.accounts.iter().cloned())
    }
}

// === impl CaseSession ===

impl CaseSession {
    fn open(&self, facts: &Facts) -> Option<OpenSession> {
        let mapped = || {
            let psm = facts.psm().find(|psm| psm.computer == self.computer)?;
            psm.levels.get(self.level.as_ref()?)?.clone()
        };
        Some(OpenSession {
            id: self.id.clone(),
            person: self.person.clone(),
            computer: self.computer.clone(),
            level: self.level.clone(),
            group: self.group.clone().or_else(mapped),
            account: self.account.clone(),
            opened: self.opened,
            not_after: self.not_after,
        })
    }
}

/// Reads the list; `mentions` takes what the policy must have.
pub(super) fn sessions(at: &At<'_>, mentions: &mut Vec<Mention>) -> Vec<CaseSession> {
    let mut lines: BTreeMap<SessionId, u32> = BTreeMap::new();
    let mut sessions = Vec::new();
    for item in at.items() {
        let Some(session) = session(&item, mentions) else { continue };
        let line = item.node.place.line;
        match lines.get(&session.id) {
            Some(first) => item.fail(format_args!(
                "session `{}` stands twice: on line {first} and on line {line}",
                shown(session.id.as_str())
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
    let fields = at.fields(&[
        "id",
        "person",
        "computer",
        "level",
        "group",
        "account",
        "jit",
        "opened",
        "not_after",
    ])?;
    let id = fields.required("id").and_then(|at| at.parsed(SessionId::new));
    let person = fields.required("person").and_then(|at| at.parsed(PersonId::new));
    let computer = fields.required("computer").and_then(|at| at.parsed(ObjectId::new));
    let level = fields.get("level").filter(|at| !is_none(at));
    let level = optional(level.map(|at| at.parsed(PermissionLevelId::new)));
    let group = optional(fields.get("group").map(|at| at.parsed(native_group)));
    let account = optional(fields.get("account").map(|at| at.parsed(AccountId::new)));
    let jit = fields.flag("jit", false);
    let opened = fields.required("opened").and_then(|at| at.parsed(parse_time));
    let not_after = fields.required("not_after").and_then(|at| at.parsed(parse_time));
    if let (Some(opened), Some(not_after), Some(at)) = (opened, not_after, fields.get("not_after"))
        && opened >= not_after
    {
        at.fail("`opened` must be before `not_after`");
    }
    let (level, group, account) = (level?, group?, account?);
    match (&level, &account) {
        (Some(_), None) => {
            at.fail("a session with a level uses an account: the key `account` is missing")
        }
        (None, Some(_)) => {
            at.fail("a session without a level uses no account: leave `account` out")
        }
        (None, None) if group.is_some() => {
            at.fail("`group` goes with a level: leave it out");
        }
        (None, None) if jit => at.fail("`jit` is about an account: leave it out"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let session = CaseSession {
        id: id?,
        person: person?,
        computer: computer?,
        level,
        group,
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
        ("group", session.group.clone().map(FactKey::Group)),
        ("account", session.account.clone().filter(|_| !session.jit).map(FactKey::Account)),
    ];
    for (key, target) in named {
        if let (Some(at), Some(target)) = (fields.get(key), target) {
            mentions.push(Mention { place: at.node.place, key: at.path(), target });
        }
    }
}
