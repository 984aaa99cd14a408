//! What a database consists of, as plain data, and the log of edits that makes it durable.
//!
//! A [`Version`] says which tables stand in which run of which level of which tree, with all that a
//! planner or an open needs to know about each, so that opening a database opens no table. One
//! manifest serves every tree of a database. This crate knows nothing about open files, policy, or
//! what is in a table.
//!
//! # Data flow
//!
//! ```text
//! Synced<TableMeta> ─▶ VersionEdit ─▶ Manifest::append ─▶ checked against the current version
//!                                          │                 ─▶ one record, one sync ─▶ new version
//!                                          └─ the log is long, not ours, or failed:
//!                                               new file with a snapshot ─▶ sync ─▶ marker ─▶ sync
//! Manifest::open ─▶ highest marker ─▶ snapshot and edits of that file ─▶ version, report
//! ```
//!
//! # Invariants
//!
//! * **Only what is synced can be named.** A table enters an edit as a [`Synced`], which only the
//!   file layer can make.
//! * **A version is always sound.** An edit that would break the structure (tables of a run disjoint
//!   and in order, runs of a level in order of age, numbers unique, spans not empty) is refused, and
//!   changes nothing, in memory or on disk.
//! * **The file that the highest marker names is current, and whole.** The file is complete and
//!   synced, name and all, before its marker is created. Older files go once the marker is durable.
//! * **Held history is not given up.** An edit that would raise the retention floor above what a named
//!   holder holds is refused, as any other that breaks a version.
//! * **Only the process that created a file appends to it.** The first edit after an open begins a
//!   new one. So does the first after a failed write or sync, whose outcome is unknown: that file is
//!   never touched again, and the version in memory does not change.
//! * **Until a file that this process wrote is durably current, nothing may be removed** on the ground
//!   that the version does not name it ([`Manifest::is_settled`]): not after a failure, and not after
//!   an open, which may have read what a killed process wrote and did not sync. A file that was closed
//!   is as good as one of this process: its end was written when everything else was synced.
//! * **A rotation may fail harmlessly until the creation of its marker is attempted**, and from then
//!   on the old file is never appended to.
//! * **A log knows what was synced.** Each record carries the offset up to which the file was known
//!   synced. Damage below is corruption; damage above is a torn tail, which may include the last edit
//!   that was acknowledged. A closed manifest has no tail.
//!
//! ```
//! use std::{io::Write, path::Path, sync::Arc};
//! use stratal_fs::{Fs, MemFs, NewFile, create_dir_synced};
//! use stratal_manifest::{
//!     FileName, Manifest, ManifestContext, ManifestOptions, NewTree, Place, RecoveryMode,
//!     TableMeta, TreeId, VersionEdit,
//! };
//! use stratal_types::{DbId, FileUid, KeyRange, SeqNo, comparator_named};
//!
//! let fs = MemFs::new();
//! create_dir_synced(&fs, Path::new("/db/tables"))?;
//! let context = || ManifestContext {
//!     fs: Arc::new(fs.clone()),
//!     dir: "/db".into(),
//!     db_id: DbId([7; 16]),
//!     salts: Arc::new(|| 0x5a17),            // random in production, and never the same
//!     comparators: Arc::new(|name| comparator_named(name)),
//! };
//! let mut manifest = Manifest::create(context(), ManifestOptions::default())?;
//!
//! let mut edit = VersionEdit::new();
//! let users = manifest.version().next_tree;
//! edit.create_tree(NewTree::new(users, "users", "bytewise"));
//! manifest.append(&edit)?;
//!
//! // A table: written, synced, its directory synced, then named.
//! let number = manifest.version().next_file;
//! let path = Path::new("/db").join(FileName::Table(number).to_string());
//! let mut file = NewFile::create(&fs, path)?;
//! file.write_all(b"sorted")?;
//! let meta = TableMeta {
//!     number,
//!     uid: FileUid([1; 16]),
//!     file_len: 6,
//!     span: KeyRange::closed("a", "z"),
//!     seqno_max: SeqNo::from(9),
//!     entries: 26,
//!     ..TableMeta::default()
//! };
//! let table = file.finish()?.map(|()| meta).sync_dir(&fs)?;
//! let mut edit = VersionEdit::new();
//! edit.add_table(users, Place { level: 0, age: 1 }, table)?.set_flushed(users, SeqNo::from(10));
//! manifest.append(&edit)?;
//! manifest.close()?;
//!
//! let (manifest, report) = Manifest::open(context(), ManifestOptions::default(), RecoveryMode::Absolute)?;
//! assert!(report.was_closed);
//! let tree = &manifest.version().trees[&users];
//! assert_eq!(tree.levels[0].runs[0].tables[0].entries, 26);
//! assert_eq!(manifest.version().clock, SeqNo::from(10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Synced`]: stratal_fs::Synced
#![forbid(unsafe_code)]

mod table_meta;
mod timeline;
mod edit;
mod version;
mod version_set;
mod record;
mod manifest;
mod recovery;
mod file_name;
mod orphans;
mod annotate;
mod bytes;
mod error;

pub use annotate::{annotate_manifest, annotate_record};
pub use edit::{AddedTable, ExpiredTable, MovedTable, NewTree, Place, VersionEdit};
pub use error::Error;
pub use file_name::FileName;
pub use manifest::{Manifest, ManifestContext, ManifestOptions};
pub use orphans::{Orphan, last_number, orphans};
pub use record::{ManifestHeader, Record, RecordKind};
pub use recovery::{RecoveryMode, RecoveryReport, read_version};
pub use table_meta::TableMeta;
pub use timeline::{TimeMark, Timeline};
pub use version::{Level, Run, TreeId, TreeVersion, Version};
pub use version_set::{Comparators, HOLDER_LEN_MAX, LEVELS_MAX, VersionSet};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

/// The version of the format that this build writes, and the only one it reads.
pub const VERSION: u32 = 1;
