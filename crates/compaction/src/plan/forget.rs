use std::cmp::Reverse;

use stratal_types::{Comparator, SeqNo};

use super::{Job, Shape, Strategy, Table};

/// What has expired goes as soon as no read can find it any more, or before, if it takes too much room.
///
/// For trees of every strategy: what expired under one may still be there under the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    /// Bytes of expired tables that may wait for readers.
    pub held_len_max: u64,
}

impl Forget {
    /// The bound up to which readers are refused so that no more waits than may; `None` if that is so
    /// already. Readers of the present and held history are never refused.
    fn refused(self, shape: &Shape, waiting: &[(SeqNo, &Table)]) -> Option<SeqNo> {
        let len = waiting.iter().map(|(_, table)| table.len).fold(0, u64::saturating_add);
        let mut excess = len.checked_sub(self.held_len_max).filter(|excess| *excess > 0)?;
        let mut oldest_first: Vec<_> =
            waiting.iter().filter(|(at, _)| *at < shape.refuse_below).collect();
        oldest_first.sort_by_key(|(at, table)| (*at, Reverse(table.len)));
        let mut last = None;
        for (at, table) in oldest_first {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(table.len);
            last = Some(*at);
        }
        last
    }
}

impl Strategy for Forget {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let expired = shape.tables().filter_map(|(_, table)| Some((table.expired_at?, table)));
        let (unread, waiting): (Vec<_>, Vec<_>) =
            expired.partition(|(at, _)| *at < shape.watermark);
        let numbers = |tables: &[(SeqNo, &Table)]| -> Vec<u64> {
            tables.iter().map(|(_, table)| table.number).collect()
        };
        let job = Job::forget(shape, &numbers(&unread), None, comparator).ok();
        job.or_else(|| {
            let refused = self.refused(shape, &waiting)?;
            let going: Vec<_> = waiting.into_iter().filter(|(at, _)| *at <= refused).collect();
            Job::forget(shape, &numbers(&going), Some(refused), comparator).ok()
        })
    }
}
