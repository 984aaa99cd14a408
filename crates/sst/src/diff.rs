//! What two tables say differently.

use std::{cmp::Ordering, iter::FusedIterator};

use bytes::Bytes;

use crate::{Error, Table, TableRange};

/// A key that two tables do not give the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Bytes,
    /// Its value in the left table; `None` if it is not there, or deleted.
    pub left: Option<Bytes>,
    /// Its value in the right table; `None` if it is not there, or deleted.
    pub right: Option<Bytes>,
}

/// The differences between two tables, by ascending key; made by [`Table::diff`].
///
/// After an error it ends.
#[derive(Debug)]
pub struct TableDiff {
    left: Side,
    right: Side,
    left_table: Table,
    done: bool,
}

/// A table's live rows, and the one that comes next.
#[derive(Debug)]
struct Side {
    rows: TableRange,
    next: Option<(Bytes, Bytes)>,
}

impl Table {
    /// The keys to which this table, the left one, and `right` give different values. It is about what
    /// [`get`](Self::get) finds: newest values, with deletes and range tombstones applied. Sequence
    /// numbers, older versions and how a table is made do not count.
    ///
    /// Streams: holds one data block and the index of each.
    ///
    /// # Errors
    ///
    /// [`Error::ComparatorMismatch`] if the tables are in different orders. The iterator yields those
    /// of reading, and [`Error::NotAValue`] where a table's newest version is an operand or a pointer.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Bytes;
    /// use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let ctx = TableContext::default();
    /// let spec = Arc::new(TableOptions::default().validate()?);
    /// let table = |rows: &[(&str, &str)]| {
    ///     let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), Arc::clone(&spec))?;
    ///     for (key, value) in rows {
    ///         writer.put(key.as_bytes(), value.as_bytes())?;
    ///     }
    ///     Table::open(&ctx, Arc::new(Bytes::from(writer.finish()?.sink)))
    /// };
    /// let before = table(&[("AD/Canillo", "3292"), ("AD/Vila", "1418")])?;
    /// let after = table(&[("AD/Canillo", "3292"), ("AD/Vila", "1420")])?;
    /// let found = before.diff(&after)?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(found.len(), 1);
    /// assert_eq!(found[0].right.as_deref(), Some(&b"1420"[..]));
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn diff(&self, right: &Self) -> Result<TableDiff, Error> {
        let (expected, found) = (self.comparator().name(), right.comparator().name());
        if expected != found {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(Error::ComparatorMismatch { expected, found });
        }
        let side = |table: &Self| Side { rows: table.range::<&[u8]>(..), next: None };
        Ok(TableDiff {
            left: side(self),
            right: side(right),
            left_table: self.clone(),
            done: false,
        })
    }
}

impl Side {
    /// The row that comes next, which stays.
    fn peek(&mut self) -> Result<Option<&(Bytes, Bytes)>, Error> {
        if self.next.is_none() {
            self.next = self.rows.next().transpose()?;
        }
        Ok(self.next.as_ref())
    }

    fn take_value(&mut self) -> Option<Bytes> {
        self.next.take().map(|(_, value)| value)
    }
}

impl TableDiff {
    fn step(&mut self) -> Result<Option<Difference>, Error> {
        loop {
            let comparator = self.left_table.comparator();
            let (key, order) = match (self.left.peek()?, self.right.peek()?) {
                (None, None) => return Ok(None),
                (Some((key, _)), None) => (key.clone(), Ordering::Less),
                (None, Some((key, _))) => (key.clone(), Ordering::Greater),
                (Some((left, _)), Some((right, _))) => {
                    let order = comparator.compare(left, right);
                    (if order.is_gt() { right } else { left }.clone(), order)
                }
            };
            let left = if order.is_le() { self.left.take_value() } else { None };
            let right = if order.is_ge() { self.right.take_value() } else { None };
            if left != right {
                return Ok(Some(Difference { key, left, right }));
            }
        }
    }
}

impl Iterator for TableDiff {
    type Item = Result<Difference, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.step();
        self.done = !matches!(found, Ok(Some(_)));
        found.transpose()
    }
}

impl FusedIterator for TableDiff {}
