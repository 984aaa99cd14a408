use std::{
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{File, FileSynced, Fs, sync_behind::SyncBehind};

/// Bytes that are given to the system at once, from a multiple of it on: where a write begins or ends within
/// a page, the system fills the rest of the page with zeros first.
const BUF_LEN: usize = 128 << 10;

/// A file being written, front to back, once.
///
/// The first write or sync that fails *abandons* the file: every later call fails with [`Abandoned`]
/// inside, so that nothing is appended behind damage and no failed sync is tried again. What to do
/// with the file on disk is the owner's business; dropping a `NewFile` removes nothing and writes
/// nothing.
///
/// ```
/// use std::{io::Write, path::Path};
/// use stratal_fs::{Fs, MemFs, NewFile};
///
/// let fs = MemFs::with_capacity(100);
/// let mut file = NewFile::create(&fs, "/a")?;
/// file.write_all(&[1; 90])?;
/// assert_eq!(file.len(), 90);
/// file.write_all(&[2; 20])?;              // still in the buffer
/// assert!(file.flush().is_err());         // 10 bytes too many
/// assert!(file.is_abandoned());
/// assert!(file.finish().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    file: Arc<dyn File>,
    path: PathBuf,
    buf: Vec<u8>,
    /// Bytes given to the system, which are those before `buf`.
    written: u64,
    /// The sync that is under way, or was the last.
    behind: Option<Arc<SyncBehind>>,
    abandoned: Option<io::ErrorKind>,
}

/// The error of every use of a [`NewFile`] after one failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} was abandoned after an error ({cause})", path.display())]
pub struct Abandoned {
    /// The file.
    pub path: PathBuf,
    /// What sort of error came first.
    pub cause: io::ErrorKind,
}

impl Abandoned {
    /// Whether `err` says that a file had been abandoned before.
    pub fn is(err: &io::Error) -> bool {
        err.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Self>)
    }
}

impl NewFile {
    /// Creates the file, which must not exist.
    pub fn create(fs: &dyn Fs, path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = Arc::from(fs.create(&path)?);
        Ok(Self { file, path, buf: Vec::new(), written: 0, behind: None, abandoned: None })
    }

    /// Bytes accepted so far, buffered ones among them: where the next byte will stand.
    pub fn len(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    /// Whether no byte has been accepted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an error has ended this file.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.is_some()
    }

    /// Makes what was accepted so far durable, but not the file's name.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.attempt(|this| {
            this.end_sync()?;
            this.file.sync_data()
        })
    }

    /// Begins to make what the system was given so far durable, as a job that `spawn` runs on another
    /// thread, and does not wait for it: so that [`finish`](Self::finish) has less left to wait for. If
    /// the job begun before is still at work, nothing happens. A job that is dropped, or is not begun
    /// by the time that the file is finished, was for nothing and does no harm.
    ///
    /// # Errors
    ///
    /// That of the job begun before, which abandons the file.
    pub fn sync_behind(&mut self, spawn: &dyn Fn(Box<dyn FnOnce() + Send>)) -> io::Result<()> {
        self.attempt(|this| {
            match this.behind.as_ref().map(|behind| behind.outcome()) {
                Some(None) => return Ok(()),
                Some(Some(outcome)) => outcome?,
                None => {}
            }
            this.behind = Some(SyncBehind::begin(&this.file, spawn));
            Ok(())
        })
    }

    /// Ends the sync that is under way, and says what came of the last.
    fn end_sync(&mut self) -> io::Result<()> {
        Ok(self.behind.take().map_or(Ok(()), |behind| behind.end())?)
    }

    /// Writes what is buffered, and makes the file durable, but not its name.
    pub fn finish(mut self) -> io::Result<FileSynced> {
        self.flush()?;
        self.attempt(|this| {
            this.end_sync()?;
            this.file.sync_all()
        })?;
        Ok(FileSynced::new(self.path, self.written))
    }

    /// Runs a step of which a failure ends the file.
    fn attempt<T>(&mut self, step: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if let Some(cause) = self.abandoned {
            return Err(io::Error::other(Abandoned { path: self.path.clone(), cause }));
        }
        step(self).inspect_err(|err| self.abandoned = Some(err.kind()))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn append_buf(&mut self) -> io::Result<()> {
        let mut buf = std::mem::take(&mut self.buf);
        self.append(&buf)?;
        buf.clear();
        self.buf = buf;
        Ok(())
    }
}

impl Write for NewFile {
    /// Accepts all of `bytes`, or abandons the file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|this| {
            let mut rest = bytes;
            // What a flush wrote may end anywhere.
            let over = usize::try_from(this.written % BUF_LEN as u64).unwrap_or(0);
            let mut room = BUF_LEN.saturating_sub(over + this.buf.len());
            while let Some((piece, behind)) = rest.split_at_checked(room) {
                if this.buf.is_empty() {
                    this.append(piece)?;
                } else {
                    this.buf.extend_from_slice(piece);
                    this.append_buf()?;
                }
                (rest, room) = (behind, BUF_LEN);
            }
            this.buf.extend_from_slice(rest);
            Ok(bytes.len())
        })
    }

    /// Gives what is buffered to the system. Makes nothing durable.
    fn flush(&mut self) -> io::Result<()> {
        self.attempt(Self::append_buf)
    }
}
