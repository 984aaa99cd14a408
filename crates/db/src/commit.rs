//! How a batch becomes visible and durable.
//!
//! ```text
//! caller ─▶ queue ─▶ leader: number · one log record for the group · apply · publish ─▶ "applied"
//!                                └─▶ sync (whoever waits, one at a time, while the next group fills)
//! ```

use std::collections::VecDeque;

use stratal_types::{
    SeqNo, key_hash,
    sync::{Arc, Condvar, Mutex, atomic::Ordering},
};
use stratal_wal::{AppendMode, Lsn};

use crate::{
    Durability, Error, Executor, Health,
    draft::{Draft, changed_in_memory, too_large},
    inner::{Core, Inner},
    log::Log,
    record,
    work::Role,
};

/// Bytes of payload above which a group takes no further batch.
const GROUP_LEN: usize = 1 << 20;

/// Groups after which the leader looks at how much all memtables hold together.
const GROUPS_PER_LOOK: u64 = 64;

/// A batch that can be committed.
struct Prepared {
    draft: Draft,
    count: u64,
    /// A check of its body, if any of the operations has a digest.
    body_hash: Option<u64>,
    durability: Durability,
}

/// A batch that waits for its turn.
struct Pending {
    batch: Prepared,
    slot: Arc<Slot>,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    /// The number of its last operation.
    pub(crate) seqno: SeqNo,
    /// Where its record ends.
    pub(crate) end: Lsn,
}

type Outcome = Option<Result<Committed, Error>>;

/// Through which a waiting caller hears of its batch.
#[derive(Default)]
struct Slot {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
enum Turn {
    #[default]
    Waits,
    Leads,
    Done(Result<Committed, Error>),
}

/// Batches in the order in which they will be committed.
#[derive(Default)]
pub(crate) struct Queue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Pending>,
    has_leader: bool,
}

impl Prepared {
    /// Whether what is to be logged has changed since it was checked against the operations' digests. The
    /// log would take it for whole, and so would whoever reads it again.
    fn has_changed(&self) -> bool {
        self.body_hash.is_some_and(|hash| hash != key_hash(self.draft.body()))
    }
}

impl Queue {
    /// Takes the lead, if nobody has it: then nobody waits either.
    fn try_lead(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().has_leader, true)
    }

    /// Puts a batch at the end. Returns whether it is to be led by whoever brings it.
    fn join(&self, pending: Pending) -> bool {
        let mut state = self.0.lock();
        state.waiting.push_back(pending);
        !std::mem::replace(&mut state.has_leader, true)
    }

    /// Takes the first batches, as many as make a group.
    fn take_group(&self) -> Vec<Pending> {
        let mut state = self.0.lock();
        let (mut group, mut len) = (Vec::new(), 0usize);
        while let Some(next) = state.waiting.front() {
            len = len.saturating_add(next.batch.draft.body().len());
            if !group.is_empty() && len > GROUP_LEN {
                break;
            }
            group.extend(state.waiting.pop_front());
        }
        group
    }

    /// Lets the first who waits lead.
    fn pass_on(&self) {
        let mut state = self.0.lock();
        let next = state.waiting.front().map(|pending| Arc::clone(&pending.slot));
        state.has_leader = next.is_some();
        drop(state);
        if let Some(slot) = next {
            slot.set(Turn::Leads);
        }
    }
}

impl Slot {
    fn set(&self, turn: Turn) {
        *self.turn.lock() = turn;
        self.changed.notify_one();
    }
}

/// The lead of a batch that nobody else waits with. Whatever happens, somebody else leads then.
struct Alone<'a>(&'a Inner);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(PANICKED);
        }
        self.0.queue.pass_on();
    }
}

/// The group that a leader commits. Whatever happens, everybody in it hears of it, and somebody else
/// leads then.
struct Group<'a> {
    inner: &'a Inner,
    members: Vec<Pending>,
    outcomes: Vec<Outcome>,
}

const PANICKED: &str = "a thread panicked while it committed";

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let is_cut_short = self.outcomes.iter().any(Option::is_none);
        if is_cut_short {
            self.inner.fail(PANICKED);
        }
        for (pending, outcome) in self.members.drain(..).zip(self.outcomes.drain(..)) {
            let lost = || Error::UnknownOutcome { why: "the committing thread panicked".into() };
            pending.slot.set(Turn::Done(outcome.unwrap_or_else(|| Err(lost()))));
        }
        self.inner.queue.pass_on();
    }
}

impl Inner {
    /// Commits a batch, and returns when it has reached `durability`.
    pub(crate) fn commit(&self, draft: Draft, durability: Durability) -> Result<Committed, Error> {
        self.check_writable()?;
        let count = draft.count();
        if count == 0 {
            let end = self.log.lock().end();
            let committed = Committed { seqno: self.store.clock().visible(), end };
            return Ok(committed);
        }
        if u32::try_from(count).is_err() {
            let what = "number of operations in a batch";
            return Err(Error::TooLarge { what, len: count, min: 1, max: u32::MAX.into() });
        }
        let body_hash = draft.body_hash()?;
        let len = draft.body().len() as u64;
        self.pace(&draft.parts().map(|part| part.core.as_ref()), count, len)?;
        let batch = Prepared { draft, count, body_hash, durability };
        let committed =
            if self.queue.try_lead() { self.lead_alone(&batch) } else { self.wait(batch) }?;
        if durability == Durability::Sync {
            self.sync_through(committed.end)?;
        }
        Ok(committed)
    }

    /// Commits a batch that nobody waits with. For the leader, who brings it.
    fn lead_alone(&self, batch: &Prepared) -> Result<Committed, Error> {
        let lead = Alone(self);
        let mut outcomes = [None];
        let mut log = self.log.lock();
        self.commit_group(&mut log, &[batch], &mut outcomes);
        drop(log);
        drop(lead);
        let [outcome] = outcomes;
        outcome.unwrap_or_else(|| Err(Error::UnknownOutcome { why: PANICKED.into() }))
    }

    /// Commits a batch that has to wait, with others who do.
    fn wait(&self, batch: Prepared) -> Result<Committed, Error> {
        let slot = Arc::new(Slot::default());
        if self.queue.join(Pending { batch, slot: Arc::clone(&slot) }) {
            self.lead();
        }
        loop {
            let mut turn = slot.turn.lock();
            while matches!(*turn, Turn::Waits) {
                slot.changed.wait(&mut turn);
            }
            match std::mem::take(&mut *turn) {
                Turn::Done(outcome) => return outcome,
                Turn::Leads | Turn::Waits => {
                    drop(turn);
                    self.lead();
                }
            }
        }
    }

    /// Commits the first group of the queue. For the leader, whose batch is in it.
    fn lead(&self) {
        let mut log = self.log.lock();
        let members = self.queue.take_group();
        let outcomes = members.iter().map(|_| None).collect();
        let mut group = Group { inner: self, members, outcomes };
        let batches: Vec<&Prepared> = group.members.iter().map(|pending| &pending.batch).collect();
        self.commit_group(&mut log, &batches, &mut group.outcomes);
        drop(log);
    }

    /// Commits `batches`, and says of each what became of it.
    fn commit_group(&self, log: &mut Log, batches: &[&Prepared], outcomes: &mut [Outcome]) {
        for (batch, outcome) in batches.iter().zip(outcomes.iter_mut()) {
            let gone = batch.draft.parts().find(|part| part.core.is_dropped());
            *outcome = gone
                .map(|part| Err(Error::no_keyspace(&part.core.name)))
                .or_else(|| batch.has_changed().then(|| Err(changed_in_memory())));
        }
        let some;
        let accepted = if outcomes.iter().all(Option::is_none) {
            batches
        } else {
            let both = batches.iter().zip(outcomes.iter());
            some = both
                .filter_map(|(batch, outcome)| outcome.is_none().then_some(*batch))
                .collect::<Vec<_>>();
            &some
        };
        if accepted.is_empty() {
            return;
        }
        let logged = self.log_group(log, accepted);
        let end = match logged {
            Ok((first, end)) => self.apply_group(log, accepted, first).map(|()| (first, end)),
            Err(error) => Err(error),
        };
        let mut next = None;
        for (batch, outcome) in batches.iter().zip(outcomes.iter_mut()) {
            if outcome.is_some() {
                continue;
            }
            *outcome = Some(match &end {
                Ok((first, end)) => {
                    let begins = next.unwrap_or(first.get());
                    next = Some(begins + batch.count);
                    let seqno = SeqNo::new(begins + batch.count - 1).unwrap_or(SeqNo::MAX);
                    Ok(Committed { seqno, end: *end })
                }
                Err(failure) => Err(failure.to_error()),
            });
        }
    }

    /// Gives the batches their numbers and puts them into the log, as one record.
    fn log_group(&self, log: &mut Log, accepted: &[&Prepared]) -> Result<(SeqNo, Lsn), Failure> {
        self.check_open().map_err(|error| Failure::Refused(error.to_string()))?;
        let count: u64 = accepted.iter().map(|batch| batch.count).sum();
        let clock = self.store.clock();
        let first = clock.allocate(count).map_err(|error| Failure::Refused(error.to_string()))?;
        let is_buffered = accepted.iter().all(|batch| batch.durability == Durability::Memory);
        let mode = if is_buffered { AppendMode::Buffered } else { AppendMode::Through };
        let Some(wal) = log.wal.as_mut() else {
            return Err(Failure::Refused("there is no log".into()));
        };
        let mut seqno = first;
        let heads = &mut log.heads;
        heads.clear();
        heads.push(record::VERSION);
        let appended = if let [batch] = accepted {
            record::encode_batch_head(first, batch.count, heads);
            wal.append(&[heads, batch.draft.body()], mode)
        } else {
            let mut cuts = Vec::with_capacity(accepted.len());
            for batch in accepted {
                record::encode_batch_head(seqno, batch.count, heads);
                cuts.push(heads.len());
                seqno = behind(seqno, batch.count);
            }
            let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * accepted.len());
            let mut from = 0;
            for (batch, &to) in accepted.iter().zip(&cuts) {
                parts.push(heads.get(from..to).unwrap_or_default());
                parts.push(batch.draft.body());
                from = to;
            }
            wal.append(&parts, mode)
        };
        match appended {
            Ok(appended) => {
                self.work.note_log(wal.unsynced_len() > self.unsynced_len_max);
                if appended.is_ahead_due && self.executor == Executor::Threads {
                    self.work.want(Role::Ahead);
                }
                self.recovered_from_log_failure();
                log.note_segment(appended.segment, appended.range.start);
                let mut end = first;
                for batch in accepted {
                    end = behind(end, batch.count);
                    for part in batch.draft.parts() {
                        log.note_need(part.core.id, appended.segment, end);
                    }
                }
                Ok((first, appended.range.end))
            }
            Err(stratal_wal::Error::TooLarge { len, limit }) => {
                Err(Failure::TooLarge { len, limit })
            }
            Err(error) => {
                self.note_log_failure(&error);
                Err(Failure::Unknown(error.to_string()))
            }
        }
    }

    /// Applies what was logged, and lets reads see it, all at once.
    fn apply_group(
        &self,
        log: &mut Log,
        accepted: &[&Prepared],
        first: SeqNo,
    ) -> Result<(), Failure> {
        let mut seqno = first;
        for batch in accepted {
            seqno = batch.draft.apply(seqno).map_err(|error| {
                // The record is in the log, so that the next open has it. This process has not.
                let why = format!("a logged batch could not be applied: {error}");
                self.fail(&why);
                Failure::Unknown(why)
            })?;
        }
        self.store.clock().publish(seqno);
        log.groups += 1;
        log.batches += accepted.len() as u64;
        for part in accepted.iter().flat_map(|batch| batch.draft.parts()) {
            if self.memory.note(&part.core) {
                self.seal_if_full(&part.core);
            }
        }
        if log.groups.is_multiple_of(GROUPS_PER_LOOK) {
            self.seal_if_crowded();
        }
        Ok(())
    }

    /// Seals the largest memtable if those that take writes hold too much together. For whoever holds
    /// the log.
    fn seal_if_crowded(&self) {
        if !self.memory.may_be_crowded() {
            return;
        }
        let active = self.cores().into_iter().filter(|core| !core.tree.has_sealed());
        let active: Vec<_> = active.map(|core| (core.tree.memtable_len(), core)).collect();
        let is_crowded = self.memory.is_crowded(active.iter().map(|(len, _)| len).sum());
        let largest = active.into_iter().max_by_key(|(len, _)| *len);
        if let Some((_, core)) = largest.filter(|_| is_crowded) {
            self.seal(&core);
        }
    }

    /// Seals a memtable that is full. For whoever holds the log.
    fn seal_if_full(&self, core: &Core) {
        if core.tree.is_full() {
            self.seal(core);
        }
    }

    fn seal(&self, core: &Core) {
        core.tree.seal();
        core.note_pressure();
        self.work.want(Role::Flush);
    }

    /// Returns when everything up to `end` is durable.
    pub(crate) fn sync_through(&self, end: Lsn) -> Result<(), Error> {
        let Some(syncer) = &self.syncer else { return Ok(()) };
        let mut why = String::new();
        // Twice: a segment that fails is closed, and the next one is another file.
        for _ in 0..3 {
            if syncer.durable_lsn() >= end {
                return Ok(());
            }
            match syncer.sync() {
                Ok(durable) if durable >= end => {
                    self.work.note_log(false);
                    self.recovered_from_log_failure();
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => why = error.to_string(),
            }
            // Some of it is still in memory, or its segment is closed and another one takes it over.
            let mut log = self.log.lock();
            let Some(wal) = log.wal.as_mut() else { break };
            if let Err(error) = wal.flush() {
                why = error.to_string();
                break;
            }
        }
        if syncer.durable_lsn() >= end {
            return Ok(());
        }
        self.set_health(Health::ReadOnly { why: format!("the log cannot be synced: {why}") });
        Err(Error::UnknownOutcome { why })
    }

    /// Slows a writer of `count` operations, `len` bytes in the log, as far as memory is full, or as a
    /// keyspace it writes to is behind with its flushes or merges; lets him wait while they are too far
    /// behind.
    pub(crate) fn pace<'a>(
        &self,
        cores: &(impl Iterator<Item = &'a Core> + Clone),
        count: u64,
        len: u64,
    ) -> Result<(), Error> {
        if self.executor == Executor::Inline {
            return Ok(());
        }
        if self.memory.is_full() {
            // It may be full of memtables that none has looked at together.
            let _log = self.log.lock();
            self.seal_if_crowded();
        }
        self.slow_down(cores, count, len);
        // A database that has failed flushes nothing any more: the commit will say so.
        self.stand_still(|| {
            // Nothing is flushed any more of a keyspace that was dropped: the commit will say so too.
            let is_stalled =
                |core: &Core| core.is_stalled.load(Ordering::Acquire) && !core.is_dropped();
            let is_behind = self.memory.is_full() || cores.clone().any(is_stalled);
            is_behind && !self.is_failed()
        })
    }
}

/// The number behind `count` from `seqno` on.
fn behind(seqno: SeqNo, count: u64) -> SeqNo {
    SeqNo::new(seqno.get() + count).unwrap_or(SeqNo::MAX)
}

/// Why a group was not committed; for each member of it an error is made.
enum Failure {
    Refused(String),
    TooLarge { len: u64, limit: u64 },
    Unknown(String),
}

impl Failure {
    fn to_error(&self) -> Error {
        match self {
            Self::Refused(why) => Error::ReadOnly { why: why.clone() },
            Self::TooLarge { len, limit } => too_large(*len, *limit),
            Self::Unknown(why) => Error::UnknownOutcome { why: why.clone() },
        }
    }
}
