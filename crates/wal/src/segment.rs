use std::{
    io,
    path::{Path, PathBuf},
};

use stratal_fs::{File, Fs, Hint};
use stratal_types::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Lsn, SegmentHeader, segment_file_name};

/// A segment that this process created, and may append to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    file: Box<dyn File>,
    path: PathBuf,
    /// Whether the file's name is known durable.
    entry_synced: AtomicBool,
}

/// How much is reserved when a segment is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve(pub(crate) u64);

impl Segment {
    /// Creates the file with its header and the carried part. Nothing is synced.
    pub(crate) fn create<'a>(
        fs: &dyn Fs,
        dir: &Path,
        header: SegmentHeader,
        reserve: Option<Reserve>,
        carried: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, Error> {
        let path = dir.join(segment_file_name(header.number));
        let failed = |op| {
            let path = path.clone();
            move |source| Error::Io { op, path, source }
        };
        let file = fs.create(&path).map_err(failed("create"))?;
        let reserved = reserve.map(|Reserve(len)| file.allocate(0, len));
        let is_reserved = matches!(reserved, Some(Ok(())));
        match reserved {
            Some(Err(err)) if err.kind() != io::ErrorKind::Unsupported => {
                return Err(failed("allocate")(err));
            }
            _ => {}
        }
        file.write_all_at(&header.encode_block(), 0).map_err(failed("write"))?;
        let mut offset = SegmentHeader::DATA_OFFSET;
        for piece in carried {
            file.write_all_at(piece, offset).map_err(failed("write"))?;
            offset += piece.len() as u64;
        }
        if is_reserved {
            file.hint(Hint::SmallWrites);
        }
        Ok(Self { header, file, path, entry_synced: AtomicBool::new(false) })
    }

    /// Writes records, of which the first is the one at `lsn`.
    pub(crate) fn write(&self, lsn: Lsn, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(bytes, self.header.offset_of(lsn));
        written.map_err(|source| Error::Io { op: "write", path: self.path.clone(), source })
    }

    /// Makes what is written durable, and the segment's name.
    pub(crate) fn sync(&self, fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
        let synced = self.file.sync_data();
        synced.map_err(|source| Error::Io { op: "sync", path: self.path.clone(), source })?;
        if !self.entry_synced.load(Ordering::Acquire) {
            let synced = fs.sync_dir(dir);
            synced.map_err(|source| Error::Io { op: "sync", path: dir.into(), source })?;
            self.entry_synced.store(true, Ordering::Release);
        }
        Ok(())
    }
}
