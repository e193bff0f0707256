use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, PermissionName, PersonId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

use super::*;

fn window() -> Window {
    let at = Timestamp::from_micros;
    Window { from: Some(at(-1)), until: Some(at(1_700_000_000_000_001)) }
}

fn place() -> LocationId {
    LocationId::new("zurich").unwrap()
}

fn members() -> Vec<Membership> {
    let of = |text| ActorRef::parse(text).unwrap();
    [
        "person:ana",
        "account:corp/ana",
        "group:hr",
        "set_group:all",
        "business_role:teller@zurich",
        "management_role:desk",
        "management_role_definition:helpdesk",
    ]
    .map(|text| Membership { of: of(text), window: window() })
    .to_vec()
}

fn positions() -> Vec<Position> {
    let business_role = BusinessRoleId::new("teller").unwrap();
    vec![Position { business_role, location: place(), primary: true, window: window() }]
}

fn assignments() -> Vec<Fact> {
    let relatives = Relative::ALL.map(Scope::Relative);
    let on = Scope::On(ResourceRef::parse("Report:absence").unwrap());
    let scopes = relatives.into_iter().chain([on, Scope::In(place())]);
    let assignment = |scope: Scope| Assignment {
        id: AssignmentId::new(scope.to_string()).unwrap(),
        to: ActorRef::parse("person:ana").unwrap(),
        level: LevelRef::parse("Report/Viewer").unwrap(),
        scope,
        window: window(),
    };
    scopes.map(|scope| assignment(scope).into()).collect()
}

/// One fact of every kind with every field set, and an assignment for every scope.
fn every_kind() -> Vec<Fact> {
    let locations = vec![place()];
    let name = |text| PermissionName::new(text).unwrap();
    let qualifiers = BTreeMap::from([
        (Pattern::All, Qualifier::Disabled),
        (Pattern::Name(name("Delete")), Qualifier::Denied),
        (Pattern::Name(name("Edit")), Qualifier::Unassigned),
        (Pattern::Name(name("View")), Qualifier::Allowed),
    ]);
    let mut facts: Vec<Fact> = vec![
        ResourceType {
            name: TypeName::new("Report").unwrap(),
            operations: BTreeSet::from([name("View")]),
            rights: BTreeSet::from([name("ReadData")]),
        }
        .into(),
        Location {
            id: place(),
            parent: Some(place()),
            organization: true,
            block_inheritance: true,
        }
        .into(),
        BusinessRole {
            id: BusinessRoleId::new("teller").unwrap(),
            parent: Some(BusinessRoleId::new("employee").unwrap()),
            locations: locations.clone(),
        }
        .into(),
        AccessLevel {
            name: LevelRef::parse("Report/Viewer").unwrap(),
            operations: qualifiers,
            rights: BTreeMap::from([(Pattern::All, Qualifier::Denied)]),
        }
        .into(),
        Account {
            id: AccountId::new("corp/ana").unwrap(),
            owner: Some(PersonId::new("ana").unwrap()),
            enabled: false,
            locations: locations.clone(),
        }
        .into(),
        SetGroup {
            id: SetGroupId::new("all").unwrap(),
            members: members(),
            locations: locations.clone(),
        }
        .into(),
        ManagementRoleDefinition {
            id: ManagementRoleDefinitionId::new("helpdesk").unwrap(),
            locations: locations.clone(),
        }
        .into(),
        Resource { name: ResourceRef::parse("Report:absence").unwrap(), locations }.into(),
    ];
    facts.extend(people_and_groups());
    facts.extend(assignments());
    facts
}

fn people_and_groups() -> [Fact; 3] {
    let locations = vec![place()];
    [
        Person {
            id: PersonId::new("ana").unwrap(),
            name: Some("Ana".into()),
            login: Some(String::new()),
            enabled: false,
            manager: Some(PersonId::new("bo").unwrap()),
            locations: locations.clone(),
            positions: positions(),
        }
        .into(),
        Group {
            id: GroupId::new("hr").unwrap(),
            members: members(),
            positions: positions(),
            locations: locations.clone(),
        }
        .into(),
        ManagementRole {
            id: ManagementRoleId::new("desk").unwrap(),
            definition: Some(ManagementRoleDefinitionId::new("helpdesk").unwrap()),
            members: members(),
            includes: vec![ManagementRoleId::new("badges").unwrap()],
            locations,
        }
        .into(),
    ]
}

#[test]
fn facts_and_keys_come_back_as_they_left() {
    let facts = every_kind();
    for kind in FactKind::ALL {
        assert!(facts.iter().any(|fact| fact.key().kind() == *kind), "{kind:?}");
    }
    for fact in facts {
        let key = fact.key();
        assert_eq!(key_from_wire(key_to_wire(&key)).unwrap(), key);
        let change = change_to_wire(&Change::Put(fact.clone()));
        let Some(v1::change::Change::Put(wire)) = change.change else { panic!("not a put") };
        assert_eq!(fact_from_wire(wire).unwrap(), fact);
        let change = change_to_wire(&Change::Delete { key: key.clone(), cascade: true });
        let Some(v1::change::Change::Delete(delete)) = change.change else {
            panic!("not a delete");
        };
        assert!(delete.cascade);
        assert_eq!(key_from_wire(delete.key.unwrap()).unwrap(), key);
    }
}

#[test]
fn what_a_newer_server_may_say_is_an_error() {
    let unusable = |fact| fact_from_wire(v1::Fact { fact }).unwrap_err().to_string();
    assert_eq!(unusable(None), "the server's answer cannot be used: a fact's kind is missing");
    let assignment = v1::Assignment {
        id: "a".into(),
        to: Some(v1::ActorRef { actor: Some(v1::actor_ref::Actor::Person("ana".into())) }),
        level: Some(v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::Relative(99)) }),
        window: None,
    };
    assert_eq!(
        unusable(Some(v1::fact::Fact::Assignment(assignment))),
        "the server's answer cannot be used: the relative scope 99 is not a known one"
    );
}

#[test]
fn an_explanation_is_read_whole_or_not_at_all() {
    let decision = v1::Decision { effect: 2, reason: 4, revision: 3 };
    let at = prost_types::Timestamp { seconds: 1, nanos: 2_000 };
    let side = v1::ExplainedSide {
        object: Some(v1::ResourceRef { r#type: "Report".into(), id: "absence".into() }),
        outcome: 4,
        entries: Vec::new(),
        granting_levels: vec![v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }],
        near_misses: Vec::new(),
    };
    let wire = v1::Explanation {
        decision: Some(decision),
        evaluated_at: Some(at),
        sides: vec![side.clone()],
    };
    let read = explanation_from_wire(wire.clone()).unwrap();
    assert_eq!(read.evaluated_at, Timestamp::from_micros(1_000_002));
    assert_eq!(read.sides[0].granting_levels[0].to_string(), "Report/Viewer");
    let fine = prost_types::Timestamp { seconds: 1, nanos: 1 };
    let wrong = [
        v1::Explanation { decision: None, ..wire.clone() },
        v1::Explanation { evaluated_at: None, ..wire.clone() },
        v1::Explanation { evaluated_at: Some(fine), ..wire.clone() },
        v1::Explanation { sides: vec![v1::ExplainedSide { outcome: 99, ..side }], ..wire },
    ];
    for wrong in wrong {
        assert!(matches!(explanation_from_wire(wrong), Err(Error::Protocol { .. })));
    }
}
