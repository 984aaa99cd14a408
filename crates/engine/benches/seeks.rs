//! What short and long reads of ranges cost, of files, with all blocks in the cache and with half of them.
//!
//! `cargo bench -p stratal-engine --bench seeks [-- PART…]` prints the least of interleaved rounds, in
//! nanoseconds of the processor per seek with the ten rows behind it, and per row of a scan: 1,000,000
//! random keys of 16 bytes with values of 100, in one merged run or in runs that were flushed one after
//! the other. The page cache has all files. `PART` picks cases by a part of their names. Beside them stand
//! the same in a `BTreeMap`, and what it takes to read the files and look at nothing.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

mod rows;

use std::{cell::OnceCell, collections::BTreeMap, hint::black_box, path::Path, rc::Rc};

use stratal_engine::Tree;
use stratal_fs::{Access, Fs, StdFs};
use stratal_types::Cursor;

use rows::{Case, Files, Key, LARGE_CACHE, ROWS, SMALL_CACHE, Work, is_wanted, key, measure};

/// Seeks of a round.
const SEEKS: usize = 20_000;
const ROWS_PER_SEEK: usize = 10;

fn main() {
    let rows = usize::try_from(ROWS).unwrap();
    let mut cases = Vec::new();
    let mut add_case = |name: String, work: Work, ops, rows| {
        cases.push(Case { name, work, keys: 0, ops, rows });
    };
    for (what, capacity) in [("cached", LARGE_CACHE), ("half cached", SMALL_CACHE)] {
        for runs in [1, 4] {
            let made = Rc::new(OnceCell::new());
            let mut add = |name: &str, ops, rows, work: fn(&Tree, &[Key]) -> usize| {
                let name = format!("{name}, {runs} runs, {what}");
                if is_wanted(&name) {
                    made.get_or_init(|| Files::new(runs, capacity));
                    let made = Rc::clone(&made);
                    let work = move |keys: &[Key]| work(&made.get().unwrap().tree, keys);
                    add_case(name, Box::new(work), ops, rows);
                }
            };
            add("seek + 10", SEEKS, SEEKS * ROWS_PER_SEEK, seek);
            add("seek + 10 in place", SEEKS, SEEKS * ROWS_PER_SEEK, seek_in_place);
            add("seek back + 10", SEEKS, SEEKS * ROWS_PER_SEEK, seek_back);
            add("scan", rows, rows, scan);
            add("scan back", rows, rows, scan_back);
        }
    }
    let mut beside = |name: &str, ops, rows, work: fn() -> Work| {
        if is_wanted(name) {
            add_case(name.into(), work(), ops, rows);
        }
    };
    beside("seek + 10, BTreeMap", SEEKS, SEEKS * ROWS_PER_SEEK, tree_map);
    beside("read of files", rows, rows, || {
        let files = Files::new(1, SMALL_CACHE);
        Box::new(move |_| read_files(&files.dir.join("tables")))
    });
    let mut keys: Vec<Key> = (0..ROWS).map(key).collect();
    keys.sort_unstable();
    // Behind and before each there are rows enough.
    let among = keys.len() - 2 * ROWS_PER_SEEK;
    measure(&cases, |rng| [(0..SEEKS).map(|_| keys[ROWS_PER_SEEK + rng.index(among)]).collect()]);
}

/// The same rows in memory.
fn tree_map() -> Work {
    let map: BTreeMap<Key, Box<[u8]>> =
        (0..ROWS).map(|number| (key(number), vec![1; 100].into())).collect();
    Box::new(move |keys| {
        let at = |key: &Key| {
            map.range(*key..).take(ROWS_PER_SEEK).filter(|row| black_box(row).1[99] == 1).count()
        };
        keys.iter().map(at).sum()
    })
}

/// What is done with a row: it is not empty, and its ends are looked at.
fn weigh(key: &[u8], value: &[u8]) -> usize {
    black_box((key.first(), value.first(), value.last()));
    usize::from(!value.is_empty())
}

fn seek(tree: &Tree, keys: &[Key]) -> usize {
    let at = |key: &Key| {
        let mut rows = tree.cursor(&key[..]..).unwrap();
        rows.seek_to_first().unwrap();
        go_on(&mut rows)
    };
    keys.iter().map(at).sum()
}

/// One cursor for all of them.
fn seek_in_place(tree: &Tree, keys: &[Key]) -> usize {
    let mut rows = tree.cursor::<&[u8]>(..).unwrap();
    let at = |key: &Key| {
        rows.seek_to(key).unwrap();
        go_on(&mut rows)
    };
    keys.iter().map(at).sum()
}

fn go_on(rows: &mut stratal_engine::TreeCursor) -> usize {
    let mut count = 0;
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        if count == ROWS_PER_SEEK {
            break;
        }
        rows.advance().unwrap();
    }
    count
}

fn seek_back(tree: &Tree, keys: &[Key]) -> usize {
    let at = |key: &Key| {
        let (mut rows, mut count) = (tree.cursor(..=&key[..]).unwrap(), 0);
        rows.seek_to_last().unwrap();
        while let Some((key, value)) = rows.row().unwrap() {
            count += weigh(key, value);
            if count == ROWS_PER_SEEK {
                break;
            }
            rows.retreat().unwrap();
        }
        count
    };
    keys.iter().map(at).sum()
}

fn scan(tree: &Tree, _: &[Key]) -> usize {
    let (mut rows, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0);
    rows.seek_to_first().unwrap();
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        rows.advance().unwrap();
    }
    count
}

fn scan_back(tree: &Tree, _: &[Key]) -> usize {
    let (mut rows, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0);
    rows.seek_to_last().unwrap();
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        rows.retreat().unwrap();
    }
    count
}

/// Reads the files of a folder in pieces that the processor keeps near.
fn read_files(dir: &Path) -> usize {
    let mut buf = vec![0; 256 << 10];
    for name in StdFs.list(dir).unwrap() {
        let file = StdFs.open(&dir.join(name.name), Access::Read).unwrap();
        let len = file.len().unwrap();
        let mut at = 0;
        while at < len {
            let part = usize::try_from(len - at).unwrap().min(buf.len());
            file.read_exact_at(&mut buf[..part], at).unwrap();
            black_box(&buf);
            at += part as u64;
        }
    }
    usize::try_from(ROWS).unwrap()
}
