//! The bytes of the facts of vault sharing and privileged sessions, and of the fields that they
//! brought to other facts.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{Account, Group, Person};
use pdp_engine::facts::Fact;
use pdp_engine::id::{
    AccountId, GroupId, LocationId, ObjectId, PermissionLevelId, PersonId, ResourceGroupId,
};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};
use pdp_engine::resource::Resource;
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};

use super::{encode, hex, resource, window};

fn level() -> PermissionLevelId {
    PermissionLevelId::new("v").unwrap()
}

fn computer() -> ObjectId {
    ObjectId::new("c").unwrap()
}

fn share(to: Grantee, on: Entity, level: ShareLevel) -> Fact {
    Share { key: ShareKey { to, on }, level }.into()
}

fn new_fields() -> [Fact; 4] {
    let person = PersonId::new("p").unwrap();
    [
        Person {
            id: person.clone(),
            name: None,
            login: None,
            enabled: true,
            manager: None,
            locations: Vec::new(),
            positions: Vec::new(),
            vault_privileges: BTreeSet::from(VaultPrivilege::ALL),
        }
        .into(),
        Account {
            id: AccountId::new("a").unwrap(),
            owner: None,
            enabled: true,
            computer: Some(computer()),
            locations: Vec::new(),
        }
        .into(),
        Group {
            id: GroupId::new("g").unwrap(),
            members: Vec::new(),
            positions: Vec::new(),
            default: true,
            locations: Vec::new(),
        }
        .into(),
        Resource {
            name: resource(),
            locations: Vec::new(),
            platform: Some("windows".to_owned()),
            owner: Some(person),
            parent: Some(resource()),
        }
        .into(),
    ]
}

/// One fact of each new kind, with something in every field, and every number of every enum.
pub(super) fn facts() -> Vec<Fact> {
    let group = GroupId::new("g").unwrap();
    let resource_group = ResourceGroupId::new("r").unwrap();
    let mut facts = new_fields().to_vec();
    let id = resource_group.clone();
    facts.push(ResourceGroup { id, members: vec![resource()], default: true }.into());
    for level in ShareLevel::ALL {
        let person = Grantee::Person(PersonId::new("p").unwrap());
        facts.push(share(person, Entity::Resource(resource()), level));
    }
    facts.push(share(
        Grantee::Group(group.clone()),
        Entity::Group(resource_group),
        ShareLevel::Modify,
    ));
    facts.push(PermissionLevel { id: level(), name: Some("n".to_owned()) }.into());
    facts.push(
        Psm {
            computer: computer(),
            enabled: true,
            allow_unprivileged: true,
            account_store: Some("s".to_owned()),
            max_session_micros: 5,
            max_concurrent: 6,
            jit: Jit { enabled: true, delete_on_end: true, reuse_existing: true },
            levels: BTreeMap::from([
                (level(), Some(group.clone())),
                (PermissionLevelId::new("w").unwrap(), None),
            ]),
        }
        .into(),
    );
    let location = EligibilityScope::In(LocationId::new("l").unwrap());
    let scopes = EligibilityKind::ALL.map(|kind| (EligibilityScope::On(computer()), kind));
    for (scope, kind) in scopes.into_iter().chain([(location, EligibilityKind::Excluded)]) {
        let to = Grantee::Group(group.clone()).actor();
        let key = EligibilityKey { to, level: level(), scope, kind };
        facts.push(Eligibility { key, window: window() }.into());
    }
    facts
}

const FACTS: &[&str] = &[
    "2a090a0170200142020102",
    "32080a016118012a0163",
    "3a050a01672801",
    "5a1c0a060a015412016f1a0777696e646f77732201702a060a015412016f",
    "6a0d0a017212060a015412016f1801",
    "720d0a01701a060a015412016f2804",
    "720d0a01701a060a015412016f2802",
    "720d0a01701a060a015412016f2803",
    "720d0a01701a060a015412016f2801",
    "72081201672201722803",
    "7a060a017612016e",
    "8201230a016310011801220173280530063a0608011001180142060a017612016742030a0177",
    "8a011c0a031a01671201761a01632801320d08ffffffffffffffffff011002",
    "8a011c0a031a01671201761a01632802320d08ffffffffffffffffff011002",
    "8a011c0a031a01671201761a01632803320d08ffffffffffffffffff011002",
    "8a011c0a031a01671201761a01632804320d08ffffffffffffffffff011002",
    "8a011c0a031a01671201761a01632805320d08ffffffffffffffffff011002",
    "8a011c0a031a016712017622016c2804320d08ffffffffffffffffff011002",
];

#[test]
fn every_new_kind_of_fact_and_field_has_its_bytes() {
    let written: Vec<String> = facts().iter().map(|fact| hex(&encode(fact))).collect();
    assert_eq!(written, FACTS, "{written:#?}");
}
