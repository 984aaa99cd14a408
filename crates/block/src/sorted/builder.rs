mod columns;
mod division;
mod shape;

use alloc::vec::Vec;
use core::cmp::Ordering;

use stratal_types::{EntryDigest, KEY_LEN_MAX, Trailer, VALUE_LEN_MAX, key_hash};

use division::Division;
use shape::{Row, Shape};

use super::{
    groups::{GroupStart, Neighbour},
    header::{DIGEST_WIDTH, Header},
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
    /// First bytes of keys; kept for its memory.
    heads: Vec<u64>,
    weighed: Weighed,
}

/// How rows are divided into groups, when that was last weighed.
#[derive(Clone, Copy, Debug)]
struct Weighed {
    /// How many rows there were.
    rows: usize,
    division: Option<Division>,
    /// What the division saved when it was last asked for.
    saved_len: usize,
}

impl Weighed {
    const NOT: Self = Self { rows: 0, division: None, saved_len: 0 };
}

/// A row to be added, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// The user key.
    pub key: &'a [u8],
    /// The key's [`key_hash`]; used for tags and digests only.
    pub key_hash: u64,
    /// Sequence number and kind.
    pub trailer: Trailer,
    /// The value.
    pub value: &'a [u8],
    /// The digest that came with the entry, if one did: what happened to the entry on its way is noticed
    /// when the digest is verified. It is not verified here, and not written unless the options say so.
    pub digest: Option<EntryDigest>,
    /// The [step](SortedBlockBuilder::step_to) to this key from that of the row added last, if it is
    /// known.
    pub step: Option<Step>,
}

/// How a key stands to the one before it, byte by byte: who checks the order of keys in bytewise order
/// has compared them, and the builder need not again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    shared_len: u16,
    order: Ordering,
}

impl Step {
    /// The order of the key before and this one: less if this one stands behind, as unsigned bytes.
    #[inline]
    pub const fn order(self) -> Ordering {
        self.order
    }
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
            heads: Vec::new(),
            weighed: Weighed::NOT,
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
        self.add_row(&NewRow { key, key_hash, trailer, value, digest: None, step: None })
    }

    /// Like [`add`](Self::add), for a caller that knows more of the row.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add).
    #[inline]
    pub fn add_row(&mut self, new: &NewRow<'_>) -> Result<(), Error> {
        let NewRow { key, key_hash, trailer, value, digest, step } = *new;
        // What a row takes beyond key and value, at most: tag, padding, offset, lengths, trailer.
        let room_for_columns = (self.rows.len() + 1) * 32 + Header::LEN;
        let bytes_len_max = (u32::MAX as usize).saturating_sub(room_for_columns);
        let bytes_len = self.bytes.len() + key.len() + value.len();
        let is_in_range = (1..=KEY_LEN_MAX).contains(&key.len()) && value.len() <= VALUE_LEN_MAX;
        let lens = (u16::try_from(key.len()), u32::try_from(value.len()));
        let (true, (Ok(key_len), Ok(value_len))) =
            (is_in_range && bytes_len <= bytes_len_max, lens)
        else {
            return Err(out_of_range(key, value, bytes_len, bytes_len_max));
        };
        let digest = match digest {
            Some(digest) => digest,
            None if self.options.digests => EntryDigest::with_hash(key_hash, trailer, value),
            None => EntryDigest(0),
        };
        let [tag, ..] = key_hash.to_le_bytes();
        let mut row = Row { trailer, value_len, key_len, shared_len: key_len, tag, digest };
        self.shape = match self.rows.last() {
            None => Shape::of(&row),
            Some(last) => {
                let Step { shared_len, .. } = step.unwrap_or_else(|| self.step_from(last, key));
                let is_same = shared_len == key_len && last.key_len == key_len;
                row.shared_len = if is_same { u16::MAX } else { shared_len };
                self.shape.with(&row, shared_len, last.trailer)
            }
        };
        self.rows.push(row);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// The step from the last row's key to `key`; `None` without rows.
    #[inline]
    pub fn step_to(&self, key: &[u8]) -> Option<Step> {
        Some(self.step_from(self.rows.last()?, key))
    }

    #[inline]
    fn step_from(&self, last: &Row, key: &[u8]) -> Step {
        let before = self.last_bytes(last).get(..last.key_len.into()).unwrap_or_default();
        let shared_len = common_len(before, key);
        let at = usize::from(shared_len);
        Step { shared_len, order: before.get(at).cmp(&key.get(at)) }
    }

    /// Key and value of the last row.
    #[inline]
    fn last_bytes(&self, last: &Row) -> &[u8] {
        self.bytes.get(self.bytes.len().saturating_sub(last.len())..).unwrap_or_default()
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
        self.last_bytes(row).get(..row.key_len.into())
    }

    /// Length of the block with the rows so far, in bytes, in constant time. Never too low; too high by
    /// what groups will save, and by padding of keys that are a few bytes longer than what all keys
    /// share.
    pub fn estimated_len(&self) -> usize {
        self.len_of(&self.undivided())
    }

    /// No less than [`estimated_len`](Self::estimated_len), and sooner known: where keys or values are of
    /// several lengths, or keys begin alike, too high by a few bytes a row.
    #[inline]
    pub fn len_max(&self) -> usize {
        let (shape, rows) = (&self.shape, self.rows.len());
        let one_key_len = shape.key_len_min == shape.key_len_max;
        let one_value_len = shape.value_len_min == shape.value_len_max && shape.value_len_max > 0;
        // An offset and a length.
        let lens = match self.bytes.len() + 2 * rows {
            _ if one_key_len && one_value_len => 0,
            0..=0xffff => 4,
            _ => 6,
        };
        let rest_len_min = usize::from(shape.key_len_min - shape.prefix_len);
        let padding = 4usize.saturating_sub(rest_len_min);
        let [tag, kind] = [1, usize::from(shape.kind().is_none())];
        let digest = if self.options.digests { DIGEST_WIDTH as usize } else { 0 };
        let columns = tag + kind + usize::from(shape.seqno_width()) + lens + padding + digest;
        // One offset more than there are rows, or that of a last run.
        let fixed = Header::LEN + usize::from(shape.prefix_len) + 4;
        let prefixes = rows * usize::from(shape.prefix_len);
        fixed + rows * columns + self.bytes.len() - prefixes
    }

    /// Whether the block would still have `len_max` bytes or fewer with another row of `row_len` bytes
    /// of key and value: to be asked before each row by who fills blocks up to a length.
    ///
    /// Counts what groups save, as it was weighed when the answer last depended on it: in constant time
    /// but for a few passes over the rows per block. That saving may change by a byte or two a row
    /// when rows of another shape follow.
    #[inline]
    pub fn has_room_for(&mut self, row_len: usize, len_max: usize) -> bool {
        let with_row = row_len.saturating_add(ROW_OVERHEAD);
        if self.len_max().saturating_add(with_row) <= len_max {
            return true;
        }
        self.has_room_when_weighed(with_row, len_max)
    }

    fn has_room_when_weighed(&mut self, with_row: usize, len_max: usize) -> bool {
        let undivided_len = self.estimated_len();
        let len = undivided_len.saturating_add(with_row);
        if len.saturating_sub(self.weighed.saved_len) <= len_max {
            return true;
        }
        let rows = self.rows.len();
        // Weighing again is worth the time once there are an eighth more rows.
        if self.weighed.rows > 0 && rows < self.weighed.rows + self.weighed.rows / 8 + 1 {
            return false;
        }
        let division = self.weigh();
        let saved_len = undivided_len.saturating_sub(self.len_of(&division));
        self.weighed.saved_len = saved_len;
        len.saturating_sub(saved_len) <= len_max
    }

    /// Divides the rows, unless that was done since the last was added; `groups` are then of this.
    fn weigh(&mut self) -> Division {
        let rows = self.rows.len();
        match self.weighed.division {
            Some(division) if self.weighed.rows == rows => division,
            _ => {
                let mut groups = core::mem::take(&mut self.groups);
                let division = self.divide(&mut groups);
                self.groups = groups;
                self.weighed = Weighed { rows, division: Some(division), ..self.weighed };
                division
            }
        }
    }

    /// Appends the block to `out` and removes the rows, of which there may be none.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        let division = self.weigh();
        let (groups, mut heads) = (&self.groups[..], core::mem::take(&mut self.heads));
        let header = self.header(&division, self.head_width(&division, groups, &mut heads));
        out.reserve(self.len_of(&division));
        out.extend_from_slice(&header.encode());
        if let Some(groups) = header.groups {
            out.extend_from_slice(&groups.encode());
        }
        self.append_columns(&header, groups, &heads, out);
        self.append_rows(&header, groups, out);
        if header.has_digests {
            out.extend(self.rows.iter().flat_map(|row| row.digest.0.to_le_bytes()));
        }
        self.heads = heads;
        self.clear();
    }

    /// Removes the rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.shape = Shape::EMPTY;
        self.weighed = Weighed::NOT;
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

/// Which limit a row passes.
#[cold]
fn out_of_range(key: &[u8], value: &[u8], bytes_len: usize, bytes_len_max: usize) -> Error {
    let (field, len, min, max) = match (key.len(), value.len()) {
        (len, _) if !(1..=KEY_LEN_MAX).contains(&len) => ("key length", len, 1, KEY_LEN_MAX),
        (_, len) if len > VALUE_LEN_MAX => ("value length", len, 0, VALUE_LEN_MAX),
        _ => ("sorted block", bytes_len, 0, bytes_len_max),
    };
    let wide = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    Error::InvalidArgument { field, value: wide(len), min: wide(min), max: wide(max) }
}
