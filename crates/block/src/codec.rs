use alloc::{borrow::Cow, sync::Arc, vec::Vec};
use core::fmt;

use crate::{
    BlockContext, BlockId, BlockSpec, Codec, Compression, Dictionary, Error, Frame, FrameHeader,
    Limits,
    compression::{Compressor, decompress_into},
};

/// Seals payloads into frames and opens them again.
///
/// Made by [`BlockSpec::resolve`], cheap to clone, shared by any number of threads. What the spec
/// says concerns sealing; opening follows each block's header, so that any codec opens any block
/// for which it has what the block needs.
#[derive(Clone)]
pub struct BlockCodec {
    spec: BlockSpec,
    compressor: Compressor,
    limits: Limits,
    dictionaries: Arc<[Dictionary]>,
}

impl BlockCodec {
    pub(crate) fn new(spec: BlockSpec, compressor: Compressor, context: &BlockContext) -> Self {
        let dictionaries = context.dictionaries.clone().into();
        Self { spec, compressor, limits: context.limits, dictionaries }
    }

    /// What blocks are sealed with.
    pub const fn spec(&self) -> &BlockSpec {
        &self.spec
    }

    /// Makes a block of `plain`.
    ///
    /// # Errors
    ///
    /// Those of [`seal_into`](Self::seal_into).
    pub fn seal(&self, id: BlockId, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.seal_into(id, plain, &mut out)?;
        Ok(out)
    }

    /// Appends a block of `plain` to `out`; returns how many bytes that took.
    ///
    /// A payload that compression does not shrink by an eighth is stored as it is. The same input
    /// gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] over [`Limits::plain_len_max`], and [`Error::Codec`] if the
    /// compressor fails. `out` is as before.
    pub fn seal_into(&self, id: BlockId, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let start = out.len();
        let sealed = self.append_frame(id, plain, out);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    fn append_frame(&self, id: BlockId, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let start = out.len();
        let plain_len_max = self.limits.plain_len_max;
        let plain_len = u32::try_from(plain.len()).ok().filter(|&len| len <= plain_len_max);
        let plain_len = plain_len.ok_or_else(|| Error::InvalidArgument {
            field: "plain_len",
            value: i64::try_from(plain.len()).unwrap_or(i64::MAX),
            min: 0,
            max: plain_len_max.into(),
        })?;
        let raw = FrameHeader {
            kind: id.kind,
            codec: Codec::None,
            checksum: self.spec.checksum,
            stored_len: plain_len,
            plain_len,
        };
        let header = if let Some(header) = self.append_compressed(raw, plain, out)? {
            header
        } else {
            out.reserve(plain.len().saturating_add(Frame::OVERHEAD));
            raw.encode_into(out);
            out.extend_from_slice(plain);
            raw
        };
        let check = self.spec.checksum.check(out.get(start..).unwrap_or_default(), id);
        out.extend_from_slice(&check.to_le_bytes());
        Ok(header.frame_len())
    }

    /// Appends header and payload of `plain` compressed, and returns the header; appends nothing if
    /// that is not worth storing. `raw` is the header of the payload as it is.
    fn append_compressed(
        &self,
        raw: FrameHeader,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<FrameHeader>, Error> {
        if self.spec.compression == Compression::None {
            return Ok(None);
        }
        let start = out.len();
        let codec = self.spec.compression.codec();
        out.reserve(plain.len().saturating_add(Frame::OVERHEAD));
        FrameHeader { codec, ..raw }.encode_into(out);
        let compressed_len = self.compressor.compress(plain, out)?;
        let plain_len = u64::from(raw.plain_len);
        let stored_len = u32::try_from(compressed_len).ok().filter(|&stored_len| {
            u64::from(stored_len) * 8 <= plain_len * 7
                && plain_len <= self.limits.plain_len_from(stored_len)
        });
        let Some(stored_len) = stored_len else {
            out.truncate(start);
            return Ok(None);
        };
        let header = FrameHeader { codec, stored_len, ..raw };
        if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = header.encode_fixed();
        }
        Ok(Some(header))
    }

    /// Verifies that `stored` is the block that `id` names, and decodes its payload; lends it where
    /// it was stored as it is.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](crate::verify), [`Error::TooLong`] over the [`Limits`], and
    /// [`Error::Codec`] or [`Error::LengthMismatch`] if the payload does not decode to what the
    /// header says. [`Error::Unsupported`] if its codec is not compiled in, and
    /// [`Error::MissingDictionary`] if the context had not the dictionary that it names.
    pub fn open<'a>(&self, id: BlockId, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        let frame = self.verified(id, stored)?;
        if frame.header().codec == Codec::None {
            return Ok(Cow::Borrowed(frame.payload()));
        }
        let mut plain = Vec::new();
        self.decode(&frame, &mut plain)?;
        Ok(Cow::Owned(plain))
    }

    /// Like [`open`](Self::open), into a buffer that is used again: `out` holds the payload
    /// afterwards and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open). What `out` then holds is not specified.
    pub fn open_into(&self, id: BlockId, stored: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.decode(&self.verified(id, stored)?, out)
    }

    fn decode(&self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let FrameHeader { codec, plain_len, .. } = *frame.header();
        decompress_into(codec, frame.payload(), &self.dictionaries, plain_len as usize, out)
    }

    fn verified<'a>(&self, id: BlockId, stored: &'a [u8]) -> Result<Frame<'a>, Error> {
        let frame = Frame::from_exact(stored)?;
        let FrameHeader { codec, stored_len, plain_len, .. } = *frame.header();
        frame.verify(id)?;
        let mut limit = u64::from(self.limits.plain_len_max);
        if codec != Codec::None {
            limit = limit.min(self.limits.plain_len_from(stored_len));
        }
        if u64::from(plain_len) > limit {
            return Err(Error::TooLong { field: "plain_len", len: plain_len.into(), limit });
        }
        Ok(frame)
    }
}

impl fmt::Debug for BlockCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, limits, dictionaries, compressor: _ } = self;
        f.debug_struct("BlockCodec")
            .field("spec", spec)
            .field("limits", limits)
            .field("dictionaries", dictionaries)
            .finish_non_exhaustive()
    }
}
