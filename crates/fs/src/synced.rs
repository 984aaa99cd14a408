use std::{
    collections::BTreeSet,
    io,
    ops::Deref,
    path::{Path, PathBuf},
};

use crate::Fs;

/// A file whose bytes are durable and whose name may not be, with what its writer says about it.
///
/// Comes from [`NewFile::finish`](crate::NewFile::finish) only; [`sync_dirs`] makes it a [`Synced`].
#[derive(Debug)]
#[must_use = "the name of the file is not durable before its directory is synced"]
pub struct FileSynced<T = ()> {
    path: PathBuf,
    len: u64,
    value: T,
}

/// A file of which bytes, length and name are durable, with what its writer says about it.
///
/// Only [`sync_dirs`] makes one, from files that [`NewFile`](crate::NewFile) has written and synced.
/// Lists that outlive a crash accept nothing else, so a file cannot be named before it is there:
///
/// ```compile_fail,E0451
/// use stratal_fs::Synced;
/// let forged = Synced { path: "/db/000001.sst".into(), len: 0, value: () };
/// ```
///
/// ```compile_fail,E0599
/// use stratal_fs::Synced;
/// let forged = Synced::new("/db/000001.sst", 0);
/// ```
///
/// ```compile_fail,E0308
/// # use stratal_fs::{MemFs, NewFile, Synced};
/// # fn name_it_in_the_manifest(file: Synced<()>) {}
/// let file = NewFile::create(&MemFs::new(), "/a")?.finish()?;
/// name_it_in_the_manifest(file); // its directory is not synced
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a synced file that nothing names is an orphan"]
pub struct Synced<T = ()> {
    path: PathBuf,
    len: u64,
    value: T,
}

impl FileSynced {
    pub(crate) fn new(path: PathBuf, len: u64) -> Self {
        Self { path, len, value: () }
    }
}

impl<T> FileSynced<T> {
    /// Replaces what is said about the file.
    pub fn map<U>(self, describe: impl FnOnce(T) -> U) -> FileSynced<U> {
        FileSynced { path: self.path, len: self.len, value: describe(self.value) }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the file's name durable. For several files [`sync_dirs`] does it in fewer syncs.
    pub fn sync_dir(self, fs: &dyn Fs) -> io::Result<Synced<T>> {
        fs.sync_dir(dir_of(&self.path))?;
        Ok(self.into_synced())
    }

    /// Only for files whose directory was synced after they were created.
    fn into_synced(self) -> Synced<T> {
        Synced { path: self.path, len: self.len, value: self.value }
    }
}

impl<T> Synced<T> {
    /// Replaces what is said about the file.
    pub fn map<U>(self, describe: impl FnOnce(T) -> U) -> Synced<U> {
        Synced { path: self.path, len: self.len, value: describe(self.value) }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What its writer says about it.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Synced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Makes the names of `files` durable, with one sync for each directory they are in.
///
/// The directories themselves must be durable; [`create_dir_synced`] makes such.
///
/// # Errors
///
/// If any directory could not be synced, none of the files may be named: some of the names may be
/// durable and some not, and trying again proves nothing.
pub fn sync_dirs<T>(fs: &dyn Fs, files: Vec<FileSynced<T>>) -> io::Result<Vec<Synced<T>>> {
    let dirs: BTreeSet<&Path> = files.iter().map(|file| dir_of(&file.path)).collect();
    for dir in dirs {
        fs.sync_dir(dir)?;
    }
    Ok(files.into_iter().map(FileSynced::into_synced).collect())
}

/// Creates a directory and those above it that are missing, and makes the name of each durable.
///
/// The directory above the first missing one must be durable itself. Where nothing is missing, the
/// name of `path` is made durable all the same: it may have been created just now, by somebody else.
pub fn create_dir_synced(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
        match fs.metadata(dir) {
            Ok(_) => break,
            Err(err) if err.kind() == io::ErrorKind::NotFound => missing.push(dir),
            Err(err) => return Err(err),
        }
    }
    fs.create_dir(path)?;
    if missing.is_empty() {
        missing.push(path);
    }
    missing.into_iter().try_for_each(|dir| fs.sync_dir(dir_of(dir)))
}

/// The directory that holds the name of `path`.
fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) => Path::new("."),
        None => path,
    }
}
