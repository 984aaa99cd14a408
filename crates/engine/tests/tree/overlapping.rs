//! Range deletes that lie over one another by the thousand while history is held, so that none may go.
//!
//! What they take in memory and on disk grows with their count, and not with its square; tables are cut
//! for them. The test that runs on demand says what that costs:
//!
//! ```text
//! cargo nextest run --release -p stratal-engine --test tree overlapping --run-ignored all --no-capture
//! ```

use std::{sync::Arc, time::Instant};

use stratal_engine::{Snapshot, Store, Tree, TreeOptions};
use stratal_fs::MemFs;
use stratal_testkit::Rng;
use stratal_types::{CutOptions, SeqNo};

use crate::support::{open_store, open_tree};

const HOLDER: &str = "an index";

/// A tree in which every change stays, and what was written.
struct Bed {
    fs: Arc<MemFs>,
    store: Arc<Store>,
    tree: Arc<Tree>,
    options: TreeOptions,
    /// Rows are at every tenth.
    keys: u64,
    /// From, to, and the bound from which on reads see it.
    deletes: Vec<(u64, u64, SeqNo)>,
    puts: Vec<SeqNo>,
    snapshots: Vec<Snapshot>,
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number:012}").into_bytes()
}

impl Bed {
    fn new(keys: u64, table_len: u64) -> Self {
        let fs = Arc::new(MemFs::new());
        let (store, _) = open_store(Arc::clone(&fs) as _, 1).unwrap();
        let options = TreeOptions {
            write_buffer_len: 1 << 30,
            cut: CutOptions { table_len, ..CutOptions::default() },
            max_subcompactions: 3,
            subcompaction_len_min: table_len,
            ..TreeOptions::default()
        };
        let tree = open_tree(&store, "bytewise", options.clone().validate().unwrap()).unwrap();
        store.hold_history(HOLDER).unwrap();
        let (deletes, puts, snapshots) = (Vec::new(), Vec::new(), Vec::new());
        let mut bed = Self { fs, store, tree, options, keys, deletes, puts, snapshots };
        for number in (0..keys).step_by(10) {
            bed.puts.push(bed.tree.put(&key(number), b"value").unwrap());
        }
        bed.tree.flush().unwrap();
        bed
    }

    fn delete(&mut self, from: u64, to: u64) {
        let number = self.tree.delete_range(&key(from), &key(to)).unwrap();
        self.deletes.push((from, to, number));
    }

    /// Some around the middle, each within the one before or about it; the others anywhere.
    fn delete_many(&mut self, count: u64, rng: &mut Rng) {
        for i in 0..count {
            let (from, to) = match rng.below(4) {
                0 => (rng.below(self.keys / 2), self.keys / 2 + 1 + rng.below(self.keys / 2)),
                1 => (i * self.keys / count / 2, self.keys - i * self.keys / count / 2),
                _ => {
                    let from = rng.below(self.keys);
                    (from, from + 1 + rng.below(self.keys - from))
                }
            };
            self.delete(from, to);
            if i % (count / 4) == count / 8 {
                self.snapshots.push(self.tree.snapshot());
            }
        }
    }

    /// Whether a read at `bound` finds row `number`, by asking every delete.
    fn is_there(&self, number: u64, bound: SeqNo) -> bool {
        let deleted = |(from, to, seqno): &(u64, u64, SeqNo)| {
            *seqno <= bound && (*from..*to).contains(&number)
        };
        self.puts[number as usize / 10] <= bound && !self.deletes.iter().any(deleted)
    }

    /// Every row is there or not, now and then, for gets and for walks.
    fn check(&self, what: &str) {
        let bounds = self.snapshots.iter().map(Some).chain([None]);
        for then in bounds {
            let bound = then.map_or(self.store.clock().visible(), Snapshot::bound);
            let numbers = (0..self.keys).step_by(10).filter(|number| self.is_there(*number, bound));
            let expected: Vec<Vec<u8>> = numbers.map(key).collect();
            let rows = match then {
                Some(then) => self.tree.range_at::<&[u8]>(.., then).unwrap(),
                None => self.tree.range::<&[u8]>(..).unwrap(),
            };
            let found: Vec<Vec<u8>> = rows.map(|row| row.unwrap().0.to_vec()).collect();
            assert!(found == expected, "{what}, at {bound}: {} rows", found.len());
            for number in (0..self.keys).step_by(70) {
                let row = match then {
                    Some(then) => self.tree.get_at(&key(number), then).unwrap(),
                    None => self.tree.get(&key(number)).unwrap(),
                };
                assert_eq!(row.is_some(), self.is_there(number, bound), "{what}, at {bound}");
            }
        }
    }

    /// Bytes of all tables, how many there are, and range tombstones in them.
    fn tables(&self) -> (u64, usize, u64) {
        let levels = self.tree.stats().levels;
        let tombstones = levels.iter().map(|level| level.range_tombstones).sum();
        let tables = levels.iter().map(|level| level.tables).sum();
        (levels.iter().map(|level| level.len).sum(), tables, tombstones)
    }

    /// Without the snapshots, which end with the process.
    fn reopened(self) -> Self {
        let Self { fs, store, tree, options, .. } = self;
        drop((tree, store, self.snapshots));
        let (store, _) = open_store(Arc::clone(&fs) as _, 2).unwrap();
        let tree = open_tree(&store, "bytewise", options.clone().validate().unwrap()).unwrap();
        Self { fs, store, tree, options, snapshots: Vec::new(), ..self }
    }
}

#[test]
fn many_range_deletes_over_one_another_under_held_history_are_flushed_and_merged() {
    let count = 1_500;
    let table_len = 4 << 10;
    let mut bed = Bed::new(5_000, table_len);
    let rng = &mut Rng::new(7);
    bed.delete_many(count / 2, rng);
    bed.check("in memory");
    bed.tree.flush().unwrap();
    bed.check("flushed");
    let (len, tables, _) = bed.tables();
    assert!(len < 300 * count && tables > 4, "{len} bytes in {tables} tables");
    bed.delete_many(count / 2, rng);
    bed.tree.flush().unwrap();
    bed.tree.compact(true).unwrap();
    bed.check("merged");
    // With a row for each number over each fragment it would be more than ten million rows.
    let (len, tables, tombstones) = bed.tables();
    assert!(tombstones >= count && tombstones < 4 * count, "{tombstones} range tombstones");
    assert!(len < 300 * count && tables > 4, "{len} bytes in {tables} tables");

    let bed = bed.reopened();
    bed.check("opened anew");
}

#[test]
#[ignore = "takes the time, in release"]
fn what_ten_thousand_range_deletes_over_one_another_cost() {
    for count in [2_500, 5_000, 10_000] {
        let mut bed = Bed::new(200_000, CutOptions::TABLE_LEN);
        let timed = |what: &str, work: &mut dyn FnMut()| {
            let begin = Instant::now();
            work();
            println!("{count}: {what} {:.2?}", begin.elapsed());
        };
        bed.delete_many(count, &mut Rng::new(3));
        println!("{count}: {} bytes in memory as written", bed.tree.memtable_len());
        timed("first get from memory", &mut || drop(bed.tree.get(&key(50)).unwrap()));
        timed("flush", &mut || {
            bed.tree.flush().unwrap();
        });
        println!("{count}: flushed, (bytes, tables, tombstones) {:?}", bed.tables());
        timed("merge", &mut || {
            bed.tree.compact(true).unwrap();
        });
        println!("{count}: merged, (bytes, tables, tombstones) {:?}", bed.tables());
        // Twice two bounds, and rows of twenty bytes.
        assert!(bed.tables().0 < 200 * count + 3 * bed.keys, "it is more than linear");
        let bed = bed.reopened();
        timed("first get", &mut || drop(bed.tree.get(&key(50)).unwrap()));
        let number = |i: u64| key(i * 7_919 % bed.keys / 10 * 10);
        timed("10,000 gets", &mut || {
            (0..10_000).for_each(|i| drop(bed.tree.get(&number(i)).unwrap()));
        });
        timed("100 new cursors and seeks", &mut || {
            for i in 0..100 {
                bed.tree.cursor::<&[u8]>(..).unwrap().seek_to(&number(i)).unwrap();
            }
        });
        timed("a scan", &mut || assert!(bed.tree.len().unwrap() < bed.keys));
    }
}
