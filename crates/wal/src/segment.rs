use std::{
    io,
    path::{Path, PathBuf},
};

use stratal_fs::{File, Fs, Hint};
use stratal_types::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Lsn, RecordHeader, SegmentHeader, segment_file_name};

/// A segment that this process created, and may append to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    file: Box<dyn File>,
    path: PathBuf,
    /// Whether the file's name is known durable.
    entry_synced: AtomicBool,
    reserve: Option<Reserve>,
    /// Bytes of the file that are reserved; `u64::MAX` when no more will be.
    reserved: AtomicU64,
}

/// How much of a segment is reserved: twice of what is written, rounded up to a power of two, so that a
/// segment which hardly anything is written to takes little space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    /// Least and most, in bytes.
    len_min: u64,
    len_max: u64,
}

impl Reserve {
    /// A segment is this many times as long as what is reserved of it at first: 256 KiB of 16 MiB.
    const SHARE_AT_FIRST: u64 = 64;

    /// For segments of `len` bytes.
    pub(crate) const fn new(len: u64) -> Self {
        Self { len_min: len / Self::SHARE_AT_FIRST, len_max: len }
    }

    /// Bytes to be reserved where `end` are written.
    fn for_end(self, end: u64) -> u64 {
        let twice = end.saturating_mul(2).checked_next_power_of_two();
        twice.unwrap_or(self.len_max).clamp(self.len_min, self.len_max)
    }

    /// Whether more is reserved where `end` bytes are written than of a segment with one record.
    fn is_grown(self, end: u64) -> bool {
        let least = SegmentHeader::DATA_OFFSET + RecordHeader::LEN as u64;
        self.for_end(end) > self.for_end(least)
    }
}

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
        let mut reserved = u64::MAX;
        if let Some(reserve) = reserve {
            let len = reserve.for_end(SegmentHeader::DATA_OFFSET + header.carried_len);
            match file.allocate(0, len) {
                Ok(()) => reserved = len,
                Err(err) if err.kind() == io::ErrorKind::Unsupported => {}
                Err(err) => return Err(failed("allocate")(err)),
            }
        }
        file.write_all_at(&header.encode_block(), 0).map_err(failed("write"))?;
        let mut offset = SegmentHeader::DATA_OFFSET;
        for piece in carried {
            file.write_all_at(piece, offset).map_err(failed("write"))?;
            offset += piece.len() as u64;
        }
        if reserved < u64::MAX {
            file.hint(Hint::SmallWrites);
        }
        let (reserved, entry_synced) = (AtomicU64::new(reserved), AtomicBool::new(false));
        Ok(Self { header, file, path, entry_synced, reserve, reserved })
    }

    /// Writes records, of which the first is the one at `lsn`. Returns whether it is time to
    /// [run ahead](Self::run_ahead).
    pub(crate) fn write(&self, lsn: Lsn, bytes: &[u8]) -> Result<bool, Error> {
        let offset = self.header.offset_of(lsn);
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.reserved.load(Ordering::Acquire) {
            self.reserve_for(end)?;
        }
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| Error::Io { op: "write", path: self.path.clone(), source })?;
        Ok(self.reserve.is_some() && offset / Hint::NEXT_LEN != end / Hint::NEXT_LEN)
    }

    /// Reserves more where `end` bytes are written, or about to be. After an error nothing more is to be
    /// written to the file.
    fn reserve_for(&self, end: u64) -> Result<(), Error> {
        let reserved = self.reserved.load(Ordering::Acquire);
        let Some(reserve) = self.reserve.filter(|_| reserved < u64::MAX) else { return Ok(()) };
        let len = reserve.for_end(end);
        if len > reserved {
            let now = match self.file.allocate(reserved, len - reserved) {
                Ok(()) => len,
                // There may still be some for what is written. If not, a write says so.
                Err(err) if err.kind() == io::ErrorKind::StorageFull => u64::MAX,
                Err(source) => {
                    return Err(Error::Io { op: "allocate", path: self.path.clone(), source });
                }
            };
            self.reserved.fetch_max(now, Ordering::AcqRel);
        } else if end > len {
            self.reserved.store(u64::MAX, Ordering::Release);
        }
        Ok(())
    }

    /// Prepares what writes behind `lsn` will need. Takes time, and no write waits for it. After an error
    /// nothing more is to be written to the file.
    pub(crate) fn run_ahead(&self, lsn: Lsn) -> Result<(), Error> {
        self.reserve_for(self.header.offset_of(lsn))?;
        self.file.hint(Hint::NextSmallWrites);
        Ok(())
    }

    /// Whether it takes more space, having been written up to `lsn`, than a new one would.
    pub(crate) fn is_grown(&self, lsn: Lsn) -> bool {
        self.reserve.is_some_and(|reserve| reserve.is_grown(self.header.offset_of(lsn)))
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
