use core::fmt;

use crate::{
    Error, FilterKind,
    header::Header,
    line::{self, LINE_BITS, Line},
    rate,
};

/// A filter in the bytes it was written as.
///
/// `B` is whatever holds them: a slice, a `Vec`, a reference-counted buffer out of a cache. A probe
/// reads 64 bytes of it, which are one cache line if the bytes begin at an address divisible by 64
/// and two neighbouring ones otherwise.
#[derive(Clone)]
pub struct Filter<B> {
    bytes: B,
    header: Header,
}

impl<B: AsRef<[u8]>> Filter<B> {
    /// Reads the header and checks that `bytes` are one whole filter and nothing else. O(1).
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] when bytes are missing; [`Error::UnknownVersion`] and
    /// [`Error::UnknownKind`] when the filter is newer than this build; otherwise one for which
    /// [`Error::is_corruption`] holds.
    pub fn parse(bytes: B) -> Result<Self, Error> {
        let header = Header::decode(bytes.as_ref())?;
        Ok(Self { bytes, header })
    }

    /// Whether `hash` may have been added. `false` is certain.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        contains(self.lines(), self.header, hash)
    }

    /// Answers for each hash in `hashes`, in the same place of `answers`; where one of the two is
    /// longer, its rest is left alone.
    ///
    /// Faster than asking one by one when the filter is larger than the processor's caches: the
    /// lines of several hashes are on their way at once.
    pub fn may_contain_batch(&self, hashes: &[u64], answers: &mut [bool]) {
        let (lines, header) = (self.lines(), self.header);
        for (&hash, answer) in hashes.iter().zip(answers) {
            *answer = contains(lines, header, hash);
        }
    }

    /// How the filter works.
    pub fn kind(&self) -> FilterKind {
        self.header.kind
    }

    /// Hashes that were added.
    pub fn keys(&self) -> u64 {
        self.header.keys
    }

    /// Bits per hash, header not counted.
    pub fn bits_per_key(&self) -> f64 {
        f64::from(LINE_BITS) / self.keys_per_line()
    }

    /// The share of absent keys that the filter is expected to take for present; 1 if it is so
    /// full that it says nothing.
    pub fn estimated_fpr(&self) -> f64 {
        rate::false_positive_rate(self.keys_per_line(), self.header.probes)
    }

    /// What holds the bytes.
    pub fn get_ref(&self) -> &B {
        &self.bytes
    }

    /// Gives back what holds the bytes.
    pub fn into_inner(self) -> B {
        self.bytes
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
    fn keys_per_line(&self) -> f64 {
        self.header.keys as f64 / f64::from(self.header.lines)
    }

    #[inline]
    fn lines(&self) -> &[Line] {
        self.bytes.as_ref().get(Header::LEN..).unwrap_or_default().as_chunks().0
    }
}

/// A line that is not there (the bytes changed since they were parsed) may contain anything.
#[inline]
fn contains(lines: &[Line], header: Header, hash: u64) -> bool {
    let line = lines.get(line::index_of(hash, header.lines));
    line.is_none_or(|line| line::contains(line, hash, header.probes))
}

impl<B> fmt::Debug for Filter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.header).finish()
    }
}
