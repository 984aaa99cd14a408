use alloc::vec::Vec;

use crate::{
    FilterKind, FilterSpec,
    header::Header,
    line::{self, LINE_BITS, LINE_LEN, Line},
    rate,
};

/// Gathers hashes and writes a filter over them.
///
/// Holds eight bytes per hash until the filter is written: its size follows from their number.
/// May be used again after each filter, with its memory.
#[derive(Clone, Debug)]
pub struct FilterBuilder {
    hashes: Vec<u64>,
    /// Bits per key, in units of 1/256.
    bits_per_key_256: u32,
    probes: u8,
}

impl FilterBuilder {
    /// An empty builder. A spec that [`FilterSpec::validate`] refuses counts as the nearest it
    /// accepts.
    pub fn new(spec: FilterSpec) -> Self {
        let bits_per_key = spec.bits_per_key();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bits per key are between 1 and 32"
        )]
        let bits_per_key_256 = (bits_per_key * 256.0) as u32;
        Self { hashes: Vec::new(), bits_per_key_256, probes: rate::probes_for(bits_per_key) }
    }

    /// Adds a hash. Adding the same again changes nothing but the size, and not even that when it
    /// follows itself, as the versions of one key do.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// Hashes held.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether no hash is held.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Bytes that [`finish_into`](Self::finish_into) would append now.
    pub fn filter_len(&self) -> usize {
        match self.lines() {
            0 => 0,
            lines => Header::LEN + lines as usize * LINE_LEN,
        }
    }

    /// Appends a filter over the hashes to `out`, and forgets them. Appends nothing if there are
    /// none: an empty set has no filter.
    ///
    /// A filter is at most 1 GiB; when more hashes are added than that has room for, it is still
    /// right, but wrong more often. O(hashes), each touching one line.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        let lines = self.lines();
        if lines == 0 {
            return;
        }
        let header = Header {
            kind: FilterKind::BlockedBloom,
            probes: self.probes,
            lines,
            keys: hashes_u64(self.hashes.len()),
        };
        let start = out.len();
        out.reserve_exact(self.filter_len());
        out.extend_from_slice(&header.encode());
        out.resize(start + self.filter_len(), 0);
        let bits = out.get_mut(start + Header::LEN..).unwrap_or_default();
        insert_all(bits.as_chunks_mut().0, &self.hashes, lines, self.probes);
        self.hashes.clear();
    }

    /// Lines that the hashes need.
    fn lines(&self) -> u32 {
        let bits_256 = hashes_u64(self.hashes.len()).saturating_mul(self.bits_per_key_256.into());
        let lines = bits_256.div_ceil(u64::from(LINE_BITS) * 256);
        u32::try_from(lines).unwrap_or(u32::MAX).min(Header::LINES_MAX)
    }
}

/// Appends a filter over `hashes` to `out`, nothing if there are none.
///
/// Like a [`FilterBuilder`] that is given each of them.
pub fn build(spec: FilterSpec, hashes: &[u64], out: &mut Vec<u8>) {
    let mut builder = FilterBuilder::new(spec);
    for &hash in hashes {
        builder.add(hash);
    }
    builder.finish_into(out);
}

fn insert_all(lines: &mut [Line], hashes: &[u64], line_count: u32, probes: u8) {
    for &hash in hashes {
        if let Some(line) = lines.get_mut(line::index_of(hash, line_count)) {
            line::insert(line, hash, probes);
        }
    }
}

fn hashes_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
