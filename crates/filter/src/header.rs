use crate::{
    Error, FilterKind, Membership,
    input::{in_range, len_u64, take},
    line::LINE_LEN,
    rate::PROBES_MAX,
    ribbon::Shape,
};

pub(crate) const MAGIC: [u8; 4] = *b"SFLT";
pub(crate) const VERSION: u8 = 1;

/// The tag, among those of [`FilterKind`], of what is no filter but a retrieval.
pub(crate) const RETRIEVAL_TAG: u8 = 4;

/// What stands before the lines or layers.
///
/// # Layout (v1) of a blocked Bloom filter
///
/// ```text
/// offset  size  field        unit / encoding
///      0     4  magic        b"SFLT"
///      4     1  version      1
///      5     1  kind         1 blocked Bloom filter
///      6     1  probes       bits set per key, 1 to 16
///      7     1  membership   of what the hashes are
///      8     4  lines        u32 LE, 1 to 2^24
///     12     4  reserved     zero
///     16     8  keys         u64 LE, hashes added, at least 1
///     24    32  reserved     zero
///     56     8  extractor    u64 LE; zero without prefixes
///     64   64n  lines        n = lines, 512 bits each
/// ```
///
/// That of a ribbon is at [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) membership: Membership,
    pub(crate) keys: u64,
    pub(crate) body: Body,
}

/// What the header says about what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    BlockedBloom(Lines),
    Ribbon(Answers, Shape),
}

/// What a ribbon answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Fingerprints: a filter.
    Fingerprints,
    /// Values: a retrieval.
    Values,
}

/// The lines of a blocked Bloom filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) probes: u8,
    pub(crate) count: u32,
}

impl Lines {
    /// Most lines: 1 GiB of them.
    pub(crate) const COUNT_MAX: u32 = 1 << 24;
}

impl Body {
    /// The name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BlockedBloom(_) => FilterKind::BlockedBloom.name(),
            Self::Ribbon(Answers::Fingerprints, _) => FilterKind::Burr.name(),
            Self::Ribbon(Answers::Values, _) => "retrieval",
        }
    }

    pub(crate) fn tag(&self) -> u8 {
        match self {
            Self::BlockedBloom(_) => FilterKind::BlockedBloom.tag(),
            Self::Ribbon(Answers::Fingerprints, _) => FilterKind::Burr.tag(),
            Self::Ribbon(Answers::Values, _) => RETRIEVAL_TAG,
        }
    }

    /// Bytes, with the header, of the whole.
    fn len(&self) -> u64 {
        match self {
            Self::BlockedBloom(lines) => {
                len_u64(Header::LEN) + u64::from(lines.count) * len_u64(LINE_LEN)
            }
            Self::Ribbon(_, shape) => shape.end(),
        }
    }
}

impl Header {
    /// Bytes: one line, so that lines are aligned to 64 bytes whenever the whole is.
    pub(crate) const LEN: usize = LINE_LEN;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let (parameter, front, back) = match &self.body {
            Body::BlockedBloom(lines) => {
                let [a, b, c, d] = lines.count.to_le_bytes();
                (lines.probes, [a, b, c, d, 0, 0, 0, 0], [0; 32])
            }
            Body::Ribbon(_, shape) => {
                let (front, back) = shape.encode();
                (shape.columns.whole, front, back)
            }
        };
        let extractor = self.membership.extractor().map_or(0, core::num::NonZeroU64::get);
        let fields = MAGIC
            .into_iter()
            .chain([VERSION, self.body.tag(), parameter, self.membership.tag()])
            .chain(front)
            .chain(self.keys.to_le_bytes())
            .chain(back)
            .chain(extractor.to_le_bytes());
        let mut bytes = [0; Self::LEN];
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    /// Reads and checks every field. What follows is the rest of `bytes`, no more and no less.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let header_len = len_u64(Self::LEN);
        let mut input = bytes;
        let magic = take(&mut input, header_len)?;
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        let [version] = take(&mut input, header_len)?;
        if version != VERSION {
            return Err(Error::UnknownVersion { found: version, known: VERSION });
        }
        let [tag] = take(&mut input, header_len)?;
        let kind = FilterKind::from_tag(tag);
        if kind.is_none() && tag != RETRIEVAL_TAG {
            return Err(Error::UnknownKind { tag });
        }
        let [parameter] = take(&mut input, header_len)?;
        let [membership] = take(&mut input, header_len)?;
        let front: [u8; 8] = take(&mut input, header_len)?;
        let keys = u64::from_le_bytes(take(&mut input, header_len)?);
        let back: [u8; 32] = take(&mut input, header_len)?;
        let extractor = u64::from_le_bytes(take(&mut input, header_len)?);

        let ribbon = |answers| {
            let shape = Shape::decode(parameter, front, back, header_len)?;
            Ok(Body::Ribbon(answers, shape))
        };
        let body = match kind {
            Some(FilterKind::BlockedBloom) => Body::BlockedBloom(lines(parameter, front, back)?),
            Some(FilterKind::Burr) => ribbon(Answers::Fingerprints)?,
            None => ribbon(Answers::Values)?,
        };
        in_range("keys", keys, 1, u64::MAX)?;
        let membership = match body {
            Body::Ribbon(Answers::Values, shape) => {
                in_range("extra", shape.columns.extra.into(), 0, 0)?;
                in_range("membership", membership.into(), 0, 0)?;
                in_range("extractor", extractor, 0, 0)?;
                Membership::WholeKeys
            }
            _ => decode_membership(membership, extractor)?,
        };

        let header = Self { membership, keys, body };
        let (needed, available) = (header.body.len(), len_u64(bytes.len()));
        if available < needed {
            return Err(Error::Truncated { needed, available });
        }
        in_range("length", available, needed, needed)?;
        if let Body::Ribbon(..) = header.body {
            let padding = bytes.last_chunk::<{ Shape::PADDING_LEN }>();
            let nonzero = padding.into_iter().flatten().copied().max().unwrap_or(0);
            in_range("reserved", nonzero.into(), 0, 0)?;
        }
        Ok(header)
    }
}

/// The fields of a blocked Bloom filter at 6, at 8 to 16 and at 24 to 56.
fn lines(probes: u8, front: [u8; 8], back: [u8; 32]) -> Result<Lines, Error> {
    let [a, b, c, d, reserved @ ..] = front;
    let count = u32::from_le_bytes([a, b, c, d]);
    let nonzero = reserved.into_iter().chain(back).max().unwrap_or(0);
    in_range("reserved", nonzero.into(), 0, 0)?;
    in_range("probes", probes.into(), 1, PROBES_MAX.into())?;
    in_range("lines", count.into(), 1, Lines::COUNT_MAX.into())?;
    Ok(Lines { probes, count })
}

fn decode_membership(tag: u8, extractor: u64) -> Result<Membership, Error> {
    in_range("membership", tag.into(), 0, Membership::TAG_MAX.into())?;
    let (min, max) = if tag == 0 { (0, 0) } else { (1, u64::MAX) };
    let refused = Error::Field { field: "extractor", value: extractor, min, max };
    Membership::from_tag(tag, extractor).ok_or(refused)
}
