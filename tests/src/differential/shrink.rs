//! Makes a difference small: facts go one by one, then what facts say, then sessions, then the parts of
//! the question, as long as the difference stays.

use pdp_bundle::question::AnyQuestion;
use pdp_engine::actor::{Account, Group, ManagementRole, Membership, Person, Position, SetGroup};
use pdp_engine::facts::{Change, Fact};
use pdp_engine::psm::{Eligibility, EligibilityKind, Psm};
use pdp_engine::resource::{Location, Resource};
use pdp_engine::time::Window;

use super::case::Case;
use crate::world::NOON;

/// How often a difference is looked for at most, so that a large world does not take for ever.
const MAX_ATTEMPTS: usize = 20_000;

/// The smallest world and question found for which `differs` still holds; it holds for `case`.
pub(super) fn shrunk(case: Case, differs: &dyn Fn(&Case) -> bool) -> Case {
    let mut shrinking = Shrinking { case, differs, left: MAX_ATTEMPTS };
    loop {
        let before = shrinking.left;
        let progress = [
            shrinking.without_facts(),
            shrinking.plainer_facts(),
            shrinking.without_sessions(),
            shrinking.plainer_question(),
        ];
        if !progress.contains(&true) || shrinking.left == 0 || shrinking.left == before {
            return shrinking.case;
        }
    }
}

struct Shrinking<'a> {
    case: Case,
    differs: &'a dyn Fn(&Case) -> bool,
    left: usize,
}

// === impl Shrinking ===

impl Shrinking<'_> {
    /// Takes a candidate that still differs.
    fn take(&mut self, candidate: Case) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let taken = (self.differs)(&candidate);
        if taken {
            self.case = candidate;
        }
        taken
    }

    fn changed(&mut self, change: Change) -> bool {
        let mut candidate = self.case.clone();
        match candidate.facts.apply(&[change]) {
            Ok(applied) if !applied.deltas.is_empty() => self.take(candidate),
            _ => false,
        }
    }

    /// What refers to others goes before what is referred to.
    fn without_facts(&mut self) -> bool {
        let mut keys: Vec<_> = self.case.facts.iter().map(|fact| fact.key()).collect();
        keys.reverse();
        let mut progress = false;
        for key in keys {
            progress |= self.changed(Change::Delete { key, cascade: true });
        }
        progress
    }

    fn plainer_facts(&mut self) -> bool {
        let keys: Vec<_> = self.case.facts.iter().map(|fact| fact.key()).collect();
        let mut progress = false;
        for key in keys {
            // What was tried is not tried again: each taken one is plainer than the one before.
            let mut tried = 0;
            while let Some(fact) = self.case.facts.get(&key)
                && let Some(candidate) = plainer(&fact).into_iter().nth(tried)
            {
                if self.changed(Change::Put(candidate)) {
                    progress = true;
                } else {
                    tried += 1;
                }
            }
        }
        progress
    }

    fn without_sessions(&mut self) -> bool {
        let mut progress = false;
        for at in (0..self.case.existing.sessions.len()).rev() {
            let mut candidate = self.case.clone();
            candidate.existing.sessions.remove(at);
            progress |= self.take(candidate);
        }
        for at in (0..self.case.existing.accounts.len()).rev() {
            let mut candidate = self.case.clone();
            candidate.existing.accounts.remove(at);
            progress |= self.take(candidate);
        }
        progress
    }

    fn plainer_question(&mut self) -> bool {
        let mut progress = false;
        let mut candidate = self.case.clone();
        if candidate.now != NOON {
            candidate.now = NOON;
            progress |= self.take(candidate);
        }
        let mut candidate = self.case.clone();
        if let AnyQuestion::Access(question) = &mut candidate.question
            && question.counterpart.take().is_some()
        {
            progress |= self.take(candidate);
        }
        let mut candidate = self.case.clone();
        let routing = match &mut candidate.question {
            AnyQuestion::Access(it) => &mut it.routing,
            AnyQuestion::Delegation(it) => &mut it.routing,
            AnyQuestion::Vault(it) => &mut it.routing,
            AnyQuestion::Session(it) => &mut it.routing,
        };
        if !std::mem::replace(routing, true) {
            progress |= self.take(candidate);
        }
        progress
    }
}

/// Facts of the same name that say less, each by one thing.
fn plainer(fact: &Fact) -> Vec<Fact> {
    match fact {
        Fact::AccessLevel(level) => {
            let operations = level.operations.keys().map(|line| {
                let mut it = (**level).clone();
                it.operations.remove(line);
                it.into()
            });
            let rights = level.rights.keys().map(|line| {
                let mut it = (**level).clone();
                it.rights.remove(line);
                it.into()
            });
            operations.chain(rights).collect()
        }
        Fact::Location(it) => location(it),
        Fact::BusinessRole(role) => {
            let mut less = Less::of(&**role);
            less.taken(|it| &mut it.parent);
            less.shorter(|it| &mut it.locations);
            less.facts()
        }
        Fact::Person(it) => person(it),
        Fact::Account(it) => account(it),
        Fact::Group(it) => group(it),
        Fact::SetGroup(it) => set_group(it),
        Fact::ManagementRole(it) => management_role(it),
        Fact::ManagementRoleDefinition(definition) => {
            let mut less = Less::of(&**definition);
            less.shorter(|it| &mut it.locations);
            less.facts()
        }
        Fact::Resource(it) => resource(it),
        Fact::ResourceGroup(it) => {
            let mut less = Less::of(&**it);
            less.shorter(|it| &mut it.members);
            less.plain(|it| &mut it.default, false);
            less.facts()
        }
        Fact::Assignment(it) => {
            let mut less = Less::of(&**it);
            less.plain(|it| &mut it.window, Window::ALWAYS);
            less.facts()
        }
        Fact::Psm(it) => psm(it),
        Fact::Eligibility(it) => eligibility(it),
        Fact::PermissionLevel(it) => {
            let mut less = Less::of(&**it);
            less.taken(|it| &mut it.name);
            less.facts()
        }
        // A type that is put adds to what there is, and a share says one thing only.
        Fact::ResourceType(_) | Fact::Share(_) => Vec::new(),
    }
}

/// Gathers facts that say less than one.
struct Less<'a, T> {
    whole: &'a T,
    found: Vec<T>,
}

// === impl Less ===

impl<'a, T: Clone + PartialEq + Into<Fact>> Less<'a, T> {
    const fn of(whole: &'a T) -> Self {
        Self { whole, found: Vec::new() }
    }

    fn with(&mut self, change: impl FnOnce(&mut T)) {
        let mut less = self.whole.clone();
        change(&mut less);
        if less != *self.whole {
            self.found.push(less);
        }
    }

    /// Without what may be absent.
    fn taken<P>(&mut self, part: impl Fn(&mut T) -> &mut Option<P>) {
        self.with(|it| *part(it) = None);
    }

    /// With what is usual.
    fn plain<P>(&mut self, part: impl Fn(&mut T) -> &mut P, usual: P) {
        self.with(|it| *part(it) = usual);
    }

    /// Without each item of a list.
    fn shorter<I>(&mut self, list: impl Fn(&mut T) -> &mut Vec<I>) {
        let count = list(&mut self.whole.clone()).len();
        for at in 0..count {
            self.with(|it| drop(list(it).remove(at)));
        }
    }

    /// With each item of a list always in force.
    fn always<I>(
        &mut self,
        list: impl Fn(&mut T) -> &mut Vec<I>,
        window: impl Fn(&mut I) -> &mut Window,
    ) {
        let count = list(&mut self.whole.clone()).len();
        for at in 0..count {
            self.with(|it| {
                if let Some(item) = list(it).get_mut(at) {
                    *window(item) = Window::ALWAYS;
                }
            });
        }
    }

    fn members(&mut self, list: impl Fn(&mut T) -> &mut Vec<Membership>) {
        self.shorter(&list);
        self.always(&list, |it| &mut it.window);
    }

    fn positions(&mut self, list: impl Fn(&mut T) -> &mut Vec<Position>) {
        self.shorter(&list);
        self.always(&list, |it| &mut it.window);
    }

    fn facts(self) -> Vec<Fact> {
        self.found.into_iter().map(Into::into).collect()
    }
}

fn location(fact: &Location) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.taken(|it| &mut it.parent);
    less.plain(|it| &mut it.organization, false);
    less.plain(|it| &mut it.block_inheritance, false);
    less.facts()
}

fn person(fact: &Person) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.taken(|it| &mut it.name);
    less.taken(|it| &mut it.login);
    less.taken(|it| &mut it.manager);
    less.plain(|it| &mut it.enabled, true);
    less.shorter(|it| &mut it.locations);
    less.positions(|it| &mut it.positions);
    less.with(|it| it.vault_privileges.clear());
    less.facts()
}

fn account(fact: &Account) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.taken(|it| &mut it.owner);
    less.taken(|it| &mut it.computer);
    less.plain(|it| &mut it.enabled, true);
    less.shorter(|it| &mut it.locations);
    less.facts()
}

fn group(fact: &Group) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.members(|it| &mut it.members);
    less.positions(|it| &mut it.positions);
    less.plain(|it| &mut it.default, false);
    less.shorter(|it| &mut it.locations);
    less.facts()
}

fn set_group(fact: &SetGroup) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.members(|it| &mut it.members);
    less.shorter(|it| &mut it.locations);
    less.facts()
}

fn management_role(fact: &ManagementRole) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.taken(|it| &mut it.definition);
    less.members(|it| &mut it.members);
    less.shorter(|it| &mut it.includes);
    less.shorter(|it| &mut it.locations);
    less.facts()
}

fn resource(fact: &Resource) -> Vec<Fact> {
    let mut less = Less::of(fact);
    less.shorter(|it| &mut it.locations);
    less.taken(|it| &mut it.platform);
    less.taken(|it| &mut it.owner);
    less.taken(|it| &mut it.parent);
    less.facts()
}

fn psm(fact: &Psm) -> Vec<Fact> {
    let mut less = Less::of(fact);
    for level in fact.levels.keys() {
        less.with(|it| drop(it.levels.remove(level)));
    }
    less.plain(|it| &mut it.max_concurrent, 0);
    less.plain(|it| &mut it.allow_unprivileged, false);
    less.with(|it| it.jit = pdp_engine::psm::Jit::default());
    less.taken(|it| &mut it.account_store);
    less.facts()
}

fn eligibility(fact: &Eligibility) -> Vec<Fact> {
    let mut less = Less::of(fact);
    // An approval carries its end.
    if fact.key.kind != EligibilityKind::Approved {
        less.plain(|it| &mut it.window, Window::ALWAYS);
    }
    less.facts()
}
