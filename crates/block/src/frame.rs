use alloc::{format, string::String, vec::Vec};

use stratal_types::dump::Dump;

use crate::{
    BlockId, BlockKind, Checksum, DictionaryId, Error, Parity, Seal,
    parity::{annotate_trailer, reidentify_tail},
};

/// A block as stored: header, payload, check, and a trailer if it has parity.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        encoding
///      0     2  magic        b"SB"
///      2     1  version      1
///      3     1  kind         the writer's number for the block's role
///      4     1  codec        0 none, 1 lz4, 2 zstd, 3 zstd with a dictionary
///      5     1  flags        bit 0: the check is CRC-32C; bits 1 and 2: the seal; bits 3 and 4: the
///                            parity; other bits 0
///      6     1  data         shards of data; 0 if the parity has no shards
///      7     1  parity       shards of parity; 0 if it has none
///      8     4  stored_len   u32, bytes of the payload as stored, tag included
///     12     4  plain_len    u32, bytes of the payload once decoded
///     16     d  dictionary   u64, id of the dictionary; d = 8 if codec is 3, else 0
///   16+d     n  payload      n = stored_len
/// 16+d+n     8  check        u64, over bytes 0..16+d+n and the block's identity
/// 24+d+n     t  trailer      only with parity
/// ```
///
/// All integers are little-endian. A frame that was split off is complete and its header is well
/// formed; only [`verify`](Self::verify) says that its bytes are the ones written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    header: FrameHeader,
    /// Header and payload.
    covered: &'a [u8],
    check: u64,
    trailer: &'a [u8],
}

/// The start of a [`Frame`], up to its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the block is for.
    pub kind: BlockKind,
    /// How the payload is encoded.
    pub codec: Codec,
    /// What protects the block.
    pub checksum: Checksum,
    /// What the payload is encrypted with.
    pub seal: Seal,
    /// What the block has to be repaired from.
    pub parity: Parity,
    /// Length of the payload as stored, in bytes; that of the seal's tag included.
    pub stored_len: u32,
    /// Length of the payload once decoded, in bytes.
    pub plain_len: u32,
}

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// As it is.
    None,
    /// LZ4 block format.
    Lz4,
    /// One Zstandard frame.
    Zstd,
    /// One Zstandard frame, made with the dictionary of this id.
    ZstdDictionary(DictionaryId),
}

const MAGIC: [u8; 2] = *b"SB";
const VERSION: u8 = 1;
const FLAG_CRC32C: u8 = 1;
const SEAL_SHIFT: u32 = 1;
const SEAL_MASK: u8 = 0b110;
const PARITY_SHIFT: u32 = 3;
const PARITY_MASK: u8 = 0b11000;
const CHECK_LEN: usize = size_of::<u64>();

impl Codec {
    /// The byte on disk. Never renumbered; retired tags stay retired.
    pub const fn tag(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::ZstdDictionary(_) => 3,
        }
    }

    pub(crate) const fn dictionary(self) -> Option<DictionaryId> {
        match self {
            Self::ZstdDictionary(id) => Some(id),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Lz4 => "Lz4",
            Self::Zstd => "Zstd",
            Self::ZstdDictionary(_) => "Zstd with a dictionary",
        }
    }
}

impl FrameHeader {
    /// Length on disk of the fields that every header has, in bytes.
    pub const LEN: usize = 16;

    /// Splits a header off the front of `bytes`, and checks what a header alone can get wrong;
    /// returns it and the rest.
    ///
    /// # Errors
    ///
    /// [`Error::NotABlock`], [`Error::Unsupported`] for a newer version, codec or flag,
    /// [`Error::LengthMismatch`] if the lengths contradict each other, and
    /// [`Error::Truncated`] when bytes are missing.
    #[expect(clippy::inline_always, reason = "its result is many fields, to be kept in registers")]
    #[inline(always)]
    pub fn split_from(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let truncated = |needed| Error::Truncated { needed, available: bytes.len() };
        let (fixed, rest) = bytes.split_first_chunk().ok_or_else(|| truncated(Frame::OVERHEAD))?;
        let [m0, m1, version, kind, codec, flags, data, parity, s0, s1, s2, s3, p0, p1, p2, p3] =
            *fixed;
        let shards = [data, parity];
        if [m0, m1] != MAGIC {
            return Err(Error::NotABlock { found: [m0, m1] });
        }
        let unsupported = |what, found| Error::Unsupported { what, found };
        if version != VERSION {
            return Err(unsupported("block version", version.into()));
        }
        let checksum = match flags & FLAG_CRC32C {
            0 => Checksum::Xxh3,
            _ => Checksum::Crc32c,
        };
        let seal = Seal::from_tag((flags & SEAL_MASK) >> SEAL_SHIFT)
            .filter(|_| flags & !(FLAG_CRC32C | SEAL_MASK | PARITY_MASK) == 0)
            .ok_or_else(|| unsupported("block flags", flags.into()))?;
        let parity = Parity::from_tags((flags & PARITY_MASK) >> PARITY_SHIFT, shards)
            .filter(|parity| parity.goes_with(checksum))
            .ok_or_else(|| unsupported("block shards", u16::from_le_bytes(shards).into()))?;
        let mut header = Self {
            kind: BlockKind(kind),
            codec: Codec::None,
            checksum,
            seal,
            parity,
            stored_len: u32::from_le_bytes([s0, s1, s2, s3]),
            plain_len: u32::from_le_bytes([p0, p1, p2, p3]),
        };
        let mut rest = rest;
        header.codec = match codec {
            0 => Codec::None,
            1 => Codec::Lz4,
            2 => Codec::Zstd,
            3 => {
                let (id, behind) = rest
                    .split_first_chunk()
                    .ok_or_else(|| truncated(Frame::OVERHEAD + DictionaryId::LEN))?;
                rest = behind;
                Codec::ZstdDictionary(DictionaryId(u64::from_le_bytes(*id)))
            }
            _ => return Err(unsupported("block codec", codec.into())),
        };
        let overhead = u64::from(seal.overhead());
        let expected = match header.codec {
            Codec::None => u64::from(header.plain_len).saturating_add(overhead),
            _ => overhead.max(header.stored_len.into()),
        };
        if u64::from(header.stored_len) != expected {
            return Err(Error::LengthMismatch {
                field: "stored_len",
                expected,
                actual: header.stored_len.into(),
            });
        }
        Ok((header, rest))
    }

    /// Appends the header to `out`.
    #[inline]
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encode_fixed());
        if let Codec::ZstdDictionary(id) = self.codec {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }

    /// The fields that every header has.
    #[inline]
    pub(crate) const fn encode_fixed(&self) -> [u8; Self::LEN] {
        let [m0, m1] = MAGIC;
        let flag_crc32c = match self.checksum {
            Checksum::Xxh3 => 0,
            Checksum::Crc32c => FLAG_CRC32C,
        };
        let (scheme, [data, parity]) = self.parity.tags();
        let flags = flag_crc32c | self.seal.tag() << SEAL_SHIFT | scheme << PARITY_SHIFT;
        let [s0, s1, s2, s3] = self.stored_len.to_le_bytes();
        let [p0, p1, p2, p3] = self.plain_len.to_le_bytes();
        let (kind, codec) = (self.kind.0, self.codec.tag());
        [m0, m1, VERSION, kind, codec, flags, data, parity, s0, s1, s2, s3, p0, p1, p2, p3]
    }

    /// Length of the header on disk, in bytes: 16, and 8 more if it names a dictionary.
    pub const fn encoded_len(&self) -> usize {
        match self.codec {
            Codec::ZstdDictionary(_) => Self::LEN + DictionaryId::LEN,
            _ => Self::LEN,
        }
    }

    /// Length of the payload without the seal's tag, in bytes.
    pub(crate) const fn compressed_len(&self) -> usize {
        (self.stored_len as usize).saturating_sub(self.seal.overhead() as usize)
    }

    /// Length of the frame that starts with this header, in bytes.
    #[inline]
    pub const fn frame_len(&self) -> usize {
        let trailer_len = self.parity.overhead(self.stored_len as usize);
        self.covered_len().saturating_add(CHECK_LEN).saturating_add(trailer_len)
    }

    const fn covered_len(&self) -> usize {
        self.encoded_len().saturating_add(self.stored_len as usize)
    }
}

impl<'a> Frame<'a> {
    /// Bytes that a frame adds to its payload, if nothing is enabled: header and check.
    pub const OVERHEAD: usize = FrameHeader::LEN + CHECK_LEN;

    /// Splits one frame off the front of `bytes`; returns it and the rest. Allocates nothing.
    ///
    /// # Errors
    ///
    /// Those of [`FrameHeader::split_from`], and [`Error::Truncated`] when bytes are missing.
    #[inline]
    pub fn split_from(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let truncated = |needed| Error::Truncated { needed, available: bytes.len() };
        let (header, _) = FrameHeader::split_from(bytes)?;
        let missing = || truncated(header.frame_len());
        let (covered, rest) = bytes.split_at_checked(header.covered_len()).ok_or_else(missing)?;
        let (check, rest) = rest.split_first_chunk().ok_or_else(missing)?;
        let trailer_len = header.parity.overhead(header.stored_len as usize);
        let (trailer, rest) = rest.split_at_checked(trailer_len).ok_or_else(missing)?;
        Ok((Self { header, covered, check: u64::from_le_bytes(*check), trailer }, rest))
    }

    /// Takes `stored` as exactly one frame.
    ///
    /// # Errors
    ///
    /// Those of [`split_from`](Self::split_from), and [`Error::LengthMismatch`] when the header
    /// speaks of fewer or more bytes than `stored` has.
    #[expect(clippy::inline_always, reason = "its result is many fields, to be kept in registers")]
    #[inline(always)]
    pub fn from_exact(stored: &'a [u8]) -> Result<Self, Error> {
        let (header, _) = match FrameHeader::split_from(stored) {
            Ok(split) => split,
            Err(Error::Truncated { needed, .. }) if stored.len() >= FrameHeader::LEN => {
                return Err(not_exactly(needed, stored));
            }
            Err(error) => return Err(error),
        };
        let frame_len = header.frame_len();
        if frame_len != stored.len() {
            return Err(not_exactly(frame_len, stored));
        }
        let split = stored.split_at_checked(header.covered_len()).and_then(|(covered, rest)| {
            let (check, trailer) = rest.split_first_chunk()?;
            Some(Self { header, covered, check: u64::from_le_bytes(*check), trailer })
        });
        split.ok_or_else(|| not_exactly(frame_len, stored))
    }

    /// Checks that this is the block that `id` names, as it was written.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKind`] and [`Error::Checksum`]; both also when the bytes are intact but belong
    /// to another block.
    #[expect(clippy::inline_always, reason = "its result is many fields, to be kept in registers")]
    #[inline(always)]
    pub fn verify(&self, id: BlockId) -> Result<(), Error> {
        if self.header.kind != id.kind {
            return Err(Error::WrongKind { expected: id.kind.0, found: self.header.kind.0 });
        }
        let expected = self.header.checksum.check(self.covered, id);
        if expected != self.check {
            return Err(Error::Checksum { expected, actual: self.check });
        }
        Ok(())
    }

    /// The header.
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The payload as stored: compressed, encrypted, with the tag.
    pub fn payload(&self) -> &'a [u8] {
        self.covered.get(self.header.encoded_len()..).unwrap_or_default()
    }

    /// Header and payload: what the check covers.
    pub(crate) const fn covered(&self) -> &'a [u8] {
        self.covered
    }

    /// The stored check.
    pub const fn check(&self) -> u64 {
        self.check
    }

    /// What stands behind the check: nothing, or parity. The check does not cover it.
    pub const fn trailer(&self) -> &'a [u8] {
        self.trailer
    }
}

#[cold]
const fn not_exactly(frame_len: usize, stored: &[u8]) -> Error {
    Error::LengthMismatch {
        field: "frame",
        expected: frame_len as u64,
        actual: stored.len() as u64,
    }
}

/// Checks that `stored` is exactly the block that `id` names, without decoding the payload.
///
/// Repairs nothing and does not look at parity; [`scrub`](crate::scrub) does both.
///
/// # Errors
///
/// Those of [`Frame::from_exact`] and [`Frame::verify`].
pub fn verify(id: BlockId, stored: &[u8]) -> Result<FrameHeader, Error> {
    let frame = Frame::from_exact(stored)?;
    frame.verify(id)?;
    Ok(frame.header)
}

/// Makes the block `old` the block `new`, by its check alone: the bytes are neither read nor
/// verified, so what was damaged before stays noticed.
///
/// # Errors
///
/// Those of [`Frame::from_exact`], [`Error::WrongKind`] if block, `old` and `new` are not of one
/// kind, and [`Error::Sealed`]: the seal binds the block to its place.
pub fn reidentify(stored: &mut [u8], old: BlockId, new: BlockId) -> Result<(), Error> {
    let frame = Frame::from_exact(stored)?;
    let kind = frame.header.kind;
    if let Some(other) = [old, new].into_iter().find(|id| id.kind != kind) {
        return Err(Error::WrongKind { expected: other.kind.0, found: kind.0 });
    }
    if frame.header.seal != Seal::None {
        return Err(Error::Sealed);
    }
    let header = frame.header;
    let difference = header.checksum.identity(old) ^ header.checksum.identity(new);
    let check = frame.check ^ difference;
    let check_at = header.covered_len();
    if let Some(place) = stored.get_mut(check_at..).and_then(<[u8]>::first_chunk_mut) {
        *place = check.to_le_bytes();
    }
    if header.parity != Parity::None {
        reidentify_tail(&header, stored, difference);
    }
    Ok(())
}

/// Describes the frame that `dump` has next: its header, its payload as one field, its check.
///
/// What is no frame is left undescribed, with a note that says why.
pub fn annotate_frame(dump: &mut Dump<'_>) {
    annotate_frame_with(dump, |dump, len| {
        dump.field(len, "payload");
    });
}

/// Like [`annotate_frame`], where `payload` describes the bytes of a payload that is stored as it
/// is; it is given their number.
pub fn annotate_frame_with(dump: &mut Dump<'_>, payload: impl FnOnce(&mut Dump<'_>, usize)) {
    let header = match Frame::split_from(dump.remaining()) {
        Ok((frame, _)) => *frame.header(),
        Err(error) => {
            dump.note(error);
            return;
        }
    };
    let [_, _, _, _, _, flags, ..] = header.encode_fixed();
    let FrameHeader { kind, codec, checksum, seal, parity, stored_len, plain_len } = header;
    let shards = match parity.shards() {
        (0, 0) => String::from("reserved"),
        (data, parity) => format!("shards: {data} data, {parity} parity"),
    };
    dump.field(2, "magic \"SB\"")
        .field(1, format_args!("version {VERSION}"))
        .field(1, format_args!("kind {}", kind.0))
        .field(1, format_args!("codec {}, {}", codec.tag(), codec.name()))
        .field(1, format_args!("flags {flags:#04x}{}{}", seal_name(seal), parity_name(parity)))
        .field(2, shards)
        .field(4, format_args!("stored_len {stored_len}"))
        .field(4, format_args!("plain_len {plain_len}"));
    if let Codec::ZstdDictionary(id) = codec {
        dump.field(DictionaryId::LEN, format_args!("dictionary {id}"));
    }
    match (codec, seal) {
        (Codec::None, Seal::None) => payload(dump, stored_len as usize),
        (_, Seal::None) => {
            dump.field(stored_len as usize, "payload, compressed");
        }
        _ => {
            dump.field(header.compressed_len(), "payload, encrypted")
                .field(seal.overhead().into(), "tag of the seal");
        }
    }
    dump.field(CHECK_LEN, format_args!("check, {checksum:?}"));
    if parity != Parity::None {
        annotate_trailer(dump, &header);
    }
}

/// Describes all that `dump` has as a frame whose header cannot be trusted: the fields where they would
/// stand, without their values, and the last bytes as its check. What lies between is for `payload`,
/// which is given its length. Nothing is described if there are too few bytes for a frame.
pub fn annotate_broken_frame(dump: &mut Dump<'_>, payload: impl FnOnce(&mut Dump<'_>, usize)) {
    let Some(payload_len) = dump.remaining().len().checked_sub(Frame::OVERHEAD) else { return };
    for (name, len) in [
        ("magic", 2),
        ("version", 1),
        ("kind", 1),
        ("codec", 1),
        ("flags", 1),
        ("shards of data", 1),
        ("shards of parity", 1),
        ("stored_len", 4),
        ("plain_len", 4),
    ] {
        dump.field(len, name);
    }
    payload(dump, payload_len);
    dump.field(CHECK_LEN, "check");
}

const fn seal_name(seal: Seal) -> &'static str {
    match seal {
        Seal::None => "",
        Seal::Aes256Gcm => ", AES-256-GCM",
        Seal::ChaCha20Poly1305 => ", ChaCha20-Poly1305",
    }
}

const fn parity_name(parity: Parity) -> &'static str {
    match parity {
        Parity::None => "",
        Parity::SecDed => ", SEC-DED",
        Parity::Xor { .. } => ", XOR",
        Parity::ReedSolomon { .. } => ", Reed-Solomon",
    }
}
