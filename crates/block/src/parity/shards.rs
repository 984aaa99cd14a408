//! Payloads in shards: which are damaged, and how one is made anew from all others.

use alloc::{vec, vec::Vec};

use super::{Damage, Parity, reed_solomon};
use crate::{Error, checksum::crc32c};

/// The shards of `payload`, as long as the payload goes; fewer than `data` may have anything.
pub(super) fn data_shards(parity: Parity, payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (data, _) = parity.shards();
    let len = parity.shard_len(payload.len()).max(1);
    payload.chunks(len).chain(core::iter::repeat(&[][..])).take(data)
}

/// The shards of parity.
fn parity_shards(parity: Parity, parity_bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (_, count) = parity.shards();
    let len = (parity_bytes.len() / count.max(1)).max(1);
    parity_bytes.chunks(len).chain(core::iter::repeat(&[][..])).take(count)
}

/// CRC-32C of each shard as far as it is stored, those of data first.
pub(super) fn checks<'a>(
    parity: Parity,
    payload: &'a [u8],
    parity_bytes: &'a [u8],
) -> impl Iterator<Item = u32> + 'a {
    data_shards(parity, payload).chain(parity_shards(parity, parity_bytes)).map(crc32c)
}

/// Writes to `out` the exclusive or of all shards, which are as long as `out`.
pub(super) fn xor(payload: &[u8], out: &mut [u8]) {
    out.fill(0);
    for shard in payload.chunks(out.len().max(1)) {
        xor_into(out, shard);
    }
}

fn xor_into(out: &mut [u8], shard: &[u8]) {
    out.iter_mut().zip(shard).for_each(|(place, byte)| *place ^= byte);
}

/// Finds damaged shards by their checks, and makes those of data anew.
pub(super) fn repair(
    parity: Parity,
    payload: &mut [u8],
    parity_bytes: &[u8],
    shard_checks: &[u8],
) -> Result<Damage, Error> {
    let (expected, _) = shard_checks.as_chunks();
    let good: Vec<bool> = checks(parity, payload, parity_bytes)
        .zip(expected)
        .map(|(actual, expected)| actual == u32::from_le_bytes(*expected))
        .collect();
    let (data, _) = parity.shards();
    let (good_data, good_parity) = good.split_at_checked(data).unwrap_or_default();
    let bad = |good: &[bool]| good.iter().filter(|&&good| !good).count();
    let damaged = bad(good_data) + bad(good_parity);
    let spare = good_parity.len() - bad(good_parity);
    let lost = bad(good_data) > spare;
    if !lost && bad(good_data) > 0 {
        let restored = match parity {
            Parity::ReedSolomon { .. } => {
                reed_solomon::restore(parity, payload, parity_bytes, good_data, good_parity)?
            }
            _ => restore_by_xor(parity, payload, parity_bytes, good_data),
        };
        let len = parity.shard_len(payload.len()).max(1);
        for (index, shard) in restored {
            if let Some(place) = payload.chunks_mut(len).nth(index) {
                place.iter_mut().zip(shard).for_each(|(place, byte)| *place = byte);
            }
        }
    }
    Ok(Damage { damaged, lost })
}

/// The one shard that is not good: what all others, parity included, do not cancel out.
fn restore_by_xor(
    parity: Parity,
    payload: &[u8],
    parity_bytes: &[u8],
    good: &[bool],
) -> Vec<(usize, Vec<u8>)> {
    let mut missing = vec![0; parity_bytes.len()];
    xor_into(&mut missing, parity_bytes);
    for (shard, _) in data_shards(parity, payload).zip(good).filter(|&(_, &good)| good) {
        xor_into(&mut missing, shard);
    }
    good.iter().position(|&good| !good).map(|index| (index, missing)).into_iter().collect()
}
