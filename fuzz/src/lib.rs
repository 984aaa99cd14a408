//! Fuzz bodies: one function per decoder.
//!
//! A body takes any bytes, hands them to a decoder, and asserts what must hold of the answer: at
//! least that there is one, often that what was read would be written the same. A panic is a
//! finding, and so is a body that takes long or allocates much for few bytes.
//!
//! Every body is in [`TARGETS`]. Two runners call them: `tests/smoke.rs`, which needs nothing but
//! `cargo test`, and the programs in `libfuzzer/`, which search by coverage and need nightly. Both
//! begin with the inputs in `corpus/<target>/`. An input that once failed stays there.
//!
//! The crate knows nothing about what is inside a format: how to reach a decoder behind a checksum
//! is written in the module of that format.
//!
//! ```
//! let (name, body) = stratal_fuzz::TARGETS[0];
//! assert_eq!(name, "types_varint");
//! body(&[0xff; 3]);
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a panic is how a body reports a finding")]

pub mod types;
pub mod simd;
pub mod block;
pub mod filter;
pub mod archive;
pub mod merge;
pub mod sst;
pub mod wal;
pub mod manifest;
pub mod engine;
pub mod db;
pub mod inputs;

/// A fuzz body.
pub type Body = fn(&[u8]);

/// Every body by name: its module, which is the crate it is about, then its function.
pub const TARGETS: &[(&str, Body)] = &[
    ("types_varint", types::varint),
    ("types_trailer", types::trailer),
    ("types_comparator", types::comparator),
    ("types_dump", types::dump),
    ("simd_match_u8", simd::match_u8),
    ("simd_rank_u8", simd::rank_u8),
    ("simd_rank_u16", simd::rank_u16),
    ("simd_rank_u32", simd::rank_u32),
    ("simd_rank_u64", simd::rank_u64),
    ("block_frames", block::frames),
    ("block_frame_resealed", block::frame_resealed),
    ("block_tail_resealed", block::tail_resealed),
    ("block_frame_damaged", block::frame_damaged),
    ("block_payload", block::payload),
    ("block_dictionary", block::dictionary),
    ("block_sorted_block", block::sorted_block),
    ("block_sorted_block_damaged", block::sorted_block_damaged),
    ("filter_parse_and_probe", filter::parse_and_probe),
    ("filter_damaged", filter::damaged),
    ("filter_build_and_probe", filter::build_and_probe),
    ("filter_build_and_retrieve", filter::build_and_retrieve),
    ("archive_header", archive::header),
    ("archive_toc", archive::toc),
    ("archive_file", archive::file),
    ("archive_file_resealed", archive::file_resealed),
    ("archive_damaged", archive::damaged),
    ("archive_plain", archive::plain),
    ("archive_plain_damaged", archive::plain_damaged),
    ("archive_described", archive::described),
    ("merge_operands", merge::operands),
    ("merge_json_patches", merge::json_patches),
    ("sst_file", sst::file),
    ("sst_damaged", sst::damaged),
    ("sst_resealed", sst::resealed),
    ("wal_record", wal::record),
    ("wal_segment_header", wal::segment_header),
    ("wal_replay", wal::replay),
    ("wal_damaged", wal::damaged),
    ("manifest_edit", manifest::edit),
    ("manifest_record", manifest::record),
    ("manifest_file", manifest::file),
    ("manifest_snapshot", manifest::snapshot),
    ("manifest_damaged", manifest::damaged),
    ("engine_settings", engine::settings),
    ("db_record", db::record),
    ("db_record_of_this_version", db::record_of_this_version),
];
