//! How long a list takes in process, and what it costs when everything else grows ten times as
//! large.
//!
//! Run with `cargo bench -p pdp-tests --bench lists`. The policies are made up: at the large scale
//! 50,000 people, 100,000 servers shared one by one, 20,000 computers with 50,000 eligibilities,
//! 50,000 documents and 2,000 root locations; at the small scale a tenth of each.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement"
)]

mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use pdp_engine::compile::compile;
use pdp_engine::delegate::{
    DelegationAction, DelegationQuestion, RecipientRef, ScopeRef, check_delegation,
    explain_delegation,
};
use pdp_engine::level::Relative;
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, Part, SubjectKinds, list_approvers_part, list_resources_part,
    list_subjects_part,
};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Revision, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// How often each is measured.
const ROUNDS: usize = 101;

/// The small scale and the large one.
const SCALES: [usize; 2] = [1, 10];

const ANA: SubjectRef<'_> = SubjectRef::Person("ana");
const VIEW: AnyPermission<'_> =
    AnyPermission::Access(PermissionRef { kind: PermissionKind::Operation, name: "View" });
const VIEW_PASSWORD: AnyPermission<'_> = AnyPermission::Vault("view_password");
const ADMIN: AnyPermission<'_> = AnyPermission::Session(Some("admin"));

/// A question with what its answer has items of.
type Case = (&'static str, fn(&Snapshot) -> usize);

const CASES: [Case; 13] = [
    ("servers whose password a person may view", |it| resources(it, VIEW_PASSWORD, "Server", ALL)),
    ("computers for a person", |it| resources(it, ADMIN, "Computer", ALL)),
    ("people for a vault account, first 100", |it| {
        subjects(it, VIEW_PASSWORD, ("Server", "main-root"), page(100))
    }),
    ("people for a vault account, all", |it| {
        subjects(it, VIEW_PASSWORD, ("Server", "main-root"), ALL)
    }),
    ("people for a computer", |it| subjects(it, ADMIN, ("Computer", "lab-007"), ALL)),
    ("approvers of a session", |it| approvers(it, &SESSION)),
    ("documents, first 100", |it| resources(it, VIEW, "Document", page(100))),
    ("documents, all", |it| resources(it, VIEW, "Document", ALL)),
    ("people for a document, first 100", |it| {
        subjects(it, VIEW, ("Document", "notice"), page(100))
    }),
    ("people for a document, all", |it| subjects(it, VIEW, ("Document", "notice"), ALL)),
    ("check of a relative delegation", |it| {
        usize::from(check_delegation(it, &RELATIVE, NOW).unwrap().is_allow())
    }),
    ("explanation of a relative delegation", |it| {
        explain_delegation(it, &RELATIVE, NOW).unwrap().resource.unwrap().objects.len()
    }),
    ("approvers of a relative delegation", |it| {
        approvers(it, &ApprovalQuestion::Delegation(RELATIVE))
    }),
];

const SESSION: ApprovalQuestion<'_> = ApprovalQuestion::Session(SessionQuestion {
    subject: ANA,
    level: Some("admin"),
    computer: ObjectRef { type_name: "Computer", id: "lab-007" },
    routing: true,
});

const RELATIVE: DelegationQuestion<'_> = DelegationQuestion {
    delegator: SubjectRef::Person("p-000000"),
    action: DelegationAction::Grant,
    type_name: "Report",
    level: "Viewer",
    recipient: RecipientRef::Person("ana"),
    scope: ScopeRef::Relative(Relative::InMyLocations),
    routing: true,
};

const ALL: usize = usize::MAX;

/// What a page of so many asks for.
const fn page(size: usize) -> usize {
    size + 1
}

fn part<'a, T>(limit: usize) -> Part<'a, T> {
    Part { after: None, limit, wanted: &|| true }
}

fn resources(it: &Snapshot, permission: AnyPermission<'_>, kind: &str, limit: usize) -> usize {
    list_resources_part(it, ANA, permission, kind, part(limit), NOW).unwrap().len()
}

fn subjects(
    it: &Snapshot,
    permission: AnyPermission<'_>,
    (type_name, id): (&str, &str),
    limit: usize,
) -> usize {
    let object = ObjectRef { type_name, id };
    let kinds = SubjectKinds::People;
    list_subjects_part(it, permission, object, kinds, part(limit), NOW).unwrap().len()
}

fn approvers(it: &Snapshot, question: &ApprovalQuestion<'_>) -> usize {
    list_approvers_part(it, question, part(ALL), NOW).unwrap().len()
}

/// How many items there are, the median and the longest.
fn measure(snapshot: &Snapshot, case: fn(&Snapshot) -> usize) -> (usize, Duration, Duration) {
    let items = case(snapshot);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            black_box(case(black_box(snapshot)));
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    (items, times[ROUNDS / 2], times[ROUNDS - 1])
}

fn main() {
    let snapshots = SCALES.map(|scale| compile(&world::facts(scale), Revision::new(1)));
    println!(
        "{:<42} {:>7} {:>11} {:>7} {:>11} {:>11} {:>6}",
        "", "items", "median", "items", "median", "longest", "ratio"
    );
    for (name, case) in CASES {
        let [(few, small, _), (many, large, longest)] =
            snapshots.each_ref().map(|snapshot| measure(snapshot, case));
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        println!(
            "{name:<42} {few:>7} {small:>11.1?} {many:>7} {large:>11.1?} {longest:>11.1?} {ratio:>6.1}"
        );
    }
}
