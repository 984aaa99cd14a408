//! One checksum over a whole file, for whoever ships it.

use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
};

use twox_hash::xxhash3_128::Hasher;

use crate::{Error, Table};

/// XXH3-128, seed 0, of every byte of a file: what a copy of it must have too.
///
/// As text it is 32 hexadecimal digits, the same that `xxhsum -H2` prints. It tells that two files are
/// the same, and finds accidents; where in a file one happened the checks of its blocks say.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileDigest(pub u128);

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileDigest({self})")
    }
}

/// A text is not a [`FileDigest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for FileDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let is_digest = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_digest.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(ParseDigestError)
    }
}

/// Bytes that are read at once.
const CHUNK_LEN: u64 = 1 << 20;

impl Table {
    /// Reads the whole file, a MiB at a time, and gives the digest that its
    /// [writer](crate::TableInfo::digest) gave if nothing has changed since. The cache is left alone.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the source fails.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Bytes;
    /// use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let ctx = TableContext::default();
    /// let spec = Arc::new(TableOptions::default().validate()?);
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
    /// writer.put(b"AD/Vila", b"1418")?;
    /// let finished = writer.finish()?;
    /// let written = finished.info.unwrap().digest;
    ///
    /// let shipped = Table::open(&ctx, Arc::new(Bytes::from(finished.sink)))?;
    /// assert_eq!(Some(shipped.digest()?), written);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn digest(&self) -> Result<FileDigest, Error> {
        let (mut hasher, len) = (Hasher::new(), self.source().len());
        let mut offset = 0;
        while offset < len {
            let chunk = self.read_stored(offset, CHUNK_LEN.min(len - offset))?;
            hasher.write(&chunk);
            offset += chunk.len().max(1) as u64;
        }
        Ok(FileDigest(hasher.finish_128()))
    }
}

/// A sink that digests what is written to it.
pub(crate) struct Digesting<W> {
    sink: W,
    hasher: Hasher,
}

impl<W> Digesting<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, hasher: Hasher::new() }
    }

    pub(crate) fn finish(self) -> (W, FileDigest) {
        (self.sink, FileDigest(self.hasher.finish_128()))
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.write(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<W: fmt::Debug> fmt::Debug for Digesting<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digesting").field("sink", &self.sink).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one byte per call.
    struct OneByte(Vec<u8>);

    impl Write for OneByte {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend(bytes.first());
            Ok(bytes.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_digest_is_that_of_the_bytes_the_sink_took() {
        let bytes: Vec<u8> = (0..5000u32).flat_map(u32::to_le_bytes).collect();
        let mut sink = Digesting::new(OneByte(Vec::new()));
        sink.write_all(&bytes).unwrap();
        let (sink, digest) = sink.finish();
        assert_eq!(sink.0, bytes);
        assert_eq!(digest, FileDigest(Hasher::oneshot(&bytes)));
    }

    #[test]
    fn digests_read_back_and_nothing_else_does() {
        // XXH3-128 of no bytes, as its authors give it.
        let digest = FileDigest(Hasher::oneshot(b""));
        assert_eq!(digest.to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for text in ["", "0", &"0".repeat(31), &"0".repeat(33), &"+".repeat(32), &"g".repeat(32)] {
            assert_eq!(text.parse::<FileDigest>(), Err(ParseDigestError), "{text}");
        }
    }
}
