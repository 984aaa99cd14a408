//! Small writes without a system call for each.
//!
//! A part of the file, the *window*, is mapped into memory and shared with the system: what is copied
//! there is in the file at once, for every reader, and stays when the process ends. Durable it becomes as
//! other writes do. The window moves with the writes. What it has left stays mapped until a sync, which is
//! another thread's business more often than not: to end a mapping takes as long as hundreds of writes.
//!
//! A copy cannot fail as a write can: where the file has no space for it, the system ends the process.
//! Hence only what was allocated is written so, and only on file systems that keep what they allocated:
//! on others a write says what went wrong.

use std::fs::File;

use stratal_types::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

/// Writes through memory, for a file that has a [`begin`](Self::begin) behind it.
#[derive(Debug, Default)]
pub(crate) struct SmallWrites {
    /// Whether there is anything in `mapped`.
    is_on: AtomicBool,
    mapped: Mutex<Option<mapped::Mapped>>,
}

impl SmallWrites {
    /// Writes go through memory from now on, where that works and `file` has space already.
    pub(crate) fn begin(&self, file: &File) {
        let mut mapped = self.mapped.lock();
        *mapped = mapped::Mapped::new(file);
        self.is_on.store(mapped.is_some(), Ordering::Release);
    }

    /// Writes go to the system from now on.
    pub(crate) fn end(&self) {
        if self.is_on.swap(false, Ordering::AcqRel) {
            *self.mapped.lock() = None;
        }
    }

    /// Ends what is mapped and not written to any more. Takes time.
    pub(crate) fn let_go(&self) {
        if self.is_on.load(Ordering::Acquire) {
            let left = self.mapped.lock().as_mut().map(mapped::Mapped::take_left);
            drop(left);
        }
    }

    /// Writes `bytes`, whole; `false`, and nothing written, if the system has to do it.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> bool {
        self.is_on.load(Ordering::Acquire)
            && self.mapped.lock().as_mut().is_some_and(|mapped| mapped.write(bytes, offset))
    }
}

#[cfg(target_os = "linux")]
mod mapped {
    use std::{collections::VecDeque, fs::File, sync::Arc};

    use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

    /// Bytes of a window. Moving it costs as much as some writes, and what it covers counts as memory of
    /// the process.
    const WINDOW_LEN: u64 = 1 << 20;

    /// Windows begin at multiples of this: no system has longer pages.
    const PAGE_LEN_MAX: u64 = 64 << 10;

    /// Windows that are kept when they were left, at most.
    const LEFT_MAX: usize = 8;

    /// Longest write for which a system call counts beside the copy.
    const SMALL: usize = 64 << 10;

    /// File systems on which what was allocated can be written without further space: ext4, XFS, tmpfs.
    const SPACE_IS_KEPT: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

    #[derive(Debug)]
    pub(super) struct Mapped {
        file: Arc<File>,
        /// Bytes of the file that are allocated. 0 after something failed.
        len: u64,
        window: Option<Window>,
        /// Those before, oldest first.
        left: VecDeque<Window>,
    }

    #[derive(Debug)]
    pub(super) struct Window {
        start: u64,
        region: MmapRegion,
    }

    impl Mapped {
        pub(super) fn new(file: &File) -> Option<Self> {
            let kind = rustix::fs::fstatfs(file).ok()?.f_type;
            SPACE_IS_KEPT.contains(&u64::try_from(kind).ok()?).then_some(())?;
            let len = file.metadata().ok()?.len();
            Some(Self {
                file: Arc::new(file.try_clone().ok()?),
                len,
                window: None,
                left: VecDeque::new(),
            })
        }

        pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> bool {
            let end = offset.saturating_add(bytes.len() as u64);
            if bytes.len() > SMALL || end > self.len {
                return false;
            }
            if !self.window.as_ref().is_some_and(|window| window.covers(offset, end)) {
                if self.left.len() >= LEFT_MAX {
                    self.left.pop_front();
                }
                self.left.extend(self.window.take());
                self.window = Window::new(&self.file, offset, self.len);
            }
            let is_written = self.window.as_ref().is_some_and(|window| window.write(bytes, offset));
            if !is_written {
                self.len = 0;
            }
            is_written
        }

        /// The windows that were left.
        pub(super) fn take_left(&mut self) -> VecDeque<Window> {
            std::mem::take(&mut self.left)
        }
    }

    impl Window {
        /// The window around `offset` of a file of `len` bytes.
        fn new(file: &Arc<File>, offset: u64, len: u64) -> Option<Self> {
            let start = offset - offset % PAGE_LEN_MAX;
            let window_len = usize::try_from((len - start).min(WINDOW_LEN)).ok()?;
            let place = FileOffset::from_arc(Arc::clone(file), start);
            let region = MmapRegion::from_file(place, window_len).ok()?;
            Some(Self { start, region })
        }

        fn covers(&self, offset: u64, end: u64) -> bool {
            self.start <= offset && end - self.start <= self.region.len() as u64
        }

        fn write(&self, bytes: &[u8], offset: u64) -> bool {
            let Ok(at) = usize::try_from(offset - self.start) else { return false };
            self.region.as_volatile_slice().write_slice(bytes, at).is_ok()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod mapped {
    use std::fs::File;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Mapped {}

    impl Mapped {
        pub(super) fn new(_: &File) -> Option<Self> {
            None
        }

        pub(super) fn write(&mut self, _: &[u8], _: u64) -> bool {
            match *self {}
        }

        pub(super) fn take_left(&mut self) {
            match *self {}
        }
    }
}
