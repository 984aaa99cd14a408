//! What a step costs. Run with
//! `cargo test --release -p stratal-merge --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{convert::Infallible, hint::black_box, sync::Arc, time::Instant};

use stratal_merge::{MergingCursor, Source, VisibleCursor};
use stratal_testkit::Rng;
use stratal_types::{
    Bytewise, Comparator, Cursor, EntryKind, EntryRef, Fragments, RangeTombstone, Reverse, SeqNo,
    Trailer,
};

const KEYS: usize = 1_000_000;

/// Sorted keys of 16 bytes, one behind the other: as little as a source can cost.
#[derive(Clone, Debug)]
struct Flat {
    keys: Arc<[[u8; 16]]>,
    order: Arc<dyn Comparator>,
    trailer: Trailer,
    /// 0 is before the first, `len + 1` behind the last.
    place: usize,
}

impl Cursor for Flat {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], _: SeqNo) -> Result<(), Infallible> {
        self.place = 1 + self.keys.partition_point(|other| self.order.compare(other, key).is_lt());
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        self.place = 1;
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        self.place = self.keys.len();
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        self.place = (self.place + 1).min(self.keys.len() + 1);
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        self.place = self.place.saturating_sub(1);
        Ok(())
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let key = self.keys.get(self.place.checked_sub(1)?)?;
        Some(EntryRef::new(key, self.trailer, b"value"))
    }
}

/// [`KEYS`] random keys, dealt to `count` sources.
fn sources(count: usize, order: &Arc<dyn Comparator>) -> Vec<Flat> {
    let mut rng = Rng::new(1);
    let mut dealt = vec![Vec::new(); count];
    for _ in 0..KEYS {
        let key: [u8; 16] = rng.bytes(16).try_into().unwrap();
        dealt[rng.index(count)].push(key);
    }
    let source = |(number, mut keys): (usize, Vec<[u8; 16]>)| {
        keys.sort_unstable_by(|a, b| order.compare(a, b));
        let seqno = SeqNo::new((count - number) as u64).unwrap();
        let trailer = Trailer::new(seqno, EntryKind::Put);
        Flat { keys: keys.into(), order: Arc::clone(order), trailer, place: 0 }
    };
    dealt.into_iter().enumerate().map(source).collect()
}

/// Nanoseconds per entry of the best of several scans.
fn ns_per_entry<C: Cursor<Error = Infallible>>(cursor: &mut C, ahead: bool) -> f64 {
    let scan = |cursor: &mut C| {
        let begun = Instant::now();
        let mut count = 0;
        let Ok(()) = if ahead { cursor.seek_to_first() } else { cursor.seek_to_last() };
        while let Some(entry) = cursor.entry() {
            black_box(entry);
            count += 1;
            let Ok(()) = if ahead { cursor.advance() } else { cursor.retreat() };
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    };
    (0..5).map(|_| scan(cursor)).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "measures, proves nothing"]
fn nanoseconds_per_entry() {
    println!(
        "{:>3} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "k", "ahead", "back", "custom", "visible", "back", "masks"
    );
    for count in [1, 2, 4, 8, 16] {
        let order: Arc<dyn Comparator> = Arc::new(Bytewise);
        let mut merged = MergingCursor::new(sources(count, &order), Arc::clone(&order));
        let (ahead, back) = (ns_per_entry(&mut merged, true), ns_per_entry(&mut merged, false));
        let reverse: Arc<dyn Comparator> = Arc::new(Reverse);
        let mut merged = MergingCursor::new(sources(count, &reverse), reverse);
        let custom = ns_per_entry(&mut merged, true);
        let visible = |tombstones: &Arc<Fragments>| {
            let source = |flat| Source::new(flat, Arc::clone(tombstones));
            let sources = sources(count, &order).into_iter().map(source).collect();
            VisibleCursor::new(sources, Arc::clone(&order), SeqNo::MAX)
        };
        let mut rows = visible(&Arc::default());
        let (rows_ahead, rows_back) =
            (ns_per_entry(&mut rows, true), ns_per_entry(&mut rows, false));
        // Over a thousand stretches, too old to hide anything.
        let stretch = |number: u16| {
            let key = |byte| [&number.to_le_bytes()[..1], &[byte]].concat();
            RangeTombstone::new(key(0), key(200), SeqNo::ZERO)
        };
        let masks = Fragments::build(&(0..256).map(stretch).collect::<Vec<_>>(), &Bytewise);
        let masked = ns_per_entry(&mut visible(&Arc::new(masks)), true);
        println!(
            "{count:>3} {ahead:>8.1} {back:>8.1} {custom:>8.1} {rows_ahead:>8.1} {rows_back:>8.1} {masked:>8.1}"
        );
    }
}
