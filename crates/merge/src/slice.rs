use std::{convert::Infallible, sync::Arc};

use stratal_types::{Comparator, Cursor, EntryRef, SeqNo, Trailer};

/// A stored row that owns its parts: key, version, value.
pub type Entry = (Vec<u8>, Trailer, Vec<u8>);

/// A cursor over entries in a slice. It cannot fail.
///
/// Useful wherever a source of a merge is small or made up: rows of a transaction that are not
/// written yet, tests, examples. Cheap to clone; a clone has a place of its own.
#[derive(Clone, Debug)]
pub struct SliceCursor {
    entries: Arc<[Entry]>,
    comparator: Arc<dyn Comparator>,
    /// 0 is before the first entry, 1 on it; `len + 1` is behind the last.
    place: usize,
}

impl SliceCursor {
    /// Puts `entries` into internal order. Of several with one key and number the first stays.
    pub fn new(mut entries: Vec<Entry>, comparator: Arc<dyn Comparator>) -> Self {
        entries.sort_by(|(a, x, _), (b, y, _)| {
            comparator.compare(a, b).then_with(|| y.seqno().cmp(&x.seqno()))
        });
        entries.dedup_by(|(a, x, _), (b, y, _)| a == b && x.seqno() == y.seqno());
        Self { entries: entries.into(), comparator, place: 0 }
    }

    /// The entries, in internal order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Their order.
    pub fn comparator(&self) -> &Arc<dyn Comparator> {
        &self.comparator
    }
}

impl Cursor for SliceCursor {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        self.place = 1 + self.entries.partition_point(|(other, trailer, _)| {
            let by_key = self.comparator.compare(other, key);
            by_key.is_lt() || by_key.is_eq() && !trailer.seqno().is_visible_at(bound)
        });
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        self.place = 1;
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        self.place = self.entries.len();
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        self.place = (self.place + 1).min(self.entries.len() + 1);
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        self.place = self.place.saturating_sub(1);
        Ok(())
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let (key, trailer, value) = self.entries.get(self.place.checked_sub(1)?)?;
        Some(EntryRef::new(key, *trailer, value))
    }
}
