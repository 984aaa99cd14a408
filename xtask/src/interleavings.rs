//! Concurrent structures under model checkers: built with `--cfg loom` or `--cfg shuttle`, in a target
//! folder of its own each, because everything is built anew for it.
//!
//! `loom` tries every interleaving of few threads; its tests are those of [`LOOM`], in the order in
//! which they are built. `shuttle` tries many schedules of many threads, with the real engine and the
//! real database.

use std::path::Path;

use crate::process;

/// Name of a checker's test targets, of its `cfg`, and of its target folder.
const LOOM_NAME: &str = "loom";
const SHUTTLE_NAME: &str = "shuttle";

/// Packages that have such tests, and how cargo finds them.
const LOOM: [(&str, &[&str]); 6] = [
    ("stratal-types", &["--lib", "sync"]),
    // They reach what is behind the files that are opened again.
    ("stratal-fs", &["--lib", "interleavings"]),
    // They reach what slots do for the cache.
    ("stratal-cache", &["--lib", "interleavings"]),
    ("stratal-memtable", &["--test", LOOM_NAME]),
    ("stratal-sst", &["--test", LOOM_NAME]),
    // They reach what is behind the engine's interface.
    ("stratal-engine", &["--lib", "interleavings"]),
];
const SHUTTLE: [(&str, &[&str]); 3] = [
    ("stratal-types", &["--lib", "sync"]),
    ("stratal-engine", &["--test", SHUTTLE_NAME]),
    ("stratal", &["--test", SHUTTLE_NAME]),
];

/// Every test of `loom`.
pub(crate) fn loom(root: &Path) -> Result<(), String> {
    LOOM.iter().try_for_each(|(package, tests)| {
        let mut command = process::cargo(root);
        command.args(["test", "--release", "--package", package]).args(*tests);
        checked(&mut command, root, LOOM_NAME)
    })
}

/// Every scenario of `shuttle`, under as many schedules as a commit is worth.
pub(crate) fn shuttle(root: &Path) -> Result<(), String> {
    SHUTTLE.iter().try_for_each(|(package, tests)| {
        let mut command = process::cargo(root);
        command.args(["test", "--package", package]).args(*tests);
        checked(&mut command, root, SHUTTLE_NAME)
    })
}

fn checked(command: &mut std::process::Command, root: &Path, checker: &str) -> Result<(), String> {
    process::run_tests(under(command, root, checker)).map(drop)
}

/// Builds for a checker.
pub(crate) fn under<'a>(
    command: &'a mut std::process::Command,
    root: &Path,
    checker: &str,
) -> &'a mut std::process::Command {
    let flags = format!("--cfg {checker}");
    command.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", root.join("target").join(checker))
}
