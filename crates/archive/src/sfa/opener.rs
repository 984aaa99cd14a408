use core::{mem, ops::Range};

use stratal_types::fields::take;

use super::{Error, FILE_LEN_MIN, Toc, Trailer};
use crate::{
    Progress, TAIL_LEN,
    bytes::{len_u64, slice},
};

/// Longest table of contents that is read unless the caller says otherwise, and longest that is
/// written, in bytes.
pub const TOC_LEN_MAX: u64 = 64 << 20;

/// Finds the contents of a plain `sfa` archive without doing I/O: it says which bytes it needs, the
/// caller gets them.
///
/// The last [`TAIL_LEN`] bytes come first. They hold the trailer and usually the contents; if not, the
/// contents are the second and last read.
///
/// ```
/// use stratal_archive::{Progress, sfa};
/// let (file, _) = sfa::Writer::new(Vec::new()).finish()?;
/// let mut opener = sfa::Opener::new(file.len() as u64);
/// let mut bytes = &[][..];
/// let toc = loop {
///     match opener.advance(bytes)? {
///         Progress::Need(range) => bytes = &file[range.start as usize..range.end as usize],
///         Progress::Done(toc) => break toc,
///     }
/// };
/// assert_eq!(toc.entries, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Opener {
    file_len: u64,
    toc_len_max: u64,
    step: Step,
}

/// What the bytes are that were asked for.
#[derive(Clone, Debug)]
enum Step {
    /// None yet.
    Begin,
    /// The end of the file.
    Tail(Range<u64>),
    /// The table of contents.
    Toc(Trailer),
}

impl Opener {
    /// Starts opening an archive of `file_len` bytes.
    pub fn new(file_len: u64) -> Self {
        Self { file_len, toc_len_max: TOC_LEN_MAX, step: Step::Begin }
    }

    /// Refuses tables of contents of more than `len` bytes. A table takes less than four
    /// times its length in memory, and what the allocator adds to each name.
    #[must_use]
    pub fn with_toc_len_max(mut self, len: u64) -> Self {
        self.toc_len_max = len;
        self
    }

    /// Takes the bytes last asked for; returns what is needed next. The first call takes none; once it
    /// has ended, with contents or an error, the next call begins anew.
    ///
    /// # Errors
    ///
    /// * [`Error::Truncated`] if the file is too short to be an archive, or if fewer bytes come than
    ///   were asked for (more are ignored).
    /// * [`Error::TocTooLong`], before so much is asked for.
    /// * Those of [`Trailer::decode`] and [`Toc::decode`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress<Toc>, Error> {
        match mem::replace(&mut self.step, Step::Begin) {
            Step::Begin => {
                if self.file_len < FILE_LEN_MIN {
                    return Err(Error::Truncated { expected: FILE_LEN_MIN, actual: self.file_len });
                }
                let range = self.file_len.saturating_sub(TAIL_LEN)..self.file_len;
                self.step = Step::Tail(range.clone());
                Ok(Progress::Need(range))
            }
            Step::Tail(range) => {
                let bytes = part(bytes, &range, &range)?;
                let trailer_range = self.file_len.saturating_sub(Trailer::LEN_U64)..self.file_len;
                let mut trailer = part(bytes, &range, &trailer_range)?;
                let trailer = Trailer::decode(&take(&mut trailer)?, trailer_range.start)?;
                if trailer.toc_len > self.toc_len_max {
                    let (len, max) = (trailer.toc_len, self.toc_len_max);
                    return Err(Error::TocTooLong { len, max });
                }
                let toc_range = trailer.toc_range();
                if let Some(toc) = slice(range.start, bytes, &toc_range) {
                    return decode(toc, &trailer);
                }
                self.step = Step::Toc(trailer);
                Ok(Progress::Need(toc_range))
            }
            Step::Toc(trailer) => {
                let range = trailer.toc_range();
                decode(part(bytes, &range, &range)?, &trailer)
            }
        }
    }
}

/// Finds the contents of the archive that `file` is.
///
/// # Errors
///
/// Those of [`Opener::advance`].
pub fn open(file: &[u8]) -> Result<Toc, Error> {
    let whole = 0..len_u64(file);
    let mut opener = Opener::new(whole.end).with_toc_len_max(u64::MAX);
    let mut bytes: &[u8] = &[];
    loop {
        match opener.advance(bytes)? {
            Progress::Need(range) => bytes = part(file, &whole, &range)?,
            Progress::Done(toc) => return Ok(toc),
        }
    }
}

fn decode(bytes: &[u8], trailer: &Trailer) -> Result<Progress<Toc>, Error> {
    Toc::decode(bytes, trailer.toc_offset, trailer.toc_check).map(Progress::Done)
}

/// The bytes of `wanted`, out of those of `range`.
fn part<'a>(bytes: &'a [u8], range: &Range<u64>, wanted: &Range<u64>) -> Result<&'a [u8], Error> {
    slice(range.start, bytes, wanted).ok_or_else(|| Error::Truncated {
        expected: wanted.end,
        actual: range.start.saturating_add(len_u64(bytes)),
    })
}
