use std::ops::RangeBounds;

use bytes::Bytes;
use stratal_engine::{Snapshot, TreeReader};

use crate::{Cursor, Error, Keyspace, Range};

/// A keyspace as it is at a snapshot. Its reads are those of the keyspace, and find what the keyspace's
/// would have found then.
///
/// ```
/// # use std::sync::Arc;
/// # use stratal::Database;
/// # use stratal_fs::MemFs;
/// let db = Database::builder("/places").fs(Arc::new(MemFs::new())).open()?;
/// let towns = db.open_keyspace("default")?;
/// towns.put("AD/Vila", "1418")?;
/// let snapshot = db.snapshot();
/// towns.clear()?;
/// assert_eq!((towns.at(&snapshot).len()?, towns.len()?), (1, 0));
/// # Ok::<(), stratal::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyspaceReader<'a>(TreeReader<'a>);

impl Keyspace {
    /// The keyspace as it is at `snapshot`.
    pub fn at<'a>(&'a self, snapshot: &'a Snapshot) -> KeyspaceReader<'a> {
        KeyspaceReader(self.core().tree.at(snapshot))
    }
}

impl KeyspaceReader<'_> {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        Ok(self.0.get(key.as_ref())?)
    }

    /// The values of `keys`, in the order in which they are given.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`], for any of them.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(self.0.multi_get(keys)?)
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.0.contains(key.as_ref())?)
    }

    /// Length of the value of `key`, in bytes.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn size_of(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        Ok(self.0.size_of(key.as_ref())?)
    }

    /// Number of keys that have a value, exactly. Reads all of them.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.0.len()?)
    }

    /// Whether no key has a value.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.0.is_empty()?)
    }

    /// The first key that has a value, with it.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn first_key_value(&self) -> Result<Option<(Bytes, Bytes)>, Error> {
        Ok(self.0.first_key_value()?)
    }

    /// The last key that has a value, with it.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn last_key_value(&self) -> Result<Option<(Bytes, Bytes)>, Error> {
        Ok(self.0.last_key_value()?)
    }

    /// Whether any key that begins with `prefix` has a value.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`].
    pub fn contains_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.0.contains_prefix(prefix.as_ref())?)
    }

    /// A cursor over the rows of `range`.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`]; further ones come from the cursor.
    pub fn cursor<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Cursor, Error> {
        Ok(Cursor::new(self.0.cursor(range)?))
    }

    /// The rows of `range`, in order, from both ends.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::get`]; further ones come from the iterator.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Range, Error> {
        Ok(Range::new(self.0.range(range)?))
    }

    /// The rows whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Keyspace::range`].
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Range, Error> {
        Ok(Range::new(self.0.prefix(prefix.as_ref())?))
    }
}
