//! Everything that reads of a tree can say, compared with what they have to.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use stratal_engine::{Error, KeyValue, Snapshot, TreeCursor, TreeRange};
use stratal_testkit::Rng;
use stratal_types::{Cursor, KeyRange};

use crate::{
    oracle::{Oracle, State},
    subject::{HeldRows, Subject},
};

/// The rows that a read has to find, by key number, ascending. None is absent.
type Rows = [(usize, State)];

/// When a read reads.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// The first step that it does not see.
    pub(crate) bound: u64,
    /// `None` for now.
    pub(crate) snapshot: Option<&'a Snapshot>,
}

impl Subject<'_> {
    /// Compares some reads, drawn from `seed`, with the oracle.
    pub(crate) fn check(&mut self, oracle: &Oracle<'_>, moment: Moment<'_>, seed: u64) {
        let mut rng = self.rng(seed);
        let rows = self.rows(oracle, moment);
        for _ in 0..4 + rng.index(12) {
            match rng.below(16) {
                0..=5 => self.check_get(&rows, moment, &mut rng),
                6 => self.check_multi_get(&rows, moment, &mut rng),
                7..=9 => self.check_range(&rows, moment, &mut rng),
                10 => self.check_prefix(&rows, moment, &mut rng),
                11..=13 => self.check_walk(&rows, moment, &mut rng),
                _ => self.check_single(&rows, moment, &mut rng),
            }
        }
    }

    /// Every row, forwards and backwards.
    pub(crate) fn check_all(&mut self, oracle: &Oracle<'_>, moment: Moment<'_>) {
        let rows = self.rows(oracle, moment);
        self.counts.add("range");
        self.compare(self.range(KeyRange::ALL, moment), rows.iter(), &"all");
        self.counts.add("reverse range");
        self.compare(self.range(KeyRange::ALL, moment).rev(), rows.iter().rev(), &"all, backwards");
    }

    pub(crate) fn key(&self, number: usize) -> String {
        self.world.keys[number].escape_ascii().to_string()
    }

    pub(crate) fn number_of(&self, key: &[u8]) -> usize {
        let number = self.world.lower(key);
        let is_known = self.world.keys.get(number).is_some_and(|known| known == key);
        assert!(is_known, "{self}: nobody ever wrote \"{}\"", key.escape_ascii());
        number
    }

    pub(crate) fn range(&self, range: KeyRange, moment: Moment<'_>) -> TreeRange {
        let rows = match moment.snapshot {
            Some(snapshot) => self.tree().range_at((range.start, range.end), snapshot),
            None => self.tree().range((range.start, range.end)),
        };
        rows.unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    fn state<'r>(&self, rows: &'r Rows, key: &[u8]) -> &'r State {
        let number = self.world.lower(key);
        if self.world.keys.get(number).is_none_or(|known| known != key) {
            return &State::Absent;
        }
        let at = rows.binary_search_by_key(&number, |row| row.0);
        at.map_or(&State::Absent, |at| &rows[at].1)
    }

    fn compare_value(&self, found: &Result<Option<Bytes>, Error>, state: &State, key: &[u8]) {
        let is_same = match (found, state) {
            (Ok(Some(value)), State::Value(expected)) => value == expected,
            (Ok(None), State::Absent) => true,
            (Err(Error::Operator { key: failed, .. }), State::Failed) => failed == key,
            _ => false,
        };
        assert!(is_same, "{self}: \"{}\" is {found:?}, not {state:?}", key.escape_ascii());
    }

    fn check_get(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let key = self.world.probe(rng);
        let found = match moment.snapshot {
            Some(snapshot) => self.tree().get_at(&key, snapshot),
            None => self.tree().get(&key),
        };
        self.counts.add("get");
        self.compare_value(&found, self.state(rows, &key), &key);
    }

    fn check_multi_get(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let keys: Vec<_> = (0..=rng.index(20)).map(|_| self.world.probe(rng)).collect();
        let found = match moment.snapshot {
            Some(snapshot) => self.tree().multi_get_at(&keys, snapshot),
            None => self.tree().multi_get(&keys),
        };
        self.counts.add("multi-get");
        let fails = |key: &&Vec<u8>| *self.state(rows, key) == State::Failed;
        let failing: Vec<_> = keys.iter().filter(fails).collect();
        match found {
            Ok(found) => {
                assert!(failing.is_empty() && found.len() == keys.len(), "{self}: {keys:?}");
                for (key, found) in keys.iter().zip(found) {
                    self.compare_value(&Ok(found), self.state(rows, key), key);
                }
            }
            Err(Error::Operator { key, .. }) if failing.contains(&&key) => {}
            Err(error) => panic!("{self}: {error}"),
        }
    }

    /// Compares rows up to one that cannot be read, which ends them.
    fn compare<'r>(
        &self,
        mut found: impl Iterator<Item = Result<KeyValue, Error>>,
        expected: impl Iterator<Item = &'r (usize, State)>,
        what: &dyn std::fmt::Debug,
    ) {
        for row in expected {
            if self.compare_row(found.next().as_ref(), row, what) {
                return;
            }
        }
        let more = found.next();
        assert!(more.is_none(), "{self}: {what:?}: {more:?} is too much");
    }

    /// Compares one row; `true` if it is one that cannot be read.
    fn compare_row(
        &self,
        found: Option<&Result<KeyValue, Error>>,
        (number, state): &(usize, State),
        what: &dyn std::fmt::Debug,
    ) -> bool {
        let expected = &self.world.keys[*number];
        match (found, state) {
            (Some(Ok((key, value))), State::Value(wanted))
                if key == expected && value == wanted =>
            {
                false
            }
            (Some(Err(Error::Operator { key, .. })), State::Failed) if key == expected => true,
            _ => {
                let key = expected.escape_ascii();
                panic!("{self}: {what:?}: {found:?} is not {state:?} of \"{key}\"")
            }
        }
    }

    fn check_range(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let (range, rows) = self.draw_range(rows, rng);
        let found = self.range(range.clone(), moment);
        match rng.below(3) {
            0 => {
                self.counts.add("range");
                self.compare(found, rows.iter(), &range);
            }
            1 => {
                self.counts.add("reverse range");
                self.compare(found.rev(), rows.iter().rev(), &range);
            }
            _ => {
                self.counts.add("iterator from both ends");
                let expected = rows.iter().cloned().collect();
                let mut held = HeldRows { rows: found, expected };
                while self.step(&mut held, rng) {}
            }
        }
    }

    /// A range, everything at times, and the rows in it.
    fn draw_range<'r>(&self, rows: &'r Rows, rng: &mut Rng) -> (KeyRange, &'r Rows) {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some((from, to)) = self.world.stretch(rng).filter(|_| !rng.chance(1, 4)) else {
            return (KeyRange::ALL, rows);
        };
        let at = |number: usize| rows.partition_point(|row| row.0 < number);
        let (start, first) = match rng.below(3) {
            0 => (Included(from.clone()), at(self.world.lower(&from))),
            1 => (Excluded(from.clone()), at(self.world.upper(&from))),
            _ => (Unbounded, 0),
        };
        let (end, behind) = match rng.below(3) {
            0 => (Included(to.clone()), at(self.world.upper(&to))),
            1 => (Excluded(to.clone()), at(self.world.lower(&to))),
            _ => (Unbounded, rows.len()),
        };
        (KeyRange { start, end }, &rows[first..behind.max(first)])
    }

    /// Takes one row from either end; `false` at the end.
    fn step(&self, held: &mut HeldRows, rng: &mut Rng) -> bool {
        let (found, expected) = if rng.chance(1, 2) {
            (held.rows.next(), held.expected.pop_front())
        } else {
            (held.rows.next_back(), held.expected.pop_back())
        };
        if let Some(row) = expected {
            return !self.compare_row(found.as_ref(), &row, &"from both ends");
        }
        assert!(found.is_none(), "{self}: {found:?} is too much");
        false
    }

    /// Begins an iterator, or lets one go on.
    pub(crate) fn iterate(&mut self, oracle: &Oracle<'_>, seed: u64) {
        let mut rng = self.rng(seed);
        if rng.chance(1, 2) && self.held_rows.len() < 4 {
            let moment = Moment { bound: oracle.now, snapshot: None };
            let rows = self.rows(oracle, moment);
            let (range, rows) = self.draw_range(&rows, &mut rng);
            let expected: VecDeque<_> = rows.iter().cloned().collect();
            self.held_rows.push(HeldRows { rows: self.range(range, moment), expected });
        }
        if self.held_rows.is_empty() {
            return;
        }
        self.go_on_with_changes(&mut rng);
        self.counts.add("held iterator");
        let mut held = self.held_rows.swap_remove(rng.index(self.held_rows.len()));
        for _ in 0..rng.index(30) {
            if !self.step(&mut held, &mut rng) {
                return;
            }
        }
        self.held_rows.push(held);
    }

    fn check_prefix(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let key = self.world.probe(rng);
        let prefix = &key[..rng.index(key.len() + 1)];
        // Where keys with a prefix do not stand together, those between are read too, and may fail.
        let is_exact = self.world.comparator.prefix_range(prefix).exact;
        if !is_exact && rows.iter().any(|row| row.1 == State::Failed) {
            return;
        }
        let found = match moment.snapshot {
            Some(snapshot) => self.tree().prefix_at(prefix, snapshot),
            None => self.tree().prefix(prefix),
        };
        let found = found.unwrap_or_else(|error| panic!("{self}: {error}"));
        let with = |row: &&(usize, State)| self.world.keys[row.0].starts_with(prefix);
        let expected: Vec<_> = rows.iter().filter(with).collect();
        if rng.chance(1, 2) {
            self.compare(found, expected.iter().copied(), &prefix);
        } else {
            self.compare(found.rev(), expected.iter().copied().rev(), &prefix);
        }
        self.counts.add("prefix");
        let contains = match moment.snapshot {
            Some(snapshot) => self.tree().at(snapshot).contains_prefix(prefix),
            None => self.tree().contains_prefix(prefix),
        };
        {
            match (contains, expected.first()) {
                (Ok(true), Some((_, State::Value(_))))
                | (Ok(false), None)
                | (Err(Error::Operator { .. }), Some((_, State::Failed))) => {}
                (found, expected) => panic!("{self}: {prefix:?}: {found:?}, not {expected:?}"),
            }
            self.counts.add("contains prefix");
        }
    }

    /// A cursor is put anywhere and goes both ways, as a place among the rows does.
    fn check_walk(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let (range, rows) = self.draw_range(rows, rng);
        let bounds = (range.start.clone(), range.end.clone());
        let cursor = match moment.snapshot {
            Some(snapshot) => self.tree().cursor_at(bounds, snapshot),
            None => self.tree().cursor(bounds),
        };
        let mut cursor = cursor.unwrap_or_else(|error| panic!("{self}: {error}"));
        // 0 is before the first row; nowhere after a row that cannot be read.
        let mut at = Some(0usize);
        for _ in 0..12 {
            let choice = if at.is_none() { rng.below(2) } else { rng.below(6) };
            let (moved, to) = match choice {
                0 => {
                    let key = self.world.probe(rng);
                    self.counts.add("seek");
                    let number = self.world.lower(&key);
                    (cursor.seek_to(&key), 1 + rows.partition_point(|row| row.0 < number))
                }
                1 => {
                    let key = self.world.probe(rng);
                    self.counts.add("seek back");
                    let number = self.world.upper(&key);
                    (cursor.seek_back_to(&key), rows.partition_point(|row| row.0 < number))
                }
                2..=3 => {
                    self.counts.add("advance");
                    (cursor.advance(), at.map_or(0, |at| (at + 1).min(rows.len() + 1)))
                }
                _ => {
                    self.counts.add("retreat");
                    (cursor.retreat(), at.map_or(0, |at| at.saturating_sub(1)))
                }
            };
            at = self.compare_place(&cursor, moved, rows, to, &range);
        }
    }

    fn compare_place(
        &self,
        cursor: &TreeCursor,
        moved: Result<(), Error>,
        rows: &Rows,
        to: usize,
        range: &KeyRange,
    ) -> Option<usize> {
        let row = to.checked_sub(1).and_then(|to| rows.get(to));
        match moved {
            Ok(()) => {
                let is_same = match (cursor.key(), cursor.value(), row) {
                    (Some(key), Some(value), Some((number, State::Value(expected)))) => {
                        *key == self.world.keys[*number] && value == expected
                    }
                    (None, None, None) => true,
                    _ => false,
                };
                let found = (cursor.key(), cursor.value());
                assert!(is_same, "{self}: cursor over {range:?} is on {found:?}, not on {row:?}");
                Some(to)
            }
            // A step over a row reads it.
            Err(Error::Operator { key, .. }) => {
                let number = self.number_of(&key);
                let is_known = rows.contains(&(number, State::Failed));
                assert!(is_known, "{self}: cursor over {range:?}: {:?} fails", self.key(number));
                None
            }
            Err(error) => panic!("{self}: {error}"),
        }
    }

    /// Lengths, ends and sizes.
    fn check_single(&mut self, rows: &Rows, moment: Moment<'_>, rng: &mut Rng) {
        let tree = Arc::clone(self.tree());
        let at = moment.snapshot.map(|snapshot| tree.at(snapshot));
        let first_failed = rows.iter().any(|row| row.1 == State::Failed);
        match rng.below(4) {
            0 => {
                self.counts.add("length");
                match at.map_or_else(|| tree.len(), |at| at.len()) {
                    Ok(len) => assert!(!first_failed && len == rows.len() as u64, "{self}: {len}"),
                    Err(Error::Operator { .. }) if first_failed => {}
                    Err(error) => panic!("{self}: {error}"),
                }
            }
            1 => {
                self.counts.add("ends");
                let ends = [
                    (
                        at.map_or_else(|| tree.first_key_value(), |at| at.first_key_value()),
                        rows.first(),
                    ),
                    (
                        at.map_or_else(|| tree.last_key_value(), |at| at.last_key_value()),
                        rows.last(),
                    ),
                ];
                for (found, expected) in ends {
                    match expected {
                        Some(row) => {
                            self.compare_row(found.transpose().as_ref(), row, &"an end");
                        }
                        None => assert!(matches!(found, Ok(None)), "{self}: {found:?}"),
                    }
                }
                match (at.map_or_else(|| tree.is_empty(), |at| at.is_empty()), rows.first()) {
                    (Ok(true), None)
                    | (Ok(false), Some((_, State::Value(_))))
                    | (Err(Error::Operator { .. }), Some((_, State::Failed))) => {}
                    (found, expected) => panic!("{self}: empty: {found:?}, not {expected:?}"),
                }
            }
            _ => {
                self.counts.add("size");
                let key = self.world.probe(rng);
                let (len, is_there) = (
                    at.map_or_else(|| tree.size_of(&key), |at| at.size_of(&key)),
                    at.map_or_else(|| tree.contains(&key), |at| at.contains(&key)),
                );
                let is_same = match self.state(rows, &key) {
                    State::Absent => matches!((&len, &is_there), (Ok(None), Ok(false))),
                    State::Value(value) => {
                        matches!(&len, Ok(Some(len)) if *len == value.len() as u64)
                            && matches!(is_there, Ok(true))
                    }
                    State::Failed => len.is_err() && is_there.is_err(),
                };
                assert!(is_same, "{self}: {key:?}: {len:?}, {is_there:?}");
            }
        }
    }
}
