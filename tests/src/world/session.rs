//! From genes to the facts of privileged sessions (semantics, section 7).

use std::collections::BTreeMap;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Fact;
use pdp_engine::id::{AssignmentId, LevelName, PermissionLevelId, PermissionName, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_engine::resource::ResourceRef;
use pdp_engine::time::Window;

use super::fact::Cast;
use super::{Genome, Reader, at};

/// Every permission level there is.
pub(super) const LEVELS: [&str; 3] = ["admin", "reader", "x0"];

/// What eligibilities say, by how often.
const KINDS: [EligibilityKind; 12] = [
    EligibilityKind::Eligible,
    EligibilityKind::Eligible,
    EligibilityKind::Eligible,
    EligibilityKind::PreApproved,
    EligibilityKind::PreApproved,
    EligibilityKind::PreApproved,
    EligibilityKind::Suggested,
    EligibilityKind::Suggested,
    EligibilityKind::Excluded,
    EligibilityKind::Approved,
    EligibilityKind::Approved,
    EligibilityKind::Approved,
];

/// How long sessions last at most, in microseconds; the longest is nearly to the end of the years that
/// can be written.
const LONGEST: [i64; 6] = [1, 5, 11, 1_000, DEFAULT_MAX_SESSION_MICROS, 250_000_000_000_000_000];

pub(super) fn sessions(genome: &Genome, cast: &Cast) -> Vec<Fact> {
    let levels = LEVELS.map(|id| PermissionLevelId::new(id).unwrap());
    let mut facts: Vec<Fact> = Vec::new();
    facts.extend(levels.iter().map(|id| PermissionLevel { id: id.clone(), name: None }.into()));
    for (computer, gene) in cast.computers.iter().zip(&genome.psm) {
        let reader = &mut Reader::new(gene);
        let enabled = !reader.chance(30);
        let store = reader.of(&["local_windows_server", "local_windows_server", "directory", ""]);
        let mut offered = BTreeMap::new();
        for level in &levels {
            let (byte, group) = (reader.byte() % 8, reader.of(&cast.groups));
            if byte > 0 {
                offered.insert(level.clone(), group.filter(|_| byte > 1));
            }
        }
        facts.push(
            Psm {
                computer: computer.clone(),
                enabled,
                allow_unprivileged: reader.chance(140),
                account_store: store.filter(|it| !it.is_empty()).map(str::to_owned),
                max_session_micros: reader.of(&LONGEST).unwrap(),
                max_concurrent: reader.of(&[0, 0, 0, 1, 2]).unwrap(),
                jit: Jit {
                    enabled: reader.chance(150),
                    delete_on_end: reader.chance(90),
                    reuse_existing: reader.chance(170),
                },
                levels: offered,
            }
            .into(),
        );
    }
    facts.extend(eligibilities(genome, cast, &levels).into_values().map(Fact::from));
    facts.extend(approvals(genome, cast));
    facts
}

fn eligibilities(
    genome: &Genome,
    cast: &Cast,
    levels: &[PermissionLevelId],
) -> BTreeMap<EligibilityKey, Eligibility> {
    let mut found = BTreeMap::new();
    for gene in &genome.eligibilities {
        let reader = &mut Reader::new(gene);
        let (Some(level), Some(mut kind)) = (reader.of(levels), reader.of(&KINDS)) else {
            continue;
        };
        let scope = match reader.byte() % 3 {
            0 => reader.of(&cast.locations).map(EligibilityScope::In),
            _ => reader.of(&cast.computers).map(EligibilityScope::On),
        };
        let mut window = reader.window();
        let Some(to) = cast.actor(b"ppppaggsbbmd", reader) else { continue };
        let Some(scope) = scope else { continue };
        if kind == EligibilityKind::Approved {
            if matches!((&to, &scope), (ActorRef::Person(_), EligibilityScope::On(_))) {
                // An approval carries its end.
                let end = window.until.unwrap_or_else(|| at(20));
                window = Window { from: window.from.filter(|from| *from < end), until: Some(end) };
            } else {
                kind = EligibilityKind::Suggested;
            }
        }
        let key = EligibilityKey { to, level, scope, kind };
        found.insert(key.clone(), Eligibility { key, window });
    }
    found
}

/// Who may approve sessions: an operation on the computer like any other.
fn approvals(genome: &Genome, cast: &Cast) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (n, gene) in genome.psm.iter().enumerate() {
        let reader = &mut Reader::new(gene);
        let says = if reader.byte() % 5 == 4 { Qualifier::Denied } else { Qualifier::Allowed };
        let name = LevelRef {
            type_name: TypeName::computer(),
            name: LevelName::new(format!("Approver {n}")).unwrap(),
        };
        let approve = Pattern::Name(PermissionName::new("ApproveUse").unwrap());
        let operations = [(approve, says)].into();
        facts.push(AccessLevel { name: name.clone(), operations, rights: BTreeMap::new() }.into());
        let Some(to) = cast.actor(b"gsmgpgbd", reader) else { continue };
        let Some(computer) = reader.of(&cast.computers) else { continue };
        let scope = Scope::On(ResourceRef::computer(&computer));
        let id = AssignmentId::new(format!("approver{n}")).unwrap();
        facts.push(Assignment { id, to, level: name, scope, window: Window::ALWAYS }.into());
    }
    facts
}
