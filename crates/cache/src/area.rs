//! The values of a shard that slots show, and which of them go: S3-FIFO without a hash table.
//!
//! Two queues, for newcomers and for those that have proved their use. Uses are counted in the slot's word,
//! by whoever looks there, and nothing moves when a value is used. When room is needed the newcomers are
//! asked, if they have more than their share, or else the others: who was used joins the end of the proved
//! ones, and who was not goes. To stay costs a newcomer all its uses, and a proved one of them. A newcomer that
//! goes leaves in its slot when that was, and is taken for proved if it comes back before as many others have
//! gone as are proved.
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

/// Values asked at most before one goes unasked.
const ASKED_MAX: usize = 16;
/// Newcomers have one part of so many of the room.
const NEW_PARTS: u64 = 33;

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
            let queue = if is_new { &mut self.new } else { &mut self.proved };
            let entry = queue.pop()?;
            queue.prefetch_next();
            let when = if is_new { self.evictions } else { word::NEVER };
            match entry.shown.judge(is_new, when) {
                Verdict::Used => self.proved.push(entry),
                Verdict::Hidden => {
                    self.evictions = self.evictions.wrapping_add(usize::from(is_new));
                    return Some(entry);
                }
            }
        }
        // All that were asked are in use: rather what came last than one of these, or of those behind.
        if let Some(entry) = self.new.pop_last() {
            entry.shown.vanish(self.evictions);
            self.evictions = self.evictions.wrapping_add(1);
            return Some(entry);
        }
        let entry = self.proved.pop()?;
        entry.shown.vanish(word::NEVER);
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
    const LEN_MIN: usize = 16;

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

    /// Asks for what is looked at when the next values are asked: slots that lie anywhere.
    fn prefetch_next(&self) {
        const AHEAD: usize = 3;
        self.entries.iter().take(AHEAD).for_each(|entry| entry.shown.prefetch());
    }

    /// That which came last.
    fn pop_last(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_back()?;
        self.weight -= u64::from(entry.weight);
        self.shrink();
        Some(entry)
    }

    /// Gives memory back if more than a quarter is not needed.
    fn shrink(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() / 4 > (len + Self::LEN_MIN) / 3 {
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::{Pin, Resident, Slots, turn::Waiting};

    #[derive(Debug)]
    struct Value(u64);

    impl Resident for Value {
        fn weight(&self) -> usize {
            8
        }
    }

    /// Slots, and the area for what they show.
    struct Cached {
        slots: Slots<Value>,
        waiting: Waiting,
        area: Area,
    }

    impl Cached {
        fn new(slots: usize, budget: u64) -> Self {
            let (slots, waiting, mut area) = (Slots::new(slots), Waiting::default(), Area::new());
            drop(area.set_budget(budget));
            Self { slots, waiting, area }
        }

        /// Uses value `at`, and loads it if it is not there; whether it was.
        fn get(&mut self, at: usize, weight: u32, file: FileId) -> bool {
            if self.slots.get(at, &Pin::new()).is_some() {
                return true;
            }
            let mut turn = self.slots.claim(at, &self.waiting).unwrap();
            let value = Arc::new(Value(at as u64));
            let entry = Entry::new(self.slots.hide(at, &value).unwrap(), weight, file);
            drop(self.area.keep(&mut turn, entry));
            turn.finish(&value);
            false
        }

        fn shown(&self) -> Vec<usize> {
            let is_shown = |&at: &usize| {
                let pin = Pin::new();
                let value = self.slots.peek(at, &pin);
                assert!(value.is_none_or(|value| value.0 == at as u64));
                value.is_some()
            };
            (0..self.slots.len()).filter(is_shown).collect()
        }
    }

    /// The same by lists, maps and no care for time.
    #[derive(Default)]
    struct Model {
        new: Vec<usize>,
        proved: Vec<usize>,
        /// Of those in either list: weight and uses.
        held: BTreeMap<usize, (u64, usize)>,
        /// When newcomers went.
        went: BTreeMap<usize, usize>,
        evictions: usize,
        budget: u64,
    }

    impl Model {
        fn weight(&self, of: &[usize]) -> u64 {
            of.iter().map(|at| self.held[at].0).sum()
        }

        fn get(&mut self, at: usize, weight: u64) -> bool {
            if let Some((_, uses)) = self.held.get_mut(&at) {
                *uses = (*uses + 1).min(3);
                return true;
            }
            self.make_room(weight);
            if weight <= self.budget {
                let went = self.went.remove(&at);
                let came_back = went.is_some_and(|went| self.evictions - went <= self.proved.len());
                let list = if came_back { &mut self.proved } else { &mut self.new };
                list.push(at);
                self.held.insert(at, (weight, 0));
            }
            false
        }

        fn make_room(&mut self, weight: u64) {
            while !self.held.is_empty()
                && self.weight(&self.new) + self.weight(&self.proved) + weight > self.budget
            {
                self.evict();
            }
        }

        fn evict(&mut self) {
            for _ in 0..ASKED_MAX {
                let is_new =
                    self.proved.is_empty() || self.weight(&self.new) > self.budget / NEW_PARTS;
                let at = if is_new { self.new.remove(0) } else { self.proved.remove(0) };
                if self.held[&at].1 == 0 {
                    self.held.remove(&at);
                    self.went.remove(&at);
                    if is_new {
                        self.went.insert(at, self.evictions);
                        self.evictions += 1;
                    }
                    return;
                }
                self.held
                    .entry(at)
                    .and_modify(|(_, uses)| *uses = if is_new { 0 } else { *uses - 1 });
                self.proved.push(at);
            }
            if let Some(at) = self.new.pop() {
                self.held.remove(&at);
                self.went.insert(at, self.evictions);
                self.evictions += 1;
                return;
            }
            let at = self.proved.remove(0);
            self.held.remove(&at);
            self.went.remove(&at);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Get(usize, u32),
        GetAll(usize, usize),
        Budget(u64),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (0..60usize, 1..30u32).prop_map(|(at, weight)| Step::Get(at, weight)),
            6 => (0..12usize, 1..30u32).prop_map(|(at, weight)| Step::Get(at, weight)),
            2 => (0..60usize, 1..40usize).prop_map(|(at, len)| Step::GetAll(at, len)),
            1 => (0..600u64).prop_map(Step::Budget),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_same_values_stay_as_in_a_plain_model(
            budget in 0..600u64,
            steps in prop::collection::vec(step(), 1..400),
        ) {
            let (mut cached, file) = (Cached::new(60, budget), FileId::next());
            let mut model = Model { budget, ..Model::default() };
            for step in steps {
                match step {
                    Step::Get(at, weight) => {
                        prop_assert_eq!(cached.get(at, weight, file), model.get(at, weight.into()));
                    }
                    Step::GetAll(from, len) => {
                        for at in from..60.min(from + len) {
                            prop_assert_eq!(cached.get(at, 10, file), model.get(at, 10));
                        }
                    }
                    Step::Budget(budget) => {
                        drop(cached.area.set_budget(budget));
                        model.budget = budget;
                        model.make_room(0);
                    }
                    Step::Clear => {
                        drop(cached.area.clear());
                        let (evictions, budget) = (model.evictions, model.budget);
                        let went = std::mem::take(&mut model.went);
                        let went = went.into_iter().filter(|(at, _)| !model.held.contains_key(at));
                        model = Model { evictions, budget, went: went.collect(), ..Model::default() };
                    }
                }
                prop_assert_eq!(cached.shown(), model.held.keys().copied().collect::<Vec<_>>());
                prop_assert_eq!(cached.area.len(), model.held.len());
                prop_assert_eq!(cached.area.used(), model.held.values().map(|held| held.0).sum());
                prop_assert!(cached.area.used() <= cached.area.budget());
            }
        }
    }

    #[test]
    fn what_is_of_a_file_goes_and_the_rest_keeps_its_order() {
        let (files, mut cached) = ([FileId::next(), FileId::next()], Cached::new(30, 200));
        (0..20).for_each(|at| assert!(!cached.get(at, 10, files[at % 2])));
        drop(cached.area.remove_files(&files[..1]));
        assert_eq!(cached.shown(), (0..20).filter(|at| at % 2 == 1).collect::<Vec<_>>());
        assert_eq!((cached.area.len(), cached.area.used()), (10, 100));
        (20..30).chain([0, 2]).for_each(|at| assert!(!cached.get(at, 10, files[0])));
        let left: Vec<usize> = [0, 2].into_iter().chain((5..20).step_by(2)).chain(20..30).collect();
        assert_eq!(cached.shown(), left, "those that came first went first");
    }

    #[test]
    fn to_let_one_value_go_few_are_asked() {
        let (file, mut cached) = (FileId::next(), Cached::new(1001, 10_000));
        for _ in 0..3 {
            for at in 0..1000 {
                cached.get(at, 10, file);
            }
        }
        assert!(!cached.get(1000, 10, file), "all others are in use");
        let is_used = |entry: &&Entry| entry.shown.take_uses();
        let unused = cached.area.len() - cached.area.new.entries.iter().filter(is_used).count();
        assert_eq!(unused, ASKED_MAX + 1, "those that were asked stay, and one came for the last");
    }

    /// Reference counts of a value, and what the allocator adds to it.
    const PER_VALUE: usize = 2 * size_of::<usize>() + 16;

    #[test]
    fn the_overhead_counted_for_each_value_is_what_keeping_it_takes() {
        let (file, mut cached) = (FileId::next(), Cached::new(30_000, 10_000));
        let taken = |area: &Area| {
            let entries = area.new.entries.capacity() + area.proved.entries.capacity();
            entries * size_of::<Entry>() / area.len() + PER_VALUE
        };
        let counted = usize::try_from(Entry::OVERHEAD).unwrap();
        for at in 0..30_000 {
            cached.get(at, 1, file);
            cached.get(at / 2, 1, file);
            if at > 2000 && at % 100 == 0 {
                let taken = taken(&cached.area);
                assert!(taken <= counted && taken * 4 > counted * 3, "{taken} bytes at {at}");
            }
        }
    }
}
