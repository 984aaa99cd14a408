use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// A count of what happens so often, in so many threads, that one number for all would be what they
/// wait for. While there are more threads than it has parts, some of what they count is lost.
//
// Not from `types::sync`: nothing depends on it.
#[derive(Debug)]
pub(crate) struct Hits(Box<[Part]>);

/// Aligned so that neighbours do not share cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(AtomicU64);

/// A power of two.
const PARTS: usize = 64;

impl Default for Hits {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Part::default()).collect())
    }
}

impl Hits {
    /// One more.
    #[inline]
    pub(crate) fn add(&self) {
        if let Some(Part(count)) = self.0.get(part_of_this_thread()) {
            // Mostly nobody else writes it, and an atomic addition would be waited for.
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|part| part.0.load(Ordering::Relaxed)).sum()
    }
}

#[inline]
fn part_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    PART.with(|part| {
        if part.get() == usize::MAX {
            part.set(NEXT.fetch_add(1, Ordering::Relaxed) & (PARTS - 1));
        }
        part.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        let hits = Hits::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| hits.add()));
            }
        });
        assert!(hits.sum() <= 8000 && hits.sum() >= 1000);
        let before = hits.sum();
        hits.add();
        assert_eq!(hits.sum(), before + 1);
    }
}
