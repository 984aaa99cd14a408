use std::{collections::BTreeMap, sync::Arc};

use stratal_types::{
    SeqNo,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Error;

/// The one clock of versions, and who still reads at which moment of it.
///
/// Shared by every tree of a database. Numbers are given out by whoever holds the write side (one at
/// a time, the trees' owner sees to that); `visible` moves only when everything below it is applied.
///
/// The registry is a leaf: nothing is locked while it is held.
#[derive(Debug)]
pub struct Clock {
    /// The next number to be given out.
    next: AtomicU64,
    /// A read that begins now has this bound.
    visible: AtomicU64,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Registry {
    /// Bounds at which somebody reads, and how many do.
    live: BTreeMap<SeqNo, usize>,
    /// From which bound on history is held, by holder.
    held: BTreeMap<Arc<str>, SeqNo>,
    /// The highest watermark handed out: below it history may be gone.
    floor: SeqNo,
}

impl Clock {
    /// A clock whose next number is `next`, above every number ever used; reads below `floor` are
    /// refused.
    pub fn new(next: SeqNo, floor: SeqNo) -> Self {
        Self {
            next: AtomicU64::new(next.get()),
            visible: AtomicU64::new(next.get()),
            registry: Mutex::new(Registry { live: BTreeMap::new(), held: BTreeMap::new(), floor }),
        }
    }

    /// The next number to be given out.
    pub fn next(&self) -> SeqNo {
        seqno(self.next.load(Ordering::Acquire))
    }

    /// The bound of a read that begins now.
    pub fn visible(&self) -> SeqNo {
        seqno(self.visible.load(Ordering::Acquire))
    }

    /// Gives out `count` numbers, and returns the first. For one caller at a time.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfSeqNos`], and then none was given out.
    pub fn allocate(&self, count: u64) -> Result<SeqNo, Error> {
        let first = self.next.load(Ordering::Acquire);
        let next = first.checked_add(count).filter(|&next| next < SeqNo::MAX.get());
        self.next.store(next.ok_or(Error::OutOfSeqNos)?, Ordering::Release);
        Ok(seqno(first))
    }

    /// Raises the next number to `next` if it is lower: for numbers that a caller brings.
    pub fn raise(&self, next: SeqNo) {
        self.next.fetch_max(next.get(), Ordering::AcqRel);
    }

    /// Lets reads see everything below `bound`, all of which is applied.
    pub fn publish(&self, bound: SeqNo) {
        self.visible.fetch_max(bound.get(), Ordering::Release);
    }

    /// Registers a reader at the present moment, until [`release`](Self::release).
    pub(crate) fn register(&self) -> SeqNo {
        let mut registry = self.registry.lock();
        let bound = self.visible();
        *registry.live.entry(bound).or_default() += 1;
        bound
    }

    /// Registers a reader at a moment of the past.
    pub(crate) fn register_at(&self, bound: SeqNo) -> Result<(), Error> {
        let mut registry = self.registry.lock();
        let floor = registry.floor;
        if bound < floor {
            return Err(Error::SnapshotTooOld { bound, floor });
        }
        *registry.live.entry(bound).or_default() += 1;
        Ok(())
    }

    pub(crate) fn release(&self, bound: SeqNo) {
        let mut registry = self.registry.lock();
        if let Some(count) = registry.live.get_mut(&bound) {
            *count -= 1;
            if *count == 0 {
                registry.live.remove(&bound);
            }
        }
    }

    /// Holds history for `holder` from the present on, and tells from where; if it is held already,
    /// from where it was.
    pub(crate) fn hold(&self, holder: &str) -> SeqNo {
        let mut registry = self.registry.lock();
        let visible = self.visible();
        *registry.held.entry(holder.into()).or_insert(visible)
    }

    /// Holds history for `holder` from `bound` on, which is no lower than the floor and than before.
    pub(crate) fn set_held(&self, holder: &str, bound: SeqNo) {
        self.registry.lock().held.insert(holder.into(), bound);
    }

    /// Holds nothing for `holder` any more.
    pub(crate) fn let_go(&self, holder: &str) {
        self.registry.lock().held.remove(holder);
    }

    /// The lowest bound at which anybody reads or may begin to, or from which on history is held. From
    /// now on no lower one is served.
    pub fn watermark(&self) -> SeqNo {
        let mut registry = self.registry.lock();
        let visible = self.visible();
        let live = registry.live.keys().next().copied().unwrap_or(visible);
        let held = registry.held.values().min().copied().unwrap_or(visible);
        let lowest = live.min(held).min(visible);
        registry.floor = registry.floor.max(lowest);
        lowest
    }

    /// Whether somebody reads from a snapshot, or history before the present is held.
    pub(crate) fn is_read(&self) -> bool {
        self.registry.lock().is_read(self.visible())
    }

    /// Does `change`, which no snapshot sees both before and after, unless somebody reads from one or
    /// history before the present is held. Returns whether it was done. From then on no bound below the present is served.
    pub(crate) fn unless_read(&self, change: impl FnOnce()) -> bool {
        let mut registry = self.registry.lock();
        let visible = self.visible();
        if registry.is_read(visible) {
            return false;
        }
        registry.floor = registry.floor.max(visible);
        change();
        true
    }

    /// The lowest bound at which a read is served.
    pub fn floor(&self) -> SeqNo {
        self.registry.lock().floor
    }
}

impl Registry {
    fn is_read(&self, visible: SeqNo) -> bool {
        !self.live.is_empty() || self.held.values().any(|bound| *bound < visible)
    }
}

fn seqno(value: u64) -> SeqNo {
    SeqNo::new(value).unwrap_or(SeqNo::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: u32) -> SeqNo {
        value.into()
    }

    #[test]
    fn a_batch_is_seen_when_it_is_published_and_not_before() {
        let clock = Clock::new(at(5), SeqNo::ZERO);
        assert_eq!(clock.allocate(3).unwrap(), at(5));
        assert_eq!((clock.visible(), clock.next()), (at(5), at(8)));
        clock.publish(at(8));
        assert_eq!(clock.visible(), at(8));
    }

    #[test]
    fn the_watermark_waits_for_the_oldest_reader_and_then_refuses_older_ones() {
        let clock = Clock::new(at(5), SeqNo::ZERO);
        let oldest = clock.register();
        clock.allocate(5).unwrap();
        clock.publish(at(10));
        let newer = clock.register();
        assert_eq!((oldest, newer, clock.watermark()), (at(5), at(10), at(5)));
        clock.release(oldest);
        assert_eq!(clock.watermark(), at(10));
        assert!(matches!(clock.register_at(at(9)), Err(Error::SnapshotTooOld { .. })));
        assert!(clock.register_at(at(10)).is_ok());
        // What was refused once stays refused, though nobody reads any more.
        clock.release(newer);
        clock.release(at(10));
        assert_eq!((clock.watermark(), clock.floor()), (at(10), at(10)));
    }

    #[test]
    fn held_history_keeps_the_watermark_down_as_a_reader_does() {
        let clock = Clock::new(at(5), SeqNo::ZERO);
        assert_eq!(clock.hold("feed"), at(5));
        clock.allocate(5).unwrap();
        clock.publish(at(10));
        // Who holds already goes on from where he is; another begins now.
        assert_eq!((clock.hold("feed"), clock.hold("audit")), (at(5), at(10)));
        assert_eq!((clock.watermark(), clock.is_read()), (at(5), true));
        assert!(!clock.unless_read(|| panic!("history is held")));
        assert!(clock.register_at(at(5)).is_ok());
        clock.release(at(5));
        clock.set_held("feed", at(8));
        assert_eq!(clock.watermark(), at(8));
        clock.let_go("feed");
        // Nothing before the present is held for the one who is left.
        assert_eq!((clock.watermark(), clock.is_read()), (at(10), false));
        assert!(clock.unless_read(|| {}));
    }

    #[test]
    fn numbers_end_without_wrapping() {
        let clock = Clock::new(SeqNo::new(SeqNo::MAX.get() - 3).unwrap(), SeqNo::ZERO);
        assert!(clock.allocate(2).is_ok());
        assert!(matches!(clock.allocate(1), Err(Error::OutOfSeqNos)));
        assert!(matches!(clock.allocate(u64::MAX), Err(Error::OutOfSeqNos)));
    }
}
