//! The lists of a whole server, page by page, are the lists of the engine in process, on random
//! worlds; and a page token is of its own list at its own revision.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_client::{ChangeSet, Code};
use pdp_engine::actor::Person;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::list::{AnyPermission, ApprovalQuestion, SubjectKinds};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};
use pdp_engine::snapshot::Snapshot;
use pdp_tests::door::page::Wanted;
use pdp_tests::door::{Door, Server};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, NOON};
use tonic_types::StatusExt as _;

/// How many questions of each family a world is listed for.
const EACH: usize = 3;

/// The first revision of a tenant that has a policy.
const REVISION: Revision = Revision::new(1);

/// What was compared, by kind of list: lists, lists of more than one page, tokens of another list
/// refused, questions refused.
type Counts = Mutex<BTreeMap<&'static str, [u64; 4]>>;

fn note(counts: &Counts, wanted: &Wanted<'_>, what: usize) {
    counts.lock().unwrap().entry(wanted.kind()).or_default()[what] += 1;
}

/// Hands every list that is about these questions to `compare`.
fn for_lists(
    genome: &Genome,
    facts: &Facts,
    mut compare: impl FnMut(Wanted<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut about = |who: SubjectRef<'_>, permission: AnyPermission<'_>, object: ObjectRef<'_>| {
        compare(Wanted::Permissions(who, object))?;
        compare(Wanted::Resources(who, permission, object.type_name))?;
        compare(Wanted::Subjects(permission, object, SubjectKinds::People))?;
        compare(Wanted::Subjects(permission, object, SubjectKinds::PeopleAndAccounts))
    };
    for (question, _) in genome.questions(facts) {
        let it = question.ask();
        about(it.subject, AnyPermission::Access(it.permission), it.resource)?;
    }
    for (question, _) in genome.vault(facts) {
        let it = question.ask();
        about(it.subject, AnyPermission::Vault(it.action), it.entity)?;
    }
    for (question, ..) in genome.sessions(facts) {
        let it = question.ask();
        about(it.subject, AnyPermission::Session(it.level), it.computer)?;
    }
    for (question, _) in genome.questions(facts) {
        let mut it = question.ask();
        // Only dual checks have approvers, and most questions are none.
        it.counterpart = it.counterpart.or(Some(it.resource));
        compare(Wanted::Approvers(ApprovalQuestion::Dual(it)))?;
    }
    for (question, _) in genome.delegations(facts) {
        compare(Wanted::Approvers(ApprovalQuestion::Delegation(question.ask())))?;
    }
    for (question, ..) in genome.sessions(facts) {
        compare(Wanted::Approvers(ApprovalQuestion::Session(question.ask())))?;
    }
    Ok(())
}

/// The list in pages of one, two and three entries, and in one page, is the engine's.
fn compare(
    door: &Door<'_>,
    snapshot: &Snapshot,
    wanted: &Wanted<'_>,
    counts: &Counts,
) -> Result<(), String> {
    let expected = wanted.in_process(snapshot, NOON);
    for size in [1, 2, 3, 1_000] {
        let pages = match (door.pages(wanted, size), &expected) {
            (Ok(pages), _) => pages,
            (Err(status), Err(_)) if status.code() == Code::InvalidArgument => {
                note(counts, wanted, 3);
                return Ok(());
            }
            (Err(status), _) => return Err(format!("{wanted:?}: {status:?}, not {expected:?}")),
        };
        if pages.iter().any(|page| page.revision != REVISION.get()) {
            return Err(format!("{wanted:?}: a page is of another revision"));
        }
        note(counts, wanted, if pages.len() > 1 { 1 } else { 0 });
        let listed: Vec<String> = pages.into_iter().flat_map(|page| page.items).collect();
        if Ok(&listed) != expected.as_ref() {
            let why = format!("in pages of {size}: {listed:?}, not {expected:?}");
            return Err(format!("{wanted:?} {why}"));
        }
    }
    Ok(())
}

/// The reason of a refused token.
fn reason(door: &Door<'_>, wanted: &Wanted<'_>, token: &str) -> Option<String> {
    let status = door.page(wanted, 1, token).err()?;
    assert_eq!(status.code(), Code::InvalidArgument, "{wanted:?}: {status:?}");
    Some(status.get_error_details().error_info().expect("every error says why").reason.clone())
}

#[test]
fn lists_over_grpc_are_the_lists_of_the_engine() {
    let server = Server::start();
    server.set_clock(NOON);
    let (worlds, counts) = (AtomicUsize::new(0), Counts::default());
    for_worlds(192, EACH, |genome| {
        let facts = genome.facts();
        let n = worlds.fetch_add(1, Ordering::Relaxed);
        let door = server.tenant(&format!("world-{n}"), &genome.changes());
        let door = door.map_err(|error| error.to_string())?;
        let snapshot = compile(&facts, REVISION);
        // The token of the list before goes with no other list.
        let mut before: Option<(String, String)> = None;
        for_lists(genome, &facts, |wanted| {
            compare(&door, &snapshot, &wanted, &counts)?;
            let name = format!("{wanted:?}");
            if let Some((of, token)) = before.as_ref().filter(|(of, _)| *of != name) {
                match reason(&door, &wanted, token).as_deref() {
                    Some("PAGE_TOKEN_MISMATCH") => note(&counts, &wanted, 2),
                    other => return Err(format!("{wanted:?} and the token of {of}: {other:?}")),
                }
            }
            if let Ok(first) = door.page(&wanted, 1, "")
                && !first.next.is_empty()
            {
                before = Some((name, first.next));
            }
            Ok(())
        })?;
        expire(&door, genome, &facts)
    });
    let counts = counts.into_inner().unwrap();
    for (kind, [single, many, tokens, refused]) in &counts {
        println!(
            "{kind:<12} {single:>6} of one page, {many:>6} of several, {tokens:>6} tokens of other \
             lists refused, {refused:>6} no questions"
        );
        assert!(*many >= 20, "{kind}: too few lists have several pages");
        assert!(*tokens > 100, "{kind}: too few tokens were tried");
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
    server.stop();
}

/// After a write, the tokens of the revision before are refused by the lists that gave them.
fn expire(door: &Door<'_>, genome: &Genome, facts: &Facts) -> Result<(), String> {
    let mut tokens = Vec::new();
    for_lists(genome, facts, |wanted| {
        let page = door.page(&wanted, 1, "").ok().filter(|page| !page.next.is_empty());
        tokens.push(page.map(|page| page.next));
        Ok(())
    })?;
    let Some(change) = genome.changes().into_iter().find_map(renamed) else { return Ok(()) };
    let set = ChangeSet::new(vec![pdp_client::engine::change_to_wire(&change)]);
    door.block_on(door.client().apply(set)).map_err(|error| error.to_string())?;
    let mut tokens = tokens.into_iter();
    for_lists(genome, facts, |wanted| {
        let Some(token) = tokens.next().flatten() else { return Ok(()) };
        match reason(door, &wanted, &token).as_deref() {
            Some("PAGE_TOKEN_EXPIRED") => Ok(()),
            other => Err(format!("{wanted:?} answers an old token with {other:?}")),
        }
    })
}

/// A person by another name, which changes the policy and no decision.
fn renamed(change: Change) -> Option<Change> {
    match change {
        Change::Put(Fact::Person(person)) => {
            let name = Some("somebody else's name".to_owned());
            Some(Change::Put(Person { name, ..(*person).clone() }.into()))
        }
        _ => None,
    }
}
