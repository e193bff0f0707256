//! Near misses (section 8): each lacks exactly what it says, and repairing that grants.

use pdp_engine::explain::{Gap, Hop, NearMiss, Side};
use pdp_engine::facts::Change;
use pdp_engine::id::AssignmentId;
use pdp_engine::level::{Assignment, Scope};
use pdp_engine::query::Reason;
use pdp_engine::time::{Timestamp, Window};

use super::{Verdict, Verifier, hold, same};
use crate::oracle::Asked;

// === impl Verifier ===

impl Verifier<'_> {
    pub(super) fn near_misses(&self, asked: &Asked, side: &Side) -> Verdict {
        let misses = &side.near_misses;
        if side.outcome != Reason::NotGranted {
            return same("near misses", misses, &Vec::new());
        }
        for (at, miss) in misses.iter().enumerate() {
            let again = misses[..at].iter().any(|other| other.assignment == miss.assignment);
            hold(!again, format!("near miss {} is listed twice", miss.assignment))?;
            self.near_miss(asked, miss)
                .map_err(|why| format!("near miss {}: {why}", miss.assignment))?;
        }
        let close = self.facts.assignments().find(|it| self.lacks_one_thing(asked, it));
        match close {
            Some(close) if misses.is_empty() => {
                Err(format!("no near miss is named, and {} is one", close.id))
            }
            _ => Ok(()),
        }
    }

    fn near_miss(&self, asked: &Asked, miss: &NearMiss) -> Verdict {
        let assignment = self.facts.assignment(&miss.assignment).ok_or("does not exist")?;
        same("to", &miss.to, &assignment.to)?;
        same("level", &miss.level, &assignment.level)?;
        same("scope", &miss.scope, &assignment.scope)?;
        same("window", &miss.window, &assignment.window)?;
        hold(self.allows(asked, &miss.level), "its level does not allow the permission")?;
        let open = assignment.window.contains(self.now);
        let counts = self.counts(asked, assignment);
        let covers = self.oracle.covers(assignment, &asked.subject, &asked.object);
        let path = &miss.subject_path;
        match miss.gap {
            Gap::Window => {
                hold(covers, "its scope does not cover the object")?;
                hold(!open || !counts, "no window of it is closed")?;
                // The subject is the assignee, and the assignment's own window is what is closed.
                if path.is_empty() {
                    return same("assignee", &assignment.to, &asked.subject);
                }
                let closed = path.iter().any(|hop| !hop.window.contains(self.now));
                hold(closed != counts, "its path and what the subject counts as differ")?;
                hold(some_instant(path), "the windows on its path are never open together")?;
                self.subject_path(&asked.subject, path, &assignment.to, false)
            }
            Gap::Assignee => {
                hold(path.is_empty(), "it has a path")?;
                hold(open, "its window is closed")?;
                hold(!counts, "the subject counts as its assignee")?;
                hold(covers, "its scope does not cover the object")
            }
            Gap::Scope => {
                hold(path.is_empty(), "it has a path")?;
                hold(open, "its window is closed")?;
                hold(counts, "the subject does not count as its assignee")?;
                hold(!covers, "its scope covers the object")
            }
        }
    }

    fn counts(&self, asked: &Asked, assignment: &Assignment) -> bool {
        self.oracle.counts_as(&asked.subject).contains(&assignment.to)
    }

    /// Whether it would grant but for its assignee, its scope or its own window.
    fn lacks_one_thing(&self, asked: &Asked, assignment: &Assignment) -> bool {
        let held = [
            assignment.window.contains(self.now),
            self.counts(asked, assignment),
            self.oracle.covers(assignment, &asked.subject, &asked.object),
        ];
        assignment.level.type_name == asked.object.type_name
            && self.allows(asked, &assignment.level)
            && held.iter().filter(|it| !**it).count() == 1
    }
}

/// Whether the windows of all hops are open together at some instant.
fn some_instant(path: &[Hop]) -> bool {
    let from = path.iter().filter_map(|hop| hop.window.from).max();
    let until = path.iter().filter_map(|hop| hop.window.until).min();
    Window { from, until }.is_ordered()
}

/// The id of the assignment that [`repair`] makes.
///
/// # Panics
/// Never: the id is a name.
#[must_use]
pub fn repair_id() -> AssignmentId {
    AssignmentId::new("repair").unwrap()
}

/// The change that mends what is named as missing, and nothing else: an assignment whose own window
/// is closed loses the window; otherwise it is the one that the gap's documentation names.
#[must_use]
pub fn repair(asked: &Asked, miss: &NearMiss, now: Timestamp) -> Change {
    let (id, to, scope) = match miss.gap {
        Gap::Window if !miss.window.contains(now) => {
            (miss.assignment.clone(), miss.to.clone(), miss.scope.clone())
        }
        Gap::Window | Gap::Assignee => (repair_id(), asked.subject.clone(), miss.scope.clone()),
        Gap::Scope => (repair_id(), miss.to.clone(), Scope::On(asked.object.clone())),
    };
    let level = miss.level.clone();
    Change::Put(Assignment { id, to, level, scope, window: Window::ALWAYS }.into())
}
