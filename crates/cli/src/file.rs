//! Opening and writing single files.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_cache::Cache;
use stratal_fs::{Access, Fs, NewFile, StdFs};
use stratal_sst::{Error, FileSource, OpenMode, OpenOptions, Table, TableContext};
use stratal_types::comparator_named;

use crate::{args::Common, failure::Failure, secret};

/// Opens the table at `path`, under the comparator that it names, with the key of the command line if
/// it needs one.
pub(crate) fn open_table(path: &Path, common: &Common) -> Result<Table, Failure> {
    try_open_table(path, common)?.map_err(|error| Failure::table(path, &error))
}

/// Opens the table at `path`, what it says of itself damaged or not.
pub(crate) fn open_to_salvage(path: &Path, common: &Common) -> Result<Table, Failure> {
    let options = OpenOptions { mode: OpenMode::Salvage, ..OpenOptions::default() };
    open_table_with(path, common, options)?.map_err(|error| Failure::table(path, &error))
}

/// Like [`open_table`], but leaves what the table says to the caller.
pub(crate) fn try_open_table(
    path: &Path,
    common: &Common,
) -> Result<Result<Table, Error>, Failure> {
    open_table_with(path, common, OpenOptions::default())
}

fn open_table_with(
    path: &Path,
    common: &Common,
    options: OpenOptions,
) -> Result<Result<Table, Error>, Failure> {
    let source = Arc::new(open_source(path)?);
    let cache = Arc::new(Cache::new(common.memory));
    let mut ctx = TableContext { cache, ..TableContext::default() };
    let (mut is_other_order, mut is_sealed) = (false, false);
    loop {
        match Table::open_with(&ctx, source.clone(), options) {
            Err(Error::ComparatorMismatch { expected, found }) if !is_other_order => {
                let Some(comparator) = comparator_named(&found) else {
                    return Ok(Err(Error::ComparatorMismatch { expected, found }));
                };
                (ctx.comparator, is_other_order) = (comparator, true);
            }
            Err(Error::KeyNeeded { epoch: Some(epoch) }) if !is_sealed => {
                let Some(keys) = secret::keys_of(common, epoch)? else {
                    return Ok(Err(Error::KeyNeeded { epoch: Some(epoch) }));
                };
                (ctx.keys, is_sealed) = (keys, true);
            }
            opened => return Ok(opened),
        }
    }
}

/// Opens the file at `path` for reading at offsets.
pub(crate) fn open_source(path: &Path) -> Result<FileSource, Failure> {
    let fs = StdFs;
    let fail = |error| Failure::io(path, "open", &error);
    if fs.metadata(path).map_err(fail)?.kind != stratal_fs::FileKind::File {
        return Err(Failure::Usage(format!("{} is not a file", path.display())));
    }
    fs.open(path, Access::Read).and_then(FileSource::new).map_err(fail)
}

/// Writes a file beside `path` and, once it is whole and synced, puts it in the place of `path`.
/// If `write` fails or writes nothing, what was there stays.
pub(crate) fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut NewFile) -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let (mut unfinished, mut file) = Unfinished::create(path)?;
    let Some(written) = write(&mut file)? else { return Ok(None) };
    unfinished.finish(file)?;
    unfinished.publish()?;
    Ok(Some(written))
}

/// A file that does not have its name yet. It goes with this value, unless it was published.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    dir: PathBuf,
    temporary: PathBuf,
    is_published: bool,
}

impl Unfinished {
    /// Creates a file beside `path`.
    pub(crate) fn create(path: &Path) -> Result<(Self, NewFile), Failure> {
        let (dir, temporary) = beside(path, "unfinished")?;
        remove_leftover(&temporary)?;
        let file = NewFile::create(&StdFs, &temporary)
            .map_err(|error| Failure::io(path, "create", &error))?;
        Ok((Self { path: path.to_owned(), dir, temporary, is_published: false }, file))
    }

    /// Makes what was written durable.
    pub(crate) fn finish(&mut self, file: NewFile) -> Result<(), Failure> {
        let synced = file.finish().map_err(|error| Failure::io(&self.path, "sync", &error))?;
        debug_assert_eq!(synced.path(), self.temporary);
        Ok(())
    }

    /// Puts the file, which is finished, in the place of its name; returns that.
    pub(crate) fn publish(mut self) -> Result<PathBuf, Failure> {
        let fail = |doing| {
            let path = self.path.clone();
            move |error: std::io::Error| Failure::io(&path, doing, &error)
        };
        StdFs.rename(&self.temporary, &self.path).map_err(fail("replace"))?;
        StdFs.sync_dir(&self.dir).map_err(fail("sync the directory of"))?;
        self.is_published = true;
        Ok(mem::take(&mut self.path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_published {
            // The first failure is the one to report; what stays behind is replaced by the next run.
            drop(StdFs.remove_file(&self.temporary));
        }
    }
}

/// Removes what an interrupted run left at `path`.
pub(crate) fn remove_leftover(path: &Path) -> Result<(), Failure> {
    match StdFs.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(path, "remove what an interrupted run left", &error))
        }
        _ => Ok(()),
    }
}

/// The directory of `path`, and a name in it for a file that is only there for a while.
pub(crate) fn beside(path: &Path, what: &str) -> Result<(PathBuf, PathBuf), Failure> {
    let Some(name) = path.file_name() else {
        return Err(Failure::Usage(format!("{} is not a file's name", path.display())));
    };
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut temporary = name.to_owned();
    temporary.push(".");
    temporary.push(what);
    let temporary = dir.join(temporary);
    Ok((dir, temporary))
}
