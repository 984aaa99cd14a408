//! Searching in a node: what holds of what is found here, holds if the node is still of the version that
//! was searched.

use std::{cmp::Ordering as Cmp, hint::select_unpredictable};

use stratal_types::SeqNo;

use crate::{
    node::Node,
    order::{Order, Place, head},
    row::Row,
    slots::State,
};

impl Node {
    /// How many rows are before `place`, and, if `or_at`, at it.
    pub(crate) fn rank(&self, order: &Order, state: State, place: Place<'_>, or_at: bool) -> usize {
        self.rank_of(order, state, head(self.prefix(), place.key), place, or_at)
    }

    /// The same; `head` is that of the place.
    pub(crate) fn rank_of(
        &self,
        order: &Order,
        state: State,
        head: u64,
        place: Place<'_>,
        or_at: bool,
    ) -> usize {
        let (mut before, mut end) = (0, state.count());
        if order.is_bytewise {
            // Those whose head is lower. Where the halves go nobody can foresee: no jumps.
            let mut len = end;
            while len > 0 {
                let half = len.div_ceil(2);
                let is_lower = self.head(state, before + half - 1) < head;
                before = select_unpredictable(is_lower, before + half, before);
                len -= half;
            }
            // Behind are those with the same head, most often one or none.
            if before == end || self.head(state, before) != head {
                return before;
            }
            if before + 1 == end || self.head(state, before + 1) != head {
                end = before + 1;
            }
        }
        while before < end {
            let middle = usize::midpoint(before, end);
            let is_before = match self.compare(order, state, middle, head, place) {
                Cmp::Less => true,
                Cmp::Equal => or_at,
                Cmp::Greater => false,
            };
            if is_before {
                before = middle + 1;
            } else {
                end = middle;
            }
        }
        before
    }

    /// The row that is number `at` beside a place.
    fn compare(&self, order: &Order, state: State, at: usize, head: u64, place: Place<'_>) -> Cmp {
        if order.is_bytewise {
            // First: the row may be far away.
            let heads = self.head(state, at).cmp(&head);
            if heads.is_ne() {
                return heads;
            }
        }
        self.row(state, at).map_or(Cmp::Less, |row| order.compare(row, place))
    }

    /// Whether a place is behind all rows.
    pub(crate) fn is_behind(
        &self,
        order: &Order,
        state: State,
        head: u64,
        place: Place<'_>,
    ) -> bool {
        let last = state.count().checked_sub(1);
        last.is_none_or(|last| self.compare(order, state, last, head, place).is_lt())
    }

    /// In a leaf: whether `place` belongs to it, and how that is ordered with its last row.
    pub(crate) fn covers(&self, order: &Order, state: State, place: Place<'_>) -> bool {
        let head = head(self.prefix(), place.key);
        // What is behind a row of the leaf is not before its first.
        let is_behind_first = (state.count() > 0 && self.is_behind(order, state, head, place))
            || self.lower().is_none_or(|lower| order.compare(lower, place).is_le());
        is_behind_first && self.upper(state).is_none_or(|upper| order.compare(upper, place).is_gt())
    }

    /// In the leaf that this belongs to, the newest version of `key` below `bound`.
    pub(crate) fn newest(
        &self,
        order: &Order,
        state: State,
        key: &[u8],
        bound: SeqNo,
    ) -> Option<Row<'_>> {
        let head = head(self.prefix(), key);
        let at = self.rank_of(order, state, head, Place { key, seqno: bound }, true);
        let found = if at == state.count() {
            // A leaf that has none may end just before it.
            self.upper(state)
        } else if self.head(state, at) == head {
            self.row(state, at)
        } else {
            None
        };
        found.filter(|row| row.key() == key)
    }

    /// In the leaf that this belongs to, whether there is the version `place` itself.
    pub(crate) fn has(&self, order: &Order, state: State, place: Place<'_>) -> bool {
        let at = self.rank(order, state, place, false);
        at < state.count()
            && self.row(state, at).is_some_and(|row| order.compare(row, place).is_eq())
    }
}
