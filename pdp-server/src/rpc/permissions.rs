//! The stream of effective permissions: what is held, then what changes of it.
//!
//! A watcher holds what it has told. With each change of the snapshot it asks whether that can matter, and only
//! then works out anew what is held, in its turn among the lists, and tells the difference. It also does when
//! the next instant comes at which the passing of time alone may matter; it never looks in between.

mod asked;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pdp_engine::list::Effective;
use pdp_engine::query::Revision;
use pdp_engine::session::OpenSessions;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::watch_permissions_response::Event;
use tokio::time::{Instant, Interval};
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
    sessions: Sessions,
    /// It may be out of date: there was no turn to work it out anew.
    late: bool,
}

/// The sessions that it was worked out with.
struct Sessions {
    open: OpenSessions,
    /// Their number, which is told once they are shown: they may be those of the next one.
    turns: u64,
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
        let sessions = Sessions { open: snapshot.sessions().clone(), turns };
        let (revision, held) = (snapshot.revision(), Arc::new(held));
        Ok((Told { held, revision, at: now, next, sessions, late: false }, changes))
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
            let Ok(looked) = self.look_at_length(sender, &mut beats).await else {
                return End::Gone;
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

    /// Looks, however long it takes, and tells meanwhile up to when what was told holds.
    async fn look_at_length(
        &mut self,
        sender: &Sender<Response>,
        beats: &mut Interval,
    ) -> Result<Result<Look, Failure>, Gone> {
        let beat = self.heartbeat();
        let mut looked = pin!(self.look());
        loop {
            tokio::select! {
                () = sender.closed() => return Err(Gone),
                looked = &mut looked => return Ok(looked),
                _ = beats.tick() => sender.pass(beat.clone()).await?,
            }
        }
    }

    /// Looks whether what was told still holds.
    async fn look(&mut self) -> Result<Look, Failure> {
        let (snapshot, turns) = self.snapshots.look()?;
        let now = self.door.now();
        if !self.may_differ(&snapshot, turns, now).await? {
            self.told.sessions.see(snapshot.sessions(), turns);
            (self.told.revision, self.told.at) = (snapshot.revision(), now);
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
        let Told { held: _, revision, at: _, next, sessions, late } = &self.told;
        if *late || next.is_some_and(|next| next <= now) {
            return Ok(true);
        }
        if turns != sessions.turns && self.asked.sessions_touch(&sessions.open, snapshot.sessions())
        {
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

// === impl Sessions ===

impl Sessions {
    /// Sessions that change nothing of what was told. Those that come without a number of their own are held
    /// against what was told once they have it.
    fn see(&mut self, shown: &OpenSessions, turns: u64) {
        if turns != self.turns {
            (self.open, self.turns) = (shown.clone(), turns);
        }
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::id::{ObjectId, PersonId, SessionId};
    use pdp_engine::session::OpenSession;

    use super::*;

    #[test]
    fn sessions_that_are_shown_before_their_number_are_looked_at_once_it_is_there() {
        let session = OpenSession {
            id: SessionId::new("s").unwrap(),
            person: PersonId::new("lea").unwrap(),
            computer: ObjectId::new("web-07").unwrap(),
            level: None,
            group: None,
            account: None,
            opened: Timestamp::from_micros(1),
            not_after: Timestamp::from_micros(9),
        };
        let one = OpenSessions::new([session], []);
        let known = |told: &Sessions| told.open.on_computer("web-07").count();
        let mut told = Sessions { open: OpenSessions::default(), turns: 3 };
        told.see(&one, 3);
        assert_eq!(known(&told), 0, "or it would be held against itself");
        told.see(&one, 4);
        assert_eq!((known(&told), told.turns), (1, 4));
    }
}
