use std::{ptr::NonNull, slice};

use stratal_types::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    HUGE_PAGE, Region,
    class::{CLASSES, Class, LEN_MAX, LEN_MIN, Slot, class_of},
    span::{Regions, SPAN_MAX, Span},
};

/// Memory that buffers are cut from.
///
/// Whoever has the lock of a class may take that of the regions, and never the other way.
#[derive(Debug)]
pub(crate) struct Slab {
    classes: Box<[Mutex<Class>]>,
    regions: Mutex<Regions>,
    /// Bytes of spans that are one buffer each.
    spans: AtomicUsize,
    /// Bytes of regions that are.
    alone: AtomicUsize,
}

/// How much memory [`Buffer`](crate::Buffer)s of this process take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What buffers take, each rounded up to the length that there is.
    pub taken: usize,
    /// What there is for them: at most so much is resident.
    pub resident: usize,
}

/// What a buffer of a slab has: most have a slot, and are small themselves.
#[derive(Debug)]
pub(crate) struct Taken {
    slab: &'static Slab,
    start: NonNull<u8>,
    len: usize,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Slot { class: usize, slot: Slot },
    Span(Box<Span>),
    Alone(Box<Region>),
}

// SAFETY: S1: the bytes are its own, and what gives them back locks what it changes.
unsafe impl Send for Taken {}
// SAFETY: S1, and through a shared reference they are only read.
unsafe impl Sync for Taken {}

impl Slab {
    /// Takes no memory for buffers before one is asked for.
    pub(crate) fn new() -> Self {
        let classes = (0..CLASSES).map(|class| Mutex::new(Class::new(class))).collect();
        let regions = Mutex::new(Regions::default());
        Self { classes, regions, spans: AtomicUsize::new(0), alone: AtomicUsize::new(0) }
    }

    /// `len` bytes, unless they are so few that it is not worth it.
    pub(crate) fn take(&'static self, len: usize) -> Option<Taken> {
        let (start, home) = if len <= LEN_MIN {
            return None;
        } else if len <= LEN_MAX {
            let class = class_of(len);
            let (start, slot) = self.slot(class)?;
            (start, Home::Slot { class, slot })
        } else if len <= SPAN_MAX {
            let span = self.regions.lock().take(len);
            self.spans.fetch_add(span.len(), Ordering::Relaxed);
            (span.start, Home::Span(Box::new(span)))
        } else {
            let region = Region::new(len);
            self.alone.fetch_add(len, Ordering::Relaxed);
            (region.start(), Home::Alone(Box::new(region)))
        };
        Some(Taken { slab: self, start, len, home })
    }

    fn slot(&self, class: usize) -> Option<(NonNull<u8>, Slot)> {
        let mut class = self.classes.get(class)?.lock();
        if let Some(slot) = class.take() {
            return Some(slot);
        }
        let span = self.regions.lock().take(class.span_len());
        class.add(span);
        class.take()
    }

    fn give_back_span(&self, span: &Span) {
        let unneeded = self.regions.lock().give_back(span);
        drop(unneeded);
    }

    pub(crate) fn usage(&self) -> Usage {
        let alone = self.alone.load(Ordering::Relaxed);
        let spans = self.spans.load(Ordering::Relaxed);
        let slots = self.classes.iter().map(|class| class.lock().taken()).sum::<usize>();
        let regions = self.regions.lock().len() * HUGE_PAGE;
        Usage { taken: slots + spans + alone, resident: regions + alone }
    }
}

impl AsRef<[u8]> for Taken {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: S1, and the bytes are initialised (R1).
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsMut<[u8]> for Taken {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: S1, and they are borrowed by this alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        match &self.home {
            Home::Slot { class, slot } => {
                let Some(class) = self.slab.classes.get(*class) else { return };
                let unneeded = class.lock().give_back(*slot);
                if let Some(span) = unneeded {
                    self.slab.give_back_span(&span);
                }
            }
            Home::Span(span) => {
                self.slab.spans.fetch_sub(span.len(), Ordering::Relaxed);
                self.slab.give_back_span(span);
            }
            Home::Alone(region) => {
                self.slab.alone.fetch_sub(region.len(), Ordering::Relaxed);
            }
        }
    }
}
