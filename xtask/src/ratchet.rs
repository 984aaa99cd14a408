//! Instructions of small parts of hot paths, which may fall and not rise.
//!
//! `bench/ratchet` does each part some thousand times inside one function, under callgrind, which
//! counts what happens there. The counts are the same on every machine with this toolchain, up to a
//! little: valgrind knows no AVX-512, so that what is counted is the twin that uses AVX2. They say
//! nothing about memory that is waited for; they say at once when a part does more than it did.

mod profile;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::process;

/// The counts that are kept.
const FILE: &str = "bench/ratchet.toml";

/// Per cent by which a count may rise unnoticed: what the places of things in memory make of it.
const TOLERANCE: f64 = 3.0;

const USAGE: &str = "\
cargo xtask ratchet                 compare with bench/ratchet.toml
cargo xtask ratchet --update        put down what is counted now
cargo xtask ratchet --profile PART  show where a part spends its instructions
";

const HEAD: &str = "\
# Instructions per operation, counted by `cargo xtask ratchet --update`, which compares without it.
# By callgrind, in a release build for plain x86-64; kernels that are chosen as they run use AVX2.
";

/// A part, and instructions for each time that it is done.
type Count = (String, f64);

/// Does what `words`, the command line behind `ratchet`, say.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let (is_update, profiled) = match words {
        [] => (false, None),
        ["--update"] => (true, None),
        ["--profile", part] => (false, Some(part)),
        _ => return Err(format!("cannot read `{}`\n\n{USAGE}", words.join(" "))),
    };
    let version = Command::new("valgrind").arg("--version").output();
    let Some(version) = version.ok().filter(|output| output.status.success()) else {
        println!("skipped: valgrind is not installed");
        return Ok(());
    };
    print!("{}", String::from_utf8_lossy(&version.stdout));
    let program = built(root)?;
    if let Some(part) = profiled {
        return profile::print(&program, part);
    }
    let counted = counts(&program)?;
    let path = root.join(FILE);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if is_update {
        return std::fs::write(&path, written(&counted)).map_err(failed);
    }
    let kept = parsed(&std::fs::read_to_string(&path).map_err(failed)?)?;
    let (lines, complaints) = compared(&kept, &counted);
    println!("{}", lines.join("\n"));
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!("the ratchet holds:\n  {}", complaints.join("\n  ")))
}

/// The program that does the parts.
fn built(root: &Path) -> Result<PathBuf, String> {
    let bench = root.join("bench");
    process::run(process::cargo(&bench).args(["build", "--release", "-p", "pb-ratchet"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| bench.join("target"), |dir| root.join(dir));
    Ok(target.join("release/pb-ratchet"))
}

fn counts(program: &Path) -> Result<Vec<Count>, String> {
    let list = Command::new(program).output();
    let list = list.map_err(|error| format!("{}: {error}", program.display()))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    list.lines().map(|line| count(program, line)).collect()
}

/// Counts the part of a line such as `block find 10000`.
fn count(program: &Path, line: &str) -> Result<Count, String> {
    let unreadable = || format!("cannot read the part `{line}`");
    let (name, ops) = line.rsplit_once(' ').ok_or_else(unreadable)?;
    let ops: f64 = ops.parse().map_err(|_| unreadable())?;
    let total = callgrind(program, name, Path::new("/dev/null"))?;
    println!("{name}: {:.1}", total / ops);
    Ok((name.to_owned(), total / ops))
}

/// Instructions that a part takes; where they are spent is written to `file`.
fn callgrind(program: &Path, name: &str, file: &Path) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg("--toggle-collect=*pb_ratchet*measured*")
        .arg(program)
        .arg(name);
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name}: valgrind ended with {}\n{said}", output.status));
    }
    let total = collected(&said).filter(|total| *total > 0.0);
    total.ok_or_else(|| format!("{name}: valgrind counted nothing\n{said}"))
}

/// The number in a line such as `==7== Collected : 1234`.
fn collected(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn written(counts: &[Count]) -> String {
    let lines = counts.iter().map(|(name, count)| format!("\"{name}\" = {count:.1}\n"));
    format!("{HEAD}\n{}", lines.collect::<String>())
}

fn parsed(text: &str) -> Result<Vec<Count>, String> {
    let is_count = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    text.lines()
        .filter(is_count)
        .map(|line| {
            let (name, count) = line.rsplit_once('=').unwrap_or_default();
            let name = name.trim().trim_matches('"');
            let count =
                count.trim().parse().map_err(|_| format!("{FILE}: cannot read `{line}`"))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// A line for each part, and what is wrong.
fn compared(kept: &[Count], counted: &[Count]) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut complaints) = (Vec::new(), Vec::new());
    let of = |counts: &[Count], name: &str| {
        counts.iter().find(|(known, _)| known == name).map(|(_, count)| *count)
    };
    for (name, count) in counted {
        let Some(before) = of(kept, name) else {
            complaints.push(format!("{name} is not kept: --update"));
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        let verdict = match change {
            worse if worse > TOLERANCE => {
                complaints.push(format!("{name}: {before:.1} instructions became {count:.1}"));
                "MORE"
            }
            better if better < -TOLERANCE => "less: --update keeps it",
            _ => "",
        };
        let line = format!("{name:32} {before:10.1} {count:10.1} {change:+6.1} %  {verdict}");
        lines.push(line.trim_end().to_owned());
    }
    let gone = kept.iter().filter(|(name, _)| of(counted, name).is_none());
    complaints.extend(gone.map(|(name, _)| format!("{name} is kept, and there is no such part")));
    (lines, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, f64)]) -> Vec<Count> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn counts_are_read_as_they_are_written() {
        let all = counts(&[("block find", 123.4), ("get of 32, per key", 7.0)]);
        assert_eq!(parsed(&written(&all)), Ok(all));
        assert!(parsed("\"x\" = many").unwrap_err().contains("cannot read"));
    }

    #[test]
    fn the_total_is_found_in_what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7==\n";
        assert_eq!(collected(said), Some(1_234_567.0));
        assert_eq!(collected("==7== Events : Ir"), None);
    }

    #[test]
    fn more_than_the_tolerance_is_complained_about() {
        let kept = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("old", 1.0)]);
        let counted = counts(&[("a", 102.9), ("b", 103.1), ("c", 50.0), ("new", 1.0)]);
        let (lines, complaints) = compared(&kept, &counted);
        assert_eq!(
            complaints,
            [
                "b: 100.0 instructions became 103.1",
                "new is not kept: --update",
                "old is kept, and there is no such part"
            ]
        );
        let ends: Vec<_> = lines.iter().map(|line| line.split(" %").nth(1).unwrap()).collect();
        assert_eq!(ends, ["", "  MORE", "  less: --update keeps it"]);
    }
}
