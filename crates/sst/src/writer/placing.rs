//! Data blocks on their way from entries to their place in the file.

use std::io;

use stratal_types::InternalKey;

use super::{Output, TableWriter, Unfenced};
use crate::{
    Error, Partitioning,
    completed::Completed,
    counts::Counts,
    index::{BlockFence, fence_between},
    section::{self, TableBlock, ordinal},
};

impl<W: io::Write> TableWriter<W> {
    /// Ends the block at hand. Its fence waits for the key behind it.
    pub(super) fn complete_block(&mut self) -> Result<(), Error> {
        let completed = self.completed()?;
        self.last_key.clear();
        self.last_key.extend_from_slice(self.block.last_key().unwrap_or_default());
        let checks_digests =
            std::mem::take(&mut self.came_with_digests) && self.spec.options().entry_digests;
        if self.ctx.pool.is_none() && !checks_digests {
            return self.seal_block(completed);
        }
        let mut plain = self.queue.buffer();
        self.block.finish_into(&mut plain);
        if checks_digests {
            self.check_digests(&plain)?;
        }
        self.unfenced = Some((Unfenced::Plain(plain), completed));
        Ok(())
    }

    /// Seals the block at hand where it is written, which nobody else needs to see.
    fn seal_block(&mut self, completed: Completed) -> Result<(), Error> {
        let id = TableBlock::Data.id(self.header.uid, completed.ordinal);
        let mut sealed = self.queue.buffer();
        let (block, scratch) = (&mut self.block, &mut self.plain);
        let write = |out: &mut Vec<u8>| block.finish_into(out);
        self.codecs
            .data
            .seal_written(id, write, scratch, &mut sealed)
            .map_err(|source| self.abandon_block(TableBlock::Data, source))?;
        self.unfenced = Some((Unfenced::Sealed(sealed), completed));
        Ok(())
    }

    /// What is kept of the block at hand, which takes the next ordinal.
    pub(super) fn completed(&mut self) -> Result<Completed, Error> {
        let ordinal = self.next_data_ordinal;
        if ordinal >= ordinal::FIRST_PARTITION {
            let (what, len) = ("number of data blocks", ordinal - ordinal::FIRST_DATA);
            return Err(Error::Length { what, len, min: 0, max: len });
        }
        self.next_data_ordinal += 1;
        let mut completed = self.spare.pop().unwrap_or(Completed::EMPTY);
        completed.ordinal = ordinal;
        let counts = std::mem::replace(&mut self.counts, Counts::NONE);
        self.properties.count_block(&counts);
        completed.stats = counts.stats;
        completed.keys = self.properties.keys;
        std::mem::swap(&mut completed.hashes, &mut self.hashes);
        Ok(completed)
    }

    /// Puts the fence between the block completed last, if it has none yet, and `next`, and sends the
    /// block on its way.
    pub(super) fn fence_before(&mut self, next: Option<&[u8]>) -> Result<(), Error> {
        let Some((block, mut completed)) = self.unfenced.take() else { return Ok(()) };
        let last = InternalKey::new(&self.last_key, self.last_trailer);
        completed.set_fence(fence_between(last, next, self.ctx.comparator.as_ref()));
        completed.is_last = next.is_none();
        let id = TableBlock::Data.id(self.header.uid, completed.ordinal);
        let plain = match block {
            Unfenced::Plain(plain) => plain,
            Unfenced::Sealed(stored) => {
                while self.place_oldest()? {}
                let placed = self.place(&stored, completed);
                self.queue.recycle(stored);
                return placed;
            }
        };
        let Some(pool) = self.ctx.pool.clone() else {
            let mut stored = std::mem::take(&mut self.stored);
            stored.clear();
            let sealed = self.codecs.data.seal_into(id, &plain, &mut stored);
            self.queue.recycle(plain);
            sealed.map_err(|source| self.abandon_block(TableBlock::Data, source))?;
            let placed = self.place(&stored, completed);
            self.stored = stored;
            return placed;
        };
        while !self.queue.has_room_for(plain.len(), pool.as_ref()) {
            self.place_oldest()?;
        }
        self.queue.push(pool.as_ref(), &self.codecs.data, id, plain, completed);
        Ok(())
    }

    /// Places the oldest of the blocks under way; `false` if there are none.
    pub(super) fn place_oldest(&mut self) -> Result<bool, Error> {
        let Some((sealed, completed)) = self.queue.pop() else { return Ok(false) };
        match sealed {
            Some(Ok(stored)) => self.place(&stored, completed).map(|()| true),
            Some(Err(source)) => Err(self.abandon_block(TableBlock::Data, source)),
            None => {
                self.output = Output::Failed;
                Err(Error::PoolFailed)
            }
        }
    }

    /// Writes a data block, and all that its place has to be known for.
    fn place(&mut self, stored: &[u8], completed: Completed) -> Result<(), Error> {
        if self.properties.data_blocks == 0 {
            self.begin_section(section::DATA)?;
        }
        let handle = self.append(stored, completed.ordinal)?;
        self.properties.data_blocks += 1;
        self.properties.data_bytes += u64::from(handle.len);
        completed.hashes.add_to(&mut self.partitions);
        self.partitions
            .add_fence(completed.fence(), BlockFence { handle, stats: completed.stats })
            .map_err(|source| self.abandon_block(TableBlock::Index, source))?;
        if !completed.is_last && self.partitions.is_full() {
            self.partitions.close();
            if !self.top.is_empty() || self.is_partitioned_with(completed.keys) {
                self.write_partitions()?;
            }
        }
        self.spare.push(completed);
        Ok(())
    }

    /// Whether the table, which may not have been divided before, is to be with so many keys.
    pub(super) fn is_partitioned_with(&self, keys_so_far: u64) -> bool {
        match self.spec.options().partitioning {
            Partitioning::Never => false,
            Partitioning::Always => true,
            Partitioning::Auto { keys } => {
                let waiting = self.partitions.waiting_len() as u64;
                keys_so_far >= keys || waiting / Partitioning::WAITING_LEN_PER_KEY >= keys
            }
        }
    }
}
