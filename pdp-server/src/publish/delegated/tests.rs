//! Change sets on behalf of a person, in process.

use std::sync::Barrier;

use pdp_bundle::Bundle;
use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{Change, FactKey};
use pdp_engine::id::{AssignmentId, PersonId, TenantId};
use pdp_engine::query::{Effect, Reason, Revision};
use pdp_engine::time::Timestamp;

use super::Refusal;
use crate::clock::Clock;
use crate::publish::{Apply, ApplyError, ChangeKind, DEFAULT_TENANT, Publisher, RequestId};
use crate::receipt::Receipt;
use crate::store::Store;
use crate::store::disk::Disk;

/// Ana and Cy may hand out and take back `Viewer` on the report to and from Bo; Di may do nothing.
const POLICY: &str = r#"
resource_types:
  Report: {operations: [View, AddToViewer, RemoveFromViewer]}
  Person: {operations: [AddPersonToResourceRole, RemovePersonFromResourceRole]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
  - {type: Report, name: Admin, operations: {AddToViewer: allowed, RemoveFromViewer: allowed}}
  - {type: Report, name: Giver, operations: {AddToViewer: allowed}}
  - {type: Person, name: Admin, operations: {"*": allowed}}
people: [{id: ana}, {id: bo}, {id: cy}, {id: di}, {id: ed, enabled: false}]
groups: [{id: hr}]
resources: [{type: Report, id: r, owner: ana}, {type: Report, id: s}]
assignments:
  - {id: ana-report, to: person:ana, level: Report/Admin, on: "Report:r"}
  - {id: ana-bo, to: person:ana, level: Person/Admin, on: "Person:bo"}
  - {id: cy-report, to: person:cy, level: Report/Admin, on: "Report:r"}
  - {id: cy-bo, to: person:cy, level: Person/Admin, on: "Person:bo"}
  - {id: di-report, to: person:di, level: Report/Giver, on: "Report:r"}
  - {id: di-bo, to: person:di, level: Person/Admin, on: "Person:bo"}
"#;

fn changes(yaml: &str) -> Vec<Change> {
    let bundle: Bundle = pdp_bundle::parse("test", yaml).unwrap();
    bundle.changes()
}

fn default() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_micros(0))
}

fn publisher() -> Publisher {
    let publisher =
        Publisher::open(Store::with_backend(Disk::default()).unwrap(), clock()).unwrap();
    apply(&publisher, None, &changes(POLICY)).unwrap();
    publisher
}

fn plain<'a>(changes: &'a [Change]) -> Apply<'a> {
    Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None }
}

fn apply(
    publisher: &Publisher,
    person: Option<&str>,
    changes: &[Change],
) -> Result<Receipt, ApplyError> {
    let person = person.map(|person| PersonId::new(person).unwrap());
    publisher.apply(&default(), Apply { on_behalf_of: person.as_ref(), ..plain(changes) })
}

/// An assignment of `Viewer` on the report to Bo.
fn grant(id: &str) -> Change {
    put(id, "person:bo", "Viewer", "Report:r")
}

fn put(id: &str, to: &str, level: &str, on: &str) -> Change {
    use pdp_engine::level::{Assignment, LevelRef, Scope};
    use pdp_engine::resource::ResourceRef;
    let assignment = Assignment {
        id: AssignmentId::new(id).unwrap(),
        to: ActorRef::parse(to).unwrap(),
        level: LevelRef::parse(&format!("Report/{level}")).unwrap(),
        scope: Scope::On(ResourceRef::parse(on).unwrap()),
        window: pdp_engine::time::Window::ALWAYS,
    };
    Change::Put(assignment.into())
}

fn remove(id: &str) -> Change {
    Change::Delete { key: FactKey::Assignment(AssignmentId::new(id).unwrap()), cascade: false }
}

fn refusal(outcome: Result<Receipt, ApplyError>) -> Refusal {
    match outcome {
        Err(ApplyError::Refused(refusal)) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn reasons(refusal: &Refusal) -> Vec<(String, Option<(Effect, Reason)>)> {
    let told = |change: &super::RefusedChange| {
        let decision = change.decision.map(|decision| (decision.effect, decision.reason));
        (change.key.name(), decision)
    };
    refusal.refused.iter().map(told).collect()
}

#[test]
fn what_the_person_may_hand_out_and_take_back_is_applied() {
    let publisher = publisher();
    let receipt = apply(&publisher, Some("ana"), &[grant("g")]).unwrap();
    assert_eq!(receipt.revision, Revision::new(2));
    assert_eq!(receipt.on_behalf_of, Some(PersonId::new("ana").unwrap()));
    let receipt = apply(&publisher, Some("cy"), &[remove("g")]).unwrap();
    assert_eq!(receipt.changes[0].1, ChangeKind::Removed);
    // No difference is no change, whoever asks.
    let receipt = apply(&publisher, Some("di"), &changes("people: [{id: bo}]")).unwrap();
    assert_eq!((receipt.revision, receipt.changes.len()), (Revision::new(3), 0));
}

#[test]
fn one_refused_change_refuses_the_whole_set_and_says_who_could() {
    let publisher = publisher();
    let set = [grant("g"), put("h", "person:bo", "Viewer", "Report:s")];
    let refusal = refusal(apply(&publisher, Some("ana"), &set));
    let missing = Some((Effect::RequiresApproval, Reason::MissingOnResource));
    assert_eq!(reasons(&refusal), [("h".to_owned(), missing)]);
    assert_eq!((refusal.total, refusal.revision), (1, Revision::new(1)));
    assert_eq!(refusal.refused[0].position, Some(1));
    assert!(refusal.refused[0].approvers.is_empty(), "nobody could");
    assert_eq!(publisher.revision(DEFAULT_TENANT), Some(Revision::new(1)));
    let kept = publisher.read(&default(), |_, facts| facts.assignments().count()).unwrap();
    assert_eq!(kept, 6, "nothing of the set stays");
}

#[test]
fn a_changed_assignment_is_taken_back_and_handed_out() {
    let publisher = publisher();
    apply(&publisher, None, &[grant("g")]).unwrap();
    // Di may hand out and not take back.
    apply(&publisher, Some("di"), &[grant("other")]).unwrap();
    let mut windowed = changes(
        r#"assignments: [{id: g, to: "person:bo", level: Report/Viewer, on: "Report:r", valid_until: 2030-01-01T00:00:00Z}]"#,
    );
    windowed.retain(|change| matches!(change.key(), FactKey::Assignment(_)));
    let refused = refusal(apply(&publisher, Some("di"), &windowed));
    let missing = Some((Effect::RequiresApproval, Reason::MissingOnResource));
    assert_eq!(reasons(&refused), [("g".to_owned(), missing)]);
    let approvers: Vec<_> = refused.refused[0].approvers.iter().map(PersonId::as_str).collect();
    assert_eq!(approvers, ["ana", "cy"]);
    apply(&publisher, Some("ana"), &windowed).unwrap();
}

#[test]
fn approvers_of_a_changed_assignment_can_make_the_whole_change() {
    let publisher = publisher();
    apply(&publisher, None, &[grant("g")]).unwrap();
    // Ana and Cy could take it back, and nobody could hand out the one on the other report.
    let moved = put("g", "person:bo", "Viewer", "Report:s");
    let refused = refusal(apply(&publisher, Some("di"), &[moved]));
    assert_eq!(refused.refused.len(), 1);
    assert!(refused.refused.iter().all(|change| change.approvers.is_empty()), "{refused:?}");
    // Whoever may do both is named.
    let taken = refusal(apply(&publisher, Some("di"), &[remove("g")]));
    let names: Vec<_> =
        taken.refused.iter().flat_map(|change| &change.approvers).map(PersonId::as_str).collect();
    assert_eq!(names, ["ana", "cy"]);
}

#[test]
fn people_who_are_nobody_and_other_kinds_of_change_are_refused() {
    let publisher = publisher();
    for (person, reason) in [("zoe", Reason::UnknownSubject), ("ed", Reason::SubjectDisabled)] {
        for set in [vec![], vec![grant("g")]] {
            let refusal = refusal(apply(&publisher, Some(person), &set));
            assert_eq!(refusal.decision.map(|decision| decision.reason), Some(reason));
        }
    }
    let kinds = "people: [{id: new}]\nlocations: [{id: l}]\npermission_levels: [{id: admin}]";
    let refusal = refusal(apply(&publisher, Some("ana"), &changes(kinds)));
    assert_eq!(refusal.total, 3);
    assert!(reasons(&refusal).iter().all(|(_, decision)| decision.is_none()));
}

#[test]
fn shares_ask_for_the_action_share_on_their_entity() {
    let publisher = publisher();
    let share = |level: &str| {
        changes(&format!("shares: [{{to: \"group:hr\", on: \"Report:r\", level: {level}}}]"))
    };
    // The owner has `full`.
    apply(&publisher, Some("ana"), &share("view")).unwrap();
    apply(&publisher, Some("ana"), &share("modify")).unwrap();
    let refused = refusal(apply(&publisher, Some("bo"), &share("view")));
    let expected = Some((Effect::Deny, Reason::NotShared));
    assert_eq!(reasons(&refused), [("Report:r with group:hr".to_owned(), expected)]);
    assert_eq!(refused.refused[0].kind, ChangeKind::Changed);
}

#[test]
fn a_dry_run_is_decided_and_a_replay_is_not() {
    let publisher = publisher();
    let ana = PersonId::new("ana").unwrap();
    let bo = PersonId::new("bo").unwrap();
    let set = [grant("g")];
    let dry = Apply { dry_run: true, on_behalf_of: Some(&bo), ..plain(&set) };
    refusal(publisher.apply(&default(), dry));
    let dry = Apply { dry_run: true, on_behalf_of: Some(&ana), ..plain(&set) };
    assert!(publisher.apply(&default(), dry).unwrap().dry_run);

    let id = RequestId::new("r-1").unwrap();
    let first = Apply { request_id: Some(&id), on_behalf_of: Some(&ana), ..plain(&set) };
    let receipt = publisher.apply(&default(), first).unwrap();
    apply(&publisher, None, &[remove("ana-report"), remove("g")]).unwrap();
    let again = publisher.apply(&default(), first).unwrap();
    assert_eq!(again, Receipt { replayed: true, ..receipt });
    for other in [Some(&bo), None] {
        let other = Apply { on_behalf_of: other, ..first };
        let error = publisher.apply(&default(), other).unwrap_err();
        assert!(matches!(error, ApplyError::RequestIdReused(_)), "{error}");
    }
}

/// How often both are tried before it counts as a fault that one of the orders never comes about.
const MAX_ROUNDS: usize = 20_000;

/// Lets Ana write `granted` while her right to it, which `right` gives back, is taken by `taken`:
/// again and again, until each has come first.
fn race(right: &[Change], taken: &[Change], granted: &[Change], undo: &[Change], reason: Reason) {
    let publisher = publisher();
    apply(&publisher, None, right).unwrap();
    let start = Barrier::new(2);
    let (mut in_time, mut too_late) = (0, 0);
    for round in 0..MAX_ROUNDS {
        let (outcome, removed) = std::thread::scope(|scope| {
            let granting = scope.spawn(|| {
                start.wait();
                apply(&publisher, Some("ana"), granted)
            });
            start.wait();
            // Who is let go first is up to the machine; every second round the removal gives way.
            if round % 2 == 1 {
                std::thread::yield_now();
            }
            let removed = apply(&publisher, None, taken).unwrap();
            (granting.join().unwrap(), removed)
        });
        let key = granted[0].key();
        let there = publisher.read(&default(), |_, facts| facts.get(&key).is_some()).unwrap();
        match outcome {
            Ok(receipt) => {
                assert!(receipt.revision < removed.revision && there, "round {round}");
                in_time += 1;
                apply(&publisher, None, undo).unwrap();
            }
            Err(_) => {
                let refusal = refusal(outcome);
                assert!(refusal.revision == removed.revision && !there, "round {round}");
                assert_eq!(reasons(&refusal)[0].1.unwrap().1, reason);
                too_late += 1;
            }
        }
        if in_time > 0 && too_late > 0 && round >= 100 {
            println!("{in_time} in time, {too_late} too late");
            return;
        }
        apply(&publisher, None, right).unwrap();
    }
    panic!("{in_time} in time, {too_late} too late, and never the other way round");
}

#[test]
fn a_grant_never_commits_after_the_right_to_make_it_is_gone() {
    let right = put("ana-report", "person:ana", "Admin", "Report:r");
    let taken = remove("ana-report");
    race(&[right], &[taken], &[grant("g")], &[remove("g")], Reason::MissingOnResource);
}

#[test]
fn a_share_never_commits_after_the_right_to_make_it_is_gone() {
    let share = |to: &str, on: &str, level: &str| {
        changes(&format!("shares: [{{to: \"{to}\", on: \"{on}\", level: {level}}}]"))
    };
    let gone = |share: &[Change]| {
        let gone = |change: &Change| Change::Delete { key: change.key(), cascade: false };
        share.iter().map(gone).collect::<Vec<_>>()
    };
    let full = share("person:ana", "Report:s", "full");
    let granted = share("group:hr", "Report:s", "view");
    race(&full, &gone(&full), &granted, &gone(&granted), Reason::NotShared);

    let owned = changes("resources: [{type: Report, id: r, owner: ana}]");
    let disowned = changes("resources: [{type: Report, id: r}]");
    let granted = share("group:hr", "Report:r", "view");
    race(&owned, &disowned, &granted, &gone(&granted), Reason::NotShared);
}
