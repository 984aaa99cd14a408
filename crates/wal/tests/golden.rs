//! Released bytes are still written and read, and `FORMAT.md` shows them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::sync::{Arc, atomic::AtomicU32, atomic::Ordering};

use common::{DB, bytes_of, replay, write_file};
use stratal_fs::{
    SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::golden;
use stratal_types::dump::{Dump, bytes_of as bytes_of_dump};
use stratal_wal::{
    AppendMode, RecordHeader, SegmentHeader, Wal, WalContext, WalOptions, annotate_record,
    annotate_segment, segment_file_name,
};

fn create(fs: &SimFs) -> Wal {
    let salt = AtomicU32::new(0x5a17_0001);
    let ctx = WalContext {
        fs: Arc::new(fs.clone()),
        dir: "/".into(),
        db_id: DB,
        salts: Arc::new(move || salt.fetch_add(1, Ordering::Relaxed)),
    };
    let options = WalOptions { preallocate: false, ..WalOptions::default() };
    Wal::create(ctx, options.validate().unwrap()).unwrap()
}

/// The segment is written as stored, and what is stored reads as these groups. Returns the dump.
fn reads_and_writes(name: &str, fs: &SimFs, number: u64, groups: &[&[u8]]) -> String {
    let bytes = bytes_of(fs, &segment_file_name(number));
    let mut dump = Dump::new(&bytes);
    annotate_segment(&mut dump);
    let dump = dump.finish();
    let path = format!("{}/tests/golden/v1/{name}.dump", env!("CARGO_MANIFEST_DIR"));
    let stored = golden(path, &dump);
    assert_eq!(stored, dump, "what is written differs from what is stored");
    let alone = SimFs::new(0);
    write_file(&alone, &segment_file_name(number), &bytes_of_dump(&stored).unwrap());
    if number == 1 {
        assert_eq!(replay(&alone).unwrap().0, groups);
    }
    dump
}

fn lines(dump: &str, range: std::ops::Range<usize>) -> String {
    let lines: Vec<_> = dump.lines().collect();
    lines[range].iter().flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn v1_segment_that_was_closed() {
    let fs = SimFs::new(1);
    let mut wal = create(&fs);
    wal.append(&[b"first ", b"group"], AppendMode::Through).unwrap();
    wal.syncer().sync().unwrap();
    wal.append(&[b"second"], AppendMode::Buffered).unwrap();
    wal.flush().unwrap();
    wal.syncer().sync().unwrap();
    assert!(wal.mark().unwrap());
    wal.close().unwrap();
    let dump = reads_and_writes("closed", &fs, 1, &[b"first group", b"second"]);
    let page = include_str!("../FORMAT.md");
    let records = dump.lines().position(|line| line.contains("record at LSN 0")).unwrap();
    let end = dump.lines().position(|line| line.ends_with(": end")).unwrap();
    for shown in [lines(&dump, 0..13), lines(&dump, records..end)] {
        assert!(page.contains(&shown), "FORMAT.md should contain\n{shown}");
    }
}

#[test]
fn v1_segment_with_a_carried_part() {
    let fs = SimFs::new(1);
    let mut wal = create(&fs);
    wal.append(&[b"synced"], AppendMode::Through).unwrap();
    wal.syncer().sync().unwrap();
    wal.append(&[b"carried"], AppendMode::Through).unwrap();
    fs.inject(Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)));
    assert!(wal.syncer().sync().is_err());
    wal.append(&[b"appended"], AppendMode::Through).unwrap();
    let dump = reads_and_writes("carried", &fs, 2, &[]);
    assert!(dump.contains("# end of the carried part"));
    assert_eq!(replay(&fs).unwrap().0, [&b"synced"[..], b"carried", b"appended"]);
}

#[test]
fn damage_is_described_and_stops_nothing() {
    let fs = SimFs::new(1);
    let mut wal = create(&fs);
    wal.append(&[b"group"], AppendMode::Through).unwrap();
    let bytes = bytes_of(&fs, &segment_file_name(1));
    for at in [9, 521, 1030, 1043] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let mut dump = Dump::new(&damaged);
        annotate_segment(&mut dump);
        let text = dump.finish();
        assert!(text.contains("(damaged)") || text.contains("# no record"), "{at}: {text}");
    }
    for len in 0..bytes.len() {
        let mut dump = Dump::new(&bytes[..len]);
        annotate_segment(&mut dump);
        assert_eq!(bytes_of_dump(&dump.finish()).unwrap(), &bytes[..len]);
    }
}

/// A record is described by the same fields wherever it is found, and whatever is wrong with it.
#[test]
fn a_record_out_of_its_place_is_described_as_in_it() {
    let fs = SimFs::new(1);
    let mut wal = create(&fs);
    wal.append(&[b"group"], AppendMode::Through).unwrap();
    let bytes = bytes_of(&fs, &segment_file_name(1));
    let at = usize::try_from(SegmentHeader::DATA_OFFSET).unwrap();
    let end = at + (RecordHeader::LEN + b"group".len()).next_multiple_of(8);
    let mut dump = Dump::new(&bytes);
    annotate_segment(&mut dump);
    let segment = dump.finish();
    let fields: Vec<_> =
        segment.lines().skip_while(|line| !line.starts_with("# record")).skip(1).take(5).collect();
    assert!(fields[4].contains("flags"), "{fields:?}");

    let described = |bytes: &[u8]| {
        let mut dump = Dump::at(at, bytes);
        annotate_record(&mut dump);
        dump.finish()
    };
    let record = &bytes[at..end];
    assert_eq!(described(record).lines().take(5).collect::<Vec<_>>(), fields);
    for len in 0..record.len() {
        assert_eq!(bytes_of_dump(&described(&record[..len])).unwrap(), &record[..len]);
        let mut damaged = record.to_vec();
        damaged[len] ^= 0xff;
        assert_eq!(bytes_of_dump(&described(&damaged)).unwrap(), damaged);
        assert!(described(&damaged).contains("flags"));
    }
}
