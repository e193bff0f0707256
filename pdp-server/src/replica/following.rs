//! Following the log: what etcd says of its heads is looked at as it happens, and once a second in any case.
//! What is new is fetched and taken over from there. So nothing depends on a watch that misses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pdp_proto::etcd::etcdserverpb as wire;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::etcd::Events;
use super::{Replica, Shared};
use crate::publish::{FollowError, LogError, Place, Publisher};

/// How often it is looked whether there is something new, besides being told.
const LOOK: Duration = Duration::from_secs(1);

/// After how many looks it is looked for chunks that nobody finished: five minutes.
const COLLECT_LOOKS: u64 = 300;

/// That the log is followed.
#[derive(Debug)]
pub struct Following {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What a follower knows.
struct Follower {
    shared: Arc<Shared>,
    publisher: Publisher,
    /// The revision of etcd up to which heads are known; 0 before the first look.
    looked: i64,
    events: Option<Events>,
    /// How often a connection had been given up when it was last asked to be told.
    given_up: u64,
    checkpoint: Option<JoinHandle<()>>,
}

// === impl Replica ===

impl Replica {
    /// Takes everything over that the log has, and makes the first tenant if it has none. `false` where etcd
    /// is out of reach: then the server is to begin with what it has, if that is anything.
    ///
    /// # Errors
    /// [`FollowError`] if what the log has cannot be taken over.
    pub fn catch_up(&self, publisher: &Publisher) -> Result<bool, FollowError> {
        let began = Instant::now();
        // It may be asked.
        self.0.state.answered();
        let outcome = publisher.catch_up().and_then(|_| publisher.begin_log());
        self.0.state.note(began, &outcome);
        match outcome {
            Ok(()) => Ok(true),
            Err(FollowError::Log(LogError::Unavailable(_))) => Ok(false),
            // What is here is good for decisions, and the log of the server says what is wrong.
            Err(FollowError::Log(_)) if !publisher.tenants().is_empty() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Begins to follow the log.
    #[must_use]
    pub fn begin(self, publisher: Publisher, there: &Handle) -> Following {
        let (stop, stopped) = oneshot::channel();
        Following { stop, task: there.spawn(self.follow(publisher, stopped)) }
    }

    /// Follows the log until it is told to stop, or the other end is gone.
    async fn follow(self, publisher: Publisher, mut stopped: oneshot::Receiver<()>) {
        let (shared, events, checkpoint) = (self.0, None, None);
        let mut follower =
            Follower { shared, publisher, looked: 0, events, given_up: 0, checkpoint };
        let mut looks = 0_u64;
        loop {
            follower.look().await;
            looks += 1;
            follower.tidy(looks % COLLECT_LOOKS == 1);
            tokio::select! {
                _ = &mut stopped => break,
                () = changed(&mut follower.events) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        if let Some(writing) = follower.checkpoint {
            writing.await.ok();
        }
    }
}

// === impl Following ===

impl Following {
    /// Ends it, once what it has begun is done.
    pub async fn end(self) {
        self.stop.send(()).ok();
        if self.task.await.is_err() {
            tracing::error!("following the log ended in an internal error");
        }
    }
}

// === impl Follower ===

impl Follower {
    /// Looks for heads that have moved, and takes over what they have.
    async fn look(&mut self) {
        let began = Instant::now();
        let outcome = self.taken().await;
        if outcome.is_err() {
            self.looked = 0;
        }
        self.shared.state.note(began, &outcome);
    }

    async fn taken(&mut self) -> Result<(), FollowError> {
        let range = self.shared.keys.heads();
        let ask = wire::RangeRequest { min_mod_revision: self.looked + 1, ..range.to_request() };
        let answer = self.shared.etcd.range(ask).await?;
        self.shared.state.answered();
        let revision = answer.header.map_or(0, |header| header.revision);
        let heads = answer.kvs.iter().map(|kv| Place::from_bytes(&kv.value));
        let heads: Vec<_> = heads
            .collect::<Result<_, _>>()
            .map_err(|_| LogError::Unusable("a head cannot be read".to_owned()))?;
        // At first, and where etcd has gone back, every log is looked at.
        let every = self.looked == 0 || revision < self.looked;
        if every || !heads.is_empty() {
            let publisher = self.publisher.clone();
            let taken = spawn_blocking(move || {
                if every { publisher.catch_up() } else { publisher.catch_up_to(&heads) }
            });
            match taken.await {
                Ok(taken) => taken.map(|_| ())?,
                Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
                Err(_) => return Ok(()),
            }
        }
        self.looked = revision;
        // Who does not answer will not tell either.
        let given_up = self.shared.etcd.given_up();
        if self.events.is_none() || self.given_up != given_up {
            self.given_up = given_up;
            self.events = Some(self.shared.etcd.watch(&range, revision + 1).await?);
        }
        Ok(())
    }

    /// Has a checkpoint written if it is time, while following goes on.
    fn tidy(&mut self, collect: bool) {
        let standing = self.shared.state.standing();
        let busy = self.checkpoint.as_ref().is_some_and(|writing| !writing.is_finished());
        if busy || !standing.reachable || standing.diverged || !standing.heard {
            return;
        }
        let (shared, publisher) = (Arc::clone(&self.shared), self.publisher.clone());
        self.checkpoint = Some(spawn_blocking(move || {
            let collected = if collect { shared.collect() } else { Ok(()) };
            if let Err(error) = collected.and_then(|()| shared.write_checkpoint(&publisher)) {
                tracing::warn!(%error, "the log is not made shorter");
            }
        }));
    }
}

/// Waits until something has happened to a head, or nothing more is told.
async fn changed(events: &mut Option<Events>) {
    let Some(told) = events else { return std::future::pending().await };
    loop {
        match told.message().await {
            Ok(Some(response)) if response.canceled => break,
            Ok(Some(response)) if response.events.is_empty() => {}
            Ok(Some(_)) => return,
            Ok(None) | Err(_) => break,
        }
    }
    *events = None;
}
