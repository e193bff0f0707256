//! What is read from an image of a policy decides as the policy does: operations and rights, one by one and in
//! batches, vault actions and sessions, on random worlds, compiled whole and change set by change set. And what is
//! no image is none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::Facts;
use pdp_engine::image;
use pdp_engine::query::{Question, Revision};
use pdp_engine::session::check_session;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::vault::check_vault;
use pdp_tests::history::{Draws, change_set, pool};
use pdp_tests::proof::{for_worlds, for_worlds_of_size, least_seen};
use pdp_tests::world::Genome;

const REVISION: Revision = Revision::new(7);

/// How many change sets a history has at most.
const STEPS: usize = 12;

fn image_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::write(snapshot, &mut bytes).unwrap();
    bytes
}

fn read(mut bytes: &[u8]) -> std::io::Result<Snapshot> {
    let length = bytes.len() as u64;
    let snapshot = image::read(&mut bytes, length, REVISION)?;
    assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
    Ok(snapshot)
}

fn same<T: PartialEq + Debug>(asked: &impl Debug, whole: &T, read: &T) -> Result<(), String> {
    if whole == read {
        return Ok(());
    }
    Err(format!("{asked:?}: the policy says {whole:?}, its image {read:?}"))
}

/// Asks both whatever can be decided, and says how much that was.
fn agree(genome: &Genome, facts: &Facts, whole: &Snapshot) -> Result<u64, String> {
    let existing = genome.existing(facts);
    let whole = whole.with_sessions(existing.open());
    let read = read(&image_of(&whole)).unwrap().with_sessions(existing.open());
    assert!(whole.is_whole() && !read.is_whole());
    let questions = genome.questions(facts);
    for (question, now) in &questions {
        let asked = question.ask();
        same(&asked, &check(&whole, &asked, *now), &check(&read, &asked, *now))?;
    }
    if let Some((_, now)) = questions.first() {
        let asked: Vec<Question<'_>> =
            questions.iter().map(|(question, _)| question.ask()).collect();
        let all = |snapshot: &Snapshot| {
            let mut answers = Vec::new();
            check_batch(snapshot, &asked, *now, |_, answer| answers.push(answer));
            answers
        };
        same(&"a batch", &all(&whole), &all(&read))?;
    }
    let vault = genome.vault(facts);
    for (question, now) in &vault {
        let asked = question.ask();
        same(&asked, &check_vault(&whole, &asked, *now), &check_vault(&read, &asked, *now))?;
    }
    let sessions = genome.sessions(facts);
    for (question, existing, now) in &sessions {
        let (whole, read) =
            (whole.with_sessions(existing.open()), read.with_sessions(existing.open()));
        let asked = question.ask();
        same(&asked, &check_session(&whole, &asked, *now), &check_session(&read, &asked, *now))?;
    }
    Ok((questions.len() + vault.len() + sessions.len()) as u64)
}

#[test]
fn an_image_decides_as_its_policy_does() {
    let asked = AtomicU64::new(0);
    for_worlds(2_000, 60, |genome| {
        let facts = genome.facts();
        let held = agree(genome, &facts, &compile(&facts, REVISION))?;
        asked.fetch_add(held, Ordering::Relaxed);
        Ok(())
    });
    assert!(asked.into_inner() > least_seen(100_000));
}

#[test]
fn it_does_in_large_worlds_too() {
    for_worlds_of_size(24, 7, 60, |genome| {
        let facts = genome.facts();
        agree(genome, &facts, &compile(&facts, REVISION)).map(drop)
    });
}

#[test]
fn so_does_that_of_a_policy_that_grew() {
    for_worlds(200, 20, |genome| {
        let pool = pool(genome);
        let mut facts = genome.facts();
        let mut draws = Draws::new(pool.len() as u64 * 77 + facts.assignments().len() as u64);
        let mut grown = compile(&facts, REVISION);
        for _ in 0..STEPS {
            let changes = change_set(&mut draws, &facts, &pool);
            let Ok(applied) = facts.apply(&changes) else { continue };
            grown = recompile(&grown, &facts, &applied.deltas, REVISION);
            agree(genome, &facts, &grown)?;
        }
        Ok(())
    });
}

#[test]
fn what_is_cut_short_or_altered_is_no_image_or_is_read_to_its_end() {
    for_worlds(40, 1, |genome| {
        let whole = image_of(&compile(&genome.facts(), REVISION));
        for length in (0..whole.len()).step_by(7) {
            if image::read(&mut &whole[..length], length as u64, REVISION).is_ok() {
                return Err(format!("{length} of {} bytes are an image", whole.len()));
            }
            // It may be one of another policy, but never more than there is, and never a panic.
            let mut altered = whole.clone();
            if let Some(byte) = altered.get_mut(length) {
                *byte ^= 0x81;
            }
            let length = altered.len() as u64;
            let _either = image::read(&mut altered.as_slice(), length, REVISION);
        }
        Ok(())
    });
}
