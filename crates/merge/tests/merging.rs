//! Several sources are one sorted list.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{rc::Rc, sync::Arc};

use proptest::prelude::*;
use stratal_merge::{Entry, MergingCursor, SliceCursor};
use stratal_testkit::strategies;
use stratal_types::{Bytewise, Comparator, Cursor, EntryKind, SeqNo, Trailer};
use support::{
    Bounded, Live, Meter, Metered, Step, backward, check_failing_walk, check_walk, comparator,
    forward, owned, step,
};

const SEQNO_MAX: u32 = 9;

/// Keys among which heads tie: of up to eight bytes with zeros at the end, and longer ones.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let alike =
        (prop::sample::select(vec![&b"common"[..], b"common\0\0", b"commonly so"]), 0..5usize);
    let alike = alike.prop_map(|(stem, zeros)| [stem, &[0; 5][..zeros]].concat());
    prop_oneof![3 => strategies::small_key(), 2 => alike]
}

/// One to six sources; the value tells the source, so that twins differ.
fn sources() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let entry = (key(), 1..=SEQNO_MAX);
    let source = prop::collection::vec(entry, 0..25);
    prop::collection::vec(source, 1..=6).prop_map(|sources| {
        let number = |(number, entries): (usize, Vec<(Vec<u8>, u32)>)| {
            let kind = EntryKind::ALL[number % EntryKind::ALL.len()];
            let entry = |(key, seqno): (Vec<u8>, u32)| {
                (key, Trailer::new(seqno.into(), kind), number.to_string().into_bytes())
            };
            entries.into_iter().map(entry).collect()
        };
        sources.into_iter().enumerate().map(number).collect()
    })
}

/// What the sources are together: sorted stably, so that of twins the newest source's stays.
fn flat(sources: &[Vec<Entry>], comparator: &Arc<dyn Comparator>) -> Vec<Entry> {
    SliceCursor::new(sources.concat(), Arc::clone(comparator)).entries().to_vec()
}

fn slices(sources: &[Vec<Entry>], comparator: &Arc<dyn Comparator>) -> Vec<SliceCursor> {
    let slice = |entries: &Vec<Entry>| SliceCursor::new(entries.clone(), Arc::clone(comparator));
    sources.iter().map(slice).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_merge_walks_as_the_sorted_list_does(
        sources in sources(),
        comparator in comparator(),
        steps in prop::collection::vec(step(key(), SEQNO_MAX), 0..150),
    ) {
        let expected = flat(&sources, &comparator);
        let mut merged = MergingCursor::new(slices(&sources, &comparator), Arc::clone(&comparator));
        check_walk(&mut merged, &expected, &*comparator, &steps);
        let Ok(entries) = forward(&mut merged);
        prop_assert_eq!(&entries, &expected);
        let Ok(mut entries) = backward(&mut merged);
        entries.reverse();
        prop_assert_eq!(&entries, &expected);
    }

    #[test]
    fn bounds_are_passed_unseen_and_seeks_prepared(
        sources in sources(),
        comparator in comparator(),
        steps in prop::collection::vec(step(key(), SEQNO_MAX), 0..150),
    ) {
        let expected = flat(&sources, &comparator);
        let bounded = slices(&sources, &comparator).into_iter().map(Bounded::new).collect();
        let mut merged = MergingCursor::new(bounded, Arc::clone(&comparator));
        check_walk(&mut merged, &expected, &*comparator, &steps);
        let Ok(entries) = forward(&mut merged);
        prop_assert_eq!(&entries, &expected);
        let Ok(mut entries) = backward(&mut merged);
        entries.reverse();
        prop_assert_eq!(&entries, &expected);
    }

    #[test]
    fn an_error_surfaces_and_sticks_until_a_seek_succeeds(
        sources in sources(),
        comparator in comparator(),
        steps in prop::collection::vec(step(key(), SEQNO_MAX), 1..60),
        fails_in in 0..80usize,
    ) {
        let expected = flat(&sources, &comparator);
        let meter = Rc::new(Meter::default());
        let metered = slices(&sources, &comparator).into_iter().map(|slice| Metered::new(slice, &meter));
        let mut merged = MergingCursor::new(metered.collect(), Arc::clone(&comparator));
        meter.fails_in.set(Some(fails_in));
        check_failing_walk(&mut merged, &meter, &expected, &*comparator, &steps);
    }

    /// The list grows under the cursor by newer versions, which may show or not.
    #[test]
    fn a_source_that_grows_breaks_neither_order_nor_what_was_there(
        sources in sources(),
        comparator in comparator(),
        steps in prop::collection::vec((any::<bool>(), prop::option::of(key())), 0..120),
    ) {
        let expected = flat(&sources, &comparator);
        let live: Vec<_> =
            sources.iter().map(|entries| Live::new(entries.clone(), Arc::clone(&comparator))).collect();
        let mut merged = MergingCursor::new(live.clone(), Arc::clone(&comparator));
        merged.seek_to_first().unwrap();
        let mut seqno = SEQNO_MAX;
        for (ahead, grown) in steps {
            if let Some(key) = grown {
                seqno += 1;
                let trailer = Trailer::new(seqno.into(), EntryKind::Put);
                live[seqno as usize % live.len()].insert((key, trailer, b"grown".to_vec()));
            }
            let Some(before) = merged.entry().map(owned) else { break };
            if ahead { merged.advance().unwrap() } else { merged.retreat().unwrap() }
            let after = merged.entry().map(owned);
            let (low, high) = if ahead { (Some(&before), after.as_ref()) } else { (after.as_ref(), Some(&before)) };
            let position = |(key, trailer, _): &Entry, or_at: bool| {
                let bound = if or_at { trailer.seqno().next().unwrap() } else { trailer.seqno() };
                support::seek_in(&expected, key, bound, &*comparator)
            };
            // No entry of the list as it was lies strictly between the two.
            let from = low.map_or(0, |low| position(low, false));
            let to = high.map_or(expected.len(), |high| position(high, true));
            prop_assert_eq!(from, to, "{:?} to {:?}", low, high);
        }
    }
}

#[test]
fn twins_are_one_entry_and_the_newest_source_gives_it() {
    let twin =
        |value: &[u8]| (b"k".to_vec(), Trailer::new(5u32.into(), EntryKind::Put), value.to_vec());
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    for count in 1..=9 {
        let sources: Vec<_> = (0..count).map(|number| vec![twin(&[number])]).collect();
        let mut merged = MergingCursor::new(slices(&sources, &order), Arc::clone(&order));
        assert_eq!(forward(&mut merged), Ok(vec![twin(&[0])]));
        assert_eq!(backward(&mut merged), Ok(vec![twin(&[0])]));
        merged.seek_to_first().unwrap();
        assert_eq!(merged.source(), Some(0));
    }
}

#[test]
fn a_merge_of_nothing_is_empty() {
    let mut merged = MergingCursor::<SliceCursor>::new(Vec::new(), Arc::new(Bytewise));
    check_walk(
        &mut merged,
        &[],
        &Bytewise,
        &[
            Step::Advance,
            Step::Retreat,
            Step::Last,
            Step::First,
            Step::Seek(b"k".to_vec(), SeqNo::MAX),
        ],
    );
}

#[test]
fn sources_need_not_stand_at_their_start() {
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    let entry = (b"k".to_vec(), Trailer::new(5u32.into(), EntryKind::Put), Vec::new());
    let mut source = SliceCursor::new(vec![entry.clone()], Arc::clone(&order));
    source.seek_to_last().unwrap();
    let mut merged = MergingCursor::new(vec![source], order);
    assert!(merged.entry().is_none());
    merged.advance().unwrap();
    assert_eq!(merged.entry().map(owned), Some(entry));
}

/// A turn moves each source a fixed number of times, also where one stands far ahead.
#[test]
fn a_turn_costs_a_few_moves_per_source() {
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    let sources: Vec<Vec<Entry>> = (0..4u32)
        .map(|source| {
            let keys = (0..1000u32).filter(|key| key % 4 == source || source == 0);
            let trailer = Trailer::new((9 - source).into(), EntryKind::Put);
            keys.map(|key| (format!("{key:04}").into_bytes(), trailer, Vec::new())).collect()
        })
        .collect();
    let meter = Rc::new(Meter::default());
    let metered = slices(&sources, &order).into_iter().map(|slice| Metered::new(slice, &meter));
    let mut merged = MergingCursor::new(metered.collect(), Arc::clone(&order));
    merged.seek(b"0500", SeqNo::MAX).unwrap();
    let before = meter.calls();
    for _ in 0..10 {
        merged.retreat().unwrap();
        merged.advance().unwrap();
    }
    assert!(meter.calls() - before <= 20 * 4 * 2, "{}", meter.calls() - before);
}
