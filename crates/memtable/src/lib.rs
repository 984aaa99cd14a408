//! Entries and range tombstones in memory, in order, between the log and a table.
//!
//! ```text
//! the one applying writer ─▶ apply, delete_range ─▶ rows (tree over an arena) · tombstones (list ─▶ fragments)
//! any reader              ◀─ get, cursor         ◀─ rows
//!                         ◀─ tombstones          ◀─ fragments, merged when a reader asks
//! ```
//!
//! A row is copied once, into an arena. The tree over it has nodes in which the order of rows is apart from
//! where they are: a new row goes into a free slot, and the order with it is published. Of a full leaf the
//! upper half goes to a new one behind it; where rows come in order, the next leaf begins empty. A reader
//! looks, when it is done, whether the order that it went by still stands, and else looks again.
//!
//! Nothing is ever changed or removed: a memtable grows until the last `Arc` of it goes. Range
//! tombstones are kept apart and **not** applied to what [`Memtable::get`] and the cursor return:
//! whoever reads several sources masks with the tombstones of all of them.
//!
//! This crate knows nothing about disk, about which writes are complete, or about other memtables.
//!
//! # Invariants
//!
//! * **Order**: rows stand by user key ascending under the memtable's comparator, versions of a key
//!   newest first. A key and number occur once: applying them again changes nothing, so replaying a
//!   group of the log twice is harmless.
//! * **Publication**: when `apply` or `delete_range` has returned, every read that *happens after*
//!   sees the entry. What a read must not see yet has a number that is not below its bound: the
//!   caller publishes bounds, the memtable does not hold entries back.
//! * **Waiting**: `get` and cursors take no lock, and look again only for what a writer has done by then,
//!   never for what it is about to do. Writers wait for one another, and for a reader only
//!   while it copies the tombstones that are new to it.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use stratal_memtable::Memtable;
//! use stratal_types::{Bytewise, Cursor, EntryKind, SeqNo, Trailer};
//!
//! let at = |seqno: u32| SeqNo::from(seqno);
//! let memtable = Arc::new(Memtable::new(1, Arc::new(Bytewise)));
//! memtable.apply(b"AD/Vila", Trailer::new(at(1), EntryKind::Put), b"1418")?;
//! memtable.apply(b"AD/Vila", Trailer::new(at(2), EntryKind::Put), b"1419")?;
//! memtable.delete_range(b"AD/", b"AE/", at(3))?;
//!
//! let (trailer, value) = memtable.get(b"AD/Vila", at(2)).unwrap();
//! assert_eq!((trailer.seqno(), &value[..]), (at(1), &b"1418"[..]));
//! let hidden_below = memtable.tombstones().covering(b"AD/Vila", SeqNo::MAX, &Bytewise);
//! assert_eq!(hidden_below, Some(at(3)));
//!
//! let mut cursor = memtable.cursor();
//! let Ok(()) = cursor.seek(b"AD/Vila", SeqNo::MAX);
//! assert_eq!(cursor.entry().unwrap().value, b"1419");
//! # Ok::<(), stratal_memtable::Error>(())
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

mod memtable;
mod cursor;
mod tree;
mod growth;
mod node;
mod search;
mod slots;
mod order;
mod row;
mod arena;
mod tombstones;
mod error;

pub use cursor::MemtableCursor;
pub use error::Error;
pub use memtable::{Memtable, check_entry};
