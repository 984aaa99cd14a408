mod columns;
mod division;
mod shape;

use alloc::vec::Vec;

use stratal_types::{EntryDigest, KEY_LEN_MAX, Trailer, VALUE_LEN_MAX, key_hash};

use shape::{Row, Shape};

use super::{
    groups::{GroupStart, Neighbour},
    header::Header,
    words::common_len,
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
}

fn in_range(field: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    let wide = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    Err(Error::InvalidArgument { field, value: wide(len), min: wide(min), max: wide(max) })
}
