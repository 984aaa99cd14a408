use crate::{Error, line::LINE_LEN, rate::PROBES_MAX};

/// How a filter works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterKind {
    /// A Bloom filter whose probes for one key all fall into one line of 64 bytes.
    BlockedBloom,
}

impl FilterKind {
    /// The byte on disk. Never renumbered; retired tags stay retired.
    pub const fn tag(self) -> u8 {
        match self {
            Self::BlockedBloom => 1,
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlockedBloom => "blocked bloom",
        }
    }

    /// The kind with this byte on disk.
    pub const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::BlockedBloom),
            _ => None,
        }
    }
}

pub(crate) const MAGIC: [u8; 4] = *b"SFLT";
pub(crate) const VERSION: u8 = 1;

/// What stands before the lines.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     4  magic        b"SFLT"
///      4     1  version      1
///      5     1  kind         FilterKind tag
///      6     1  probes       bits set per key, 1 to 16
///      7     1  reserved     zero
///      8     4  lines        u32 LE, 1 to 2^24
///     12     4  reserved     zero
///     16     8  keys         u64 LE, hashes added, at least 1
///     24    40  reserved     zero
///     64   64n  lines        n = lines, 512 bits each
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FilterKind,
    pub(crate) probes: u8,
    pub(crate) lines: u32,
    pub(crate) keys: u64,
}

impl Header {
    /// Bytes: one line, so that lines are aligned to 64 bytes whenever the whole is.
    pub(crate) const LEN: usize = LINE_LEN;
    /// Most lines: 1 GiB of them.
    pub(crate) const LINES_MAX: u32 = 1 << 24;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let fields = MAGIC
            .into_iter()
            .chain([VERSION, self.kind.tag(), self.probes, 0])
            .chain(self.lines.to_le_bytes())
            .chain([0; 4])
            .chain(self.keys.to_le_bytes());
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    /// Reads and checks every field. The lines are the rest of `bytes`, no more and no fewer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = bytes;
        let magic = take(&mut input)?;
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        let [version] = take(&mut input)?;
        if version != VERSION {
            return Err(Error::UnknownVersion { found: version, known: VERSION });
        }
        let [tag] = take(&mut input)?;
        let kind = FilterKind::from_tag(tag).ok_or(Error::UnknownKind { tag })?;
        let [probes] = take(&mut input)?;
        let reserved_7: [u8; 1] = take(&mut input)?;
        let lines = u32::from_le_bytes(take(&mut input)?);
        let reserved_12: [u8; 4] = take(&mut input)?;
        let keys = u64::from_le_bytes(take(&mut input)?);
        let reserved_24: [u8; 40] = take(&mut input)?;

        let reserved = [&reserved_7[..], &reserved_12, &reserved_24];
        let nonzero = reserved.into_iter().flatten().copied().max().unwrap_or(0);
        in_range("reserved", nonzero.into(), 0, 0)?;
        in_range("probes", probes.into(), 1, PROBES_MAX.into())?;
        in_range("lines", lines.into(), 1, Self::LINES_MAX.into())?;
        in_range("keys", keys, 1, u64::MAX)?;

        let header = Self { kind, probes, lines, keys };
        let (needed, available) = (header.filter_len(), len_u64(bytes));
        if available < needed {
            return Err(Error::Truncated { needed, available });
        }
        in_range("length", available, needed, needed)?;
        Ok(header)
    }

    /// Bytes of the whole filter.
    fn filter_len(self) -> u64 {
        len_u64(&[0; Self::LEN]) + u64::from(self.lines) * len_u64(&[0; LINE_LEN])
    }
}

fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::Field { field, value, min, max }) }
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Error> {
    let (field, rest) = input.split_first_chunk().ok_or_else(|| Error::Truncated {
        needed: len_u64(&[0; Header::LEN]),
        available: len_u64(input),
    })?;
    *input = rest;
    Ok(*field)
}

fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
