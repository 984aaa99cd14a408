use std::ops::Range;

use stratal_types::varint;

/// Where a block is, and which one it is.
///
/// # Layout
///
/// Three varints: `offset` (bytes from the start of the file), `len` (bytes, frame included) and
/// `ordinal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) ordinal: u64,
}

impl BlockHandle {
    pub(crate) fn encode_into(self, out: &mut Vec<u8>) {
        varint::put(out, self.offset);
        varint::put(out, self.len.into());
        varint::put(out, self.ordinal);
    }

    /// Takes a handle off `bytes`; `None` unless they begin with one whose end does not overflow.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let offset = varint::take(bytes)?;
        let len = varint::take_u32(bytes)?;
        let ordinal = varint::take(bytes)?;
        offset.checked_add(len.into())?;
        Some(Self { offset, len, ordinal })
    }

    pub(crate) fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len.into())
    }
}
