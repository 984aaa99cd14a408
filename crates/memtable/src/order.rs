use std::{cmp::Ordering, sync::Arc};

use stratal_types::{Comparator, SeqNo};

use crate::row::Row;

/// The order of a memtable's rows: by key, versions of a key newest first.
#[derive(Debug)]
pub(crate) struct Order {
    comparator: Arc<dyn Comparator>,
    /// Whether keys are compared byte by byte, so that heads have the order of keys.
    pub(crate) is_bytewise: bool,
}

/// A place in the order: that of the version `seqno` of `key`, whether it is there or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) seqno: SeqNo,
}

impl Order {
    pub(crate) fn new(comparator: Arc<dyn Comparator>) -> Self {
        Self { is_bytewise: comparator.is_bytewise(), comparator }
    }

    pub(crate) const fn comparator(&self) -> &Arc<dyn Comparator> {
        &self.comparator
    }

    pub(crate) fn compare(&self, row: Row<'_>, place: Place<'_>) -> Ordering {
        let keys = if self.is_bytewise {
            row.key().cmp(place.key)
        } else {
            self.comparator.compare(row.key(), place.key)
        };
        keys.then_with(|| place.seqno.cmp(&row.seqno()))
    }
}

impl<'a> Place<'a> {
    pub(crate) const fn of(row: Row<'a>) -> Self {
        Self { key: row.key(), seqno: row.seqno() }
    }
}

/// The first 8 bytes of a key behind `prefix`, as a number that sorts like them; of a key without that
/// prefix, the least or the greatest.
///
/// Never falls where bytewise keys rise, and is the same for keys that are the same.
pub(crate) fn head(prefix: &[u8], key: &[u8]) -> u64 {
    if prefix.is_empty() {
        // Not only shorter: comparing no bytes at an address that is none costs a hundred nanoseconds
        // where the processor's masked loads do it.
        return first_bytes(key);
    }
    match key.split_at_checked(prefix.len()) {
        Some((start, rest)) if start == prefix => first_bytes(rest),
        _ if key < prefix => 0,
        _ => u64::MAX,
    }
}

fn first_bytes(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        padded
    });
    u64::from_le_bytes(first).swap_bytes()
}

/// How many bytes two keys have in common at their beginning.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_never_fall_where_keys_rise() {
        let keys: Vec<&[u8]> = vec![
            b"",
            b"\0",
            b"a",
            b"ab",
            b"ab\0",
            b"abc",
            b"abcdefgh",
            b"abcdefghi",
            b"abcdefgi",
            b"ac",
            b"b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for prefix in &keys {
            let heads: Vec<_> = keys.iter().map(|key| head(prefix, key)).collect();
            assert!(heads.is_sorted(), "{}: {heads:?}", prefix.escape_ascii());
        }
        assert!(head(b"ab", b"abc") < head(b"ab", b"abd"));
    }
}
