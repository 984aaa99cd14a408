use stratal_engine::{Operation, OperationRef};

use crate::{Database, Durability, Error, Keyspace, Ticket, draft::Draft};

/// Changes to any keyspaces of a database that happen together: visible whole or not at all, durable
/// whole or not at all. They happen in the order in which they were added: of several puts and deletes
/// of a key the last wins, and operands are applied to what is before them.
///
/// A batch holds at most 1 GiB and fewer than 2³² operations.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    database: Database,
    draft: Draft,
    durability: Durability,
    /// Why the batch cannot be committed.
    refused: Option<Error>,
}

impl Batch {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, draft: Draft::default(), durability: Durability::default(), refused: None }
    }

    /// Gives `key` a value.
    pub fn put(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.push(keyspace, OperationRef::Put { key: key.as_ref(), value: value.as_ref() })
    }

    /// Takes the value of `key` away.
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> &mut Self {
        self.push(keyspace, OperationRef::Delete { key: key.as_ref() })
    }

    /// Takes the value of `key` away, which was put exactly once since its last delete. If it was put
    /// more often, an older value may show again.
    pub fn weak_delete(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> &mut Self {
        self.push(keyspace, OperationRef::WeakDelete { key: key.as_ref() })
    }

    /// Takes the value of every key from `from` up to, and without, `to` away. Costs the same for any
    /// number of keys. A range that is empty in the keyspace's order changes nothing.
    pub fn delete_range(
        &mut self,
        keyspace: &Keyspace,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.push(keyspace, OperationRef::DeleteRange { from: from.as_ref(), to: to.as_ref() })
    }

    /// Lets the keyspace's merge operator apply `operand` to the value of `key`, or to nothing, when it is
    /// read or merged. Nothing is read now.
    pub fn merge(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        operand: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.push(keyspace, OperationRef::Merge { key: key.as_ref(), operand: operand.as_ref() })
    }

    /// Takes the value of every key away that begins with `prefix`: of all, if that is empty. Costs the
    /// same for any number of keys. Where keys with a prefix do not stand together, as in the order
    /// `shortlex`, the batch is refused when it is committed.
    pub fn delete_prefix(&mut self, keyspace: &Keyspace, prefix: impl AsRef<[u8]>) -> &mut Self {
        let comparator = keyspace.core().tree.comparator().as_ref();
        match Operation::delete_prefix(prefix.as_ref(), comparator) {
            Ok(operations) => {
                for operation in &operations {
                    self.push(keyspace, operation.into());
                }
            }
            Err(error) => {
                self.refused.get_or_insert_with(|| error.into());
            }
        }
        self
    }

    /// Takes the value of every key of a keyspace away. Costs the same for any number of keys; readers
    /// of snapshots still see them.
    pub fn clear(&mut self, keyspace: &Keyspace) -> &mut Self {
        self.delete_prefix(keyspace, [])
    }

    /// How durable the batch is to be when [`commit`](Self::commit) returns.
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = durability;
        self
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        usize::try_from(self.draft.count()).unwrap_or(usize::MAX)
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.draft.count() == 0
    }

    /// Makes the changes, and returns when they are visible and have reached the batch's durability.
    /// The batch is empty then, and may be filled again.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NotFound`] for a keyspace that was dropped, [`Error::ReadOnly`],
    /// [`Error::InvalidArgument`] for a keyspace of another database, a prefix that cannot be deleted, or
    /// an operand for a keyspace without a merge operator: nothing was changed.
    /// [`Error::UnknownOutcome`] if the disk failed: see there.
    pub fn commit(&mut self) -> Result<Ticket, Error> {
        let draft = std::mem::take(&mut self.draft);
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let committed = self.database.inner().commit(draft, self.durability)?;
        Ok(Ticket::new(self.database.clone(), committed))
    }

    fn push(&mut self, keyspace: &Keyspace, operation: OperationRef<'_>) -> &mut Self {
        if self.refused.is_some() {
            return self;
        }
        let pushed = if keyspace.is_of(&self.database) {
            self.draft.push(keyspace.core(), operation)
        } else {
            Err(Error::invalid("a keyspace of the batch belongs to another database"))
        };
        self.refused = pushed.err();
        self
    }
}
