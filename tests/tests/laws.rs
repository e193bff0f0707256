//! Laws that hold whatever the policy: what an answer may become when the policy changes in a known way.
//! No oracle takes part. Where a rule bends a law, the law says the rule; and each is shown to be one that
//! something else breaks, so that none holds because nothing could break it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use pdp_engine::actor::ActorRef;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{AssignmentId, LevelName, TenantId};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{Eligibility, EligibilityKey, EligibilityKind};
use pdp_engine::query::{Effect, Revision};
use pdp_engine::share::{Entity, Grantee, Share, ShareKey, ShareLevel};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, Publisher};
use pdp_server::store::Store;
use pdp_tests::asked::{Asked, Told};
use pdp_tests::differential::case::{Case, worded};
use pdp_tests::history::Draws;
use pdp_tests::oracle::{Existing, Oracle, asked};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, NOON};
use redb::backends::InMemoryBackend;

/// A question with names of its own, and when it is asked.
type Put = (pdp_bundle::question::AnyQuestion, Timestamp);

/// Everything that the world asks, of every family; no sessions are open.
fn questions(genome: &Genome, facts: &Facts) -> Vec<Put> {
    let mut found = Vec::new();
    let (access, vault) = (genome.questions(facts), genome.vault(facts));
    found.extend(access.iter().map(|(it, now)| (Asked::Access(it.ask()).owned(), *now)));
    let delegations = genome.delegations(facts);
    found.extend(delegations.iter().map(|(it, now)| (Asked::Delegation(it.ask()).owned(), *now)));
    found.extend(vault.iter().map(|(it, now)| (Asked::Vault(it.ask()).owned(), *now)));
    let sessions = genome.sessions(facts);
    found.extend(sessions.iter().map(|(it, _, now)| (Asked::Session(it.ask()).owned(), *now)));
    found
}

fn answers(snapshot: &Snapshot, questions: &[Put]) -> Vec<Told> {
    questions.iter().map(|(it, now)| Asked::of(it).decide(snapshot, *now)).collect()
}

/// How far an answer goes: no, not yet, yes.
fn rank(told: &Told) -> u8 {
    match told {
        Ok(((Effect::Allow, _), _)) => 2,
        Ok(((Effect::RequiresApproval, _), _)) => 1,
        Ok(((Effect::Deny, _), _)) | Err(_) => 0,
    }
}

/// Compares what was answered before with what is answered of the changed policy, which is compiled whole
/// and grown.
fn compare(
    genome: &Genome,
    facts: &Facts,
    change: &[Change],
    holds: impl Fn(&str, &Told, &Told) -> bool,
) -> Result<u64, String> {
    let questions = questions(genome, facts);
    let snapshot = compile(facts, Revision::new(1));
    let before = answers(&snapshot, &questions);
    let mut changed = facts.clone();
    let Ok(applied) = changed.apply(change) else { return Ok(0) };
    let grown = recompile(&snapshot, &changed, &applied.deltas, Revision::new(2));
    let mut differ = 0;
    for after in [compile(&changed, Revision::new(2)), grown] {
        for (at, told) in answers(&after, &questions).into_iter().enumerate() {
            let (question, now) = &questions[at];
            if !holds(Asked::of(question).family(), &before[at], &told) {
                return Err(format!(
                    "{question} at {}: {} became {} with {change:#?}",
                    now.as_micros(),
                    worded(&before[at]),
                    worded(&told)
                ));
            }
            differ += u64::from(before[at] != told);
        }
    }
    Ok(differ)
}

/// A source of choices that differs from world to world.
fn draws(facts: &Facts) -> Draws {
    let text = pdp_bundle::export::export(facts);
    let seed = text.bytes().fold(7_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(byte));
    Draws::new(seed)
}

fn one<'a, T>(draws: &mut Draws, of: &'a [T]) -> Option<&'a T> {
    let at = draws.below(of.len());
    of.get(at)
}

/// A new assignment of a level that says one thing of everything, to somebody, on something.
fn assigned(facts: &Facts, says: Qualifier) -> Vec<Change> {
    let mut draws = draws(facts);
    let all: Vec<&Assignment> = facts.assignments().collect();
    let (Some(whom), Some(what)) = (one(&mut draws, &all), one(&mut draws, &all)) else {
        return Vec::new();
    };
    let type_name = what.level.type_name.clone();
    let level = LevelRef { type_name, name: LevelName::new("Law").unwrap() };
    let lines: BTreeMap<Pattern, Qualifier> = [(Pattern::All, says)].into();
    let definition = AccessLevel { name: level.clone(), operations: lines.clone(), rights: lines };
    let assignment = Assignment {
        id: AssignmentId::new("law").unwrap(),
        to: whom.to.clone(),
        level,
        scope: what.scope.clone(),
        window: Window::ALWAYS,
    };
    vec![Change::Put(definition.into()), Change::Put(assignment.into())]
}

/// Holds a law on so many worlds, and that it was about something on some of them.
fn hold(worlds: u32, law: impl Fn(&Genome, &Facts) -> Result<u64, String> + Sync) {
    let differ = AtomicU64::new(0);
    for_worlds(worlds, 40, |genome| {
        differ.fetch_add(law(genome, &genome.facts())?, Ordering::Relaxed);
        Ok(())
    });
    let differ = differ.into_inner();
    println!("{differ} answers became others");
    assert!(differ > 0, "nothing ever changed: the law says nothing");
}

/// How many of so many worlds break what the law says.
fn broken(worlds: u32, law: impl Fn(&Genome, &Facts) -> Result<u64, String> + Sync) -> u64 {
    let broken = AtomicU64::new(0);
    for_worlds(worlds, 40, |genome| {
        let found = law(genome, &genome.facts()).is_err();
        broken.fetch_add(u64::from(found), Ordering::Relaxed);
        Ok(())
    });
    println!("broken in {} worlds", broken.load(Ordering::Relaxed));
    broken.into_inner()
}

/// Operations, rights and delegations never go down; the others are not touched (semantics, before
/// section 1: the systems never mix).
fn never_less(family: &str, before: &Told, after: &Told) -> bool {
    match family {
        "access" | "delegation" => rank(before) <= rank(after),
        _ => before == after,
    }
}

fn never_more(family: &str, before: &Told, after: &Told) -> bool {
    match family {
        "access" | "delegation" => rank(before) >= rank(after),
        _ => before == after,
    }
}

/// Q2, D5. The allow is a new assignment: to write one again replaces it (section 9), and a definition
/// that also denies is no allow (Q1).
#[test]
fn adding_an_allow_never_removes_access() {
    let law = |says| {
        move |genome: &Genome, facts: &Facts| {
            compare(genome, facts, &assigned(facts, says), never_less)
        }
    };
    hold(400, law(Qualifier::Allowed));
    assert!(broken(200, law(Qualifier::Denied)) > 0, "a denial never breaks it");
}

/// Q1, D5: whomever it is made to and whatever it covers.
#[test]
fn adding_a_deny_anywhere_never_adds_access() {
    let law = |says| {
        move |genome: &Genome, facts: &Facts| {
            compare(genome, facts, &assigned(facts, says), never_more)
        }
    };
    hold(400, law(Qualifier::Denied));
    assert!(broken(200, law(Qualifier::Allowed)) > 0, "an allow never breaks it");
}

/// P3. No session is open: with one, whom an exclusion ends a session of also loses the denials made to
/// its native group (P10, P12).
#[test]
fn an_exclusion_never_adds_a_session_and_an_eligibility_never_removes_one() {
    let eligibility = |facts: &Facts, kind: EligibilityKind| {
        let mut draws = draws(facts);
        let all: Vec<&Eligibility> = facts.eligibilities().collect();
        let whom: Vec<&ActorRef> = facts.assignments().map(|it| &it.to).collect();
        let (Some(like), Some(to)) = (one(&mut draws, &all), one(&mut draws, &whom)) else {
            return Vec::new();
        };
        let (level, scope) = (like.key.level.clone(), like.key.scope.clone());
        let key = EligibilityKey { to: (*to).clone(), level, scope, kind };
        if facts.eligibility(&key).is_some() {
            return Vec::new();
        }
        vec![Change::Put(Eligibility { key, window: Window::ALWAYS }.into())]
    };
    let only = |family: &str, before: &Told, after: &Told, less: bool| match family {
        "session" if less => rank(before) <= rank(after),
        "session" => rank(before) >= rank(after),
        _ => before == after,
    };
    let law = |kind, less: bool| {
        move |genome: &Genome, facts: &Facts| {
            let change = eligibility(facts, kind);
            compare(genome, facts, &change, |family, before, after| {
                only(family, before, after, less)
            })
        }
    };
    hold(400, law(EligibilityKind::Excluded, false));
    hold(400, law(EligibilityKind::PreApproved, true));
    assert!(broken(300, law(EligibilityKind::PreApproved, false)) > 0);
    assert!(broken(300, law(EligibilityKind::Excluded, true)) > 0);
}

/// V3. Only `full` is such a share: any other decides its layer alone (V4), and so may take away what a
/// layer farther off, or a share that comes later in the order, would have given.
#[test]
fn a_full_share_never_removes_a_vault_action() {
    let shared = |facts: &Facts, level: ShareLevel| {
        let mut draws = draws(facts);
        let people: Vec<Grantee> =
            facts.people().map(|it| Grantee::Person(it.id.clone())).collect();
        let entities: Vec<Entity> = facts.shares().map(|it| it.key.on.clone()).collect();
        let (Some(to), Some(on)) = (one(&mut draws, &people), one(&mut draws, &entities)) else {
            return Vec::new();
        };
        // There is at most one of a grantee and an entity: another is no addition.
        let key = ShareKey { to: to.clone(), on: on.clone() };
        if facts.share(&key).is_some() {
            return Vec::new();
        }
        vec![Change::Put(Share { key, level }.into())]
    };
    let law = |level| {
        move |genome: &Genome, facts: &Facts| {
            compare(genome, facts, &shared(facts, level), |family, before, after| match family {
                "vault" => rank(before) <= rank(after),
                _ => before == after,
            })
        }
    };
    hold(600, law(ShareLevel::Full));
    assert!(broken(2_000, law(ShareLevel::View)) > 0, "a nearer share never takes away");
}

/// Q2 to Q4: taking away the grants one by one changes nothing until the last, and then it is no.
#[test]
fn removing_the_last_grant_denies() {
    let law = |leave: usize| {
        move |genome: &Genome, facts: &Facts| {
            let mut decided = 0;
            for (question, now) in genome.questions(facts) {
                let question = question.ask();
                let told = Asked::Access(question).decide(&compile(facts, Revision::ZERO), now);
                if rank(&told) < 2 || question.counterpart.is_some() {
                    continue;
                }
                let about = asked(question.subject, question.permission, question.resource);
                let oracle = Oracle::new(facts, now);
                let entries = oracle.entries(&about.unwrap());
                let grants = entries.iter().filter(|(_, says)| *says == Qualifier::Allowed);
                let mut grants: Vec<_> = grants.map(|(it, _)| it.id.clone()).collect();
                grants.truncate(grants.len().saturating_sub(leave));
                let mut left = facts.clone();
                let last = grants.len();
                for (n, id) in grants.into_iter().enumerate() {
                    let key = pdp_engine::facts::FactKey::Assignment(id);
                    left.apply(&[Change::Delete { key, cascade: false }]).unwrap();
                    let snapshot = compile(&left, Revision::ZERO);
                    let told = Asked::Access(question).decide(&snapshot, now);
                    if (rank(&told) == 2) != (n + 1 < last) {
                        return Err(format!(
                            "{question:?}: {} after {} of {last} grants are gone",
                            worded(&told),
                            n + 1
                        ));
                    }
                }
                decided += 1;
            }
            Ok(decided)
        }
    };
    hold(60, law(0));
    assert!(broken(60, law(1)) > 0, "a grant that is left never grants");
}

/// Every id with another in its place. P7 picks the byte-wise least account, so that obligations are the
/// same only where the order is: `x7` becomes `id-7`, or `z2~`, which turns the order round.
fn renamed(text: &str, turned: bool) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if c == 'x' && digits > 0 && !before.is_ascii_alphanumeric() {
            let number = &rest[..digits];
            if turned {
                let other = |digit: char| char::from(b'9' - digit.to_digit(10).unwrap() as u8);
                out.push('z');
                out.extend(number.chars().map(other));
                out.push('~');
            } else {
                out.push_str("id-");
                out.push_str(number);
            }
            rest = &rest[digits..];
            before = '9';
        } else {
            out.push(c);
            before = c;
        }
    }
    out
}

#[test]
fn renaming_every_id_changes_nothing() {
    let law = |turned: bool, whole: bool| {
        move |genome: &Genome, facts: &Facts| {
            let (mut same, snapshot) = (0, compile(facts, Revision::ZERO));
            let mut questions = questions(genome, facts);
            if turned && whole {
                questions.retain(|(question, _)| Asked::of(question).family() == "session");
            }
            for (question, now) in questions {
                let told = Asked::of(&question).decide(&snapshot, now);
                let existing = Existing::default();
                let case = Case { facts: facts.clone(), existing, question, now };
                let text = renamed(&case.text(&told, ""), turned);
                // The last and the first instant cannot be written, nor a level that is called `none`.
                let Some(other) = Case::read(&text) else { continue };
                let again = Asked::of(&other.question)
                    .decide(&compile(&other.facts, Revision::ZERO), other.now);
                let words = |told: &Told| match told {
                    Ok((answer, _)) if !whole => worded(&Ok((*answer, None))),
                    told => worded(told),
                };
                if renamed(&words(&told), turned) != words(&again) {
                    return Err(format!(
                        "{}: {} became {}\n{text}",
                        case.question,
                        words(&told),
                        words(&again)
                    ));
                }
                same += 1;
            }
            Ok(same)
        }
    };
    hold(16, |genome, facts| law(false, true)(&genome.asking(0, 10), facts));
    hold(16, |genome, facts| law(true, false)(&genome.asking(0, 10), facts));
    // With the order turned round, another account is the least one.
    let turned = |genome: &Genome, facts: &Facts| law(true, true)(&genome.asking(0, 12), facts);
    assert!(broken(300, turned) > 0, "no obligation ever names the least of several accounts");
}

/// One change set, in any order: what refers to something may come before it (section 9). Of two facts of
/// one name the last counts, so there must be one of each.
#[test]
fn the_order_of_an_import_is_irrelevant() {
    let law = |twice: bool| {
        move |genome: &Genome, facts: &Facts| {
            let mut draws = draws(facts);
            let mut changes = genome.changes();
            if twice {
                let mut levels = facts.access_levels().cloned();
                let other = levels.next().map(|level| {
                    let says =
                        level.operations.is_empty().then_some((Pattern::All, Qualifier::Denied));
                    AccessLevel { operations: says.into_iter().collect(), ..level }
                });
                changes.extend(other.map(|level| Change::Put(level.into())));
            }
            let mut straight = Facts::default();
            if straight.apply(&changes).is_err() {
                return Ok(0);
            }
            for at in (1..changes.len()).rev() {
                changes.swap(at, draws.below(at + 1));
            }
            let mut shuffled = Facts::default();
            shuffled.apply(&changes).map_err(|error| error.to_string())?;
            if straight != shuffled {
                return Err("the facts are not the same".to_owned());
            }
            let questions = questions(genome, facts);
            let [one, other] = [&straight, &shuffled]
                .map(|facts| answers(&compile(facts, Revision::ZERO), &questions));
            if one == other { Ok(1) } else { Err("the answers are not the same".to_owned()) }
        }
    };
    hold(400, law(false));
    assert!(broken(100, law(true)) > 0, "the order never matters, whatever stands twice");
}

/// Section 9: tenants share nothing.
#[test]
fn a_tenant_never_changes_the_answers_of_another() {
    let law = |same: bool| {
        move |genome: &Genome, facts: &Facts| {
            let store = Store::with_backend(InMemoryBackend::new()).unwrap();
            let publisher = Publisher::open(store, Clock::fixed(NOON)).unwrap();
            let [one, other] = ["one", "other"].map(|id| TenantId::new(id).unwrap());
            publisher.create_tenant(&one).unwrap();
            publisher.create_tenant(&other).unwrap();
            let apply = |tenant: &TenantId, changes: &[Change]| {
                let apply = Apply {
                    changes,
                    expected: None,
                    dry_run: false,
                    request_id: None,
                    on_behalf_of: None,
                };
                publisher.apply(tenant, apply).is_ok()
            };
            let questions = questions(genome, facts);
            let shown = |tenant: &TenantId| {
                let snapshot = publisher.snapshot(tenant.as_str()).unwrap();
                (snapshot.revision(), answers(&snapshot, &questions))
            };
            assert!(apply(&one, &genome.changes()));
            let before = shown(&one);
            let written = if same { &one } else { &other };
            let mut differ = 0;
            // The same names, linked otherwise; then some of them gone.
            for by in 1..4 {
                apply(written, &genome.rearranged(by).changes());
                let gone: Vec<Change> = facts
                    .assignments()
                    .map(|it| Fact::from(it.clone()).key())
                    .map(|key| Change::Delete { key, cascade: true })
                    .collect();
                apply(written, &gone);
                let after = shown(&one);
                if after != before {
                    return Err("another tenant's change is felt".to_owned());
                }
                differ += u64::from(shown(&other).1 != before.1);
            }
            Ok(differ)
        }
    };
    hold(60, law(false));
    assert!(broken(20, law(true)) > 0, "a change of the tenant itself is never felt");
}
