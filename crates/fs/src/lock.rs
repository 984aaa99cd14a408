use std::fmt::Debug;

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Along with any number of other shared locks.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock that is held until this is dropped.
#[must_use = "the lock is released when this is dropped"]
pub trait Lock: Debug + Send + Sync {}

/// Who holds a file's lock, for the file systems of this crate that keep their own books.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holders {
    shared: u32,
    exclusive: bool,
}

impl Holders {
    /// Takes the lock if nobody's lock excludes it.
    pub(crate) fn try_take(&mut self, mode: LockMode) -> bool {
        match mode {
            LockMode::Shared if !self.exclusive => self.shared += 1,
            LockMode::Exclusive if !self.exclusive && self.shared == 0 => self.exclusive = true,
            _ => return false,
        }
        true
    }

    /// Gives back a lock that was taken.
    pub(crate) fn release(&mut self, mode: LockMode) {
        match mode {
            LockMode::Shared => self.shared -= 1,
            LockMode::Exclusive => self.exclusive = false,
        }
    }
}
