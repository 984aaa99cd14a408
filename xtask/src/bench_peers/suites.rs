//! The suites: what one process does from its start to its end.

use super::rows::{self, ROWS};

/// A suite of `bench/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) runs: Runs,
    pub(super) is_usual: bool,
    /// Whether it asks for puts that wait until they are on stable storage.
    pub(super) needs_durable: bool,
}

/// Which processes a suite is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// One for each engine, with the arguments.
    Once(&'static [&'static str]),
    /// One for each engine and each size of growth.
    BySize,
    /// One for each engine and each of these sets of arguments.
    Each(&'static [&'static [&'static str]]),
}

pub(super) const SUITES: &[Suite] = &[
    Suite { name: "seq", runs: Runs::Once(&["--suite=seq"]), is_usual: true, needs_durable: false },
    Suite {
        name: "rand",
        runs: Runs::Once(&["--suite=rand"]),
        is_usual: true,
        needs_durable: false,
    },
    Suite {
        name: "cached",
        runs: Runs::Once(&["--suite=cached"]),
        is_usual: true,
        needs_durable: false,
    },
    Suite {
        name: "durable",
        runs: Runs::Once(&["--suite=durable"]),
        is_usual: true,
        needs_durable: true,
    },
    Suite { name: "growth", runs: Runs::BySize, is_usual: false, needs_durable: false },
    // Write buffers of 1 MiB, so that a tree of a million rows is as deep as one of 64 million.
    Suite {
        name: "shapes",
        runs: Runs::Each(&[
            &["--suite=shape", "--memtable=1", "--load=uniform"],
            &["--suite=shape", "--memtable=1", "--load=zipf"],
            &["--suite=shape", "--memtable=1", "--load=time"],
            &["--suite=shape", "--memtable=1", "--load=queue"],
        ]),
        is_usual: false,
        needs_durable: false,
    },
    // Large values, kept with their keys or apart, as each engine does it.
    Suite {
        name: "blob",
        runs: Runs::Once(&["--suite=blob", "--n=16000", "--reads=20000"]),
        is_usual: false,
        needs_durable: false,
    },
];

pub(super) fn named(name: &str) -> Result<&'static Suite, String> {
    let found = SUITES.iter().find(|suite| suite.name == name);
    found.ok_or_else(|| format!("no such suite: {name}"))
}

/// The usual ones that have a row that is wanted.
pub(super) fn for_rows(wanted: &[String]) -> Vec<&'static Suite> {
    let has_one = |suite: &Suite| {
        let mut rows = ROWS.iter().filter(|row| row.suite == suite.name);
        rows.any(|row| rows::is_wanted(row.name, wanted))
    };
    SUITES.iter().filter(|suite| suite.is_usual && has_one(suite)).collect()
}
