//! Every fuzz body on the checked-in inputs and on pseudo-random ones.
//!
//! Input `i` of a target is a function of (seed, target, i), so what one run finds every run can
//! find. `STRATAL_FUZZ_SECS` is the time for all targets together (default 20) and
//! `STRATAL_FUZZ_SEED` the seed (default 0). A failure prints the input; keep it in
//! `corpus/<target>/`.

use std::{
    any::Any,
    fs,
    io::Write as _,
    panic::{catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use stratal_fuzz::{
    Body, TARGETS,
    inputs::{SplitMix64, input},
};
use stratal_types::dump;

/// Time for all targets together.
const DEFAULT_SECS: u64 = 20;

/// Iterations of a target, however little time there is.
const ITERATIONS_MIN: u64 = 200;

/// A body that takes longer for one input hangs, even on a busy machine.
const HANG: Duration = Duration::from_secs(30);

/// Address space that this process may have taken at most, in KiB. Inputs have a few KiB.
const ADDRESS_SPACE_MAX_KIB: u64 = 4 << 20;

/// The input that a worker is busy with, and since when.
type Busy = Mutex<Option<(Instant, Vec<u8>)>>;

/// An input on which a body panicked, and with what.
struct Finding {
    iteration: u64,
    input: Vec<u8>,
    panic: Box<dyn Any + Send>,
}

#[test]
fn inputs_kept_from_before_are_answered() {
    for &(target, body) in TARGETS {
        for (path, seed) in seeds(target) {
            if let Err(panic) = catch_unwind(|| body(&seed)) {
                report(target, &format!("panics on {}", path.display()), &seed);
                resume_unwind(panic);
            }
        }
    }
}

#[test]
fn no_input_makes_a_body_panic_or_hang() {
    let seed = number("STRATAL_FUZZ_SEED").unwrap_or(0);
    let secs = number("STRATAL_FUZZ_SECS").unwrap_or(DEFAULT_SECS);
    let targets = u32::try_from(TARGETS.len()).unwrap();
    for &(target, body) in TARGETS {
        let iterations = match search(target, body, seed, Duration::from_secs(secs) / targets) {
            Ok(iterations) => iterations,
            Err(Finding { iteration, input, panic }) => {
                report(target, &format!("panics (seed {seed}, input {iteration})"), &input);
                resume_unwind(panic);
            }
        };
        println!("{target}: {iterations} inputs, seed {seed}");
        assert!(iterations >= ITERATIONS_MIN);
        if let Some(kib) = address_space_peak_kib() {
            assert!(kib < ADDRESS_SPACE_MAX_KIB, "{target} had {kib} KiB of address space");
        }
    }
}

#[test]
fn a_body_that_panics_is_found_out() {
    let body: Body = |data| assert!(!data.ends_with(&[0xff, 0xff]), "two at the end");
    let Err(finding) = search("types_varint", body, 0, Duration::from_secs(5)) else {
        panic!("nothing found");
    };
    assert_eq!(finding.panic.downcast_ref(), Some(&"two at the end"));
    let mut random = SplitMix64::for_iteration(0, "types_varint", finding.iteration);
    let seeds: Vec<_> = seeds("types_varint").into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(finding.input, input(&mut random, &seeds), "its number gives the input again");
}

#[test]
fn kept_inputs_belong_to_a_target() {
    for folder in entries(&corpus()) {
        let known = TARGETS.iter().any(|(target, _)| folder.ends_with(target));
        assert!(known, "{} is named after no target", folder.display());
    }
}

#[test]
fn every_target_has_a_libfuzzer_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target} is not in the manifest"
        );
        let (module, function) = target.split_once('_').unwrap();
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("stratal_fuzz::{module}::{function}")), "{program}");
    }
}

/// Runs `body` on inputs 0, 1, 2… until `budget` is spent; gives their number, or what it found.
fn search(target: &str, body: Body, seed: u64, budget: Duration) -> Result<u64, Finding> {
    let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
    let next = AtomicU64::new(0);
    let found = AtomicBool::new(false);
    let end = Instant::now() + budget;
    let work = |busy: &Busy| {
        let mut answered = 0;
        loop {
            let iteration = next.fetch_add(1, Ordering::Relaxed);
            let now = Instant::now();
            let over = iteration >= ITERATIONS_MIN && now >= end;
            if over || found.load(Ordering::Relaxed) {
                return Ok(answered);
            }
            let mut random = SplitMix64::for_iteration(seed, target, iteration);
            let input = input(&mut random, &seeds);
            *busy.lock().unwrap() = Some((now, input.clone()));
            let outcome = catch_unwind(|| body(&input));
            *busy.lock().unwrap() = None;
            if let Err(panic) = outcome {
                found.store(true, Ordering::Relaxed);
                return Err(Finding { iteration, input, panic });
            }
            answered += 1;
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let busy: Vec<Busy> = (0..workers).map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        let handles: Vec<_> = busy.iter().map(|own| scope.spawn(|| work(own))).collect();
        while handles.iter().any(|handle| !handle.is_finished()) {
            thread::sleep(Duration::from_millis(5));
            for own in &busy {
                stop_if_hanging(target, own);
            }
        }
        handles.into_iter().map(|handle| handle.join().expect("workers catch panics")).sum()
    })
}

/// A thread cannot be stopped from outside, so the process ends.
fn stop_if_hanging(target: &str, busy: &Busy) {
    if let Some((since, input)) = &*busy.lock().unwrap()
        && since.elapsed() > HANG
    {
        report(target, &format!("has not answered for {HANG:?}"), input);
        process::exit(101);
    }
}

/// Says what went wrong, past the capture of test output: the process may be about to end.
fn report(target: &str, what: &str, input: &[u8]) {
    let mut stderr = std::io::stderr();
    let hex = dump::hex(input);
    writeln!(stderr, "\n{target} {what}\n{} bytes: {hex}", input.len()).unwrap();
}

/// Inputs that mean something to the target: those kept, and the golden files of its crate.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let (module, _) = target.split_once('_').unwrap();
    let kept = entries(&corpus().join(target)).into_iter().map(|path| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    });
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
    let golden = entries(&crates.join(module).join("tests/golden"));
    let golden = golden.iter().flat_map(|version| entries(version)).map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let bytes = dump::bytes_of(&text);
        let bytes = bytes.unwrap_or_else(|| panic!("{} is no dump", path.display()));
        (path, bytes)
    });
    kept.chain(golden).collect()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// What is in a folder, by name; nothing if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Most address space this process ever had, where the system tells.
fn address_space_peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
