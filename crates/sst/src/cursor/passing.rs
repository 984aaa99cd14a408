use std::cmp::Ordering;

use stratal_block::SortedBlock;
use stratal_slab::Shared;
use stratal_types::{Direction, SeqNo};

use super::{Place, Ready, TableCursor};
use crate::{Error, block::CachedBlock};

impl TableCursor {
    /// Where it stands after [`pass_older`](stratal_types::Cursor::pass_older), if it has left its entry.
    pub(super) fn try_pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<Option<Place>, Error> {
        let since = match self.table.overlay() {
            // All entries are seen at one number.
            Some(seen) if seen < seqno => SeqNo::MAX,
            Some(_) => return Ok(None),
            None => seqno,
        };
        let is_older = |max: Option<u64>| max.is_some_and(|max| max < since.get());
        if self.inside().is_none() || !self.index.is_for_all() {
            return Ok(None);
        }
        if !is_older(self.index.seqno_max()) {
            return self.pass_within_block(direction, since, limit);
        }
        let mut end = self.index.clone();
        end.seek(&self.table, limit, SeqNo::MAX)?;
        self.index.pass_older(&self.table, &end, since, direction)?;
        let has_newer = self.index.is_inside() && !is_older(self.index.seqno_max());
        match direction {
            Direction::Forward if has_newer => self.enter_first_row(),
            Direction::Backward if has_newer => self.enter_last_row(),
            Direction::Forward if !self.index.is_inside() => Ok(Place::BehindLast),
            Direction::Forward => self.seek_in_block(limit, SeqNo::MAX, Ready::No),
            Direction::Backward => {
                self.seek_row(limit, SeqNo::MAX, Ready::No)?;
                let (rows, row) = self.load()?;
                if row.row(rows) == Some(0) {
                    self.enter_previous_block()
                } else {
                    row.retreat(rows);
                    Ok(Place::Inside)
                }
            }
        }
        .map(Some)
    }

    /// The same where not all of the block it is in is known to be older: by the numbers of its rows.
    fn pass_within_block(
        &mut self,
        direction: Direction,
        since: SeqNo,
        limit: &[u8],
    ) -> Result<Option<Place>, Error> {
        let Some((rows, at)) = self.inside().map(CachedBlock::rows).zip(self.row_number()) else {
            return Ok(None);
        };
        let is_newer = |&i: &usize| rows.trailer(i).is_none_or(|row| row.seqno() >= since);
        let first_behind = || self.first_at_or_behind(rows, limit);
        // Rows with numbers that end the walk are mostly nearer than the limit.
        let to = match direction {
            Direction::Forward => {
                let newer = (at..rows.len()).find(is_newer).unwrap_or(rows.len());
                let is_near = newer.checked_sub(1).is_some_and(|i| self.is_before(rows, i, limit));
                if is_near { newer } else { newer.min(first_behind()) }
            }
            Direction::Backward => {
                let newer = (0..=at).rev().find(is_newer);
                match newer {
                    Some(newer) if !self.is_before(rows, newer, limit) => newer,
                    _ => match first_behind().checked_sub(1) {
                        Some(before) => before,
                        None => return self.enter_previous_block().map(Some),
                    },
                }
            }
        };
        if to == at {
            return Ok(None);
        }
        if to == rows.len() {
            return self.enter_next_block().map(Some);
        }
        let Some((_, block)) = &self.loaded else { return Err(Error::CursorFailed) };
        self.row.seek_to(block.rows(), to);
        Ok(Some(Place::Inside))
    }

    /// The row of the block that it stands on.
    fn row_number(&self) -> Option<usize> {
        self.row.row(self.inside()?.rows())
    }

    /// Whether row `i` stands before every version of `key`.
    fn is_before(&self, rows: &SortedBlock<Shared>, i: usize, key: &[u8]) -> bool {
        let comparator = self.table.comparator();
        if comparator.is_bytewise() {
            return rows.compare_key(i, key) == Some(Ordering::Less);
        }
        let mut other = Vec::new();
        rows.key_into(i, &mut other);
        comparator.compare(&other, key).is_lt()
    }

    /// The first row at `key` or behind it, or the row behind all.
    fn first_at_or_behind(&self, rows: &SortedBlock<Shared>, key: &[u8]) -> usize {
        let comparator = self.table.comparator();
        if comparator.is_bytewise() {
            return rows.seek(key, SeqNo::MAX);
        }
        rows.seek_by(key, SeqNo::MAX, comparator, &mut Vec::new())
    }
}
