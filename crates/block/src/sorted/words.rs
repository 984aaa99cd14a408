//! Bytes of keys as numbers.

/// The first `width` bytes of `rest` as a number that orders as they do, zeros behind a shorter one.
#[inline]
pub(super) fn head_of(rest: &[u8], width: u8) -> u64 {
    let bytes = match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(rest),
    };
    // The first byte of the key is to be the highest.
    bytes.swap_bytes().checked_shr(64 - 8 * u32::from(width)).unwrap_or(0)
}

/// Fewer than eight bytes as a little-endian number: two halves that overlap where both have bytes.
#[inline]
pub(super) fn short_word(bytes: &[u8]) -> u64 {
    let at = |start: usize| 8 * u32::try_from(start).unwrap_or(0);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << at(bytes.len() - 4);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        let (first, last) = (u16::from_le_bytes(*first), u16::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << at(bytes.len() - 2);
    }
    bytes.first().map_or(0, |&byte| byte.into())
}

/// How many bytes two keys have in common before they part.
#[inline]
pub(super) fn common_len(a: &[u8], b: &[u8]) -> u16 {
    let mut len = 0usize;
    let ((a_words, a_tail), (b_words, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut tails = (a_tail, b_tail);
    for (a_word, b_word) in a_words.iter().zip(b_words) {
        let difference = u64::from_le_bytes(*a_word) ^ u64::from_le_bytes(*b_word);
        if difference != 0 {
            len += difference.trailing_zeros() as usize / 8;
            return u16::try_from(len).unwrap_or(u16::MAX);
        }
        len += 8;
    }
    if a_words.len() != b_words.len() {
        tails = (a.get(len..).unwrap_or_default(), b.get(len..).unwrap_or_default());
    }
    len += tails.0.iter().zip(tails.1).take_while(|(a, b)| a == b).count();
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Bytes that `value` takes; none for 0.
pub(super) fn byte_width(value: u64) -> u8 {
    let bits = u64::BITS - value.leading_zeros();
    u8::try_from(bits.div_ceil(8)).unwrap_or(u8::MAX)
}
