use bytes::{Bytes, BytesMut};

/// Length of the first chunk, in bytes. Each further one is twice as long as the one before.
const LEN_MIN: usize = 4 << 10;

/// Longest chunk that several rows share, in bytes: what a value held beyond the memtable's life
/// keeps alive at most, beside itself.
const LEN_MAX: usize = 128 << 10;

/// Copies rows into shared chunks, so that a row costs no allocation of its own.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    open: BytesMut,
    /// Length of the chunk opened last.
    len: usize,
    /// Bytes allocated by all chunks.
    pub(crate) allocated: usize,
}

impl Chunks {
    /// Copies `key` and `value`, one behind the other.
    pub(crate) fn copy(&mut self, key: &[u8], value: &[u8]) -> Bytes {
        let row_len = key.len() + value.len();
        if row_len > LEN_MAX / 4 {
            let mut own = BytesMut::with_capacity(row_len);
            self.allocated += own.capacity();
            return put(&mut own, key, value);
        }
        if row_len > self.open.capacity() {
            self.len = (self.len * 2).clamp(LEN_MIN.max(row_len), LEN_MAX);
            self.open = BytesMut::with_capacity(self.len);
            self.allocated += self.open.capacity();
        }
        put(&mut self.open, key, value)
    }
}

fn put(chunk: &mut BytesMut, key: &[u8], value: &[u8]) -> Bytes {
    chunk.extend_from_slice(key);
    chunk.extend_from_slice(value);
    chunk.split().freeze()
}
