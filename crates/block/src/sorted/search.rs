use core::{cmp::Ordering, ops::Range};

use stratal_simd::{Matches, prefetch};
use stratal_types::{Comparator, EntryKind, SeqNo, Trailer};

use super::{
    header::start_width,
    layout::{Layout, chunk_at, seqno_delta},
    words::{head_of, short_word},
};

/// Suffixes up to this length, in bytes, are most.
const SHORT_LEN: usize = 16;

/// Bytes that come from memory together.
const LINE_LEN: usize = 64;

/// A block's bytes beside their layout: what every reading method works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) layout: &'a Layout,
}

/// The part of a row that is not in the columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowParts<'a> {
    /// Length of the key's rest, in bytes.
    pub(super) rest_len: usize,
    /// The key behind its head.
    pub(super) suffix: &'a [u8],
    pub(super) value: &'a [u8],
    /// Both of them, as they lie.
    tail: &'a [u8],
}

/// What is searched for: a key beyond the block's prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'k> {
    key: &'k [u8],
    /// What follows the middle in blocks whose middles are of one length, among them blocks without
    /// groups; in others all of the key. Empty if the key ends before.
    rest: Rest<'k>,
}

/// A key beyond what it shares with its block and its group, taken apart like the keys of the rows.
#[derive(Clone, Copy, Debug)]
struct Rest<'k> {
    len: usize,
    head: u64,
    suffix: &'k [u8],
}

/// Rows whose keys share what they begin with.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) rows: Range<usize>,
    /// What the keys share beyond the block's prefix.
    pub(super) middle: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn prefix(&self) -> &'a [u8] {
        self.bytes.get(self.layout.prefix()).unwrap_or_default()
    }

    pub(super) const fn count(&self) -> usize {
        self.layout.count()
    }

    #[inline]
    pub(super) fn row(&self, i: usize) -> RowParts<'a> {
        self.row_in(self.layout.row_range(self.bytes, i))
    }

    /// The row that lies there.
    #[inline]
    pub(super) fn row_in(&self, range: Range<usize>) -> RowParts<'a> {
        let row = self.bytes.get(range).unwrap_or_default();
        let (rest_len, row) = self.layout.split_rest_len(row).unwrap_or_default();
        let suffix_len = rest_len.saturating_sub(self.layout.head_width.into());
        let (suffix, value) = row.split_at_checked(suffix_len).unwrap_or_default();
        RowParts { rest_len, suffix, value, tail: row }
    }

    /// The head of row `i` as a number, 0 in blocks without heads.
    #[inline]
    pub(super) fn head(&self, i: usize) -> u64 {
        let at = self.layout.head_at(i);
        match self.layout.head_width {
            0 => 0,
            2 => u16::from_le_bytes(chunk_at(self.bytes, at)).into(),
            4 => u32::from_le_bytes(chunk_at(self.bytes, at)).into(),
            _ => u64::from_le_bytes(chunk_at(self.bytes, at)),
        }
    }

    #[inline]
    pub(super) fn seqno(&self, i: usize) -> SeqNo {
        let layout = self.layout;
        let delta = match layout.seqno_width {
            0 => 0,
            width => seqno_delta(self.bytes, layout.seqno_at(i), width),
        };
        SeqNo::new(layout.seqno_base.wrapping_add(delta)).unwrap_or(SeqNo::MAX)
    }

    #[inline]
    pub(super) fn trailer(&self, i: usize) -> Trailer {
        let kind = self.layout.kind.unwrap_or_else(|| {
            let tag = self.bytes.get(self.layout.kinds().start.saturating_add(i));
            // Parsing checked the column.
            tag.and_then(|&tag| EntryKind::from_tag(tag)).unwrap_or(EntryKind::Put)
        });
        Trailer::new(self.seqno(i), kind)
    }

    /// Takes a key apart; `None` if it does not begin with the block's prefix.
    #[inline]
    pub(super) fn target<'k>(&self, key: &'k [u8]) -> Option<Target<'k>> {
        self.target_behind(self.prefix(), key)
    }

    /// The same, where `prefix` is the block's.
    #[inline]
    fn target_behind<'k>(&self, prefix: &[u8], key: &'k [u8]) -> Option<Target<'k>> {
        let (start, rest) = key.split_at_checked(prefix.len())?;
        if !same_bytes(start, prefix) {
            return None;
        }
        let middle_len = usize::from(self.layout.middle_len);
        let behind_middle = rest.get(middle_len..).unwrap_or_default();
        Some(Target { key: rest, rest: self.rest(behind_middle) })
    }

    #[inline]
    fn rest<'k>(&self, rest: &'k [u8]) -> Rest<'k> {
        let head_width = self.layout.head_width;
        Rest {
            len: rest.len(),
            head: head_of(rest, head_width),
            suffix: rest.get(head_width.into()..).unwrap_or_default(),
        }
    }

    /// The group of row `i`; in a block without groups, all rows.
    #[inline]
    pub(super) fn group_of(&self, i: usize) -> Group<'a> {
        if self.layout.groups == 0 {
            return Group { rows: 0..self.count(), middle: &[] };
        }
        self.group(self.group_number(i))
    }

    #[inline]
    pub(super) fn group(&self, g: usize) -> Group<'a> {
        let (rows, middle) = self.layout.group(self.bytes, g);
        Group { rows, middle }
    }

    /// The number of the group that row `i` is in.
    #[inline]
    fn group_number(&self, i: usize) -> usize {
        let starts = self.bytes.get(self.layout.starts()).unwrap_or_default();
        let (simd, next) = (self.layout.simd, i.saturating_add(1));
        // Groups that begin before the next row; all do if its number is too high for the column.
        let begun = match start_width(self.layout.count) {
            1 => u8::try_from(next).ok().map(|next| simd.rank_u8(starts, next)),
            2 => u16::try_from(next).ok().map(|next| simd.rank_u16(starts, next)),
            _ => u32::try_from(next).ok().map(|next| simd.rank_u32(starts, next)),
        };
        begun.unwrap_or(self.layout.groups as usize).saturating_sub(1)
    }

    /// Whether row `i` has the searched key.
    #[inline]
    pub(super) fn key_is(&self, i: usize, target: &Target<'_>) -> bool {
        if self.layout.groups == 0 {
            return self.rest_is(i, &target.rest);
        }
        let middle = |i| self.layout.middle(self.bytes, self.group_number(i));
        if self.layout.middle_len > 0 {
            // Most rows with a wrong key differ in what needs no search for their group.
            return self.rest_is(i, &target.rest)
                && target
                    .key
                    .get(..self.layout.middle_len.into())
                    .is_some_and(|start| same_bytes(start, middle(i)));
        }
        let middle = middle(i);
        match target.key.split_at_checked(middle.len()) {
            Some((start, rest)) => same_bytes(start, middle) && self.rest_is(i, &self.rest(rest)),
            None => false,
        }
    }

    #[inline]
    fn rest_is(&self, i: usize, rest: &Rest<'_>) -> bool {
        if self.head(i) != rest.head {
            return false;
        }
        let row = self.row(i);
        row.rest_len == rest.len && same_bytes(row.suffix, rest.suffix)
    }

    /// The key of row `i` against a searched one that begins like its group.
    #[inline]
    fn compare_rest(&self, i: usize, rest: &Rest<'_>) -> Ordering {
        let row = self.row(i);
        let in_head = |rest_len: usize| rest_len.min(self.layout.head_width.into());
        // Equal heads differ in length where one of the keys ends with the other's padding.
        self.head(i)
            .cmp(&rest.head)
            .then_with(|| in_head(row.rest_len).cmp(&in_head(rest.len)))
            .then_with(|| compare_bytes(row.suffix, rest.suffix))
    }

    /// The key of row `i` against `key`, bytewise.
    pub(super) fn compare_key(&self, i: usize, key: &[u8]) -> Ordering {
        // Where a key does not begin like the row's, either they part there, or it ends there.
        let Some(target) = self.target(key) else { return self.prefix().cmp(key) };
        let middle = self.group_of(i).middle;
        match target.key.strip_prefix(middle) {
            Some(rest) => self.compare_rest(i, &self.rest(rest)),
            None => middle.cmp(target.key),
        }
    }

    pub(super) fn find(&self, key: &[u8], key_hash: u64, bound: SeqNo) -> Option<usize> {
        if self.layout.has_tags {
            let front = self.front();
            let first = self.rows_tagged(front, key_hash).next()?;
            return self.find_tagged(first, front, key, key_hash, bound);
        }
        let target = self.target(key)?;
        let first = if self.layout.head_width > 0 {
            self.first_not_before(&target, |order, _| order.is_lt())
        } else {
            (0..self.count()).find(|&i| self.key_is(i, &target))?
        };
        self.visible_from(first, &target, bound)
    }

    /// [`find`](Self::find) by this front, in which `first` is the first row with the key's tag.
    pub(super) fn find_tagged(
        &self,
        first: usize,
        front: &[u8],
        key: &[u8],
        key_hash: u64,
        bound: SeqNo,
    ) -> Option<usize> {
        let (prefix, _) = self.split_front(front);
        let target = self.target_behind(prefix, key)?;
        let is_row = |&i: &usize| i < self.count() && self.key_is(i, &target);
        let first = if is_row(&first) {
            first
        } else {
            self.rows_tagged(front, key_hash).skip_while(|&i| i <= first).find(is_row)?
        };
        if self.seqno(first).is_visible_at(bound) {
            return Some(first);
        }
        self.visible_from(first, &target, bound)
    }

    /// The newest version below `bound` of the searched key, which has no row before `first`.
    fn visible_from(&self, first: usize, target: &Target<'_>, bound: SeqNo) -> Option<usize> {
        // Versions of a key stand together, newest first.
        let hidden = |i| !self.seqno(i).is_visible_at(bound) && self.key_is(i, target);
        let visible = partition_from(first, self.count(), hidden);
        (visible < self.count() && self.key_is(visible, target)).then_some(visible)
    }

    /// Asks for what tells whether row `i` has a key, and where it is.
    #[inline]
    pub(super) fn prefetch_columns(&self, i: usize) {
        let layout = self.layout;
        // A line that nobody looks at would be waited for in place of one that somebody does.
        if layout.head_width > 0 {
            prefetch(self.bytes, layout.head_at(i));
        }
        if layout.offset_width > 0 {
            prefetch(self.bytes, layout.offset_at(i));
        }
        if layout.seqno_width > 0 {
            prefetch(self.bytes, layout.seqno_at(i));
        }
    }

    /// Asks for row `i`.
    #[inline]
    pub(super) fn prefetch_row(&self, i: usize) {
        let row = self.layout.row_range(self.bytes, i);
        // Two lines, where it goes over the end of one.
        prefetch(self.bytes, row.start);
        prefetch(self.bytes, row.end.saturating_sub(1));
    }

    /// Asks for what a search by heads looks at.
    pub(super) fn prefetch_heads(&self) {
        prefetch(self.bytes, self.layout.prefix().start);
        let heads = self.layout.head_at(0)..self.layout.head_at(self.count());
        heads.step_by(LINE_LEN).for_each(|at| prefetch(self.bytes, at));
        prefetch(self.bytes, self.layout.offset_at(0));
    }

    /// Asks for the first lines from row `i` on.
    pub(super) fn prefetch_rows_from(&self, i: usize) {
        const LINES: usize = 8;
        let start = self.layout.row_range(self.bytes, i).start;
        (0..LINES).for_each(|line| prefetch(self.bytes, start + line * LINE_LEN));
    }

    /// Asks for what it takes to stand on rows, and for the lines where a walk begins.
    pub(super) fn prefetch_walk(&self, is_forward: bool) {
        const LINES: usize = 8;
        prefetch(self.bytes, self.layout.prefix().start);
        let offsets = self.layout.offset_at(0)..self.layout.offset_at(self.count());
        offsets.step_by(LINE_LEN).take(LINES).for_each(|at| prefetch(self.bytes, at));
        prefetch(self.bytes, self.layout.seqno_at(0));
        let rows = self.layout.rows_at as usize..self.layout.digests_at as usize;
        for line in 0..LINES {
            let near = line * LINE_LEN;
            let at = if is_forward { rows.start + near } else { rows.end.saturating_sub(near + 1) };
            prefetch(self.bytes, at);
        }
    }

    #[inline]
    pub(super) fn front(&self) -> &'a [u8] {
        self.bytes.get(self.layout.front()).unwrap_or_default()
    }

    /// Prefix and tags.
    #[inline]
    fn split_front<'t>(&self, front: &'t [u8]) -> (&'t [u8], &'t [u8]) {
        front.split_at_checked(self.layout.prefix_len.into()).unwrap_or((front, &[]))
    }

    /// The rows with the tag of this hash, by this front.
    #[inline]
    pub(super) fn rows_tagged<'t>(&self, front: &'t [u8], key_hash: u64) -> Matches<'t> {
        let [tag, ..] = key_hash.to_le_bytes();
        let (_, tags) = self.split_front(front);
        self.layout.simd.match_u8(tags.get(..self.count()).unwrap_or(tags), tag)
    }

    pub(super) fn seek(&self, key: &[u8], bound: SeqNo) -> usize {
        let Some(target) = self.target(key) else {
            return if key < self.prefix() { 0 } else { self.count() };
        };
        self.first_not_before(&target, |order, i| match order {
            Ordering::Less => true,
            Ordering::Equal => !self.seqno(i).is_visible_at(bound),
            Ordering::Greater => false,
        })
    }

    /// The first row of which `is_before` does not hold, told how the row's key compares with the
    /// searched one, and which row it is.
    #[inline]
    fn first_not_before(
        &self,
        target: &Target<'_>,
        is_before: impl Fn(Ordering, usize) -> bool,
    ) -> usize {
        let (rows, rest) = if self.layout.groups == 0 {
            (0..self.count(), target.rest)
        } else {
            // The last group that begins no later than the key: all rows before it are lower.
            let not_behind =
                |g| compare_bytes(self.layout.middle(self.bytes, g), target.key).is_le();
            let groups = partition_point(0, self.layout.groups as usize, not_behind);
            let Some(g) = groups.checked_sub(1) else { return 0 };
            let Group { rows, middle } = self.group(g);
            let Some(rest) = target.key.strip_prefix(middle) else { return rows.end };
            (rows, self.rest(rest))
        };
        let before = |i| is_before(self.compare_rest(i, &rest), i);
        if self.layout.head_width == 0 {
            return partition_point(rows.start, rows.end, before);
        }
        let first = rows.start + self.rank(rows.clone(), rest.head);
        if first < rows.end && self.head(first) == rest.head {
            return partition_from(first, rows.end, before);
        }
        first
    }

    pub(super) fn seek_by(
        &self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
        scratch: &mut alloc::vec::Vec<u8>,
    ) -> usize {
        partition_point(0, self.count(), |i| {
            scratch.clear();
            self.append_key(i, scratch);
            match comparator.compare(scratch, key) {
                Ordering::Less => true,
                Ordering::Equal => !self.seqno(i).is_visible_at(bound),
                Ordering::Greater => false,
            }
        })
    }

    /// Appends the key of row `i` to `out`.
    pub(super) fn append_key(&self, i: usize, out: &mut alloc::vec::Vec<u8>) {
        out.extend_from_slice(self.prefix());
        out.extend_from_slice(self.group_of(i).middle);
        self.append_rest(i, &self.row(i), out);
    }

    /// Appends the rest of row `i`'s key to `out`.
    #[inline]
    pub(super) fn append_rest(&self, i: usize, row: &RowParts<'_>, out: &mut alloc::vec::Vec<u8>) {
        let head_width = usize::from(self.layout.head_width);
        let head = self.head_bytes(i);
        match head_width {
            0 => {}
            2 => out.extend_from_slice(head.first_chunk::<2>().unwrap_or(&[0; 2])),
            4 => out.extend_from_slice(head.first_chunk::<4>().unwrap_or(&[0; 4])),
            _ => out.extend_from_slice(&head),
        }
        if row.rest_len < head_width {
            out.truncate(out.len() - (head_width - row.rest_len));
        }
        // A copy of a length that is known takes no call, and bytes too many do no harm.
        match row.tail.first_chunk::<SHORT_LEN>() {
            Some(chunk) if row.suffix.len() <= SHORT_LEN => {
                let len = out.len() + row.suffix.len();
                out.extend_from_slice(chunk);
                out.truncate(len);
            }
            _ => out.extend_from_slice(row.suffix),
        }
    }

    /// The head of row `i` as the key's bytes, zeros behind them.
    #[inline]
    pub(super) fn head_bytes(&self, i: usize) -> [u8; 8] {
        let unused = 64 - 8 * u32::from(self.layout.head_width);
        self.head(i).checked_shl(unused).unwrap_or(0).swap_bytes().to_le_bytes()
    }

    /// Number of heads below `head` among some rows.
    #[inline]
    fn rank(&self, rows: Range<usize>, head: u64) -> usize {
        let heads = self.layout.head_at(rows.start)..self.layout.head_at(rows.end);
        let heads = self.bytes.get(heads).unwrap_or_default();
        let [a, b, c, d, ..] = head.to_le_bytes();
        let simd = self.layout.simd;
        match self.layout.head_width {
            0 => 0,
            2 => simd.rank_u16(heads, u16::from_le_bytes([a, b])),
            4 => simd.rank_u32(heads, u32::from_le_bytes([a, b, c, d])),
            _ => simd.rank_u64(heads, head),
        }
    }
}

/// Whether two slices are equal. Suffixes are short, and often empty: a call of the general comparison
/// costs more than they do, and one of no bytes at no address a hundred times that.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk(), b.first_chunk(), a.last_chunk(), b.last_chunk()) {
        (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) if a.len() <= 16 => {
            let words = [a_first, b_first, a_last, b_last].map(|&word| u64::from_le_bytes(word));
            let [a_first, b_first, a_last, b_last] = words;
            (a_first ^ b_first) | (a_last ^ b_last) == 0
        }
        (Some(_), ..) => a == b,
        _ => short_word(a) == short_word(b),
    }
}

/// Bytewise order, for slices that are often short.
#[inline]
fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    match (a.first_chunk(), b.first_chunk()) {
        (Some(a_first), Some(b_first)) if a_first != b_first => {
            let word = |first: &[u8; 8]| u64::from_le_bytes(*first).swap_bytes();
            word(a_first).cmp(&word(b_first))
        }
        (Some(_), Some(_)) => a.cmp(b),
        // Zeros stand in for the bytes that one of them lacks.
        _ => head_of(a, 8).cmp(&head_of(b, 8)).then_with(|| a.len().cmp(&b.len())),
    }
}

/// The first of `start..end` of which `before` does not hold, or `end`; `before` holds up to there
/// and nowhere behind.
#[inline]
fn partition_point(start: usize, end: usize, mut before: impl FnMut(usize) -> bool) -> usize {
    let (mut start, mut len) = (start, end.saturating_sub(start));
    while len > 0 {
        let half = len / 2;
        if before(start + half) {
            start += half + 1;
            len -= half + 1;
        } else {
            len = half;
        }
    }
    start
}

/// [`partition_point`], fast where the answer is near `start`.
#[inline]
fn partition_from(start: usize, end: usize, mut before: impl FnMut(usize) -> bool) -> usize {
    let (mut known, mut step) = (start, 1usize);
    while known < end {
        let probe = known.saturating_add(step - 1).min(end - 1);
        if !before(probe) {
            return partition_point(known, probe, before);
        }
        known = probe + 1;
        step = step.saturating_mul(2);
    }
    known
}
