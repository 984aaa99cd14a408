use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::ops::Range;

use stratal_types::{DbId, FileUid};

use stratal_types::fields::{take, take_u32, take_u64};

use crate::{
    ArchiveHeader, Error, Half, HeaderSeal, SectionTag, TocEntry, Trailer, VERSION,
    bytes::{check_of, len_u64, unsealed},
};

/// Zero bytes between the primary contents and the mirrored half. Together with the order of the
/// parts it keeps any two copies of a thing at least this far apart.
pub const GAP_LEN: u64 = GAP as u64;

/// The same, in memory.
pub(crate) const GAP: usize = 4096;

/// Most sections an archive may have, copies included.
pub const SECTIONS_MAX: usize = 4096;

/// Most bytes that second copies of sections may have in all. A writer holds them in memory, and the
/// primary contents must lie within a reader's [`SEARCH_LEN_MAX`](crate::SEARCH_LEN_MAX).
pub const MIRRORED_LEN_MAX: u64 = 63 << 20;

/// Length of an archive without sections, in bytes. No archive is shorter.
pub const FILE_LEN_MIN: u64 = ArchiveHeader::END + 2 * (TOC_LEN_MIN + Trailer::LEN_U64) + GAP_LEN;

const TOC_LEN_MIN: u64 = Toc::FIXED_LEN + Toc::CHECK_LEN;
const TOC_LEN_MAX: u64 = TOC_LEN_MIN + SECTIONS_MAX as u64 * Toc::ENTRY_LEN;

// From the end of the file back to the begin of the primary trailer, at most.
const _: () = assert!(
    MIRRORED_LEN_MAX + TOC_LEN_MAX + 2 * Trailer::LEN_U64 + GAP_LEN <= crate::SEARCH_LEN_MAX,
    "a search must reach the primary contents"
);

/// The table of contents: what the file is, and where each section is.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     8  magic        93 "STRTOC" 0a
///      8     4  version      u32 LE, 1
///     12     1  half         0 primary, 1 mirror: which copy of the contents this is
///     13     3  zero
///     16     4  file_type    as in the header
///     20     4  entry_count  u32 LE, at most 4096
///     24    16  db_id        as in the header
///     40    16  uid          as in the header
///     56     8  file_len     bytes, u64 LE
///     64    56  seal         as in the header
///    120     8  zero
///    128  32·n  entries      see below
/// 128+32n    8  check        xxh3-64 of all bytes before it, seeded with the offset of byte 0, u64 LE
///
/// entry
///      0     4  tag          ASCII letters and digits
///      4     1  half         0 primary, 1 mirror: which copy of the section this is
///      5     3  zero
///      8     8  offset       bytes from the start of the file, u64 LE
///     16     8  len          bytes, u64 LE
///     24     8  check        xxh3-64 of the section's bytes, u64 LE
/// ```
///
/// Entries stand in order of offset, those of the primary half first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toc {
    /// What the file's header says, or said before it was lost.
    pub header: ArchiveHeader,
    /// Length that the file should have, in bytes.
    pub file_len: u64,
    /// Every copy of every section, in order of offset.
    pub entries: Vec<TocEntry>,
    /// Where the contents and their trailers stand, by half.
    contents: [Range<u64>; 2],
    served_by: Half,
}

/// A run of bytes that holds no section, and that every archive has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The header.
    Header,
    /// One copy of the contents with its trailer.
    Contents(Half),
    /// The zeros before the mirrored half.
    Gap,
}

impl Part {
    /// All of them, in order of offset.
    pub const ALL: [Self; 4] =
        [Self::Header, Self::Contents(Half::Primary), Self::Gap, Self::Contents(Half::Mirror)];
}

/// Sections that no archive can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSection {
    pub(crate) index: usize,
    pub(crate) what: &'static str,
}

impl Toc {
    /// The bytes that a table of contents begins with.
    pub const MAGIC: [u8; 8] = *b"\x93STRTOC\n";

    const FIXED_LEN: u64 = 128;
    const ENTRY_LEN: u64 = TocEntry::LEN as u64;
    const CHECK_LEN: u64 = 8;

    /// The copies of section `tag`: the primary one, then the mirrored one, as far as there are.
    /// Linear in the number of sections.
    pub fn find(&self, tag: SectionTag) -> impl Iterator<Item = &TocEntry> {
        self.entries.iter().filter(move |entry| entry.tag == tag)
    }

    /// One copy of section `tag`. Linear in the number of sections.
    pub fn get(&self, tag: SectionTag, half: Half) -> Option<&TocEntry> {
        self.find(tag).find(|entry| entry.half == half)
    }

    /// Refuses an archive with critical sections outside `known`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSection`] with the first of them.
    pub fn require_known(&self, known: &[SectionTag]) -> Result<(), Error> {
        let mut tags = self.entries.iter().map(|entry| entry.tag);
        match tags.find(|tag| tag.is_critical() && !known.contains(tag)) {
            Some(tag) => Err(Error::UnknownSection { tag }),
            None => Ok(()),
        }
    }

    /// The copy of the contents that this was read from. An opener prefers the mirror, which stands
    /// at the end of the file: if it was the primary one, the mirror is damaged.
    pub fn served_by(&self) -> Half {
        self.served_by
    }

    /// Contents for a file of `file_len` bytes that has lost its own: all that follows the header is
    /// one section, of which nobody knows the check.
    pub fn of_lost(header: ArchiveHeader, file_len: u64, tag: SectionTag) -> Self {
        let offset = ArchiveHeader::END.min(file_len);
        let len = file_len.saturating_sub(offset);
        let entry = TocEntry { tag, half: Half::Primary, offset, len, check: 0 };
        let contents = [file_len..file_len, file_len..file_len];
        Self { header, file_len, entries: Vec::from([entry]), contents, served_by: Half::Primary }
    }

    /// Whether both describe the same file, whichever copies they were read from.
    pub fn describes_same(&self, other: &Self) -> bool {
        self.header == other.header
            && self.file_len == other.file_len
            && self.entries == other.entries
    }

    /// Where `part` stands. Parts and sections together are every byte of the file.
    pub fn part_range(&self, part: Part) -> Range<u64> {
        let [primary, mirror] = &self.contents;
        match part {
            Part::Header => 0..ArchiveHeader::END,
            Part::Contents(Half::Primary) => primary.clone(),
            Part::Contents(Half::Mirror) => mirror.clone(),
            Part::Gap => primary.end..primary.end.saturating_add(GAP_LEN),
        }
    }

    /// Whether `bytes`, those at [`Self::part_range`], are intact and agree with this table.
    ///
    /// # Errors
    ///
    /// Every kind but [`Error::ContentsLost`] and [`Error::UnknownSection`].
    pub fn check_part(&self, part: Part, bytes: &[u8]) -> Result<(), Error> {
        let range = self.part_range(part);
        let (expected, actual) = (range.end.saturating_sub(range.start), len_u64(bytes));
        if actual < expected {
            return Err(Error::Truncated { expected, actual });
        }
        if actual > expected {
            return Err(Error::Overlong { expected, actual });
        }
        let disagrees = |what| Err(Error::Malformed { offset: range.start, what });
        match part {
            Part::Header => {
                let header = ArchiveHeader::decode(&take(&mut &bytes[..])?)?;
                if header == self.header { Ok(()) } else { disagrees("another file's header") }
            }
            Part::Contents(half) => {
                let toc = Self::decode_contents(bytes, range.start)?;
                if toc.served_by == half && self.describes_same(&toc) {
                    Ok(())
                } else {
                    disagrees("the two copies of the contents differ")
                }
            }
            Part::Gap => match bytes.iter().position(|&byte| byte != 0) {
                None => Ok(()),
                Some(at) => Err(Error::Malformed {
                    offset: range.start.saturating_add(at as u64),
                    what: "the gap before the mirrored half is not zero",
                }),
            },
        }
    }

    /// Reads the table of contents that stands at `offset`. `bytes` are all of it, without trailer.
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`], [`Error::UnsupportedVersion`], or [`Error::Malformed`] for everything that
    /// no writer would have written, overlapping or misplaced sections among it.
    pub fn decode(bytes: &[u8], offset: u64) -> Result<Self, Error> {
        let malformed = |what| Error::Malformed { offset, what };
        if !Self::len_is_possible(len_u64(bytes)) {
            return Err(malformed("a table of contents cannot have this length"));
        }
        let mut rest = unsealed(bytes, offset, offset)?;
        if take(&mut rest)? != Self::MAGIC {
            return Err(malformed("no table of contents"));
        }
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Err(Error::UnsupportedVersion { version, supported: VERSION });
        }
        let [half, zeros @ ..] = take::<4>(&mut rest)?;
        let half = Half::from_tag(half).ok_or(malformed("the contents' half is unknown"))?;
        if zeros != [0; 3] {
            return Err(malformed("reserved bytes of the contents are not zero"));
        }
        let file_type = take(&mut rest)?;
        let entry_count = take_u32(&mut rest)?;
        let db_id = DbId(take(&mut rest)?);
        let uid = FileUid(take(&mut rest)?);
        let file_len = take_u64(&mut rest)?;
        let seal = HeaderSeal::decode(&take(&mut rest)?, offset)?;
        if take(&mut rest)? != [0; 8] {
            return Err(malformed("reserved bytes of the contents are not zero"));
        }
        if Self::ENTRY_LEN.checked_mul(u64::from(entry_count)) != Some(len_u64(rest)) {
            return Err(malformed("the count of sections differs from their bytes"));
        }

        let at = |index: usize| Self::entry_offset(offset, index);
        let entries = (0..)
            .zip(rest.chunks_exact(TocEntry::LEN))
            .map(|(index, entry)| decode_entry(entry, at(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let header = ArchiveHeader { file_type, db_id, uid, seal };
        let mut toc = Self::lay_out(header, entries.clone())
            .map_err(|BadSection { index, what }| Error::Malformed { offset: at(index), what })?;
        let moved = entries.iter().zip(&toc.entries).position(|(read, laid)| read != laid);
        if let Some(index) = moved {
            let what = "the section does not begin where the one before it ends";
            return Err(Error::Malformed { offset: at(index), what });
        }
        if toc.file_len != file_len {
            return Err(malformed("the file's length differs from what its parts add up to"));
        }
        toc.served_by = half;
        if toc.part_range(Part::Contents(half)).start != offset {
            return Err(malformed("the contents do not stand where the sections end"));
        }
        Ok(toc)
    }

    /// Reads a table of contents with its trailer.
    fn decode_contents(bytes: &[u8], offset: u64) -> Result<Self, Error> {
        let truncated = Error::Truncated { expected: Trailer::LEN_U64, actual: len_u64(bytes) };
        let (toc, trailer) = bytes.split_last_chunk().ok_or(truncated)?;
        let trailer = Trailer::decode(trailer, offset.saturating_add(len_u64(toc)))?;
        if trailer.toc_offset != offset {
            let what = "the trailer names another table of contents";
            return Err(Error::Malformed { offset, what });
        }
        Self::decode(toc, offset)
    }

    /// The bytes of `part`, as they were written: what stands elsewhere in the file can be damaged.
    pub fn encode_part(&self, part: Part) -> Vec<u8> {
        match part {
            Part::Header => self.header.encode().to_vec(),
            Part::Contents(half) => self.encode_contents(half),
            Part::Gap => vec![0; GAP],
        }
    }

    /// One copy of the contents, trailer included.
    pub(crate) fn encode_contents(&self, half: Half) -> Vec<u8> {
        let toc_offset = self.part_range(Part::Contents(half)).start;
        let mut out = Vec::new();
        out.extend(Self::MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend([half.tag(), 0, 0, 0]);
        out.extend(self.header.file_type);
        out.extend(u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.header.db_id.0);
        out.extend(self.header.uid.0);
        out.extend(self.file_len.to_le_bytes());
        out.extend(HeaderSeal::encode(self.header.seal.as_ref()));
        out.extend([0; 8]);
        for entry in &self.entries {
            out.extend(entry.tag.0);
            out.extend([entry.half.tag(), 0, 0, 0]);
            out.extend(entry.offset.to_le_bytes());
            out.extend(entry.len.to_le_bytes());
            out.extend(entry.check.to_le_bytes());
        }
        out.extend(Self::check_of(&out, toc_offset).to_le_bytes());
        let toc_len = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out.extend(Trailer { toc_offset, toc_len }.encode());
        out
    }

    /// The check of a table of contents that stands at `offset`, `bytes` being those before the check.
    pub fn check_of(bytes: &[u8], offset: u64) -> u64 {
        check_of(bytes, offset)
    }

    /// Puts sections back to back: whatever offsets `entries` carry are replaced. This function alone
    /// knows the order of an archive's parts.
    pub(crate) fn lay_out(
        header: ArchiveHeader,
        mut entries: Vec<TocEntry>,
    ) -> Result<Self, BadSection> {
        check_sections(&entries)?;
        let contents_len = Self::contents_len(entries.len());
        let split = entries.partition_point(|entry| entry.half == Half::Primary);
        let too_long = BadSection { index: split, what: "the file would be too long" };
        let contents_at =
            |start: u64| start.checked_add(contents_len).map(|end| start..end).ok_or(too_long);

        let (primary, mirror) = entries.split_at_mut(split);
        let primary = contents_at(place(primary, 0, ArchiveHeader::END)?)?;
        let mirror_start = primary.end.checked_add(GAP_LEN).ok_or(too_long)?;
        let mirror_end = place(mirror, split, mirror_start)?;
        if mirror_end.saturating_sub(mirror_start) > MIRRORED_LEN_MAX {
            return Err(BadSection { index: split, what: "the mirrored sections are too long" });
        }
        let mirror = contents_at(mirror_end)?;
        let file_len = mirror.end;
        let contents = [primary, mirror];
        Ok(Self { header, file_len, entries, contents, served_by: Half::Mirror })
    }

    /// Length of one copy of the contents of so many sections, trailer included.
    pub(crate) fn contents_len(sections: usize) -> u64 {
        (sections as u64)
            .saturating_mul(Self::ENTRY_LEN)
            .saturating_add(TOC_LEN_MIN + Trailer::LEN_U64)
    }

    /// Whether some number of sections gives a table of this length.
    pub(crate) fn len_is_possible(len: u64) -> bool {
        (TOC_LEN_MIN..=TOC_LEN_MAX).contains(&len)
            && len.checked_rem(Self::ENTRY_LEN) == Some(Self::CHECK_LEN)
    }

    /// Where the entry with this number stands in a table at `offset`.
    fn entry_offset(offset: u64, index: usize) -> u64 {
        let before = (index as u64).saturating_mul(Self::ENTRY_LEN);
        offset.saturating_add(Self::FIXED_LEN).saturating_add(before)
    }
}

/// Places sections one behind the other; returns where the last one ends. `index` is the number of the
/// first among all sections.
fn place(entries: &mut [TocEntry], index: usize, start: u64) -> Result<u64, BadSection> {
    let mut end = start;
    for (index, entry) in (index..).zip(entries) {
        entry.offset = end;
        let what = "the section is too long";
        end = end.checked_add(entry.len).ok_or(BadSection { index, what })?;
    }
    Ok(end)
}

/// Checks number, names, order and uniqueness.
fn check_sections(entries: &[TocEntry]) -> Result<(), BadSection> {
    if entries.len() > SECTIONS_MAX {
        return Err(BadSection { index: SECTIONS_MAX, what: "there are too many sections" });
    }
    let mut seen = BTreeSet::new();
    let mut half_before = Half::Primary;
    for (index, entry) in entries.iter().enumerate() {
        let bad = |what| Err(BadSection { index, what });
        if !entry.tag.is_valid() {
            return bad("the section's tag is not four letters or digits");
        }
        if entry.half < half_before {
            return bad("a primary section stands among the mirrored ones");
        }
        if entry.half == Half::Mirror && !seen.contains(&(entry.tag, Half::Primary)) {
            return bad("the mirrored section has no primary copy");
        }
        if !seen.insert((entry.tag, entry.half)) {
            return bad("the section stands twice in one half");
        }
        half_before = entry.half;
    }
    Ok(())
}

fn decode_entry(mut bytes: &[u8], at: u64) -> Result<TocEntry, Error> {
    let rest = &mut bytes;
    let malformed = |what| Error::Malformed { offset: at, what };
    let tag = SectionTag(take(rest)?);
    let [half, zeros @ ..] = take::<4>(rest)?;
    let half = Half::from_tag(half).ok_or(malformed("the section's half is unknown"))?;
    if zeros != [0; 3] {
        return Err(malformed("reserved bytes of the section's entry are not zero"));
    }
    let (offset, len, check) = (take_u64(rest)?, take_u64(rest)?, take_u64(rest)?);
    Ok(TocEntry { tag, half, offset, len, check })
}
