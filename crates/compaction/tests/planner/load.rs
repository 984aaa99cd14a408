//! What is written to simulated trees, and who merges meanwhile.

use stratal_compaction::plan::{Policy, Strategy};
use stratal_testkit::Rng;
use stratal_types::Bytewise;

use crate::tree::{ROW_LEN, Tree};

/// A memtable's worth of rows; a table is as long.
pub(crate) const FLUSH_ROWS: u32 = 64;

/// Its length in bytes.
pub(crate) const FLUSH_LEN: u64 = FLUSH_ROWS as u64 * ROW_LEN;

/// Which cells a flush fills.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    Uniform,
    /// Anywhere from a few neighbouring cells to all of them.
    RandomSpans,
    Ascending,
}

pub(crate) fn cells(pattern: Pattern, count: u32, flush: u32, rng: &mut Rng) -> Vec<u32> {
    let below = |limit: u32, rng: &mut Rng| u32::try_from(rng.below(limit.into())).unwrap();
    match pattern {
        Pattern::Uniform => (0..FLUSH_ROWS).map(|_| below(count, rng)).collect(),
        Pattern::RandomSpans => {
            let width = 1 + (count >> below(16, rng));
            let start = below(count, rng);
            (0..FLUSH_ROWS).map(|_| (start + below(width, rng)).min(count - 1)).collect()
        }
        Pattern::Ascending => (0..FLUSH_ROWS).map(|at| (flush * FLUSH_ROWS + at) % count).collect(),
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) flushes: u32,
    pub(crate) cells: u32,
    pub(crate) pattern: Pattern,
    pub(crate) delete_percent: u64,
    pub(crate) workers: usize,
    /// Writers wait once so many runs wait in level 0 to be merged.
    pub(crate) level0_runs_max: usize,
}

/// Flushes and works off jobs, `workers` at a time, in a random interleaving; then comes to rest.
/// `policy` says for each flush what merges then.
pub(crate) fn simulate(name: &str, load: &Load, policy: impl Fn(u32) -> Policy) -> Tree {
    let mut tree = Tree::new(load.cells, FLUSH_LEN, 7);
    let mut runs_max = 0;
    for flush in 0..load.flushes {
        let strategy = policy(flush);
        let mut rng = Rng::new(u64::from(flush));
        tree.flush(cells(load.pattern, load.cells, flush, &mut rng), load.delete_percent);
        let mut steps = 0;
        loop {
            while tree.running.len() < load.workers && tree.start(&strategy) {}
            let pressure = strategy.pressure(&tree.shape);
            runs_max = runs_max.max(pressure.level0_runs);
            // Now and then the workers are faster.
            let waits = pressure.level0_runs >= load.level0_runs_max || rng.chance(2, 3);
            if tree.running.is_empty() || !waits || steps > 10_000 {
                break;
            }
            steps += 1;
            tree.finish_one();
        }
        assert!(steps <= 10_000, "{name}: level 0 starves");
        for _ in 0..16 {
            let cell = u32::try_from(rng.below(load.cells.into())).unwrap();
            tree.check_read(cell);
        }
        if flush % 1000 == 999 {
            tree.check_all_reads();
        }
    }
    assert!(runs_max <= load.level0_runs_max, "{name}: {runs_max} runs in level 0");
    let strategy = policy(load.flushes);
    tree.settle(&strategy);
    tree.check_all_reads();
    tree.report(name);
    assert_eq!(strategy.pressure(&tree.shape).debt, 0, "{name}: nothing exceeds its bound at rest");
    assert_eq!(strategy.plan(&tree.shape, &Bytewise), None);
    assert!(tree.shape.claims.is_empty());
    tree
}
