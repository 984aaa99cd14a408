//! Moments at which somebody may look at what slots show.

pub use imp::Pin;

#[cfg(not(any(loom, shuttle)))]
mod imp {
    use std::fmt;

    use crossbeam_epoch::Guard;

    use crate::ripe::{RIPE, Value};

    /// While it lives, what slots show stays in memory, also what the cache has let go of. Takes as long
    /// to make as one atomic operation that nobody else wants.
    ///
    /// Held for a lookup and not across anything that waits: memory that is given back meanwhile, in any
    /// thread, is given back only later.
    pub struct Pin(Guard);

    impl Pin {
        /// A new one.
        #[expect(clippy::new_without_default, reason = "it is no value, but a moment")]
        pub fn new() -> Self {
            Self(crossbeam_epoch::pin())
        }

        /// Drops `value` some time after all pins that are there now are gone.
        pub(crate) fn retire(&self, value: Value) {
            RIPE.drop_some();
            self.0.defer(move || RIPE.add(value));
        }

        /// Drops some of what was retired and can go.
        pub(crate) fn drop_retired() {
            crossbeam_epoch::pin().flush();
        }
    }

    impl fmt::Debug for Pin {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Pin")
        }
    }
}

/// The model checkers cannot look into `crossbeam-epoch`, so under them what is retired stays for ever:
/// the same values are seen in the same order. What this leaves unproved is that crate's promise, L2.
#[cfg(any(loom, shuttle))]
mod imp {
    use crate::ripe::Value;

    /// While it lives, what slots show stays in memory.
    #[derive(Debug)]
    pub struct Pin(());

    impl Pin {
        /// A new one.
        #[expect(clippy::new_without_default, reason = "it is no value, but a moment")]
        pub fn new() -> Self {
            Self(())
        }

        #[expect(clippy::unused_self, reason = "as without a checker")]
        pub(crate) fn retire(&self, value: Value) {
            std::mem::forget(value);
        }

        pub(crate) fn drop_retired() {}
    }
}
