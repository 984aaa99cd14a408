use std::ops::RangeBounds;

use stratal_engine::{KeyValueRef, Snapshot, TreeCursor};
use stratal_types::{Cursor as _, SeqNo};

use crate::{Error, Keyspace};

/// A place among the rows of a range of a keyspace at one moment. It lends what it stands on, goes both
/// ways, and can be put anywhere as often as wanted: the cheapest way to go over many rows, since
/// nothing is allocated or copied for one. Iterators ([`Keyspace::range`]) yield rows that are owned.
///
/// It stands before the first row at first. After an error it stands nowhere, and steps fail, until it is
/// put somewhere. It keeps the files it reads.
///
/// ```
/// # use std::sync::Arc;
/// # use stratal::Database;
/// # use stratal_fs::MemFs;
/// # let db = Database::builder("/places").fs(Arc::new(MemFs::new())).open()?;
/// let towns = db.open_keyspace("default")?;
/// towns.put("AD/Canillo", "3292")?;
/// towns.put("AD/Vila", "1418")?;
/// towns.put("AE/Dubai", "3790000")?;
///
/// let mut cursor = towns.cursor("AD/".."AD0")?;
/// let mut digits = 0;
/// cursor.seek_to_first()?;
/// while let Some((_key, value)) = cursor.row()? {
///     digits += value.len();
///     cursor.advance()?;
/// }
/// assert_eq!(digits, 8);
///
/// cursor.seek("AD/D")?;
/// assert_eq!(cursor.row()?, Some((&b"AD/Vila"[..], &b"1418"[..])));
/// cursor.retreat()?;
/// assert_eq!(cursor.key(), Some(&b"AD/Canillo"[..]));
/// # Ok::<(), stratal::Error>(())
/// ```
#[derive(Debug)]
pub struct Cursor(TreeCursor);

impl Keyspace {
    /// A cursor over the rows of `range` now. They are those of one moment. For all of them write
    /// `cursor::<&[u8]>(..)`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); further ones come from the cursor.
    pub fn cursor<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Cursor, Error> {
        Ok(Cursor(self.core().tree.cursor(range)?))
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
    ) -> Result<Cursor, Error> {
        Ok(Cursor(self.core().tree.cursor_at(range, snapshot)?))
    }
}

impl Cursor {
    pub(crate) fn new(rows: TreeCursor) -> Self {
        Self(rows)
    }

    /// Goes to the first row, if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`Keyspace::get`].
    pub fn seek_to_first(&mut self) -> Result<(), Error> {
        Ok(self.0.seek_to_first()?)
    }

    /// Goes to the last row, if there is one.
    ///
    /// # Errors
    ///
    /// As [`seek_to_first`](Self::seek_to_first).
    pub fn seek_to_last(&mut self) -> Result<(), Error> {
        Ok(self.0.seek_to_last()?)
    }

    /// Goes to the first row at or behind `key`.
    ///
    /// # Errors
    ///
    /// As [`seek_to_first`](Self::seek_to_first).
    pub fn seek(&mut self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(stratal_types::Cursor::seek(&mut self.0, key.as_ref(), SeqNo::MAX)?)
    }

    /// Goes to the last row at or before `key`.
    ///
    /// # Errors
    ///
    /// As [`seek_to_first`](Self::seek_to_first).
    pub fn seek_back(&mut self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.0.seek_back_to(key.as_ref())?)
    }

    /// Goes one row on. From before the first to the first; behind the last it stays.
    ///
    /// # Errors
    ///
    /// As [`seek_to_first`](Self::seek_to_first).
    #[inline]
    pub fn advance(&mut self) -> Result<(), Error> {
        Ok(self.0.advance()?)
    }

    /// Goes one row back. From behind the last to the last; before the first it stays.
    ///
    /// # Errors
    ///
    /// As [`seek_to_first`](Self::seek_to_first).
    #[inline]
    pub fn retreat(&mut self) -> Result<(), Error> {
        Ok(self.0.retreat()?)
    }

    /// Key and value of the row it stands on, until the next step.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the value is not stored here and this build cannot fetch it.
    #[inline]
    pub fn row(&self) -> Result<Option<KeyValueRef<'_>>, Error> {
        Ok(self.0.row()?)
    }

    /// The key of the row it stands on.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }
}
