use std::{collections::BTreeMap, sync::Arc};

use stratal_types::{Bytewise, Comparator, EntryKind, KeyRange, SeqNo, Trailer};

use crate::Op;

/// A merge operator: the key, the value underneath if there is one, operands oldest first.
pub type MergeFn = fn(&[u8], Option<&[u8]>, &[&[u8]]) -> Vec<u8>;

/// The versions of one key, by number: kind, and value or operand.
type Versions = BTreeMap<SeqNo, (EntryKind, Vec<u8>)>;

/// The oracle: every version ever written, and reads that follow the definition word by word.
///
/// Nothing is ever dropped, so it answers at any bound. Reads cost time linear in what is stored:
/// it is here to be right.
///
/// The definition: a read at `R` sees the versions of a key with a number below `R`. A version
/// `K@s` is hidden iff a range tombstone that the read sees covers `K` with a number above `s`.
/// Of what is left, operands are taken newest first down to the first put or delete and folded onto
/// the put's value, or onto nothing.
#[derive(Clone, Debug)]
pub struct Model {
    comparator: Arc<dyn Comparator>,
    merge: MergeFn,
    versions: BTreeMap<Vec<u8>, Versions>,
    tombstones: Vec<(Vec<u8>, Vec<u8>, SeqNo)>,
}

impl Model {
    /// An empty model in the order of `comparator`, folding with `merge`.
    pub fn new(comparator: Arc<dyn Comparator>, merge: MergeFn) -> Self {
        Self { comparator, merge, versions: BTreeMap::new(), tombstones: Vec::new() }
    }

    /// An empty model in bytewise order that folds with [`concatenate`].
    pub fn bytewise() -> Self {
        Self::new(Arc::new(Bytewise), concatenate)
    }

    /// The order of keys.
    pub fn comparator(&self) -> &dyn Comparator {
        &*self.comparator
    }

    /// Applies a generated change under `seqno`.
    pub fn apply(&mut self, seqno: SeqNo, op: &Op) {
        match op {
            Op::Put { key, value } => self.put(seqno, key, value),
            Op::Delete { key } => self.delete(seqno, key),
            Op::WeakDelete { key } => self.weak_delete(seqno, key),
            Op::Merge { key, operand } => self.merge(seqno, key, operand),
            Op::DeleteRange { from, to } => self.delete_range(seqno, from, to),
        }
    }

    /// Stores a version of any kind. A second one of the same key and number replaces the first.
    pub fn insert(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        let versions = self.versions.entry(key.to_vec()).or_default();
        versions.insert(trailer.seqno(), (trailer.kind(), value.to_vec()));
    }

    /// Gives `key` a value.
    pub fn put(&mut self, seqno: SeqNo, key: &[u8], value: &[u8]) {
        self.insert(key, Trailer::new(seqno, EntryKind::Put), value);
    }

    /// Takes the value of `key` away.
    pub fn delete(&mut self, seqno: SeqNo, key: &[u8]) {
        self.insert(key, Trailer::new(seqno, EntryKind::Delete), b"");
    }

    /// Takes the value of `key` away; reads do not tell it from [`delete`](Self::delete).
    pub fn weak_delete(&mut self, seqno: SeqNo, key: &[u8]) {
        self.insert(key, Trailer::new(seqno, EntryKind::WeakDelete), b"");
    }

    /// Adds an operand to `key`.
    pub fn merge(&mut self, seqno: SeqNo, key: &[u8], operand: &[u8]) {
        self.insert(key, Trailer::new(seqno, EntryKind::Merge), operand);
    }

    /// Hides what is older than `seqno` of every key from `from` up to, and without, `to`. A range
    /// that is empty in this order hides nothing.
    pub fn delete_range(&mut self, seqno: SeqNo, from: &[u8], to: &[u8]) {
        self.tombstones.push((from.to_vec(), to.to_vec(), seqno));
    }

    /// The value of `key` that a read at `bound` gets.
    pub fn get(&self, key: &[u8], bound: SeqNo) -> Option<Vec<u8>> {
        let mut operands: Vec<&[u8]> = Vec::new();
        let mut base = None;
        for (seqno, (kind, value)) in self.versions.get(key)?.iter().rev() {
            if !seqno.is_visible_at(bound) || self.is_covered(key, *seqno, bound) {
                continue;
            }
            if *kind == EntryKind::Merge {
                operands.push(value);
                continue;
            }
            base = kind.is_value().then_some(value.as_slice());
            break;
        }
        if operands.is_empty() {
            return base.map(<[u8]>::to_vec);
        }
        operands.reverse();
        Some((self.merge)(key, base, &operands))
    }

    /// The keys in `range` that have a value at `bound`, with it, ascending in the model's order.
    /// Backwards is `.into_iter().rev()`.
    pub fn scan(&self, range: &KeyRange, bound: SeqNo) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows: Vec<_> = self
            .versions
            .keys()
            .filter(|key| range.contains(key, self.comparator()))
            .filter_map(|key| Some((key.clone(), self.get(key, bound)?)))
            .collect();
        rows.sort_by(|(a, _), (b, _)| self.comparator.compare(a, b));
        rows
    }

    /// How many keys in `range` have a value at `bound`.
    pub fn count(&self, range: &KeyRange, bound: SeqNo) -> usize {
        self.scan(range, bound).len()
    }

    /// Every version stored, in internal order: what a table of all of them holds.
    pub fn entries(&self) -> Vec<(Vec<u8>, Trailer, Vec<u8>)> {
        let mut keys: Vec<_> = self.versions.iter().collect();
        keys.sort_by(|(a, _), (b, _)| self.comparator.compare(a, b));
        let rows = keys.into_iter().flat_map(|(key, versions)| {
            versions.iter().rev().map(|(seqno, (kind, value))| {
                (key.clone(), Trailer::new(*seqno, *kind), value.clone())
            })
        });
        rows.collect()
    }

    /// Every range tombstone, as given: from, to, number.
    pub fn tombstones(&self) -> &[(Vec<u8>, Vec<u8>, SeqNo)] {
        &self.tombstones
    }

    /// The highest number used, or `None` if nothing was written.
    pub fn seqno_max(&self) -> Option<SeqNo> {
        let versions = self.versions.values().flat_map(BTreeMap::keys).copied();
        versions.chain(self.tombstones.iter().map(|(.., seqno)| *seqno)).max()
    }

    fn is_covered(&self, key: &[u8], version: SeqNo, bound: SeqNo) -> bool {
        self.tombstones.iter().any(|(from, to, seqno)| {
            seqno.is_visible_at(bound)
                && *seqno > version
                && self.comparator.compare(from, key).is_le()
                && self.comparator.compare(key, to).is_lt()
        })
    }
}

/// A merge operator that appends operands, oldest first, to the value: not commutative, so that a
/// fold in the wrong order shows.
pub fn concatenate(_key: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    let mut folded = base.unwrap_or_default().to_vec();
    for operand in operands {
        folded.extend_from_slice(operand);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use stratal_types::Reverse;

    fn at(seqno: u32) -> SeqNo {
        seqno.into()
    }

    #[test]
    fn a_read_sees_what_is_below_its_bound() {
        let mut model = Model::bytewise();
        model.put(at(1), b"k", b"one");
        model.delete(at(2), b"k");
        model.put(at(3), b"k", b"three");
        model.weak_delete(at(4), b"k");
        let seen = [1, 2, 3, 4, 5].map(|bound| model.get(b"k", at(bound)));
        assert_eq!(seen, [None, Some(b"one".to_vec()), None, Some(b"three".to_vec()), None]);
    }

    #[test]
    fn operands_fold_in_the_order_written_onto_what_is_visible() {
        let mut model = Model::bytewise();
        model.merge(at(1), b"k", b"a");
        model.merge(at(2), b"k", b"b");
        model.put(at(3), b"k", b"X");
        model.merge(at(4), b"k", b"c");
        model.delete(at(5), b"k");
        model.merge(at(6), b"k", b"d");
        let seen = [3, 4, 5, 6, 7].map(|bound| model.get(b"k", at(bound)));
        let some = |value: &[u8]| Some(value.to_vec());
        assert_eq!(seen, [some(b"ab"), some(b"X"), some(b"Xc"), None, some(b"d")]);
    }

    #[test]
    fn a_tombstone_hides_strictly_older_versions_from_reads_that_see_it() {
        let mut model = Model::bytewise();
        model.put(at(5), b"b", b"older");
        model.put(at(7), b"c", b"equal");
        model.put(at(8), b"b2", b"newer");
        model.put(at(5), b"d", b"at the end");
        model.delete_range(at(7), b"b", b"d");
        let rows = |bound| model.scan(&KeyRange::ALL, bound).into_iter().map(|(key, _)| key);
        assert_eq!(rows(at(7)).collect::<Vec<_>>(), [b"b", b"d"]);
        assert_eq!(rows(SeqNo::MAX).collect::<Vec<_>>(), [&b"b2"[..], b"c", b"d"]);
    }

    #[test]
    fn operands_over_a_tombstone_fold_onto_nothing() {
        let mut model = Model::bytewise();
        model.put(at(1), b"k", b"base");
        model.merge(at(2), b"k", b"+");
        model.delete_range(at(3), b"a", b"z");
        model.merge(at(4), b"k", b"-");
        assert_eq!(model.get(b"k", SeqNo::MAX).as_deref(), Some(&b"-"[..]));
        assert_eq!(model.get(b"k", at(3)).as_deref(), Some(&b"base+"[..]));
    }

    #[test]
    fn ranges_and_scans_follow_the_comparator() {
        let mut model = Model::new(Arc::new(Reverse), concatenate);
        for (seqno, key) in (1..).zip([b"a", b"b", b"c"]) {
            model.put(at(seqno), key, key);
        }
        model.delete_range(at(9), b"a", b"c"); // empty in this order
        let keys = |model: &Model| -> Vec<Vec<u8>> {
            model.scan(&KeyRange::ALL, SeqNo::MAX).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(&model), [b"c", b"b", b"a"]);
        model.delete_range(at(9), b"c", b"a");
        assert_eq!(keys(&model), [b"a"]);
        assert_eq!(model.seqno_max(), Some(at(9)));
        assert!(model.entries().is_sorted_by_key(|(_, trailer, _)| std::cmp::Reverse(*trailer)));
    }
}
