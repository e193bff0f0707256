//! Deciding in process: the client keeps the compiled policy itself, by following it, and asks the server
//! only what it cannot answer.
//!
//! A decision is the server's: it is made by the same engine on the same policy, with the same reasons, and
//! says the revision that it was made on. Asked of the server are privileged sessions and accounts, as which
//! of them exist changes with every session; revisions that have not arrived; and everything while nothing
//! was heard of the server for longer than [`LocalOptions::with_staleness`]. Where the server cannot be
//! reached then, there is no decision: it fails closed.
//!
//! Windows are opened and closed by the clock of this machine. The policy is in memory as on a server.

mod follow;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use pdp_engine::check::check;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{self, ObjectRef, PermissionRef, SubjectRef};
use pdp_engine::resource::BuiltInType;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultQuestion, check_vault};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::call::Error;
use crate::client::Client;
use crate::decision::{Decision, Effect, Revision};
use crate::fail_open::Answer;
use crate::question::{Permission, Question, Resource, Subject};
use crate::reason::Reason;

/// How long nothing may have been heard of the server, unless set otherwise: two of its heartbeats, which
/// come every 10 seconds, and some time on the way.
const MAX_STALENESS: Duration = Duration::from_secs(25);

/// How a policy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct LocalOptions {
    max_staleness: Duration,
}

/// A client that decides in process what it can. Cloning it shares the policy, which is followed until the
/// last clone is dropped.
#[derive(Debug, Clone)]
pub struct LocalClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    options: LocalOptions,
    kept: Arc<Kept>,
    following: JoinHandle<()>,
}

/// What is kept of the policy.
struct Kept {
    snapshot: ArcSwapOption<Snapshot>,
    begun: Instant,
    /// When what is kept was last known to be all that there is, in milliseconds since `begun`; 0 is never.
    heard: AtomicU64,
    revision: watch::Sender<Option<Revision>>,
}

// === impl LocalOptions ===

impl LocalOptions {
    /// How long nothing may have been heard of the server for decisions to be made in process: 25 seconds
    /// by default. A server says something every 10 seconds. What is changed while the connection is lost
    /// is not seen for up to this long.
    pub const fn with_staleness(max_staleness: Duration) -> Self {
        Self { max_staleness }
    }
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self::with_staleness(MAX_STALENESS)
    }
}

// === impl Client ===

impl Client {
    /// Begins to keep the tenant's policy. The caller needs the role `explain`, as for an export; until the
    /// policy has arrived the server is asked.
    ///
    /// The export that it begins with has the client's deadline: give a large policy a longer one with
    /// [`Client::with_deadline`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn follow(&self, options: LocalOptions) -> LocalClient {
        let kept = Arc::new(Kept {
            snapshot: ArcSwapOption::empty(),
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            revision: watch::Sender::new(None),
        });
        let following = tokio::spawn(follow::follow(self.clone(), Arc::clone(&kept)));
        LocalClient(Arc::new(Inner { client: self.clone(), options, kept, following }))
    }
}

// === impl LocalClient ===

impl LocalClient {
    /// Decides in process, or asks the server.
    ///
    /// # Errors
    /// As [`Client::check`], where the server has to be asked.
    pub async fn check(&self, question: &Question) -> Result<Decision, Error> {
        match self.decide(question) {
            Some(decision) => Ok(decision),
            None => self.0.client.check(question).await,
        }
    }

    /// The same, and lets through what [`Client::check_or_fail_open`] would where the server has to be asked and
    /// cannot be reached.
    ///
    /// # Errors
    /// As [`Client::check_or_fail_open`], where the server has to be asked.
    pub async fn check_or_fail_open(&self, question: &Question) -> Result<Answer, Error> {
        match self.decide(question) {
            Some(decision) => Ok(Answer::Decided(decision)),
            None => self.0.client.check_or_fail_open(question).await,
        }
    }

    /// Decides in process; `None` where the server has to be asked. It takes no lock and never waits.
    #[must_use]
    pub fn decide(&self, question: &Question) -> Option<Decision> {
        self.decide_at(question, SystemTime::now())
    }

    /// The same for another instant, on the policy as it is now.
    #[must_use]
    pub fn decide_at(&self, question: &Question, at: SystemTime) -> Option<Decision> {
        if self.staleness()? > self.0.options.max_staleness {
            return None;
        }
        let snapshot = self.0.kept.snapshot.load();
        let snapshot = snapshot.as_deref()?;
        if snapshot.revision().get() < self.0.client.oldest().get() {
            return None;
        }
        decide(snapshot, question, timestamp(at))
    }

    /// The revision of the policy that is kept; `None` until one has arrived.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        *self.0.kept.revision.borrow()
    }

    /// How long ago what is kept was known to be the server's newest policy; `None` if it never was.
    #[must_use]
    pub fn staleness(&self) -> Option<Duration> {
        match self.0.kept.heard.load(Ordering::Acquire) {
            0 => None,
            heard => Some(self.0.kept.begun.elapsed().saturating_sub(Duration::from_millis(heard))),
        }
    }

    /// Waits until a policy of this revision or a later one is kept. It may wait for ever.
    pub async fn wait_for(&self, at_least: Revision) {
        let mut revision = self.0.kept.revision.subscribe();
        // The sender lives as long as this client.
        let _ = revision.wait_for(|it| it.is_some_and(|revision| revision >= at_least)).await;
    }

    /// The client that asks the server.
    #[must_use]
    pub fn remote(&self) -> &Client {
        &self.0.client
    }
}

// === impl Inner ===

impl Drop for Inner {
    fn drop(&mut self) {
        self.following.abort();
    }
}

// === impl Kept ===

impl Kept {
    /// What is kept was all that there was at that instant.
    fn hear(&self, at: Instant) {
        let since = at.saturating_duration_since(self.begun).as_millis();
        self.heard.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The policy itself fills books.
        f.debug_struct("Kept").field("revision", &self.revision.borrow()).finish_non_exhaustive()
    }
}

/// The decision, if it depends on nothing but the policy.
fn decide(snapshot: &Snapshot, question: &Question, now: Timestamp) -> Option<Decision> {
    let Question { subject, permission, resource, counterpart, routing } = question;
    // What an account counts as depends on the sessions that use it (P10).
    let Subject::Person(person) = subject else { return None };
    let subject = SubjectRef::Person(person);
    let decided = match permission {
        Permission::Session(_) => return None,
        Permission::VaultAction(action) => {
            if counterpart.is_some() {
                return None;
            }
            check_vault(snapshot, &VaultQuestion { subject, action, entity: object(resource) }, now)
        }
        Permission::Operation(name) | Permission::Right(name) => {
            let kind = match permission {
                Permission::Right(_) => PermissionKind::Right,
                _ => PermissionKind::Operation,
            };
            let permission = PermissionRef { kind, name };
            let question = query::Question {
                counterpart: counterpart.as_ref().map(object),
                routing: *routing,
                ..query::Question::new(subject, permission, object(resource))
            };
            check(snapshot, &question, now)
        }
    };
    // What is wrong with a question is for the server to say.
    let query::Decision { effect, reason, revision } = decided.ok()?;
    if reason == query::Reason::UnknownResource
        && std::iter::once(resource).chain(counterpart).any(may_be_of_a_session)
    {
        return None;
    }
    let effect = match effect {
        query::Effect::Allow => Effect::Allow,
        query::Effect::Deny => Effect::Deny,
        query::Effect::RequiresApproval => Effect::RequiresApproval,
    };
    let revision = Revision::new(revision.get());
    Some(Decision { effect, reason: Reason::from(reason), revision, obligations: None })
}

/// Whether the object may be an account that was made for a session: no policy names it (P10).
fn may_be_of_a_session(resource: &Resource) -> bool {
    resource.type_name == BuiltInType::UserAccount.as_str()
}

fn object(resource: &Resource) -> ObjectRef<'_> {
    ObjectRef { type_name: &resource.type_name, id: &resource.id }
}

fn timestamp(at: SystemTime) -> Timestamp {
    let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(match at.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    })
}
