use std::{collections::BTreeMap, sync::Arc};

use stratal_types::{
    SeqNo,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    /// Reads below this bound were refused, though they had registered.
    refused: AtomicU64,
    /// A batch was cut short while it was applied.
    is_torn: AtomicBool,
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
            refused: AtomicU64::new(0),
            is_torn: AtomicBool::new(false),
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
    /// [`Error::OutOfSeqNos`] and [`Error::Torn`], and then none was given out.
    pub fn allocate(&self, count: u64) -> Result<SeqNo, Error> {
        self.check_whole()?;
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

    /// Notes that a part of a batch is in memory and the rest never will be: from now on nothing is
    /// given a number, so that no read ever has a bound above those of the batch, nor made durable.
    pub(crate) fn tear(&self) {
        self.is_torn.store(true, Ordering::Release);
    }

    /// [`Error::Torn`] if a batch was cut short.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        if self.is_torn.load(Ordering::Acquire) { Err(Error::Torn) } else { Ok(()) }
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
        let lowest = registry.lowest(self.refused()).map_or(visible, |lowest| lowest.min(visible));
        registry.floor = registry.floor.max(lowest);
        lowest
    }

    /// The bound below which nobody can find anything that was there only for reads of the past: the
    /// watermark, or above the present if nobody is registered at all. Hands out nothing.
    pub(crate) fn horizon(&self) -> SeqNo {
        let registry = self.registry.lock();
        let present = self.visible().next().unwrap_or(SeqNo::MAX);
        registry.lowest(self.refused()).unwrap_or(present)
    }

    /// Lets something be found no more, from the present on: `hide` is given the highest bound at which
    /// reads go on finding it, and no reader registers meanwhile. Returns that bound, and whether nobody
    /// reads there or below, nor will.
    ///
    /// Who has registered at the present finds it as before.
    pub(crate) fn expire(&self, hide: impl FnOnce(SeqNo)) -> (SeqNo, bool) {
        let mut registry = self.registry.lock();
        let at = self.last_finding(&registry);
        hide(at);
        (at, self.is_past(&mut registry, at))
    }

    /// Does `hide` as [`expire`](Self::expire) does, for what is found up to `last` at most, if then
    /// nobody finds it any more. Returns whether it did.
    pub(crate) fn forget(&self, last: SeqNo, hide: impl FnOnce(SeqNo)) -> bool {
        let mut registry = self.registry.lock();
        let at = self.last_finding(&registry).min(last);
        let is_past = self.is_past(&mut registry, at);
        if is_past {
            hide(at);
        }
        is_past
    }

    /// Refuses every read up to `bound`, also of those who have registered, if it may be: see
    /// [`refusable`](Self::refusable). Returns whether it was done.
    pub(crate) fn refuse(&self, bound: SeqNo) -> bool {
        let mut registry = self.registry.lock();
        let refusable = self.refusable_of(&registry);
        let Some(above) = bound.next().filter(|above| *above <= refusable) else { return false };
        registry.floor = registry.floor.max(above);
        self.refused.fetch_max(above.get(), Ordering::AcqRel);
        true
    }

    /// Reads below this bound may be refused: they are of the past, and no history is held there.
    pub(crate) fn refusable(&self) -> SeqNo {
        self.refusable_of(&self.registry.lock())
    }

    /// Whether reads of one who has registered at `bound` are still served. To be asked when the read
    /// has taken its read state.
    pub(crate) fn check(&self, bound: SeqNo) -> Result<(), Error> {
        let floor = self.refused();
        if bound < floor { Err(Error::SnapshotTooOld { bound, floor }) } else { Ok(()) }
    }

    fn refused(&self) -> SeqNo {
        seqno(self.refused.load(Ordering::Acquire))
    }

    fn refusable_of(&self, registry: &Registry) -> SeqNo {
        let visible = self.visible();
        registry.held().map_or(visible, |held| held.min(visible))
    }

    fn last_finding(&self, registry: &Registry) -> SeqNo {
        let visible = self.visible();
        let before = SeqNo::new(visible.get().saturating_sub(1)).unwrap_or(SeqNo::ZERO);
        if registry.live.contains_key(&visible) { visible } else { before }
    }

    /// Whether no read at or below `at` is served from now on, which is so if nobody needs one.
    fn is_past(&self, registry: &mut Registry, at: SeqNo) -> bool {
        let visible = self.visible();
        let lowest = registry.lowest(self.refused()).map_or(visible, |lowest| lowest.min(visible));
        if lowest > at {
            registry.floor = registry.floor.max(lowest);
        }
        lowest > at
    }

    /// The lowest bound at which a read is served.
    pub fn floor(&self) -> SeqNo {
        self.registry.lock().floor
    }
}

impl Registry {
    /// The lowest bound at which somebody reads who is not refused, or from which on history is held.
    fn lowest(&self, refused: SeqNo) -> Option<SeqNo> {
        let live = self.live.range(refused..).next().map(|(bound, _)| *bound);
        live.into_iter().chain(self.held()).min()
    }

    /// The lowest bound from which on history is held.
    fn held(&self) -> Option<SeqNo> {
        self.held.values().min().copied()
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
        assert_eq!((clock.watermark(), clock.refusable()), (at(5), at(5)));
        assert_eq!(clock.expire(|_| {}), (at(9), false));
        assert!(!clock.refuse(at(5)), "history is held");
        assert!(clock.register_at(at(5)).is_ok());
        clock.release(at(5));
        clock.set_held("feed", at(8));
        assert_eq!(clock.watermark(), at(8));
        clock.let_go("feed");
        // Nothing before the present is held for the one who is left.
        assert_eq!(clock.watermark(), at(10));
        assert_eq!(clock.expire(|_| {}), (at(9), true));
    }

    #[test]
    fn what_expires_is_found_by_those_who_had_registered_and_by_nobody_else() {
        let clock = Clock::new(at(5), SeqNo::ZERO);
        let expire = |clock: &Clock| {
            let mut given = None;
            let (bound, is_past) = clock.expire(|bound| given = Some(bound));
            assert_eq!(given, Some(bound));
            (bound, is_past)
        };
        // Nobody reads: from the present on it is not found, and can go at once.
        assert_eq!(expire(&clock), (at(4), true));
        assert!(matches!(clock.register_at(at(4)), Err(Error::SnapshotTooOld { .. })));
        // Somebody reads at the present, and finds it until he has gone.
        let reader = clock.register();
        assert_eq!(expire(&clock), (at(5), false));
        assert!(!clock.forget(at(5), |_| panic!("it is found")));
        clock.release(reader);
        // Nothing was written meanwhile, so the present has to stop finding it.
        assert!(clock.forget(at(5), |bound| assert_eq!(bound, at(4))));
        let reader = clock.register();
        clock.publish(at(9));
        assert_eq!(expire(&clock), (at(8), false));
        assert_eq!(clock.horizon(), at(5));
        clock.release(reader);
        assert_eq!((clock.horizon(), clock.watermark()), (at(10), at(9)));
        assert!(clock.forget(at(8), |bound| assert_eq!(bound, at(8))));
    }

    #[test]
    fn readers_of_the_past_can_be_refused_and_those_of_the_present_not() {
        let clock = Clock::new(at(5), SeqNo::ZERO);
        let old = clock.register();
        clock.publish(at(9));
        let new = clock.register();
        assert_eq!(clock.refusable(), at(9));
        assert!(!clock.refuse(at(9)));
        assert!(clock.check(old).is_ok());
        assert!(clock.refuse(at(5)));
        assert!(
            matches!(clock.check(old), Err(Error::SnapshotTooOld { floor, .. }) if floor == at(6))
        );
        assert!(clock.check(new).is_ok());
        assert!(matches!(clock.register_at(at(5)), Err(Error::SnapshotTooOld { .. })));
        assert_eq!(clock.watermark(), at(9), "who is refused holds nothing back");
        clock.release(old);
        clock.release(new);
    }

    #[test]
    fn numbers_end_without_wrapping() {
        let clock = Clock::new(SeqNo::new(SeqNo::MAX.get() - 3).unwrap(), SeqNo::ZERO);
        assert!(clock.allocate(2).is_ok());
        assert!(matches!(clock.allocate(1), Err(Error::OutOfSeqNos)));
        assert!(matches!(clock.allocate(u64::MAX), Err(Error::OutOfSeqNos)));
    }
}
