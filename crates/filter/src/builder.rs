use alloc::vec::Vec;

use crate::{
    FilterKind, FilterSpec, Membership,
    header::{Answers, Body, Header, Lines},
    input::len_u64,
    line::{self, LINE_BITS, LINE_LEN, Line},
    rate,
    ribbon::{self, Columns, Entry, Mixed},
};

/// Gathers hashes and writes a filter over them.
///
/// Holds eight bytes per hash until the filter is written: its size follows from their number. While
/// a BuRR filter is written it takes eight bytes per hash more, and some 4 MiB or less. May be used
/// again after each filter, with its memory.
#[derive(Clone, Debug)]
pub struct FilterBuilder {
    /// Those before `hashes`, in order; none is empty.
    taken: Vec<Vec<u64>>,
    hashes: Vec<u64>,
    membership: Membership,
    plan: Plan,
}

/// What does not depend on the number of hashes.
#[derive(Clone, Copy, Debug)]
enum Plan {
    BlockedBloom {
        /// Bits per key, in units of 1/256.
        bits_per_key_256: u32,
        probes: u8,
    },
    Burr(Columns),
}

impl FilterBuilder {
    /// An empty builder of filters over whole keys. A spec that [`FilterSpec::validate`] refuses
    /// counts as the nearest it accepts.
    pub fn new(spec: FilterSpec) -> Self {
        let plan = match spec.kind {
            FilterKind::BlockedBloom => {
                let bits_per_key = spec.bits_per_key();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "bits per key are between 1 and 32"
                )]
                let bits_per_key_256 = (bits_per_key * 256.0) as u32;
                Plan::BlockedBloom { bits_per_key_256, probes: rate::probes_for(bits_per_key) }
            }
            FilterKind::Burr => Plan::Burr(spec.columns()),
        };
        let (taken, hashes) = (Vec::new(), Vec::new());
        Self { taken, hashes, membership: Membership::WholeKeys, plan }
    }

    /// The same for filters whose hashes are of something else.
    #[must_use]
    pub fn with_membership(self, membership: Membership) -> Self {
        Self { membership, ..self }
    }

    /// Adds a hash. Adding the same again changes at most the size, and not even that in a BuRR
    /// filter, or when it follows itself, as the versions of one key do.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let last = match &self.hashes[..] {
            [.., last] => Some(last),
            [] => self.taken.last().and_then(|hashes| hashes.last()),
        };
        if last != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// Adds every one of `hashes`, as [`add`](Self::add) does one after the other, and takes their memory
    /// over instead of copying them. It is given back as the filter is written.
    pub fn add_all(&mut self, mut hashes: Vec<u64>) {
        hashes.dedup();
        let Some(first) = hashes.first() else { return };
        if !self.hashes.is_empty() {
            self.taken.push(core::mem::take(&mut self.hashes));
        }
        if let Some(before) = self.taken.last_mut()
            && before.last() == Some(first)
        {
            before.pop();
            if before.is_empty() {
                self.taken.pop();
            }
        }
        self.taken.push(hashes);
    }

    /// Hashes held.
    pub fn len(&self) -> usize {
        self.taken.iter().map(Vec::len).sum::<usize>() + self.hashes.len()
    }

    /// Whether no hash is held.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.hashes.is_empty()
    }

    /// Bytes that [`finish_into`](Self::finish_into) would append now: exactly for a blocked Bloom
    /// filter; for a BuRR filter over different hashes within a hundredth and 300 bytes.
    pub fn filter_len(&self) -> usize {
        match self.plan {
            _ if self.is_empty() => 0,
            Plan::BlockedBloom { bits_per_key_256, .. } => {
                Header::LEN + self.lines(bits_per_key_256) as usize * LINE_LEN
            }
            Plan::Burr(columns) => Header::LEN + columns.expected_len(self.len()),
        }
    }

    /// Appends a filter over the hashes to `out`, and forgets them. Whether a filter was written.
    ///
    /// Nothing is if there are no hashes: an empty set has no filter. Neither is it if a BuRR filter
    /// would exceed 1 GiB, or in the case, not known to have happened, that no seed suits the
    /// hashes: what has no filter is read without. A blocked Bloom filter is at most 1 GiB too; with
    /// more hashes than that has room for it is still right, but wrong more often.
    ///
    /// The same hashes give the same bytes, those of a BuRR filter in whichever order they were
    /// added. O(hashes), each touching one line, for a blocked Bloom filter; O(hashes × log hashes)
    /// for a BuRR filter.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) -> bool {
        let written = !self.is_empty()
            && match self.plan {
                Plan::BlockedBloom { bits_per_key_256, probes } => {
                    let lines = Lines { probes, count: self.lines(bits_per_key_256) };
                    self.write_lines(lines, out);
                    true
                }
                Plan::Burr(columns) => self.write_ribbon(columns, out),
            };
        self.taken.clear();
        self.hashes.clear();
        written
    }

    fn write_lines(&mut self, lines: Lines, out: &mut Vec<u8>) {
        let header = Header {
            membership: self.membership,
            keys: len_u64(self.len()),
            body: Body::BlockedBloom(lines),
        };
        let start = out.len();
        let len = Header::LEN + lines.count as usize * LINE_LEN;
        out.reserve_exact(len);
        out.extend_from_slice(&header.encode());
        out.resize(start + len, 0);
        let bits = out.get_mut(start + Header::LEN..).unwrap_or_default();
        let bits = bits.as_chunks_mut().0;
        for taken in self.taken.drain(..) {
            insert_all(bits, &taken, lines);
        }
        insert_all(bits, &self.hashes, lines);
    }

    fn write_ribbon(&self, columns: Columns, out: &mut Vec<u8>) -> bool {
        let hashes = || self.taken.iter().flatten().chain(&self.hashes).copied();
        let entries = |seed| {
            let keys = hashes().map(|hash| Key(Mixed::first(hash, seed)));
            let mut keys: Vec<Key> = keys.collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        };
        let header = |keys, shape| Header {
            membership: self.membership,
            keys,
            body: Body::Ribbon(Answers::Fingerprints, shape),
        };
        ribbon::write(columns, entries, header, out)
    }

    /// Lines that the hashes need.
    fn lines(&self, bits_per_key_256: u32) -> u32 {
        let bits_256 = len_u64(self.len()).saturating_mul(bits_per_key_256.into());
        let lines = bits_256.div_ceil(u64::from(LINE_BITS) * 256);
        u32::try_from(lines).unwrap_or(u32::MAX).min(Lines::COUNT_MAX)
    }
}

/// Appends a filter over `hashes` to `out`, nothing if there are none. Whether a filter was written.
///
/// Like a [`FilterBuilder`] that is given each of them.
pub fn build(spec: FilterSpec, hashes: &[u64], out: &mut Vec<u8>) -> bool {
    let mut builder = FilterBuilder::new(spec);
    builder.hashes.reserve_exact(hashes.len());
    for &hash in hashes {
        builder.add(hash);
    }
    builder.finish_into(out)
}

fn insert_all(lines: &mut [Line], hashes: &[u64], in_lines: Lines) {
    for &hash in hashes {
        if let Some(line) = lines.get_mut(line::index_of(hash, in_lines.count)) {
            line::insert(line, hash, in_lines.probes);
        }
    }
}

/// A hash that is answered for with its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(Mixed);

impl Entry for Key {
    #[inline]
    fn mixed(self) -> Mixed {
        self.0
    }

    fn with_mixed(self, mixed: Mixed) -> Self {
        Self(mixed)
    }

    #[inline]
    fn result(self, coefficients: u64) -> [u64; 2] {
        Mixed::fingerprint(coefficients)
    }
}
