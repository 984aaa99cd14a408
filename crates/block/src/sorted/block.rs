use alloc::vec::Vec;
use core::{cmp::Ordering, fmt, ops::Range};

use stratal_simd::Simd;
use stratal_types::{
    Comparator, Direction, EntryDigest, EntryKind, KindSet, SeqNo, Trailer, key_hash,
};

use super::{
    header::malformed,
    layout::{Layout, chunk_at},
    search::View,
};
use crate::Error;

/// A sorted block that was checked once and is then searched in place.
///
/// # Layout (v1)
///
/// ```text
/// offset   size  field         encoding
///      0      1  version       1
///      1      1  flags         bit 0: there are tags; bit 1: groups; bit 2: digests; other bits 0
///      2      1  head_width    H, bytes of a head: 0 (no heads), 2, 4 or 8
///      3      1  offset_width  O, bytes of an offset: 0 (rows of one length), 1 (lengths), 2 or 4
///      4      1  rest_width    L, bytes of rest_len in a row: 0 (all alike), 1 or 2; or 3, see below
///      5      1  seqno_width   S, bytes of a seqno's difference: 0 (all alike) to 7
///      6      1  kind          the entry kind of all rows; 0: there is a column of kinds
///      7      1  reserved      0
///      8      4  count         n, u32, number of rows
///     12      2  prefix_len    u16, bytes that all keys begin with
///     14      2  rest_len      u16, length of all rests if L = 0, of all values if L = 3, else 0
///     16      8  seqno_base    u64, the smallest sequence number, below 2^56
///     24      4  group_count   g, u32, number of groups; this field and the next two only with bit 1
///     28      2  middle_len    u16, bytes of each middle; 0 if they differ
///     30      2  middles_len   u16, bytes of all middles if middle_len = 0, else 0
///      .      p  prefix        p = prefix_len
///      .      n  tags          per row the lowest byte of the key's XXH3-64; only with bit 0
///      .    g*W  starts        per group its first row; W = 1, 2, 4 where n <= 2^8, 2^16, 2^32
///      .    g*2  ends          per group, u16, where its middle ends; only if middle_len = 0
///      .      .  middles       per group what its keys share beyond the prefix
///      .    n*H  heads         per row the first H bytes of the key's rest
///      .      .  offsets       where rows begin, and where all end, from the first row; none if O = 0
///      .    n*S  seqnos        per row seqno - seqno_base
///      .      n  kinds         per row the entry kind; only if kind = 0
///      .      .  rows          per row: rest_len (L bytes, none if L = 3), suffix, value
///      .    n*4  digests       per row, u32, of key, seqno, kind and value; only with bit 2
/// ```
///
/// Integers are little-endian. A key is `prefix ‖ middle ‖ rest`, without groups `prefix ‖ rest`, and
/// a rest is `head ‖ suffix`: the head gives `min(H, rest_len)` bytes of it, the suffix the others. A
/// head is the number of which the rest's first byte is the highest, zeros standing in where the rest
/// ends: stored, its bytes are the rest's in reverse. If L = 3, no rest is shorter than H, and a row
/// consists of a suffix and of a value of the given length.
///
/// If O is 2 or 4, the offsets are n + 1 numbers of so many bytes: per row where it begins, then where
/// all end. If O = 1, they are, per sixteen rows, where these begin (u16), and then per row its length
/// (u8).
///
/// `B` is whatever owns or lends the bytes: `Vec<u8>`, `&[u8]`, `Arc<[u8]>`, `Bytes`. It has to lend
/// the same bytes every time; if it does not, answers are wrong and nothing worse.
///
/// Rows are numbered from 0 in internal order. No method but [`parse`](Self::parse) and
/// [`verify`](Self::verify) can fail, and none panics, whatever the bytes are: on a block whose
/// writer broke the order, searches give some answer.
#[derive(Clone)]
pub struct SortedBlock<B> {
    bytes: B,
    layout: Layout,
}

/// One row, borrowed. The key lies in pieces.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    /// The value, operand or pointer.
    pub value: &'a [u8],
    /// Sequence number and kind.
    pub trailer: Trailer,
    prefix: &'a [u8],
    middle: &'a [u8],
    head: [u8; 8],
    head_len: u8,
    suffix: &'a [u8],
}

impl<B: AsRef<[u8]>> SortedBlock<B> {
    /// Checks a block, so that reading it needs no checks. Takes time in proportion to the number of
    /// rows; values are not touched.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Unsupported`], and [`Error::Malformed`] for a block that
    /// contradicts itself. Order and tags are not looked at: see [`verify`](Self::verify).
    pub fn parse(bytes: B) -> Result<Self, Error> {
        let layout = Layout::parse(bytes.as_ref())?;
        Ok(Self { bytes, layout })
    }

    /// The block, looked through with these kernels rather than the best there are. Answers are the
    /// same; for those who compare.
    #[must_use]
    pub const fn with_simd(mut self, simd: Simd) -> Self {
        self.layout.simd = simd;
        self
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.layout.count()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the block keeps in memory beyond itself, in bytes.
    pub fn heap_len(&self) -> usize {
        self.bytes.as_ref().len()
    }

    /// The bytes that were parsed.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// What holds the bytes.
    pub const fn get_ref(&self) -> &B {
        &self.bytes
    }

    /// Gives the bytes back.
    pub fn into_inner(self) -> B {
        self.bytes
    }

    /// Whether [`find`](Self::find) goes by tags rather than by heads or through all rows.
    pub const fn has_tags(&self) -> bool {
        self.layout.has_tags
    }

    /// What a lookup looks at before it knows which row it wants: what all keys begin with, and then the
    /// tags of all rows, in order: of each the lowest byte of its key's [`key_hash`]. `None` if the
    /// block [has no tags](Self::has_tags).
    #[inline]
    pub fn front(&self) -> Option<&[u8]> {
        self.has_tags().then(|| self.view().front())
    }

    /// Whether there is a digest of each row.
    pub const fn has_digests(&self) -> bool {
        self.layout.has_digests
    }

    /// The digest of row `i` as stored, if the block has any.
    pub fn digest(&self, i: usize) -> Option<EntryDigest> {
        self.row_view(i).filter(|_| self.has_digests()).map(|view| {
            EntryDigest(u32::from_le_bytes(chunk_at(view.bytes, self.layout.digest_at(i))))
        })
    }

    /// The kind of all rows, where the block says it once.
    pub const fn kind(&self) -> Option<EntryKind> {
        self.layout.kind
    }

    /// The kinds of all rows. Takes a look at a byte per row where they differ.
    pub fn kinds(&self) -> KindSet {
        if let Some(kind) = self.layout.kind {
            return KindSet::of(&[kind]);
        }
        let tags = self.as_bytes().get(self.layout.kinds()).unwrap_or_default();
        let kinds = tags.iter().filter_map(|&tag| EntryKind::from_tag(tag));
        kinds.fold(KindSet::EMPTY, KindSet::with)
    }

    /// Whether every key has one version here. Takes a comparison of bytes per row, and of keys where
    /// neighbours might be the same.
    pub fn has_one_version_per_key(&self) -> bool {
        let layout = &self.layout;
        if layout.kind.is_some() && layout.seqno_width == 0 {
            return true; // versions of a key differ in their numbers
        }
        let tags = self.as_bytes().get(layout.tags()).unwrap_or_default();
        let mut key = Vec::new();
        (1..self.len()).all(|i| {
            let before = i.saturating_sub(1);
            if layout.has_tags && tags.get(before) != tags.get(i) {
                return true;
            }
            self.key_into(before, &mut key);
            !self.key_eq(i, &key)
        })
    }

    /// Checks row `i` against its digest; right if the block has none, or no such row. `scratch` is
    /// used for the key. Takes time in proportion to the lengths of key and value.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], with the place of the row.
    pub fn verify_entry(&self, i: usize, scratch: &mut Vec<u8>) -> Result<(), Error> {
        let Some((digest, view)) = self.digest(i).zip(self.row_view(i)) else { return Ok(()) };
        let value = view.row(i).value;
        scratch.clear();
        view.append_key(i, scratch);
        if EntryDigest::with_hash(key_hash(scratch), view.trailer(i), value) == digest {
            return Ok(());
        }
        let (row_at, _) = self.layout.row(view.bytes, i);
        Err(malformed("an entry that does not fit its digest", row_at))
    }

    /// Row `i`.
    pub fn entry(&self, i: usize) -> Option<EntryView<'_>> {
        let view = self.row_view(i)?;
        let row = view.row(i);
        Some(EntryView {
            value: row.value,
            trailer: view.trailer(i),
            prefix: view.prefix(),
            middle: view.group_of(i).middle,
            head: view.head_bytes(i),
            head_len: if row.rest_len < usize::from(self.layout.head_width) {
                u8::try_from(row.rest_len).unwrap_or(u8::MAX)
            } else {
                self.layout.head_width
            },
            suffix: row.suffix,
        })
    }

    /// The value of row `i`.
    #[inline]
    pub fn value(&self, i: usize) -> Option<&[u8]> {
        Some(self.row_view(i)?.row(i).value)
    }

    /// Sequence number and kind of row `i`, and where its value lies in [the bytes](Self::as_bytes).
    #[inline]
    pub fn version(&self, i: usize) -> Option<(Trailer, Range<usize>)> {
        let view = self.row_view(i)?;
        let range = self.layout.row_range(view.bytes, i);
        let value_len = view.row_in(range.clone()).value.len();
        Some((view.trailer(i), range.end.saturating_sub(value_len)..range.end))
    }

    /// Sequence number and kind of row `i`.
    #[inline]
    pub fn trailer(&self, i: usize) -> Option<Trailer> {
        Some(self.row_view(i)?.trailer(i))
    }

    /// Makes `out` the key of row `i`, or empty if there is no such row.
    pub fn key_into(&self, i: usize, out: &mut Vec<u8>) {
        out.clear();
        if let Some(view) = self.row_view(i) {
            view.append_key(i, out);
        }
    }

    /// The key of row `i` against `key`, in bytewise order, without putting it together.
    pub fn compare_key(&self, i: usize, key: &[u8]) -> Option<Ordering> {
        Some(self.row_view(i)?.compare_key(i, key))
    }

    /// Whether row `i` has this key.
    pub fn key_eq(&self, i: usize, key: &[u8]) -> bool {
        self.row_view(i)
            .is_some_and(|view| view.target(key).is_some_and(|target| view.key_is(i, &target)))
    }

    /// The newest version of `key` with a sequence number below `bound`, in blocks of any order.
    ///
    /// `key_hash` is [`key_hash`] of the key. A block with tags compares those, many at a time,
    /// and looks at rows whose tag is right. One without goes by heads, and without these through
    /// all rows.
    pub fn find(&self, key: &[u8], key_hash: u64, bound: SeqNo) -> Option<usize> {
        self.view().find(key, key_hash, bound)
    }

    /// The first row that has the tag of a key with this hash: mostly that of the key. `None` if the
    /// block has no such key.
    ///
    /// `front` is the block's [`front`](Self::front), or a copy: a caller who keeps one nearer than the
    /// block knows which row it wants before anything of the block is there, and what is left to look
    /// at comes from memory at once.
    #[inline]
    pub fn first_tagged(&self, front: &[u8], key_hash: u64) -> Option<usize> {
        self.view().rows_tagged(front, key_hash).next()
    }

    /// As [`find`](Self::find), for a caller to whom [`first_tagged`](Self::first_tagged) said `first`.
    /// With another row or front the answer is another.
    ///
    /// ```
    /// use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
    /// use stratal_types::{EntryKind, SeqNo, Trailer, key_hash};
    ///
    /// let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
    /// for key in ["AD/Canillo", "AD/Vila", "AE/Dubai"] {
    ///     builder.add(key.as_bytes(), Trailer::new(SeqNo::from(1u32), EntryKind::Put), b"")?;
    /// }
    /// let mut bytes = Vec::new();
    /// builder.finish_into(&mut bytes);
    /// let block = SortedBlock::parse(&bytes[..])?;
    ///
    /// let front = block.front().map_or(Vec::new(), <[u8]>::to_vec);
    /// let (key, hash) = (b"AD/Vila", key_hash(b"AD/Vila"));
    /// let first = block.first_tagged(&front, hash).unwrap_or(block.len());
    /// block.prefetch_row(first);
    /// assert_eq!(block.find_tagged(first, &front, key, hash, SeqNo::MAX), Some(1));
    /// # Ok::<(), stratal_block::Error>(())
    /// ```
    #[inline]
    pub fn find_tagged(
        &self,
        first: usize,
        front: &[u8],
        key: &[u8],
        key_hash: u64,
        bound: SeqNo,
    ) -> Option<usize> {
        self.view().find_tagged(first, front, key, key_hash, bound)
    }

    /// Asks for what a search looks at to see whether row `i` has its key, but for the row, and waits
    /// for none of it. Who looks through several blocks does so for each of them first, and then for
    /// the [row](Self::prefetch_row) of each: they are on the way from memory at once.
    pub fn prefetch_columns(&self, i: usize) {
        self.view().prefetch_columns(i);
    }

    /// Asks for row `i`, as [`prefetch_columns`](Self::prefetch_columns).
    pub fn prefetch_row(&self, i: usize) {
        self.view().prefetch_row(i);
    }

    /// Asks for the columns that a [`seek`](Self::seek) looks at, as
    /// [`prefetch_columns`](Self::prefetch_columns).
    pub fn prefetch_heads(&self) {
        self.view().prefetch_heads();
    }

    /// Asks for row `i`, and for some of what lies behind it: for whoever is about to go on from there.
    pub fn prefetch_rows_from(&self, i: usize) {
        if let Some(view) = self.row_view(i) {
            view.prefetch_rows_from(i);
        }
    }

    /// Asks for what it takes to go from the first row on, or from the last row back, as
    /// [`prefetch_columns`](Self::prefetch_columns): for whoever comes to this block soon.
    pub fn prefetch_walk(&self, direction: Direction) {
        self.view().prefetch_walk(direction == Direction::Forward);
    }

    /// In a block in bytewise order: the first row behind every version of `key` that a read at
    /// `bound` cannot see, which is the newest version it sees or else the first of a later key.
    /// The number of rows if there is none.
    pub fn seek(&self, key: &[u8], bound: SeqNo) -> usize {
        self.view().seek(key, bound)
    }

    /// Like [`seek`](Self::seek), in any order; `scratch` is used for keys.
    pub fn seek_by(
        &self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
        scratch: &mut Vec<u8>,
    ) -> usize {
        self.view().seek_by(key, bound, comparator, scratch)
    }

    /// Checks what [`parse`](Self::parse) leaves to the writer: that rows stand in strict internal
    /// order, and that every tag and every digest is right. Reads every key, and every value of a
    /// block with digests.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn verify(&self, comparator: &dyn Comparator) -> Result<(), Error> {
        let view = self.view();
        if self.layout.head_width > 0 && !comparator.is_bytewise() {
            return Err(malformed("heads in an order that is not bytewise", 2));
        }
        let (mut before, mut key) = (Vec::new(), Vec::new());
        let mut scratch = Vec::new();
        let mut group_end = 0;
        for i in 0..self.len() {
            let (row_at, _) = self.layout.row(view.bytes, i);
            key.clear();
            view.append_key(i, &mut key);
            if let Some(previous) = i.checked_sub(1) {
                let order = comparator
                    .compare(&before, &key)
                    .then_with(|| view.trailer(i).cmp(&view.trailer(previous)));
                if order.is_ge() {
                    return Err(malformed("rows out of order", row_at));
                }
            }
            if i == group_end {
                let group = view.group_of(i);
                let start_len = view.prefix().len() + group.middle.len();
                let start = key.get(..start_len).unwrap_or_default();
                if i > 0 && comparator.is_bytewise() && before[..] >= *start {
                    return Err(malformed("a group that begins like the one before", row_at));
                }
                group_end = group.rows.end;
            }
            self.verify_entry(i, &mut scratch)?;
            if self.layout.has_tags {
                let at = self.layout.tags().start.saturating_add(i);
                let [tag, ..] = key_hash(&key).to_le_bytes();
                if view.bytes.get(at) != Some(&tag) {
                    return Err(malformed("a tag of another key", at));
                }
            }
            core::mem::swap(&mut before, &mut key);
        }
        Ok(())
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: self.bytes.as_ref(), layout: &self.layout }
    }

    /// The view, if there is a row `i`.
    #[inline]
    fn row_view(&self, i: usize) -> Option<View<'_>> {
        (i < self.len()).then(|| self.view())
    }
}

impl<B> SortedBlock<B> {
    pub(super) const fn count(&self) -> u32 {
        self.layout.count
    }
}

impl<'a> EntryView<'a> {
    /// Length of the key, in bytes.
    pub const fn key_len(&self) -> usize {
        self.prefix.len() + self.middle.len() + self.rest_len()
    }

    /// Makes `out` the key.
    pub fn key_into(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(self.middle);
        out.extend_from_slice(self.head());
        out.extend_from_slice(self.suffix);
    }

    /// Length of the key beyond what it shares with its block and its group, in bytes.
    pub(super) const fn rest_len(&self) -> usize {
        self.head_len as usize + self.suffix.len()
    }

    /// The part of the key that lies in the heads.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get(..self.head_len.into()).unwrap_or_default()
    }

    /// The part of the key that lies in the row.
    pub(super) const fn suffix(&self) -> &'a [u8] {
        self.suffix
    }
}

impl<B> fmt::Debug for SortedBlock<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedBlock").field("layout", &self.layout).finish_non_exhaustive()
    }
}
