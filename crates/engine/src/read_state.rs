use std::sync::Arc;

use stratal_memtable::Memtable;
use stratal_merge::{Source, resolve_get};
use stratal_types::{EntryKind, KeyRange, SeqNo};

use bytes::Bytes;

use crate::{
    Error,
    source::{Lookup, RunCursor, SourceCursor},
    view::View,
};

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
    pub(crate) fn get(&self, key: &[u8], bound: SeqNo) -> Result<Option<Bytes>, Error> {
        let memory = self.memtables().map(Lookup::Memory);
        let tables = self.view.runs().map(|(_, run)| Lookup::Run(run));
        match resolve_get(key, bound, memory.chain(tables))? {
            None => Ok(None),
            Some((trailer, value)) => match trailer.kind() {
                EntryKind::Put | EntryKind::PutOverDelete => Ok(Some(value)),
                kind => Err(Error::NotAValue(kind)),
            },
        }
    }

    /// A cursor and the range tombstones of every source that may have keys in `range`, in age order.
    pub(crate) fn sources(&self, range: &KeyRange) -> Result<Vec<Source<SourceCursor>>, Error> {
        let mut sources = Vec::new();
        for memtable in self
            .memtables()
            .filter(|memtable| !memtable.is_empty() || Arc::ptr_eq(memtable, &self.active))
        {
            let cursor = SourceCursor::Memory(memtable.cursor());
            sources.push(Source::new(cursor, memtable.tombstones()));
        }
        for (_, run) in self.view.runs() {
            let near = run.filtered(|table| table.meta.span.overlaps(range, run.comparator()));
            if near.tables.is_empty() {
                continue;
            }
            let seqno_max = near.tables.iter().map(|table| table.meta.seqno_max).max();
            let tombstones = near.tombstones(range)?;
            let cursor = SourceCursor::Run(RunCursor::new(near));
            let mut source = Source::new(cursor, tombstones);
            source.seqno_max = seqno_max.unwrap_or(SeqNo::MAX);
            sources.push(source);
        }
        Ok(sources)
    }
}
