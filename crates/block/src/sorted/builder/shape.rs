use stratal_types::{EntryDigest, EntryKind, Trailer};

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
    pub(super) seqno_min: u64,
    pub(super) seqno_max: u64,
    /// `None` where kinds differ.
    pub(super) kind: Option<EntryKind>,
}

impl Row {
    pub(super) const fn len(&self) -> usize {
        self.key_len as usize + self.value_len as usize
    }
}

impl Shape {
    pub(super) const EMPTY: Self = Self {
        prefix_len: 0,
        key_len_min: 0,
        key_len_max: 0,
        value_len_min: 0,
        value_len_max: 0,
        seqno_min: 0,
        seqno_max: 0,
        kind: Some(EntryKind::Put),
    };

    pub(super) const fn of(row: &Row) -> Self {
        let seqno = row.trailer.seqno().get();
        Self {
            prefix_len: row.key_len,
            key_len_min: row.key_len,
            key_len_max: row.key_len,
            value_len_min: row.value_len,
            value_len_max: row.value_len,
            seqno_min: seqno,
            seqno_max: seqno,
            kind: Some(row.trailer.kind()),
        }
    }

    pub(super) fn with(&self, row: &Row, prefix_len: u16) -> Self {
        let seqno = row.trailer.seqno().get();
        Self {
            prefix_len,
            key_len_min: self.key_len_min.min(row.key_len),
            key_len_max: self.key_len_max.max(row.key_len),
            value_len_min: self.value_len_min.min(row.value_len),
            value_len_max: self.value_len_max.max(row.value_len),
            seqno_min: self.seqno_min.min(seqno),
            seqno_max: self.seqno_max.max(seqno),
            kind: self.kind.filter(|&kind| kind == row.trailer.kind()),
        }
    }
}
