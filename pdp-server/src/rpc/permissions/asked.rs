//! What somebody wants to watch: as it arrives, as the engine is asked, and what comes of it as it leaves.

use std::collections::BTreeMap;

use pdp_engine::actor::ActorRef;
use pdp_engine::compile::{sessions_touch, touches};
use pdp_engine::facts::Delta;
use pdp_engine::list::{
    About, AnyPermission, Effective, EffectiveError, EffectiveOther, EffectivePart, ListError,
    ListedPermission, SubjectKinds, effective, is_question, next_instant,
};
use pdp_engine::query::{Effect, Malformed as Refused};
use pdp_engine::session::OpenSessions;
use pdp_engine::share::Entity;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::watch_permissions_request::Watched;

use super::super::failure::Failure;
use super::super::malformed::Malformed;
use super::super::question::{self, object, refused, subject};

/// How many permissions a watch may hold: what a program can keep up with by heart, and some ten megabytes
/// here.
const MAX_HELD: usize = 50_000;

/// How many permissions a watch may be narrowed to: each that is found is compared with all of them.
const MAX_NAMED: usize = 100;

/// What is watched.
pub(super) struct Asked {
    watched: Watched,
    /// Of which type, where a subject is watched.
    type_name: Option<String>,
    kinds: SubjectKinds,
    /// Only these, if there are any.
    permissions: Vec<ListedPermission>,
}

type Key = (EffectiveOther, ListedPermission);

// === impl Asked ===

impl Asked {
    /// What a message asks for. Whether its names can be names is the engine's to say.
    pub(super) fn new(request: v1::WatchPermissionsRequest) -> Result<Self, Failure> {
        let v1::WatchPermissionsRequest {
            tenant: _,
            watched,
            r#type: type_name,
            accounts,
            permissions,
            at_least: _,
        } = request;
        let message = "is required, or else `resource`: whose permissions, or those on what";
        let watched = watched.ok_or_else(|| Malformed::new("subject", message))?;
        match &watched {
            Watched::Subject(wire) => {
                subject("subject", Some(wire))?;
                if accounts {
                    return Err(Malformed::new("accounts", "goes with a resource only").into());
                }
            }
            Watched::Resource(_) if !type_name.is_empty() => {
                return Err(Malformed::new("type", "goes with a subject only").into());
            }
            Watched::Resource(_) => {}
        }
        if permissions.len() > MAX_NAMED {
            return Err(Failure::Limit {
                limit: "max_named_permissions",
                field: "permissions",
                unit: "permissions",
                maximum: MAX_NAMED,
                actual: permissions.len(),
            });
        }
        let named = permissions.into_iter().enumerate().map(|(index, wire)| {
            listed(wire).map_err(|malformed| malformed.inside(&format!("permissions[{index}]")))
        });
        let permissions = named.collect::<Result<_, _>>()?;
        let type_name = Some(type_name).filter(|name| !name.is_empty());
        let kinds = if accounts { SubjectKinds::PeopleAndAccounts } else { SubjectKinds::People };
        Ok(Self { watched, type_name, kinds, permissions })
    }

    fn about(&self) -> Result<About<'_>, Malformed> {
        Ok(match &self.watched {
            Watched::Subject(wire) => About::Subject {
                subject: subject("subject", Some(wire))?,
                type_name: self.type_name.as_deref(),
            },
            Watched::Resource(wire) => {
                About::Resource { resource: object(wire), kinds: self.kinds }
            }
        })
    }

    /// What is held at an instant.
    pub(super) fn effective(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Effective, Failure> {
        let about = self.about()?;
        for (index, permission) in self.permissions.iter().enumerate() {
            let asked = permission.ask();
            is_question(snapshot, about, asked, now)
                .map_err(|error| self.refused(Some((index, asked)), &error))?;
        }
        let part = EffectivePart { permissions: &self.permissions, limit: MAX_HELD, wanted };
        effective(snapshot, about, part, now).map_err(|error| match error {
            EffectiveError::List(ListError::Malformed(error)) => self.refused(None, &error).into(),
            EffectiveError::List(ListError::Unwanted) => Failure::CallerGone,
            EffectiveError::TooMany => Failure::Limit {
                limit: "max_watched_permissions",
                field: match self.watched {
                    Watched::Subject(_) => "subject",
                    Watched::Resource(_) => "resource",
                },
                unit: "permissions or more",
                maximum: MAX_HELD,
                // Nobody counts on.
                actual: MAX_HELD + 1,
            },
        })
    }

    /// What the engine refused, by the field that the message calls it.
    fn refused(&self, named: Option<(usize, AnyPermission<'_>)>, error: &Refused) -> Malformed {
        match (error.field(), &self.watched, named) {
            ("resource", Watched::Subject(_), _) => Malformed::new("type", error),
            ("permission", _, Some((index, permission))) => {
                refused(permission, error).inside(&format!("permissions[{index}]"))
            }
            (field, _, _) => Malformed::new(field, error),
        }
    }

    /// The next instant at which time may change what is held.
    pub(super) fn next_instant(&self, snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
        next_instant(snapshot, self.about().ok()?, now)
    }

    /// Whether change sets that led to a snapshot may have changed what is held.
    pub(super) fn is_touched(&self, deltas: &[Delta], after: &Snapshot) -> bool {
        self.about().map_or(true, |about| touches(deltas, after, about))
    }

    /// Whether sessions that are others may have changed what is held.
    pub(super) fn sessions_touch(&self, before: &OpenSessions, after: &OpenSessions) -> bool {
        self.about().map_or(true, |about| sessions_touch(before, after, about))
    }

    /// How what is held differs from what was.
    pub(super) fn changes(
        &self,
        before: &Effective,
        after: &Effective,
    ) -> Vec<v1::PermissionChange> {
        let mut changed: BTreeMap<&Key, (Effect, Effect)> = BTreeMap::new();
        for (key, effect) in before {
            let now = after.get(key).copied().unwrap_or(Effect::Deny);
            if now != *effect {
                changed.insert(key, (*effect, now));
            }
        }
        for (key, effect) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
            changed.insert(key, (Effect::Deny, *effect));
        }
        let change = |(key, (before, after)): (&Key, (Effect, Effect))| {
            let (subject, resource, permission) = self.sides(key);
            let [before, after] = [before, after].map(|it| question::effect(it).into());
            v1::PermissionChange { subject, resource, permission, before, after }
        };
        changed.into_iter().map(change).collect()
    }

    /// Something that is held.
    pub(super) fn held(&self, (key, effect): (&Key, &Effect)) -> v1::HeldPermission {
        let (subject, resource, permission) = self.sides(key);
        let effect = question::effect(*effect).into();
        v1::HeldPermission { subject, resource, permission, effect }
    }

    /// Who, on what, and what.
    fn sides(
        &self,
        (other, permission): &Key,
    ) -> (Option<v1::Subject>, Option<v1::ResourceRef>, Option<v1::WatchedPermission>) {
        let (subject, resource) = match (&self.watched, other) {
            (Watched::Subject(subject), EffectiveOther::Resource(entity)) => {
                (Some(subject.clone()), Some(resource_of(entity)))
            }
            (Watched::Resource(resource), EffectiveOther::Subject(actor)) => {
                (subject_of(actor), Some(resource.clone()))
            }
            // INVARIANT: a subject holds permissions on resources, and a resource is held by subjects.
            (Watched::Subject(_), EffectiveOther::Subject(_))
            | (Watched::Resource(_), EffectiveOther::Resource(_)) => (None, None),
        };
        (subject, resource, Some(permission_of(permission)))
    }
}

fn listed(wire: v1::WatchedPermission) -> Result<ListedPermission, Malformed> {
    use v1::watched_permission::Permission as Wire;
    let v1::WatchedPermission { permission } = wire;
    Ok(match permission.ok_or_else(question::no_permission)? {
        Wire::Operation(name) => ListedPermission::Operation(name),
        Wire::Right(name) => ListedPermission::Right(name),
        Wire::VaultAction(action) => ListedPermission::Vault(action),
        Wire::Session(v1::SessionPermission { level }) => ListedPermission::Session(level),
    })
}

fn permission_of(listed: &ListedPermission) -> v1::WatchedPermission {
    use v1::watched_permission::Permission as Wire;
    let permission = match listed {
        ListedPermission::Operation(name) => Wire::Operation(name.clone()),
        ListedPermission::Right(name) => Wire::Right(name.clone()),
        ListedPermission::Vault(action) => Wire::VaultAction(action.clone()),
        ListedPermission::Session(level) => {
            Wire::Session(v1::SessionPermission { level: level.clone() })
        }
    };
    v1::WatchedPermission { permission: Some(permission) }
}

fn resource_of(entity: &Entity) -> v1::ResourceRef {
    let (type_name, id) = match entity {
        Entity::Resource(name) => (name.type_name.as_str(), name.id.as_str()),
        Entity::Group(id) => (Entity::GROUP_WORD, id.as_str()),
    };
    v1::ResourceRef { r#type: type_name.to_owned(), id: id.to_owned() }
}

fn subject_of(actor: &ActorRef) -> Option<v1::Subject> {
    use v1::subject::Subject as Wire;
    let subject = match actor {
        ActorRef::Person(id) => Wire::Person(id.to_string()),
        ActorRef::Account(id) => Wire::Account(id.to_string()),
        // INVARIANT: only people and accounts hold permissions.
        ActorRef::Group(_)
        | ActorRef::SetGroup(_)
        | ActorRef::BusinessRoleLocation(..)
        | ActorRef::ManagementRole(_)
        | ActorRef::ManagementRoleDefinition(_) => return None,
    };
    Some(v1::Subject { subject: Some(subject) })
}
