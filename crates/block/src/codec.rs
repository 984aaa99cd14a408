use alloc::{borrow::Cow, vec::Vec};

use crate::{
    BlockId, BlockSpec, Codec, Compression, Error, Frame, FrameHeader, Limits,
    compression::decompress_into,
};

/// Seals payloads into frames and opens them again.
///
/// Made by [`BlockSpec::resolve`], cheap to clone, shared by any number of threads. What the spec
/// says concerns sealing; opening follows each block's header, so that any codec opens any block.
#[derive(Clone, Debug)]
pub struct BlockCodec {
    spec: BlockSpec,
    limits: Limits,
}

impl BlockCodec {
    pub(crate) const fn new(spec: BlockSpec, limits: Limits) -> Self {
        Self { spec, limits }
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
        let mut header = FrameHeader {
            kind: id.kind,
            codec: Codec::None,
            checksum: self.spec.checksum,
            stored_len: plain_len,
            plain_len,
        };
        out.reserve(plain.len().saturating_add(Frame::OVERHEAD));
        out.extend_from_slice(&header.encode());
        let payload_at = out.len();
        if let Some(stored_len) = self.append_compressed(plain, plain_len, out)? {
            header = FrameHeader { codec: self.spec.compression.codec(), stored_len, ..header };
            if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
                *place = header.encode();
            }
        } else {
            out.truncate(payload_at);
            out.extend_from_slice(plain);
        }
        let check = self.spec.checksum.check(out.get(start..).unwrap_or_default(), id);
        out.extend_from_slice(&check.to_le_bytes());
        Ok(header.frame_len())
    }

    /// Appends `plain` compressed, and returns its length if that is worth storing.
    fn append_compressed(
        &self,
        plain: &[u8],
        plain_len: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<u32>, Error> {
        if self.spec.compression == Compression::None {
            return Ok(None);
        }
        let stored_len = self.spec.compression.compress(plain, out)?;
        Ok(u32::try_from(stored_len).ok().filter(|&stored_len| {
            u64::from(stored_len) * 8 <= u64::from(plain_len) * 7
                && u64::from(plain_len) <= self.limits.plain_len_from(stored_len)
        }))
    }

    /// Verifies that `stored` is the block that `id` names, and decodes its payload; lends it where
    /// it was stored as it is.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](crate::verify), [`Error::TooLong`] over the [`Limits`], and
    /// [`Error::Codec`] or [`Error::LengthMismatch`] if the payload does not decode to what the
    /// header says. [`Error::Unsupported`] if its codec is not compiled in.
    pub fn open<'a>(&self, id: BlockId, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        let frame = self.verified(id, stored)?;
        if frame.header().codec == Codec::None {
            return Ok(Cow::Borrowed(frame.payload()));
        }
        let mut plain = Vec::new();
        decode(&frame, &mut plain)?;
        Ok(Cow::Owned(plain))
    }

    /// Like [`open`](Self::open), into a buffer that is used again: `out` holds the payload
    /// afterwards and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open). What `out` then holds is not specified.
    pub fn open_into(&self, id: BlockId, stored: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        decode(&self.verified(id, stored)?, out)
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

fn decode(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let FrameHeader { codec, plain_len, .. } = *frame.header();
    decompress_into(codec, frame.payload(), plain_len as usize, out)
}
