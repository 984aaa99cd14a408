//! Random histories applied to trees under random options, compared with what every read has to find.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]

mod counts;
mod world;
mod operators;
mod options;
mod history;
mod oracle;
mod hook_fs;
mod subject;
mod reads;
mod changes;
mod run;

use std::time::{Duration, Instant};

use history::Case;
use run::{Done, run_or_explain};

#[test]
fn a_tree_answers_as_the_model_does() {
    let mut all = Done::default();
    (0..24).for_each(|seed| all.append(&run_or_explain(&Case::whole(seed, 400))));
    println!("{all}");
    assert_eq!(all.counts.missing(), [""; 0]);
    assert!(all.counts.total() > 100_000 && all.counts.changes() > 50_000, "{all}");
}

/// `STRATAL_SOAK_SECS` says for how long, `STRATAL_SOAK_SEED` where to begin.
#[test]
#[ignore = "runs as long as it is told to"]
fn soak_model() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("STRATAL_SOAK_SECS").unwrap_or(60);
    let first = number("STRATAL_SOAK_SEED").unwrap_or(1_000_000);
    let begin = Instant::now();
    let mut all = Done::default();
    let mut seed = first;
    while begin.elapsed() < Duration::from_secs(seconds) {
        // Most histories are short, since options differ between histories.
        let steps = [400, 400, 1000, 4000][(seed % 4) as usize];
        all.append(&run_or_explain(&Case::whole(seed, steps)));
        seed += 1;
    }
    let each_second = all.counts.total() as f64 / begin.elapsed().as_secs_f64();
    println!("{all}seeds {first}..{seed}, {each_second:.0} operations a second");
    if all.counts.total() > 500_000 {
        assert_eq!(all.counts.missing(), [""; 0]);
    }
}

/// One case, as a failing run printed it: `STRATAL_MODEL_CASE`.
#[test]
fn one_case() {
    let Ok(case) = std::env::var("STRATAL_MODEL_CASE") else { return };
    println!("{}", run::run(&case.parse().unwrap()));
}
