use stratal_types::{EntryKind, InternalKey, SeqNo, Trailer};

use crate::index::{Partitions, Stats};

/// What is kept of a data block between the entry that completed it and its place in the file.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) ordinal: u64,
    pub(crate) stats: Stats,
    pub(crate) hashes: BlockHashes,
    /// User keys of the table up to the end of the block.
    pub(crate) keys: u64,
    /// Whether no block follows.
    pub(crate) is_last: bool,
    fence_key: Vec<u8>,
    fence_trailer: Trailer,
}

impl Completed {
    pub(crate) const EMPTY: Self = Self {
        ordinal: 0,
        stats: Stats::NONE,
        hashes: BlockHashes::EMPTY,
        keys: 0,
        is_last: false,
        fence_key: Vec::new(),
        fence_trailer: Trailer::new(SeqNo::ZERO, EntryKind::Put),
    };

    /// The fence behind the block.
    pub(crate) fn fence(&self) -> InternalKey<'_> {
        InternalKey::new(&self.fence_key, self.fence_trailer)
    }

    pub(crate) fn set_fence(&mut self, fence: InternalKey<'_>) {
        self.fence_key.clear();
        self.fence_key.extend_from_slice(fence.user_key);
        self.fence_trailer = fence.trailer;
    }
}

/// What the entries of a data block add to a filter.
///
/// If the filter begins with the block, it needs all that concerns the first entry; otherwise it has
/// some of that from the block before.
#[derive(Debug, Default)]
pub(crate) struct BlockHashes {
    /// All hashes of the first entry.
    first: Vec<u64>,
    /// Hashes of all entries, without those that the entry before has.
    new: Vec<u64>,
    /// How many of `new` are the first entry's.
    new_of_first: usize,
}

impl BlockHashes {
    const EMPTY: Self = Self { first: Vec::new(), new: Vec::new(), new_of_first: 0 };

    /// Forgets all hashes, and takes those of a block's first entry: `all` of them.
    pub(crate) fn begin(&mut self, all: impl Iterator<Item = u64>) {
        self.first.clear();
        self.first.extend(all);
        self.new.clear();
        self.new_of_first = 0;
    }

    /// Takes a hash that the entry before has not, of an entry that is not the first.
    #[inline]
    pub(crate) fn push(&mut self, new: u64) {
        self.new.push(new);
    }

    /// Takes the hashes of an entry that the entry before has not.
    pub(crate) fn add(&mut self, new: impl Iterator<Item = u64>, is_first: bool) {
        self.new.extend(new);
        if is_first {
            self.new_of_first = self.new.len();
        }
    }

    /// Adds them to the filter of the partition at hand.
    pub(crate) fn add_to(&self, partitions: &mut Partitions) {
        let begins = partitions.has_no_hashes();
        let (first, rest) = if begins {
            (&self.first[..], self.new.get(self.new_of_first..).unwrap_or_default())
        } else {
            (&[][..], &self.new[..])
        };
        first.iter().chain(rest).for_each(|&hash| partitions.add_hash(hash));
    }

    pub(crate) fn memory(&self) -> usize {
        (self.first.capacity() + self.new.capacity()).saturating_mul(size_of::<u64>())
    }
}
