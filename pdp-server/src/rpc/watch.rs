//! The stream of change sets.

use std::sync::Arc;
use std::time::Duration;

use pdp_engine::facts::Change;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::policy_service_watch_response::Event;
use tokio::time::Instant;
use tonic::Request;

use super::Door;
use super::failure::Failure;
use super::leave::{Lasting, granted, tenant_of};
use super::malformed::Malformed;
use super::outbound;
use super::stream::{Gone, LiveStream, Sender};
use crate::audit::Digest;
use crate::publish::{Journaled, PolicyWatch, Position, Publisher, WatchError};
use crate::telemetry::Rpc;

/// How often a watcher without news is told that there are none.
const HEARTBEAT: Duration = Duration::from_secs(10);

type Response = v1::PolicyServiceWatchResponse;

/// Begins to tell change sets.
pub(super) async fn begin(
    door: &Arc<Door>,
    request: Request<v1::PolicyServiceWatchRequest>,
) -> Result<LiveStream<Response>, Failure> {
    let (metadata, extensions, v1::PolicyServiceWatchRequest { tenant: named, after }) =
        request.into_parts();
    let leave = granted(&extensions, &named)?;
    let standing = door.standing(&metadata, &extensions, Rpc::Watch)?;
    let tenant = tenant_of(leave)?;
    let after = after.map(inbound).transpose()?;
    let (sender, stream) = door.streams.open_endless(leave.asker().name())?;
    let stream = stream.by(Lasting::new(standing, &named));
    let publisher = door.behind.by(leave)?.clone();
    let begin = move || publisher.watch_policy(&tenant, after);
    let watch = tokio::task::spawn_blocking(begin).await.map_err(|_| Failure::Internal)??;
    tokio::spawn(tell(watch, sender));
    Ok(stream)
}

/// Tells change sets until the caller goes, the server shuts down, the tenant is deleted or the caller has
/// fallen behind what is kept.
async fn tell(mut watch: PolicyWatch, sender: Sender<Response>) {
    let mut beats = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    if sender.pass(heartbeat(&watch)).await.is_err() {
        return;
    }
    loop {
        let told = tokio::select! {
            () = sender.closed() => return,
            _ = beats.tick() => sender.pass(heartbeat(&watch)).await,
            journaled = watch.next() => match journaled {
                Ok(journaled) => {
                    beats.reset();
                    pass(&sender, journaled, &watch).await
                }
                Err(error) => {
                    sender.fail(error.into()).await;
                    return;
                }
            },
        };
        if told.is_err() {
            return;
        }
    }
}

async fn pass(
    sender: &Sender<Response>,
    journaled: Vec<Journaled>,
    watch: &PolicyWatch,
) -> Result<(), Gone> {
    for Journaled { position, at, changes, more } in journaled {
        let change_set = v1::ChangeSet {
            position: Some(outbound(position)),
            committed_at: Some(outbound::instant(at)),
            changes: changes.iter().map(change).collect(),
            more,
            latest: watch.latest().get(),
        };
        sender.pass(Response { event: Some(Event::ChangeSet(change_set)) }).await?;
    }
    Ok(())
}

fn heartbeat(watch: &PolicyWatch) -> Response {
    let (position, latest) = (Some(outbound(watch.position())), watch.latest().get());
    Response { event: Some(Event::Heartbeat(v1::PolicyHeartbeat { position, latest })) }
}

fn change(change: &Change) -> v1::Change {
    let change = match change {
        Change::Put(fact) => v1::change::Change::Put(outbound::fact(fact)),
        Change::Delete { key, cascade } => v1::change::Change::Delete(v1::Delete {
            key: Some(outbound::key(key)),
            cascade: *cascade,
        }),
    };
    v1::Change { change: Some(change) }
}

/// Where an export of a revision was.
pub(super) fn position(
    publisher: &Publisher,
    tenant: &TenantId,
    revision: Revision,
) -> Result<v1::PolicyPosition, WatchError> {
    Ok(outbound(publisher.position(tenant, revision)?))
}

fn outbound(Position { revision, mark }: Position) -> v1::PolicyPosition {
    let mark = mark.map(|Digest(mark)| mark.to_vec()).unwrap_or_default();
    v1::PolicyPosition { revision: revision.get(), mark }
}

fn inbound(wire: v1::PolicyPosition) -> Result<Position, Malformed> {
    let v1::PolicyPosition { revision, mark } = wire;
    let revision = Revision::new(revision);
    if mark.is_empty() {
        return Ok(Position { revision, mark: None });
    }
    let mark = <[u8; 32]>::try_from(mark);
    let mark = mark.map_err(|_| Malformed::new("after.mark", "must have 32 bytes, or none"))?;
    Ok(Position { revision, mark: Some(Digest(mark)) })
}
