use core::{fmt, num::NonZeroU64};

use stratal_simd::prefetch_value;

use crate::{
    Error, FilterKind, Membership,
    header::{Answers, Body, Header, Lines},
    line::{self, Line},
    rate,
};

/// A filter in the bytes it was written as.
///
/// `B` is whatever holds them: a slice, a `Vec`, a reference-counted buffer out of a cache, a mapped
/// file. A probe of a blocked Bloom filter reads 64 bytes of it, which are one cache line if the
/// bytes begin at an address divisible by 64 and two neighbouring ones otherwise; a probe of a BuRR
/// filter eight bytes for each bit of its answer, in one piece, and one byte out of a table that is
/// two hundred times smaller than the filter.
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
    /// [`Error::UnknownKind`] when the filter is newer than this build, or no filter but a
    /// [`Retrieval`](crate::Retrieval); otherwise one for which [`Error::is_corruption`] holds.
    pub fn parse(bytes: B) -> Result<Self, Error> {
        let header = Header::decode(bytes.as_ref())?;
        if let Body::Ribbon(Answers::Values, _) = header.body {
            return Err(Error::UnknownKind { tag: header.body.tag() });
        }
        Ok(Self { bytes, header })
    }

    /// Whether the key with this `hash` may have been added. `false` is certain.
    ///
    /// A filter over prefixes alone knows nothing about keys: they may have been.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        !self.header.membership.has_keys() || self.contains(hash)
    }

    /// Whether a key may have been added from which `extractor`, given by its
    /// [`id`](stratal_types::PrefixExtractor::id), cuts the prefix with this `hash`. `false` is
    /// certain.
    ///
    /// A filter that was not built under the extractor does not know: there may be such a key.
    #[inline]
    pub fn may_contain_prefix(&self, extractor: NonZeroU64, hash: u64) -> bool {
        self.header.membership.extractor() != Some(extractor) || self.contains(hash)
    }

    /// Answers [`may_contain`](Self::may_contain) for each hash in `hashes`, in the same place of
    /// `answers`; where one of the two is longer, its rest is left alone.
    ///
    /// Faster than asking one by one when the filter is larger than the processor's caches: what
    /// several hashes look at is on its way at once.
    pub fn may_contain_batch(&self, hashes: &[u64], answers: &mut [bool]) {
        if !self.header.membership.has_keys() {
            hashes.iter().zip(answers).for_each(|(_, answer)| *answer = true);
            return;
        }
        match &self.header.body {
            Body::BlockedBloom(in_lines) => {
                let lines = self.lines();
                for (&hash, answer) in hashes.iter().zip(answers) {
                    *answer = line_contains(lines, *in_lines, hash);
                }
            }
            Body::Ribbon(_, shape) => {
                shape.contains_each(self.bytes.as_ref(), hashes, answers);
            }
        }
    }

    /// Asks for what a probe for `hash` would read, and waits for none of it.
    ///
    /// Who is about to probe several filters that are larger than the processor's caches does so for
    /// each of them first: what they read is then on its way at once.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        match &self.header.body {
            Body::BlockedBloom(in_lines) => {
                if let Some(line) = self.lines().get(line::index_of(hash, in_lines.count)) {
                    prefetch_value(line);
                }
            }
            Body::Ribbon(_, shape) => shape.prefetch(self.bytes.as_ref(), hash),
        }
    }

    /// How the filter works.
    pub fn kind(&self) -> FilterKind {
        match self.header.body {
            Body::BlockedBloom(_) => FilterKind::BlockedBloom,
            Body::Ribbon(..) => FilterKind::Burr,
        }
    }

    /// Of what the hashes are.
    pub fn membership(&self) -> Membership {
        self.header.membership
    }

    /// Hashes that were added.
    pub fn keys(&self) -> u64 {
        self.header.keys
    }

    /// Bits per hash, header not counted.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
    pub fn bits_per_key(&self) -> f64 {
        let bytes = self.bytes.as_ref().len().saturating_sub(Header::LEN);
        bytes as f64 * 8.0 / self.header.keys as f64
    }

    /// The share of absent keys that the filter is expected to take for present; 1 if it is so
    /// full that it says nothing.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
    pub fn estimated_fpr(&self) -> f64 {
        match self.header.body {
            Body::BlockedBloom(lines) => {
                let keys_per_line = self.header.keys as f64 / f64::from(lines.count);
                rate::false_positive_rate(keys_per_line, lines.probes)
            }
            Body::Ribbon(_, shape) => shape.columns.rate(),
        }
    }

    /// What holds the bytes.
    pub fn get_ref(&self) -> &B {
        &self.bytes
    }

    /// Gives back what holds the bytes.
    pub fn into_inner(self) -> B {
        self.bytes
    }

    #[inline]
    fn contains(&self, hash: u64) -> bool {
        match &self.header.body {
            Body::BlockedBloom(in_lines) => line_contains(self.lines(), *in_lines, hash),
            Body::Ribbon(_, shape) => shape.contains(self.bytes.as_ref(), hash),
        }
    }

    #[inline]
    fn lines(&self) -> &[Line] {
        self.bytes.as_ref().get(Header::LEN..).unwrap_or_default().as_chunks().0
    }
}

/// A line that is not there (the bytes changed since they were parsed) may contain anything.
#[inline]
fn line_contains(lines: &[Line], in_lines: Lines, hash: u64) -> bool {
    let line = lines.get(line::index_of(hash, in_lines.count));
    line.is_none_or(|line| line::contains(line, hash, in_lines.probes))
}

impl<B> fmt::Debug for Filter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.header).finish()
    }
}
