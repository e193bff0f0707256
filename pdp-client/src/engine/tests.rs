use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, ObjectId, PermissionLevelId, PermissionName, PersonId, ResourceGroupId,
    SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
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
            computer: Some(ObjectId::new("web-07").unwrap()),
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
        Resource {
            name: ResourceRef::parse("SshKey:deploy").unwrap(),
            locations,
            platform: Some("windows".into()),
            owner: Some(PersonId::new("bo").unwrap()),
            parent: Some(ResourceRef::parse("Computer:web-07").unwrap()),
        }
        .into(),
    ];
    facts.extend(people_and_groups());
    facts.extend(assignments());
    facts.extend(shares());
    facts.extend(sessions());
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
            vault_privileges: VaultPrivilege::ALL.into(),
        }
        .into(),
        Group {
            id: GroupId::new("hr").unwrap(),
            members: members(),
            positions: positions(),
            default: true,
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

fn shares() -> Vec<Fact> {
    let computer = ResourceRef::parse("Computer:web-07").unwrap();
    let web = ResourceGroupId::new("web").unwrap();
    let mut facts = vec![
        ResourceGroup { id: web.clone(), members: vec![computer.clone()], default: true }.into(),
    ];
    let person = Grantee::Person(PersonId::new("ana").unwrap());
    let group = Grantee::Group(GroupId::new("hr").unwrap());
    for level in ShareLevel::ALL {
        for (to, on) in [
            (person.clone(), Entity::Resource(computer.clone())),
            (group.clone(), Entity::Group(web.clone())),
        ] {
            facts.push(Share { key: ShareKey { to, on }, level }.into());
        }
    }
    facts
}

fn sessions() -> Vec<Fact> {
    let level = PermissionLevelId::new("root").unwrap();
    let computer = ObjectId::new("web-07").unwrap();
    let psm = Psm {
        computer: computer.clone(),
        enabled: true,
        allow_unprivileged: true,
        account_store: Some("local_windows_server".into()),
        max_session_micros: 3_600_000_001,
        max_concurrent: 2,
        jit: Jit { enabled: true, delete_on_end: true, reuse_existing: true },
        levels: BTreeMap::from([
            (level.clone(), Some(GroupId::new("web-07/Administrators").unwrap())),
            (PermissionLevelId::new("domain").unwrap(), None),
        ]),
    };
    let named = PermissionLevel { id: level.clone(), name: Some("Root".into()) };
    let mut facts = vec![named.into(), psm.into()];
    for kind in EligibilityKind::ALL {
        for scope in [EligibilityScope::On(computer.clone()), EligibilityScope::In(place())] {
            let (to, level) = (ActorRef::parse("group:hr").unwrap(), level.clone());
            let key = EligibilityKey { to, level, scope, kind };
            facts.push(Eligibility { key, window: window() }.into());
        }
    }
    facts
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
    let decision = v1::Decision { effect: 2, reason: 4, revision: 3, obligations: None };
    let at = prost_types::Timestamp { seconds: 1, nanos: 2_000 };
    let side = v1::ExplainedSide {
        object: Some(v1::ResourceRef { r#type: "Report".into(), id: "absence".into() }),
        outcome: 4,
        omitted_entries: 0,
        entries: Vec::new(),
        granting_levels: vec![v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }],
        near_misses: Vec::new(),
    };
    let wire = v1::Explanation {
        decision: Some(decision),
        evaluated_at: Some(at),
        sides: vec![side.clone()],
        vault: None,
        session: None,
    };
    let read = explanation_from_wire(wire.clone()).unwrap();
    assert_eq!(read.evaluated_at, Timestamp::from_micros(1_000_002));
    assert_eq!(read.sides[0].granting_levels[0].to_string(), "Report/Viewer");
    let fine = prost_types::Timestamp { seconds: 1, nanos: 1 };
    let wrong = [
        v1::Explanation { decision: None, ..wire.clone() },
        v1::Explanation { evaluated_at: None, ..wire.clone() },
        v1::Explanation { evaluated_at: Some(fine), ..wire.clone() },
        v1::Explanation { vault: Some(v1::VaultFindings::default()), ..wire.clone() },
        v1::Explanation { session: Some(v1::SessionFindings::default()), ..wire.clone() },
        v1::Explanation { sides: vec![v1::ExplainedSide { outcome: 99, ..side }], ..wire },
    ];
    for wrong in wrong {
        assert!(matches!(explanation_from_wire(wrong), Err(Error::Protocol { .. })));
    }
}

fn decided(effect: i32, reason: i32) -> Option<v1::Decision> {
    Some(v1::Decision { effect, reason, revision: 3, obligations: None })
}

#[test]
fn an_explanation_of_a_vault_action_is_read_whole_or_not_at_all() {
    let share: Fact = shares().remove(2);
    let change = change_to_wire(&Change::Put(share));
    let Some(v1::change::Change::Put(v1::Fact { fact: Some(v1::fact::Fact::Share(share)) })) =
        change.change
    else {
        panic!("no share");
    };
    let entity = share.name.clone().and_then(|name| name.on).unwrap();
    let layer = v1::VaultLayer {
        entities: vec![entity],
        shares: vec![v1::AppliedShare {
            share: Some(share),
            deciding: true,
            subject_path: Vec::new(),
        }],
    };
    let nearest =
        v1::vault_ruling::Rule::NearestLayer(v1::NearestLayer { layer: 0, personal: true });
    let ruling = v1::VaultRuling { level: 4, rule: Some(nearest) };
    let findings = v1::VaultFindings { layers: vec![layer], ruling: Some(ruling.clone()) };
    let wire = v1::Explanation {
        decision: decided(1, 1),
        evaluated_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        sides: Vec::new(),
        vault: Some(findings.clone()),
        session: None,
    };
    let read = vault_explanation_from_wire(wire.clone()).unwrap();
    assert_eq!(read.layers[0].entities[0].to_string(), "resource_group:web");
    assert!(read.layers[0].shares[0].deciding);
    let far = v1::vault_ruling::Rule::NearestLayer(v1::NearestLayer { layer: 1, personal: true });
    let owner = v1::vault_ruling::Rule::Owner("bo".into());
    for wrong in [
        v1::VaultRuling { rule: Some(far), ..ruling.clone() },
        v1::VaultRuling { rule: None, ..ruling.clone() },
        v1::VaultRuling { level: 0, ..ruling },
        v1::VaultRuling { level: 2, rule: Some(owner) },
    ] {
        let findings = v1::VaultFindings { ruling: Some(wrong), ..findings.clone() };
        let wrong = v1::Explanation { vault: Some(findings), ..wire.clone() };
        assert!(vault_explanation_from_wire(wrong).is_err());
    }
    assert!(vault_explanation_from_wire(v1::Explanation { vault: None, ..wire.clone() }).is_err());
    assert!(session_explanation_from_wire(wire).is_err());
}

#[test]
fn an_explanation_of_a_session_is_read_whole_or_not_at_all() {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 1_000 });
    let privileged = v1::PrivilegedObligations {
        group: "web-07/Administrators".into(),
        account_mode: 2,
        account: None,
        on_end: vec![1, 2],
    };
    let due = v1::Obligations { not_after: at(9), privileged: Some(privileged) };
    let actor = v1::ActorRef { actor: Some(v1::actor_ref::Actor::Group("hr".into())) };
    let mut left = due.clone();
    if let Some(privileged) = &mut left.privileged {
        privileged.on_end = vec![2];
    }
    let eligibility = v1::AppliedEligibility { to: Some(actor), kind: 2, subject_path: Vec::new() };
    let wire = v1::Explanation {
        decision: Some(v1::Decision {
            obligations: Some(due),
            ..decided(1, 1).unwrap_or_default()
        }),
        evaluated_at: at(1),
        sides: Vec::new(),
        vault: None,
        session: Some(v1::SessionFindings {
            eligibilities: vec![eligibility.clone()],
            visible_levels: vec!["root".into()],
        }),
    };
    let read = session_explanation_from_wire(wire.clone()).unwrap();
    let due = read.decided.obligations.unwrap();
    assert_eq!(due.not_after, Timestamp::from_micros(9_000_001));
    assert!(due.privileged.unwrap().delete_account);
    assert_eq!(read.eligibilities[0].kind, EligibilityKind::PreApproved);
    for wrong in [
        v1::SessionFindings { eligibilities: Vec::new(), visible_levels: vec![String::new()] },
        v1::SessionFindings {
            eligibilities: vec![v1::AppliedEligibility { kind: 9, ..eligibility }],
            visible_levels: Vec::new(),
        },
    ] {
        let wrong = v1::Explanation { session: Some(wrong), ..wire.clone() };
        assert!(session_explanation_from_wire(wrong).is_err());
    }
    let left = v1::Decision { obligations: Some(left), ..decided(1, 1).unwrap_or_default() };
    let left = v1::Explanation { decision: Some(left), ..wire.clone() };
    assert!(session_explanation_from_wire(left).is_err());
    assert!(vault_explanation_from_wire(wire).is_err());
}

#[test]
fn an_explanation_of_a_delegation_is_read_whole_or_not_at_all() {
    let of = v1::delegation_object::Of::TypeAtLocation(v1::TypeAtLocation {
        r#type: "Report".into(),
        location: "zurich".into(),
    });
    let alternative = v1::DelegationAlternative {
        operation: "AddToViewerInLocation".into(),
        declared: true,
        outcome: 4,
        entries: Vec::new(),
        omitted_entries: 0,
    };
    let object = v1::DelegationObject { of: Some(of), status: 3, alternatives: vec![alternative] };
    let side = v1::DelegationSide { status: 3, objects: vec![object.clone()], omitted_objects: 7 };
    let wire = v1::DelegationExplanation {
        decision: decided(3, 9),
        evaluated_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        resource: Some(side),
        recipient: None,
    };
    let read = delegation_explanation_from_wire(wire.clone()).unwrap();
    let side = read.resource.unwrap();
    assert_eq!(side.omitted_objects, 7);
    assert_eq!(side.objects[0].of.to_string(), "every Report in zurich");
    assert_eq!(side.objects[0].alternatives[0].operation, "AddToViewerInLocation");
    for wrong in [
        v1::DelegationObject { status: 0, ..object.clone() },
        v1::DelegationObject { of: None, ..object },
    ] {
        let side = v1::DelegationSide { status: 3, objects: vec![wrong], omitted_objects: 0 };
        let wrong = v1::DelegationExplanation { resource: Some(side), ..wire.clone() };
        assert!(delegation_explanation_from_wire(wrong).is_err());
    }
}
