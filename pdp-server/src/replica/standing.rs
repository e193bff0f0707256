//! How the log and this server stand, as far as following it tells.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::publish::{FollowError, LogError, Standing};

/// What is known.
pub(super) struct State {
    limit: Option<Duration>,
    known: Mutex<Known>,
}

#[derive(Clone, Copy)]
struct Known {
    /// When the server knew that it had everything, or began without knowing it.
    since: Instant,
    heard: bool,
    reachable: bool,
    diverged: bool,
}

// === impl State ===

impl State {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let known = Known { since: Instant::now(), heard: false, reachable: true, diverged: false };
        Self { limit, known: Mutex::new(known) }
    }

    /// Notes how an attempt to take everything over went that began then.
    pub(super) fn note(&self, began: Instant, outcome: &Result<(), FollowError>) {
        let before = self.known();
        let known = match outcome {
            Ok(()) => Known { since: began, heard: true, reachable: true, diverged: false },
            Err(FollowError::Log(LogError::Diverged(_))) => {
                Known { reachable: true, diverged: true, ..before }
            }
            Err(FollowError::Log(_)) => Known { reachable: false, ..before },
            Err(FollowError::Store(_) | FollowError::Broken(_)) => before,
        };
        match outcome {
            Ok(()) if !before.reachable || before.diverged => {
                tracing::info!("the log is followed again");
            }
            Err(error) if known.diverged && !before.diverged => {
                tracing::error!(%error, "the log is refused; decisions go on with what is here");
            }
            Err(error) if before.reachable && !known.reachable => {
                tracing::warn!(%error, "the log is not followed; decisions go on with what is here, and nothing is written");
            }
            Err(error @ (FollowError::Store(_) | FollowError::Broken(_))) => {
                tracing::error!(%error, "what the log has cannot be taken over");
            }
            _ => {}
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// That etcd has answered, before anything was taken over: it may be asked for it.
    pub(super) fn answered(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).reachable = true;
    }

    pub(super) fn standing(&self) -> Standing {
        let Known { since, heard, reachable, diverged } = self.known();
        Standing { age: since.elapsed(), heard, reachable, diverged, limit: self.limit }
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
