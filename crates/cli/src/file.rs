//! Opening and writing single files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_cache::Cache;
use stratal_fs::{Access, Fs, NewFile, StdFs};
use stratal_sst::{Error, FileSource, OpenMode, OpenOptions, Table, TableContext};
use stratal_types::comparator_named;

use crate::{args::Common, failure::Failure};

/// Opens the table at `path`, under the comparator that it names.
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
    let ctx = TableContext { cache, ..TableContext::default() };
    Ok(match Table::open_with(&ctx, source.clone(), options) {
        Err(Error::ComparatorMismatch { expected, found }) => match comparator_named(&found) {
            Some(comparator) => {
                Table::open_with(&TableContext { comparator, ..ctx }, source, options)
            }
            None => Err(Error::ComparatorMismatch { expected, found }),
        },
        opened => opened,
    })
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
    let fs = StdFs;
    let (dir, temporary) = beside(path)?;
    let fail = |doing| move |error: std::io::Error| Failure::io(path, doing, &error);
    match fs.remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(fail("remove what an interrupted run left")(error));
        }
        _ => {}
    }
    let mut file = NewFile::create(&fs, &temporary).map_err(fail("create"))?;
    let written = write(&mut file).and_then(|written| {
        let Some(written) = written else { return Ok(None) };
        let synced = file.finish().map_err(fail("sync"))?;
        debug_assert_eq!(synced.path(), temporary);
        fs.rename(&temporary, path).map_err(fail("replace"))?;
        fs.sync_dir(&dir).map_err(fail("sync the directory of"))?;
        Ok(Some(written))
    });
    if !matches!(written, Ok(Some(_))) {
        // The first failure is the one to report; what stays behind is replaced by the next run.
        drop(fs.remove_file(&temporary));
    }
    written
}

/// The directory of `path`, and a name in it for a file that is not finished.
fn beside(path: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let Some(name) = path.file_name() else {
        return Err(Failure::Usage(format!("{} is not a file's name", path.display())));
    };
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut temporary = name.to_owned();
    temporary.push(".unfinished");
    let temporary = dir.join(temporary);
    Ok((dir, temporary))
}
