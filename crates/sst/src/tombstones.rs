//! Range tombstones as a table stores them.
//!
//! One row per fragment and number, in internal order: the key is the fragment's start, the trailer
//! its number with kind delete, the value its end.

use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
use stratal_cache::Resident;
use stratal_types::{Comparator, EntryKind, Fragment, Fragments, RangeTombstone, SeqNo, Trailer};

use crate::Error;

/// The sorted block that stores `fragments`.
pub(crate) fn encode(
    fragments: &Fragments,
    comparator: &dyn Comparator,
) -> Result<Vec<u8>, stratal_block::Error> {
    let options = SortedBlockOptions {
        tags: false,
        heads: comparator.is_bytewise(),
        ..SortedBlockOptions::default()
    };
    let mut block = SortedBlockBuilder::new(options);
    for fragment in fragments.iter() {
        for &seqno in fragment.seqnos {
            block.add(fragment.start, Trailer::new(seqno, EntryKind::Delete), fragment.end)?;
        }
    }
    let mut bytes = Vec::new();
    block.finish_into(&mut bytes);
    Ok(bytes)
}

/// Reads the fragments back from a block that begins at `offset`.
pub(crate) fn decode(
    bytes: &[u8],
    offset: u64,
    comparator: &dyn Comparator,
) -> Result<Fragments, Error> {
    let malformed = |what| Error::Malformed { what, offset };
    let block = SortedBlock::parse(bytes).map_err(|source| Error::Block {
        kind: "tombstones",
        offset,
        source,
    })?;
    let mut tombstones = Vec::with_capacity(block.len());
    for i in 0..block.len() {
        let mut start = Vec::new();
        block.key_into(i, &mut start);
        let (end, trailer) = block
            .value(i)
            .zip(block.trailer(i))
            .unwrap_or((&[], Trailer::new(SeqNo::ZERO, EntryKind::Put)));
        if trailer.kind() != EntryKind::Delete {
            return Err(malformed("a range tombstone is of another kind than delete"));
        }
        let tombstone = RangeTombstone::new(start, end, trailer.seqno());
        if tombstone.is_empty(comparator) {
            return Err(malformed("a range tombstone ends before it begins"));
        }
        tombstones.push(tombstone);
    }
    let fragments = Fragments::build(&tombstones, comparator);
    let rows: usize = fragments.iter().map(|fragment| fragment.seqnos.len()).sum();
    if rows != tombstones.len() {
        return Err(malformed("range tombstones are not disjoint fragments"));
    }
    Ok(fragments)
}

/// The same stretches, all deleted at `seqno`.
pub(crate) fn at_seqno(
    fragments: &Fragments,
    seqno: SeqNo,
    comparator: &dyn Comparator,
) -> Fragments {
    let at_seqno =
        |fragment: Fragment<'_>| RangeTombstone::new(fragment.start, fragment.end, seqno);
    let tombstones: Vec<_> = fragments.iter().map(at_seqno).collect();
    Fragments::build(&tombstones, comparator)
}

/// Fragments in the cache.
#[derive(Debug)]
pub(crate) struct CachedFragments(pub(crate) std::sync::Arc<Fragments>);

impl Resident for CachedFragments {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.memory_used()
    }
}
