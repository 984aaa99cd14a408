//! Stratal beside its peers: builds what lies in `bench/`, runs it in interleaved rounds, and says
//! which rows of the comparison are where they should be.
//!
//! Every process measures one suite of one engine in a fresh directory and prints a line per phase.
//! Those lines are kept as they are; tables and plots are made of them, then or later.
#![allow(
    clippy::format_push_string,
    reason = "tables are short, and writing to a string never fails"
)]

mod engines;
mod growth;
mod machine;
mod options;
mod page;
mod plots;
mod results;
mod rows;
mod runs;
mod shapes;
mod suites;
mod tables;
mod text;
mod verdict;

use std::path::Path;

use options::Options;
use results::Results;

/// Does what `words`, the command line behind `bench-peers`, say.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    if matches!(words, ["--help" | "-h" | "help"]) {
        print!("{}", options::USAGE);
        return Ok(());
    }
    let options = Options::parse(words)?;
    let text = match &options.from {
        Some(file) => read(file)?,
        None => runs::run(root, &options)?,
    };
    let mut results = Results::parse(&text)?;
    if results.is_empty() {
        return Err("nothing was measured".into());
    }
    if options.cpu {
        results.show_processor_time();
    }
    let tables = tables::all(&results, &options.rows);
    print!("{}", text::terminal(&results, &tables));
    if let Some(file) = &options.markdown {
        let before = std::fs::read_to_string(file).unwrap_or_default();
        write(file, &text::placed(&before, &text::markdown(&results, &tables)))?;
    }
    if let Some(file) = &options.html {
        write(file, &page::html(&results, &tables))?;
    }
    match results.wrong_answers() {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(format!("wrong answers, which void the run: {}", wrong.join(", "))),
    }
}

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}

fn write(file: &str, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{file}: {error}"))
}
