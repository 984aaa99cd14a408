//! Trees through crashes and through faults, and what single parts of them do. Random histories under
//! random options are in `tests/model`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]

mod support;
mod tables;
mod changes;
mod operators;
mod digests;
mod torn;
mod options;
mod prefixes;
mod stats;
mod crash;
mod external_log;
mod faults;
mod jobs;
mod carry;
mod histories;
mod adopting;
mod ingestion;
mod strategies;
mod expiry;
mod subcompactions;
mod ttl;
mod warming;
mod deletes;
mod overlapping;
mod short_reads;
mod threads;
mod open_files;
mod pinning;
mod invariants;
