//! What is written while a flush syncs the log is not flushed with it: the sync does not cover it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex},
};

use common::small;
use stratal::{Durability, KeyspaceOptions};
use stratal_fs::{Access, CrashPolicy, DirEntry, File, Fs, Hint, Lock, LockMode, Metadata, SimFs};

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Calls the hook, once, when the data of a log segment has been synced.
#[derive(Clone)]
struct HookFs {
    fs: SimFs,
    hook: Hook,
}

struct HookFile {
    file: Box<dyn File>,
    hook: Option<Hook>,
}

impl fmt::Debug for HookFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fs.fmt(f)
    }
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Fs for HookFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let is_log = path.to_string_lossy().contains("wal-");
        let hook = is_log.then(|| Arc::clone(&self.hook));
        Ok(Box::new(HookFile { file: self.fs.create(path)?, hook }))
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.fs.open(path, access)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.list(dir)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.fs.metadata(path)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.fs.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.remove_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir)
    }
    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.fs.available_space(path)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        self.fs.lock(path, mode)
    }
}

impl File for HookFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let hook = self.hook.as_ref().and_then(|hook| hook.lock().unwrap().take());
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.punch_hole(offset, len)
    }
    fn hint(&self, hint: Hint) {
        self.file.hint(hint);
    }
}

#[test]
fn a_memtable_that_fills_while_the_log_is_synced_waits_for_the_next_flush() {
    let sim = SimFs::new(1);
    let hook = Hook::default();
    let fs = HookFs { fs: sim.clone(), hook: Arc::clone(&hook) };
    let db = small(Arc::new(fs)).wal_segment_len(1 << 20).open().unwrap();
    let busy = db.open_keyspace("default").unwrap();
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    let fill = {
        let (db, busy) = (db.clone(), busy.clone());
        move |from: u8| {
            for i in from..from + 40 {
                let mut batch = db.batch();
                batch.durability(Durability::Memory).put(&busy, [i], [i; 100]).commit().unwrap();
            }
        }
    };
    fill(0);
    assert!(busy.stats().sealed > 0);
    *hook.lock().unwrap() = Some(Box::new({
        let (db, other, fill) = (db.clone(), other.clone(), fill.clone());
        move || {
            let mut batch = db.batch();
            batch.durability(Durability::Memory).put(&other, "first", "1").commit().unwrap();
            fill(100);
        }
    }));
    assert!(db.step().unwrap());
    assert!(hook.lock().unwrap().is_none(), "the flush synced the log");
    assert!(busy.stats().levels[0].tables > 0);

    let found = small(Arc::new(sim.image(&CrashPolicy::LoseAll))).open().unwrap();
    let later = found.open_keyspace("default").unwrap().range([100u8]..).unwrap().count();
    let first = found.open_keyspace("other").unwrap().get("first").unwrap();
    assert!(later == 0 || first.is_some(), "{later} rows, and what came before them is lost");
    // Nothing holds it up for ever.
    fill(200);
    while db.step().unwrap() {}
    assert_eq!(busy.stats().sealed, 0);
    assert_eq!(busy.range::<&[u8]>(..).unwrap().count(), 120);
}
