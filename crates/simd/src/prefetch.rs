//! Memory that is asked for before it is needed.
//!
//! A load whose result nobody needs is waited for all the same when the processor runs out of places
//! for what it has begun, some hundred instructions on. A request of this kind is not.

use core::ptr;

/// Bytes that come at once.
const LINE_LEN: usize = 64;

/// Asks for the byte at `at` of `bytes`, and what lies around it, to be brought near, and waits for
/// nothing. Does nothing if there is no such byte, or the processor cannot be asked.
///
/// Whoever is about to look at several places that lie far apart asks for all of them first: they then
/// come at the same time.
#[inline]
pub fn prefetch(bytes: &[u8], at: usize) {
    if let Some(byte) = bytes.get(at) {
        ask(byte);
    }
}

/// As [`prefetch`], for all of a value itself, and not for what it points to.
#[inline]
pub fn prefetch_value<T: ?Sized>(value: &T) {
    let start = ptr::from_ref(value).cast::<u8>();
    let Some(last) = size_of_val(value).checked_sub(1) else { return };
    (0..last).step_by(LINE_LEN).chain([last]).for_each(|at| ask(start.wrapping_add(at)));
}

/// As [`prefetch`], for what lies at an address, which need not be memory at all.
///
/// For who knows where something lies, and may not look at it.
#[inline]
pub fn prefetch_address(address: usize) {
    ask(ptr::without_provenance(address));
}

#[inline]
fn ask(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: S3.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
