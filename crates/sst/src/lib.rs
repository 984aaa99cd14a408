//! Sorted table files: written once, in order, and read at random ever after.
//!
//! ```text
//! entries ─▶ TableWriter ─▶ block::SortedBlock ─▶ block frame ─▶ archive section ─▶ any io::Write
//! Table ◀─ cache ◀─ block::SortedBlock ◀─ block frame ◀─ archive contents ◀─ any ReadAt
//! ```
//!
//! A table is a stack of what stands below it: entries in internal order are packed into sorted
//! blocks, each block is sealed in a frame that knows its file and place, and the frames are sections
//! of an archive. An index block holds a *fence* per data block; a filter answers most lookups of
//! absent keys; properties say what is inside. Index, properties and contents stand twice. In a large
//! table index and filter are divided into *partitions*, which stand between the data blocks, and the
//! index that stands twice has a fence per partition.
//!
//! Whole tables are [merged](merge_tables), [split](Table::split) and [compared](Table::diff) by
//! streaming; a [`TableSetWriter`] makes as many tables of its entries as their length asks for.
//!
//! This crate knows nothing about levels, directories or threads, and needs no engine.
//!
//! # Invariants
//!
//! * **Order**: entries stand by user key ascending under the comparator whose name the table
//!   carries, versions of one key newest first. The writer refuses anything else.
//! * **Fences**: the fence of a block is at or behind its last entry and before the next block's
//!   first, in internal order. Seeking the fences therefore finds the only block in which the sought
//!   place can be, or the one before it when the sought key lies between last entry and fence.
//! * **Identity**: each block of a file has an ordinal of its own, copies included; a reader derives
//!   the ordinal from the index or from the section, never from the block.
//! * **Trust**: a block is checked once, when it is read; everything behind the cache is trusted.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
//! use stratal_types::FileUid;
//!
//! let ctx = TableContext::default();
//! let spec = Arc::new(TableOptions::default().validate()?);
//! let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
//! writer.put(b"AD/Canillo", b"3292")?;
//! writer.put(b"AD/Vila", b"1418")?;
//! let file = writer.finish()?.sink;
//!
//! let table = Table::open(&ctx, Arc::new(Bytes::from(file)))?;
//! assert_eq!(table.get(b"AD/Vila")?.as_deref(), Some(&b"1418"[..]));
//! let mut keys = table.prefix(b"AD/").map(|row| row.map(|(key, _)| key));
//! assert_eq!(keys.next().transpose()?.as_deref(), Some(&b"AD/Canillo"[..]));
//! assert_eq!(keys.next_back().transpose()?.as_deref(), Some(&b"AD/Vila"[..]));
//! # Ok::<(), stratal_sst::Error>(())
//! ```
#![forbid(unsafe_code)]

mod options;
mod identity;
mod context;
mod seal;
mod training;
mod writer;
mod counts;
mod completed;
mod pool;
mod seal_queue;
mod carried;
mod set_writer;
mod source;
mod open;
mod table;
mod multi_get;
mod cursor;
mod stored_block;
mod read_ahead;
mod range;
mod membership;
mod guess;
mod locator;
mod estimate;
mod older;
mod fences;
mod merge_tables;
mod split;
mod diff;
mod digest;
mod verify;
mod scrub;
mod salvage;
mod annotate;
mod properties;
mod tombstones;
mod section;
mod index;
mod block;
mod handle;
mod error;

pub use annotate::BlockInfo;
pub use context::TableContext;
pub use cursor::TableCursor;
pub use diff::{Difference, TableDiff};
pub use digest::{FileDigest, ParseDigestError};
pub use error::Error;
pub use estimate::RangeEstimate;
pub use identity::TableIdentity;
pub use membership::FilterMembership;
pub use merge_tables::{Keep, MergeError, MergeSummary, TableOutput, merge_tables};
pub use open::{OpenMode, OpenOptions};
pub use options::{Partitioning, TableDictionary, TableOptions, TableSpec};
pub use pool::BlockPool;
#[cfg(feature = "rayon")]
pub use pool::RayonPool;
pub use properties::Properties;
pub use range::{TableKeys, TableRange};
pub use read_ahead::{CacheUse, ReadAhead, Scan};
pub use salvage::SalvageReport;
pub use scrub::{Healed, ScrubReport};
pub use section::{FILE_TYPE, TableBlock};
pub use set_writer::{TableFiles, TableSetWriter};
pub use source::{FileSource, ReadAt};
pub use stored_block::StoredBlock;
pub use stratal_block::{
    Checksum, Compression, Dictionary, DictionaryId, KeyRing, Parity, RootKey, Seal,
};
pub use stratal_cache::Pin;
pub use table::{PinnedParts, ResidentFilter, Table, Version};
pub use verify::{Damage, LostKeys, VerifyReport};
pub use writer::{Finished, TableInfo, TableWriter};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}
