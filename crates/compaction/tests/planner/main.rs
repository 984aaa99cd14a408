//! Planners against simulated trees: every job is valid when it is planned and still when it is
//! installed, reads keep seeing the newest write, and a tree that is left alone comes to rest.
//!
//! A table of the simulation knows what it holds: cells (keys of four bytes), each with the number
//! of the write that filled or deleted it. The truth is an array with the newest write of each cell.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]

mod tree;
mod load;
mod jobs;
mod leveled;
mod reclaim;
mod strategies;
