//! Files that are written in small pieces are like others, and keep what they were given.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    path::Path,
    process::{Command, abort},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use stratal_fs::{Access, File, Fs, Hint, MemFs, SimFs, StdFs, read_to_vec};
use stratal_testkit::{OneByteFs, Rng};
use tempfile::TempDir;

const LEN: u64 = 5 << 20;
const CHILD: &str = "STRATAL_SMALL_WRITES_IN";

/// Pieces in order from offset 0 to somewhat behind `LEN`, and now and then one elsewhere or a long one.
fn pieces(seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut rng = Rng::new(seed);
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < LEN + 10_000 {
        let len = match rng.below(40) {
            0 => 200_000,
            1 => 0,
            _ => 1 + rng.below(20_000),
        };
        let piece = rng.bytes(usize::try_from(len).unwrap());
        let elsewhere = rng.below(LEN);
        if rng.below(10) == 0 {
            pieces.push((elsewhere, piece));
        } else {
            pieces.push((at, piece));
            at += len;
        }
    }
    pieces
}

/// Writes the pieces; returns what the file holds then.
fn write(file: &dyn File, pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
    file.allocate(0, LEN).unwrap();
    file.write_all_at(b"before", 3).unwrap();
    file.hint(Hint::SmallWrites);
    let mut expected = vec![0; usize::try_from(LEN).unwrap()];
    expected[3..9].copy_from_slice(b"before");
    for (offset, piece) in pieces {
        file.write_all_at(piece, *offset).unwrap();
        let start = usize::try_from(*offset).unwrap();
        let end = start + piece.len();
        expected.resize(expected.len().max(end), 0);
        expected[start..end].copy_from_slice(piece);
    }
    expected
}

fn check(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("small");
    let file = fs.create(&path).unwrap();
    let expected = write(&*file, &pieces(1));
    let other = fs.open(&path, Access::Read).unwrap();
    for reader in [&file, &other] {
        assert!(read_to_vec(&**reader, usize::MAX).unwrap() == expected);
    }
    file.sync_data().unwrap();
    // What is cut off is gone, and what is written then is written all the same.
    file.set_len(100).unwrap();
    file.write_all_at(b"behind", 200).unwrap();
    assert_eq!(file.len().unwrap(), 206);
    drop(file);
    let found = read_to_vec(&*other, usize::MAX).unwrap();
    assert!(
        found[..100] == expected[..100] && found[100..] == [&[0; 100], &b"behind"[..]].concat()
    );
}

#[test]
fn are_in_the_file_at_once() {
    let temp = TempDir::new().unwrap();
    check(&StdFs, temp.path());
    check(&MemFs::new(), Path::new("/"));
    check(&SimFs::new(1), Path::new("/"));
    let temp = TempDir::new().unwrap();
    check(&OneByteFs::new(Arc::new(StdFs), 30_000), temp.path());
}

/// On file systems of which that is known; elsewhere there is nothing to see.
#[test]
#[cfg(target_os = "linux")]
fn go_through_memory() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("small");
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| line.contains("rw-s") && line.ends_with(path.to_str().unwrap()))
    };
    let file = StdFs.create(&path).unwrap();
    file.allocate(0, LEN).unwrap();
    file.write_all_at(b"not yet", 0).unwrap();
    assert!(!is_mapped());
    file.hint(Hint::SmallWrites);
    file.write_all_at(b"now", 7).unwrap();
    let kind = rustix::fs::statfs(temp.path()).unwrap().f_type;
    assert_eq!(is_mapped(), [0xef53, 0x5846_5342, 0x0102_1994].contains(&kind));
    file.set_len(5).unwrap();
    assert!(!is_mapped());
}

/// Whoever makes the next ones ready takes nothing back of what is written meanwhile, and the file grows.
#[test]
fn may_be_made_ready_by_another_thread() {
    const FIRST: u64 = 300_000;
    let temp = TempDir::new().unwrap();
    for seed in 0..4 {
        let file = StdFs.create(&temp.path().join(seed.to_string())).unwrap();
        file.allocate(0, FIRST).unwrap();
        file.hint(Hint::SmallWrites);
        let is_done = AtomicBool::new(false);
        let expected = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut len = FIRST;
                while !is_done.load(Ordering::Acquire) {
                    if len < LEN {
                        file.allocate(len, 300_000).unwrap();
                        len += 300_000;
                    }
                    file.hint(Hint::NextSmallWrites);
                }
            });
            let (mut rng, mut expected) = (Rng::new(seed), Vec::new());
            while expected.len() < usize::try_from(LEN).unwrap() {
                let len = usize::try_from(1 + rng.below(300)).unwrap();
                let piece = rng.bytes(len);
                file.write_all_at(&piece, expected.len() as u64).unwrap();
                expected.extend(piece);
            }
            is_done.store(true, Ordering::Release);
            expected
        });
        file.sync_data().unwrap();
        let found = read_to_vec(&*file, usize::MAX).unwrap();
        assert!(found[..expected.len()] == expected, "{seed}");
        assert!(found[expected.len()..].iter().all(|byte| *byte == 0), "{seed}");
    }
}

#[test]
fn survive_the_end_of_the_process() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let file = StdFs.create(&Path::new(&dir).join("small")).unwrap();
        write(&*file, &pieces(2));
        abort();
    }
    let temp = TempDir::new().unwrap();
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this);
    child.args(["--exact", "survive_the_end_of_the_process"]).env(CHILD, temp.path());
    assert!(!child.output().unwrap().status.success());
    let expected = write(&*MemFs::new().create(Path::new("/small")).unwrap(), &pieces(2));
    let file = StdFs.open(&temp.path().join("small"), Access::Read).unwrap();
    assert!(read_to_vec(&*file, usize::MAX).unwrap() == expected);
}
