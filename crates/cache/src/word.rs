//! What a slot holds, in one word.
//!
//! A word is the address of a value, or says why there is none. Its lowest bits tell which:
//!
//! ```text
//! bits   of a value that is shown                    of a slot that is empty
//! 0..2   uses that the cache has not seen, up to 3   3
//! 2      the cache has to be told of each, up to 2   1
//! 3      address                                     somebody loads a value for it
//! 4      address                                     and others wait for that
//! 5..    address                                     when its last value was evicted
//! ```
//!
//! *When* is a number of evictions, [`NEVER`] if it is not known. It goes round, after 2⁵⁹ of them, or 2²⁷
//! where addresses are short, and what comes of that is a value that is taken for one lately evicted.

use std::ptr;

/// A word as it is in a slot.
pub(crate) type Word = *mut ();

/// Uses of a value that the cache is told of.
const TOLD_MAX: usize = 2;
/// The bits that count them.
const USES_MASK: usize = 3;
/// Uses of it are told to the cache.
pub(crate) const IS_TOLD: usize = 4;
/// The bits that are no address. Values have addresses divisible by eight.
pub(crate) const TAG_MASK: usize = 7;
/// All of them, where no value is shown.
const EMPTY: usize = TAG_MASK;
const IS_LOADING: usize = 8;
const IS_AWAITED: usize = 16;
/// Where the number of evictions stands.
const WHEN_SHIFT: u32 = 5;
/// The greatest number of evictions.
const WHEN_MASK: usize = usize::MAX >> WHEN_SHIFT;

/// Where a count of evictions begins: so far from [`NEVER`] that this is not taken for lately.
pub(crate) const FIRST: usize = WHEN_MASK / 2;
/// When a value was evicted of which nobody knows.
pub(crate) const NEVER: usize = 0;

/// An empty slot whose value was evicted then.
pub(crate) const fn empty(when: usize) -> Word {
    ptr::without_provenance_mut((when & WHEN_MASK) << WHEN_SHIFT | EMPTY)
}

/// Whether a value is shown.
#[inline]
pub(crate) fn is_shown(word: Word) -> bool {
    word.addr() & TAG_MASK != EMPTY
}

/// The address of a value that is shown.
#[inline]
pub(crate) fn value_of(word: Word) -> Word {
    word.map_addr(|address| address & !TAG_MASK)
}

/// How often a value that is shown was used.
#[inline]
pub(crate) fn uses_of(word: Word) -> usize {
    word.addr() & USES_MASK
}

/// Whether the cache has to be told of uses of a value that is shown.
#[inline]
pub(crate) fn is_told(word: Word) -> bool {
    word.addr() & IS_TOLD != 0
}

/// The same value, with one use more, if that counts.
#[inline]
pub(crate) fn used_once_more(word: Word) -> Option<Word> {
    let is_counted = uses_of(word) < if is_told(word) { TOLD_MAX } else { USES_MASK };
    is_counted.then(|| word.map_addr(|address| address + 1))
}

/// The same value, not used.
pub(crate) fn unused(word: Word) -> Word {
    word.map_addr(|address| address & !USES_MASK)
}

/// The same value, with one use less than it had.
pub(crate) fn used_once_less(word: Word) -> Word {
    word.map_addr(|address| address - 1)
}

/// The same value, of whose uses the cache is told.
pub(crate) fn told(word: Word) -> Word {
    word.map_addr(|address| address | IS_TOLD)
}

/// Whether somebody loads a value for an empty slot.
pub(crate) fn is_loading(word: Word) -> bool {
    !is_shown(word) && word.addr() & IS_LOADING != 0
}

/// The same slot, for which somebody loads a value.
pub(crate) fn loading(word: Word) -> Word {
    word.map_addr(|address| address | IS_LOADING)
}

/// Whether others wait for who loads.
pub(crate) fn is_awaited(word: Word) -> bool {
    is_loading(word) && word.addr() & IS_AWAITED != 0
}

/// The same slot, whose load others wait for.
pub(crate) fn awaited(word: Word) -> Word {
    word.map_addr(|address| address | IS_AWAITED)
}

/// How many evictions ago the last value of an empty slot was evicted, if there were `now` by now.
pub(crate) fn age(word: Word, now: usize) -> usize {
    now.wrapping_sub(word.addr() >> WHEN_SHIFT) & WHEN_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_value_or_empty_and_keeps_what_else_it_says() {
        let mut place = 0u64;
        let value: Word = ptr::from_mut(&mut place).cast();
        for (word, max) in [(value, 3), (told(value), 2)] {
            let mut used = word;
            for uses in 0..=max {
                assert!(is_shown(used) && value_of(used) == value && uses_of(used) == uses);
                assert_eq!(is_told(used), is_told(word));
                assert!(unused(used) == word && !is_loading(used) && !is_awaited(used));
                let more = used_once_more(used);
                assert_eq!(more.is_some(), uses < max);
                assert!(more.is_none_or(|more| used_once_less(more) == used));
                used = more.unwrap_or(used);
            }
        }
        for when in [NEVER, 1, FIRST, WHEN_MASK] {
            let word = empty(when);
            let (loaded, waited) = (loading(word), awaited(loading(word)));
            assert!([word, loaded, waited].into_iter().all(|word| !is_shown(word)));
            assert_eq!([word, loaded, waited].map(is_loading), [false, true, true]);
            assert_eq!([word, loaded, waited].map(is_awaited), [false, false, true]);
            let now = when.wrapping_add(3);
            assert_eq!([word, loaded, waited].map(|word| age(word, now)), [3; 3]);
        }
        assert!(age(empty(NEVER), FIRST) > u32::MAX as usize / 64);
    }
}
