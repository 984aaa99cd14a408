use std::{fmt, iter::FusedIterator, sync::Arc, vec};

use stratal_types::SeqNo;

use crate::{
    Error, Operation, Snapshot, Tree,
    change_window::{Position, Window},
};

/// Something that was done to a tree, with its number. Done in this order to another tree, changes make
/// of it the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number. Only changes that were ingested together share one.
    pub seqno: SeqNo,
    /// What was done. A delete of many keys is one range delete, as it was when it was written.
    pub operation: Operation,
}

/// How changes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeOptions {
    /// The first number that is not looked for any more. What becomes visible after the scan began is
    /// never looked for. Default [`SeqNo::MAX`].
    pub until: SeqNo,
    /// Bytes of changes that are held at once. Default 16 MiB.
    pub memory_len: usize,
}

impl ChangeOptions {
    /// Default of [`memory_len`](Self::memory_len), in bytes.
    pub const MEMORY_LEN: usize = 16 << 20;
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self { until: SeqNo::MAX, memory_len: Self::MEMORY_LEN }
    }
}

/// The changes of a tree in the order of their numbers, from one on: puts, deletes of every sort, and
/// operands, each as it was written. Owns what it yields, may be sent to another thread, and ends after
/// an error.
///
/// # Memory and time
///
/// Tables are in the order of keys. The scan goes over them once for every window of changes: it
/// holds the first of them that fit into [`ChangeOptions::memory_len`], yields them in order, and goes
/// over the tables again for the next. Beside that memory it holds one block of a table and, if a single
/// change is longer than the memory, that change; the range deletes of one ingestion are held together.
///
/// With `n` bytes of changes (their keys and values, and 168 bytes for each) there are at most
/// `4n / 3m + 1` windows of `m` bytes. Each reads the blocks
/// that hold numbers between its first and its last change; tables that hold older changes are read
/// first, so that where tables or blocks follow one another in time, as in level 0, each is read about
/// once. Where the changes are spread over old and large tables each window reads all of those: give more
/// memory for less reading.
///
/// # What it holds
///
/// What was not yielded yet is not collected, in any tree of the store, as long as the scan lives;
/// unless a tree that forgets by length refuses readers of the past for its space, as it may refuse
/// snapshots, and then the scan ends with [`Error::SnapshotTooOld`]. What a named holder holds is never
/// refused. Between two windows the scan holds no file and no memtable.
pub struct Changes {
    tree: Arc<Tree>,
    /// Holds history from the next window on; `None` behind the last.
    held: Option<Snapshot>,
    next: Position,
    until: SeqNo,
    memory_len: usize,
    window: vec::IntoIter<Change>,
    windows: u64,
}

impl Tree {
    /// Every change that was made since `since`, itself included, and is visible now, in the order of
    /// their numbers. The next scan goes on from [`Changes::until`].
    ///
    /// History is collected unless somebody holds it: a scan that begins where a
    /// [holder](crate::Store::hold_history) or a snapshot stands always finds all of it.
    ///
    /// ```
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
    /// # let id = store.create_tree("places", "bytewise", &[])?;
    /// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// # let id = store.create_tree("copy", "bytewise", &[])?;
    /// # let copy = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// let begin = store.hold_history("copy")?;
    /// tree.put(b"AD/Vila", b"1418")?;
    /// tree.delete_range(b"AD/", b"AE/")?;
    /// tree.put(b"AE/Dubai", b"2956587")?;
    /// tree.flush()?;
    ///
    /// let changes = tree.changes_since(begin)?;
    /// let until = changes.until();
    /// for change in changes {
    ///     let change = change?;
    ///     copy.write(WriteBatch::new().push(change.operation))?;
    /// }
    /// store.advance_history("copy", until)?;
    /// assert_eq!(copy.len()?, 1);
    /// assert_eq!(tree.changes_since(until)?.count(), 0);
    /// # Ok::<(), stratal_engine::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotTooOld`], which names the floor, if any change since `since` may have been
    /// collected: there is never a gap. Damage and read errors come from the iterator.
    pub fn changes_since(self: &Arc<Self>, since: SeqNo) -> Result<Changes, Error> {
        self.changes_with(since, ChangeOptions::default())
    }

    /// As [`changes_since`](Self::changes_since), as `options` say.
    ///
    /// # Errors
    ///
    /// As [`changes_since`](Self::changes_since).
    pub fn changes_with(
        self: &Arc<Self>,
        since: SeqNo,
        options: ChangeOptions,
    ) -> Result<Changes, Error> {
        let clock = self.store.clock();
        // First the registration, then the bound, and the state of the tree after both: it then has
        // everything in between.
        let held = Snapshot::at(clock, since)?;
        let until = options.until.min(clock.visible()).max(since);
        Ok(Changes {
            tree: Arc::clone(self),
            held: (since < until).then_some(held),
            next: Position::before(since),
            until,
            memory_len: options.memory_len,
            window: Vec::new().into_iter(),
            windows: 0,
        })
    }
}

impl Changes {
    /// The first number that it does not yield any more, fixed when it began: where the next scan goes
    /// on.
    pub fn until(&self) -> SeqNo {
        self.until
    }

    /// How often it went over the tables so far.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// Gathers the next changes.
    fn fill(&mut self) -> Result<(), Error> {
        // The list is empty, and its memory is the next one's.
        self.window = Vec::new().into_iter();
        let state = self.tree.state.load_full();
        // History may have been given up for space, though it was held: that is found here, before or
        // after it was taken out of the state.
        let held = Snapshot::at(self.tree.store.clock(), self.next.seqno)?;
        let comparator = self.tree.comparator.as_ref();
        let mut window = Window::new(comparator, &self.next, self.until, self.memory_len);
        window.take_all(&state)?;
        let (changes, next) = window.finish();
        self.held = (next.seqno < self.until).then_some(held);
        self.next = next;
        self.window = changes.into_iter();
        self.windows += 1;
        Ok(())
    }
}

impl Iterator for Changes {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(change) = self.window.next() {
                return Some(Ok(change));
            }
            self.held.as_ref()?;
            if let Err(error) = self.fill() {
                self.held = None;
                return Some(Err(error));
            }
        }
    }
}

impl FusedIterator for Changes {}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("next", &self.next)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
