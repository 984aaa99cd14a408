//! Proof that the codec crates need no standard library.
//!
//! `xtask/no-std` is a static library with a panic handler of its own. The standard library brings
//! one too, and two of them do not build: if any crate below pulled `std` in, this build would
//! fail. It lies outside the workspace, where features of other members cannot leak into it.

use std::path::Path;

use crate::process;

/// Builds it, in a target folder of its own.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    process::run(process::cargo(root).args([
        "build",
        "--manifest-path",
        "xtask/no-std/Cargo.toml",
        "--target-dir",
        "target/no-std",
    ]))
}
