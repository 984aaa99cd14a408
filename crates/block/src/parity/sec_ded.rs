//! One check byte for each word of eight bytes: M. Y. Hsiao, "A class of optimal minimum odd-weight-column
//! SEC-DED codes" (1970), with columns chosen so that a sentence describes them.

use super::Damage;

/// Bytes of payload to a check byte.
pub(super) const WORD_LEN: usize = 8;

/// `COLUMNS[i]` is the check byte of the word in which bit `i` alone is set.
///
/// The bytes with three bits set, ascending, then the first eight with five. An odd number of bits in
/// each makes that of two flipped bits even, and so no other's.
static COLUMNS: [u8; 64] = columns();

/// `TABLES[k][b]` is the check byte of the word whose byte `k` is `b`, the others zero.
static TABLES: [[u8; 256]; WORD_LEN] = tables();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would report an index out of bounds; \
              the loop variable is below 256"
)]
const fn columns() -> [u8; 64] {
    let mut columns = [0; 64];
    let mut found = 0;
    let mut ones = 3;
    while ones <= 5 {
        let mut byte = 0u32;
        while byte < 256 && found < columns.len() {
            if byte.count_ones() == ones {
                columns[found] = byte as u8;
                found += 1;
            }
            byte += 1;
        }
        ones += 2;
    }
    assert!(found == columns.len());
    columns
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which would report an index out of bounds"
)]
const fn tables() -> [[u8; 256]; WORD_LEN] {
    let columns = columns();
    let mut tables = [[0; 256]; WORD_LEN];
    let mut k = 0;
    while k < WORD_LEN {
        let mut byte = 0;
        while byte < 256 {
            let mut bit = 0;
            while bit < 8 {
                if byte >> bit & 1 == 1 {
                    tables[k][byte] ^= columns[8 * k + bit];
                }
                bit += 1;
            }
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// The check byte of a word.
#[inline]
fn check(word: [u8; WORD_LEN]) -> u8 {
    TABLES.iter().zip(word).fold(0, |check, (table, byte)| {
        check ^ table.get(usize::from(byte)).copied().unwrap_or_default()
    })
}

/// The word that a last, shorter piece stands for: zeros behind it.
fn padded(tail: &[u8]) -> [u8; WORD_LEN] {
    let mut word = [0; WORD_LEN];
    word.iter_mut().zip(tail).for_each(|(place, byte)| *place = *byte);
    word
}

/// Writes the check bytes of `payload` to `out`.
pub(super) fn encode(payload: &[u8], out: &mut [u8]) {
    let (words, tail) = payload.as_chunks();
    let last = (!tail.is_empty()).then(|| padded(tail));
    let words = words.iter().copied().chain(last);
    out.iter_mut().zip(words).for_each(|(place, word)| *place = check(word));
}

/// Corrects each word of `payload` that has one flipped bit, or whose check byte has.
pub(super) fn correct(payload: &mut [u8], checks: &[u8]) -> Damage {
    let mut damage = Damage::default();
    for (piece, &expected) in payload.chunks_mut(WORD_LEN).zip(checks) {
        let syndrome = check(padded(piece)) ^ expected;
        if syndrome == 0 {
            continue;
        }
        damage.damaged += 1;
        if syndrome.is_power_of_two() {
            // The check byte is what was damaged.
            continue;
        }
        let bit = COLUMNS.iter().position(|&column| column == syndrome);
        match bit.and_then(|bit| Some((piece.get_mut(bit / 8)?, bit % 8))) {
            Some((byte, bit)) => *byte ^= 1 << bit,
            None => damage.lost = true,
        }
    }
    damage
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine bytes: seven of payload, as the last piece may have fewer, and more in a second word.
    const PAYLOAD: [u8; 13] = *b"some payload!";

    fn flipped(bits: &[usize]) -> (Damage, bool) {
        let mut checks = [0; 2];
        encode(&PAYLOAD, &mut checks);
        let mut payload = PAYLOAD;
        for &bit in bits {
            match bit / 8 {
                byte @ 0..13 => payload[byte] ^= 1 << (bit % 8),
                byte => checks[byte - 13] ^= 1 << (bit % 8),
            }
        }
        let damage = correct(&mut payload, &checks);
        (damage, payload == PAYLOAD)
    }

    /// The word a flipped bit belongs to.
    fn word(bit: usize) -> usize {
        match bit / 8 {
            byte @ 0..13 => byte / WORD_LEN,
            byte => byte - 13,
        }
    }

    #[test]
    fn every_single_bit_is_corrected_and_every_second_one_in_a_word_is_noticed() {
        assert_eq!(flipped(&[]), (Damage::default(), true));
        for one in 0..15 * 8 {
            assert_eq!(flipped(&[one]), (Damage { damaged: 1, lost: false }, true), "{one}");
            for other in one + 1..15 * 8 {
                let (damage, healed) = flipped(&[one, other]);
                if word(one) == word(other) {
                    assert_eq!(damage, Damage { damaged: 1, lost: true }, "{one}, {other}");
                } else {
                    assert_eq!((damage, healed), (Damage { damaged: 2, lost: false }, true));
                }
            }
        }
    }

    #[test]
    fn columns_are_distinct_and_odd() {
        let mut sorted = COLUMNS;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(COLUMNS.iter().all(|column| matches!(column.count_ones(), 3 | 5)));
        assert_eq!((COLUMNS[0], COLUMNS[55], COLUMNS[56], COLUMNS[63]), (0x07, 0xe0, 0x1f, 0x57));
    }
}
