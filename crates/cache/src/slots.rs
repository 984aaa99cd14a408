//! Places outside the cache where values that it holds are found without their keys.
//!
//! # Unsafe code
//!
//! The `SAFETY` comments below refer to three invariants:
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

use std::{marker::PhantomData, mem::ManuallyDrop, ptr, sync::Arc};

use stratal_simd::prefetch_value;
use stratal_types::sync::atomic::{AtomicPtr, Ordering};

use crate::{
    Pin, Resident,
    ripe::{RIPE, Value},
    word::{self, Word},
};

/// Places for values of one type, each empty or showing a value that a [`Cache`](crate::Cache) holds.
///
/// Whoever knows by itself which of its few thousand values it wants, such as the index of a table of its
/// blocks, keeps slots beside what it knows them by. A value is shown from the moment when
/// [`get_or_load_shown`](crate::Cache::get_or_load_shown) or [`insert_shown`](crate::Cache::insert_shown)
/// has given it to the cache until the cache lets go of it, and finding it there takes two loads: no
/// hash, no lock, no count of references.
///
/// When the slots go nobody can find what they showed, and of that what has normal priority is the next
/// to be evicted when its turn comes.
pub struct Slots<T> {
    places: Arc<Places>,
    values: PhantomData<fn() -> T>,
}

/// What slots hold.
pub(crate) type Places = [AtomicPtr<()>];

impl<T: Resident> Slots<T> {
    const IS_ALIGNED: () = assert!(align_of::<T>() > word::TAG_MASK, "tags stand in free bits");

    /// So many empty ones.
    pub fn new(len: usize) -> Self {
        let () = Self::IS_ALIGNED;
        let places = (0..len).map(|_| AtomicPtr::new(word::empty(word::NEVER))).collect();
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
        let found = self.places.get(at)?.load(Ordering::Acquire);
        let value = word::is_shown(found).then(|| word::value_of(found))?;
        // SAFETY: as in `get`.
        Some(unsafe { &*value.cast_const().cast::<T>() })
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
        if !word::is_shown(found) {
            return None;
        }
        let is_counted = word::used_once_more(found).is_some_and(|used| {
            place.compare_exchange(found, used, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        let is_news = is_counted && word::is_told(found);
        Some((word::value_of(found).cast_const().cast(), is_news))
    }

    /// Whether slot `at` shows something.
    pub(crate) fn shows(&self, at: usize) -> bool {
        self.place(at).is_some_and(|place| word::is_shown(place.load(Ordering::Relaxed)))
    }

    /// Slot `at`, if there is one.
    pub(crate) fn place(&self, at: usize) -> Option<&AtomicPtr<()>> {
        self.places.get(at)
    }

    /// An owner of `value` for slot `at`, which does not show it yet; `None` if there is no such slot.
    pub(crate) fn hide(&self, at: usize, value: &Arc<T>) -> Option<Shown> {
        let owned: Arc<T> = Arc::clone(value);
        let (index, places) = (u32::try_from(at).ok()?, &self.places);
        (at < places.len()).then(|| Shown {
            places: Arc::clone(places),
            at: index,
            value: ManuallyDrop::new(owned),
        })
    }

    /// Shows `value` in slot `at` until what is returned goes, and has the cache told of its uses; `None` if
    /// there is no such slot, or somebody loads for it. What it showed before it shows no more.
    pub(crate) fn show(&self, at: usize, value: &Arc<T>) -> Option<Shown> {
        let shown = self.hide(at, value)?;
        let place = self.places.get(at)?;
        let mut found = place.load(Ordering::Relaxed);
        while !word::is_loading(found) {
            let told = word::told(shown.address());
            match place.compare_exchange(found, told, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(shown),
                Err(other) => found = other,
            }
        }
        None
    }
}

/// The cache is not asked for what they show any more.
impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        for place in &*self.places {
            let mut found = place.load(Ordering::Relaxed);
            while word::is_shown(found) {
                let empty = word::empty(word::NEVER);
                match place.compare_exchange(found, empty, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(other) => found = other,
                }
            }
        }
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
    at: u32,
    /// Taken out by `drop`.
    value: ManuallyDrop<Value>,
}

/// How a value fares that the cache would let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was used, and some of that is forgotten now.
    Used,
    /// Its slot shows it no more.
    Hidden,
}

impl Shown {
    /// Another owner of the value.
    pub(crate) fn value(&self) -> Value {
        Arc::clone(&self.value)
    }

    /// Lets the slot show it, for which the caller was to load a value, and whoever looks count its uses.
    /// What the slot held before.
    pub(crate) fn appear(&self) -> Word {
        // L1: this owns the value.
        self.place().map_or(ptr::null_mut(), |place| place.swap(self.address(), Ordering::AcqRel))
    }

    /// Whether the value was used through its slot since this was last asked.
    pub(crate) fn take_uses(&self) -> bool {
        let Some(place) = self.place() else { return false };
        let found = place.load(Ordering::Relaxed);
        // If it fails the value was used just now, or is shown no more.
        self.is_in(found)
            && word::uses_of(found) > 0
            && place
                .compare_exchange(found, word::unused(found), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Forgets a use of the value, or all if that is all it is asked for, or if there is none empties the slot,
    /// which remembers `when`.
    pub(crate) fn judge(&self, forgets_all: bool, when: usize) -> Verdict {
        let Some(place) = self.place() else { return Verdict::Hidden };
        let mut found = place.load(Ordering::Relaxed);
        while self.is_in(found) {
            let was_used = word::uses_of(found) > 0;
            let next = match was_used {
                true if forgets_all => word::unused(found),
                true => word::used_once_less(found),
                false => word::empty(when),
            };
            match place.compare_exchange(found, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if was_used => return Verdict::Used,
                Ok(_) => break,
                Err(other) => found = other,
            }
        }
        Verdict::Hidden
    }

    /// Empties the slot if it shows the value, and lets it remember `when`.
    pub(crate) fn vanish(&self, when: usize) {
        let Some(place) = self.place() else { return };
        let mut found = place.load(Ordering::Relaxed);
        while self.is_in(found) {
            match place.compare_exchange(
                found,
                word::empty(when),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(other) => found = other,
            }
        }
    }

    fn place(&self) -> Option<&AtomicPtr<()>> {
        self.places.get(self.at as usize)
    }

    fn address(&self) -> Word {
        Arc::as_ptr(&self.value).cast_mut().cast()
    }

    /// Asks for the slot, for who will [judge](Self::judge) the value soon.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(place) = self.place() {
            prefetch_value(place);
        }
    }

    fn is_in(&self, found: Word) -> bool {
        word::is_shown(found) && ptr::addr_eq(word::value_of(found), self.address())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let pin = Pin::new();
        self.vanish(word::NEVER);
        // SAFETY: L1: it is not looked at again, for this is the last that happens to `self`.
        pin.retire(unsafe { ManuallyDrop::take(&mut self.value) });
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("at", &self.at).finish_non_exhaustive()
    }
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
