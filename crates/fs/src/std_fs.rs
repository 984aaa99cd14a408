#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::{
    fs::{self, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use rustix::fs::{Mode, OFlags};

use crate::{
    Access, DirEntry, File, FileKind, Fs, Hint, Lock, LockMode, Metadata, ReadPart,
    small_writes::SmallWrites,
};

/// The file system of the operating system.
///
/// Durable means what `fsync` means there. Proved on Linux; `allocate`, `punch_hole` and hints do
/// nothing elsewhere, as their contracts permit.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFs;

impl Fs for StdFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(StdFile::new(file)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let write = access == Access::ReadWrite;
        let file = fs::OpenOptions::new().read(true).write(write).open(path)?;
        Ok(Box::new(StdFile::new(file)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // What a link leads to, or the link itself if that is nothing.
            let metadata = match fs::metadata(entry.path()) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => entry.metadata(),
                found => found,
            };
            match metadata {
                Ok(metadata) => {
                    let Metadata { kind, len, .. } = ours(&metadata);
                    entries.push(DirEntry { name: entry.file_name(), kind, len });
                }
                // Removed since the directory was read.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(ours(&fs::metadata(path)?))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A file in the directory's place must not pass for one.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::File::from(rustix::fs::open(dir, flags, Mode::empty())?).sync_all()
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        let file = open_to_lock(path, mode)?;
        let taken = match mode {
            LockMode::Shared => file.try_lock_shared(),
            LockMode::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(Box::new(StdLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }
}

/// A shared lock needs no permission to write where the file exists already.
fn open_to_lock(path: &Path, mode: LockMode) -> io::Result<fs::File> {
    if mode == LockMode::Shared {
        match fs::File::open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn ours(metadata: &fs::Metadata) -> Metadata {
    if metadata.is_file() {
        Metadata { kind: FileKind::File, len: metadata.len(), links: metadata.nlink() }
    } else {
        let kind = if metadata.is_dir() { FileKind::Dir } else { FileKind::Other };
        Metadata { kind, len: 0, links: 1 }
    }
}

/// The lock is the open file's: closing releases it.
#[derive(Debug)]
struct StdLock {
    _file: fs::File,
}

impl Lock for StdLock {}

#[derive(Debug)]
struct StdFile {
    file: fs::File,
    small_writes: SmallWrites,
}

impl StdFile {
    fn new(file: fs::File) -> Self {
        Self { file, small_writes: SmallWrites::default() }
    }
}

impl File for StdFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    /// Reads one after the other wait for the device as often. Hence what is in memory is taken
    /// first, and the device is asked for everything else before it is waited for.
    fn read_exact_each(&self, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        if parts.len() > 1 {
            for part in &mut *parts {
                let len = space::read_from_memory(&self.file, part.buf, part.offset);
                part.skip(len)?;
                if !part.buf.is_empty() {
                    space::fetch(&self.file, part.offset, part.buf.len());
                }
            }
        }
        parts.iter_mut().try_for_each(|part| self.read_exact_at(part.buf, part.offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        match self.small_writes.write(buf, offset) {
            0 => self.file.write_at(buf, offset),
            written => Ok(written),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.small_writes.end();
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.small_writes.let_go();
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.small_writes.let_go();
        self.file.sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        space::allocate(&self.file, offset, len)?;
        self.small_writes.note_len(&self.file);
        Ok(())
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.small_writes.end();
        space::punch_hole(&self.file, offset, len)
    }

    fn hint(&self, hint: Hint) {
        match hint {
            Hint::SmallWrites => self.small_writes.begin(&self.file),
            Hint::NextSmallWrites => self.small_writes.get_ready(),
            hint => space::advise(&self.file, hint),
        }
    }
}

#[cfg(target_os = "linux")]
mod space {
    use crate::Hint;
    use rustix::{
        fs::{Advice, FallocateFlags, fadvise, fallocate},
        io::{Errno, ReadWriteFlags, preadv2, retry_on_intr},
    };
    use std::{
        fs::File,
        io::{self, IoSliceMut},
        num::NonZeroU64,
    };

    pub(super) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
        change(file, FallocateFlags::empty(), offset, len)
    }

    pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
        change(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
    }

    /// The system refuses a length of zero, which changes nothing.
    fn change(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(file, flags, offset, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    /// Reads what can be read without waiting; returns how many bytes that were. What goes wrong here
    /// goes wrong again when the rest is read, and is told then.
    pub(super) fn read_from_memory(file: &File, buf: &mut [u8], offset: u64) -> usize {
        let bufs = &mut [IoSliceMut::new(buf)];
        preadv2(file, bufs, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }

    /// Has the system read what is there into memory, and does not wait for it.
    pub(super) fn fetch(file: &File, offset: u64, len: usize) {
        // No length means all that follows.
        let Some(len) = NonZeroU64::new(len as u64) else { return };
        // Advice that is not taken changes no answer.
        if fadvise(file, offset, Some(len), Advice::WillNeed).is_err() {}
    }

    pub(super) fn advise(file: &File, hint: Hint) {
        let advice = match hint {
            Hint::Sequential => Advice::Sequential,
            Hint::Random => Advice::Random,
            Hint::WriteOnce => Advice::NoReuse,
            Hint::DontNeed => Advice::DontNeed,
            Hint::SmallWrites | Hint::NextSmallWrites => return,
        };
        // Advice that is not taken changes no answer.
        if fadvise(file, 0, None, advice).is_err() {}
    }
}

#[cfg(not(target_os = "linux"))]
mod space {
    use crate::Hint;
    use std::{fs::File, io};

    pub(super) fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn punch_hole(_: &File, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn read_from_memory(_: &File, _: &mut [u8], _: u64) -> usize {
        0
    }

    pub(super) fn fetch(_: &File, _: u64, _: usize) {}

    pub(super) fn advise(_: &File, _: Hint) {}
}
