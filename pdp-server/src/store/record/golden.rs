//! The bytes of each kind of record, so that a tag cannot be renumbered or retyped unnoticed: files
//! are full of them. A new field with a value changes a line here only where the sample has it.

mod family;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::FactKind;
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionName, PersonId, SetGroupId,
    TenantId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::query::Revision;
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

use super::*;
use crate::audit::{CallerName, Digest, Entry, Event, PolicyChanged};
use crate::receipt::{ChangeKind, Counts, RequestId};

fn window() -> Window {
    Window { from: Some(Timestamp::from_micros(-1)), until: Some(Timestamp::from_micros(2)) }
}

fn places() -> Vec<LocationId> {
    vec![LocationId::new("l").unwrap(), LocationId::new("m").unwrap()]
}

fn positions() -> Vec<Position> {
    let location = places().remove(0);
    let business_role = BusinessRoleId::new("r").unwrap();
    vec![Position { business_role, location, primary: true, window: window() }]
}

fn members() -> Vec<Membership> {
    let names = [
        "person:p",
        "account:a",
        "group:g",
        "set_group:s",
        "business_role:r@l",
        "management_role:m",
        "management_role_definition:d",
    ];
    let member = |name| Membership { of: ActorRef::parse(name).unwrap(), window: Window::ALWAYS };
    let mut members = names.map(member).to_vec();
    members[0].window = window();
    members
}

fn permissions(names: &[&str]) -> BTreeSet<PermissionName> {
    names.iter().map(|name| PermissionName::new(name).unwrap()).collect()
}

fn level() -> LevelRef {
    LevelRef { type_name: TypeName::new("T").unwrap(), name: LevelName::new("v").unwrap() }
}

fn resource() -> ResourceRef {
    ResourceRef { type_name: TypeName::new("T").unwrap(), id: ObjectId::new("o").unwrap() }
}

fn qualifiers() -> BTreeMap<Pattern, Qualifier> {
    let named = ["a", "b", "c"].map(|name| Pattern::Name(PermissionName::new(name).unwrap()));
    let patterns = [Pattern::All].into_iter().chain(named);
    patterns.zip(Qualifier::ALL).collect()
}

fn assignment(scope: Scope) -> Fact {
    let id = AssignmentId::new("i").unwrap();
    let to = ActorRef::parse("group:g").unwrap();
    Assignment { id, to, level: level(), scope, window: window() }.into()
}

fn plain_resource() -> Fact {
    let (platform, owner, parent) = (None, None, None);
    Resource { name: resource(), locations: places(), platform, owner, parent }.into()
}

/// One fact of each kind that there was first, with something in every field of then, and one
/// assignment of each scope.
fn facts() -> Vec<Fact> {
    let person = PersonId::new("p").unwrap();
    let definition = ManagementRoleDefinitionId::new("d").unwrap();
    let mut facts: Vec<Fact> = vec![
        ResourceType {
            name: TypeName::new("T").unwrap(),
            operations: permissions(&["a", "b"]),
            rights: permissions(&["c"]),
        }
        .into(),
        Location {
            id: LocationId::new("m").unwrap(),
            parent: Some(LocationId::new("l").unwrap()),
            organization: true,
            block_inheritance: true,
        }
        .into(),
        BusinessRole {
            id: BusinessRoleId::new("s").unwrap(),
            parent: Some(BusinessRoleId::new("r").unwrap()),
            locations: places(),
        }
        .into(),
        AccessLevel { name: level(), operations: qualifiers(), rights: qualifiers() }.into(),
        Person {
            id: person.clone(),
            name: Some("n".to_owned()),
            login: Some("o".to_owned()),
            enabled: true,
            manager: Some(PersonId::new("q").unwrap()),
            locations: places(),
            positions: positions(),
            vault_privileges: BTreeSet::new(),
        }
        .into(),
        Account {
            id: AccountId::new("a").unwrap(),
            owner: Some(person),
            enabled: true,
            computer: None,
            locations: places(),
        }
        .into(),
        Group {
            id: GroupId::new("g").unwrap(),
            members: members(),
            positions: positions(),
            default: false,
            locations: places(),
        }
        .into(),
        SetGroup { id: SetGroupId::new("s").unwrap(), members: Vec::new(), locations: places() }
            .into(),
        ManagementRoleDefinition { id: definition.clone(), locations: places() }.into(),
        ManagementRole {
            id: ManagementRoleId::new("m").unwrap(),
            definition: Some(definition),
            members: Vec::new(),
            includes: vec![ManagementRoleId::new("o").unwrap()],
            locations: places(),
        }
        .into(),
        plain_resource(),
        assignment(Scope::On(resource())),
        assignment(Scope::In(LocationId::new("l").unwrap())),
    ];
    facts.extend(Relative::ALL.map(|relative| assignment(Scope::Relative(relative))));
    facts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

const FACTS: &[&str] = &[
    "0a0c0a01541201611201621a0163",
    "120a0a016d12016c18012001",
    "1a0c0a01731201721a016c1a016d",
    "223a0a060a01541201761202100112050a0161100212050a0162100312050a016310041a0210011a05\
     0a016110021a050a016210031a050a01631004",
    "2a2d0a017012016e1a016f20012a017132016c32016d3a170a017212016c1801220d08ffffffffffff\
     ffffff011002",
    "320e0a0161120170180122016c22016d",
    "3a670a016712140a030a0170120d08ffffffffffffffffff01100212050a0312016112050a031a0167\
     12050a03220173120a0a082a060a017212016c12050a0332016d12050a033a01641a170a017212016c\
     1801220d08ffffffffffffffffff01100222016c22016d",
    "42090a01731a016c1a016d",
    "4a090a016412016c12016d",
    "520f0a016d12016422016f2a016c2a016d",
    "5a0e0a060a015412016f12016c12016d",
    "62270a016912031a01671a060a015412017622060a015412016f3a0d08ffffffffffffffffff011002",
    "62220a016912031a01671a060a01541201762a016c3a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630013a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630023a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630033a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630043a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630053a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630063a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630073a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630083a0d08ffffffffffffffffff011002",
    "62210a016912031a01671a060a015412017630093a0d08ffffffffffffffffff011002",
];

const TENANT: &str = "080110021803";

const REQUEST: &str = "0a20090909090909090909090909090909090909090909090909090909090909090910041a070801120154\
    18011a07080212016d18021a0708031201731803";

#[test]
fn every_kind_of_fact_has_its_bytes() {
    let written: Vec<String> = facts().iter().map(|fact| hex(&encode(fact))).collect();
    assert_eq!(written, FACTS, "{written:#?}");
    let all = facts().into_iter().chain(family::facts());
    let kinds: BTreeSet<_> = all.map(|fact| fact.key().kind()).collect();
    assert_eq!(kinds.len(), FactKind::ALL.len());
}

#[test]
fn a_tenant_and_a_request_have_their_bytes() {
    let tenant = TenantRecord { revision: 1, facts: 2, requests: 3, journal_from: 4, journaled: 5 };
    assert_eq!(hex(&tenant.encode_to_vec()), format!("{TENANT}20042805"));
    let kinds = [ChangeKind::Created, ChangeKind::Changed, ChangeKind::Removed];
    let changes = facts().iter().zip(kinds).map(|(fact, kind)| (fact.key(), kind)).collect();
    let (revision, counts) = (Revision::new(4), Counts { created: 1, changed: 1, removed: 1 });
    let remembered = Remembered { digest: [9; 32], revision, changes, counts, on_behalf_of: None };
    assert_eq!(hex(&remembered.to_bytes()), REQUEST);
    let on_behalf_of = Some(PersonId::new("p").unwrap());
    let delegated = Remembered { on_behalf_of, ..remembered.clone() };
    assert_eq!(hex(&delegated.to_bytes()), format!("{REQUEST}220170"));
    assert_eq!(Remembered::from_bytes(&delegated.to_bytes()), Ok(delegated));
    // Of an import the receipt lists a part only.
    let imported =
        Remembered { counts: Counts { created: 300, changed: 2, removed: 1 }, ..remembered };
    assert_eq!(hex(&imported.to_bytes()), format!("{REQUEST}28ac0230023801"));
    assert_eq!(Remembered::from_bytes(&imported.to_bytes()), Ok(imported));
}

const HEAD: &str = "080210071a200808080808080808080808080808080808080808080808080808080808080808";

/// One entry for each kind of event, with something in every field.
fn entries() -> Vec<Entry> {
    let tenant = TenantId::new("t").unwrap();
    let kinds = [ChangeKind::Created, ChangeKind::Changed, ChangeKind::Removed];
    let changes = facts().iter().zip(kinds).map(|(fact, kind)| (fact.key(), kind)).collect();
    let changed = PolicyChanged {
        created: 1,
        changed: 2,
        removed: 3,
        digest: Digest([9; 32]),
        request_id: Some(RequestId::new("r").unwrap()),
        changes,
    };
    let deleted =
        Event::TenantDeleted { tenant: tenant.clone(), records: 2, head: Digest([8; 32]) };
    let entry = |event| Entry {
        at: Timestamp::from_micros(-1),
        revision: Revision::new(4),
        person: Some(PersonId::new("p").unwrap()),
        caller: None,
        event,
    };
    let created = Event::TenantCreated(tenant);
    [Event::Began, created, deleted, Event::PolicyChanged(changed)].map(entry).to_vec()
}

const ENTRIES: &[&str] = &[
    "080510ffffffffffffffffff0118042201702a00",
    "080510ffffffffffffffffff01180422017032030a0174",
    "080510ffffffffffffffffff0118042201703a270a017410021a20080808080808080808080808080808\
     0808080808080808080808080808080808",
    "080510ffffffffffffffffff011804220170424608011002180322200909090909090909090909090909\
     0909090909090909090909090909090909092a01723207080112015418013207080212016d1802320708\
     031201731803",
];

#[test]
fn the_audit_has_its_bytes_and_reads_back() {
    let written: Vec<String> = entries().iter().map(|entry| hex(&encode_entry(5, entry))).collect();
    assert_eq!(written, ENTRIES, "{written:#?}");
    for entry in entries() {
        assert_eq!(decode_entry(&encode_entry(5, &entry)), Ok((5, entry)));
    }
    let head = Head { records: 2, at: Timestamp::from_micros(7), hash: Digest([8; 32]) };
    assert_eq!(hex(&head.to_bytes()), HEAD);
    assert_eq!(Head::from_bytes(&head.to_bytes()), Ok(head));
}

#[test]
fn a_caller_comes_after_everything_else() {
    let caller = CallerName::new("desk");
    let entry = Entry { caller, ..entries().swap_remove(0) };
    assert_eq!(hex(&encode_entry(5, &entry)), format!("{}52046465736b", ENTRIES[0]));
    assert_eq!(decode_entry(&encode_entry(5, &entry)), Ok((5, entry)));
}

#[test]
fn an_audit_record_that_this_version_did_not_write_is_refused() {
    let good = encode_entry(5, &entries()[0]);
    let unknown = [good.as_slice(), &[0xfa, 0x01, 0x01, 0x00]].concat();
    assert_eq!(decode_entry(&unknown), Err(RecordError::UnknownContent));
    // Number and instant, and nothing that happened.
    assert_eq!(decode_entry(&[0x08, 0x05, 0x10, 0x07]), Err(RecordError::UnknownContent));
    let short = Head::from_bytes(&[0x08, 0x02, 0x1a, 0x01, 0x08]);
    assert_eq!(short, Err(RecordError::Missing("hash")));
}
