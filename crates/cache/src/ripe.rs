//! Values that nobody can look at any more, and that go a few at a time.
//!
//! Whether a value may go is found out for many at once: by one lookup of hundreds. To drop one takes
//! some misses of the processor's caches, as its memory was not touched for long, and all of them together
//! took that lookup five times as long as any other: it was one of a hundred, and all that a user sees of
//! the 99th percentile. So they are laid up here, and each that joins them makes two others go.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use stratal_simd::prefetch_address;

/// What waits to be dropped.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// Values that can go.
//
// A lock of `std`, and never waited for: nothing depends on it but when memory is free again.
#[derive(Debug)]
pub(crate) struct Ripe(Mutex<Values>);

/// In places of their own, so that a lookup on which something becomes ripe allocates nothing.
#[derive(Debug)]
struct Values {
    len: usize,
    places: [Option<Value>; LEN_MAX],
}

impl Values {
    const NONE: Self = Self { len: 0, places: [const { None }; LEN_MAX] };

    fn push(&mut self, value: Value) {
        if let Some(place) = self.places.get_mut(self.len) {
            *place = Some(value);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<Value> {
        self.len = self.len.saturating_sub(1);
        self.places.get_mut(self.len)?.take()
    }

    /// Asks for the two that are the next to go.
    fn prefetch_last(&self) {
        let start = self.len.saturating_sub(2);
        let last = self.places.get(start..self.len).unwrap_or_default();
        for value in last.iter().flatten() {
            // Whoever drops it begins at its counts, in front of it.
            let address = Arc::as_ptr(value).addr();
            prefetch_address(address.saturating_sub(2 * size_of::<usize>()));
            prefetch_address(address.saturating_add(LINE_LEN));
        }
    }
}

/// Values that wait at most. More that come at once go at once: they are memory that nobody counts.
const LEN_MAX: usize = 128;
/// Of the processor's caches.
const LINE_LEN: usize = 64;

/// Of all threads and caches.
pub(crate) static RIPE: Ripe = Ripe::new();

impl Ripe {
    const fn new() -> Self {
        Self(Mutex::new(Values::NONE))
    }

    /// Lays `value` up; drops it if others are at it, or too many are here.
    pub(crate) fn add(&self, value: Value) {
        if let Ok(mut values) = self.0.try_lock()
            && values.len < LEN_MAX
        {
            values.push(value);
        }
    }

    /// Drops two values, if so many are here and nobody else is at it, and asks for the next two.
    pub(crate) fn drop_some(&self) {
        let some = self.0.try_lock().map(|mut values| {
            let some = [values.pop(), values.pop()];
            values.prefetch_last();
            some
        });
        // With the lock free.
        drop(some);
    }

    /// Drops all that are here, if nobody else is at it.
    pub(crate) fn drop_all(&self) {
        let all = self.0.try_lock().map(|mut values| std::mem::replace(&mut *values, Values::NONE));
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_two_at_a_time_and_no_more_wait_than_may() {
        let (ripe, watched) = (Ripe::new(), Arc::new(()));
        let left = || Arc::strong_count(&watched) - 1;
        for _ in 0..LEN_MAX + 72 {
            ripe.add(Arc::new(Arc::clone(&watched)));
        }
        assert_eq!(left(), LEN_MAX);
        ripe.drop_some();
        assert_eq!(left(), LEN_MAX - 2);
        let held = ripe.0.lock().unwrap();
        ripe.drop_some();
        ripe.drop_all();
        ripe.add(Arc::new(Arc::clone(&watched)));
        assert_eq!(left(), LEN_MAX - 2, "while others are at it nothing is laid up");
        drop(held);
        ripe.drop_all();
        assert_eq!(left(), 0);
    }
}
