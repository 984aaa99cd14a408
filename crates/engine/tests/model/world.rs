//! What a history is about: an order, an operator, a filter, and the keys there are.

use std::sync::Arc;

use stratal_engine::{EntryRef, MergeOperator, Verdict};
use stratal_testkit::Rng;
use stratal_types::{Comparator, comparator_named};

use crate::operators;

/// Drawn from a seed, and the same for every tree that the history is applied to.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) comparator: Arc<dyn Comparator>,
    pub(crate) operator: Arc<dyn MergeOperator>,
    /// Whether a compaction filter may take values away.
    pub(crate) is_filtered: bool,
    /// Whether trees may forget values for their age.
    pub(crate) is_aging: bool,
    /// Whether trees may forget tables, for their age or the tree's length.
    pub(crate) is_expiring: bool,
    /// How often what is done, out of all changes: puts, operands, weak deletes, deletes, and deletes of
    /// ranges and prefixes.
    pub(crate) habit: [u64; 5],
    /// Every key that is written, ascending in the order.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let comparator = comparator_named(["bytewise", "reverse", "shortlex"][rng.index(3)]);
        let comparator = comparator.expect("an order of the types");
        let operator = operators::named(operators::NAMES[rng.index(operators::NAMES.len())])
            .expect("a known operator");
        let count = [6, 30, 60, 200][rng.index(4)];
        let habit = HABITS[rng.index(HABITS.len())];
        let mut keys: Vec<Vec<u8>> = (0..count).map(|_| key(rng)).collect();
        keys.sort_by(|a, b| comparator.compare(a, b));
        keys.dedup();
        let is_filtered = rng.chance(1, 3);
        let is_aging = rng.chance(1, 3);
        let is_expiring = rng.chance(1, 3);
        Self { comparator, operator, is_filtered, is_aging, is_expiring, habit, keys }
    }

    /// Whether there are operands, and so a merge operator.
    pub(crate) fn has_operands(&self) -> bool {
        self.habit[1] > 0
    }

    /// The number of a random key.
    pub(crate) fn key_number(&self, rng: &mut Rng) -> usize {
        rng.index(self.keys.len())
    }

    /// A key that is written, or one near it that is not.
    pub(crate) fn probe(&self, rng: &mut Rng) -> Vec<u8> {
        let mut key = self.keys[self.key_number(rng)].clone();
        match rng.below(8) {
            0 => key.push(rng.bytes(1)[0]),
            1 if key.len() > 1 => drop(key.pop()),
            _ => {}
        }
        key
    }

    /// The number of the first key at or behind `bound`.
    pub(crate) fn lower(&self, bound: &[u8]) -> usize {
        self.keys.partition_point(|key| self.comparator.compare(key, bound).is_lt())
    }

    /// The number of the first key behind `bound`.
    pub(crate) fn upper(&self, bound: &[u8]) -> usize {
        self.keys.partition_point(|key| self.comparator.compare(key, bound).is_le())
    }

    /// Two places in the order, the first before the second.
    pub(crate) fn stretch(&self, rng: &mut Rng) -> Option<(Vec<u8>, Vec<u8>)> {
        let (a, b) = (self.probe(rng), self.probe(rng));
        match self.comparator.compare(&a, &b) {
            std::cmp::Ordering::Less => Some((a, b)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some((b, a)),
        }
    }

    /// A value to be put. Those whose first byte says so, a filter takes away or replaces.
    pub(crate) fn value(&self, rng: &mut Rng) -> Vec<u8> {
        let mut value = value(self.operator.name(), rng);
        if self.is_filtered {
            value.insert(0, *rng.choose(b"kkkkrdcsw"));
        }
        value
    }

    pub(crate) fn operand(&self, rng: &mut Rng) -> Vec<u8> {
        operand(self.operator.name(), self.is_filtered, rng)
    }
}

/// Rules that meet rarely where everything happens meet often where little else does.
const HABITS: [[u64; 5]; 4] =
    [[16, 8, 6, 6, 4], [10, 0, 8, 4, 0], [4, 16, 2, 4, 2], [10, 3, 3, 1, 5]];

/// Whether the filter takes the value away as a weak delete does, which is legal only over one put.
pub(crate) fn is_weakly_removed(value: &[u8]) -> bool {
    value.first() == Some(&b'w')
}

/// What a filter says about a value, by its first byte.
pub(crate) fn verdict(value: &[u8]) -> Verdict {
    let replaced = |first: u8| {
        let mut value = value.to_vec();
        value[0] = first;
        Verdict::Replace(value)
    };
    match value.first() {
        Some(b'r') => Verdict::Remove,
        Some(b'd') => Verdict::Destroy,
        Some(b'w') => Verdict::WeakRemove,
        Some(b'c') => replaced(b'k'),
        // What it becomes is removed at the next occasion.
        Some(b's') => replaced(b'r'),
        _ => Verdict::Keep,
    }
}

/// As a filter of jobs has it.
pub(crate) fn judge(entry: EntryRef<'_>) -> Verdict {
    verdict(entry.value)
}

/// Few bytes in common orders, prefixes of one another, both extremes, and rarely something long.
fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.below(16) {
        0..=3 => vec![[0x00, b'k', 0xff][rng.index(3)]; 1 + rng.index(3)],
        4 => {
            let len = 1 + rng.index(3);
            rng.bytes(len)
        }
        5 if rng.chance(1, 4) => {
            let len = 100 + rng.index(200);
            rng.bytes(len)
        }
        _ => format!("{}{:03}", rng.choose(&["key", "place/", "q"]), rng.below(300)).into_bytes(),
    }
}

/// A value that `operator` takes as a base, most of the time.
pub(crate) fn value(operator: &str, rng: &mut Rng) -> Vec<u8> {
    match operator {
        "add-u64" if !rng.chance(1, 10) => rng.below(1 << 20).to_string().into_bytes(),
        "json-patch" if !rng.chance(1, 10) => json(rng),
        _ => {
            let len = if rng.chance(1, 30) { 200 + rng.index(900) } else { rng.index(50) };
            rng.bytes(len)
        }
    }
}

/// An operand, which rarely makes no sense. Where values are filtered it never makes a value of nothing
/// that a filter would take away weakly.
pub(crate) fn operand(operator: &str, is_filtered: bool, rng: &mut Rng) -> Vec<u8> {
    let mut operand = match operator {
        "add-u64" if !rng.chance(1, 20) => rng.below(1 << 20).to_string().into_bytes(),
        "json-patch" if !rng.chance(1, 20) => json(rng),
        "affine" | "affine alone" => rng.bytes(16),
        "picky" if rng.chance(1, 10) => b"!no".to_vec(),
        _ => {
            let len = rng.index(8);
            rng.bytes(len)
        }
    };
    if is_filtered && is_weakly_removed(&operand) {
        operand[0] = b'r';
    }
    operand
}

/// An object with few names, so that patches meet.
fn json(rng: &mut Rng) -> Vec<u8> {
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        if rng.chance(1, 2) {
            let value = match rng.below(4) {
                0 => "null".to_owned(),
                1 => format!("{{\"x\":{}}}", rng.below(10)),
                2 => format!("{{\"y\":null,\"z\":{}}}", rng.below(10)),
                _ => rng.below(100).to_string(),
            };
            members.push(format!("\"{name}\":{value}"));
        }
    }
    format!("{{{}}}", members.join(",")).into_bytes()
}
