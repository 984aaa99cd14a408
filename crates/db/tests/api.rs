//! What a user of the database meets: handles, locks, errors, threads, verification.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{path::Path, sync::Arc, thread, time::Duration};

use common::{DIR, KEYSPACES, State, small, small_trees};
use stratal::{
    CutOptions, Database, Durability, Error, Executor, FifoOptions, Health, KeyspaceOptions,
    StrategyOptions, TieredOptions, TreeOptions, prefix_extractor_named,
};
use stratal_fs::{
    CrashPolicy, Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};

fn options(comparator: &str) -> KeyspaceOptions {
    KeyspaceOptions { comparator: comparator.into(), ..KeyspaceOptions::default() }
}

fn mem() -> Arc<dyn Fs> {
    Arc::new(MemFs::new())
}

#[test]
fn a_keyspace_changes_its_strategy_while_it_is_used() {
    let db = small(mem()).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    let write = || {
        for number in 0..200 {
            keyspace.put(format!("key{number:04}"), [7; 40]).unwrap();
        }
        keyspace.flush().unwrap();
        while db.step().unwrap() {}
    };
    let runs = || keyspace.stats().levels.iter().map(|level| level.runs).sum::<usize>();
    (0..3).for_each(|_| write());
    let leveled = runs();
    let with = |strategy| TreeOptions { strategy, ..small_trees() };
    // Keeps everything.
    let fifo = FifoOptions { len_max: u64::MAX, ..FifoOptions::default() };
    keyspace.set_options(with(StrategyOptions::Fifo(fifo))).unwrap();
    (0..50).for_each(|_| write());
    assert!(runs() >= leveled + 50, "nothing is merged, and no writer waits for that");
    keyspace.set_options(small_trees()).unwrap();
    while db.step().unwrap() {}
    assert!(runs() <= leveled + 2, "{} and {leveled} runs", runs());
    assert_eq!(keyspace.range::<&[u8]>(..).unwrap().map(Result::unwrap).count(), 200);
    let invalid = with(StrategyOptions::Fifo(FifoOptions { len_max: 0, ..FifoOptions::default() }));
    assert!(matches!(keyspace.set_options(invalid), Err(Error::InvalidArgument { .. })));
}

#[test]
fn options_of_a_keyspace_are_kept_unless_an_open_says_otherwise() {
    let fs = mem();
    let builder = || Database::builder("/db").fs(fs.clone()).executor(Executor::Inline);
    let tiered = TieredOptions { runs: 7, ..TieredOptions::default() };
    let set = TreeOptions {
        strategy: StrategyOptions::Tiered(tiered),
        cut: CutOptions { table_len: 1 << 20, ..CutOptions::default() },
        write_buffer_len: 1 << 16,
        prefix: prefix_extractor_named("fixed:2"),
        ..TreeOptions::default()
    };
    let db = builder().open().unwrap();
    db.keyspace("other", KeyspaceOptions::default()).unwrap();
    db.open_keyspace("default").unwrap().set_options(set.clone()).unwrap();
    db.close().unwrap();

    let names = |db: &Database| {
        ["default", "other"].map(|name| db.open_keyspace(name).unwrap().options().strategy.name())
    };
    let db = builder().memory_budget(8 << 20).open().unwrap();
    let kept = db.open_keyspace("default").unwrap().options();
    assert_eq!((kept.strategy, kept.cut), (set.strategy, set.cut));
    assert_eq!(kept.prefix.map(|it| it.name().to_owned()).as_deref(), Some("fixed:2"));
    assert_eq!(kept.write_buffer_len, 2 << 20, "a quarter of the budget");
    assert_eq!(names(&db), ["tiered", "leveled"]);
    db.close().unwrap();

    let lazy = StrategyOptions::named("lazy").unwrap();
    let db = builder().strategy(lazy).open().unwrap();
    assert_eq!(names(&db), ["lazy", "lazy"]);
    let kept = db.open_keyspace("default").unwrap().options();
    assert_eq!(kept.cut, set.cut, "the strategy alone was said otherwise");
    db.close().unwrap();
    let db = builder().tree_options(TreeOptions::default()).open().unwrap();
    assert_eq!(names(&db), ["leveled", "leveled"]);
    db.close().unwrap();

    let db = builder().read_only(true).open().unwrap();
    assert_eq!(names(&db), ["tiered", "leveled"], "what one open says is not kept");
    let refused = db.open_keyspace("other").unwrap().set_options(set);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
}

#[test]
fn a_batch_is_visible_whole_over_all_keyspaces_and_found_again() {
    let fs = mem();
    let db = small(Arc::clone(&fs)).open().unwrap();
    let spaces: Vec<_> = KEYSPACES[..3]
        .iter()
        .map(|(name, comparator)| db.keyspace(name, options(comparator)).unwrap())
        .collect();
    let mut batch = db.batch();
    for (number, keyspace) in (0u8..).zip(&spaces) {
        batch.put(keyspace, [b'a', number], "1").put(keyspace, [b'b', number], "2");
        batch.delete(keyspace, [b'a', number]);
    }
    assert_eq!(batch.len(), 9);
    let before = db.snapshot();
    let ticket = batch.commit().unwrap();
    assert!(batch.is_empty());
    assert_eq!(ticket.seqno(), stratal_types::SeqNo::new(before.bound().get() + 8).unwrap());
    ticket.durable().unwrap();
    assert_eq!(
        State::read(&db).unwrap().0.values().map(std::collections::BTreeMap::len).sum::<usize>(),
        3
    );
    assert_eq!(spaces[0].range_at::<&[u8]>(.., &before).unwrap().count(), 0);
    let expected = State::read(&db).unwrap();
    drop((batch, ticket, spaces, before));
    db.close().unwrap();
    let db = small(fs).create(false).open().unwrap();
    assert_eq!(State::read(&db).unwrap(), expected);
}

#[test]
fn a_database_has_one_writer_or_any_number_of_readers() {
    let fs = mem();
    let open = |read_only| small(Arc::clone(&fs)).read_only(read_only).open();
    let locked = |result| matches!(result, Err(Error::Locked { .. }));
    let db = open(false).unwrap();
    assert!(locked(open(false)) && locked(open(true)));
    // A keyspace keeps it open.
    let keyspace = db.open_keyspace("default").unwrap();
    drop(db);
    assert!(locked(open(false)));
    drop(keyspace);
    let readers = [open(true).unwrap(), open(true).unwrap()];
    assert!(locked(open(false)));
    drop(readers);
    assert!(open(false).is_ok());
}

#[test]
fn a_read_only_database_reads_what_is_only_in_the_log_and_changes_nothing() {
    let fs = SimFs::new(1);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let db = small(Arc::clone(&shared)).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    keyspace.put("flushed", "1").unwrap();
    db.flush().unwrap();
    keyspace.put("logged", "2").unwrap();
    // As a killed process leaves it.
    let image = fs.image(&CrashPolicy::KeepAll);
    let changes = |fs: &SimFs| {
        OpKind::ALL
            .iter()
            .filter(|kind| kind.changes_disk())
            .map(|kind| fs.op_count_of(*kind))
            .sum::<u64>()
            - fs.op_count_of(OpKind::Lock)
    };
    let reader = small(Arc::new(image.clone())).read_only(true).open().unwrap();
    let read = reader.open_keyspace("default").unwrap();
    assert_eq!(read.get("flushed").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(read.get("logged").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(reader.verify().unwrap().is_ok());
    for refused in [
        read.put("k", "v").map(drop),
        reader.flush(),
        reader.compact(),
        reader.keyspace("more", options("bytewise")).map(drop),
        reader.drop_keyspace("more"),
    ] {
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    }
    drop(read);
    reader.close().unwrap();
    assert_eq!(changes(&image), 0, "{}", image.trace_text(20));

    let nothing = small(mem()).read_only(true).open();
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
    let nothing = small(mem()).create(false).open();
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
}

#[test]
fn what_cannot_be_done_is_a_typed_error_and_changes_nothing() {
    let db = small(mem()).open().unwrap();
    let other = small(mem()).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    let foreign = other.open_keyspace("default").unwrap();
    let before = State::read(&db).unwrap();
    let too_large = |result: Result<_, _>| matches!(result.map(drop), Err(Error::TooLarge { .. }));
    let invalid = |result: Result<_, _>| matches!(result, Err(Error::InvalidArgument { .. }));
    assert!(too_large(keyspace.put("", "v")));
    assert!(too_large(keyspace.put(vec![0; 65_536], "v")));
    assert!(too_large(keyspace.delete_range("", "b")));
    assert!(too_large(db.batch().put(&keyspace, "ok", "v").delete(&keyspace, "").commit()));
    assert!(invalid(
        db.batch().put(&keyspace, "k", "v").put(&foreign, "k", "v").commit().map(drop)
    ));
    assert!(invalid(db.keyspace("", options("bytewise")).map(drop)));
    assert!(invalid(db.keyspace("\0x", options("bytewise")).map(drop)));
    assert!(invalid(db.keyspace(&"x".repeat(256), options("bytewise")).map(drop)));
    assert!(invalid(db.keyspace("x", options("by moonlight")).map(drop)));
    assert!(invalid(db.drop_keyspace("default")));
    assert!(matches!(
        db.keyspace("default", options("reverse")),
        Err(Error::ComparatorMismatch { .. })
    ));
    assert!(matches!(db.open_keyspace("x"), Err(Error::NotFound { .. })));
    assert!(matches!(db.drop_keyspace("x"), Err(Error::NotFound { .. })));
    assert_eq!(State::read(&db).unwrap(), before);
    assert_eq!(db.stats().batches, 0);
    assert!(
        small(mem())
            .memory_budget(5)
            .open()
            .is_err_and(|error| error.to_string().contains("budget"))
    );
    assert!(small(mem()).wal_segment_len(5).open().is_err());
}

#[test]
fn a_dropped_keyspace_takes_no_writes_and_its_name_begins_anew() {
    let fs = mem();
    let db = small(Arc::clone(&fs)).open().unwrap();
    let old = db.keyspace("guest", options("reverse")).unwrap();
    old.put("k", "old").unwrap();
    let rows = old.range::<&[u8]>(..).unwrap();
    db.drop_keyspace("guest").unwrap();
    assert!(matches!(old.put("k", "v").map(drop), Err(Error::NotFound { .. })));
    assert_eq!(rows.count(), 1, "a read that had begun goes on");
    let new = db.keyspace("guest", options("bytewise")).unwrap();
    assert_eq!(new.get("k").unwrap(), None);
    new.put("k", "new").unwrap();
    assert_eq!(db.keyspaces().len(), 2);
    drop((old, new));
    drop(db);
    let db = small(fs).open().unwrap();
    let new = db.open_keyspace("guest").unwrap();
    assert_eq!(new.get("k").unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(new.info().comparator, "bytewise");
}

#[test]
fn a_closed_database_reads_and_writes_nothing() {
    let fs = mem();
    let db = small(Arc::clone(&fs)).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    keyspace.put("k", "v").unwrap();
    db.close().unwrap();
    assert_eq!(keyspace.get("k").unwrap().as_deref(), Some(&b"v"[..]));
    assert!(matches!(keyspace.put("k", "w"), Err(Error::ReadOnly { .. })));
    assert!(matches!(keyspace.flush(), Err(Error::ReadOnly { .. })));
    drop(keyspace);
    let db = small(fs).open().unwrap();
    assert_eq!(db.open_keyspace("default").unwrap().get("k").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn what_is_in_tables_is_not_read_from_the_log_when_it_is_opened() {
    let fs = SimFs::new(1);
    let open = || small(Arc::new(fs.clone())).open().unwrap();
    let log_len = || {
        let files = fs.list(Path::new(DIR)).unwrap();
        let is_log = |name: &str| name.starts_with("wal-");
        files
            .iter()
            .filter(|file| file.name.to_str().is_some_and(is_log))
            .map(|file| file.len)
            .sum()
    };
    let put = |db: &Database, key: &str| {
        db.open_keyspace("default").unwrap().put(key, [7; 4000]).unwrap();
    };
    let db = open();
    put(&db, "a");
    db.close().unwrap();
    let before: u64 = log_len();
    // It is in the log alone: replayed, flushed, and left out from then on.
    let db = open();
    assert_eq!(db.open_report().groups, 1);
    db.flush().unwrap();
    let other = db.clone();
    db.close().unwrap();
    let report = other.verify().unwrap();
    assert!(report.is_ok(), "{report:?}");
    drop(other);
    assert!(log_len() < before && log_len() < 8192, "{} of {before}", log_len());
    let kinds = [OpKind::SyncData, OpKind::SyncAll, OpKind::SyncDir];
    let syncs = || kinds.map(|kind| fs.op_count_of(kind)).iter().sum::<u64>();
    for _ in 0..2 {
        let before = syncs();
        let db = open();
        assert_eq!(syncs(), before, "all there is was durable when it was closed");
        let report = db.open_report();
        assert!(report.was_closed && report.groups == 0, "{report:?}");
        assert!(db.open_keyspace("default").unwrap().get("a").unwrap().is_some());
        db.close().unwrap();
        assert_eq!(syncs(), before, "nothing was written");
    }
    let db = open();
    put(&db, "b");
    db.flush().unwrap();
    drop(db);
    let db = small(Arc::new(fs.image(&CrashPolicy::LoseAll))).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    assert!(["a", "b"].iter().all(|key| keyspace.get(key).unwrap().is_some()));
}

#[test]
fn the_log_stays_short_though_a_keyspace_is_hardly_written() {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).open().unwrap();
    let quiet = db.keyspace("quiet", options("bytewise")).unwrap();
    let busy = db.keyspace("busy", options("bytewise")).unwrap();
    quiet.put("k", "kept").unwrap();
    for i in 0..3000u32 {
        busy.put(i.to_le_bytes(), [7; 100]).unwrap();
        db.step().unwrap();
        let stats = db.stats();
        assert!(stats.log_len < 40 * 2048, "{} bytes of log after {i} writes", stats.log_len);
    }
    let segments = fs.list(Path::new(DIR)).unwrap();
    let segments = segments.iter().filter(|entry| entry.name.to_string_lossy().starts_with("wal-"));
    assert!(segments.clone().count() < 40, "{}", segments.count());
    assert!(db.stats().log_floor > 50, "{:?}", db.stats());
    drop((quiet, busy, db));
    let db = small(Arc::new(fs)).open().unwrap();
    let quiet = db.open_keyspace("quiet").unwrap();
    assert_eq!(quiet.get("k").unwrap().as_deref(), Some(&b"kept"[..]));
    assert_eq!(db.open_keyspace("busy").unwrap().range::<&[u8]>(..).unwrap().count(), 3000);
}

#[test]
fn many_keyspaces_together_stay_within_the_memory_budget() {
    let budget = 1 << 20;
    let options = stratal::TreeOptions { write_buffer_len: 1 << 20, ..small_trees() };
    let db = small(mem()).memory_budget(budget).tree_options(options).wal_segment_len(1 << 20);
    let db = db.open().unwrap();
    let spaces: Vec<_> = (0..20)
        .map(|i| db.keyspace(&format!("{i}"), KeyspaceOptions::default()).unwrap())
        .collect();
    let mut most = 0;
    for i in 0..8000u32 {
        spaces[i as usize % 20].put(i.to_le_bytes(), [1; 200]).unwrap();
        while db.step().unwrap() {}
        if i.is_multiple_of(64) {
            most =
                most.max(db.stats().keyspaces.iter().map(|(_, it)| it.memtable_len).sum::<u64>());
        }
    }
    assert!(most < budget && most > budget / 4, "{most}");
}

#[test]
fn waiting_for_the_background_ends_when_it_has_nothing_to_do() {
    for executor in [Executor::Threads, Executor::Inline] {
        let db = small(mem()).executor(executor).tree_options(small_trees()).open().unwrap();
        let keyspace = db.open_keyspace("default").unwrap();
        for i in 0..6000u32 {
            keyspace.put(i.wrapping_mul(0x9e37_79b9).to_le_bytes(), [3; 50]).unwrap();
            if i.is_multiple_of(1000) {
                db.flush().unwrap();
            }
        }
        db.wait_idle().unwrap();
        let stats = keyspace.stats();
        assert_eq!(stats.sealed, 0);
        assert!(stats.levels[0].runs < 4, "{executor:?}: {:?}", stats.levels);
        assert!(stats.levels.iter().skip(1).any(|level| level.entries > 0), "{executor:?}");
        assert!(!db.step().unwrap() || executor == Executor::Threads);
    }
}

#[test]
fn an_open_says_what_it_found() {
    let fs = SimFs::new(1);
    let db = small(Arc::new(fs.clone())).open().unwrap();
    assert!(db.open_report().created);
    let keyspace = db.open_keyspace("default").unwrap();
    keyspace.put("a", "1").unwrap().durable().unwrap();
    keyspace.put("b", vec![7; 900]).unwrap();
    let torn = CrashPolicy::Torn { count: 0, sectors: 1, tail: stratal_fs::sim_fs::Tail::Missing };
    let torn = small(Arc::new(fs.image(&torn))).open().unwrap();
    let report = torn.open_report();
    assert!(!report.created && !report.was_closed && report.groups == 1, "{report:?}");
    assert!(report.log_cut_len > 0 && report.manifest_cut_len == 0, "{report:?}");
    drop(keyspace);
    db.close().unwrap();
    let closed = small(Arc::new(fs.image(&CrashPolicy::LoseAll))).read_only(true).open().unwrap();
    let report = closed.open_report();
    assert!(report.was_closed && report.groups == 2 && report.log_cut_len == 0, "{report:?}");
}

#[test]
fn verification_names_the_damaged_file_and_keys() {
    let fs = SimFs::new(1);
    let db = small(Arc::new(fs.clone())).wal_segment_len(1 << 20).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    for i in 0..100u8 {
        keyspace.put([i], [i; 50]).unwrap();
    }
    db.compact().unwrap();
    keyspace.put("logged", "x").unwrap().durable().unwrap();
    keyspace.put("behind", "x").unwrap();
    let report = db.verify().unwrap();
    assert!(report.is_ok() && report.files >= 4 && report.blocks > 10, "{report:?}");

    let tables = fs.list(&Path::new(DIR).join("tables")).unwrap();
    let table = Path::new(DIR).join("tables").join(&tables[0].name);
    let first_block = stratal_archive::ArchiveHeader::LEN as u64;
    fs.alter_at_rest(&table, first_block + 40, &[0xff; 8]).unwrap();
    let log = fs.list(Path::new(DIR)).unwrap();
    let log = log.iter().rfind(|entry| entry.name.to_string_lossy().starts_with("wal-")).unwrap();
    let log = Path::new(DIR).join(&log.name);
    fs.alter_at_rest(&log, 1024 + 10, &[0xff; 8]).unwrap();
    let report = db.verify().unwrap();
    let of = |file: &Path| report.damage.iter().filter(|damage| damage.file == file).count();
    assert!(of(&table) > 0 && of(&log) == 1, "{report:?}");
    assert!(report.damage.iter().any(|damage| damage.to_key.is_some()), "{report:?}");
}

#[test]
fn verification_names_what_parity_repairs_whenever_it_is_read() {
    let fs = SimFs::new(1);
    let mut options = small_trees();
    options.table.parity = stratal_sst::Parity::Xor { data: 4 };
    let db = small(Arc::new(fs.clone())).tree_options(options).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    keyspace.put("k", "v").unwrap();
    db.compact().unwrap();
    assert!(db.verify().unwrap().is_ok());

    let tables = fs.list(&Path::new(DIR).join("tables")).unwrap();
    let table = Path::new(DIR).join("tables").join(&tables[0].name);
    let in_block = stratal_archive::ArchiveHeader::LEN as u64 + 20;
    fs.alter_at_rest(&table, in_block, &[0xff]).unwrap();
    let report = db.verify().unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    let damage = &report.damage[0];
    assert!(damage.kind == "data" && damage.verdict.contains("repaired"), "{damage:?}");
    assert_eq!(keyspace.get("k").unwrap().as_deref(), Some(&b"v"[..]), "it costs nothing");
}

#[test]
fn a_tree_without_keys_is_not_told_to_encrypt() {
    let mut options = small_trees();
    options.table.seal = stratal_sst::Seal::Aes256Gcm;
    let opened = small(mem()).tree_options(options).open();
    assert!(matches!(opened, Err(Error::InvalidArgument { .. })), "{opened:?}");
}

#[test]
fn a_directory_without_its_manifest_is_not_taken_for_a_new_one() {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).open().unwrap();
    db.open_keyspace("default").unwrap().put("k", "v").unwrap();
    drop(db);
    let names: Vec<_> = fs.list(Path::new(DIR)).unwrap();
    for entry in names.iter().filter(|entry| entry.name.to_string_lossy().starts_with("MANIFEST."))
    {
        fs.remove_file(&Path::new(DIR).join(&entry.name)).unwrap();
    }
    for read_only in [false, true] {
        let opened = small(Arc::new(fs.clone())).read_only(read_only).open();
        assert!(matches!(opened, Err(Error::Missing { .. })), "{opened:?}");
    }
}

#[test]
fn an_identity_alone_is_no_database_until_somebody_makes_one() {
    let fs = MemFs::new();
    drop(small(Arc::new(fs.clone())).open().unwrap());
    for entry in fs.list(Path::new(DIR)).unwrap() {
        if entry.name != "IDENTITY" && entry.name != "tables" {
            fs.remove_file(&Path::new(DIR).join(&entry.name)).unwrap();
        }
    }
    let open = || small(Arc::new(fs.clone()));
    for builder in [open().read_only(true), open().create(false)] {
        let opened = builder.open();
        assert!(matches!(opened, Err(Error::NotFound { .. })), "{opened:?}");
    }
    assert!(fs.metadata(&Path::new(DIR).join("IDENTITY")).is_ok(), "nothing was removed");
    assert!(open().open().unwrap().open_report().created);
}

#[test]
fn data_without_its_identity_is_not_taken_for_a_new_database() {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).open().unwrap();
    db.open_keyspace("default").unwrap().put("k", "v").unwrap();
    db.close().unwrap();
    fs.remove_file(&Path::new(DIR).join("IDENTITY")).unwrap();
    for read_only in [false, true] {
        let opened = small(Arc::new(fs.clone())).read_only(read_only).open();
        assert!(matches!(opened, Err(Error::Missing { .. })), "{opened:?}");
    }
}

#[test]
fn a_log_that_lost_its_newest_segment_after_a_close_is_refused() {
    let fs = MemFs::new();
    for key in ["a", "b"] {
        let db = small(Arc::new(fs.clone())).open().unwrap();
        db.open_keyspace("default").unwrap().put(key, "1").unwrap();
        db.close().unwrap();
    }
    let names = fs.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name);
    let newest = names.filter(|name| name.to_string_lossy().starts_with("wal-")).max().unwrap();
    fs.remove_file(&Path::new(DIR).join(newest)).unwrap();
    for read_only in [false, true] {
        let opened = small(Arc::new(fs.clone())).read_only(read_only).open();
        assert!(matches!(opened, Err(Error::Corruption { .. })), "{opened:?}");
    }
}

#[test]
fn a_full_disk_is_a_state_that_ends_when_there_is_space() {
    let fs = SimFs::new(1);
    let db = small(Arc::new(fs.clone())).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    keyspace.put("before", "v").unwrap();
    fs.set_capacity(fs.used_space());
    let mut refused = 0;
    for i in 0..200u8 {
        if keyspace.put([b'a', i], [i; 100]).is_err() {
            refused += 1;
        }
        assert_eq!(keyspace.get("before").unwrap().as_deref(), Some(&b"v"[..]));
    }
    assert!(refused > 100, "{refused}");
    assert!(matches!(db.health(), Health::ReadOnly { .. }), "{:?}", db.health());
    fs.set_capacity(u64::MAX);
    keyspace.put("after", "v").unwrap().durable().unwrap();
    assert_eq!(db.health(), Health::Healthy);
    db.flush().unwrap();
    let expected = State::read(&db).unwrap();
    assert_eq!(expected.0["default"].len(), 202 - refused);
    let found = small(Arc::new(fs.image(&CrashPolicy::LoseAll))).open().unwrap();
    assert_eq!(State::read(&found).unwrap(), expected);
}

/// Writers on many threads, flushes and merges on two more.
fn check_threads(fs: Arc<dyn Fs>, dir: &Path, writers: u32, rows: u32) {
    let builder = Database::builder(dir)
        .fs(fs)
        .memory_budget(4 << 20)
        .wal_segment_len(16 << 10)
        .tree_options(stratal::TreeOptions { write_buffer_len: 20_000, ..small_trees() });
    let db = builder.clone().open().unwrap();
    let (a, b) = (
        db.keyspace("a", options("bytewise")).unwrap(),
        db.keyspace("b", options("reverse")).unwrap(),
    );
    thread::scope(|scope| {
        for writer in 0..writers {
            let (db, a, b) = (&db, &a, &b);
            scope.spawn(move || {
                for row in 0..rows {
                    let key = format!("{writer}/{row:06}");
                    let durability = match row % 16 {
                        0 => Durability::Sync,
                        1..8 => Durability::Os,
                        _ => Durability::Memory,
                    };
                    let mut batch = db.batch();
                    batch.put(a, &*key, row.to_le_bytes()).put(b, &*key, row.to_le_bytes());
                    batch.durability(durability).commit().unwrap();
                    assert!(b.get(&key).unwrap().is_some(), "own writes are seen");
                }
            });
        }
        // Both keyspaces show the same rows at every moment.
        let (db, a, b) = (&db, &a, &b);
        scope.spawn(move || {
            for _ in 0..30 {
                let now = db.snapshot();
                let forwards = a.range_at::<&[u8]>(.., &now).unwrap().map(Result::unwrap);
                let backwards = b.range_at::<&[u8]>(.., &now).unwrap().rev().map(Result::unwrap);
                assert!(forwards.eq(backwards), "a batch was seen in part");
                thread::sleep(Duration::from_millis(1));
            }
        });
    });
    let stats = db.stats();
    assert_eq!(stats.batches, u64::from(writers * rows));
    assert_eq!(stats.job_failure, None);
    println!("{} batches in {} groups; {:?}", stats.batches, stats.groups, db.health());
    drop((a, b));
    db.close().unwrap();
    let db = builder.executor(Executor::Inline).open().unwrap();
    assert!(db.verify().unwrap().is_ok());
    for name in ["a", "b"] {
        let keyspace = db.open_keyspace(name).unwrap();
        let count = keyspace.range::<&[u8]>(..).unwrap().map(Result::unwrap).count();
        assert_eq!(count, usize::try_from(writers * rows).unwrap());
        assert!(keyspace.stats().levels.iter().any(|level| level.tables > 0));
    }
}

#[test]
fn many_threads_write_while_others_flush_and_merge_in_memory() {
    check_threads(mem(), Path::new(DIR), 8, 800);
}

#[test]
fn many_threads_write_while_others_flush_and_merge_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    check_threads(Arc::new(stratal_fs::StdFs), &dir.path().join("db"), 4, 300);
}

#[test]
fn a_flush_that_fails_in_the_background_is_tried_again() {
    let fs = SimFs::new(1);
    let fault = FaultKind::Error(OsError::NoSpace);
    fs.inject(Fault::on(OpKind::Create, fault).path(".sst").times(2));
    let db = small(Arc::new(fs.clone())).executor(Executor::Threads).open().unwrap();
    let keyspace = db.open_keyspace("default").unwrap();
    let mut refused = 0;
    for i in 0..400u32 {
        match keyspace.put(i.to_le_bytes(), [0; 50]) {
            Ok(_) => {}
            Err(Error::ReadOnly { .. }) => {
                refused += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
    for _ in 0..200 {
        if db.stats().job_failure.is_none() && keyspace.stats().flushed > 1u32.into() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(db.stats().job_failure, None);
    assert!(keyspace.stats().levels.iter().any(|level| level.tables > 0), "{:?}", keyspace.stats());
    assert_eq!(keyspace.range::<&[u8]>(..).unwrap().count(), 400 - refused);
}

// Merge operators.

fn appending() -> KeyspaceOptions {
    KeyspaceOptions { merge_operator: Some("append".into()), ..KeyspaceOptions::default() }
}

#[test]
fn operands_are_replayed_once_whether_they_were_flushed_or_not() {
    let fs = mem();
    {
        let db = small(Arc::clone(&fs)).open().unwrap();
        let ks = db.keyspace("log", appending()).unwrap();
        assert_eq!(ks.info().merge_operator.as_deref(), Some("append"));
        db.batch().put(&ks, "k", "0").merge(&ks, "k", "1").merge(&ks, "k", "2").commit().unwrap();
        ks.flush().unwrap();
        ks.merge("k", "3").unwrap();
        ks.merge("l", "a").unwrap();
    }
    for _ in 0..3 {
        let db = small(Arc::clone(&fs)).open().unwrap();
        let ks = db.open_keyspace("log").unwrap();
        let found = ks.multi_get(&["l", "k", "m", "l"]).unwrap();
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some(&b"a"[..]), Some(b"0123"), None, Some(b"a")]);
        assert_eq!((ks.len().unwrap(), ks.size_of("k").unwrap()), (2, Some(4)));
    }
}

#[test]
fn a_keyspace_keeps_the_operator_that_it_was_given() {
    let fs = mem();
    {
        let db = small(Arc::clone(&fs)).open().unwrap();
        let ks = db.open_keyspace("default").unwrap();
        let refused = ks.merge("k", "1").unwrap_err();
        assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
        let unknown = KeyspaceOptions { merge_operator: Some("x".into()), ..appending() };
        for name in ["default", "new"] {
            let refused = db.keyspace(name, unknown.clone()).unwrap_err();
            assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
        }
        assert!(db.open_keyspace("new").is_err());
        // One that is there without an operator gets it.
        db.keyspace("default", appending()).unwrap();
        ks.merge("k", "1").unwrap();
    }
    let db = small(Arc::clone(&fs)).open().unwrap();
    let adding = KeyspaceOptions { merge_operator: Some("add-u64".into()), ..appending() };
    let refused = db.keyspace("default", adding).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "keyspace \"default\" has merge operator \"append\", not \"add-u64\""
    );
    assert!(matches!(refused, Error::OperatorMismatch { .. }));
    let ks = db.keyspace("default", KeyspaceOptions::default()).unwrap();
    assert_eq!(ks.get("k").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn an_operand_that_makes_no_sense_fails_the_reads_of_its_key_alone() {
    let db = small(mem()).open().unwrap();
    for (operator, good, bad) in [("add-u64", "1", "one"), ("json-patch", "{}", "{")] {
        let options = KeyspaceOptions { merge_operator: Some(operator.into()), ..appending() };
        let ks = db.keyspace(operator, options).unwrap();
        ks.merge("a", good).unwrap();
        ks.merge("b", bad).unwrap();
        for _ in 0..2 {
            assert_eq!(ks.get("a").unwrap().as_deref(), Some(good.as_bytes()));
            let error = ks.get("b").unwrap_err();
            assert!(matches!(error, Error::NotMergeable { .. }), "{error}");
            let mut rows = ks.range::<&str>(..).unwrap();
            assert!(rows.next().unwrap().is_ok());
            assert!(matches!(rows.next().unwrap(), Err(Error::NotMergeable { .. })));
            assert!(rows.next().is_none());
            ks.compact().unwrap();
        }
        ks.delete("b").unwrap();
        assert_eq!(ks.len().unwrap(), 1);
    }
}

/// Keeps the longest of what it is given.
#[derive(Debug)]
struct Longest;

impl stratal::MergeOperator for Longest {
    fn name(&self) -> &'static str {
        "longest"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, stratal::OperatorError> {
        let longest =
            base.into_iter().chain(operands.iter().copied()).max_by_key(|text| text.len());
        Ok(longest.unwrap_or_default().to_vec())
    }
}

#[test]
fn an_operator_of_the_caller_is_needed_again_after_a_restart() {
    let fs = mem();
    let with = || small(Arc::clone(&fs)).merge_operator(Arc::new(Longest));
    let options = KeyspaceOptions { merge_operator: Some("longest".into()), ..appending() };
    {
        let db = with().open().unwrap();
        let ks = db.keyspace("words", options).unwrap();
        ks.merge("k", "ab").unwrap();
        ks.merge("k", "abc").unwrap();
        ks.put("l", "1").unwrap();
    }
    {
        let db = small(Arc::clone(&fs)).open().unwrap();
        let ks = db.open_keyspace("words").unwrap();
        assert!(matches!(ks.get("k"), Err(Error::Unsupported { .. })));
        assert_eq!(ks.get("l").unwrap().as_deref(), Some(&b"1"[..]));
        assert!(matches!(ks.merge("l", "2"), Err(Error::Unsupported { .. })));
        ks.flush().unwrap();
        ks.compact().unwrap();
    }
    let db = with().open().unwrap();
    let ks = db.open_keyspace("words").unwrap();
    assert_eq!(ks.get("k").unwrap().as_deref(), Some(&b"abc"[..]));
}

#[test]
fn a_keyspace_is_cleared_for_those_who_come_later() {
    let db = small(mem()).open().unwrap();
    for (number, order) in ["bytewise", "reverse", "shortlex"].into_iter().enumerate() {
        let ks = db.keyspace(&format!("ks{number}"), options(order)).unwrap();
        for key in ["a", "ab", "ac", "b"] {
            ks.put(key, "1").unwrap();
        }
        let before = db.snapshot();
        if order == "shortlex" {
            let refused =
                db.batch().put(&ks, "c", "").delete_prefix(&ks, "a").commit().unwrap_err();
            assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
            assert_eq!(ks.len().unwrap(), 4);
        } else {
            ks.delete_prefix("a").unwrap();
            assert_eq!(ks.first_key_value().unwrap().unwrap().0, "b");
            assert!(!ks.contains_prefix("a").unwrap() && ks.contains("b").unwrap());
        }
        db.batch().clear(&ks).put(&ks, "new", "2").commit().unwrap();
        assert_eq!(ks.last_key_value().unwrap().unwrap().0, "new");
        assert_eq!((ks.len().unwrap(), ks.is_empty().unwrap()), (1, false));
        assert_eq!(ks.range_at::<&str>(.., &before).unwrap().count(), 4);
        ks.clear().unwrap();
        assert!(ks.is_empty().unwrap());
    }
}
