//! A memtable answers as the model does, in both directions and under every order.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use proptest::prelude::*;
use stratal_memtable::Memtable;
use stratal_testkit::{Model, Op, concatenate, strategies};
use stratal_types::{
    Bytewise, Comparator, Cursor, EntryKind, EntryRef, KeyRange, Reverse, SeqNo, Shortlex, Trailer,
};

type Entry = (Vec<u8>, Trailer, Vec<u8>);

fn comparator() -> impl Strategy<Value = Arc<dyn Comparator>> {
    let all: [Arc<dyn Comparator>; 3] = [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    prop::sample::select(all.to_vec())
}

fn apply(memtable: &Memtable, seqno: SeqNo, op: &Op) {
    let entry = |key: &[u8], kind, value: &[u8]| {
        memtable.apply(key, Trailer::new(seqno, kind), value).unwrap();
    };
    match op {
        Op::Put { key, value } => entry(key, EntryKind::Put, value),
        Op::Delete { key } => entry(key, EntryKind::Delete, b""),
        Op::WeakDelete { key } => entry(key, EntryKind::WeakDelete, b""),
        Op::Merge { key, operand } => entry(key, EntryKind::Merge, operand),
        Op::DeleteRange { from, to } => memtable.delete_range(from, to, seqno).unwrap(),
    }
}

fn owned(entry: EntryRef<'_>) -> Entry {
    (entry.key.to_vec(), entry.trailer, entry.value.to_vec())
}

fn key_of(op: &Op) -> &[u8] {
    match op {
        Op::Put { key, .. }
        | Op::Merge { key, .. }
        | Op::Delete { key }
        | Op::WeakDelete { key }
        | Op::DeleteRange { from: key, .. } => key,
    }
}

/// The one function that knows the API.
fn check(memtable: &Arc<Memtable>, model: &Model, probes: &[Vec<u8>]) {
    let entries = model.entries();
    assert_eq!(memtable.entries(), entries.len());
    let order = model.comparator();

    let mut cursor = memtable.cursor();
    assert!(cursor.entry().is_none());
    cursor.retreat().unwrap();
    assert!(cursor.entry().is_none(), "before the first it stays");
    for entry in &entries {
        cursor.advance().unwrap();
        assert_eq!(cursor.entry().map(owned).as_ref(), Some(entry));
    }
    cursor.advance().unwrap();
    cursor.advance().unwrap();
    assert!(cursor.entry().is_none(), "behind the last it stays");
    for entry in entries.iter().rev() {
        cursor.retreat().unwrap();
        assert_eq!(cursor.entry().map(owned).as_ref(), Some(entry));
    }
    cursor.seek_to_last().unwrap();
    assert_eq!(cursor.entry().map(owned).as_ref(), entries.last());
    cursor.seek_to_first().unwrap();
    assert_eq!(cursor.entry().map(owned).as_ref(), entries.first());

    let bounds = || (0..100u32).step_by(7).map(SeqNo::from);
    // Asked for before they are put together.
    let mut covering = Vec::new();
    for key in probes {
        covering.extend(bounds().map(|bound| memtable.covering(key, bound)));
    }
    let mut covering = covering.into_iter();
    for key in probes {
        for bound in [0, 1, 5, 40, 90].map(SeqNo::from).into_iter().chain([SeqNo::MAX]) {
            let at = entries.partition_point(|(other, trailer, _)| {
                let by_key = order.compare(other, key);
                by_key.is_lt() || by_key.is_eq() && !trailer.seqno().is_visible_at(bound)
            });
            cursor.seek(key, bound).unwrap();
            assert_eq!(cursor.entry().map(owned).as_ref(), entries.get(at));
            let expected = entries.get(at).filter(|(other, ..)| other == key);
            let found = memtable.get(key, bound);
            let found = found.map(|(trailer, value)| (key.clone(), trailer, value.to_vec()));
            assert_eq!(found.as_ref(), expected, "{key:?} {bound}");
        }
        for bound in bounds() {
            let over = model.tombstones().iter().filter(|(from, to, seqno)| {
                seqno.is_visible_at(bound)
                    && order.compare(from, key).is_le()
                    && order.compare(key, to).is_lt()
            });
            let newest = over.map(|(.., seqno)| *seqno).max();
            assert_eq!(memtable.tombstones().covering(key, bound, order), newest);
            // In the parts in which they were brought up to date.
            assert!(covering.next() == Some(newest));
        }
    }
    check_hulls(memtable, model, &entries);
}

/// Tombstones that are empty in the model's order leave no trace in the memtable.
fn check_hulls(memtable: &Memtable, model: &Model, entries: &[Entry]) {
    let order = model.comparator();
    let tombstones = model.tombstones().iter();
    let tombstones: Vec<_> =
        tombstones.filter(|(from, to, _)| order.compare(from, to).is_lt()).collect();
    let points = entries.iter().map(|(key, ..)| KeyRange::closed(key.clone(), key.clone()));
    let ranges =
        tombstones.iter().map(|(from, to, _)| KeyRange::half_open(from.clone(), to.clone()));
    assert_eq!(memtable.span(), points.chain(ranges).reduce(|a, b| a.hull(&b, order)));
    let points = entries.iter().map(|(_, trailer, _)| trailer.seqno());
    let seqnos: Vec<_> = points.chain(tombstones.iter().map(|(.., seqno)| *seqno)).collect();
    let range = seqnos.iter().min().zip(seqnos.iter().max()).map(|(min, max)| *min..=*max);
    assert_eq!(memtable.seqno_range(), range);
    assert_eq!(memtable.is_empty(), seqnos.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_memtable_answers_as_the_model_does(
        ops in strategies::ops(120),
        comparator in comparator(),
        strangers in prop::collection::vec(strategies::small_key(), 0..6),
    ) {
        let memtable = Arc::new(Memtable::new(1, Arc::clone(&comparator)));
        let mut model = Model::new(comparator, concatenate);
        for (seqno, op) in (1u32..).zip(&ops) {
            model.apply(seqno.into(), op);
            apply(&memtable, seqno.into(), op);
            // So that later ones are added to these.
            if seqno.is_multiple_of(16) {
                drop(memtable.tombstones());
            } else if seqno.is_multiple_of(3) {
                memtable.covering(b"k", SeqNo::MAX);
            }
        }
        let probes = strangers.into_iter().chain(ops.iter().step_by(5).map(|op| key_of(op).to_vec()));
        check(&memtable, &model, &probes.collect::<Vec<_>>());
    }

    /// A group carried into a new log segment is replayed twice.
    #[test]
    fn groups_applied_twice_leave_one_entry_each(
        ops in strategies::ops(60),
        comparator in comparator(),
        again_from in any::<prop::sample::Index>(),
    ) {
        let memtable = Arc::new(Memtable::new(1, Arc::clone(&comparator)));
        let mut model = Model::new(comparator, concatenate);
        let numbered: Vec<_> = (1u32..).zip(&ops).collect();
        for (seqno, op) in &numbered {
            model.apply((*seqno).into(), op);
            apply(&memtable, (*seqno).into(), op);
        }
        let tombstones = memtable.tombstones();
        for (seqno, op) in numbered.iter().skip(again_from.index(ops.len() + 1)) {
            apply(&memtable, (*seqno).into(), op);
        }
        prop_assert_eq!(memtable.tombstones(), tombstones);
        check(&memtable, &model, &ops.iter().take(5).map(|op| key_of(op).to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn a_cursor_walks_as_a_place_in_the_sorted_list_does(
        ops in strategies::ops(80),
        comparator in comparator(),
        steps in prop::collection::vec((0u8..8, strategies::small_key(), 0u32..90), 0..120),
    ) {
        let memtable = Arc::new(Memtable::new(1, Arc::clone(&comparator)));
        let mut model = Model::new(comparator, concatenate);
        for (seqno, op) in (1u32..).zip(&ops) {
            model.apply(seqno.into(), op);
            apply(&memtable, seqno.into(), op);
        }
        let entries = model.entries();
        let order = model.comparator();
        let mut cursor = memtable.cursor();
        let mut place = 0; // 0 is before the first, `len + 1` behind the last
        for (step, key, bound) in steps {
            let bound = SeqNo::from(bound);
            match step {
                0 => {
                    cursor.seek(&key, bound).unwrap();
                    place = 1 + entries.partition_point(|(other, trailer, _)| {
                        let by_key = order.compare(other, &key);
                        by_key.is_lt() || by_key.is_eq() && !trailer.seqno().is_visible_at(bound)
                    });
                }
                1..5 => {
                    cursor.advance().unwrap();
                    place = (place + 1).min(entries.len() + 1);
                }
                _ => {
                    cursor.retreat().unwrap();
                    place = place.saturating_sub(1);
                }
            }
            let expected = place.checked_sub(1).and_then(|at| entries.get(at));
            prop_assert_eq!(cursor.entry().map(owned), expected.cloned());
        }
    }
}
