use std::cmp::Ordering;

use stratal_types::{Direction, SeqNo};

use super::{Place, Ready, TableCursor};
use crate::Error;

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
        let Some(block) = self.inside() else { return Ok(None) };
        let (rows, comparator) = (block.rows(), self.table.comparator());
        let Some(at) = self.row.row(rows) else { return Ok(None) };
        let is_newer = |&i: &usize| rows.trailer(i).is_none_or(|row| row.seqno() >= since);
        let first_behind = || block.seek(limit, SeqNo::MAX, comparator, &mut Vec::new());
        let is_before = |i: usize| {
            if comparator.is_bytewise() {
                rows.compare_key(i, limit) == Some(Ordering::Less)
            } else {
                comparator.compare(&block.key(i), limit).is_lt()
            }
        };
        // Rows with numbers that end the walk are mostly nearer than the limit.
        let to = match direction {
            Direction::Forward => {
                let newer = (at..rows.len()).find(is_newer).unwrap_or(rows.len());
                let is_near = newer.checked_sub(1).is_some_and(is_before);
                if is_near { newer } else { newer.min(first_behind()) }
            }
            Direction::Backward => {
                let newer = (0..=at).rev().find(is_newer);
                match newer {
                    Some(newer) if !is_before(newer) => newer,
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
}
