use std::{ops::RangeBounds, sync::Arc};

use stratal_memtable::Memtable;
use stratal_types::{Cursor, KeyRange, SeqNo};

use crate::{Error, Tree, files::TableHandle};

/// What a range of keys is thought to hold. See [`Tree::estimate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeEstimate {
    /// Bytes of files that the range takes, with its share of what tables have beside their data.
    pub disk_len: u64,
    /// Stored versions, whatever their kind, in tables and in memory.
    pub entries: u64,
    /// By how many `entries` may differ from the versions that are there, up or down, at most.
    pub entries_off: u64,
    /// Bytes of keys and values of those in memory.
    pub memory_len: u64,
}

impl Tree {
    /// How many versions of keys of `range` there are, and how many bytes they take, without reading
    /// data.
    ///
    /// Tables that lie within the range count whole, from what the manifest says. Of a table in which
    /// the range begins or ends the index is read: it is off by half a data block at each end, or more
    /// where the index is sampled; [`entries_off`](TreeEstimate::entries_off) says by how much at
    /// most. Memtables are counted version by version, in time linear in what they have of the range.
    ///
    /// Versions are not keys: what was overwritten or deleted counts until merges take it away, deletes
    /// count like values, and range tombstones do not.
    ///
    /// ```
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
    /// # let id = store.create_tree("numbers", "bytewise", &[])?;
    /// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// for i in 0..10_000 {
    ///     tree.put(format!("{i:05}").as_bytes(), b"some value")?;
    /// }
    /// tree.flush()?;
    /// let some = tree.estimate("02000"..="02999")?;
    /// assert!(some.entries.abs_diff(1000) <= some.entries_off && some.entries_off < 300);
    /// # Ok::<(), stratal_engine::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading the index of a table.
    pub fn estimate<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
    ) -> Result<TreeEstimate, Error> {
        let range = KeyRange::from_bounds(&range);
        let comparator = self.comparator.as_ref();
        let mut all = TreeEstimate::default();
        if range.is_empty(comparator) {
            return Ok(all);
        }
        let state = self.state.load_full();
        for memtable in state.memtables() {
            all.add(self.in_memory(memtable, &range));
        }
        for (_, handle) in state.view.tables() {
            let span = &handle.meta.span;
            if range.covers(span, comparator) {
                all.add(TreeEstimate {
                    disk_len: handle.meta.file_len,
                    entries: handle.meta.entries,
                    ..TreeEstimate::default()
                });
            } else if span.overlaps(&range, comparator) {
                all.add(in_table(handle, &range)?);
            }
        }
        Ok(all)
    }

    fn in_memory(&self, memtable: &Arc<Memtable>, range: &KeyRange) -> TreeEstimate {
        let mut all = TreeEstimate::default();
        let mut cursor = memtable.cursor();
        // A step in memory cannot fail.
        let Ok(()) = match &range.start {
            std::ops::Bound::Unbounded => cursor.seek_to_first(),
            std::ops::Bound::Included(key) => cursor.seek(key, SeqNo::MAX),
            std::ops::Bound::Excluded(key) => cursor.seek(key, SeqNo::ZERO),
        };
        while let Some(entry) = cursor.entry() {
            if range.is_before(entry.key, self.comparator.as_ref()) {
                break;
            }
            let len = (entry.key.len() as u64).saturating_add(entry.value.len() as u64);
            all.add(TreeEstimate { entries: 1, memory_len: len, ..TreeEstimate::default() });
            let Ok(()) = cursor.advance();
        }
        all
    }
}

impl TreeEstimate {
    fn add(&mut self, other: Self) {
        self.disk_len = self.disk_len.saturating_add(other.disk_len);
        self.entries = self.entries.saturating_add(other.entries);
        self.entries_off = self.entries_off.saturating_add(other.entries_off);
        self.memory_len = self.memory_len.saturating_add(other.memory_len);
    }
}

fn in_table(handle: &TableHandle, range: &KeyRange) -> Result<TreeEstimate, Error> {
    let table = handle.table()?;
    let bounds = (range.start.as_ref(), range.end.as_ref());
    let found = table.estimate::<Vec<u8>>(bounds).map_err(|source| handle.error(source))?;
    let data_len = table.properties().data_bytes.max(1);
    let share = u128::from(found.bytes) * u128::from(handle.meta.file_len) / u128::from(data_len);
    Ok(TreeEstimate {
        disk_len: u64::try_from(share).unwrap_or(u64::MAX).min(handle.meta.file_len),
        entries: found.entries.min(handle.meta.entries),
        entries_off: found.entries_off,
        memory_len: 0,
    })
}
