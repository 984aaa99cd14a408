//! Reads of more or of less than one key's value.

use std::ops::RangeBounds;

use bytes::Bytes;
use stratal_types::{KeyRange, SeqNo};

use crate::{Error, Operation, Snapshot, Tree, TreeCursor, WriteBatch, cursor};

/// A key and its value, lent.
pub type KeyValueRef<'a> = (&'a [u8], &'a [u8]);

/// A key and its value.
pub type KeyValue = (Bytes, Bytes);

impl Tree {
    /// The values of `keys` now, in the order in which they are given, all of one moment. Sources are
    /// asked level by level for what is still wanted, in key order. A key may be given twice.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for any of them.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        let state = self.state.load();
        let bound = self.store.clock().visible();
        state.multi_get(&slices(keys), bound, &self.folding)
    }

    /// The values of `keys` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for any of them.
    pub fn multi_get_at<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        snapshot: &Snapshot,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let state = self.state.load();
        state.multi_get(&slices(keys), snapshot.served()?, &self.folding)
    }

    /// Length of the value of `key` now, in bytes.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn size_of(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        Ok(self.get(key)?.map(|value| value.len() as u64))
    }

    /// Number of keys that have a value now, exactly. Reads all of them.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64, Error> {
        cursor::count(self.cursor::<&[u8]>(..)?)
    }

    /// Whether no key has a value now. Finds one at most.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool, Error> {
        cursor::is_empty(self.cursor::<&[u8]>(..)?)
    }

    /// Whether any key that begins with `prefix` has a value now.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains_prefix(&self, prefix: &[u8]) -> Result<bool, Error> {
        Ok(self.prefix(prefix)?.next().transpose()?.is_some())
    }

    /// The first key that has a value now, with it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn first_key_value(&self) -> Result<Option<KeyValue>, Error> {
        self.range::<&[u8]>(..)?.next().transpose()
    }

    /// The last key that has a value now, with it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn last_key_value(&self) -> Result<Option<KeyValue>, Error> {
        self.range::<&[u8]>(..)?.next_back().transpose()
    }

    /// A cursor over the rows of `range` now.
    ///
    /// # Errors
    ///
    /// Damage to range tombstones, and read errors; further ones come from the cursor.
    pub fn cursor<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<TreeCursor, Error> {
        let state = self.state.load_full();
        let bound = self.store.clock().visible();
        let range = KeyRange::from_bounds(&range);
        let prefix = self.prefix_of(&range);
        let rows = state.cursor_of(range, prefix.as_ref(), bound, &self.folding)?;
        Ok(TreeCursor::new(rows, state))
    }

    /// A cursor over the rows of `range` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`cursor`](Self::cursor).
    pub fn cursor_at<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
        snapshot: &Snapshot,
    ) -> Result<TreeCursor, Error> {
        let state = self.state.load_full();
        let range = KeyRange::from_bounds(&range);
        let prefix = self.prefix_of(&range);
        let rows = state.cursor_of(range, prefix.as_ref(), snapshot.served()?, &self.folding)?;
        Ok(TreeCursor::new(rows, state))
    }

    /// Takes the value of every key away that begins with `prefix`. Costs the same for any number of
    /// keys.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`Error::InvalidArgument`] if the tree's order does not keep such
    /// keys together.
    pub fn delete_prefix(&self, prefix: &[u8]) -> Result<SeqNo, Error> {
        let mut batch = WriteBatch::new();
        for operation in Operation::delete_prefix(prefix, self.comparator().as_ref())? {
            batch.push(operation);
        }
        self.write(&batch)
    }

    /// Takes the value of every key away. Costs the same for any number of keys; readers of snapshots
    /// still see them.
    ///
    /// # Errors
    ///
    /// As [`delete_prefix`](Self::delete_prefix).
    pub fn clear(&self) -> Result<SeqNo, Error> {
        self.delete_prefix(&[])
    }
}

fn slices<K: AsRef<[u8]>>(keys: &[K]) -> Vec<&[u8]> {
    keys.iter().map(AsRef::as_ref).collect()
}
