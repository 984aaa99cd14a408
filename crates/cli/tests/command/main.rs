//! The command as people and scripts meet it: a process, its output, its exit code.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;
mod table;
mod sorting;
mod whole_tables;
mod sealed;
mod database;
mod merge;
mod changes;
mod damage;
mod ingest;
mod inspect;
mod blocks;
mod quickstart;
mod places;
