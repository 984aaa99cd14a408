//! Damage below what the log itself proves to have been synced is refused, damage above it is cut and
//! counted, and nothing else happens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{cell::Cell, path::Path};

use common::{History, Step, bytes_of, context, replay, run, write_file};
use stratal_fs::{
    CrashPolicy, Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::mutate::{self, Counts, Mutation};
use stratal_wal::{
    Error, Lsn, Record, RecordHeader, RecordKind, Replay, SegmentHeader, Wal, WalContext,
    WalOptions, segment_file_name,
};

use Step::{Close, Mark, Sync, Through};

/// What one segment of the undamaged log holds, and where.
struct Stored {
    header: SegmentHeader,
    bytes: Vec<u8>,
    /// Offset, length, LSN and synced LSN of each record.
    records: Vec<(usize, usize, Lsn, Lsn)>,
}

fn stored(fs: &SimFs) -> Vec<Stored> {
    let entries = fs.list(Path::new("/")).unwrap();
    let segments = entries.iter().map(|entry| {
        let bytes = bytes_of(fs, entry.name.to_str().unwrap());
        let header = SegmentHeader::decode(bytes.first_chunk().unwrap()).unwrap();
        let (mut records, mut at, mut lsn) = (Vec::new(), 1024, header.start);
        while let Ok(record) = Record::decode(&bytes[at..], header.salt, lsn) {
            let len = usize::try_from(record.encoded_len()).unwrap();
            records.push((at, len, lsn, record.synced));
            (at, lsn) = (at + len, lsn.plus(len as u64));
            if record.kind == RecordKind::End && records.len() > 1 && at >= bytes.len() {
                break;
            }
        }
        Stored { header, bytes, records }
    });
    segments.collect()
}

/// What must come of it when the segment with this index is `mutant`: from which LSN on the log is
/// damaged, and what the undamaged rest proves to have been synced.
fn expectation(log: &[Stored], index: usize, mutant: &[u8]) -> (Option<Lsn>, Lsn) {
    let (mut damaged, mut proven) = (None::<Lsn>, Lsn::ZERO);
    let mut damage_at = |lsn: Lsn| damaged = Some(damaged.map_or(lsn, |it| it.min(lsn)));
    for (i, segment) in log.iter().enumerate() {
        let bytes = if i == index { mutant } else { &segment.bytes };
        let same =
            |at: usize, len: usize| bytes.get(at..at + len) == segment.bytes.get(at..at + len);
        if same(0, SegmentHeader::LEN) || same(SegmentHeader::MIRROR_OFFSET, SegmentHeader::LEN) {
            proven = proven.max(segment.header.synced);
        } else {
            // Without its header, nothing in the segment says anything.
            damage_at(segment.header.start);
            continue;
        }
        for &(at, len, lsn, synced) in &segment.records {
            if same(at, len) {
                proven = proven.max(synced);
            } else if log.get(i + 1).is_some_and(|next| lsn >= next.header.start) {
                // Behind the end that the next segment names: not part of the log.
            } else if lsn < segment.header.carried_end() {
                damage_at(segment.header.start);
            } else {
                damage_at(lsn);
            }
        }
    }
    (damaged, proven)
}

#[derive(Debug, Default)]
struct Verdicts {
    same: u64,
    cut: u64,
    refused: u64,
}

fn check(name: &str, fs: &SimFs, history: &History) -> Counts {
    let fs = fs.image(&CrashPolicy::KeepAll);
    let log = stored(&fs);
    let (whole, report) = replay(&fs).unwrap();
    assert_eq!(whole, history.accepted);
    let mut verdicts = Verdicts::default();
    let mut counts = Counts::default();
    for (index, segment) in log.iter().enumerate() {
        counts += mutate::for_each_mutant(&segment.bytes, |mutation, mutant| {
            let damaged = MemFs::new();
            for (i, it) in log.iter().enumerate() {
                let bytes = if i == index { mutant } else { &it.bytes };
                write_file(&damaged, &segment_file_name(it.header.number), bytes);
            }
            let (broken_at, proven) = expectation(&log, index, mutant);
            let why = || {
                format!(
                    "{name}: {mutation} in segment {}: damaged from {broken_at:?}, proven to {proven}",
                    segment.header.number
                )
            };
            let ctx = WalContext { fs: std::sync::Arc::new(damaged), ..context(&fs) };
            match read(ctx) {
                Ok((found, new_report)) => {
                    assert!(broken_at.is_none_or(|at| at >= proven), "{}", why());
                    assert!(history.allows(&found), "{}", why());
                    let required = history.ends.iter().take_while(|end| **end <= proven).count();
                    assert!(found.len() >= required, "{}", why());
                    if found == whole {
                        verdicts.same += 1;
                    } else {
                        verdicts.cut += 1;
                        let is_told = new_report.cut_len > 0
                            || !new_report.ignored.is_empty()
                            || matches!(
                                mutation,
                                Mutation::Cut { .. } | Mutation::SectorZeroed { .. }
                            );
                        assert!(is_told, "{}: {new_report:?}", why());
                    }
                }
                Err(err) => {
                    verdicts.refused += 1;
                    assert!(err.is_corruption(), "{}: {err}", why());
                    assert!(broken_at.is_some_and(|at| at < proven), "{}: {err}", why());
                    let (Mutation::BitFlipped { offset, .. } | Mutation::ByteSet { offset, .. }) =
                        mutation
                    else {
                        return;
                    };
                    let Error::Corruption { segment: named, offset: at, .. } = err else {
                        panic!("{}: {err}", why());
                    };
                    assert_eq!(named, segment.header.number, "{}", why());
                    assert!(at > 0 && at <= offset as u64, "{}: {err}", why());
                }
            }
        });
    }
    println!("{name}: {counts}; {verdicts:?}, proven {} of {}", report.synced, report.end);
    assert!(verdicts.same > 0 && verdicts.refused > 0);
    counts
}

fn read(ctx: WalContext) -> Result<(Vec<Vec<u8>>, stratal_wal::ReplayReport), Error> {
    let mut replay = Replay::open(ctx, 0)?;
    let groups = common::groups(&mut replay)?;
    Ok((groups, replay.finish()?))
}

#[test]
fn damage_is_refused_below_what_was_synced_and_cut_above() {
    let unreserved = WalOptions { preallocate: false, segment_len: 2048, ..WalOptions::default() };
    let spec = unreserved.validate().unwrap();
    let histories: [(&str, &[Step]); 4] = [
        ("synced in the middle", &[Through(60), Through(60), Sync, Through(60), Through(60)]),
        ("marked", &[Through(60), Sync, Through(600), Sync, Mark, Through(60)]),
        ("two segments", &[Through(300), Sync, Through(600), Through(600), Sync, Through(9)]),
        ("closed", &[Through(60), Through(600), Sync, Through(90), Close]),
    ];
    let mut total = Counts::default();
    for (name, steps) in histories {
        let fs = SimFs::new(1);
        let history = run(&fs, Wal::create(context(&fs), spec), steps);
        assert_eq!(history.errors, [""; 0]);
        total += check(name, &fs, &history);
    }
    // A carried part, proven synced and not.
    for (name, steps) in [
        ("carried", &[Through(60), Sync, Through(60), Sync, Through(60)][..]),
        ("carried and synced", &[Through(60), Sync, Through(60), Sync, Through(60), Sync, Mark]),
    ] {
        let fs = SimFs::new(1);
        fs.inject(Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)).after(1));
        let history = run(&fs, Wal::create(context(&fs), spec), steps);
        assert_eq!(history.errors.len(), 1);
        total += check(name, &fs, &history);
    }
    println!("{total}");
    assert!(total.total() > 80_000);
}

#[test]
fn a_closed_log_survives_the_loss_of_no_sector_in_silence() {
    let fs = SimFs::new(1);
    let history = run(
        &fs,
        Wal::create(context(&fs), common::options(1 << 16)),
        &[Through(80), Sync, Through(80), Through(80), Through(80), Close],
    );
    let name = segment_file_name(1);
    let bytes = bytes_of(&fs, &name);
    let mut refused = 0;
    for start in (1024..bytes.len()).step_by(8) {
        let end = bytes.len().min(start + 512);
        if bytes[start..end].iter().all(|&byte| byte == 0) {
            break;
        }
        let mut damaged = bytes.clone();
        damaged[start..end].fill(0);
        let image = SimFs::new(1);
        write_file(&image, &name, &damaged);
        match replay(&image) {
            Ok((found, _)) => assert_eq!(found, history.accepted, "{start}"),
            Err(err) => {
                assert!(err.is_corruption());
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn any_bytes_are_a_record_or_an_error() {
    let record = Record {
        kind: RecordKind::Group,
        lsn: Lsn(64),
        synced: Lsn(8),
        payload: b"payload of some length",
    };
    let mut bytes = Vec::new();
    record.encode_into(5, &mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, record.encoded_len());
    assert_eq!(Record::decode(&bytes, 5, Lsn(64)).unwrap(), record);
    assert!(Record::decode(&bytes, 6, Lsn(64)).unwrap_err().is_corruption());
    assert!(Record::decode(&bytes, 5, Lsn(72)).unwrap_err().is_corruption());
    let noticed = Cell::new(0);
    let counts = mutate::for_each_mutant(&bytes, |mutation, mutant| {
        match Record::decode(mutant, 5, Lsn(64)) {
            Ok(found) => assert_eq!((mutation, found), (Mutation::Doubled, record)),
            Err(err) => {
                assert!(err.is_corruption(), "{mutation}: {err}");
                noticed.set(noticed.get() + 1);
            }
        }
    });
    assert_eq!(noticed.get() + 1, counts.total());
    // A length that is a lie is noticed before anything is read or reserved.
    bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Record::decode(&bytes, 5, Lsn(64)), Err(Error::Malformed { .. })));
    bytes[..4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let needed = ((1u64 << 30) + RecordHeader::LEN as u64).next_multiple_of(8);
    assert!(
        matches!(Record::decode(&bytes, 5, Lsn(64)), Err(Error::Truncated { needed: n, .. }) if n == needed)
    );
}

#[test]
fn any_bytes_are_a_header_or_an_error() {
    let header = SegmentHeader {
        salt: 7,
        db_id: common::DB,
        number: 9,
        predecessor: 8,
        start: Lsn(800),
        synced: Lsn(80),
        carried_len: 72,
        carried_check: 1,
    };
    let bytes = header.encode();
    assert_eq!(SegmentHeader::decode(&bytes).unwrap(), header);
    let counts = mutate::for_each_mutant(&bytes, |mutation, mutant| {
        let Some(mutant) = mutant.first_chunk() else { return };
        match SegmentHeader::decode(mutant) {
            Ok(_) => assert_eq!(mutation, Mutation::Doubled),
            Err(err) => assert!(err.is_corruption(), "{mutation}: {err}"),
        }
    });
    println!("{counts}");
}

#[test]
fn files_of_another_database_or_a_newer_version_are_named_as_such() {
    let fs = SimFs::new(1);
    run(&fs, Wal::create(context(&fs), common::small()), &[Through(60), Sync]);
    let ctx = WalContext { db_id: stratal_types::DbId([1; 16]), ..context(&fs) };
    assert!(matches!(Replay::open(ctx, 0), Err(Error::WrongDatabase { segment: 1, .. })));
    assert!(matches!(
        Wal::create(context(&fs), common::small()),
        Err(Error::AlreadyExists { segment: 1 })
    ));

    let mut newer = bytes_of(&fs, &segment_file_name(1));
    for at in [0, SegmentHeader::MIRROR_OFFSET] {
        newer[at + 8] = 2;
        let check = crc_fast::crc64_nvme(&newer[at..at + 88]);
        newer[at + 88..at + 96].copy_from_slice(&check.to_le_bytes());
    }
    let image = SimFs::new(1);
    write_file(&image, &segment_file_name(1), &newer);
    assert!(matches!(replay(&image), Err(Error::Unsupported { found: 2, known: 1, .. })));
}
