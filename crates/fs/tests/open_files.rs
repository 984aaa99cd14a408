//! How many files are open at once, which are closed, and how they are opened again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use stratal_fs::{
    FileReplaced, Fs, MemFs, OpenFiles, ReopenedFile, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::{FileEvent, HookFs, Rng};

const HEAD_LEN: usize = 8;

/// How many files are open, and how many were at most.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
    /// What is open, in the order in which it was opened.
    names: Mutex<Vec<PathBuf>>,
    /// Above so many, opening fails as it does when a process has too many files.
    limit: AtomicUsize,
}

impl Count {
    fn note(&self, path: &Path, event: FileEvent) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        match event {
            FileEvent::Opening => {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                let limit = self.limit.load(Ordering::SeqCst);
                if limit > 0 && now > limit {
                    self.now.fetch_sub(1, Ordering::SeqCst);
                    return Err(io::Error::from_raw_os_error(EMFILE));
                }
                self.most.fetch_max(now, Ordering::SeqCst);
                names.push(path.to_owned());
            }
            FileEvent::Closed => {
                self.now.fetch_sub(1, Ordering::SeqCst);
                let at = names.iter().position(|name| name == path).unwrap();
                names.remove(at);
            }
            FileEvent::Synced => {}
        }
        Ok(())
    }

    fn names(&self) -> Vec<PathBuf> {
        self.names.lock().unwrap().clone()
    }
}

/// What Linux and the BSDs say if a process has too many files.
const EMFILE: i32 = 24;

fn name(n: usize) -> PathBuf {
    format!("/file{n:03}").into()
}

/// `files` files, each with its number in every byte, on `disk`; and a file system over it that counts.
fn counted(disk: Arc<dyn Fs>, files: usize) -> (Arc<dyn Fs>, Arc<Count>) {
    for n in 0..files {
        let file = disk.create(&name(n)).unwrap();
        file.write_all_at(&[u8::try_from(n).unwrap(); 64], 0).unwrap();
    }
    let count = Arc::new(Count::default());
    let note = Arc::clone(&count);
    let fs = HookFs::watched(disk, move |path, event| note.note(path, event));
    (Arc::new(fs), count)
}

fn open_all(open: &OpenFiles, fs: &Arc<dyn Fs>, files: usize) -> Vec<ReopenedFile> {
    (0..files).map(|n| ReopenedFile::open(open, fs, name(n), HEAD_LEN).unwrap()).collect()
}

fn read(file: &ReopenedFile) -> io::Result<u8> {
    let mut byte = [0xff];
    file.read(|file| file.read_exact_at(&mut byte, 63)).map(|()| byte[0])
}

#[test]
fn the_file_that_was_not_read_for_longest_is_closed() {
    let (fs, count) = counted(Arc::new(MemFs::new()), 5);
    let open = OpenFiles::new(3);
    let files = open_all(&open, &fs, 3);
    // Opened again and again something else, so that each use is a later one.
    let others: Vec<_> =
        (3..5).map(|n| ReopenedFile::open(&open, &fs, name(n), HEAD_LEN)).collect();
    assert_eq!(count.names(), [name(2), name(3), name(4)]);
    assert_eq!(read(&files[2]).unwrap(), 2);
    assert_eq!(read(&files[0]).unwrap(), 0);
    assert_eq!(count.names(), [name(2), name(4), name(0)], "3 was older than 2, which was read");
    assert_eq!(read(others[1].as_ref().unwrap()).unwrap(), 4);
    assert_eq!(read(&files[1]).unwrap(), 1);
    assert_eq!(count.names(), [name(4), name(0), name(1)]);
    let stats = open.stats();
    assert_eq!((stats.open, stats.opened, stats.reopened, stats.max), (3, 7, 2, 3));
    drop((files, others));
    assert_eq!((count.names(), open.stats().open), (vec![], 0));
}

#[test]
fn without_a_cap_nothing_is_closed_until_there_is_one() {
    let (fs, count) = counted(Arc::new(MemFs::new()), 20);
    let open = OpenFiles::new(0);
    let files = open_all(&open, &fs, 20);
    assert_eq!((count.names().len(), open.stats().open), (20, 20));
    open.set_max(4);
    assert_eq!(count.names(), (16..20).map(name).collect::<Vec<_>>());
    for (n, file) in files.iter().enumerate() {
        assert_eq!(usize::from(read(file).unwrap()), n);
        assert!(count.names().len() <= 4);
    }
    open.set_max(0);
    assert!(files.iter().all(|file| read(file).is_ok()));
    assert_eq!(count.names().len(), 20);
}

#[test]
fn what_is_held_counts_and_leaves_room_for_one_reader() {
    let (fs, count) = counted(Arc::new(MemFs::new()), 3);
    let open = OpenFiles::new(2);
    let files = open_all(&open, &fs, 3);
    assert_eq!(open.stats().open, 2);
    let first = open.hold();
    assert_eq!((open.stats().open, count.names()), (2, vec![name(2)]));
    let (second, third) = (open.hold(), open.hold());
    assert_eq!((open.stats().open, count.names()), (3, vec![]));
    for (n, file) in files.iter().enumerate() {
        assert_eq!(usize::from(read(file).unwrap()), n);
        assert_eq!((open.stats().open, count.names()), (4, vec![name(n)]));
    }
    drop((first, second, third));
    assert_eq!(read(&files[0]).unwrap(), 0);
    assert_eq!(count.names(), [name(2), name(0)]);
}

#[test]
fn many_threads_at_the_cap_read_what_is_there() {
    const FILES: usize = 40;
    for max in [1, 2, 5] {
        let (fs, count) = counted(Arc::new(MemFs::new()), FILES);
        let open = OpenFiles::new(max);
        let files = open_all(&open, &fs, FILES);
        let is_over = AtomicBool::new(false);
        let (files, open, is_over) = (&files, &open, &is_over);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..8)
                .map(|seed| {
                    scope.spawn(move || {
                        let mut rng = Rng::new(seed);
                        for _ in 0..2000 {
                            let n = rng.index(FILES);
                            assert_eq!(usize::from(read(&files[n]).unwrap()), n);
                        }
                    })
                })
                .collect();
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    drop(open.hold());
                    thread::yield_now();
                }
            });
            for reader in readers {
                reader.join().unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        // Whoever holds a place opens nothing here.
        assert!(count.most.load(Ordering::SeqCst) <= max, "{max}");
        assert!(open.stats().open <= max);
    }
}

#[test]
fn a_system_that_opens_no_more_files_has_others_closed() {
    let (fs, count) = counted(Arc::new(MemFs::new()), 10);
    count.limit.store(3, Ordering::SeqCst);
    let open = OpenFiles::new(0);
    let files = open_all(&open, &fs, 10);
    for (n, file) in files.iter().enumerate() {
        assert_eq!(usize::from(read(file).unwrap()), n);
    }
    assert_eq!(count.names().len(), 3);
    // Others have opened them all.
    let taken = name(9);
    let error = files[0]
        .read(|_| {
            open.set_max(1);
            open.set_max(0);
            let others = [fs.open(&taken, stratal_fs::Access::Read), fs.create(Path::new("/new"))];
            let refused = read(&files[1]);
            drop(others);
            refused
        })
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EMFILE));
    assert_eq!(read(&files[1]).unwrap(), 1);
}

#[test]
fn a_file_that_is_gone_or_another_one_is_told() {
    let disk = MemFs::new();
    let (fs, _) = counted(Arc::new(disk.clone()), 4);
    let open = OpenFiles::new(1);
    let files = open_all(&open, &fs, 4);
    // Shorter; of the same length, but it begins otherwise.
    for (n, contents) in [(0, vec![0; 63]), (1, vec![7; 64])] {
        disk.remove_file(&name(n)).unwrap();
        disk.create(&name(n)).unwrap().write_all_at(&contents, 0).unwrap();
    }
    disk.remove_file(&name(2)).unwrap();
    for file in &files[..2] {
        let error = read(file).unwrap_err();
        assert!(FileReplaced::is(&error), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    assert_eq!(read(&files[2]).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(read(&files[3]).unwrap(), 3);
    // What failed took no place.
    assert_eq!(open.stats().open, 1);
}

#[test]
fn a_fault_while_a_file_is_opened_again_is_said_and_is_over_with_it() {
    for (op, times) in [(OpKind::Open, 1), (OpKind::Read, 1), (OpKind::Read, 2)] {
        let disk = SimFs::new(1);
        let (fs, count) = counted(Arc::new(disk.clone()), 3);
        let open = OpenFiles::new(2);
        let files = open_all(&open, &fs, 3);
        disk.inject(Fault::on(op, FaultKind::Error(OsError::Io)).after(times - 1));
        assert!(read(&files[0]).is_err(), "{op:?} {times}");
        disk.clear_faults();
        assert!(count.names().len() <= 2 && open.stats().open == count.names().len());
        assert_eq!(read(&files[0]).unwrap(), 0);
        assert_eq!(count.most.load(Ordering::SeqCst), 2);
    }
}
