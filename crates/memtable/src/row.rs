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
/// [`VALUE_INLINE_MAX`], at the next multiple of 8 bytes, the address of its `Bytes`. Behind all that,
/// if `has_digest`, the four bytes of the entry's digest.
#[derive(Debug)]
#[repr(C, align(8))]
pub(crate) struct Header {
    pub(crate) trailer: Trailer,
    pub(crate) value_len: u32,
    pub(crate) key_len: u16,
    pub(crate) has_digest: bool,
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
        self.head().key_len as usize
    }

    pub(crate) const fn key(self) -> &'a [u8] {
        // SAFETY: the push wrote `key_len` bytes here; A1.
        unsafe { slice::from_raw_parts(self.body(0).as_ptr(), self.key_len()) }
    }

    pub(crate) fn value(self) -> &'a [u8] {
        if let Some(shared) = self.shared_value() {
            return shared;
        }
        let value_len = self.head().value_len as usize;
        // SAFETY: the push wrote `value_len` bytes behind the key; A1.
        unsafe { slice::from_raw_parts(self.body(self.key_len()).as_ptr(), value_len) }
    }

    /// The value, for longer than the memtable lives.
    pub(crate) fn value_bytes(self) -> Bytes {
        self.shared_value().map_or_else(|| Bytes::copy_from_slice(self.value()), Bytes::clone)
    }

    fn shared_value(self) -> Option<&'a Bytes> {
        if self.head().value_len as usize <= VALUE_INLINE_MAX {
            return None;
        }
        let place = self.body(shared_at(self.key_len()));
        // SAFETY: the push wrote the address of a `Bytes` here, aligned; that one stays as long as
        // the arena (A1).
        Some(unsafe { place.cast::<NonNull<Bytes>>().read().as_ref() })
    }

    /// The digest that came with the entry.
    pub(crate) const fn digest(self) -> Option<EntryDigest> {
        let Header { value_len, has_digest, .. } = *self.head();
        if !has_digest {
            return None;
        }
        let place = self.body(digest_at(self.key_len(), value_len as usize));
        // SAFETY: the push wrote the digest here, wherever that is; A1.
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

/// Where the address of a value stands that is not behind its key, from the key's first byte.
pub(crate) const fn shared_at(key_len: usize) -> usize {
    key_len.next_multiple_of(size_of::<u64>())
}

/// Where a row ends but for its digest, from the key's first byte.
pub(crate) const fn digest_at(key_len: usize, value_len: usize) -> usize {
    if value_len <= VALUE_INLINE_MAX {
        key_len + value_len
    } else {
        shared_at(key_len) + size_of::<NonNull<Bytes>>()
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.key().escape_ascii(), self.trailer())
    }
}
