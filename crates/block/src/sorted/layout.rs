use core::ops::Range;

use stratal_simd::Simd;
use stratal_types::{EntryKind, KEY_LEN_MAX, SeqNo};

use super::{
    header::{
        DIGEST_WIDTH, Groups, Header, REST_BY_VALUE, RUN_LEN, Sections, ensure, malformed, runs,
        start_width,
    },
    words::short_word,
};
use crate::Error;

/// Where each part of a sorted block lies, and how wide the columns are.
///
/// A `Layout` that was parsed from some bytes holds for those bytes: every column lies inside them,
/// rows follow one another and hold the suffixes they promise, trailers have a meaning. Readers
/// still ask for slices that may be missing, since a type cannot promise that two calls of `as_ref`
/// lend the same bytes; what they get then is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The smallest sequence number.
    pub(super) seqno_base: u64,
    /// Number of rows.
    pub(super) count: u32,
    /// Number of groups, 0 in a block that has none.
    pub(super) groups: u32,
    pub(super) heads_at: u32,
    pub(super) offsets_at: u32,
    pub(super) seqnos_at: u32,
    pub(super) rows_at: u32,
    /// Where the rows end.
    pub(super) digests_at: u32,
    /// Length of each row where `offset_width` is 0.
    pub(super) stride: u32,
    pub(super) prefix_len: u16,
    /// Length of each group's middle; 0 where there are ends to tell.
    pub(super) middle_len: u16,
    /// Length of each key's rest where `rest_width` is 0, of each value where it is
    /// [`REST_BY_VALUE`].
    pub(super) rest_len: u16,
    pub(super) has_tags: bool,
    pub(super) has_digests: bool,
    pub(super) head_width: u8,
    pub(super) offset_width: u8,
    pub(super) rest_width: u8,
    pub(super) seqno_width: u8,
    /// The kind of every row, if there is but one.
    pub(super) kind: Option<EntryKind>,
    /// What columns are looked through with.
    pub(super) simd: Simd,
}

impl Layout {
    /// Reads and checks the layout of `bytes`, in one pass that leaves the values alone.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let len = u32::try_from(bytes.len()).map_err(|_| Error::TooLong {
            field: "sorted block",
            len: bytes.len() as u64,
            limit: u32::MAX.into(),
        })?;
        let header = Header::decode(bytes)?;
        let layout = Self::place(&header, len)?;
        layout.check_trailers(bytes)?;
        layout.check_offsets(bytes)?;
        layout.check_groups(bytes)?;
        layout.check_rows(bytes)?;
        Ok(layout)
    }

    /// Lays the sections out in a block of `len` bytes, which must hold them.
    fn place(header: &Header, len: u32) -> Result<Self, Error> {
        let sections = header.section_lens();
        let rows_at = u32::try_from(sections.rows_at())
            .ok()
            .filter(|&rows_at| u64::from(rows_at) + header.digests_len() <= len.into())
            .ok_or(malformed("count: the columns are longer than the block", 8))?;
        let digests_at = u32::try_from(u64::from(len) - header.digests_len()).unwrap_or(rows_at);
        let rows_len = digests_at.saturating_sub(rows_at);
        let mut stride = 0;
        if header.offset_width == 0 {
            stride = rows_len.checked_div(header.count).unwrap_or(0);
            // Rows without bytes, in columns or behind them, would let a few bytes claim billions.
            let has_bytes =
                stride > 0 || header.has_tags || header.head_width > 0 || header.has_digests;
            ensure(has_bytes || header.count == 0, "count: more rows than bytes", 8)?;
            ensure(
                u64::from(stride) * u64::from(header.count) == u64::from(rows_len),
                "rows that are not of one length",
                rows_at as usize,
            )?;
        }
        // Each section ends no later than the rows begin, which fits a u32.
        let narrow = |at: u64| u32::try_from(at).unwrap_or(rows_at);
        let Sections { heads, offsets, .. } = sections;
        let groups = header.groups.unwrap_or(Groups::NONE);
        Ok(Self {
            seqno_base: header.seqno_base,
            count: header.count,
            groups: groups.count,
            heads_at: narrow(sections.heads_at()),
            offsets_at: narrow(sections.heads_at() + heads),
            seqnos_at: narrow(sections.heads_at() + heads + offsets),
            rows_at,
            digests_at,
            stride,
            prefix_len: header.prefix_len,
            middle_len: groups.middle_len,
            rest_len: header.rest_len,
            has_tags: header.has_tags,
            has_digests: header.has_digests,
            head_width: header.head_width,
            offset_width: header.offset_width,
            rest_width: header.rest_width,
            seqno_width: header.seqno_width,
            kind: header.kind,
            simd: Simd::detect(),
        })
    }

    /// Every trailer is a kind and a number of 56 bits.
    fn check_trailers(&self, bytes: &[u8]) -> Result<(), Error> {
        let room = SeqNo::MAX.get() - self.seqno_base.min(SeqNo::MAX.get());
        if room < seqno_mask(self.seqno_width) {
            for i in 0..self.count() {
                let at = self.seqno_at(i);
                ensure(seqno_delta(bytes, at, self.seqno_width) <= room, "seqno", at)?;
            }
        }
        if self.kind.is_none() {
            let kinds = bytes.get(self.kinds()).unwrap_or_default();
            let unknown = kinds.iter().position(|&tag| EntryKind::from_tag(tag).is_none());
            if let Some(i) = unknown {
                return Err(malformed("kind", self.kinds().start.saturating_add(i)));
            }
        }
        Ok(())
    }

    /// Offsets begin with 0, do not decrease, and end where the block ends.
    fn check_offsets(&self, bytes: &[u8]) -> Result<(), Error> {
        let rows_len = self.digests_at.saturating_sub(self.rows_at) as usize;
        let column = bytes.get(self.offsets()).unwrap_or_default();
        let (first, last, ascending) = match self.offset_width {
            0 => return Ok(()),
            1 => return self.check_lengths(column, rows_len),
            2 => ascent(column.as_chunks::<2>().0, |&offset| u16::from_le_bytes(offset).into()),
            _ => ascent(column.as_chunks::<4>().0, |&offset| u32::from_le_bytes(offset)),
        };
        let at = self.offsets().start;
        ensure(first == Some(0), "offsets that do not begin with 0", at)?;
        ensure(ascending, "offsets that decrease", at)?;
        ensure(last.map(|last| last as usize) == Some(rows_len), "offsets that end elsewhere", at)
    }

    /// Each run of lengths begins where those before end, and the last ends where the rows end.
    fn check_lengths(&self, column: &[u8], rows_len: usize) -> Result<(), Error> {
        let at = self.offsets().start;
        let starts_len = 2 * runs(self.count) as usize;
        let (starts, lens) = column.split_at_checked(starts_len).unwrap_or_default();
        let mut end = 0usize;
        for (start, run) in starts.as_chunks().0.iter().zip(lens.chunks(RUN_LEN)) {
            ensure(usize::from(u16::from_le_bytes(*start)) == end, "lengths without sum", at)?;
            end += run.iter().map(|&len| usize::from(len)).sum::<usize>();
        }
        ensure(end == rows_len, "lengths that end elsewhere", at)
    }

    /// Groups begin with row 0 and ascend; ends of middles do not decrease, and end with the middles.
    fn check_groups(&self, bytes: &[u8]) -> Result<(), Error> {
        if self.groups == 0 {
            return Ok(());
        }
        let (at, column) = (self.starts().start, bytes.get(self.starts()).unwrap_or_default());
        let (first, last, ascending) = match start_width(self.count) {
            1 => strict_ascent(column.as_chunks::<1>().0, |&[start]| start.into()),
            2 => strict_ascent(column.as_chunks().0, |&start| u16::from_le_bytes(start).into()),
            _ => strict_ascent(column.as_chunks().0, |&start| u32::from_le_bytes(start)),
        };
        ensure(first == Some(0), "groups that do not begin with row 0", at)?;
        ensure(ascending, "groups that do not ascend", at)?;
        ensure(last.is_some_and(|last| last < self.count), "a group behind the rows", at)?;
        if self.middle_len == 0 {
            let at = self.starts().end;
            let column = bytes.get(at..self.middles_at()).unwrap_or_default();
            let ends = column.as_chunks().0;
            let (_, last, ascending) = ascent(ends, |&end| u16::from_le_bytes(end).into());
            let len = (self.heads_at as usize).saturating_sub(self.middles_at());
            ensure(ascending, "ends of middles that decrease", at)?;
            ensure(last.map(|last| last as usize) == Some(len), "middles that end elsewhere", at)?;
        }
        Ok(())
    }

    /// Keys have 1 to 65,535 bytes, rows hold what they say, and heads of short keys are padded
    /// with zeros, so that equal keys have equal heads.
    fn check_rows(&self, bytes: &[u8]) -> Result<(), Error> {
        if self.groups == 0 {
            return self.check_group(bytes, 0..self.count(), 0);
        }
        (0..self.groups as usize).try_for_each(|g| {
            let (rows, middle) = self.group(bytes, g);
            self.check_group(bytes, rows, middle.len())
        })
    }

    /// The same for rows that begin with a middle of `middle_len` bytes.
    fn check_group(
        &self,
        bytes: &[u8],
        rows: Range<usize>,
        middle_len: usize,
    ) -> Result<(), Error> {
        let head_width = usize::from(self.head_width);
        let shared_len = usize::from(self.prefix_len).saturating_add(middle_len);
        if self.rest_width == 0 && self.offset_width == 0 {
            return self.check_uniform_rows(bytes, rows, shared_len);
        }
        let mut end = None;
        for i in rows {
            let range = match (self.row_len(bytes, i), end) {
                (Some(len), Some(start)) => start..start + len,
                _ => self.row_range(bytes, i),
            };
            end = Some(range.end);
            let (at, row) = (range.start, bytes.get(range).unwrap_or_default());
            let (rest_len, row) = self.split_rest_len(row).ok_or(malformed("rest_len", at))?;
            let key_len = shared_len.saturating_add(rest_len);
            ensure((1..=KEY_LEN_MAX).contains(&key_len), "length of a key", at)?;
            ensure(row.len() >= rest_len.saturating_sub(head_width), "a suffix without end", at)?;
            self.check_padding(bytes, i, rest_len)?;
        }
        Ok(())
    }

    /// The same where all rows are of one shape.
    fn check_uniform_rows(
        &self,
        bytes: &[u8],
        rows: Range<usize>,
        shared_len: usize,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let rest_len = usize::from(self.rest_len);
        let key_len = shared_len.saturating_add(rest_len);
        ensure((1..=KEY_LEN_MAX).contains(&key_len), "length of the keys", 14)?;
        let suffix_len = rest_len.saturating_sub(self.head_width.into());
        ensure(self.stride as usize >= suffix_len, "suffixes without end", 14)?;
        if rest_len < usize::from(self.head_width) {
            for i in rows {
                self.check_padding(bytes, i, rest_len)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn check_padding(&self, bytes: &[u8], i: usize, rest_len: usize) -> Result<(), Error> {
        let head_width = usize::from(self.head_width);
        if rest_len < head_width {
            // The key's first byte is the head's highest, and so the last one stored.
            let at = self.head_at(i);
            let padding = bytes.get(at..).and_then(|head| head.get(..head_width - rest_len));
            let is_zero = padding.is_some_and(|padding| padding.iter().all(|&byte| byte == 0));
            ensure(is_zero, "padding of a head", at)?;
        }
        Ok(())
    }

    pub(super) const fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) const fn prefix(&self) -> Range<usize> {
        let start = if self.groups == 0 { Header::LEN } else { Header::LEN + Groups::LEN };
        start..start + self.prefix_len as usize
    }

    pub(super) const fn tags(&self) -> Range<usize> {
        let start = self.prefix().end;
        start..start + if self.has_tags { self.count() } else { 0 }
    }

    /// Prefix and tags.
    pub(super) const fn front(&self) -> Range<usize> {
        self.prefix().start..self.tags().end
    }

    pub(super) const fn starts(&self) -> Range<usize> {
        let len = self.groups as usize * start_width(self.count) as usize;
        let start = self.tags().end;
        start..start + len
    }

    const fn middles_at(&self) -> usize {
        let ends_len = if self.middle_len == 0 { 2 * self.groups as usize } else { 0 };
        self.starts().end + ends_len
    }

    pub(super) const fn offsets(&self) -> Range<usize> {
        self.offsets_at as usize..self.seqnos_at as usize
    }

    pub(super) const fn kinds(&self) -> Range<usize> {
        self.seqno_at(self.count())..self.rows_at as usize
    }

    /// The rows of group `g` and what their keys share beyond the prefix.
    #[inline]
    pub(super) fn group<'a>(&self, bytes: &'a [u8], g: usize) -> (Range<usize>, &'a [u8]) {
        let at = self.starts().start;
        let start = |g: usize| match start_width(self.count) {
            1 => usize::from(bytes.get(at + g).copied().unwrap_or(0)),
            2 => u16::from_le_bytes(chunk_at(bytes, at + 2 * g)).into(),
            _ => u32::from_le_bytes(chunk_at(bytes, at + 4 * g)) as usize,
        };
        let end = if g + 1 < self.groups as usize { start(g + 1) } else { self.count() };
        (start(g)..end, self.middle(bytes, g))
    }

    /// What the keys of group `g` share beyond the prefix.
    #[inline]
    pub(super) fn middle<'a>(&self, bytes: &'a [u8], g: usize) -> &'a [u8] {
        let (start, end) = match usize::from(self.middle_len) {
            0 => {
                let end = |g| {
                    let at = self.starts().end + 2 * g;
                    usize::from(u16::from_le_bytes(chunk_at(bytes, at)))
                };
                (if g > 0 { end(g - 1) } else { 0 }, end(g))
            }
            len => (g * len, g * len + len),
        };
        let at = self.middles_at();
        bytes.get(at + start..at + end).unwrap_or_default()
    }

    /// Where the head of row `i` is. As the other columns: for `i` below the count.
    #[inline]
    pub(super) const fn head_at(&self, i: usize) -> usize {
        self.heads_at as usize + i * self.head_width as usize
    }

    pub(super) const fn digest_at(&self, i: usize) -> usize {
        self.digests_at as usize + i * DIGEST_WIDTH as usize
    }

    /// Where the offset of row `i` stands, or what tells it.
    #[inline]
    pub(super) const fn offset_at(&self, i: usize) -> usize {
        let lens_at = if self.offset_width == 1 { 2 * runs(self.count) as usize } else { 0 };
        self.offsets_at as usize + lens_at + i * self.offset_width as usize
    }

    #[inline]
    pub(super) const fn seqno_at(&self, i: usize) -> usize {
        self.seqnos_at as usize + i * self.seqno_width as usize
    }

    /// Row `i` and where it begins.
    #[inline]
    pub(super) fn row<'a>(&self, bytes: &'a [u8], i: usize) -> (usize, &'a [u8]) {
        let range = self.row_range(bytes, i);
        (range.start, bytes.get(range).unwrap_or_default())
    }

    /// The length of row `i` if the block has a column of them, so that whoever knows where a row lies
    /// knows where its neighbours lie.
    #[inline]
    pub(super) fn row_len(&self, bytes: &[u8], i: usize) -> Option<usize> {
        let lens_at = self.offsets_at as usize + 2 * runs(self.count) as usize;
        (self.offset_width == 1).then(|| bytes.get(lens_at + i).map_or(0, |&len| len.into()))
    }

    /// Where row `i` lies.
    #[inline]
    pub(super) fn row_range(&self, bytes: &[u8], i: usize) -> Range<usize> {
        let offset_at = self.offsets_at as usize + i * usize::from(self.offset_width);
        let (start, end) = match self.offset_width {
            0 => {
                let start = i * self.stride as usize;
                (start, start + self.stride as usize)
            }
            1 => {
                let start_at = self.offsets_at as usize + 2 * (i / RUN_LEN);
                let start = usize::from(u16::from_le_bytes(chunk_at(bytes, start_at)));
                let lens_at = self.offsets_at as usize + 2 * runs(self.count) as usize;
                let run = run_at(bytes, lens_at + (i - i % RUN_LEN));
                let shift = 8 * (i % RUN_LEN);
                let start = start + byte_sum(run & ((1 << shift) - 1));
                let [len, ..] = (run >> shift).to_le_bytes();
                (start, start + usize::from(len))
            }
            2 => {
                let pair = u32::from_le_bytes(chunk_at(bytes, offset_at)) as usize;
                (pair & 0xffff, pair >> 16)
            }
            _ => {
                let start = u32::from_le_bytes(chunk_at(bytes, offset_at)) as usize;
                (start, u32::from_le_bytes(chunk_at(bytes, offset_at + 4)) as usize)
            }
        };
        let rows_at = self.rows_at as usize;
        rows_at.saturating_add(start)..rows_at.saturating_add(end)
    }

    /// Takes the length of the key's rest off a row.
    #[inline]
    pub(super) fn split_rest_len<'a>(&self, row: &'a [u8]) -> Option<(usize, &'a [u8])> {
        Some(match self.rest_width {
            0 => (self.rest_len.into(), row),
            1 => {
                let (&len, row) = row.split_first()?;
                (len.into(), row)
            }
            REST_BY_VALUE => {
                let suffix_len = row.len().checked_sub(self.rest_len.into())?;
                (suffix_len + usize::from(self.head_width), row)
            }
            _ => {
                let (len, row) = row.split_first_chunk()?;
                (u16::from_le_bytes(*len).into(), row)
            }
        })
    }
}

/// The bytes at `at`; zeros where there are none.
#[inline]
pub(super) fn chunk_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// A run of sixteen bytes at `at`, zeros behind the end.
#[inline]
fn run_at(bytes: &[u8], at: usize) -> u128 {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(run) = rest.first_chunk() {
        return u128::from_le_bytes(*run);
    }
    let (low, high) = rest.split_at_checked(8).unwrap_or((rest, &[]));
    let low = low.first_chunk().map_or_else(|| short_word(low), |word| u64::from_le_bytes(*word));
    u128::from(low) | u128::from(short_word(high)) << 64
}

/// The sum of sixteen bytes.
#[inline]
fn byte_sum(bytes: u128) -> usize {
    const LOW: u128 = 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    const ONES: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;
    // The sums of pairs, then in the highest pair that of all: no more than 16 * 255.
    let pairs = (bytes & LOW) + (bytes >> 8 & LOW);
    let [.., low, high] = pairs.wrapping_mul(ONES).to_le_bytes();
    usize::from(u16::from_le_bytes([low, high]))
}

/// A sequence number's difference to the base: `width` bytes at `at`.
#[inline]
pub(super) fn seqno_delta(bytes: &[u8], at: usize, width: u8) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let word =
        rest.first_chunk().map_or_else(|| short_word(rest), |word| u64::from_le_bytes(*word));
    word & seqno_mask(width)
}

/// The largest difference that `width` bytes hold.
const fn seqno_mask(width: u8) -> u64 {
    match 1u64.checked_shl(8 * width as u32) {
        Some(end) => end - 1,
        None => u64::MAX,
    }
}

/// First and last of a column, and whether it never decreases.
fn ascent<T>(column: &[T], value: impl Fn(&T) -> u32) -> (Option<u32>, Option<u32>, bool) {
    let ascending = column.is_sorted_by(|a, b| value(a) <= value(b));
    (column.first().map(&value), column.last().map(&value), ascending)
}

/// The same, and whether it always increases.
fn strict_ascent<T>(column: &[T], value: impl Fn(&T) -> u32) -> (Option<u32>, Option<u32>, bool) {
    let ascending = column.is_sorted_by(|a, b| value(a) < value(b));
    (column.first().map(&value), column.last().map(&value), ascending)
}
