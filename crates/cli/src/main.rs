//! The `stratal` command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 absent,
//! 2 usage, 3 bad input, 4 damage, 5 locked, read-only, too new or keyless, 6 input/output.
#![forbid(unsafe_code)]

mod args;
mod failure;
mod text;
mod input;
mod output;
mod secret;
mod file;
mod rows;
mod progress;
mod sort;
mod table;
mod database;
mod changes;
mod ingest;
mod stats;
mod bench;
mod inspect;
mod quickstart;

use std::process::ExitCode;

use args::{Args, Verb};
use clap::{CommandFactory, Parser};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = Output::new(&args.common);
    let result = run(&args, &mut out).and_then(|()| out.flush());
    match result {
        Ok(()) | Err(Failure::ClosedOutput) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was found before the failure is still worth showing.
            if let Err(Failure::ClosedOutput) = out.flush() {
                return ExitCode::SUCCESS;
            }
            if let Some(message) = failure.message() {
                eprintln!("stratal: {message}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    match &args.verb {
        Verb::Load(load) => database::load(load, &args.common, out),
        Verb::Get(get) => database::get(get, &args.common, out),
        Verb::Put { db, key, value } => database::put((db, key, value), &args.common, out),
        Verb::Merge(merge) => database::merge(merge, &args.common, out),
        Verb::Delete { db, keys } => database::delete(db, keys, &args.common, out),
        Verb::DeleteRange { db, from, to } => {
            database::delete_range((db, from, to), &args.common, out)
        }
        Verb::Scan(scan) => database::scan(scan, &args.common, out),
        Verb::Count { db, range } => database::count(db, range, &args.common, out),
        Verb::Flush { db } => database::flush(db, &args.common),
        Verb::Compact { db } => database::compact(db, &args.common),
        Verb::Stats(args_of) => stats::stats(args_of, &args.common, out),
        Verb::Verify { db } => database::verify(db, &args.common, out),
        Verb::Changes(changes) => changes::run(changes, &args.common, out),
        Verb::Keyspaces(keyspaces) => database::keyspaces(keyspaces, &args.common, out),
        Verb::Bench(bench) => bench::run(bench, &args.common, out),
        Verb::Table { verb } => table::run(verb, &args.common, out),
        Verb::Inspect(inspect) => inspect::run(inspect, &args.common, out),
        Verb::Quickstart { dir } => quickstart::run(dir, out),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "stratal", &mut script);
            out.bytes(&script)
        }
    }
}
