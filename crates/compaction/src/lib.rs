//! What to compact, and what a compaction may drop.
//!
//! ```text
//!               Shape (levels, runs, tables, what is busy)
//!                 │
//!   Strategy::plan▼                    ┌─ SpanSet: what lies behind the output
//!                Job ── older ─────────┤
//!                 │   fences           │  watermark, tombstones of the inputs, operator, filter
//!   inputs merged ▼                    ▼
//!   as one Cursor ────────────▶ gc::GcStream ──entries──▶ OutputCutter ──▶ one table per Piece
//!                                      │
//!                                      └─ value pointers that left
//! ```
//!
//! * [`plan`] decides which tables become others, and says of any job whether it may be done: once
//!   when it is planned and once more when its result is installed.
//! * [`gc`] leaves out what no read can miss. Its rules are few, and each has a history that breaks
//!   its simpler form.
//! * [`OutputCutter`](stratal_types::OutputCutter) says where one output ends and the next begins,
//!   and which keys each is responsible for.
//!
//! This crate knows nothing about files, formats and memtables, does no I/O, reads no clock and has
//! no thread. The caller brings the numbers and the cursor, writes the tables and installs them.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use stratal_compaction::SpanSet;
//! use stratal_compaction::gc::{GcContext, GcStream, JobTombstones};
//! use stratal_merge::{MergingCursor, SliceCursor};
//! use stratal_types::{Bytewise, CutOptions, EntryKind, Fragments, KeyRange, OutputCutter, Piece};
//! use stratal_types::{RangeTombstone, SeqNo, Trailer};
//!
//! let at = |seqno: u32| SeqNo::from(seqno);
//! let row = |key: &[u8], seqno, kind, value: &[u8]| {
//!     (key.to_vec(), Trailer::new(at(seqno), kind), value.to_vec())
//! };
//! let newer = vec![
//!     row(b"a", 8, EntryKind::Delete, b""),
//!     row(b"b", 9, EntryKind::Put, b"new"),
//! ];
//! let older = vec![
//!     row(b"a", 1, EntryKind::Put, b"gone"),
//!     row(b"b", 2, EntryKind::Put, b"old"),
//!     row(b"c", 3, EntryKind::Put, b"in the range that was deleted"),
//! ];
//! let order: Arc<dyn stratal_types::Comparator> = Arc::new(Bytewise);
//! let sources = [newer, older].map(|rows| SliceCursor::new(rows, Arc::clone(&order)));
//! let input = MergingCursor::new(sources.into(), Arc::clone(&order));
//!
//! // Nothing reads below 10. Behind the output, something may hold keys from "b" up to "m".
//! let watermark = at(10);
//! let behind = SpanSet::of([KeyRange::half_open("b", "m")], &Bytewise);
//! let deleted = [RangeTombstone::new("c", "f", at(5)), RangeTombstone::new("p", "r", at(6))];
//! let deleted = Fragments::build(&deleted, &Bytewise);
//! let tombstones = JobTombstones::new(deleted, watermark, &behind, &Bytewise);
//!
//! let context = GcContext::new(&Bytewise, watermark, &tombstones, &behind);
//! let mut pointers_that_left = |_key: &[u8], _pointer: &[u8]| {};
//! let mut stream = GcStream::new(input, context, &mut pointers_that_left);
//! let mut cutter = OutputCutter::new(CutOptions::default(), &[], Piece::default(), &Bytewise);
//! let mut rows = Vec::new();
//! stream.advance()?;
//! while let Some(entry) = stream.entry() {
//!     assert_eq!(cutter.before(entry.key, 0), None, "far from long enough for a second table");
//!     rows.push((entry.key.to_vec(), entry.value.to_vec()));
//!     stream.advance()?;
//! }
//! assert!(stream.finish().is_some(), "only a stream that reached its end may be installed");
//! // The delete of "a" had nothing left to hide, so both are gone.
//! assert_eq!(rows, [(b"b".to_vec(), b"new".to_vec())]);
//! // One tombstone still hides what may lie deeper; the other had nothing under it.
//! let carried = cutter.finish().clip(tombstones.kept(), &Bytewise);
//! assert_eq!(carried.span(), Some(KeyRange::half_open("c", "f")));
//! # Ok::<(), std::convert::Infallible>(())
//! ```
#![forbid(unsafe_code)]

mod span_set;
pub mod gc;
pub mod plan;

pub use span_set::{SpanFinger, SpanSet};
