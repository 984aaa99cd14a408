use stratal_types::{BlockCursor, EntryKind, EntryRef, Trailer};

use super::stream::{At, GcStream, Out, Phase, settle};

/// Whether entries that begin blocks are passed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStarts {
    /// They are as any others.
    Pass,
    /// The stream stays before such an entry, unless it is the first: perhaps the block
    /// [follows](GcStream::block_follows) whole.
    StopAt,
}

impl<C: BlockCursor> GcStream<'_, C> {
    /// Gives the entries that come out next to `take`, as long as they are puts that no rule but the first
    /// needs to look at: nearly all of most data. What [`advance`](Self::advance) gives from then on comes
    /// behind them; it would have given the same, one at a time and at several times the cost.
    ///
    /// Returns whether it stays before the first entry of a block.
    ///
    /// # Errors
    ///
    /// Those of the input and of `take`. The stream has [failed](Self) then.
    pub fn pass_puts<E: From<C::Error>>(
        &mut self,
        starts: BlockStarts,
        take: impl FnMut(EntryRef<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        // Filters want to see every value, and digests go beside entries.
        if self.filter.is_some() || self.keeps_digests() || !self.leave()? {
            return Ok(false);
        }
        let passed = self.pass(starts, take);
        if passed.is_err() {
            self.out = Out::Failed;
        }
        passed
    }

    fn pass<E: From<C::Error>>(
        &mut self,
        starts: BlockStarts,
        mut take: impl FnMut(EntryRef<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (comparator, watermark) = (self.context.comparator, self.context.watermark);
        // Of the key that was taken up last: whether it was here, and whether its put is held and still
        // to be given.
        let (mut has_key, mut is_held) = (false, false);
        let mut is_first = true;
        while let Some(entry) = self.input.entry() {
            if has_key && entry.key == self.key {
                if !self.note_version() {
                    self.next_version()?;
                }
                if self.phase != Phase::Settled {
                    return Ok(false);
                }
                has_key = false;
                let mark = self.drop_rest()?;
                if std::mem::take(&mut is_held) {
                    take(self.release_held(mark))?;
                }
                continue;
            }
            self.at = At::Key;
            if std::mem::take(&mut is_held) {
                self.summary.entries_out += 1;
                take(EntryRef::new(&self.key, self.held.trailer, &self.held.value))?;
            }
            if starts == BlockStarts::StopAt && !is_first && self.input.begins_block() {
                return Ok(true);
            }
            let trailer = entry.trailer;
            if trailer.kind() != EntryKind::Put
                || self.context.end.is_some_and(|end| comparator.compare(entry.key, end).is_ge())
                || self.tombstones.covering(entry.key, watermark, comparator).is_some()
            {
                return Ok(false);
            }
            (is_first, has_key) = (false, true);
            self.summary.entries_in += 1;
            self.key.clear();
            self.key.extend_from_slice(entry.key);
            self.cover = None;
            self.chain_stays = false;
            self.kind = EntryKind::Put;
            self.last = Some(trailer.seqno());
            self.last_pointer.clear();
            self.nothing_older = !self.older.contains(&self.key, comparator);
            if trailer.seqno() >= watermark {
                self.phase = Phase::Judging;
                self.summary.entries_out += 1;
                take(EntryRef::new(&self.key, trailer, entry.value))?;
            } else if self.nothing_older {
                self.phase = Phase::Settled;
                let seqno = settle(
                    &mut self.covered_elsewhere,
                    &mut self.tombstones_kept,
                    comparator,
                    &self.key,
                    trailer.seqno(),
                );
                self.summary.zeroed += u64::from(seqno != trailer.seqno());
                self.summary.entries_out += 1;
                take(EntryRef::new(&self.key, Trailer::new(seqno, EntryKind::Put), entry.value))?;
            } else {
                // Whether it gets a mark shows only further down the key.
                self.phase = Phase::Settled;
                self.held.trailer = trailer;
                self.held.value.clear();
                self.held.value.extend_from_slice(entry.value);
                self.held.came_with = None;
                is_held = true;
            }
            self.at = At::Lent;
            self.input.advance()?;
        }
        self.at = At::Key;
        if is_held {
            take(self.release_held(false))?;
        }
        Ok(false)
    }

    /// The put that was held, which comes out.
    fn release_held(&mut self, mark: bool) -> EntryRef<'_> {
        self.summary.entries_out += 1;
        let kind = if mark { EntryKind::PutOverDelete } else { EntryKind::Put };
        self.held.trailer = Trailer::new(self.held.trailer.seqno(), kind);
        EntryRef::new(&self.key, self.held.trailer, &self.held.value)
    }
}
