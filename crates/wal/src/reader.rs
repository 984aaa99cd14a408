use std::{io, path::PathBuf};

use stratal_fs::{Access, File};

use crate::{
    Error, Lsn, Record, RecordHeader, SegmentHeader, WalContext, record::record_len,
    segment_file_name,
};

/// Bytes read at once.
const WINDOW_LEN: usize = 256 << 10;

/// Reads one segment through a window.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: Box<dyn File>,
    path: PathBuf,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What a search behind damage found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remains {
    /// The highest LSN that some record there says was synced.
    pub(crate) synced: Lsn,
    /// Offset behind the last byte that is not zero.
    pub(crate) data_end: u64,
}

impl SegmentReader {
    pub(crate) fn open(ctx: &WalContext, number: u64) -> Result<Self, Error> {
        let path = ctx.dir.join(segment_file_name(number));
        let opened = ctx.fs.open(&path, Access::Read).and_then(|file| Ok((file.len()?, file)));
        match opened {
            Ok((len, file)) => Ok(Self { file, path, len, window: Vec::new(), window_at: 0 }),
            Err(source) => Err(Error::Io { op: "open", path, source }),
        }
    }

    /// Length of the file.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The `wanted` bytes at `offset`, fewer where the file ends.
    pub(crate) fn bytes(&mut self, offset: u64, wanted: u64) -> Result<&[u8], Error> {
        let wanted = wanted.min(self.len.saturating_sub(offset));
        let window_end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + wanted > window_end {
            self.fill(offset, wanted).map_err(|source| Error::Io {
                op: "read",
                path: self.path.clone(),
                source,
            })?;
        }
        let start = usize::try_from(offset - self.window_at).unwrap_or(usize::MAX);
        let bytes = self.window.get(start..).unwrap_or_default();
        let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..len])
    }

    /// Moves the window. `wanted` bytes are in the file.
    fn fill(&mut self, offset: u64, wanted: u64) -> io::Result<()> {
        let len = wanted.max((WINDOW_LEN as u64).min(self.len - offset));
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.window.clear();
        self.window.try_reserve(len)?;
        self.window.resize(len, 0);
        self.window_at = offset;
        let read = self.file.read_exact_at(&mut self.window, offset);
        read.inspect_err(|_| self.window.clear())
    }

    /// The record at `lsn`, its bytes as stored. `Ok(Err(_))` says why there is none.
    pub(crate) fn record(
        &mut self,
        header: &SegmentHeader,
        lsn: Lsn,
    ) -> Result<Result<(Record<'_>, &[u8]), Error>, Error> {
        let offset = header.offset_of(lsn);
        let fields = self.bytes(offset, record_len(0))?.first_chunk().copied();
        let len = match fields.as_ref().map(RecordHeader::decode).transpose()? {
            // Read the payload of a record that seems to be one, and of nothing else.
            Some(fields) if fields.may_be_at(header.salt, lsn) => fields.record_len(),
            _ => record_len(0),
        };
        let bytes = self.bytes(offset, len)?;
        Ok(Record::decode(bytes, header.salt, lsn).map(|record| (record, bytes)))
    }

    /// Whether the carried part is there, under its check.
    pub(crate) fn carried_is_whole(&mut self, header: &SegmentHeader) -> Result<bool, Error> {
        let mut at = SegmentHeader::DATA_OFFSET;
        let Some(end) = at.checked_add(header.carried_len).filter(|end| *end <= self.len) else {
            return Ok(false);
        };
        let mut check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        while at < end {
            let bytes = self.bytes(at, (end - at).min(WINDOW_LEN as u64))?;
            check.update(bytes);
            at += bytes.len() as u64;
        }
        Ok(check.finalize() == header.carried_check)
    }

    /// Looks through everything from `offset` on for records that are what and where they should be.
    ///
    /// Bytes that look like records and are none cost a check each; a file that is full of those is
    /// no accident, and counts as saying that everything was synced.
    pub(crate) fn remains(
        &mut self,
        header: &SegmentHeader,
        offset: u64,
    ) -> Result<Remains, Error> {
        let mut remains = Remains { synced: Lsn::ZERO, data_end: offset };
        let mut checks_len_left = 4 * self.len + (64 << 20);
        let mut at = offset;
        while at < self.len {
            // Each block is read with the start of the next, for the record that begins at its end.
            let block = self.bytes(at, WINDOW_LEN as u64)?;
            let last = block.iter().rposition(|&byte| byte != 0);
            remains.data_end = last.map_or(remains.data_end, |last| at + last as u64 + 1);
            let step = (block.len().saturating_sub(RecordHeader::LEN) / 8 * 8).max(8);
            let candidates = candidates(block, header, at, step);
            let len_left = self.len - at;
            for (lsn, candidate) in candidates {
                let is_new = candidate.synced_at(lsn).is_some_and(|it| it > remains.synced);
                if !is_new || candidate.record_len() > len_left {
                    continue;
                }
                let Some(left) = checks_len_left.checked_sub(candidate.record_len()) else {
                    return Ok(Remains { synced: Lsn(u64::MAX), ..remains });
                };
                checks_len_left = left;
                if let Ok((record, _)) = self.record(header, lsn)? {
                    remains.synced = remains.synced.max(record.synced);
                }
            }
            at += step as u64;
        }
        Ok(remains)
    }
}

/// The headers in the first `step` bytes of `block`, which stands at `offset`, that may be records', each
/// with the LSN there.
fn candidates(
    block: &[u8],
    header: &SegmentHeader,
    offset: u64,
    step: usize,
) -> Vec<(Lsn, RecordHeader)> {
    let places = (0..step).step_by(8).filter_map(|i| {
        let fields = RecordHeader::decode(block.get(i..)?.first_chunk()?).ok()?;
        let lsn = header.start.plus((offset + i as u64).checked_sub(SegmentHeader::DATA_OFFSET)?);
        fields.may_be_at(header.salt, lsn).then_some((lsn, fields))
    });
    places.collect()
}
