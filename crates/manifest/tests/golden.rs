//! Released bytes are still written and read, and `FORMAT.md` shows them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{DB, comparators, contents, context, current_file, synced, table};
use stratal_fs::SimFs;
use stratal_manifest::{
    Manifest, ManifestContext, ManifestHeader, ManifestOptions, NewTree, Place, RecoveryMode,
    TimeMark, TreeId, Version, VersionEdit, annotate_manifest, annotate_record, read_version,
};
use stratal_testkit::golden;
use stratal_types::{
    KeyRange, SeqNo,
    dump::{Dump, bytes_of},
};

/// The manifest is written as stored, and what is stored reads as `version`. Returns the dump.
fn reads_and_writes(name: &str, fs: &SimFs, version: &Version) -> String {
    let (generation, bytes) = current_file(fs);
    let mut dump = Dump::new(&bytes);
    annotate_manifest(&mut dump);
    let dump = dump.finish();
    let path = format!("{}/tests/golden/v1/{name}.dump", env!("CARGO_MANIFEST_DIR"));
    let stored = golden(path, &dump);
    assert_eq!(stored, dump, "what is written differs from what is stored");
    let stored = bytes_of(&stored).unwrap();
    let read = read_version(&stored, generation, DB, &comparators(), RecoveryMode::Absolute);
    assert_eq!(contents(read.unwrap().0.current()), contents(version));
    dump
}

fn create(fs: &SimFs) -> Manifest {
    let ctx = ManifestContext { salts: Arc::new(|| 0x5a17_0001), ..context(fs) };
    Manifest::create(ctx, ManifestOptions::default()).unwrap()
}

#[test]
fn v1_new_manifest() {
    let fs = SimFs::new(1);
    let manifest = create(&fs);
    let dump = reads_and_writes("new", &fs, manifest.version());
    let page = include_str!("../FORMAT.md");
    assert!(page.contains(&dump), "FORMAT.md should contain\n{dump}");
}

#[test]
fn v1_expired_tables_and_times() {
    let fs = SimFs::new(1);
    let mut manifest = create(&fs);
    let (events, run) = (TreeId(1), Place { level: 0, age: 1 });
    let mut edit = VersionEdit::new();
    edit.create_tree(NewTree::new(events, "events", "bytewise"));
    manifest.append(&edit).unwrap();
    let mut edit = VersionEdit::new();
    let mut judged = table(4, b'a', b'k');
    judged.judged_to = Some(SeqNo::from(3));
    (judged.range_tombstones, judged.entry_seqno_max) = (1, Some(SeqNo::from(6)));
    edit.add_table(events, run, synced(judged)).unwrap();
    for (seqno, time_ms) in [(5, 1_000), (300, 2_000), (300, 3_000)] {
        edit.mark_time(TimeMark { seqno: SeqNo::from(seqno), time_ms });
    }
    manifest.append(&edit).unwrap();
    let mut edit = VersionEdit::new();
    edit.expire_table(events, 4, SeqNo::from(400));
    let version = manifest.append(&edit).unwrap();
    let (_, meta) = version.trees[&events].tables().next().unwrap();
    assert_eq!(meta.expired_at, Some(SeqNo::from(400)));
    assert_eq!((version.clock, version.times.marks().len()), (SeqNo::from(401), 2));
    reads_and_writes("expiry", &fs, &version);
}

#[test]
fn v1_every_field_and_a_clean_close() {
    let fs = SimFs::new(1);
    let mut manifest = create(&fs);
    let (users, places) = (TreeId(1), TreeId(2));
    let run = Place { level: 0, age: 7 };
    let mut edit = VersionEdit::new();
    edit.create_tree(NewTree {
        options: [1, 2, 3].into(),
        ..NewTree::new(users, "users", "bytewise")
    });
    edit.create_tree(NewTree::new(places, "places", "reverse"));
    manifest.append(&edit).unwrap();
    let mut edit = VersionEdit::new();
    edit.add_table(users, run, synced(table(4, b'a', b'k'))).unwrap();
    let mut unbounded = table(5, b'l', b'z');
    unbounded.span = KeyRange { end: std::ops::Bound::Unbounded, ..KeyRange::half_open("l", "") };
    edit.add_table(users, run, synced(unbounded)).unwrap();
    edit.set_flushed(users, SeqNo::from(9)).set_wal_floor(2);
    manifest.append(&edit).unwrap();
    let mut edit = VersionEdit::new();
    edit.set_clock(SeqNo::from(300))
        .set_next_file(70)
        .set_retention_floor(SeqNo::from(200))
        .hold_history("audit", SeqNo::from(200))
        .hold_history("feed", SeqNo::from(250))
        .set_options(users, [4, 5])
        .drop_tree(places)
        .remove_table(users, 4)
        .move_table(users, 5, Place { level: 2, age: 8 });
    manifest.append(&edit).unwrap();
    let mut edit = VersionEdit::new();
    edit.release_history("audit").hold_history("feed", SeqNo::from(260));
    let version = manifest.append(&edit).unwrap();
    manifest.close().unwrap();
    let dump = reads_and_writes("every_field", &fs, &version);
    let page = include_str!("../FORMAT.md");
    let edit = dump.split_inclusive("# edit\n").nth(2).unwrap();
    let edit = edit.strip_suffix("# edit\n").unwrap();
    assert!(page.contains(edit), "FORMAT.md should contain\n{edit}");
}

#[test]
fn damage_is_described_and_stops_nothing() {
    let fs = SimFs::new(1);
    create(&fs);
    let (_, bytes) = current_file(&fs);
    for at in [9, 70, 110] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let mut dump = Dump::new(&damaged);
        annotate_manifest(&mut dump);
        let text = dump.finish();
        assert!(text.contains("(damaged)") || text.contains("# no record"), "{at}: {text}");
    }
    for len in 0..bytes.len() {
        let mut dump = Dump::new(&bytes[..len]);
        annotate_manifest(&mut dump);
        assert_eq!(bytes_of(&dump.finish()).unwrap(), &bytes[..len]);
    }
}

/// A record is described by the same fields wherever it is found, and whatever is wrong with it.
#[test]
fn a_record_out_of_its_place_is_described_as_in_it() {
    let fs = SimFs::new(1);
    create(&fs);
    let (_, bytes) = current_file(&fs);
    let mut dump = Dump::new(&bytes);
    annotate_manifest(&mut dump);
    let manifest = dump.finish();
    let fields: Vec<_> =
        manifest.lines().skip_while(|line| *line != "# snapshot").skip(1).take(7).collect();
    assert!(fields[6].contains("synced_len"), "{fields:?}");

    let at = ManifestHeader::LEN;
    let described = |bytes: &[u8]| {
        let mut dump = Dump::at(at, bytes);
        annotate_record(&mut dump);
        dump.finish()
    };
    let record = &bytes[at..];
    assert_eq!(described(record).lines().take(7).collect::<Vec<_>>(), fields);
    for len in 0..record.len() {
        assert_eq!(bytes_of(&described(&record[..len])).unwrap(), &record[..len]);
        let mut damaged = record.to_vec();
        damaged[len] ^= 0xff;
        assert_eq!(bytes_of(&described(&damaged)).unwrap(), damaged);
        assert!(described(&damaged).contains("synced_len"));
    }
}
