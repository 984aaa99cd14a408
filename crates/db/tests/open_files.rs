//! Databases of more tables than may be open.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{collections::BTreeMap, sync::Arc, thread};

use stratal::{CutOptions, Database, Keyspace, KeyspaceOptions, OpenFiles, TreeOptions};
use stratal_fs::{Fs, MemFs};

const KEYS: u32 = 6000;

/// Tables of some 4 KiB.
fn tables() -> TreeOptions {
    TreeOptions {
        write_buffer_len: 64 << 10,
        cut: CutOptions { table_len: 4 << 10, below_len_max: 64 << 10 },
        ..TreeOptions::default()
    }
}

fn key(n: u32) -> String {
    format!("key{:06}", n.wrapping_mul(2_654_435_761) % 1_000_000)
}

fn fill(keyspace: &Keyspace, seed: u32) -> BTreeMap<String, String> {
    let rows: BTreeMap<_, _> = (0..KEYS).map(|n| (key(n), format!("{seed} and {n:040}"))).collect();
    for (key, value) in &rows {
        keyspace.put(key.as_str(), value.as_str()).unwrap();
    }
    keyspace.flush().unwrap();
    rows
}

fn check(keyspace: &Keyspace, rows: &BTreeMap<String, String>) {
    for (key, value) in rows.iter().step_by(7) {
        assert_eq!(keyspace.get(key).unwrap().as_deref(), Some(value.as_bytes()));
    }
    let found = keyspace.range::<&[u8]>(..).unwrap().map(|row| row.unwrap().1.to_vec());
    assert!(found.eq(rows.values().map(|value| value.clone().into_bytes())));
}

#[test]
fn keyspaces_and_databases_share_a_cap_while_threads_flush_and_merge() {
    let open_files = OpenFiles::new(6);
    let open = |fs: &Arc<dyn Fs>| {
        let builder = Database::builder("/db").fs(Arc::clone(fs)).memory_budget(1 << 20);
        builder.tree_options(tables()).open_files(open_files.clone()).open().unwrap()
    };
    let disks: Vec<Arc<dyn Fs>> = (0..2).map(|_| Arc::new(MemFs::new()) as _).collect();
    let databases: Vec<_> = disks.iter().map(&open).collect();
    let work: Vec<_> = databases
        .iter()
        .flat_map(|db| {
            ["default", "second"].map(|name| db.keyspace(name, KeyspaceOptions::default()).unwrap())
        })
        .zip(0..)
        .map(|(keyspace, seed)| {
            thread::spawn(move || {
                let rows = fill(&keyspace, seed);
                check(&keyspace, &rows);
                (keyspace, rows)
            })
        })
        .collect();
    let done: Vec<_> = work.into_iter().map(|work| work.join().unwrap()).collect();
    for db in &databases {
        db.wait_idle().unwrap();
        let report = db.verify().unwrap();
        assert!(report.damage.is_empty() && report.files > 100, "{} files", report.files);
        assert_eq!(db.stats().open_files, open_files.stats());
    }
    for (keyspace, rows) in &done {
        check(keyspace, rows);
    }
    let stats = open_files.stats();
    assert!(stats.reopened > 200 && stats.open <= 6 && stats.max == 6, "{stats:?}");
    databases[0].set_max_open_files(2);
    assert!(open_files.stats().open <= 2);
    let (keyspace, rows) = &done[3];
    check(keyspace, rows);
    drop(done);
    for db in databases {
        db.close().unwrap();
    }
    assert_eq!(open_files.stats().open, 0);
}

#[test]
fn a_database_has_a_cap_of_its_own_unless_it_is_told_not_to() {
    for (max, is_capped) in [(None, true), (Some(3), true), (Some(0), false)] {
        let builder = Database::builder("/db").fs(Arc::new(MemFs::new())).tree_options(tables());
        let db = match max {
            Some(max) => builder.max_open_files(max),
            None => builder,
        };
        let db = db.open().unwrap();
        let keyspace = db.open_keyspace("default").unwrap();
        let rows = fill(&keyspace, 1);
        check(&keyspace, &rows);
        let stats = db.stats().open_files;
        assert_eq!(stats.max > 0, is_capped, "{max:?}");
        assert!(stats.max <= OpenFiles::MAX_DEFAULT);
        assert_eq!(stats.reopened > 0, max == Some(3), "{stats:?}");
        // A table is opened when it is first read.
        assert!(stats.open <= max.filter(|max| *max > 0).unwrap_or(usize::MAX), "{stats:?}");
    }
}
