//! Whether the next key that a thread looks up will be there, going by those before.
//!
//! A filter keeps the search of a table from who looks for what is not there, if it is asked first. Who looks
//! for what is there would wait for it and then begin to search: he rather asks for the filter's line,
//! searches, and looks at the filter when all that he needs is on its way.

use std::cell::Cell;

/// How many more keys were absent than present lately, between two bounds.
const ABSENT_MAX: u8 = 3;

thread_local! {
    static ABSENT: Cell<u8> = const { Cell::new(0) };
}

/// Whether a filter will rather say that its table does not have the next key.
#[inline]
pub(crate) fn is_absent() -> bool {
    ABSENT.get() > ABSENT_MAX / 2
}

/// Notes what a filter said.
#[inline]
pub(crate) fn note(may_contain: bool) {
    let absent = ABSENT.get();
    ABSENT.set(if may_contain { absent.saturating_sub(1) } else { ABSENT_MAX.min(absent + 1) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_follows_what_filters_say_and_not_the_last_of_them() {
        let guesses = |answers: &[bool]| -> Vec<bool> {
            let guess = |&answer| {
                note(answer);
                is_absent()
            };
            answers.iter().map(guess).collect()
        };
        assert!(!is_absent());
        assert_eq!(guesses(&[false, false, false, false]), [false, true, true, true]);
        assert_eq!(guesses(&[true, false, true, true]), [true, true, true, false]);
        assert_eq!(guesses(&[false, true, true, true]), [true, false, false, false]);
    }
}
