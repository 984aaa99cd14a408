//! Building the engines, and running them one after the other.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    engines::{self, Engine},
    machine,
    options::Options,
    suites::{Runs, Suite},
};
use crate::process;

/// The engine that needs a library of the system.
const NEEDS_LIBRARY: &str = "pb-rocksdb7";

/// No process takes longer unless it hangs.
const LONGEST: Duration = Duration::from_mins(30);

/// Builds and runs what `options` name; returns all lines of their file of results, earlier ones too.
pub(super) fn run(root: &Path, options: &Options) -> Result<String, String> {
    let bench = root.join("bench");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(bench.join("target"), |dir| root.join(dir));
    let binaries = target.join("release");
    let mut wanted: Vec<&'static Engine> = Vec::new();
    for suite in &options.suites {
        for engine in of_suite(suite, options) {
            if !wanted.contains(&engine) {
                wanted.push(engine);
            }
        }
    }
    if options.build {
        build(&bench, &wanted)?;
    }
    wanted.retain(|engine| {
        let is_there = binaries.join(engine.package).exists();
        if !is_there {
            println!("{}: left out, because {} is not built", engine.name, engine.package);
        }
        is_there
    });
    let file = options.results.as_ref().map_or_else(
        || bench.join("results").join(format!("{}.jsonl", machine::today())),
        PathBuf::from,
    );
    let dir = options.dir.as_ref().map_or_else(|| bench.join("data"), PathBuf::from);
    let mut out = Lines::open(&file)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    out.add(&format!("{}\n", machine::facts(root, &words)))?;
    for round in 0..options.rounds {
        for suite in &options.suites {
            let taking_part: Vec<&Engine> =
                of_suite(suite, options).into_iter().filter(|e| wanted.contains(e)).collect();
            for comp in &options.comps {
                for arguments in arguments(suite, options) {
                    let arguments = [arguments, options.more.clone()].concat();
                    for engine in rotated(&taking_part, round) {
                        if engine.comps.contains(&comp.as_str()) {
                            let run = Run { engine, comp, round, arguments: &arguments, dir: &dir };
                            out.add(&run.lines(&binaries)?)?;
                        }
                    }
                }
            }
        }
    }
    println!("results: {}", file.display());
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The engines that take part in a suite.
fn of_suite(suite: &Suite, options: &Options) -> Vec<&'static Engine> {
    let ours = |names: &[&str]| -> Vec<&'static Engine> {
        names.iter().filter_map(|name| engines::named(name).ok()).collect()
    };
    let mut engines = match (&options.engines, &suite.runs) {
        (Some(named), _) => named.clone(),
        (None, Runs::Once(_)) => engines::usual_ones(),
        (None, Runs::BySize) => ours(&["stratal", "stratal-tree"]),
        (None, Runs::Each(_)) => ours(&["stratal", "stratal-lazy"]),
    };
    engines.retain(|engine| engine.is_durable() || !suite.needs_durable);
    engines
}

/// Those of the processes that a suite is.
fn arguments(suite: &Suite, options: &Options) -> Vec<Vec<String>> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let n = format!("--n={}", options.n);
    // What is said later counts.
    let sized = |words: &[&str]| [vec![n.clone()], owned(words)].concat();
    match suite.runs {
        Runs::Once(words) => vec![sized(words)],
        Runs::Each(sets) => sets.iter().map(|words| sized(words)).collect(),
        Runs::BySize => options
            .sizes
            .iter()
            .map(|size| vec!["--suite=curve".into(), format!("--n={size}")])
            .collect(),
    }
}

/// Beginning with another in every round.
fn rotated<'a>(engines: &[&'a Engine], round: u64) -> Vec<&'a Engine> {
    let count = u64::try_from(engines.len()).unwrap_or(u64::MAX).max(1);
    let first = usize::try_from(round % count).unwrap_or(0);
    let (front, back) = engines.split_at(first.min(engines.len()));
    [back, front].concat()
}

fn build(bench: &Path, wanted: &[&Engine]) -> Result<(), String> {
    let packages: BTreeSet<&str> = wanted.iter().map(|engine| engine.package).collect();
    let build = |packages: &[&str]| {
        let mut command = process::cargo(bench);
        command.args(["build", "--release"]);
        for package in packages {
            command.args(["-p", package]);
        }
        process::run(&mut command)
    };
    let (alone, together): (Vec<&str>, Vec<&str>) =
        packages.into_iter().partition(|package| *package == NEEDS_LIBRARY);
    if !together.is_empty() {
        build(&together)?;
    }
    if !alone.is_empty()
        && let Err(why) = build(&alone)
    {
        println!("RocksDB is left out: {why}; it needs the system's library with its headers");
    }
    Ok(())
}

/// A file that lines are added to.
struct Lines {
    file: File,
    path: PathBuf,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn add(&mut self, lines: &str) -> Result<(), String> {
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// One process.
struct Run<'a> {
    engine: &'a Engine,
    comp: &'a str,
    round: u64,
    arguments: &'a [String],
    dir: &'a Path,
}

impl Run<'_> {
    /// Runs it, and returns what it printed. If it fails, or does not end, the phases that it finished
    /// count, and a line says what happened.
    fn lines(&self, binaries: &Path) -> Result<String, String> {
        let begun = Instant::now();
        let mut command = Command::new(binaries.join(self.engine.package));
        command
            .args(self.arguments)
            .args(self.engine.arguments)
            .arg(format!("--comp={}", self.comp))
            .arg(format!("--round={}", self.round))
            .arg(format!("--dir={}", self.dir.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let failed = |error: std::io::Error| format!("{}: {error}", self.engine.package);
        let mut child = command.spawn().map_err(failed)?;
        let mut output = child.stdout.take().expect("the output is piped");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        let mut status = child.try_wait().map_err(failed)?;
        while status.is_none() && begun.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_millis(20));
            status = child.try_wait().map_err(failed)?;
        }
        if status.is_none() {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
        }
        let text = reader.join().expect("reading does not panic").map_err(failed)?;
        let mut lines: String = text
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok())
            .map(|line| format!("{line}\n"))
            .collect();
        if !status.is_some_and(|status| status.success()) {
            let why = status.map_or("did not end".to_owned(), |status| status.to_string());
            let line = json!({
                "engine": self.engine.name, "suite": self.arguments.join(" "),
                "comp": self.comp, "work": "ERROR", "err": why,
            });
            lines = format!("{lines}{line}\n");
        }
        println!(
            "round {} {:16} {} {}: {:.1} s",
            self.round,
            self.engine.name,
            self.comp,
            self.arguments.join(" "),
            begun.elapsed().as_secs_f64()
        );
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_begins_with_another() {
        let all = engines::usual_ones();
        let first = |round| rotated(&all, round).first().map(|engine| engine.name);
        assert_eq!([first(0), first(1)], [Some("stratal"), Some("stratal-tree")]);
        assert_eq!(first(9), Some("stratal"));
        assert_eq!(rotated(&all, 4).len(), all.len());
        assert!(rotated(&[], 3).is_empty());
    }

    #[test]
    fn growth_has_a_process_for_every_size() {
        let options = Options::parse(&["--suites", "growth", "--sizes", "10000,20000"]).unwrap();
        let [suite] = options.suites.as_slice() else { panic!("one suite") };
        let all = arguments(suite, &options);
        assert_eq!(all.len(), 2);
        assert_eq!(all.last().unwrap().as_slice(), ["--suite=curve", "--n=20000"]);
        let names: Vec<_> = of_suite(suite, &options).iter().map(|engine| engine.name).collect();
        assert_eq!(names, ["stratal", "stratal-tree"]);
    }

    #[test]
    fn only_those_commit_durably_that_can() {
        let options = Options::parse(&["--suites", "durable"]).unwrap();
        let [suite] = options.suites.as_slice() else { panic!("one suite") };
        let names: Vec<_> = of_suite(suite, &options).iter().map(|engine| engine.name).collect();
        assert_eq!(names, ["stratal", "fjall3", "rocksdb7", "redb4"]);
    }
}
