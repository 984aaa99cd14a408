use alloc::{borrow::Cow, sync::Arc, vec, vec::Vec};
use core::fmt;

use crate::{
    BlockContext, BlockId, BlockSpec, Codec, Compression, Dictionary, Error, FileKey, Frame,
    FrameHeader, Limits, Opened, Outcome, Parity, Payload, Seal,
    compression::{Compressor, decompress, decompress_into, exactly},
    heal::heal,
    parity::write_trailer,
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
    key: Option<FileKey>,
}

/// Bytes copied at once behind a header. Longer runs are copied by an instruction that is slow where
/// source and destination do not lie alike, which a header of 16 bytes sees to.
const COPIED_AT_ONCE: usize = 1024;

impl BlockCodec {
    pub(crate) fn new(spec: BlockSpec, compressor: Compressor, context: &BlockContext) -> Self {
        let BlockContext { limits, dictionaries, key } = context.clone();
        Self { spec, compressor, limits, dictionaries: dictionaries.into(), key }
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
    /// [`Error::InvalidArgument`] over [`Limits::plain_len_max`], and for the ordinal of a sealed
    /// block from [`FileKey::ORDINAL_END`] on; [`Error::WrongKey`] if the key is another file's;
    /// [`Error::NotSealed`] if there is a key and the spec does not use it; and [`Error::Codec`] if
    /// the compressor fails. `out` is as before.
    pub fn seal_into(&self, id: BlockId, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let start = out.len();
        let sealed = self.append_frame(id, plain, out);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Like [`seal_into`](Self::seal_into) for a payload that is still to be written: `write` appends it
    /// to what it is given. Where payloads are stored as they are that is `out`, so that none is copied;
    /// otherwise `scratch`, which is cleared before.
    ///
    /// # Errors
    ///
    /// Those of [`seal_into`](Self::seal_into). `write` may have been called then.
    ///
    /// ```
    /// use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec};
    /// use stratal_types::FileUid;
    ///
    /// let codec = BlockSpec::default().resolve(&BlockContext::default())?;
    /// let id = BlockId { uid: FileUid([7; 16]), ordinal: 3, kind: BlockKind(1) };
    /// let (mut out, mut scratch) = (Vec::new(), Vec::new());
    /// codec.seal_written(id, |payload| payload.extend(b"rows"), &mut scratch, &mut out)?;
    /// assert_eq!(out, codec.seal(id, b"rows")?);
    /// # Ok::<(), stratal_block::Error>(())
    /// ```
    pub fn seal_written(
        &self,
        id: BlockId,
        write: impl FnOnce(&mut Vec<u8>),
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        if self.spec.compression != Compression::None {
            scratch.clear();
            write(scratch);
            return self.seal_into(id, scratch, out);
        }
        let start = out.len();
        out.extend_from_slice(&[0; FrameHeader::LEN]);
        let payload_at = out.len();
        write(out);
        let plain_len = out.len().saturating_sub(payload_at);
        let sealed = self.raw_header(id, plain_len).and_then(|header| {
            if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
                *place = header.encode_fixed();
            }
            self.close_frame(header, id, start, out)
        });
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    fn append_frame(&self, id: BlockId, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let start = out.len();
        let raw = self.raw_header(id, plain.len())?;
        let compressed = match self.spec.compression {
            Compression::None => None,
            _ => self.append_compressed(raw, plain, out)?,
        };
        if compressed.is_none() {
            out.reserve(raw.frame_len());
            raw.encode_into(out);
            for piece in plain.chunks(COPIED_AT_ONCE) {
                out.extend_from_slice(piece);
            }
        }
        self.close_frame(compressed.unwrap_or(raw), id, start, out)
    }

    /// The header of a payload of `len` bytes that is stored as it is.
    fn raw_header(&self, id: BlockId, len: usize) -> Result<FrameHeader, Error> {
        let BlockSpec { checksum, seal, parity, .. } = self.spec;
        if seal == Seal::None && self.key.is_some() {
            return Err(Error::NotSealed);
        }
        let overhead = u32::from(seal.overhead());
        let plain_len_max = self.limits.plain_len_max.min(u32::MAX - overhead);
        let plain_len = u32::try_from(len).ok().filter(|&len| len <= plain_len_max);
        let plain_len = plain_len.ok_or_else(|| Error::InvalidArgument {
            field: "plain_len",
            value: i64::try_from(len).unwrap_or(i64::MAX),
            min: 0,
            max: plain_len_max.into(),
        })?;
        let stored_len = plain_len.saturating_add(overhead);
        Ok(FrameHeader {
            kind: id.kind,
            codec: Codec::None,
            checksum,
            seal,
            parity,
            stored_len,
            plain_len,
        })
    }

    /// Encrypts the payload of the frame that begins at `start`, whose header is there, and appends what
    /// follows it; returns the frame's length.
    fn close_frame(
        &self,
        header: FrameHeader,
        id: BlockId,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let BlockSpec { checksum, seal, parity, .. } = self.spec;
        if seal != Seal::None {
            let key = self.key_for(id)?;
            let payload_at = start.saturating_add(header.encoded_len());
            let payload = out.get_mut(payload_at..).unwrap_or_default();
            let tag = key.encrypt(id, &header, payload)?;
            out.extend_from_slice(&tag);
        }
        let check = checksum.check(out.get(start..).unwrap_or_default(), id);
        out.extend_from_slice(&check.to_le_bytes());
        if parity != Parity::None {
            write_trailer(&header, check, start, out)?;
        }
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
        let start = out.len();
        let codec = self.spec.compression.codec();
        out.reserve(plain.len().saturating_add(Frame::OVERHEAD));
        FrameHeader { codec, ..raw }.encode_into(out);
        let compressed_len = self.compressor.compress(plain, out)?;
        let plain_len = u64::from(raw.plain_len);
        let stored_len = u32::try_from(compressed_len).ok().and_then(|compressed_len| {
            let worthwhile = u64::from(compressed_len) * 8 <= plain_len * 7
                && plain_len <= self.limits.plain_len_from(compressed_len.into());
            // It is below `raw.stored_len`, which has the seal's overhead in it.
            let saved = raw.plain_len.saturating_sub(compressed_len);
            worthwhile.then_some(raw.stored_len.saturating_sub(saved))
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

    /// Appends to `out`, as block `to`, the block `from` whose bytes are `stored` and which `source` has
    /// opened, its payload still as it was compressed; returns how many bytes that took.
    ///
    /// `None`, and nothing is appended, if this codec makes other blocks: with another check, seal or
    /// parity, by another compression or with another dictionary. The level of the compression does not
    /// show in a block.
    ///
    /// The check of a block in the clear is neither verified nor computed again, but changed by what
    /// tells `from` and `to` apart: damage that has happened meanwhile stays noticed. A sealed block is
    /// verified, opened and sealed again. Parity is made anew.
    ///
    /// # Errors
    ///
    /// Those of [`Frame::from_exact`], [`Error::WrongKind`] if block, `from` and `to` are not of one
    /// kind; of a sealed block also those of [`open`](Self::open) and of
    /// [`seal_into`](Self::seal_into). `out` is as before.
    ///
    /// ```
    /// use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec};
    /// use stratal_types::FileUid;
    ///
    /// let codec = BlockSpec::default().resolve(&BlockContext::default())?;
    /// let from = BlockId { uid: FileUid([7; 16]), ordinal: 3, kind: BlockKind(1) };
    /// let to = BlockId { uid: FileUid([8; 16]), ordinal: 0, ..from };
    /// let stored = codec.seal(from, b"rows")?;
    /// let mut carried = Vec::new();
    /// assert_eq!(codec.carry_into(&codec, from, to, &stored, &mut carried)?, Some(stored.len()));
    /// assert_eq!(carried, codec.seal(to, b"rows")?);
    /// # Ok::<(), stratal_block::Error>(())
    /// ```
    pub fn carry_into(
        &self,
        source: &Self,
        from: BlockId,
        to: BlockId,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        let start = out.len();
        let carried = self.append_carried(source, from, to, stored, out);
        if carried.is_err() {
            out.truncate(start);
        }
        carried
    }

    fn append_carried(
        &self,
        source: &Self,
        from: BlockId,
        to: BlockId,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        let frame = Frame::from_exact(stored)?;
        let header = *frame.header();
        if let Some(other) = [from, to].into_iter().find(|id| id.kind != header.kind) {
            return Err(Error::WrongKind { expected: other.kind.0, found: header.kind.0 });
        }
        let BlockSpec { checksum, seal, parity, compression } = self.spec;
        let is_ours = header.codec == Codec::None || header.codec == compression.codec();
        if !is_ours || (header.checksum, header.seal, header.parity) != (checksum, seal, parity) {
            return Ok(None);
        }
        let start = out.len();
        out.reserve(header.frame_len());
        let check = if seal == Seal::None {
            if self.key.is_some() {
                return Err(Error::NotSealed);
            }
            out.extend_from_slice(frame.covered());
            frame.check() ^ checksum.identity(from) ^ checksum.identity(to)
        } else {
            let frame = source.verified(from, stored)?;
            header.encode_into(out);
            let payload_at = out.len();
            out.resize(payload_at.saturating_add(header.compressed_len()), 0);
            let payload = out.get_mut(payload_at..).unwrap_or_default();
            source.key_for(from)?.decrypt(from, &header, frame.payload(), payload)?;
            let tag = self.key_for(to)?.encrypt(to, &header, payload)?;
            out.extend_from_slice(&tag);
            checksum.check(out.get(start..).unwrap_or_default(), to)
        };
        out.extend_from_slice(&check.to_le_bytes());
        if parity != Parity::None {
            write_trailer(&header, check, start, out)?;
        }
        Ok(Some(header.frame_len()))
    }

    /// Verifies that `stored` is the block that `id` names, and decodes its payload; lends it where
    /// it was stored as it is. A damaged block that has parity is repaired first, and verified then.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](crate::verify), [`Error::Lost`] where there is more damage than parity,
    /// [`Error::TooLong`] over the [`Limits`], and [`Error::Codec`] or [`Error::LengthMismatch`] if
    /// the payload does not decode to what the header says. [`Error::Unsupported`] if its codec,
    /// cipher or, where it is needed, parity is not compiled in, and [`Error::MissingDictionary`] if
    /// the context had not the dictionary that it names. Of a sealed block, [`Error::KeyNeeded`],
    /// [`Error::WrongKey`] and [`Error::SealBroken`]; of any other, [`Error::NotSealed`] if the
    /// context had a key.
    pub fn open<'a>(&self, id: BlockId, stored: &'a [u8]) -> Result<Opened<'a>, Error> {
        let (payload, outcome) = self.open_with(id, stored, |len| vec![0; len])?;
        let payload = match payload {
            Payload::Lent(plain) => Cow::Borrowed(plain),
            Payload::Made(plain) => Cow::Owned(plain),
        };
        Ok(Opened { payload, outcome })
    }

    /// Like [`open`](Self::open), with the caller's memory for a payload that cannot be lent: `memory` makes
    /// as many bytes as it is told, and may leave anything in them.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`Error::LengthMismatch`] if `memory` makes fewer or more bytes.
    ///
    /// ```
    /// use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec, Compression, Payload};
    /// use stratal_types::FileUid;
    ///
    /// let spec = BlockSpec { compression: Compression::Lz4, ..BlockSpec::default() };
    /// let codec = spec.resolve(&BlockContext::default())?;
    /// let id = BlockId { uid: FileUid([7; 16]), ordinal: 3, kind: BlockKind(1) };
    /// let stored = codec.seal(id, &[5; 1000])?;
    /// let memory = |len| vec![0; len].into_boxed_slice();
    /// let (payload, _) = codec.open_with(id, &stored, memory)?;
    /// assert!(matches!(payload, Payload::Made(plain) if *plain == [5; 1000]));
    /// # Ok::<(), stratal_block::Error>(())
    /// ```
    pub fn open_with<'a, M: AsMut<[u8]>>(
        &self,
        id: BlockId,
        stored: &'a [u8],
        memory: impl FnOnce(usize) -> M,
    ) -> Result<(Payload<'a, M>, Outcome), Error> {
        let frame = match self.verified(id, stored) {
            Ok(frame) => frame,
            Err(error) => {
                let healed = heal(id, stored, error)?;
                let made = self.decode_with(id, &self.verified(id, &healed)?, memory)?;
                return Ok((Payload::Made(made), Outcome::Healed));
            }
        };
        let FrameHeader { codec, seal, .. } = frame.header();
        let payload = if (*codec, *seal) == (Codec::None, Seal::None) {
            Payload::Lent(frame.payload())
        } else {
            Payload::Made(self.decode_with(id, &frame, memory)?)
        };
        Ok((payload, Outcome::Clean))
    }

    fn decode_with<M: AsMut<[u8]>>(
        &self,
        id: BlockId,
        frame: &Frame<'_>,
        memory: impl FnOnce(usize) -> M,
    ) -> Result<M, Error> {
        let FrameHeader { codec, seal, plain_len, .. } = *frame.header();
        let mut made = memory(plain_len as usize);
        let out = made.as_mut();
        exactly(out.len(), plain_len as usize)?;
        match (codec, seal) {
            (Codec::None, Seal::None) => {
                exactly(frame.payload().len(), out.len())?;
                out.copy_from_slice(frame.payload());
            }
            (_, Seal::None) => decompress(codec, frame.payload(), &self.dictionaries, out)?,
            (Codec::None, _) => {
                self.key_for(id)?.decrypt(id, frame.header(), frame.payload(), out)?;
            }
            (..) => {
                let mut compressed = vec![0; frame.header().compressed_len()];
                let key = self.key_for(id)?;
                key.decrypt(id, frame.header(), frame.payload(), &mut compressed)?;
                decompress(codec, &compressed, &self.dictionaries, out)?;
            }
        }
        Ok(made)
    }

    /// Like [`open`](Self::open), into a buffer that is used again: `out` holds the payload
    /// afterwards and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open). What `out` then holds is not specified.
    pub fn open_into(
        &self,
        id: BlockId,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Error> {
        match self.verified(id, stored) {
            Ok(frame) => self.decode(id, &frame, out).map(|()| Outcome::Clean),
            Err(error) => {
                let healed = heal(id, stored, error)?;
                self.decode(id, &self.verified(id, &healed)?, out).map(|()| Outcome::Healed)
            }
        }
    }

    fn decode(&self, id: BlockId, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let FrameHeader { codec, seal, plain_len, .. } = *frame.header();
        let plain_len = plain_len as usize;
        if seal == Seal::None {
            return decompress_into(codec, frame.payload(), &self.dictionaries, plain_len, out);
        }
        let key = self.key_for(id)?;
        if codec == Codec::None {
            out.resize(plain_len, 0);
            return key.decrypt(id, frame.header(), frame.payload(), out);
        }
        // What is decrypted stands behind the place for what it decodes to.
        out.resize(plain_len.saturating_add(frame.header().compressed_len()), 0);
        let (plain, compressed) = out.split_at_mut_checked(plain_len).unwrap_or_default();
        key.decrypt(id, frame.header(), frame.payload(), compressed)?;
        decompress(codec, compressed, &self.dictionaries, plain)?;
        out.truncate(plain_len);
        Ok(())
    }

    /// The key, if it is the one for this block.
    fn key_for(&self, id: BlockId) -> Result<&FileKey, Error> {
        let key = self.key.as_ref().ok_or(Error::KeyNeeded { epoch: None })?;
        key.check_id(id).map(|()| key)
    }

    // What it returns is many fields, which by a call would go through memory: 7 ns of 85.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    fn verified<'a>(&self, id: BlockId, stored: &'a [u8]) -> Result<Frame<'a>, Error> {
        let frame = Frame::from_exact(stored)?;
        let FrameHeader { codec, seal, plain_len, .. } = *frame.header();
        frame.verify(id)?;
        if seal == Seal::None && self.key.is_some() {
            return Err(Error::NotSealed);
        }
        let mut limit = u64::from(self.limits.plain_len_max);
        if codec != Codec::None {
            let compressed_len = frame.header().compressed_len() as u64;
            limit = limit.min(self.limits.plain_len_from(compressed_len));
        }
        if u64::from(plain_len) > limit {
            return Err(Error::TooLong { field: "plain_len", len: plain_len.into(), limit });
        }
        Ok(frame)
    }
}

impl fmt::Debug for BlockCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, limits, dictionaries, key, compressor: _ } = self;
        f.debug_struct("BlockCodec")
            .field("spec", spec)
            .field("limits", limits)
            .field("dictionaries", dictionaries)
            .field("key", key)
            .finish_non_exhaustive()
    }
}
