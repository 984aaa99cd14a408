//! What the project asks of itself beyond `cargo build`: run with `cargo xtask`.
//!
//! `cargo xtask ci` is the whole truth about a commit; machines only run it. Everything it does is
//! also reachable alone. The checks of [`layers`], [`sources`] and [`invariants`] are functions from what was read
//! to a list of complaints, so that tests can show them a workspace that does not exist; the same
//! checks over the real one are an ordinary test of this crate.
#![forbid(unsafe_code)]

mod packages;
mod layers;
mod sources;
mod invariants;
mod process;
mod no_std;
mod interleavings;
mod soak;
mod bench_peers;
mod ratchet;
mod ci;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const HELP: &str = "\
cargo xtask COMMAND

  ci          everything a commit must pass, stopping at the first failure
  layers      who may depend on whom (layers.txt), what sources must look like, and that
              every invariant has its test (docs/INVARIANTS.md)
  no-std      build the codec crates without the standard library
  loom        concurrent structures in every interleaving
  shuttle     the engine and the database under many schedules
  soak WHAT   a long run; `cargo xtask soak list` names them
  bench-peers Stratal beside other engines; `cargo xtask bench-peers help` says how
  ratchet     instructions of small parts beside those that are kept (needs valgrind)
  help        this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci"] => ci::run(&root()),
        ["layers"] => tidy(&root()),
        ["no-std"] => no_std::run(&root()),
        ["loom"] => interleavings::loom(&root()),
        ["shuttle"] => interleavings::shuttle(&root()),
        ["soak", rest @ ..] => soak::run(&root(), rest),
        ["bench-peers", rest @ ..] => bench_peers::run(&root(), rest),
        ["ratchet", rest @ ..] => ratchet::run(&root(), rest),
        [unknown, ..] => Err(format!("no such command: {unknown}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Runs the checks of [`layers`], [`sources`] and [`invariants`] over the workspace at `root`.
fn tidy(root: &Path) -> Result<(), String> {
    let packages = packages::read(root)?;
    let layers_path = root.join(layers::FILE);
    let layers = std::fs::read_to_string(&layers_path)
        .map_err(|error| format!("{}: {error}", layers_path.display()))?;
    let mut complaints = layers::complaints(&layers, &packages);
    let sources = sources::read(root)?;
    complaints.extend(sources::complaints(&sources));
    complaints.extend(invariants::complaints(&sources));
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!("the workspace is not tidy:\n  {}", complaints.join("\n  ")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn workspace_is_tidy() {
        if let Err(complaints) = super::tidy(&super::root()) {
            panic!("{complaints}");
        }
    }
}
