use std::{cmp::Ordering, sync::Arc};

use stratal_types::{Comparator, EntryRef};

/// A comparator that is called only where the order is not bytewise.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    comparator: Arc<dyn Comparator>,
    bytewise: bool,
}

impl Order {
    pub(crate) fn new(comparator: Arc<dyn Comparator>) -> Self {
        Self { bytewise: comparator.is_bytewise(), comparator }
    }

    pub(crate) fn comparator(&self) -> &Arc<dyn Comparator> {
        &self.comparator
    }

    pub(crate) fn is_bytewise(&self) -> bool {
        self.bytewise
    }

    pub(crate) fn keys(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.bytewise { a.cmp(b) } else { self.comparator.compare(a, b) }
    }

    /// Internal order, in which entries of one key and number are equal whatever else they hold.
    pub(crate) fn entries(&self, a: EntryRef<'_>, b: EntryRef<'_>) -> Ordering {
        self.keys(a.key, b.key).then_with(|| b.seqno().cmp(&a.seqno()))
    }
}

/// The first eight bytes of a key as a number, zeros behind a shorter one: if two keys' heads differ,
/// bytewise order is theirs.
pub(crate) fn head(key: &[u8]) -> u64 {
    let word = key.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; size_of::<u64>()];
        padded[..key.len()].copy_from_slice(key);
        padded
    });
    u64::from_le_bytes(word).swap_bytes()
}
