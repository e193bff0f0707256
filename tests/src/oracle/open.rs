//! What exists besides the policy (P10 to P12): open sessions, and the accounts made for them.

use pdp_engine::actor::ActorRef;
use pdp_engine::id::{AccountId, GroupId};
use pdp_engine::query::Reason;
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::{JitAccount, OpenSession};
use pdp_engine::time::Window;

use super::Oracle;

/// What exists besides the policy.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Sessions that nobody has ended, run out or not.
    pub sessions: Vec<OpenSession>,
    /// The accounts that were made for sessions.
    pub accounts: Vec<JitAccount>,
}

/// Nothing at all.
pub(super) static NOTHING: Existing = Existing { sessions: Vec::new(), accounts: Vec::new() };

// === impl Oracle ===

impl<'a> Oracle<'a> {
    /// P10: the sessions that make the account a member of their native group now, with the group.
    #[must_use]
    pub fn memberships(&self, account: &AccountId) -> Vec<(&'a OpenSession, GroupId)> {
        let mut found = Vec::new();
        for session in &self.existing.sessions {
            if session.account.as_ref() == Some(account)
                && let Some(group) = &session.group
                && self.is_open(session)
                && self.fate(session) == Ok(())
            {
                found.push((session, group.clone()));
            }
        }
        found
    }

    /// P11: from the instant it was opened to before the one at which it ends.
    #[must_use]
    pub fn is_open(&self, session: &OpenSession) -> bool {
        self.open(&Window { from: Some(session.opened), until: Some(session.not_after) })
    }

    /// P12: P2 to P4 and P6 would still give the session's person ALLOW on the same native group,
    /// and the account is still one that they may use; else what they would say. A session without a
    /// level asks P2 and P8, but for P5.
    ///
    /// # Errors
    /// The reason.
    pub fn fate(&self, session: &OpenSession) -> Result<(), Reason> {
        let asker = ActorRef::Person(session.person.clone());
        let wish = self.p2(&asker, ResourceRef::computer(&session.computer))?;
        let Some(level) = &session.level else {
            let may = wish.psm.allow_unprivileged;
            return if may { Ok(()) } else { Err(Reason::UnprivilegedNotAllowed) };
        };
        let kinds = self.p3(&wish, level)?;
        if session.group != Some(self.native_group(&wish, level)?) {
            return Err(Reason::LevelNotMapped);
        }
        self.p4(&wish)?;
        if let Some(account) = &session.account {
            // An account of the policy has to be the person's, enabled and on the computer.
            let of_policy = self.facts.account(account).is_some();
            let is_theirs = self.accounts_on(&wish).contains(account);
            let stays = if of_policy { is_theirs } else { self.made(account.as_str()).is_some() };
            if !stays {
                return Err(Reason::NoAccount);
            }
        }
        if Self::p6(&kinds) { Ok(()) } else { Err(Reason::NeedsApproval) }
    }

    /// The account of this id, if it was made for a session.
    pub(super) fn made(&self, id: &str) -> Option<&'a JitAccount> {
        self.existing.accounts.iter().find(|account| account.id.as_str() == id)
    }
}
