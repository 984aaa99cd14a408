//! Puts that are passed on many at a time are those that come out one at a time.

mod support;

use stratal_compaction::{
    SpanSet,
    gc::{BlockStarts, GcContext, GcStream, GcSummary, JobTombstones},
};
use stratal_testkit::Rng;
use stratal_types::{
    Bytewise, Comparator, EntryKind, Fragments, KeyRange, RangeTombstone, Reverse, SeqNo,
};

use support::{Append, Broken, Itself, Row, RowCursor, sort};

const KEYS: [&[u8]; 8] = [b"a", b"aa", b"b", b"c", b"d", b"eight by", b"eight bytes", b"z"];

fn seqno(number: u64) -> SeqNo {
    SeqNo::new(number).unwrap()
}

/// Rows of which most are puts, some of one key and number.
fn rows(rng: &mut Rng, order: &dyn Comparator) -> Vec<Row> {
    let is_mostly_puts = rng.chance(3, 4);
    let mut rows: Vec<Row> = (0..rng.index(20))
        .map(|number| {
            let is_put = is_mostly_puts && rng.chance(7, 8);
            let kind = if is_put { EntryKind::Put } else { *rng.choose(&EntryKind::ALL) };
            Row::new(
                KEYS[rng.index(KEYS.len())],
                rng.below(16),
                kind,
                format!("{number}").as_bytes(),
            )
        })
        .collect();
    sort(&mut rows, order);
    rows
}

fn ends(rng: &mut Rng, order: &dyn Comparator) -> [&'static [u8]; 2] {
    let mut ends = [*rng.choose(&KEYS), *rng.choose(&KEYS)];
    ends.sort_by(|a, b| order.compare(a, b));
    ends
}

fn spans(rng: &mut Rng, order: &dyn Comparator) -> SpanSet {
    match rng.index(3) {
        0 => SpanSet::all(),
        1 => SpanSet::default(),
        _ => {
            let [start, end] = ends(rng, order);
            SpanSet::of([KeyRange::half_open(start, end)], order)
        }
    }
}

/// What a stream gave: rows, pointers that left, and what it says of itself.
type Outcome = (Vec<Row>, Vec<Vec<u8>>, Option<GcSummary>);

/// Takes everything that comes out, many at a time if `starts` says how; and how many came so.
fn outcome(
    input: RowCursor<'_>,
    context: GcContext<'_>,
    starts: Option<BlockStarts>,
) -> (Outcome, usize) {
    let (mut output, mut departed, mut passed) = (Vec::new(), Vec::new(), 0);
    let mut depart = |_: &[u8], pointer: &[u8]| departed.push(pointer.to_vec());
    let mut stream = GcStream::new(input, context, &mut depart);
    loop {
        if let Some(starts) = starts {
            let before = output.len();
            let stays = stream.pass_puts(starts, |entry| {
                output.push(Row::from(entry));
                Ok::<(), Broken>(())
            });
            passed += output.len() - before;
            match stays {
                Ok(true) => {
                    assert!(starts == BlockStarts::StopAt && output.len() > before);
                    continue;
                }
                Ok(false) => {}
                Err(Broken) => break,
            }
        }
        if stream.advance().is_err() {
            break;
        }
        let Some(entry) = stream.entry() else { break };
        output.push(entry.into());
    }
    let summary = stream.finish();
    ((output, departed, summary), passed)
}

#[test]
fn puts_that_are_passed_many_at_a_time_are_those_that_come_out_one_at_a_time() {
    let (mut total, mut total_passed, mut failed) = (0, 0, 0);
    for seed in 0..40_000 {
        let mut rng = Rng::new(seed);
        let order: &dyn Comparator = if rng.chance(1, 4) { &Reverse } else { &Bytewise };
        let rows = rows(&mut rng, order);
        let behind = spans(&mut rng, order);
        let elsewhere = rng.chance(2, 3).then(|| spans(&mut rng, order));
        let watermark = seqno(rng.below(20));
        let tombstones: Vec<_> = (0..rng.index(3))
            .map(|_| {
                let [start, end] = ends(&mut rng, order);
                RangeTombstone::new(start, end, seqno(rng.below(20)))
            })
            .collect();
        let tombstones = Fragments::build(&tombstones, order);
        let tombstones = JobTombstones::new(tombstones, watermark, &behind, order);
        let operator = Append { composes: rng.chance(1, 2) };
        let context = GcContext {
            covered_elsewhere: elsewhere.as_ref(),
            operator: rng.chance(1, 2).then_some(&operator),
            values: rng.chance(1, 2).then_some(&Itself),
            end: rng.chance(1, 4).then(|| *rng.choose(&KEYS)),
            ..GcContext::new(order, watermark, &tombstones, &behind)
        };
        let fails_at = if rng.chance(1, 8) { rng.index(20) } else { usize::MAX };
        let input = RowCursor::failing_at(&rows, fails_at);
        let (expected, _) = outcome(input.clone(), context, None);
        failed += u32::from(expected.2.is_none());
        for starts in [BlockStarts::Pass, BlockStarts::StopAt] {
            let (found, passed) = outcome(input.clone(), context, Some(starts));
            assert_eq!(found, expected, "seed {seed}, {starts:?}: {rows:?}");
            total += found.0.len();
            total_passed += passed;
        }
    }
    println!("{total_passed} of {total} rows were passed, {failed} streams failed");
    assert!(total_passed > total / 3 && failed > 1_000);
}
