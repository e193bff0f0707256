//! The threads of a server. Those that decide each have a runtime of their own that never hands a
//! task to another thread: a burst of requests is read, decided and answered without waking anybody.
//! Everything that may take its time (lists, explanations, writes, exports) has the threads of
//! one ordinary runtime beside them, and blocking work that runtime's pool.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// How long a write that is at work after everything else has ended may take.
const LAST_WRITE: Duration = Duration::from_secs(30);

/// The most threads that may decide: more than machines have cores.
pub const MAX_GRPC_THREADS: usize = 1_024;

/// Which threads serve connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GrpcThreads {
    /// One that decides for each core; a connection stays with the one that it was given to.
    #[default]
    PerCore,
    /// So many that decide.
    Count(NonZeroUsize),
    /// Those of everything else: requests of one connection are spread over all of them, at the price
    /// of handing each over.
    Shared,
}

/// The threads of a server. Dropped, they end without being waited for.
#[derive(Debug)]
pub struct Threads {
    deciding: Vec<Deciding>,
    /// There until it is stopped.
    rest: Option<Runtime>,
    handle: Handle,
}

/// A thread that decides. It ends once the sender is gone.
#[derive(Debug)]
struct Deciding {
    handle: Handle,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

// === impl GrpcThreads ===

impl FromStr for GrpcThreads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "per-core" => Ok(Self::PerCore),
            "shared" => Ok(Self::Shared),
            _ => match text.parse() {
                Ok(count) if NonZeroUsize::get(count) <= MAX_GRPC_THREADS => Ok(Self::Count(count)),
                Ok(_) | Err(_) => {
                    Err(format!("it must be `per-core`, `shared` or 1 to {MAX_GRPC_THREADS}"))
                }
            },
        }
    }
}

impl fmt::Display for GrpcThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerCore => f.write_str("per-core"),
            Self::Count(count) => count.fmt(f),
            Self::Shared => f.write_str("shared"),
        }
    }
}

thread_local! {
    /// When this thread had nothing to do last, if it is one that decides.
    static RESTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// When this thread had nothing to do last; `None` where that is not known.
pub(crate) fn rested() -> Option<Instant> {
    RESTED.get()
}

/// Has this thread have had nothing to do last at an instant.
#[cfg(test)]
pub(crate) fn rest(at: Instant) {
    RESTED.set(Some(at));
}

// === impl Threads ===

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn start(grpc: GrpcThreads) -> std::io::Result<Self> {
        Self::start_with(grpc, || ())
    }

    /// Starts them. Each of those that decide does `first` before anything else.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn start_with(
        grpc: GrpcThreads,
        first: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let deciding = match grpc {
            GrpcThreads::PerCore => available_parallelism().map_or(1, NonZeroUsize::get),
            GrpcThreads::Count(count) => count.get(),
            GrpcThreads::Shared => 0,
        };
        let rest = Builder::new_multi_thread().thread_name("pdp-work").enable_all().build()?;
        let deciding = (0..deciding).map(|number| Deciding::start(number, first.clone()));
        let deciding = deciding.collect::<Result<_, _>>()?;
        Ok(Self { deciding, handle: rest.handle().clone(), rest: Some(rest) })
    }

    /// What serves gRPC connections: each of these its own.
    #[must_use]
    pub fn lanes(&self) -> Vec<Handle> {
        match self.deciding.as_slice() {
            [] => vec![self.handle.clone()],
            deciding => deciding.iter().map(|thread| thread.handle.clone()).collect(),
        }
    }

    /// What runs everything else.
    #[must_use]
    pub fn rest(&self) -> &Handle {
        &self.handle
    }

    /// Ends every task, and waits for writes that are at work.
    pub async fn stop(mut self) {
        let (deciding, rest) = (std::mem::take(&mut self.deciding), self.rest.take());
        let stop = move || {
            let ends = deciding.into_iter().map(|Deciding { handle: _, end, thread }| {
                drop(end);
                thread
            });
            // All are told before the first is waited for.
            for thread in ends.collect::<Vec<_>>() {
                thread.join().ok();
            }
            if let Some(rest) = rest {
                rest.shutdown_timeout(LAST_WRITE);
            }
        };
        tokio::task::spawn_blocking(stop).await.ok();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Where `run` itself was dropped half-way: a runtime may not wait there.
        if let Some(rest) = self.rest.take() {
            rest.shutdown_background();
        }
    }
}

// === impl Deciding ===

impl Deciding {
    fn start(number: usize, first: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(|| RESTED.set(Some(Instant::now())))
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let work = move || {
            first();
            // Tasks run while it waits. An error is the sender's end, and meant to be.
            runtime.block_on(ended).ok();
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(format!("pdp-grpc-{number}")).spawn(work)?;
        Ok(Self { handle, end, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["per-core", "shared", "1", "1024"] {
            assert_eq!(text.parse::<GrpcThreads>().unwrap().to_string(), text);
        }
        for text in ["", "0", "1025", "-1", "all"] {
            assert!(text.parse::<GrpcThreads>().unwrap_err().contains("1 to 1024"), "{text}");
        }
    }

    #[tokio::test]
    async fn each_lane_is_a_thread_of_its_own_and_ends() {
        let two = GrpcThreads::Count(NonZeroUsize::MIN.saturating_add(1));
        for (grpc, lanes) in [(two, 2), (GrpcThreads::Shared, 1)] {
            let threads = Threads::start(grpc).unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for lane in threads.lanes() {
                let name = || std::thread::current().name().map(str::to_owned);
                seen.insert(lane.spawn(async move { name() }).await.unwrap());
            }
            assert_eq!(seen.len(), lanes);
            let forever = threads.lanes().swap_remove(0).spawn(std::future::pending::<()>());
            threads.stop().await;
            assert!(forever.await.unwrap_err().is_cancelled());
        }
    }
}
