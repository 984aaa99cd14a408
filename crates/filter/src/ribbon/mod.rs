//! Retrieval by bumped ribbons: a function from hashes to a few bits, stored in little more than
//! those bits.
//!
//! A layer is a table of bits: columns, one for each bit of the answer, by slots, eight of which make
//! a *row*. A hash has a start, which is a row, and 64 coefficients, one for each slot of the eight
//! rows from there on. For each column, the bits whose coefficient is one add up, modulo two, to one
//! bit of the answer. What the bits of the table are is found by elimination when it is built.
//!
//! A table hardly larger than its hashes are many cannot satisfy all their equations. Where one
//! fails, the stretch of sixteen starts it belongs to gives up its first few, as many as its
//! *threshold* says: their hashes are *bumped*, to the next layer, which is small. The last layer has
//! so much room that it bumps nothing.
//!
//! Starts at rows rather than at slots are what keeps a probe cheap without vector instructions: the
//! eight bytes of one row, a byte a column, are one word, and what a hash looks at is one piece.
//! The price, some slots per thousand more than with starts everywhere, was measured and is small.

mod mixed;
mod columns;
mod layer;
mod shape;
mod elimination;
mod build;

pub(crate) use build::{Entry, write};
pub(crate) use columns::Columns;
pub(crate) use mixed::Mixed;
pub(crate) use shape::{Shape, scatter};

/// The bit of each of eight columns in a word: the lowest of each byte, columns ascending.
pub(crate) const COLUMN: u64 = 0x0101_0101_0101_0101;

/// Slots of a row.
pub(crate) const ROW_SLOTS: usize = 8;

/// Rows that a hash looks at.
pub(crate) const WINDOW_ROWS: usize = 8;

/// Adds up, for each column of eight, the bits of `rows` that have a coefficient.
#[inline]
pub(crate) fn add_up(rows: impl Iterator<Item = u64>, coefficients: u64) -> u64 {
    let mut coefficients = coefficients;
    let mut sum = 0;
    for row in rows {
        sum ^= row & (coefficients & 0xff).wrapping_mul(COLUMN);
        coefficients >>= ROW_SLOTS;
    }
    sum ^= sum >> 4;
    sum ^= sum >> 2;
    sum ^= sum >> 1;
    sum & COLUMN
}
