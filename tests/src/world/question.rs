//! Questions to a world: some at random, most aimed at an assignment so that every rule is hit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::level::Assignment;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::resource::ResourceRef;
use pdp_engine::time::Timestamp;

use super::fact::{OPERATIONS, RIGHTS};
use super::{Gene, INSTANTS, Reader, at};
use crate::oracle::{Existing, Oracle};

/// A question that holds its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedQuestion {
    /// The subject is an account.
    pub by_account: bool,
    /// The subject's id.
    pub subject: String,
    /// Operation or right.
    pub kind: PermissionKind,
    /// Its name.
    pub permission: String,
    /// Type and id.
    pub resource: (String, String),
    /// Type and id.
    pub counterpart: Option<(String, String)>,
    /// Whether approval may be asked for.
    pub routing: bool,
}

// === impl OwnedQuestion ===

impl OwnedQuestion {
    /// The question as the engine takes it.
    #[must_use]
    pub fn ask(&self) -> Question<'_> {
        let subject = if self.by_account {
            SubjectRef::Account(&self.subject)
        } else {
            SubjectRef::Person(&self.subject)
        };
        fn object(name: &(String, String)) -> ObjectRef<'_> {
            ObjectRef { type_name: &name.0, id: &name.1 }
        }
        let permission = PermissionRef { kind: self.kind, name: &self.permission };
        Question {
            counterpart: self.counterpart.as_ref().map(object),
            routing: self.routing,
            ..Question::new(subject, permission, object(&self.resource))
        }
    }

    /// The same question about one object alone.
    #[must_use]
    pub fn about(&self, object: &ResourceRef) -> Self {
        let resource = (object.type_name.to_string(), object.id.to_string());
        Self { resource, counterpart: None, ..self.clone() }
    }
}

/// As a line of a case file.
impl fmt::Display for OwnedQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.by_account { "account" } else { "person" };
        let (type_name, id) = &self.resource;
        write!(f, "{{subject: \"{kind}:{}\", ", self.subject)?;
        write!(f, "{}: {}, resource: \"{type_name}:{id}\"", self.kind.as_str(), self.permission)?;
        if let Some((type_name, id)) = &self.counterpart {
            write!(f, ", counterpart: \"{type_name}:{id}\"")?;
        }
        if !self.routing {
            write!(f, ", routing: false")?;
        }
        write!(f, "}}")
    }
}

/// Makes questions about one world.
pub struct Prober<'a> {
    pub(super) facts: &'a Facts,
    pub(super) existing: &'a Existing,
    pub(super) subjects: Vec<ActorRef>,
    /// The accounts of sessions, and those made for them.
    pub(super) in_sessions: Vec<ActorRef>,
    pub(super) objects: Vec<ResourceRef>,
    closures: BTreeMap<(ActorRef, Timestamp), BTreeSet<ActorRef>>,
}

// === impl Prober ===

impl<'a> Prober<'a> {
    /// For this world, and what exists besides it.
    #[must_use]
    pub fn new(facts: &'a Facts, existing: &'a Existing) -> Self {
        let people = facts.people().map(|it| ActorRef::Person(it.id.clone()));
        let accounts = facts.accounts().map(|it| ActorRef::Account(it.id.clone()));
        let subjects = people.chain(accounts).collect();
        let in_sessions: Vec<ActorRef> =
            existing.all_accounts().into_iter().map(ActorRef::Account).collect();
        let mut objects = objects(facts);
        objects.extend(
            (existing.accounts.iter())
                .map(|it| ResourceRef::parse(&format!("UserAccount:{}", it.id)).unwrap()),
        );
        Self { facts, existing, subjects, in_sessions, objects, closures: BTreeMap::new() }
    }

    /// Every subject, begun at an offset; for one offset in four, those of sessions come first.
    pub(super) fn in_turn(&self, offset: usize) -> Vec<ActorRef> {
        let mut turn = rotated(&self.in_sessions, offset / 4);
        turn.truncate(self.ahead(offset));
        turn.extend(rotated(&self.subjects, offset));
        turn
    }

    /// How many of the subjects in turn are those of sessions.
    fn ahead(&self, offset: usize) -> usize {
        if offset.is_multiple_of(4) { self.in_sessions.len() } else { 0 }
    }

    /// The gene's question and its instant; `None` where the world has nobody to ask.
    pub(super) fn question(&mut self, gene: &Gene) -> Option<(OwnedQuestion, Timestamp)> {
        let reader = &mut Reader::new(gene);
        let now = at(reader.of(&INSTANTS)?);
        let mode = reader.byte();
        let assignments: Vec<&Assignment> = self.facts.assignments().collect();
        let aims = rotated(&assignments, reader.byte());
        let offsets = (reader.byte(), reader.byte());
        let subjects = self.in_turn(offsets.0);
        let in_sessions = subjects.get(..self.ahead(offsets.0)).unwrap_or_default();
        // An account in a session is aimed at by few assignments: all of them are tried.
        let tries = [(in_sessions, aims.len()), (&subjects, 8)];
        let hit = tries.into_iter().filter(|_| mode >= 50).find_map(|(subjects, most)| {
            aims.iter().take(most).find_map(|aim| {
                let (subject, object) = self.pair(aim, now, subjects, offsets.1)?;
                Some((Some(*aim), subject, object))
            })
        });
        let (aim, subject, object) = match hit {
            Some(hit) => hit,
            None => {
                let subject = self.in_turn(offsets.0).into_iter().next()?;
                let object = rotated(&self.objects, offsets.1).into_iter().next()?;
                (None, subject, object)
            }
        };
        let (kind, permission) = permission(aim, self.facts, reader);
        let mut question = OwnedQuestion {
            by_account: matches!(subject, ActorRef::Account(_)),
            subject: bare(&subject),
            kind,
            permission,
            resource: (object.type_name.to_string(), object.id.to_string()),
            counterpart: None,
            routing: true,
        };
        let dual = reader.byte();
        if dual >= 200 && kind == PermissionKind::Operation {
            self.make_dual(&mut question, &subject, dual, reader);
        }
        misname(&mut question, reader.byte());
        Some((question, now))
    }

    /// Adds a counterpart; sometimes one that is the subject's own, which is what Q7 is about.
    fn make_dual(
        &mut self,
        question: &mut OwnedQuestion,
        subject: &ActorRef,
        dual: usize,
        reader: &mut Reader<'_>,
    ) {
        let of_type: Vec<ResourceRef> = self
            .objects
            .iter()
            .filter(|object| {
                dual.is_multiple_of(2) || object.type_name.as_str() == question.resource.0
            })
            .cloned()
            .collect();
        let any = reader.of(&of_type);
        let person = match subject {
            ActorRef::Account(id) => self.facts.account(id).and_then(|it| it.owner.clone()),
            ActorRef::Person(id) => Some(id.clone()),
            _ => None,
        };
        let own = match (dual % 8, person) {
            (0, Some(person)) => Some(("Person".to_owned(), person.to_string())),
            (1, person) => {
                let account = self.facts.accounts().find(|it| it.owner == person);
                account.map(|it| ("UserAccount".to_owned(), it.id.to_string()))
            }
            (2, _) if question.by_account => {
                Some(("UserAccount".to_owned(), question.subject.clone()))
            }
            _ => None,
        };
        if own.is_some() {
            "AddPart".clone_into(&mut question.permission);
        }
        let any = any.map(|it| (it.type_name.to_string(), it.id.to_string()));
        question.counterpart = own.or(any);
        if let (Some(counterpart), 0) = (&mut question.counterpart, dual % 3) {
            std::mem::swap(&mut question.resource, counterpart);
        }
        question.routing = !dual.is_multiple_of(5);
    }

    /// A subject that counts as the aimed assignee with an object that the aimed scope covers;
    /// now and then any object of the type.
    fn pair(
        &mut self,
        aim: &Assignment,
        now: Timestamp,
        subjects: &[ActorRef],
        offset: usize,
    ) -> Option<(ActorRef, ResourceRef)> {
        let oracle = Oracle::new(self.facts, now).beside(self.existing);
        let objects = rotated(&self.objects, offset);
        let anywhere = offset.is_multiple_of(8);
        subjects.iter().find_map(|subject| {
            if !self.closure(subject, now).contains(&aim.to) {
                return None;
            }
            let object = objects.iter().find(|object| {
                let of_type = anywhere && object.type_name == aim.level.type_name;
                of_type || oracle.covers(aim, subject, object)
            });
            object.map(|object| (subject.clone(), object.clone()))
        })
    }

    pub(super) fn closure(&mut self, subject: &ActorRef, now: Timestamp) -> &BTreeSet<ActorRef> {
        let (facts, existing) = (self.facts, self.existing);
        self.closures
            .entry((subject.clone(), now))
            .or_insert_with(|| Oracle::new(facts, now).beside(existing).counts_as(subject))
    }
}

/// Makes some part unknown, or the question malformed, now and then.
fn misname(question: &mut OwnedQuestion, wrong: usize) {
    let counterpart = question.counterpart.as_mut().map(|(_, id)| id);
    match wrong {
        235..=240 => "nobody".clone_into(&mut question.subject),
        241..=245 => "nothing".clone_into(&mut question.resource.1),
        246 => "Nowhere".clone_into(&mut question.resource.0),
        247..=250 => "Undeclared".clone_into(&mut question.permission),
        251 => "*".clone_into(&mut question.permission),
        252 | 253 => {
            if let Some(id) = counterpart {
                "nothing".clone_into(id);
            }
            if wrong == 253 {
                "Undeclared".clone_into(&mut question.permission);
            }
        }
        254 => question.kind = PermissionKind::Right,
        255 => question.subject.clear(),
        _ => {}
    }
}

/// A permission that the aimed definition names, or any.
fn permission(
    aim: Option<&Assignment>,
    facts: &Facts,
    reader: &mut Reader<'_>,
) -> (PermissionKind, String) {
    let byte = reader.byte();
    let kind =
        if byte.is_multiple_of(5) { PermissionKind::Right } else { PermissionKind::Operation };
    let all: &[&str] = match kind {
        PermissionKind::Operation => &OPERATIONS,
        PermissionKind::Right => &RIGHTS,
    };
    let named: Vec<&str> = aim
        .and_then(|aim| facts.access_level(&aim.level))
        .map(|level| {
            let says = level.qualifiers(kind);
            let mentioned = |name: &&str| says.keys().any(|it| it.to_string() == *name);
            all.iter().copied().filter(mentioned).collect()
        })
        .unwrap_or_default();
    let from = if named.is_empty() { all } else { &named };
    (kind, from[byte / 5 % from.len()].to_owned())
}

/// Every resource there is, built-in ones included.
fn objects(facts: &Facts) -> Vec<ResourceRef> {
    let mut names: Vec<String> = facts.resources().map(|it| it.name.to_string()).collect();
    names.extend(facts.people().map(|it| format!("Person:{}", it.id)));
    names.extend(facts.accounts().map(|it| format!("UserAccount:{}", it.id)));
    names.extend(facts.groups().map(|it| format!("Group:{}", it.id)));
    names.extend(facts.set_groups().map(|it| format!("SetGroup:{}", it.id)));
    names.extend(facts.business_roles().map(|it| format!("BusinessRole:{}", it.id)));
    names.extend(facts.locations().map(|it| format!("Location:{}", it.id)));
    names.extend(facts.management_roles().map(|it| format!("ManagementRole:{}", it.id)));
    names.extend(
        facts.management_role_definitions().map(|it| format!("ManagementRoleDefinition:{}", it.id)),
    );
    names.iter().map(|name| ResourceRef::parse(name).unwrap()).collect()
}

/// The list, begun at an offset.
pub(super) fn rotated<T: Clone>(list: &[T], offset: usize) -> Vec<T> {
    let start = offset % list.len().max(1);
    list[start..].iter().chain(&list[..start]).cloned().collect()
}

pub(super) fn bare(subject: &ActorRef) -> String {
    match subject {
        ActorRef::Person(id) => id.to_string(),
        ActorRef::Account(id) => id.to_string(),
        other => other.to_string(),
    }
}
