use std::{borrow::Cow, fmt};

use stratal_merge::{Chain, MergeOperator, compose, fold};
use stratal_types::{Comparator, Cursor, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};

use super::{CompactionFilter, GcContext, GcSummary, Verdict, tombstones::FragmentFinger};
use crate::SpanFinger;

/// A merged input with everything left out that no read at or above the watermark can miss.
///
/// The input is any [`Cursor`] in internal order over *all* versions that the inputs of the job
/// hold; the stream begins at the entry it stands on, or else at the first. Entries come out in
/// internal order, borrowed from the input wherever nothing changed but the trailer.
///
/// Memory is bounded by one key, one value and [`GcContext::chain_len_max`], however many versions a
/// key has. A step costs amortized O(1) input entries plus, per key, a search in the fragments.
///
/// # Errors
///
/// Those of the input, and they are sticky as the input's are. After one the stream lends nothing
/// and [`finish`](Self::finish) says that it did not reach its end: a job that stopped early must
/// not be installed.
pub struct GcStream<'a, C> {
    pub(super) input: C,
    pub(super) context: GcContext<'a>,
    pub(super) filter: Option<&'a mut dyn CompactionFilter>,
    digests: bool,
    departed: &'a mut dyn FnMut(&[u8], &[u8]),
    pub(super) older: SpanFinger<'a>,
    pub(super) covered_elsewhere: Option<SpanFinger<'a>>,
    pub(super) tombstones: FragmentFinger<'a>,
    pub(super) tombstones_kept: FragmentFinger<'a>,
    pub(super) summary: GcSummary,

    /// Where the input stands.
    pub(super) at: At,
    /// What [`entry`](Self::entry) lends.
    pub(super) out: Out,
    pub(super) held: Held,
    /// Newest first.
    pub(super) chain: Chain,
    /// Those of the operands in `chain`.
    chain_digests: Vec<Option<EntryDigest>>,
    /// Last key of the block that follows, if one does; kept for its memory.
    pub(super) block_end: Vec<u8>,

    // Of the current key:
    pub(super) key: Vec<u8>,
    /// The newest fragment below the watermark that covers it.
    pub(super) cover: Option<SeqNo>,
    pub(super) nothing_older: bool,
    pub(super) phase: Phase,
    /// Operands are passed on without an attempt to fold.
    pub(super) chain_stays: bool,
    /// Of the last version read.
    pub(super) kind: EntryKind,
    /// Number of the last version read; the same once more is the same entry.
    pub(super) last: Option<SeqNo>,
    /// The pointer in the last version read, if it was one.
    pub(super) last_pointer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Not looked at yet.
    Start,
    /// On an entry that was lent.
    Lent,
    /// On the first version of another key, or behind the last.
    Key,
    /// On a version of the current key.
    Version,
    /// On a version of the current key that a fragment hides from everyone.
    Covered,
}

/// How far the decision about a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No version was judged yet.
    Untouched,
    /// The next version below the watermark is to be judged.
    Judging,
    /// The last version that stays was found: the rest leaves.
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Nothing,
    /// The input's entry under this trailer.
    Input(Trailer),
    Held,
    /// The operand of the chain at this place.
    Chain(usize),
    End,
    Failed,
}

/// An entry of the current key that the stream made or had to keep while it read on.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) trailer: Trailer,
    pub(super) value: Vec<u8>,
    /// The digest of an entry that was kept, and the trailer that it came under.
    pub(super) came_with: Option<(EntryDigest, Trailer)>,
}

impl<'a, C: Cursor> GcStream<'a, C> {
    /// Collects garbage in `input`. Key and pointer of every value pointer that does not come out
    /// again are given to `departed`, once each.
    pub fn new(
        input: C,
        context: GcContext<'a>,
        departed: &'a mut dyn FnMut(&[u8], &[u8]),
    ) -> Self {
        Self {
            input,
            filter: None,
            digests: false,
            departed,
            older: SpanFinger::new(context.older),
            covered_elsewhere: context.covered_elsewhere.map(SpanFinger::new),
            tombstones: FragmentFinger::new(context.tombstones.inputs()),
            tombstones_kept: FragmentFinger::new(context.tombstones.kept()),
            context,
            summary: GcSummary::default(),
            at: At::Start,
            out: Out::Nothing,
            held: Held {
                trailer: Trailer::new(SeqNo::ZERO, EntryKind::Delete),
                value: Vec::new(),
                came_with: None,
            },
            chain: Chain::default(),
            chain_digests: Vec::new(),
            block_end: Vec::new(),
            key: Vec::new(),
            cover: None,
            nothing_older: false,
            phase: Phase::Untouched,
            chain_stays: false,
            kind: EntryKind::Put,
            last: None,
            last_pointer: Vec::new(),
        }
    }

    /// Asks `filter` about values.
    #[must_use]
    pub fn with_filter(mut self, filter: &'a mut dyn CompactionFilter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Keeps the digests that come with entries, for [`digest`](Self::digest).
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.digests = true;
        self
    }

    /// Goes to the next entry that stays.
    pub fn advance(&mut self) -> Result<(), C::Error> {
        match self.out {
            Out::End => return Ok(()),
            Out::Failed => return self.input.advance(),
            _ => {}
        }
        let stepped = self.step();
        match &stepped {
            Err(_) => self.out = Out::Failed,
            Ok(()) if self.out != Out::End => self.summary.entries_out += 1,
            Ok(()) => {}
        }
        stepped
    }

    /// The entry the stream stands on.
    pub fn entry(&self) -> Option<EntryRef<'_>> {
        match self.out {
            Out::Nothing | Out::End | Out::Failed => None,
            Out::Input(trailer) => {
                let entry = self.input.entry()?;
                Some(EntryRef::new(entry.key, trailer, entry.value))
            }
            Out::Held => Some(EntryRef::new(&self.key, self.held.trailer, &self.held.value)),
            Out::Chain(at) => {
                let (trailer, operand) = self.chain.get(at)?;
                Some(EntryRef::new(&self.key, trailer, operand))
            }
        }
    }

    /// The digest that came with the entry the stream stands on, under the trailer that it has now. It was
    /// taken from what the entry held when it was taken: the stream does not look. What the stream made
    /// itself has none, nor has anything unless [digests are kept](Self::with_digests).
    pub fn digest(&self) -> Option<EntryDigest> {
        if !self.digests {
            return None;
        }
        let (digest, from, to) = match self.out {
            Out::Nothing | Out::End | Out::Failed => return None,
            Out::Input(trailer) => (self.input.digest()?, self.input.entry()?.trailer, trailer),
            Out::Held => {
                let (digest, from) = self.held.came_with?;
                (digest, from, self.held.trailer)
            }
            Out::Chain(at) => return *self.chain_digests.get(at)?,
        };
        Some(digest.moved(from, to))
    }

    /// Ends the stream: what it did if it reached its end, `None` if not. Outputs of a stream that
    /// did not reach its end lack entries.
    pub fn finish(self) -> Option<GcSummary> {
        (self.out == Out::End).then_some(self.summary)
    }

    fn step(&mut self) -> Result<(), C::Error> {
        if let Out::Chain(at) = self.out
            && at + 1 < self.chain.len()
        {
            self.out = Out::Chain(at + 1);
            return Ok(());
        }
        self.out = Out::Nothing;
        loop {
            match self.at {
                At::Start => self.begin()?,
                At::Lent => self.next_version()?,
                At::Key => {
                    if !self.begin_key() {
                        self.out = Out::End;
                        return Ok(());
                    }
                }
                At::Covered => {
                    self.summary.covered += 1;
                    self.drop_version()?;
                }
                At::Version => self.judge()?,
            }
            if self.out != Out::Nothing {
                return Ok(());
            }
        }
    }

    /// Finds the first entry.
    pub(super) fn begin(&mut self) -> Result<(), C::Error> {
        if self.input.entry().is_none() {
            self.input.advance()?;
        }
        self.at = At::Key;
        Ok(())
    }

    /// Takes up the key the input stands on; `false` if there is none.
    fn begin_key(&mut self) -> bool {
        let GcContext { comparator, watermark, .. } = self.context;
        let Some(entry) = self.input.entry() else { return false };
        if self.context.end.is_some_and(|end| comparator.compare(entry.key, end).is_ge()) {
            return false;
        }
        self.summary.entries_in += 1;
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        self.cover = self.tombstones.covering(&self.key, watermark, comparator);
        self.nothing_older = !self.older.contains(&self.key, comparator);
        self.phase = Phase::Untouched;
        self.chain_stays = false;
        self.kind = entry.kind();
        self.last = Some(entry.seqno());
        self.last_pointer.clear();
        if entry.kind().is_pointer() {
            self.last_pointer.extend_from_slice(entry.value);
        }
        self.at = if is_covered(self.cover, entry.seqno()) { At::Covered } else { At::Version };
        true
    }

    /// Moves the input on by one version and notes where it then stands.
    pub(super) fn next_version(&mut self) -> Result<(), C::Error> {
        self.input.advance()?;
        while self.input.entry().is_some_and(|entry| entry.key == self.key) {
            if self.note_version() {
                return Ok(());
            }
            self.input.advance()?;
        }
        self.at = At::Key;
        Ok(())
    }

    /// Notes the version of the current key that the input stands on; `false` if it is the same entry as
    /// the last one, from another source.
    pub(super) fn note_version(&mut self) -> bool {
        let Some(entry) = self.input.entry() else { return false };
        self.summary.entries_in += 1;
        let is_pointer = entry.kind().is_pointer();
        if self.last == Some(entry.seqno()) {
            self.summary.replaced += 1;
            if is_pointer && entry.value != self.last_pointer {
                self.summary.pointers_departed += 1;
                (self.departed)(entry.key, entry.value);
            }
            return false;
        }
        self.kind = entry.kind();
        self.last = Some(entry.seqno());
        self.last_pointer.clear();
        if is_pointer {
            self.last_pointer.extend_from_slice(entry.value);
        }
        self.at = if is_covered(self.cover, entry.seqno()) { At::Covered } else { At::Version };
        true
    }

    /// Leaves the version the input stands on out of the output.
    fn drop_version(&mut self) -> Result<(), C::Error> {
        self.depart();
        self.next_version()
    }

    /// Reports the value pointer the input stands on, if it does, as gone.
    fn depart(&mut self) {
        if self.kind.is_pointer()
            && let Some(entry) = self.input.entry()
        {
            self.summary.pointers_departed += 1;
            (self.departed)(entry.key, entry.value);
        }
    }

    /// Drops what is left of the key below the watermark; whether that is something which a put
    /// above it must remember.
    pub(super) fn drop_rest(&mut self) -> Result<bool, C::Error> {
        self.phase = Phase::Settled;
        let mut deletes = false;
        loop {
            match self.at {
                At::Version => {
                    deletes |= self.kind.is_delete() || is_marked(self.kind);
                    self.summary.replaced += 1;
                }
                At::Covered => self.summary.covered += 1,
                At::Start | At::Lent | At::Key => return Ok(deletes),
            }
            self.drop_version()?;
        }
    }

    fn lend_input(&mut self, trailer: Trailer) {
        self.at = At::Lent;
        self.out = Out::Input(trailer);
    }

    fn lend_held(&mut self, seqno: SeqNo, kind: EntryKind) {
        self.held.trailer = Trailer::new(seqno, kind);
        self.out = Out::Held;
    }

    fn lend_held_delete(&mut self, seqno: SeqNo, kind: EntryKind) {
        self.held.value.clear();
        self.lend_held(seqno, kind);
    }

    /// Keeps the digest of the version the input stands on, which is to be held.
    fn keep_digest(&mut self, trailer: Trailer) {
        if self.digests {
            self.held.came_with = self.input.digest().map(|digest| (digest, trailer));
        }
    }

    /// Decides about the version the input stands on, which no fragment hides from everyone.
    fn judge(&mut self) -> Result<(), C::Error> {
        let Some(entry) = self.input.entry() else { return Ok(()) };
        self.held.came_with = None;
        let newest = self.phase == Phase::Untouched;
        if newest {
            self.phase = Phase::Judging;
        }
        let trailer = entry.trailer;
        if trailer.seqno() >= self.context.watermark {
            self.lend_input(trailer);
            return Ok(());
        }
        if self.phase == Phase::Settled {
            self.summary.replaced += 1;
            return self.drop_version();
        }
        match trailer.kind() {
            EntryKind::Delete => self.judge_delete(trailer),
            EntryKind::WeakDelete => {
                self.keep_digest(trailer);
                self.judge_weak_delete(trailer.seqno())
            }
            EntryKind::Merge => match self.context.operator {
                Some(operator) if !self.chain_stays => self.judge_operands(operator),
                _ => {
                    self.lend_input(trailer);
                    Ok(())
                }
            },
            kind if kind.is_value() => match self.ask_filter(newest) {
                Verdict::Keep => self.judge_value(trailer),
                verdict => self.apply(verdict, trailer),
            },
            _ => {
                self.lend_input(trailer);
                Ok(())
            }
        }
    }

    fn judge_delete(&mut self, trailer: Trailer) -> Result<(), C::Error> {
        self.phase = Phase::Settled;
        if self.nothing_older {
            self.summary.deletes_collected += 1;
            return self.next_version();
        }
        self.lend_input(trailer);
        Ok(())
    }

    /// A weak delete with this number; the input stands on it, or on the value it takes the place of.
    fn judge_weak_delete(&mut self, seqno: SeqNo) -> Result<(), C::Error> {
        self.next_version()?;
        let under = match self.at {
            At::Version => self.input.entry().map(|entry| entry.kind()),
            _ => None,
        };
        if matches!(under, Some(EntryKind::Put | EntryKind::ValuePointer)) {
            self.summary.weak_pairs += 1;
            return self.drop_version();
        }
        self.phase = Phase::Settled;
        if self.nothing_older {
            self.summary.deletes_collected += 1;
        } else {
            let kind = if under.is_some() { EntryKind::Delete } else { EntryKind::WeakDelete };
            self.lend_held_delete(seqno, kind);
        }
        Ok(())
    }

    fn judge_value(&mut self, trailer: Trailer) -> Result<(), C::Error> {
        let kind = trailer.kind();
        if self.nothing_older {
            self.phase = Phase::Settled;
            let seqno = self.settle_seqno(trailer.seqno());
            self.lend_input(Trailer::new(seqno, with_mark(kind, false)));
            return Ok(());
        }
        if is_marked(kind) {
            self.phase = Phase::Settled;
            self.lend_input(trailer);
            return Ok(());
        }
        // Whether it gets a mark shows only further down the key.
        if let Some(entry) = self.input.entry() {
            self.held.value.clear();
            self.held.value.extend_from_slice(entry.value);
        }
        self.keep_digest(trailer);
        self.next_version()?;
        let mark = self.drop_rest()?;
        self.lend_held(trailer.seqno(), with_mark(kind, mark));
        Ok(())
    }

    fn ask_filter(&mut self, newest: bool) -> Verdict {
        match (&mut self.filter, self.input.entry()) {
            (Some(filter), Some(entry)) if newest => filter.judge(entry),
            _ => Verdict::Keep,
        }
    }

    /// Does to the value the input stands on what the filter says.
    fn apply(&mut self, verdict: Verdict, trailer: Trailer) -> Result<(), C::Error> {
        self.summary.filtered += 1;
        self.depart();
        let mark = is_marked(trailer.kind());
        match verdict {
            Verdict::Replace(value) => {
                self.held.value = value;
                self.next_version()?;
                let mark = self.drop_rest()? | mark;
                self.lend_made_value(trailer.seqno(), mark);
                Ok(())
            }
            Verdict::WeakRemove if !mark => self.judge_weak_delete(trailer.seqno()),
            _ => {
                self.phase = Phase::Settled;
                self.next_version()?;
                if self.nothing_older {
                    self.summary.deletes_collected += 1;
                } else {
                    self.lend_held_delete(trailer.seqno(), EntryKind::Delete);
                }
                Ok(())
            }
        }
    }

    /// Lends the held value as the last version of the key below the watermark.
    fn lend_made_value(&mut self, seqno: SeqNo, mark: bool) {
        let seqno = if self.nothing_older { self.settle_seqno(seqno) } else { seqno };
        self.lend_held(seqno, with_mark(EntryKind::Put, mark && !self.nothing_older));
    }

    /// The operands that begin where the input stands.
    fn judge_operands(&mut self, operator: &dyn MergeOperator) -> Result<(), C::Error> {
        self.chain.clear();
        self.chain_digests.clear();
        let mut over_limit = false;
        while let (At::Version, false) = (self.at, over_limit) {
            let Some(entry) = self.input.entry() else { break };
            if entry.kind() != EntryKind::Merge {
                break;
            }
            self.chain.push(entry.trailer, entry.value);
            if self.digests {
                self.chain_digests.push(self.input.digest());
            }
            over_limit = self.chain.size() > self.context.chain_len_max;
            self.next_version()?;
        }
        let Some((newest, _)) = self.chain.get(0) else { return Ok(()) };

        let attempt = if over_limit { self.compose(operator) } else { self.fold(operator) };
        match attempt {
            Attempt::Folded(value) => {
                self.summary.folds += 1;
                self.summary.replaced += self.chain.len() as u64 - 1;
                self.held.value = value;
                let mark = self.drop_rest()?;
                self.lend_made_value(newest.seqno(), mark);
            }
            Attempt::Composed(operand) => {
                self.summary.compositions += 1;
                self.summary.replaced += self.chain.len() as u64 - 1;
                if !over_limit {
                    self.phase = Phase::Settled;
                }
                self.held.value = operand;
                self.lend_held(newest.seqno(), EntryKind::Merge);
            }
            Attempt::Unproven | Attempt::Failed => {
                self.summary.folds_failed += u64::from(matches!(attempt, Attempt::Failed));
                self.chain_stays = true;
                self.out = Out::Chain(0);
            }
        }
        Ok(())
    }

    /// Composes the chain, under which there are more operands, so that memory is bounded.
    fn compose(&self, operator: &dyn MergeOperator) -> Attempt {
        let composed = compose(operator, &self.key, &self.chain.reversed());
        composed.map_or(Attempt::Failed, Attempt::Composed)
    }

    /// Folds the chain onto what the input stands on behind it.
    fn fold(&self, operator: &dyn MergeOperator) -> Attempt {
        let operands = self.chain.reversed();
        let under = match self.at {
            At::Version => self.input.entry(),
            _ => None,
        };
        let base = match under {
            Some(entry) if entry.kind().is_pointer() => {
                match self.context.values.and_then(|values| values.value(entry.value)) {
                    Some(value) => Some(Cow::Owned(value)),
                    None => return Attempt::Failed,
                }
            }
            Some(entry) if entry.kind().is_value() => Some(entry.value.into()),
            Some(entry) if entry.kind().is_delete() => None,
            Some(_) => return Attempt::Failed,
            None if self.nothing_older || self.cover.is_some() => None,
            None if operands.len() > 1 => {
                let composed = compose(operator, &self.key, &operands);
                return composed.map_or(Attempt::Unproven, Attempt::Composed);
            }
            None => return Attempt::Unproven,
        };
        let folded = fold(operator, &self.key, base.as_deref(), &operands);
        folded.map_or(Attempt::Failed, Attempt::Folded)
    }

    /// The number of a value that nothing older lies under: zero unless a fragment covers the key.
    fn settle_seqno(&mut self, seqno: SeqNo) -> SeqNo {
        let settled = settle(
            &mut self.covered_elsewhere,
            &mut self.tombstones_kept,
            self.context.comparator,
            &self.key,
            seqno,
        );
        self.summary.zeroed += u64::from(settled != seqno);
        settled
    }

    /// Whether digests that come with entries are kept.
    pub(super) const fn keeps_digests(&self) -> bool {
        self.digests
    }
}

/// The number of a value of `key` that nothing older lies under: zero unless a fragment covers the key, or
/// may outside of the inputs.
pub(super) fn settle(
    elsewhere: &mut Option<SpanFinger<'_>>,
    kept: &mut FragmentFinger<'_>,
    comparator: &dyn Comparator,
    key: &[u8],
    seqno: SeqNo,
) -> SeqNo {
    let Some(elsewhere) = elsewhere else { return seqno };
    if seqno == SeqNo::ZERO
        || elsewhere.contains(key, comparator)
        || kept.covering(key, SeqNo::MAX, comparator).is_some()
    {
        return seqno;
    }
    SeqNo::ZERO
}

/// What came of a chain of operands.
enum Attempt {
    Folded(Vec<u8>),
    Composed(Vec<u8>),
    /// The base may lie deeper.
    Unproven,
    Failed,
}

impl<C> fmt::Debug for GcStream<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcStream")
            .field("context", &self.context)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

/// Whether `cover`, the newest fragment below the watermark, hides a version from every reader.
fn is_covered(cover: Option<SeqNo>, version: SeqNo) -> bool {
    cover.is_some_and(|fragment| fragment > version)
}

const fn is_marked(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::PutOverDelete | EntryKind::ValuePointerOverDelete)
}

/// The value kind with or without its mark; other kinds as they are.
const fn with_mark(kind: EntryKind, mark: bool) -> EntryKind {
    match (kind, mark) {
        (EntryKind::Put | EntryKind::PutOverDelete, false) => EntryKind::Put,
        (EntryKind::Put | EntryKind::PutOverDelete, true) => EntryKind::PutOverDelete,
        (EntryKind::ValuePointer | EntryKind::ValuePointerOverDelete, false) => {
            EntryKind::ValuePointer
        }
        (EntryKind::ValuePointer | EntryKind::ValuePointerOverDelete, true) => {
            EntryKind::ValuePointerOverDelete
        }
        (other, _) => other,
    }
}
