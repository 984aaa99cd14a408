use std::{fmt::Debug, io};

use rustix::io::Errno;

/// An open file. Offsets and lengths are bytes; there is no position to keep.
///
/// Any number of threads may read and write at once. A read that overlaps a write in progress sees
/// old bytes, new bytes, or some of both.
pub trait File: Debug + Send + Sync {
    /// Reads into `buf` what stands at `offset`. Returns how many bytes that were, which may be
    /// fewer than fit; 0 means the file ends at or before `offset`, or `buf` is empty.
    ///
    /// # Errors
    ///
    /// `Interrupted` may be tried again; [`read_exact_at`](Self::read_exact_at) does.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the first bytes of `buf` at `offset`. Returns how many bytes that were, which may be
    /// fewer than given. Writing behind the end lengthens the file, and a gap reads as zero.
    ///
    /// Durable with the next sync that returns `Ok`, and not before.
    ///
    /// # Errors
    ///
    /// `Interrupted` may be tried again; [`write_all_at`](Self::write_all_at) does. `StorageFull` if
    /// there is no space. After any other error the bytes at `offset` are unknown.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Length of the file now.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or lengthens it with zeros. Durable with the next sync.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes of the file durable, and its length as far as reading them needs it.
    ///
    /// Covers every write that returned before this call. Does not make the file's name durable.
    ///
    /// # Errors
    ///
    /// After an error nothing may be said about any byte not yet synced, and no later sync of this
    /// file, successful or not, changes that. Do not call it again; write the bytes elsewhere.
    fn sync_data(&self) -> io::Result<()>;

    /// Like [`sync_data`](Self::sync_data), and also what the system notes about the file.
    fn sync_all(&self) -> io::Result<()>;

    /// Reserves space for `len` bytes at `offset`, and lengthens the file to hold them, with zeros.
    /// What is there already stays. Writes into the range do not fail for want of space. Nothing
    /// happens if `len` is 0.
    ///
    /// The new length is durable with the next sync.
    ///
    /// # Errors
    ///
    /// `StorageFull` if there is no space, `Unsupported` where the file system cannot: what is in the file
    /// has not changed, and it can be written on.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives the space of `len` bytes at `offset` back. They read as zero; the file keeps its length.
    /// Durable with the next sync.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the file system cannot, in which case nothing has changed.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Says what the file will be used for. Changes no answer and cannot fail.
    fn hint(&self, hint: Hint);

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`, reading as often as it takes. Goes on when interrupted, though not
    /// for ever.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends first; the contents of `buf` are then unspecified.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut filled, mut interrupts) = (0, Interrupts::default());
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset_behind(offset, filled)?) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => (filled, interrupts) = (filled + read, Interrupts::default()),
                Err(err) => interrupts.forgive(err)?,
            }
        }
        Ok(())
    }

    /// Fills every part's buffer from its offset, as [`read_exact_at`](Self::read_exact_at) does.
    ///
    /// For reads that are wanted together: where the system can, what is not in memory is fetched for
    /// all of them at once. Parts may overlap, and stand in any order; those that touch are one read
    /// only if the caller makes them one part.
    ///
    /// # Errors
    ///
    /// The first that a part fails with. The contents of all buffers are then unspecified. What
    /// `parts` says afterwards is unspecified in any case.
    fn read_exact_each(&self, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        parts.iter_mut().try_for_each(|part| self.read_exact_at(part.buf, part.offset))
    }

    /// Writes all of `buf` at `offset`, writing as often as it takes. Goes on when interrupted,
    /// though not for ever.
    ///
    /// # Errors
    ///
    /// `WriteZero` if the system accepts nothing more without saying why. After any error some of
    /// the bytes may have been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let (mut written, mut interrupts) = (0, Interrupts::default());
        while let Some(rest) = buf.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write_at(rest, offset_behind(offset, written)?) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(part) => (written, interrupts) = (written + part, Interrupts::default()),
                Err(err) => interrupts.forgive(err)?,
            }
        }
        Ok(())
    }
}

/// One of several reads that are asked for together.
#[derive(Debug)]
pub struct ReadPart<'a> {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// What is to be filled.
    pub buf: &'a mut [u8],
}

impl ReadPart<'_> {
    /// Leaves away the first `len` bytes, which are filled.
    pub(crate) fn skip(&mut self, len: usize) -> io::Result<()> {
        self.offset = offset_behind(self.offset, len)?;
        let buf = std::mem::take(&mut self.buf);
        self.buf = buf.get_mut(len..).unwrap_or_default();
        Ok(())
    }
}

/// Signals that came in the way of one read or write, one after another.
#[derive(Default)]
struct Interrupts(u32);

impl Interrupts {
    /// More than any signal handler explains: the file is not going to be read or written.
    const MAX: u32 = 1000;

    /// Lets an interruption pass, and returns any other error.
    fn forgive(&mut self, err: io::Error) -> io::Result<()> {
        self.0 += 1;
        if err.kind() == io::ErrorKind::Interrupted && self.0 <= Self::MAX {
            Ok(())
        } else {
            Err(err)
        }
    }
}

/// What a file will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Read front to back: reading ahead pays.
    Sequential,
    /// Read here and there: reading ahead does not pay.
    Random,
    /// Written now, not read soon.
    WriteOnce,
    /// What the system keeps of it in memory may go.
    DontNeed,
    /// From now on written in small pieces, into the space that is [allocated](File::allocate) and not
    /// written yet. The system need not be told of each: what [`File::write_at`] has accepted is with it
    /// all the same, and survives the end of the process.
    ///
    /// Nobody else may make the file shorter while it is open: where a piece is copied into memory that is
    /// the file's, and the file does not reach that far any more, the system ends the process.
    SmallWrites,
    /// [Small writes](Self::SmallWrites) go on behind the last: what the next [`NEXT_LEN`](Self::NEXT_LEN)
    /// bytes or so of them need is made ready at once, if there is space allocated. Takes as long as
    /// hundreds of writes, and none of them waits for it: it is for another thread to say.
    NextSmallWrites,
}

impl Hint {
    /// Bytes that a small write is to have been made ready for, or more, by a
    /// [`NextSmallWrites`](Self::NextSmallWrites) said whenever a multiple of it is passed.
    pub const NEXT_LEN: u64 = 256 << 10;
}

/// Reads a whole file of at most `len_max` bytes into memory.
///
/// # Errors
///
/// `FileTooLarge` if it is longer, before anything is allocated.
pub fn read_to_vec(file: &dyn File, len_max: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    if len > len_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// `offset + len`, or the system's error for a file that large.
pub(crate) fn offset_behind(offset: u64, len: usize) -> io::Result<u64> {
    offset.checked_add(len as u64).ok_or_else(|| Errno::FBIG.into())
}
