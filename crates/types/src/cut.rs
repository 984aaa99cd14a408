use alloc::vec::Vec;

use crate::{Comparator, Fragments};

/// Where a table of the level below begins: a good place to begin a table of this level, because a
/// later merge of that one then touches few tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The table's first key.
    pub start: Vec<u8>,
    /// The table's length, in bytes.
    pub len: u64,
}

/// How long outputs get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOptions {
    /// Aim for tables of this many bytes. Default [`TABLE_LEN`](Self::TABLE_LEN).
    pub table_len: u64,
    /// An output overlaps at most about this many bytes of the level below. Default
    /// [`BELOW_LEN_MAX`](Self::BELOW_LEN_MAX).
    pub below_len_max: u64,
}

impl CutOptions {
    /// Default of [`table_len`](Self::table_len).
    pub const TABLE_LEN: u64 = 64 << 20;
    /// Default of [`below_len_max`](Self::below_len_max): 25 tables.
    pub const BELOW_LEN_MAX: u64 = 25 * Self::TABLE_LEN;
}

impl Default for CutOptions {
    fn default() -> Self {
        Self { table_len: Self::TABLE_LEN, below_len_max: Self::BELOW_LEN_MAX }
    }
}

/// The keys one output is responsible for: from `start` up to, and without, `end`.
///
/// Wider than the keys in it. What a job's tombstones say about keys between two outputs, or before
/// the first, is said by the output whose piece they lie in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The first key; `None` where the span of the job begins.
    pub start: Option<Vec<u8>>,
    /// The first key behind; `None` where the span of the job ends.
    pub end: Option<Vec<u8>>,
}

impl Piece {
    /// The tombstones that the output of this piece carries, out of those that the job keeps.
    pub fn clip(&self, kept: &Fragments, comparator: &dyn Comparator) -> Fragments {
        kept.clip(self.start.as_deref(), self.end.as_deref(), comparator)
    }
}

/// Decides where one output ends and the next begins: between user keys, by length, and at the
/// fences of the level below.
///
/// At a fence an output ends if it is at least half as long as aimed for, and 5 % longer for each
/// fence it has passed, up to eight. With fences ahead an output may grow to twice its length to
/// reach one. Memory: one key.
#[derive(Clone, Debug)]
pub struct OutputCutter<'a> {
    comparator: &'a dyn Comparator,
    options: CutOptions,
    /// Those not passed yet.
    fences: &'a [Fence],
    /// Fences passed within the current output.
    passed: u64,
    /// Bytes below that the current output overlaps.
    below_len: u64,
    /// Length of the table below that the last key stands in.
    below_here: u64,
    /// The key at which the output was found long enough; it ends with the last version of it.
    last_key: Option<Vec<u8>>,
    piece: Piece,
}

impl<'a> OutputCutter<'a> {
    /// Cuts the outputs of a job responsible for `piece` (all of its span, by default). `fences`
    /// ascend.
    pub fn new(
        options: CutOptions,
        fences: &'a [Fence],
        piece: Piece,
        comparator: &'a dyn Comparator,
    ) -> Self {
        Self {
            comparator,
            options,
            fences,
            passed: 0,
            below_len: 0,
            below_here: 0,
            last_key: None,
            piece,
        }
    }

    /// To be asked before an entry of `key` is written, `len` being the bytes that the current
    /// output has so far. `Some`: the output ends before this key, and that is its piece.
    pub fn before(&mut self, key: &[u8], len: u64) -> Option<Piece> {
        let fence = self.pass_fences(key);
        if len == 0 {
            self.last_key = None;
            return None;
        }
        let share = 50 + 5 * self.passed.min(8);
        let ends_here = fence
            && (len.saturating_mul(100) >= self.options.table_len.saturating_mul(share)
                || self.below_len > self.options.below_len_max);
        let is_behind = self.last_key.as_deref().is_some_and(|last| last != key);
        if ends_here || is_behind {
            return Some(self.cut(key));
        }
        let stretch = if self.fences.is_empty() { 1 } else { 2 };
        if self.last_key.is_none() && len >= self.options.table_len.saturating_mul(stretch) {
            self.last_key = Some(key.to_vec());
        }
        None
    }

    /// Whether [`before`](Self::before) would let the current output go on, and note nothing, whatever
    /// its length up to `len_max`: for who would have to work a length out.
    #[inline]
    pub fn is_far_from_end(&self, key: &[u8], len_max: u64) -> bool {
        self.last_key.is_none() && len_max < self.options.table_len && !self.has_fence_to(key)
    }

    /// Whether a table of the level below begins behind the key that was asked about last, and at or
    /// before `key`: who writes what lies between without asking passes a good place to cut.
    pub fn has_fence_to(&self, key: &[u8]) -> bool {
        self.fences.first().is_some_and(|fence| self.comparator.compare(&fence.start, key).is_le())
    }

    /// Ends the current output before `key`, which is not behind the next entry: that is its piece.
    pub fn end_before(&mut self, key: &[u8]) -> Piece {
        self.pass_fences(key);
        self.cut(key)
    }

    /// How long outputs get.
    pub fn options(&self) -> &CutOptions {
        &self.options
    }

    /// The piece of the current output as if it were the last.
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    /// The piece of the last output, which is there also if no key was.
    pub fn finish(self) -> Piece {
        self.piece
    }

    /// Passes the fences up to `key`. If there is one, `key` is another key than the last.
    fn pass_fences(&mut self, key: &[u8]) -> bool {
        let mut any = false;
        while let Some((fence, ahead)) = self.fences.split_first()
            && self.comparator.compare(&fence.start, key).is_le()
        {
            self.fences = ahead;
            self.passed += 1;
            self.below_len = self.below_len.saturating_add(fence.len);
            self.below_here = fence.len;
            any = true;
        }
        any
    }

    fn cut(&mut self, key: &[u8]) -> Piece {
        self.passed = 0;
        self.below_len = self.below_here;
        self.last_key = None;
        let start = self.piece.start.replace(key.to_vec());
        Piece { start, end: Some(key.to_vec()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;
    use crate::Bytewise;

    /// Cuts rows of `row_len` bytes at `keys`; gives where each output began, and its length.
    fn outputs(
        keys: &[&str],
        row_len: u64,
        table_len: u64,
        fences: &[(&str, u64)],
    ) -> Vec<(String, u64)> {
        let fences: Vec<Fence> = fences
            .iter()
            .map(|(start, len)| Fence { start: start.as_bytes().to_vec(), len: *len })
            .collect();
        let options = CutOptions { table_len, below_len_max: 25 * table_len };
        let mut cutter = OutputCutter::new(options, &fences, Piece::default(), &Bytewise);
        let mut cut: Vec<(String, u64)> = Vec::new();
        let mut pieces = Vec::new();
        for key in keys {
            let len = cut.last().map_or(0, |(_, len)| *len);
            if let Some(piece) = cutter.before(key.as_bytes(), len) {
                pieces.push(piece);
                cut.push(((*key).to_string(), 0));
            }
            if cut.is_empty() {
                cut.push(((*key).to_string(), 0));
            }
            cut.last_mut().unwrap().1 += row_len;
        }
        pieces.push(cutter.finish());
        // Pieces follow one another without gaps from edge to edge.
        assert_eq!(pieces.first().unwrap().start, None);
        assert_eq!(pieces.last().unwrap().end, None);
        for pair in pieces.windows(2) {
            assert_eq!(pair[0].end, pair[1].start);
        }
        assert_eq!(pieces.len(), cut.len().max(1));
        cut
    }

    fn check(got: &[(String, u64)], expected: &[(&str, u64)]) {
        let got: Vec<(&str, u64)> = got.iter().map(|(key, len)| (key.as_str(), *len)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn outputs_end_once_they_are_long_enough() {
        let keys = ["a", "b", "c", "d", "e", "f", "g"];
        check(&outputs(&keys, 10, 20, &[]), &[("a", 30), ("d", 30), ("g", 10)]);
        check(&outputs(&keys, 10, 1000, &[]), &[("a", 70)]);
        check(&outputs(&[], 10, 20, &[]), &[]);
    }

    #[test]
    fn versions_of_one_key_are_never_parted() {
        let keys = ["a", "b", "b", "b", "b", "b", "c"];
        check(&outputs(&keys, 10, 10, &[]), &[("a", 60), ("c", 10)]);
        check(&outputs(&["b"; 50], 10, 10, &[("b", 5)]), &[("b", 500)]);
    }

    #[test]
    fn outputs_end_at_fences_where_they_can() {
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
        // Half full at "d", where a table below begins.
        check(&outputs(&keys, 10, 50, &[("d", 9)]), &[("a", 30), ("d", 50)]);
        // Too short at "b"; grows on to "g", which lies within twice the length.
        check(&outputs(&keys, 10, 40, &[("b", 9), ("g", 9)]), &[("a", 60), ("g", 20)]);
        // No fence within twice the length.
        check(&outputs(&keys, 10, 20, &[("z", 9)]), &[("a", 50), ("f", 30)]);
    }

    #[test]
    fn outputs_that_overlap_too_much_below_end_early() {
        let keys = ["a", "b", "c", "d"];
        let below = [("b", 600), ("c", 600), ("d", 600)];
        check(&outputs(&keys, 1, 40, &below), &[("a", 2), ("c", 1), ("d", 1)]);
    }
}
