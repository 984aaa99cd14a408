//! Values that nobody can look at any more, and that go a few at a time.
//!
//! Whether a value may go is found out for many at once: by one lookup of hundreds. To drop one takes
//! some misses of the processor's caches, as its memory was not touched for long, and all of them together
//! took that lookup five times as long as any other: it was one of a hundred, and all that a user sees of
//! the 99th percentile. So they are laid up here, and each that joins them makes two others go.

use std::sync::{Arc, Mutex};

use stratal_simd::{prefetch_address, prefetch_value};

use crate::Resident;

/// What waits to be dropped.
pub(crate) type Value = Arc<dyn Resident>;

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

    /// Asks for what dropping the next two looks at beside them, and for those that come after.
    fn prefetch_last(&self) {
        let behind = self.len.saturating_sub(AT_ONCE);
        let last = self.places.get(behind..self.len).unwrap_or_default();
        last.iter().flatten().for_each(|value| value.prefetch_for_drop());
        let further = self.places.get(behind.saturating_sub(AT_ONCE)..behind).unwrap_or_default();
        for value in further.iter().flatten() {
            // Whoever drops it begins at its counts, in front of it.
            prefetch_address(Arc::as_ptr(value).addr().saturating_sub(2 * size_of::<usize>()));
            prefetch_value(&**value);
        }
    }
}

/// Values that wait at most. More that come at once go at once: they are memory that nobody counts.
const LEN_MAX: usize = 128;
/// Values that go at once.
const AT_ONCE: usize = 2;

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

    /// Drops two values, if so many are here and nobody else is at it, and asks for the next.
    pub(crate) fn drop_some(&self) {
        let some = self.0.try_lock().map(|mut values| {
            let some: [_; AT_ONCE] = std::array::from_fn(|_| values.pop());
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

    struct Watched(Arc<()>);

    impl Resident for Watched {
        fn weight(&self) -> usize {
            0
        }
    }

    #[test]
    fn values_go_two_at_a_time_and_no_more_wait_than_may() {
        let (ripe, watched) = (Ripe::new(), Watched(Arc::new(())));
        let left = || Arc::strong_count(&watched.0) - 1;
        let another = || Arc::new(Watched(Arc::clone(&watched.0)));
        for _ in 0..LEN_MAX + 72 {
            ripe.add(another());
        }
        assert_eq!(left(), LEN_MAX);
        ripe.drop_some();
        assert_eq!(left(), LEN_MAX - 2);
        let held = ripe.0.lock().unwrap();
        ripe.drop_some();
        ripe.drop_all();
        ripe.add(another());
        assert_eq!(left(), LEN_MAX - 2, "while others are at it nothing is laid up");
        drop(held);
        ripe.drop_all();
        assert_eq!(left(), 0);
    }
}
