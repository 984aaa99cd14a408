//! Everything a commit must pass.

use std::{path::Path, process::Command};

use crate::{interleavings, no_std, process};

/// How long the fuzz bodies run here, in seconds; longer than in an ordinary test run.
const FUZZ_SECS: u32 = 60;

struct Step {
    name: &'static str,
    run: fn(&Path) -> Result<(), String>,
}

/// Cheapest first, so that most mistakes are told soon.
const STEPS: [Step; 10] = [
    Step { name: "format", run: format },
    Step { name: "layers", run: crate::tidy },
    Step { name: "block vectors", run: block_vectors },
    Step { name: "licences and bans", run: deny },
    Step { name: "clippy", run: clippy },
    Step { name: "rustdoc", run: rustdoc },
    Step { name: "no-std", run: no_std::run },
    Step { name: "interleavings", run: interleavings::loom },
    Step { name: "schedules", run: interleavings::shuttle },
    Step { name: "fuzz", run: fuzz },
];

/// Runs the steps; the error names the first that failed.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    process::timed("ci", || {
        STEPS.iter().try_for_each(|step| {
            process::timed(step.name, || (step.run)(root))
                .map_err(|why| format!("step `{}` failed: {why}", step.name))
        })
    })
}

fn format(root: &Path) -> Result<(), String> {
    process::run(process::cargo(root).args(["fmt", "--all", "--check"]))
}

/// The decoder that shares nothing with ours, by the system's Python or the one of the path; skipped
/// where neither has the modules that it needs. `.ci/run` installs those.
fn block_vectors(root: &Path) -> Result<(), String> {
    const MODULE_MISSING: i32 = 77;
    let script = root.join("crates/block/tests/vectors/check.py");
    for python in ["/usr/bin/python3", "python3"] {
        println!("$ {python} {}", script.display());
        match Command::new(python).arg(&script).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) if status.code() == Some(MODULE_MISSING) => {}
            Ok(status) => return Err(format!("{python} ended with {status}")),
            Err(error) => println!("skipped: {error}"),
        }
    }
    Ok(())
}

/// Needs `cargo install cargo-deny`; `.ci/run` knows the version.
fn deny(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    command.args(["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

/// Warnings are denied by arguments, not by `RUSTFLAGS`, which would build everything anew.
fn clippy(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    process::run(command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn rustdoc(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut command)
}

/// Built with the whole workspace's features, so that what `cargo test --workspace` built is used.
fn fuzz(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    command.args(["test", "--workspace", "--test", "smoke"]);
    command.env("STRATAL_FUZZ_SECS", FUZZ_SECS.to_string());
    process::run_tests(&mut command).map(drop)
}
