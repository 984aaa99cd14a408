//! Locks, atomics and threads, by one name.
//!
//! Concurrent code takes them from here, never from `std` or `parking_lot`, so that the same code
//! runs under a model checker: build with `--cfg loom` or `--cfg shuttle` and every operation is a
//! point where the checker may switch threads.
//!
//! Locks here do not poison: a panic while one is held releases it, and whoever owns the data
//! decides what the panic means.

#[cfg(not(any(loom, shuttle)))]
mod imp {
    pub use parking_lot::{
        Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
    };
    pub use std::{
        sync::{Arc, OnceLock, atomic},
        thread,
    };
}

/// The checkers copy the interface of `std`, which poisons. These wrappers give them ours.
#[cfg(any(loom, shuttle))]
mod imp {
    #[cfg(loom)]
    use loom as checker;
    #[cfg(all(shuttle, not(loom)))]
    use shuttle as checker;

    pub use checker::{
        sync::{Arc, RwLockReadGuard, RwLockWriteGuard, atomic},
        thread,
    };
    use core::ops::{Deref, DerefMut};
    use std::{
        sync::PoisonError,
        time::{Duration, Instant},
    };

    /// A lock for one owner at a time.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(checker::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// Puts `value` behind a lock.
        pub fn new(value: T) -> Self {
            Self(checker::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            MutexGuard { held: Some(held), of: self }
        }

        /// Takes the value out.
        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// How a wait with an end ended.
    #[derive(Debug)]
    pub struct WaitTimeoutResult(());

    impl WaitTimeoutResult {
        /// Whether its time was over.
        pub const fn timed_out(&self) -> bool {
            true
        }
    }

    /// A value that is put in once. Reading it is an operation, as waiting for whoever puts it in is.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        turn: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    impl<T> OnceLock<T> {
        /// One without a value.
        pub fn new() -> Self {
            Self { turn: Mutex::new(()), value: std::sync::OnceLock::new() }
        }

        /// The value, if there is one.
        pub fn get(&self) -> Option<&T> {
            drop(self.turn.lock());
            self.value.get()
        }

        /// The value, which is that of `init` if there was none.
        pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            let _turn = self.turn.lock();
            self.value.get_or_init(init)
        }

        /// Puts a value in; gives it back if there was one.
        pub fn set(&self, value: T) -> Result<(), T> {
            let _turn = self.turn.lock();
            self.value.set(value)
        }
    }

    /// A held [`Mutex`]. Empty only while it is given up for a wait.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T> {
        held: Option<checker::sync::MutexGuard<'a, T>>,
        of: &'a Mutex<T>,
    }

    impl<T> MutexGuard<'_, T> {
        /// Gives the lock up, does `work`, and takes it again.
        fn unlocked(guard: &mut Self, work: impl FnOnce()) {
            guard.held = None;
            work();
            guard.held = guard.of.lock().held;
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            let Some(guard) = &self.held else { unreachable!("the waiter is not running") };
            guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            let Some(guard) = &mut self.held else { unreachable!("the waiter is not running") };
            guard
        }
    }

    /// A lock for many readers or one writer.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(checker::sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// Puts `value` behind a lock.
        pub fn new(value: T) -> Self {
            Self(checker::sync::RwLock::new(value))
        }

        /// Waits to read.
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits to write.
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Lets a thread wait, under a [`Mutex`], until another says that something changed.
    #[derive(Debug, Default)]
    pub struct Condvar(checker::sync::Condvar);

    impl Condvar {
        /// A new one.
        pub fn new() -> Self {
            Self(checker::sync::Condvar::new())
        }

        /// Releases the lock, waits, and takes the lock again.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take();
            guard.held = held.map(|held| self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        /// As [`wait`](Self::wait), and no longer than `timeout`. A checker has no time: here the wait
        /// is always over at once, and whoever else can run may run first.
        pub fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            timeout: Duration,
        ) -> WaitTimeoutResult {
            self.wait_until(guard, Instant::now() + timeout)
        }

        /// As [`wait_for`](Self::wait_for), until a moment.
        pub fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _end: Instant,
        ) -> WaitTimeoutResult {
            MutexGuard::unlocked(guard, thread::yield_now);
            WaitTimeoutResult(())
        }

        /// Wakes one waiter.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Wakes every waiter.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub use imp::*;

#[cfg(test)]
mod tests {
    use super::*;

    /// One thread raises a flag under the lock, another waits for it: the pattern that every user
    /// of these types builds on.
    fn hand_over() {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let raiser = thread::spawn(move || {
            *theirs.0.lock() = true;
            theirs.1.notify_all();
        });
        let mut flag = shared.0.lock();
        while !*flag {
            shared.1.wait(&mut flag);
        }
        drop(flag);
        assert!(raiser.join().is_ok());
    }

    /// One thread waits with an end, and for a value that another puts in.
    fn put_in_once() {
        let shared = Arc::new((Mutex::new(()), Condvar::new(), OnceLock::new()));
        let theirs = Arc::clone(&shared);
        let putter = thread::spawn(move || theirs.2.set(1).is_ok());
        let mut guard = shared.0.lock();
        let soon = core::time::Duration::from_millis(1);
        assert!(shared.1.wait_for(&mut guard, soon).timed_out(), "nobody notifies");
        let before = shared.2.get().copied();
        let value = *shared.2.get_or_init(|| 2);
        assert!(before.is_none_or(|before| before == value));
        assert_eq!(putter.join().ok(), Some(value == 1));
    }

    #[test]
    fn a_value_is_put_in_once() {
        #[cfg(not(any(loom, shuttle)))]
        put_in_once();
        #[cfg(loom)]
        loom::model(put_in_once);
        #[cfg(all(shuttle, not(loom)))]
        shuttle::check_random(put_in_once, 200);
    }

    #[test]
    fn a_waiter_sees_what_was_done_under_the_lock() {
        #[cfg(not(any(loom, shuttle)))]
        hand_over();
        #[cfg(loom)]
        loom::model(hand_over);
        #[cfg(all(shuttle, not(loom)))]
        shuttle::check_random(hand_over, 200);
    }
}
