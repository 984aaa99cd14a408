use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use twox_hash::XxHash3_64;

use crate::Error;

/// What names a dictionary: XXH3-64 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DictionaryId(pub u64);

impl DictionaryId {
    /// Length on disk, in bytes.
    pub const LEN: usize = size_of::<u64>();
}

impl fmt::Display for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that blocks have in common, which both sides of zstd know beforehand.
///
/// Cheap to clone. Made ready for reading once, when it is made; ready for writing at some level
/// once per [`resolve`](crate::BlockSpec::resolve). Storing it with what needs it is the caller's
/// business: [`bytes`](Self::bytes) go into the file, and come back through [`new`](Self::new).
///
/// ```
/// use stratal_block::{
///     BlockContext, BlockId, BlockKind, BlockSpec, Compression, Dictionary, Error,
/// };
/// use stratal_types::FileUid;
///
/// # if cfg!(feature = "zstd") {
/// let record = |i: u32| format!("{{\"id\": {i}, \"country\": \"AD\", \"active\": true}}");
/// let samples: Vec<String> = (0..1000).map(record).collect();
/// let dictionary = Dictionary::train(&samples, 1024)?;
///
/// let compression = Compression::ZstdDictionary { level: 3, id: dictionary.id() };
/// let spec = BlockSpec { compression, ..BlockSpec::default() };
/// let context = BlockContext { dictionaries: vec![dictionary.clone()], ..BlockContext::default() };
/// let codec = spec.resolve(&context)?;
///
/// let id = BlockId { uid: FileUid([7; 16]), ordinal: 0, kind: BlockKind(1) };
/// let stored = codec.seal(id, record(1001).as_bytes())?;
/// assert_eq!(codec.open(id, &stored)?[..], *record(1001).as_bytes());
///
/// let without = BlockSpec::default().resolve(&BlockContext::default())?;
/// let missing = Error::MissingDictionary { id: dictionary.id() };
/// assert_eq!(without.open(id, &stored).unwrap_err(), missing);
/// # }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Dictionary(Arc<Inner>);

struct Inner {
    id: DictionaryId,
    bytes: Vec<u8>,
    #[cfg(feature = "zstd")]
    decoder: zstd::zstd_safe::DDict<'static>,
}

impl Dictionary {
    /// Longest dictionary, in bytes.
    pub const LEN_MAX: usize = 1 << 20;

    /// Takes `bytes` as a dictionary: what [`train`](Self::train) made, or any bytes that are likely
    /// to occur in blocks, the likeliest last.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there are none, or more than [`LEN_MAX`](Self::LEN_MAX), and
    /// [`Error::Dictionary`] if they begin like a trained dictionary and are none.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        check_len("dictionary length", bytes.len())?;
        Ok(Self(Arc::new(Inner {
            id: DictionaryId(XxHash3_64::oneshot(bytes)),
            bytes: bytes.to_vec(),
            #[cfg(feature = "zstd")]
            decoder: zstd::zstd_safe::DDict::try_create(bytes).ok_or(MALFORMED)?,
        })))
    }

    /// Makes a dictionary of at most `len_max` bytes for payloads like `samples`.
    ///
    /// A hundred times as many bytes of samples as of dictionary are a good measure. The same
    /// samples in the same order give the same dictionary, under one version of the library.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a `len_max` of 0 or over [`LEN_MAX`](Self::LEN_MAX),
    /// [`Error::Dictionary`] if the samples are too few or have nothing in common, and
    /// [`Error::Unsupported`] without the `zstd` feature.
    pub fn train<S: AsRef<[u8]>>(samples: &[S], len_max: usize) -> Result<Self, Error> {
        check_len("dictionary length", len_max)?;
        Self::new(&train(samples, len_max)?)
    }

    /// Its name: XXH3-64 of its bytes.
    pub fn id(&self) -> DictionaryId {
        self.0.id
    }

    /// Its bytes, to be stored.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    #[cfg(feature = "zstd")]
    pub(crate) fn decoder(&self) -> &zstd::zstd_safe::DDict<'static> {
        &self.0.decoder
    }
}

/// Two are equal if their bytes are.
impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Dictionary {}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, bytes, .. } = &*self.0;
        f.debug_struct("Dictionary").field("id", id).field("len", &bytes.len()).finish()
    }
}

#[cfg(feature = "zstd")]
pub(crate) const MALFORMED: Error =
    Error::Dictionary { reason: "it begins like a trained one and is none" };

fn check_len(field: &'static str, len: usize) -> Result<(), Error> {
    if (1..=Dictionary::LEN_MAX).contains(&len) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        field,
        value: i64::try_from(len).unwrap_or(i64::MAX),
        min: 1,
        max: i64::try_from(Dictionary::LEN_MAX).unwrap_or(i64::MAX),
    })
}

#[cfg(feature = "zstd")]
fn train<S: AsRef<[u8]>>(samples: &[S], len_max: usize) -> Result<Vec<u8>, Error> {
    zstd::dict::from_samples(samples, len_max)
        .map_err(|_| Error::Dictionary { reason: "the samples are too few, or too different" })
}

#[cfg(not(feature = "zstd"))]
fn train<S: AsRef<[u8]>>(_: &[S], _: usize) -> Result<Vec<u8>, Error> {
    Err(crate::compression::NO_ZSTD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_is_named_by_its_bytes() {
        let dictionary = Dictionary::new(b"some bytes in common").unwrap();
        assert_eq!(dictionary.id().0, xxhash_rust::xxh3::xxh3_64(b"some bytes in common"));
        assert_eq!(dictionary.bytes(), b"some bytes in common");
    }

    #[test]
    fn a_dictionary_has_a_length() {
        for (len, valid) in
            [(0, false), (1, true), (Dictionary::LEN_MAX, true), (Dictionary::LEN_MAX + 1, false)]
        {
            let outcome = Dictionary::new(&alloc::vec![b'x'; len]);
            assert_eq!(outcome.is_ok(), valid, "{len}");
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn what_only_begins_like_a_dictionary_is_refused() {
        let bytes = [&[0x37, 0xa4, 0x30, 0xec][..], &[0xff; 100]].concat();
        assert_eq!(Dictionary::new(&bytes).unwrap_err(), MALFORMED);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn too_few_samples_are_told() {
        let error = Dictionary::train(&[b"one", b"two"], 1000).unwrap_err();
        assert!(matches!(error, Error::Dictionary { .. }), "{error}");
        assert!(matches!(
            Dictionary::train(&[b"one"; 100], 0).unwrap_err(),
            Error::InvalidArgument { .. }
        ));
    }
}
