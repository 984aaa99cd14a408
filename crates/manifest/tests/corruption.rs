//! Damage below what the manifest itself proves to have been synced is refused, damage above it is
//! cut and counted, and nothing else happens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use common::{DB, SMALL, comparators, contents, context, current_file, random_edit};
use stratal_fs::SimFs;
use stratal_manifest::{
    Error, Manifest, ManifestHeader, ManifestOptions, Record, RecordKind, RecoveryMode,
    VersionEdit, read_version,
};
use stratal_testkit::{
    Rng,
    mutate::{self, Mutation},
};

/// A manifest of some edits, the versions after each, and where its records stand.
struct Subject {
    generation: u64,
    bytes: Vec<u8>,
    states: Vec<VersionEdit>,
    /// Offset, length and synced length of each record.
    records: Vec<(usize, usize, u64)>,
}

fn subject(seed: u64, edits: usize, closes: bool) -> Subject {
    let fs = SimFs::new(1);
    let options = ManifestOptions::default();
    let mut manifest = Manifest::create(context(&fs), options).unwrap();
    let mut rng = Rng::new(seed);
    let mut states = vec![contents(manifest.version())];
    for _ in 0..edits {
        let edit = random_edit(&mut rng, manifest.version());
        states.push(contents(&manifest.append(&edit).unwrap()));
    }
    if closes {
        manifest.close().unwrap();
    }
    let (generation, bytes) = current_file(&fs);
    let header = ManifestHeader::decode(bytes.first_chunk().unwrap()).unwrap();
    let (mut records, mut at) = (Vec::new(), ManifestHeader::LEN);
    while at < bytes.len() {
        let record = Record::decode(&bytes[at..], header.salt, records.len() as u64).unwrap();
        let len = usize::try_from(record.encoded_len()).unwrap();
        records.push((at, len, record.synced_len));
        at += len;
    }
    Subject { generation, bytes, states, records }
}

fn read(subject: &Subject, bytes: &[u8], mode: RecoveryMode) -> Result<(VersionEdit, u64), Error> {
    let (set, report) = read_version(bytes, subject.generation, DB, &comparators(), mode)?;
    Ok((contents(set.current()), report.cut_len))
}

#[test]
fn damage_is_refused_below_what_was_synced_and_cut_above() {
    let mut total = mutate::Counts::default();
    for (edits, closes) in [(0, false), (1, false), (4, false), (9, false), (6, true), (0, true)] {
        let subject = subject(edits as u64 + 1, edits, closes);
        let whole = read(&subject, &subject.bytes, RecoveryMode::Absolute).unwrap();
        assert_eq!(whole, (subject.states.last().unwrap().clone(), 0));
        let (mut same, mut cut, mut refused) = (0, 0, 0);
        total += mutate::for_each_mutant(&subject.bytes, |mutation, mutant| {
            let why = || format!("{edits} edits, closed {closes}: {mutation}");
            let is_intact = |(at, len, _): &(usize, usize, u64)| {
                mutant.get(*at..at + len) == Some(&subject.bytes[*at..at + len])
            };
            let is_headed = is_intact(&(0, ManifestHeader::LEN, 0));
            let damaged = subject.records.iter().find(|record| !is_intact(record));
            // Whatever is damaged, and whatever the undamaged rest says was synced.
            let intact = subject.records.iter().filter(|record| is_intact(record));
            let proven = intact.map(|(_, _, synced)| *synced).max().unwrap_or(0);
            let first_len = subject.records[0].1 + ManifestHeader::LEN;
            let is_synced = !is_headed
                || damaged.is_some_and(|(at, ..)| (*at as u64) < proven.max(first_len as u64));
            match read(&subject, mutant, RecoveryMode::Tail) {
                Ok((found, cut_len)) => {
                    assert!(!is_synced, "{}", why());
                    let kept = subject.records.iter().take_while(|it| is_intact(it)).count();
                    let state = (kept - 1).min(subject.states.len() - 1);
                    assert_eq!(found, subject.states[state], "{}", why());
                    let is_told = cut_len > 0 || matches!(mutation, Mutation::Cut { .. });
                    assert!(is_told, "{}", why());
                    same += u64::from(found == whole.0);
                    cut += u64::from(found != whole.0);
                }
                Err(err) => {
                    refused += 1;
                    assert!(err.is_corruption(), "{}: {err}", why());
                    // Bytes behind a closed end are damage too.
                    let is_overlong = closes && mutant.len() > subject.bytes.len();
                    // A record that stands elsewhere now still says what was synced.
                    let is_moved = matches!(mutation, Mutation::SectorsSwapped { .. });
                    assert!(is_synced || is_overlong || is_moved, "{}: {err}", why());
                }
            }
            // A cut between two records cannot be told from a manifest that ended there.
            match read(&subject, mutant, RecoveryMode::Absolute) {
                Ok((found, cut_len)) => {
                    assert!(matches!(mutation, Mutation::Cut { .. }), "{}", why());
                    assert_eq!((cut_len, subject.states.contains(&found)), (0, true), "{}", why());
                }
                Err(err) => assert!(err.is_corruption(), "{}: {err}", why()),
            }
        });
        println!("{edits} edits, closed {closes}: {same} same, {cut} cut, {refused} refused");
        assert!(refused > 0);
    }
    println!("{total}");
    assert!(total.total() > 40_000);
}

#[test]
fn a_closed_manifest_survives_the_loss_of_no_sector_in_silence() {
    let subject = subject(3, 5, true);
    let whole = read(&subject, &subject.bytes, RecoveryMode::Tail).unwrap().0;
    let mut refused = 0;
    for start in (0..subject.bytes.len()).step_by(8) {
        let mut damaged = subject.bytes.clone();
        let end = damaged.len().min(start + 512);
        damaged[start..end].fill(0);
        if damaged == subject.bytes {
            continue;
        }
        match read(&subject, &damaged, RecoveryMode::Tail) {
            Ok((found, cut_len)) => assert!(found == whole && cut_len > 0, "{start}"),
            Err(err) => {
                assert!(err.is_corruption());
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn any_bytes_are_an_edit_or_an_error_even_with_their_checks_repaired() {
    let subject = subject(9, 12, false);
    let (mut read_back, mut refused) = (0, 0);
    let mut counts = mutate::Counts::default();
    for (at, len, _) in &subject.records {
        let salt = ManifestHeader::decode(subject.bytes.first_chunk().unwrap()).unwrap().salt;
        let sequence = subject.records.iter().position(|it| it.0 == *at).unwrap() as u64;
        let record = Record::decode(&subject.bytes[*at..at + len], salt, sequence).unwrap();
        counts += mutate::for_each_mutant(record.payload, |mutation, mutant| {
            match VersionEdit::decode(mutant) {
                Ok(edit) => {
                    read_back += 1;
                    let mut bytes = Vec::new();
                    edit.encode(&mut bytes);
                    assert_eq!(VersionEdit::decode(&bytes).unwrap(), edit, "{mutation}");
                }
                Err(Error::Unsupported { found, .. }) => assert!(!found.is_multiple_of(2)),
                Err(err) => {
                    refused += 1;
                    assert!(err.is_corruption(), "{mutation}: {err}");
                }
            }
            // The same under a check that holds.
            let mut bytes = subject.bytes[..*at].to_vec();
            Record { payload: mutant, ..record }.encode_into(salt, &mut bytes);
            match read(&subject, &bytes, RecoveryMode::Tail) {
                Ok(_) | Err(Error::Unsupported { .. } | Error::UnknownComparator { .. }) => {}
                Err(err) => assert!(err.is_corruption(), "{mutation}: {err}"),
            }
        });
    }
    println!("{counts}; {read_back} read, {refused} refused");
    assert!(read_back > 1000 && refused > 1000);
}

#[test]
fn fields_of_newer_versions_are_refused_or_skipped_by_their_tags() {
    let mut edit = VersionEdit::new();
    edit.set_wal_floor(3);
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    let skippable = [&bytes[..], &[100, 3, 1, 2, 3]].concat();
    assert_eq!(VersionEdit::decode(&skippable).unwrap(), edit);
    let critical = [&bytes[..], &[101, 3, 1, 2, 3]].concat();
    assert!(matches!(
        VersionEdit::decode(&critical),
        Err(Error::Unsupported { what: "edit field", found: 101, .. })
    ));
    let out_of_order = [&[100, 0][..], &bytes].concat();
    assert!(matches!(VersionEdit::decode(&out_of_order), Err(Error::Malformed { .. })));
    let twice = [&bytes[..], &bytes].concat();
    assert!(matches!(VersionEdit::decode(&twice), Err(Error::Malformed { .. })));
}

#[test]
fn a_count_that_is_a_lie_is_refused_before_anything_is_reserved() {
    // A table of 2⁶³ ancestors.
    let mut bytes = Vec::new();
    let subject = subject(2, 3, false);
    let added = subject.states.last().unwrap().added().first().cloned().unwrap();
    let mut edit = VersionEdit::new();
    edit.set_clock(added.table.seqno_max);
    edit.encode(&mut bytes);
    bytes.extend([23, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(VersionEdit::decode(&bytes), Err(Error::Truncated { .. })));
}

#[test]
fn files_of_another_database_generation_or_version_are_named_as_such() {
    let subject = subject(1, 1, true);
    let other = stratal_types::DbId([1; 16]);
    let mode = RecoveryMode::Tail;
    let wrong = read_version(&subject.bytes, subject.generation, other, &comparators(), mode);
    assert!(matches!(wrong, Err(Error::WrongDatabase { .. })));
    let wrong = read_version(&subject.bytes, subject.generation + 1, DB, &comparators(), mode);
    assert!(wrong.is_err_and(|err| err.is_corruption()));
    let mut newer = subject.bytes.clone();
    newer[8] = 2;
    let check = crc_fast::crc64_nvme(&newer[..56]);
    newer[56..64].copy_from_slice(&check.to_le_bytes());
    let refused = read(&subject, &newer, mode);
    assert!(matches!(refused, Err(Error::Unsupported { found: 2, known: 1, .. })));
    // A record of a kind to come.
    let header = ManifestHeader::decode(subject.bytes.first_chunk().unwrap()).unwrap();
    let mut longer = subject.bytes[..subject.records[2].0].to_vec();
    let start = longer.len();
    Record { kind: RecordKind::Edit, sequence: 2, synced_len: 0, payload: b"" }
        .encode_into(header.salt, &mut longer);
    longer[start + 16] = 9;
    let check = crc_fast::crc32_iscsi(&[&longer[start..start + 8], &longer[start + 12..]].concat());
    longer[start + 8..start + 12].copy_from_slice(&check.to_le_bytes());
    assert!(matches!(read(&subject, &longer, mode), Err(Error::Unsupported { found: 9, .. })));
    // The comparator that the process did not bring.
    let none: stratal_manifest::Comparators = std::sync::Arc::new(|_| None);
    let refused = read_version(&subject.bytes, subject.generation, DB, &none, mode);
    assert!(matches!(refused, Err(Error::UnknownComparator { .. })));
}

#[test]
fn a_marker_without_its_file_is_an_error() {
    let fs = SimFs::new(1);
    common::run(&fs, 1, 3, true);
    let (generation, _) = current_file(&fs);
    let path = format!("/manifest-{generation:010}");
    stratal_fs::Fs::remove_file(&fs, path.as_ref()).unwrap();
    let result = Manifest::open(context(&fs), SMALL, RecoveryMode::Tail);
    assert!(matches!(result, Err(Error::Missing { path: missing }) if missing == *path));
}
