//! What the threads of the publisher share and wait for: locks, and the pointer that readers follow.
//!
//! They are the standard library's and `arc-swap`'s. In tests with the feature `model`, each use of one is a place where
//! the scheduler of `shuttle` may go on with another thread, so that the orders in which threads come to them can be
//! drawn and enumerated (`publish/model.rs`). The pointer is a lock around a counted one then: that `arc-swap` behaves
//! like that is taken at its word.

#[cfg(not(all(test, feature = "model")))]
pub(crate) use {
    arc_swap::{ArcSwap, Guard},
    std::sync::{Mutex, MutexGuard, RwLock},
};

#[cfg(all(test, feature = "model"))]
pub(crate) use {
    modelled::{ArcSwap, Guard},
    shuttle::sync::{Mutex, MutexGuard, RwLock},
};

#[cfg(all(test, feature = "model"))]
mod modelled {
    use std::ops::Deref;
    use std::sync::{Arc, PoisonError};

    use shuttle::sync::Mutex;

    /// Stands for `arc_swap::ArcSwap`.
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    /// Stands for `arc_swap::Guard`: what was loaded, for as long as it is looked at.
    pub struct Guard<P>(P);

    // === impl ArcSwap ===

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Guard<Arc<T>> {
            Guard(self.load_full())
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&*self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), value)
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            drop(self.swap(value));
        }
    }

    // === impl Guard ===

    impl<T> Guard<Arc<T>> {
        pub(crate) fn from_inner(value: Arc<T>) -> Self {
            Self(value)
        }
    }

    impl<P> Deref for Guard<P> {
        type Target = P;

        fn deref(&self) -> &P {
            &self.0
        }
    }
}
