use std::sync::Arc;

use stratal_memtable::Memtable;
use stratal_merge::{Chain, Fold, Resolved, Source, VisibleCursor, resolve};
use stratal_types::{Cursor, EntryKind, KeyRange, SeqNo};

use bytes::Bytes;

use crate::{
    Error,
    folding::Folding,
    point::{Point, candidates},
    source::{RunCursor, SourceCursor},
    view::{RunView, View},
};

/// Operands that a lookup gathers one by one. Where there are more, a cursor steps over them.
const OPERANDS_LOOKED_UP: usize = 16;

/// Everything a read of a tree looks at: immutable, behind one atomic pointer.
#[derive(Clone, Debug)]
pub(crate) struct ReadState {
    /// Takes the writes.
    pub(crate) active: Arc<Memtable>,
    /// Take no more writes and wait to be flushed; the newest first.
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) view: Arc<View>,
}

/// A memtable that takes no more writes.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) memtable: Arc<Memtable>,
    /// Every write to the tree below this bound is in this memtable or something older.
    pub(crate) bound: SeqNo,
}

impl ReadState {
    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        [&self.active].into_iter().chain(self.sealed.iter().map(|sealed| &sealed.memtable))
    }

    /// The value of `key` for a read at `bound`.
    pub(crate) fn get(
        &self,
        key: &[u8],
        bound: SeqNo,
        folding: &Arc<Folding>,
    ) -> Result<Option<Bytes>, Error> {
        // What a memtable that is empty now gains later, the read does not see.
        let memory = self.memtables().filter(|memtable| !memtable.is_empty());
        let memory = memory.map(|memtable| Point::Memory(memtable));
        let tables = candidates(&self.view, key, bound).map(Point::Table);
        let mut chain = Chain::default();
        match resolve(key, bound, memory.chain(tables), &mut chain, OPERANDS_LOOKED_UP)? {
            Resolved::Absent => Ok(None),
            Resolved::Value(trailer, value) => plain_value(trailer.kind(), value).map(Some),
            Resolved::Operands { base } => {
                let base = base.as_ref().map(|(trailer, value)| (trailer.kind(), &value[..]));
                let value = folding.fold(key, base, &chain.reversed())?;
                Ok(Some(value.into()))
            }
            Resolved::TooMany => self.get_by_cursor(key, bound, folding),
        }
    }

    /// The value of `key`, however many operands it is made of.
    fn get_by_cursor(
        &self,
        key: &[u8],
        bound: SeqNo,
        folding: &Arc<Folding>,
    ) -> Result<Option<Bytes>, Error> {
        let mut rows = self.cursor(KeyRange::closed(key, key), bound, folding)?;
        rows.seek_to_first()?;
        let row = rows.entry().map(|row| (row.kind(), Bytes::copy_from_slice(row.value)));
        row.map(|(kind, value)| plain_value(kind, value)).transpose()
    }

    /// The rows in `range` for a read at `bound`.
    pub(crate) fn cursor(
        &self,
        range: KeyRange,
        bound: SeqNo,
        folding: &Arc<Folding>,
    ) -> Result<VisibleCursor<SourceCursor>, Error> {
        self.cursor_of(range, None, bound, folding)
    }

    /// The rows in `range`, whose keys all begin with `prefix` if there is one, for a read at `bound`.
    pub(crate) fn cursor_of(
        &self,
        range: KeyRange,
        prefix: Option<&Arc<[u8]>>,
        bound: SeqNo,
        folding: &Arc<Folding>,
    ) -> Result<VisibleCursor<SourceCursor>, Error> {
        let comparator = Arc::clone(&self.view.version.comparator);
        let rows = VisibleCursor::new(self.sources_of(&range, prefix, bound)?, comparator, bound);
        Ok(rows.with_range(range).with_fold(Arc::clone(folding) as _))
    }

    /// A cursor and the range tombstones of every source that may have keys in `range` for a
    /// read at `bound`, in age order.
    /// If of those only keys are wanted that begin with `prefix`, cursors pass over tables that have
    /// none; their range tombstones count all the same.
    pub(crate) fn sources_of(
        &self,
        range: &KeyRange,
        prefix: Option<&Arc<[u8]>>,
        bound: SeqNo,
    ) -> Result<Vec<Source<SourceCursor>>, Error> {
        let mut sources =
            Vec::with_capacity(self.view.levels.iter().map(Vec::len).sum::<usize>() + 1);
        let runs = || self.view.runs().map(|(_, run)| run);
        let is_masked = runs().any(RunView::has_tombstones)
            || self.memtables().any(|memtable| memtable.has_tombstones());
        // What a memtable that is empty now gains later, the read does not see.
        for memtable in self.memtables().filter(|memtable| !memtable.is_empty()) {
            let cursor = SourceCursor::Memory(memtable.cursor());
            sources.push(Source::new(cursor, memtable.tombstones()));
        }
        for run in runs() {
            let near = run.near(range);
            if near.is_empty() {
                continue;
            }
            let tombstones = if run.has_tombstones() {
                run.tombstones_at(range, bound)?
            } else {
                Arc::clone(&self.view.no_tombstones)
            };
            let numbers = run.tables.get(near.clone()).unwrap_or_default().iter();
            // Of use where tombstones hide entries, and nowhere else.
            let numbers =
                numbers.filter(|_| is_masked).map(|table| table.meta.visible_entry_seqno_max());
            let seqno_max = numbers.max().unwrap_or(SeqNo::MAX);
            let cursor =
                RunCursor::new(run.clone()).within(near, bound).of_prefix(prefix.cloned()).lazy();
            let cursor = SourceCursor::Run(Box::new(cursor));
            sources.push(Source { cursor, tombstones, seqno_max });
        }
        Ok(sources)
    }
}

/// The value of an entry of this kind, if it has one by itself.
pub(crate) fn plain_value(kind: EntryKind, value: Bytes) -> Result<Bytes, Error> {
    if is_plain(kind) { Ok(value) } else { Err(Error::NotAValue(kind)) }
}

/// Whether an entry of this kind has a value by itself.
pub(crate) const fn is_plain(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Put | EntryKind::PutOverDelete)
}
