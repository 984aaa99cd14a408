//! Places outside the cache where values that it holds are found without their keys.
//!
//! # Unsafe code
//!
//! The `SAFETY` comment below refers to three invariants:
//!
//! * **L1 owned**: a place is given a pointer only together with a [`Shown`] that owns a count of the
//!   `Arc` that the pointer came from. That count is given up only by [`Pin::retire`], after the place
//!   has let go of the pointer.
//! * **L2 pinned**: what is retired is dropped only when every [`Pin`] that was there at that moment is
//!   gone.
//! * **L3 typed**: places are private to their [`Slots`], which puts in pointers to its `T` alone.
#![allow(
    unsafe_code,
    reason = "a value that is found without counting references is a raw pointer"
)]

use std::{any::Any, marker::PhantomData, ptr, sync::Arc};

use stratal_types::sync::atomic::{AtomicPtr, Ordering};

use crate::{Resident, ripe::RIPE};

/// Places for values of one type, each empty or showing a value that a [`Cache`](crate::Cache) holds.
///
/// Whoever knows by itself which of its few thousand values it wants, such as the index of a table of its
/// blocks, keeps slots beside what it knows them by. A value is shown from the moment when
/// [`get_or_load_shown`](crate::Cache::get_or_load_shown) or [`insert_shown`](crate::Cache::insert_shown)
/// has given it to the cache until the cache lets go of it, and finding it there takes two loads: no
/// hash, no lock, no count of references.
pub struct Slots<T> {
    places: Arc<Places>,
    values: PhantomData<fn() -> T>,
}

/// Pointers to values, and in their lowest bits how often the value was used since the cache last
/// looked: up to [`USES_MAX`].
type Places = [AtomicPtr<()>];

/// Uses of a value that are told to the cache, which judges it by no more. The cache learns of each by a
/// lookup, and all later ones cost nothing until it has looked.
const USES_MAX: usize = 2;
/// The bits that count uses. Values have addresses divisible by four.
const USES_MASK: usize = 3;

impl<T: Resident> Slots<T> {
    const IS_ALIGNED: () = assert!(align_of::<T>() > USES_MASK, "uses are counted in free bits");

    /// So many empty ones.
    pub fn new(len: usize) -> Self {
        let () = Self::IS_ALIGNED;
        let places = (0..len).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Self { places, values: PhantomData }
    }

    /// Bytes of memory that so many take, and this.
    pub const fn weight(len: usize) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + len * size_of::<AtomicPtr<()>>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The value that slot `at` shows, and whether the cache has to be told that it was used.
    #[inline]
    pub(crate) fn get<'p>(&self, at: usize, _pin: &'p Pin) -> Option<(&'p T, bool)> {
        let (value, is_news) = self.find(at)?;
        // SAFETY: by L3 it points to a `T`. By L1 the `T` was owned when the place was read, or was
        // retired while this pin was there already; by L2 it stays as long as the pin.
        Some((unsafe { &*value }, is_news))
    }

    /// The value that slot `at` shows, which does not count as a use of it: for those who are about to use
    /// it, and ask for what it takes before.
    #[inline]
    pub fn peek<'p>(&self, at: usize, _pin: &'p Pin) -> Option<&'p T> {
        let (value, _) = split(self.places.get(at)?.load(Ordering::Acquire));
        // SAFETY: as in `get`, if there is one.
        unsafe { value.cast_const().cast::<T>().as_ref() }
    }

    /// As [`get`](Self::get), with a count of references, so that the value stays when the pin goes.
    #[inline]
    pub(crate) fn share(&self, at: usize, _pin: &Pin) -> Option<(Arc<T>, bool)> {
        let (value, is_news) = self.find(at)?;
        // SAFETY: as in `get` it is a `T` whose count is not given up as long as the pin is there, and
        // by L1 the pointer came from an `Arc`.
        let value = unsafe {
            Arc::increment_strong_count(value);
            Arc::from_raw(value)
        };
        Some((value, is_news))
    }

    /// Where the value is that slot `at` shows, if it shows one, for a caller who has a pin; and whether
    /// the cache has to be told that it was used.
    #[inline]
    fn find(&self, at: usize) -> Option<(*const T, bool)> {
        let place = self.places.get(at)?;
        let found = place.load(Ordering::Acquire);
        let (value, uses) = split(found);
        if value.is_null() {
            return None;
        }
        let is_news = uses < USES_MAX
            && place
                .compare_exchange(
                    found,
                    join(value, uses + 1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        Some((value.cast_const().cast(), is_news))
    }

    /// Whether slot `at` shows something.
    pub(crate) fn shows(&self, at: usize) -> bool {
        let found = self.places.get(at).map(|place| place.load(Ordering::Relaxed));
        found.is_some_and(|found| !split(found).0.is_null())
    }

    /// Shows `value` in slot `at` until what is returned goes; `None` if there is no such slot. What it
    /// showed before it shows no more.
    pub(crate) fn show(&self, at: usize, value: &Arc<T>) -> Option<Shown> {
        let place = self.places.get(at)?;
        let owned: Arc<T> = Arc::clone(value);
        let shown = Shown { places: Arc::clone(&self.places), at, value: owned };
        place.swap(Arc::as_ptr(value).cast_mut().cast(), Ordering::AcqRel);
        Some(shown)
    }
}

/// The same slots.
impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self { places: Arc::clone(&self.places), values: PhantomData }
    }
}

impl<T> std::fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("len", &self.places.len()).finish_non_exhaustive()
    }
}

/// Owns a value that a slot shows. When this goes the slot is empty, unless it shows something else by
/// then.
pub(crate) struct Shown {
    places: Arc<Places>,
    at: usize,
    value: Arc<dyn Any + Send + Sync>,
}

impl Shown {
    /// Another owner of the value.
    pub(crate) fn value(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.value)
    }

    /// Whether the value was used through its slot since this was last asked.
    pub(crate) fn take_uses(&self) -> bool {
        let Some(place) = self.places.get(self.at) else { return false };
        let found = place.load(Ordering::Relaxed);
        let (pointer, uses) = split(found);
        // If it fails the value was used just now, or is shown no more.
        uses > 0
            && ptr::addr_eq(pointer, Arc::as_ptr(&self.value))
            && place.compare_exchange(found, pointer, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Some(place) = self.places.get(self.at) else { return };
        let pin = Pin::new();
        let mut found = place.load(Ordering::Relaxed);
        while ptr::addr_eq(split(found).0, Arc::as_ptr(&self.value)) {
            let empty = ptr::null_mut();
            match place.compare_exchange(found, empty, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => found = other,
            }
        }
        // Before the count of this one goes.
        pin.retire(Arc::clone(&self.value));
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Pointer and uses.
fn split(found: *mut ()) -> (*mut (), usize) {
    (found.map_addr(|address| address & !USES_MASK), found.addr() & USES_MASK)
}

fn join(value: *mut (), uses: usize) -> *mut () {
    value.map_addr(|address| address | uses)
}

/// Drops what can go of what was retired, if so many values were. Each turn drops some hundreds, and the
/// first ones only make them go.
pub(crate) fn drop_retired(values: usize) {
    const VALUES_A_TURN: usize = 256;
    if values > 0 {
        (0..values / VALUES_A_TURN + 4).for_each(|_| Pin::drop_retired());
        RIPE.drop_all();
    }
}

pub use pin::Pin;

#[cfg(not(any(loom, shuttle)))]
mod pin {
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
        pub(super) fn retire(&self, value: Value) {
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
mod pin {
    use std::{any::Any, sync::Arc};

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
        pub(super) fn retire(&self, value: Arc<dyn Any + Send + Sync>) {
            std::mem::forget(value);
        }

        pub(crate) fn drop_retired() {}
    }
}
