use stratal_types::EntryDigest;

use crate::{Error, OperationRef};

/// Changes that become visible together. They happen in order: of several puts and deletes of a key the
/// last wins, and operands are applied to what is before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    operations: Vec<Operation>,
    /// One for each, if they are taken.
    digests: Option<Vec<EntryDigest>>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The key gets a value.
    Put {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The key has no value any more.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// Like a delete, of a key that was put exactly once since its last delete.
    WeakDelete {
        /// The key.
        key: Vec<u8>,
    },
    /// The tree's merge operator applies the operand to the key's value, or to nothing.
    Merge {
        /// The key.
        key: Vec<u8>,
        /// What the operator is to do.
        operand: Vec<u8>,
    },
    /// Every key from `from` up to, and without, `to` has no value any more.
    DeleteRange {
        /// The first key.
        from: Vec<u8>,
        /// The first key behind.
        to: Vec<u8>,
    },
}

impl WriteBatch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A batch without changes, which takes the [digest](Operation::digest) of each change as it is
    /// added: for trees that [check entries from then on](crate::TreeOptions::digests_at_insert). They
    /// take digests themselves, but not before they are given the batch.
    pub fn with_digests() -> Self {
        Self { operations: Vec::new(), digests: Some(Vec::new()) }
    }

    /// Gives `key` a value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Operation::Put { key: key.into(), value: value.into() })
    }

    /// Takes the value of `key` away.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Operation::Delete { key: key.into() })
    }

    /// Takes the value of `key` away, which was put exactly once since its last delete. If it was put
    /// more often an older value may show again.
    pub fn weak_delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Operation::WeakDelete { key: key.into() })
    }

    /// Lets the tree's merge operator apply `operand` to the value of `key`, or to nothing, when it is
    /// read or merged. Nothing is read now.
    pub fn merge(&mut self, key: impl Into<Vec<u8>>, operand: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Operation::Merge { key: key.into(), operand: operand.into() })
    }

    /// Takes the value of every key from `from` up to, and without, `to` away. Costs the same for any
    /// number of keys. A range that is empty in the tree's order changes nothing.
    pub fn delete_range(&mut self, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Operation::DeleteRange { from: from.into(), to: to.into() })
    }

    /// Adds a change.
    pub fn push(&mut self, operation: Operation) -> &mut Self {
        if let Some(digests) = &mut self.digests {
            digests.push(operation.digest());
        }
        self.operations.push(operation);
        self
    }

    /// The digests of the changes, in their order, if they were taken.
    pub fn digests(&self) -> Option<&[EntryDigest]> {
        self.digests.as_deref()
    }

    /// The changes, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Number of changes, which is the number of sequence numbers it takes.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Whether every change can be applied.
    ///
    /// # Errors
    ///
    /// Those of [`Operation::check`].
    pub fn check(&self) -> Result<(), Error> {
        self.operations.iter().try_for_each(Operation::check)
    }
}

impl Operation {
    /// Whether the change can be applied.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], naming what has the wrong length.
    pub fn check(&self) -> Result<(), Error> {
        OperationRef::from(self).check()
    }
}
