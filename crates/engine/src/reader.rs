use std::ops::RangeBounds;

use bytes::Bytes;

use crate::{Error, KeyValue, Snapshot, Tree, TreeCursor, TreeRange, cursor};

/// A tree as it is at a snapshot. Its reads are those of the tree, and find what the tree's would have
/// found then.
///
/// ```
/// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
/// # let count = AtomicU64::new(0);
/// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
/// # let fs = Arc::new(stratal_fs::MemFs::new());
/// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
/// # let id = store.create_tree("places", "bytewise", &[])?;
/// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
/// tree.put(b"AD/Vila", b"1418")?;
/// let snapshot = tree.snapshot();
/// tree.clear()?;
/// let before = tree.at(&snapshot);
/// assert_eq!((before.len()?, tree.len()?), (1, 0));
/// assert_eq!(before.size_of(b"AD/Vila")?, Some(4));
/// # Ok::<(), stratal_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TreeReader<'a> {
    tree: &'a Tree,
    snapshot: &'a Snapshot,
}

impl Tree {
    /// The tree as it is at `snapshot`.
    pub fn at<'a>(&'a self, snapshot: &'a Snapshot) -> TreeReader<'a> {
        TreeReader { tree: self, snapshot }
    }
}

impl TreeReader<'_> {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.tree.get_at(key, self.snapshot)
    }

    /// The values of `keys`, in the order in which they are given. A key may be given twice.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`], for any of them.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        self.tree.multi_get_at(keys, self.snapshot)
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.get(key)?.is_some())
    }

    /// Length of the value of `key`, in bytes.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn size_of(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        Ok(self.get(key)?.map(|value| value.len() as u64))
    }

    /// Number of keys that have a value, exactly. Reads all of them.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn len(&self) -> Result<u64, Error> {
        cursor::count(self.cursor::<&[u8]>(..)?)
    }

    /// Whether no key has a value. Finds one at most.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        cursor::is_empty(self.cursor::<&[u8]>(..)?)
    }

    /// Whether any key that begins with `prefix` has a value.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn contains_prefix(&self, prefix: &[u8]) -> Result<bool, Error> {
        Ok(self.prefix(prefix)?.next().transpose()?.is_some())
    }

    /// The first key that has a value, with it.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn first_key_value(&self) -> Result<Option<KeyValue>, Error> {
        self.range::<&[u8]>(..)?.next().transpose()
    }

    /// The last key that has a value, with it.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn last_key_value(&self) -> Result<Option<KeyValue>, Error> {
        self.range::<&[u8]>(..)?.next_back().transpose()
    }

    /// The rows of `range`, in order, from both ends.
    ///
    /// # Errors
    ///
    /// As [`Tree::range`].
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<TreeRange, Error> {
        self.tree.range_at(range, self.snapshot)
    }

    /// The rows whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::range`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<TreeRange, Error> {
        self.tree.prefix_at(prefix, self.snapshot)
    }

    /// A cursor over the rows of `range`.
    ///
    /// # Errors
    ///
    /// As [`Tree::cursor`].
    pub fn cursor<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<TreeCursor, Error> {
        self.tree.cursor_at(range, self.snapshot)
    }
}
