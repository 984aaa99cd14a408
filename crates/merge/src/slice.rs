use std::{convert::Infallible, sync::Arc};

use stratal_types::{Comparator, Cursor, Direction, EntryKind, EntryRef, SeqNo, Trailer};

/// A stored row that owns its parts: key, version, value.
pub type Entry = (Vec<u8>, Trailer, Vec<u8>);

/// Entries that are looked at ahead at once: about as many as a block has.
const LOOKED_AT_MAX: usize = 32;

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

    /// Not more than 32 at once.
    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        let Some(here) = self.place.checked_sub(1) else { return 0 };
        let key = |at: usize| self.entries.get(at).map(|(key, ..)| &key[..]);
        let is_near = |key: &[u8]| {
            limit.is_none_or(|limit| match direction {
                Direction::Forward => self.comparator.compare(key, limit).is_lt(),
                Direction::Backward => self.comparator.compare(key, limit).is_gt(),
            })
        };
        let is_simple = |at: &usize| {
            let Some((own, trailer, _)) = self.entries.get(*at) else { return false };
            let newer = at.checked_sub(1).and_then(key);
            let is_newest = newer != Some(own) || direction == Direction::Forward && *at == here;
            matches!(trailer.kind(), EntryKind::Put | EntryKind::PutOverDelete)
                && trailer.seqno().is_visible_at(bound)
                && is_newest
                && is_near(own)
        };
        match direction {
            Direction::Forward => (here..).take(LOOKED_AT_MAX).take_while(is_simple).count(),
            Direction::Backward => {
                (0..=here).rev().take(LOOKED_AT_MAX).take_while(is_simple).count()
            }
        }
    }

    /// Not over more than 32 at once.
    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Infallible> {
        let before = self.place;
        for _ in 0..LOOKED_AT_MAX {
            let is_passed = |entry: EntryRef<'_>| {
                let is_before = self.comparator.compare(entry.key, limit).is_lt();
                entry.seqno() < seqno && is_before == (direction == Direction::Forward)
            };
            if !self.entry().is_some_and(is_passed) {
                break;
            }
            match direction {
                Direction::Forward => self.advance()?,
                Direction::Backward => self.retreat()?,
            }
        }
        Ok(self.place != before)
    }
}
