use std::{ffi::OsString, fmt::Debug, io, path::Path, sync::Arc};

use crate::{File, Lock, LockMode};

/// A tree of files and directories.
///
/// Paths are UTF-8 or not, as the system has it; names are compared byte for byte. Methods take
/// `&self` and may be called from any thread. Errors are those of the operating system, with its
/// [`io::ErrorKind`]; where a method's text names a kind, every implementation gives that kind.
///
/// No method makes anything durable but [`sync_dir`](Self::sync_dir).
pub trait Fs: Debug + Send + Sync {
    /// Creates an empty file and opens it for reading and writing.
    ///
    /// The name becomes durable with [`sync_dir`](Self::sync_dir) of its directory.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is anything of that name, `NotFound` if there is no directory.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// Creates a directory and those above it that are missing. Well if it exists.
    ///
    /// Each new name becomes durable with a sync of the directory above;
    /// [`create_dir_synced`](crate::create_dir_synced) does both.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// What stands in a directory, by ascending name.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// What is known about a path.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is nothing.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Removes a file's name. Open handles go on working; the space is free once the last name and
    /// handle are gone. Until the directory is synced, the file may come back after a crash.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `DirectoryNotEmpty`.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of any file that had it.
    ///
    /// Atomic: at any moment, after a crash too, the file has the old name or the new one. Durable
    /// with a sync of the directory of the *new* name. Only for files.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file `from`, or no directory for `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name. Durable with a sync of the directory of `to`.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file `from`; `AlreadyExists` if there is a `to`.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable as they are: once this returns `Ok`, everything
    /// created, removed, renamed into and linked in it before the call survives a crash. It says
    /// nothing about directories below or above.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that may still be written in the file system that holds `path`, which must exist. A
    /// hint: others write too.
    fn available_space(&self, path: &Path) -> io::Result<u64>;

    /// Takes a lock on the file `path`, which is created if it is missing and never removed.
    ///
    /// Does not wait. The lock holds against every other handle, in this process or another, until
    /// the returned value is dropped or the process ends.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if somebody holds it in a mode that excludes this one.
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading. Changes fail.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Dir,
    /// Something that Stratal never makes: a socket, a link that leads nowhere.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory.
    pub name: OsString,
    /// What it stands for.
    pub kind: FileKind,
    /// Length of a file in bytes; 0 for anything else.
    pub len: u64,
}

/// What is known about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it stands for.
    pub kind: FileKind,
    /// Length of a file in bytes; 0 for anything else.
    pub len: u64,
    /// Names the file has. 1 for a directory.
    pub links: u64,
}

impl<F: Fs + ?Sized> Fs for Arc<F> {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        (**self).create(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        (**self).open(path, access)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        (**self).create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        (**self).list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        (**self).metadata(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        (**self).remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        (**self).remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        (**self).hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (**self).sync_dir(dir)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        (**self).available_space(path)
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        (**self).lock(path, mode)
    }
}
