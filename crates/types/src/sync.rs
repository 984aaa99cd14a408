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
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub use std::{
        sync::{Arc, atomic},
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
    use std::sync::PoisonError;

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
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }

        /// Takes the value out.
        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A held [`Mutex`]. Empty only while a [`Condvar`] waits with it.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<checker::sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            let Some(guard) = &self.0 else { unreachable!("the waiter is not running") };
            guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            let Some(guard) = &mut self.0 else { unreachable!("the waiter is not running") };
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
            let held = guard.0.take();
            guard.0 = held.map(|held| self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
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
