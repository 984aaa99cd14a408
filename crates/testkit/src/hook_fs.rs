use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_fs::{Access, DirEntry, File, Fs, Hint, Lock, LockMode, Metadata};

type Hook = Arc<dyn Fn(&Path, FileEvent) -> io::Result<()> + Send + Sync>;

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// It is about to be opened, or created. An error is what that fails with.
    Opening,
    /// A handle of it is closed, or could not be opened.
    Closed,
    /// Its data has been synced.
    Synced,
}

/// A file system that tells when a file has been synced, on the thread that syncs it and before it
/// goes on: what happens during a sync can be made to happen there. It tells of files that are opened
/// and closed too, to who [asks for it](Self::watched).
///
/// Everything is done by the file system inside.
///
/// ```
/// use std::{path::Path, sync::{Arc, Mutex}};
/// use stratal_fs::{Fs, MemFs};
/// use stratal_testkit::HookFs;
///
/// let synced = Arc::new(Mutex::new(Vec::new()));
/// let note = Arc::clone(&synced);
/// let fs = HookFs::new(Arc::new(MemFs::new()), move |path| note.lock().unwrap().push(path.to_owned()));
/// fs.create(Path::new("/a"))?.sync_data()?;
/// assert_eq!(*synced.lock().unwrap(), [Path::new("/a")]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct HookFs {
    inner: Arc<dyn Fs>,
    hook: Hook,
}

struct HookFile {
    /// `None` while it is closed.
    inner: Option<Box<dyn File>>,
    path: PathBuf,
    hook: Hook,
}

impl HookFs {
    /// Wraps `inner`; `hook` is given the path of each file whose data has been synced.
    pub fn new(inner: Arc<dyn Fs>, hook: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        Self::watched(inner, move |path, event| {
            if event == FileEvent::Synced {
                hook(path);
            }
            Ok(())
        })
    }

    /// Wraps `inner`; `hook` is given every event and the path of its file. Its errors count only where
    /// [`FileEvent`] says so.
    pub fn watched(
        inner: Arc<dyn Fs>,
        hook: impl Fn(&Path, FileEvent) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }

    fn wrap(
        &self,
        path: &Path,
        open: impl FnOnce(&dyn Fs) -> io::Result<Box<dyn File>>,
    ) -> io::Result<Box<dyn File>> {
        (self.hook)(path, FileEvent::Opening)?;
        let mut file =
            HookFile { inner: None, path: path.to_owned(), hook: Arc::clone(&self.hook) };
        file.inner = Some(open(self.inner.as_ref())?);
        Ok(Box::new(file))
    }
}

impl fmt::Debug for HookFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFs").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFile").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Fs for HookFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, |fs| fs.create(path))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.wrap(path, |fs| fs.open(path, access))
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

impl HookFile {
    fn file(&self) -> &dyn File {
        match &self.inner {
            Some(file) => file.as_ref(),
            None => unreachable!("nobody has it before it is open"),
        }
    }

    fn tell(&self, event: FileEvent) {
        drop((self.hook)(&self.path, event));
    }
}

impl Drop for HookFile {
    fn drop(&mut self) {
        self.inner = None;
        self.tell(FileEvent::Closed);
    }
}

impl File for HookFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file().read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file().write_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file().len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file().set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file().sync_data()?;
        self.tell(FileEvent::Synced);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file().sync_all()?;
        self.tell(FileEvent::Synced);
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file().allocate(offset, len)
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file().punch_hole(offset, len)
    }

    fn hint(&self, hint: Hint) {
        self.file().hint(hint);
    }
}
