//! Things that can be had again at any time, of which no more than so many are there at once.

use std::{collections::BTreeMap, sync::Arc};

use stratal_types::sync::{
    Condvar, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Lets at most so many handles be open at once. Those that were not used for longest are closed for
/// others.
///
/// Uses are reckoned in openings: of two handles that were used since the last one nobody knows which
/// was used later. So a use of an open handle writes to nothing that other handles share.
///
/// Locks are taken in this order: a slot's turn, the pool's state, a slot's handle. The last is held
/// for no more than a copy of a pointer, and a handle is closed under none.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    /// A handle was closed, or one is there that may be.
    changed: Condvar,
    /// Openings so far.
    clock: AtomicU64,
}

#[derive(Debug)]
struct State<T> {
    /// 0: any number.
    max: usize,
    /// Places taken: by handles that are open or being opened, and by what is held.
    taken: usize,
    /// Places that are held for as long as their owner likes.
    held: usize,
    /// Slots with a handle, by their last use as it was when they were put here.
    by_use: BTreeMap<(u64, u64), Arc<SlotState<T>>>,
    slots: u64,
    opened: u64,
    reopened: u64,
}

#[derive(Debug)]
struct SlotState<T> {
    /// Tells slots with the same use apart.
    id: u64,
    handle: Mutex<Option<Arc<Handle<T>>>>,
    /// The opening before which it was used last.
    used: AtomicU64,
    /// Under what use it stands in `by_use`. Written under the pool's lock.
    listed: AtomicU64,
}

/// A place for one handle, which is opened when it is wanted.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    pool: Arc<Pool<T>>,
    state: Arc<SlotState<T>>,
    /// Whoever opens it has this, so that others wait for him. Whether it was open before.
    turn: Mutex<bool>,
}

/// Something that is open, for as long as somebody has this.
#[derive(Debug)]
pub(crate) struct Handle<T> {
    /// Goes first.
    value: T,
    _place: Place<T>,
}

/// One of the places. It is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place<T> {
    pool: Arc<Pool<T>>,
    is_held: bool,
}

/// What a pool has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) max: usize,
    pub(crate) taken: usize,
    pub(crate) opened: u64,
    pub(crate) reopened: u64,
}

impl<T> Pool<T> {
    /// With places for `max` handles, 0 for any number.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let state = State {
            max,
            taken: 0,
            held: 0,
            by_use: BTreeMap::new(),
            slots: 0,
            opened: 0,
            reopened: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            clock: AtomicU64::new(0),
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        let State { max, taken, opened, reopened, .. } = *self.state.lock();
        Counts { max, taken, opened, reopened }
    }

    /// Changes the number of places, and closes what is too much. What is used at this moment is
    /// closed when it is not any more.
    pub(crate) fn set_max(&self, max: usize) {
        self.state.lock().max = max;
        while self.state.lock().is_beyond_full() && self.close_one() {}
        self.changed.notify_all();
    }

    /// A place for something that is open for as long as its owner likes. Waits for handles that are
    /// being used, and never for what is held: if that is all there may be, and more, one place is left.
    pub(crate) fn hold(self: &Arc<Self>) -> Place<T> {
        self.take(true)
    }

    /// Closes the handle that was not used for longest; whether there was one. It is closed a little
    /// later if it is being used at this moment.
    pub(crate) fn close_one(&self) -> bool {
        let closed = self.state.lock().take_oldest();
        closed.is_some()
    }

    fn take(self: &Arc<Self>, is_held: bool) -> Place<T> {
        let mut state = self.state.lock();
        while state.is_full() {
            match state.take_oldest() {
                Some(closed) => {
                    drop(state);
                    drop(closed);
                    state = self.state.lock();
                }
                None => self.changed.wait(&mut state),
            }
        }
        state.taken += 1;
        state.held += usize::from(is_held);
        drop(state);
        Place { pool: Arc::clone(self), is_held }
    }

    /// Takes note that `slot` has a handle now.
    fn list(&self, slot: &Arc<SlotState<T>>, is_again: bool) {
        let mut state = self.state.lock();
        state.opened += 1;
        state.reopened += u64::from(is_again);
        let now = self.clock.load(Ordering::Relaxed) + 1;
        self.clock.store(now, Ordering::Relaxed);
        slot.used.store(now, Ordering::Relaxed);
        state.put(slot, now);
        drop(state);
        self.changed.notify_one();
    }
}

impl<T> State<T> {
    fn is_full(&self) -> bool {
        self.max > 0 && self.taken >= self.max.max(self.held + 1)
    }

    fn is_beyond_full(&self) -> bool {
        self.max > 0 && self.taken > self.max.max(self.held + 1)
    }

    fn put(&mut self, slot: &Arc<SlotState<T>>, used: u64) {
        slot.listed.store(used, Ordering::Relaxed);
        self.by_use.insert((used, slot.id), Arc::clone(slot));
    }

    /// Takes the handle that was not used for longest out of its slot. To be dropped without the lock.
    fn take_oldest(&mut self) -> Option<Arc<Handle<T>>> {
        loop {
            let ((listed, _), slot) = self.by_use.pop_first()?;
            let used = slot.used.load(Ordering::Relaxed);
            // It was used since. None is put back twice between two openings.
            if used > listed {
                self.put(&slot, used);
                continue;
            }
            let handle = slot.handle.lock().take();
            if handle.is_some() {
                return handle;
            }
        }
    }
}

impl<T> Slot<T> {
    pub(crate) fn new(pool: &Arc<Pool<T>>) -> Self {
        let mut state = pool.state.lock();
        let id = state.slots;
        state.slots += 1;
        drop(state);
        let state = SlotState {
            id,
            handle: Mutex::new(None),
            used: AtomicU64::new(0),
            listed: AtomicU64::new(0),
        };
        Self { pool: Arc::clone(pool), state: Arc::new(state), turn: Mutex::new(false) }
    }

    /// The handle; opens it if it is not. Of all who want it at the same time one opens it.
    ///
    /// Whoever has a handle must not wait for another: all others may be waiting for this one.
    ///
    /// # Errors
    ///
    /// What `open` returns. It is told whether the handle was open before.
    pub(crate) fn get<E>(
        &self,
        open: impl FnOnce(bool) -> Result<T, E>,
    ) -> Result<Arc<Handle<T>>, E> {
        if let Some(handle) = self.opened() {
            return Ok(handle);
        }
        let mut was_open = self.turn.lock();
        if let Some(handle) = self.opened() {
            return Ok(handle);
        }
        let place = self.pool.take(false);
        let handle = Arc::new(Handle { value: open(*was_open)?, _place: place });
        *self.state.handle.lock() = Some(Arc::clone(&handle));
        self.pool.list(&self.state, *was_open);
        *was_open = true;
        Ok(handle)
    }

    fn opened(&self) -> Option<Arc<Handle<T>>> {
        let handle = self.state.handle.lock().clone()?;
        let now = self.pool.clock.load(Ordering::Relaxed);
        // Written once between two openings: many threads read the same file.
        if self.state.used.load(Ordering::Relaxed) != now {
            self.state.used.store(now, Ordering::Relaxed);
        }
        Some(handle)
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        let listed = self.state.listed.load(Ordering::Relaxed);
        state.by_use.remove(&(listed, self.state.id));
        drop(state);
        let handle = self.state.handle.lock().take();
        drop(handle);
    }
}

impl<T> std::ops::Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.taken -= 1;
        state.held -= usize::from(self.is_held);
        drop(state);
        self.pool.changed.notify_one();
    }
}
