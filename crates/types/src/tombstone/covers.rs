use alloc::vec::Vec;
use core::ops::Range;

/// The number of a bound, a stretch or a part.
pub(super) type Place = u32;

/// `at` as a [`Place`].
///
/// # Panics
///
/// If there are 2³² of them: those would take far over 100 GiB.
pub(super) fn place(at: usize) -> Place {
    assert!(at < NONE as usize, "too many range tombstones");
    Place::try_from(at).unwrap_or(NONE)
}

/// Ranges of places, numbered in the order in which they were given; says which of those over a place
/// has the lowest number.
///
/// A tree over the places, without pointers: node 1 is the root, node `i` has the children `2i` and
/// `2i + 1`, and the leaf of place `p` is node `places + p`. Each range stands in the lists of the fewest
/// nodes that together make it up, at most two of each depth; what lies over a place is in the lists
/// from its leaf to the root, and each list ascends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Covers {
    /// Per node where its list ends. Node 0 is not used.
    ends: Vec<usize>,
    /// The lists, one behind the other.
    lists: Vec<Place>,
    /// Per node the lowest number in its list or one above; or [`NONE`].
    lowest: Vec<Place>,
}

const NONE: Place = Place::MAX;

impl Covers {
    pub(super) const EMPTY: Self = Self { ends: Vec::new(), lists: Vec::new(), lowest: Vec::new() };

    /// Of `ranges`, each of which lies within `places`.
    pub(super) fn build(
        places: usize,
        ranges: impl ExactSizeIterator<Item = Range<Place>> + Clone,
    ) -> Self {
        if places == 0 {
            return Self::EMPTY;
        }
        let mut ends = alloc::vec![0usize; 2 * places];
        for range in ranges.clone() {
            nodes(places, &range, |node| {
                if let Some(len) = ends.get_mut(node) {
                    *len += 1;
                }
            });
        }
        // From lengths to where lists begin; filling them moves that to where they end.
        let mut total = 0;
        for end in &mut ends {
            total += core::mem::replace(end, total);
        }
        let mut lists = alloc::vec![NONE; total];
        for (number, range) in ranges.enumerate() {
            let number = place(number);
            nodes(places, &range, |node| {
                if let Some(end) = ends.get_mut(node) {
                    if let Some(free) = lists.get_mut(*end) {
                        *free = number;
                    }
                    *end += 1;
                }
            });
        }
        let mut covers = Self { ends, lists, lowest: alloc::vec![NONE; 2 * places] };
        for node in 1..2 * places {
            let above = covers.lowest.get(node / 2).copied().unwrap_or(NONE);
            let here = covers.list(node).first().copied().unwrap_or(NONE);
            if let Some(lowest) = covers.lowest.get_mut(node) {
                *lowest = above.min(here);
            }
        }
        covers
    }

    /// The lowest number of a range over `place`.
    pub(super) fn first(&self, place: Place) -> Option<usize> {
        let lowest = self.lowest.get(self.leaf(place)).copied()?;
        (lowest != NONE).then_some(usize::try_from(lowest).ok()?)
    }

    /// The lowest number, from `from` on, of a range over `place`.
    pub(super) fn first_from(&self, place: Place, from: usize) -> Option<usize> {
        let mut node = self.leaf(place);
        let mut first: Option<usize> = None;
        while node > 0 {
            let list = self.list(node);
            let at = list.partition_point(|number| (*number as usize) < from);
            if let Some(number) = list.get(at).map(|number| *number as usize) {
                first = Some(first.map_or(number, |first| first.min(number)));
            }
            node /= 2;
        }
        first
    }

    pub(super) fn memory_used(&self) -> usize {
        self.ends.capacity() * size_of::<usize>()
            + (self.lists.capacity() + self.lowest.capacity()) * size_of::<Place>()
    }

    fn leaf(&self, place: Place) -> usize {
        self.ends.len() / 2 + place as usize
    }

    fn list(&self, node: usize) -> &[Place] {
        let before = node.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(node).copied().unwrap_or_default();
        self.lists.get(before.copied().unwrap_or_default()..end).unwrap_or_default()
    }
}

/// Calls `each` with the fewest nodes of a tree over `places` that together make up `range`.
fn nodes(places: usize, range: &Range<Place>, mut each: impl FnMut(usize)) {
    let (mut from, mut to) = (range.start as usize + places, range.end as usize + places);
    while from < to {
        if from % 2 == 1 {
            each(from);
            from += 1;
        }
        if to % 2 == 1 {
            to -= 1;
            each(to);
        }
        from /= 2;
        to /= 2;
    }
}
