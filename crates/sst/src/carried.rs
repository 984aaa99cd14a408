use stratal_types::{Comparator, Fragments};

/// The range tombstones of a set of tables, and what of them the table at hand carries.
///
/// A table carries what lies over the keys it is responsible for, clipped to them. What lies over the
/// place where one table ends and the next begins is therefore written twice, and a set is cut for its
/// tombstones only where that is worth it: a table has at least as many bytes of bounds of its own as it
/// takes over, and as it hands on. Where thousands of tombstones lie over one another, all tables together
/// then take a few times what the tombstones do.
#[derive(Debug)]
pub(crate) struct Carried {
    fragments: Fragments,
    /// What is at each bound of the fragments.
    steps: Vec<Step>,
    /// The number of the bound ahead.
    next: usize,
    /// How many tombstones lie over the keys before it.
    open: u64,
    /// Bytes taken over where the table at hand begins.
    taken_len: u64,
    /// Bytes of bounds that were passed since.
    len: u64,
}

/// A bound.
#[derive(Clone, Copy, Debug)]
struct Step {
    len: u64,
    begins: u64,
    ends: u64,
}

/// Bytes of a row beside its key, about.
const ROW_LEN: u64 = 16;

impl Carried {
    /// A table aims for so many bytes of bounds at most: as many as are read at once when it is first
    /// asked.
    pub(crate) const LEN: u64 = 4 << 20;

    /// A table has not more than so many bytes, unless that many lie over one key: what stands twice in
    /// an archive has a limit, which is far enough above for the rest of it and for an estimate.
    const LEN_MAX: u64 = 24 << 20;

    /// Nothing.
    pub(crate) const EMPTY: Self = Self {
        fragments: Fragments::EMPTY,
        steps: Vec::new(),
        next: 0,
        open: 0,
        taken_len: 0,
        len: 0,
    };

    /// `fragments`, for a set whose first table, or the one at hand, begins at `start`.
    pub(crate) fn new(
        fragments: Fragments,
        start: Option<&[u8]>,
        comparator: &dyn Comparator,
    ) -> Self {
        let step = |turn: stratal_types::Turn<'_>| {
            let (begins, ends) = (turn.begins as u64, turn.ends as u64);
            Step { len: turn.key.len() as u64 + (begins + ends) * ROW_LEN, begins, ends }
        };
        let steps = fragments.turns().map(step).collect();
        let mut carried = Self { fragments, steps, ..Self::EMPTY };
        if let Some(start) = start {
            carried.pass(start, comparator);
        }
        carried.begin();
        carried
    }

    /// All tombstones of the set.
    pub(crate) fn fragments(&self) -> &Fragments {
        &self.fragments
    }

    /// Begins a table where the last bound was passed, or at the one ahead.
    pub(crate) fn begin(&mut self) {
        (self.taken_len, self.len) = (self.open * ROW_LEN, 0);
    }

    /// Whether a bound that was not passed stands before `key`, or at it.
    #[inline]
    pub(crate) fn has_bound_to(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        self.ahead().is_some_and(|bound| comparator.compare(bound, key).is_le())
    }

    /// Passes the bounds up to `key`, and no cut is made at them.
    pub(crate) fn pass(&mut self, key: &[u8], comparator: &dyn Comparator) {
        while self.ahead().is_some_and(|bound| comparator.compare(bound, key).is_le()) {
            self.step();
        }
    }

    /// Passes bounds as long as they are `within`, and stops before one at which the table at hand, which
    /// aims for `table_len` bytes, should end.
    pub(crate) fn cut(
        &mut self,
        table_len: u64,
        within: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        while let Some(bound) = self.ahead()
            && within(bound)
        {
            if self.ends_here(table_len.min(Self::LEN)) {
                return Some(bound.to_vec());
            }
            self.step();
        }
        None
    }

    /// What tombstones add to the length of the table at hand, as far as it goes: what it has of its own
    /// counts, and so does what it takes over the other way, so that it grows to be worth that. Both stand
    /// twice.
    #[inline]
    pub(crate) fn add_to(&self, rows_len: u64) -> u64 {
        if rows_len == 0 {
            return 0;
        }
        let own = rows_len.saturating_add(2 * self.len);
        own.saturating_sub(2 * self.taken_len).max(1)
    }

    #[inline]
    fn ahead(&self) -> Option<&[u8]> {
        // Of most sets there are none.
        if self.next < self.steps.len() { self.fragments.stretch(self.next).end } else { None }
    }

    fn ends_here(&self, aim: u64) -> bool {
        let Some(step) = self.steps.get(self.next).filter(|_| self.next + 1 < self.steps.len())
        else {
            return false;
        };
        let handed_len = self.open * ROW_LEN;
        let is_worth_it = self.len >= aim && self.len >= handed_len.max(self.taken_len);
        let next_len = self.taken_len + self.len + step.len + (self.open + step.begins) * ROW_LEN;
        is_worth_it || next_len > Self::LEN_MAX
    }

    fn step(&mut self) {
        if let Some(step) = self.steps.get(self.next) {
            self.next += 1;
            self.len += step.len;
            self.open = (self.open + step.begins).saturating_sub(step.ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use stratal_types::{Bytewise, RangeTombstone, SeqNo};

    use super::*;

    /// Where tables begin that hold nothing but `tombstones` of sixteen-byte bounds, and aim for
    /// `table_len` bytes.
    fn cuts(tombstones: &[(u32, u32)], table_len: u64) -> Vec<u32> {
        let key = |i: &u32| format!("{i:016}");
        let tombstones: Vec<_> = tombstones
            .iter()
            .zip(1u32..)
            .map(|((from, to), seqno)| RangeTombstone::new(key(from), key(to), SeqNo::from(seqno)))
            .collect();
        let fragments = Fragments::build(&tombstones, &Bytewise);
        let mut carried = Carried::new(fragments, None, &Bytewise);
        let mut cuts = Vec::new();
        while let Some(bound) = carried.cut(table_len, |_| true) {
            carried.begin();
            cuts.push(String::from_utf8(bound).unwrap().parse().unwrap());
        }
        cuts
    }

    #[test]
    fn a_table_ends_where_it_has_enough_of_its_own() {
        // Two bounds of 32 bytes each.
        let apart: Vec<_> = (0..6).map(|i| (2 * i, 2 * i + 1)).collect();
        assert_eq!(cuts(&apart, 1000), [0; 0]);
        assert_eq!(cuts(&apart, 128), [4, 8]);
        assert_eq!(cuts(&apart, 120), [4, 8]);
        assert_eq!(cuts(&apart, 32), (1..=10).collect::<Vec<_>>());
        assert_eq!(cuts(&[], 1), [0; 0]);
        assert_eq!(cuts(&[(0, 1)], 1), [1; 0]);
    }

    #[test]
    fn a_table_is_worth_what_it_takes_over_and_hands_on() {
        // Each within the one before: the further, the more lie over a place.
        let nested: Vec<_> = (0..512).map(|i| (i, 2000 - i)).collect();
        let cuts = cuts(&nested, 100);
        // Before each cut at least half as many bounds as tombstones lie over it or the one before.
        let depth = |at: u32| (at + 1).min(2001u32.saturating_sub(at)).min(512);
        let bounds = |at: u32| if at < 1000 { at.min(512) } else { (at.max(1488) - 1488) + 512 };
        for pair in cuts.windows(2) {
            let own = 2 * (bounds(pair[1]) - bounds(pair[0]));
            assert!(own + 4 >= depth(pair[0]).max(depth(pair[1])), "{pair:?} of {cuts:?}");
        }
        assert!((4..40).contains(&cuts.len()), "{cuts:?}");
    }

    #[test]
    fn a_table_ends_at_any_bound_before_it_is_too_long() {
        let many = Carried::LEN_MAX / ROW_LEN / 2 + 5;
        let mut carried = Carried::EMPTY;
        // As many as may be over one place, and bounds of ten there.
        carried.open = many;
        carried.begin();
        carried.steps = vec![Step { len: 176, begins: 5, ends: 5 }; 4];
        assert!(carried.ends_here(1));
        carried.open -= 20;
        carried.begin();
        assert!(!carried.ends_here(1));
    }
}
