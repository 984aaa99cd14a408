use std::{fmt::Debug, io, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use stratal_archive::ArchiveHeader;
use stratal_fs::{File, Fs, OpenFiles, ReadPart, ReopenedFile};
use stratal_slab::{Buffer, Shared};

use crate::handle::BlockHandle;

/// Where a table is read from: anything that gives the bytes of a range.
///
/// Reads come from many threads at once.
pub trait ReadAt: Debug + Send + Sync {
    /// Length in bytes. It does not change while a table is open.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, all of them: [`io::ErrorKind::UnexpectedEof`] if there are fewer.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// The bytes of `range`, as [`read`](Self::read) gives them, in `memory` if that is of use: the caller
    /// needs what it holds no more, though others may. Whoever reads a file piece by piece thus takes
    /// memory once, and finds it near.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_into(&self, range: Range<u64>, memory: Bytes) -> io::Result<Bytes> {
        drop(memory);
        self.read(range)
    }

    /// The bytes of `range`, as [`read`](Self::read) gives them, for who will keep them, and read here and
    /// there in all that is kept: a source that copies them anyway puts them into a [`Buffer`].
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_kept(&self, range: Range<u64>) -> io::Result<Shared> {
        self.read(range).map(Shared::from)
    }

    /// The bytes of each of `ranges`, as [`read_kept`](Self::read_kept) gives them.
    ///
    /// For reads that are wanted together. Ranges that are near one another were made one before: a
    /// source need not look for such, and should have all of them under way at once if it can. This
    /// reads one after the other.
    ///
    /// # Errors
    ///
    /// The first that a range fails with.
    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Shared>> {
        ranges.iter().map(|range| self.read_kept(range.clone())).collect()
    }
}

/// A table in memory. Reads share its bytes.
impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (start, end) = checked_range(&range, ReadAt::len(self))?;
        Ok(self.slice(start..end))
    }
}

/// A table in a file.
#[derive(Debug)]
pub struct FileSource {
    file: Opened,
    len: u64,
}

#[derive(Debug)]
enum Opened {
    /// For as long as the source is there.
    Always(Box<dyn File>),
    /// While there is room for it.
    Sometimes(ReopenedFile),
}

impl FileSource {
    /// Takes over an open file and looks up its length.
    pub fn new(file: Box<dyn File>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file: Opened::Always(file), len })
    }

    /// Opens the file at `path`, which counts among `open` and may be closed for others at any time, and
    /// is opened again when something is read from it. What the cache holds of the table is there all
    /// the while.
    ///
    /// The file must keep its name. When it is opened again it must have the same length and the same
    /// header, which names its identity, or reads fail with a
    /// [`FileReplaced`](stratal_fs::FileReplaced).
    ///
    /// # Errors
    ///
    /// Those of [`ReopenedFile::open`].
    pub fn reopened(
        open: &OpenFiles,
        fs: &Arc<dyn Fs>,
        path: impl Into<PathBuf>,
    ) -> io::Result<Self> {
        let file = ReopenedFile::open(open, fs, path, ArchiveHeader::LEN)?;
        Ok(Self { len: file.len(), file: Opened::Sometimes(file) })
    }

    fn with_file<T>(&self, read: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        match &self.file {
            Opened::Always(file) => read(file.as_ref()),
            Opened::Sometimes(file) => file.read(read),
        }
    }
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (start, end) = checked_range(&range, self.len)?;
        let mut bytes = vec![0; end - start];
        self.with_file(|file| file.read_exact_at(&mut bytes, range.start))?;
        Ok(bytes.into())
    }

    fn read_kept(&self, range: Range<u64>) -> io::Result<Shared> {
        let (start, end) = checked_range(&range, self.len)?;
        let mut bytes = Buffer::new(end - start);
        self.with_file(|file| file.read_exact_at(&mut bytes, range.start))?;
        Ok(bytes.share())
    }

    fn read_into(&self, range: Range<u64>, memory: Bytes) -> io::Result<Bytes> {
        let (start, end) = checked_range(&range, self.len)?;
        match memory.try_into_mut() {
            Ok(mut bytes) if bytes.len() >= end - start => {
                bytes.truncate(end - start);
                self.with_file(|file| file.read_exact_at(&mut bytes, range.start))?;
                Ok(bytes.freeze())
            }
            _ => self.read(range),
        }
    }

    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Shared>> {
        let buf = |range| {
            let (start, end) = checked_range(range, self.len)?;
            Ok(Buffer::new(end - start))
        };
        let mut bufs = ranges.iter().map(buf).collect::<io::Result<Vec<_>>>()?;
        let parts = ranges.iter().zip(&mut bufs);
        let mut parts: Vec<_> =
            parts.map(|(range, buf)| ReadPart { offset: range.start, buf }).collect();
        self.with_file(|file| file.read_exact_each(&mut parts))?;
        Ok(bufs.into_iter().map(Buffer::share).collect())
    }
}

/// Bytes of the end of a file that were read at once.
#[derive(Debug)]
pub(crate) struct Tail {
    start: u64,
    bytes: Bytes,
}

impl Tail {
    /// `bytes` stand at `start`, and go to the end of the file.
    pub(crate) fn new(start: u64, bytes: Bytes) -> Self {
        Self { start, bytes }
    }

    /// Whether it has every byte of `range`.
    pub(crate) fn holds(&self, range: Range<u64>) -> bool {
        self.slice(&range).is_some()
    }

    /// The bytes of `range`, if it has them all: a copy, so that a block that is kept does not keep
    /// the whole tail with it.
    pub(crate) fn copy(&self, range: Range<u64>) -> Option<Shared> {
        self.slice(&range).map(|bytes| Buffer::copy_of(bytes).share())
    }

    fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }
}

/// Blocks that lie further apart than this many bytes are not read in one piece: about what a device
/// or a system call could have read in the time of asking once more.
pub(crate) const GAP_LEN_MAX: u64 = 16 << 10;
/// Bytes at which a piece ends, though its neighbour follows at once.
const PIECE_LEN_MAX: u64 = 1 << 20;

/// Blocks that are read at once, with what lies between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) range: Range<u64>,
    /// Which of the blocks.
    pub(crate) blocks: Range<usize>,
}

impl Piece {
    /// The bytes of the block at `handle`, out of those of this piece, which has it.
    pub(crate) fn slice(&self, bytes: &Shared, handle: BlockHandle) -> Shared {
        let start = usize::try_from(handle.offset.saturating_sub(self.range.start)).ok();
        let end = start.and_then(|start| start.checked_add(handle.len as usize));
        let part = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
        part.map(|part| bytes.part(part)).unwrap_or_default()
    }
}

/// The pieces to read `handles` in, which stand in order of the file.
pub(crate) fn pieces(handles: &[BlockHandle]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (i, handle) in handles.iter().enumerate() {
        let range = handle.range();
        match pieces.last_mut() {
            Some(Piece { range: last, blocks })
                if last.start <= range.start
                    && range.start.saturating_sub(last.end) <= GAP_LEN_MAX
                    && range.end.saturating_sub(last.start) <= PIECE_LEN_MAX =>
            {
                last.end = last.end.max(range.end);
                blocks.end = i.saturating_add(1);
            }
            _ => pieces.push(Piece { range, blocks: i..i.saturating_add(1) }),
        }
    }
    pieces
}

/// `range` in `usize`, if it lies inside `len` bytes.
fn checked_range(range: &Range<u64>, len: u64) -> io::Result<(usize, usize)> {
    let inside = range.start <= range.end && range.end <= len;
    let ends = (usize::try_from(range.start), usize::try_from(range.end));
    match ends {
        (Ok(start), Ok(end)) if inside => Ok((start, end)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
