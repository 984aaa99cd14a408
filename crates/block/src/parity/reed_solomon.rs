//! Reed-Solomon parity by the `reed-solomon-simd` crate: its high-rate code, whatever the rate.

#[cfg(not(feature = "reed-solomon"))]
pub(super) use missing::{SUPPORTED, encode, restore};
#[cfg(feature = "reed-solomon")]
pub(super) use provided::{SUPPORTED, encode, restore};

#[cfg(feature = "reed-solomon")]
mod provided {
    use alloc::vec::Vec;

    use reed_solomon_simd::{
        engine::DefaultEngine,
        rate::{HighRateDecoder, HighRateEncoder, RateDecoder as _, RateEncoder as _},
    };

    use super::super::{Parity, shards::data_shards};
    use crate::Error;

    pub(in super::super) const SUPPORTED: Result<(), Error> = Ok(());

    /// The library refuses nothing of what [`Parity`] allows.
    fn refused(_: reed_solomon_simd::Error) -> Error {
        Error::Parity { reason: "the library refuses these shards" }
    }

    pub(in super::super) fn encode(
        parity: Parity,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let len = parity.shard_len(payload.len());
        if len == 0 {
            return Ok(());
        }
        let (data, count) = parity.shards();
        let mut encoder =
            HighRateEncoder::new(data, count, len, DefaultEngine::new(), None).map_err(refused)?;
        for_each_padded(parity, payload, |_, shard| {
            encoder.add_original_shard(shard).map_err(refused)
        })?;
        let result = encoder.encode().map_err(refused)?;
        for (place, shard) in out.chunks_mut(len).zip(result.recovery_iter()) {
            place.copy_from_slice(shard);
        }
        Ok(())
    }

    /// The shards of data that are not good.
    pub(in super::super) fn restore(
        parity: Parity,
        payload: &[u8],
        parity_bytes: &[u8],
        good_data: &[bool],
        good_parity: &[bool],
    ) -> Result<Vec<(usize, Vec<u8>)>, Error> {
        let len = parity.shard_len(payload.len());
        let (data, count) = parity.shards();
        let mut decoder =
            HighRateDecoder::new(data, count, len, DefaultEngine::new(), None).map_err(refused)?;
        for_each_padded(parity, payload, |index, shard| match good_data.get(index) {
            Some(true) => decoder.add_original_shard(index, shard).map_err(refused),
            _ => Ok(()),
        })?;
        let shards = parity_bytes.chunks(len.max(1)).zip(good_parity).enumerate();
        for (index, (shard, _)) in shards.filter(|&(_, (_, &good))| good) {
            decoder.add_recovery_shard(index, shard).map_err(refused)?;
        }
        let restored = decoder.decode().map_err(refused)?;
        Ok(restored
            .restored_original_iter()
            .map(|(index, shard)| (index, shard.to_vec()))
            .collect())
    }

    /// Each shard of data with its full length, `visit`ed in order.
    fn for_each_padded(
        parity: Parity,
        payload: &[u8],
        mut visit: impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let len = parity.shard_len(payload.len());
        let mut padded = Vec::new();
        data_shards(parity, payload).enumerate().try_for_each(|(index, shard)| {
            if shard.len() == len {
                return visit(index, shard);
            }
            padded.clear();
            padded.extend_from_slice(shard);
            padded.resize(len, 0);
            visit(index, &padded)
        })
    }
}

#[cfg(not(feature = "reed-solomon"))]
mod missing {
    use alloc::vec::Vec;

    use super::super::Parity;
    use crate::Error;

    const MISSING: Error = Error::Unsupported { what: "reed-solomon", found: 3 };

    pub(in super::super) const SUPPORTED: Result<(), Error> = Err(MISSING);

    pub(in super::super) const fn encode(_: Parity, _: &[u8], _: &mut [u8]) -> Result<(), Error> {
        Err(MISSING)
    }

    pub(in super::super) const fn restore(
        _: Parity,
        _: &[u8],
        _: &[u8],
        _: &[bool],
        _: &[bool],
    ) -> Result<Vec<(usize, Vec<u8>)>, Error> {
        Err(MISSING)
    }
}
