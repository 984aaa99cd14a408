use stratal_types::{EntryDigest, EntryKind, SeqNo, Trailer};

use crate::sorted::words::byte_width;

/// A row, but for the bytes of key and value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) trailer: Trailer,
    pub(super) value_len: u32,
    pub(super) key_len: u16,
    /// Bytes of the key that the row before has too; [`u16::MAX`] if it has the same key.
    pub(super) shared_len: u16,
    pub(super) tag: u8,
    pub(super) digest: EntryDigest,
}

/// What the rows have in common: all that the layout depends on, kept while rows are added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) prefix_len: u16,
    pub(super) key_len_min: u16,
    pub(super) key_len_max: u16,
    pub(super) value_len_min: u32,
    pub(super) value_len_max: u32,
    /// Numbers are the upper part of trailers: the lowest trailer has the lowest number.
    trailer_min: Trailer,
    trailer_max: Trailer,
    /// Bits in which the trailers of neighbours differ.
    trailer_bits: u64,
    /// Bytes that keys share with those before them, of those that are not the same.
    shared_sum: u64,
    /// Rows that have the key of the row before.
    same_keys: u64,
}

impl Row {
    /// Bytes of key and value.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.key_len as usize + self.value_len as usize
    }

    /// Whether the row before has the same key.
    #[inline]
    pub(super) const fn has_same_key(&self) -> bool {
        self.shared_len == u16::MAX
    }
}

impl Shape {
    pub(super) const EMPTY: Self = {
        let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
        Self {
            prefix_len: 0,
            key_len_min: 0,
            key_len_max: 0,
            value_len_min: 0,
            value_len_max: 0,
            trailer_min: trailer,
            trailer_max: trailer,
            trailer_bits: 0,
            shared_sum: 0,
            same_keys: 0,
        }
    };

    /// Of one row, which counts as sharing all of its key with none.
    #[inline]
    pub(super) const fn of(row: &Row) -> Self {
        Self {
            prefix_len: row.key_len,
            key_len_min: row.key_len,
            key_len_max: row.key_len,
            value_len_min: row.value_len,
            value_len_max: row.value_len,
            trailer_min: row.trailer,
            trailer_max: row.trailer,
            trailer_bits: 0,
            shared_sum: row.key_len as u64,
            same_keys: 0,
        }
    }

    /// Of one more row, behind `last`, with which it shares `shared_len` bytes.
    #[inline]
    pub(super) fn with(&self, row: &Row, shared_len: u16, last: Trailer) -> Self {
        let is_same = u64::from(row.has_same_key());
        Self {
            // What all neighbours share, all keys share.
            prefix_len: self.prefix_len.min(shared_len),
            key_len_min: self.key_len_min.min(row.key_len),
            key_len_max: self.key_len_max.max(row.key_len),
            value_len_min: self.value_len_min.min(row.value_len),
            value_len_max: self.value_len_max.max(row.value_len),
            trailer_min: self.trailer_min.min(row.trailer),
            trailer_max: self.trailer_max.max(row.trailer),
            trailer_bits: self.trailer_bits | (last.bits() ^ row.trailer.bits()),
            shared_sum: self.shared_sum + (1 - is_same) * u64::from(shared_len),
            same_keys: self.same_keys + is_same,
        }
    }

    pub(super) const fn seqno_min(&self) -> u64 {
        self.trailer_min.seqno().get()
    }

    /// Bytes of what a number is above the lowest.
    #[inline]
    pub(super) fn seqno_width(&self) -> u8 {
        byte_width(self.trailer_max.seqno().get() - self.seqno_min())
    }

    /// `None` where kinds differ.
    #[inline]
    pub(super) const fn kind(&self) -> Option<EntryKind> {
        let [kind_bits, ..] = self.trailer_bits.to_le_bytes();
        if kind_bits == 0 { Some(self.trailer_min.kind()) } else { None }
    }

    /// Bytes that keys share with those before them beyond what all of `rows` rows share, where the same
    /// key counts for `same_len`: no division into groups saves more, if no row counts for more.
    pub(super) fn shared_beyond_prefix(&self, rows: usize, same_len: usize) -> u64 {
        let others = (rows as u64).saturating_sub(self.same_keys);
        let prefixes = others * u64::from(self.prefix_len);
        self.shared_sum.saturating_sub(prefixes) + self.same_keys * same_len as u64
    }
}
