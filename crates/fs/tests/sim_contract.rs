//! What the simulator may and may not do to a disk, told without looking into it: scenarios with
//! every state a crash may leave, and an independent book-keeping checked on all short sequences of
//! steps and on random long ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its files are short"
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::Path,
    time::Instant,
};

use common::{Runner, parse, read_up_to, show};
use proptest::{collection::vec, prelude::*, sample::select};
use stratal_fs::{
    Abandoned, Access, CrashPolicy, File, FileKind, Fs, LockMode, NewFile, SimFs,
    create_dir_synced, read_to_vec,
    sim_fs::{Crashed, Fault, FaultKind, OpKind, OsError, Outcome, SECTOR_LEN, Tail, Violations},
    sync_dirs,
};

// What is on a disk, in one line.

/// Every file with its bytes, directories with a slash, in order: `a=hello d/ d/b=`.
fn state(fs: &SimFs) -> String {
    let mut words = Vec::new();
    describe(fs, "", &mut words);
    words.join(" ")
}

fn describe(fs: &SimFs, dir: &str, words: &mut Vec<String>) {
    for entry in fs.list(Path::new(dir)).unwrap() {
        let path = format!("{dir}{}", entry.name.display());
        if entry.kind == FileKind::Dir {
            words.push(format!("{path}/"));
            describe(fs, &format!("{path}/"), words);
        } else {
            words.push(format!("{path}={}", show(&contents(fs, &path))));
        }
    }
}

fn contents(fs: &SimFs, path: &str) -> Vec<u8> {
    let file = fs.open(Path::new(path), Access::Read).unwrap();
    read_to_vec(&*file, 1 << 20).unwrap()
}

fn leaves_stale_bytes(policy: &CrashPolicy) -> bool {
    matches!(
        policy,
        CrashPolicy::StaleData
            | CrashPolicy::Random { .. }
            | CrashPolicy::Torn { tail: Tail::Stale, .. }
    )
}

/// Every state that a crash after the script may leave, recycled blocks apart.
fn states_after(script: &str) -> BTreeSet<String> {
    let fs = SimFs::new(11);
    run_script(&fs, script);
    let policies = fs.crash_policies(usize::MAX, 0).filter(|policy| !leaves_stale_bytes(policy));
    policies.map(|policy| state(&fs.image(&policy))).collect()
}

fn run_script(fs: &SimFs, script: &str) {
    let mut runner = Runner::new(fs, Path::new("/"));
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert_eq!(runner.run(&parse(line)), "ok", "{line}");
    }
}

#[track_caller]
fn may_leave<const N: usize>(script: &str, expected: [&str; N]) {
    let expected: BTreeSet<String> = expected.map(String::from).into();
    assert_eq!(states_after(script), expected, "{script}");
}

// Scenarios: a script, and all that may be found after a crash behind its last line.

#[test]
fn what_is_synced_under_a_synced_name_is_there() {
    may_leave("create /a\n write /a 0 \"hello\"\n sync /a\n syncdir /", ["a=hello"]);
    may_leave("create /a\n syncdir /\n write /a 0 \"hello\"\n sync /a", ["a=hello"]);
}

#[test]
fn syncing_a_file_does_not_make_its_name_durable() {
    may_leave("create /a\n write /a 0 \"hello\"\n sync /a", ["", "a=hello"]);
}

#[test]
fn a_durable_name_may_stand_for_an_empty_or_zeroed_file() {
    may_leave("create /a\n syncdir /\n write /a 0 \"hello\"", ["a=", "a=hello", "a=....."]);
}

#[test]
fn unsynced_bytes_over_synced_ones_may_be_either() {
    let synced = "create /a\n write /a 0 \"hello\"\n sync /a\n syncdir /\n";
    may_leave(&format!("{synced} write /a 0 \"HELP\""), ["a=hello", "a=HELPo"]);
    may_leave(&format!("{synced} write /a 4 \"OXX\""), ["a=hello", "a=hellOXX", "a=hello.."]);
    may_leave(&format!("{synced} setlen /a 2"), ["a=hello", "a=he"]);
    may_leave(&format!("{synced} punch /a 1 2"), ["a=hello", "a=h..lo"]);
    may_leave(&format!("{synced} allocate /a 4 3"), ["a=hello", "a=hello.."]);
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    may_leave(
        "create /a\n syncdir /\n write /a 0 \"1\"\n write /a 1 \"2\"",
        ["a=", "a=1", "a=12", "a=.2", "a=..", "a=1."],
    );
}

#[test]
fn a_write_is_torn_at_sectors_of_the_file() {
    let fs = SimFs::new(0);
    run_script(
        &fs,
        "create /a\n write /a 0 \"o\"*100\n sync /a\n syncdir /\n write /a 100 \"n\"*1500",
    );
    let mut lens = BTreeSet::new();
    for policy in fs.crash_policies(usize::MAX, 0) {
        if let CrashPolicy::Torn { tail: Tail::Missing, .. } = policy {
            let bytes = contents(&fs.image(&policy), "/a");
            assert!(bytes[..100].iter().all(|&byte| byte == b'o'));
            assert!(bytes[100..].iter().all(|&byte| byte == b'n'));
            lens.insert(bytes.len());
        }
    }
    assert_eq!(lens.into_iter().collect::<Vec<_>>(), [100, 512, 1024, 1536]);
}

#[test]
fn any_set_of_names_may_survive() {
    may_leave(
        "create /a\n create /b\n create /c\n",
        ["", "a=", "b=", "c=", "a= b=", "a= c=", "b= c=", "a= b= c="],
    );
}

#[test]
fn a_removed_file_may_come_back_until_the_directory_is_synced() {
    let durable = "create /a\n write /a 0 \"1\"\n sync /a\n syncdir /\n";
    may_leave(&format!("{durable} rm /a"), ["a=1", ""]);
    may_leave(&format!("{durable} rm /a\n syncdir /"), [""]);
    may_leave(&format!("{durable} rm /a\n create /a"), ["a=1", "", "a="]);
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let durable = "create /a\n write /a 0 \"1\"\n sync /a\n create /b\n write /b 0 \"2\"\n sync /b\n \
                   mkdir /d\n syncdir /\n";
    may_leave(&format!("{durable} mv /a /c"), ["a=1 b=2 d/", "b=2 c=1 d/"]);
    may_leave(&format!("{durable} mv /a /b"), ["a=1 b=2 d/", "b=1 d/"]);
    may_leave(
        &format!("{durable} mv /a /c\n mv /c /e"),
        ["a=1 b=2 d/", "b=2 c=1 d/", "b=2 d/ e=1"],
    );
    // The directory of the new name decides.
    may_leave(&format!("{durable} mv /a /d/a\n syncdir /"), ["a=1 b=2 d/", "b=2 d/ d/a=1"]);
    may_leave(&format!("{durable} mv /a /d/a\n syncdir /d"), ["b=2 d/ d/a=1"]);
    // The classic: new bytes under a temporary name, moved over the old ones.
    let replace = "create /t\n write /t 0 \"3\"\n sync /t\n mv /t /a\n";
    may_leave(&format!("{durable} {replace}"), ["a=1 b=2 d/", "a=1 b=2 d/ t=3", "a=3 b=2 d/"]);
    may_leave(&format!("{durable} {replace} syncdir /"), ["a=3 b=2 d/"]);
    // Without the sync of the temporary file, the name may be there before the bytes.
    may_leave(
        &format!("{durable} create /t\n write /t 0 \"3\"\n mv /t /a\n syncdir /"),
        ["a= b=2 d/", "a=. b=2 d/", "a=3 b=2 d/"],
    );
}

#[test]
fn a_link_is_a_name_of_its_own() {
    let durable = "create /a\n write /a 0 \"1\"\n sync /a\n syncdir /\n";
    may_leave(&format!("{durable} ln /a /b"), ["a=1", "a=1 b=1"]);
    may_leave(&format!("{durable} ln /a /b\n rm /a"), ["a=1", "a=1 b=1", "", "b=1"]);
}

#[test]
fn what_a_lost_directory_holds_is_lost() {
    may_leave("mkdir /d\n create /d/a\n syncdir /d", ["", "d/ d/a="]);
    may_leave("mkdir /d\n create /d/a\n syncdir /", ["d/", "d/ d/a="]);
    may_leave("mkdir /d/e\n syncdir /d\n", ["", "d/ d/e/"]);
    let durable = "mkdir /d\n create /d/a\n syncdir /\n syncdir /d\n";
    may_leave(&format!("{durable} rm /d/a\n rmdir /d"), ["d/ d/a=", "d/", ""]);
    may_leave(&format!("{durable} rm /d/a\n rmdir /d\n syncdir /"), [""]);
    may_leave(&format!("{durable} rm /d/a\n rmdir /d\n mkdir /d\n syncdir /"), ["d/"]);
}

#[test]
fn a_directory_is_not_gone_before_what_was_moved_out_of_it_has_arrived() {
    let durable = "mkdir /d\n create /d/a\n syncdir /\n syncdir /d\n";
    may_leave(&format!("{durable} mv /d/a /b\n rmdir /d"), ["d/ d/a=", "b= d/", "b="]);
}

#[test]
fn lengthened_files_may_show_what_recycled_blocks_held() {
    let fs = SimFs::new(5);
    run_script(&fs, "create /old\n write /old 0 \"oldrecord\"\n rm /old\n create /new\n syncdir /");
    run_script(&fs, "write /new 0 \"n\"");
    assert_eq!(state(&fs.image(&CrashPolicy::StaleData)), "new=o");
    run_script(&fs, "sync /new\n allocate /new 0 4\n write /new 1 \"ewrec\"");
    assert_eq!(state(&fs.image(&CrashPolicy::StaleData)), "new=n...ec", "but not over zeros");
}

#[test]
fn a_torn_tail_of_names_and_bytes_is_enumerated_without_doubles() {
    let fs = SimFs::new(1);
    run_script(&fs, "create /a\n create /b\n mv /a /c\n write /c 0 \"x\"*3000");
    let policies: Vec<_> = fs.crash_policies(usize::MAX, 7).collect();
    let distinct: BTreeSet<String> = policies.iter().map(|policy| format!("{policy:?}")).collect();
    assert_eq!(distinct.len(), policies.len());
    let masks = policies.iter().filter(|p| matches!(p, CrashPolicy::Names { .. })).count();
    // Of three changes, the rename needs the first: 6 of 8 sets, three fates of bytes each.
    assert_eq!(masks, 6 * 3);
    let random = policies.iter().filter(|p| matches!(p, CrashPolicy::Random { .. })).count();
    assert_eq!(random, 7);
    assert_eq!(fs.crash_policies(10, 7).count(), 17);
    assert_eq!(fs.crash_policies(0, 0).count(), 4, "the certain ones are always there");
    let settled = fs.image(&CrashPolicy::KeepAll);
    assert_eq!(settled.crash_policies(1000, 7).collect::<Vec<_>>(), [CrashPolicy::LoseAll]);
}

// Crashing in an operation.

const PROTOCOL: &str = "create /t
    write /t 0 \"payload\"
    sync /t
    mv /t /a
    syncdir /
    create /b
    write /b 0 \"x\"*700
    rm /a
    setlen /b 3";

#[test]
fn nothing_happens_after_the_crash_and_moments_show_the_same_disks() {
    let recorded = SimFs::new(9);
    recorded.record_moments();
    run_script(&recorded, PROTOCOL);
    let moments = recorded.take_moments();
    assert!(recorded.take_moments().is_empty());
    let mut kinds = BTreeSet::new();
    let mut before: BTreeSet<String> = [String::new()].into();
    for record in recorded.trace() {
        let fs = SimFs::new(9);
        fs.crash_at(record.index);
        let mut runner = Runner::new(&fs, Path::new("/"));
        let outcomes: Vec<_> =
            PROTOCOL.lines().map(|line| runner.try_run(&parse(line.trim()))).collect();
        let err = outcomes.into_iter().find_map(Result::err).unwrap();
        assert!(Crashed::is(&err), "{err}");
        assert!(fs.is_crashed() && fs.op_count() == record.index + 1, "{record}");
        assert!(fs.metadata(Path::new("/")).is_err());
        assert_eq!(fs.trace().last().unwrap().outcome, Outcome::Crashed);

        let disks = |fs: &SimFs| -> BTreeSet<String> {
            let policies = fs.crash_policies(usize::MAX, 0);
            let policies = policies.filter(|policy| !leaves_stale_bytes(policy));
            policies.map(|policy| state(&fs.image(&policy))).collect()
        };
        if let Some(moment) = moments.iter().find(|moment| moment.op == record.index) {
            let after = disks(&moment.fs);
            // In a sync nothing is durable yet: the disks are those of the moment before.
            let expected = if record.kind.is_sync() { &before } else { &after };
            assert_eq!(&disks(&fs), expected, "{record}");
            kinds.insert(record.kind);
            before = after;
        } else {
            assert!(!record.kind.changes_disk());
            assert_eq!(disks(&fs), before, "{record}");
        }
    }
    assert_eq!(kinds.len(), 7, "create, write, sync, rename, sync dir, remove, set length");
}

#[test]
fn an_image_is_a_file_system_of_its_own() {
    let fs = SimFs::new(3);
    fs.inject(Fault::on(OpKind::Read, FaultKind::Error(OsError::Io)).sticky());
    let lock = fs.lock(Path::new("/LOCK"), LockMode::Exclusive).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let image = fs.image(&CrashPolicy::LoseAll);
    assert_eq!(image.op_count(), 0);
    let again = image.lock(Path::new("/LOCK"), LockMode::Exclusive).unwrap();
    assert!(image.lock(Path::new("/LOCK"), LockMode::Shared).is_err());
    drop((lock, again));
    run_script(&image, "create /a\n write /a 0 \"image\"");
    assert_eq!(state(&image), "LOCK= a=image");
    fs.clear_faults();
    assert_eq!(state(&fs), "LOCK=", "the first one goes on as it was");
    assert_eq!(image.unsynced_ops().len(), 2);
}

#[test]
fn the_same_seed_gives_the_same_images() {
    let images = |seed| {
        let fs = SimFs::new(seed);
        fs.record_moments();
        run_script(&fs, PROTOCOL);
        let moments = fs.take_moments();
        let images = moments.iter().flat_map(|moment| {
            let policies = moment.fs.crash_policies(50, 20);
            policies.map(|policy| (format!("{policy:?}"), moment.fs.image(&policy).fingerprint()))
        });
        images.collect::<Vec<_>>()
    };
    assert_eq!(images(1), images(1));
    assert_ne!(images(1), images(2));
}

// Faults.

#[test]
fn faults_strike_where_they_are_told_to() {
    let write = |file: &dyn File| file.write_at(b"12345", 0).map_err(|err| err.raw_os_error());
    for error in OsError::ALL {
        let fs = SimFs::new(0);
        let (a, b) = (fs.create(Path::new("/a")).unwrap(), fs.create(Path::new("/b")).unwrap());
        let fault = Fault::on(OpKind::Write, FaultKind::Error(error));
        fs.inject(fault.clone().path("/b").after(1).times(2));
        let failed = Err(error.to_io().raw_os_error());
        assert!(failed != Err(None), "{error:?}");
        let outcomes = [&a, &b, &b, &a, &b, &b].map(|file| write(&**file));
        assert_eq!(outcomes, [Ok(5), Ok(5), failed, Ok(5), failed, Ok(5)], "{error:?}");
        fs.inject(Fault::at(fs.op_count() + 1, FaultKind::Error(error)));
        assert_eq!([&a, &a, &a].map(|file| write(&**file)), [Ok(5), failed, Ok(5)]);
        fs.inject(fault.sticky());
        assert_eq!([&a, &b, &a].map(|file| write(&**file)), [failed, failed, failed]);
        assert!(a.len().is_ok(), "only writes");
        fs.clear_faults();
        assert_eq!(write(&*a), Ok(5));
    }
}

#[test]
fn short_transfers_move_half_and_say_so() {
    let fs = SimFs::new(0);
    let file = fs.create(Path::new("/a")).unwrap();
    fs.inject(Fault::at(0, FaultKind::Short).sticky());
    assert_eq!(file.write_at(b"12345", 0).unwrap(), 3);
    assert_eq!(file.write_at(b"9", 3).unwrap(), 1);
    file.write_all_at(b"abcdefgh", 0).unwrap();
    assert_eq!(read_up_to(&*file, 0, 9).unwrap(), b"abcdefgh");
    assert!(fs.op_count_of(OpKind::Write) > 4 && fs.op_count_of(OpKind::Read) > 3);
}

#[test]
fn an_operation_may_be_done_and_fail_all_the_same() {
    let fs = SimFs::new(0);
    fs.inject(Fault::at(0, FaultKind::ErrorWhenDone(OsError::Io)).sticky());
    assert!(fs.create(Path::new("/a")).is_err());
    assert!(fs.create_dir(Path::new("/d")).is_err());
    assert!(fs.rename(Path::new("/a"), Path::new("/b")).is_err());
    assert!(fs.lock(Path::new("/l"), LockMode::Exclusive).is_err());
    assert!(fs.sync_dir(Path::new("/")).is_err());
    fs.clear_faults();
    assert_eq!(state(&fs.image(&CrashPolicy::LoseAll)), "b= d/");
    drop(fs.lock(Path::new("/l"), LockMode::Exclusive).unwrap());
}

#[test]
fn the_quota_is_exact_to_the_byte() {
    let fs = SimFs::new(0);
    fs.set_capacity(10);
    let a = fs.create(Path::new("/a")).unwrap();
    let b = fs.create(Path::new("/b")).unwrap();
    let full = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    };
    assert_eq!(a.write_at(b"123456", 0).unwrap(), 6);
    assert_eq!(b.write_at(b"123456", 0).unwrap(), 4);
    full(b.write_at(b"5", 4).map(drop));
    full(
        b.write_at(b"56", 3)
            .and_then(|len| if len == 1 { b.write_all_at(b"6", 4) } else { Ok(()) }),
    );
    full(a.allocate(0, 7));
    full(a.set_len(7));
    assert_eq!(a.write_at(b"654321", 0).unwrap(), 6, "what is there can be replaced");
    assert_eq!((fs.used_space(), fs.available_space(Path::new("/")).unwrap()), (10, 0));
    fs.remove_file(Path::new("/b")).unwrap();
    assert_eq!(fs.used_space(), 10, "while the handle lives");
    drop(b);
    assert_eq!(fs.used_space(), 6);
    a.allocate(6, 4).unwrap();
    fs.set_capacity(8);
    assert_eq!(fs.available_space(Path::new("/")).unwrap(), 0);
    full(a.write_at(b"x", 10).map(drop));
    fs.set_capacity(u64::MAX);
    a.write_all_at(b"x", 10).unwrap();
}

/// "Can applications recover from fsync failures": the pages count as clean, and the next sync
/// succeeds without writing them.
#[test]
fn a_sync_after_a_failed_one_makes_nothing_from_before_durable() {
    for (kind, visible) in [
        (FaultKind::Error(OsError::Io), "lost"),
        (FaultKind::ErrorDroppingPages(OsError::Io), "...."),
        (FaultKind::Error(OsError::NoSpace), "lost"),
        (FaultKind::Error(OsError::Interrupted), "lost"),
    ] {
        let fs = SimFs::new(0);
        let file = fs.create(Path::new("/a")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(b"lost", 0).unwrap();
        fs.inject(Fault::on(OpKind::SyncData, kind));
        assert!(file.sync_data().is_err());
        assert_eq!(state(&fs), format!("a={visible}"));
        assert_eq!(fs.violations(), Violations::default());

        file.sync_data().unwrap();
        let disk = |policy| state(&fs.image(&policy));
        assert_eq!(disk(CrashPolicy::LoseAll), "a=");
        assert_eq!(disk(CrashPolicy::KeepAll), "a=lost");
        file.write_all_at(b"kept", 4).unwrap();
        file.write_all_at(b"L", 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(disk(CrashPolicy::LoseAll), "a=L...kept");
        assert_eq!(disk(CrashPolicy::KeepAll), "a=Lostkept", "never over what came later");
        let Violations { retried_syncs, writes_after_failure, .. } = fs.violations();
        assert_eq!((retried_syncs, writes_after_failure), (2, 2));
    }
}

#[test]
fn a_directory_sync_after_a_failed_one_covers_only_what_is_new() {
    let fs = SimFs::new(0);
    run_script(&fs, "create /a");
    fs.inject(Fault::on(OpKind::SyncDir, FaultKind::Error(OsError::Io)));
    assert!(fs.sync_dir(Path::new("/")).is_err());
    run_script(&fs, "create /b\n syncdir /");
    assert_eq!(state(&fs.image(&CrashPolicy::LoseAll)), "b=");
    assert_eq!(state(&fs.image(&CrashPolicy::KeepAll)), "a= b=");
    assert_eq!(fs.violations().dir_syncs_after_failure, 1);
}

#[test]
fn bytes_at_rest_change_behind_everybodys_back() {
    let fs = SimFs::new(0);
    run_script(&fs, "create /a\n write /a 0 \"hello\"\n sync /a\n syncdir /");
    let count = fs.op_count();
    fs.alter_at_rest(Path::new("/a"), 3, b"PXYZ").unwrap();
    assert_eq!(fs.op_count(), count);
    assert_eq!(state(&fs.image(&CrashPolicy::LoseAll)), "a=helPX");
    assert!(fs.alter_at_rest(Path::new("/b"), 0, b"").is_err());
}

#[test]
fn the_trace_tells_what_was_done() {
    let fs = SimFs::new(0);
    run_script(&fs, "create /a\n write /a 3 \"xy\"\n mv /a /b");
    assert!(fs.open(Path::new("/a"), Access::Read).is_err());
    let text = fs.trace_text(5);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "0 Create /a",
            "1 Open /a",
            "2 Write /a 3+2",
            "3 Rename /a -> /b",
            "4 Open /a: entity not found"
        ]
    );
}

// NewFile and Synced, on a disk that fails.

/// Writes two files of one directory as tables are written; returns when they may be named.
fn publish(fs: &SimFs) -> io::Result<()> {
    let mut files = Vec::new();
    for (path, len) in [("/db/1", 700), ("/db/2", 200_000)] {
        let mut file = NewFile::create(fs, path)?;
        for portion in [1, 30, 69] {
            file.write_all(&vec![b'x'; len * portion / 100])?;
        }
        files.push(file.finish()?);
    }
    let named = sync_dirs(fs, files)?;
    assert_eq!(named.iter().map(stratal_fs::Synced::len).collect::<Vec<_>>(), [700, 200_000]);
    Ok(())
}

fn database() -> SimFs {
    let fs = SimFs::new(77);
    create_dir_synced(&fs, Path::new("/db")).unwrap();
    fs.image(&CrashPolicy::LoseAll)
}

#[test]
fn a_synced_file_is_whole_after_any_crash() {
    let fs = database();
    fs.record_moments();
    publish(&fs).unwrap();
    let named_since = fs.op_count();
    assert_eq!(fs.op_count_of(OpKind::SyncDir), 1, "one for both files");
    fs.remove_file(Path::new("/db/1")).unwrap();
    let (mut images, mut whole) = (0, 0);
    for moment in fs.take_moments() {
        for policy in moment.fs.crash_policies(500, 32) {
            let image = moment.fs.image(&policy);
            let is_whole = |path: &str, len| {
                image.metadata(Path::new(path)).is_ok() && contents(&image, path) == vec![b'x'; len]
            };
            if moment.op + 1 >= named_since {
                assert!(is_whole("/db/2", 200_000), "{policy:?}");
                whole += 1;
            }
            images += 1;
        }
    }
    println!("{images} images, {whole} of them after the files could be named");
    assert!(whole > 2 && images > 200);
}

#[test]
fn any_failure_abandons_the_file_and_nothing_is_retried() {
    let clean = database();
    publish(&clean).unwrap();
    let mut cases = 0;
    for op in 0..clean.op_count() {
        for error in OsError::ALL {
            for fault in [FaultKind::Error(error), FaultKind::ErrorWhenDone(error)] {
                for times in [1, 3, u64::MAX] {
                    let fs = database();
                    fs.inject(Fault::at(op, fault).times(times));
                    let outcome = publish(&fs);
                    let kind = clean.trace()[usize::try_from(op).unwrap()].kind;
                    // An interrupted write is taken up again, and nothing else is.
                    let survives =
                        kind == OpKind::Write && error == OsError::Interrupted && times < u64::MAX;
                    assert_eq!(outcome.is_ok(), survives, "{op} {kind:?} {error:?} {outcome:?}");
                    assert_eq!(fs.violations(), Violations::default(), "{}", fs.trace_text(20));
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 400);
}

#[test]
fn an_abandoned_file_stays_abandoned_though_the_disk_recovers() {
    let fs = SimFs::new(0);
    fs.inject(Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)));
    let mut file = NewFile::create(&fs, "/a").unwrap();
    file.write_all(b"1").unwrap();
    assert!(file.sync().is_err() && file.is_abandoned());
    let ops = fs.op_count();
    for err in [file.write(b"2").unwrap_err(), file.flush().unwrap_err(), file.sync().unwrap_err()]
    {
        assert!(Abandoned::is(&err));
        assert!(err.to_string().starts_with("/a was abandoned"), "{err}");
    }
    assert!(Abandoned::is(&file.finish().unwrap_err()));
    assert_eq!(fs.op_count(), ops, "the disk is not asked again");
}

#[test]
fn a_new_directory_is_durable_with_all_above_it() {
    let fs = SimFs::new(0);
    create_dir_synced(&fs, Path::new("a/b/c")).unwrap();
    assert_eq!(state(&fs.image(&CrashPolicy::LoseAll)), "a/ a/b/ a/b/c/");
    fs.create_dir(Path::new("a/b/d")).unwrap();
    create_dir_synced(&fs, Path::new("a/b/d")).unwrap();
    assert_eq!(state(&fs.image(&CrashPolicy::LoseAll)), "a/ a/b/ a/b/c/ a/b/d/");
}

// Independent books on bytes: what may stand where in a file whose name is durable.

/// What a crash may leave of one file, by the rules and not by the simulator's log.
#[derive(Clone, Debug, Default)]
struct ByteBooks {
    visible: Vec<u8>,
    /// What may stand at each offset.
    bytes: Vec<BTreeSet<u8>>,
    /// How long the file may be.
    lens: BTreeSet<usize>,
    /// From here on the file was lengthened: recycled blocks may show.
    fresh_from: usize,
    /// A sync failed: nothing that was unsynced then becomes certain any more.
    sync_failed: bool,
}

impl ByteBooks {
    fn synced(visible: Vec<u8>) -> Self {
        Self {
            bytes: visible.iter().map(|&byte| [byte].into()).collect(),
            lens: [visible.len()].into(),
            fresh_from: visible.len(),
            visible,
            sync_failed: false,
        }
    }

    fn note(&mut self, at: usize, byte: u8) {
        if self.bytes.len() <= at {
            self.bytes.resize_with(at + 1, BTreeSet::new);
        }
        self.bytes[at].insert(byte);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        // A gap and a lost part read as zero.
        for zero in self.fresh_from.min(at)..end {
            if zero >= self.fresh_from {
                self.note(zero, 0);
            }
        }
        for (i, &byte) in bytes.iter().enumerate() {
            self.note(at + i, byte);
        }
        if self.visible.len() < end {
            self.visible.resize(end, 0);
        }
        self.visible[at..end].copy_from_slice(bytes);
        self.lens.insert(end);
        self.lens.extend((at + 1..end).filter(|cut| cut % SECTOR_LEN == 0));
    }

    fn set_len(&mut self, len: usize) {
        for at in len.min(self.fresh_from)..len.max(self.visible.len()).max(self.bytes.len()) {
            self.note(at, 0);
        }
        self.fresh_from = self.fresh_from.min(len);
        self.visible.resize(len, 0);
        self.lens.insert(len);
    }

    fn grow(&mut self, len: usize) {
        if len > self.visible.len() {
            self.visible.resize(len, 0);
        }
        for at in self.fresh_from..len {
            self.note(at, 0);
        }
        self.lens.insert(len);
    }

    fn punch(&mut self, at: usize, len: usize) {
        for zero in at..(at + len).min(self.bytes.len().max(self.visible.len())) {
            self.note(zero, 0);
            if let Some(byte) = self.visible.get_mut(zero) {
                *byte = 0;
            }
        }
    }

    fn sync(&mut self) {
        if !self.sync_failed {
            *self = Self::synced(std::mem::take(&mut self.visible));
        }
    }

    fn fail_sync(&mut self) {
        self.sync_failed = true;
    }

    fn check(&self, found: &[u8]) -> Result<(), String> {
        // Each length that was ever set is a lower bound only together with what is kept of others,
        // so the found one must be among those that some step ended with.
        if !self.lens.contains(&found.len()) {
            return Err(format!("length {} is none of {:?}", found.len(), self.lens));
        }
        for (at, byte) in found.iter().enumerate() {
            let possible = self.bytes.get(at).is_some_and(|bytes| bytes.contains(byte));
            if !possible && at < self.fresh_from {
                return Err(format!("byte {at} is {byte:#04x}, not of {:?}", self.bytes.get(at)));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Grow(usize),
    Punch(usize, usize),
    Sync,
    FailedSync,
}

/// Does `change` to the file and to the books.
fn apply(change: &Change, fs: &SimFs, file: &dyn File, books: &mut ByteBooks) {
    match change {
        Change::Write(at, bytes) => {
            file.write_all_at(bytes, *at as u64).unwrap();
            books.write(*at, bytes);
        }
        Change::SetLen(len) => {
            file.set_len(*len as u64).unwrap();
            books.set_len(*len);
        }
        Change::Grow(len) => {
            file.allocate(0, *len as u64).unwrap();
            books.grow(*len);
        }
        Change::Punch(at, len) => {
            file.punch_hole(*at as u64, *len as u64).unwrap();
            books.punch(*at, *len);
        }
        Change::Sync => {
            file.sync_data().unwrap();
            books.sync();
        }
        Change::FailedSync => {
            fs.inject(Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)));
            file.sync_data().unwrap_err();
            books.fail_sync();
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    workloads: u64,
    images: u64,
    distinct: BTreeSet<u64>,
}

/// Runs the changes on a file whose name is durable, and checks every image after each of them.
fn check_bytes(
    start: &[u8],
    changes: &[Change],
    random: usize,
    counts: &mut Counts,
) -> Result<(), String> {
    let fs = SimFs::new(changes.len() as u64);
    let file = fs.create(Path::new("/a")).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let mut books = ByteBooks::synced(start.to_vec());
    counts.workloads += 1;
    for change in changes {
        apply(change, &fs, &*file, &mut books);
        if !books.sync_failed && contents(&fs, "/a") != books.visible {
            return Err("reads do not show what was written".into());
        }
        for policy in fs.crash_policies(usize::MAX, random) {
            let image = fs.image(&policy);
            let found = contents(&image, "/a");
            books.check(&found).map_err(|why| format!("{policy:?}: {why}"))?;
            if policy == CrashPolicy::KeepAll && found != books.visible {
                return Err("with everything kept, the disk is not what was visible".into());
            }
            counts.images += 1;
            counts.distinct.insert(image.fingerprint());
            let file = image.open(Path::new("/a"), Access::ReadWrite).unwrap();
            file.set_len(found.len() as u64 + 600).unwrap();
            if read_up_to(&*file, found.len() as u64, 600).unwrap() != [0; 600] {
                return Err(format!("{policy:?}: what a file is lengthened with is not zero"));
            }
        }
    }
    Ok(())
}

#[test]
fn all_short_sequences_of_changes_keep_the_rules() {
    let changes = [
        Change::Write(0, vec![b'1'; 700]),
        Change::Write(300, vec![b'2'; 300]),
        Change::Write(1000, vec![b'3'; 600]),
        Change::SetLen(100),
        Change::SetLen(1400),
        Change::Grow(1200),
        Change::Punch(200, 500),
        Change::Sync,
        Change::FailedSync,
    ];
    let mut counts = Counts::default();
    for start in [&[][..], &[b's'; 900]] {
        for first in &changes {
            for second in &changes {
                for third in &changes {
                    let sequence = [first.clone(), second.clone(), third.clone()];
                    if let Err(why) = check_bytes(start, &sequence, 6, &mut counts) {
                        panic!("{} bytes, {sequence:?}: {why}", start.len());
                    }
                }
            }
        }
    }
    let Counts { workloads, images, distinct } = counts;
    println!("{workloads} workloads, {images} images, {} distinct", distinct.len());
    assert!(workloads == 1458 && images > 50_000 && distinct.len() > 500);
}

fn change() -> impl Strategy<Value = Change> {
    let at = || prop_oneof![0usize..40, 500usize..530, 1000usize..5000];
    let bytes = (any::<u8>(), prop_oneof![1usize..50, 400usize..1200]);
    prop_oneof![
        6 => (at(), bytes).prop_map(|(at, (byte, len))| Change::Write(at, vec![byte; len])),
        2 => at().prop_map(Change::SetLen),
        1 => at().prop_map(Change::Grow),
        1 => (at(), 0usize..2000).prop_map(|(at, len)| Change::Punch(at, len)),
        2 => Just(Change::Sync),
        1 => Just(Change::FailedSync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_of_bytes_keep_the_rules(changes in vec(change(), 1..14)) {
        let checked = check_bytes(b"start", &changes, 8, &mut Counts::default());
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }
}

// Independent books on names: files are told apart by what they hold, which is synced at once.

/// The history of one name since its directory was last synced: what it stood for, and which
/// directory's sync makes that durable. The first state is durable.
type History = Vec<(Option<u8>, &'static str)>;

#[derive(Debug)]
struct NameBooks {
    slots: BTreeMap<String, History>,
    /// Files that have had two names, or lost one otherwise than by being renamed.
    uncountable: BTreeSet<u8>,
    /// Files that have not had a durable name yet.
    unborn: BTreeSet<u8>,
    next: u8,
}

fn dir_of(path: &str) -> &'static str {
    if path.starts_with("/d/") { "/d" } else { "/" }
}

impl NameBooks {
    fn now(&self, path: &str) -> Option<u8> {
        self.slots.get(path).and_then(|history| history.last()).and_then(|(file, _)| *file)
    }

    fn set(&mut self, path: &str, file: Option<u8>, home: &'static str) {
        if let Some(replaced) = self.now(path).filter(|_| file.is_some() || home == dir_of(path)) {
            // Renamed away is not lost; `rename` takes the mark back.
            self.uncountable.insert(replaced);
        }
        self.slots.entry(path.into()).or_insert_with(|| vec![(None, "")]).push((file, home));
    }

    fn sync(&mut self, dir: &str) {
        for history in self.slots.values_mut() {
            if let Some(last) = history.iter().rposition(|(_, home)| *home == dir) {
                history.drain(..last);
                if let Some(file) = history[0].0 {
                    self.unborn.remove(&file);
                }
            }
        }
    }

    fn check(&self, image: &SimFs) -> Result<(), String> {
        let mut names: BTreeMap<u8, usize> = BTreeMap::new();
        for (path, history) in &self.slots {
            let found = image.metadata(Path::new(path)).is_ok().then(|| contents(image, path)[0]);
            if !history.iter().any(|(file, _)| *file == found) {
                return Err(format!("{path} is {found:?}, and was only {history:?}"));
            }
            if let Some(file) = found {
                *names.entry(file).or_default() += 1;
            }
        }
        for file in (0..self.next).filter(|file| !self.uncountable.contains(file)) {
            match names.get(&file).copied().unwrap_or(0) {
                0 if !self.unborn.contains(&file) => {
                    return Err(format!("file {file} lost its name"));
                }
                0 | 1 => {}
                many => return Err(format!("file {file} has {many} names")),
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(&'static str),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    Link(&'static str, &'static str),
    SyncDir(&'static str),
}

fn apply_name_change(change: &NameChange, fs: &SimFs, books: &mut NameBooks) {
    match *change {
        NameChange::Create(path) => {
            let Ok(file) = fs.create(Path::new(path)) else { return };
            file.write_all_at(&[books.next], 0).unwrap();
            file.sync_data().unwrap();
            books.set(path, Some(books.next), dir_of(path));
            books.unborn.insert(books.next);
            books.next += 1;
        }
        NameChange::Remove(path) => {
            if fs.remove_file(Path::new(path)).is_ok() {
                books.set(path, None, dir_of(path));
            }
        }
        NameChange::Rename(from, to) => {
            let moved = books.now(from);
            if fs.rename(Path::new(from), Path::new(to)).is_err() || moved == books.now(to) {
                return;
            }
            let counted = moved.filter(|file| !books.uncountable.contains(file));
            books.set(to, moved, dir_of(to));
            books.set(from, None, dir_of(to));
            if let Some(file) = counted {
                books.uncountable.remove(&file);
            }
        }
        NameChange::Link(from, to) => {
            if fs.hard_link(Path::new(from), Path::new(to)).is_ok() {
                let file = books.now(from);
                books.set(to, file, dir_of(to));
                books.uncountable.extend(file);
            }
        }
        NameChange::SyncDir(dir) => {
            fs.sync_dir(Path::new(dir)).unwrap();
            books.sync(dir);
        }
    }
}

fn check_names(changes: &[NameChange], random: usize, counts: &mut Counts) -> Result<(), String> {
    let fs = SimFs::new(changes.len() as u64);
    create_dir_synced(&fs, Path::new("/d")).unwrap();
    let mut books = NameBooks {
        slots: BTreeMap::new(),
        uncountable: BTreeSet::new(),
        unborn: BTreeSet::new(),
        next: 0,
    };
    let start = [NameChange::Create("/a"), NameChange::Create("/b"), NameChange::SyncDir("/")];
    for change in &start {
        apply_name_change(change, &fs, &mut books);
    }
    counts.workloads += 1;
    for change in changes {
        apply_name_change(change, &fs, &mut books);
        for policy in fs.crash_policies(usize::MAX, random) {
            let image = fs.image(&policy);
            books.check(&image).map_err(|why| format!("{policy:?}: {why}"))?;
            if policy == CrashPolicy::KeepAll && state(&image) != state(&fs) {
                return Err("with everything kept, the disk is not what was visible".into());
            }
            counts.images += 1;
            counts.distinct.insert(image.fingerprint());
        }
    }
    Ok(())
}

const NAME_CHANGES: [NameChange; 13] = [
    NameChange::Create("/c"),
    NameChange::Create("/a"),
    NameChange::Create("/d/a"),
    NameChange::Remove("/a"),
    NameChange::Remove("/c"),
    NameChange::Rename("/a", "/b"),
    NameChange::Rename("/a", "/c"),
    NameChange::Rename("/c", "/d/a"),
    NameChange::Rename("/d/a", "/a"),
    NameChange::Rename("/b", "/a"),
    NameChange::Link("/b", "/c"),
    NameChange::SyncDir("/"),
    NameChange::SyncDir("/d"),
];

#[test]
fn all_short_sequences_of_name_changes_keep_the_rules() {
    let mut counts = Counts::default();
    let mut sequence = Vec::new();
    extend_and_check(&mut sequence, 4, &mut counts);
    let Counts { workloads, images, distinct } = counts;
    println!("{workloads} workloads, {images} images, {} distinct", distinct.len());
    assert!(workloads == 13 * 13 * 13 * 13 && images > 1_000_000 && distinct.len() > 200);
}

fn extend_and_check(sequence: &mut Vec<NameChange>, depth: usize, counts: &mut Counts) {
    if depth == 0 {
        if let Err(why) = check_names(sequence, 0, counts) {
            panic!("{sequence:?}: {why}");
        }
        return;
    }
    for change in NAME_CHANGES {
        sequence.push(change);
        extend_and_check(sequence, depth - 1, counts);
        sequence.pop();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_of_names_keep_the_rules(
        changes in vec(select(NAME_CHANGES.to_vec()), 1..20),
    ) {
        let checked = check_names(&changes, 8, &mut Counts::default());
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }
}

// How fast.

#[test]
fn images_of_a_small_store_are_cheap() {
    let fs = SimFs::new(1);
    create_dir_synced(&fs, Path::new("/db")).unwrap();
    for i in 0..40 {
        let mut file = NewFile::create(&fs, format!("/db/{i:06}.sst")).unwrap();
        file.write_all(&[7; 16 << 10]).unwrap();
        sync_dirs(&fs, vec![file.finish().unwrap()]).unwrap();
    }
    let log = fs.create(Path::new("/db/log")).unwrap();
    fs.sync_dir(Path::new("/db")).unwrap();
    for i in 0..20 {
        log.write_all_at(&[8; 300], i * 300).unwrap();
    }
    drop(fs.create(Path::new("/db/next")).unwrap());
    let start = Instant::now();
    let (mut images, mut files) = (0u32, 0);
    let policies: Vec<_> = fs.crash_policies(10_000, 2_000).collect();
    for policy in &policies {
        let image = fs.image(policy);
        files += image.list(Path::new("/db")).unwrap().len();
        images += 1;
    }
    let elapsed = start.elapsed();
    println!("{images} images in {elapsed:?}, {:?} each", elapsed / images);
    let start = Instant::now();
    let distinct: BTreeSet<u64> =
        policies.iter().map(|policy| fs.image(policy).fingerprint()).collect();
    println!("{} distinct, with fingerprints {:?} each", distinct.len(), start.elapsed() / images);
    assert!(files >= images as usize * 41 && distinct.len() > 1_000);
    // 100,000 a minute are 600 µs each; leave room for a busy machine.
    assert!(elapsed.as_micros() / u128::from(images) < 2_000, "{elapsed:?}");
}
