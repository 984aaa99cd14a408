use alloc::vec::Vec;

use crate::{Codec, Dictionary, DictionaryId, Error};

/// How payloads are compressed when written. Reading follows the block's own header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4 block format: fast both ways, about half the gain of zstd.
    Lz4,
    /// Zstandard. Needs the `zstd` feature.
    Zstd {
        /// −5 to 22, faster to smaller; 0 is the library's default.
        level: i32,
    },
    /// Zstandard with a dictionary, which the context supplies. Needs the `zstd` feature.
    ZstdDictionary {
        /// −5 to 22, faster to smaller; 0 is the library's default.
        level: i32,
        /// Which dictionary.
        id: DictionaryId,
    },
}

impl Compression {
    /// Lowest level of zstd.
    pub const ZSTD_LEVEL_MIN: i32 = -5;
    /// Highest level of zstd.
    pub const ZSTD_LEVEL_MAX: i32 = 22;

    /// The codec of blocks that this compresses.
    pub const fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd { .. } => Codec::Zstd,
            Self::ZstdDictionary { id, .. } => Codec::ZstdDictionary(id),
        }
    }

    /// Fails if a level is out of range, or the provider not compiled in.
    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            Self::None | Self::Lz4 => Ok(()),
            Self::Zstd { level } | Self::ZstdDictionary { level, .. } => check_level(level),
        }
    }

    /// Gets ready what it needs. It is valid.
    pub(crate) fn resolve(self, dictionaries: &[Dictionary]) -> Result<Compressor, Error> {
        Ok(match self {
            Self::None => Compressor::None,
            Self::Lz4 => Compressor::Lz4,
            Self::Zstd { level } => Compressor::Zstd { level },
            Self::ZstdDictionary { level, id } => {
                Compressor::ZstdDictionary(zstd::encoder(find(dictionaries, id)?, level)?)
            }
        })
    }
}

fn check_level(level: i32) -> Result<(), Error> {
    let (min, max) = (Compression::ZSTD_LEVEL_MIN, Compression::ZSTD_LEVEL_MAX);
    if !(min..=max).contains(&level) {
        return Err(Error::InvalidArgument {
            field: "zstd level",
            value: level.into(),
            min: min.into(),
            max: max.into(),
        });
    }
    if cfg!(not(feature = "zstd")) {
        return Err(NO_ZSTD);
    }
    Ok(())
}

fn find(dictionaries: &[Dictionary], id: DictionaryId) -> Result<&Dictionary, Error> {
    let found = dictionaries.iter().find(|dictionary| dictionary.id() == id);
    found.ok_or(Error::MissingDictionary { id })
}

/// A [`Compression`] that is ready to work.
#[derive(Clone)]
pub(crate) enum Compressor {
    None,
    Lz4,
    Zstd { level: i32 },
    ZstdDictionary(zstd::Encoder),
}

impl Compressor {
    /// Appends `plain` compressed to `out`; returns how many bytes that took.
    pub(crate) fn compress(&self, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let start = out.len();
        let added = match self {
            Self::None => {
                out.extend_from_slice(plain);
                plain.len()
            }
            Self::Lz4 => lz4::compress(plain, room_for(out, lz4::len_max(plain.len())))?,
            Self::Zstd { level } => {
                zstd::compress(*level, plain, room_for(out, zstd::len_max(plain.len())))?
            }
            Self::ZstdDictionary(encoder) => zstd::compress_with_dictionary(
                encoder,
                plain,
                room_for(out, zstd::len_max(plain.len())),
            )?,
        };
        out.truncate(start.saturating_add(added));
        Ok(added)
    }
}

/// Decodes `stored` into `out`, which afterwards holds `plain_len` bytes, or none if that fails.
pub(crate) fn decompress_into(
    codec: Codec,
    stored: &[u8],
    dictionaries: &[Dictionary],
    plain_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let decoded = match codec {
        Codec::None => {
            out.clear();
            out.extend_from_slice(stored);
            Ok(())
        }
        Codec::Lz4 => lz4::decompress_into(stored, plain_len, out),
        Codec::Zstd => zstd::decompress_into(stored, plain_len, out),
        Codec::ZstdDictionary(id) => find(dictionaries, id).and_then(|dictionary| {
            zstd::decompress_with_dictionary_into(stored, dictionary, plain_len, out)
        }),
    };
    let checked = decoded.and_then(|()| exactly(out.len(), plain_len));
    if checked.is_err() {
        out.clear();
    }
    checked
}

/// Decodes `stored`, which is compressed, to all of `out`.
pub(crate) fn decompress(
    codec: Codec,
    stored: &[u8],
    dictionaries: &[Dictionary],
    out: &mut [u8],
) -> Result<(), Error> {
    let written = match codec {
        Codec::None => return Err(Error::Codec { codec, reason: "it is not compressed" }),
        Codec::Lz4 => lz4::decompress(stored, out)?,
        Codec::Zstd => zstd::decompress(stored, out)?,
        Codec::ZstdDictionary(id) => {
            zstd::decompress_with_dictionary(stored, find(dictionaries, id)?, out)?
        }
    };
    exactly(written, out.len())
}

pub(crate) fn exactly(actual: usize, plain_len: usize) -> Result<(), Error> {
    if actual == plain_len {
        return Ok(());
    }
    Err(Error::LengthMismatch {
        field: "decoded payload",
        expected: plain_len as u64,
        actual: actual as u64,
    })
}

pub(crate) const NO_ZSTD: Error =
    Error::Unsupported { what: "zstd", found: Codec::Zstd.tag() as u32 };

/// Lengthens `out` by `len` bytes and lends those.
fn room_for(out: &mut Vec<u8>, len: usize) -> &mut [u8] {
    let start = out.len();
    out.resize(start.saturating_add(len), 0);
    out.get_mut(start..).unwrap_or_default()
}

/// One context per thread, made when first needed.
#[cfg(feature = "std")]
mod reuse {
    use core::cell::Cell;
    use std::thread::LocalKey;

    /// Payloads up to this length leave their context behind for the next one, in bytes. What a
    /// larger one made the context grow to is given back at once.
    pub(super) const KEPT_PAYLOAD_LEN_MAX: usize = 1 << 20;

    /// Runs `work` with the thread's context. If it is in use, or the thread is ending, with a new
    /// one.
    pub(super) fn with<C, R>(
        slot: &'static LocalKey<Cell<Option<C>>>,
        payload_len: usize,
        work: impl FnOnce(&mut Option<C>) -> R,
    ) -> R {
        let mut context = slot.try_with(Cell::take).ok().flatten();
        let result = work(&mut context);
        if payload_len <= KEPT_PAYLOAD_LEN_MAX {
            // During the end of the thread there is no slot, and nothing to keep.
            if slot.try_with(|slot| slot.set(context)).is_err() {}
        }
        result
    }
}

mod lz4 {
    use super::{Codec, Error, Vec};
    use lz4_flex::block;

    pub(super) const fn len_max(plain_len: usize) -> usize {
        block::get_maximum_output_size(plain_len)
    }

    #[cfg(feature = "std")]
    pub(super) fn compress(plain: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        use super::reuse;
        use core::cell::Cell;

        std::thread_local! {
            static TABLE: Cell<Option<block::CompressTable>> = const { Cell::new(None) };
        }
        reuse::with(&TABLE, plain.len(), |kept| {
            let table = match kept {
                Some(table) if is_small(table) == fits_small(plain) => table,
                _ => kept.insert(table_for(plain)),
            };
            block::compress_into_with_table(plain, out, table).map_err(cannot_compress)
        })
    }

    #[cfg(not(feature = "std"))]
    pub(super) fn compress(plain: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let mut table = table_for(plain);
        block::compress_into_with_table(plain, out, &mut table).map_err(cannot_compress)
    }

    /// The table for a payload of this length, always: one of the other width would find other
    /// matches, and the bytes would depend on what was compressed before.
    fn table_for(plain: &[u8]) -> block::CompressTable {
        if fits_small(plain) {
            block::CompressTable::small()
        } else {
            block::CompressTable::large()
        }
    }

    fn fits_small(plain: &[u8]) -> bool {
        plain.len() < usize::from(u16::MAX)
    }

    #[cfg(feature = "std")]
    fn is_small(table: &block::CompressTable) -> bool {
        matches!(table, block::CompressTable::Small(_))
    }

    fn cannot_compress(_: block::CompressError) -> Error {
        Error::Codec { codec: Codec::Lz4, reason: "the output outgrew its bound" }
    }

    pub(super) fn decompress_into(
        stored: &[u8],
        plain_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // What `out` held before is overwritten, or cut off below; it need not be cleared.
        out.resize(plain_len, 0);
        let written = decompress(stored, out)?;
        out.truncate(written);
        Ok(())
    }

    /// Returns how much it decodes to.
    pub(super) fn decompress(stored: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        block::decompress_into(stored, out).map_err(|error| {
            use block::DecompressError as E;
            let reason = match error {
                E::OutputTooSmall { .. } => "it decodes to more than its header says",
                E::LiteralOutOfBounds | E::ExpectedAnotherByte => "it ends too early",
                E::OffsetZero | E::OffsetOutOfBounds => "it refers to bytes outside of it",
                _ => "it does not decode",
            };
            Error::Codec { codec: Codec::Lz4, reason }
        })
    }
}

#[cfg(feature = "zstd")]
mod zstd {
    use super::{Codec, Dictionary, Error, Vec, reuse};
    use crate::dictionary::MALFORMED;
    use ::zstd::{
        bulk,
        zstd_safe::{CCtx, CDict, DCtx},
    };
    use alloc::sync::Arc;
    use core::cell::Cell;

    pub(super) fn len_max(plain_len: usize) -> usize {
        ::zstd::zstd_safe::compress_bound(plain_len)
    }

    pub(super) fn compress(level: i32, plain: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        std::thread_local! {
            static CONTEXT: Cell<Option<(i32, bulk::Compressor<'static>)>> =
                const { Cell::new(None) };
        }
        reuse::with(&CONTEXT, plain.len(), |kept| {
            let (_, context) = match kept {
                Some(context) if context.0 == level => context,
                _ => {
                    let context = bulk::Compressor::new(level).map_err(|_| no_context())?;
                    kept.insert((level, context))
                }
            };
            context.compress_to_buffer(plain, out).map_err(|_| cannot_compress())
        })
    }

    /// A dictionary, ready for writing at one level.
    pub(crate) type Encoder = Arc<CDict<'static>>;

    pub(super) fn encoder(dictionary: &Dictionary, level: i32) -> Result<Encoder, Error> {
        CDict::try_create(dictionary.bytes(), level).map(Arc::new).ok_or(MALFORMED)
    }

    pub(super) fn compress_with_dictionary(
        encoder: &Encoder,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        std::thread_local! {
            static CONTEXT: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
        }
        reuse::with(&CONTEXT, plain.len(), |kept| {
            let context = match kept {
                Some(context) => context,
                None => kept.insert(CCtx::try_create().ok_or_else(no_context)?),
            };
            context.compress_using_cdict(out, plain, encoder).map_err(|_| cannot_compress())
        })
    }

    pub(super) fn decompress_into(
        stored: &[u8],
        plain_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        with_decoder(plain_len, |context| {
            out.clear();
            out.reserve_exact(plain_len);
            context.decompress(out, stored).map(drop)
        })
    }

    pub(super) fn decompress_with_dictionary_into(
        stored: &[u8],
        dictionary: &Dictionary,
        plain_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        with_decoder(plain_len, |context| {
            out.clear();
            out.reserve_exact(plain_len);
            context.decompress_using_ddict(out, stored, dictionary.decoder()).map(drop)
        })
    }

    /// Returns how much it decodes to.
    pub(super) fn decompress(stored: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        with_decoder(out.len(), |context| context.decompress(out, stored))
    }

    /// Returns how much it decodes to.
    pub(super) fn decompress_with_dictionary(
        stored: &[u8],
        dictionary: &Dictionary,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        with_decoder(out.len(), |context| {
            context.decompress_using_ddict(out, stored, dictionary.decoder())
        })
    }

    fn with_decoder<R>(
        plain_len: usize,
        decode: impl FnOnce(&mut DCtx<'static>) -> Result<R, usize>,
    ) -> Result<R, Error> {
        std::thread_local! {
            static CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
        }
        reuse::with(&CONTEXT, plain_len, |kept| {
            let context = match kept {
                Some(context) => context,
                None => kept.insert(DCtx::try_create().ok_or_else(no_context)?),
            };
            decode(context)
                .map_err(|_| Error::Codec { codec: Codec::Zstd, reason: "it does not decode" })
        })
    }

    const fn cannot_compress() -> Error {
        Error::Codec {
            codec: Codec::Zstd,
            reason: "the library cannot compress it, most likely for want of memory",
        }
    }

    const fn no_context() -> Error {
        Error::Codec { codec: Codec::Zstd, reason: "no memory for a context" }
    }
}

/// What stands in where the provider is not compiled in.
#[cfg(not(feature = "zstd"))]
mod zstd {
    use super::{Dictionary, Error, NO_ZSTD, Vec};

    /// There is none.
    #[derive(Clone)]
    pub(crate) enum Encoder {}

    pub(super) const fn len_max(_: usize) -> usize {
        0
    }

    pub(super) const fn encoder(_: &Dictionary, _: i32) -> Result<Encoder, Error> {
        Err(NO_ZSTD)
    }

    pub(super) const fn compress(_: i32, _: &[u8], _: &mut [u8]) -> Result<usize, Error> {
        Err(NO_ZSTD)
    }

    pub(super) const fn compress_with_dictionary(
        encoder: &Encoder,
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, Error> {
        match *encoder {}
    }

    pub(super) const fn decompress_into(_: &[u8], _: usize, _: &mut Vec<u8>) -> Result<(), Error> {
        Err(NO_ZSTD)
    }

    pub(super) const fn decompress_with_dictionary_into(
        _: &[u8],
        _: &Dictionary,
        _: usize,
        _: &mut Vec<u8>,
    ) -> Result<(), Error> {
        Err(NO_ZSTD)
    }

    pub(super) const fn decompress(_: &[u8], _: &mut [u8]) -> Result<usize, Error> {
        Err(NO_ZSTD)
    }

    pub(super) const fn decompress_with_dictionary(
        _: &[u8],
        _: &Dictionary,
        _: &mut [u8],
    ) -> Result<usize, Error> {
        Err(NO_ZSTD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample(len: usize) -> Vec<u8> {
        (0u32..).flat_map(|i| (i / 3 * 7).to_le_bytes()).take(len).collect()
    }

    fn dictionary() -> Dictionary {
        Dictionary::new(&sample(500)).unwrap()
    }

    fn compressors() -> Vec<(Compression, Compressor)> {
        let mut all = vec![Compression::None, Compression::Lz4];
        if cfg!(feature = "zstd") {
            all.extend([-5, 0, 1, 19].map(|level| Compression::Zstd { level }));
            let id = dictionary().id();
            all.extend([-5, 3, 19].map(|level| Compression::ZstdDictionary { level, id }));
        }
        let resolve = |compression: Compression| compression.resolve(&[dictionary()]).unwrap();
        all.into_iter().map(|compression| (compression, resolve(compression))).collect()
    }

    #[test]
    fn bytes_do_not_depend_on_what_was_compressed_before() {
        for (compression, compressor) in compressors() {
            let compress = |len| {
                let mut out = vec![];
                compressor.compress(&sample(len), &mut out).unwrap();
                out
            };
            let first = compress(4096);
            for other in [0, 1, 100_000, 4096, 2 << 20, 70_000] {
                compress(other);
                assert_eq!(compress(4096), first, "{compression:?} after {other} bytes");
            }
        }
    }

    #[test]
    fn a_buffer_that_is_used_again_keeps_nothing_of_the_past() {
        for (compression, compressor) in compressors() {
            let mut out = vec![0xee; 10_000];
            for len in [5000, 0, 1, 4096, 300] {
                let mut stored = vec![];
                compressor.compress(&sample(len), &mut stored).unwrap();
                let known = [dictionary()];
                let codec = compression.codec();
                decompress_into(codec, &stored, &known, len, &mut out).unwrap();
                assert_eq!(out, sample(len), "{compression:?}");
                let wrong = decompress_into(codec, &stored, &known, len + 1, &mut out);
                assert!(wrong.unwrap_err().is_corruption());
                assert!(out.is_empty());
            }
        }
    }
}
