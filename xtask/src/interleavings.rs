//! Concurrent structures under a model checker: the tests named [`TARGET`], built with `--cfg loom`,
//! in a target folder of their own, because everything is built anew for it.

use std::path::Path;

use crate::process;

const TARGET: &str = "loom";

/// Packages that have such tests.
const PACKAGES: [&str; 2] = ["stratal-memtable", "stratal-sst"];

pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    command.args(["test", "--release", "--test", TARGET]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", root.join("target/loom"));
    process::run_tests(&mut command).map(drop)
}
