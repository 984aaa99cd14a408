//! Tests of whole tables: against the model, under damage, byte for byte, and of what the writer
//! refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod support;
mod model;
mod writer;
mod corruption;
mod estimate;
mod memory;
mod pool;
mod prefix;
mod golden;
mod whole;
mod reading;
mod passing;
mod overlay;
mod carry;
mod seal;
mod heal;
mod dictionary;
mod digests;
