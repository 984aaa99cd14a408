use std::ops::Range;

use stratal_types::varint;

/// Where a data block is, and which one it is: the value of an index entry.
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

    /// `None` unless `bytes` are exactly one handle whose end does not overflow.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let offset = varint::take(&mut bytes)?;
        let len = varint::take_u32(&mut bytes)?;
        let ordinal = varint::take(&mut bytes)?;
        offset.checked_add(len.into())?;
        bytes.is_empty().then_some(Self { offset, len, ordinal })
    }

    pub(crate) fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len.into())
    }
}
