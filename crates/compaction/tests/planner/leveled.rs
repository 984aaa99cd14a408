//! Leveled compaction in particular.

use stratal_compaction::plan::{
    LEVELS_MAX, Leveled, LeveledOptions, Major, Policy, Sizing, Strategy,
};
use stratal_testkit::Rng;
use stratal_types::Bytewise;

use crate::{
    jobs::shape,
    load::{FLUSH_LEN, FLUSH_ROWS, Load, Pattern, cells, simulate},
    tree::Tree,
};

/// A table is as long as a memtable; the first level holds four.
pub(crate) fn options() -> LeveledOptions {
    LeveledOptions {
        level_base_len: 4 * FLUSH_LEN,
        job_len_max: 25 * FLUSH_LEN,
        ..LeveledOptions::default()
    }
}

fn leveled(name: &str, strategy: &Leveled, load: &Load) -> Tree {
    let tree = simulate(name, load, |_| Policy::Leveled(*strategy));
    assert!(tree.shape.level(0).len() < strategy.options().level0_runs);
    assert!(tree.shape.levels.iter().skip(1).all(|runs| runs.len() <= 1));
    tree
}

#[test]
fn ten_thousand_flushes_of_random_spans_keep_order_and_come_to_rest() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 10_000,
        cells: 100_000,
        pattern: Pattern::RandomSpans,
        delete_percent: 5,
        workers: 3,
        level0_runs_max: 12,
    };
    leveled("random spans, 3 workers", &strategy, &load);
}

#[test]
fn uniform_writes_cost_what_leveled_compaction_costs() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 1024,
        cells: 1 << 26,
        pattern: Pattern::Uniform,
        delete_percent: 0,
        workers: 1,
        level0_runs_max: 12,
    };
    // 2^26 cells: hardly a write replaces another. Reads of all of them would take too long.
    let mut tree = Tree::new(load.cells, FLUSH_LEN, 7);
    for flush in 0..load.flushes {
        let mut rng = Rng::new(u64::from(flush));
        let cells = cells(load.pattern, load.cells, flush, &mut rng);
        tree.flush(cells.iter().copied(), 0);
        tree.settle(&strategy);
        for cell in cells {
            tree.check_read(cell);
        }
    }
    tree.report("uniform, 1024 buffers");
    let cost = tree.write_amplification();
    assert!((5.0..16.0).contains(&cost), "write amplification {cost}");
}

#[test]
fn ascending_writes_are_moved_and_not_rewritten() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 1500,
        cells: 1500 * FLUSH_ROWS,
        pattern: Pattern::Ascending,
        delete_percent: 0,
        workers: 2,
        level0_runs_max: 12,
    };
    let tree = leveled("ascending", &strategy, &load);
    assert_eq!(tree.merged_len, 0);
    assert!(tree.moved_len > tree.flushed_len);
}

#[test]
fn dynamic_sizes_bound_what_stands_above_the_last_level() {
    let options = LeveledOptions { sizing: Sizing::Dynamic, ..options() };
    let strategy = options.validate().unwrap();
    let load = Load {
        flushes: 3000,
        cells: 30_000,
        pattern: Pattern::Uniform,
        delete_percent: 0,
        workers: 2,
        level0_runs_max: 12,
    };
    let tree = leveled("dynamic, updates", &strategy, &load);
    let last = tree.shape.level_len(options.levels - 1) as f64;
    let all: u64 = (0..options.levels).map(|level| tree.shape.level_len(level)).sum();
    let space = all as f64 / last;
    println!("space amplification {space:.3}");
    assert!(space < 1.2, "{space}");
}

#[test]
fn tables_of_deletes_are_merged_down_until_nothing_is_left_of_them() {
    let strategy = options().validate().unwrap();
    let mut tree = Tree::new(20_000, FLUSH_LEN, 3);
    for flush in 0..2 * 20_000 / FLUSH_ROWS {
        let delete_percent = if flush < 20_000 / FLUSH_ROWS { 0 } else { 100 };
        tree.flush(cells(Pattern::Ascending, 20_000, flush, &mut Rng::new(1)), delete_percent);
        tree.settle(&strategy);
    }
    tree.check_all_reads();
    tree.report("everything deleted");
    let left: u64 = tree.shape.tables().map(|(_, table)| table.entries).sum();
    // Level 0 may keep what is too little to merge.
    assert!(left < 4 * u64::from(FLUSH_ROWS) + 20_000 / 10, "{left} entries left");
}

#[test]
fn major_compaction_leaves_one_run_of_live_rows() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 500,
        cells: 5_000,
        pattern: Pattern::RandomSpans,
        delete_percent: 30,
        workers: 2,
        level0_runs_max: 12,
    };
    let mut tree = leveled("before major", &strategy, &load);
    let major = Major { level: 6 };
    tree.settle(&major);
    tree.check_all_reads();
    let live = tree.truth.iter().flatten().filter(|fill| !fill.delete).count() as u64;
    let rows: u64 = tree.shape.tables().map(|(_, table)| table.entries).sum();
    assert_eq!(rows, live);
    assert_eq!(tree.shape.runs().count(), 1);
    assert_eq!(tree.shape.runs().next().unwrap().0.level, 6);
    assert_eq!(major.plan(&tree.shape, &Bytewise), None);
}

#[test]
fn level_0_is_merged_within_itself_while_its_oldest_runs_are_on_their_way_down() {
    let strategy = options().validate().unwrap();
    let mut tree = Tree::new(1000, FLUSH_LEN, 3);
    let mut rng = Rng::new(1);
    let mut flush = |tree: &mut Tree| tree.flush(cells(Pattern::Uniform, 1000, 0, &mut rng), 0);
    (0..4).for_each(|_| flush(&mut tree));
    assert!(tree.start(&strategy));
    (0..4).for_each(|_| flush(&mut tree));
    assert!(tree.start(&strategy));
    let within = tree.running.last().unwrap();
    assert_eq!(within.output.level, 0);
    assert_eq!(within.inputs.len(), 4);
    assert!(!tree.start(&strategy), "nothing is left to do");
    // Whichever is done first.
    tree.finish_one();
    tree.check_all_reads();
    tree.settle(&strategy);
    tree.check_all_reads();
}

#[test]
fn a_level_one_byte_too_long_is_not_at_rest() {
    let strategy = LeveledOptions::default().validate().unwrap();
    let target = LeveledOptions::LEVEL_BASE_LEN;
    for (len, debt) in [(target, 0), (target + 1, 1)] {
        let mut shape = shape(&[&[], &[&[(1, 10, 20), (2, 30, 40)]]]);
        shape.levels[1][0].tables[0].len = len - 10;
        assert_eq!(shape.level_len(1), len);
        assert_eq!(strategy.pressure(&shape).debt, debt);
        assert_eq!(strategy.plan(&shape, &Bytewise).is_some(), debt > 0);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let default = LeveledOptions::default();
    assert!(default.validate().is_ok());
    for options in [
        LeveledOptions { levels: 1, ..default },
        LeveledOptions { levels: LEVELS_MAX + 1, ..default },
        LeveledOptions { level0_runs: 1, ..default },
        LeveledOptions { level_base_len: 0, ..default },
        LeveledOptions { ratio: 1, ..default },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
}
