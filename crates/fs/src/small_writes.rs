//! Small writes without a system call for each.
//!
//! A part of the file, the *window*, is mapped into memory and shared with the system: what is copied
//! there is in the file at once, for every reader, and stays when the process ends. Durable it becomes as
//! other writes do. The window moves with the writes. What it has left stays mapped until a sync, or until
//! another thread gets the next window ready: to end a mapping takes as long as hundreds of writes.
//!
//! To begin one takes as long, and the first write to each of its pages waits for the file system to find
//! the page a place. A thread that says [`NextSmallWrites`](crate::Hint::NextSmallWrites) does both ahead of
//! whoever writes: it maps the window behind the one in use, and touches its pages as a write of what they
//! hold would. A touch is one atomic step, so that it takes nothing back that is written at the same time.
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
    /// Held while a window is made ready: the file is not cut meanwhile.
    readying: Mutex<()>,
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
            let _turn = self.readying.lock();
            *self.mapped.lock() = None;
        }
    }

    /// Takes note that `file` may have got more space.
    pub(crate) fn note_len(&self, file: &File) {
        if self.is_on.load(Ordering::Acquire)
            && let Some(mapped) = self.mapped.lock().as_mut()
        {
            mapped.note_len(file);
        }
    }

    /// Makes the window ready that comes behind the one in use. Takes time, and lets nobody wait who
    /// writes.
    pub(crate) fn get_ready(&self) {
        let _turn = self.readying.lock();
        self.let_go();
        if !self.is_on.load(Ordering::Acquire) {
            return;
        }
        let due = self.mapped.lock().as_ref().and_then(mapped::Mapped::due);
        let Some(window) = due.and_then(mapped::Due::make) else { return };
        let unused = self.mapped.lock().as_mut().and_then(|mapped| mapped.offer(window));
        drop(unused);
    }

    /// Ends what is mapped and not written to any more. Takes time.
    pub(crate) fn let_go(&self) {
        if self.is_on.load(Ordering::Acquire) {
            let left = self.mapped.lock().as_mut().map(mapped::Mapped::take_left);
            drop(left);
        }
    }

    /// Writes the first of `bytes`, and returns how many; 0 if the system has to do it.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> usize {
        if !self.is_on.load(Ordering::Acquire) {
            return 0;
        }
        self.mapped.lock().as_mut().map_or(0, |mapped| mapped.write(bytes, offset))
    }
}

#[cfg(target_os = "linux")]
mod mapped {
    use std::{
        collections::VecDeque,
        fs::File,
        sync::{
            Arc,
            atomic::{AtomicU8, Ordering},
        },
    };

    use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

    /// Bytes of a window, and that of which every window begins at a multiple: no system has longer pages.
    /// What a sync finds of a window that is ready and not written yet it writes as zeros.
    const WINDOW_LEN: u64 = crate::Hint::NEXT_LEN;

    /// Every page has a byte that is at a multiple of this: no system has shorter ones.
    const PAGE_LEN_MIN: usize = 4 << 10;

    /// Windows that are kept when they were left, at most.
    const LEFT_MAX: usize = 32;

    /// Longest write for which a system call counts beside the copy.
    const SMALL: usize = 64 << 10;

    /// File systems on which what was allocated can be written without further space: ext4, XFS, tmpfs.
    const SPACE_IS_KEPT: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

    #[derive(Debug)]
    pub(super) struct Mapped {
        file: Arc<File>,
        /// Bytes of the file that are allocated; `None` after something failed.
        len: Option<u64>,
        window: Option<Window>,
        /// The one behind, if it is ready.
        next: Option<Window>,
        /// Those before, oldest first.
        left: VecDeque<Window>,
    }

    #[derive(Debug)]
    pub(super) struct Window {
        start: u64,
        region: MmapRegion,
    }

    /// A window that is to be made ready.
    #[derive(Debug)]
    pub(super) struct Due {
        file: Arc<File>,
        start: u64,
        len: u64,
    }

    impl Mapped {
        pub(super) fn new(file: &File) -> Option<Self> {
            let kind = rustix::fs::fstatfs(file).ok()?.f_type;
            SPACE_IS_KEPT.contains(&u64::try_from(kind).ok()?).then_some(())?;
            Some(Self {
                len: Some(file.metadata().ok()?.len()),
                file: Arc::new(file.try_clone().ok()?),
                window: None,
                next: None,
                left: VecDeque::new(),
            })
        }

        pub(super) fn note_len(&mut self, file: &File) {
            self.len = self.len.and(file.metadata().ok()).map(|found| found.len());
        }

        pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> usize {
            let end = offset.saturating_add(bytes.len() as u64);
            let is_small = (1..=SMALL).contains(&bytes.len());
            let Some(len) = self.len.filter(|len| is_small && end <= *len) else { return 0 };
            if !self.window.as_ref().is_some_and(|window| window.covers(offset)) {
                self.move_to(offset, len);
            }
            let written = self.window.as_ref().and_then(|window| window.write(bytes, offset));
            if written.is_none() {
                self.len = None;
            }
            written.unwrap_or(0)
        }

        /// Leaves the window for the one around `offset`.
        fn move_to(&mut self, offset: u64, len: u64) {
            if self.left.len() >= LEFT_MAX {
                self.left.pop_front();
            }
            self.left.extend(self.window.take());
            let ready = self.next.take();
            let (fits, other) = match ready {
                Some(window) if window.covers(offset) => (Some(window), None),
                other => (None, other),
            };
            self.left.extend(other);
            self.window = fits.or_else(|| Window::new(&self.file, start_of(offset), len));
        }

        /// The window behind the one in use, if there is space for one and it is not ready.
        pub(super) fn due(&self) -> Option<Due> {
            let start = self.window.as_ref().map_or(0, Window::end);
            let len = self.len.filter(|len| start < *len)?;
            if self.next.as_ref().is_some_and(|next| next.start == start) {
                return None;
            }
            Some(Due { file: Arc::clone(&self.file), start: start_of(start), len })
        }

        /// Takes a window that is ready; gives it back if it is of no use any more.
        pub(super) fn offer(&mut self, ready: Window) -> Option<Window> {
            let is_ahead = self.window.as_ref().is_none_or(|window| window.start < ready.start);
            if is_ahead { self.next.replace(ready) } else { Some(ready) }
        }

        /// The windows that were left.
        pub(super) fn take_left(&mut self) -> VecDeque<Window> {
            std::mem::take(&mut self.left)
        }
    }

    impl Due {
        /// Maps the window, and touches all of its pages.
        pub(super) fn make(self) -> Option<Window> {
            let window = Window::new(&self.file, self.start, self.len)?;
            for at in (0..window.region.len()).step_by(PAGE_LEN_MIN) {
                let byte = window.region.get_atomic_ref::<AtomicU8>(at).ok()?;
                // What is not zero was written, and its page touched.
                if byte.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {}
            }
            Some(window)
        }
    }

    /// Where the window begins that `offset` is in.
    const fn start_of(offset: u64) -> u64 {
        offset - offset % WINDOW_LEN
    }

    impl Window {
        /// The window from `start` on of a file of `len` bytes.
        fn new(file: &Arc<File>, start: u64, len: u64) -> Option<Self> {
            let window_len = usize::try_from((len - start).min(WINDOW_LEN)).ok()?;
            let place = FileOffset::from_arc(Arc::clone(file), start);
            let region = MmapRegion::from_file(place, window_len).ok()?;
            Some(Self { start, region })
        }

        fn end(&self) -> u64 {
            self.start + self.region.len() as u64
        }

        fn covers(&self, offset: u64) -> bool {
            (self.start..self.end()).contains(&offset)
        }

        /// Writes as many of `bytes` as the window has room for; `None` if that fails.
        fn write(&self, bytes: &[u8], offset: u64) -> Option<usize> {
            let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
            let room = self.region.len().checked_sub(at)?;
            let fits = bytes.get(..room).unwrap_or(bytes);
            self.region.as_volatile_slice().write_slice(fits, at).ok()?;
            Some(fits.len())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod mapped {
    use std::fs::File;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Mapped {}

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Due {}

    impl Mapped {
        pub(super) fn new(_: &File) -> Option<Self> {
            None
        }

        pub(super) fn note_len(&mut self, _: &File) {
            match *self {}
        }

        pub(super) fn write(&mut self, _: &[u8], _: u64) -> usize {
            match *self {}
        }

        pub(super) fn due(&self) -> Option<Due> {
            match *self {}
        }

        pub(super) fn offer(&mut self, (): ()) -> Option<()> {
            match *self {}
        }

        pub(super) fn take_left(&mut self) {
            match *self {}
        }
    }

    impl Due {
        pub(super) fn make(self) -> Option<()> {
            match self {}
        }
    }
}
