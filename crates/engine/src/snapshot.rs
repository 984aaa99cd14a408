use std::sync::Arc;

use stratal_types::SeqNo;

use crate::{Clock, Error};

/// A moment of a database: reads at it see what was visible then, whatever happens since.
///
/// While it lives, nothing that it sees is collected. A tree that forgets may be told to refuse reads of
/// old snapshots before what has [expired](crate::FifoOptions::held_len_max) takes too much room.
#[derive(Debug)]
pub struct Snapshot {
    clock: Arc<Clock>,
    bound: SeqNo,
}

impl Snapshot {
    /// The present moment.
    pub(crate) fn now(clock: &Arc<Clock>) -> Self {
        Self { bound: clock.register(), clock: Arc::clone(clock) }
    }

    /// A moment of the past.
    pub(crate) fn at(clock: &Arc<Clock>, bound: SeqNo) -> Result<Self, Error> {
        clock.register_at(bound)?;
        Ok(Self { bound, clock: Arc::clone(clock) })
    }

    /// The bound of its reads, for one that has taken its read state.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotTooOld`] if its reads are refused by now.
    pub(crate) fn served(&self) -> Result<SeqNo, Error> {
        self.clock.check(self.bound).map(|()| self.bound)
    }

    /// The bound of its reads: they see numbers below.
    pub fn bound(&self) -> SeqNo {
        self.bound
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.clock.release(self.bound);
    }
}
