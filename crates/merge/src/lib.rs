//! Streams of entries: several sources as one, and of their versions the rows that a read finds.
//!
//! ```text
//! Cursor  Cursor  Cursor …        sources, newest first: memtables, tables, runs
//!    └───────┼───────┘
//!      MergingCursor              every version, in internal order, each once
//!            │  ◀─ Fragments of every source
//!      VisibleCursor              one row per live key, at a read bound, in a range
//!            │
//!         RowIter                 rows that own their bytes, from both ends
//! ```
//!
//! Cursors lend and do not allocate per step; they go both ways and seek as often as wanted.
//! [`decide`] alone says what is visible; [`resolve`] asks it for one key, [`VisibleCursor`] for
//! all. Operands are folded by a [`Fold`], which is made of a [`MergeOperator`] of the caller's or of
//! [`operators`]; without one they come out as they are stored.
//!
//! This crate knows nothing about where entries come from, nor about files, caches or locks.
//!
//! # Invariants
//!
//! * **Order**: a source's entries stand in internal order under one comparator, the same for all.
//! * **Age**: sources stand newest first. Of an entry that is in two sources the newer source's is
//!   taken; and of each key, what a newer source holds, range tombstones over the key included, is
//!   newer than what only older ones hold. Skipping and point reads rest on this, the order of the
//!   merged sequence does not.
//! * **Folding** is done in pieces, so that memory is bounded however many operands a key has.
//! * **Errors**: a step that failed yields nothing, and goes on failing until a seek succeeds. No
//!   entry is ever left out because its source failed.
//! * **Growth**: a source may gain entries while it is read (a memtable does). They may show or not;
//!   order holds, and what was there is not missed.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use stratal_merge::{RowIter, SliceCursor, Source};
//! use stratal_types::{Bytewise, Comparator, EntryKind, Fragments, KeyRange, RangeTombstone, SeqNo, Trailer};
//!
//! let order: Arc<dyn Comparator> = Arc::new(Bytewise);
//! let put = |seqno: u32| Trailer::new(seqno.into(), EntryKind::Put);
//! let entry = |key: &[u8], trailer, value: &[u8]| (key.to_vec(), trailer, value.to_vec());
//!
//! let older = vec![entry(b"a", put(1), b"1"), entry(b"b", put(2), b"2"), entry(b"c", put(3), b"3")];
//! let newer = vec![entry(b"c", put(5), b"5")];
//! let deleted = [RangeTombstone::new("b", "d", 4u32.into())];
//! let sources = || {
//!     let deleted = Arc::new(Fragments::build(&deleted, &Bytewise));
//!     vec![
//!         Source::new(SliceCursor::new(newer.clone(), Arc::clone(&order)), deleted),
//!         Source::new(SliceCursor::new(older.clone(), Arc::clone(&order)), Arc::default()),
//!     ]
//! };
//! let read = |bound| {
//!     let rows = RowIter::range([sources(), sources()], &order, bound, KeyRange::ALL);
//!     rows.map(|row| row.unwrap().value).collect::<Vec<_>>()
//! };
//! assert_eq!(read(SeqNo::MAX), ["1", "5"]);
//! assert_eq!(read(4u32.into()), ["1", "2", "3"]);
//! ```
#![forbid(unsafe_code)]

mod operator;
pub mod operators;
mod chain;
mod merging;
mod visibility;
mod masks;
mod simple;
mod source;
mod visible;
mod rows;
mod slice;
mod order;

pub use chain::Chain;
pub use merging::MergingCursor;
pub use operator::{Fold, MergeOperator, OperatorError, compose, fold, operator_named};
pub use rows::{Row, RowIter};
pub use slice::{Entry, SliceCursor};
pub use source::Source;
pub use visibility::{PointSource, Resolved, Verdict, decide, resolve};
pub use visible::{FOLD_SIZE_MAX, VisibleCursor};
