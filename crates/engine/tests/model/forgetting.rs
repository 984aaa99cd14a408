//! What trees find whose values go: by filters, for their age, or with tables that expire.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use stratal_compaction::plan::{JobKind, Reason};
use stratal_engine::{Error, Job, Snapshot, StrategyOptions};
use stratal_types::{KeyRange, SeqNo};

use crate::{
    hook_fs::Hook,
    oracle::{Oracle, State, Version, add_filtered},
    reads::Moment,
    subject::Subject,
};

/// A table that expired, or was about to.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    span: KeyRange,
    /// Its lowest number; zero if numbers say nothing.
    first: SeqNo,
    /// If it went for its age, when the last of it may have been written.
    written_to: Option<u64>,
}

impl Subject<'_> {
    /// What reads have to find: what the oracle says or, if that leaves a choice, what a scan says.
    pub(crate) fn rows(&mut self, oracle: &Oracle<'_>, moment: Moment<'_>) -> Vec<(usize, State)> {
        if self.is_exact() { oracle.rows(moment.bound) } else { self.observe(oracle, moment) }
    }

    /// What a tree says whose values a filter may have judged: each row is one of those that there may
    /// be, and what it was found to be before or what a filter makes of that.
    pub(crate) fn observe(
        &mut self,
        oracle: &Oracle<'_>,
        moment: Moment<'_>,
    ) -> Vec<(usize, State)> {
        let mut found: Vec<(usize, State)> = Vec::new();
        let mut from = 0;
        while let Some(start) = self.world.keys.get(from) {
            let mut failed = None;
            for row in self.range(
                KeyRange {
                    start: std::ops::Bound::Included(start.clone()),
                    end: std::ops::Bound::Unbounded,
                },
                moment,
            ) {
                match row {
                    Ok((key, value)) => found.push((self.number_of(&key), State::Value(value))),
                    Err(Error::Operator { key, .. }) => failed = Some(self.number_of(&key)),
                    Err(error) => panic!("{self}: {error}"),
                }
            }
            let Some(number) = failed else { break };
            found.push((number, State::Failed));
            from = number + 1;
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{self}: {found:?}");
        let mut rows = found.iter().peekable();
        for key in 0..self.world.keys.len() {
            let state = match rows.next_if(|(number, _)| *number == key) {
                Some((_, state)) => state,
                None => &State::Absent,
            };
            let Some(version) = oracle.version(key, moment.bound) else {
                assert_eq!(*state, State::Absent, "{self}: {:?} was never there", self.key(key));
                continue;
            };
            if self.is_aging || self.is_expiring {
                self.check_forgotten(oracle, key, version, state, moment.bound);
                continue;
            }
            let mut allowed = version.states.clone();
            let at = (key, version.at);
            if let Some(before) = self.judged.get(&at).filter(|_| version.is_put) {
                allowed = vec![before.clone()];
                add_filtered(&mut allowed);
            }
            let key = self.key(key);
            assert!(allowed.contains(state), "{self}: {key:?} is {state:?}, not of {allowed:?}");
            if version.is_put && version.states.len() > 1 {
                self.judged.insert(at, state.clone());
            }
        }
        found
    }

    /// What is not found of a tree that forgets, or in part, may be forgotten; and what was once is for ever.
    fn check_forgotten(
        &mut self,
        oracle: &Oracle<'_>,
        key: usize,
        version: &Version,
        state: &State,
        bound: u64,
    ) {
        let at = (key, version.at);
        let name = self.key(key);
        let gone_from = self.absent.get(&at).copied().filter(|_| version.is_put);
        if gone_from.is_some_and(|from| from <= bound) {
            assert_eq!(*state, State::Absent, "{self}: {name} is back");
        }
        let is_filtered = self.is_filtered && version.states.contains(state);
        if *state == version.states[0] || is_filtered {
            // As if nothing was forgotten.
        } else if *state == State::Absent {
            let is_lost = self.is_aging && oracle.is_dead(version)
                || self
                    .lost_with(key, version)
                    .any(|lost| lost.written_to.is_none_or(|to| version.written_ms <= to));
            assert!(is_lost, "{self}: {name}, of {} ms, is gone too soon", version.written_ms);
        } else {
            // The oldest of it is forgotten, and operands stay.
            let is_lost = self.is_aging || self.lost_with(key, version).next().is_some();
            let is_one = version.states.contains(state);
            assert!(is_lost && is_one, "{self}: {name} is {state:?}, not of {:?}", version.states);
        }
        if *state == State::Absent && version.is_put {
            let from = self.absent.entry(at).or_insert(bound);
            *from = bound.min(*from);
        }
    }

    /// The tables that expired in which there may have been something of a version.
    fn lost_with(&self, key: usize, version: &Version) -> impl Iterator<Item = &Lost> {
        let order = self.world.comparator.as_ref();
        let name = self.world.keys[key].as_slice();
        let (_, oldest_end) = self.marks[0];
        let behind = self.marks.partition_point(|(step, _)| *step <= version.at + 1);
        let end = behind.checked_sub(1).map_or(oldest_end, |at| self.marks[at].1);
        self.lost.iter().filter(move |lost| {
            let Lost { span, first, .. } = lost;
            *first < end && !span.is_before(name, order) && !span.is_after(name, order)
        })
    }

    /// Remembers which tables a job lets expire. What is known of when they were written depends on the
    /// options that it was planned under.
    pub(crate) fn note_loss(&mut self, job: &Job, is_fresh: bool) {
        if job.kind != JobKind::Expire {
            return;
        }
        assert!(self.is_expiring || self.is_aging, "{self}: {job:?}");
        let numbers: BTreeSet<u64> = job.inputs.iter().copied().collect();
        let version = self.tree().version();
        let tables = version.tables().map(|(_, table)| table);
        let tables: Vec<_> = tables.filter(|table| numbers.contains(&table.number)).collect();
        let kept_ms = self.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap());
        let strategy = self.tree().spec().options().strategy;
        let table_ms = match strategy {
            StrategyOptions::Fifo(fifo) => Some(fifo.ttl_ms).filter(|ttl_ms| *ttl_ms > 0),
            _ => None,
        };
        let ttl_ms = kept_ms.into_iter().chain(table_ms).min();
        let now_ms = self.time.load(Ordering::Relaxed);
        let written_to = ttl_ms.map(|ttl_ms| now_ms - ttl_ms).filter(|to| {
            // Under a table that is old there may be younger ones, which go with it.
            let is_whole =
                table_ms.is_none() || tables.iter().all(|table| table.created_at_ms <= *to);
            is_fresh && job.reason == Reason::Age && is_whole
        });
        let lost = tables.iter().map(|table| Lost {
            span: table.span.clone(),
            first: table.seqno_overlay.unwrap_or(table.seqno_min),
            written_to,
        });
        let lost: Vec<Lost> = lost.collect();
        self.lost.extend(lost);
    }

    /// Values are kept for so long from now on, perhaps at the second attempt.
    pub(crate) fn keep(&mut self, ttl_ms: Option<u64>, seed: u64) {
        let mut rng = self.rng(seed);
        let ttl = ttl_ms.map(Duration::from_millis);
        if rng.chance(1, 4) {
            self.fs.arm(rng.below(4), Hook::Fail);
            let done = self.tree().set_ttl(ttl);
            self.fs.disarm();
            if done.is_err() {
                assert_eq!(self.tree().ttl(), self.ttl, "{self}");
                self.counts.add("other ttl that failed");
            }
        }
        self.tree().set_ttl(ttl).unwrap();
        self.ttl = ttl;
        self.counts.add("other ttl");
    }

    /// Whether reads at the snapshot are refused, as they may be where tables expire.
    pub(crate) fn is_refused(&mut self, snapshot: &Snapshot) -> bool {
        match self.tree().get_at(&self.world.keys[0], snapshot) {
            Err(Error::SnapshotTooOld { bound, floor }) => {
                assert!(self.is_expiring && bound < floor, "{self}: {bound}, {floor}");
                self.counts.add("refused reader");
                true
            }
            _ => false,
        }
    }

    /// At a snapshot all is found that was found when it was taken.
    pub(crate) fn check_seen(&mut self, oracle: &Oracle<'_>, number: u64, moment: Moment<'_>) {
        let Some(seen) = self.seen.remove(&number) else { return };
        let found = self.observe(oracle, moment);
        assert_eq!(found, seen, "{self}: snapshot {number}");
        self.seen.insert(number, seen);
        self.counts.add("check of what a snapshot saw");
    }

    /// Lets everything grow too old. Nothing is left then.
    pub(crate) fn outlive_all(&mut self) {
        if self.ttl.is_none() || self.world.has_operands() {
            return;
        }
        self.time.fetch_add(1_000_000, Ordering::Relaxed);
        self.flush();
        self.settle(false);
        self.settle(true);
        self.settle(false);
        assert_eq!(self.tree().len().unwrap(), 0, "{self}: {:?}", self.tree().version());
        self.counts.add("end of all values");
    }
}
