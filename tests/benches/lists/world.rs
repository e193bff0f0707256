//! An organisation of any size, in which what is asked about stays as it is while everything else
//! grows.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{ActorRef, Group, Membership, Person};
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AssignmentId, GroupId, LocationId, ObjectId, PermissionLevelId, PermissionName, PersonId,
    TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, LOCAL_WINDOWS_SERVER,
    PermissionLevel, Psm,
};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::share::{Entity, Grantee, Share, ShareKey, ShareLevel};
use pdp_engine::time::Window;

/// How many of each there are at scale 1, besides those that are asked about.
const PEOPLE: usize = 5_000;
const SHARED: usize = 10_000;
const COMPUTERS: usize = 2_000;
const ELIGIBILITIES: usize = 5_000;
/// How many documents lie in the archive at scale 1, and root locations.
const DOCUMENTS: usize = 5_000;
const ROOTS: usize = 200;

/// What Access Levels of the types hold.
const TYPES: [(&str, &[&str]); 4] = [
    ("Computer", &["ApproveUse"]),
    ("Document", &["View"]),
    ("Report", &["AddToViewerInRelativeResource"]),
    ("Server", &["View"]),
];

struct Built(Vec<Change>);

/// The policy at a scale.
pub fn facts(scale: usize) -> Facts {
    let mut built = Built(Vec::new());
    built.types();
    built.people(scale);
    built.vault(scale);
    built.sessions(scale);
    built.documents(scale);
    built.roots(scale);
    let mut facts = Facts::default();
    facts.apply(&built.0).unwrap();
    facts
}

fn person(id: &str) -> Person {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: BTreeSet::new(),
    }
}

fn nth(n: usize) -> ActorRef {
    ActorRef::parse(&format!("person:p-{n:06}")).unwrap()
}

fn actor(text: &str) -> ActorRef {
    ActorRef::parse(text).unwrap()
}

fn place(id: &str) -> LocationId {
    LocationId::new(id).unwrap()
}

fn resource(name: &str) -> Resource {
    let name = ResourceRef::parse(name).unwrap();
    Resource { name, locations: Vec::new(), platform: None, owner: None, parent: None }
}

fn level() -> PermissionLevelId {
    PermissionLevelId::new("admin").unwrap()
}

impl Built {
    fn put(&mut self, fact: impl Into<Fact>) {
        self.0.push(Change::Put(fact.into()));
    }

    fn types(&mut self) {
        let declared = TYPES.map(|(name, operations)| (name, operations.to_vec()));
        let recipient = ("Person", vec!["AddPersonToRelativeResourceRole"]);
        for (name, operations) in declared.into_iter().chain([recipient]) {
            let names: BTreeSet<PermissionName> =
                operations.iter().map(|name| PermissionName::new(*name).unwrap()).collect();
            self.put(ResourceType {
                name: TypeName::new(name).unwrap(),
                operations: names.clone(),
                rights: BTreeSet::new(),
            });
            let allow = |name| (Pattern::Name(name), Qualifier::Allowed);
            self.put(AccessLevel {
                name: LevelRef::parse(&format!("{name}/All")).unwrap(),
                operations: names.into_iter().map(allow).collect(),
                rights: BTreeMap::new(),
            });
        }
        self.put(AccessLevel {
            name: LevelRef::parse("Report/Viewer").unwrap(),
            operations: BTreeMap::new(),
            rights: BTreeMap::new(),
        });
    }

    fn group(&mut self, id: &str, members: impl Iterator<Item = ActorRef>) {
        let members = members.map(|of| Membership { of, window: Window::ALWAYS }).collect();
        let id = GroupId::new(id).unwrap();
        let (positions, locations) = (Vec::new(), Vec::new());
        self.put(Group { id, members, positions, default: false, locations });
    }

    fn assign(&mut self, to: &str, type_name: &str, scope: Scope) {
        let id = AssignmentId::new(format!("a-{}", self.0.len())).unwrap();
        let level = LevelRef::parse(&format!("{type_name}/All")).unwrap();
        self.put(Assignment { id, to: actor(to), level, scope, window: Window::ALWAYS });
    }

    fn location(&mut self, id: &str) {
        let (organization, block_inheritance) = (false, false);
        self.put(Location { id: place(id), parent: None, organization, block_inheritance });
    }

    fn people(&mut self, scale: usize) {
        self.put(person("ana"));
        for n in 0..PEOPLE * scale {
            self.put(person(&format!("p-{n:06}")));
        }
        self.group("operators", [actor("person:ana")].into_iter().chain((0..200).map(nth)));
        self.group("large", (0..3_000).map(nth));
        self.group("larger", (1_000..5_000).map(nth));
        self.group("approvers", (500..550).map(nth));
        self.group("everybody", (0..PEOPLE * scale).map(nth));
        self.group("admins", std::iter::empty());
    }

    fn share(&mut self, entity: &str, to: ActorRef) {
        let to = Grantee::from_actor(&to).unwrap();
        let on = Entity::Resource(ResourceRef::parse(entity).unwrap());
        self.put(Share { key: ShareKey { to, on }, level: ShareLevel::View });
    }

    /// A hundred servers are shared with `ana`, and every other with somebody else.
    fn vault(&mut self, scale: usize) {
        for n in 0..SHARED * scale {
            let name = format!("Server:s-{n:06}");
            self.put(resource(&name));
            self.share(&name, nth(n % (PEOPLE * scale)));
        }
        for n in 0..100 {
            let name = format!("Server:hers-{n:03}");
            self.put(resource(&name));
            let to = if n % 2 == 0 { "person:ana" } else { "group:operators" };
            self.share(&name, actor(to));
        }
        self.put(resource("Server:main"));
        let parent = ResourceRef::parse("Server:main").ok();
        self.put(Resource { parent, ..resource("Server:main-root") });
        self.share("Server:main-root", actor("group:large"));
        self.share("Server:main", actor("group:larger"));
    }

    fn eligible(&mut self, to: ActorRef, scope: EligibilityScope) {
        let kind = EligibilityKind::PreApproved;
        let key = EligibilityKey { to, level: level(), scope, kind };
        self.put(Eligibility { key, window: Window::ALWAYS });
    }

    fn computer(&mut self, id: &str, location: Option<&str>) {
        let locations = location.map(place).into_iter().collect();
        self.put(Resource { locations, ..resource(&format!("Computer:{id}")) });
        let jit = Jit { enabled: true, delete_on_end: true, reuse_existing: false };
        self.put(Psm {
            computer: ObjectId::new(id).unwrap(),
            enabled: true,
            allow_unprivileged: false,
            account_store: Some(LOCAL_WINDOWS_SERVER.to_owned()),
            max_session_micros: 3_600_000_000,
            max_concurrent: 0,
            jit,
            levels: BTreeMap::from([(level(), Some(GroupId::new("admins").unwrap()))]),
        });
    }

    /// `ana` may open sessions on a hundred computers: half of them by name, half by place.
    fn sessions(&mut self, scale: usize) {
        self.put(PermissionLevel { id: level(), name: None });
        self.location("lab");
        for n in 0..COMPUTERS * scale {
            self.computer(&format!("c-{n:06}"), None);
        }
        for n in 0..ELIGIBILITIES * scale {
            let on = ObjectId::new(format!("c-{:06}", n % (COMPUTERS * scale))).unwrap();
            self.eligible(nth(n % (PEOPLE * scale)), EligibilityScope::On(on));
        }
        for n in 0..50 {
            let id = format!("hers-{n:03}");
            self.computer(&id, None);
            let on = EligibilityScope::On(ObjectId::new(id).unwrap());
            self.eligible(actor("person:ana"), on);
            self.computer(&format!("lab-{n:03}"), Some("lab"));
        }
        self.eligible(actor("group:operators"), EligibilityScope::In(place("lab")));
        self.assign("group:approvers", "Computer", Scope::In(place("lab")));
    }

    /// `ana` may view what lies in the archive, and everybody the notice.
    fn documents(&mut self, scale: usize) {
        self.location("archive");
        for n in 0..DOCUMENTS * scale {
            let locations = vec![place("archive")];
            self.put(Resource { locations, ..resource(&format!("Document:d-{n:06}")) });
        }
        self.put(resource("Document:notice"));
        self.assign("person:ana", "Document", Scope::In(place("archive")));
        let notice = ResourceRef::parse("Document:notice").unwrap();
        self.assign("group:everybody", "Document", Scope::On(notice));
    }

    /// The approvers hold what is asked at every root, some others at one.
    fn roots(&mut self, scale: usize) {
        for n in 0..ROOTS * scale {
            let id = format!("root-{n:04}");
            self.location(&id);
            self.assign("group:approvers", "Report", Scope::In(place(&id)));
        }
        self.assign("group:everybody", "Report", Scope::In(place("root-0000")));
        for id in ["lab", "archive"] {
            self.assign("group:approvers", "Report", Scope::In(place(id)));
        }
        let recipient = ResourceRef::parse("Person:ana").unwrap();
        self.assign("group:everybody", "Person", Scope::On(recipient));
    }
}
