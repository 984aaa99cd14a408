//! Solving the equations of one layer.
//!
//! Equations are brought into echelon form one by one, as they come: each is held at the slot of its
//! first coefficient, and one whose first coefficient meets another's is added to that, which moves
//! its first coefficient on. Coefficients are kept from the row on in which the first of them is, so
//! that equations held in the same row line up. Then slots get their bits from the last to the first.

use alloc::vec::Vec;

use super::{COLUMN, ROW_SLOTS, WINDOW_ROWS, add_up};

/// An equation over slots, or the absence of one if it has no coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Equation<const WORDS: usize> {
    /// Of the 64 slots from some row on.
    pub(super) coefficients: u64,
    /// What they add up to, one bit a column, eight columns a word.
    pub(super) result: [u64; WORDS],
}

impl<const WORDS: usize> Equation<WORDS> {
    const NONE: Self = Self { coefficients: 0, result: [0; WORDS] };

    #[inline]
    fn add(&mut self, other: &Self) {
        self.coefficients ^= other.coefficients;
        for (result, other) in self.result.iter_mut().zip(other.result) {
            *result ^= other;
        }
    }
}

/// What became of an equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is held at this slot.
    Held(usize),
    /// It follows from those that are held.
    Redundant,
    /// It contradicts those that are held.
    Contradicts,
}

/// Equations in echelon form.
#[derive(Debug)]
pub(super) struct System<const WORDS: usize> {
    held: Vec<Equation<WORDS>>,
}

impl<const WORDS: usize> System<WORDS> {
    /// No equations over no rows.
    pub(super) fn new() -> Self {
        Self { held: Vec::new() }
    }

    /// Forgets every equation; over `rows` rows from now on. An equation that would be held behind
    /// them contradicts the others.
    pub(super) fn clear(&mut self, rows: usize) {
        self.held.clear();
        self.held.resize(rows * ROW_SLOTS, Equation::NONE);
    }

    /// Adds an equation whose coefficients begin at `row`.
    #[inline]
    pub(super) fn add(&mut self, row: usize, mut equation: Equation<WORDS>) -> Fate {
        let mut first = row * ROW_SLOTS;
        while equation.coefficients != 0 {
            let zeros = equation.coefficients.trailing_zeros();
            equation.coefficients >>= zeros & !7;
            let slot = first + zeros as usize;
            first += (zeros & !7) as usize;
            let Some(held) = self.held.get_mut(slot) else { return Fate::Contradicts };
            if held.coefficients == 0 {
                *held = equation;
                return Fate::Held(slot);
            }
            equation.add(held);
        }
        if equation.result == [0; WORDS] { Fate::Redundant } else { Fate::Contradicts }
    }

    /// Takes back the equation held at `slot`, to which no other has been added since.
    pub(super) fn take_back(&mut self, slot: usize) {
        if let Some(held) = self.held.get_mut(slot) {
            *held = Equation::NONE;
        }
    }

    /// Gives the bits of each row, one byte a column, from the last row to the first. Slots that no
    /// equation is held at are zero. `window` is what was given for the rows behind these, and
    /// becomes that for the rows before.
    pub(super) fn solve(
        &self,
        window: &mut Window<WORDS>,
        mut give: impl FnMut(usize, [u64; WORDS]),
    ) {
        for (row, held) in self.held.chunks(ROW_SLOTS).enumerate().rev() {
            for word in window.iter_mut() {
                word.rotate_right(1);
                if let Some(first) = word.first_mut() {
                    *first = 0;
                }
            }
            for (slot, equation) in held.iter().enumerate().rev() {
                let present = COLUMN & 0u64.wrapping_sub(u64::from(equation.coefficients != 0));
                for (word, result) in window.iter_mut().zip(equation.result) {
                    let sum = add_up(word.iter().copied(), equation.coefficients);
                    if let Some(first) = word.first_mut() {
                        *first |= ((sum ^ result) & present) << slot;
                    }
                }
            }
            give(row, window.map(|word| word.first().copied().unwrap_or(0)));
        }
    }
}

/// The rows that coefficients from some row on may reach, the nearest first.
pub(super) type Window<const WORDS: usize> = [[u64; WINDOW_ROWS]; WORDS];
