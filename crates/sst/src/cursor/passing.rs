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
        if self.inside().is_none() || !self.index.is_for_all() || !is_older(self.index.seqno_max())
        {
            return Ok(None);
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
}
