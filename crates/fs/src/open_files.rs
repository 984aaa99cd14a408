use std::{
    error::Error,
    fmt,
    io,
    path::{Path, PathBuf},
    // Not from `types::sync`: that of a model checker holds no trait objects.
    sync::Arc,
};

use rustix::io::Errno;

use crate::{
    Access, File, Fs,
    handles::{Place, Pool, Slot},
};

/// Lets at most so many files be open at once: those that are read through [`ReopenedFile`], and those
/// for which a [place is held](Self::hold).
///
/// When one more is wanted, the file that was not read for longest is closed, and is opened again when
/// it is read. If every open file is being read at that moment, the next one waits until one of those
/// reads is done. Also a system that refuses to open more files has some of these closed.
///
/// Shared by clones, from any thread.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use stratal_fs::{Fs, MemFs, OpenFiles, ReopenedFile};
///
/// let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
/// let names = ["/a", "/b", "/c"];
/// for name in names {
///     fs.create(Path::new(name))?.write_all_at(name.as_bytes(), 0)?;
/// }
/// let open = OpenFiles::new(2);
/// let files: Vec<_> =
///     names.iter().map(|name| ReopenedFile::open(&open, &fs, name, 2)).collect::<Result<_, _>>()?;
/// assert_eq!(open.stats().open, 2);
///
/// let mut name = [0; 2];
/// files[0].read(|file| file.read_exact_at(&mut name, 0))?;
/// assert_eq!((&name, open.stats().reopened), (b"/a", 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenFiles {
    pool: Arc<Pool<Box<dyn File>>>,
}

/// What [`OpenFiles`] have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFileStats {
    /// Most files that may be open; 0 for any number.
    pub max: usize,
    /// Files that are open now, or about to be.
    pub open: usize,
    /// How often a file was opened.
    pub opened: u64,
    /// How often that was one which had been closed for others.
    pub reopened: u64,
}

/// One of the files that may be open, held for a file that is opened otherwise, until this goes.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct HeldPlace {
    _place: Place<Box<dyn File>>,
}

impl OpenFiles {
    /// A number that suits most: 1000.
    pub const MAX_DEFAULT: usize = 1000;

    /// At most `max` files, 0 for any number.
    pub fn new(max: usize) -> Self {
        Self { pool: Pool::new(max) }
    }

    /// Most files that may be open; 0 for any number.
    pub fn max(&self) -> usize {
        self.stats().max
    }

    /// Lets at most `max` files be open from now on, 0 for any number, and closes those that are too
    /// many. One that is being read is closed when that is done.
    pub fn set_max(&self, max: usize) {
        self.pool.set_max(max);
    }

    /// Takes a place for a file that the caller opens by itself, and keeps open for as long as it likes:
    /// one that is written. To be called before it is opened.
    ///
    /// Places that are held are not waited for. If they are all there may be, one more file may be open,
    /// so that reading always goes on.
    pub fn hold(&self) -> HeldPlace {
        HeldPlace { _place: self.pool.hold() }
    }

    /// How many files the system lets this process have open, of any sort; `None` for any number. What
    /// else is open counts too: leave room.
    pub fn system_max() -> Option<usize> {
        let max = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        Some(usize::try_from(max).unwrap_or(usize::MAX))
    }

    /// What is open, and what was done.
    pub fn stats(&self) -> OpenFileStats {
        let counts = self.pool.counts();
        OpenFileStats {
            max: counts.max,
            open: counts.taken,
            opened: counts.opened,
            reopened: counts.reopened,
        }
    }
}

/// [`OpenFiles::MAX_DEFAULT`].
impl Default for OpenFiles {
    fn default() -> Self {
        Self::new(Self::MAX_DEFAULT)
    }
}

/// A file for reading that is open only while [`OpenFiles`] have room for it.
///
/// Its name must stay until this goes, and the file must not change: it is recognised by its length and
/// its first bytes whenever it is opened again.
#[derive(Debug)]
pub struct ReopenedFile {
    slot: Slot<Box<dyn File>>,
    open: OpenFiles,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    len: u64,
    head: Vec<u8>,
}

impl ReopenedFile {
    /// Opens a file that exists. It will be known again by its first `head_len` bytes, or fewer if it is
    /// shorter.
    ///
    /// # Errors
    ///
    /// Those of [`Fs::open`], and of reading the head.
    pub fn open(
        open: &OpenFiles,
        fs: &Arc<dyn Fs>,
        path: impl Into<PathBuf>,
        head_len: usize,
    ) -> io::Result<Self> {
        let mut file = Self {
            slot: Slot::new(&open.pool),
            open: open.clone(),
            fs: Arc::clone(fs),
            path: path.into(),
            len: 0,
            head: Vec::new(),
        };
        let (mut len, mut head) = (0, Vec::new());
        file.slot.get(|_| {
            let opened = file.open_anew()?;
            len = opened.len()?;
            head = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(head_len)];
            opened.read_exact_at(&mut head, 0)?;
            Ok::<_, io::Error>(opened)
        })?;
        (file.len, file.head) = (len, head);
        Ok(file)
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does `read` with the file, which is opened if it is not. It stays open until that is done, which
    /// must not depend on another file's being opened.
    ///
    /// # Errors
    ///
    /// What `read` returns, and those of [`Fs::open`] if the file has to be opened again; a
    /// [`FileReplaced`] if another file has its name then.
    pub fn read<T>(&self, read: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        let file = self.slot.get(|_| {
            let file = self.open_anew()?;
            self.recognise(file.as_ref())?;
            Ok::<_, io::Error>(file)
        })?;
        read(&***file)
    }

    fn open_anew(&self) -> io::Result<Box<dyn File>> {
        loop {
            match self.fs.open(&self.path, Access::Read) {
                // What others of this process have open cannot be helped.
                Err(error) if is_too_many(&error) && self.open.pool.close_one() => {}
                opened => return opened,
            }
        }
    }

    fn recognise(&self, file: &dyn File) -> io::Result<()> {
        let mut head = vec![0; self.head.len()];
        if file.len()? == self.len {
            file.read_exact_at(&mut head, 0)?;
            if head == self.head {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, FileReplaced))
    }
}

/// Whether the system lets the process, or all of them, open no more files.
fn is_too_many(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A file was opened again under its name, and is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileReplaced;

impl FileReplaced {
    /// Whether this is what `error` is about.
    pub fn is(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

impl fmt::Display for FileReplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file is another one than was opened before under this name")
    }
}

impl Error for FileReplaced {}
