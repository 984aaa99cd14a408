//! What each strategy costs, by simulation: every row of up to 10⁸ inserts goes through the planner,
//! the cutter and the rule for deletes, and no byte goes anywhere. A row is a number of four bytes.
//!
//! `docs/COMPACTION.md` has the figures, and what they say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and a figure may be rounded"
)]

mod workload;
mod simulation;
mod theory;
mod plot;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use simulation::{Figures, Scale, Simulation};
use stratal_compaction::plan::{
    FifoOptions, LazyLeveledOptions, LeveledOptions, Sizing, StrategyOptions, TieredOptions,
};
use workload::Workload;

/// A strategy under the name of its row.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) options: StrategyOptions,
}

/// Every strategy with its defaults, brought to scale: a write buffer stands for 64 MiB.
fn candidates(scale: &Scale) -> Vec<Candidate> {
    let len = |bytes: u64| scale.len(bytes);
    let leveled = LeveledOptions {
        level_base_len: len(LeveledOptions::LEVEL_BASE_LEN),
        job_len_max: len(LeveledOptions::JOB_LEN_MAX),
        ..LeveledOptions::default()
    };
    let tiered = TieredOptions {
        promote_len: len(TieredOptions::PROMOTE_LEN),
        job_len_max: len(TieredOptions::JOB_LEN_MAX),
        ..TieredOptions::default()
    };
    let lazy = LazyLeveledOptions {
        promote_len: len(LazyLeveledOptions::PROMOTE_LEN),
        job_len_max: len(LazyLeveledOptions::JOB_LEN_MAX),
        ..LazyLeveledOptions::default()
    };
    let candidate = |name, options| Candidate { name, options };
    vec![
        candidate("leveled", StrategyOptions::Leveled(leveled)),
        candidate(
            "leveled, dynamic",
            StrategyOptions::Leveled(LeveledOptions { sizing: Sizing::Dynamic, ..leveled }),
        ),
        candidate("tiered", StrategyOptions::Tiered(tiered)),
        candidate("tiered, 8 runs", StrategyOptions::Tiered(TieredOptions { runs: 8, ..tiered })),
        candidate("lazy", StrategyOptions::LazyLeveled(lazy)),
        candidate(
            "lazy, ratio 8",
            StrategyOptions::LazyLeveled(LazyLeveledOptions { ratio: 8, runs: 4, ..lazy }),
        ),
        candidate(
            "fifo, a quarter",
            StrategyOptions::Fifo(FifoOptions {
                len_max: scale.inserts / 4 * simulation::ROW_LEN,
                ..FifoOptions::default()
            }),
        ),
    ]
}

/// All of `candidates` with all workloads, on as many threads as there are processors.
fn run_all(
    scale: Scale,
    seed: u64,
    candidates: &[Candidate],
) -> Vec<(Candidate, Workload, Figures)> {
    let all: Vec<(Candidate, Workload)> = Workload::ALL
        .iter()
        .flat_map(|workload| candidates.iter().map(|candidate| (*candidate, *workload)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((candidate, workload)) =
                    all.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let figures = Simulation::run(candidate.options, *workload, scale, seed);
                    println!("{:<16} {:<12} {figures}", candidate.name, workload.name());
                    done.lock().unwrap().push((*candidate, *workload, figures));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(candidate, workload, _)| {
        all.iter().position(|(other, with)| other.name == candidate.name && with == workload)
    });
    done
}

/// At a scale that takes seconds: the order of the strategies, and bounds that theory gives.
#[test]
fn strategies_cost_what_they_promise() {
    let scale = Scale { inserts: 1 << 21, buffer_rows: 1 << 12 };
    let candidates = candidates(&scale);
    let figures = run_all(scale, 1, &candidates);
    let of = |name: &str, workload: Workload| -> Figures {
        let found =
            figures.iter().find(|(candidate, of, _)| candidate.name == name && *of == workload);
        found.unwrap().2.clone()
    };
    for workload in [Workload::Uniform, Workload::Updates, Workload::Zipf] {
        let [leveled, dynamic, tiered, wide, lazy] =
            ["leveled", "leveled, dynamic", "tiered", "tiered, 8 runs", "lazy"]
                .map(|name| of(name, workload));
        let name = workload.name();
        assert!(wide.write < tiered.write && tiered.write < lazy.write, "{name}: writes");
        assert!(lazy.write < leveled.write, "{name}: writes");
        assert!(leveled.get < lazy.get && lazy.get < wide.get, "{name}: reads");
        assert!(lazy.space < wide.space, "{name}: space");
        assert!(dynamic.space <= leveled.space * 1.05, "{name}: space of levels by the last");
        for figures in [&leveled, &dynamic, &tiered, &wide, &lazy] {
            assert!(figures.spread <= figures.uniform * 1.001, "{name}: bits that are spread");
            assert!(figures.job_max < 150.0, "{name}: a job of {} buffers", figures.job_max);
        }
    }
    for (name, bound) in [("leveled, dynamic", 1.35), ("lazy", 1.5)] {
        let space = of(name, Workload::Updates).space;
        assert!(space < bound, "{name}: space {space}");
    }
    for candidate in &candidates {
        let series = of(candidate.name, Workload::TimeSeries);
        let uniform = of(candidate.name, Workload::Uniform);
        assert!(series.write <= uniform.write, "{}: time series {}", candidate.name, series.write);
    }
    let leveled = of("leveled", Workload::TimeSeries);
    assert!(leveled.write < 3.0 && leveled.moved > 1.0, "time series are moved: {leveled}");
    let fifo = of("fifo, a quarter", Workload::TimeSeries);
    assert!(fifo.len_max <= scale.inserts / 4 * simulation::ROW_LEN + scale.buffer_len());
}

/// `STRATAL_SOAK_SEED` says what is inserted, and `STRATAL_SOAK_PLOT` where the plot goes.
#[test]
#[ignore = "10⁸ inserts into each of 35 trees"]
fn shapes_of_trees_after_many_inserts() {
    let seed = std::env::var("STRATAL_SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
    let scale = Scale { inserts: 100_000_000, buffer_rows: 1 << 16 };
    let candidates = candidates(&scale);
    let all = run_all(scale, seed.unwrap_or(1), &candidates);
    println!("\n{}", plot::table(&all, &scale));
    if let Ok(path) = std::env::var("STRATAL_SOAK_PLOT") {
        std::fs::write(&path, plot::svg(&all, &scale)).unwrap();
        println!("plotted to {path}");
    }
}
