use std::sync::Arc;

use stratal_merge::VisibleCursor;
use stratal_types::{Cursor, EntryRef, SeqNo};

use crate::{
    Error, KeyValueRef,
    read_state::{ReadState, is_plain},
    source::SourceCursor,
};

/// A place among the rows of a range at one moment, which goes both ways and can be put anywhere as
/// often as wanted. Nothing is allocated by going on. It keeps the files it reads.
///
/// It stands before the first row at first. After an error it stands nowhere until it is put somewhere.
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
/// for key in ["AD/Canillo", "AD/Vila", "AE/Dubai"] {
///     tree.put(key.as_bytes(), b"")?;
/// }
/// let mut cursor = tree.cursor::<&[u8]>(..)?;
/// cursor.seek_to(b"AD/D")?;
/// assert_eq!(cursor.key(), Some(&b"AD/Vila"[..]));
/// cursor.seek_back_to(b"AD/D")?;
/// assert_eq!(cursor.key(), Some(&b"AD/Canillo"[..]));
/// # Ok::<(), stratal_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct TreeCursor {
    rows: VisibleCursor<SourceCursor>,
    /// Keeps the tables' files.
    _state: Arc<ReadState>,
}

impl TreeCursor {
    pub(crate) fn new(rows: VisibleCursor<SourceCursor>, state: Arc<ReadState>) -> Self {
        Self { rows, _state: state }
    }

    /// Goes to the first row at or behind `key`.
    ///
    /// # Errors
    ///
    /// Damage and read errors, and operands that cannot be folded.
    pub fn seek_to(&mut self, key: &[u8]) -> Result<(), Error> {
        self.rows.seek(key, SeqNo::MAX)
    }

    /// Goes to the last row at or before `key`.
    ///
    /// # Errors
    ///
    /// As [`seek_to`](Self::seek_to).
    pub fn seek_back_to(&mut self, key: &[u8]) -> Result<(), Error> {
        self.rows.seek_back(key)
    }

    /// Key and value of the row it stands on.
    ///
    /// # Errors
    ///
    /// [`Error::NotAValue`] if the row is no value by itself, but a pointer to one.
    #[inline]
    pub fn row(&self) -> Result<Option<KeyValueRef<'_>>, Error> {
        match self.entry() {
            Some(row) if is_plain(row.kind()) => Ok(Some((row.key, row.value))),
            Some(row) => Err(Error::NotAValue(row.kind())),
            None => Ok(None),
        }
    }

    /// The key of the row it stands on.
    pub fn key(&self) -> Option<&[u8]> {
        self.entry().map(|row| row.key)
    }

    /// The value of the row it stands on.
    pub fn value(&self) -> Option<&[u8]> {
        self.entry().map(|row| row.value)
    }
}

impl Cursor for TreeCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        self.rows.seek(key, bound)
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        self.rows.seek_to_first()
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        self.rows.seek_to_last()
    }

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        self.rows.advance()
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), Error> {
        self.rows.retreat()
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.rows.entry()
    }
}

/// Number of rows, by going over them.
pub(crate) fn count(mut rows: TreeCursor) -> Result<u64, Error> {
    let mut count = 0;
    rows.seek_to_first()?;
    while rows.key().is_some() {
        count += 1;
        rows.advance()?;
    }
    Ok(count)
}

/// Whether there are no rows.
pub(crate) fn is_empty(mut rows: TreeCursor) -> Result<bool, Error> {
    rows.seek_to_first()?;
    Ok(rows.key().is_none())
}
