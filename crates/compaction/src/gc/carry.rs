use stratal_types::{BlockCursor, EntryKind, KindSet, SeqNo};

use super::stream::{At, GcStream, Out};

/// Kinds of which one below the watermark stays as it is if it stands alone, and older ones may lie
/// behind the output.
const ALONE_OVER_OLDER: KindSet = KindSet::of(&[
    EntryKind::Put,
    EntryKind::PutOverDelete,
    EntryKind::ValuePointer,
    EntryKind::ValuePointerOverDelete,
    EntryKind::Delete,
    EntryKind::WeakDelete,
]);

/// The same if nothing older is anywhere, and the number is zero already.
const ALONE_AT_THE_END: KindSet = KindSet::of(&[EntryKind::Put, EntryKind::ValuePointer]);

impl<C: BlockCursor> GcStream<'_, C> {
    /// Leaves the entry that the stream stands on, and tells whether a block of one source follows all
    /// of whose entries would come out next, as they are. The stream then stands before that block,
    /// whose source stands on its first entry, and lends nothing: [`take_block`](Self::take_block)
    /// passes it, [`advance`](Self::advance) goes into it. Otherwise `advance` goes on as ever.
    ///
    /// # Errors
    ///
    /// Those of the input.
    ///
    /// # Cost
    ///
    /// Before the middle of a block next to none; before each block a comparison with the entry of every
    /// other source.
    pub fn block_follows(&mut self) -> Result<bool, C::Error> {
        if !self.leave()? {
            return Ok(false);
        }
        let mut last = std::mem::take(&mut self.block_end);
        let follows = self.input.block_end(&mut last) && self.stays_whole(&last);
        self.block_end = last;
        Ok(follows)
    }

    /// Passes the block that [follows](Self::block_follows).
    ///
    /// # Errors
    ///
    /// Those of the input.
    pub fn take_block(&mut self) -> Result<(), C::Error> {
        let Some(facts) = self.input.block_facts() else { return Ok(()) };
        self.summary.entries_in += facts.rows;
        self.summary.entries_out += facts.rows;
        let passed = self.input.pass_block();
        if passed.is_err() {
            self.out = Out::Failed;
        }
        passed
    }

    /// The input, whose source with the block is the one it stands on.
    pub fn input(&self) -> &C {
        &self.input
    }

    /// Leaves the entry that the stream lends; whether the input then stands before another key, or behind
    /// the last.
    pub(super) fn leave(&mut self) -> Result<bool, C::Error> {
        match self.out {
            Out::End | Out::Failed => return Ok(false),
            Out::Chain(at) if at + 1 < self.chain.len() => return Ok(false),
            _ => self.out = Out::Nothing,
        }
        let left = match self.at {
            At::Start => self.begin(),
            At::Lent => self.next_version(),
            At::Key | At::Version | At::Covered => Ok(()),
        };
        if left.is_err() {
            self.out = Out::Failed;
        }
        left.map(|()| self.at == At::Key)
    }

    /// Whether no rule changes an entry of the block that the input stands before, which ends with
    /// `last`.
    fn stays_whole(&mut self, last: &[u8]) -> bool {
        let comparator = self.context.comparator;
        let Some(first) = self.input.entry() else { return false };
        let first = first.key;
        if self.context.end.is_some_and(|end| comparator.compare(last, end).is_ge())
            || self.tombstones.overlaps(first, last, comparator)
        {
            return false;
        }
        let Some(older) = self.older.contains_all(first, last, comparator) else { return false };
        let Some(facts) = self.input.block_facts() else { return false };
        if facts.seqno_min >= self.context.watermark {
            return true;
        }
        if self.filter.is_some() {
            return false;
        }
        if !older {
            let is_settled = self.covered_elsewhere.is_none() || facts.seqno_max == SeqNo::ZERO;
            return is_settled && facts.kinds.is_within(ALONE_AT_THE_END);
        }
        let operands_stay = self.context.operator.is_none();
        let alone = ALONE_OVER_OLDER;
        let alone = if operands_stay { alone.with(EntryKind::Merge) } else { alone };
        facts.kinds.is_within(alone)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use stratal_types::{
        BlockFacts, Bytewise, Cursor, EntryRef, Fragments, RangeTombstone, Trailer,
    };

    use super::*;
    use crate::{
        SpanSet,
        gc::{CompactionFilter, GcContext, JobTombstones, Verdict},
    };

    /// A block with the keys "c" and "f", of one kind and number.
    struct Block(EntryKind, SeqNo);

    impl Cursor for Block {
        type Error = Infallible;

        fn seek(&mut self, _: &[u8], _: SeqNo) -> Result<(), Infallible> {
            Ok(())
        }

        fn seek_to_first(&mut self) -> Result<(), Infallible> {
            Ok(())
        }

        fn seek_to_last(&mut self) -> Result<(), Infallible> {
            Ok(())
        }

        fn advance(&mut self) -> Result<(), Infallible> {
            Ok(())
        }

        fn retreat(&mut self) -> Result<(), Infallible> {
            Ok(())
        }

        fn entry(&self) -> Option<EntryRef<'_>> {
            Some(EntryRef::new(b"c", Trailer::new(self.1, self.0), b""))
        }
    }

    impl BlockCursor for Block {
        fn block_end(&self, last: &mut Vec<u8>) -> bool {
            last.clear();
            last.push(b'f');
            true
        }

        fn block_facts(&self) -> Option<BlockFacts> {
            let kinds = KindSet::of(&[self.0]);
            Some(BlockFacts { rows: 2, seqno_min: self.1, seqno_max: self.1, kinds })
        }

        fn begins_block(&self) -> bool {
            true
        }

        fn pass_block(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// Whether the block stays whole below watermark 10, under a tombstone over `tombstone`, with
    /// something older in `older`.
    fn stays(kind: EntryKind, seqno: u32, tombstone: [&str; 2], older: &SpanSet) -> bool {
        let [from, to] = tombstone;
        let deleted = [RangeTombstone::new(from, to, SeqNo::from(9u32))];
        let deleted = Fragments::build(&deleted, &Bytewise);
        let tombstones = JobTombstones::new(deleted, WATERMARK.into(), older, &Bytewise);
        follows(kind, seqno, context(&tombstones, older))
    }

    const WATERMARK: u32 = 10;

    fn context<'a>(tombstones: &'a JobTombstones, older: &'a SpanSet) -> GcContext<'a> {
        let context = GcContext::new(&Bytewise, WATERMARK.into(), tombstones, older);
        GcContext { covered_elsewhere: Some(SpanSet::EMPTY), ..context }
    }

    fn follows(kind: EntryKind, seqno: u32, context: GcContext<'_>) -> bool {
        let mut departed = |_: &[u8], _: &[u8]| {};
        let mut stream = GcStream::new(Block(kind, SeqNo::from(seqno)), context, &mut departed);
        let Ok(follows) = stream.block_follows();
        follows
    }

    #[test]
    fn a_block_follows_only_if_no_rule_changes_it() {
        use EntryKind::{Delete, Put, PutOverDelete};
        let (all, none, away) = (SpanSet::all(), SpanSet::EMPTY, ["x", "y"]);
        let half = SpanSet::of([stratal_types::KeyRange::half_open("d", "z")], &Bytewise);
        for kind in EntryKind::ALL {
            assert!(stays(kind, 10, away, none), "{kind}: above the watermark");
            assert!(!stays(kind, 5, away, &half), "{kind}: something older in a part");
            // No operator folds operands.
            assert!(stays(kind, 5, away, &all), "{kind}: something older");
            assert!(!stays(kind, 5, away, none), "{kind}: its number becomes zero");
            for over in [["a", "d"], ["d", "e"], ["e", "z"], ["a", "z"], ["f", "g"]] {
                assert!(!stays(kind, 5, over, &all), "{kind}: under {over:?}");
            }
            assert!(stays(kind, 5, ["a", "c"], &all) && stays(kind, 5, ["g", "h"], &all));
        }
        assert!(stays(Put, 0, away, none));
        assert!(!stays(Delete, 0, away, none) && !stays(PutOverDelete, 0, away, none));
    }

    #[test]
    fn a_block_follows_only_if_all_of_it_lies_before_the_end() {
        for (end, expected) in [("d", false), ("f", false), ("f\0", true), ("g", true)] {
            let mut context = context(JobTombstones::NONE, SpanSet::EMPTY);
            context.end = Some(end.as_bytes());
            assert_eq!(follows(EntryKind::Put, 0, context), expected, "before {end:?}");
        }
    }

    /// Keeps every value, having seen it.
    struct Looks;

    impl CompactionFilter for Looks {
        fn judge(&mut self, _: EntryRef<'_>) -> Verdict {
            Verdict::Keep
        }
    }

    #[test]
    fn a_block_that_a_filter_judges_is_gone_through() {
        let (watermark, older) = (SeqNo::from(10u32), SpanSet::all());
        for (seqno, stays) in [(5u32, false), (10, true)] {
            let context = GcContext::new(&Bytewise, watermark, JobTombstones::NONE, &older);
            let (mut departed, mut filter) = (|_: &[u8], _: &[u8]| {}, Looks);
            let block = Block(EntryKind::Put, SeqNo::from(seqno));
            let stream = GcStream::new(block, context, &mut departed);
            let mut stream = stream.with_filter(&mut filter);
            let Ok(follows) = stream.block_follows();
            assert_eq!(follows, stays, "{seqno}");
        }
    }
}
