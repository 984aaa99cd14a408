//! What every read has to find.

use std::sync::Arc;

use bytes::Bytes;
use stratal_engine::{MergeOperator, Operation, Verdict};

use crate::{
    history::Change,
    ingesting::Brought,
    world::{self, World},
};

/// What a read of one key finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Value(Bytes),
    /// The operator cannot fold what is there.
    Failed,
}

/// What a key is from some step on.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The step that made it so: reads bounded by a later one see it.
    pub(crate) at: u64,
    pub(crate) is_put: bool,
    /// When it was written, in milliseconds.
    pub(crate) written_ms: u64,
    /// What a read finds. First what it finds if no filter ever judged the key and nothing was forgotten;
    /// behind that, what filters may make of it or of what lies under it, and what is left if that was
    /// forgotten. That all of it may be forgotten is not among them.
    pub(crate) states: Vec<State>,
}

/// Every key's past, folded as it is written: by one operand at a time, and without any of the
/// machinery that is under test.
#[derive(Debug)]
pub(crate) struct Oracle<'w> {
    world: &'w World,
    /// By key, oldest first.
    past: Vec<Vec<Version>>,
    /// Puts of each key since its last delete of any sort; an operand counts as many.
    puts: Vec<u32>,
    /// The step that is under way.
    pub(crate) now: u64,
    /// What time it is.
    pub(crate) now_ms: u64,
    /// For how long values are kept, by trees that forget for age.
    ttl_ms: Option<u64>,
    /// What was written until then has been too old at some time.
    dead_ms: Option<u64>,
}

/// When a history begins.
pub(crate) const BEGIN_MS: u64 = 1_000_000;

/// A key whose value is longer, or may be more things at once, gets no more operands.
const VALUE_LEN_MAX: usize = 2000;
const STATES_MAX: usize = 16;

impl<'w> Oracle<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let count = world.keys.len();
        Self {
            world,
            past: vec![Vec::new(); count],
            puts: vec![0; count],
            now: 1,
            now_ms: BEGIN_MS,
            ttl_ms: None,
            dead_ms: None,
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.keep(self.ttl_ms);
    }

    /// Keeps values for so long from now on, or for ever.
    pub(crate) fn keep(&mut self, ttl_ms: Option<u64>) {
        self.ttl_ms = ttl_ms;
        let dead_ms = ttl_ms.map(|ttl_ms| self.now_ms - ttl_ms);
        self.dead_ms = self.dead_ms.max(dead_ms);
    }

    /// Whether `version` is, or was at some time, older than values are kept.
    pub(crate) fn is_dead(&self, version: &Version) -> bool {
        self.dead_ms.is_some_and(|dead_ms| version.written_ms <= dead_ms)
    }

    /// Applies `change` as far as it is legal now, and tells as what.
    pub(crate) fn apply(&mut self, change: &Change) -> Vec<Operation> {
        let keys = &self.world.keys;
        match change {
            Change::Put { key, value } => {
                let mut value = value.clone();
                // Legal over one put only, and the one that is replaced counts.
                if world::is_weakly_removed(&value) && self.puts[*key] > 1 {
                    value[0] = b'k';
                }
                self.put(*key, &value);
                vec![Operation::Put { key: keys[*key].clone(), value }]
            }
            Change::Merge { key, operand } => {
                let (key, operand) = (*key, operand.clone());
                if self.is_heavy(key) {
                    self.put(key, b"k");
                    return vec![Operation::Put { key: keys[key].clone(), value: b"k".into() }];
                }
                self.merge(key, &operand);
                vec![Operation::Merge { key: keys[key].clone(), operand }]
            }
            Change::Delete { key } => {
                self.delete(*key);
                vec![Operation::Delete { key: keys[*key].clone() }]
            }
            Change::WeakDelete { key } => {
                let is_legal = self.puts[*key] == 1;
                self.delete(*key);
                let key = keys[*key].clone();
                vec![if is_legal {
                    Operation::WeakDelete { key }
                } else {
                    Operation::Delete { key }
                }]
            }
            Change::DeleteRange { from, to } => {
                self.delete_all(self.world.lower(from)..self.world.lower(to));
                vec![Operation::DeleteRange { from: from.clone(), to: to.clone() }]
            }
            Change::DeletePrefix { prefix } => {
                let order = self.world.comparator.as_ref();
                // Not every order keeps them together.
                let Ok(operations) = Operation::delete_prefix(prefix, order) else {
                    return Vec::new();
                };
                let gone = |&key: &usize| keys[key].starts_with(prefix);
                (0..keys.len()).filter(gone).for_each(|key| self.delete(key));
                operations
            }
        }
    }

    /// Applies what is ingested together, excises first, as far as it is legal now.
    pub(crate) fn ingest(
        &mut self,
        excised: &[(Vec<u8>, Vec<u8>)],
        prefix: Option<&[u8]>,
        rows: &[Change],
    ) -> Brought {
        let mut brought = Brought { ranges: excised.to_vec(), ..Brought::default() };
        for (from, to) in excised {
            self.apply(&Change::DeleteRange { from: from.clone(), to: to.clone() });
        }
        if let Some(prefix) = prefix {
            brought.of_prefix = self.apply(&Change::DeletePrefix { prefix: prefix.to_vec() });
            brought.prefix = Some(prefix.to_vec()).filter(|_| !brought.of_prefix.is_empty());
        }
        let last = brought.of_prefix.iter().find_map(|operation| match operation {
            Operation::Delete { key } => Some(key.clone()),
            _ => None,
        });
        for row in rows {
            // Folded when it is given, which is refused if it cannot be.
            let refused = match row {
                Change::Merge { key, operand } if last.as_ref() == self.world.keys.get(*key) => {
                    let name = &self.world.keys[*key];
                    let folded = self.world.operator.full(name, None, &[operand]);
                    folded.is_err().then_some(*key)
                }
                _ => None,
            };
            let row = refused.map_or_else(|| row.clone(), |key| Change::Delete { key });
            brought.rows.extend(self.apply(&row));
        }
        brought
    }

    fn is_heavy(&self, key: usize) -> bool {
        let Some(last) = self.past[key].last() else { return false };
        let is_long =
            |state: &State| matches!(state, State::Value(value) if value.len() > VALUE_LEN_MAX);
        last.states.len() > STATES_MAX || last.states.iter().any(is_long)
    }

    fn put(&mut self, key: usize, value: &[u8]) {
        self.puts[key] += 1;
        let states = vec![State::Value(Bytes::copy_from_slice(value))];
        self.push(key, true, states);
    }

    fn merge(&mut self, key: usize, operand: &[u8]) {
        self.puts[key] += 2;
        let last = self.past[key].last();
        let mut before = last.map_or_else(|| vec![State::Absent], |last| last.states.clone());
        let is_lost = self.world.is_expiring || last.is_some_and(|last| self.is_dead(last));
        if is_lost && !before.contains(&State::Absent) {
            before.push(State::Absent);
        }
        let operator = Arc::clone(&self.world.operator);
        let name = &self.world.keys[key];
        let fold = |state: &State| fold(operator.as_ref(), name, state, operand);
        let mut states: Vec<State> = Vec::new();
        for state in before.iter().map(fold) {
            if !states.contains(&state) {
                states.push(state);
            }
        }
        self.push(key, false, states);
    }

    fn delete(&mut self, key: usize) {
        self.puts[key] = 0;
        self.push(key, false, vec![State::Absent]);
    }

    fn delete_all(&mut self, keys: std::ops::Range<usize>) {
        keys.for_each(|key| self.delete(key));
    }

    fn push(&mut self, key: usize, is_put: bool, mut states: Vec<State>) {
        if self.world.is_filtered {
            add_filtered(&mut states);
        }
        let past = &mut self.past[key];
        if past.last().is_some_and(|last| last.at == self.now) {
            past.pop();
        }
        let is_absent = |states: &[State]| matches!(states, [State::Absent]);
        if is_absent(&states) && past.last().is_none_or(|last| is_absent(&last.states)) {
            return;
        }
        past.push(Version { at: self.now, is_put, written_ms: self.now_ms, states });
    }

    /// What a read bounded by the step `bound` finds of a key; `None` if it was never written.
    pub(crate) fn version(&self, key: usize, bound: u64) -> Option<&Version> {
        let past = &self.past[key];
        let visible = past.partition_point(|version| version.at < bound);
        past.get(visible.checked_sub(1)?)
    }

    /// Every key that a read bounded by `bound` finds, ascending, if no filter judges anything.
    pub(crate) fn rows(&self, bound: u64) -> Vec<(usize, State)> {
        let state = |key| {
            let state = self.version(key, bound)?.states.first()?;
            (*state != State::Absent).then(|| (key, state.clone()))
        };
        (0..self.past.len()).filter_map(state).collect()
    }

    /// Forgets what only reads bounded by a step below `bound` can see.
    pub(crate) fn forget(&mut self, bound: u64) {
        for past in &mut self.past {
            let visible = past.partition_point(|version| version.at < bound);
            past.drain(..visible.saturating_sub(1));
        }
    }
}

fn fold(operator: &dyn MergeOperator, key: &[u8], state: &State, operand: &[u8]) -> State {
    let base = match state {
        State::Absent => None,
        State::Value(value) => Some(&value[..]),
        State::Failed => return State::Failed,
    };
    operator.full(key, base, &[operand]).map_or(State::Failed, |value| State::Value(value.into()))
}

/// Adds what filters may make of any of `states`, and of that.
pub(crate) fn add_filtered(states: &mut Vec<State>) {
    let mut at = 0;
    while let Some(state) = states.get(at) {
        let made = match state {
            State::Value(value) => match world::verdict(value) {
                Verdict::Keep => None,
                Verdict::Replace(value) => Some(State::Value(value.into())),
                _ => Some(State::Absent),
            },
            _ => None,
        };
        if let Some(made) = made
            && !states.contains(&made)
        {
            states.push(made);
        }
        at += 1;
    }
    // Different pasts may have made the same.
    let mut seen: Vec<State> = Vec::with_capacity(states.len());
    for state in states.drain(..) {
        if !seen.contains(&state) {
            seen.push(state);
        }
    }
    *states = seen;
}
