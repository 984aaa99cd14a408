//! What holds for every strategy: jobs take nothing that is busy and nothing out of order, reads
//! keep finding the newest write, no level starves, and a tree that is left alone comes to rest.

use stratal_compaction::plan::{
    Aging, Blocked, Claim, Fifo, FifoOptions, Forget, Invalid, Job, JobKind, LEVELS_MAX,
    LazyLeveledOptions, LeveledOptions, Place, Policy, Reason, Run, Shape, Sizing, Strategy,
    StrategyOptions, Table, TieredOptions,
};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, KeyRange, SeqNo};

use crate::{
    leveled::options,
    load::{FLUSH_LEN, FLUSH_ROWS, Load, Pattern, cells, simulate},
    tree::{Tree, key},
};

fn tiered() -> TieredOptions {
    TieredOptions {
        promote_len: 2 * FLUSH_LEN,
        job_len_max: 25 * FLUSH_LEN,
        ..TieredOptions::default()
    }
}

fn lazy() -> LazyLeveledOptions {
    LazyLeveledOptions {
        promote_len: 2 * FLUSH_LEN,
        job_len_max: 25 * FLUSH_LEN,
        ..LazyLeveledOptions::default()
    }
}

/// Every strategy at the scale of these trees. The last keeps everything.
fn policies() -> Vec<Policy> {
    let all = [
        StrategyOptions::Leveled(options()),
        StrategyOptions::Leveled(LeveledOptions { sizing: Sizing::Dynamic, ..options() }),
        StrategyOptions::Tiered(tiered()),
        StrategyOptions::LazyLeveled(lazy()),
        StrategyOptions::Fifo(FifoOptions { len_max: u64::MAX, ..FifoOptions::default() }),
    ];
    all.into_iter().map(|options| options.validate().unwrap()).collect()
}

fn load(pattern: Pattern, workers: usize) -> Load {
    Load {
        flushes: 700,
        cells: 30_000,
        pattern,
        delete_percent: 10,
        workers,
        // As many as the most patient strategy lets stand, and half as many again.
        level0_runs_max: 24,
    }
}

#[test]
fn every_strategy_keeps_order_and_comes_to_rest() {
    for policy in policies() {
        if matches!(policy, Policy::Fifo(_)) {
            continue;
        }
        for pattern in [Pattern::Uniform, Pattern::RandomSpans, Pattern::Ascending] {
            for workers in [1, 3] {
                let name = format!("{} {pattern:?}, {workers} workers", policy.options().name());
                let tree = simulate(&name, &load(pattern, workers), |_| policy);
                let runs = tree.shape.runs().count();
                assert!(runs <= 7 * 16, "{name}: {runs} runs");
            }
        }
    }
}

#[test]
fn a_tree_may_change_its_strategy_at_any_time() {
    let policies = policies();
    for seed in 0..3 {
        let policy = |flush: u32| {
            let mut rng = Rng::new(seed << 32 | u64::from(flush / 100));
            // Towards the end something that merges, so that there is a rest to come to.
            if flush >= 600 { policies[rng.index(4)] } else { *rng.choose(&policies) }
        };
        let load = Load { level0_runs_max: 400, ..load(Pattern::RandomSpans, 3) };
        simulate(&format!("changing strategies, seed {seed}"), &load, policy);
    }
}

/// A tree as no strategy would make it: levels that are empty or hold many runs, tables of one row
/// beside one that is longer than everything else.
fn hostile_tree(rng: &mut Rng) -> Tree {
    const CELLS: u32 = 3000;
    let mut tree = Tree::new(CELLS, FLUSH_LEN, rng.next_u64());
    let levels = 1 + rng.index(9);
    let mut age = 1;
    for level in (0..levels).rev() {
        let runs = match rng.below(8) {
            0..=2 => 0,
            3..=5 => 1 + rng.index(3),
            6 => 10 + rng.index(20),
            _ if level == 0 => 250,
            _ => 1,
        };
        for _ in 0..runs {
            let rows = match rng.below(10) {
                0 => 2000,
                1..=3 => 1 + rng.below(3),
                _ => rng.below(400) + 1,
            };
            let width = 1 + (u64::from(CELLS) >> rng.below(10));
            let start = rng.below(u64::from(CELLS));
            let cell = |rng: &mut Rng| (start + rng.below(width)).min(u64::from(CELLS) - 1);
            let cells: Vec<u32> = (0..rows).map(|_| u32::try_from(cell(rng)).unwrap()).collect();
            let table_rows = *rng.choose(&[1, 7, 64, 100_000]);
            age += 1 + rng.below(3);
            tree.place(Place { level, age }, &cells, table_rows);
        }
    }
    tree.shape.check(&Bytewise).unwrap();
    tree
}

#[test]
fn every_strategy_takes_every_shape_to_rest() {
    let mut deepest = 0;
    for seed in 0..5 {
        for policy in policies() {
            let mut rng = Rng::new(seed);
            let mut tree = hostile_tree(&mut rng);
            deepest = deepest.max(tree.shape.levels.len());
            tree.check_all_reads();
            // Several jobs at once, finished in any order.
            for _ in 0..100 {
                while tree.running.len() < 4 && tree.start(&policy) {}
                if tree.running.is_empty() {
                    break;
                }
                tree.finish_one();
            }
            tree.settle(&policy);
            tree.check_all_reads();
            assert_eq!(policy.pressure(&tree.shape).debt, 0, "seed {seed}, {policy:?}");
            tree.settle(&policy.major());
            tree.check_all_reads();
            assert!(tree.shape.runs().count() <= 1, "seed {seed}: not one run, {policy:?}");
            // What the one run is then, is well for merging strategies too.
            tree.settle(&policy);
            tree.check_all_reads();
        }
    }
    assert!(deepest > 7, "levels that no strategy uses by itself");
}

/// Numbers at the edges of what they may be.
fn edge(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX / 2,
        3 => 1,
        _ => rng.below(1 << 20),
    }
}

/// A shape with any numbers in it; busy tables, claims and quarantined spans too.
fn hostile_shape(rng: &mut Rng) -> Shape {
    let mut shape = Shape {
        watermark: SeqNo::from(u32::try_from(rng.below(1000)).unwrap()),
        dead: SeqNo::from(u32::try_from(rng.below(1000)).unwrap()),
        stale: SeqNo::from(u32::try_from(rng.below(500)).unwrap()),
        refuse_below: SeqNo::from(1000),
        now_ms: edge(rng),
        ..Shape::default()
    };
    let mut number = 0;
    let mut table = |rng: &mut Rng, first: u32, last: u32| {
        number += 1;
        let low = u32::try_from(rng.below(500)).unwrap();
        let expired_at = rng.chance(1, 10).then(|| SeqNo::from(low + 400));
        Table {
            number,
            span: KeyRange::closed(key(first), key(last)),
            len: edge(rng),
            seqnos: (low.into(), (low + 300).into()),
            entries: edge(rng),
            deletes: edge(rng),
            tombstones: edge(rng),
            created_at_ms: edge(rng),
            expired_at,
            judged_to: u32::try_from(rng.below(500)).unwrap().into(),
            busy: expired_at.is_some() || rng.chance(1, 10),
        }
    };
    for _ in 0..rng.index(10) {
        let mut runs = Vec::new();
        let count = rng.index(6);
        for at in 0..count {
            let mut tables = Vec::new();
            let mut cell = 0;
            for _ in 0..=rng.index(5) {
                let first = cell + u32::try_from(rng.below(20)).unwrap();
                let last = first + u32::try_from(rng.below(40)).unwrap();
                tables.push(table(rng, first, last));
                cell = last + 1;
            }
            runs.push(Run { age: (count - at) as u64, tables });
        }
        shape.levels.push(runs);
    }
    if rng.chance(1, 3) {
        let place = |rng: &mut Rng| Place { level: rng.index(5), age: rng.below(5) };
        let (a, b) = (place(rng), place(rng));
        let span = KeyRange::closed(key(10), key(60));
        shape.claims.push(Claim { span: span.clone(), newest: a.min(b), output: a.max(b) });
        shape.quarantined.push(span);
    }
    shape.check(&Bytewise).unwrap();
    shape
}

fn any_policy(rng: &mut Rng) -> Policy {
    let levels = *rng.choose(&[2, 3, 7, LEVELS_MAX]);
    let (ratio, runs) = (2 + edge(rng) / 2, 2 + rng.index(5));
    let (len, job_len_max) = (edge(rng).max(1), edge(rng));
    let deletes_percent = rng.below(120);
    let options = match rng.below(4) {
        0 => StrategyOptions::Leveled(LeveledOptions {
            levels,
            level0_runs: runs,
            level_base_len: len,
            ratio,
            sizing: if rng.chance(1, 2) { Sizing::Static } else { Sizing::Dynamic },
            job_len_max,
            deletes_percent,
        }),
        1 => StrategyOptions::Tiered(TieredOptions {
            levels,
            runs,
            promote_len: len,
            job_len_max,
            deletes_percent,
        }),
        2 => StrategyOptions::LazyLeveled(LazyLeveledOptions {
            levels,
            runs,
            ratio,
            promote_len: len,
            job_len_max,
            deletes_percent,
        }),
        _ => StrategyOptions::Fifo(FifoOptions {
            len_max: len,
            ttl_ms: edge(rng),
            ..FifoOptions::default()
        }),
    };
    options.validate().unwrap()
}

#[test]
fn no_numbers_make_a_planner_panic_or_plan_nonsense() {
    let mut planned = 0;
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed);
        let mut shape = hostile_shape(&mut rng);
        let policy = any_policy(&mut rng);
        policy.pressure(&shape);
        // As many at once as there are.
        for strategy in [&policy as &dyn Strategy, &policy.major(), &Aging] {
            for _ in 0..100 {
                let Some(job) = strategy.plan(&shape, &Bytewise) else { break };
                let context = format!("seed {seed}, {policy:?}, {job:?}");
                job.check(&shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {context}"));
                let is_free = |table: &Table| match job.kind {
                    JobKind::Forget(_) => table.expired_at.is_some(),
                    _ => !table.busy,
                };
                let is_other =
                    |(_, table): (Place, &Table)| !job.takes(table.number) || is_free(table);
                assert!(!job.inputs.is_empty() && shape.tables().all(is_other), "{context}");
                assert!(!shape.is_claimed(&job.claim(), &Bytewise), "{context}");
                shape.start(&job);
                planned += 1;
            }
        }
    }
    assert!(planned > 20_000, "{planned} jobs");
}

/// Flushes, and lets tables expire, in a tree that forgets.
fn forgetting(options: FifoOptions, pattern: Pattern, mut after: impl FnMut(&mut Tree, &Fifo)) {
    let strategy = options.validate().unwrap();
    let mut tree = Tree::new(20_000, FLUSH_LEN, 3);
    let mut rng = Rng::new(5);
    for flush in 0..250 {
        tree.flush(cells(pattern, 20_000, flush, &mut rng), 10);
        // A millisecond is a write.
        tree.shape.now_ms = u64::from(flush + 1) * u64::from(FLUSH_ROWS);
        after(&mut tree, &strategy);
        if flush % 25 == 24 {
            tree.check_all_reads();
        }
    }
    assert_eq!(tree.merged_len, 0, "nothing is merged");
}

#[test]
fn a_tree_that_forgets_never_holds_more_than_it_may() {
    for pattern in [Pattern::Ascending, Pattern::RandomSpans, Pattern::Uniform] {
        let options = FifoOptions { len_max: 20 * FLUSH_LEN, ..FifoOptions::default() };
        forgetting(options, pattern, |tree, strategy| {
            let before: u64 = tree.shape.tables().map(|(_, table)| table.len).sum();
            tree.settle(strategy);
            let len: u64 = tree.shape.tables().map(|(_, table)| table.len).sum();
            assert!(len <= options.len_max);
            // Ascending keys are in no other table, so that just enough is forgotten.
            let is_ample = !matches!(pattern, Pattern::Ascending) || before <= options.len_max;
            assert!(is_ample || len + FLUSH_LEN > options.len_max, "too much was forgotten");
            assert_eq!(strategy.pressure(&tree.shape).debt, 0);
        });
    }
}

#[test]
fn tables_expire_when_their_time_has_come_and_not_before() {
    let options = FifoOptions {
        len_max: u64::MAX,
        ttl_ms: 10 * u64::from(FLUSH_ROWS),
        ..FifoOptions::default()
    };
    forgetting(options, Pattern::Ascending, |tree, strategy| {
        tree.settle(strategy);
        let now = tree.shape.now_ms;
        let ages = tree.shape.tables().map(|(_, table)| now - table.created_at_ms);
        assert!(ages.max().unwrap() < options.ttl_ms);
        let flushed = usize::try_from(now / u64::from(FLUSH_ROWS)).unwrap();
        assert_eq!(tree.shape.runs().count(), flushed.min(10));
    });
}

#[test]
fn a_table_expires_to_the_millisecond() {
    let fifo = FifoOptions { ttl_ms: 100, ..FifoOptions::default() }.validate().unwrap();
    let mut tree = Tree::new(1000, FLUSH_LEN, 3);
    tree.flush(0..10, 0);
    tree.shape.levels[0][0].tables[0].created_at_ms = 5_000;
    let expires_at = |now_ms| {
        let shape = Shape { now_ms, ..tree.shape.clone() };
        fifo.plan(&shape, &Bytewise).is_some()
    };
    assert_eq!([4_000, 5_099, 5_100, 9_000].map(expires_at), [false, false, true, true]);
}

#[test]
fn nothing_is_too_old_while_time_is_unknown() {
    let options = FifoOptions { len_max: 1, ttl_ms: 1, ..FifoOptions::default() };
    let strategy = options.validate().unwrap();
    let mut tree = Tree::new(1000, FLUSH_LEN, 3);
    tree.flush(0..20, 0);
    tree.shape.now_ms = 1 << 40;
    assert_eq!(strategy.plan(&tree.shape, &Bytewise).unwrap().reason, Reason::Age);
    tree.shape.now_ms = 0;
    assert_eq!(strategy.plan(&tree.shape, &Bytewise).unwrap().reason, Reason::Space);
    let young = FifoOptions { len_max: u64::MAX, ..options }.validate().unwrap();
    assert_eq!(young.plan(&tree.shape, &Bytewise), None);
}

#[test]
fn tables_go_for_their_age_as_a_whole_or_are_rewritten_once() {
    let table = |number: u64, cells: (u32, u32), seqnos: (u32, u32)| Table {
        number,
        span: KeyRange::closed(key(cells.0), key(cells.1)),
        len: 100,
        seqnos: (seqnos.0.into(), seqnos.1.into()),
        entries: 10,
        deletes: 0,
        tombstones: 0,
        created_at_ms: 1,
        expired_at: None,
        judged_to: SeqNo::ZERO,
        busy: false,
    };
    let run = |age, tables: &[Table]| Run { age, tables: tables.to_vec() };
    let newer =
        [table(1, (0, 9), (50, 60)), table(2, (10, 30), (30, 45)), table(3, (40, 49), (41, 48))];
    let older =
        [table(4, (0, 19), (5, 40)), table(5, (20, 29), (5, 90)), table(6, (50, 59), (20, 29))];
    let shape = Shape {
        levels: vec![vec![run(2, &newer)], vec![run(1, &older)]],
        watermark: 1000u32.into(),
        ..Shape::default()
    };
    let plan = |dead: u32, stale: u32, watermark: u32| {
        let (dead, stale, watermark) = (dead.into(), stale.into(), watermark.into());
        let shape = Shape { dead, stale, watermark, ..shape.clone() };
        let job = Aging.plan(&shape, &Bytewise)?;
        job.check(&shape, &Bytewise).unwrap();
        Some((job.kind, job.inputs))
    };
    let cases = [
        ((0, 0, 1000), None),
        ((29, 0, 1000), None),
        ((30, 0, 1000), Some((JobKind::Expire, vec![6]))),
        // Table 2 is old, but lies over younger rows of table 5, which it may hide older ones of.
        ((49, 0, 1000), Some((JobKind::Expire, vec![3, 4, 6]))),
        ((100, 0, 1000), Some((JobKind::Expire, vec![1, 2, 3, 4, 5, 6]))),
        ((0, 5, 1000), None),
        ((0, 6, 1000), Some((JobKind::Compact, vec![4]))),
        // Who reads at 5 is told nothing else.
        ((0, 6, 5), None),
    ];
    for ((dead, stale, watermark), expected) in cases {
        assert_eq!(plan(dead, stale, watermark), expected, "{dead} {stale} {watermark}");
    }
    // What was judged comes to rest.
    let mut shape = Shape { stale: 46u32.into(), ..shape };
    for _ in 0..5 {
        let job = Aging.plan(&shape, &Bytewise).unwrap();
        let tables = shape.levels.iter_mut().flatten().flat_map(|run| &mut run.tables);
        tables
            .filter(|table| job.takes(table.number))
            .for_each(|table| table.judged_to = 46u32.into());
    }
    assert_eq!(Aging.plan(&shape, &Bytewise), None);
}

#[test]
fn what_has_expired_goes_when_nobody_reads_it_or_there_is_too_much_of_it() {
    let mut tree = Tree::new(1000, FLUSH_LEN, 3);
    for flush in 0..6 {
        tree.flush(cells(Pattern::Ascending, 1000, flush, &mut Rng::new(1)), 0);
    }
    let at = |bound: u32| Some(SeqNo::from(bound));
    let mut expired = tree.shape.clone();
    // The oldest run expired at 10, the next at 20 and 21, and so on.
    let bounds = [None, at(40), at(30), at(21), at(20), at(10)];
    let runs = expired.levels[0].iter_mut().zip(bounds);
    for (run, expired_at) in runs {
        for table in &mut run.tables {
            (table.expired_at, table.busy) = (expired_at, expired_at.is_some());
        }
    }
    expired.refuse_below = 40u32.into();
    let len: u64 = expired.levels[0][1].tables.iter().map(|table| table.len).sum();
    let gone = |shape: &Shape, held_len_max| {
        let job = Forget { held_len_max }.plan(shape, &Bytewise)?;
        let JobKind::Forget(refused) = job.kind else { panic!("{job:?}") };
        job.check(shape, &Bytewise).unwrap();
        let runs = shape.levels[0].iter().filter(|run| job.takes(run.tables[0].number)).count();
        Some((runs, refused))
    };
    let nobody_below = |bound: u32| Shape { watermark: bound.into(), ..expired.clone() };
    let cases = [
        (5, u64::MAX, None),
        (10, u64::MAX, None),
        (11, u64::MAX, Some((1, None))),
        (21, u64::MAX, Some((2, None))),
        (41, u64::MAX, Some((5, None))),
        // Too much waits: the oldest readers are refused, as few as will do.
        (5, 5 * len, None),
        (5, 4 * len, Some((1, at(10)))),
        (5, 3 * len + 1, Some((2, at(20)))),
        // Those of the present never are.
        (5, 0, Some((4, at(30)))),
    ];
    for (watermark, held_len_max, expected) in cases {
        let found = gone(&nobody_below(watermark), held_len_max);
        assert_eq!(found, expected, "watermark {watermark}, {held_len_max} bytes");
    }
    // A job that is under way is not planned again.
    let mut running = nobody_below(11);
    let job = Forget { held_len_max: u64::MAX }.plan(&running, &Bytewise).unwrap();
    running.start(&job);
    assert_eq!(Forget { held_len_max: u64::MAX }.plan(&running, &Bytewise), None);
    // What has not expired is not forgotten, nor does it show what has.
    let young = expired.levels[0][0].tables[0].number;
    let refused = Job::forget(&expired, &[young], None, &Bytewise);
    assert!(matches!(refused, Err(Blocked::Invalid(Invalid::NotExpired { .. }))), "{refused:?}");
    let fifo = FifoOptions { len_max: 1, ..FifoOptions::default() }.validate().unwrap();
    let job = fifo.plan(&expired, &Bytewise).unwrap();
    assert_eq!((job.kind, job.takes(young)), (JobKind::Expire, true));
    assert_eq!(job.inputs.len(), expired.levels[0][0].tables.len());
}

#[test]
fn a_leveled_tree_that_is_to_forget_loses_its_oldest_rows_first() {
    let leveled = options().validate().unwrap();
    let mut tree = Tree::new(100_000, FLUSH_LEN, 3);
    for flush in 0..300 {
        tree.flush(cells(Pattern::Ascending, 100_000, flush, &mut Rng::new(1)), 0);
        tree.settle(&leveled);
    }
    assert!(tree.shape.levels.len() > 2);
    let fifo =
        FifoOptions { len_max: 100 * FLUSH_LEN, ..FifoOptions::default() }.validate().unwrap();
    tree.settle(&fifo);
    tree.check_all_reads();
    let lowest = tree.shape.tables().map(|(_, table)| table.seqnos.0).min().unwrap();
    let kept: u64 = tree.shape.tables().map(|(_, table)| table.entries).sum();
    assert_eq!(
        kept,
        u64::from(tree.writes) - lowest.get() + 1,
        "the rows that are left are the newest"
    );
}

#[test]
fn a_column_of_a_lazy_tree_is_a_small_part_of_it() {
    let lazy = lazy().validate().unwrap();
    let mut tree = Tree::new(1 << 22, FLUSH_LEN, 3);
    let mut longest = 0;
    for flush in 0..1500 {
        let mut rng = Rng::new(flush);
        tree.flush(cells(Pattern::Uniform, 1 << 22, 0, &mut rng), 0);
        while tree.start(&lazy) {
            let job = tree.running.last().unwrap();
            let inputs = tree.shape.tables().filter(|(_, table)| job.takes(table.number));
            longest = longest.max(inputs.map(|(_, table)| table.len).sum::<u64>());
            tree.finish_one();
        }
        if flush % 100 == 99 {
            assert!(tree.shape.level(6).len() <= 1);
        }
    }
    tree.report("lazy, uniform");
    let whole: u64 = tree.shape.tables().map(|(_, table)| table.len).sum();
    println!("the longest job took {longest} of {whole} bytes");
    assert!(longest * 5 < whole, "{longest} of {whole}");
}

#[test]
fn options_out_of_range_are_refused() {
    let (tiered, lazy) = (TieredOptions::default(), LazyLeveledOptions::default());
    assert!(tiered.validate().is_ok() && lazy.validate().is_ok());
    for options in [
        TieredOptions { levels: 1, ..tiered },
        TieredOptions { levels: LEVELS_MAX + 1, ..tiered },
        TieredOptions { runs: 1, ..tiered },
        TieredOptions { promote_len: 0, ..tiered },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
    for options in [
        LazyLeveledOptions { levels: 1, ..lazy },
        LazyLeveledOptions { runs: 1, ..lazy },
        LazyLeveledOptions { ratio: 1, ..lazy },
        LazyLeveledOptions { promote_len: 0, ..lazy },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
    let error = FifoOptions { len_max: 0, ..FifoOptions::default() }.validate().unwrap_err();
    assert_eq!(error.name, "len_max");
    for name in StrategyOptions::NAMES {
        assert_eq!(StrategyOptions::named(name).unwrap().name(), name);
    }
    assert_eq!(StrategyOptions::named("none"), None);
}
