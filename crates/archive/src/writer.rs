use alloc::vec::Vec;
use std::io::{self, Write};

use crate::{
    ArchiveHeader, GAP_LEN, Half, MIRRORED_LEN_MAX, Part, SECTIONS_MAX, SectionHasher, SectionTag,
    Toc, TocEntry, bytes::len_u64, sink::Sink, toc::BadSection,
};

/// Streams sections into a sink, then closes the file with its contents.
///
/// The writer keeps 32 bytes per section, and the mirrored copies until [`Self::finish`]. It writes
/// what it is given at once: put a buffer around a sink that minds small writes. Dropped before
/// [`Self::finish`] succeeded, it leaves a file that does not open.
///
/// An I/O error makes the writer unusable, so that nothing is appended behind damage; the file is to
/// be removed. A call refused for another reason changes nothing.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    sink: Sink<W>,
    header: ArchiveHeader,
    /// Sections begun, in order; offset, length and check are set when a section ends.
    sections: Vec<TocEntry>,
    hasher: SectionHasher,
    mirrored: Vec<(SectionTag, Vec<u8>)>,
    mirrored_len: u64,
}

/// Why an archive was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The sink failed. The file is unusable.
    #[error("cannot write archive: {0}")]
    Io(#[from] io::Error),

    /// An earlier call met an I/O error. The file is unusable.
    #[error("an earlier write to this archive failed")]
    Poisoned,

    /// A section cannot be begun or mirrored; the caller made a mistake.
    #[error("section {tag} refused: {what}")]
    InvalidSection {
        /// The section's tag.
        tag: SectionTag,
        /// What is wrong.
        what: &'static str,
    },

    /// The mirrored sections together are over [`MIRRORED_LEN_MAX`].
    #[error("mirrored sections of {len} bytes, at most {max} are allowed")]
    MirrorTooLarge {
        /// What they would have come to, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive: writes the header. Offsets are counted from here.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`].
    pub fn new(sink: W, header: ArchiveHeader) -> Result<Self, WriteError> {
        let mut writer = Self {
            sink: Sink::new(sink),
            header,
            sections: Vec::new(),
            hasher: SectionHasher::new(),
            mirrored: Vec::new(),
            mirrored_len: 0,
        };
        writer.sink.write_all(&header.encode())?;
        Ok(writer)
    }

    /// Ends the section at hand and begins section `tag`; what is written from now on belongs to it.
    ///
    /// # Errors
    ///
    /// [`WriteError::InvalidSection`] if the tag is malformed or was used before, or if there would be
    /// more than [`SECTIONS_MAX`] sections, copies included; [`WriteError::Poisoned`].
    pub fn section(&mut self, tag: SectionTag) -> Result<(), WriteError> {
        let refused = |what| Err(WriteError::InvalidSection { tag, what });
        self.check_usable()?;
        if !tag.is_valid() {
            return refused("a tag is four letters or digits");
        }
        if self.has(tag) {
            return refused("it was begun before");
        }
        if self.is_full() {
            return refused("there are too many sections");
        }
        self.end_section();
        // `end_section` sets the length and check of the last entry, `finish` lays out the offsets.
        self.sections.push(TocEntry { tag, half: Half::Primary, offset: 0, len: 0, check: 0 });
        self.hasher = SectionHasher::new();
        Ok(())
    }

    /// Keeps `bytes` as the second copy of section `tag`, which was begun before. Readers take it for
    /// the section when the first copy is damaged; it need not be the same bytes, but must mean the
    /// same. Second copies are written by [`Self::finish`], in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`WriteError::InvalidSection`] if the section was not begun, has a second copy already, or there
    /// would be more than [`SECTIONS_MAX`] sections; [`WriteError::MirrorTooLarge`];
    /// [`WriteError::Poisoned`].
    pub fn mirror(&mut self, tag: SectionTag, bytes: Vec<u8>) -> Result<(), WriteError> {
        let refused = |what| Err(WriteError::InvalidSection { tag, what });
        self.check_usable()?;
        if !self.has(tag) {
            return refused("a section is begun before it is mirrored");
        }
        if self.mirrored.iter().any(|(other, _)| *other == tag) {
            return refused("it was mirrored before");
        }
        if self.is_full() {
            return refused("there are too many sections");
        }
        let len = self.mirrored_len.saturating_add(len_u64(&bytes));
        if len > MIRRORED_LEN_MAX {
            return Err(WriteError::MirrorTooLarge { len, max: MIRRORED_LEN_MAX });
        }
        self.mirrored_len = len;
        self.mirrored.push((tag, bytes));
        Ok(())
    }

    /// Offset of the next byte written, from the start of the file.
    #[inline]
    pub fn position(&self) -> u64 {
        self.sink.position()
    }

    /// Bytes that [`Self::finish`] would add to the file now.
    pub fn closing_len(&self) -> u64 {
        let sections = self.sections.len().saturating_add(self.mirrored.len());
        Toc::contents_len(sections)
            .saturating_mul(2)
            .saturating_add(GAP_LEN)
            .saturating_add(self.mirrored_len)
    }

    /// Ends the last section, writes the contents and the mirrored half, and flushes the sink. Making
    /// the file durable is left to the caller.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`], [`WriteError::Poisoned`].
    pub fn finish(mut self) -> Result<(W, Toc), WriteError> {
        self.check_usable()?;
        self.end_section();
        let mirrored = core::mem::take(&mut self.mirrored);
        let mut entries = core::mem::take(&mut self.sections);
        entries.extend(mirrored.iter().map(|(tag, bytes)| {
            let mut hasher = SectionHasher::new();
            hasher.update(bytes);
            let (len, check) = (hasher.len(), hasher.check());
            TocEntry { tag: *tag, half: Half::Mirror, offset: 0, len, check }
        }));
        let tags: Vec<_> = entries.iter().map(|entry| entry.tag).collect();
        let toc = Toc::lay_out(self.header, entries).map_err(|BadSection { index, what }| {
            let tag = tags.get(index).or(tags.last()).copied().unwrap_or(SectionTag([b'?'; 4]));
            WriteError::InvalidSection { tag, what }
        })?;

        self.sink.write_all(&toc.encode_part(Part::Contents(Half::Primary)))?;
        self.sink.write_all(&toc.encode_part(Part::Gap))?;
        for (_, bytes) in &mirrored {
            self.sink.write_all(bytes)?;
        }
        self.sink.write_all(&toc.encode_part(Part::Contents(Half::Mirror)))?;
        self.sink.flush()?;
        Ok((self.sink.into_inner(), toc))
    }

    fn has(&self, tag: SectionTag) -> bool {
        self.sections.iter().any(|section| section.tag == tag)
    }

    fn is_full(&self) -> bool {
        self.sections.len().saturating_add(self.mirrored.len()) >= SECTIONS_MAX
    }

    /// Notes length and check of the section at hand. Doing it twice does no harm.
    fn end_section(&mut self) {
        if let Some(section) = self.sections.last_mut() {
            section.len = self.hasher.len();
            section.check = self.hasher.check();
        }
    }

    fn check_usable(&self) -> Result<(), WriteError> {
        if self.sink.is_poisoned() { Err(WriteError::Poisoned) } else { Ok(()) }
    }
}

/// Appends to the section begun last. Writing before the first section fails with
/// [`InvalidInput`](io::ErrorKind::InvalidInput), and changes nothing.
impl<W: Write> Write for ArchiveWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sections.is_empty() {
            let what = "no section of the archive was begun";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let len = self.sink.write(bytes)?;
        self.hasher.update(bytes.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
