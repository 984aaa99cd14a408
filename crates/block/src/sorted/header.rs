use stratal_types::{EntryKind, SeqNo};

use crate::Error;

/// The header's fields, as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) has_tags: bool,
    pub(super) has_digests: bool,
    pub(super) head_width: u8,
    pub(super) offset_width: u8,
    pub(super) rest_width: u8,
    pub(super) seqno_width: u8,
    pub(super) kind: Option<EntryKind>,
    pub(super) count: u32,
    pub(super) prefix_len: u16,
    pub(super) rest_len: u16,
    pub(super) seqno_base: u64,
    pub(super) groups: Option<Groups>,
}

/// What follows the header of a block with groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub(super) count: u32,
    /// Length of each middle; 0 where they differ.
    pub(super) middle_len: u16,
    /// Length of all middles where they differ, else 0.
    pub(super) middles_len: u16,
}

pub(super) const VERSION: u8 = 1;
const FLAG_TAGS: u8 = 1;
const FLAG_GROUPS: u8 = 2;
const FLAG_DIGESTS: u8 = 4;

/// The `rest_width` of blocks whose values are of one length, which tells how long the rests are.
pub(super) const REST_BY_VALUE: u8 = 3;

/// Rows after which lengths are summed up anew.
pub(super) const RUN_LEN: usize = RUN_ROWS as usize;

const RUN_ROWS: u32 = 16;

/// Bytes of the offset of a run of lengths.
const RUN_START_WIDTH: u64 = 2;

/// Bytes of a digest.
pub(super) const DIGEST_WIDTH: u32 = 4;

/// Bytes of an end among the middles.
const END_WIDTH: u64 = 2;

/// Widest difference of sequence numbers, in bytes.
const SEQNO_WIDTH_MAX: u8 = 7;

impl Header {
    /// Length on disk, in bytes.
    pub(super) const LEN: usize = 24;

    /// Reads header and groups off the front of a block.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = |needed| Error::Truncated { needed, available: bytes.len() };
        let (fixed, rest) = bytes.split_first_chunk().ok_or(truncated(Self::LEN))?;
        let mut header = Self::decode_fixed(fixed)?;
        if header.groups.is_some() {
            let groups = rest.first_chunk().ok_or(truncated(Self::LEN + Groups::LEN))?;
            header.groups = Some(Groups::decode(*groups, header.count)?);
        }
        Ok(header)
    }

    /// The header alone; groups that it announces are still empty.
    fn decode_fixed(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let [
            version,
            flags,
            head_width,
            offset_width,
            rest_width,
            seqno_width,
            kind,
            reserved,
            n0,
            n1,
            n2,
            n3,
            p0,
            p1,
            l0,
            l1,
            seqno_base @ ..,
        ] = *bytes;
        let unsupported = |what, found: u8| Error::Unsupported { what, found: found.into() };
        if version != VERSION {
            return Err(unsupported("sorted block version", version));
        }
        if flags & !(FLAG_TAGS | FLAG_GROUPS | FLAG_DIGESTS) != 0 {
            return Err(unsupported("sorted block flags", flags));
        }
        if reserved != 0 {
            return Err(unsupported("sorted block's reserved field", reserved));
        }
        for (widths, width, what, offset) in [
            (&[0, 2, 4, 8][..], head_width, "head_width", 2),
            (&[0, 1, 2, 4], offset_width, "offset_width", 3),
            (&[0, 1, 2, REST_BY_VALUE], rest_width, "rest_width", 4),
            (&[0, 1, 2, 3, 4, 5, 6, SEQNO_WIDTH_MAX], seqno_width, "seqno_width", 5),
        ] {
            ensure(widths.contains(&width), what, offset)?;
        }
        let kind = match kind {
            0 => None,
            tag => Some(EntryKind::from_tag(tag).ok_or(malformed("kind", 6))?),
        };
        let header = Self {
            has_tags: flags & FLAG_TAGS != 0,
            has_digests: flags & FLAG_DIGESTS != 0,
            head_width,
            offset_width,
            rest_width,
            seqno_width,
            kind,
            count: u32::from_le_bytes([n0, n1, n2, n3]),
            prefix_len: u16::from_le_bytes([p0, p1]),
            rest_len: u16::from_le_bytes([l0, l1]),
            seqno_base: u64::from_le_bytes(seqno_base),
            groups: (flags & FLAG_GROUPS != 0).then_some(Groups::NONE),
        };
        let has_rest_len = matches!(rest_width, 0 | REST_BY_VALUE);
        ensure(has_rest_len || header.rest_len == 0, "rest_len beside a column of lengths", 14)?;
        ensure(header.seqno_base <= SeqNo::MAX.get(), "seqno_base", 16)?;
        Ok(header)
    }

    /// The header without the groups.
    pub(super) const fn encode(&self) -> [u8; Self::LEN] {
        let tags = if self.has_tags { FLAG_TAGS } else { 0 };
        let groups = if self.groups.is_some() { FLAG_GROUPS } else { 0 };
        let flags = tags | groups | if self.has_digests { FLAG_DIGESTS } else { 0 };
        let kind = match self.kind {
            Some(kind) => kind.tag(),
            None => 0,
        };
        let [n0, n1, n2, n3] = self.count.to_le_bytes();
        let [p0, p1] = self.prefix_len.to_le_bytes();
        let [l0, l1] = self.rest_len.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.seqno_base.to_le_bytes();
        [
            VERSION,
            flags,
            self.head_width,
            self.offset_width,
            self.rest_width,
            self.seqno_width,
            kind,
            0,
            n0,
            n1,
            n2,
            n3,
            p0,
            p1,
            l0,
            l1,
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
        ]
    }

    /// Bytes of `rest_len` in each row.
    pub(super) const fn rest_width_in_row(&self) -> u8 {
        match self.rest_width {
            REST_BY_VALUE => 0,
            width => width,
        }
    }

    /// Length, in bytes, of the digests behind the rows.
    pub(super) fn digests_len(&self) -> u64 {
        if self.has_digests { u64::from(self.count) * u64::from(DIGEST_WIDTH) } else { 0 }
    }

    /// Lengths, in bytes, of everything between header and rows, in order.
    pub(super) fn section_lens(&self) -> Sections {
        let count = u64::from(self.count);
        let (groups, starts, ends, middles) = match self.groups {
            None => (0, 0, 0, 0),
            Some(groups) => {
                let n = u64::from(groups.count);
                let (ends, middles) = match groups.middle_len {
                    0 => (n * END_WIDTH, groups.middles_len.into()),
                    len => (0, n * u64::from(len)),
                };
                (Groups::LEN as u64, n * u64::from(start_width(self.count)), ends, middles)
            }
        };
        Sections {
            groups,
            starts,
            ends,
            middles,
            prefix: self.prefix_len.into(),
            tags: if self.has_tags { count } else { 0 },
            heads: count * u64::from(self.head_width),
            offsets: match self.offset_width {
                0 => 0,
                1 => count + u64::from(runs(self.count)) * RUN_START_WIDTH,
                width => (count + 1) * u64::from(width),
            },
            seqnos: count * u64::from(self.seqno_width),
            kinds: if self.kind.is_none() { count } else { 0 },
        }
    }
}

impl Groups {
    /// Length on disk, in bytes.
    pub(super) const LEN: usize = 8;

    pub(super) const NONE: Self = Self { count: 0, middle_len: 0, middles_len: 0 };

    fn decode(bytes: [u8; Self::LEN], rows: u32) -> Result<Self, Error> {
        let [n0, n1, n2, n3, m0, m1, l0, l1] = bytes;
        let groups = Self {
            count: u32::from_le_bytes([n0, n1, n2, n3]),
            middle_len: u16::from_le_bytes([m0, m1]),
            middles_len: u16::from_le_bytes([l0, l1]),
        };
        ensure((1..=rows).contains(&groups.count), "group_count", 24)?;
        let one_length = groups.middle_len == 0 || groups.middles_len == 0;
        ensure(one_length, "middles_len beside a length of all", 30)?;
        Ok(groups)
    }

    pub(super) const fn encode(self) -> [u8; Self::LEN] {
        let [n0, n1, n2, n3] = self.count.to_le_bytes();
        let [m0, m1] = self.middle_len.to_le_bytes();
        let [l0, l1] = self.middles_len.to_le_bytes();
        [n0, n1, n2, n3, m0, m1, l0, l1]
    }
}

/// Runs of lengths in a block of `rows` rows.
pub(super) const fn runs(rows: u32) -> u32 {
    rows.div_ceil(RUN_ROWS)
}

/// Bytes of a group's first row, in a block of `rows` rows.
pub(super) const fn start_width(rows: u32) -> u8 {
    match rows {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Lengths of a block's sections, in bytes, in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    pub(super) groups: u64,
    pub(super) prefix: u64,
    pub(super) tags: u64,
    pub(super) starts: u64,
    pub(super) ends: u64,
    pub(super) middles: u64,
    pub(super) heads: u64,
    pub(super) offsets: u64,
    pub(super) seqnos: u64,
    pub(super) kinds: u64,
}

impl Sections {
    /// Where the rows begin.
    pub(super) const fn rows_at(&self) -> u64 {
        self.heads_at() + self.heads + self.offsets + self.seqnos + self.kinds
    }

    const fn prefix_at(&self) -> u64 {
        Header::LEN as u64 + self.groups
    }

    pub(super) const fn starts_at(&self) -> u64 {
        self.prefix_at() + self.prefix + self.tags
    }

    pub(super) const fn middles_at(&self) -> u64 {
        self.starts_at() + self.starts + self.ends
    }

    pub(super) const fn heads_at(&self) -> u64 {
        self.middles_at() + self.middles
    }
}

pub(super) const fn malformed(what: &'static str, offset: usize) -> Error {
    Error::Malformed { what, offset }
}

pub(super) fn ensure(holds: bool, what: &'static str, offset: usize) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(malformed(what, offset)) }
}
