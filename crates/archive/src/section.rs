use core::{
    fmt::{self, Write},
    ops::Range,
};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    Error,
    bytes::{check_of, len_u64},
};

/// Names a section: four ASCII letters or digits.
///
/// An upper-case first letter marks it *critical*: a reader that does not know the section must refuse
/// the file. It may skip the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionTag(pub [u8; 4]);

impl SectionTag {
    /// Whether a reader that does not know this section must refuse the file.
    pub const fn is_critical(self) -> bool {
        let [first, ..] = self.0;
        first.is_ascii_uppercase()
    }

    /// Whether all four bytes are ASCII letters or digits. Others are neither written nor read.
    pub fn is_valid(self) -> bool {
        self.0.iter().all(u8::is_ascii_alphanumeric)
    }
}

impl fmt::Display for SectionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for SectionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('`')?;
        fmt::Display::fmt(self, f)?;
        f.write_char('`')
    }
}

/// A sort of section as a type: the tag that names it, and what its bytes mean.
///
/// Who writes and who reads such a section share the type, and with it the tag and the rule whether
/// others may skip it.
///
/// ```
/// use stratal_archive::{Error, Half, Section, SectionHasher, SectionTag, TocEntry};
///
/// /// How many items there are. A reader may do without.
/// struct Count;
///
/// impl Section for Count {
///     const TAG: SectionTag = SectionTag(*b"coun");
///     type View<'a> = u32;
///     type Error = Error;
///     fn parse(bytes: &[u8]) -> Result<u32, Error> {
///         let what = "a count has four bytes";
///         let number = bytes.try_into().map_err(|_| Error::Malformed { offset: 0, what })?;
///         Ok(u32::from_le_bytes(number))
///     }
/// }
///
/// let mut hasher = SectionHasher::new();
/// hasher.update(&[7, 0, 0, 0]);
/// let (half, check) = (Half::Primary, hasher.check());
/// let entry = TocEntry { tag: Count::TAG, half, offset: 64, len: 4, check };
/// assert_eq!(entry.view::<Count>(&[7, 0, 0, 0]), Ok(7));
/// assert!(entry.view::<Count>(&[8, 0, 0, 0]).is_err(), "the check does not hold");
/// ```
pub trait Section {
    /// Names the section, and says whether a reader that does not know it may skip it.
    const TAG: SectionTag;

    /// What the bytes mean. It may borrow from them.
    type View<'a>;

    /// Why bytes are no such section.
    type Error: From<Error>;

    /// Reads the section from its bytes, whose check holds.
    ///
    /// # Errors
    ///
    /// If they make no sense all the same.
    fn parse(bytes: &[u8]) -> Result<Self::View<'_>, Self::Error>;
}

/// The two halves of an archive. What stands in the one and not the other is a section that its
/// writer did not double.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// All sections, as they were streamed, then a copy of the contents.
    Primary,
    /// Second copies of some sections, then a copy of the contents that ends the file.
    Mirror,
}

impl Half {
    /// Both, in order of offset.
    pub const BOTH: [Self; 2] = [Self::Primary, Self::Mirror];

    /// The byte on disk. Never renumbered.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Primary => 0,
            Self::Mirror => 1,
        }
    }

    /// The half with this byte on disk.
    pub const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Primary),
            1 => Some(Self::Mirror),
            _ => None,
        }
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Mirror => "mirror",
        })
    }
}

/// Where one copy of a section is, and the check of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TocEntry {
    /// Which section.
    pub tag: SectionTag,
    /// Which copy of it.
    pub half: Half,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length, in bytes.
    pub len: u64,
    /// xxh3-64 of its bytes as stored.
    pub check: u64,
}

impl TocEntry {
    /// Length on disk, in bytes.
    pub const LEN: usize = 32;

    /// The section's place in the file.
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len)
    }

    /// Whether `bytes` are the section. For one too long to hold there is [`SectionHasher`].
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] and [`Error::Overlong`] if the length differs, [`Error::Checksum`] if the
    /// bytes do.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), Error> {
        self.compare(len_u64(bytes), || check_of(bytes, 0))
    }

    /// Verifies `bytes` and reads them as section `S`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSection`] if this is another section, those of [`Self::verify`], and those of
    /// [`Section::parse`].
    pub fn view<'a, S: Section>(&self, bytes: &'a [u8]) -> Result<S::View<'a>, S::Error> {
        if self.tag != S::TAG {
            return Err(Error::UnknownSection { tag: self.tag }.into());
        }
        self.verify(bytes)?;
        S::parse(bytes)
    }

    fn compare(&self, len: u64, check: impl FnOnce() -> u64) -> Result<(), Error> {
        if len < self.len {
            return Err(Error::Truncated { expected: self.len, actual: len });
        }
        if len > self.len {
            return Err(Error::Overlong { expected: self.len, actual: len });
        }
        let (offset, expected, actual) = (self.offset, self.check, check());
        if expected == actual { Ok(()) } else { Err(Error::Checksum { offset, expected, actual }) }
    }
}

/// Computes the check of a section that comes in pieces.
///
/// ```
/// use stratal_archive::{Half, SectionHasher, SectionTag, TocEntry};
/// let mut hasher = SectionHasher::new();
/// hasher.update(b"piece by ");
/// hasher.update(b"piece");
/// let tag = SectionTag(*b"DATA");
/// let entry = TocEntry { tag, half: Half::Primary, offset: 64, len: 14, check: hasher.check() };
/// hasher.verify(&entry)?;
/// entry.verify(b"piece by piece")?;
/// # Ok::<(), stratal_archive::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SectionHasher {
    hash: Xxh3,
    len: u64,
}

impl SectionHasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece. Where pieces are cut makes no difference.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len = self.len.saturating_add(len_u64(bytes));
    }

    /// Bytes taken so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was taken so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The check of the bytes taken so far.
    pub fn check(&self) -> u64 {
        self.hash.digest()
    }

    /// Whether the bytes taken are the section.
    ///
    /// # Errors
    ///
    /// Those of [`TocEntry::verify`].
    pub fn verify(&self, entry: &TocEntry) -> Result<(), Error> {
        entry.compare(self.len, || self.check())
    }
}

impl fmt::Debug for SectionHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SectionHasher").field("len", &self.len).finish_non_exhaustive()
    }
}
