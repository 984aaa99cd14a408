//! Power fails and the disk fails at every operation: what was installed is there, whole edits only,
//! and nothing that was never attempted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::collections::HashSet;

use common::{History, contents, context, open, random_edit, run};
use stratal_fs::{
    CrashPolicy, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError, Violations},
};
use stratal_manifest::{Error, Manifest, ManifestOptions, RecoveryMode};
use stratal_testkit::Rng;

#[derive(Debug, Default)]
struct Counts {
    cases: u64,
    faults_met: u64,
    images: u64,
    nested: u64,
}

#[test]
fn every_crash_leaves_an_installed_version() {
    let mut counts = Counts::default();
    for seed in 0..24 {
        let fs = SimFs::new(seed);
        fs.record_moments();
        let history = run(&fs, seed, 14, seed % 3 == 0);
        assert_eq!(history.errors, [""; 0]);
        assert_eq!(fs.violations(), Violations::default());
        counts.cases += 1;
        check_crashes(&fs, &history, (80, 16, 23), &|| format!("seed {seed}"), &mut counts);
    }
    println!("{counts:?}");
    assert!(counts.images > 4000 && counts.nested > 20_000);
}

const FAULTS: [FaultKind; 6] = [
    FaultKind::Error(OsError::Io),
    FaultKind::Error(OsError::NoSpace),
    FaultKind::Error(OsError::Interrupted),
    FaultKind::ErrorDroppingPages(OsError::Io),
    FaultKind::ErrorWhenDone(OsError::Io),
    FaultKind::Short,
];

#[test]
fn a_fault_anywhere_leaves_an_installed_version_or_one_whose_outcome_is_unknown() {
    let mut counts = Counts::default();
    for seed in 0..4 {
        let clean = SimFs::new(0);
        run(&clean, seed, 10, true);
        for op in 0..clean.op_count() {
            for fault in FAULTS {
                for times in [1, 3] {
                    let fs = SimFs::new(op);
                    fs.inject(Fault::at(op, fault).times(times));
                    let case = || format!("seed {seed}: {fault:?}×{times} at {op}");
                    check_faults(&fs, seed, &case, &mut counts);
                }
            }
        }
    }
    for (kind, after) in [OpKind::SyncData, OpKind::SyncAll, OpKind::SyncDir, OpKind::Create]
        .into_iter()
        .chain([OpKind::Write, OpKind::RemoveFile])
        .flat_map(|kind| (0..8).map(move |after| (kind, after)))
    {
        for fault in FAULTS {
            let fs = SimFs::new(after);
            fs.inject(Fault::on(kind, fault).after(after).times(3));
            let case = || format!("{fault:?} of {kind:?} after {after}");
            check_faults(&fs, 5, &case, &mut counts);
        }
    }
    println!("{counts:?}");
    assert!(counts.cases > 1500 && counts.faults_met > 1000 && counts.images > 100_000);
}

fn check_faults(fs: &SimFs, seed: u64, case: &dyn Fn() -> String, counts: &mut Counts) {
    fs.record_moments();
    let history = run(fs, seed, 10, true);
    counts.cases += 1;
    counts.faults_met += u64::from(!history.errors.is_empty());
    let Violations { retried_syncs, writes_after_failure, .. } = fs.violations();
    assert_eq!((retried_syncs, writes_after_failure), (0, 0), "{}\n{}", case(), fs.trace_text(60));
    check_crashes(fs, &history, (8, 2, 301), case, counts);
}

fn check_crashes(
    fs: &SimFs,
    history: &History,
    (cap, random, again_every): (usize, usize, u64),
    case: &dyn Fn() -> String,
    counts: &mut Counts,
) {
    let mut seen = HashSet::new();
    for moment in fs.take_moments() {
        let op_count = moment.op + 1;
        for policy in moment.fs.crash_policies(cap, random) {
            let image = moment.fs.image(&policy);
            if !seen.insert((image.fingerprint(), history.promised_at(op_count))) {
                continue;
            }
            counts.images += 1;
            let why = || format!("{}, crashed at {} with {policy:?}", case(), moment.op);
            match open(&image) {
                Ok((manifest, _)) => {
                    let found = contents(manifest.version());
                    assert!(history.allows(&found, op_count), "{}", why());
                    if counts.images.is_multiple_of(again_every) {
                        crash_again(&image, manifest, &why, counts);
                    }
                }
                Err(Error::Missing { .. }) => {
                    assert_eq!(history.promised_at(op_count), None, "{}", why());
                }
                Err(err) => panic!("{}: {err}", why()),
            }
        }
    }
}

/// The first edit after a recovery, crashing at each operation on the way.
fn crash_again(fs: &SimFs, mut manifest: Manifest, why: &dyn Fn() -> String, counts: &mut Counts) {
    let before = contents(manifest.version());
    fs.record_moments();
    let edit = random_edit(&mut Rng::new(counts.images), manifest.version());
    let after = contents(&manifest.append(&edit).unwrap());
    let moments = fs.take_moments();
    let done = fs.op_count();
    assert_eq!(fs.violations(), Violations::default());
    for policy in fs.crash_policies(20, 4) {
        let (found, _) = open(&fs.image(&policy)).unwrap();
        assert_eq!(contents(found.version()), after, "{}: done at {done}", why());
    }
    for moment in moments {
        for policy in moment.fs.crash_policies(20, 4) {
            counts.nested += 1;
            let (found, _) = open(&moment.fs.image(&policy)).unwrap();
            let found = contents(found.version());
            assert!(found == before || found == after, "{}, again at {}", why(), moment.op);
        }
    }
}

#[test]
fn a_full_disk_is_survived_and_left_when_there_is_space_again() {
    let clean = SimFs::new(0);
    run(&clean, 1, 12, false);
    let mut refused = 0;
    for capacity in (0..4000).step_by(50) {
        let fs = SimFs::new(capacity);
        let mut manifest = Manifest::create(context(&fs), common::SMALL).unwrap();
        let mut rng = Rng::new(1);
        fs.set_capacity(fs.used_space() + capacity);
        for _ in 0..12 {
            let edit = random_edit(&mut rng, manifest.version());
            if let Err(err) = manifest.append(&edit) {
                assert!(err.to_string().contains("os error 28"), "{err}");
                refused += 1;
            }
        }
        fs.set_capacity(u64::MAX);
        manifest.settle().unwrap();
        let edit = random_edit(&mut rng, manifest.version());
        let last = manifest.append(&edit).unwrap();
        let (found, _) = open(&fs.image(&CrashPolicy::LoseAll)).unwrap();
        assert_eq!(contents(found.version()), contents(&last));
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn what_a_killed_process_left_is_settled_before_anything_may_be_removed() {
    let (mut images, mut closed) = (0, 0);
    for seed in 0..8 {
        let fs = SimFs::new(seed);
        fs.record_moments();
        run(&fs, seed, 10, seed % 2 == 0);
        for moment in fs.take_moments() {
            // The process is killed; the system goes on, with all that is unsynced.
            let Ok((mut manifest, report)) = open(&moment.fs) else { continue };
            assert_eq!(manifest.is_settled(), report.was_closed);
            closed += u32::from(report.was_closed);
            manifest.settle().unwrap();
            // Then power fails.
            for policy in moment.fs.crash_policies(40, 8) {
                let (found, _) = open(&moment.fs.image(&policy)).unwrap();
                assert_eq!(contents(found.version()), contents(manifest.version()), "{policy:?}");
                images += 1;
            }
        }
    }
    assert!(images > 2000 && closed > 3, "{images} {closed}");
}

#[test]
fn a_failed_append_is_unknown_until_a_new_file_is_current() {
    for fault in [FaultKind::Error(OsError::Io), FaultKind::ErrorWhenDone(OsError::Io)] {
        for kind in [OpKind::Write, OpKind::SyncData] {
            let fs = SimFs::new(1);
            let options = ManifestOptions::default();
            let mut manifest = Manifest::create(context(&fs), options).unwrap();
            let edit = random_edit(&mut Rng::new(1), manifest.version());
            fs.inject(Fault::on(kind, fault));
            assert!(matches!(manifest.append(&edit), Err(Error::UnknownOutcome { .. })));
            assert!(!manifest.is_settled() && manifest.version().trees.is_empty());
            let generation = manifest.generation();
            manifest.settle().unwrap();
            assert!(manifest.is_settled() && manifest.generation() > generation);
            for policy in fs.crash_policies(100, 20) {
                let (found, _) = open(&fs.image(&policy)).unwrap();
                assert!(found.version().trees.is_empty(), "{kind:?} {fault:?} {policy:?}");
            }
        }
    }
}

#[test]
fn a_rotation_that_fails_before_its_marker_costs_nothing() {
    let fs = SimFs::new(1);
    let mut manifest =
        Manifest::create(context(&fs), ManifestOptions { rotate_len_min: 0 }).unwrap();
    let mut rng = Rng::new(3);
    let generation = manifest.generation();
    // Every attempt to begin a file fails; the old one goes on.
    fs.inject(Fault::on(OpKind::SyncAll, FaultKind::Error(OsError::Io)).sticky());
    for _ in 0..20 {
        let edit = random_edit(&mut rng, manifest.version());
        manifest.append(&edit).unwrap();
    }
    assert_eq!(manifest.generation(), generation);
    let attempts = fs.op_count_of(OpKind::SyncAll);
    assert!((2..8).contains(&attempts), "{attempts}: it is tried again, but not at each edit");
    let (found, _) = open(&fs.image(&CrashPolicy::LoseAll)).unwrap();
    assert_eq!(contents(found.version()), contents(manifest.version()));
    fs.clear_faults();
    while manifest.generation() == generation {
        let edit = random_edit(&mut rng, manifest.version());
        manifest.append(&edit).unwrap();
    }
    let (found, report) = open(&fs.image(&CrashPolicy::KeepAll)).unwrap();
    assert_eq!(contents(found.version()), contents(manifest.version()));
    assert_eq!(report.stale, [0; 0], "nothing is left of the attempts");
}

#[test]
fn a_failing_read_is_an_error_and_never_an_empty_database() {
    let fs = SimFs::new(1);
    run(&fs, 1, 5, true);
    let ops = {
        let image = fs.image(&CrashPolicy::KeepAll);
        open(&image).unwrap();
        image.op_count()
    };
    for op in 0..ops {
        let image = fs.image(&CrashPolicy::KeepAll);
        image.inject(Fault::at(op, FaultKind::Error(OsError::Io)));
        assert!(matches!(open(&image), Err(Error::Io { .. })), "operation {op}");
    }
}

#[test]
fn a_manifest_that_is_only_read_stays_as_it_was() {
    let fs = SimFs::new(1);
    run(&fs, 2, 5, true);
    let image = fs.image(&CrashPolicy::KeepAll);
    let before = image.fingerprint();
    let (manifest, report) =
        Manifest::open(context(&image), common::SMALL, RecoveryMode::Absolute).unwrap();
    assert!(report.was_closed && report.cut_len == 0);
    manifest.close().unwrap();
    assert_eq!(image.fingerprint(), before);
    assert!(matches!(
        Manifest::create(context(&image), common::SMALL),
        Err(Error::AlreadyExists { .. })
    ));
}
