//! Values that go when they are old.

use std::{sync::Arc, time::Duration};

use stratal_compaction::{
    gc::{CompactionFilter, Verdict},
    plan::Shape,
};
use stratal_manifest::TimeMark;
use stratal_merge::PointSource;
use stratal_types::{
    EntryRef, SeqNo,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Error, Store, Tree, read_state::ReadState, source::Lookup};

/// Times are told to this share of the time that values are kept.
const SHARE: u64 = 64;

/// Tables are rewritten for values that are older than they may be by this share of it.
const STALE_SHARE: u64 = 8;

/// For how long a tree keeps values, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// For so long, in milliseconds.
    pub ttl_ms: u64,
    /// Since when the tree has forgotten values for their age, in milliseconds since 1970. From then on
    /// it keeps the numbers by which it knows their age.
    pub since_ms: u64,
}

/// For how long a tree keeps values. Every write asks, and waits for nobody where they are kept for ever.
#[derive(Debug)]
pub(crate) struct CurrentTtl {
    is_some: AtomicBool,
    /// A leaf.
    ttl: Mutex<Option<Ttl>>,
}

impl CurrentTtl {
    pub(crate) fn new(ttl: Option<Ttl>) -> Self {
        Self { is_some: AtomicBool::new(ttl.is_some()), ttl: Mutex::new(ttl) }
    }

    pub(crate) fn get(&self) -> Option<Ttl> {
        self.is_some.load(Ordering::Acquire).then(|| *self.ttl.lock()).flatten()
    }

    fn set(&self, ttl: Option<Ttl>) {
        let mut place = self.ttl.lock();
        *place = ttl;
        self.is_some.store(ttl.is_some(), Ordering::Release);
    }
}

impl Store {
    /// What a tree that is made now, to keep values for `ttl`, has in its
    /// [settings](crate::TreeSettings::ttl).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for less than a millisecond.
    pub fn ttl_from_now(&self, ttl: Duration) -> Result<Ttl, Error> {
        Ok(Ttl { ttl_ms: ttl_ms(ttl)?, since_ms: (self.context.time)() })
    }
}

fn ttl_ms(ttl: Duration) -> Result<u64, Error> {
    match u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX) {
        0 => Err(Error::InvalidArgument("ttl is less than a millisecond".into())),
        ttl_ms => Ok(ttl_ms),
    }
}

impl Tree {
    /// For how long it keeps values; `None` for ever.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl.get().map(|ttl| Duration::from_millis(ttl.ttl_ms))
    }

    /// Keeps values for `ttl` from now on, durably, or for ever. It counts from when a value was written
    /// and goes for those that are there already, as far as it is known when they were written: those
    /// from before the tree had a first `ttl` count as written then.
    ///
    /// A value never goes before its time. It goes when tables are written or, when all of a table is
    /// too old, with the table, and may be read until then. With time tables are rewritten for it: if
    /// [`plan`](Self::plan) is asked and its jobs are run, a value is gone after 5/4 of `ttl`, unless it
    /// was written since the oldest snapshot. Snapshots do not keep others, as they keep nothing from a
    /// [filter](crate::CompactionFilters). Operands go with the value they are folded into, whose age is that of
    /// the newest of them, and a value with operands over it stays as long as they do.
    ///
    /// ```
    /// # use std::{sync::{Arc, atomic::{AtomicU64, Ordering}}, time::Duration};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// let now = Arc::new(AtomicU64::new(1_000_000));
    /// let clock = Arc::clone(&now);
    /// let mut context = StoreContext::new(fs, "/db", 8 << 20, unique);
    /// context.time = Arc::new(move || clock.load(Ordering::Relaxed));
    /// let (store, _) = Store::open(context)?;
    /// let id = store.create_tree("sessions", "bytewise", &[])?;
    /// let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// tree.set_ttl(Some(Duration::from_secs(3600)))?;
    /// tree.put(b"session", b"1")?;
    /// tree.flush()?;
    /// now.fetch_add(3_599_000, Ordering::Relaxed);
    /// tree.compact(true)?;
    /// assert!(tree.get(b"session")?.is_some());
    /// now.fetch_add(1_000, Ordering::Relaxed);
    /// tree.compact(false)?;
    /// assert_eq!(tree.get(b"session")?, None);
    /// # Ok::<(), stratal_engine::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for less than a millisecond; [`Error::Settings`], [`Error::Manifest`].
    /// Nothing has changed then.
    pub fn set_ttl(&self, ttl: Option<Duration>) -> Result<(), Error> {
        let _turn = self.writer.lock();
        let before = self.ttl.get();
        let new = ttl.map(|ttl| self.store.ttl_from_now(ttl)).transpose()?;
        let since_ms = before.map(|before| before.since_ms);
        let ttl = new.map(|ttl| Ttl { since_ms: since_ms.unwrap_or(ttl.since_ms), ..ttl });
        if ttl != before {
            // Before it is durable: what is written meanwhile keeps its number.
            self.ttl.set(before.or(ttl));
            let stored = self.store.change_settings(
                self.id,
                |settings| settings.ttl = ttl,
                || self.ttl.set(ttl),
            );
            stored.inspect_err(|_| self.ttl.set(before))?;
            self.note_time();
        }
        Ok(())
    }

    /// Notes what time it is at the next number, if the tree forgets for age.
    pub(crate) fn note_time(&self) {
        let Some(Ttl { ttl_ms, .. }) = self.ttl.get() else { return };
        let mark =
            TimeMark { seqno: self.store.clock().next(), time_ms: (self.store.context.time)() };
        self.store.times.lock().observe(mark, ttl_ms / SHARE);
    }

    /// Tells a planner what is too old.
    pub(crate) fn note_ages(&self, shape: &mut Shape) {
        let Some(ttl) = self.ttl.get() else { return };
        let times = self.store.times.lock();
        let late_ms = ttl.ttl_ms.saturating_add(ttl.ttl_ms / STALE_SHARE);
        shape.stale = times.older_than(late_ms, shape.now_ms);
        // A table whose numbers do not tell how old its values are, or on whose values operands may lie
        // elsewhere, does not go as a whole.
        if ttl.has_passed_since(shape.now_ms) && self.merge_operator().is_none() {
            shape.dead = times.older_than(ttl.ttl_ms, shape.now_ms);
        }
    }

    /// What a job is to judge values by that begins now; `None` if they are kept for ever.
    pub(crate) fn ages(&self) -> Option<Ages> {
        let ttl = self.ttl.get()?;
        let now_ms = (self.store.context.time)();
        let dead = self.store.times.lock().older_than(ttl.ttl_ms, now_ms);
        let zero_is_dead = ttl.has_passed_since(now_ms);
        let state = self.merge_operator().map(|_| self.state.load_full());
        Some(Ages { dead, zero_is_dead, state })
    }
}

impl Ttl {
    /// Whether everything is too old that was there when the tree began to forget for age.
    fn has_passed_since(self, now_ms: u64) -> bool {
        self.since_ms.saturating_add(self.ttl_ms) <= now_ms
    }
}

/// What is too old for a job. Settled when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Ages {
    /// Numbers below this are.
    pub(crate) dead: SeqNo,
    /// So is what has lost its number.
    zero_is_dead: bool,
    /// Where newer operands may be.
    state: Option<Arc<ReadState>>,
}

impl Ages {
    /// Removes what is too old and asks `then` about the rest.
    pub(crate) fn filter(&self, then: Option<Box<dyn CompactionFilter>>) -> AgeFilter {
        AgeFilter { ages: self.clone(), then }
    }

    fn is_dead(&self, entry: EntryRef<'_>) -> bool {
        let is_old = match entry.seqno() {
            SeqNo::ZERO => self.zero_is_dead,
            seqno => seqno < self.dead,
        };
        is_old && self.state.as_ref().is_none_or(|state| is_newest(state, entry))
    }
}

/// Whether no newer version of the key of `entry` is anywhere, as far as can be read.
fn is_newest(state: &ReadState, entry: EntryRef<'_>) -> bool {
    let memory = state.memtables().map(Lookup::Memory);
    let tables = state.view.runs().map(|(_, run)| Lookup::Run(run, SeqNo::MAX));
    for source in memory.chain(tables) {
        match source.newest(entry.key, SeqNo::MAX) {
            Ok(Some((trailer, _))) => return trailer.seqno() == entry.seqno(),
            Ok(None) => {}
            Err(_) => return false,
        }
    }
    false
}

/// A filter for age, and another one behind it.
pub(crate) struct AgeFilter {
    ages: Ages,
    then: Option<Box<dyn CompactionFilter>>,
}

impl CompactionFilter for AgeFilter {
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict {
        match &mut self.then {
            _ if self.ages.is_dead(entry) => Verdict::Remove,
            Some(then) => then.judge(entry),
            None => Verdict::Keep,
        }
    }
}
