//! Watching effective permissions: who may do what now, and who gains and loses what, through lost connections
//! and restarts of the server.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use pdp_proto::v1;
use tonic::Request;

use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::{Effect, Revision, fresh_enough};
use crate::question::{Permission, Resource, Subject, session};
use crate::reconnect::{Connecting, Heard, Reconnecting};
use crate::watch::SILENCE;

/// Whose effective permissions, or those on what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct PermissionQuery {
    about: About,
    permissions: Vec<Permission>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Subject { subject: Subject, type_name: Option<String> },
    Resource { resource: Resource, accounts: bool },
}

/// Somebody may do something with something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// Who.
    pub subject: Subject,
    /// What.
    pub permission: Permission,
    /// With what.
    pub resource: Resource,
}

/// A permission that is held otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionChange {
    /// Who, what, and with what.
    pub held: Held,
    /// The effect before; [`Effect::Deny`] where it was not held.
    pub before: Effect,
    /// The effect now; [`Effect::Deny`] where it is not held any more.
    pub after: Effect,
}

/// Of when something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The revision.
    pub revision: Revision,
    /// The instant, by the server's clock.
    pub at: SystemTime,
}

/// What a watch tells.
#[derive(Debug)]
pub enum PermissionEvent {
    /// Everything that is held as the watch begins, with its effect: [`Effect::Allow`], or
    /// [`Effect::RequiresApproval`] of a session that somebody else has to agree to first. Comes once.
    State {
        /// Of when it is.
        seen: Seen,
        /// What is held.
        held: Vec<(Held, Effect)>,
    },
    /// Something is held otherwise than told before. What came to pass while the connection was lost is told
    /// here, too: the difference between the state before and the one after.
    Changed {
        /// When it was seen.
        seen: Seen,
        /// What changed.
        changes: Vec<PermissionChange>,
    },
    /// Everything up to here has been told. The server says so every 10 seconds.
    Current(Seen),
    /// The connection is gone, and will be made again.
    Lost {
        /// What happened.
        error: Error,
        /// How long until the next attempt.
        pause: Duration,
    },
}

/// A watch that goes on for as long as it is asked.
#[derive(Debug)]
#[must_use]
pub struct PermissionWatch {
    stream: Reconnecting<v1::WatchPermissionsResponse>,
    query: PermissionQuery,
    /// How old the state may be at most: no server goes back behind what was told.
    oldest: Revision,
    /// What has been told; `None` until the first state is there.
    told: Option<HashMap<Held, Effect>>,
    /// What came so far of a state that comes in parts.
    state: Vec<(Held, Effect)>,
    /// What came so far of changes that come in parts.
    changes: Vec<PermissionChange>,
    /// This stream has told its state.
    begun: bool,
}

// === impl PermissionQuery ===

impl PermissionQuery {
    /// What a subject may do, on any resource.
    pub const fn of(subject: Subject) -> Self {
        Self { about: About::Subject { subject, type_name: None }, permissions: Vec::new() }
    }

    /// What a subject may do on resources of a type; `resource_group` stands for the type of resource groups.
    pub fn of_on_type(subject: Subject, type_name: impl Into<String>) -> Self {
        let about = About::Subject { subject, type_name: Some(type_name.into()) };
        Self { about, permissions: Vec::new() }
    }

    /// What all people may do on a resource.
    pub const fn on(resource: Resource) -> Self {
        Self { about: About::Resource { resource, accounts: false }, permissions: Vec::new() }
    }

    /// What all people and accounts may do on a resource.
    pub const fn on_with_accounts(resource: Resource) -> Self {
        Self { about: About::Resource { resource, accounts: true }, permissions: Vec::new() }
    }

    /// Only these permissions, up to 100.
    pub fn only(mut self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.permissions = permissions.into_iter().collect();
        self
    }

    fn to_wire(&self, tenant: String, oldest: Revision) -> v1::WatchPermissionsRequest {
        use v1::watch_permissions_request::Watched;
        use v1::watched_permission::Permission as Wire;
        let Self { about, permissions } = self;
        let (watched, type_name, accounts) = match about {
            About::Subject { subject, type_name } => {
                (Watched::Subject(subject.to_wire()), type_name.clone(), false)
            }
            About::Resource { resource, accounts } => {
                (Watched::Resource(resource.to_wire()), None, *accounts)
            }
        };
        let permission = |permission: &Permission| v1::WatchedPermission {
            permission: Some(match permission.clone() {
                Permission::Operation(name) => Wire::Operation(name),
                Permission::Right(name) => Wire::Right(name),
                Permission::VaultAction(name) => Wire::VaultAction(name),
                Permission::Session(level) => Wire::Session(session(level.as_ref())),
            }),
        };
        v1::WatchPermissionsRequest {
            tenant,
            watched: Some(watched),
            r#type: type_name.unwrap_or_default(),
            accounts,
            permissions: permissions.iter().map(permission).collect(),
            at_least: oldest.get(),
        }
    }
}

// === impl Client ===

impl Client {
    /// Watches effective permissions: everything that is held, then what changes of it.
    ///
    /// No event is of an older revision than the one before: a server that is behind is waited for. Where a
    /// backup was restored, or the tenant was made anew, begin another watch.
    pub fn watch_permissions(&self, query: PermissionQuery) -> PermissionWatch {
        PermissionWatch {
            stream: Reconnecting::new(self.clone(), SILENCE),
            query,
            oldest: self.oldest(),
            told: None,
            state: Vec::new(),
            changes: Vec::new(),
            begun: false,
        }
    }
}

// === impl PermissionWatch ===

impl PermissionWatch {
    /// The next thing that there is to tell; waits for it for as long as it takes. May be given up and asked
    /// again at any time.
    ///
    /// # Errors
    /// [`Error::Protocol`] if a message is not understood: the watch then begins again, and tells what differs.
    /// Any other error says that the server does not let this watch be, such as `UNKNOWN_TENANT`,
    /// `LIMIT_EXCEEDED` or a permission that is missing. Asking again tries again, after a pause.
    pub async fn event(&mut self) -> Result<PermissionEvent, Error> {
        loop {
            let (query, oldest) = (&self.query, self.oldest);
            let connect = |client: Client| {
                let wire = query.to_wire(client.tenant().to_owned(), oldest);
                Ok(connect(client, wire))
            };
            let heard = match self.stream.next(connect).await {
                Ok(heard) => heard,
                Err(error) => {
                    self.forget_parts();
                    return Err(error);
                }
            };
            match heard {
                Heard::Lost { error, pause } => {
                    self.forget_parts();
                    return Ok(PermissionEvent::Lost { error, pause });
                }
                Heard::Message(message) => match self.heard(message) {
                    Ok(Some(event)) => {
                        self.remember(&event);
                        return Ok(event);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.forget_parts();
                        self.stream.begin_anew();
                        return Err(error);
                    }
                },
            }
        }
    }

    /// The effect of a permission as it was told last; [`Effect::Deny`] where it is not held. `None` until the
    /// first state has been told. It is of the time of the last event, whatever has become of the connection.
    #[must_use]
    pub fn effect(&self, held: &Held) -> Option<Effect> {
        let told = self.told.as_ref()?;
        Some(told.get(held).copied().unwrap_or(Effect::Deny))
    }

    /// The next stream begins with what is no older than this.
    fn remember(&mut self, event: &PermissionEvent) {
        match event {
            PermissionEvent::State { seen, .. }
            | PermissionEvent::Changed { seen, .. }
            | PermissionEvent::Current(seen) => self.oldest = self.oldest.max(seen.revision),
            PermissionEvent::Lost { .. } => {}
        }
    }

    /// The next stream begins with its whole state.
    fn forget_parts(&mut self) {
        self.state.clear();
        self.changes.clear();
        self.begun = false;
    }

    fn heard(
        &mut self,
        message: v1::WatchPermissionsResponse,
    ) -> Result<Option<PermissionEvent>, Error> {
        use v1::watch_permissions_response::Event;
        match message.event {
            None => Err(Error::protocol("a message of the watch is empty")),
            Some(Event::Heartbeat(v1::PermissionHeartbeat { revision, at })) => {
                let seen = seen(revision, at)?;
                // Before its state a stream has told nothing yet.
                Ok(self.begun.then_some(PermissionEvent::Current(seen)))
            }
            Some(Event::State(v1::PermissionState { revision, at, permissions, more })) => {
                let seen = seen(revision, at)?;
                fresh_enough(seen.revision, self.oldest)?;
                if self.begun {
                    return Err(Error::protocol("the state of the watch comes twice"));
                }
                for permission in permissions {
                    let v1::HeldPermission { subject, resource, permission, effect } = permission;
                    let effect = self::effect(effect)?;
                    if effect == Effect::Deny {
                        return Err(Error::protocol("a permission is held that is denied"));
                    }
                    self.state.push((self.held(subject, permission, resource)?, effect));
                }
                if more {
                    return Ok(None);
                }
                self.begun = true;
                Ok(Some(self.begin(seen)))
            }
            Some(Event::Changes(v1::PermissionChanges { revision, at, changes, more })) => {
                let seen = seen(revision, at)?;
                for change in changes {
                    let v1::PermissionChange { subject, resource, permission, before, after } =
                        change;
                    let held = self.held(subject, permission, resource)?;
                    let (before, after) = (effect(before)?, effect(after)?);
                    self.changes.push(PermissionChange { held, before, after });
                }
                if more { Ok(None) } else { self.change(seen).map(Some) }
            }
        }
    }

    /// Takes a whole state: the first one is told, and of any other how it differs from what was told.
    fn begin(&mut self, seen: Seen) -> PermissionEvent {
        let held = std::mem::take(&mut self.state);
        let state: HashMap<Held, Effect> = held.iter().cloned().collect();
        let Some(before) = self.told.replace(state) else {
            return PermissionEvent::State { seen, held };
        };
        let mut left = before;
        let mut changes: Vec<PermissionChange> = Vec::new();
        for (held, after) in held {
            let before = left.remove(&held).unwrap_or(Effect::Deny);
            if before != after {
                changes.push(PermissionChange { held, before, after });
            }
        }
        let mut lost: Vec<_> = left.into_iter().collect();
        lost.sort_by_cached_key(|(held, _)| held.to_string());
        let after = Effect::Deny;
        changes.extend(lost.into_iter().map(|(held, before)| PermissionChange {
            held,
            before,
            after,
        }));
        match changes.is_empty() {
            true => PermissionEvent::Current(seen),
            false => PermissionEvent::Changed { seen, changes },
        }
    }

    /// Takes changes, which have to be about what was told.
    fn change(&mut self, seen: Seen) -> Result<PermissionEvent, Error> {
        let changes = std::mem::take(&mut self.changes);
        let Some(told) = self.told.as_mut().filter(|_| self.begun) else {
            return Err(Error::protocol("a change of the watch comes before its state"));
        };
        let fits = |it: &PermissionChange| {
            it.before != it.after
                && told.get(&it.held).copied().unwrap_or(Effect::Deny) == it.before
        };
        if !changes.iter().all(fits) {
            return Err(Error::protocol("a change of the watch does not fit what was told"));
        }
        for PermissionChange { held, before: _, after } in &changes {
            match after {
                Effect::Deny => told.remove(held),
                Effect::Allow | Effect::RequiresApproval => told.insert(held.clone(), *after),
            };
        }
        Ok(PermissionEvent::Changed { seen, changes })
    }

    /// A permission of those that were asked for.
    fn held(
        &self,
        subject: Option<v1::Subject>,
        permission: Option<v1::WatchedPermission>,
        resource: Option<v1::ResourceRef>,
    ) -> Result<Held, Error> {
        use v1::subject::Subject as Who;
        use v1::watched_permission::Permission as What;
        let subject = match subject.and_then(|subject| subject.subject) {
            Some(Who::Person(id)) => Subject::Person(id),
            Some(Who::Account(id)) => Subject::Account(id),
            None => return Err(Error::protocol("a subject is of no known kind")),
        };
        let permission = match permission.and_then(|permission| permission.permission) {
            Some(What::Operation(name)) => Permission::Operation(name),
            Some(What::Right(name)) => Permission::Right(name),
            Some(What::VaultAction(name)) => Permission::VaultAction(name),
            Some(What::Session(v1::SessionPermission { level })) => Permission::Session(level),
            None => return Err(Error::protocol("a permission is of no known kind")),
        };
        let Some(v1::ResourceRef { r#type: type_name, id }) = resource else {
            return Err(Error::protocol("a permission is on no resource"));
        };
        let held = Held { subject, permission, resource: Resource { type_name, id } };
        let is_asked = match &self.query.about {
            About::Subject { subject, type_name } => {
                held.subject == *subject
                    && type_name.as_ref().is_none_or(|name| *name == held.resource.type_name)
            }
            About::Resource { resource, accounts } => {
                held.resource == *resource
                    && (*accounts || matches!(held.subject, Subject::Person(_)))
            }
        };
        if is_asked { Ok(held) } else { Err(Error::protocol("it tells what was not asked for")) }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { subject, permission, resource } = self;
        let kind = match permission {
            Permission::Operation(_) => "operation",
            Permission::Right(_) => "right",
            Permission::VaultAction(_) => "vault",
            Permission::Session(_) => "session",
        };
        write!(f, "{subject} {kind}:{} on {resource}", permission.name())
    }
}

fn seen(revision: u64, at: Option<prost_types::Timestamp>) -> Result<Seen, Error> {
    let at = at.and_then(|at| SystemTime::try_from(at).ok());
    let at = at.ok_or_else(|| Error::protocol("a message of the watch tells no time"))?;
    Ok(Seen { revision: Revision::new(revision), at })
}

fn effect(number: i32) -> Result<Effect, Error> {
    match v1::Effect::try_from(number) {
        Ok(v1::Effect::Allow) => Ok(Effect::Allow),
        Ok(v1::Effect::Deny) => Ok(Effect::Deny),
        Ok(v1::Effect::RequiresApproval) => Ok(Effect::RequiresApproval),
        Ok(v1::Effect::Unspecified) | Err(_) => {
            Err(Error::protocol(format!("{number} is no effect that this client knows")))
        }
    }
}

/// The call that begins the stream, which has the client's deadline to be answered, and no end.
fn connect(
    client: Client,
    wire: v1::WatchPermissionsRequest,
) -> Connecting<v1::WatchPermissionsResponse> {
    Box::pin(async move {
        let mut request = Request::new(wire);
        client.authorize(&mut request)?;
        let watch = |server: &Subchannel| {
            let mut service = server.decisions();
            async move { service.watch_permissions(request).await }
        };
        client.open(watch).await
    })
}

#[cfg(test)]
mod tests;
