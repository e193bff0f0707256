//! The log of decisions. A thread that decides copies a record of a fixed size and its texts into a ring
//! of its own and goes on; one thread of this room's own makes lines of what is in the rings and writes them. A
//! ring that is full is not waited for: the record is dropped, and counted.
//!
//! Nothing here knows a door, or the policy.

mod line;
mod mask;
mod noted;
mod record;
mod ring;
mod sink;
mod writer;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pdp_engine::query::{Decision, Effect};
use pdp_engine::time::Timestamp;

use crate::config::{DecisionLog as Settings, LogTarget, Share};
use crate::decision_id::DecisionId;
use crate::telemetry::{DecisionRpc, Metrics, RequestSpan, TraceId};
use line::Lines;
pub(crate) use noted::{Noted, NotedPermission, NotedSubject};
use record::{Record, Texts};
use ring::{Arriving, Sending, ring};
use sink::Sink;
use writer::Writer;

/// How long writing what is left may take at the end.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Why decisions cannot be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file does not open.
    #[error("`decision_log` names {}, which cannot be written: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file of the key holds none.
    #[error("`decision_log_mask_key` names {}, which is no key: {why}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system gives no random numbers.
    #[error("drawing random numbers: {0}")]
    Random(std::io::Error),
    /// The operating system gives no thread.
    #[error("starting the thread that logs decisions: {0}")]
    Thread(std::io::Error),
}

/// Where decisions are noted. Does nothing where they are not logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecisionLog(Option<Arc<Shared>>);

/// The thread that writes. Dropped, it ends without being waited for.
#[derive(Debug)]
pub(crate) struct Writing(Option<(Sender<()>, JoinHandle<()>)>);

/// Who asks, what through, and when: what a record has besides question and answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) rpc: DecisionRpc,
    pub(crate) tenant: &'a str,
    /// Empty where nobody is asked who they are.
    pub(crate) caller: &'a str,
    pub(crate) trace: Option<TraceId>,
    /// The request's, if it has one.
    pub(crate) span: Option<&'a RequestSpan>,
    /// The instant that it is decided for.
    pub(crate) at: Timestamp,
}

/// What deciding threads and the writer share.
struct Shared {
    /// Its number among the logs of this process.
    number: u64,
    allows: Share,
    ring: usize,
    /// Rings of threads that the writer does not know yet.
    joined: Mutex<Vec<Arriving>>,
    metrics: Arc<Metrics>,
}

/// A thread's end of its ring.
struct Lane {
    /// Of the log that it leads to.
    number: u64,
    ring: Sending,
}

thread_local! {
    static LANE: RefCell<Option<Lane>> = const { RefCell::new(None) };
}

// === impl DecisionLog ===

impl DecisionLog {
    /// Begins to log, if the settings say so.
    pub(crate) fn start(
        settings: &Settings,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Writing), LogError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let bytes = u64::try_from(settings.max_bytes).unwrap_or(u64::MAX);
        let sink = match &settings.to {
            LogTarget::Off => return Ok((Self(None), Writing(None))),
            LogTarget::StandardOutput => Sink::standard_output(),
            LogTarget::File(path) => Sink::file(path, bytes, settings.keep)
                .map_err(|source| LogError::File { path: path.clone(), source })?,
        };
        let shared = Arc::new(Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            allows: settings.allows,
            ring: settings.ring,
            joined: Mutex::default(),
            metrics: Arc::clone(metrics),
        });
        let lines = Lines::new(settings)?;
        let (shared_too, rings) = (Arc::clone(&shared), Vec::new());
        let writer = Writer { shared: shared_too, lines, sink, rings, failing: false };
        let (stop, stopped) = mpsc::channel();
        let write = move || writer.run(&stopped);
        let thread = std::thread::Builder::new().name("pdp-decision-log".to_owned()).spawn(write);
        Ok((Self(Some(shared)), Writing(Some((stop, thread.map_err(LogError::Thread)?)))))
    }

    /// Whether decisions are logged.
    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Gives the thread at hand its ring. Without this it gets one with its first record.
    pub(crate) fn join(&self) {
        let Some(shared) = &self.0 else { return };
        LANE.try_with(|lane| {
            if let Ok(mut lane) = lane.try_borrow_mut() {
                *lane = Some(shared.lane());
            }
        })
        .ok();
    }

    /// Notes a decision: always one that does not allow, and of those that allow a share. Waits for
    /// nothing. Whether it is one that is noted.
    pub(crate) fn note<'q>(
        &self,
        asking: &Asking<'_>,
        decision: &Decision,
        id: DecisionId,
        question: impl FnOnce() -> Option<Noted<&'q str>>,
    ) -> bool {
        let Some(shared) = &self.0 else { return false };
        if decision.effect == Effect::Allow && !shared.allows.holds(id.number()) {
            return false;
        }
        let noted = LANE.try_with(|lane| {
            let mut lane = lane.try_borrow_mut().ok()?;
            if lane.as_ref().is_none_or(|lane| lane.number != shared.number) {
                *lane = Some(shared.lane());
            }
            let Lane { number: _, ring } = lane.as_mut()?;
            if ring.is_full() {
                return None;
            }
            let mut texts = Texts::new();
            let record = Record::new(id, asking, question()?, decision, &mut texts);
            ring.push(record, &texts)
        });
        let noted = matches!(noted, Ok(Some(())));
        if !noted {
            shared.metrics.decision_dropped();
        }
        noted
    }
}

// === impl Writing ===

impl Writing {
    /// Writes what is left: nobody may decide any more.
    pub(crate) async fn finish(mut self) {
        let Some((stop, thread)) = self.0.take() else { return };
        drop(stop);
        let ended = tokio::task::spawn_blocking(|| thread.join());
        match tokio::time::timeout(LAST_LINES, ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the log of decisions ended in an internal error"),
            Err(_) => tracing::error!("the last decisions could not be logged in time"),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// A new ring, which the writer is told of. This takes a lock, once in a thread's life.
    fn lane(&self) -> Lane {
        let (ring, arriving) = ring(self.ring);
        self.joined.lock().unwrap_or_else(PoisonError::into_inner).push(arriving);
        Lane { number: self.number, ring }
    }

    /// The rings that came since this was asked last.
    fn joined(&self) -> Vec<Arriving> {
        std::mem::take(&mut *self.joined.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("number", &self.number).finish_non_exhaustive()
    }
}
