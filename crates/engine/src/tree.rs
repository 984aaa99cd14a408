use std::{ops::RangeBounds, sync::Arc};

use bytes::Bytes;
use stratal_manifest::{TreeId, TreeVersion};
use stratal_memtable::Memtable;
use stratal_merge::RowIter;
use stratal_types::{
    Comparator, EntryDigest, KeyRange, SeqNo,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    Error, KeptOptions, OperandStats, Operation, OperationRef, Snapshot, Store, TreeRange,
    TreeSettings, TreeSpec, WriteBatch,
    current::Current,
    entry_digests::{Applying, apply_to},
    folding::Folding,
    job::JobBoard,
    range::RangeRead,
    read_state::{ReadState, Sealed},
    stats::Traffic,
    stop::Stops,
    ttl::CurrentTtl,
    view::View,
};

/// One LSM tree of a [`Store`].
///
/// Reads take a read state, which is one pointer, and wait for nobody. Writes come one at a time: with
/// [`write`](Self::write), which sees to that for a tree that is used alone, or with
/// [`apply`](Self::apply), for an owner of several trees who gives out the numbers and publishes them.
/// Jobs are planned by [`plan`](Self::plan) and done by [`run`](Self::run) on whatever thread the
/// caller has.
pub struct Tree {
    pub(crate) store: Arc<Store>,
    pub(crate) id: TreeId,
    pub(crate) spec: Current<TreeSpec>,
    pub(crate) comparator: Arc<dyn Comparator>,
    pub(crate) folding: Arc<Folding>,
    pub(crate) state: Current<ReadState>,
    /// Held only while a read state is replaced by another. A leaf.
    pub(crate) swap: Mutex<()>,
    /// One writer at a time.
    pub(crate) writer: Mutex<()>,
    pub(crate) jobs: Mutex<JobBoard>,
    /// Flushes are installed in the order in which memtables were sealed.
    pub(crate) flushing: Mutex<()>,
    pub(crate) stops: Stops,
    next_memtable: AtomicU64,
    /// A leaf.
    pub(crate) operands: Mutex<OperandStats>,
    pub(crate) traffic: Traffic,
    pub(crate) ttl: CurrentTtl,
    /// Everything below was applied to this tree or never will be.
    pub(crate) applied: AtomicU64,
    /// As the spec says.
    pub(crate) takes_digests: AtomicBool,
    /// As the spec says.
    write_buffer_len: AtomicUsize,
}

impl Tree {
    /// Opens tree `id` of `store`. Reads no table.
    ///
    /// What was written above [`flushed`](Self::flushed) and is in no table, the caller applies again.
    ///
    /// If its merge operator is not known here the tree opens all the same: keys without operands can
    /// be read, merges of tables leave operands alone, and whatever needs the operator fails.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchTree`]; [`Error::Settings`] if what is stored about the tree cannot be read or
    /// needs a newer version.
    pub fn open(store: &Arc<Store>, id: TreeId, spec: TreeSpec) -> Result<Arc<Self>, Error> {
        let version = store.version();
        let version = version.trees.get(&id).ok_or(Error::NoSuchTree(id))?;
        let settings = TreeSettings::decode(&version.options)
            .map_err(|source| Error::Settings { tree: id, source })?;
        if let Some(extractor) = &spec.options().prefix {
            store.files.note_extractor(extractor);
        }
        let folding = Arc::new(Folding::default());
        if let Some(name) = &settings.merge_operator {
            folding.choose(name, (store.context.operators)(name));
        }
        let comparator = Arc::clone(&version.comparator);
        let view = View::new(Arc::clone(version), None, &store.files);
        view.pin(spec.options().pinning);
        let active = Arc::new(Memtable::new(0, Arc::clone(&comparator)));
        let state = ReadState { active, sealed: Vec::new(), view: Arc::new(view) };
        Ok(Arc::new(Self {
            store: Arc::clone(store),
            id,
            takes_digests: AtomicBool::new(spec.options().digests_at_insert),
            write_buffer_len: AtomicUsize::new(spec.options().write_buffer_len),
            spec: Current::new(spec),
            applied: AtomicU64::new(version.flushed.get()),
            comparator,
            folding,
            state: Current::new(state),
            swap: Mutex::new(()),
            writer: Mutex::new(()),
            jobs: Mutex::default(),
            flushing: Mutex::new(()),
            stops: Stops::default(),
            next_memtable: AtomicU64::new(1),
            operands: Mutex::default(),
            traffic: Traffic::default(),
            ttl: CurrentTtl::new(settings.ttl),
        }))
    }

    /// The tree's number in its store.
    pub fn id(&self) -> TreeId {
        self.id
    }

    /// The order of its keys.
    pub fn comparator(&self) -> &Arc<dyn Comparator> {
        &self.comparator
    }

    /// Name of the merge operator whose operands it holds; `None` as long as it may hold none.
    pub fn merge_operator(&self) -> Option<&str> {
        self.folding.name()
    }

    /// Gives the tree a merge operator, durably, if it has none.
    ///
    /// # Errors
    ///
    /// [`Error::OperatorMismatch`] if it has another one; [`Error::NoOperator`] if `name` is not known
    /// here; [`Error::Manifest`]. Nothing has changed then.
    pub fn set_merge_operator(&self, name: &str) -> Result<(), Error> {
        let _turn = self.writer.lock();
        if let Some(found) = self.merge_operator() {
            let (expected, found) = (name.to_owned(), found.to_owned());
            let is_same = expected == found;
            return if is_same { Ok(()) } else { Err(Error::OperatorMismatch { expected, found }) };
        }
        let operator = (self.store.context.operators)(name);
        if operator.is_none() {
            return Err(Error::NoOperator { name: Some(name.to_owned()) });
        }
        self.store.change_settings(
            self.id,
            |settings| settings.merge_operator = Some(name.to_owned()),
            || self.folding.choose(name, operator),
        )
    }

    /// How it is kept.
    pub fn spec(&self) -> Arc<TreeSpec> {
        self.spec.load_full()
    }

    /// Keeps it in another way from now on, durably: what is flushed, planned or merged next goes by
    /// `spec`, and what is under way ends as it began. Nothing that is there is rewritten for it.
    ///
    /// What of the options is data is stored with the tree, for [`Store::kept_options`] to give to a
    /// later open: all but [`write_buffer_len`](crate::TreeOptions::write_buffer_len) and
    /// [`pinning`](crate::TreeOptions::pinning), which are the process's, and what is code or a dictionary
    /// of the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`], and then nothing has changed; [`Error::Settings`].
    pub fn set_spec(&self, spec: TreeSpec) -> Result<(), Error> {
        if let Some(extractor) = &spec.options().prefix {
            self.store.files.note_extractor(extractor);
        }
        let kept = KeptOptions::of(spec.options());
        self.store.change_settings(
            self.id,
            |settings| settings.options = Some(kept),
            || {
                let takes_digests = spec.options().digests_at_insert;
                self.takes_digests.store(takes_digests, Ordering::Relaxed);
                self.write_buffer_len.store(spec.options().write_buffer_len, Ordering::Relaxed);
                self.state.load().view.pin(spec.options().pinning);
                self.spec.store(Arc::new(spec));
            },
        )
    }

    // Writes.

    /// Makes the changes of `batch` visible, all at once; returns the bound from which reads see them.
    ///
    /// They are in memory only until the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::OutOfSeqNos`], and [`Error::NoOperator`] for an operand that could
    /// not be folded; [`Error::Torn`] if an earlier batch was cut short: then nothing was written.
    /// [`Error::Damaged`], and whatever was written is as little seen.
    pub fn write(&self, batch: &WriteBatch) -> Result<SeqNo, Error> {
        let taken: Option<Vec<_>> = (batch.digests().is_none() && self.takes_digests())
            .then(|| batch.operations().iter().map(Operation::digest).collect());
        let mut digests = batch.digests().or(taken.as_deref()).map(<[_]>::iter);
        let operations = batch.operations();
        self.check(operations)?;
        let mut digest = |_| digests.as_mut().and_then(Iterator::next).copied();
        let all = operations.iter().map(|operation| (operation.into(), digest(operation)));
        self.write_each(all, batch.len() as u64)
    }

    /// A batch of one change, without the batch.
    fn write_one(&self, operation: OperationRef<'_>) -> Result<SeqNo, Error> {
        let digest = self.takes_digests().then(|| operation.digest());
        self.check_one(operation)?;
        self.write_each(std::iter::once((operation, digest)), 1)
    }

    fn write_each<'a>(
        &self,
        operations: impl Iterator<Item = (OperationRef<'a>, Option<EntryDigest>)>,
        count: u64,
    ) -> Result<SeqNo, Error> {
        let _turn = self.writer.lock();
        let clock = self.store.clock();
        let first = clock.allocate(count)?;
        let state = self.state.load();
        self.apply_in(&state, operations, first)?;
        let bound = clock.next();
        clock.publish(bound);
        let is_full = self.takes_no_more(&state);
        drop(state);
        if is_full {
            self.seal();
        }
        Ok(bound)
    }

    /// Gives `key` a value.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<SeqNo, Error> {
        self.write_one(OperationRef::Put { key, value })
    }

    /// Takes the value of `key` away.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn delete(&self, key: &[u8]) -> Result<SeqNo, Error> {
        self.write_one(OperationRef::Delete { key })
    }

    /// Takes the value of every key from `from` up to, and without, `to` away.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<SeqNo, Error> {
        self.write_one(OperationRef::DeleteRange { from, to })
    }

    /// Lets the tree's merge operator apply `operand` to the value of `key`, or to nothing.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn merge(&self, key: &[u8], operand: &[u8]) -> Result<SeqNo, Error> {
        self.write_one(OperationRef::Merge { key, operand })
    }

    /// Whether every one of `operations` can be applied to this tree.
    ///
    /// # Errors
    ///
    /// Those of [`Operation::check`]; [`Error::NoOperator`] for an operand if there is no merge
    /// operator, or none that is known here.
    pub fn check(&self, operations: &[Operation]) -> Result<(), Error> {
        operations.iter().try_for_each(|operation| self.check_one(operation.into()))
    }

    /// Whether a change can be applied to this tree.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_one(&self, operation: OperationRef<'_>) -> Result<(), Error> {
        if matches!(operation, OperationRef::Merge { .. }) {
            self.folding.needed()?;
        }
        operation.check()
    }

    /// Applies `operations` with the numbers from `first` on, without making them visible: that is the
    /// caller's, who holds the write side of all trees of the store, and publishes on the store's clock
    /// when every tree has what belongs together.
    ///
    /// Numbers ascend from call to call. After a restart, operations that were flushed already may be
    /// given again: those below [`flushed`](Self::flushed) are left out.
    ///
    /// # Errors
    ///
    /// [`Error::SeqNoNotAbove`], and [`Error::TooLarge`] for operations that were not
    /// [checked](WriteBatch::check). If that, or a panic of the comparator, leaves a part of them in
    /// memory, the store goes on as [`Error::Torn`] says.
    pub fn apply(&self, operations: &[Operation], first: SeqNo) -> Result<(), Error> {
        let takes_digests = self.takes_digests();
        let digest = |operation: OperationRef<'_>| takes_digests.then(|| operation.digest());
        let operations = operations.iter().map(OperationRef::from);
        self.apply_each(operations.map(|operation| (operation, digest(operation))), first)
    }

    /// [Applies](Self::apply) operations one after the other as they come, each with its
    /// [digest](Operation::digest), if that was taken.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); [`Error::Damaged`] for an operation that does not fit its digest.
    pub fn apply_each<'a>(
        &self,
        operations: impl Iterator<Item = (OperationRef<'a>, Option<EntryDigest>)>,
        first: SeqNo,
    ) -> Result<(), Error> {
        self.apply_in(&self.state.load(), operations, first)
    }

    fn apply_in<'a>(
        &self,
        state: &ReadState,
        operations: impl Iterator<Item = (OperationRef<'a>, Option<EntryDigest>)>,
        first: SeqNo,
    ) -> Result<(), Error> {
        let mut applying = Applying::new(self.store.clock());
        let last = self.applied.load(Ordering::Acquire);
        let flushed = state.view.version.flushed;
        let mut seqno = first;
        for (operation, digest) in operations {
            let given = seqno;
            seqno = seqno.next().ok_or(Error::OutOfSeqNos)?;
            if given < flushed {
                continue;
            }
            if given.get() < last {
                let last = SeqNo::new(last.saturating_sub(1)).unwrap_or(SeqNo::ZERO);
                return Err(Error::SeqNoNotAbove { given, last });
            }
            apply_to(&state.active, operation, digest, given)?;
            applying.applied();
        }
        applying.done();
        // Nobody else moves it: the caller holds the write side.
        if seqno.get() > last {
            self.applied.store(seqno.get(), Ordering::Release);
        }
        self.note_time();
        Ok(())
    }

    /// Whether the active memtable holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.takes_no_more(&self.state.load())
    }

    fn takes_no_more(&self, state: &ReadState) -> bool {
        state.active.memory_used() >= self.write_buffer_len.load(Ordering::Relaxed)
    }

    /// Lets a new memtable take the writes; the old one waits to be flushed. Not while a write is under
    /// way: for whoever holds the write side. Does nothing if nothing was written.
    pub fn seal(&self) {
        let _swap = self.swap.lock();
        let state = self.state.load_full();
        if state.active.is_empty() {
            return;
        }
        let bound = SeqNo::new(self.applied.load(Ordering::Acquire)).unwrap_or(SeqNo::MAX);
        let sealed = Sealed { memtable: Arc::clone(&state.active), bound };
        self.state.store(Arc::new(ReadState {
            active: self.new_memtable(),
            sealed: [sealed].into_iter().chain(state.sealed.iter().cloned()).collect(),
            view: Arc::clone(&state.view),
        }));
    }

    pub(crate) fn new_memtable(&self) -> Arc<Memtable> {
        let id = self.next_memtable.fetch_add(1, Ordering::Relaxed);
        Arc::new(Memtable::new(id, Arc::clone(&self.comparator)))
    }

    /// Seals what is in memory while no [`write`](Self::write) is under way.
    pub(crate) fn seal_between_writes(&self) {
        let _turn = self.writer.lock();
        self.seal();
    }

    // Reads.

    /// The value of `key` now.
    ///
    /// # Errors
    ///
    /// Damage and read errors, naming the file.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let state = self.state.load();
        let bound = self.store.clock().visible();
        state.get(key, bound, &self.folding)
    }

    /// The value of `key` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`Error::SnapshotTooOld`] if reads of the snapshot are refused by now.
    pub fn get_at(&self, key: &[u8], snapshot: &Snapshot) -> Result<Option<Bytes>, Error> {
        let state = self.state.load();
        state.get(key, snapshot.served()?, &self.folding)
    }

    /// Whether `key` has a value now.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.get(key)?.is_some())
    }

    /// The present moment.
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// The rows of `range` now, in order, from both ends. They are those of one moment.
    ///
    /// # Errors
    ///
    /// Damage to range tombstones, and read errors; further ones come from the iterator.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<TreeRange, Error> {
        let state = self.state.load_full();
        let bound = self.store.clock().visible();
        self.rows(state, KeyRange::from_bounds(&range), bound)
    }

    /// The rows of `range` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn range_at<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
        snapshot: &Snapshot,
    ) -> Result<TreeRange, Error> {
        let state = self.state.load_full();
        self.rows(state, KeyRange::from_bounds(&range), snapshot.served()?)
    }

    /// The rows whose keys begin with `prefix` now.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn prefix(&self, prefix: &[u8]) -> Result<TreeRange, Error> {
        let state = self.state.load_full();
        let bound = self.store.clock().visible();
        self.prefix_rows(state, prefix, bound)
    }

    /// The rows whose keys begin with `prefix` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn prefix_at(&self, prefix: &[u8], snapshot: &Snapshot) -> Result<TreeRange, Error> {
        let state = self.state.load_full();
        self.prefix_rows(state, prefix, snapshot.served()?)
    }

    fn rows(
        &self,
        state: Arc<ReadState>,
        range: KeyRange,
        bound: SeqNo,
    ) -> Result<TreeRange, Error> {
        let prefix = self.prefix_of(&range);
        self.rows_of(RangeRead { state, range, prefix, bound }, None)
    }

    fn prefix_rows(
        &self,
        state: Arc<ReadState>,
        prefix: &[u8],
        bound: SeqNo,
    ) -> Result<TreeRange, Error> {
        let found = self.comparator.prefix_range(prefix);
        let range = KeyRange { start: found.start, end: found.end };
        let wanted = (!found.exact).then(|| prefix.to_vec());
        self.rows_of(RangeRead { state, range, prefix: self.asked(prefix), bound }, wanted)
    }

    /// The rows that `read` finds whose keys begin with `wanted`, if that is given.
    fn rows_of(&self, read: RangeRead, wanted: Option<Vec<u8>>) -> Result<TreeRange, Error> {
        let (sources, range) = (read.sources()?, read.range.clone());
        let rows = RowIter::range_from_front(sources, &self.comparator, read.bound, range);
        let rows = rows.with_prefix(wanted).with_fold(&(Arc::clone(&self.folding) as _));
        Ok(TreeRange::new(rows, read))
    }

    // What there is.

    /// Everything written below this bound is in tables.
    pub fn flushed(&self) -> SeqNo {
        self.state.load().view.version.flushed
    }

    /// Whether memtables wait to be flushed.
    pub fn has_sealed(&self) -> bool {
        !self.state.load().sealed.is_empty()
    }

    /// The bound above everything in memtables that wait to be flushed; `None` if there are none.
    pub fn sealed_to(&self) -> Option<SeqNo> {
        self.state.load().sealed.first().map(|newest| newest.bound)
    }

    /// Bytes in memtables.
    pub fn memtable_len(&self) -> u64 {
        self.state.load().memtables().map(|memtable| memtable.memory_used() as u64).sum()
    }

    /// Bytes in memtables that wait to be flushed.
    pub fn sealed_len(&self) -> u64 {
        let state = self.state.load();
        state.sealed.iter().map(|sealed| sealed.memtable.memory_used() as u64).sum()
    }

    /// The tables, as the manifest has them.
    pub fn version(&self) -> Arc<TreeVersion> {
        Arc::clone(&self.state.load().view.version)
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("id", &self.id).finish_non_exhaustive()
    }
}
