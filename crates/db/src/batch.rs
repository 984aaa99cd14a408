use stratal_engine::Operation;
use stratal_types::sync::Arc;

use crate::{Database, Durability, Error, Keyspace, Ticket, commit::Part};

/// Changes to any keyspaces of a database that happen together: visible whole or not at all, durable
/// whole or not at all. Of several changes of a key, the last wins.
///
/// A batch holds at most 1 GiB and fewer than 2³² operations.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    database: Database,
    parts: Vec<Part>,
    durability: Durability,
    has_foreign: bool,
}

impl Batch {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, parts: Vec::new(), durability: Durability::default(), has_foreign: false }
    }

    /// Gives `key` a value.
    pub fn put(
        &mut self,
        keyspace: &Keyspace,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.push(keyspace, Operation::Put { key: key.into(), value: value.into() })
    }

    /// Takes the value of `key` away.
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl Into<Vec<u8>>) -> &mut Self {
        self.push(keyspace, Operation::Delete { key: key.into() })
    }

    /// Takes the value of `key` away, which was put exactly once since its last delete. If it was put
    /// more often, an older value may show again.
    pub fn weak_delete(&mut self, keyspace: &Keyspace, key: impl Into<Vec<u8>>) -> &mut Self {
        self.push(keyspace, Operation::WeakDelete { key: key.into() })
    }

    /// Takes the value of every key from `from` up to, and without, `to` away. Costs the same for any
    /// number of keys. A range that is empty in the keyspace's order changes nothing.
    pub fn delete_range(
        &mut self,
        keyspace: &Keyspace,
        from: impl Into<Vec<u8>>,
        to: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.push(keyspace, Operation::DeleteRange { from: from.into(), to: to.into() })
    }

    /// How durable the batch is to be when [`commit`](Self::commit) returns.
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = durability;
        self
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.operations.len()).sum()
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Makes the changes, and returns when they are visible and have reached the batch's durability.
    /// The batch is empty then, and may be filled again.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NotFound`] for a keyspace that was dropped, [`Error::ReadOnly`],
    /// [`Error::InvalidArgument`] for a keyspace of another database: nothing was changed.
    /// [`Error::UnknownOutcome`] if the disk failed: see there.
    pub fn commit(&mut self) -> Result<Ticket, Error> {
        let parts = std::mem::take(&mut self.parts);
        if std::mem::take(&mut self.has_foreign) {
            return Err(Error::invalid("a keyspace of the batch belongs to another database"));
        }
        let committed = self.database.inner().commit(parts, self.durability)?;
        Ok(Ticket::new(self.database.clone(), committed))
    }

    fn push(&mut self, keyspace: &Keyspace, operation: Operation) -> &mut Self {
        self.has_foreign |= !keyspace.is_of(&self.database);
        match self.parts.last_mut() {
            Some(part) if Arc::ptr_eq(&part.core, keyspace.core()) => {
                part.operations.push(operation);
            }
            _ => {
                let core = Arc::clone(keyspace.core());
                self.parts.push(Part { core, operations: vec![operation] });
            }
        }
        self
    }
}
