//! What the garbage-collecting stream costs per row, over stepping through the same rows.
//!
//! `cargo bench -p stratal-compaction --bench gc` prints medians of interleaved rounds, in
//! nanoseconds per row of 16 + 100 bytes.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{hint::black_box, time::Instant};

use stratal_compaction::{
    SpanSet,
    gc::{GcContext, GcStream, JobTombstones},
};
use stratal_types::{Bytewise, Cursor, EntryKind, EntryRef, SeqNo, Trailer};

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 9;

/// Rows of one length in one buffer.
struct Flat<'a> {
    keys: &'a [[u8; 16]],
    trailers: &'a [Trailer],
    values: &'a [u8],
    at: usize,
}

impl Cursor for Flat<'_> {
    type Error = std::convert::Infallible;

    fn seek(&mut self, _: &[u8], _: SeqNo) -> Result<(), Self::Error> {
        unimplemented_here()
    }

    fn seek_to_first(&mut self) -> Result<(), Self::Error> {
        self.at = 1;
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Self::Error> {
        unimplemented_here()
    }

    fn advance(&mut self) -> Result<(), Self::Error> {
        self.at += 1;
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Self::Error> {
        unimplemented_here()
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let at = self.at.checked_sub(1)?;
        let value = self.values.get(at * 100..(at + 1) * 100)?;
        Some(EntryRef::new(self.keys.get(at)?, *self.trailers.get(at)?, value))
    }
}

fn unimplemented_here() -> ! {
    panic!("the stream only steps on")
}

struct Input {
    keys: Vec<[u8; 16]>,
    trailers: Vec<Trailer>,
    values: Vec<u8>,
}

impl Input {
    /// `versions` rows per key, all puts, newest first.
    fn new(versions: usize) -> Self {
        let key = |row: usize| {
            let mut key = [b'k'; 16];
            let mut number = (row / versions) as u64;
            for byte in key.iter_mut().rev().take(8) {
                *byte = number.to_le_bytes()[0];
                number >>= 8;
            }
            key
        };
        let trailer = |row: usize| {
            let seqno = SeqNo::new((ROWS - row) as u64).unwrap();
            Trailer::new(seqno, EntryKind::Put)
        };
        Self {
            keys: (0..ROWS).map(key).collect(),
            trailers: (0..ROWS).map(trailer).collect(),
            values: vec![7; ROWS * 100],
        }
    }

    fn cursor(&self) -> Flat<'_> {
        Flat { keys: &self.keys, trailers: &self.trailers, values: &self.values, at: 0 }
    }
}

fn per_row(run: impl Fn() -> u64) -> f64 {
    let start = Instant::now();
    black_box(run());
    start.elapsed().as_nanos() as f64 / ROWS as f64
}

fn stepping(input: &Input) -> u64 {
    let mut cursor = input.cursor();
    let mut sum = 0;
    cursor.seek_to_first().unwrap();
    while let Some(entry) = cursor.entry() {
        sum += entry.trailer.bits()
            + entry.value.iter().step_by(64).map(|b| u64::from(*b)).sum::<u64>();
        cursor.advance().unwrap();
    }
    sum
}

fn collecting(input: &Input, older: &SpanSet, watermark: SeqNo) -> u64 {
    let context = GcContext {
        covered_elsewhere: Some(SpanSet::EMPTY),
        ..GcContext::new(&Bytewise, watermark, JobTombstones::NONE, older)
    };
    let mut depart = |_: &[u8], _: &[u8]| {};
    let mut stream = GcStream::new(input.cursor(), context, &mut depart);
    let mut sum = 0;
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        sum += entry.trailer.bits()
            + entry.value.iter().step_by(64).map(|b| u64::from(*b)).sum::<u64>();
        stream.advance().unwrap();
    }
    sum
}

/// A name, and what is measured.
type Case<'a> = (&'a str, Box<dyn Fn() -> u64 + 'a>);

fn main() {
    let (one, four) = (Input::new(1), Input::new(4));
    let all = SpanSet::all();
    let cases: [Case<'_>; 6] = [
        ("stepping through the input", Box::new(|| stepping(&one))),
        ("nothing below the watermark", Box::new(|| collecting(&one, &all, SeqNo::ZERO))),
        ("something older: values are held", Box::new(|| collecting(&one, &all, SeqNo::MAX))),
        (
            "nothing older: numbers are zeroed",
            Box::new(|| collecting(&one, SpanSet::EMPTY, SeqNo::MAX)),
        ),
        ("four versions, something older", Box::new(|| collecting(&four, &all, SeqNo::MAX))),
        (
            "four versions, nothing older",
            Box::new(|| collecting(&four, SpanSet::EMPTY, SeqNo::MAX)),
        ),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in cases.iter().zip(&mut times) {
            times.push(per_row(run));
        }
    }
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:36} {:6.1} ns", times.get(ROUNDS / 2).unwrap());
    }
}
