//! A file system in memory that can fail at one operation, or let something happen there.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use stratal_fs::{Access, DirEntry, File, Fs, Hint, Lock, LockMode, MemFs, Metadata};

type Happening = Box<dyn FnOnce() + Send>;

/// What comes to pass at an operation.
pub(crate) enum Hook {
    /// It fails.
    Fail,
    /// Something is done before it.
    Call(Happening),
}

#[derive(Default)]
struct Armed {
    /// Operations to let pass, and what then comes.
    hook: Option<(u64, Hook)>,
}

/// Clones share the files and the hook.
#[derive(Clone)]
pub(crate) struct HookFs {
    inner: MemFs,
    armed: Arc<Mutex<Armed>>,
}

/// Operations that a hook counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    /// Of a table that is being written: nobody else waits for it, so anything may happen there.
    WriteTable,
    WriteOther,
}

impl HookFs {
    pub(crate) fn new() -> Self {
        Self { inner: MemFs::new(), armed: Arc::default() }
    }

    /// Lets `hook` come to pass after `operations` more: of any kind, or, if it is a call, of writing
    /// tables.
    pub(crate) fn arm(&self, operations: u64, hook: Hook) {
        self.armed.lock().unwrap().hook = Some((operations, hook));
    }

    /// Takes the hook back; `true` if it has not come to pass.
    pub(crate) fn disarm(&self) -> bool {
        self.armed.lock().unwrap().hook.take().is_some()
    }

    /// Counts an operation.
    fn pass(&self, kind: Kind) -> io::Result<()> {
        let mut armed = self.armed.lock().unwrap();
        let Some((left, hook)) = &mut armed.hook else { return Ok(()) };
        if matches!(hook, Hook::Call(_)) && kind != Kind::WriteTable {
            return Ok(());
        }
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        let hook = armed.hook.take();
        drop(armed);
        match hook {
            Some((_, Hook::Call(call))) => {
                call();
                Ok(())
            }
            _ => Err(io::Error::other("told to fail")),
        }
    }

    fn wrap(&self, path: &Path, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(HookFile { inner, fs: self.clone(), write: write_kind(path) })
    }
}

fn write_kind(path: &Path) -> Kind {
    let is_table = path.components().any(|part| part.as_os_str() == "tables");
    if is_table { Kind::WriteTable } else { Kind::WriteOther }
}

impl fmt::Debug for HookFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFs").finish_non_exhaustive()
    }
}

impl Fs for HookFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.pass(write_kind(path))?;
        Ok(self.wrap(path, self.inner.create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.pass(Kind::Read)?;
        Ok(self.wrap(path, self.inner.open(path, access)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(Kind::WriteOther)?;
        self.inner.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.pass(Kind::Read)?;
        self.inner.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.pass(Kind::Read)?;
        self.inner.metadata(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.pass(Kind::WriteOther)?;
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(Kind::WriteOther)?;
        self.inner.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Kind::WriteOther)?;
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Kind::WriteOther)?;
        self.inner.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass(write_kind(dir))?;
        self.inner.sync_dir(dir)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.inner.available_space(path)
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        self.inner.lock(path, mode)
    }
}

struct HookFile {
    inner: Box<dyn File>,
    fs: HookFs,
    write: Kind,
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl File for HookFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(Kind::Read)?;
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(self.write)?;
        self.inner.write_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.pass(self.write)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.pass(self.write)?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.fs.pass(self.write)?;
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

/// Names of the files in `dir`.
pub(crate) fn files_in(fs: &HookFs, dir: &str) -> Vec<PathBuf> {
    let entries = fs.inner.list(Path::new(dir)).expect("the directory is there");
    entries.into_iter().map(|entry| entry.name.into()).collect()
}
