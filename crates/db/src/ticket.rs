use stratal_types::SeqNo;

use crate::{Database, Error, commit::Committed};

/// How far a batch goes before its commit returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// It is visible. The end of the process may lose it, and what was committed after it.
    Memory,
    /// It is with the operating system, and survives the end of the process. A power failure may lose
    /// it, and what was committed after it.
    #[default]
    Os,
    /// It is on stable storage.
    Sync,
}

/// A batch that is visible. Dropping the ticket cancels nothing.
#[derive(Clone, Debug)]
pub struct Ticket {
    database: Database,
    committed: Committed,
}

impl Ticket {
    pub(crate) fn new(database: Database, committed: Committed) -> Self {
        Self { database, committed }
    }

    /// Waits until the batch, and every one committed before it, is on stable storage.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOutcome`] if the disk failed, and a second file too. The batch stays visible; it
    /// is kept in memory and written again with the next write that succeeds.
    pub fn durable(&self) -> Result<(), Error> {
        self.database.inner().sync_through(self.committed.end)
    }

    /// The number of the batch's last operation; for an empty batch, that of a moment at which
    /// everything before it is visible.
    pub fn seqno(&self) -> SeqNo {
        self.committed.seqno
    }
}
