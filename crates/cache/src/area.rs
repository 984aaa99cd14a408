//! The values of a shard that slots show, and which of them go: S3-FIFO without a hash table.
//!
//! Two queues, for newcomers and for those that have proved their use. Uses are counted in the slot's word,
//! by whoever looks there, and nothing moves when a value is used. When room is needed the newcomers are
//! asked, if they have more than their tenth, or else the others: who was used joins the end of the proved
//! ones, and who was not goes. A newcomer leaves in its slot when that was, and is taken for proved if it
//! comes back before as many others have gone as are proved.
//!
//! What holds:
//!
//! * Every value here is shown by its slot, or will never be again: then it goes when it is asked.
//! * The weights of all are at most [`Area::budget`].
//! * To let one value go no more than [`ASKED_MAX`] are asked.

use std::collections::VecDeque;

use crate::{
    FileId,
    slots::{Shown, Verdict},
    turn::SlotTurn,
    word,
};

/// Values asked at most before one goes that was used.
const ASKED_MAX: usize = 16;
/// Newcomers have one part of so many of the room.
const NEW_PARTS: u64 = 10;

/// A value in the cache that a slot shows.
#[derive(Debug)]
pub(crate) struct Entry {
    shown: Shown,
    weight: u32,
    file: FileId,
}

/// What had to go, to be dropped where no lock is held. Of values of equal weight one goes for another,
/// and then nothing is allocated for this.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    first: Option<Entry>,
    more: Vec<Entry>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Area {
    new: Queue,
    proved: Queue,
    budget: u64,
    /// Newcomers that went.
    evictions: usize,
    /// All that went, so far as it was not cleared.
    gone: usize,
}

impl Entry {
    /// What an entry takes on top of the weight of its value: itself and what its queue has to spare, and
    /// the value's reference counts.
    pub(crate) const OVERHEAD: u64 = 104;

    pub(crate) fn new(shown: Shown, weight: u32, file: FileId) -> Self {
        Self { shown, weight, file }
    }

    /// Bytes it counts for, overhead included.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.into()
    }
}

impl Gone {
    fn push(&mut self, entry: Entry) {
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.more.push(entry),
        }
    }
}

impl Area {
    /// Values that go before a larger budget is asked for again.
    const GOES_PER_ASKING: usize = 16;

    pub(crate) fn new() -> Self {
        let (new, proved) = (Queue::default(), Queue::default());
        Self { new, proved, budget: 0, evictions: word::FIRST, gone: 0 }
    }

    /// Bytes that values may have.
    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes that they have.
    pub(crate) fn used(&self) -> u64 {
        self.new.weight + self.proved.weight
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.new.entries.len() + self.proved.entries.len()
    }

    /// Changes what values may have; returns what had to go for it.
    pub(crate) fn set_budget(&mut self, budget: u64) -> Gone {
        self.budget = budget;
        let mut gone = Gone::default();
        self.make_room(0, &mut gone);
        gone
    }

    /// Whether to ask for a larger budget, which takes a lock: now and then, once values have to go.
    pub(crate) fn is_to_ask(&self) -> bool {
        self.gone.is_multiple_of(Self::GOES_PER_ASKING)
    }

    /// Whether there is room for so much more.
    fn has_room(&self, weight: u64) -> bool {
        self.used() + weight <= self.budget
    }

    /// Shows the value of `entry`, if it is not heavier than all that values may have, and returns what had to
    /// go for it.
    pub(crate) fn keep(&mut self, turn: &mut SlotTurn<'_>, entry: Entry) -> Gone {
        let mut gone = Gone::default();
        self.make_room(entry.weight.into(), &mut gone);
        if !self.has_room(entry.weight.into()) {
            gone.push(entry);
            return gone;
        }
        turn.show(&entry.shown);
        if turn.age(self.evictions) <= self.proved.entries.len() {
            self.proved.push(entry);
        } else {
            self.new.push(entry);
        }
        gone
    }

    /// Takes out what is of `files`, which are sorted.
    pub(crate) fn remove_files(&mut self, files: &[FileId]) -> Gone {
        let is_of = |entry: &Entry| files.binary_search(&entry.file).is_ok();
        let mut gone = Gone::default();
        self.new.take_out(is_of, &mut gone);
        self.proved.take_out(is_of, &mut gone);
        gone
    }

    /// Takes out all.
    pub(crate) fn clear(&mut self) -> Gone {
        let more = self.new.drain().chain(self.proved.drain()).collect();
        Gone { first: None, more }
    }

    fn make_room(&mut self, weight: u64, gone: &mut Gone) {
        while !self.has_room(weight) {
            let Some(entry) = self.evict() else { return };
            self.gone = self.gone.wrapping_add(1);
            gone.push(entry);
        }
    }

    /// Lets one value go, if there is one.
    fn evict(&mut self) -> Option<Entry> {
        let new_max = self.budget / NEW_PARTS;
        for _ in 0..ASKED_MAX {
            let is_new = self.new.weight > new_max || self.proved.entries.is_empty();
            let entry = if is_new { self.new.pop()? } else { self.proved.pop()? };
            let when = if is_new { self.evictions } else { word::NEVER };
            match entry.shown.judge(when) {
                Verdict::Used => self.proved.push(entry),
                Verdict::Hidden => {
                    self.evictions = self.evictions.wrapping_add(usize::from(is_new));
                    return Some(entry);
                }
            }
        }
        let entry = self.proved.pop()?;
        entry.shown.vanish();
        Some(entry)
    }
}

/// Values in the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    weight: u64,
}

impl Queue {
    /// It grows by one part of so many, and not to twice what it needs.
    const SPARE_PARTS: usize = 8;
    const LEN_MIN: usize = 64;

    fn push(&mut self, entry: Entry) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(Self::spare(len));
        }
        self.weight += u64::from(entry.weight);
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.weight -= u64::from(entry.weight);
        self.shrink();
        Some(entry)
    }

    /// Gives memory back if more than half is not needed.
    fn shrink(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() / 2 > len + Self::LEN_MIN {
            self.entries.shrink_to(len + Self::spare(len));
        }
    }

    fn spare(len: usize) -> usize {
        (len / Self::SPARE_PARTS).max(Self::LEN_MIN)
    }

    fn take_out(&mut self, is_wanted: impl Fn(&Entry) -> bool, out: &mut Gone) {
        if !self.entries.iter().any(&is_wanted) {
            return;
        }
        for entry in self.drain().collect::<Vec<_>>() {
            if is_wanted(&entry) {
                out.push(entry);
            } else {
                self.push(entry);
            }
        }
    }

    fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.weight = 0;
        std::mem::take(&mut self.entries).into_iter()
    }
}
