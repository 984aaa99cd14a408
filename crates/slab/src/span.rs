//! Which pages of which region are taken.

use std::ptr::NonNull;

use crate::{HUGE_PAGE, Region};

/// What spans are counted in, in bytes.
pub(crate) const PAGE: usize = 4 << 10;

/// Pages of a region.
const PAGES: usize = HUGE_PAGE / PAGE;

/// Longest span, in bytes.
pub(crate) const SPAN_MAX: usize = HUGE_PAGE;

/// Regions without a span that are kept for the next one.
const EMPTY_MAX: usize = 2;

/// Neighbouring pages of a region, taken by one owner.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) start: NonNull<u8>,
    region: usize,
    first: usize,
    pages: usize,
}

// SAFETY: R1: it stands for bytes that it alone owns, in a region that any thread may use.
unsafe impl Send for Span {}
// SAFETY: As above, and nothing is done through a shared reference.
unsafe impl Sync for Span {}

impl Span {
    /// In bytes.
    pub(crate) const fn len(&self) -> usize {
        self.pages * PAGE
    }
}

/// Regions of one huge page each, and who has which of their pages.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    /// A place without a region is used again.
    places: Vec<Option<Shared>>,
    empty: usize,
}

/// A region that spans are cut from.
#[derive(Debug)]
struct Shared {
    region: Region,
    taken: Box<[bool]>,
    free: usize,
    /// No more pages in a row are free.
    run_max: usize,
}

impl Shared {
    fn new() -> Self {
        let taken = vec![false; PAGES].into();
        Self { region: Region::new(HUGE_PAGE), taken, free: PAGES, run_max: PAGES }
    }

    /// The first of the first `pages` pages in a row that are free. A region is not searched again for what
    /// it was found not to have.
    fn find(&mut self, pages: usize) -> Option<usize> {
        if self.run_max < pages {
            return None;
        }
        let (mut run, mut longest) = (0, 0);
        let found = self.taken.iter().zip(1..).find_map(|(&is_taken, end)| {
            run = if is_taken { 0 } else { run + 1 };
            longest = run.max(longest);
            (run == pages).then(|| end - pages)
        });
        if found.is_none() {
            self.run_max = longest;
        }
        found
    }

    /// Marks pages that are all the other way.
    fn mark(&mut self, first: usize, pages: usize, is_taken: bool) {
        let marked = self.taken.iter_mut().skip(first).take(pages);
        marked.for_each(|page| *page = is_taken);
        if is_taken {
            self.free -= pages;
        } else {
            self.free += pages;
            self.run_max = self.free;
        }
    }
}

impl Regions {
    /// Regions that there are.
    pub(crate) fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Takes `len` bytes, rounded up to pages, [`SPAN_MAX`] at most and one page at least: where there is
    /// room among others, if there is, so that regions become empty.
    pub(crate) fn take(&mut self, len: usize) -> Span {
        let pages = len.div_ceil(PAGE).clamp(1, PAGES);
        let among_others = self.places.iter_mut().enumerate().find_map(|(at, place)| {
            let used = place.as_mut().filter(|shared| shared.free < PAGES)?;
            Some((at, used.find(pages)?))
        });
        let (at, first) = among_others.unwrap_or_else(|| (self.empty_place(), 0));
        let place = self.places.get_mut(at).map(|place| place.get_or_insert_with(Shared::new));
        let Some(shared) = place else { unreachable!("the place was found, or made") };
        shared.mark(first, pages, true);
        // SAFETY: R1: `first` is a page of the region.
        let start = unsafe { shared.region.start().add(first * PAGE) };
        Span { start, region: at, first, pages }
    }

    /// A place with an empty region, or for one.
    fn empty_place(&mut self) -> usize {
        let is_empty =
            |place: &Option<Shared>| place.as_ref().is_some_and(|shared| shared.free == PAGES);
        if let Some(at) = self.places.iter().position(is_empty) {
            self.empty -= 1;
            return at;
        }
        self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }

    /// Takes back what [`take`](Self::take) gave. Returns a region that is not needed any more.
    #[must_use = "dropping a region is a call of the system, which need not be under a lock"]
    pub(crate) fn give_back(&mut self, span: &Span) -> Option<Region> {
        let Span { start: _, region, first, pages } = *span;
        let place = self.places.get_mut(region)?;
        let shared = place.as_mut()?;
        shared.mark(first, pages, false);
        if shared.free < PAGES {
            return None;
        }
        if self.empty < EMPTY_MAX {
            self.empty += 1;
            return None;
        }
        place.take().map(|shared| shared.region)
    }
}
