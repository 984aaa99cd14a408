use std::{mem::MaybeUninit, ptr::NonNull, slice};

use memmap2::MmapMut;

/// Length and alignment of a huge page, in bytes.
///
/// Where they are of another length than these 2 MiB, a region is as good or as bad as any memory.
pub const HUGE_PAGE: usize = 2 << 20;

/// A long piece of memory, in huge pages if the system has them; zero at first.
///
/// The system gives memory for what is written to, a page at a time: of a huge page, all of it. From
/// [`HUGE_PAGE`] bytes on a region is a mapping of its own that begins at a multiple of that, and goes
/// back to the system when it is dropped, whichever thread that is. A shorter one, and any where there are
/// no mappings, comes from the allocator.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    memory: Memory,
}

/// What is kept for [`Region::start`] to stay valid.
#[derive(Debug)]
enum Memory {
    /// The region is a part of it.
    Mapped { _mapping: MmapMut },
    /// Came from one `Box`.
    Plain(NonNull<[MaybeUninit<Line>]>),
}

/// What plain memory is aligned to.
#[derive(Debug)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "bytes are reached by the region's pointer")] [u8; 64]);

// SAFETY: R1: it owns what it points to, as a box of bytes does.
unsafe impl Send for Region {}
// SAFETY: R1, and through a shared reference bytes are only read, but for who takes pointers.
unsafe impl Sync for Region {}

impl Region {
    /// Takes `len` bytes, aligned to 64 at least.
    ///
    /// Takes time for two or three calls of the system; none of the memory is touched. Where there is no
    /// memory it ends the process, as every allocation does.
    pub fn new(len: usize) -> Self {
        Self::mapped(len).unwrap_or_else(|| Self::plain(len))
    }

    fn mapped(len: usize) -> Option<Self> {
        if len < HUGE_PAGE {
            return None;
        }
        let mut mapping = MmapMut::map_anon(len).ok()?;
        if mapping.as_ptr().align_offset(HUGE_PAGE) != 0 {
            drop(mapping);
            // What is in front of the region and behind it is never touched, and takes addresses alone.
            mapping = MmapMut::map_anon(len.checked_add(HUGE_PAGE)?).ok()?;
        }
        let offset = mapping.as_ptr().align_offset(HUGE_PAGE);
        advise(&mapping, offset, len);
        let bytes = mapping.get_mut(offset..)?.get_mut(..len)?;
        let start = NonNull::from(bytes).cast();
        Some(Self { start, len, memory: Memory::Mapped { _mapping: mapping } })
    }

    fn plain(len: usize) -> Self {
        let lines = Box::<[Line]>::new_zeroed_slice(len.div_ceil(size_of::<Line>()));
        let lines = NonNull::from(Box::leak(lines));
        Self { start: lines.cast(), len, memory: Memory::Plain(lines) }
    }

    /// The first byte. The pointer may be used for all [`len`](Self::len) bytes while the region is there.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes that were asked for.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes.
    pub const fn as_slice(&self) -> &[u8] {
        // SAFETY: R1, for as long as the region is borrowed.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// All bytes.
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: R1, for as long as the region is borrowed by this alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Memory::Plain(lines) = self.memory {
            // SAFETY: it came from a box, and is given back once.
            drop(unsafe { Box::from_raw(lines.as_ptr()) });
        }
    }
}

/// Asks for huge pages. Who is refused has memory all the same.
#[cfg(target_os = "linux")]
fn advise(mapping: &MmapMut, offset: usize, len: usize) {
    if mapping.advise_range(memmap2::Advice::HugePage, offset, len).is_err() {}
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &MmapMut, _: usize, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_whole(mut region: Region, len: usize, alignment: usize) {
        assert_eq!((region.len(), region.is_empty()), (len, len == 0));
        assert_eq!(region.start().addr().get() % alignment, 0);
        assert!(region.as_slice().iter().all(|&byte| byte == 0));
        region.as_mut_slice().fill(7);
        assert!(region.as_slice().iter().all(|&byte| byte == 7));
        assert_eq!(region.as_slice().len(), len);
    }

    #[test]
    fn a_region_is_zero_aligned_and_can_be_written_to_its_end() {
        for len in [0, 1, 63, 64, 4097, HUGE_PAGE - 1] {
            is_whole(Region::new(len), len, 64);
        }
        for len in [HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE - 1, 33 << 20] {
            is_whole(Region::new(len), len, if cfg!(unix) { HUGE_PAGE } else { 64 });
        }
    }

    #[test]
    fn without_mappings_a_region_is_plain_memory() {
        for len in [0, 1, 64, 100_000, HUGE_PAGE + 1] {
            is_whole(Region::plain(len), len, 64);
        }
    }

    #[test]
    fn regions_do_not_overlap_and_may_go_in_any_order_and_thread() {
        let mut regions: Vec<Region> = (0..20).map(|_| Region::new(HUGE_PAGE)).collect();
        for (region, mark) in regions.iter_mut().zip(1..) {
            region.as_mut_slice().fill(mark);
        }
        for (region, mark) in regions.iter().zip(1..) {
            assert!(region.as_slice().iter().all(|&byte| byte == mark));
        }
        regions.swap(3, 17);
        std::thread::spawn(move || regions.truncate(4)).join().expect("no panic");
    }
}
