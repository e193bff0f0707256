//! Targets of change: what a change set costs to compile, what readers feel of publishing, and how much
//! memory the snapshot takes.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use pdp_engine::actor::{ActorRef, Membership};
use pdp_engine::check::check;
use pdp_engine::compile::{CompileLimits, compile, recompile_within};
use pdp_engine::facts::{Change, Fact, FactKey, FactKind, Facts};
use pdp_engine::id::{AssignmentId, LocationId, PersonId, TenantId};
use pdp_engine::level::{Assignment, Scope};
use pdp_engine::query::Revision;
use pdp_engine::snapshot::{Memory, Snapshot};
use pdp_engine::time::Window;
use pdp_server::publish::{DEFAULT_TENANT, Publisher};

use super::{Bound, Settings, Target, TargetsError, ratios};
use crate::embedded::{Filled, apply};
use crate::organisation::NOW;
use crate::questions::Ask;
use crate::random::{Dice, Purpose};

/// How many changes are compiled in a round, and how many are made durable.
const CHANGES: u64 = 400;
const COMMITS: u64 = 40;

/// How many assignments are made at a root location in a round.
const AT_THE_ROOT: u64 = 10;

/// How many snapshots are published a second while readers are measured.
const PUBLISHED_A_SECOND: u32 = 10;

/// The allowance of memory, in bytes: for each assignment, person and name (target 11).
const PER_ASSIGNMENT: usize = 48;
const PER_PERSON: usize = 128;
const PER_NAME: usize = 70;

/// The hot part of the snapshot against its allowance, and the rest beside it.
pub(super) fn memory(facts: &Facts, snapshot: &Snapshot) -> Vec<Target> {
    let Memory { names, hot, cold } = snapshot.memory();
    let named = FactKind::ALL.iter().filter(|kind| is_named(**kind));
    let named: usize = named.map(|kind| facts.of_kind(*kind).count()).sum();
    let allowance = facts.assignments().len() * PER_ASSIGNMENT
        + facts.people().len() * PER_PERSON
        + named * PER_NAME;
    let share = (names + hot) as f64 / allowance as f64;
    let mib = |bytes: usize| [bytes as f64 / f64::from(1 << 20)];
    vec![
        Target::held(
            11,
            "memory of the snapshot's hot part / allowance",
            &[share],
            Bound::AtMost(1.0),
            "times",
        ),
        Target::reported(11, "hot part, with its names", &mib(names + hot), "MiB"),
        Target::reported(11, "cold part, for explanations and lists", &mib(cold), "MiB"),
        Target::reported(11, "the process, facts and questions included", &[resident_mib()], "MiB"),
    ]
}

/// Whether questions name facts of this kind.
const fn is_named(kind: FactKind) -> bool {
    match kind {
        FactKind::Location
        | FactKind::BusinessRole
        | FactKind::Person
        | FactKind::Account
        | FactKind::Group
        | FactKind::SetGroup
        | FactKind::ManagementRoleDefinition
        | FactKind::ManagementRole
        | FactKind::Resource => true,
        FactKind::ResourceType
        | FactKind::AccessLevel
        | FactKind::ResourceGroup
        | FactKind::Assignment
        | FactKind::Share
        | FactKind::PermissionLevel
        | FactKind::Psm
        | FactKind::Eligibility => false,
    }
}

/// What of this process is in memory; nothing where the system does not tell.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// What one change costs to compile, beside what it costs to make one durable.
pub(super) fn one_change(
    settings: &Settings,
    facts: &mut Facts,
    snapshot: Snapshot,
) -> Result<Vec<Target>, TargetsError> {
    let yardstick = Filled::with(&[])?;
    let publisher = yardstick.publisher()?;
    let mut writer = Writer::new(settings.seed, facts, snapshot);
    let (mut middle, mut high, mut commits, mut root, mut whole) =
        (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..settings.rounds {
        let mut took = Vec::new();
        for _ in 0..CHANGES {
            let change = writer.any(facts);
            took.push(writer.compile_ns(facts, change)?);
        }
        took.sort_by(f64::total_cmp);
        middle.push(at_share(&took, 0.5));
        high.push(at_share(&took, 0.99) / 1e3);
        commits.push(commit_ns(&publisher, round)?);
        let mut worst: f64 = 0.0;
        for _ in 0..AT_THE_ROOT {
            let Some(change) = writer.at_the_root(facts) else { break };
            worst = worst.max(writer.compile_ns(facts, change)?);
        }
        root.push(worst);
        let begun = Instant::now();
        black_box(compile(facts, Revision::new(1)));
        whole.push(begun.elapsed().as_nanos() as f64);
    }
    let in_us = |ns: &[f64]| ns.iter().map(|ns| ns / 1e3).collect::<Vec<_>>();
    let of_commit = ratios(&middle, &commits);
    let of_whole = ratios(&root, &whole);
    let most = Bound::AtMost;
    Ok(vec![
        Target::reported(9, "one change, compile part, p50", &in_us(&middle), "us"),
        Target::reported(9, "one durable change to an empty policy, p50", &in_us(&commits), "us"),
        Target::held(9, "one change, compile part / that, p50", &of_commit, most(0.05), "times"),
        Target::held(9, "one change, compile part, p99", &high, most(1_000.0), "us"),
        Target::held(
            9,
            "the slowest at a root location / full compile",
            &of_whole,
            most(0.1),
            "times",
        ),
    ])
}

/// The value that a share of the values, which are sorted, does not exceed.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of the median durable change to a policy that holds next to nothing.
fn commit_ns(publisher: &Publisher, round: usize) -> Result<f64, TargetsError> {
    let tenant = TenantId::new(DEFAULT_TENANT).map_err(crate::embedded::EmbeddedError::from)?;
    let mut took = Vec::new();
    for number in 0..COMMITS {
        let location = LocationId::new(format!("l{round}-{number}"));
        let location = location.map_err(crate::embedded::EmbeddedError::from)?;
        let fact = pdp_engine::resource::Location {
            id: location,
            parent: None,
            organization: false,
            block_inheritance: false,
        };
        let begun = Instant::now();
        apply(publisher, &tenant, &[Change::Put(fact.into())])?;
        took.push(begun.elapsed().as_nanos() as f64);
    }
    took.sort_by(f64::total_cmp);
    Ok(at_share(&took, 0.5))
}

/// Makes changes of every usual kind to a policy, and compiles them one by one.
struct Writer {
    dice: Dice,
    snapshot: Snapshot,
    number: u64,
    assignments: Vec<AssignmentId>,
    people: Vec<PersonId>,
    groups: Vec<pdp_engine::id::GroupId>,
    resources: Vec<pdp_engine::resource::ResourceRef>,
}

// === impl Writer ===

impl Writer {
    fn new(seed: u64, facts: &Facts, snapshot: Snapshot) -> Self {
        Self {
            dice: Dice::at(seed, Purpose::Change, 0),
            snapshot,
            number: 0,
            assignments: facts.assignments().map(|it| it.id.clone()).collect(),
            people: facts.people().map(|it| it.id.clone()).collect(),
            groups: facts.groups().map(|it| it.id.clone()).collect(),
            resources: facts.resources().map(|it| it.name.clone()).collect(),
        }
    }

    fn pick<T: Clone>(&mut self, of: impl Fn(&Self) -> &[T]) -> Option<T> {
        let count = of(self).len() as u64;
        let at = usize::try_from(self.dice.below(count.max(1))).unwrap_or_default();
        of(self).get(at).cloned()
    }

    /// Half of the changes are to assignments, the others to who is in a group, who is enabled and
    /// where things are.
    fn any(&mut self, facts: &Facts) -> Vec<Change> {
        self.number += 1;
        let change = match self.dice.below(8) {
            0..=1 => self.grant(facts, None),
            2..=3 => self
                .pick(|it| &it.assignments)
                .filter(|id| facts.assignment(id).is_some())
                .map(|id| Change::Delete { key: FactKey::Assignment(id), cascade: false }),
            4..=5 => self.membership(facts),
            6 => self.pick(|it| &it.people).and_then(|id| facts.person(&id)).map(|person| {
                let mut person = person.clone();
                person.enabled = !person.enabled;
                Change::Put(person.into())
            }),
            _ => self.pick(|it| &it.resources).and_then(|name| facts.resource(&name)).map(
                |resource| {
                    let mut resource = resource.clone();
                    resource.locations.pop();
                    Change::Put(resource.into())
                },
            ),
        };
        change.into_iter().collect()
    }

    /// An assignment like another one, perhaps somewhere else.
    fn grant(&mut self, facts: &Facts, scope: Option<Scope>) -> Option<Change> {
        self.number += 1;
        let like = self.pick(|it| &it.assignments).and_then(|id| facts.assignment(&id))?;
        let id = AssignmentId::new(format!("changed-{}", self.number)).ok()?;
        let scope = scope.unwrap_or_else(|| like.scope.clone());
        Some(Change::Put(Fact::from(Assignment { id, scope, ..like.clone() })))
    }

    fn at_the_root(&mut self, facts: &Facts) -> Option<Vec<Change>> {
        let root = facts.locations().find(|location| location.parent.is_none())?.id.clone();
        Some(vec![self.grant(facts, Some(Scope::In(root)))?])
    }

    fn membership(&mut self, facts: &Facts) -> Option<Change> {
        let mut group = self.pick(|it| &it.groups).and_then(|id| facts.group(&id))?.clone();
        let person = self.pick(|it| &it.people).filter(|id| facts.person(id).is_some())?;
        let member = Membership { of: ActorRef::Person(person), window: Window::ALWAYS };
        match group.members.iter().position(|other| *other == member) {
            Some(at) => drop(group.members.remove(at)),
            None => group.members.push(member),
        }
        Some(Change::Put(group.into()))
    }

    /// Nanoseconds that compiling a change set takes.
    fn compile_ns(&mut self, facts: &mut Facts, changes: Vec<Change>) -> Result<f64, TargetsError> {
        let applied = facts
            .apply(&changes)
            .map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
        let revision = self.snapshot.revision().next();
        let begun = Instant::now();
        let limits = CompileLimits::DEFAULT;
        let compiled = recompile_within(&self.snapshot, facts, &applied.deltas, revision, limits);
        let took = begun.elapsed().as_nanos() as f64;
        self.snapshot = compiled.map_err(|error| TargetsError::Rejected(error.to_string()))?;
        Ok(took)
    }
}

/// What readers feel of ten snapshots a second: the slowest of a thousand checks, while publishing and
/// without, by turns.
pub(super) fn readers(
    settings: &Settings,
    facts: &Facts,
    asks: &[Ask],
) -> Result<Vec<Target>, TargetsError> {
    let changes: Vec<Change> = facts.iter().map(Change::Put).collect();
    let filled = Filled::with(&changes)?;
    drop(changes);
    let publisher = filled.publisher()?;
    let mut writer = Writer::new(settings.seed, facts, compile(&Facts::default(), Revision::ZERO));
    let (mut quiet, mut publishing) = (vec![], vec![]);
    for _ in 0..settings.rounds {
        quiet.push(slow_ns(&publisher, asks, settings.duration));
        publishing.push(slow_ns_while_publishing(settings, &publisher, facts, asks, &mut writer)?);
    }
    let ratio = ratios(&publishing, &quiet);
    Ok(vec![
        Target::reported(10, "check in process, p99.9, quiet", &quiet, "ns"),
        Target::reported(10, "the same beside ten snapshots a second", &publishing, "ns"),
        Target::held(
            10,
            "p99.9 of readers while publishing / quiet",
            &ratio,
            Bound::AtMost(1.2),
            "times",
        ),
    ])
}

fn slow_ns_while_publishing(
    settings: &Settings,
    publisher: &Publisher,
    facts: &Facts,
    asks: &[Ask],
    writer: &mut Writer,
) -> Result<f64, TargetsError> {
    let tenant = TenantId::new(DEFAULT_TENANT).map_err(crate::embedded::EmbeddedError::from)?;
    let (end, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let publishing = scope.spawn(move || {
            let mut due = Instant::now();
            loop {
                // Grants only: each is new, so that none depends on the ones before.
                let changes: Vec<Change> = writer.grant(facts, None).into_iter().collect();
                apply(publisher, &tenant, &changes)?;
                due += Duration::from_secs(1) / PUBLISHED_A_SECOND;
                let rest = due.saturating_duration_since(Instant::now());
                if ended.recv_timeout(rest) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return Ok::<(), TargetsError>(());
                }
            }
        });
        let slow = slow_ns(publisher, asks, settings.duration);
        drop(end);
        match publishing.join() {
            Ok(outcome) => outcome.map(|()| slow),
            Err(_) => Err(TargetsError::Rejected("publishing ended in a panic".to_owned())),
        }
    })
}

/// The nanoseconds that one check in a thousand exceeds.
fn slow_ns(publisher: &Publisher, asks: &[Ask], during: Duration) -> f64 {
    let Ok(mut took) = Histogram::<u64>::new(3) else { return f64::NAN };
    let begun = Instant::now();
    for ask in asks.iter().cycle() {
        let asked = Instant::now();
        if asked.duration_since(begun) >= during {
            break;
        }
        if let Some(snapshot) = publisher.snapshot(DEFAULT_TENANT) {
            black_box(&check(&snapshot, &ask.as_question(), NOW).is_ok());
        }
        took.saturating_record(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    took.value_at_quantile(0.999) as f64
}
