use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_fs::{Access, DirEntry, File, Fs, Hint, Lock, LockMode, Metadata};

/// A file system that moves at most one byte per call, and interrupts every few calls before they
/// do anything: what the contract of [`File`] allows, and careless callers do not expect.
///
/// Everything else is done by the file system inside.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use stratal_fs::{Fs, MemFs};
/// use stratal_testkit::OneByteFs;
///
/// let fs = OneByteFs::new(Arc::new(MemFs::new()), 3);
/// let file = fs.create(Path::new("/a"))?;
/// assert_eq!(file.write_at(b"hello", 0)?, 1);
/// file.write_all_at(b"hello", 0)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OneByteFs {
    inner: Arc<dyn Fs>,
    calls: Arc<Calls>,
}

/// Reads and writes of all files so far.
#[derive(Debug)]
struct Calls {
    count: AtomicU64,
    interrupt_every: u64,
}

impl Calls {
    /// Counts one; fails if it is to be interrupted.
    fn count_one(&self) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count.checked_rem(self.interrupt_every) == Some(0) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl OneByteFs {
    /// Wraps `inner`; every `interrupt_every`-th read or write is interrupted, none if that is 0.
    ///
    /// # Panics
    ///
    /// If every single one would be.
    pub fn new(inner: Arc<dyn Fs>, interrupt_every: u64) -> Self {
        assert_ne!(interrupt_every, 1, "no read or write would ever come to an end");
        Self { inner, calls: Arc::new(Calls { count: AtomicU64::new(0), interrupt_every }) }
    }

    fn wrap(&self, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(OneByteFile { inner, calls: Arc::clone(&self.calls) })
    }
}

impl Fs for OneByteFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.wrap(self.inner.create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(self.wrap(self.inner.open(path, access)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.inner.available_space(path)
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        self.inner.lock(path, mode)
    }
}

#[derive(Debug)]
struct OneByteFile {
    inner: Box<dyn File>,
    calls: Arc<Calls>,
}

impl File for OneByteFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.calls.count_one()?;
        let len = buf.len().min(1);
        self.inner.read_at(&mut buf[..len], offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.calls.count_one()?;
        self.inner.write_at(&buf[..buf.len().min(1)], offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.allocate(offset, len)
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch_hole(offset, len)
    }

    fn hint(&self, hint: Hint) {
        self.inner.hint(hint);
    }
}
