//! Each rule of the stream on its own: versions in, versions out.
//!
//! A case is text. `put 5 x` is a version of the key in hand; `under 7` a range tombstone over it;
//! `key b` goes on to the next key. Pointers read `ptr`, marked kinds `put*` and `ptr*`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::fmt::Write;

use stratal_compaction::{
    SpanSet,
    gc::{CompactionFilter, GcContext, GcStream, GcSummary, JobTombstones, Verdict},
};
use stratal_types::{
    Bytewise, Cursor, EntryKind, EntryRef, Fragments, KeyRange, RangeTombstone, Reverse, SeqNo,
};
use support::{Append, Broken, Itself, Row, RowCursor, sort};

const KINDS: [(&str, EntryKind); 7] = [
    ("put", EntryKind::Put),
    ("put*", EntryKind::PutOverDelete),
    ("ptr", EntryKind::ValuePointer),
    ("ptr*", EntryKind::ValuePointerOverDelete),
    ("del", EntryKind::Delete),
    ("weak", EntryKind::WeakDelete),
    ("op", EntryKind::Merge),
];

/// What a job knows and has.
#[derive(Clone, Copy, Debug)]
struct Setup {
    /// Whether something older may hold the keys.
    older: bool,
    zeroes: bool,
    operator: Option<Append>,
    values: bool,
    chain_len_max: usize,
}

/// Nothing older; no zeroing; operands fold.
const BOTTOM: Setup = Setup {
    older: false,
    zeroes: false,
    operator: Some(Append { composes: false }),
    values: false,
    chain_len_max: usize::MAX,
};
/// Something older may be there.
const ABOVE: Setup = Setup { older: true, ..BOTTOM };
const WITHOUT_OPERATOR: Setup = Setup { operator: None, ..ABOVE };
/// Operands compose, three at once.
const SHORT: Setup = Setup { chain_len_max: 40, ..COMPOSING };
const COMPOSING: Setup = Setup { operator: Some(Append { composes: true }), ..ABOVE };

struct Outcome {
    text: String,
    departed: Vec<String>,
    summary: GcSummary,
}

/// The watermark of every case.
const W: u32 = 10;

fn parse(text: &str) -> (Vec<Row>, Vec<RangeTombstone>) {
    let (mut rows, mut tombstones) = (Vec::new(), Vec::new());
    let mut key = b"a".to_vec();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = || words[1].parse::<u64>().unwrap();
        match words[0] {
            "key" => key = words[1].as_bytes().to_vec(),
            "under" => {
                let end = [&key[..], b"\0"].concat();
                tombstones.push(RangeTombstone::new(&key[..], end, SeqNo::new(number()).unwrap()));
            }
            kind => {
                let kind = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
                let value = words.get(2).copied().unwrap_or_default();
                rows.push(Row::new(&key, number(), kind, value.as_bytes()));
            }
        }
    }
    (rows, tombstones)
}

fn print(rows: &[Row], tombstones: &Fragments) -> String {
    let mut text = String::new();
    let mut key = b"a".to_vec();
    for row in rows {
        if row.key != key {
            key.clone_from(&row.key);
            write!(text, "key {}; ", String::from_utf8_lossy(&key)).unwrap();
        }
        let kind = KINDS.iter().find(|(_, kind)| *kind == row.trailer.kind()).unwrap().0;
        let value = String::from_utf8_lossy(&row.value);
        let gap = if value.is_empty() { "" } else { " " };
        write!(text, "{kind} {}{gap}{value}; ", row.trailer.seqno()).unwrap();
    }
    for fragment in tombstones.iter() {
        write!(text, "under {}; ", fragment.seqno).unwrap();
    }
    text.trim_end_matches("; ").to_owned()
}

fn run(setup: Setup, filter: Option<&mut dyn CompactionFilter>, input: &str) -> Outcome {
    let (mut rows, tombstones) = parse(input);
    sort(&mut rows, &Bytewise);
    let older = if setup.older { SpanSet::all() } else { SpanSet::default() };
    let fragments = Fragments::build(&tombstones, &Bytewise);
    let tombstones = JobTombstones::new(fragments, W.into(), &older, &Bytewise);
    let context = GcContext {
        covered_elsewhere: if setup.zeroes { Some(SpanSet::EMPTY) } else { None },
        operator: setup.operator.as_ref().map(|operator| operator as _),
        values: if setup.values { Some(&Itself) } else { None },
        chain_len_max: setup.chain_len_max,
        ..GcContext::new(&Bytewise, W.into(), &tombstones, &older)
    };
    let mut departed = Vec::new();
    let mut depart = |_: &[u8], pointer: &[u8]| {
        departed.push(String::from_utf8_lossy(pointer).into_owned());
    };
    let mut stream = GcStream::new(RowCursor::new(&rows), context, &mut depart);
    if let Some(filter) = filter {
        stream = stream.with_filter(filter);
    }
    let mut output: Vec<Row> = Vec::new();
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        output.push(entry.into());
        stream.advance().unwrap();
    }
    let summary = stream.finish().unwrap();
    Outcome { text: print(&output, tombstones.kept()), departed, summary }
}

/// Each case: setup, input, output.
fn check(cases: &[(Setup, &str, &str)]) {
    for (setup, input, expected) in cases {
        let outcome = run(*setup, None, input);
        assert_eq!(outcome.text, *expected, "{input} under {setup:?}");
    }
}

#[test]
fn rule_0_covered_versions_leave_first() {
    check(&[
        (ABOVE, "put 9 x; under 7; put 5 y; del 4", "put 9 x; under 7"),
        (ABOVE, "put 5 y; under 7", "under 7"),
        (BOTTOM, "put 5 y; under 7", ""),
        // Strictly older: the same number is not covered.
        (ABOVE, "put 7 y; under 7", "put 7 y; under 7"),
        // A tombstone at or above the watermark hides nothing from everyone.
        (BOTTOM, "put 5 y; under 10", "put 5 y; under 10"),
        (BOTTOM, "put 12 z; put 5 y; under 11; under 6; under 3", "put 12 z; under 11"),
        (ABOVE, "put 12 z; put 5 y; under 11; under 6; under 3", "put 12 z; under 11; under 6"),
        // It stands under what remains as a delete, and needs no mark because it stays.
        (ABOVE, "op 9 c; op 8 b; under 7; op 6 a; put 5 y", "put 9 bc; under 7"),
        (ABOVE, "put 9 x; under 7; del 5", "put 9 x; under 7"),
        (ABOVE, "op 8 b; under 7", "put 8 b; under 7"),
        // Another key is not covered.
        (ABOVE, "under 7; key b; put 3 y", "key b; put 3 y; under 7"),
    ]);
}

#[test]
fn rule_1_every_version_a_read_can_see_stays() {
    check(&[
        (BOTTOM, "put 12 d; put 11 c; put 10 b; put 9 a", "put 12 d; put 11 c; put 10 b; put 9 a"),
        (BOTTOM, "put 12 c; put 9 b; put 8 a", "put 12 c; put 9 b"),
        (ABOVE, "put 9 b; put 8 a", "put 9 b"),
        (ABOVE, "del 10; put 10 a", "del 10"),
        (BOTTOM, "del 11; put 9 a", "del 11; put 9 a"),
        (BOTTOM, "op 11 b; put 9 a; put 8 z", "op 11 b; put 9 a"),
        (BOTTOM, "op 11 c; op 9 b; put 8 a", "op 11 c; put 9 ab"),
        (BOTTOM, "key b; put 2 x; key c; put 3 y; put 1 z", "key b; put 2 x; key c; put 3 y"),
    ]);
}

#[test]
fn rule_2_deletes_leave_when_nothing_older_is_left_to_hide() {
    check(&[
        (BOTTOM, "del 9; put 8 a", ""),
        (ABOVE, "del 9; put 8 a", "del 9"),
        (BOTTOM, "del 10; put 8 a", "del 10; put 8 a"),
        (BOTTOM, "put 11 b; del 9; put 8 a", "put 11 b"),
        (ABOVE, "del 9; del 8; del 7", "del 9"),
    ]);
}

#[test]
fn rule_3_puts_remember_deletes_and_weak_deletes_take_one_put() {
    check(&[
        // Marks.
        (ABOVE, "put 9 b; del 8; put 7 a", "put* 9 b"),
        (ABOVE, "put 9 b; put 8 a; weak 7", "put* 9 b"),
        (ABOVE, "put 9 b; put* 8 a", "put* 9 b"),
        (ABOVE, "put* 9 b", "put* 9 b"),
        (ABOVE, "ptr 9 p; del 8", "ptr* 9 p"),
        (ABOVE, "ptr* 9 p; put 8 a", "ptr* 9 p"),
        (ABOVE, "put 9 b; put 8 a", "put 9 b"),
        (BOTTOM, "put* 9 b; del 8", "put 9 b"),
        (BOTTOM, "ptr* 9 p", "ptr 9 p"),
        (ABOVE, "put 11 b; put 9 a; del 3", "put 11 b; put* 9 a"),
        // Weak deletes over an unmarked put: both vanish, the rest is judged anew.
        (ABOVE, "weak 9; put 8 a", ""),
        (ABOVE, "weak 9; ptr 8 p", ""),
        (ABOVE, "weak 9; put 8 a; weak 7; put 6 b", ""),
        (ABOVE, "weak 9; put 8 a; del 7; put 6 b", "del 7"),
        (ABOVE, "weak 9; put 8 a; weak 7", "weak 7"),
        // Over anything else: a plain delete.
        (ABOVE, "weak 9; put* 8 a; put 7 b", "del 9"),
        (ABOVE, "weak 9; ptr* 8 p", "del 9"),
        (ABOVE, "weak 9; del 8", "del 9"),
        (ABOVE, "weak 9; weak 8", "del 9"),
        (ABOVE, "weak 9; op 8 a", "del 9"),
        (BOTTOM, "weak 9; put* 8 a; put 7 b", ""),
        // Over nothing, what a tombstone hides being nothing: as it is.
        (ABOVE, "weak 9", "weak 9"),
        (ABOVE, "weak 9; under 8; put 7 a", "weak 9; under 8"),
        (BOTTOM, "weak 9", ""),
        // Above the watermark nothing happens.
        (ABOVE, "weak 11; put 10 a", "weak 11; put 10 a"),
        (BOTTOM, "weak 11; put 8 a", "weak 11; put 8 a"),
    ]);
}

#[test]
fn rule_4_operands_fold_onto_what_is_proven() {
    check(&[
        (ABOVE, "op 9 c; op 8 b; put 7 a; put 6 z", "put 9 abc"),
        (ABOVE, "op 9 c; op 8 b; del 7; put 6 z", "put* 9 bc"),
        (ABOVE, "op 9 c; weak 7; put 6 z", "put* 9 c"),
        (ABOVE, "op 9 c; put* 7 a", "put* 9 ac"),
        (ABOVE, "op 9 c; put 7 a; del 6", "put* 9 ac"),
        (BOTTOM, "op 9 c; put 7 a; del 6", "put 9 ac"),
        (BOTTOM, "op 9 c; op 8 b", "put 9 bc"),
        (ABOVE, "op 9 c; op 8 b", "op 9 c; op 8 b"),
        (COMPOSING, "op 9 c; op 8 b; op 7 a", "op 9 abc"),
        (COMPOSING, "op 9 c", "op 9 c"),
        (COMPOSING, "op 11 d; op 9 c; op 8 b", "op 11 d; op 9 bc"),
        (COMPOSING, "op 9 c; op 8 b; put 7 a", "put 9 abc"),
        (COMPOSING, "op 9 c; op 8 b; weak 7", "put* 9 bc"),
        (COMPOSING, "op 9 c; op 8 b; under 7; op 6 a", "put 9 bc; under 7"),
        (
            COMPOSING,
            "op 12 e; op 11 d; op 9 c; op 8 b; under 10",
            "op 12 e; op 11 d; op 9 bc; under 10",
        ),
        (COMPOSING, "del 11; op 9 c; op 8 b", "del 11; op 9 bc"),
        (COMPOSING, "op 9 !; op 8 b", "op 9 !; op 8 b"),
        (COMPOSING, "op 9 c; op 8 !; op 7 a", "op 9 c; op 8 !; op 7 a"),
        // More than the chain may hold is composed in pieces; the last one is folded if it can be.
        (SHORT, "op 9 e; op 8 d; op 7 c; op 6 b; put 5 a; put 4 z", "op 9 cde; put 6 ab"),
        (SHORT, "op 9 e; op 8 d; op 7 c; op 6 b", "op 9 cde; op 6 b"),
        (SHORT, "op 9 e; op 8 d; op 7 c; op 6 b; op 5 a", "op 9 cde; op 6 ab"),
        (SHORT, "op 9 e; op 8 d; op 7 c; del 6; put 5 z", "op 9 cde; del 6"),
        (
            SHORT,
            "op 9 e; op 8 !; op 7 c; op 6 b; put 5 a",
            "op 9 e; op 8 !; op 7 c; op 6 b; put 5 a",
        ),
        (Setup { older: false, ..SHORT }, "op 9 e; op 8 d; op 7 c; op 6 b", "op 9 cde; put 6 b"),
        (BOTTOM, "op 11 d; op 9 b", "op 11 d; put 9 b"),
        (ABOVE, "op 11 d; op 9 b", "op 11 d; op 9 b"),
        (ABOVE, "put 11 n; op 9 b; put 8 a; del 7", "put 11 n; put* 9 ab"),
        (ABOVE, "del 11; op 9 b; op 8 a", "del 11; op 9 b; op 8 a"),
        (ABOVE, "op 11 d; op 10 c; op 9 b; put 8 a", "op 11 d; op 10 c; put 9 ab"),
        // Without an operator, and over a pointer that is not read, operands stay and keep the base.
        (WITHOUT_OPERATOR, "op 9 c; op 8 b; put 7 a; put 6 z", "op 9 c; op 8 b; put 7 a"),
        (WITHOUT_OPERATOR, "op 9 c; put 7 a; del 6; put 5 z", "op 9 c; put* 7 a"),
        (WITHOUT_OPERATOR, "op 9 c; del 7; put 6 z", "op 9 c; del 7"),
        (WITHOUT_OPERATOR, "op 9 c; weak 7; put 6 z", "op 9 c"),
        (Setup { operator: None, ..BOTTOM }, "op 9 c; del 7; put 6 z", "op 9 c"),
        (ABOVE, "op 9 c; ptr 8 p; del 7", "op 9 c; ptr* 8 p"),
        (Setup { values: true, ..ABOVE }, "op 9 c; ptr 8 p; del 7", "put* 9 pc"),
        // What the operator refuses stays as it is, as does a chain that is too long.
        (ABOVE, "op 9 c; op 8 !; put 7 a; put 6 z", "op 9 c; op 8 !; put 7 a"),
        (BOTTOM, "op 9 !; op 8 b", "op 9 !; op 8 b"),
        (BOTTOM, "op 9 !; del 8; put 7 a", "op 9 !"),
        (
            Setup { chain_len_max: 40, ..BOTTOM },
            "op 9 e; op 8 d; op 7 c; op 6 b; put 5 a; put 4 z",
            "op 9 e; op 8 d; op 7 c; op 6 b; put 5 a",
        ),
    ]);
}

#[test]
fn rule_5_pointers_that_leave_are_reported_once() {
    let cases: &[(Setup, &str, &[&str])] = &[
        (ABOVE, "ptr 9 p; ptr 8 q; ptr* 7 r", &["q", "r"]),
        (BOTTOM, "ptr 9 p; ptr 8 q", &["q"]),
        (BOTTOM, "del 9; ptr 8 q", &["q"]),
        (ABOVE, "weak 9; ptr 8 q; ptr 7 r", &["q"]),
        (ABOVE, "weak 9; ptr* 8 q; ptr 7 r", &["q", "r"]),
        (ABOVE, "ptr 12 o; ptr 11 p; under 9; ptr 8 q", &["q"]),
        (Setup { values: true, ..ABOVE }, "op 9 c; ptr 8 q; ptr 7 r", &["q", "r"]),
        (ABOVE, "op 9 c; ptr 8 q; ptr 7 r", &["r"]),
        // The same entry from two sources: once in the output, and its second value, if it has one of
        // its own, is gone.
        (ABOVE, "ptr 9 p; ptr 9 p", &[]),
        (ABOVE, "ptr 9 p; ptr 9 q", &["q"]),
    ];
    for (setup, input, expected) in cases {
        let outcome = run(*setup, None, input);
        assert_eq!(outcome.departed, *expected, "{input}");
        assert_eq!(outcome.summary.pointers_departed, expected.len() as u64, "{input}");
    }
}

/// Removes, replaces and so on as the value says; remembers what it was asked about.
#[derive(Default)]
struct AsTheValueSays {
    asked: Vec<String>,
}

impl CompactionFilter for AsTheValueSays {
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict {
        let value = String::from_utf8_lossy(entry.value).into_owned();
        self.asked.push(format!("{} {}", entry.seqno(), value));
        match value.as_str() {
            "remove" => Verdict::Remove,
            "weaken" => Verdict::WeakRemove,
            "destroy" => Verdict::Destroy,
            "replace" => Verdict::Replace(b"new".to_vec()),
            _ => Verdict::Keep,
        }
    }
}

#[test]
fn rule_6_filters_see_the_newest_value_that_every_reader_sees() {
    // Setup, input, what the filter is asked about, output, pointers that left.
    type Case =
        (Setup, &'static str, &'static [&'static str], &'static str, &'static [&'static str]);
    let cases: &[Case] = &[
        (ABOVE, "put 9 keep; put 8 remove", &["9 keep"], "put 9 keep", &[]),
        (ABOVE, "put 9 remove; put 8 a", &["9 remove"], "del 9", &[]),
        (BOTTOM, "put 9 remove; put 8 a", &["9 remove"], "", &[]),
        (ABOVE, "put 9 destroy; ptr 8 a", &["9 destroy"], "del 9", &["a"]),
        (BOTTOM, "put 9 destroy; ptr 8 a", &["9 destroy"], "", &["a"]),
        (ABOVE, "ptr 9 remove", &["9 remove"], "del 9", &["remove"]),
        (ABOVE, "put 9 weaken", &["9 weaken"], "weak 9", &[]),
        (ABOVE, "put 9 weaken; put 8 a; del 7", &["9 weaken"], "del 7", &[]),
        (ABOVE, "put 9 weaken; del 8", &["9 weaken"], "del 9", &[]),
        (ABOVE, "put* 9 weaken; put 8 a", &["9 weaken"], "del 9", &[]),
        (ABOVE, "ptr 9 weaken", &["9 weaken"], "weak 9", &["weaken"]),
        (ABOVE, "put 9 replace", &["9 replace"], "put 9 new", &[]),
        (ABOVE, "ptr 9 replace; put 8 a; del 7", &["9 replace"], "put* 9 new", &["replace"]),
        (ABOVE, "put* 9 replace; put 8 a", &["9 replace"], "put* 9 new", &[]),
        (
            Setup { zeroes: true, ..BOTTOM },
            "put* 9 replace; del 8",
            &["9 replace"],
            "put 0 new",
            &[],
        ),
        // A newer version that somebody sees, a delete, an operand, a tombstone: nothing is asked.
        (ABOVE, "put 11 a; put 9 remove", &[], "put 11 a; put 9 remove", &[]),
        (ABOVE, "del 9; put 8 remove", &[], "del 9", &[]),
        (ABOVE, "weak 9; put 8 a; put 7 remove", &[], "put 7 remove", &[]),
        (ABOVE, "op 9 b; put 8 remove", &[], "put 9 removeb", &[]),
        (ABOVE, "put 8 remove; under 9", &[], "under 9", &[]),
        // Every key anew.
        (ABOVE, "put 9 a; key b; put 9 remove", &["9 a", "9 remove"], "put 9 a; key b; del 9", &[]),
    ];
    for (setup, input, asked, expected, departed) in cases {
        let mut filter = AsTheValueSays::default();
        let outcome = run(*setup, Some(&mut filter), input);
        assert_eq!(outcome.text, *expected, "{input}");
        assert_eq!(filter.asked, *asked, "{input}");
        assert_eq!(outcome.departed, *departed, "{input}");
    }
}

#[test]
fn rule_7_settled_values_get_number_zero() {
    let zeroing = Setup { zeroes: true, ..BOTTOM };
    check(&[
        (zeroing, "put 9 a; put 8 b", "put 0 a"),
        (zeroing, "ptr* 9 p", "ptr 0 p"),
        (zeroing, "put 12 b; put 9 a", "put 12 b; put 0 a"),
        (zeroing, "op 9 b; put 8 a", "put 0 ab"),
        (zeroing, "put 10 a", "put 10 a"),
        (Setup { older: true, ..zeroing }, "put 9 a", "put 9 a"),
        (Setup { zeroes: false, ..zeroing }, "put 9 a", "put 9 a"),
        // The tombstone goes with this job, so it covers nothing any more; one that stays does.
        (zeroing, "put 9 a; under 5", "put 0 a"),
        (zeroing, "put 9 a; under 11", "put 9 a; under 11"),
        // Operands never.
        (Setup { operator: None, ..zeroing }, "op 9 b", "op 9 b"),
    ]);
}

#[test]
fn tombstones_elsewhere_keep_numbers() {
    let rows = [b"a", b"b", b"c"].map(|key| Row::new(key, 5, EntryKind::Put, b"v"));
    let elsewhere = SpanSet::of([KeyRange::half_open("b", "c")], &Bytewise);
    let context = GcContext {
        covered_elsewhere: Some(&elsewhere),
        ..GcContext::new(&Bytewise, W.into(), JobTombstones::NONE, SpanSet::EMPTY)
    };
    let mut depart = |_: &[u8], _: &[u8]| {};
    let mut stream = GcStream::new(RowCursor::new(&rows), context, &mut depart);
    let mut numbers = Vec::new();
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        numbers.push(entry.seqno().get());
        stream.advance().unwrap();
    }
    assert_eq!(numbers, [0, 5, 0]);
    assert_eq!(stream.finish().unwrap().zeroed, 2);
}

#[test]
fn watermark_zero_collects_nothing() {
    let input = "del 9; weak 8; put* 7 b; op 6 c; op 5 d; put 4 e; ptr 3 p";
    let (rows, _) = parse(input);
    let tombstones = [RangeTombstone::new("a", "z", SeqNo::from(9))];
    let fragments = Fragments::build(&tombstones, &Bytewise);
    let tombstones = JobTombstones::new(fragments.clone(), SeqNo::ZERO, SpanSet::EMPTY, &Bytewise);
    assert_eq!(tombstones.kept(), &fragments);
    let context = GcContext {
        covered_elsewhere: Some(SpanSet::EMPTY),
        operator: Some(&Append { composes: true }),
        ..GcContext::new(&Bytewise, SeqNo::ZERO, &tombstones, SpanSet::EMPTY)
    };
    let mut depart = |_: &[u8], _: &[u8]| panic!("nothing leaves");
    let mut stream = GcStream::new(RowCursor::new(&rows), context, &mut depart);
    for row in &rows {
        stream.advance().unwrap();
        assert_eq!(stream.entry().map(Row::from).as_ref(), Some(row));
    }
}

#[test]
fn keys_are_told_apart_by_their_bytes_in_any_order() {
    // Under a reverse order the next key is bytewise smaller; it is another key all the same.
    let rows: Vec<Row> = [b"c", b"b", b"a"]
        .iter()
        .flat_map(|key| [9, 8].map(|seqno| Row::new(*key, seqno, EntryKind::Put, b"v")))
        .collect();
    let context = GcContext::new(&Reverse, W.into(), JobTombstones::NONE, SpanSet::EMPTY);
    let mut depart = |_: &[u8], _: &[u8]| {};
    let mut stream = GcStream::new(RowCursor::new(&rows), context, &mut depart);
    let mut keys = Vec::new();
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        keys.push(entry.key.to_vec());
        stream.advance().unwrap();
    }
    assert_eq!(keys, [b"c", b"b", b"a"]);
}

#[test]
fn a_stream_that_failed_never_says_that_it_ended() {
    let input =
        "op 9 c; put 8 a; put 7 b; key b; weak 9; put 8 a; key c; put 9 x; del 8; key d; del 3";
    let (mut rows, _) = parse(input);
    sort(&mut rows, &Bytewise);
    for fails_at in 0..=rows.len() {
        let older = SpanSet::all();
        let context = GcContext {
            operator: Some(&Append { composes: false }),
            ..GcContext::new(&Bytewise, W.into(), JobTombstones::NONE, &older)
        };
        let mut depart = |_: &[u8], _: &[u8]| {};
        let input = RowCursor::failing_at(&rows, fails_at);
        let mut stream = GcStream::new(input, context, &mut depart);
        let error = loop {
            if let Err(error) = stream.advance() {
                break error;
            }
            assert!(stream.entry().is_some(), "the end was reached through an error");
        };
        assert_eq!(error, Broken);
        assert!(stream.entry().is_none());
        assert_eq!(stream.advance(), Err(Broken), "errors are sticky");
        assert_eq!(stream.finish(), None);
    }
}

#[test]
fn a_stream_begins_where_its_input_stands_and_ends_where_it_is_told() {
    let rows: Vec<Row> =
        (b'a'..=b'f').map(|key| Row::new(&[key], 5, EntryKind::Put, b"v")).collect();
    let mut input = RowCursor::new(&rows);
    (0..2).for_each(|_| input.advance().unwrap());
    let context = GcContext {
        end: Some(b"dd"),
        ..GcContext::new(&Bytewise, W.into(), JobTombstones::NONE, SpanSet::EMPTY)
    };
    let mut depart = |_: &[u8], _: &[u8]| {};
    let mut stream = GcStream::new(input, context, &mut depart);
    let mut keys = Vec::new();
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        keys.extend_from_slice(entry.key);
        stream.advance().unwrap();
    }
    assert_eq!(keys, b"bcd");
    stream.advance().unwrap();
    assert!(stream.entry().is_none(), "behind the end it stays");
    assert_eq!(stream.finish().unwrap().entries_out, 3);
}

#[test]
fn a_key_with_a_million_versions_takes_the_memory_of_one() {
    /// A put below the watermark and then `left` older ones, made as they are asked for.
    struct Versions {
        left: u64,
        value: Vec<u8>,
        at: Option<u64>,
    }
    impl Cursor for Versions {
        type Error = Broken;
        fn seek(&mut self, _: &[u8], _: SeqNo) -> Result<(), Broken> {
            Err(Broken)
        }
        fn seek_to_first(&mut self) -> Result<(), Broken> {
            Err(Broken)
        }
        fn seek_to_last(&mut self) -> Result<(), Broken> {
            Err(Broken)
        }
        fn advance(&mut self) -> Result<(), Broken> {
            self.at = self.left.checked_sub(1);
            self.left = self.at.unwrap_or(0);
            Ok(())
        }
        fn retreat(&mut self) -> Result<(), Broken> {
            Err(Broken)
        }
        fn entry(&self) -> Option<EntryRef<'_>> {
            let number = SeqNo::new(self.at? + 1).unwrap();
            let trailer = stratal_types::Trailer::new(number, EntryKind::Put);
            Some(EntryRef::new(b"k", trailer, &self.value))
        }
    }
    let older = SpanSet::all();
    let watermark = SeqNo::new(500_000).unwrap();
    let context = GcContext::new(&Bytewise, watermark, JobTombstones::NONE, &older);
    let mut depart = |_: &[u8], _: &[u8]| {};
    let input = Versions { left: 1_000_000, value: vec![7; 100], at: None };
    let mut stream = GcStream::new(input, context, &mut depart);
    let mut count = 0;
    stream.advance().unwrap();
    while stream.entry().is_some() {
        count += 1;
        stream.advance().unwrap();
    }
    // 500,000 to 1,000,000 stay, and one below.
    assert_eq!(count, 500_002);
    assert_eq!(stream.finish().unwrap().replaced, 1_000_000 - 500_002);
}
