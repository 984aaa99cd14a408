//! Running a scenario under many schedules of its threads.
//!
//! Only with `--cfg shuttle`, which lets `stratal_types::sync` decide at every operation on a lock, an
//! atomic or a thread who goes on. The environment says how much:
//!
//! | Variable | Meaning |
//! |--|--|
//! | `STRATAL_SHUTTLE_SEED` | where schedules begin; the same seed finds the same |
//! | `STRATAL_SHUTTLE_SECS` | how long each scenario runs, instead of a number of schedules |
//! | `STRATAL_SHUTTLE_REPLAY` | one schedule, as a failure printed it, and nothing else |

use std::{
    env,
    str::FromStr,
    time::{Duration, Instant},
};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

/// Codecs want more stack than the checker gives to a thread, in bytes.
const STACK_LEN: usize = 1 << 20;

/// Schedules of one seed when there is time for many seeds.
const ROUND: usize = 100;

/// Points at which the second scheduler forces a switch.
const PCT_DEPTH: usize = 4;

/// Runs `scenario` under `schedules` schedules: half of them drawn at random, half with priorities that
/// change at few points, which finds what needs a thread to rest for long.
///
/// A failure prints the seed, the schedule and how to run it again.
///
/// # Panics
///
/// If `scenario` does, in any schedule; if threads wait for one another; if a variable is no number.
pub fn check(name: &str, schedules: usize, scenario: fn()) {
    if let Ok(schedule) = env::var("STRATAL_SHUTTLE_REPLAY") {
        run(name, ReplayScheduler::new_from_encoded(&schedule), 0, scenario);
        return;
    }
    let seed = variable("STRATAL_SHUTTLE_SEED").unwrap_or(1);
    println!("{name}: STRATAL_SHUTTLE_SEED={seed}");
    let start = Instant::now();
    let mut done = 0;
    if let Some(seconds) = variable("STRATAL_SHUTTLE_SECS") {
        let time = Duration::from_secs(seconds);
        for seed in (seed..).take_while(|_| start.elapsed() < time) {
            done += run_both(name, seed, ROUND, scenario);
        }
    } else {
        done = run_both(name, seed, schedules, scenario);
    }
    println!("{name}: {done} schedules in {:.1} s", start.elapsed().as_secs_f64());
}

/// Runs `schedules` from one seed; returns how many.
fn run_both(name: &str, seed: u64, schedules: usize, scenario: fn()) -> usize {
    let half = schedules.div_ceil(2);
    run(name, RandomScheduler::new_from_seed(seed, half), seed, scenario)
        + run(name, PctScheduler::new_from_seed(seed, PCT_DEPTH, half), seed, scenario)
}

fn run(name: &str, scheduler: impl Scheduler + 'static, seed: u64, scenario: fn()) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_LEN;
    // Weak orderings are the business of the other checker.
    config.silence_warnings = true;
    let _told = Told { name, seed };
    Runner::new(scheduler, config).run(scenario)
}

/// Says where the schedules of a failure began.
struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: failed from STRATAL_SHUTTLE_SEED={}", self.name, self.seed);
        }
    }
}

/// The number in a variable.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    let Ok(value) = value.parse() else { panic!("{name} is to be a number, not {value:?}") };
    Some(value)
}
