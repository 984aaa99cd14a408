//! A durable embedded database: keyspaces, atomic batches over them, snapshots, crash recovery.
//!
//! ```text
//! batch ─▶ queue ─▶ one log record for all that wait ─▶ memtables ─▶ visible, whole
//!                            │                            │ sealed
//!                            └─▶ sync: durable            └─▶ flush ─▶ tables ─▶ merges
//! ```
//!
//! A [`Database`] is a directory. Its [`Keyspace`]s are sorted sets of keys, each with its own order.
//! A [`Batch`] changes any of them at once. Its [`Ticket`] says when that is on stable storage.
//!
//! # What it promises
//!
//! * After [`Ticket::durable`] has returned `Ok`, the batch and all that were committed before it
//!   survive the end of the process, of the system, and a power failure, on a device that honours
//!   flushes.
//! * After a crash there is a prefix of what was committed, over all keyspaces, batch by batch.
//! * After [`Error::UnknownOutcome`] the batch is found at the next open, whole, or never.
//! * A read gives the right value or an error: never an older value, and never "not found" for what
//!   cannot be read.
//!
//! # Invariants
//!
//! * **One leader at a time** takes what waits in the queue, gives it numbers in that order, appends
//!   one record, applies it, and publishes. After logging, applying cannot fail; if it does,
//!   the database has [failed](Health::Failed): it publishes nothing more, and reads go on.
//! * **The log is synced before anything becomes durable in another way**: before a flush, through
//!   everything that is flushed; before a keyspace is made or dropped, through everything.
//! * **While sealed memtables are flushed no other is sealed**, so that the sync before covers them.
//! * **A segment of the log goes when it is durable that nobody needs it**, oldest first. A keyspace
//!   that holds a long log for a few records is flushed.
//! * **A sync that failed is not tried again on that file.** What was not durable begins the next
//!   segment; until that is synced, the database is [read-only](Health::ReadOnly).
//! * **Recovery writes a new segment, then settles the manifest, then removes**: killed at any moment
//!   it can be done again.
//! * **Locks**: naming, flushing, compacting or retiring, then the log, then the queue. No reader takes
//!   any of them.
//!
//! This crate knows nothing about formats of files but its own log record ([`record`]), and nothing
//! about levels, tables or blocks.
//!
//! ```
//! use std::sync::Arc;
//! use stratal::{Database, Durability, KeyspaceOptions};
//! # use stratal_fs::MemFs;
//!
//! # let fs = Arc::new(MemFs::new());
//! let db = Database::builder("/places").fs(fs.clone()).open()?;
//! let towns = db.keyspace("towns", KeyspaceOptions::default())?;
//! let sizes = db.keyspace("sizes", KeyspaceOptions::default())?;
//!
//! let ticket = db
//!     .batch()
//!     .put(&towns, "AD/Canillo", "3292")
//!     .put(&sizes, "3292/AD/Canillo", "")
//!     .commit()?;                                // visible, both or neither
//! ticket.durable()?;                             // and on stable storage
//!
//! let before = db.snapshot();
//! db.batch().delete(&towns, "AD/Canillo").durability(Durability::Sync).commit()?;
//! assert_eq!(towns.get("AD/Canillo")?, None);
//! assert_eq!(towns.get_at("AD/Canillo", &before)?.as_deref(), Some(&b"3292"[..]));
//! drop((towns, sizes, ticket, before));
//! db.close()?;
//!
//! let db = Database::builder("/places").fs(fs).create(false).open()?;
//! let sizes = db.open_keyspace("sizes")?;
//! assert_eq!(sizes.prefix("3292/")?.count(), 1);
//! # Ok::<(), stratal::Error>(())
//! ```
#![forbid(unsafe_code)]

mod builder;
mod open;
mod pacing;
mod proof;
mod database;
mod keyspace;
mod cursor;
mod reader;
mod changes;
mod batch;
mod ingestion;
mod ticket;
mod draft;
mod commit;
mod log;
mod memory;
mod work;
mod helpers;
mod inner;
mod tree_choice;
mod verify;
mod health;
pub mod record;
mod error;

pub use batch::Batch;
pub use builder::{Builder, Executor};
pub use changes::Changes;
pub use cursor::Cursor;
pub use database::{DEFAULT_KEYSPACE, Database, DatabaseStats, KEYSPACE_NAME_LEN_MAX, OpenReport};
pub use error::Error;
pub use health::Health;
pub use ingestion::Ingestion;
pub use keyspace::{Keyspace, KeyspaceInfo, KeyspaceOptions, Range};
pub use reader::KeyspaceReader;
pub use stratal_engine::{
    BlockPool, Change, ChangeOptions, Debt, FifoOptions, FilterPolicy, IngestSummary,
    LazyLeveledOptions, LevelStats, LeveledOptions, MergeOperator, OpenFileStats, OpenFiles,
    OperandStats, Operation, OperatorError, Origin, PinnedParts, Pinning, Pressure, Randomness,
    RateLimiter, Snapshot, StrategyOptions, TableDetails, TableStats, TieredOptions, TrafficStats,
    TreeEstimate, TreeOptions, TreeStats, operator_named,
};
pub use stratal_types::{
    Counter, Counters, CutOptions, DelimitedPrefix, FixedPrefix, Metrics, PrefixExtractor,
    prefix_extractor_named,
};
pub use ticket::{Durability, Ticket};
pub use verify::{Damage, VerifyReport};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

#[doc = include_str!("../../../docs/CONTRACT.md")]
pub mod contract {}

#[doc = include_str!("../../../README.md")]
#[cfg(doctest)]
struct Readme;
