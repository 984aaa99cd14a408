//! Looking many keys up at once.
//!
//! What one lookup waits for, a batch waits for together: filter lines, blocks in memory, and blocks
//! in the file, which are read in as few pieces as pays.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use stratal_cache::Pin;
use stratal_types::{SeqNo, key_hash};

use crate::{
    Error, Table, Version,
    block::CachedBlock,
    handle::BlockHandle,
    index::IndexCursor,
    table::{Placed, Step},
};

/// Most blocks that a batch holds at once.
const BLOCKS_MAX: usize = 256;

/// Most keys that are looked up in memory at once: what is on its way for them should still be near when
/// its turn comes.
const KEYS_AT_ONCE: usize = 64;

/// A key that passed the filter, and the block in memory that it can be in.
struct Place<'p> {
    /// Which of the keys.
    key: usize,
    hash: u64,
    fences: &'p CachedBlock,
    /// Of the fences.
    fence: usize,
    block: &'p CachedBlock,
    /// Of the block: the one that the key most likely has.
    row: Option<usize>,
}

/// A key for which something must be read.
struct Missed {
    /// Which of the keys.
    key: usize,
    /// What is left to do.
    step: Step,
}

/// A key that passed the filter, and the block it can be in.
#[derive(Clone, Debug)]
struct Wanted {
    /// Which of the keys.
    key: usize,
    handle: BlockHandle,
    /// Versions of the key may go on in the next block.
    goes_on: bool,
    /// The fence of the block, and in which of their blocks it is.
    fences: Option<(Arc<CachedBlock>, usize)>,
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
        let mut missed = Vec::new();
        for start in (0..keys.len()).step_by(KEYS_AT_ONCE) {
            let batch = start..keys.len().min(start.saturating_add(KEYS_AT_ONCE));
            self.look_up_resident(batch, keys, bound, &mut found, &mut missed)?;
        }
        if missed.is_empty() {
            return Ok(found);
        }
        let mut wanted = self.wanted(&missed, keys, self.stored_bound(bound))?;
        // Order of the file is order of the keys.
        wanted.sort_unstable_by_key(|wanted| wanted.handle.offset);
        let by_block = |a: &Wanted, b: &Wanted| a.handle.offset == b.handle.offset;
        let groups: Vec<&[Wanted]> = wanted.chunk_by(by_block).collect();
        for groups in groups.chunks(BLOCKS_MAX) {
            self.look_up_groups(groups, keys, bound, &mut found)?;
        }
        Ok(found)
    }

    /// Looks a batch of the keys up where everything that it takes is in memory, and adds those to
    /// `missed` for which something must be read.
    ///
    /// Each step is taken for all keys before the next is for any, and nothing is waited for in between:
    /// what a step looks at was asked for by the one before, and is on its way from memory for all of
    /// them at once.
    fn look_up_resident(
        &self,
        batch: Range<usize>,
        keys: &[(&[u8], u64)],
        bound: SeqNo,
        found: &mut [Option<Version>],
        missed: &mut Vec<Missed>,
    ) -> Result<(), Error> {
        let stored_bound = self.stored_bound(bound);
        let pin = Pin::new();
        let mut places = Vec::with_capacity(batch.len());
        self.resident_places(batch, keys, stored_bound, &pin, &mut places, missed)?;
        for place in &mut places {
            place.row = place.block.prefetch_columns(place.hash);
        }
        // A load that is not waited for, but that the processor does not forget either before it has
        // come: of those there are only so many under way as there are in the instructions it looks at.
        for place in &places {
            place.block.touch_count();
        }
        for Place { block, row, .. } in &places {
            if let Some(row) = row {
                block.rows().prefetch_row(*row);
            }
        }
        for Place { key: at, hash, fences, fence, block, row } in places {
            let Some((&(key, _), found)) = keys.get(at).zip(found.get_mut(at)) else { continue };
            match block.find_from(row, key, hash, stored_bound) {
                Some(row) => *found = Some(self.seen(block.version(row))),
                None if fences.rows().key_eq(fence, key) => {
                    missed.push(Missed { key: at, step: Step::Index });
                }
                None => self.note_absent(),
            }
        }
        Ok(())
    }

    /// The blocks in which the keys of a batch must be that the filter lets through, and asks for what
    /// is known of them.
    fn resident_places<'p>(
        &self,
        batch: Range<usize>,
        keys: &[(&[u8], u64)],
        bound: SeqNo,
        pin: &'p Pin,
        places: &mut Vec<Place<'p>>,
        missed: &mut Vec<Missed>,
    ) -> Result<(), Error> {
        let filter = match self.resident_whole_filter(pin) {
            Ok(filter) => filter,
            Err(step) => {
                missed.extend(batch.map(|key| Missed { key, step }));
                return Ok(());
            }
        };
        let asked = keys.get(batch.clone()).unwrap_or_default();
        if let Some(filter) = filter {
            for (_, hash) in asked {
                filter.prefetch(*hash);
            }
        }
        // Of a table of two levels the filter is the partition's.
        let step = if self.is_divided() { Step::Filter } else { Step::Index };
        for (at, &(key, hash)) in batch.zip(asked) {
            if filter.is_some_and(|filter| !self.ask(filter, key, hash)) {
                continue;
            }
            match self.place_resident(key, hash, bound, step, pin)? {
                Placed::At { fences, row: fence, .. } => {
                    match self.resident_block(fences, fence, pin) {
                        Some(block) => {
                            block.prefetch();
                            places.push(Place { key: at, hash, fences, fence, block, row: None });
                        }
                        None => missed.push(Missed { key: at, step: Step::Index }),
                    }
                }
                Placed::Nowhere => {}
                Placed::Wanted(step) => missed.push(Missed { key: at, step }),
            }
        }
        Ok(())
    }

    /// Where to look for the keys that the filter does not exclude.
    fn wanted(
        &self,
        missed: &[Missed],
        keys: &[(&[u8], u64)],
        bound: SeqNo,
    ) -> Result<Vec<Wanted>, Error> {
        let mut index = IndexCursor::default();
        let mut wanted = Vec::with_capacity(missed.len());
        let mut add = |index: &IndexCursor, i, key: &[u8]| {
            if index.is_inside() {
                let goes_on = index.is_fence_of(key);
                let fences = index.shared_fences();
                wanted.push(Wanted { key: i, handle: index.handle(self)?, goes_on, fences });
            }
            Ok::<(), Error>(())
        };
        let missed = missed.iter().filter_map(|missed| Some((missed, *keys.get(missed.key)?)));
        if !self.is_divided() {
            let (asked, let_through): (Vec<_>, Vec<_>) =
                missed.partition(|(missed, _)| matches!(missed.step, Step::Filter));
            let to_ask: Vec<(&[u8], u64)> = asked.iter().map(|&(_, key)| key).collect();
            let answers = self.may_contain_each(&to_ask)?;
            let asked = asked.into_iter().zip(answers).filter(|(_, may)| *may);
            for (Missed { key: i, .. }, (key, _)) in
                asked.map(|(missed, _)| missed).chain(let_through)
            {
                index.seek(self, key, bound)?;
                add(&index, *i, key)?;
            }
            return Ok(wanted);
        }
        // Partition by partition, so that each is loaded once.
        let mut order = Vec::with_capacity(keys.len());
        for (Missed { key: i, step }, (key, hash)) in missed {
            index.seek_partition(self, key, bound)?;
            order.push((index.partition(), *i, key, hash, matches!(step, Step::Filter)));
        }
        order.sort_unstable_by_key(|&(partition, i, ..)| (partition, i));
        for (_, i, key, hash, asks) in order {
            index.seek_partition(self, key, bound)?;
            if !asks || self.may_contain_in(&index, key, hash)? {
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
        let firsts = groups.iter().filter_map(|group| group.first());
        let (handles, fences): (Vec<BlockHandle>, Vec<_>) =
            firsts.map(|first| (first.handle, first.fences.clone())).unzip();
        let blocks = self.data_blocks(&handles, &fences)?;
        let stored_bound = self.stored_bound(bound);
        // Each loop over everything, and no counting of references in between, so that the processor
        // waits for many blocks at once.
        for block in &blocks {
            block.prefetch();
        }
        let firsts = groups.iter().zip(&blocks).flat_map(|(group, block)| {
            group.iter().filter_map(move |wanted| {
                let &(key, hash) = keys.get(wanted.key)?;
                Some((wanted, block, (key, hash), block.prefetch_columns(hash)))
            })
        });
        let firsts: Vec<_> = firsts.collect();
        let searched = firsts.into_iter().map(|(wanted, block, (key, hash), first)| {
            (wanted, block, block.find_from(first, key, hash, stored_bound))
        });
        let searched: Vec<_> = searched.collect();
        for (wanted, block, row) in searched {
            let Some(((key, hash), found)) = keys.get(wanted.key).zip(found.get_mut(wanted.key))
            else {
                continue;
            };
            *found = match row {
                Some(row) => Some(self.seen(block.version(row))),
                None if wanted.goes_on => self.lookup_from(key, *hash, bound, Step::Index)?,
                None => {
                    self.note_absent();
                    None
                }
            };
        }
        Ok(())
    }
}
