use stratal_types::{EntryKind, EntryRef};

use crate::index::Stats;

/// What is counted of the entries of a data block, of which the [properties](crate::Properties) of the
/// table are the sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) stats: Stats,
    /// Entries that are the first version of their key.
    pub(crate) keys: u64,
    /// Bytes of all keys.
    pub(crate) key_bytes: u64,
    /// Bytes of all values.
    pub(crate) value_bytes: u64,
    /// Entries by the tags of their kinds.
    kinds: [u64; KINDS],
}

/// Tags are below this.
const KINDS: usize = 8;

const _: () = {
    let mut kinds = EntryKind::ALL.as_slice();
    while let [kind, rest @ ..] = kinds {
        assert!((kind.tag() as usize) < KINDS);
        kinds = rest;
    }
};

impl Counts {
    /// Of no entries.
    pub(crate) const NONE: Self =
        Self { stats: Stats::NONE, keys: 0, key_bytes: 0, value_bytes: 0, kinds: [0; KINDS] };

    /// Counts one more entry; `new_key` if it is the first version of its key.
    #[inline]
    pub(crate) fn count(&mut self, entry: EntryRef<'_>, new_key: bool) {
        self.stats.count(entry.seqno());
        self.keys += u64::from(new_key);
        self.key_bytes += entry.key.len() as u64;
        self.value_bytes += entry.value.len() as u64;
        let [tag, ..] = entry.trailer.bits().to_le_bytes();
        if let Some(count) = self.kinds.get_mut(usize::from(tag)) {
            *count += 1;
        }
    }

    /// Entries of each kind.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (EntryKind, u64)> {
        let count = |kind: EntryKind| self.kinds.get(usize::from(kind.tag())).copied();
        EntryKind::ALL.into_iter().map(move |kind| (kind, count(kind).unwrap_or(0)))
    }
}
