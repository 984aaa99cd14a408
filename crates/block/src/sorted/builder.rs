use alloc::vec::Vec;

use stratal_types::{EntryDigest, EntryKind, KEY_LEN_MAX, Trailer, VALUE_LEN_MAX, key_hash};

use super::{
    groups::{self, GroupStart, Neighbour, Thresholds},
    header::{Groups, Header, REST_BY_VALUE, RUN_LEN, Sections, start_width},
    words::{byte_width, common_len, head_of},
};
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
    /// An [`EntryDigest`] per row, four bytes each, behind the rows: damage that happened before the
    /// block was framed, or after it was opened, is noticed for each row alone. Default: no.
    pub digests: bool,
}

impl Default for SortedBlockOptions {
    fn default() -> Self {
        Self { tags: true, heads: true, digests: false }
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
    /// Where the rows to be written are divided; kept for its memory.
    groups: Vec<GroupStart>,
    weighed: Weighed,
}

/// What dividing the rows into groups saved when that was last weighed.
#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    /// How many rows there were.
    rows: usize,
    saved_len: usize,
}

/// Bytes that a row commonly takes beside key and value.
const ROW_OVERHEAD: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Row {
    trailer: Trailer,
    value_len: u32,
    key_len: u16,
    /// Bytes of the key that the row before has too; [`u16::MAX`] if it has the same key.
    shared_len: u16,
    tag: u8,
    digest: EntryDigest,
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

/// What is left of the keys once they are divided.
#[derive(Clone, Copy, Debug)]
struct Division {
    groups: Option<Groups>,
    rest_len_min: u16,
    rest_len_max: u16,
    /// Bytes of all rests and values.
    payload_len: usize,
    /// Bytes that heads of two and of four take more than the rests have; at most.
    padding: [usize; 2],
}

impl SortedBlockBuilder {
    /// A builder without rows.
    pub const fn new(options: SortedBlockOptions) -> Self {
        Self {
            options,
            rows: Vec::new(),
            bytes: Vec::new(),
            shape: Shape::EMPTY,
            groups: Vec::new(),
            weighed: Weighed { rows: 0, saved_len: 0 },
        }
    }

    /// Adds a row behind the others.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a key or a value whose length is out of range, and when the
    /// block would pass 4 GiB. The row is then not added.
    pub fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<(), Error> {
        let is_needed = self.options.tags || self.options.digests;
        let key_hash = if is_needed { key_hash(key) } else { 0 };
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
        let digest = if self.options.digests {
            EntryDigest::with_hash(key_hash, trailer, value)
        } else {
            EntryDigest(0)
        };
        self.add_with_digest(key, key_hash, digest, trailer, value)
    }

    /// Like [`add_with_hash`](Self::add_with_hash), for a caller to whom the entry's digest came with
    /// the entry: what happened to the entry on its way is noticed when the digest is verified. It is
    /// not verified here, and not written unless the options say so.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add).
    pub fn add_with_digest(
        &mut self,
        key: &[u8],
        key_hash: u64,
        digest: EntryDigest,
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
        let (shared_len, is_same) = match self.last_key() {
            None => (key_len, false),
            Some(before) => {
                let shared_len = common_len(before, key);
                (shared_len, shared_len == key_len && before.len() == key.len())
            }
        };
        let row = Row {
            trailer,
            value_len,
            key_len,
            shared_len: if is_same { u16::MAX } else { shared_len },
            tag,
            digest,
        };
        self.shape = if self.rows.is_empty() {
            Shape::of(&row)
        } else {
            // What all neighbours share, all keys share.
            self.shape.with(&row, shared_len.min(self.shape.prefix_len))
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

    /// Length of the block with the rows so far, in bytes, in constant time. Never too low; too high by
    /// what groups will save, and by padding of keys that are a few bytes longer than what all keys
    /// share.
    pub fn estimated_len(&self) -> usize {
        self.len_of(&self.undivided())
    }

    /// Whether the block would still have `len_max` bytes or fewer with another row of `row_len` bytes
    /// of key and value: to be asked before each row by who fills blocks up to a length.
    ///
    /// Counts what groups save, as it was weighed when the answer last depended on it: in constant time
    /// but for a few passes over the rows per block. That saving may change by a byte or two a row
    /// when rows of another shape follow.
    pub fn has_room_for(&mut self, row_len: usize, len_max: usize) -> bool {
        let undivided_len = self.estimated_len();
        let len = undivided_len.saturating_add(row_len).saturating_add(ROW_OVERHEAD);
        if len.saturating_sub(self.weighed.saved_len) <= len_max {
            return true;
        }
        let rows = self.rows.len();
        // Weighing again is worth the time once there are an eighth more rows.
        if self.weighed.rows > 0 && rows < self.weighed.rows + self.weighed.rows / 8 + 1 {
            return false;
        }
        let mut groups = core::mem::take(&mut self.groups);
        let divided_len = self.len_of(&self.divide(&mut groups));
        self.groups = groups;
        let saved_len = undivided_len.saturating_sub(divided_len);
        self.weighed = Weighed { rows, saved_len };
        len.saturating_sub(saved_len) <= len_max
    }

    /// Appends the block to `out` and removes the rows, of which there may be none.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        let mut groups = core::mem::take(&mut self.groups);
        let division = self.divide(&mut groups);
        let header = self.header(&division, self.head_width(&division, &groups));
        out.reserve(self.len_of(&division));
        out.extend_from_slice(&header.encode());
        if let Some(groups) = header.groups {
            out.extend_from_slice(&groups.encode());
        }
        self.append_columns(&header, &groups, out);
        self.append_rows(&header, &groups, out);
        if header.has_digests {
            out.extend(self.rows.iter().flat_map(|row| row.digest.0.to_le_bytes()));
        }
        self.groups = groups;
        self.clear();
    }

    /// Removes the rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.shape = Shape::EMPTY;
        self.weighed = Weighed::default();
    }

    fn append_columns(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let prefix_len = usize::from(header.prefix_len);
        out.extend_from_slice(
            self.first_key().and_then(|key| key.get(..prefix_len)).unwrap_or(&[]),
        );
        if header.has_tags {
            out.extend(self.rows.iter().map(|row| row.tag));
        }
        self.append_groups(header, groups, out);
        self.append_heads(header, groups, out);
        self.append_offsets(header, groups, out);
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

    fn append_groups(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let Some(Groups { middle_len, .. }) = header.groups else { return };
        let width = usize::from(start_width(header.count));
        for group in groups {
            out.extend_from_slice(group.start.to_le_bytes().get(..width).unwrap_or_default());
        }
        if middle_len == 0 {
            let mut end = 0u16;
            for group in groups {
                end = end.saturating_add(group.shared_len - header.prefix_len);
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        let mut starts = groups.iter().peekable();
        for (i, (_, key, _)) in (0..).zip(self.rows()) {
            if let Some(group) = starts.next_if(|group| group.start == i) {
                let middle = header.prefix_len.into()..group.shared_len.into();
                out.extend_from_slice(key.get(middle).unwrap_or_default());
            }
        }
    }

    fn append_heads(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let width = usize::from(header.head_width);
        if width == 0 {
            return;
        }
        for ((_, key, _), shared_len) in self.rows().zip(self.shared_lens(groups)) {
            let rest = key.get(shared_len.into()..).unwrap_or_default();
            let head = head_of(rest, header.head_width).to_le_bytes();
            out.extend_from_slice(head.get(..width).unwrap_or_default());
        }
    }

    fn append_offsets(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        if header.offset_width == 0 {
            return;
        }
        let rest_width = u32::from(header.rest_width_in_row());
        let rows = self.rows.iter().zip(self.shared_lens(groups));
        let row_lens = rows.map(|(row, shared_len)| {
            let suffix_len = (row.key_len - shared_len).saturating_sub(header.head_width.into());
            rest_width + u32::from(suffix_len) + row.value_len
        });
        let width = usize::from(header.offset_width);
        let mut offset = 0u32;
        if width > 1 {
            out.extend_from_slice(offset.to_le_bytes().get(..width).unwrap_or_default());
            for row_len in row_lens {
                offset = offset.saturating_add(row_len);
                out.extend_from_slice(offset.to_le_bytes().get(..width).unwrap_or_default());
            }
            return;
        }
        for (i, row_len) in row_lens.clone().enumerate() {
            if i % RUN_LEN == 0 {
                out.extend_from_slice(offset.to_le_bytes().get(..2).unwrap_or_default());
            }
            offset = offset.saturating_add(row_len);
        }
        // Lengths of one byte are below 256.
        out.extend(row_lens.map(|row_len| u8::try_from(row_len).unwrap_or(u8::MAX)));
    }

    fn append_rows(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let width = usize::from(header.rest_width_in_row());
        for ((row, key, value), shared_len) in self.rows().zip(self.shared_lens(groups)) {
            let rest_len = (row.key_len - shared_len).to_le_bytes();
            out.extend_from_slice(rest_len.get(..width).unwrap_or_default());
            let suffix_at = usize::from(shared_len) + usize::from(header.head_width);
            out.extend_from_slice(key.get(suffix_at..).unwrap_or_default());
            out.extend_from_slice(value);
        }
    }

    /// Per row how much of its key stands elsewhere: in the prefix, and in the middle of its group.
    fn shared_lens(&self, groups: &[GroupStart]) -> impl Iterator<Item = u16> + Clone {
        let mut starts = groups.iter();
        let mut next = starts.next();
        let mut shared_len = self.shape.prefix_len;
        (0..self.rows.len()).map(move |i| {
            if let Some(group) = next.filter(|group| group.start as usize == i) {
                shared_len = group.shared_len;
                next = starts.next();
            }
            shared_len
        })
    }

    fn neighbours(&self) -> impl Iterator<Item = Neighbour> + Clone {
        let rows = self.rows.iter();
        rows.map(|row| Neighbour { key_len: row.key_len, shared_len: row.shared_len })
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

    /// The rows as one group, which has no middle.
    fn undivided(&self) -> Division {
        let shape = &self.shape;
        let rest_len_min = shape.key_len_min - shape.prefix_len;
        let padding = |width: usize| self.rows.len() * width.saturating_sub(rest_len_min.into());
        Division {
            groups: None,
            rest_len_min,
            rest_len_max: shape.key_len_max - shape.prefix_len,
            payload_len: self.bytes.len() - self.rows.len() * usize::from(shape.prefix_len),
            padding: [padding(2), padding(4)],
        }
    }

    /// The rows divided into groups with middles of one length, or else of lengths that differ.
    fn divided(&self, starts: &[GroupStart], is_even: bool) -> Option<Division> {
        let prefix_len = self.shape.prefix_len;
        let count = u32::try_from(starts.len()).ok()?;
        let groups = if is_even {
            let middle_len = starts.first()?.shared_len - prefix_len;
            Groups { count, middle_len, middles_len: 0 }
        } else {
            let middle_lens = starts.iter().map(|group| usize::from(group.shared_len - prefix_len));
            let middles_len = u16::try_from(middle_lens.sum::<usize>()).ok()?;
            Groups { count, middle_len: 0, middles_len }
        };
        let mut division = Division {
            groups: Some(groups),
            rest_len_min: u16::MAX,
            rest_len_max: 0,
            payload_len: self.bytes.len(),
            padding: [0; 2],
        };
        for (row, shared_len) in self.rows.iter().zip(self.shared_lens(starts)) {
            let rest_len = row.key_len - shared_len;
            division.rest_len_min = division.rest_len_min.min(rest_len);
            division.rest_len_max = division.rest_len_max.max(rest_len);
            division.payload_len -= usize::from(shared_len);
            let [two, four] = &mut division.padding;
            *two += 2usize.saturating_sub(rest_len.into());
            *four += 4usize.saturating_sub(rest_len.into());
        }
        Some(division)
    }

    /// Divides the rows where that saves a twenty-fourth of the block: less is not worth the time that
    /// searches take for it, about ten nanoseconds each.
    fn divide(&self, starts: &mut Vec<GroupStart>) -> Division {
        starts.clear();
        let mut best = self.undivided();
        let len = self.len_of(&best);
        let saving_min = len / 24;
        let Shape { prefix_len, key_len_min, key_len_max, .. } = self.shape;
        let start_width = start_width(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        let rows = self.neighbours();
        let mut thresholds =
            Thresholds::weigh(rows.clone(), prefix_len, key_len_min, start_width, saving_min);
        if key_len_min == key_len_max {
            // Keys of one length would lose that by middles of several.
            thresholds.uneven = None;
        }
        let mut len_max = len - saving_min;
        let mut candidate = Vec::new();
        for (threshold, is_even) in [(thresholds.even, true), (thresholds.uneven, false)] {
            let Some(threshold) = threshold else { continue };
            if is_even {
                groups::even(rows.clone(), threshold, key_len_min, &mut candidate);
            } else {
                groups::uneven(rows.clone(), threshold, prefix_len, &mut candidate);
            }
            let Some(division) = self.divided(&candidate, is_even) else { continue };
            let len = self.len_of(&division);
            if len < len_max {
                (best, len_max) = (division, len);
                core::mem::swap(starts, &mut candidate);
            }
        }
        best
    }

    /// The header of a block of these rows with heads of `head_width` bytes.
    fn header(&self, division: &Division, head_width: u8) -> Header {
        let shape = &self.shape;
        let Division { rest_len_min, rest_len_max, .. } = *division;
        let one_rest_len = rest_len_min == rest_len_max;
        let one_value_len = shape.value_len_min == shape.value_len_max;
        let value_len = u16::try_from(shape.value_len_max).ok().filter(|_| one_value_len);
        let (rest_width, rest_len) = match (value_len, rest_len_max) {
            _ if one_rest_len => (0u8, rest_len_max),
            (Some(value_len), _) if rest_len_min >= head_width.into() => (REST_BY_VALUE, value_len),
            (_, 0..=0xff) => (1, 0),
            _ => (2, 0),
        };
        let suffix_len = u32::from(rest_len_max.saturating_sub(head_width.into()));
        let SortedBlockOptions { tags, digests, .. } = self.options;
        let in_columns = tags || digests || head_width > 0;
        let has_bytes = in_columns || suffix_len > 0 || shape.value_len_max > 0;
        let mut header = Header {
            has_tags: self.options.tags,
            has_digests: self.options.digests,
            head_width,
            offset_width: 0,
            rest_width,
            seqno_width: byte_width(shape.seqno_max - shape.seqno_min),
            kind: shape.kind,
            count: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            prefix_len: shape.prefix_len,
            rest_len,
            seqno_base: shape.seqno_min,
            groups: division.groups,
        };
        let in_row = usize::from(header.rest_width_in_row());
        let row_len_max = u64::from(shape.value_len_max) + u64::from(suffix_len) + in_row as u64;
        header.offset_width = match division.payload_len + self.rows.len() * in_row {
            _ if self.rows.is_empty() || one_rest_len && one_value_len && has_bytes => 0,
            0..=0xffff if row_len_max <= 0xff => 1,
            0..=0xffff => 2,
            _ => 4,
        };
        header
    }

    /// Length of the block with the narrowest heads that make sense: never too low.
    fn len_of(&self, division: &Division) -> usize {
        let header = self.header(division, self.head_width_min(division));
        let [two, four] = division.padding;
        let padding = match header.head_width {
            0 => 0,
            2 => two,
            _ => four,
        };
        let lens = Sections { heads: 0, ..header.section_lens() };
        let in_rows = self.rows.len() * usize::from(header.rest_width_in_row());
        // Heads are part of the keys.
        let columns = lens.rows_at() + header.digests_len();
        usize::try_from(columns).unwrap_or(0) + in_rows + division.payload_len + padding
    }

    /// The narrowest heads that make sense for these keys.
    fn head_width_min(&self, division: &Division) -> u8 {
        let one_value_len = self.shape.value_len_min == self.shape.value_len_max;
        match (division.rest_len_min, division.rest_len_max) {
            _ if !self.options.heads => 0,
            (_, 0) => 0,
            (_, 1..=2) => 2,
            // In the few rows of a group two bytes decide as well as four, which would need padding;
            // and values of one length tell how long rests are that fill their heads.
            (_, 3) if division.groups.is_some() => 2,
            (2..=3, _) if one_value_len && division.groups.is_some() => 2,
            _ => 4,
        }
    }

    /// How wide the heads are: eight bytes where four leave many keys undecided that eight tell
    /// apart, if every key has them.
    fn head_width(&self, division: &Division, groups: &[GroupStart]) -> u8 {
        let narrow = self.head_width_min(division);
        if narrow < 4 || division.rest_len_min < 8 {
            return narrow;
        }
        let (mut ties, mut wide_ties, mut before) = (0usize, 0usize, None);
        for ((_, key, _), shared_len) in self.rows().zip(self.shared_lens(groups)) {
            let head = head_of(key.get(shared_len.into()..).unwrap_or_default(), 8);
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
}

fn in_range(field: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    let wide = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    Err(Error::InvalidArgument { field, value: wide(len), min: wide(min), max: wide(max) })
}
