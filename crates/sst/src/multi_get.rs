//! Looking many keys up at once.
//!
//! What one lookup waits for, a batch waits for together: filter lines, blocks in memory, and blocks
//! in the file, which are read in as few pieces as pays.

use bytes::Bytes;
use stratal_types::{SeqNo, key_hash};

use crate::{Error, Table, Version, handle::BlockHandle, index::IndexCursor};

/// Most blocks that a batch holds at once.
const BLOCKS_MAX: usize = 256;

/// A key that passed the filter, and the block it can be in.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Which of the keys.
    key: usize,
    handle: BlockHandle,
    /// Versions of the key may go on in the next block.
    goes_on: bool,
}

impl Table {
    /// The values of `keys`, each as [`get`](Self::get) gives it, in the places of the keys. They may
    /// stand in any order, and more than once.
    ///
    /// Faster than asking for one after the other: the filter, the index and each block are asked for
    /// all keys at once, and blocks that are not in the cache are read together, neighbours in one
    /// piece.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for the first key that fails.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// # use stratal_types::FileUid;
    /// # let ctx = TableContext::default();
    /// # let spec = Arc::new(TableOptions::default().validate()?);
    /// # let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
    /// # writer.put(b"AD/Canillo", b"3292")?;
    /// # writer.put(b"AD/Vila", b"1418")?;
    /// # let table = Table::open(&ctx, Arc::new(bytes::Bytes::from(writer.finish()?.sink)))?;
    /// let found = table.multi_get(&["AD/Vila", "AD/Ordino", "AD/Canillo"])?;
    /// let found: Vec<Option<&[u8]>> = found.iter().map(Option::as_deref).collect();
    /// assert_eq!(found, [Some(&b"1418"[..]), None, Some(&b"3292"[..])]);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        let keys = keys.iter().map(K::as_ref);
        let keys: Vec<(&[u8], u64)> = keys.map(|key| (key, key_hash(key))).collect();
        let found = self.multi_lookup(&keys, SeqNo::MAX)?;
        let live = |(&(key, _), version)| self.live_value(key, version);
        keys.iter().zip(found).map(live).collect()
    }

    /// For each key and its [`key_hash`] what [`lookup`](Self::lookup) gives, in the places of the
    /// keys.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Self::lookup), for the first key that fails.
    pub fn multi_lookup(
        &self,
        keys: &[(&[u8], u64)],
        bound: SeqNo,
    ) -> Result<Vec<Option<Version>>, Error> {
        let mut found = vec![None; keys.len()];
        let stored_bound = self.stored_bound(bound);
        let mut wanted = self.wanted(keys, stored_bound)?;
        // Order of the file is order of the keys.
        wanted.sort_unstable_by_key(|wanted| wanted.handle.offset);
        let by_block = |a: &Wanted, b: &Wanted| a.handle.offset == b.handle.offset;
        let groups: Vec<&[Wanted]> = wanted.chunk_by(by_block).collect();
        for groups in groups.chunks(BLOCKS_MAX) {
            self.look_up_groups(groups, keys, bound, &mut found)?;
        }
        Ok(found)
    }

    /// Where to look for the keys that the filter does not exclude.
    fn wanted(&self, keys: &[(&[u8], u64)], bound: SeqNo) -> Result<Vec<Wanted>, Error> {
        let mut index = IndexCursor::default();
        let mut wanted = Vec::with_capacity(keys.len());
        let mut add = |index: &IndexCursor, i, key: &[u8]| {
            if index.is_inside() {
                let goes_on = index.is_fence_of(key);
                wanted.push(Wanted { key: i, handle: index.handle(self)?, goes_on });
            }
            Ok::<(), Error>(())
        };
        if !self.is_divided() {
            let answers = self.may_contain_each(keys)?;
            for (i, (&(key, _), _)) in
                keys.iter().zip(answers).enumerate().filter(|(_, (_, may))| *may)
            {
                index.seek(self, key, bound)?;
                add(&index, i, key)?;
            }
            return Ok(wanted);
        }
        // Partition by partition, so that each is loaded once.
        let mut order = Vec::with_capacity(keys.len());
        for (i, &(key, hash)) in keys.iter().enumerate() {
            index.seek_partition(self, key, bound)?;
            order.push((index.partition(), i, key, hash));
        }
        order.sort_unstable_by_key(|&(partition, i, ..)| (partition, i));
        for (_, i, key, hash) in order {
            index.seek_partition(self, key, bound)?;
            if self.may_contain_in(&index, key, hash)? {
                index.seek_in_partition(self, key, bound)?;
                add(&index, i, key)?;
            }
        }
        Ok(wanted)
    }

    /// Looks up groups of keys, those of each in one block.
    fn look_up_groups(
        &self,
        groups: &[&[Wanted]],
        keys: &[(&[u8], u64)],
        bound: SeqNo,
        found: &mut [Option<Version>],
    ) -> Result<(), Error> {
        let handles: Vec<BlockHandle> =
            groups.iter().filter_map(|group| group.first()).map(|first| first.handle).collect();
        let blocks = self.data_blocks(&handles)?;
        let stored_bound = self.stored_bound(bound);
        // Each loop over everything, and no counting of references in between, so that the processor
        // waits for many blocks at once.
        for block in &blocks {
            block.touch();
        }
        for block in &blocks {
            block.touch_columns();
        }
        let searched = groups.iter().zip(&blocks).flat_map(|(group, block)| {
            group.iter().filter_map(move |wanted| {
                let &(key, hash) = keys.get(wanted.key)?;
                Some((wanted, block, block.rows().find(key, hash, stored_bound)))
            })
        });
        let searched: Vec<_> = searched.collect();
        for (wanted, block, row) in searched {
            let Some(((key, hash), found)) = keys.get(wanted.key).zip(found.get_mut(wanted.key))
            else {
                continue;
            };
            *found = match row {
                Some(row) => Some(self.seen(block.version(row))),
                None if wanted.goes_on => self.lookup_hashed(key, *hash, bound)?,
                None => {
                    self.note_absent();
                    None
                }
            };
        }
        Ok(())
    }
}
