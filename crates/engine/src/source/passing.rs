use stratal_types::{Cursor, Direction, SeqNo};

use super::{Place, RunCursor};
use crate::Error;

impl RunCursor {
    /// Where it stands after [`pass_older`](Cursor::pass_older), if it has left its entry. Tables of which
    /// every entry is older are not opened.
    pub(super) fn try_pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<Option<Place>, Error> {
        let is_older = |at: usize| {
            let table = self.run.tables.get(at);
            table.is_some_and(|table| table.meta.visible_entry_seqno_max() < seqno)
        };
        let at = match (self.place, &self.inside) {
            (Place::Inside, Some((at, _))) => *at,
            // All that it says of a table of which something is newer is where it begins.
            (Place::Bound(at), _) if is_older(at) => at,
            _ => return Ok(None),
        };
        if !is_older(at)
            && let Some((_, cursor)) = &mut self.inside
        {
            let passed = cursor.pass_older(direction, seqno, limit);
            let is_on_entry = cursor.is_on_entry();
            match passed {
                Ok(false) => return Ok(None),
                Ok(true) if is_on_entry => return Ok(Some(Place::Inside)),
                Ok(true) => {}
                Err(source) => return Err(self.error(at, source)),
            }
        }
        // The table at hand is behind it, unless the limit is in it.
        let end = self.run.position(limit);
        let place = match direction {
            Direction::Forward => {
                let from = if is_older(at) { at } else { at.saturating_add(1) };
                let newer = (from..end.min(self.window.end)).find(|at| !is_older(*at));
                match newer {
                    Some(newer) => self.first_from(newer),
                    None if end < from || is_older(end) => {
                        self.try_seek(limit, |cursor| cursor.seek(limit, SeqNo::MAX))
                    }
                    None => self.first_from(end),
                }
            }
            Direction::Backward => {
                let from = if is_older(at) { at.saturating_add(1) } else { at };
                let end = end.max(self.window.start);
                let newer = (end.saturating_add(1)..from).rfind(|at| !is_older(*at));
                match newer {
                    Some(newer) => self.last_before(newer.saturating_add(1)),
                    None if end < from && !is_older(end) => self.last_before(end.saturating_add(1)),
                    None => self.last_before_key(end, limit),
                }
            }
        };
        place.map(Some)
    }

    /// Stands on the last entry before `limit`, which is in table `at`, or before it.
    fn last_before_key(&mut self, at: usize, limit: &[u8]) -> Result<Place, Error> {
        let before = |cursor: &mut stratal_sst::TableCursor| {
            cursor.seek(limit, SeqNo::MAX)?;
            cursor.retreat()
        };
        if at < self.window.end && self.step(at, before)? {
            return Ok(Place::Inside);
        }
        self.last_before(at)
    }
}
