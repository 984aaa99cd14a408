//! One load at a time for each slot.
//!
//! An empty slot says whether somebody loads for it. Who finds that somebody does says there that he waits,
//! and under the lock of [`Waiting`], where he is found by whoever loads; who finds that nobody does loads,
//! and takes that lock only if others wait. So a load without company costs two operations on the slot's
//! own word.

use std::{any::Any, sync::Arc};

use stratal_types::sync::{
    Condvar, Mutex,
    atomic::{AtomicPtr, Ordering},
};

use crate::{
    Pin, Resident, Slots,
    ripe::Value,
    slots::Shown,
    word::{self, Word},
};

/// What a slot answers to somebody who would load its value himself.
pub(crate) enum Asked<'a, T> {
    /// The value, and whether the cache has to be told that it was used.
    Shown(Arc<T>, bool),
    /// What somebody else has loaded meanwhile, who may not have kept it.
    Shared(Arc<T>),
    Mine(SlotTurn<'a>),
}

/// Those who wait for values that others load.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Vec<(usize, Arc<Load>)>>);

/// A load that others wait for.
#[derive(Debug, Default)]
struct Load {
    end: Mutex<Option<End>>,
    has_ended: Condvar,
}

/// A value, or none if the load failed.
type End = Option<Value>;

/// The right to load for an empty slot. Dropped unused, it passes to one of those who wait.
pub(crate) struct SlotTurn<'a> {
    place: &'a AtomicPtr<()>,
    waiting: &'a Waiting,
    /// As the slot was before.
    found: Word,
    /// Whether others wait, once the slot shows the value.
    shown: Option<bool>,
}

impl<T: Resident> Slots<T> {
    /// The value of slot `at`, or the right to load it; waits while somebody else does. `None` if there is
    /// no such slot.
    pub(crate) fn ask<'a>(&'a self, at: usize, waiting: &'a Waiting) -> Option<Asked<'a, T>> {
        let place = self.place(at)?;
        loop {
            if let Some((value, is_news)) = self.share(at, &Pin::new()) {
                return Some(Asked::Shown(value, is_news));
            }
            if let Some(turn) = SlotTurn::take(place, waiting) {
                return Some(Asked::Mine(turn));
            }
            if let Some(value) = waiting.wait(place) {
                let value: Arc<dyn Any + Send + Sync> = value;
                if let Ok(value) = Arc::downcast(value) {
                    return Some(Asked::Shared(value));
                }
            }
        }
    }

    /// The right to show something in slot `at`, if it is empty and nobody loads for it.
    pub(crate) fn claim<'a>(&'a self, at: usize, waiting: &'a Waiting) -> Option<SlotTurn<'a>> {
        SlotTurn::take(self.place(at)?, waiting)
    }
}

impl Waiting {
    /// Waits for the end of the load of `place`, and returns what came of it; nothing if there is no such
    /// load, or it failed.
    fn wait(&self, place: &AtomicPtr<()>) -> Option<Value> {
        let load = self.join(place)?;
        let mut end = load.end.lock();
        loop {
            match &*end {
                Some(end) => return end.clone(),
                None => load.has_ended.wait(&mut end),
            }
        }
    }

    /// Lets whoever loads for `place` know that somebody waits, if anybody does.
    fn join(&self, place: &AtomicPtr<()>) -> Option<Arc<Load>> {
        let mut loads = self.0.lock();
        let mut found = place.load(Ordering::Relaxed);
        while !word::is_awaited(found) {
            if !word::is_loading(found) {
                return None;
            }
            let awaited = word::awaited(found);
            match place.compare_exchange(found, awaited, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => found = other,
            }
        }
        let address = address_of(place);
        // One of before that is about to end serves as well.
        if let Some((_, load)) = loads.iter().find(|(other, _)| *other == address) {
            return Some(Arc::clone(load));
        }
        let load = Arc::<Load>::default();
        loads.push((address, Arc::clone(&load)));
        Some(load)
    }

    /// Gives those who wait for `place` what came of it.
    fn end(&self, place: &AtomicPtr<()>, value: Option<Value>) {
        let address = address_of(place);
        let mut loads = self.0.lock();
        let at = loads.iter().position(|(other, _)| *other == address);
        let load = at.map(|at| loads.swap_remove(at).1);
        drop(loads);
        if let Some(load) = load {
            *load.end.lock() = Some(value);
            load.has_ended.notify_all();
        }
    }
}

fn address_of(place: &AtomicPtr<()>) -> usize {
    std::ptr::from_ref(place).addr()
}

impl<'a> SlotTurn<'a> {
    fn take(place: &'a AtomicPtr<()>, waiting: &'a Waiting) -> Option<Self> {
        let mut found = place.load(Ordering::Relaxed);
        while !word::is_shown(found) && !word::is_loading(found) {
            let loading = word::loading(found);
            match place.compare_exchange(found, loading, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(Self { place, waiting, found, shown: None }),
                Err(other) => found = other,
            }
        }
        None
    }

    /// How many evictions ago the slot showed something, if there were `now` by now.
    pub(crate) fn age(&self, now: usize) -> usize {
        word::age(self.found, now)
    }

    /// Shows the value of `hidden`, which is for this slot.
    pub(crate) fn show(&mut self, hidden: &Shown) {
        self.shown = Some(word::is_awaited(hidden.appear()));
    }

    /// Gives `value` to those who wait.
    pub(crate) fn finish<T: Resident>(mut self, value: &Arc<T>) {
        if self.settle() {
            let value: Arc<T> = Arc::clone(value);
            self.waiting.end(self.place, Some(value));
        }
        std::mem::forget(self);
    }

    /// Ends the load; whether others wait for it.
    fn settle(&mut self) -> bool {
        if let Some(is_awaited) = self.shown {
            return is_awaited;
        }
        // Nobody but this one and those who wait writes to it.
        word::is_awaited(self.place.swap(self.found, Ordering::AcqRel))
    }
}

impl Drop for SlotTurn<'_> {
    fn drop(&mut self) {
        if self.settle() {
            self.waiting.end(self.place, None);
        }
    }
}
