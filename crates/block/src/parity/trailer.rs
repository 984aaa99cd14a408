//! What stands behind a block's check: parity, the checks of its shards, and the tail, which says
//! once more what header and check say.

use alloc::vec::Vec;

use stratal_types::dump::Dump;

use super::{Parity, encode, shards};
use crate::{DictionaryId, Error, FrameHeader, checksum::crc32c};

/// The end of a block with parity: where a reader starts whose header is damaged.
pub(crate) enum Tail {}

impl Tail {
    /// Length on disk, in bytes: header, dictionary, check, and the CRC of these and the shards'.
    pub(crate) const LEN: usize = FrameHeader::LEN + DictionaryId::LEN + 8 + 4;

    /// The header that the tail of `stored` states, if the tail is intact and speaks of a block of
    /// this length.
    pub(crate) fn header(stored: &[u8]) -> Option<FrameHeader> {
        let (front, tail) = stored.split_last_chunk::<{ Self::LEN }>()?;
        let (header, _) = FrameHeader::split_from(tail).ok()?;
        if header.parity == Parity::None || header.frame_len() != stored.len() {
            return None;
        }
        let checks_at = front.len().checked_sub(header.parity.shard_checks_len())?;
        let (covered, crc) = stored.get(checks_at..)?.split_last_chunk()?;
        (crc32c(covered) == u32::from_le_bytes(*crc)).then_some(header)
    }

    /// The check that the tail of `stored` states, intact or not.
    pub(crate) fn check(stored: &[u8]) -> Option<u64> {
        let (front, _) = stored.split_last_chunk::<4>()?;
        front.last_chunk().map(|check| u64::from_le_bytes(*check))
    }
}

/// Appends to `out` the trailer of the block that begins at `start` and has `header` and `check`.
pub(crate) fn write_trailer(
    header: &FrameHeader,
    check: u64,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let parity = header.parity;
    let stored_len = header.stored_len as usize;
    let payload_at = start.saturating_add(header.encoded_len());
    let parity_at = out.len();
    out.reserve(parity.overhead(stored_len));
    out.resize(parity_at.saturating_add(parity.parity_len(stored_len)), 0);
    let (front, parity_bytes) = out.split_at_mut_checked(parity_at).unwrap_or_default();
    let payload = front.get(payload_at..payload_at.saturating_add(stored_len)).unwrap_or_default();
    encode(parity, payload, parity_bytes)?;
    let mut crcs = [0; Parity::SHARDS_MAX as usize];
    let found = shards::checks(parity, payload, parity_bytes);
    let count = crcs.iter_mut().zip(found).map(|(place, crc)| *place = crc).count();
    let tail_at = out.len();
    for crc in crcs.iter().take(count) {
        out.extend_from_slice(&crc.to_le_bytes());
    }
    out.extend_from_slice(&header.encode_fixed());
    out.extend_from_slice(&header.codec.dictionary().map_or(0, |id| id.0).to_le_bytes());
    out.extend_from_slice(&check.to_le_bytes());
    let crc = crc32c(out.get(tail_at..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Changes the check that the tail of `stored` states by `difference`, and its CRC by what follows
/// from that: a tail that was damaged stays so.
pub(crate) fn reidentify_tail(header: &FrameHeader, stored: &mut [u8], difference: u64) {
    let tail_len = Tail::LEN.saturating_add(header.parity.shard_checks_len());
    let Some(tail_at) = stored.len().checked_sub(tail_len) else { return };
    let Some((covered, crc)) = stored.get_mut(tail_at..).and_then(<[u8]>::split_last_chunk_mut)
    else {
        return;
    };
    let before = crc32c(covered);
    if let Some(place) = covered.last_chunk_mut() {
        *place = (u64::from_le_bytes(*place) ^ difference).to_le_bytes();
    }
    *crc = (u32::from_le_bytes(*crc) ^ before ^ crc32c(covered)).to_le_bytes();
}

/// Describes the trailer that `dump` has next.
pub(crate) fn annotate_trailer(dump: &mut Dump<'_>, header: &FrameHeader) {
    let stored_len = header.stored_len as usize;
    let (data, parity) = header.parity.shards();
    if header.parity == Parity::SecDed {
        dump.field(header.parity.parity_len(stored_len), "parity, a byte for each word");
    }
    for shard in 0..parity {
        let len = header.parity.shard_len(stored_len);
        dump.field(len, format_args!("parity shard {shard}"));
    }
    for shard in 0..data {
        dump.field(4, format_args!("CRC-32C of data shard {shard}"));
    }
    for shard in 0..parity {
        dump.field(4, format_args!("CRC-32C of parity shard {shard}"));
    }
    dump.field(FrameHeader::LEN, "copy of the header")
        .field(DictionaryId::LEN, "copy of the dictionary's id")
        .field(8, "copy of the check")
        .field(4, "CRC-32C of the shards' CRCs and the copies");
}
