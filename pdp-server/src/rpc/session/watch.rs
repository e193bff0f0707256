//! The stream of work.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pdp_engine::id::ObjectId;
use pdp_proto::v1;
use tokio::time::Instant;

use super::super::Door;
use super::super::failure::Failure;
use super::super::leave::tenant_of;
use super::super::malformed::{Malformed, names};
use super::super::stream::{LiveStream, Sender};
use super::outbound::revocation;
use crate::callers::Granted;
use crate::publish::{Watcher, Work};

/// How many computers a watcher may name.
const MAX_WATCHED_COMPUTERS: usize = 10_000;

/// How many items may be with a watcher at once, and how many are where it does not say.
const MAX_OUTSTANDING: usize = 1_000;
const DEFAULT_OUTSTANDING: usize = 100;

/// How long an item may belong to a watcher, and how long it does where the watcher does not say.
const LEASES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);
const DEFAULT_LEASE: Duration = Duration::from_secs(60);

/// How often a watcher without work is told that there is none.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Begins to hand out work.
pub(super) fn begin(
    door: &Arc<Door>,
    granted: Granted<'_>,
    request: v1::WatchRevocationsRequest,
) -> Result<LiveStream<v1::WatchRevocationsResponse>, Failure> {
    let v1::WatchRevocationsRequest { tenant: _, computers, lease, max_outstanding } = request;
    let tenant = tenant_of(granted)?;
    if computers.len() > MAX_WATCHED_COMPUTERS {
        return Err(Failure::Limit {
            limit: "max_watched_computers",
            field: "computers",
            unit: "computers",
            maximum: MAX_WATCHED_COMPUTERS,
            actual: computers.len(),
        });
    }
    let maximum = match usize::try_from(max_outstanding) {
        Ok(0) => DEFAULT_OUTSTANDING,
        Ok(maximum) if maximum <= MAX_OUTSTANDING => maximum,
        Ok(_) | Err(_) => {
            return Err(Failure::Limit {
                limit: "max_outstanding",
                field: "max_outstanding",
                unit: "items",
                maximum: MAX_OUTSTANDING,
                actual: usize::try_from(max_outstanding).unwrap_or(usize::MAX),
            });
        }
    };
    let lease = self::lease(lease)?;
    let computers: HashSet<ObjectId> = names("computers", &computers, ObjectId::new)?;
    let computers = (!computers.is_empty()).then_some(computers);
    let watcher = door.behind.by(granted)?.watch_work(&tenant, computers, lease, maximum)?;
    let (sender, stream) = door.streams.open_endless(granted.asker().name())?;
    tokio::spawn(hand_out(watcher, sender));
    Ok(stream)
}

fn lease(wire: Option<prost_types::Duration>) -> Result<Duration, Malformed> {
    let Some(wire) = wire else { return Ok(DEFAULT_LEASE) };
    let lease = Duration::try_from(wire).ok().filter(|lease| LEASES.contains(lease));
    lease.ok_or_else(|| Malformed::new("lease", "must be from 1 second to 1 hour"))
}

/// Sends work until the caller goes, the server shuts down or the tenant is deleted.
async fn hand_out(mut watcher: Watcher, sender: Sender<v1::WatchRevocationsResponse>) {
    use v1::watch_revocations_response::Event;
    let message = |event| v1::WatchRevocationsResponse { event: Some(event) };
    let beat = || message(Event::Heartbeat(v1::WatchHeartbeat {}));
    let mut beats = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    if sender.pass(beat()).await.is_err() {
        return;
    }
    loop {
        let work = tokio::select! {
            () = sender.closed() => return,
            _ = beats.tick() => Vec::new(),
            work = watcher.next() => match work {
                Ok(work) => work,
                Err(error) => {
                    sender.fail(error.into()).await;
                    return;
                }
            },
        };
        if work.is_empty() && sender.pass(beat()).await.is_err() {
            return;
        }
        for Work { session, kind } in work {
            let items = session.revocations.iter().filter(|it| it.kind == kind);
            for item in items {
                let event = Event::Revocation(revocation(&session, item));
                if sender.pass(message(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}
