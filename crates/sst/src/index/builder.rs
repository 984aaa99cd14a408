use stratal_block::{SortedBlockBuilder, SortedBlockOptions};
use stratal_types::{Comparator, EntryKind, InternalKey, SeqNo, Trailer};

use super::BlockFence;

/// Behind every version of its key that a read can see.
const LOWEST: Trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);

/// Collects fences while data blocks are written.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    block: SortedBlockBuilder,
    value: Vec<u8>,
}

impl IndexBuilder {
    pub(crate) fn new(comparator: &dyn Comparator) -> Self {
        let options = SortedBlockOptions {
            tags: false,
            heads: comparator.is_bytewise(),
            ..SortedBlockOptions::default()
        };
        Self { block: SortedBlockBuilder::new(options), value: Vec::new() }
    }

    /// Adds the fence between a block that ended with `last` and what follows.
    pub(crate) fn add(
        &mut self,
        block: BlockFence,
        last: InternalKey<'_>,
        next: Option<&[u8]>,
        comparator: &dyn Comparator,
    ) -> Result<(), stratal_block::Error> {
        self.value.clear();
        block.encode_into(&mut self.value);
        if next == Some(last.user_key) {
            return self.block.add(last.user_key, last.trailer, &self.value);
        }
        match next {
            Some(next) if comparator.is_bytewise() => {
                let fence = shortest_separator(last.user_key, next);
                self.block.add(fence, LOWEST, &self.value)
            }
            _ => self.block.add(last.user_key, LOWEST, &self.value),
        }
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.block.finish_into(&mut bytes);
        bytes
    }
}

/// The shortest start of `high` that is behind `low` and before `high`, or else `low` itself.
fn shortest_separator<'a>(low: &'a [u8], high: &'a [u8]) -> &'a [u8] {
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    match high.get(..=common) {
        Some(start) if common < low.len() && start.len() < high.len() => start,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_separate_and_are_short() {
        let cases: [(&[u8], &[u8], &[u8]); 6] = [
            (b"AD/08/les Escaldes", b"AE/03/Warisan", b"AE"),
            (b"abc", b"abd", b"abc"),
            (b"abc", b"abdx", b"abd"),
            (b"ab", b"abc", b"ab"),
            (b"a\xff\xff", b"b", b"a\xff\xff"),
            (b"a", b"b\x00", b"b"),
        ];
        for (low, high, expected) in cases {
            let fence = shortest_separator(low, high);
            assert_eq!(fence, expected, "{low:?} {high:?}");
            assert!(low <= fence && fence < high);
        }
    }
}
