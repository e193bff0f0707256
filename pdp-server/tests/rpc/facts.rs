//! One fact of each kind, with every field set.

use pdp_proto::v1::actor_ref::Actor;
use pdp_proto::v1::{self, fact::Fact, fact_key::Key};
use prost_types::Timestamp;

use crate::served::object;

/// One fact of each kind, in the order of `FactKind`.
pub(crate) fn one_of_each() -> Vec<(Key, Fact)> {
    [declarations(), people(), groups(), roles(), grants(), vault_and_sessions()].concat()
}

/// The name of an actor.
pub(crate) fn actor(actor: Actor) -> Option<v1::ActorRef> {
    Some(v1::ActorRef { actor: Some(actor) })
}

/// The longest window that can be written.
fn window() -> Option<v1::Window> {
    let valid_from = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
    let valid_until = Some(Timestamp { seconds: 253_402_300_799, nanos: 999_999_000 });
    Some(v1::Window { valid_from, valid_until })
}

fn members(listed: Vec<Actor>) -> Vec<v1::Membership> {
    let membership =
        |(n, of)| v1::Membership { of: actor(of), window: if n == 0 { window() } else { None } };
    listed.into_iter().enumerate().map(membership).collect()
}

fn positions() -> Vec<v1::Position> {
    let business_role = "teller".to_owned();
    let location = "bern".to_owned();
    vec![v1::Position { business_role, location, primary: true, window: window() }]
}

fn id() -> String {
    "x".to_owned()
}

fn locations() -> Vec<String> {
    vec!["bern".to_owned()]
}

fn level() -> v1::LevelRef {
    v1::LevelRef { r#type: "Computer".into(), name: "Read it".into() }
}

fn declarations() -> Vec<(Key, Fact)> {
    let qualified = |name: &str, qualifier: v1::Qualifier| v1::QualifiedPermission {
        name: name.to_owned(),
        qualifier: qualifier.into(),
    };
    let computer = v1::ResourceType {
        name: "Computer".into(),
        operations: vec!["Open".into(), "Shut".into()],
        rights: vec!["List".into()],
    };
    let bern = v1::Location {
        id: "bern".into(),
        parent: Some("zurich".into()),
        organization: true,
        block_inheritance: true,
    };
    let teller = v1::BusinessRole { id: "teller".into(), parent: None, locations: locations() };
    let read_it = v1::AccessLevel {
        name: Some(level()),
        operations: vec![
            qualified("*", v1::Qualifier::Allowed),
            qualified("Open", v1::Qualifier::Disabled),
            qualified("Shut", v1::Qualifier::Unassigned),
        ],
        rights: vec![qualified("List", v1::Qualifier::Denied)],
    };
    vec![
        (Key::ResourceType("Computer".into()), Fact::ResourceType(computer)),
        (Key::Location("bern".into()), Fact::Location(bern)),
        (Key::BusinessRole("teller".into()), Fact::BusinessRole(teller)),
        (Key::AccessLevel(level()), Fact::AccessLevel(read_it)),
    ]
}

fn people() -> Vec<(Key, Fact)> {
    let person = v1::Person {
        id: id(),
        name: Some("Ex".into()),
        login: Some("ex".into()),
        disabled: true,
        manager: Some("ana".into()),
        locations: locations(),
        positions: positions(),
        vault_privileges: vec![
            v1::VaultPrivilege::ConnectionUser.into(),
            v1::VaultPrivilege::RemoteApp.into(),
        ],
    };
    let account = v1::Account {
        id: id(),
        owner: Some(id()),
        disabled: true,
        locations: locations(),
        computer: Some(id()),
    };
    vec![(Key::Person(id()), Fact::Person(person)), (Key::Account(id()), Fact::Account(account))]
}

fn groups() -> Vec<(Key, Fact)> {
    let listed = vec![Actor::Person(id()), Actor::Account(id()), Actor::Group("hr".into())];
    let group = v1::Group {
        id: id(),
        members: members(listed),
        positions: positions(),
        locations: locations(),
        default: true,
    };
    let listed = members(vec![Actor::Group(id())]);
    let set_group = v1::SetGroup { id: id(), members: listed, locations: locations() };
    vec![(Key::Group(id()), Fact::Group(group)), (Key::SetGroup(id()), Fact::SetGroup(set_group))]
}

fn roles() -> Vec<(Key, Fact)> {
    let definition = v1::ManagementRoleDefinition { id: id(), locations: locations() };
    let pair = v1::BusinessRoleLocation { business_role: "teller".into(), location: "bern".into() };
    let role = v1::ManagementRole {
        id: id(),
        definition: Some(id()),
        members: members(vec![Actor::SetGroup(id()), Actor::BusinessRoleLocation(pair)]),
        includes: Vec::new(),
        locations: locations(),
    };
    vec![
        (Key::ManagementRoleDefinition(id()), Fact::ManagementRoleDefinition(definition)),
        (Key::ManagementRole(id()), Fact::ManagementRole(role)),
    ]
}

fn grants() -> Vec<(Key, Fact)> {
    let name = object("Computer", "x");
    let resource = v1::Resource {
        name: Some(name.clone()),
        locations: locations(),
        platform: Some("windows".into()),
        owner: Some(id()),
        parent: None,
    };
    let group = v1::ResourceGroup { id: id(), members: vec![name.clone()], default: true };
    let scope = v1::Scope { scope: Some(v1::scope::Scope::OnResource(name.clone())) };
    let assignment = v1::Assignment {
        id: id(),
        to: actor(Actor::ManagementRoleDefinition(id())),
        level: Some(level()),
        scope: Some(scope),
        window: window(),
    };
    vec![
        (Key::Resource(name), Fact::Resource(resource)),
        (Key::ResourceGroup(id()), Fact::ResourceGroup(group)),
        (Key::Assignment(id()), Fact::Assignment(assignment)),
    ]
}

fn vault_and_sessions() -> Vec<(Key, Fact)> {
    let share = v1::ShareKey {
        to: Some(v1::Grantee { grantee: Some(v1::grantee::Grantee::Group(id())) }),
        on: Some(v1::VaultEntity { entity: Some(v1::vault_entity::Entity::ResourceGroup(id())) }),
    };
    let modify = v1::ShareLevel::Modify.into();
    let permission_level = v1::PermissionLevel { id: id(), name: Some("Ex".into()) };
    let psm = v1::Psm {
        computer: id(),
        enabled: true,
        allow_unprivileged: true,
        account_store: Some("local_windows_server".into()),
        max_session: Some(prost_types::Duration { seconds: 14_400, nanos: 1_000 }),
        max_concurrent: 2,
        jit: Some(v1::Jit { enabled: true, delete_on_end: true, reuse_existing: true }),
        levels: vec![v1::OfferedLevel { level: id(), group: Some(id()) }],
    };
    let scope = v1::eligibility_scope::Scope::InLocation("bern".into());
    let eligibility = v1::EligibilityKey {
        to: actor(Actor::SetGroup(id())),
        level: id(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: v1::EligibilityKind::Excluded.into(),
    };
    vec![
        (Key::Share(share.clone()), Fact::Share(v1::Share { name: Some(share), level: modify })),
        (Key::PermissionLevel(id()), Fact::PermissionLevel(permission_level)),
        (Key::Psm(id()), Fact::Psm(psm)),
        (
            Key::Eligibility(eligibility.clone()),
            Fact::Eligibility(v1::Eligibility { name: Some(eligibility), window: window() }),
        ),
    ]
}
