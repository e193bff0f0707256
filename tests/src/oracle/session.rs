//! Section 7: may this person open a session on that computer?

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::id::{AccountId, GroupId, PermissionLevelId, PersonId};
use pdp_engine::psm::{Eligibility, EligibilityKind, EligibilityScope, Psm};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::{AccountMode, Obligations, OpenSession, Privileged, SessionQuestion};
use pdp_engine::time::{Timestamp, Window};

use super::{Answer, Existing, Oracle, Refused, object, subject};

/// What P1 asks, with P2 behind it.
pub(super) struct Wish<'a> {
    person: PersonId,
    computer: ResourceRef,
    pub(super) psm: &'a Psm,
}

// === impl Oracle ===

impl<'a> Oracle<'a> {
    /// P1 to P8.
    ///
    /// # Errors
    /// [`Refused`] where a name cannot be one.
    pub fn decide_session(
        &self,
        question: &SessionQuestion<'_>,
    ) -> Result<(Answer, Option<Obligations>), Refused> {
        let asker = subject(question.subject)?;
        let computer = object(question.computer)?;
        // `none` is no level's id, so nobody offers it; a level that cannot be named is an error.
        let none = question.level == Some("none");
        let named = question.level.filter(|_| !none);
        let level = named.map(PermissionLevelId::new).transpose().map_err(|_| Refused)?;
        let deny = |reason| Ok(((Effect::Deny, reason), None));
        let wish = match self.p2(&asker, computer) {
            Ok(wish) => wish,
            Err(reason) => return deny(reason),
        };
        if none {
            return deny(Reason::LevelNotOffered);
        }
        let Some(level) = level else {
            return Ok(match self.p8(&wish) {
                Ok(obligations) => ((Effect::Allow, Reason::Granted), Some(obligations)),
                Err(reason) => ((Effect::Deny, reason), None),
            });
        };
        match self.p3_to_p6(&wish, &level) {
            Err(reason) => deny(reason),
            Ok(Effect::Allow) => {
                let obligations = self.p7(&wish, &level);
                Ok(((Effect::Allow, Reason::Granted), Some(obligations)))
            }
            Ok(_) if question.routing => {
                Ok(((Effect::RequiresApproval, Reason::NeedsApproval), None))
            }
            Ok(_) => deny(Reason::NeedsApproval),
        }
    }

    pub(super) fn p2(&self, asker: &ActorRef, computer: ResourceRef) -> Result<Wish<'a>, Reason> {
        self.know_subject(asker)?;
        if !self.exists(&computer) {
            return Err(Reason::UnknownResource);
        }
        let ActorRef::Person(person) = asker else { return Err(Reason::UnknownSubject) };
        let settings = self.facts.psm().find(|psm| {
            computer.type_name.as_str() == "Computer" && psm.computer == computer.id && psm.enabled
        });
        let psm = settings.ok_or(Reason::PsmDisabled)?;
        Ok(Wish { person: person.clone(), computer, psm })
    }

    /// ALLOW or REQUIRES_APPROVAL, or why neither.
    fn p3_to_p6(&self, wish: &Wish<'_>, level: &PermissionLevelId) -> Result<Effect, Reason> {
        let kinds = self.p3(wish, level)?;
        self.p4(wish)?;
        self.p5(wish)?;
        Ok(if Self::p6(&kinds) { Effect::Allow } else { Effect::RequiresApproval })
    }

    /// The kinds of the applicable eligibilities, unless P3 fails.
    pub(super) fn p3(
        &self,
        wish: &Wish<'_>,
        level: &PermissionLevelId,
    ) -> Result<Vec<EligibilityKind>, Reason> {
        self.native_group(wish, level)?;
        let person = ActorRef::Person(wish.person.clone());
        let applicable = self.eligibilities(&person, level, &wish.computer);
        let kinds: Vec<EligibilityKind> = applicable.iter().map(|it| it.key.kind).collect();
        if kinds.contains(&EligibilityKind::Excluded) {
            return Err(Reason::Excluded);
        }
        let makes_eligible =
            [EligibilityKind::Eligible, EligibilityKind::Suggested, EligibilityKind::PreApproved];
        if !kinds.iter().any(|kind| makes_eligible.contains(kind)) {
            return Err(Reason::NotEligible);
        }
        Ok(kinds)
    }

    pub(super) fn native_group(
        &self,
        wish: &Wish<'_>,
        level: &PermissionLevelId,
    ) -> Result<GroupId, Reason> {
        match wish.psm.levels.get(level) {
            None => Err(Reason::LevelNotOffered),
            Some(None) => Err(Reason::LevelNotMapped),
            Some(Some(group)) => Ok(group.clone()),
        }
    }

    /// Every eligibility for the level that applies to the person on the computer now.
    #[must_use]
    pub fn eligibilities(
        &self,
        person: &ActorRef,
        level: &PermissionLevelId,
        computer: &ResourceRef,
    ) -> Vec<&'a Eligibility> {
        let counts_as = self.counts_as(person);
        let covers = |scope: &EligibilityScope| match scope {
            EligibilityScope::On(id) => *id == computer.id,
            EligibilityScope::In(location) => self.is_placed_below(computer, location),
        };
        self.facts
            .eligibilities()
            .filter(|it| it.key.level == *level && counts_as.contains(&it.key.to))
            .filter(|it| self.open(&it.window) && covers(&it.key.scope))
            .collect()
    }

    pub(super) fn p4(&self, wish: &Wish<'_>) -> Result<(), Reason> {
        let needs_none = is_jit(wish.psm);
        if needs_none || !self.accounts_on(wish).is_empty() {
            Ok(())
        } else {
            Err(Reason::NoAccount)
        }
    }

    /// Whether somebody has agreed already.
    pub(super) fn p6(kinds: &[EligibilityKind]) -> bool {
        let agreed = [EligibilityKind::PreApproved, EligibilityKind::Approved];
        kinds.iter().any(|kind| agreed.contains(kind))
    }

    /// P4: the person's enabled accounts on the computer, least first.
    pub(super) fn accounts_on(&self, wish: &Wish<'_>) -> Vec<AccountId> {
        let owned = self.facts.accounts().filter(|account| {
            account.enabled
                && account.owner.as_ref() == Some(&wish.person)
                && account.computer.as_ref() == Some(&wish.computer.id)
        });
        let mut ids: Vec<AccountId> = owned.map(|account| account.id.clone()).collect();
        ids.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
        ids
    }

    fn p5(&self, wish: &Wish<'_>) -> Result<(), Reason> {
        // P12 does not matter here: a session has its place until it ends.
        let sessions = self.existing.sessions.iter();
        let open = sessions
            .filter(|session| session.computer == wish.computer.id && self.is_open(session));
        let most = wish.psm.max_concurrent as usize;
        if most != 0 && open.count() >= most { Err(Reason::SessionLimit) } else { Ok(()) }
    }

    fn p7(&self, wish: &Wish<'_>, level: &PermissionLevelId) -> Obligations {
        let jit = wish.psm.jit;
        let account = if !is_jit(wish.psm) {
            AccountMode::Existing(self.accounts_on(wish).swap_remove(0))
        } else if let (true, false, Some(kept)) =
            (jit.reuse_existing, jit.delete_on_end, self.kept(wish))
        {
            AccountMode::JitReuse(kept)
        } else {
            AccountMode::JitNew
        };
        let group = self.native_group(wish, level).expect("P3 has passed");
        let delete_account = is_jit(wish.psm) && jit.delete_on_end;
        let longest = self.longest(wish);
        let stops = boundaries(self.facts, self.existing)
            .into_iter()
            .filter(|instant| *instant > self.now)
            .find(|instant| {
                let then = Self { now: *instant, ..*self };
                then.p3_to_p6(wish, level) != Ok(Effect::Allow)
            });
        Obligations {
            privileged: Some(Privileged { group, account, delete_account }),
            not_after: stops.map_or(longest, |stops| stops.min(longest)),
        }
    }

    /// P12: the instant at which a session that stands now ends, if nothing is written: its longest,
    /// counted from when it was opened, or the first one at which it no longer stands.
    #[must_use]
    pub fn stands_until(&self, session: &OpenSession) -> Timestamp {
        let psm = self.facts.psm().find(|psm| psm.computer == session.computer);
        let longest = psm.map_or(0, |psm| psm.max_session_micros);
        let longest = Timestamp::from_micros(session.opened.as_micros().saturating_add(longest));
        let after = boundaries(self.facts, self.existing).into_iter().filter(|it| *it > self.now);
        let falls = |instant: &Timestamp| Self { now: *instant, ..*self }.fate(session).is_err();
        after.into_iter().find(falls).map_or(longest, |falls| falls.min(longest))
    }

    /// The least kept account of the person on the computer that no open session uses.
    fn kept(&self, wish: &Wish<'_>) -> Option<AccountId> {
        let in_use = |account: &AccountId| {
            let mut sessions = self.existing.sessions.iter();
            sessions.any(|it| it.account.as_ref() == Some(account) && self.is_open(it))
        };
        let kept = self.existing.accounts.iter().filter(|account| account.kept);
        kept.filter(|it| it.person == wish.person && it.computer == wish.computer.id)
            .map(|it| &it.id)
            .filter(|account| !in_use(account))
            .min_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()))
            .cloned()
    }

    fn longest(&self, wish: &Wish<'_>) -> Timestamp {
        let end = self.now.as_micros().saturating_add(wish.psm.max_session_micros);
        Timestamp::from_micros(end)
    }

    fn p8(&self, wish: &Wish<'_>) -> Result<Obligations, Reason> {
        if !wish.psm.allow_unprivileged {
            return Err(Reason::UnprivilegedNotAllowed);
        }
        self.p5(wish)?;
        Ok(Obligations { privileged: None, not_after: self.longest(wish) })
    }

    /// P9: offered and mapped, and P2 and P3 do not fail.
    #[must_use]
    pub fn visible_levels(
        &self,
        person: &ActorRef,
        computer: &ResourceRef,
    ) -> Vec<PermissionLevelId> {
        let Ok(wish) = self.p2(person, computer.clone()) else { return Vec::new() };
        let all = self.facts.permission_levels().map(|level| level.id.clone());
        all.filter(|level| self.p3(&wish, level).is_ok()).collect()
    }
}

/// P4: whether JIT is effective.
fn is_jit(psm: &Psm) -> bool {
    psm.jit.enabled && psm.account_store.as_deref() == Some("local_windows_server")
}

/// Every instant at which the passing of time alone may change anything, in order.
fn boundaries(facts: &Facts, existing: &Existing) -> Vec<Timestamp> {
    let mut windows: Vec<Window> = Vec::new();
    let positions = (facts.people().flat_map(|it| &it.positions))
        .chain(facts.groups().flat_map(|it| &it.positions));
    windows.extend(positions.map(|it| it.window));
    let members = (facts.groups().flat_map(|it| &it.members))
        .chain(facts.set_groups().flat_map(|it| &it.members))
        .chain(facts.management_roles().flat_map(|it| &it.members));
    windows.extend(members.map(|it| it.window));
    windows.extend(facts.eligibilities().map(|it| it.window));
    windows.extend(facts.assignments().map(|it| it.window));
    windows.extend(
        existing
            .sessions
            .iter()
            .map(|it| Window { from: Some(it.opened), until: Some(it.not_after) }),
    );
    let mut instants: Vec<Timestamp> =
        windows.iter().flat_map(|it| [it.from, it.until]).flatten().collect();
    instants.sort();
    instants
}
