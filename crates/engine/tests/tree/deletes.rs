//! Reads beside a great many deletes and versions cost what clean reads cost, and what is deleted goes.
//!
//! The default tests count blocks read, which is the same everywhere; those that run on demand also
//! take the time, at the sizes for which it is promised:
//!
//! ```text
//! cargo nextest run --release -p stratal-engine --test tree deletes --run-ignored all --no-capture
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use stratal_engine::{Snapshot, Store, StoreContext, Tree, TreeCursor, TreeOptions, WriteBatch};
use stratal_fs::MemFs;
use stratal_types::{Counter, Counters, Cursor};

/// A tree with a count of what it reads.
struct Bed {
    tree: Arc<Tree>,
    counters: Arc<Counters>,
}

impl Bed {
    /// Everything with its defaults, but tables and buffers of `table_len` bytes. To count blocks, none
    /// is kept in the cache.
    fn new(table_len: u64, by: By) -> Self {
        let counters = Arc::new(Counters::default());
        let unique = AtomicU64::new(1);
        let unique = move || u128::from(unique.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
        let cache_len = if by == By::Time { 256 << 20 } else { 0 };
        let mut context =
            StoreContext::new(Arc::new(MemFs::new()), "/db", cache_len, Arc::new(unique));
        context.metrics = Arc::clone(&counters) as _;
        let (store, _) = Store::open(context).unwrap();
        let id = store.create_tree("t", "bytewise", &[]).unwrap();
        let mut options = TreeOptions::default();
        options.cut.table_len = table_len;
        options.write_buffer_len = usize::try_from(table_len).unwrap();
        let tree = Tree::open(&store, id, options.validate().unwrap()).unwrap();
        Self { tree, counters }
    }

    /// Puts `count` keys, and merges them into one run.
    fn filled(table_len: u64, count: u64, by: By) -> Self {
        let bed = Self::new(table_len, by);
        bed.write(0..count, |batch, number| batch.put(key(number), number.to_le_bytes()));
        bed.tree.compact(true).unwrap();
        bed
    }

    fn write(
        &self,
        numbers: std::ops::Range<u64>,
        operation: impl Fn(&mut WriteBatch, u64) -> &mut WriteBatch,
    ) {
        let numbers: Vec<u64> = numbers.collect();
        for some in numbers.chunks(1000) {
            let mut batch = WriteBatch::new();
            for number in some {
                operation(&mut batch, *number);
            }
            self.tree.write(&batch).unwrap();
            if self.tree.has_sealed() {
                self.tree.flush_sealed().unwrap();
            }
        }
        self.tree.flush().unwrap();
    }

    fn blocks(&self) -> u64 {
        self.counters.get(Counter::BlocksRead)
    }

    fn bytes_read(&self) -> u64 {
        self.counters.get(Counter::BytesRead)
    }

    /// What it costs to do `reads` with a cursor one after the other, once everything is in the cache:
    /// blocks read and nanoseconds.
    fn cost(&self, snapshot: Option<&Snapshot>, reads: &[Read]) -> Cost {
        let mut cursor = match snapshot {
            Some(snapshot) => self.tree.cursor_at::<&[u8]>(.., snapshot).unwrap(),
            None => self.tree.cursor::<&[u8]>(..).unwrap(),
        };
        let mut all = || reads.iter().for_each(|read| read(&mut cursor));
        all();
        let before = self.blocks();
        all();
        let blocks = self.blocks() - before;
        let mut times: Vec<u128> = (0..20)
            .map(|_| {
                let begin = Instant::now();
                all();
                begin.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        let (reads, nanos) = (reads.len() as u64, times[times.len() / 2]);
        Cost { reads, blocks, nanos: nanos / u128::from(reads) }
    }
}

/// Something done with a cursor.
type Read = Box<dyn Fn(&mut TreeCursor)>;

#[derive(Clone, Copy, Debug)]
struct Cost {
    reads: u64,
    blocks: u64,
    nanos: u128,
}

/// How a test tells what is too dear.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Blocks,
    Time,
}

impl By {
    fn check(self, what: &str, cost: Cost, clean: Cost) {
        self.check_within(3, what, cost, clean);
    }

    fn check_within(self, times: u128, what: &str, cost: Cost, clean: Cost) {
        println!("{what}: {cost:?}, clean {clean:?}");
        // Two places of two tables, and their indexes, whatever lies between.
        assert!(cost.blocks <= 8 * cost.reads, "{what}: {cost:?}, clean {clean:?}");
        if self == By::Time {
            assert!(cost.nanos <= times * clean.nanos, "{what}: {cost:?}, clean {clean:?}");
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key{number:012}").into_bytes()
}

/// Goes to the row at or behind `number`, which is that of `expected`.
fn seek(number: u64, expected: u64) -> Read {
    let (wanted, expected) = (key(number), key(expected));
    Box::new(move |cursor| {
        cursor.seek_to(&wanted).unwrap();
        assert_eq!(cursor.key(), Some(&expected[..]));
    })
}

/// Goes to the row at or before `number`, which is that of `expected`.
fn seek_back(number: u64, expected: u64) -> Read {
    let (wanted, expected) = (key(number), key(expected));
    Box::new(move |cursor| {
        cursor.seek_back_to(&wanted).unwrap();
        assert_eq!(cursor.key(), Some(&expected[..]));
    })
}

/// Seeks to keys that are spread over the deleted middle of a tree cost no more than to as many that are
/// spread over the rest.
fn check_middle(bed: &Bed, count: u64, by: By, what: &str) {
    check_middle_within(3, bed, count, by, what);
}

fn check_middle_within(times: u128, bed: &Bed, count: u64, by: By, what: &str) {
    let (from, to) = (count / 4, count / 4 * 3);
    let spread = |from: u64, to: u64| (0..64).map(move |at| from + (to - from) * at / 64);
    let rest = || spread(0, from - 1).step_by(2).chain(spread(to, count).step_by(2));
    let of = |reads: &mut dyn Iterator<Item = Read>| bed.cost(None, &reads.collect::<Vec<_>>());
    let clean = of(&mut rest().map(|number| seek(number, number)));
    let deleted = of(&mut spread(from, to).map(|number| seek(number, to)));
    by.check_within(times, &format!("{what}, seek"), deleted, clean);
    let clean = of(&mut rest().map(|number| seek_back(number, number)));
    let deleted = of(&mut spread(from, to).map(|number| seek_back(number, from - 1)));
    by.check_within(times, &format!("{what}, seek back"), deleted, clean);
}

fn seeks_after_a_range_delete(count: u64, by: By) {
    let bed = Bed::filled(count * 2, count, by);
    let (from, to) = (key(count / 4), key(count / 4 * 3));
    bed.tree.delete_range(&from, &to).unwrap();
    check_middle(&bed, count, by, "range delete in memory");
    bed.tree.flush().unwrap();
    check_middle(&bed, count, by, "range delete flushed");
    bed.tree.compact(false).unwrap();
    check_middle(&bed, count, by, "range delete settled");
}

/// What a range tombstone hides in one large table goes without any other write: from above it, and out of
/// its own table when the one who read it has gone.
fn hidden_rows_of_one_table_go(is_held: bool) {
    let count = 40_000;
    let bed = Bed::filled(64 << 20, count, By::Blocks);
    let len = |bed: &Bed| bed.tree.stats().levels.iter().map(|level| level.len).sum::<u64>();
    let before = len(&bed);
    let snapshot = is_held.then(|| bed.tree.snapshot());
    bed.tree.delete_range(&key(count / 4), &key(count - 1)).unwrap();
    bed.tree.flush().unwrap();
    if let Some(snapshot) = snapshot {
        bed.tree.compact(true).unwrap();
        let stats = bed.tree.stats();
        assert_eq!(stats.levels.iter().map(|level| level.entries).sum::<u64>(), count);
        assert_eq!(bed.tree.plan(), None, "somebody reads it");
        assert!(bed.tree.get_at(&key(count / 2), &snapshot).unwrap().is_some());
    }
    let job = bed.tree.plan().unwrap();
    assert_eq!(job.reason, stratal_compaction::plan::Reason::Covered, "{job:?}");
    let done = bed.tree.run(&job).unwrap();
    assert!(done.written_len <= before / 3, "{done:?}");
    assert!(len(&bed) <= before / 3, "{} bytes of {before} are left", len(&bed));
    assert_eq!((bed.tree.plan(), bed.tree.len().unwrap()), (None, count / 4 + 1));
    // A tombstone over little waits for company.
    bed.tree.delete_range(&key(0), &key(count / 16)).unwrap();
    bed.tree.flush().unwrap();
    assert_eq!(bed.tree.plan(), None);
}

/// A snapshot keeps every row that was deleted, in tables that hold the range tombstone too, and newer
/// rows beside the deleted ones: these are passed by what tables and their blocks know.
fn seeks_under_held_history(count: u64, by: By) {
    let bed = Bed::filled(count * 2, count, by);
    let (from, to) = (count / 4, count / 4 * 3);
    let snapshot = bed.tree.snapshot();
    bed.tree.delete_range(&key(from), &key(to)).unwrap();
    bed.tree.flush().unwrap();
    bed.tree.compact(true).unwrap();
    check_middle(&bed, count, by, "range delete under held history");
    for rest in [0..from, to..count] {
        bed.write(rest, |batch, number| match number % 7 {
            0 => batch.put(key(number), b"newer"),
            _ => batch,
        });
    }
    bed.tree.compact(true).unwrap();
    // The tables at the ends of the deleted keys hold newer rows: they are entered, and searched by the
    // numbers of their blocks, and in the block where newer rows begin by the numbers of its rows, of which
    // there may be two hundred here.
    let times = if by == By::Blocks { 12 } else { 30 };
    check_middle_within(times, &bed, count, by, "the same beside newer rows");
    let stats = bed.tree.stats();
    let entries: u64 = stats.levels.iter().map(|level| level.entries).sum();
    assert!(entries > count, "nothing was collected: {stats:?}");
    let rows = bed.tree.cursor_at::<&[u8]>(.., &snapshot).map(|mut rows| {
        rows.seek_to(&key(from)).unwrap();
        rows.key().map(<[u8]>::to_vec)
    });
    assert_eq!(rows.unwrap(), Some(key(from)), "who holds history reads it");
    // A row amid the deleted ones.
    let middle = count / 2;
    bed.tree.put(&key(middle), b"newer").unwrap();
    bed.tree.flush().unwrap();
    bed.tree.compact(true).unwrap();
    let clean: Vec<Read> = (0..64).map(|at| seek(at, at)).collect();
    let reads: Vec<Read> = (0..32)
        .flat_map(|at| [seek(from + at, middle), seek_back(middle - 1 - at, from - 1)])
        .collect();
    by.check_within(
        times,
        "a row amid the deleted",
        bed.cost(None, &reads),
        bed.cost(None, &clean),
    );
}

fn seeks_after_point_deletes(count: u64, by: By) {
    let bed = Bed::filled(count * 2, count, by);
    bed.write(count / 4..count / 4 * 3, |batch, number| batch.delete(key(number)));
    bed.tree.compact(false).unwrap();
    check_middle(&bed, count, by, "point deletes settled");
    let stats = bed.tree.stats();
    let deletes: u64 = stats.levels.iter().map(|level| level.deletes).sum();
    assert!(deletes * 100 <= count, "{deletes} deletes are left: {stats:?}");
}

/// Returns the bytes that a range delete added in memory.
fn a_range_delete_is_one_write(count: u64) -> u64 {
    let bed = Bed::filled(count * 2, count, By::Blocks);
    bed.tree.put(b"some key", b"so that there is a memtable").unwrap();
    let files = |bed: &Bed| bed.tree.stats().levels.iter().map(|level| level.len).sum::<u64>();
    let (len, used) = (files(&bed), bed.tree.memtable_len());
    let before = bed.tree.snapshot().bound();
    let after = bed.tree.delete_range(&key(1), &key(count - 1)).unwrap();
    assert_eq!(Some(after), before.next(), "one number");
    let grown = bed.tree.memtable_len() - used;
    bed.tree.flush().unwrap();
    let tables: u64 = bed.tree.stats().levels.iter().map(|level| level.tables as u64).sum();
    let read = bed.bytes_read();
    let done = bed.tree.compact(false).unwrap();
    let read = bed.bytes_read() - read;
    println!(
        "range delete over {count} keys: {grown} bytes in memory; {len} bytes of tables became {}, \
         {} of {tables} tables gone, {read} bytes read, {} written",
        files(&bed),
        done.inputs,
        done.written_len
    );
    // The tables at the two edges hold a row each; the others go unread.
    assert!(files(&bed) <= len / 4, "space comes back");
    assert!(read <= len / 4, "{read} bytes were read");
    assert_eq!(bed.tree.len().unwrap(), 3);
    grown
}

/// Neighbours of a key with `versions` versions are found as other keys of the same tree are. To leave
/// the key for them takes seeks, not steps over its versions.
fn neighbours(versions: u64, is_held: bool, by: By) {
    let count = 2_000;
    let middle = count / 2;
    let bed = Bed::filled(64 << 20, count, by);
    let snapshot = is_held.then(|| bed.tree.snapshot());
    let leave = |number: u64, next: u64| -> Read {
        let (from, next) = (key(number), key(next));
        Box::new(move |cursor| {
            cursor.seek_to(&from).unwrap();
            if next > from {
                cursor.advance().unwrap();
            } else {
                cursor.retreat().unwrap();
            }
            assert_eq!(cursor.key(), Some(&next[..]));
        })
    };
    let twice = |number: u64, next: u64| -> Read {
        let (first, second) = (seek(number, number), seek_back(next, next));
        Box::new(move |cursor| {
            first(cursor);
            second(cursor);
        })
    };
    // Beside each read one far away, so that the cursor comes from elsewhere.
    let moved = |then: Option<&Snapshot>, read: &dyn Fn() -> Read| {
        let reads: Vec<Read> = (0..32).flat_map(|at| [seek(at * 10, at * 10), read()]).collect();
        bed.cost(then, &reads)
    };
    let gets = |then: Option<&Snapshot>, numbers: [u64; 2]| {
        let get = |number: u64| match then {
            Some(snapshot) => bed.tree.get_at(&key(number), snapshot),
            None => bed.tree.get(&key(number)),
        };
        let mut times = Vec::new();
        let blocks = bed.blocks();
        for _ in 0..200 {
            let time = Instant::now();
            for number in numbers {
                assert!(get(number).unwrap().is_some());
            }
            times.push(time.elapsed().as_nanos());
        }
        times.sort_unstable();
        Cost { reads: 2, blocks: (bed.blocks() - blocks) / 200, nanos: times[100] }
    };
    let check_at = |what: &str, then: Option<&Snapshot>| {
        let far = count / 4 * 3;
        for at in [middle - 1, middle + 1] {
            let (there, clean) = (|| seek(at, at), || seek(far, far));
            by.check(&format!("{what}, seek"), moved(then, &there), moved(then, &clean));
            let (there, clean) = (|| seek_back(at, at), || seek_back(far, far));
            by.check(&format!("{what}, seek back"), moved(then, &there), moved(then, &clean));
            let next = if at > middle { far + 1 } else { far - 1 };
            let (there, clean) = (|| leave(middle, at), || twice(far, next));
            let (there, clean) = (moved(then, &there), moved(then, &clean));
            println!("{what}, leave the key: {there:?}, two seeks elsewhere: {clean:?}");
            assert!(there.blocks <= 8 * there.reads, "{what}: {there:?}");
            assert!(by == By::Blocks || there.nanos <= 3 * clean.nanos, "{what}: {there:?}");
        }
        let (there, clean) = ([middle - 1, middle + 1], [far - 1, far + 1]);
        by.check(&format!("{what}, gets"), gets(then, there), gets(then, clean));
    };
    let check = |place: &str| {
        let held = if is_held { "a snapshot held" } else { "no snapshot" };
        check_at(&format!("{versions} versions {place}, {held}"), None);
        if snapshot.is_some() {
            check_at(&format!("{versions} versions {place}, {held}, then"), snapshot.as_ref());
        }
    };
    for number in 0..versions {
        bed.tree.put(&key(middle), &number.to_le_bytes()).unwrap();
    }
    check("in memory");
    bed.tree.flush().unwrap();
    check("flushed");
    bed.tree.compact(true).unwrap();
    check("merged");
}

#[test]
fn a_seek_over_many_deletes_asks_for_few_blocks() {
    seeks_after_a_range_delete(40_000, By::Blocks);
    seeks_after_point_deletes(40_000, By::Blocks);
    seeks_under_held_history(40_000, By::Blocks);
}

#[test]
fn what_a_range_delete_hides_in_one_table_goes_by_itself() {
    hidden_rows_of_one_table_go(false);
    hidden_rows_of_one_table_go(true);
}

/// Blocks that a get asks for when nothing is kept in the cache.
fn blocks_of_a_get(bed: &Bed, number: u64) -> u64 {
    let get = || assert!(bed.tree.get(&key(number)).unwrap().is_some());
    get();
    let before = bed.blocks();
    (0..10).for_each(|_| get());
    (bed.blocks() - before) / 10
}

#[test]
fn a_few_range_tombstones_are_read_once_however_small_the_cache_is() {
    let bed = Bed::filled(64 << 20, 2_000, By::Blocks);
    let clean = blocks_of_a_get(&bed, 700);
    for number in [100, 900] {
        bed.tree.delete_range(&key(number), &key(number + 10)).unwrap();
    }
    bed.tree.flush().unwrap();
    assert_eq!(blocks_of_a_get(&bed, 700), clean, "in a table of their own");
    bed.tree.put(&key(0), b"").unwrap();
    bed.tree.put(&key(1_999), b"").unwrap();
    bed.tree.flush().unwrap();
    let reader = bed.tree.snapshot();
    bed.tree.delete_range(&key(500), &key(510)).unwrap();
    bed.tree.flush().unwrap();
    bed.tree.compact(true).unwrap();
    assert_eq!(blocks_of_a_get(&bed, 700), clean, "in the table with the row");
    drop(reader);
}

#[test]
fn a_range_delete_costs_the_same_for_any_number_of_keys() {
    assert_eq!(a_range_delete_is_one_write(20_000), a_range_delete_is_one_write(200_000));
}

#[test]
fn a_key_with_many_versions_does_not_slow_its_neighbours() {
    for is_held in [false, true] {
        neighbours(30_000, is_held, By::Blocks);
    }
}

#[test]
#[ignore = "takes the time, in release"]
fn seeks_after_a_million_deletes_take_no_more_than_three_clean_ones() {
    seeks_after_a_range_delete(2_000_000, By::Time);
    seeks_after_point_deletes(2_000_000, By::Time);
    seeks_under_held_history(2_000_000, By::Time);
}

#[test]
#[ignore = "ten million keys"]
fn a_range_delete_over_ten_million_keys_is_one_write_and_its_space_returns() {
    assert_eq!(a_range_delete_is_one_write(10_000_000), a_range_delete_is_one_write(100_000));
}

#[test]
#[ignore = "takes the time, in release"]
fn a_million_versions_do_not_slow_their_neighbours() {
    for is_held in [false, true] {
        neighbours(1_000_000, is_held, By::Time);
    }
}
