use std::sync::Arc;

use stratal_types::{Direction, Fragments, SeqNo, Stretch};

use crate::order::Order;

/// Stretches that a read passes at once. Where many tombstones lie over one another, their bounds divide
/// what they hide into short ones.
const STRETCHES_PASSED: usize = 64;

/// The range tombstones of all sources, asked for one key after another by a read at one bound.
///
/// Remembers the window of keys around the last one in which no source's tombstones begin or end: a
/// key in the window costs two comparisons, however many sources there are.
#[derive(Debug)]
pub(crate) struct Masks {
    of_sources: Vec<Mask>,
    bound: SeqNo,
    window: Option<Window>,
}

/// The fragments of a source, and the stretch of them that the last key asked for lies in.
#[derive(Debug)]
struct Mask {
    source: usize,
    fragments: Arc<Fragments>,
    position: usize,
}

/// Keys between the bounds at hand of these masks. `None`: without a bound on that side.
#[derive(Clone, Copy, Debug)]
struct Window {
    starts_with: Option<usize>,
    ends_with: Option<usize>,
    newest: Option<Covering>,
}

/// Keys from `start` on, and before `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clear<'a> {
    pub(crate) start: Option<&'a [u8]>,
    pub(crate) end: Option<&'a [u8]>,
}

/// The newest tombstone over a key that the read sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covering {
    /// Its number.
    pub(crate) seqno: SeqNo,
    /// The newest source that has it.
    pub(crate) source: usize,
    mask: usize,
}

impl Masks {
    /// `sources` are the fragments of each source, the newest first.
    pub(crate) fn new<'a>(sources: impl Iterator<Item = &'a Arc<Fragments>>, bound: SeqNo) -> Self {
        let numbered = sources.enumerate().filter(|(_, fragments)| !fragments.is_empty());
        let mask =
            |(source, fragments)| Mask { source, fragments: Arc::clone(fragments), position: 0 };
        Self { of_sources: numbered.map(mask).collect(), bound, window: None }
    }

    /// Whether no source has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.of_sources.is_empty()
    }

    /// The newest tombstone over `key` that the read sees.
    pub(crate) fn covering(&mut self, key: &[u8], order: &Order) -> Option<Covering> {
        if self.of_sources.is_empty() {
            return None;
        }
        match self.window {
            Some(window) if self.contains(window, key, order) => window.newest,
            _ => {
                let window = self.open_window(key, order);
                self.window = Some(window);
                window.newest
            }
        }
    }

    /// The keys around the one asked for last over which no tombstone lies that the read sees; `None` if
    /// one lies over that key.
    pub(crate) fn clear_stretch(&self) -> Option<Clear<'_>> {
        if self.of_sources.is_empty() {
            return Some(Clear { start: None, end: None });
        }
        let window = self.window.filter(|window| window.newest.is_none())?;
        let start = window.starts_with.and_then(|mask| self.of_sources[mask].stretch().start);
        let end = window.ends_with.and_then(|mask| self.of_sources[mask].stretch().end);
        Some(Clear { start, end })
    }

    /// How far, from the key asked for last, everything that the tombstone returned for it hides is
    /// hidden by tombstones of the same source. That may be further: a few stretches are looked at.
    pub(crate) fn hidden_to(&self, covering: Covering, direction: Direction) -> Option<&[u8]> {
        let Mask { fragments, position, .. } = &self.of_sources[covering.mask];
        let mut stretch = fragments.stretch(*position);
        for ahead in 1..STRETCHES_PASSED {
            let next = match direction {
                Direction::Forward => Some(position + ahead),
                Direction::Backward => position.checked_sub(ahead),
            };
            let next = next.map(|next| fragments.stretch(next)).filter(|next| {
                next.newest_below(self.bound).is_some_and(|newest| newest >= covering.seqno)
            });
            let Some(next) = next else { break };
            stretch = next;
        }
        if direction == Direction::Forward { stretch.end } else { stretch.start }
    }

    fn contains(&self, window: Window, key: &[u8], order: &Order) -> bool {
        let start = window.starts_with.and_then(|mask| self.of_sources[mask].stretch().start);
        let end = window.ends_with.and_then(|mask| self.of_sources[mask].stretch().end);
        start.is_none_or(|start| order.keys(start, key).is_le())
            && end.is_none_or(|end| order.keys(key, end).is_lt())
    }

    /// Finds the stretch of `key` in every mask, and what these have in common.
    fn open_window(&mut self, key: &[u8], order: &Order) -> Window {
        for mask in &mut self.of_sources {
            if !mask.stretch().contains(key, order.comparator().as_ref()) {
                mask.position = mask.fragments.position(key, order.comparator().as_ref());
            }
        }
        let mut window = Window { starts_with: None, ends_with: None, newest: None };
        for (number, mask) in self.of_sources.iter().enumerate() {
            let Stretch { start, end, .. } = mask.stretch();
            let known = window.starts_with.and_then(|mask| self.of_sources[mask].stretch().start);
            if start.is_some_and(|start| known.is_none_or(|known| order.keys(known, start).is_lt()))
            {
                window.starts_with = Some(number);
            }
            let known = window.ends_with.and_then(|mask| self.of_sources[mask].stretch().end);
            if end.is_some_and(|end| known.is_none_or(|known| order.keys(end, known).is_lt())) {
                window.ends_with = Some(number);
            }
            if let Some(seqno) = mask.stretch().newest_below(self.bound)
                && window.newest.is_none_or(|newest| newest.seqno < seqno)
            {
                window.newest = Some(Covering { seqno, source: mask.source, mask: number });
            }
        }
        window
    }
}

impl Mask {
    fn stretch(&self) -> Stretch<'_> {
        self.fragments.stretch(self.position)
    }
}
