//! Holds back the first data blocks of a table, and makes a dictionary of them.

use stratal_block::{
    BlockContext, BlockId, BlockSpec, Compression, Dictionary, NewRow, SortedBlockBuilder,
    SortedBlockOptions,
};
use stratal_types::{EntryDigest, EntryRef, FileUid, key_hash};

use crate::section::TableBlock;

/// Entries that came before there is a dictionary, as the data blocks that they will be.
#[derive(Debug)]
pub(crate) struct Training {
    block: SortedBlockBuilder,
    blocks: Vec<Vec<u8>>,
    len: usize,
    entries: u64,
    block_len_target: usize,
    sample_len: usize,
}

/// One block in so many is not trained on: it tells what the dictionary does for others.
const HELD_OUT: usize = 8;

/// Of what blocks take without the dictionary, the least part that it must save.
const GAIN_MIN: u64 = 32;

impl Training {
    pub(crate) fn new(options: SortedBlockOptions, block_len_target: u32, sample_len: u32) -> Self {
        Self {
            block: SortedBlockBuilder::new(options),
            blocks: Vec::new(),
            len: 0,
            entries: 0,
            block_len_target: block_len_target as usize,
            sample_len: sample_len as usize,
        }
    }

    /// Takes one more entry; says whether the samples are enough.
    pub(crate) fn add(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> Result<bool, stratal_block::Error> {
        let len = entry.key.len() + entry.value.len();
        if !self.block.is_empty() && !self.block.has_room_for(len, self.block_len_target) {
            self.close_block();
        }
        let EntryRef { key, trailer, value } = entry;
        let key_hash = key_hash(key);
        self.block.add_row(&NewRow { key, key_hash, trailer, value, digest, step: None })?;
        self.entries += 1;
        Ok(self.len() >= self.sample_len)
    }

    fn close_block(&mut self) {
        let mut plain = Vec::new();
        self.block.finish_into(&mut plain);
        self.len += plain.len();
        self.blocks.push(plain);
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.len + self.block.estimated_len()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// What was held back, as sorted blocks.
    pub(crate) fn into_blocks(mut self) -> Vec<Vec<u8>> {
        if !self.block.is_empty() {
            self.close_block();
        }
        self.blocks
    }
}

/// A dictionary of at most `len_max` bytes for blocks like `blocks`, which are compressed by zstd at
/// `level`; or why there is none. If `ends`, they are all of the table, and must gain what the two
/// copies of the dictionary take; otherwise at least a part of their own.
pub(crate) fn train(
    blocks: &[Vec<u8>],
    level: i32,
    len_max: u32,
    ends: bool,
) -> Result<Dictionary, &'static str> {
    let is_held_out = |n: &usize| n % HELD_OUT == HELD_OUT - 1;
    let samples: Vec<&[u8]> =
        (0..).zip(blocks).filter(|(n, _)| !is_held_out(n)).map(|(_, block)| &block[..]).collect();
    let held_out: Vec<_> = (0..).zip(blocks).filter(|(n, _)| is_held_out(n)).collect();
    if held_out.is_empty() {
        return Err("too few blocks");
    }
    let dictionary = Dictionary::train(&samples, len_max as usize)
        .map_err(|_| "the blocks are too few, or too different")?;
    let stored_len = |compression| -> Result<u64, stratal_block::Error> {
        let dictionaries = vec![dictionary.clone()];
        let codec = BlockSpec { compression, ..BlockSpec::default() }
            .resolve(&BlockContext { dictionaries, ..BlockContext::default() })?;
        let mut stored = Vec::new();
        for (n, block) in &held_out {
            let id: BlockId = TableBlock::Data.id(FileUid::default(), *n as u64);
            codec.seal_into(id, block, &mut stored)?;
        }
        Ok(stored.len() as u64)
    };
    let without = stored_len(Compression::Zstd { level });
    let with = stored_len(Compression::ZstdDictionary { level, id: dictionary.id() });
    let (Ok(without), Ok(with)) = (without, with) else { return Err("it cannot be used") };
    let gain = without.saturating_sub(with);
    let is_gain = if ends {
        let all = gain.saturating_mul(blocks.len() as u64) / held_out.len() as u64;
        all > 2 * dictionary.bytes().len() as u64
    } else {
        gain.saturating_mul(GAIN_MIN) >= without
    };
    if is_gain { Ok(dictionary) } else { Err("it saves too little") }
}
