//! The write-ahead log: what was written before it is anywhere else.
//!
//! A log is a sequence of records in segment files. The [`Lsn`] of a record is its position in the
//! logical log, in bytes, so that "durable up to" is one number. This crate knows nothing about what
//! is in a record, about sequence numbers, or about who waits for what: it appends, syncs, replays.
//!
//! # Data flow
//!
//! ```text
//! Wal::append ─▶ tail in memory ─▶ active segment ─▶ Syncer::sync ─▶ durable_lsn
//!                     │ (until durable)
//!                     └──── a write or sync failed ────▶ carried part of the next segment
//!
//! Replay::open ─▶ chain of segments ─▶ next() … ─▶ into_wal: what is not proven synced is carried
//! ```
//!
//! One owner appends ([`Wal`], `&mut`); any thread syncs ([`Syncer`], clones). A sync runs without
//! any lock that an append takes. Under *memory* durability the caller appends
//! [`Buffered`](AppendMode::Buffered), under *os* [`Through`](AppendMode::Through), and under *sync*
//! it waits for a sync to pass the record's end.
//!
//! # Invariants
//!
//! * **A segment with a failed write or sync is closed for ever.** What is above the last LSN proven
//!   synced is kept in memory until it is, and begins the next segment as its *carried part*, whole
//!   under one check. A record whose append failed is not carried; its LSN goes to another.
//! * **The chain.** Each segment names its predecessor and the LSN at which it takes over. Replay
//!   follows these names back from the newest segment that is whole, and never reads behind a named
//!   end. A segment whose successor was begun is never appended to.
//! * **Durable is a prefix.** [`durable_lsn`](Wal::durable_lsn) enters a segment only when its
//!   predecessor is synced to its end, and its own bytes and directory entry are.
//! * **A log knows what was synced.** Each record, and each segment's header, carries the LSN up to
//!   which the log was known synced when it was written. Damage below the highest such LSN is
//!   corruption and refused. Damage above it is a torn tail: cut, and counted. That tail may include
//!   the last synced group, if nothing was written after its sync; [`Wal::mark`] and [`Wal::close`]
//!   end that window.
//! * **Only the process that created a segment appends to it.** Recovery writes one new segment and
//!   nothing else, so it can be interrupted anywhere and run again.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use stratal_fs::{CrashPolicy, Fs, SimFs};
//! use stratal_types::DbId;
//! use stratal_wal::{AppendMode, Replay, Wal, WalContext, WalOptions};
//!
//! let fs = SimFs::new(1);
//! let context = |fs: SimFs| WalContext {
//!     fs: Arc::new(fs),
//!     dir: "/".into(),
//!     db_id: DbId([7; 16]),
//!     salts: Arc::new(|| 0x5a17),           // random in production, and never the same
//! };
//! let mut wal = Wal::create(context(fs.clone()), WalOptions::default().validate()?)?;
//! wal.append(&[b"put ", b"a"], AppendMode::Through)?;
//! let durable = wal.syncer().sync()?;
//! let lost = wal.append(&[b"put b"], AppendMode::Through)?;
//! assert_eq!(lost.range.start, durable);
//!
//! // The power fails.
//! let mut replay = Replay::open(context(fs.image(&CrashPolicy::LoseAll)), 0)?;
//! assert_eq!(replay.next_record()?.expect("was synced").payload, b"put a");
//! assert!(replay.next_record()?.is_none());
//! let (wal, report) = replay.into_wal(WalOptions::default().validate()?)?;
//! assert_eq!((wal.end_lsn(), report.cut_len), (durable, 0));
//! # Ok::<(), stratal_wal::Error>(())
//! ```
#![forbid(unsafe_code)]

mod lsn;
mod options;
mod record;
mod header;
mod segment_name;
mod segment;
mod tail;
mod sync;
mod wal;
mod reader;
mod replay;
mod annotate;
mod error;

pub use annotate::{annotate_record, annotate_segment};
pub use error::Error;
pub use header::SegmentHeader;
pub use lsn::Lsn;
pub use options::{WalContext, WalOptions, WalSpec};
pub use record::{PAYLOAD_LEN_MAX, Record, RecordHeader, RecordKind};
pub use replay::{Replay, ReplayReport, Replayed};
pub use segment_name::{segment_file_name, segment_number};
pub use sync::Syncer;
pub use wal::{AppendMode, Appended, Wal};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

/// The version of the format that this build writes, and the only one it reads.
pub const VERSION: u32 = 1;
