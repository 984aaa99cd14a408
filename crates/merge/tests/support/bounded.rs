use std::convert::Infallible;

use stratal_merge::SliceCursor;
use stratal_types::{Cursor, Direction, EntryKind, EntryRef, SEEK_STEPS, SeqNo, Trailer};

/// A cursor that stands on a bound in front of some keys to which it comes from before, and whose seeks are prepared, which it insists on being done as it should be.
#[derive(Debug)]
pub(crate) struct Bounded {
    inner: SliceCursor,
    is_bound: bool,
    /// For which seek, and how many of its steps were taken.
    prepared: Option<(Vec<u8>, SeqNo, usize)>,
}

impl Bounded {
    pub(crate) fn new(inner: SliceCursor) -> Self {
        Self { inner, is_bound: false, prepared: None }
    }

    /// Takes a step back, or to where it cannot be told what stands before.
    fn go(
        &mut self,
        step: impl FnOnce(&mut SliceCursor) -> Result<(), Infallible>,
    ) -> Result<(), Infallible> {
        self.prepared = None;
        self.is_bound = false;
        step(&mut self.inner)
    }

    /// Takes a step to the first entry behind everything with a key up to `passed`.
    fn go_on(
        &mut self,
        passed: &[u8],
        step: impl FnOnce(&mut SliceCursor) -> Result<(), Infallible>,
    ) -> Result<(), Infallible> {
        self.go(step)?;
        let entries = self.inner.entries();
        let first_of = |key: &[u8]| entries.iter().position(|(other, ..)| other == key);
        let here = self.inner.entry().filter(|entry| entry.key != passed);
        self.is_bound = here.and_then(|entry| first_of(entry.key)).is_some_and(|at| at % 3 == 0);
        Ok(())
    }
}

impl Cursor for Bounded {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        self.go_on(key, |inner| inner.seek(key, bound))
    }

    fn prepare_seek(&mut self, key: &[u8], bound: SeqNo, step: usize) {
        assert!(step < SEEK_STEPS);
        if step > 0 {
            assert_eq!(self.prepared.as_ref(), Some(&(key.to_vec(), bound, step - 1)));
        }
        self.prepared = Some((key.to_vec(), bound, step));
    }

    fn seek_prepared(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        if let Some((for_key, for_bound, step)) = self.prepared.take() {
            assert_eq!((&for_key[..], for_bound, step), (key, bound, SEEK_STEPS - 1));
        }
        self.seek(key, bound)
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        self.go_on(b"", SliceCursor::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        self.go(SliceCursor::seek_to_last)
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        if self.is_bound {
            return self.settle();
        }
        let passed = self.inner.entry().map_or(Vec::new(), |entry| entry.key.to_vec());
        self.go_on(&passed, SliceCursor::advance)
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        self.go(SliceCursor::retreat)
    }

    fn is_bound(&self) -> bool {
        self.is_bound
    }

    fn settle(&mut self) -> Result<(), Infallible> {
        self.is_bound = false;
        Ok(())
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let entry = self.inner.entry()?;
        let in_front = Trailer::new(SeqNo::MAX, EntryKind::Put);
        Some(if self.is_bound { EntryRef::new(entry.key, in_front, b"") } else { entry })
    }

    fn simple_entries(&self, to: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        let found = if self.is_bound { 0 } else { self.inner.simple_entries(to, bound, limit) };
        // Going on leads to bounds, where a stretch ends.
        if to == Direction::Forward { found.min(1) } else { found }
    }
}
