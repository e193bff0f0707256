//! The stream of effective permissions: what is held, then what changes of it.
//!
//! A watcher holds what it has told. With each change of the snapshot it asks whether that can matter, and only
//! then works out anew what is held, in its turn among the lists, and tells the difference. It also does when
//! the next instant comes at which the passing of time alone may matter; it never looks in between.

mod asked;

use std::sync::Arc;
use std::time::Duration;

use pdp_engine::list::Effective;
use pdp_engine::query::Revision;
use pdp_engine::session::OpenSessions;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::watch_permissions_response::Event;
use tokio::time::Instant;
use tonic::Request;

use super::failure::Failure;
use super::leave::{Lasting, granted, tenant_of};
use super::patience::patience;
use super::running::LONGEST_QUEUE;
use super::stream::{Gone, LiveStream, Sender};
use super::{Door, outbound};
use crate::publish::SnapshotWatch;
use crate::telemetry::Rpc;
use asked::Asked;

/// How often a watcher without news is told that there are none. The clock is looked at as often, so that one
/// that was set forward is noticed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How many permissions a message tells: a fraction of what clients take, however long the names are.
const PER_MESSAGE: usize = 1_000;

/// The shortest wait for an instant: where the clock stands still, it is looked at so often.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

type Response = v1::WatchPermissionsResponse;

/// Somebody who watches.
struct Watcher {
    door: Arc<Door>,
    asked: Arc<Asked>,
    snapshots: SnapshotWatch,
    told: Told,
}

/// What has been told.
struct Told {
    held: Arc<Effective>,
    revision: Revision,
    /// The instant that it was worked out for.
    at: Timestamp,
    /// The next instant at which the passing of time may change it.
    next: Option<Timestamp>,
    sessions: OpenSessions,
    /// The number of the sessions.
    turns: u64,
    /// It may be out of date: there was no turn to work it out anew.
    late: bool,
}

/// What came of a look.
enum Look {
    /// Nothing that was told is otherwise.
    Same,
    Changed(Vec<v1::PermissionChange>),
    /// Too many lists are being made.
    Later,
}

/// Why a watch ends.
enum End {
    Gone,
    Failed(Failure),
}

/// Begins to tell what is held.
pub(super) async fn begin(
    door: &Arc<Door>,
    request: Request<v1::WatchPermissionsRequest>,
) -> Result<LiveStream<Response>, Failure> {
    let (metadata, extensions, request) = request.into_parts();
    let named = request.tenant.clone();
    let leave = granted(&extensions, &named)?;
    let standing = door.standing(&metadata, &extensions, Rpc::WatchPermissions)?;
    let tenant = tenant_of(leave)?;
    let at_least = request.at_least;
    let asked = Arc::new(Asked::new(request)?);
    let (sender, stream) = door.streams.open_endless(leave.asker().name())?;
    let stream = stream.by(Lasting::new(standing, &named));
    drop(door.fresh(leave, at_least, &metadata).await?);
    let mut snapshots = door.behind.by(leave)?.watch_snapshot(&tenant)?;
    let (snapshot, turns) = snapshots.look()?;
    let patience = patience(&metadata, door.max_wait);
    let (told, _) = work_out(door, &asked, (snapshot, turns), None, patience).await?;
    let watcher = Watcher { door: Arc::clone(door), asked, snapshots, told };
    tokio::spawn(watcher.tell(sender));
    Ok(stream)
}

/// Works out what is held, and how that differs from what was.
async fn work_out(
    door: &Arc<Door>,
    asked: &Arc<Asked>,
    (snapshot, turns): (Arc<Snapshot>, u64),
    before: Option<Arc<Effective>>,
    patience: Duration,
) -> Result<(Told, Vec<v1::PermissionChange>), Failure> {
    let (asked, now) = (Arc::clone(asked), door.now());
    let work = move |wanted: &dyn Fn() -> bool| {
        let held = asked.effective(&snapshot, now, wanted)?;
        let next = asked.next_instant(&snapshot, now);
        let changes = before.map(|before| asked.changes(&before, &held)).unwrap_or_default();
        let (revision, sessions) = (snapshot.revision(), snapshot.sessions().clone());
        let held = Arc::new(held);
        Ok((Told { held, revision, at: now, next, sessions, turns, late: false }, changes))
    };
    door.listing(patience.min(LONGEST_QUEUE), work).await
}

// === impl Watcher ===

impl Watcher {
    /// Tells until the caller goes, the server shuts down, the tenant is deleted or there is too much.
    async fn tell(mut self, sender: Sender<Response>) {
        let End::Failed(failure) = self.tell_on(&sender).await else { return };
        let failure = self.door.failed(Rpc::WatchPermissions, failure);
        sender.fail(failure).await;
    }

    async fn tell_on(&mut self, sender: &Sender<Response>) -> End {
        if self.tell_state(sender).await.is_err() {
            return End::Gone;
        }
        let mut beats = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        loop {
            let pause = self.pause();
            let mut is_beat = false;
            tokio::select! {
                () = sender.closed() => return End::Gone,
                _ = beats.tick() => is_beat = true,
                () = self.snapshots.changed() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
            let looked = tokio::select! {
                () = sender.closed() => return End::Gone,
                looked = self.look() => looked,
            };
            let told = match looked {
                Err(failure) => return End::Failed(failure),
                Ok(Look::Same) if !is_beat => Ok(()),
                Ok(Look::Same | Look::Later) => sender.pass(self.heartbeat()).await,
                Ok(Look::Changed(changes)) => {
                    beats.reset();
                    self.tell_changes(sender, changes).await
                }
            };
            if told.is_err() {
                return End::Gone;
            }
        }
    }

    /// How long until time may have changed something; `None` if it does not.
    fn pause(&self) -> Option<Duration> {
        if self.told.late {
            return Some(SHORTEST_WAIT);
        }
        let left = self.told.next?.as_micros().saturating_sub(self.door.now().as_micros());
        let left = Duration::from_micros(u64::try_from(left).unwrap_or_default());
        // A longer wait ends with the next heartbeat.
        (left <= HEARTBEAT).then(|| left.max(SHORTEST_WAIT))
    }

    /// Looks whether what was told still holds.
    async fn look(&mut self) -> Result<Look, Failure> {
        let (snapshot, turns) = self.snapshots.look()?;
        let now = self.door.now();
        if !self.may_differ(&snapshot, turns, now).await? {
            let (revision, sessions) = (snapshot.revision(), snapshot.sessions().clone());
            (self.told.revision, self.told.sessions, self.told.turns) = (revision, sessions, turns);
            self.told.at = now;
            return Ok(Look::Same);
        }
        let before = Some(Arc::clone(&self.told.held));
        let seen = (snapshot, turns);
        match work_out(&self.door, &self.asked, seen, before, LONGEST_QUEUE).await {
            Ok((told, changes)) => {
                self.told = told;
                Ok(if changes.is_empty() { Look::Same } else { Look::Changed(changes) })
            }
            Err(Failure::TooManyLists { .. }) => {
                self.told.late = true;
                Ok(Look::Later)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether something that was told may be otherwise: by time, by sessions or by change sets.
    async fn may_differ(
        &self,
        snapshot: &Arc<Snapshot>,
        turns: u64,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let Told { held: _, revision, at: _, next, sessions, turns: told, late } = &self.told;
        if *late || next.is_some_and(|next| next <= now) {
            return Ok(true);
        }
        if turns != *told && self.asked.sessions_touch(sessions, snapshot.sessions()) {
            return Ok(true);
        }
        if snapshot.revision() == *revision {
            return Ok(false);
        }
        let Some(sets) = self.snapshots.deltas(*revision, snapshot.revision()) else {
            return Ok(true);
        };
        let (asked, snapshot) = (Arc::clone(&self.asked), Arc::clone(snapshot));
        let touched = move || Ok(sets.iter().any(|deltas| asked.is_touched(deltas, &snapshot)));
        self.door.aside(touched).await
    }

    fn heartbeat(&self) -> Response {
        let Told { revision, at, .. } = &self.told;
        let (revision, at) = (revision.get(), Some(outbound::instant(*at)));
        Response { event: Some(Event::Heartbeat(v1::PermissionHeartbeat { revision, at })) }
    }

    async fn tell_state(&self, sender: &Sender<Response>) -> Result<(), Gone> {
        let (revision, at) = (self.told.revision.get(), Some(outbound::instant(self.told.at)));
        let mut rest = self.told.held.iter().peekable();
        loop {
            let some = rest.by_ref().take(PER_MESSAGE);
            let permissions = some.map(|held| self.asked.held(held)).collect();
            let more = rest.peek().is_some();
            let state = v1::PermissionState { revision, at, permissions, more };
            sender.pass(Response { event: Some(Event::State(state)) }).await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn tell_changes(
        &self,
        sender: &Sender<Response>,
        changes: Vec<v1::PermissionChange>,
    ) -> Result<(), Gone> {
        let (revision, at) = (self.told.revision.get(), Some(outbound::instant(self.told.at)));
        let mut rest = changes.into_iter().peekable();
        while rest.peek().is_some() {
            let changes = rest.by_ref().take(PER_MESSAGE).collect();
            let more = rest.peek().is_some();
            let changes = v1::PermissionChanges { revision, at, changes, more };
            sender.pass(Response { event: Some(Event::Changes(changes)) }).await?;
        }
        Ok(())
    }
}
