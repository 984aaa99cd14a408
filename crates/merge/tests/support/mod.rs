//! Cursors that count, fail or grow, and small helpers.
#![allow(dead_code, reason = "each test file uses some of it")]

mod bounded;

pub(crate) use bounded::Bounded;

use std::{cell::Cell, cell::RefCell, convert::Infallible, rc::Rc, sync::Arc};

use proptest::prelude::*;
use stratal_merge::{Entry, SliceCursor};
use stratal_types::{Bytewise, Comparator, Cursor, Direction, EntryRef, Reverse, SeqNo, Shortlex};

pub(crate) fn comparator() -> impl Strategy<Value = Arc<dyn Comparator>> {
    let all: [Arc<dyn Comparator>; 3] = [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    prop::sample::select(all.to_vec())
}

pub(crate) fn owned(entry: EntryRef<'_>) -> Entry {
    (entry.key.to_vec(), entry.trailer, entry.value.to_vec())
}

/// Index of the entry that a seek goes to.
pub(crate) fn seek_in(
    entries: &[Entry],
    key: &[u8],
    bound: SeqNo,
    order: &dyn Comparator,
) -> usize {
    entries.partition_point(|(other, trailer, _)| {
        let by_key = order.compare(other, key);
        by_key.is_lt() || by_key.is_eq() && !trailer.seqno().is_visible_at(bound)
    })
}

/// A step of a walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Advance,
    Retreat,
    First,
    Last,
    Seek(Vec<u8>, SeqNo),
}

pub(crate) fn step(
    key: impl Strategy<Value = Vec<u8>>,
    seqno_max: u32,
) -> impl Strategy<Value = Step> {
    let bound = prop_oneof![
        2 => (0..=seqno_max).prop_map(SeqNo::from),
        1 => Just(SeqNo::MAX),
        1 => Just(SeqNo::ZERO),
    ];
    prop_oneof![
        8 => Just(Step::Advance),
        8 => Just(Step::Retreat),
        1 => Just(Step::First),
        1 => Just(Step::Last),
        2 => (key, bound).prop_map(|(key, bound)| Step::Seek(key, bound)),
    ]
}

pub(crate) fn take_step<C: Cursor>(cursor: &mut C, step: &Step) -> Result<(), C::Error> {
    match step {
        Step::Advance => cursor.advance(),
        Step::Retreat => cursor.retreat(),
        Step::First => cursor.seek_to_first(),
        Step::Last => cursor.seek_to_last(),
        Step::Seek(key, bound) => cursor.seek(key, *bound),
    }
}

/// Where a step leads in a sorted list: 0 is before the first entry, `len + 1` behind the last.
pub(crate) fn place_after(
    place: usize,
    step: &Step,
    entries: &[Entry],
    order: &dyn Comparator,
) -> usize {
    match step {
        Step::Advance => (place + 1).min(entries.len() + 1),
        Step::Retreat => place.saturating_sub(1),
        Step::First => 1,
        Step::Last => entries.len(),
        Step::Seek(key, bound) => 1 + seek_in(entries, key, *bound, order),
    }
}

/// Walks `cursor` and compares it with a place in `entries` after every step.
pub(crate) fn check_walk<C: Cursor<Error: std::fmt::Debug>>(
    cursor: &mut C,
    entries: &[Entry],
    order: &dyn Comparator,
    steps: &[Step],
) {
    let mut place = 0;
    assert!(cursor.entry().is_none());
    for (number, step) in steps.iter().enumerate() {
        take_step(cursor, step).unwrap();
        place = place_after(place, step, entries, order);
        let expected = place.checked_sub(1).and_then(|at| entries.get(at));
        assert_eq!(cursor.entry().map(owned).as_ref(), expected, "step {number}: {step:?}");
    }
}

/// Every entry, from the first to the last.
pub(crate) fn forward<C: Cursor>(cursor: &mut C) -> Result<Vec<Entry>, C::Error> {
    let mut entries = Vec::new();
    cursor.seek_to_first()?;
    while let Some(entry) = cursor.entry() {
        entries.push(owned(entry));
        cursor.advance()?;
    }
    Ok(entries)
}

/// Every entry, from the last to the first.
pub(crate) fn backward<C: Cursor>(cursor: &mut C) -> Result<Vec<Entry>, C::Error> {
    let mut entries = Vec::new();
    cursor.seek_to_last()?;
    while let Some(entry) = cursor.entry() {
        entries.push(owned(entry));
        cursor.retreat()?;
    }
    Ok(entries)
}

/// Counts the steps of several cursors, and lets one of them fail.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) seeks: Cell<usize>,
    pub(crate) steps: Cell<usize>,
    /// Calls until one fails, once; none does while this is `None`.
    pub(crate) fails_in: Cell<Option<usize>>,
    /// How often one has failed, not counting those that failed because they had before.
    pub(crate) failures: Cell<usize>,
}

impl Meter {
    pub(crate) fn calls(&self) -> usize {
        self.seeks.get() + self.steps.get()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A cursor under a [`Meter`]. Failure is sticky until a seek.
#[derive(Debug)]
pub(crate) struct Metered {
    inner: SliceCursor,
    meter: Rc<Meter>,
    failed: bool,
}

impl Metered {
    pub(crate) fn new(inner: SliceCursor, meter: &Rc<Meter>) -> Self {
        Self { inner, meter: Rc::clone(meter), failed: false }
    }

    fn call(
        &mut self,
        is_seek: bool,
        call: impl FnOnce(&mut SliceCursor) -> Result<(), Infallible>,
    ) -> Result<(), Broken> {
        let count = if is_seek { &self.meter.seeks } else { &self.meter.steps };
        count.set(count.get() + 1);
        let left = self.meter.fails_in.get();
        self.meter.fails_in.set(left.and_then(|left| left.checked_sub(1)));
        if left == Some(0) {
            self.meter.failures.set(self.meter.failures.get() + 1);
        }
        self.failed = left == Some(0) || self.failed && !is_seek;
        if self.failed {
            return Err(Broken);
        }
        let Ok(()) = call(&mut self.inner);
        Ok(())
    }
}

impl Cursor for Metered {
    type Error = Broken;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Broken> {
        self.call(true, |inner| inner.seek(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), Broken> {
        self.call(true, SliceCursor::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), Broken> {
        self.call(true, SliceCursor::seek_to_last)
    }

    fn advance(&mut self) -> Result<(), Broken> {
        self.call(false, SliceCursor::advance)
    }

    fn retreat(&mut self) -> Result<(), Broken> {
        self.call(false, SliceCursor::retreat)
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.inner.entry().filter(|_| !self.failed)
    }

    fn simple_entries(&self, to: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        if self.failed { 0 } else { self.inner.simple_entries(to, bound, limit) }
    }
}

/// A cursor over a list that may grow under it, as a memtable does.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) entries: Rc<RefCell<Vec<Entry>>>,
    comparator: Arc<dyn Comparator>,
    current: Option<Entry>,
    is_behind: bool,
}

impl Live {
    pub(crate) fn new(entries: Vec<Entry>, comparator: Arc<dyn Comparator>) -> Self {
        let sorted = SliceCursor::new(entries, Arc::clone(&comparator)).entries().to_vec();
        let entries = Rc::new(RefCell::new(sorted));
        Self { entries, comparator, current: None, is_behind: false }
    }

    pub(crate) fn insert(&self, entry: Entry) {
        let mut entries = self.entries.borrow_mut();
        let (key, trailer, _) = &entry;
        let above = trailer.seqno().next().unwrap();
        let at = seek_in(&entries, key, above, &*self.comparator);
        entries.insert(at, entry);
    }

    fn stand_on(&mut self, found: Option<Entry>, is_behind: bool) {
        self.current = found;
        self.is_behind = is_behind;
    }
}

impl Cursor for Live {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        let at = seek_in(&self.entries.borrow(), key, bound, &*self.comparator);
        let found = self.entries.borrow().get(at).cloned();
        self.stand_on(found, true);
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        let found = self.entries.borrow().first().cloned();
        self.stand_on(found, true);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        let found = self.entries.borrow().last().cloned();
        self.stand_on(found, false);
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        match self.current.take() {
            Some((key, trailer, _)) => self.seek(&key, trailer.seqno()),
            None if self.is_behind => Ok(()),
            None => self.seek_to_first(),
        }
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        match self.current.take() {
            Some((key, trailer, _)) => {
                let above = trailer.seqno().next().unwrap();
                let at = seek_in(&self.entries.borrow(), &key, above, &*self.comparator);
                let before = at.checked_sub(1);
                let found = before.and_then(|at| self.entries.borrow().get(at).cloned());
                self.stand_on(found, false);
                Ok(())
            }
            None if self.is_behind => self.seek_to_last(),
            None => Ok(()),
        }
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let (key, trailer, value) = self.current.as_ref()?;
        Some(EntryRef::new(key, *trailer, value))
    }
}

/// Takes `steps` on a cursor over metered sources, one call of which fails, and compares it with a
/// place in `entries`: the failing step reports it, and steps fail until the next seek.
pub(crate) fn check_failing_walk<C: Cursor<Error = Broken>>(
    cursor: &mut C,
    meter: &Meter,
    entries: &[Entry],
    order: &dyn Comparator,
    steps: &[Step],
) {
    let mut place = Some(0);
    for step in steps {
        let failures = meter.failures.get();
        let result = take_step(cursor, step);
        let has_failed_now = meter.failures.get() > failures;
        let is_stuck = place.is_none() && matches!(step, Step::Advance | Step::Retreat);
        assert_eq!(result.is_err(), has_failed_now || is_stuck, "{step:?}");
        place = match result {
            Ok(()) => Some(place_after(place.unwrap_or(0), step, entries, order)),
            Err(Broken) => None,
        };
        let expected = place.and_then(|place| entries.get(place.checked_sub(1)?));
        assert_eq!(cursor.entry().map(owned).as_ref(), expected);
    }
    meter.fails_in.set(None);
    assert_eq!(forward(cursor).as_deref(), Ok(entries));
}
