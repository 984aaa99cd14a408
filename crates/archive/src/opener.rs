use alloc::vec::Vec;
use core::{mem, ops::Range};

use stratal_types::fields::take;

use crate::{
    ArchiveHeader, Error, FILE_LEN_MIN, Toc, Trailer,
    bytes::{len_u64, slice},
};

/// Bytes read first, from the end of the file. They usually hold all that opening needs, and the
/// mirrored sections besides.
pub const TAIL_LEN: u64 = 64 << 10;

/// How far back from the end of the file a lost table of contents is searched for, in bytes.
pub const SEARCH_LEN_MAX: u64 = 64 << 20;

/// Bytes asked for at once while searching.
const CHUNK_LEN: u64 = 256 << 10;

/// Trailers that verify but lead to no table of contents, before the search is given up. An archive
/// has two trailers; bytes made to look like more must not keep the search busy.
const CANDIDATES_MAX: u32 = 16;

/// Finds the contents of an archive without doing I/O: it says which bytes it needs, the caller gets
/// them.
///
/// The last [`TAIL_LEN`] bytes come first. If the contents at the end of the file are damaged, or the
/// file was cut, the opener goes backwards through at most [`SEARCH_LEN_MAX`] bytes and looks for a
/// trailer at every position; the header is asked for only if there is none, to tell why.
///
/// See the [crate] for an example.
#[derive(Debug)]
pub struct Opener {
    file_len: u64,
    mode: Mode,
    step: Step,
    tail_start: u64,
    tail: Vec<u8>,
    candidates: u32,
    /// What was wrong with the first table of contents that a valid trailer led to.
    first_error: Option<Error>,
}

/// What [`Opener::advance`], or that of another format's opener, wants next: bytes, or nothing,
/// having found the contents `T`.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<T = Toc> {
    /// Bytes to pass to the next call, as a range of the file. Never empty, never beyond its end.
    Need(Range<u64>),
    /// The contents are found.
    Done(T),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Strict,
    Salvage,
}

/// What the bytes are that were asked for.
#[derive(Clone, Debug)]
enum Step {
    /// None yet.
    Begin,
    /// The end of the file.
    Tail(Range<u64>),
    /// A piece to look for trailers in, those that begin before `below`.
    Search { range: Range<u64>, below: u64 },
    /// A table of contents. If it is none, the search goes on before its trailer.
    Toc { range: Range<u64>, trailer_offset: u64 },
    /// The header, all else having failed.
    Header(Range<u64>),
}

impl Opener {
    /// Starts opening an archive of `file_len` bytes.
    pub fn new(file_len: u64) -> Self {
        Self {
            file_len,
            mode: Mode::Strict,
            step: Step::Begin,
            tail_start: file_len,
            tail: Vec::new(),
            candidates: 0,
            first_error: None,
        }
    }

    /// Accepts contents that say another length than the file has, as long as they stand in their
    /// place: those of a file that lost its end, or got something appended. [`Toc::file_len`] then
    /// differs from the file's length, and sections may lie beyond its end.
    #[must_use]
    pub fn salvage(mut self) -> Self {
        self.mode = Mode::Salvage;
        self
    }

    /// Takes the bytes last asked for; returns what is needed next. The first call takes none; once it
    /// has ended, with contents or an error, the next call begins anew.
    ///
    /// # Errors
    ///
    /// * [`Error::Truncated`] if the contents say a greater length than the file has, if the file is
    ///   too short to be an archive, or if fewer bytes come than were asked for (more are ignored);
    ///   [`Error::Overlong`] if they say a smaller one. Not when [salvaging](Self::salvage).
    /// * [`Error::Checksum`] and [`Error::Malformed`] if a trailer but no table of contents stands.
    /// * [`Error::UnsupportedVersion`].
    /// * [`Error::NotAnArchive`] and [`Error::ContentsLost`] if there is nothing, depending on the header.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        match mem::replace(&mut self.step, Step::Begin) {
            Step::Begin => {
                *self = Self { mode: self.mode, ..Self::new(self.file_len) };
                if self.file_len == 0 {
                    return Err(Error::Truncated { expected: FILE_LEN_MIN, actual: 0 });
                }
                self.tail_start = self.file_len.saturating_sub(TAIL_LEN);
                let range = self.tail_start..self.file_len;
                Ok(self.need(Step::Tail(range.clone()), range))
            }
            Step::Tail(range) => {
                let bytes = asked_for(bytes, &range)?;
                self.tail = bytes.to_vec();
                self.search(range.start, bytes, self.file_len)
            }
            Step::Search { range, below } => {
                let bytes = asked_for(bytes, &range)?;
                self.search(range.start, bytes, below)
            }
            Step::Toc { range, trailer_offset } => {
                let bytes = asked_for(bytes, &range)?;
                match Toc::decode(bytes, range.start) {
                    Ok(toc) => self.accept(toc),
                    Err(error) => {
                        self.note(error)?;
                        self.search_before(trailer_offset)
                    }
                }
            }
            Step::Header(range) => Err(self.diagnose(asked_for(bytes, &range)?)),
        }
    }

    /// The bytes of the file's end that were read first, and the offset of the first of them: mirrored
    /// sections that lie within need no second read. Empty before they were passed to [`Self::advance`].
    pub fn tail(&self) -> (u64, &[u8]) {
        (self.tail_start, &self.tail)
    }

    /// Looks in `bytes`, which stand at `start`, for contents whose trailer begins before `below`.
    fn search(&mut self, start: u64, bytes: &[u8], mut below: u64) -> Result<Progress, Error> {
        while let Some((trailer_offset, trailer)) = last_trailer(start, bytes, below) {
            let trailer = match trailer {
                Ok(trailer) => trailer,
                Err(error @ Error::UnsupportedVersion { .. }) => return Err(error),
                // Bytes that look like a trailer may be anything.
                Err(_) => {
                    below = trailer_offset;
                    continue;
                }
            };
            let toc_range = trailer.toc_offset..trailer_offset;
            let Some(toc) = slice(start, bytes, &toc_range) else {
                let step = Step::Toc { range: toc_range.clone(), trailer_offset };
                return Ok(self.need(step, toc_range));
            };
            match Toc::decode(toc, trailer.toc_offset) {
                Ok(toc) => return self.accept(toc),
                Err(error) => self.note(error)?,
            }
            below = trailer_offset;
        }
        self.search_before(start.min(below))
    }

    /// Asks for the piece with the trailers that begin before `below`, or for the header if there can
    /// be none.
    fn search_before(&mut self, below: u64) -> Result<Progress, Error> {
        let floor = self.file_len.saturating_sub(SEARCH_LEN_MAX).max(ArchiveHeader::END);
        if below > floor {
            // A trailer may begin before `below` and end behind it.
            let end = below.saturating_add(Trailer::LEN_U64 - 1).min(self.file_len);
            let range = below.saturating_sub(CHUNK_LEN).max(floor)..end;
            return Ok(self.need(Step::Search { range: range.clone(), below }, range));
        }
        if let Some(error) = self.first_error.take() {
            return Err(error);
        }
        let range = 0..self.file_len.min(ArchiveHeader::END);
        Ok(self.need(Step::Header(range.clone()), range))
    }

    /// Takes contents that stand in their place, unless the file has another length.
    fn accept(&self, toc: Toc) -> Result<Progress, Error> {
        let (expected, actual) = (toc.file_len, self.file_len);
        match self.mode {
            Mode::Strict if actual < expected => Err(Error::Truncated { expected, actual }),
            Mode::Strict if actual > expected => Err(Error::Overlong { expected, actual }),
            Mode::Strict | Mode::Salvage => Ok(Progress::Done(toc)),
        }
    }

    /// Counts a table of contents that is none. Damage lets the search go on.
    fn note(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::UnsupportedVersion { .. }) {
            return Err(error);
        }
        self.candidates = self.candidates.saturating_add(1);
        if self.candidates >= CANDIDATES_MAX {
            return Err(self.first_error.take().unwrap_or(error));
        }
        self.first_error.get_or_insert(error);
        Ok(())
    }

    /// Tells from the first bytes why there are no contents.
    fn diagnose(&self, bytes: &[u8]) -> Error {
        let mut found = [0; 8];
        for (to, from) in found.iter_mut().zip(bytes) {
            *to = *from;
        }
        if !ArchiveHeader::MAGIC.iter().zip(bytes).all(|(magic, byte)| magic == byte) {
            return Error::NotAnArchive { found };
        }
        let header = take(&mut &bytes[..]).map_err(Error::from);
        match header.and_then(|header| ArchiveHeader::decode(&header)) {
            Ok(_) if self.file_len >= FILE_LEN_MIN => Error::ContentsLost {
                file_len: self.file_len,
                searched: self.file_len.min(SEARCH_LEN_MAX),
            },
            Ok(_) | Err(Error::Truncated { .. }) => {
                Error::Truncated { expected: FILE_LEN_MIN, actual: self.file_len }
            }
            Err(error) => error,
        }
    }

    fn need(&mut self, step: Step, range: Range<u64>) -> Progress {
        self.step = step;
        Progress::Need(range)
    }
}

/// As many bytes as were asked for.
fn asked_for<'a>(bytes: &'a [u8], range: &Range<u64>) -> Result<&'a [u8], Error> {
    slice(range.start, bytes, range).ok_or_else(|| Error::Truncated {
        expected: range.end,
        actual: range.start.saturating_add(len_u64(bytes)),
    })
}

/// The last run of bytes that begins before `below` and looks like a trailer, and its offset.
fn last_trailer(start: u64, bytes: &[u8], below: u64) -> Option<(u64, Result<Trailer, Error>)> {
    let end = below.saturating_sub(start).saturating_add(Trailer::LEN_U64 - 1);
    let bytes = bytes.get(..usize::try_from(end).ok()?).unwrap_or(bytes);
    let at = bytes
        .windows(Trailer::LEN)
        .rposition(|window| window.first_chunk() == Some(&Trailer::MAGIC))?;
    let offset = start.saturating_add(at as u64);
    let trailer = take(&mut bytes.get(at..)?).map_err(Error::from);
    let trailer = trailer.and_then(|bytes| Trailer::decode(&bytes, offset));
    Some((offset, trailer))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use crate::{GAP_LEN, Half, MIRRORED_LEN_MAX, Part, SectionTag, TocEntry};
    use alloc::vec;

    /// Opens a huge file of which only the contents are held; `lost` bytes of it are zero. Returns the
    /// table, the number of reads and of bytes read.
    fn open_sparse(toc: &Toc, lost: &Range<u64>) -> (Toc, usize, u64) {
        let parts: Vec<_> = [Half::Primary, Half::Mirror]
            .map(|half| (toc.part_range(Part::Contents(half)).start, toc.encode_contents(half)))
            .into_iter()
            .flat_map(|(start, bytes)| (start..).zip(bytes))
            .filter(|(at, _)| !lost.contains(at))
            .collect();
        let read = |range: Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            for (at, byte) in parts.iter().filter(|(at, _)| range.contains(at)) {
                bytes[(at - range.start) as usize] = *byte;
            }
            bytes
        };
        let mut opener = Opener::new(toc.file_len);
        let (mut bytes, mut reads, mut bytes_read) = (vec![], 0, 0);
        loop {
            match opener.advance(&bytes) {
                Ok(Progress::Need(range)) => {
                    (reads, bytes_read) = (reads + 1, bytes_read + range.end - range.start);
                    bytes = read(range);
                }
                Ok(Progress::Done(toc)) => return (toc, reads, bytes_read),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn toc(sections: &[([u8; 4], Half, u64)]) -> Toc {
        let entry =
            |&(tag, half, len)| TocEntry { tag: SectionTag(tag), half, offset: 0, len, check: 7 };
        Toc::lay_out(ArchiveHeader::default(), sections.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn ten_gigabytes_open_in_one_read_or_few_if_the_end_is_lost() {
        let sections = [
            (*b"DATA", Half::Primary, 10 << 30),
            (*b"INDX", Half::Primary, 9),
            (*b"INDX", Half::Mirror, 9),
        ];
        let toc = toc(&sections);
        assert_eq!(open_sparse(&toc, &(0..0)), (toc.clone(), 1, TAIL_LEN));

        let (found, reads, bytes_read) = open_sparse(&toc, &(toc.file_len - 4096..toc.file_len));
        assert!(found.describes_same(&toc));
        assert_eq!((found.served_by(), reads, bytes_read), (Half::Primary, 1, TAIL_LEN));

        // The table at the end stands, its trailer does not.
        let (found, ..) = open_sparse(&toc, &(toc.file_len - 1..toc.file_len));
        assert_eq!(found.served_by(), Half::Primary);
    }

    #[test]
    fn the_primary_contents_are_within_reach_behind_the_largest_mirror() {
        let toc = toc(&[
            (*b"DATA", Half::Primary, 1 << 40),
            (*b"INDX", Half::Primary, MIRRORED_LEN_MAX),
            (*b"INDX", Half::Mirror, MIRRORED_LEN_MAX),
        ]);
        let (found, reads, bytes_read) = open_sparse(&toc, &(toc.file_len - 1..toc.file_len));
        assert!(found.describes_same(&toc));
        assert_eq!(found.served_by(), Half::Primary);
        assert!(reads <= 260 && bytes_read <= SEARCH_LEN_MAX + (1 << 20), "{reads} {bytes_read}");
    }

    #[test]
    fn a_trailer_is_found_wherever_pieces_are_cut() {
        // The primary trailer begins `before` bytes before such a cut.
        for before in 0..=Trailer::LEN_U64 {
            let cut = TAIL_LEN + CHUNK_LEN;
            let mirrored = cut + before - Trailer::LEN_U64 - GAP_LEN - Toc::contents_len(2);
            let toc = toc(&[(*b"INDX", Half::Primary, 5), (*b"INDX", Half::Mirror, mirrored)]);
            let contents_end = toc.part_range(Part::Contents(Half::Primary)).end;
            assert_eq!(contents_end - Trailer::LEN_U64, toc.file_len - cut - before);
            let (found, ..) = open_sparse(&toc, &(toc.file_len - 1..toc.file_len));
            assert!(found.describes_same(&toc), "{before}");
        }
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let entry = |len| TocEntry {
            tag: SectionTag(*b"DATA"),
            half: Half::Primary,
            offset: 0,
            len,
            check: 0,
        };
        for len in [u64::MAX, u64::MAX - 64, u64::MAX - 300, u64::MAX - 4400] {
            assert!(Toc::lay_out(ArchiveHeader::default(), vec![entry(len)]).is_err(), "{len}");
        }
        let toc = Toc::lay_out(ArchiveHeader::default(), vec![entry(u64::MAX - 5000)]).unwrap();
        assert!(toc.file_len > u64::MAX - 5000);
    }
}
