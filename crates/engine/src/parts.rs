//! One merge, in parts that are done side by side.

use std::{ops::Bound, sync::Arc};

use stratal_compaction::gc::{BlockStarts, GcContext, GcStream, GcSummary, JobTombstones};
use stratal_fs::FileSynced;
use stratal_manifest::TableMeta;
use stratal_memtable::Memtable;
use stratal_merge::MergingCursor;
use stratal_sst::{TableSetWriter, TableSpec};
use stratal_types::{Comparator, Cursor, KeyRange, OutputCutter, Piece, SeqNo};

use crate::{
    CompactionFilters, Error, Tree, TreeSpec,
    crew::{Task, do_all},
    cuts::pieces,
    folding::Folding,
    merging::Merge,
    outputs::{JobContext, Outputs, Provenance},
    source::{RunCursor, SourceCursor},
    stop::{EndsOthers, Watched},
    ttl::Ages,
    view::RunView,
};

/// Where entries of a job come from. Each part of the job has a cursor of its own over it.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Memory(Arc<Memtable>),
    Run(RunView),
}

impl Source {
    /// A cursor that meets every entry of `range`, and perhaps others.
    fn cursor(&self, range: &KeyRange, comparator: &dyn Comparator) -> SourceCursor {
        match self {
            Self::Memory(memtable) => SourceCursor::Memory(memtable.cursor()),
            Self::Run(run) => {
                let within = run.filtered(|table| table.meta.span.overlaps(range, comparator));
                SourceCursor::Run(Box::new(RunCursor::scanner(within)))
            }
        }
    }
}

/// A merge as all of its parts see it: settled when the job begins, the same for each.
pub(crate) struct Merging {
    merge: Merge,
    tombstones: JobTombstones,
    watermark: SeqNo,
    folding: Arc<Folding>,
    spec: Arc<TreeSpec>,
    table: Arc<TableSpec>,
    ages: Option<Ages>,
    context: JobContext,
}

/// What a part made.
#[derive(Debug, Default)]
pub(crate) struct PartDone {
    /// In the order of keys.
    pub(crate) tables: Vec<FileSynced<TableMeta>>,
    pub(crate) collected: GcSummary,
    /// How many parts did it.
    pub(crate) parts: usize,
}

/// Does a merge in as many parts as it is worth, on the threads of whoever waits for it or else on those
/// that the store has for that, and on this one. The first part that fails ends the others.
pub(crate) fn do_parts(merging: Merging) -> Result<PartDone, Error> {
    let helpers = merging.context.helpers.as_ref().map(|helpers| Arc::clone(&helpers.pool));
    let pool = helpers.or_else(|| merging.context.store.context.pool.clone());
    let merging = Arc::new(merging);
    let task = |piece: Piece| {
        let merging = Arc::clone(&merging);
        Box::new(move || {
            let ends_others = EndsOthers::new(merging.context.stop.clone());
            let done = merging.part(&piece)?;
            ends_others.done();
            Ok(done)
        }) as Task<Result<PartDone, Error>>
    };
    let tasks = merging.pieces()?.into_iter().map(task).collect();
    let mut all = PartDone::default();
    let mut failure = None;
    for done in do_all(pool.as_deref(), tasks) {
        match done {
            Ok(done) => all.add(done),
            // The part that failed says why; those that were ended for it do not.
            Err(error) if matches!(failure, None | Some(Error::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
    }
    failure.map_or(Ok(all), Err)
}

impl PartDone {
    fn add(&mut self, next: Self) {
        self.tables.extend(next.tables);
        self.collected.add(&next.collected);
        self.parts += next.parts;
    }
}

impl Merging {
    pub(crate) fn new(tree: &Tree, mut merge: Merge, context: JobContext) -> Self {
        let watermark = tree.store.clock().watermark();
        let inputs = std::mem::take(&mut merge.tombstones);
        let comparator = tree.comparator.as_ref();
        let tombstones = JobTombstones::new(inputs, watermark, &merge.older, comparator);
        let spec = tree.spec.load_full();
        let table = spec.table(merge.level, &merge.after);
        let folding = Arc::clone(&tree.folding);
        let ages = tree.ages();
        Self { merge, tombstones, watermark, folding, spec, table, ages, context }
    }

    /// Where it is cut.
    fn pieces(&self) -> Result<Vec<Piece>, Error> {
        let options = self.spec.options();
        let threads = self.context.helpers.as_ref().map_or(1, |helpers| helpers.count + 1);
        pieces(
            &self.merge.sources,
            options.max_subcompactions.max(threads),
            options.subcompaction_len_min,
            self.context.comparator.as_ref(),
        )
    }

    /// Does the part that is responsible for `piece`: exactly the keys in it, and what range
    /// tombstones say there.
    fn part(&self, piece: &Piece) -> Result<PartDone, Error> {
        let Self { merge, context, .. } = self;
        context.stop.check()?;
        let comparator = context.comparator.as_ref();
        let range = range_of(piece);
        // Digests are looked at where they will go on: before anything is made of an entry.
        let has_digests = self.table.options().entry_digests;
        let sources = merge.sources.iter().map(|source| {
            let cursor = source.cursor(&range, comparator);
            if has_digests { cursor.checked() } else { cursor }
        });
        let input = MergingCursor::new(sources.collect(), Arc::clone(&context.comparator));
        let mut input = Watched::new(input, context.stop.clone());
        if let Some(start) = &piece.start {
            input.seek(start, SeqNo::MAX)?;
        }

        let mut gc = GcContext::new(comparator, self.watermark, &self.tombstones, &merge.older);
        // A number tells how old a value is, as long as that matters.
        if self.ages.is_none() {
            gc.covered_elsewhere = merge.covered_elsewhere.as_ref();
        }
        gc.operator = self.folding.operator();
        gc.end = piece.end.as_deref();
        let mut departed = |_: &[u8], _: &[u8]| {};
        let options = self.spec.options();
        let mut filter = options.compaction_filters.as_ref().map(CompactionFilters::make);
        if let Some(ages) = &self.ages {
            filter = Some(Box::new(ages.filter(filter.take())));
        }
        let mut stream = GcStream::new(input, gc, &mut departed);
        if let Some(filter) = &mut filter {
            stream = stream.with_filter(filter.as_mut());
        }
        if has_digests {
            stream = stream.with_digests();
        }

        // A fence that the piece begins behind says how much lies below its first keys.
        let before = merge.fences.partition_point(|fence| {
            piece
                .start
                .as_ref()
                .is_some_and(|start| comparator.compare(&fence.start, start).is_le())
        });
        let fences = merge.fences.get(before.saturating_sub(1)..).unwrap_or_default();
        let cutter = OutputCutter::new(options.cut, fences, piece.clone(), comparator);
        // Versions that somebody reads are not judged.
        let judged_to = self.ages.as_ref().map(|ages| ages.dead.min(self.watermark));
        let provenance = Provenance {
            level: merge.level,
            lineage: &merge.lineage,
            created_at_ms: merge.created_at_ms,
            judged_to,
        };
        let outputs = Outputs::new(context, provenance);
        let files = self.spec.table_context(&context.store.files, &context.comparator);
        let mut set = TableSetWriter::new(&files, Arc::clone(&self.table), cutter, outputs);
        set.add_tombstones(self.tombstones.kept())?;
        let starts = if options.carry_blocks { BlockStarts::StopAt } else { BlockStarts::Pass };
        loop {
            if options.carry_blocks && stream.block_follows()? {
                let merging = stream.input().input();
                let source = merging.source().and_then(|number| merging.sources().get(number));
                if let Some(block) = source.and_then(SourceCursor::stored_block)
                    && set.add_block(&block)?
                {
                    stream.take_block()?;
                    continue;
                }
            }
            if stream.pass_puts(starts, |entry| set.add(entry))? {
                continue;
            }
            stream.advance()?;
            let Some(entry) = stream.entry() else { break };
            match stream.digest() {
                Some(digest) => set.add_with_digest(entry, digest)?,
                None => set.add(entry)?,
            }
        }
        let Some(collected) = stream.finish() else {
            return Err(Error::StaleJob("the merge did not reach its end".into()));
        };
        Ok(PartDone { tables: set.finish()?.into_tables(), collected, parts: 1 })
    }
}

fn range_of(piece: &Piece) -> KeyRange {
    KeyRange {
        start: piece.start.clone().map_or(Bound::Unbounded, Bound::Included),
        end: piece.end.clone().map_or(Bound::Unbounded, Bound::Excluded),
    }
}
