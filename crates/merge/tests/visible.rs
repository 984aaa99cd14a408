//! What a read finds in several sources is what the model says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{convert::Infallible, ops::Bound, rc::Rc, sync::Arc};

use proptest::prelude::*;
use stratal_merge::{
    Chain, Entry, Fold, MergeOperator, PointSource, Resolved, Row, RowIter, SliceCursor, Source,
    Verdict, VisibleCursor, decide, operators::Append, resolve,
};
use stratal_testkit::{Model, Op, concatenate, strategies};
use stratal_types::{
    Bytewise, Comparator, Cursor, EntryKind, Fragments, KeyRange, RangeTombstone, SeqNo, Trailer,
};
use support::{
    Bounded, Broken, Meter, Metered, backward, check_failing_walk, check_walk, comparator, forward,
    step,
};

/// Keys that lie close, so that tombstones cover many of them.
fn dense_key() -> impl Strategy<Value = Vec<u8>> {
    (0u8..200).prop_map(|key| vec![b'k', b'0' + key / 16, b'0' + key % 16])
}

/// A few keys, which get many versions.
fn hot_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![dense_key(), (0u8..4).prop_map(|key| vec![b'k', b'5', b'0' + key])]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => dense_key(), 1 => strategies::small_key()]
}

/// Many puts and operands, and tombstones over few and many keys.
fn dense_ops() -> impl Strategy<Value = Vec<Op>> {
    let put = (dense_key(), any::<[u8; 2]>());
    let op = prop_oneof![
        12 => put.prop_map(|(key, value)| Op::Put { key, value: value.to_vec() }),
        2 => dense_key().prop_map(|key| Op::Delete { key }),
        1 => dense_key().prop_map(|key| Op::WeakDelete { key }),
        4 => (hot_key(), any::<u8>())
            .prop_map(|(key, operand)| Op::Merge { key, operand: vec![operand] }),
        3 => (dense_key(), dense_key()).prop_map(|(from, to)| Op::DeleteRange { from, to }),
    ];
    prop::collection::vec(op, 0..300)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![2 => dense_ops(), 1 => strategies::ops(150)]
}

/// How versions and tombstones came to lie in several sources.
#[derive(Clone, Debug)]
struct Layout {
    /// Regions of the key space are cut at these keys, in order.
    cuts: Vec<Vec<u8>>,
    /// Per region, from which number on a write is in the newest source, the one behind, … As many
    /// as there are sources, less one.
    ages: Vec<Vec<u32>>,
    /// How many numbers below its limit each source has as well as the one behind.
    shared: u32,
    /// Whether sources say how new their entries are.
    tells_seqno_max: bool,
}

fn layout() -> impl Strategy<Value = Layout> {
    let cuts = prop::collection::vec(key(), 0..4);
    let ages = (0usize..6).prop_flat_map(|behind| {
        prop::collection::vec(prop::collection::vec(0u32..300, behind..=behind), 5)
    });
    let shared = prop_oneof![2 => Just(0), 1 => 0u32..40];
    (cuts, ages, shared, any::<bool>()).prop_map(|(cuts, mut ages, shared, tells_seqno_max)| {
        for ages in &mut ages {
            ages.sort_unstable_by_key(|&age| std::cmp::Reverse(age));
        }
        Layout { cuts, ages, shared, tells_seqno_max }
    })
}

/// A source as plain data.
#[derive(Clone, Debug)]
struct Part {
    entries: SliceCursor,
    tombstones: Arc<Fragments>,
    seqno_max: SeqNo,
}

impl Layout {
    /// Numbers that source `number` holds in region `region`.
    fn holds(&self, region: usize, number: usize, seqno: SeqNo) -> bool {
        let ages = &self.ages[region];
        let from = ages.get(number).copied().unwrap_or(0);
        // A newer source begins at its age; what this one shares with it lies above.
        let to = number.checked_sub(1).map(|newer| ages[newer] + self.shared);
        seqno >= SeqNo::from(from) && to.is_none_or(|to| seqno < SeqNo::from(to))
    }

    fn parts(&self, model: &Model, comparator: &Arc<dyn Comparator>) -> Vec<Part> {
        let order = &**comparator;
        let mut cuts: Vec<_> = self.cuts.iter().map(Vec::as_slice).collect();
        cuts.sort_by(|a, b| order.compare(a, b));
        let region_of = |key: &[u8]| cuts.partition_point(|cut| order.compare(cut, key).is_le());
        let part = |number| {
            let held =
                |(key, trailer, _): &Entry| self.holds(region_of(key), number, trailer.seqno());
            let entries: Vec<Entry> = model.entries().into_iter().filter(held).collect();
            let tombstones: Vec<_> = (0..=cuts.len())
                .map(|region| {
                    let held = model
                        .tombstones()
                        .iter()
                        .filter(|(.., seqno)| self.holds(region, number, *seqno));
                    let written: Vec<_> = held
                        .map(|(from, to, seqno)| RangeTombstone::new(&from[..], &to[..], *seqno))
                        .collect();
                    let start = region.checked_sub(1).map(|before| cuts[before]);
                    Fragments::build(&written, order).clip(start, cuts.get(region).copied(), order)
                })
                .collect();
            let seqno_max = entries.iter().map(|(_, trailer, _)| trailer.seqno()).max();
            let known = seqno_max.filter(|_| self.tells_seqno_max);
            Part {
                entries: SliceCursor::new(entries, Arc::clone(comparator)),
                tombstones: Arc::new(Fragments::merge(&tombstones, order)),
                seqno_max: known.unwrap_or(SeqNo::MAX),
            }
        };
        (0..=self.ages[0].len()).map(part).collect()
    }
}

fn sources(parts: &[Part]) -> Vec<Source<SliceCursor>> {
    let source = |part: &Part| Source {
        cursor: part.entries.clone(),
        tombstones: Arc::clone(&part.tombstones),
        seqno_max: part.seqno_max,
    };
    parts.iter().map(source).collect()
}

impl PointSource for Part {
    type Value = Vec<u8>;
    type Error = Infallible;

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Infallible> {
        // Parts of one test share an order, which any of their cursors knows.
        Ok(self.tombstones.covering(key, bound, &**self.entries.comparator()))
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Vec<u8>)>, Infallible> {
        let mut cursor = self.entries.clone();
        cursor.seek(key, bound)?;
        let found = cursor.entry().filter(|entry| entry.key == key);
        Ok(found.map(|entry| (entry.trailer, entry.value.to_vec())))
    }
}

fn model_of(ops: &[Op], comparator: &Arc<dyn Comparator>) -> Model {
    let mut model = Model::new(Arc::clone(comparator), concatenate);
    for (seqno, op) in (1u32..).zip(ops) {
        model.apply(seqno.into(), op);
    }
    model
}

/// The rows of a read: keys and values as the model finds them, with the newest version it sees,
/// which is a put where operands were folded.
fn rows_of(model: &Model, range: &KeyRange, bound: SeqNo) -> Vec<Entry> {
    let stored = rows_as_stored(model, range, bound);
    let row = |((key, value), (_, trailer, stored)): ((Vec<u8>, Vec<u8>), Entry)| {
        assert!(trailer.kind() == EntryKind::Merge || stored == value);
        (key, Trailer::new(trailer.seqno(), EntryKind::Put), value)
    };
    model.scan(range, bound).into_iter().zip(stored).map(row).collect()
}

/// The rows of a read that folds nothing: the newest version that it sees of each key.
fn rows_as_stored(model: &Model, range: &KeyRange, bound: SeqNo) -> Vec<Entry> {
    let entries = model.entries();
    let row = |(key, _): (Vec<u8>, Vec<u8>)| {
        let newest = entries
            .iter()
            .find(|(other, trailer, _)| *other == key && trailer.seqno().is_visible_at(bound));
        newest.unwrap().clone()
    };
    model.scan(range, bound).into_iter().map(row).collect()
}

/// Folds by appending.
#[derive(Debug)]
struct Appending;

impl<E> Fold<E> for Appending {
    fn fold(
        &self,
        key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, E> {
        assert!(base.is_none_or(|(kind, _)| kind.is_value()) && !operands.is_empty());
        Ok(Append.full(key, base.map(|(_, value)| value), operands).unwrap())
    }
}

fn bounds() -> impl Strategy<Value = SeqNo> {
    prop_oneof![2 => Just(SeqNo::MAX), 3 => (0u32..300).prop_map(SeqNo::from)]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end = || {
        prop_oneof![
            Just(Bound::Unbounded),
            key().prop_map(Bound::Included),
            key().prop_map(Bound::Excluded),
        ]
    };
    (end(), end()).prop_map(|(start, end)| KeyRange { start, end })
}

fn owned_row(row: Result<Row, Infallible>) -> Entry {
    let Ok(Row { key, trailer, value }) = row;
    (key.into(), trailer, value.into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_read_finds_the_rows_of_the_model(
        ops in ops(),
        comparator in comparator(),
        layout in layout(),
        bound in bounds(),
        range in range(),
        steps in prop::collection::vec(step(key(), 300), 0..80),
    ) {
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let expected = rows_of(&model, &range, bound);
        let cursor = VisibleCursor::new(sources(&parts), Arc::clone(&comparator), bound);
        let mut cursor = cursor.with_range(range.clone()).with_fold(Arc::new(Appending));
        check_walk(&mut cursor, &expected, &*comparator, &steps);
        let Ok(rows) = forward(&mut cursor);
        prop_assert_eq!(&rows, &expected);
        let Ok(mut rows) = backward(&mut cursor);
        rows.reverse();
        prop_assert_eq!(&rows, &expected);

        let bounded = sources(&parts).into_iter().map(bounded).collect();
        let cursor = VisibleCursor::new(bounded, Arc::clone(&comparator), bound);
        let mut cursor = cursor.with_range(range).with_fold(Arc::new(Appending));
        check_walk(&mut cursor, &expected, &*comparator, &steps);
    }

    #[test]
    fn a_read_that_folds_nothing_finds_operands_as_they_are_stored(
        ops in ops(),
        comparator in comparator(),
        layout in layout(),
        bound in bounds(),
        range in range(),
        steps in prop::collection::vec(step(key(), 300), 0..80),
    ) {
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let expected = rows_as_stored(&model, &range, bound);
        let cursor = VisibleCursor::new(sources(&parts), Arc::clone(&comparator), bound);
        let mut cursor = cursor.with_range(range.clone());
        check_walk(&mut cursor, &expected, &*comparator, &steps);
        let Ok(rows) = forward(&mut cursor);
        prop_assert_eq!(&rows, &expected);
    }

    #[test]
    fn a_get_finds_what_a_scan_finds(
        ops in ops(),
        comparator in comparator(),
        layout in layout(),
        bound in bounds(),
        keys in prop::collection::vec(key(), 0..20),
    ) {
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let rows = rows_of(&model, &KeyRange::ALL, bound);
        for key in keys {
            let expected = rows.iter().find(|(other, ..)| *other == key);
            let mut chain = Chain::default();
            let Ok(found) = resolve(&key, bound, &parts, &mut chain, usize::MAX);
            let found = match found {
                Resolved::Absent => None,
                Resolved::Value(trailer, value) => Some((trailer, value)),
                Resolved::Operands { base } => {
                    let base = base.map(|(_, value)| value);
                    let value = Append.full(&key, base.as_deref(), &chain.reversed()).unwrap();
                    Some((Trailer::new(chain.get(0).unwrap().0.seqno(), EntryKind::Put), value))
                }
                Resolved::TooMany => unreachable!("the chain may be of any length"),
            };
            let found = found.map(|(trailer, value)| (key, trailer, value));
            prop_assert_eq!(found.as_ref(), expected);
        }
    }

    #[test]
    fn both_ends_of_an_iterator_meet_once(
        ops in ops(),
        comparator in comparator(),
        layout in layout(),
        bound in bounds(),
        range in range(),
        prefix in prop::option::of(strategies::small_key()),
        from_front in prop::collection::vec(any::<bool>(), 400),
    ) {
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let both = [sources(&parts), sources(&parts)];
        let mut later = None;
        let (mut rows, expected) = if let Some(prefix) = prefix {
            let mut expected = rows_of(&model, &KeyRange::ALL, bound);
            expected.retain(|(key, ..)| key.starts_with(&prefix));
            (RowIter::prefix(both, &comparator, bound, &prefix), expected)
        } else {
            let expected = rows_of(&model, &range, bound);
            let [front, back] = both;
            later = Some(back);
            (RowIter::range_from_front(front, &comparator, bound, range), expected)
        };
        rows = rows.with_fold(&(Arc::new(Appending) as _));
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for from_front in from_front {
            if from_front {
                front.extend(rows.next().map(owned_row));
            } else {
                later.take().into_iter().for_each(|back| rows.set_back(back));
                back.extend(rows.next_back().map(owned_row));
            }
        }
        prop_assert!(rows.next().is_none() && rows.next_back().is_none());
        front.extend(back.into_iter().rev());
        prop_assert_eq!(front, expected);
    }

    #[test]
    fn an_error_surfaces_and_sticks_until_a_seek_succeeds(
        ops in ops(),
        layout in layout(),
        bound in bounds(),
        steps in prop::collection::vec(step(key(), 300), 1..40),
        fails_in in 0..200usize,
    ) {
        let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let expected = rows_of(&model, &KeyRange::ALL, bound);
        let meter = Rc::new(Meter::default());
        let mut cursor =
            VisibleCursor::new(metered(&parts, &meter), Arc::clone(&comparator), bound)
                .with_fold(Arc::new(Appending));
        meter.fails_in.set(Some(fails_in));
        check_failing_walk(&mut cursor, &meter, &expected, &*comparator, &steps);
    }

    #[test]
    fn an_iterator_yields_rows_up_to_an_error_and_then_ends(
        ops in dense_ops(),
        layout in layout(),
        fails_in in 0..400usize,
        from_front in any::<bool>(),
    ) {
        let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
        let model = model_of(&ops, &comparator);
        let parts = layout.parts(&model, &comparator);
        let mut expected = rows_of(&model, &KeyRange::ALL, SeqNo::MAX);
        let meter = Rc::new(Meter::default());
        let both = [metered(&parts, &meter), metered(&parts, &meter)];
        meter.fails_in.set(Some(fails_in));
        let mut rows = RowIter::range(both, &comparator, SeqNo::MAX, KeyRange::ALL)
            .with_fold(&(Arc::new(Appending) as _));
        let mut next = || if from_front { rows.next() } else { rows.next_back() };
        let mut found = Vec::new();
        while let Some(Ok(row)) = next() {
            found.push((Vec::from(row.key), row.trailer, Vec::from(row.value)));
        }
        if !from_front {
            expected.reverse();
        }
        if meter.failures.get() > 0 {
            prop_assert!(expected.starts_with(&found));
            prop_assert!(next().is_none());
        } else {
            prop_assert_eq!(found, expected);
        }
    }
}

fn bounded(source: Source<SliceCursor>) -> Source<Bounded> {
    let Source { cursor, tombstones, seqno_max } = source;
    Source { cursor: Bounded::new(cursor), tombstones, seqno_max }
}

fn metered(parts: &[Part], meter: &Rc<Meter>) -> Vec<Source<Metered>> {
    let source = |source: Source<SliceCursor>| Source {
        cursor: Metered::new(source.cursor, meter),
        tombstones: source.tombstones,
        seqno_max: source.seqno_max,
    };
    sources(parts).into_iter().map(source).collect()
}

fn put(seqno: u32) -> Trailer {
    Trailer::new(seqno.into(), EntryKind::Put)
}

fn number(key: u32) -> Vec<u8> {
    format!("{key:08}").into_bytes()
}

/// Entries, tombstones and `seqno_max` of a source.
type Parts = (Vec<Entry>, Vec<RangeTombstone>, SeqNo);

fn counted(sources: Vec<Parts>, bound: SeqNo) -> (VisibleCursor<Metered>, Rc<Meter>) {
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    let meter = Rc::new(Meter::default());
    let source = |(entries, tombstones, seqno_max)| Source {
        cursor: Metered::new(SliceCursor::new(entries, Arc::clone(&order)), &meter),
        tombstones: Arc::new(Fragments::build(&tombstones, &*order)),
        seqno_max,
    };
    let sources = sources.into_iter().map(source).collect();
    (VisibleCursor::new(sources, Arc::clone(&order), bound), meter)
}

/// Scans both ways and returns how many rows there are and how many calls it took to find them.
fn count_calls(sources: Vec<Parts>, bound: SeqNo) -> (usize, usize) {
    let (mut cursor, meter) = counted(sources, bound);
    let ahead = forward(&mut cursor).unwrap();
    let calls_ahead = meter.calls();
    let mut back = backward(&mut cursor).unwrap();
    back.reverse();
    assert_eq!(ahead, back);
    let calls_back = meter.calls() - calls_ahead;
    println!("{} rows: {calls_ahead} calls ahead, {calls_back} back", ahead.len());
    (ahead.len(), calls_ahead.max(calls_back))
}

const DELETED: u32 = 100_000;

fn deleted_rows() -> Vec<Entry> {
    (0..DELETED).map(|key| (number(key), put(1 + key), b"v".to_vec())).collect()
}

fn delete_all() -> Vec<RangeTombstone> {
    vec![RangeTombstone::new(number(10), number(DELETED - 10), (DELETED + 1).into())]
}

#[test]
fn rows_of_older_sources_under_a_tombstone_are_passed_by_seek() {
    let newer = vec![(number(500), put(DELETED + 2), b"new".to_vec())];
    let sources = vec![(newer, delete_all(), SeqNo::MAX), (deleted_rows(), Vec::new(), SeqNo::MAX)];
    let (rows, calls) = count_calls(sources, SeqNo::MAX);
    assert_eq!(rows, 21);
    assert!(calls < 80, "{calls}");
}

#[test]
fn rows_of_the_same_source_are_passed_if_all_are_older() {
    let all_older = SeqNo::from(DELETED);
    let (rows, calls) = count_calls(vec![(deleted_rows(), delete_all(), all_older)], SeqNo::MAX);
    assert_eq!(rows, 20);
    assert!(calls < 60, "{calls}");
    let (rows, calls) = count_calls(vec![(deleted_rows(), delete_all(), SeqNo::MAX)], SeqNo::MAX);
    assert_eq!((rows, calls > DELETED as usize), (20, true), "nothing is known of them");
}

#[test]
fn rows_that_cannot_be_passed_do_not_cost_a_seek_each() {
    // The tombstone is in the older source, where it hides nothing of the newer.
    let newer = (0..1000).map(|key| (number(key), put(DELETED + 2 + key), b"v".to_vec())).collect();
    let behind = vec![(newer, Vec::new(), SeqNo::MAX), (deleted_rows(), delete_all(), SeqNo::MAX)];
    let (rows, calls) = count_calls(behind, SeqNo::MAX);
    assert_eq!(rows, 1010);
    assert!(calls < 2 * DELETED as usize, "{calls}");
}

#[test]
fn a_key_with_many_versions_is_left_by_seek() {
    let hot = |key: u32| (1..=DELETED).map(move |seqno| (number(key), put(seqno), b"v".to_vec()));
    for bound in [SeqNo::MAX, (DELETED / 2).into(), 2u32.into()] {
        let versions = hot(1).chain(hot(2)).collect();
        let (rows, calls) = count_calls(vec![(versions, Vec::new(), SeqNo::MAX)], bound);
        assert_eq!(rows, 2);
        assert!(calls < 60, "{calls}");
    }
}

/// The row stands amid masked ones, which the older source was sent past on the way to it.
#[test]
fn a_turn_at_a_row_amid_masked_ones_does_not_step_over_them() {
    let newer = vec![(number(50_000), put(DELETED + 2), b"new".to_vec())];
    let older = (deleted_rows(), Vec::new(), SeqNo::MAX);
    let (mut cursor, meter) = counted(vec![(newer, delete_all(), SeqNo::MAX), older], SeqNo::MAX);
    let key_of = |cursor: &VisibleCursor<_>| cursor.entry().map(|entry| entry.key.to_vec());
    cursor.seek(&number(9), SeqNo::MAX).unwrap();
    for _ in 0..5 {
        assert_eq!(key_of(&cursor), Some(number(9)));
        cursor.advance().unwrap();
        assert_eq!(key_of(&cursor), Some(number(50_000)));
        cursor.retreat().unwrap(); // turns amid what was passed
        assert_eq!(key_of(&cursor), Some(number(9)));
        cursor.advance().unwrap();
        cursor.advance().unwrap();
        assert_eq!(key_of(&cursor), Some(number(DELETED - 10)));
        cursor.retreat().unwrap();
        assert_eq!(key_of(&cursor), Some(number(50_000)));
        cursor.retreat().unwrap();
    }
    assert!(meter.calls() < 5 * 100, "{}", meter.calls());
}

#[test]
fn a_version_is_hidden_by_strictly_newer_tombstones_that_the_read_sees() {
    let at = |seqno: u32| SeqNo::from(seqno);
    let judge = |kind, covered, bound| decide(Trailer::new(at(5), kind), covered, bound);
    for kind in EntryKind::ALL {
        let alive = if kind.is_delete() { Verdict::Hidden } else { Verdict::Shown };
        assert_eq!(judge(kind, None, at(5)), Verdict::Unseen);
        assert_eq!(judge(kind, Some(at(4)), at(5)), Verdict::Unseen);
        assert_eq!(judge(kind, None, at(6)), alive);
        assert_eq!(judge(kind, Some(at(4)), at(6)), alive);
        assert_eq!(judge(kind, Some(at(5)), at(6)), alive, "of one number: written together");
        assert_eq!(judge(kind, Some(at(6)), at(7)), Verdict::Hidden);
    }
}

/// Fails as long as it is told to.
#[derive(Debug, Default)]
struct Failing(std::sync::atomic::AtomicBool);

impl Failing {
    fn set(&self, fails: bool) {
        self.0.store(fails, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Fold<Broken> for Failing {
    fn fold(
        &self,
        key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, Broken> {
        if self.0.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Broken);
        }
        Appending.fold(key, base, operands)
    }
}

#[test]
fn operands_that_cannot_be_folded_are_an_error_until_they_can_be() {
    let operand = |key: &[u8], seqno: u32| {
        (key.to_vec(), Trailer::new(seqno.into(), EntryKind::Merge), b"+".to_vec())
    };
    for versions in [1, 20] {
        let mut entries = vec![(b"a".to_vec(), put(1), b"v".to_vec())];
        entries.extend((2..2 + versions).map(|seqno| operand(b"b", seqno)));
        entries.push((b"c".to_vec(), put(1), b"v".to_vec()));
        let (cursor, _) = counted(vec![(entries, Vec::new(), SeqNo::MAX)], SeqNo::MAX);
        let failing = Arc::new(Failing::default());
        let mut cursor = cursor.with_fold(Arc::clone(&failing) as _);
        let key_of = |cursor: &VisibleCursor<_>| cursor.entry().map(|entry| entry.key.to_vec());

        failing.set(true);
        cursor.seek_to_first().unwrap();
        for _ in 0..3 {
            assert_eq!((cursor.advance(), key_of(&cursor)), (Err(Broken), None));
        }
        assert_eq!((cursor.retreat(), key_of(&cursor)), (Err(Broken), None));
        cursor.seek_to_last().unwrap();
        for _ in 0..3 {
            assert_eq!((cursor.retreat(), key_of(&cursor)), (Err(Broken), None));
        }
        cursor.seek(b"c", SeqNo::MAX).unwrap();
        assert_eq!((cursor.retreat(), key_of(&cursor)), (Err(Broken), None));
        failing.set(false);
        cursor.advance().unwrap();
        let row = cursor.entry().unwrap();
        assert_eq!((row.key, row.value.len()), (&b"b"[..], versions as usize));
    }
}

/// Notes how much it is given at once.
#[derive(Debug, Default)]
struct Weighing(std::sync::atomic::AtomicUsize);

impl Fold<Broken> for Weighing {
    fn fold(
        &self,
        key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, Broken> {
        let len: usize = operands.iter().map(|operand| operand.len()).sum();
        self.0.fetch_max(len, std::sync::atomic::Ordering::Relaxed);
        Appending.fold(key, base, operands)
    }
}

/// Two sources: the older has the base, if there is one, and half of the operands.
fn many_operands(count: u32, base: bool) -> Vec<Parts> {
    let operand = |seqno: u32| {
        let operand = seqno.to_le_bytes().to_vec();
        (b"hot".to_vec(), Trailer::new(seqno.into(), EntryKind::Merge), operand)
    };
    let newer = (count / 2 + 2..count + 2).map(operand).collect();
    let mut older: Vec<Entry> = (2..count / 2 + 2).map(operand).collect();
    older.extend(base.then(|| (b"hot".to_vec(), put(1), b"base".to_vec())));
    let beside = |key: &[u8]| (key.to_vec(), put(1), b"v".to_vec());
    older.extend([beside(b"a"), beside(b"z")]);
    vec![(newer, Vec::new(), SeqNo::MAX), (older, Vec::new(), SeqNo::MAX)]
}

#[test]
fn a_million_operands_fold_in_bounded_memory() {
    const COUNT: u32 = 1_000_000;
    for (base, bound) in [(true, SeqNo::MAX), (false, SeqNo::MAX), (true, (COUNT / 2).into())] {
        let (cursor, meter) = counted(many_operands(COUNT, base), bound);
        let weighing = Arc::new(Weighing::default());
        let mut cursor = cursor.with_fold(Arc::clone(&weighing) as _);
        let ahead = forward(&mut cursor).unwrap();
        let mut back = backward(&mut cursor).unwrap();
        back.reverse();
        assert_eq!(ahead, back);
        let last = if bound == SeqNo::MAX { COUNT + 2 } else { COUNT / 2 };
        let operands = (2..last).flat_map(u32::to_le_bytes);
        let expected: Vec<u8> =
            b"base"[..if base { 4 } else { 0 }].iter().copied().chain(operands).collect();
        assert_eq!((ahead.len(), ahead[1].2 == expected), (3, true));
        let most = weighing.0.load(std::sync::atomic::Ordering::Relaxed);
        let calls = meter.calls();
        println!("{calls} calls, at most {most} bytes of operands at once");
        assert!(most < stratal_merge::FOLD_SIZE_MAX && calls < 5 * COUNT as usize);
    }
}

#[test]
fn a_lookup_gives_up_on_more_operands_than_it_may_hold() {
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    let parts: Vec<Part> = many_operands(100, true)
        .into_iter()
        .map(|(entries, _, seqno_max)| Part {
            entries: SliceCursor::new(entries, Arc::clone(&order)),
            tombstones: Arc::default(),
            seqno_max,
        })
        .collect();
    let mut chain = Chain::default();
    let Ok(found) = resolve(b"hot", SeqNo::MAX, &parts, &mut chain, 40);
    assert_eq!(found, Resolved::TooMany);
    assert_eq!(chain.len(), 41);
}
