//! What of tables stays in the cache.

use stratal_sst::PinnedParts;

use crate::view::View;

/// What of its tables a tree pins in the cache, by level: it is not evicted before the table goes, or
/// comes to a level where it is not pinned.
///
/// It counts against the cache's budget like everything else, and at most half of that can be pinned, by
/// all trees together; what comes later has high priority then. What is pinned is loaded when it is first
/// needed, as anything is. Data blocks are never pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pinning {
    /// Of tables in level 0, which every read may have to ask. Default nothing.
    pub level0: PinnedParts,
    /// Of all other tables. Default nothing.
    pub below: PinnedParts,
}

impl Pinning {
    fn of_level(self, level: usize) -> PinnedParts {
        if level == 0 { self.level0 } else { self.below }
    }
}

impl View {
    /// Sees to it that of its tables what is to be is pinned, and nothing else. For who opens the tree, or
    /// holds the manifest.
    pub(crate) fn pin(&self, pinning: Pinning) {
        for (place, table) in self.tables() {
            table.set_pinned(pinning.of_level(place.level));
        }
    }
}
