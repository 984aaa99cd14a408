use stratal_simd::prefetch;

use super::{Columns, WINDOW_ROWS, add_up};

/// Starts that share a threshold.
pub(crate) const BUCKET_STARTS: usize = 16;

/// Starts that share a byte of thresholds.
const BYTE_STARTS: usize = 2 * BUCKET_STARTS;

/// Largest threshold: the whole bucket is bumped.
pub(crate) const THRESHOLD_MAX: usize = 15;

/// Of the 16 starts of a bucket, the last two share a step of the threshold: there are 16
/// thresholds, and the lowest bumps nothing.
#[inline]
pub(crate) fn step_of(start: usize) -> usize {
    (start % BUCKET_STARTS).min(THRESHOLD_MAX - 1)
}

/// Where the parts of a layer are among the bytes of the whole.
///
/// A layer is its rows, then the extra column of the first of them, then the thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Starts; 0 if there is no such layer.
    pub(crate) starts: u32,
    /// Starts that have the extra column.
    pub(crate) wide: u32,
    /// Offset of the rows.
    pub(crate) rows_at: u64,
    /// Offset of the thresholds.
    pub(crate) thresholds_at: u64,
}

impl Layer {
    /// Most starts: with 16 columns they take 1 GiB.
    pub(crate) const STARTS_MAX: u32 = 1 << 26;

    /// A layer of `starts` starts whose first byte is at `offset`.
    pub(crate) fn at(offset: u64, starts: u32, columns: Columns) -> Self {
        let wide = columns.wide_starts(starts);
        let rows_len = rows(starts) * u64::from(columns.whole);
        let layer = Self { starts, wide, rows_at: offset, thresholds_at: offset };
        Self { thresholds_at: offset + rows_len + layer.extra_len(), ..layer }
    }

    /// Offset of the extra column, which ends where the thresholds begin.
    pub(crate) fn extra_at(self) -> u64 {
        self.thresholds_at.saturating_sub(self.extra_len())
    }

    /// Bytes of the extra column.
    fn extra_len(self) -> u64 {
        if self.wide == 0 { 0 } else { rows(self.wide) }
    }

    /// Offset behind the last byte.
    pub(crate) fn end(self) -> u64 {
        self.thresholds_at + thresholds_len(self.starts)
    }

    /// Whether the hash is left to the next layer. So is every hash if `bytes` end too early.
    #[inline]
    pub(crate) fn is_bumped(self, bytes: &[u8], start: usize) -> bool {
        let byte = bytes.get(usize_of(self.thresholds_at) + start / BYTE_STARTS);
        byte.is_none_or(|byte| {
            let threshold = byte >> (start / BUCKET_STARTS % 2 * 4) & 0xf;
            step_of(start) < usize::from(threshold)
        })
    }

    /// Asks for what is read for a start: its threshold, and the ends of its window, which is no longer
    /// than two lines of a cache.
    #[inline]
    pub(crate) fn prefetch(self, bytes: &[u8], start: usize, columns: usize) {
        let rows_at = usize_of(self.rows_at) + start * columns;
        let ends = [
            usize_of(self.thresholds_at) + start / BYTE_STARTS,
            rows_at,
            rows_at + WINDOW_ROWS * columns - 1,
        ];
        for at in ends {
            prefetch(bytes, at);
        }
    }

    /// What the equation of `mixed` adds up to in the first `COLUMNS` columns, eight of them in each
    /// word; `None` if `bytes` end too early. Other bits of the last word are noise.
    #[inline]
    pub(crate) fn answer<const COLUMNS: usize, const WORDS: usize>(
        self,
        bytes: &[u8],
        start: usize,
        coefficients: u64,
    ) -> Option<[u64; WORDS]> {
        let from = usize_of(self.rows_at) + start * COLUMNS;
        // One check for all rows: the compiler knows the length of what it gives.
        let window = bytes.get(from..)?.get(..(WINDOW_ROWS - 1) * COLUMNS + 8 * WORDS)?;
        let mut answer = [0; WORDS];
        for (word, answer) in answer.iter_mut().enumerate() {
            let rows = (0..WINDOW_ROWS).map(|row| word_at(window, row * COLUMNS + word * 8));
            *answer = add_up(rows, coefficients);
        }
        Some(answer)
    }

    /// What the equation adds up to in the extra column, if the start has it.
    #[inline]
    pub(crate) fn extra_answer(self, bytes: &[u8], start: usize, coefficients: u64) -> Option<u64> {
        if start >= self.wide as usize {
            return None;
        }
        let window = bytes.get(usize_of(self.extra_at()) + start..)?.first_chunk()?;
        let sum = u64::from_le_bytes(*window) & coefficients;
        Some(u64::from(sum.count_ones() & 1))
    }
}

/// Rows that `starts` starts look at.
pub(crate) fn rows(starts: u32) -> u64 {
    u64::from(starts) + 7
}

/// Bytes of the thresholds of `starts` starts.
pub(crate) fn thresholds_len(starts: u32) -> u64 {
    u64::from(starts).div_ceil(32)
}

#[inline]
fn word_at(window: &[u8], at: usize) -> u64 {
    let word = window.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |&word| u64::from_le_bytes(word))
}

#[inline]
fn usize_of(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
