//! One LSM tree, and what several of them share.
//!
//! ```text
//! write ─▶ active memtable ─▶ sealed ─▶ flush ─▶ level 0 ─▶ merges ─▶ last level
//! read  ─▶ read state = (active, sealed…, tables), immutable, behind one pointer
//! job   ─▶ GC stream ─▶ tables ─▶ synced ─▶ manifest edit, synced ─▶ new read state
//! ```
//!
//! A [`Store`] is a directory: the manifest, the clock of versions, the files, the cache. A [`Tree`] is
//! one sorted set of keys in it. Neither has a log: what is in memory is lost with the process unless
//! the caller writes it somewhere first and applies it again above [`Tree::flushed`]. Neither has
//! threads: jobs run on whatever thread calls.
//!
//! # Invariants
//!
//! * **Search order is age order** for every key: active, sealed from the newest, then the runs as the
//!   manifest has them. Planner and installer both ask the same check.
//! * **Visible moves once per batch**, when all of it is applied. A read takes the read state first
//!   and the bound after it, so it sees a prefix of all batches.
//! * **A file is named only when it is durable**, name and all; the type that the manifest takes says
//!   so. A job's files belong to its ledger until the edit is durable; what ends the job early removes
//!   them. If nobody knows whether the edit is durable they stay until somebody does.
//! * **A file goes when nobody can read it any more**: it is in no current version, and the last read
//!   state that has it is gone. Until then it keeps its name: whether it is open does not matter, since
//!   of all tables no more than [so many](StoreContext::open_files) are.
//! * **Flushes install in the order of sealing**, and move the flushed bound in the same edit.
//! * **No lock that a reader takes is held across I/O.** Readers take none; the swap of a read state
//!   takes a leaf lock for the swap alone.
//! * **The watermark is handed out by the registry**, which from then on refuses older reads. It is not
//!   above what a snapshot, a scan of changes or a [named holder](Store::hold_history) wants to see.
//!
//! This crate knows nothing about write-ahead logs, transactions, or threads of its own.
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
//! use stratal_fs::MemFs;
//!
//! let fs = Arc::new(MemFs::new());
//! let count = AtomicU64::new(0);
//! let unique = Arc::new(move || {            // in production: from the operating system
//!     let count = count.fetch_add(1, Ordering::Relaxed);
//!     u128::from(count).to_le_bytes()
//! });
//! let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
//! let id = store.create_tree("places", "bytewise", &[])?;
//! let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
//!
//! tree.write(WriteBatch::new().put("AD/Canillo", "3292").put("AD/Vila", "1418"))?;
//! let before = tree.snapshot();
//! tree.delete_range(b"AD/", b"AD/M")?;
//! tree.flush()?;                             // durable from here on
//!
//! assert_eq!(tree.get(b"AD/Canillo")?, None);
//! assert_eq!(tree.get_at(b"AD/Canillo", &before)?.as_deref(), Some(&b"3292"[..]));
//! assert_eq!(tree.range::<&[u8]>(..)?.count(), 1);
//! # Ok::<(), stratal_engine::Error>(())
//! ```
//!
//! # With a log of your own
//!
//! A tree keeps what is in tables, and forgets what is in memory when the process ends. Whoever has a log,
//! be it that of a consensus protocol, gives the tree its numbers and is told how much of the log it does
//! not need any more:
//!
//! * **Writing.** [Take](Clock::allocate) as many numbers as there are operations, write both to the log,
//!   [apply](Tree::apply) them with the first of the numbers, and [publish](Clock::publish) the bound
//!   behind the last; reads see all of them or none. One writer at a time.
//! * **Flushing.** [Seal](Tree::seal) a memtable that is [full](Tree::is_full), between two writes, and flush
//!   what the log has durably and nothing else: [`Tree::flush_sealed_to`]. What is in tables cannot be
//!   lost, so what was written before it must not be.
//! * **Forgetting.** Everything below [`Tree::flushed`] is in tables, durably. Records of the log that are
//!   wholly below it may go.
//! * **After a restart.** Apply the records that are left in their order, [raise](Clock::raise) the clock above
//!   them, and publish before anybody reads. Operations below the flushed bound are left out one by one,
//!   so that operands are not there twice, and records may begin below it. Do so before new ones are written.
//!
//! ```
//! # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use stratal_engine::{Error, Operation, Store, StoreContext, Tree, TreeOptions, TreeSettings};
//! # use stratal_fs::MemFs;
//! # use stratal_types::SeqNo;
//!
//! # let fs = Arc::new(MemFs::new());
//! # let count = AtomicU64::new(0);
//! # let unique: stratal_engine::Randomness =
//! #     Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
//! let context = || StoreContext::new(fs.clone(), "/db", 8 << 20, unique.clone());
//! let add = |n: &str| vec![Operation::Merge { key: b"visits".into(), operand: n.into() }];
//! let mut log: Vec<(SeqNo, Vec<Operation>)> = Vec::new();       // in production: durable
//!
//! let (store, _) = Store::open(context())?;
//! let operator = TreeSettings { merge_operator: Some("add-u64".into()), ..Default::default() };
//! let id = store.create_tree("counts", "bytewise", &operator.encode())?;
//! let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
//! for n in ["5", "7", "9"] {
//!     let (clock, operations) = (store.clock(), add(n));
//!     let first = clock.allocate(operations.len() as u64)?;
//!     log.push((first, operations.clone()));
//!     tree.apply(&operations, first)?;
//!     clock.publish(clock.next());
//!     if n == "7" {
//!         tree.seal();
//!     }
//! }
//! tree.flush_sealed_to(store.clock().next())?;                   // 5 and 7
//! assert_eq!(tree.get(b"visits")?.as_deref(), Some(&b"21"[..]));
//! drop((tree, store));                                           // the process ends
//!
//! let (store, _) = Store::open(context())?;
//! let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
//! for (first, operations) in &log {
//!     tree.apply(operations, *first)?;                           // 9 alone
//!     let behind = SeqNo::new(first.get() + operations.len() as u64).ok_or(Error::OutOfSeqNos)?;
//!     store.clock().raise(behind);
//! }
//! store.clock().publish(store.clock().next());
//! assert_eq!(tree.get(b"visits")?.as_deref(), Some(&b"21"[..]));
//! log.retain(|(first, _)| *first >= tree.flushed());
//! assert_eq!(log.len(), 1);
//! # Ok::<(), Error>(())
//! ```
#![forbid(unsafe_code)]

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

mod store;
mod tree;
mod stats;
mod estimate;
mod settings;
mod kept_options;
mod options;
mod compaction_filters;
mod filters;
mod pinning;
mod batch;
mod operation_ref;
mod entry_digests;
mod erase;
mod clock;
mod times;
mod ttl;
mod snapshot;
mod history;
mod changes;
mod change_window;
mod current;
mod range;
mod cursor;
mod reads;
mod reader;
mod point;
mod read_state;
mod multi_get;
mod folding;
mod span_heads;
mod view;
mod source;
mod checked;
mod prefix;
mod job;
mod flush;
mod merging;
mod parts;
mod cuts;
mod crew;
mod stop;
mod paced_file;
mod outputs;
mod install;
mod warming;
mod settling;
mod ingestion;
mod ready_tables;
mod adopting;
mod landing;
mod removal;
mod reclaiming;
mod drop_range;
mod expiry;
mod files;
mod table_file;
pub mod identity;
mod error;
#[cfg(all(test, loom))]
mod interleavings;

pub use batch::{Operation, WriteBatch};
pub use changes::{Change, ChangeOptions, Changes};
pub use clock::Clock;
pub use compaction_filters::CompactionFilters;
pub use crew::Helpers;
pub use cursor::TreeCursor;
pub use error::Error;
pub use estimate::TreeEstimate;
pub use filters::FilterPolicy;
pub use ingestion::Ingestion;
pub use job::JobSummary;
pub use kept_options::KeptOptions;
pub use operation_ref::OperationRef;
pub use options::{TreeOptions, TreeSpec};
pub use pinning::Pinning;
pub use range::TreeRange;
pub use reader::TreeReader;
pub use reads::{KeyValue, KeyValueRef};
pub use ready_tables::{IngestSummary, ReadyTables};
pub use settings::{SettingsError, TreeSettings, annotate_settings};
pub use snapshot::Snapshot;
pub use stats::{LevelStats, OperandStats, TableDetails, TableStats, TrafficStats, TreeStats};
pub use store::{
    Comparators, OpenReport, Operators, PrefixExtractors, Randomness, Store, StoreContext, Time,
};
pub use stratal_compaction::gc::{CompactionFilter, Verdict};
pub use stratal_compaction::plan::{
    Debt, FifoOptions, Job, LazyLeveledOptions, LeveledOptions, Pressure, StrategyOptions,
    TieredOptions,
};
pub use stratal_fs::{OpenFileStats, OpenFiles, Origin, RateLimiter};
pub use stratal_manifest::TreeId;
pub use stratal_merge::{MergeOperator, OperatorError, operator_named};
pub use stratal_sst::{BlockPool, PinnedParts};
pub use stratal_types::EntryRef;
pub use tree::Tree;
pub use ttl::Ttl;
