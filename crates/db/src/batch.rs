use stratal_engine::Operation;
use stratal_types::sync::Arc;

use crate::{Database, Durability, Error, Keyspace, Ticket, commit::Part};

/// Changes to any keyspaces of a database that happen together: visible whole or not at all, durable
/// whole or not at all. They happen in the order in which they were added: of several puts and deletes
/// of a key the last wins, and operands are applied to what is before them.
///
/// A batch holds at most 1 GiB and fewer than 2³² operations.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    database: Database,
    parts: Vec<Part>,
    durability: Durability,
    /// Why the batch cannot be committed.
    refused: Option<Error>,
}

impl Batch {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, parts: Vec::new(), durability: Durability::default(), refused: None }
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

    /// Lets the keyspace's merge operator apply `operand` to the value of `key`, or to nothing, when it is
    /// read or merged. Nothing is read now.
    pub fn merge(
        &mut self,
        keyspace: &Keyspace,
        key: impl Into<Vec<u8>>,
        operand: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.push(keyspace, Operation::Merge { key: key.into(), operand: operand.into() })
    }

    /// Takes the value of every key away that begins with `prefix`: of all, if that is empty. Costs the
    /// same for any number of keys. Where keys with a prefix do not stand together, as in the order
    /// `shortlex`, the batch is refused when it is committed.
    pub fn delete_prefix(&mut self, keyspace: &Keyspace, prefix: impl AsRef<[u8]>) -> &mut Self {
        let comparator = keyspace.core().tree.comparator().as_ref();
        match Operation::delete_prefix(prefix.as_ref(), comparator) {
            Ok(operations) => {
                for operation in operations {
                    self.push(keyspace, operation);
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
    /// [`Error::InvalidArgument`] for a keyspace of another database, a prefix that cannot be deleted, or
    /// an operand for a keyspace without a merge operator: nothing was changed.
    /// [`Error::UnknownOutcome`] if the disk failed: see there.
    pub fn commit(&mut self) -> Result<Ticket, Error> {
        let parts = std::mem::take(&mut self.parts);
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let committed = self.database.inner().commit(parts, self.durability)?;
        Ok(Ticket::new(self.database.clone(), committed))
    }

    fn push(&mut self, keyspace: &Keyspace, operation: Operation) -> &mut Self {
        if !keyspace.is_of(&self.database) {
            let what = "a keyspace of the batch belongs to another database";
            self.refused.get_or_insert_with(|| Error::invalid(what));
        }
        let core = keyspace.core();
        let digest = core.tree.takes_digests().then(|| operation.digest());
        let takes = |part: &&mut Part| {
            Arc::ptr_eq(&part.core, core) && part.digests.is_some() == digest.is_some()
        };
        match self.parts.last_mut().filter(takes) {
            Some(part) => {
                part.operations.push(operation);
                part.digests.iter_mut().for_each(|digests| digests.extend(digest));
            }
            None => self.parts.push(Part {
                core: Arc::clone(core),
                operations: vec![operation],
                digests: digest.map(|digest| vec![digest]),
            }),
        }
        self
    }
}
