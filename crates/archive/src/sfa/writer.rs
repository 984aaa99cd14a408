use alloc::vec::Vec;
use std::io::{self, Write as _};

use super::{NAME_LEN_MAX, TOC_LEN_MAX, Toc, TocEntry, Trailer};
use crate::{bytes::len_u64, sink::Sink};

/// Streams sections into a sink, then closes the file with its contents.
///
/// The writer keeps each section's name and 40 bytes. It writes what it is given at once: put a buffer
/// around a sink that minds small writes. Dropped before [`Self::finish`] succeeded, it leaves a file
/// that does not open, unless the sections themselves end in an archive's trailer.
///
/// An I/O error makes the writer unusable, so that nothing is appended behind damage; the file is to
/// be removed. A call refused for another reason changes nothing.
///
/// See the [module](super) for an example.
#[derive(Debug)]
pub struct Writer<W> {
    sink: Sink<W>,
    /// Sections begun, in order; the length is set when a section ends.
    sections: Vec<TocEntry>,
    /// Length of their table of contents, in bytes.
    toc_len: u64,
}

/// Why a plain `sfa` archive was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The sink failed. The file is unusable.
    #[error("cannot write archive: {0}")]
    Io(#[from] io::Error),

    /// An earlier call met an I/O error. The file is unusable.
    #[error("an earlier write to this archive failed")]
    Poisoned,

    /// The section's name is longer than [`NAME_LEN_MAX`].
    #[error("section name of {len} bytes, at most {max} are allowed")]
    NameTooLong {
        /// Its length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },

    /// With this section the table of contents would be longer than [`TOC_LEN_MAX`].
    #[error("table of contents of {len} bytes, at most {max} are allowed")]
    TocTooLong {
        /// What it would have come to, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
}

impl<W: io::Write> Writer<W> {
    /// Begins an archive, of which nothing is written yet. Offsets are counted from here.
    pub fn new(sink: W) -> Self {
        Self { sink: Sink::new(sink), sections: Vec::new(), toc_len: Toc::LEN_MIN }
    }

    /// Ends the section at hand and begins section `name`; what is written from now on belongs to it.
    /// A name may be used again; readers then find the first section of that name.
    ///
    /// # Errors
    ///
    /// [`WriteError::NameTooLong`], [`WriteError::TocTooLong`], [`WriteError::Poisoned`].
    pub fn section(&mut self, name: impl Into<Vec<u8>>) -> Result<(), WriteError> {
        self.check_usable()?;
        let name = name.into();
        if name.len() > NAME_LEN_MAX {
            return Err(WriteError::NameTooLong { len: name.len(), max: NAME_LEN_MAX });
        }
        let entry_len = TocEntry::FIXED_LEN.saturating_add(len_u64(&name));
        let len = self.toc_len.saturating_add(entry_len);
        if len > TOC_LEN_MAX {
            return Err(WriteError::TocTooLong { len, max: TOC_LEN_MAX });
        }
        self.toc_len = len;
        self.end_section();
        self.sections.push(TocEntry { name, offset: self.sink.position(), len: 0 });
        Ok(())
    }

    /// Offset of the next byte written, from the start of the file.
    pub fn position(&self) -> u64 {
        self.sink.position()
    }

    /// Ends the last section, writes the contents, and flushes the sink. Making the file durable is
    /// left to the caller.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`], [`WriteError::Poisoned`].
    pub fn finish(mut self) -> Result<(W, Toc), WriteError> {
        self.check_usable()?;
        self.end_section();
        let toc = Toc { entries: self.sections, offset: self.sink.position() };
        let encoded = toc.encode();
        self.sink.write_all(&encoded)?;
        self.sink.write_all(&Trailer::of(&encoded, toc.offset).encode())?;
        self.sink.flush()?;
        Ok((self.sink.into_inner(), toc))
    }

    /// Notes the length of the section at hand. Doing it twice does no harm.
    fn end_section(&mut self) {
        if let Some(section) = self.sections.last_mut() {
            section.len = self.sink.position().saturating_sub(section.offset);
        }
    }

    fn check_usable(&self) -> Result<(), WriteError> {
        if self.sink.is_poisoned() { Err(WriteError::Poisoned) } else { Ok(()) }
    }
}

/// Appends to the section begun last. Writing before the first section fails with
/// [`InvalidInput`](io::ErrorKind::InvalidInput), and changes nothing.
impl<W: io::Write> io::Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sections.is_empty() {
            let what = "no section of the archive was begun";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
