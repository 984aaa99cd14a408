//! A history applied to several trees.

use std::{
    cell::Cell,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{Once, atomic::Ordering},
    time::{Duration, Instant},
};

use stratal_testkit::Rng;

use crate::{
    counts::{Counts, done_so_far},
    history::{Case, Change, Step},
    oracle::{Oracle, State},
    reads::Moment,
    subject::Subject,
};

/// Snapshots that live at once.
const SNAPSHOTS_MAX: usize = 6;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// By kind, on all trees together.
    pub(crate) counts: Counts,
    /// Steps of the history, each of which happened to every tree.
    pub(crate) steps: u64,
}

impl Done {
    pub(crate) fn append(&mut self, other: &Self) {
        self.counts.append(&other.counts);
        self.steps += other.steps;
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, changes) = (self.counts.total(), self.counts.changes());
        writeln!(
            f,
            "{}{total} operations in {} steps, {changes} of them changes",
            self.counts, self.steps
        )
    }
}

/// Applies a history to its trees; panics at the first read that is not what it has to be.
pub(crate) fn run(case: &Case) -> Done {
    let (world, steps) = case.draw();
    let mut oracle = Oracle::new(&world);
    let count = 2 + (case.seed % 2) as usize;
    let mut trees: Vec<_> =
        (0..count).map(|number| Subject::new(&world, case.seed, number)).collect();
    // Number, and the first step that it does not see.
    let mut snapshots: Vec<(u64, u64)> = Vec::new();
    // No read asks for anything below this step.
    let mut past = 1;
    let mut done = Done::default();
    for (at, step) in steps {
        for tree in &mut trees {
            tree.place.1 = at;
        }
        done.steps += 1;
        match step {
            Step::Write { changes, inside } => {
                let applied = changes.iter().flat_map(|change| oracle.apply(change));
                let operations: Vec<_> = applied.collect();
                for tree in trees.iter_mut().filter(|_| !operations.is_empty()) {
                    tree.write(&operations, oracle.now, inside);
                }
            }
            Step::Ingest { excised, prefix, rows, inside, seed } => {
                let brought = oracle.ingest(&excised, prefix.as_deref(), &rows);
                for tree in &mut trees {
                    tree.ingest(&brought, oracle.now, inside, seed);
                }
            }
            Step::DropRange { from, to } => {
                oracle.apply(&Change::DeleteRange { from: from.clone(), to: to.clone() });
                for tree in &mut trees {
                    tree.drop_range(&from, &to, oracle.now);
                }
            }
            Step::Pass(ms) => {
                oracle.pass(ms);
                for tree in &mut trees {
                    tree.time.store(oracle.now_ms, Ordering::Relaxed);
                    tree.counts.add("time");
                }
            }
            Step::Keep(ttl_ms) => {
                oracle.keep(ttl_ms);
                for tree in trees.iter_mut().filter(|tree| tree.is_aging) {
                    tree.keep(ttl_ms, seed_of(at));
                }
            }
            Step::Snapshot { inside } => {
                if snapshots.len() < SNAPSHOTS_MAX {
                    snapshots.push((oracle.now, oracle.now));
                    for tree in &mut trees {
                        tree.take_snapshot(&oracle, inside);
                    }
                }
            }
            Step::Release(seed) => {
                if !snapshots.is_empty() {
                    let at = Rng::new(seed).index(snapshots.len());
                    let (number, _) = snapshots.swap_remove(at);
                    for tree in &mut trees {
                        tree.snapshots.remove(&number);
                        tree.counts.add("release");
                    }
                }
            }
            Step::Work(seed) => {
                for tree in &mut trees {
                    tree.work(oracle.now, seed);
                }
            }
            Step::Iterate(seed) => {
                for tree in &mut trees {
                    tree.iterate(&oracle, seed);
                }
            }
            Step::Check(seed) => {
                for tree in &mut trees {
                    tree.check_somewhere(&oracle, &snapshots, past, seed);
                }
            }
        }
        oracle.now += 1;
        if done.steps.is_multiple_of(64) {
            let oldest = snapshots.iter().map(|(_, bound)| *bound).min();
            past = oldest.unwrap_or(oracle.now).min(oracle.now.saturating_sub(100)).max(past);
            oracle.forget(past);
            for tree in &mut trees {
                tree.forget(past);
            }
        }
    }
    for tree in &mut trees {
        tree.conclude(&oracle, &snapshots, case.seed);
        done.counts.append(&tree.counts);
    }
    done
}

/// A seed for a step that has none.
fn seed_of(at: usize) -> u64 {
    (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Subject<'_> {
    /// Compares all that there is at the end, and looks at what is left on the disk.
    fn conclude(&mut self, oracle: &Oracle<'_>, snapshots: &[(u64, u64)], seed: u64) {
        let mut rng = Rng::new(seed);
        for (number, bound) in snapshots {
            self.check_snapshot(oracle, *number, *bound, seed);
        }
        let now = Moment { bound: oracle.now, snapshot: None };
        self.check_all(oracle, now);
        let rows = oracle.rows(oracle.now);
        let is_known = self.is_exact() && rows.iter().all(|row| row.1 != State::Failed);
        self.check_files(&mut rng, is_known.then_some(rows.len()));
        self.check_all(oracle, now);
        self.outlive_all();
    }

    /// Compares what reads say now, and perhaps at a snapshot or at a moment not below the step `past`.
    fn check_somewhere(
        &mut self,
        oracle: &Oracle<'_>,
        snapshots: &[(u64, u64)],
        past: u64,
        seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let in_the_past = past + rng.below(oracle.now + 1 - past);
        let snapshot = rng.index(snapshots.len());
        // What is written in this step is not there yet.
        self.check(oracle, Moment { bound: oracle.now, snapshot: None }, seed);
        if rng.chance(1, 4) {
            self.check_past(oracle, in_the_past, seed);
            self.check_changes(in_the_past, seed);
            self.check_holders(oracle, past, seed);
        } else if let Some((number, bound)) = snapshots.get(snapshot) {
            self.check_snapshot(oracle, *number, *bound, seed);
        }
    }

    fn check_snapshot(&mut self, oracle: &Oracle<'_>, number: u64, bound: u64, seed: u64) {
        let Some(snapshot) = self.snapshots.remove(&number) else {
            return self.check_past(oracle, bound, seed);
        };
        if self.is_refused(&snapshot) {
            return;
        }
        let moment = Moment { bound, snapshot: Some(&snapshot) };
        self.check_seen(oracle, number, moment);
        self.check(oracle, moment, seed);
        self.snapshots.insert(number, snapshot);
        self.counts.add("check at a snapshot");
    }

    /// A moment of the past is read as it was, or refused; and refused only if it is too old.
    pub(crate) fn check_past(&mut self, oracle: &Oracle<'_>, bound: u64, seed: u64) {
        let mark = self.mark(bound);
        match self.store().snapshot_at(mark) {
            Ok(snapshot) => {
                self.check(oracle, Moment { bound, snapshot: Some(&snapshot) }, seed);
                self.counts.add("check in the past");
            }
            Err(stratal_engine::Error::SnapshotTooOld { floor, .. }) => {
                assert!(mark < floor, "{self}: {mark} is refused, and {floor} would be served");
                self.counts.add("refused past");
            }
            Err(error) => panic!("{self}: {error}"),
        }
    }
}

thread_local! {
    /// Whether this thread tries what fails, and nobody wants to hear of it.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What a case does, or what it says when it fails.
fn attempt(case: &Case) -> Result<Done, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                before(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(|| run(case)));
    IS_QUIET.set(false);
    done.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or("a panic", |text| text).to_owned(),
    })
}

fn failure(case: &Case) -> Option<String> {
    attempt(case).err()
}

/// A shorter case that fails too: without what comes after, then without ever smaller parts, for as
/// long as `time` lasts.
pub(crate) fn shortened(case: &Case, time: Duration) -> Case {
    let end = Instant::now() + time;
    let with = |kept: &[usize]| Case { kept: Some(kept.to_vec()), ..case.clone() };
    let mut kept: Vec<usize> = match &case.kept {
        Some(kept) => kept.clone(),
        None => (0..case.steps).collect(),
    };
    let (mut passes, mut fails) = (0, kept.len());
    while fails - passes > 1 && Instant::now() < end {
        let middle = passes.midpoint(fails);
        match failure(&with(&kept[..middle])) {
            Some(_) => fails = middle,
            None => passes = middle,
        }
    }
    kept.truncate(fails);
    let mut part = kept.len().div_ceil(2);
    while part > 0 && Instant::now() < end {
        let mut from = 0;
        let before = kept.len();
        while from < kept.len() && Instant::now() < end {
            let to = (from + part).min(kept.len());
            let without = [&kept[..from], &kept[to..]].concat();
            match failure(&with(&without)) {
                Some(_) => kept = without,
                None => from = to,
            }
        }
        if part == 1 && kept.len() == before {
            break;
        }
        part = if part == 1 { 1 } else { part / 2 };
    }
    with(&kept)
}

/// Runs `case`; if it fails, makes it short, for as many seconds as `STRATAL_MODEL_SHORTEN_SECS` says,
/// and tells how to run it again.
pub(crate) fn run_or_explain(case: &Case) -> Done {
    let first = match attempt(case) {
        Ok(done) => return done,
        Err(why) => why,
    };
    let done = done_so_far();
    let time = std::env::var("STRATAL_MODEL_SHORTEN_SECS").ok().and_then(|text| text.parse().ok());
    let short = shortened(case, Duration::from_secs(time.unwrap_or(60)));
    let why = failure(&short).unwrap_or(first);
    let (world, steps) = short.draw();
    let steps: Vec<String> = steps.iter().map(|(at, step)| format!("{at:>5}  {step:?}")).collect();
    panic!(
        "after {done} operations, {why}\n{}, {}, filter {}\n{}\nonce more: STRATAL_MODEL_CASE='{short}' \
         cargo test -p stratal-engine --test model -- one_case --nocapture",
        world.comparator.name(),
        world.operator.name(),
        world.is_filtered,
        steps.join("\n"),
    );
}
