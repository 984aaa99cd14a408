use std::{ops::Bound, sync::Arc};

use stratal_types::{Comparator, Cursor, EntryRef, Fragments, KeyRange, SeqNo, Trailer};

use crate::{
    MergingCursor, Verdict, decide,
    masks::{Covering, Masks},
    merging::Direction,
};

/// Versions of one key that are stepped over before the cursor seeks past the rest.
const VERSIONS_STEPPED: usize = 8;

/// Keys hidden by a range tombstone that are stepped over before older sources are sent to its end.
const MASKED_STEPPED: usize = 4;

/// Where some of the entries of a read come from.
#[derive(Clone, Debug)]
pub struct Source<C> {
    /// Its entries.
    pub cursor: C,
    /// Its range tombstones. They hold over the entries of every source.
    pub tombstones: Arc<Fragments>,
    /// No *entry* of it has a higher number ([`SeqNo::MAX`] if that is not known). Lets the cursor
    /// pass over entries under a tombstone that no older source could hold.
    pub seqno_max: SeqNo,
}

impl<C> Source<C> {
    /// A source about whose numbers nothing is known.
    pub fn new(cursor: C, tombstones: Arc<Fragments>) -> Self {
        Self { cursor, tombstones, seqno_max: SeqNo::MAX }
    }
}

/// The rows that a read at a bound finds: of each user key the newest version below the bound, unless
/// that is a delete or lies under a newer range tombstone.
///
/// An operand is a row as it is; a value pointer too.
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
pub struct VisibleCursor<C> {
    merged: MergingCursor<C>,
    masks: Masks,
    /// `seqno_max` of each source.
    seqno_max: Vec<SeqNo>,
    bound: SeqNo,
    range: KeyRange,
    place: Place,
    /// The key being left or, going backward, the key of the row.
    key: Vec<u8>,
    /// The value of the row, going backward.
    value: Vec<u8>,
    masked: Masked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeFirst,
    /// `merged` stands on the row.
    Ahead,
    /// The row is in `key` and `value`; `merged` stands on the last entry of the keys before.
    Back(Trailer),
    BehindLast,
    Failed,
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
}

impl<C: Cursor> VisibleCursor<C> {
    /// What a read at `bound` finds in `sources`, newest first, all in the order of `comparator`.
    pub fn new(sources: Vec<Source<C>>, comparator: Arc<dyn Comparator>, bound: SeqNo) -> Self {
        let seqno_max = sources.iter().map(|source| source.seqno_max).collect();
        let tombstones = sources.iter().map(|source| Arc::clone(&source.tombstones));
        let masks = Masks::new(tombstones, bound);
        let cursors = sources.into_iter().map(|source| source.cursor).collect();
        Self {
            merged: MergingCursor::new(cursors, comparator),
            masks,
            seqno_max,
            bound,
            range: KeyRange::ALL,
            place: Place::BeforeFirst,
            key: Vec::new(),
            value: Vec::new(),
            masked: Masked::NONE,
        }
    }

    /// Shows only keys in `range`, and looks at no entry beyond what it takes to find its ends.
    #[must_use]
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
        let stretch = masks.stretch(covered);
        let limit = if direction == Direction::Forward { stretch.end } else { stretch.start };
        let Some(limit) = limit else { return Ok(()) };
        let all_hidden =
            |source: usize| source > covered.source || seqno_max[source] < covered.seqno;
        let moved = merged.pass(limit, all_hidden)?;
        let patience = if moved { MASKED_STEPPED } else { masked.patience.saturating_mul(2) };
        *masked = Masked { count: 0, patience };
        Ok(())
    }

    /// Goes on to the first row from the entry on which `merged` stands.
    fn find_ahead(&mut self) -> Result<(), C::Error> {
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
                    self.place = Place::Ahead;
                    self.masked = Masked::NONE;
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
            self.merged.seek(&self.key, SeqNo::ZERO)?;
        }
        Ok(())
    }

    /// Goes back to the last row up to the entry on which `merged` stands, the oldest of its key.
    fn find_back(&mut self) -> Result<(), C::Error> {
        loop {
            let comparator = self.merged.comparator().as_ref();
            let entry = self.merged.entry();
            if entry.is_none_or(|entry| self.range.is_after(entry.key, comparator)) {
                self.place = Place::BeforeFirst;
                return Ok(());
            }
            self.keep_key();
            let covered = self.masks.covering(&self.key, self.merged.order());
            let seqno = covered.map(|covered| covered.seqno);
            let mut newest = Newest { covered: seqno, shown: None, masked: false };
            self.leave_key_back(&mut newest)?;
            if let Some(trailer) = newest.shown {
                self.place = Place::Back(trailer);
                self.masked = Masked::NONE;
                return Ok(());
            }
            if let Some(covered) = covered.filter(|_| newest.masked) {
                self.pass_masked(covered, Direction::Backward)?;
            }
        }
    }

    /// Goes back over every version of the key kept, to the last entry of the keys before, and notes
    /// the version that the read finds.
    fn leave_key_back(&mut self, newest: &mut Newest) -> Result<(), C::Error> {
        let bound = self.bound;
        for _ in 0..VERSIONS_STEPPED {
            let Some(entry) = self.merged.entry().filter(|entry| entry.key == self.key) else {
                return Ok(());
            };
            newest.note(entry, bound, &mut self.value);
            self.merged.retreat()?;
        }
        if self.merged.entry().is_none_or(|entry| entry.key != self.key) {
            return Ok(());
        }
        self.merged.seek(&self.key, bound)?;
        if let Some(entry) = self.merged.entry().filter(|entry| entry.key == self.key) {
            newest.note(entry, bound, &mut self.value);
        }
        self.merged.seek(&self.key, SeqNo::MAX)?;
        self.merged.retreat()
    }

    /// Keeps the key of the entry on which `merged` stands.
    fn keep_key(&mut self) {
        if let Some(entry) = self.merged.entry() {
            self.key.clear();
            self.key.extend_from_slice(entry.key);
        }
    }

    fn try_seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), C::Error> {
        if self.range.is_after(key, self.merged.comparator().as_ref()) {
            return self.try_seek_to_first();
        }
        // The row of `key` is its newest version below the read's bound. If that is not below the
        // caller's, the row stands before the place sought.
        let bound_of_row = if bound == SeqNo::ZERO { SeqNo::ZERO } else { self.bound };
        self.merged.seek(key, bound_of_row)?;
        self.find_ahead()?;
        let is_before = |entry: EntryRef<'_>| entry.key == key && entry.seqno() >= bound;
        if self.entry().is_some_and(is_before) { self.try_advance() } else { Ok(()) }
    }

    fn try_seek_to_first(&mut self) -> Result<(), C::Error> {
        match &self.range.start {
            Bound::Included(key) => self.merged.seek(key, self.bound)?,
            Bound::Excluded(key) => self.merged.seek(key, SeqNo::ZERO)?,
            Bound::Unbounded => self.merged.seek_to_first()?,
        }
        self.find_ahead()
    }

    fn try_seek_to_last(&mut self) -> Result<(), C::Error> {
        match &self.range.end {
            Bound::Included(key) => self.merged.seek(key, SeqNo::ZERO)?,
            Bound::Excluded(key) => self.merged.seek(key, SeqNo::MAX)?,
            Bound::Unbounded => {
                self.merged.seek_to_last()?;
                return self.find_back();
            }
        }
        self.merged.retreat()?;
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
                self.find_ahead()
            }
            Place::BehindLast => Ok(()),
            Place::Failed => self.merged.advance(),
        }
    }

    fn try_retreat(&mut self) -> Result<(), C::Error> {
        match self.place {
            Place::BeforeFirst => Ok(()),
            Place::Ahead => {
                self.keep_key();
                self.merged.retreat()?;
                if self.merged.entry().is_some_and(|entry| entry.key == self.key) {
                    self.merged.seek(&self.key, SeqNo::MAX)?;
                    self.merged.retreat()?;
                }
                self.find_back()
            }
            Place::Back(_) => self.find_back(),
            Place::BehindLast => self.try_seek_to_last(),
            Place::Failed => self.merged.retreat(),
        }
    }

    /// Runs a step; if it fails the cursor stands nowhere.
    fn step(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), C::Error>,
    ) -> Result<(), C::Error> {
        let result = step(self);
        if result.is_err() {
            self.place = Place::Failed;
        }
        result
    }
}

/// What the versions of a key, seen oldest first, come to.
struct Newest {
    /// The newest tombstone over the key that the read sees.
    covered: Option<SeqNo>,
    /// The version that the read finds, if the last one seen is it.
    shown: Option<Trailer>,
    /// Whether the newest version that the read sees lies under the tombstone.
    masked: bool,
}

impl Newest {
    /// Takes note of a newer version.
    fn note(&mut self, entry: EntryRef<'_>, bound: SeqNo, value: &mut Vec<u8>) {
        match decide(entry.trailer, self.covered, bound) {
            Verdict::Unseen => return,
            Verdict::Hidden => self.shown = None,
            Verdict::Shown => {
                self.shown = Some(entry.trailer);
                value.clear();
                value.extend_from_slice(entry.value);
            }
        }
        self.masked = self.covered.is_some_and(|covered| covered > entry.seqno());
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

    fn advance(&mut self) -> Result<(), C::Error> {
        self.step(Self::try_advance)
    }

    fn retreat(&mut self) -> Result<(), C::Error> {
        self.step(Self::try_retreat)
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        match self.place {
            Place::Ahead => self.merged.entry(),
            Place::Back(trailer) => Some(EntryRef::new(&self.key, trailer, &self.value)),
            Place::BeforeFirst | Place::BehindLast | Place::Failed => None,
        }
    }
}
