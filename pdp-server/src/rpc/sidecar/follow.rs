//! Following: an export, then every change set behind it; another export where there is no going on. Each
//! tenant goes its own way.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::policy_service_watch_response::Event;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::super::{Health, Malformed, inbound};
use super::Sidecar;
use crate::publish::{KeepError, Publisher};

/// How long a stream may be silent before it counts as broken: two of the server's heartbeats, which come
/// every 10 seconds, and some time on the way.
const SILENCE: Duration = Duration::from_secs(25);

/// The pause before the server is asked again, and the longest one: it is soon there again, mostly, and a
/// sidecar that is stale asks it for every decision.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// That policies are followed. Dropped, they are not any more.
pub(crate) struct Following(#[expect(dead_code, reason = "dropped, its tasks end")] JoinSet<()>);

/// What follows the policy of one tenant.
struct Follower {
    sidecar: Sidecar,
    publisher: Publisher,
    health: Health,
    tenant: TenantId,
}

/// Why it does not go on.
enum Trouble {
    /// The way to the server, or the server, is gone: it goes on where it was once it is there again.
    Lost(Status),
    /// What is kept leads no further: it begins anew.
    Over(String),
}

// === impl Following ===

impl Following {
    pub(super) fn begin(
        sidecar: &Sidecar,
        publisher: Publisher,
        health: &Health,
        there: &Handle,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(sidecar.server.clone().reread(), there);
        for tenant in sidecar.followed.tenants() {
            let follower = Follower {
                sidecar: sidecar.clone(),
                publisher: publisher.clone(),
                health: health.clone(),
                tenant: tenant.clone(),
            };
            tasks.spawn_on(follower.follow(), there);
        }
        Self(tasks)
    }
}

// === impl Follower ===

impl Follower {
    /// Follows for as long as it is polled.
    async fn follow(self) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let mut kept = false;
            let over = match self.begin().await {
                Ok(position) => {
                    kept = true;
                    tracing::info!(tenant = %self.tenant, revision = position.revision, "the policy is kept");
                    let over = self.go_on(position).await;
                    // It may be the policy of another history.
                    self.sidecar.followed.forget(&self.tenant);
                    if let Err(error) = self.publisher.let_go(&self.tenant) {
                        tracing::error!(%error, "a policy is not let go of");
                    }
                    self.tell_health().await;
                    over
                }
                Err(Trouble::Lost(status)) => said(&status),
                Err(Trouble::Over(why)) => why,
            };
            tracing::warn!(tenant = %self.tenant, why = over, "the policy is not kept; the server is asked");
            // A large policy takes long to be read in vain, too.
            pause(&mut failures, kept && begun.elapsed() >= LONGEST_PAUSE).await;
        }
    }

    /// Reads the policy.
    async fn begin(&self) -> Result<v1::PolicyPosition, Trouble> {
        // What was the policy when it was read is as old as the question.
        let asked = self.sidecar.followed.now();
        let request = v1::ExportRequest { tenant: self.tenant.to_string() };
        let request = self.sidecar.server.own(request);
        let mut server = self.sidecar.server.policies();
        let mut parts = within(server.export(request)).await?.into_inner();
        let (mut facts, mut at) = (Vec::new(), None);
        while let Some(part) = within(parts.message()).await? {
            let v1::ExportResponse { revision: _, facts: some, position } = part;
            at = position;
            facts.extend(some);
        }
        let at = at.ok_or_else(|| Trouble::over("the export tells no position"))?;
        let (publisher, tenant) = (self.publisher.clone(), self.tenant.clone());
        let revision = Revision::new(at.revision);
        let keep = move || {
            let facts = facts.into_iter().map(inbound::fact).collect::<Result<Vec<Fact>, _>>();
            let facts = Facts::load(facts.map_err(not_understood)?).map_err(KeepError::of)?;
            publisher.keep(&tenant, revision, facts)
        };
        aside(keep).await?;
        self.sidecar.followed.hear(&self.tenant, asked);
        self.tell_health().await;
        Ok(at)
    }

    /// Takes change set after change set, over one connection after the other, until there is no going on.
    async fn go_on(&self, mut at: v1::PolicyPosition) -> String {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let status = match self.watch(&mut at).await {
                Err(Trouble::Lost(status)) => status,
                Err(Trouble::Over(why)) => return why,
            };
            self.sidecar.followed.lose(&self.tenant);
            let why = said(&status);
            tracing::warn!(tenant = %self.tenant, why, "the server is not heard of; trying again");
            pause(&mut failures, begun.elapsed() >= LONGEST_PAUSE).await;
        }
    }

    /// Takes change sets over one connection.
    async fn watch(&self, at: &mut v1::PolicyPosition) -> Result<Infallible, Trouble> {
        let (tenant, after) = (self.tenant.to_string(), Some(at.clone()));
        let request = v1::PolicyServiceWatchRequest { tenant, after };
        let request = self.sidecar.server.own(request);
        let mut server = self.sidecar.server.policies();
        let mut told = within(server.watch(request)).await?.into_inner();
        let (mut parts, mut newest) = (Vec::new(), None);
        loop {
            let ended = || Trouble::Lost(Status::unavailable("the watch has ended"));
            let looked = self.sidecar.followed.now();
            let message = match told.message().now_or_never() {
                Some(message) => message.map_err(Trouble::from)?,
                None => {
                    // Nothing has come that was not taken, and nothing more was there when the last of it was
                    // sent. What came before it is no sign that the policy is as new: it may have been sent
                    // long ago.
                    if newest == Some(at.revision) && parts.is_empty() {
                        self.sidecar.followed.hear(&self.tenant, looked);
                        self.tell_health().await;
                    }
                    within(told.message()).await?
                }
            };
            match message.ok_or_else(ended)?.event {
                Some(Event::Heartbeat(v1::PolicyHeartbeat {
                    position: Some(position),
                    latest,
                })) if position.revision == at.revision => {
                    (*at, newest) = (position, Some(latest));
                }
                Some(Event::ChangeSet(set)) => {
                    let v1::ChangeSet { position, committed_at: _, changes, more, latest } = set;
                    newest = Some(latest);
                    let next =
                        position.filter(|next| Some(next.revision) == at.revision.checked_add(1));
                    let next = next.ok_or_else(|| Trouble::over("a change set is missing"))?;
                    parts.extend(changes);
                    if more {
                        continue;
                    }
                    self.take(std::mem::take(&mut parts), next.revision).await?;
                    *at = next;
                }
                Some(Event::Heartbeat(_)) | None => {
                    return Err(Trouble::over("a message of the watch is not understood"));
                }
            }
        }
    }

    /// Takes a change set over.
    async fn take(&self, changes: Vec<v1::Change>, to: u64) -> Result<(), Trouble> {
        let (publisher, tenant) = (self.publisher.clone(), self.tenant.clone());
        aside(move || {
            let changes = changes.into_iter().map(inbound::change);
            let changes = changes.collect::<Result<Vec<Change>, _>>().map_err(not_understood)?;
            publisher.keep_on(&tenant, &changes, Revision::new(to))
        })
        .await
    }

    /// Health says at once what has become of it.
    async fn tell_health(&self) {
        self.health.up(self.publisher.unready()).await;
    }
}

/// Compiling takes its time.
async fn aside(
    keep: impl FnOnce() -> Result<(), KeepError> + Send + 'static,
) -> Result<(), Trouble> {
    match tokio::task::spawn_blocking(keep).await {
        Ok(kept) => kept.map_err(|error| Trouble::over(error.to_string())),
        Err(_) => Err(Trouble::over("keeping the policy ended in an internal error")),
    }
}

fn not_understood(Malformed { path, message }: Malformed) -> KeepError {
    KeepError::of(format!("`{path}` {message}"))
}

/// What the server says, unless it says nothing for too long.
async fn within<T>(said: impl Future<Output = Result<T, Status>>) -> Result<T, Trouble> {
    match tokio::time::timeout(SILENCE, said).await {
        Ok(said) => said.map_err(Trouble::from),
        Err(_) => Err(Trouble::Lost(Status::unavailable("nothing was heard for 25 s"))),
    }
}

fn said(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}

/// Waits longer each time, and not together with other sidecars.
async fn pause(failures: &mut u32, lasted: bool) {
    // What has lasted is not one of a row.
    *failures = if lasted { 1 } else { failures.saturating_add(1) };
    let longest = FIRST_PAUSE.saturating_mul(1 << (*failures - 1).min(10)).min(LONGEST_PAUSE);
    let drawn = getrandom::u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX));
    tokio::time::sleep(longest.mul_f64(0.5 + drawn / 2.0)).await;
}

// === impl Trouble ===

impl Trouble {
    fn over(why: impl Into<String>) -> Self {
        Self::Over(why.into())
    }
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        use std::error::Error as _;
        match status.code() {
            // No going on from here, or no leave to.
            Code::OutOfRange
            | Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::DataLoss
                if status.source().is_none() =>
            {
                Self::Over(said(&status))
            }
            _ => Self::Lost(status),
        }
    }
}
