use std::{ops::Bound, sync::Arc};

use stratal_types::{Comparator, Cursor, Direction, EntryKind, EntryRef, KeyRange, SeqNo, Trailer};

use crate::{
    Chain, Fold, MergingCursor, Source, Verdict, decide,
    masks::{Covering, Masks},
    simple::Simple,
};

mod folding;
mod newest;

pub use folding::FOLD_SIZE_MAX;
use folding::{FoldOf, folded};
use newest::Newest;

/// Versions of one key that are stepped over before the cursor seeks past the rest.
const VERSIONS_STEPPED: usize = 8;

/// Keys hidden by a range tombstone that are stepped over before older sources are sent to its end.
const MASKED_STEPPED: usize = 4;

/// The rows that a read at a bound finds: of each user key the newest version below the bound, unless
/// that is a delete or lies under a newer range tombstone.
///
/// Operands that a key's newest versions are, are folded [with](Self::with_fold) a [`Fold`]; the row is
/// a put then, of the number of the newest operand. Without one an operand is a row as it is; a value
/// pointer always.
///
/// Where a range tombstone hides row after row, sources whose entries it all hides are sent past its
/// end by `seek` instead of being stepped, so a scan over any number of such rows takes a fixed number
/// of steps per tombstone. Keys with many versions are left by `seek` too.
///
/// # Contract
///
/// Sources stand in age order, the newest first: of each key, every version in a source, and every
/// range tombstone over the key, is newer than any version in the sources behind it, save versions
/// that stand in the newer source too.
#[derive(Debug)]
pub struct VisibleCursor<C: Cursor> {
    merged: MergingCursor<C>,
    masks: Masks,
    /// `seqno_max` of each source, if any has range tombstones.
    seqno_max: Vec<SeqNo>,
    bound: SeqNo,
    range: KeyRange,
    place: Place,
    /// Rows ahead that need no decision, while the place is `Ahead`.
    simple: Simple,
    /// The key being left or, going backward or folded, the key of the row.
    key: Vec<u8>,
    /// The value of the row, going backward or folded.
    value: Vec<u8>,
    masked: Masked,
    fold: FoldOf<C>,
    /// What keys begin with whose operands are folded.
    folded_prefix: Vec<u8>,
    chain: Chain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeFirst,
    /// `merged` stands on the row, wherever it came from.
    Ahead,
    /// The row is in `key` and `value`; `merged` stands on an entry of the key, or on the first of the
    /// keys behind.
    Folded(Trailer),
    /// The row is in `key` and `value`; `merged` stands on the last entry of the keys before.
    Back(Trailer),
    BehindLast,
    /// A source failed.
    Failed,
    /// The operands of `key` cannot be folded. The sources are well.
    Unfolded,
}

/// When passing over masked entries is worth its seeks.
#[derive(Clone, Copy, Debug)]
struct Masked {
    /// Rows masked since the last one shown or the last attempt.
    count: usize,
    /// How many it takes for an attempt. Doubles while attempts find nothing to pass.
    patience: usize,
}

impl Masked {
    const NONE: Self = Self { count: 0, patience: MASKED_STEPPED };
    /// A seek has been paid for, so that another one for the end of a tombstone is no great matter.
    const SOUGHT: Self = Self { count: 0, patience: 1 };
}

impl<C: Cursor> VisibleCursor<C> {
    /// What a read at `bound` finds in `sources`, newest first, all in the order of `comparator`.
    pub fn new(sources: Vec<Source<C>>, comparator: Arc<dyn Comparator>, bound: SeqNo) -> Self {
        let tombstones = sources.iter().map(|source| &source.tombstones);
        let masks = Masks::new(tombstones, bound);
        let numbers = sources.iter().filter(|_| !masks.is_empty()).map(|source| source.seqno_max);
        let seqno_max = numbers.collect();
        // Not collected in the place of the sources: to give back what is too long costs more than this.
        let mut cursors = Vec::with_capacity(sources.len());
        cursors.extend(sources.into_iter().map(|source| source.cursor));
        Self {
            merged: MergingCursor::new(cursors, comparator),
            masks,
            seqno_max,
            bound,
            range: KeyRange::ALL,
            place: Place::BeforeFirst,
            simple: Simple::NONE,
            key: Vec::new(),
            value: Vec::new(),
            masked: Masked::NONE,
            fold: FoldOf(None),
            folded_prefix: Vec::new(),
            chain: Chain::default(),
        }
    }

    /// What the same read finds in `sources`, before its first row.
    pub(crate) fn of_same(&self, sources: Vec<Source<C>>) -> Self {
        let comparator = Arc::clone(self.merged.comparator());
        let rows = Self::new(sources, comparator, self.bound).with_range(self.range.clone());
        let folded_prefix = self.folded_prefix.clone();
        Self { fold: FoldOf(self.fold.0.clone()), folded_prefix, ..rows }
    }

    /// Folds operands with `fold`.
    #[must_use]
    #[inline]
    pub fn with_fold(mut self, fold: Arc<dyn Fold<C::Error>>) -> Self {
        self.fold_with(fold);
        self
    }

    pub(crate) fn fold_with(&mut self, fold: Arc<dyn Fold<C::Error>>) {
        self.fold = FoldOf(Some(fold));
    }

    /// Folds only operands of keys that begin with `prefix`; others are rows as they are.
    pub(crate) fn fold_only(&mut self, prefix: &[u8]) {
        self.folded_prefix = prefix.to_vec();
    }

    fn folds(&self, key: &[u8]) -> bool {
        self.fold.0.is_some() && key.starts_with(&self.folded_prefix)
    }

    /// Shows only keys in `range`, and looks at no entry beyond what it takes to find its ends.
    #[must_use]
    #[inline]
    pub fn with_range(mut self, range: KeyRange) -> Self {
        self.range = range;
        self
    }

    /// The order of keys.
    pub fn comparator(&self) -> &Arc<dyn Comparator> {
        self.merged.comparator()
    }

    /// The bound of the read.
    pub fn bound(&self) -> SeqNo {
        self.bound
    }

    /// The cursors, newest first. Between the steps of this cursor they stand somewhere near.
    pub fn sources(&self) -> &[C] {
        self.merged.sources()
    }

    /// Notes that a row was hidden by the tombstone `covered` and, after some of them, sends every
    /// source past that tombstone of whose entries under it none can be shown.
    fn pass_masked(&mut self, covered: Covering, direction: Direction) -> Result<(), C::Error> {
        self.masked.count += 1;
        if self.masked.count < self.masked.patience {
            return Ok(());
        }
        let Self { merged, masks, seqno_max, masked, .. } = self;
        let Some(limit) = masks.hidden_to(covered, direction) else { return Ok(()) };
        let all_hidden =
            |source: usize| source > covered.source || seqno_max[source] < covered.seqno;
        let moved = merged.pass(limit, covered.seqno, all_hidden)?;
        let patience = if moved { MASKED_STEPPED } else { masked.patience.saturating_mul(2) };
        *masked = Masked { count: 0, patience };
        Ok(())
    }

    /// Goes on to the first row from the entry on which `merged` stands.
    fn find_ahead(&mut self) -> Result<(), C::Error> {
        self.simple.forget();
        loop {
            let comparator = self.merged.comparator().as_ref();
            let entry = self.merged.entry();
            let Some(entry) = entry.filter(|entry| !self.range.is_before(entry.key, comparator))
            else {
                self.place = Place::BehindLast;
                return Ok(());
            };
            let trailer = entry.trailer;
            let covered = self.masks.covering(entry.key, self.merged.order());
            match decide(trailer, covered.map(|covered| covered.seqno), self.bound) {
                Verdict::Shown => {
                    self.masked = Masked::NONE;
                    if trailer.kind() == EntryKind::Merge && self.folds(entry.key) {
                        self.keep_key();
                        self.fold_ahead(trailer, covered.map(|covered| covered.seqno))?;
                        self.place = Place::Folded(folded(trailer));
                    } else {
                        self.place = Place::Ahead;
                        self.look_ahead(Direction::Forward);
                    }
                    return Ok(());
                }
                Verdict::Unseen => {
                    self.keep_key();
                    self.leave_unseen()?;
                }
                Verdict::Hidden => {
                    self.keep_key();
                    if let Some(covered) = covered.filter(|covered| covered.seqno > trailer.seqno())
                    {
                        self.pass_masked(covered, Direction::Forward)?;
                    }
                    self.leave_key_ahead()?;
                }
            }
        }
    }

    /// Goes on, over versions of the key kept that the read does not see.
    fn leave_unseen(&mut self) -> Result<(), C::Error> {
        for _ in 0..VERSIONS_STEPPED {
            self.merged.advance()?;
            let unseen = |entry: EntryRef<'_>| {
                entry.key == self.key && !entry.seqno().is_visible_at(self.bound)
            };
            if !self.merged.entry().is_some_and(unseen) {
                return Ok(());
            }
        }
        self.merged.seek(&self.key, self.bound)
    }

    /// Goes on to the first entry of another key than the one kept.
    fn leave_key_ahead(&mut self) -> Result<(), C::Error> {
        for _ in 0..VERSIONS_STEPPED {
            if self.merged.entry().is_none_or(|entry| entry.key != self.key) {
                return Ok(());
            }
            self.merged.advance()?;
        }
        if self.merged.entry().is_some_and(|entry| entry.key == self.key) {
            self.merged.leave_key(&self.key)?;
        }
        Ok(())
    }

    /// Goes back to the last row up to the entry on which `merged` stands, the oldest of its key.
    fn find_back(&mut self) -> Result<(), C::Error> {
        self.simple.forget();
        loop {
            let comparator = self.merged.comparator().as_ref();
            let entry = self.merged.entry();
            if entry.is_none_or(|entry| self.range.is_after(entry.key, comparator)) {
                self.place = Place::BeforeFirst;
                return Ok(());
            }
            self.keep_key();
            let covered = self.masks.covering(&self.key, self.merged.order());
            if covered.is_none() && self.look_ahead(Direction::Backward) {
                self.masked = Masked::NONE;
                self.place = Place::Ahead;
                return Ok(());
            }
            let seqno = covered.map(|covered| covered.seqno);
            let mut newest = Newest::new(seqno, self.folds(&self.key));
            self.chain.clear();
            let is_all = self.leave_key_back(&mut newest)?;
            if let Some(trailer) = newest.shown {
                self.masked = Masked::NONE;
                let folds = newest.folds && trailer.kind() == EntryKind::Merge;
                self.place = Place::Back(if folds { folded(trailer) } else { trailer });
                return match (folds, is_all) {
                    (false, _) => Ok(()),
                    (true, true) => self.fold_chain(newest.base, Chain::in_order),
                    (true, false) => self.fold_back(trailer, seqno),
                };
            }
            if let Some(covered) = covered.filter(|_| newest.masked) {
                self.pass_masked(covered, Direction::Backward)?;
            }
        }
    }

    /// Goes back over every version of the key kept, to the last entry of the keys before, and notes
    /// the version that the read finds. Whether all versions were noted on the way.
    fn leave_key_back(&mut self, newest: &mut Newest) -> Result<bool, C::Error> {
        let bound = self.bound;
        for _ in 0..VERSIONS_STEPPED {
            let Some(entry) = self.merged.entry().filter(|entry| entry.key == self.key) else {
                return Ok(true);
            };
            newest.note(entry, bound, &mut self.value, &mut self.chain);
            self.merged.retreat()?;
        }
        if self.merged.entry().is_none_or(|entry| entry.key != self.key) {
            return Ok(true);
        }
        self.merged.seek(&self.key, bound)?;
        if let Some(entry) = self.merged.entry().filter(|entry| entry.key == self.key) {
            newest.note(entry, bound, &mut self.value, &mut self.chain);
        }
        self.leave_key_before()?;
        Ok(false)
    }

    /// Goes to the last entry of the keys before the one kept.
    fn leave_key_before(&mut self) -> Result<(), C::Error> {
        self.merged.seek_before(&self.key, SeqNo::MAX)
    }

    /// Finds out how many rows, that on which `merged` stands and those behind it in `direction`, need no
    /// decision; whether the first of them is known to be one. Its key was the last one asked of `masks`.
    fn look_ahead(&mut self, direction: Direction) -> bool {
        if !self.merged.has_streak() || !self.simple.is_worth_looking() {
            return false;
        }
        let Some(clear) = self.masks.clear_stretch() else { return false };
        let (bound_of_range, bound_of_clear) = match direction {
            Direction::Forward => (&self.range.end, clear.end),
            Direction::Backward => (&self.range.start, clear.start),
        };
        let limit = match (bound_of_range, bound_of_clear) {
            (Bound::Unbounded, limit) => limit,
            (Bound::Included(limit) | Bound::Excluded(limit), None) => Some(&limit[..]),
            (Bound::Included(a) | Bound::Excluded(a), Some(b)) => {
                let range_ends_first = match direction {
                    Direction::Forward => self.merged.order().keys(a, b).is_lt(),
                    Direction::Backward => self.merged.order().keys(a, b).is_gt(),
                };
                Some(if range_ends_first { &a[..] } else { b })
            }
        };
        let count = self.merged.simple_stretch(direction, self.bound, limit);
        self.simple.found(direction, count);
        count > 0
    }

    /// Keeps the key of the entry on which `merged` stands.
    fn keep_key(&mut self) {
        if let Some(entry) = self.merged.entry() {
            self.key.clear();
            self.key.extend_from_slice(entry.key);
        }
    }

    fn try_seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), C::Error> {
        self.place = Place::Failed;
        if self.range.is_after(key, self.merged.comparator().as_ref()) {
            return self.try_seek_to_first();
        }
        // The row of `key` is its newest version below the read's bound. If that is not below the
        // caller's, the row stands before the place sought.
        let bound_of_row = if bound == SeqNo::ZERO { SeqNo::ZERO } else { self.bound };
        self.merged.seek(key, bound_of_row)?;
        self.masked = Masked::SOUGHT;
        self.find_ahead()?;
        let is_before = |entry: EntryRef<'_>| entry.key == key && entry.seqno() >= bound;
        if self.entry().is_some_and(is_before) { self.try_advance() } else { Ok(()) }
    }

    /// Goes to the last row at or before `key`. A read of what is behind is spared, as
    /// [`seek`](Cursor::seek) and [`retreat`](Cursor::retreat) would make it.
    ///
    /// # Errors
    ///
    /// Those of the sources, and operands that cannot be folded.
    pub fn seek_back(&mut self, key: &[u8]) -> Result<(), C::Error> {
        self.step(|cursor| cursor.try_seek_back(key))
    }

    fn try_seek_back(&mut self, key: &[u8]) -> Result<(), C::Error> {
        self.place = Place::Failed;
        if self.range.is_before(key, self.merged.comparator().as_ref()) {
            return self.try_seek_to_last();
        }
        self.merged.seek_before(key, SeqNo::ZERO)?;
        self.masked = Masked::SOUGHT;
        self.find_back()
    }

    fn try_seek_to_first(&mut self) -> Result<(), C::Error> {
        self.place = Place::Failed;
        match &self.range.start {
            Bound::Included(key) => self.merged.seek(key, self.bound)?,
            Bound::Excluded(key) => self.merged.seek(key, SeqNo::ZERO)?,
            Bound::Unbounded => self.merged.seek_to_first()?,
        }
        self.masked = Masked::SOUGHT;
        self.find_ahead()
    }

    fn try_seek_to_last(&mut self) -> Result<(), C::Error> {
        self.place = Place::Failed;
        self.masked = Masked::SOUGHT;
        match &self.range.end {
            Bound::Included(key) => self.merged.seek_before(key, SeqNo::ZERO)?,
            Bound::Excluded(key) => self.merged.seek_before(key, SeqNo::MAX)?,
            Bound::Unbounded => self.merged.seek_to_last()?,
        }
        self.find_back()
    }

    fn try_advance(&mut self) -> Result<(), C::Error> {
        match self.place {
            Place::BeforeFirst => self.try_seek_to_first(),
            Place::Ahead => {
                self.keep_key();
                self.merged.advance()?;
                self.leave_key_ahead()?;
                self.find_ahead()
            }
            Place::Back(_) => {
                self.merged.seek(&self.key, SeqNo::ZERO)?;
                self.masked = Masked::SOUGHT;
                self.find_ahead()
            }
            Place::Folded(_) => {
                self.leave_key_ahead()?;
                self.find_ahead()
            }
            Place::BehindLast => Ok(()),
            Place::Failed => self.merged.advance(),
            Place::Unfolded => self.fold_again(),
        }
    }

    fn try_retreat(&mut self) -> Result<(), C::Error> {
        match self.place {
            Place::BeforeFirst => Ok(()),
            Place::Ahead => {
                self.keep_key();
                self.merged.retreat()?;
                if self.merged.entry().is_some_and(|entry| entry.key == self.key) {
                    self.leave_key_before()?;
                }
                self.find_back()
            }
            Place::Folded(_) => {
                self.leave_key_before()?;
                self.find_back()
            }
            Place::Back(_) => self.find_back(),
            Place::BehindLast => self.try_seek_to_last(),
            Place::Failed => self.merged.retreat(),
            Place::Unfolded => self.fold_again(),
        }
    }

    /// Goes to the next of the rows that need no decision.
    #[inline]
    fn go_on_simply(&mut self, direction: Direction) -> Result<(), C::Error> {
        let moved = self.merged.go_on_simply(direction);
        if moved.is_err() {
            self.simple.forget();
            self.place = Place::Failed;
        }
        moved
    }

    /// Runs a step; if it fails the cursor stands nowhere.
    fn step(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), C::Error>,
    ) -> Result<(), C::Error> {
        self.simple.forget();
        let result = step(self);
        if result.is_err() && self.place != Place::Unfolded {
            self.place = Place::Failed;
        }
        result
    }
}

impl<C: Cursor> Cursor for VisibleCursor<C> {
    type Error = C::Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), C::Error> {
        self.step(|cursor| cursor.try_seek(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), C::Error> {
        self.step(Self::try_seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), C::Error> {
        self.step(Self::try_seek_to_last)
    }

    #[inline]
    fn advance(&mut self) -> Result<(), C::Error> {
        if self.simple.take(Direction::Forward) {
            return self.go_on_simply(Direction::Forward);
        }
        self.step(Self::try_advance)
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), C::Error> {
        if self.simple.take(Direction::Backward) {
            return self.go_on_simply(Direction::Backward);
        }
        self.step(Self::try_retreat)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        match self.place {
            Place::Ahead => self.merged.entry(),
            Place::Folded(trailer) | Place::Back(trailer) => {
                Some(EntryRef::new(&self.key, trailer, &self.value))
            }
            Place::BeforeFirst | Place::BehindLast | Place::Failed | Place::Unfolded => None,
        }
    }
}
