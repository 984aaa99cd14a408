//! Where ingested tables go, and how they become what reads see.

use stratal_compaction::plan::{Job, Place, Shape, StrategyOptions};
use stratal_manifest::{TableMeta, VersionEdit};
use stratal_types::{KeyRange, SeqNo, sync::atomic::Ordering};

use crate::{Error, IngestSummary, ReadyTables, Tree, ready_tables::is_in};

impl Tree {
    /// Makes `tables` part of the tree and lets reads see them: what [`Ingestion::finish`] does, for a
    /// tree that is used alone.
    ///
    /// # Errors
    ///
    /// As [`Ingestion::finish`].
    ///
    /// [`Ingestion::finish`]: crate::Ingestion::finish
    pub fn ingest(&self, tables: ReadyTables) -> Result<IngestSummary, Error> {
        if tables.is_empty() {
            return Ok(IngestSummary::default());
        }
        // What was written before must not be lost with the power when this is not. Most of it, while
        // others may still write.
        self.flush()?;
        let _turn = self.writer.lock();
        self.seal();
        self.flush_sealed()?;
        let clock = self.store.clock();
        let seqno = clock.allocate(1)?;
        let installed = self.install_ingested(tables, seqno);
        // Also if it failed: nothing has that number then, and nothing ever will.
        clock.publish(clock.next());
        installed
    }

    /// Whether something in memory lies in the span of one of `tables`. Memory is searched before
    /// tables, so it has to be flushed before they are installed.
    pub fn is_in_memory(&self, tables: &ReadyTables) -> bool {
        let state = self.state.load();
        let comparator = self.comparator.as_ref();
        state.memtables().any(|memtable| {
            !memtable.is_empty() && tables.spans().any(|span| is_in(memtable, span, comparator))
        })
    }

    /// Makes `tables` part of the tree, durably, everything in them with the number `seqno`, without
    /// making it visible: for the caller who holds the write side of all trees of the store, took
    /// the number from its clock, and publishes it afterwards. Every number below must be durable by
    /// then, wherever it is: what is installed here is there after a power failure.
    ///
    /// From here on, writes go to a new memtable. Whoever reads from what was there before sees neither
    /// the tables nor anything written after them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for tables of another tree, and if [memory](Self::is_in_memory) has
    /// something that would hide them; [`Error::SeqNoNotAbove`]; whatever the manifest said. The tree
    /// is as it was then, and `seqno` is not to be used for anything else.
    pub fn install_ingested(
        &self,
        mut tables: ReadyTables,
        seqno: SeqNo,
    ) -> Result<IngestSummary, Error> {
        if !tables.is_for(self) {
            return Err(Error::InvalidArgument("the tables were written for another tree".into()));
        }
        if tables.is_empty() {
            return Ok(IngestSummary::default());
        }
        if self.is_in_memory(&tables) {
            return Err(Error::InvalidArgument("memory is to be flushed before".into()));
        }
        let bound = seqno.next().ok_or(Error::OutOfSeqNos)?;
        let applied = self.applied.load(Ordering::Acquire);
        if seqno.get() < applied {
            let last = SeqNo::new(applied.saturating_sub(1)).unwrap_or(SeqNo::ZERO);
            return Err(Error::SeqNoNotAbove { given: seqno, last });
        }
        self.seal();

        let mut manifest = self.store.manifest.lock();
        let shape = self.shape_now();
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        if !self.has_sealed() {
            edit.set_flushed(self.id, bound);
        }
        let mut summary =
            IngestSummary { rows: tables.rows, seqno: Some(seqno), ..IngestSummary::default() };
        for table in std::mem::take(&mut tables.tables) {
            summary.tables += 1;
            summary.len += table.len();
            let place = self.landing(&shape, &table.span);
            let seen = |meta| TableMeta { seqno_overlay: Some(seqno), ..meta };
            edit.add_table(self.id, place.into(), table.map(seen))?;
        }
        let version = self.commit(&mut manifest, &edit, &tables.ledger)?;
        self.applied.fetch_max(bound.get(), Ordering::AcqRel);
        self.swap_view(&version, |state| {
            // A read that has the state from before may take its bound later. It must not see what is
            // written from here on, for it does not see the tables.
            state.active = self.new_memtable();
        });
        self.traffic.ingested(summary.len);
        Ok(summary)
    }

    /// The level in which a table of this span would stand now.
    pub(crate) fn expected_level(&self, span: &KeyRange) -> usize {
        let state = self.state.load();
        let comparator = self.comparator.as_ref();
        if state
            .memtables()
            .any(|memtable| !memtable.is_empty() && is_in(memtable, span, comparator))
        {
            return 0;
        }
        self.landing(&self.shape_now(), span).level
    }

    /// What a planner sees, running jobs included.
    pub(crate) fn shape_now(&self) -> Shape {
        let jobs = self.jobs.lock();
        self.shape(&self.state.load().view, &jobs)
    }

    /// Where a table of this span goes, which is newer than everything in the tree: to the lowest level
    /// where nothing overlaps it, there and above, or else to a new run in front of all others.
    ///
    /// Only levels that are one run take it, and that are in use or the last, so that it stands where
    /// the strategy would bring it. It stays out of the way of running jobs.
    fn landing(&self, shape: &Shape, span: &KeyRange) -> Place {
        let comparator = self.comparator.as_ref();
        let spec = self.spec.load();
        let last = spec.policy().major().level;
        let is_single = |level: usize| match spec.policy().options() {
            StrategyOptions::Leveled(_) => true,
            StrategyOptions::LazyLeveled(_) => level == last,
            _ => false,
        };
        let ages = || shape.runs().map(|(place, _)| place.age);
        let mut lower = (1..=last).rev().filter(|level| is_single(*level)).filter_map(|level| {
            match shape.level(level) {
                [] if level == last => {
                    // It is older than nothing, but what is merged above it will be newer.
                    let age = ages().min().unwrap_or(0).saturating_sub(1);
                    Some(Place { level, age })
                }
                [run] => Some(Place { level, age: run.age }),
                _ => None,
            }
        });
        let fits = |place: &Place| {
            let job = Job { output: *place, ..Job::flush(span.clone(), place.age) };
            job.check(shape, comparator).is_ok() && !shape.is_claimed(&job.claim(), comparator)
        };
        let age = ages().max().unwrap_or(0).saturating_add(1);
        lower.find(fits).unwrap_or(Place { level: 0, age })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use stratal_fs::MemFs;

    use crate::{Store, StoreContext, Tree, TreeOptions};

    /// A read takes the state first, and its bound when an ingestion and another write came between.
    #[test]
    fn a_read_that_misses_an_ingestion_misses_what_was_written_after_it() {
        let count = AtomicU64::new(0);
        let unique = move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
        let context = StoreContext::new(Arc::new(MemFs::new()), "/db", 1 << 20, Arc::new(unique));
        let (store, _) = Store::open(context).unwrap();
        let id = store.create_tree("t", "bytewise", &[]).unwrap();
        let tree = Tree::open(&store, id, TreeOptions::default().validate().unwrap()).unwrap();
        for is_written_to in [false, true] {
            if is_written_to {
                tree.put(b"z", b"").unwrap();
            }
            let state = tree.state.load_full();
            let mut ingestion = tree.ingestion();
            ingestion.put(b"ingested", b"").unwrap();
            ingestion.finish().unwrap();
            tree.put(b"written", b"").unwrap();
            let bound = store.clock().visible();
            let seen = |key: &[u8]| state.get(key, bound, &tree.folding).unwrap().is_some();
            assert!(!seen(b"written") || seen(b"ingested"), "written to: {is_written_to}");
            assert!(tree.contains(b"ingested").unwrap() && tree.contains(b"written").unwrap());
            tree.clear().unwrap();
            tree.flush().unwrap();
        }
    }
}
