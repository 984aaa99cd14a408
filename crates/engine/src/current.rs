//! What there is one of at a time, and which is replaced as a whole.

use std::sync::Arc;

pub(crate) use imp::Current;

/// Taking it waits for nobody.
#[cfg(not(any(loom, shuttle)))]
mod imp {
    use super::Arc;
    use arc_swap::{ArcSwap, Guard};

    /// The current value, which readers take as it is and keep as long as they like.
    #[derive(Debug)]
    pub(crate) struct Current<T>(ArcSwap<T>);

    impl<T> Current<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(ArcSwap::from_pointee(value))
        }

        /// The value, for a moment.
        pub(crate) fn load(&self) -> Guard<Arc<T>> {
            self.0.load()
        }

        /// The value, for as long as it is needed.
        pub(crate) fn load_full(&self) -> Arc<T> {
            self.0.load_full()
        }

        /// Puts another value in its place.
        pub(crate) fn store(&self, value: Arc<T>) {
            self.0.store(value);
        }
    }
}

/// The model checkers cannot look into `arc-swap`, so under them a lock stands in for it: the same
/// values are seen in the same order. What this leaves unproved is `arc-swap` itself: that a load
/// which runs beside a store takes one of the two values, whole, and counts its reference.
#[cfg(any(loom, shuttle))]
mod imp {
    use super::Arc;
    use stratal_types::sync::Mutex;

    /// The current value, which readers take as it is and keep as long as they like.
    #[derive(Debug)]
    pub(crate) struct Current<T>(Mutex<Arc<T>>);

    impl<T> Current<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        /// The value, for a moment.
        pub(crate) fn load(&self) -> Arc<T> {
            self.load_full()
        }

        /// The value, for as long as it is needed.
        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }

        /// Puts another value in its place.
        pub(crate) fn store(&self, value: Arc<T>) {
            // What it replaces may be the last of its kind, and take long to drop.
            let before = std::mem::replace(&mut *self.0.lock(), value);
            drop(before);
        }
    }
}
