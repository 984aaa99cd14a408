use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;

use crate::Shared;
#[cfg(not(any(loom, shuttle)))]
use crate::slab::Slab;
use crate::slab::{Taken, Usage};

/// Bytes for something that is read now and will be read again, here and there: a block of a file that goes
/// into a cache.
///
/// From 1 KiB on they lie among others in huge pages: up to 32 KiB in slots of 16 lengths between one
/// power of two and the next, up to 2 MiB in pages of 4 KiB, and what is longer in a [`Region`] of its own.
/// Taking a buffer and giving it back is a lock and a few instructions, from any thread; the system is asked for
/// 2 MiB at a time.
///
/// A buffer is not cleared: at first it holds zeros, or what somebody else had written there.
///
/// # Waste
///
/// A slot is longer than what was asked for by a seventeenth of itself at most, and the rest of the pages that
/// it was cut from is one part in 32. Free slots are used by buffers of their length alone until their
/// neighbours, from 8 to 64 of them, are free too: what is [resident](Usage::resident) is at most what was
/// taken of each length when most was, and two regions. Buffers that are a large part of 2 MiB leave the
/// rest to others: where all are of 700 KB, a third.
///
/// ```
/// use stratal_slab::Buffer;
///
/// let mut buffer = Buffer::new(4200);
/// buffer.fill(7);
/// let bytes = buffer.share();
/// assert_eq!(bytes.slice(100..103), [7; 3][..]);
/// ```
///
/// [`Region`]: crate::Region
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Taken(Taken),
    Plain(Vec<u8>),
}

impl Buffer {
    /// A buffer of `len` bytes, which hold anything. Where there is no memory it ends the process, as every
    /// allocation does.
    pub fn new(len: usize) -> Self {
        Self(process::take(len).map_or_else(|| Memory::Plain(vec![0; len]), Memory::Taken))
    }

    /// A buffer with these bytes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::new(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer
    }

    /// The bytes, shared from now on. They go back when the last that shares them is gone. Takes one small
    /// allocation.
    pub fn share(self) -> Shared {
        match self.0 {
            Memory::Taken(taken) => Shared::owned(taken),
            Memory::Plain(bytes) => Bytes::from(bytes).into(),
        }
    }

    /// What all buffers of this process take.
    pub fn usage() -> Usage {
        process::usage()
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Taken(taken) => taken.as_ref(),
            Memory::Plain(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Taken(taken) => taken.as_mut(),
            Memory::Plain(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The one slab there is. Memory is the process's, as the allocator's is: a slab for each database would waste
/// as much for each.
#[cfg(not(any(loom, shuttle)))]
mod process {
    use std::sync::LazyLock;

    use super::{Slab, Taken, Usage};

    static SLAB: LazyLock<Slab> = LazyLock::new(Slab::new);

    pub(super) fn take(len: usize) -> Option<Taken> {
        SLAB.take(len)
    }

    pub(super) fn usage() -> Usage {
        SLAB.usage()
    }
}

/// What a model checker watches begins anew with each run, so that nothing of it can be kept between them.
#[cfg(any(loom, shuttle))]
mod process {
    use super::{Taken, Usage};

    pub(super) const fn take(_: usize) -> Option<Taken> {
        None
    }

    pub(super) fn usage() -> Usage {
        Usage::default()
    }
}
