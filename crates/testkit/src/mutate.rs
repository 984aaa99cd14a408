//! Damage in every simple form: what a corruption test feeds to a decoder.
//!
//! A test states once what must hold for any mutant, and is shown all of them:
//!
//! ```
//! use stratal_testkit::mutate::for_each_mutant;
//!
//! let stored = b"five\x05";                       // a format: four bytes and their count plus one
//! let read = |bytes: &[u8]| (bytes.len() == 5 && bytes.last() == Some(&5)).then(|| bytes.to_vec());
//! let counts = for_each_mutant(stored, |what, mutant| {
//!     if let Some(answer) = read(mutant) {
//!         // Here a flip in the text goes unnoticed; a real test fails, naming the mutation.
//!         assert_ne!(answer, stored, "{what}");
//!     }
//! });
//! println!("{counts}");
//! assert_eq!(counts.total(), 40 + 10 + 1 + 0 + 5 + 1);
//! ```

use std::{fmt, ops::Range};

/// Bytes a disk writes at once.
pub const SECTOR_LEN: usize = 512;

/// One way to damage a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// One bit is the other.
    BitFlipped {
        /// Which byte.
        offset: usize,
        /// Which bit of it, 0 the lowest.
        bit: u8,
    },
    /// One byte is `value`, 00 or FF.
    ByteSet {
        /// Which byte.
        offset: usize,
        /// What it is now.
        value: u8,
    },
    /// One sector, the last one perhaps partial, is zero.
    SectorZeroed {
        /// Which sector.
        sector: usize,
    },
    /// Two whole sectors stand in each other's place.
    SectorsSwapped {
        /// The one that stood first.
        first: usize,
        /// The other.
        second: usize,
    },
    /// Only the first `len` bytes are left.
    Cut {
        /// Bytes left.
        len: usize,
    },
    /// The whole run stands there twice.
    Doubled,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitFlipped { offset, bit } => write!(f, "bit {bit} of byte {offset} flipped"),
            Self::ByteSet { offset, value } => write!(f, "byte {offset} set to {value:02x}"),
            Self::SectorZeroed { sector } => write!(f, "sector {sector} zeroed"),
            Self::SectorsSwapped { first, second } => {
                write!(f, "sectors {first} and {second} swapped")
            }
            Self::Cut { len } => write!(f, "cut to {len} bytes"),
            Self::Doubled => f.write_str("appended to itself"),
        }
    }
}

/// How many mutants of each kind a test has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Mutation::BitFlipped`].
    pub bits_flipped: u64,
    /// [`Mutation::ByteSet`].
    pub bytes_set: u64,
    /// [`Mutation::SectorZeroed`].
    pub sectors_zeroed: u64,
    /// [`Mutation::SectorsSwapped`].
    pub sectors_swapped: u64,
    /// [`Mutation::Cut`].
    pub cuts: u64,
    /// [`Mutation::Doubled`].
    pub doubled: u64,
}

impl Counts {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.bits_flipped
            + self.bytes_set
            + self.sectors_zeroed
            + self.sectors_swapped
            + self.cuts
            + self.doubled
    }

    /// Adds one.
    pub fn add(&mut self, mutation: Mutation) {
        *match mutation {
            Mutation::BitFlipped { .. } => &mut self.bits_flipped,
            Mutation::ByteSet { .. } => &mut self.bytes_set,
            Mutation::SectorZeroed { .. } => &mut self.sectors_zeroed,
            Mutation::SectorsSwapped { .. } => &mut self.sectors_swapped,
            Mutation::Cut { .. } => &mut self.cuts,
            Mutation::Doubled => &mut self.doubled,
        } += 1;
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.bits_flipped += other.bits_flipped;
        self.bytes_set += other.bytes_set;
        self.sectors_zeroed += other.sectors_zeroed;
        self.sectors_swapped += other.sectors_swapped;
        self.cuts += other.cuts;
        self.doubled += other.doubled;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bits_flipped, bytes_set, sectors_zeroed, sectors_swapped, cuts, doubled } = self;
        write!(
            f,
            "{} mutants: {bits_flipped} bit flips, {bytes_set} bytes set, {sectors_zeroed} sectors \
             zeroed, {sectors_swapped} swaps, {cuts} cuts, {doubled} doubled",
            self.total()
        )
    }
}

/// Every mutation of `bytes`, those left out that would change nothing.
///
/// The number is linear in the length but for swaps, which are one for each pair of sectors.
pub fn mutations(bytes: &[u8]) -> impl Iterator<Item = Mutation> + '_ {
    let len = bytes.len();
    let flips =
        (0..len).flat_map(|offset| (0..8).map(move |bit| Mutation::BitFlipped { offset, bit }));
    let sets = [0x00, 0xff].into_iter().flat_map(move |value| {
        (0..len)
            .filter(move |&offset| bytes[offset] != value)
            .map(move |offset| Mutation::ByteSet { offset, value })
    });
    let zeroed = (0..len.div_ceil(SECTOR_LEN))
        .filter(move |&sector| bytes[sector_range(sector, len)].iter().any(|&byte| byte != 0))
        .map(|sector| Mutation::SectorZeroed { sector });
    let whole = len / SECTOR_LEN;
    let swapped = (0..whole)
        .flat_map(move |first| (first + 1..whole).map(move |second| (first, second)))
        .filter(move |&(a, b)| bytes[sector_range(a, len)] != bytes[sector_range(b, len)])
        .map(|(first, second)| Mutation::SectorsSwapped { first, second });
    let cuts = (0..len).map(|len| Mutation::Cut { len });
    let doubled = (len > 0).then_some(Mutation::Doubled);
    flips.chain(sets).chain(zeroed).chain(swapped).chain(cuts).chain(doubled)
}

/// Shows every mutant of `bytes` to `check`, with what was done to it, and counts them.
///
/// One buffer serves all; each mutant costs what its damage costs, not its length.
pub fn for_each_mutant(bytes: &[u8], mut check: impl FnMut(Mutation, &[u8])) -> Counts {
    let mut counts = Counts::default();
    let mut buf = bytes.to_vec();
    for mutation in mutations(bytes) {
        show(mutation, bytes, &mut buf, &mut check);
        counts.add(mutation);
    }
    counts
}

/// A copy of `bytes` with `mutation` done to it: to look at one mutant again.
///
/// # Panics
///
/// If the mutation names a place that `bytes` does not have.
pub fn mutant(bytes: &[u8], mutation: Mutation) -> Vec<u8> {
    let mut shown = Vec::new();
    show(mutation, bytes, &mut bytes.to_vec(), &mut |_, mutant| shown = mutant.to_vec());
    shown
}

/// Damages `buf`, which equals `bytes`, shows it, and repairs it.
fn show(
    mutation: Mutation,
    bytes: &[u8],
    buf: &mut Vec<u8>,
    check: &mut impl FnMut(Mutation, &[u8]),
) {
    match mutation {
        Mutation::BitFlipped { offset, bit } => {
            buf[offset] ^= 1 << bit;
            check(mutation, buf);
            buf[offset] = bytes[offset];
        }
        Mutation::ByteSet { offset, value } => {
            buf[offset] = value;
            check(mutation, buf);
            buf[offset] = bytes[offset];
        }
        Mutation::SectorZeroed { sector } => {
            let range = sector_range(sector, bytes.len());
            buf[range.clone()].fill(0);
            check(mutation, buf);
            buf[range.clone()].copy_from_slice(&bytes[range]);
        }
        Mutation::SectorsSwapped { first, second } => {
            let (a, b) = (sector_range(first, bytes.len()), sector_range(second, bytes.len()));
            buf[a.clone()].copy_from_slice(&bytes[b.clone()]);
            buf[b.clone()].copy_from_slice(&bytes[a.clone()]);
            check(mutation, buf);
            buf[a.clone()].copy_from_slice(&bytes[a]);
            buf[b.clone()].copy_from_slice(&bytes[b]);
        }
        Mutation::Cut { len } => check(mutation, &buf[..len]),
        Mutation::Doubled => {
            buf.extend_from_slice(bytes);
            check(mutation, buf);
            buf.truncate(bytes.len());
        }
    }
}

/// Where `sector` lies in `len` bytes.
fn sector_range(sector: usize, len: usize) -> Range<usize> {
    let start = sector * SECTOR_LEN;
    start..len.min(start + SECTOR_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_differs_and_the_buffer_is_whole_again() {
        let bytes = Rng::new(8).bytes(3 * SECTOR_LEN + 100);
        let mut distinct = BTreeSet::new();
        let counts = for_each_mutant(&bytes, |mutation, shown| {
            assert_ne!(shown, bytes, "{mutation}");
            assert_eq!(shown, mutant(&bytes, mutation), "{mutation}");
            distinct.insert(shown.to_vec());
        });
        assert_eq!(counts.bits_flipped, bytes.len() as u64 * 8);
        assert_eq!(counts.cuts, bytes.len() as u64);
        assert_eq!((counts.sectors_zeroed, counts.sectors_swapped), (4, 3));
        // A byte with one bit away from 00 or FF is reached by a flip too.
        assert!(distinct.len() as u64 > counts.total() - counts.bytes_set, "{counts}");
    }

    #[test]
    fn what_changes_nothing_is_left_out() {
        let counts = for_each_mutant(&[0; 2 * SECTOR_LEN], |_, _| {});
        assert_eq!((counts.sectors_zeroed, counts.sectors_swapped), (0, 0));
        assert_eq!(counts.bytes_set, 2 * SECTOR_LEN as u64);
        assert_eq!(for_each_mutant(&[], |_, _| {}).total(), 0);
    }
}
