use std::{fmt, marker::PhantomData, ptr::NonNull, slice};

use bytes::Bytes;
use stratal_types::{EntryDigest, EntryRef, SeqNo, Trailer};

/// Longest value that lies behind its key and is copied when it is read. Longer ones are reference
/// counted.
pub(crate) const VALUE_INLINE_MAX: usize = 1024;

/// Bytes that come from memory at once.
pub(crate) const LINE_LEN: usize = 64;

/// Lines of a row that are worth asking for: the processor follows a longer one by itself.
const PREFETCHED_LINES: usize = 3;

/// What a row begins with. Key and value follow; instead of a value longer than
/// [`VALUE_INLINE_MAX`], at any place, the address of its `Bytes`. Behind all that, if there is one, the
/// four bytes of the entry's digest.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(crate) struct Header {
    trailer: Trailer,
    key_len: u16,
    /// The value's length, or [`SHARED`], and [`HAS_DIGEST`].
    value: u16,
}

/// Of a value that is not behind its key.
const SHARED: u16 = HAS_DIGEST - 1;

const HAS_DIGEST: u16 = 1 << 15;

const _: () = assert!(VALUE_INLINE_MAX < SHARED as usize);

impl Header {
    /// Of an entry with lengths that a memtable may hold.
    #[expect(clippy::cast_possible_truncation, reason = "checked before entries are applied")]
    pub(crate) fn new(entry: EntryRef<'_>, has_digest: bool) -> Self {
        let value_len = entry.value.len();
        let value = if value_len <= VALUE_INLINE_MAX { value_len as u16 } else { SHARED };
        Self {
            trailer: entry.trailer,
            key_len: entry.key.len() as u16,
            value: if has_digest { value | HAS_DIGEST } else { value },
        }
    }

    const fn key_len(self) -> usize {
        self.key_len as usize
    }

    /// `None` of one that is not behind its key.
    pub(crate) const fn value_len(self) -> Option<usize> {
        match self.value & !HAS_DIGEST {
            SHARED => None,
            len => Some(len as usize),
        }
    }

    /// Where a row ends but for its digest, from the key's first byte.
    pub(crate) const fn body_len(self) -> usize {
        let value_len = match self.value_len() {
            Some(len) => len,
            None => size_of::<NonNull<Bytes>>(),
        };
        self.key_len() + value_len
    }
}

/// One stored entry of a memtable that lives as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    header: NonNull<Header>,
    arena: PhantomData<&'a [u64]>,
}

impl<'a> Row<'a> {
    /// # Safety
    ///
    /// `header` came from [`Arena::push`](crate::arena::Arena::push) of an arena that is not dropped
    /// during `'a`, and the push happened before.
    pub(crate) const unsafe fn new(header: NonNull<Header>) -> Self {
        Self { header, arena: PhantomData }
    }

    pub(crate) const fn header(self) -> NonNull<Header> {
        self.header
    }

    const fn head(self) -> &'a Header {
        // SAFETY: by `new` and A1 it was written before and is not written again during `'a`.
        unsafe { self.header.as_ref() }
    }

    /// What lies `offset` bytes behind the header.
    const fn body(self, offset: usize) -> NonNull<u8> {
        // SAFETY: a push leaves room for the header and at least `key_len` bytes, in one chunk.
        unsafe { self.header.cast::<u8>().add(size_of::<Header>() + offset) }
    }

    const fn key_len(self) -> usize {
        self.head().key_len()
    }

    pub(crate) const fn key(self) -> &'a [u8] {
        // SAFETY: the push wrote `key_len` bytes here; A1.
        unsafe { slice::from_raw_parts(self.body(0).as_ptr(), self.key_len()) }
    }

    pub(crate) fn value(self) -> &'a [u8] {
        let Some(value_len) = self.head().value_len() else {
            return self.shared_value().map_or(&[], |value| value);
        };
        // SAFETY: the push wrote `value_len` bytes behind the key; A1.
        unsafe { slice::from_raw_parts(self.body(self.key_len()).as_ptr(), value_len) }
    }

    /// The value, for longer than the memtable lives.
    pub(crate) fn value_bytes(self) -> Bytes {
        self.shared_value().map_or_else(|| Bytes::copy_from_slice(self.value()), Bytes::clone)
    }

    fn shared_value(self) -> Option<&'a Bytes> {
        if self.head().value_len().is_some() {
            return None;
        }
        let place = self.body(self.key_len()).cast::<NonNull<Bytes>>();
        // SAFETY: the push wrote the address of a `Bytes` here; that one stays as long as the arena (A1).
        Some(unsafe { place.read_unaligned().as_ref() })
    }

    /// The digest that came with the entry.
    pub(crate) const fn digest(self) -> Option<EntryDigest> {
        let header = *self.head();
        if header.value & HAS_DIGEST == 0 {
            return None;
        }
        let place = self.body(header.body_len());
        // SAFETY: the push wrote the digest here; A1.
        Some(EntryDigest(unsafe { place.cast::<u32>().read_unaligned() }))
    }

    pub(crate) const fn trailer(self) -> Trailer {
        self.head().trailer
    }

    pub(crate) const fn seqno(self) -> SeqNo {
        self.trailer().seqno()
    }

    /// Asks for the beginning of the row to be brought near, and waits for nothing. What is not near
    /// takes as long as some hundred instructions; who steps from row to row knows where it goes next.
    pub(crate) fn prefetch(self) {
        for line in 0..PREFETCHED_LINES {
            prefetch(self.header.as_ptr().cast::<u8>().wrapping_add(line * LINE_LEN));
        }
    }

    pub(crate) fn entry(self) -> EntryRef<'a> {
        EntryRef::new(self.key(), self.trailer(), self.value())
    }
}

/// Asks for what is at an address to be brought near.
#[cfg_attr(
    not(all(target_arch = "x86_64", not(miri))),
    expect(unused_variables, reason = "there is no such hint")
)]
pub(crate) fn prefetch(place: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint about an address, whatever is there; nothing is read.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.key().escape_ascii(), self.trailer())
    }
}
