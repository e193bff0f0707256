//! From genes to the facts of delegation (semantics, section 5): a plan says who might hand out
//! what, and definitions and assignments give most of what the plan needs.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::delegate::DelegationAction;
use pdp_engine::facts::Fact;
use pdp_engine::id::{AssignmentId, LevelName, LocationId, PermissionName, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::ResourceRef;

use super::fact::{Cast, scope};
use super::{Genome, Reader};
use crate::oracle::{Delegation, Of};

/// What each type declares for the sake of the plans.
pub(super) type Declared = BTreeMap<TypeName, BTreeSet<PermissionName>>;

/// The plans; their delegator is any actor, whoever counts as it may delegate.
pub(super) fn plans(genome: &Genome, cast: &Cast, levels: &[LevelRef]) -> Vec<Delegation> {
    let plan = |gene| {
        let reader = &mut Reader::new(gene);
        reader.byte();
        reader.byte();
        reader.byte();
        let grant = !reader.chance(90);
        let action = if grant { DelegationAction::Grant } else { DelegationAction::Revoke };
        let level = reader.of(levels)?;
        let type_name = level.type_name.as_str();
        let scope = match reader.byte() % 5 {
            0 | 1 => reader.of(&cast.objects(type_name)).map(Scope::On),
            2 => reader.of(&cast.locations).map(Scope::In),
            3 => scope(cast, type_name, &mut Reader::new(&[7; super::GENE])),
            _ => scope(cast, type_name, reader),
        }?;
        let recipient = cast.actor(b"ppaggsbbmd", reader)?;
        let delegator = cast.actor(b"ppaggsbmd", reader)?;
        Some(Delegation { delegator, action, level, recipient, scope })
    };
    genome.plans.iter().filter_map(plan).collect()
}

/// The roots of the forest of locations.
fn roots(made: &[Fact]) -> Vec<LocationId> {
    let root = |fact: &Fact| match fact {
        Fact::Location(it) if it.parent.is_none() => Some(it.id.clone()),
        _ => None,
    };
    made.iter().filter_map(root).collect()
}

/// Definitions and assignments for the plans, and what types have to declare for them.
pub(super) fn delegations(
    genome: &Genome,
    cast: &Cast,
    levels: &[LevelRef],
    made: &[Fact],
) -> (Vec<Fact>, Declared) {
    let (mut facts, mut declared) = (Vec::new(), Declared::new());
    let roots = roots(made);
    for (n, (plan, gene)) in plans(genome, cast, levels).into_iter().zip(&genome.plans).enumerate()
    {
        let reader = &mut Reader::new(gene);
        let demands = [plan.resource_side(roots.clone()), plan.recipient_side()];
        for (side, demand) in demands.into_iter().enumerate() {
            let byte = reader.byte();
            for (k, of) in demand.of.iter().enumerate() {
                let names: Vec<PermissionName> =
                    demand.operations.iter().map(|it| PermissionName::new(it).unwrap()).collect();
                let (type_name, _) = place(of);
                if byte.is_multiple_of(2) {
                    declared.entry(type_name.clone()).or_default().extend(names.clone());
                }
                let operation = &names[byte / 8 % names.len()];
                declared.entry(type_name).or_default().insert(operation.clone());
                let says = match (byte + k * 3) % 16 {
                    0 | 1 => continue,
                    2 => Qualifier::Denied,
                    3 => Qualifier::Disabled,
                    _ => Qualifier::Allowed,
                };
                let id = format!("d{n}s{side}k{k}");
                let elsewhere = reader.of(&cast.locations).filter(|_| byte / 64 == 3);
                facts.extend(given(&plan, &id, of, elsewhere, operation, says));
            }
        }
    }
    (facts, declared)
}

fn place(of: &Of) -> (TypeName, Scope) {
    match of {
        Of::Resource(resource) => (resource.type_name.clone(), Scope::On(resource.clone())),
        Of::TypeAt(type_name, location) => (type_name.clone(), Scope::In(location.clone())),
    }
}

fn given(
    plan: &Delegation,
    id: &str,
    of: &Of,
    elsewhere: Option<LocationId>,
    operation: &PermissionName,
    says: Qualifier,
) -> [Fact; 2] {
    let (type_name, there) = place(of);
    let name = LevelRef { type_name, name: LevelName::new(id).unwrap() };
    let operations = [(Pattern::Name(operation.clone()), says)].into();
    let assignment = Assignment {
        id: AssignmentId::new(id).unwrap(),
        to: plan.delegator.clone(),
        level: name.clone(),
        scope: elsewhere.map_or(there, Scope::In),
        window: pdp_engine::time::Window::ALWAYS,
    };
    [AccessLevel { name, operations, rights: BTreeMap::new() }.into(), assignment.into()]
}

/// What a computer declares besides: who may approve sessions (D6).
pub(super) fn of_computers() -> (TypeName, PermissionName) {
    let name = ResourceRef::parse("Computer:x").unwrap().type_name;
    (name, PermissionName::new("ApproveUse").unwrap())
}
