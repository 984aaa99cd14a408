//! Memory for rows and nodes: chunks that are only ever appended to.
//!
//! A memtable that grows takes its memory in few long chunks, of which the system gives what is written
//! to: the allocator has a mapping of its own for each, and gives it back as a whole when the memtable
//! goes, whichever thread that is. Chunks of medium length would come out of the writing thread's heap
//! and stay there.
//!
//! The `SAFETY` comments of this crate refer to these invariants:
//!
//! * **A1 append-only**: what was pushed is neither written again, moved nor freed before the arena
//!   is dropped. (A node is [dropped](Arena::place) in place before that.)
//! * **A2 one owner**: each pointer in `chunks` and `values` came from one `Box` and is listed once.

use std::{mem::MaybeUninit, ptr::NonNull};

use bytes::Bytes;
use stratal_types::{EntryDigest, EntryRef};

use crate::row::Header;

/// Words of 4 bytes that are taken into use at first. Each further step is twice as long as the one
/// before.
const STEP_MIN: usize = 1 << 10;

/// Longest step that several rows share, in words.
const STEP_MAX: usize = 64 << 10;

/// Once as many bytes are in use, chunks are long.
const LONG_FROM: usize = 1 << 20;

/// Length of a long chunk, in words: 33 MiB, for which every allocator asks the system. The one of glibc
/// does so for less only until such a chunk is freed for the first time.
const LONG: usize = (33 << 20) / WORD;

const WORD: usize = size_of::<u32>();

/// Copies rows into chunks.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<NonNull<[MaybeUninit<u32>]>>,
    /// Values too long to be copied at each read.
    values: Vec<NonNull<Bytes>>,
    /// Where the next row goes, in the last chunk.
    free: *mut u32,
    /// Words that are free there.
    free_len: usize,
    /// Words behind those, which are not in use yet.
    rest_len: usize,
    /// Words that were taken into use last.
    step: usize,
    memory: usize,
}

// SAFETY: A2: nothing but the arena writes through these pointers, and only under `&mut self`.
unsafe impl Send for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            values: Vec::new(),
            free: std::ptr::null_mut(),
            free_len: 0,
            rest_len: 0,
            step: 0,
            memory: 0,
        }
    }

    /// Bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.memory
    }

    /// Copies a row, with its digest if it has one. Key and value have lengths that a memtable may hold.
    pub(crate) fn push(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> NonNull<Header> {
        let EntryRef { key, value, .. } = entry;
        let header = Header::new(entry, digest.is_some());
        let behind = header.body_len();
        let body_len = behind + digest.map_or(0, |_| size_of::<EntryDigest>());
        let row = self.take(size_of::<Header>() / WORD + body_len.div_ceil(WORD));
        // SAFETY: `take` gave room for the header and the body behind it, aligned as a header is, that
        // nothing else points to yet; no source overlaps it, because it was just taken.
        unsafe {
            row.cast::<Header>().write(header);
            let body = row.cast::<u8>().add(size_of::<Header>());
            body.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            let place = body.add(key.len());
            if header.value_len().is_some() {
                place.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
            } else {
                let kept = self.keep(Bytes::copy_from_slice(value));
                place.cast::<NonNull<Bytes>>().write_unaligned(kept);
            }
            if let Some(EntryDigest(digest)) = digest {
                body.add(behind).cast::<u32>().write_unaligned(digest);
            }
        }
        row.cast()
    }

    /// Moves something to where it stays until the arena goes. It is the caller's to drop.
    pub(crate) fn place<T>(&mut self, value: T) -> NonNull<T> {
        let len = size_of::<T>().div_ceil(WORD);
        // What is aligned already needs no room before it; a place in another chunk may need some.
        let before = self.free.align_offset(align_of::<T>());
        let before = if before + len <= self.free_len { before } else { align_of::<T>() / WORD };
        let room = self.take(before + len).cast::<u8>();
        // SAFETY: `take` gave room for the value and as much as it takes to align it, that nothing else
        // points to yet.
        unsafe {
            let place = room.add(room.align_offset(align_of::<T>())).cast::<T>();
            place.write(value);
            place
        }
    }

    /// Takes `len` words.
    fn take(&mut self, len: usize) -> NonNull<u32> {
        if len > self.free_len {
            self.step_on(len);
        }
        let taken = self.free;
        self.free_len -= len;
        // SAFETY: at least `len` words are free behind `free`, within one chunk, which stays until
        // the arena is dropped (A1); so neither pointer is null.
        unsafe {
            self.free = taken.add(len);
            NonNull::new_unchecked(taken)
        }
    }

    /// Takes words into use, so that at least `len` are free.
    #[cold]
    fn step_on(&mut self, len: usize) {
        self.step = (self.step * 2).clamp(STEP_MIN, STEP_MAX);
        let step = self.step.max(len);
        if self.rest_len < step {
            let chunk_len = if self.memory < LONG_FROM { step } else { step.max(LONG) };
            let chunk = Box::into_raw(Box::<[u32]>::new_uninit_slice(chunk_len));
            self.free = chunk.cast();
            self.free_len = 0;
            self.rest_len = chunk.len();
            self.chunks.extend(NonNull::new(chunk));
        }
        self.free_len += step;
        self.rest_len -= step;
        self.memory += step * WORD;
    }

    fn keep(&mut self, value: Bytes) -> NonNull<Bytes> {
        self.memory += value.len() + size_of::<Bytes>();
        let kept = NonNull::from(Box::leak(Box::new(value)));
        self.values.push(kept);
        kept
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: A2.
        unsafe {
            self.chunks.drain(..).for_each(|chunk| drop(Box::from_raw(chunk.as_ptr())));
            self.values.drain(..).for_each(|value| drop(Box::from_raw(value.as_ptr())));
        }
    }
}
