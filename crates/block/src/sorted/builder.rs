use alloc::vec::Vec;

use stratal_types::{EntryKind, KEY_LEN_MAX, Trailer, VALUE_LEN_MAX, key_hash};

use super::layout::{Header, Sections};
use crate::Error;

/// What a sorted block offers its readers besides its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortedBlockOptions {
    /// A byte per row of the key's hash, for point reads. Default: yes.
    pub tags: bool,
    /// The first bytes of each key in a column of their own, for seeks. Only for keys in bytewise
    /// order. They are taken out of the rows, so that they take no space beyond the padding of keys
    /// that are shorter. Default: yes.
    pub heads: bool,
}

impl Default for SortedBlockOptions {
    fn default() -> Self {
        Self { tags: true, heads: true }
    }
}

/// Collects rows and writes them as a sorted block.
///
/// Rows are added in internal order; whoever adds them sees to that.
///
/// ```
/// # use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
/// use stratal_types::{EntryKind, SeqNo, Trailer, key_hash};
///
/// let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
/// let put = Trailer::new(SeqNo::from(7), EntryKind::Put);
/// builder.add(b"AD/Canillo", put, b"42.57 1.60")?;
/// builder.add(b"AD/Vila", put, b"42.53 1.57")?;
/// let mut bytes = vec![];
/// builder.finish_into(&mut bytes);
///
/// let block = SortedBlock::parse(bytes)?;
/// let found = block.find(b"AD/Vila", key_hash(b"AD/Vila"), SeqNo::MAX).unwrap();
/// assert_eq!(block.value(found), Some(&b"42.53 1.57"[..]));
/// assert_eq!(block.seek(b"AD/L", SeqNo::MAX), 1);
/// # Ok::<(), stratal_block::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SortedBlockBuilder {
    options: SortedBlockOptions,
    rows: Vec<Row>,
    /// Key and value of each row, in order.
    bytes: Vec<u8>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    trailer: Trailer,
    value_len: u32,
    key_len: u16,
    tag: u8,
}

/// What the rows have in common: all that the layout depends on, kept while rows are added.
#[derive(Clone, Copy, Debug)]
struct Shape {
    prefix_len: u16,
    key_len_min: u16,
    key_len_max: u16,
    value_len_min: u32,
    value_len_max: u32,
    seqno_min: u64,
    seqno_max: u64,
    /// `None` where kinds differ.
    kind: Option<EntryKind>,
}

impl SortedBlockBuilder {
    /// A builder without rows.
    pub const fn new(options: SortedBlockOptions) -> Self {
        Self { options, rows: Vec::new(), bytes: Vec::new(), shape: Shape::EMPTY }
    }

    /// Adds a row behind the others.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a key or a value whose length is out of range, and when the
    /// block would pass 4 GiB. The row is then not added.
    pub fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<(), Error> {
        let key_hash = if self.options.tags { key_hash(key) } else { 0 };
        self.add_with_hash(key, key_hash, trailer, value)
    }

    /// Like [`add`](Self::add), for a caller that has the key's [`key_hash`] already.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add).
    pub fn add_with_hash(
        &mut self,
        key: &[u8],
        key_hash: u64,
        trailer: Trailer,
        value: &[u8],
    ) -> Result<(), Error> {
        in_range("key length", key.len(), 1, KEY_LEN_MAX)?;
        in_range("value length", value.len(), 0, VALUE_LEN_MAX)?;
        // What a row takes beyond key and value, at most: tag, padding, offset, lengths, trailer.
        let room_for_columns = (self.rows.len() + 1) * 32 + Header::LEN;
        let bytes_len_max = (u32::MAX as usize).saturating_sub(room_for_columns);
        let bytes_len = self.bytes.len() + key.len() + value.len();
        in_range("sorted block", bytes_len, 0, bytes_len_max)?;

        let (Ok(key_len), Ok(value_len)) = (key.len().try_into(), value.len().try_into()) else {
            return Ok(()); // not reached: both lengths were checked
        };
        let [tag, ..] = key_hash.to_le_bytes();
        let row = Row { trailer, value_len, key_len, tag };
        self.shape = match self.first_key() {
            None => Shape::of(&row),
            Some(first) => self.shape.with(&row, common_len(first, key, self.shape.prefix_len)),
        };
        self.rows.push(row);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first row's key.
    pub fn first_key(&self) -> Option<&[u8]> {
        let row = self.rows.first()?;
        self.bytes.get(..row.key_len.into())
    }

    /// The last row's key.
    pub fn last_key(&self) -> Option<&[u8]> {
        let row = self.rows.last()?;
        let key_at = self.bytes.len().checked_sub(row.len())?;
        self.bytes.get(key_at..)?.get(..row.key_len.into())
    }

    /// Length of the block with the rows so far, in bytes, in constant time. Never too low; too high
    /// only by the padding of keys that are a few bytes longer than what all keys share.
    pub fn estimated_len(&self) -> usize {
        let header = self.header(self.shape.head_width_min(self.options));
        let rest_min = self.shape.rest_len_min();
        let padding = usize::from(header.head_width).saturating_sub(rest_min.into());
        self.len_with(&header, self.rows.len() * padding)
    }

    /// Appends the block to `out` and removes the rows, of which there may be none.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        let header = self.header(self.head_width());
        out.reserve(self.len_with(&header, self.rows.len() * usize::from(header.head_width)));
        out.extend_from_slice(&header.encode());
        self.append_columns(&header, out);
        self.append_rows(&header, out);
        self.clear();
    }

    /// Removes the rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.shape = Shape::EMPTY;
    }

    fn append_columns(&self, header: &Header, out: &mut Vec<u8>) {
        let prefix_len = usize::from(header.prefix_len);
        out.extend_from_slice(
            self.first_key().and_then(|key| key.get(..prefix_len)).unwrap_or(&[]),
        );
        if header.has_tags {
            out.extend(self.rows.iter().map(|row| row.tag));
        }
        self.append_heads(header, out);
        self.append_offsets(header, out);
        match usize::from(header.seqno_width) {
            0 => {}
            width => {
                for row in &self.rows {
                    let delta = row.trailer.seqno().get() - header.seqno_base;
                    out.extend_from_slice(delta.to_le_bytes().get(..width).unwrap_or_default());
                }
            }
        }
        if header.kind.is_none() {
            out.extend(self.rows.iter().map(|row| row.trailer.kind().tag()));
        }
    }

    fn append_heads(&self, header: &Header, out: &mut Vec<u8>) {
        let width = usize::from(header.head_width);
        if width == 0 {
            return;
        }
        for (_, key, _) in self.rows() {
            let rest = key.get(header.prefix_len.into()..).unwrap_or_default();
            let head = head_of(rest, header.head_width).to_le_bytes();
            out.extend_from_slice(head.get(..width).unwrap_or_default());
        }
    }

    fn append_offsets(&self, header: &Header, out: &mut Vec<u8>) {
        if header.offset_width == 0 {
            return;
        }
        let width = usize::from(header.offset_width);
        let mut offset = 0u32;
        let mut put = |offset: u32| {
            out.extend_from_slice(offset.to_le_bytes().get(..width).unwrap_or_default());
        };
        put(0);
        for row in &self.rows {
            let rest_len = row.key_len - header.prefix_len;
            let suffix_len = rest_len.saturating_sub(header.head_width.into());
            let row_len = u32::from(header.rest_width) + u32::from(suffix_len) + row.value_len;
            offset = offset.saturating_add(row_len);
            put(offset);
        }
    }

    fn append_rows(&self, header: &Header, out: &mut Vec<u8>) {
        let width = usize::from(header.rest_width);
        let suffix_at = usize::from(header.prefix_len) + usize::from(header.head_width);
        for (row, key, value) in self.rows() {
            let rest_len = (row.key_len - header.prefix_len).to_le_bytes();
            out.extend_from_slice(rest_len.get(..width).unwrap_or_default());
            out.extend_from_slice(key.get(suffix_at..).unwrap_or_default());
            out.extend_from_slice(value);
        }
    }

    /// Each row with its key and value.
    fn rows(&self) -> impl Iterator<Item = (&Row, &[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.rows.iter().map_while(move |row| {
            let (key, tail) = rest.split_at_checked(row.key_len.into())?;
            let (value, tail) = tail.split_at_checked(row.value_len as usize)?;
            rest = tail;
            Some((row, key, value))
        })
    }

    /// The header of a block of these rows with heads of `head_width` bytes.
    fn header(&self, head_width: u8) -> Header {
        let shape = &self.shape;
        let is_uniform_key = shape.key_len_min == shape.key_len_max;
        let rest_len = shape.key_len_max - shape.prefix_len;
        let rest_width = match rest_len {
            _ if is_uniform_key => 0u8,
            0..=0xff => 1,
            _ => 2,
        };
        let suffix_len = u32::from(rest_len.saturating_sub(head_width.into()));
        let stride = suffix_len.saturating_add(shape.value_len_max);
        let is_uniform = is_uniform_key && shape.value_len_min == shape.value_len_max;
        let rows_len_max = self.bytes.len() - self.rows.len() * usize::from(shape.prefix_len)
            + self.rows.len() * usize::from(rest_width);
        Header {
            has_tags: self.options.tags,
            head_width,
            offset_width: match rows_len_max {
                _ if self.rows.is_empty() || is_uniform && stride > 0 => 0,
                0..=0xffff => 2,
                _ => 4,
            },
            rest_width,
            seqno_width: byte_width(shape.seqno_max - shape.seqno_min),
            kind: shape.kind,
            count: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            prefix_len: shape.prefix_len,
            rest_len: if is_uniform_key { rest_len } else { 0 },
            seqno_base: shape.seqno_min,
        }
    }

    /// Length of the block under `header`, of which `padding` bytes stand in for keys that are
    /// shorter than their heads.
    fn len_with(&self, header: &Header, padding: usize) -> usize {
        let Sections { prefix, tags, offsets, seqnos, kinds, .. } = header.section_lens();
        // Heads are part of the keys.
        let columns = usize::try_from(prefix + tags + offsets + seqnos + kinds).unwrap_or(0);
        let per_row = usize::from(header.rest_width);
        let shared = self.rows.len() * usize::from(header.prefix_len);
        Header::LEN + columns + self.rows.len() * per_row + self.bytes.len() - shared + padding
    }

    /// How wide the heads are: eight bytes where four leave many keys undecided that eight tell
    /// apart, if every key has them.
    fn head_width(&self) -> u8 {
        let narrow = self.shape.head_width_min(self.options);
        if narrow < 4 || self.shape.rest_len_min() < 8 {
            return narrow;
        }
        // Rows that wide heads would leave empty need offsets, which take more than the heads give.
        if self.header(8).offset_width > self.header(narrow).offset_width {
            return narrow;
        }
        let prefix_len = usize::from(self.shape.prefix_len);
        let (mut ties, mut wide_ties, mut before) = (0usize, 0usize, None);
        for (_, key, _) in self.rows() {
            let head = head_of(key.get(prefix_len..).unwrap_or_default(), 8);
            if let Some(before) = before {
                ties += usize::from(head >> 32 == before >> 32);
                wide_ties += usize::from(head == before);
            }
            before = Some(head);
        }
        if ties > wide_ties + self.rows.len() / 8 { 8 } else { 4 }
    }
}

impl Row {
    const fn len(&self) -> usize {
        self.key_len as usize + self.value_len as usize
    }
}

impl Shape {
    const EMPTY: Self = Self {
        prefix_len: 0,
        key_len_min: 0,
        key_len_max: 0,
        value_len_min: 0,
        value_len_max: 0,
        seqno_min: 0,
        seqno_max: 0,
        kind: Some(EntryKind::Put),
    };

    const fn of(row: &Row) -> Self {
        let seqno = row.trailer.seqno().get();
        Self {
            prefix_len: row.key_len,
            key_len_min: row.key_len,
            key_len_max: row.key_len,
            value_len_min: row.value_len,
            value_len_max: row.value_len,
            seqno_min: seqno,
            seqno_max: seqno,
            kind: Some(row.trailer.kind()),
        }
    }

    fn with(&self, row: &Row, prefix_len: u16) -> Self {
        let seqno = row.trailer.seqno().get();
        Self {
            prefix_len,
            key_len_min: self.key_len_min.min(row.key_len),
            key_len_max: self.key_len_max.max(row.key_len),
            value_len_min: self.value_len_min.min(row.value_len),
            value_len_max: self.value_len_max.max(row.value_len),
            seqno_min: self.seqno_min.min(seqno),
            seqno_max: self.seqno_max.max(seqno),
            kind: self.kind.filter(|&kind| kind == row.trailer.kind()),
        }
    }

    const fn rest_len_min(&self) -> u16 {
        self.key_len_min - self.prefix_len
    }

    /// The narrowest heads that make sense for these keys.
    const fn head_width_min(&self, options: SortedBlockOptions) -> u8 {
        match self.key_len_max - self.prefix_len {
            _ if !options.heads => 0,
            0 => 0,
            1..=2 => 2,
            _ => 4,
        }
    }
}

/// The first `width` bytes of `rest` as a number that orders as they do, zeros behind a shorter one.
#[inline]
pub(super) fn head_of(rest: &[u8], width: u8) -> u64 {
    let bytes = match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(rest),
    };
    // The first byte of the key is to be the highest.
    bytes.swap_bytes().checked_shr(64 - 8 * u32::from(width)).unwrap_or(0)
}

/// Fewer than eight bytes as a little-endian number: two halves that overlap where both have bytes.
#[inline]
pub(super) fn short_word(bytes: &[u8]) -> u64 {
    let at = |start: usize| 8 * u32::try_from(start).unwrap_or(0);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << at(bytes.len() - 4);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        let (first, last) = (u16::from_le_bytes(*first), u16::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << at(bytes.len() - 2);
    }
    bytes.first().map_or(0, |&byte| byte.into())
}

/// How many of the first `max` bytes two keys share.
fn common_len(a: &[u8], b: &[u8], max: u16) -> u16 {
    let max = usize::from(max).min(a.len()).min(b.len());
    let (a, b) = (a.get(..max).unwrap_or_default(), b.get(..max).unwrap_or_default());
    let len = if a == b { max } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() };
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Bytes that `value` takes; none for 0.
fn byte_width(value: u64) -> u8 {
    let bits = u64::BITS - value.leading_zeros();
    u8::try_from(bits.div_ceil(8)).unwrap_or(u8::MAX)
}

fn in_range(field: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    let wide = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    Err(Error::InvalidArgument { field, value: wide(len), min: wide(min), max: wide(max) })
}
