use stratal_types::{Direction, SeqNo};

use super::IndexCursor;
use crate::{Error, Table, block::CachedBlock};

impl IndexCursor {
    /// The highest sequence number, as stored, in the block that the cursor stands for; `None` on no
    /// fence.
    pub(crate) fn seqno_max(&self) -> Option<u64> {
        self.inside().map(|(leaf, row)| leaf.seqno_max_under(row))
    }

    /// Whether it passes over no block by itself.
    pub(crate) fn is_for_all(&self) -> bool {
        self.sought.is_all()
    }

    /// From the block that it stands for, goes on in `direction` to the first that may have an entry
    /// numbered `since` or higher, as stored, but no further than to that of `end`, which lies that way.
    /// Partitions of the index without any are not read.
    pub(crate) fn pass_older(
        &mut self,
        table: &Table,
        end: &Self,
        since: SeqNo,
        direction: Direction,
    ) -> Result<(), Error> {
        // Where to go on in the partition at hand: at its near end but for the first.
        let mut from = self.row.take();
        loop {
            let is_last = self.partition == end.partition;
            let to = end.row.filter(|_| is_last);
            let Some(leaf) = self.load_leaf(table)? else { return Ok(()) };
            let rows = match direction {
                Direction::Forward => from.unwrap_or(0)..to.unwrap_or(leaf.len()),
                Direction::Backward => {
                    to.unwrap_or(0)..from.map_or(leaf.len(), |row| row.saturating_add(1))
                }
            };
            let found = leaf.first_since(rows, since, direction);
            if found.is_some() || is_last {
                self.row = found.or(to);
                return Ok(());
            }
            self.partition = self.next_since(end.partition, since, direction);
            from = None;
        }
    }

    /// The next partition in `direction` that may have an entry numbered `since` or higher, `end` if none
    /// before that has.
    fn next_since(&self, end: usize, since: SeqNo, direction: Direction) -> usize {
        let between = match direction {
            Direction::Forward => self.partition.saturating_add(1)..end,
            Direction::Backward => end.saturating_add(1)..self.partition,
        };
        let first = |top: &CachedBlock| top.first_since(between, since, direction);
        self.top.as_deref().and_then(first).unwrap_or(end)
    }
}
