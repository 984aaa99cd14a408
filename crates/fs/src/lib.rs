//! The only door to the operating system.
//!
//! Every other crate reads and writes through an `Arc<dyn `[`Fs`]`>`, so that the same code runs on
//! a disk ([`StdFs`]), in memory ([`MemFs`]) and under a simulator that crashes and fails on demand
//! ([`SimFs`]). This crate knows nothing about formats: it moves bytes and says which of them would
//! survive a power cut.
//!
//! # What is durable when
//!
//! * Bytes and length of a file: once [`File::sync_data`] or [`File::sync_all`] has returned `Ok`.
//! * A name (a file or directory created, removed, renamed, linked): once [`Fs::sync_dir`] of the
//!   directory that holds it has returned `Ok`. Syncing the file does not make its name durable.
//! * Everything else may survive a crash whole, in part, in another order, or not at all.
//!
//! A failed sync leaves the fate of everything not yet synced unknown, and a later sync that
//! succeeds says nothing about it: the system may have dropped the pages. So a sync is never
//! retried; what it was to make durable is written again, to another file.
//!
//! # Only what is synced can be named
//!
//! [`NewFile`] writes a file once, front to back, and is abandoned at the first error. Its
//! [`finish`](NewFile::finish) gives a [`FileSynced`], [`sync_dirs`] turns those into [`Synced`], and
//! there is no other way to make one. Whoever keeps lists of files accepts only `Synced`.
//!
//! ```
//! use std::{io::Write, path::Path};
//! use stratal_fs::{CrashPolicy, Fs, NewFile, SimFs, Synced, create_dir_synced, sync_dirs};
//!
//! let fs = SimFs::new(1);
//! create_dir_synced(&fs, Path::new("/db"))?;
//! let mut file = NewFile::create(&fs, "/db/000001.sst")?;
//! file.write_all(b"sorted")?;
//! let file = file.finish()?.map(|()| "anything that describes the file");
//!
//! // Power fails here: the bytes are safe, but nothing on disk may know their name.
//! assert!(fs.image(&CrashPolicy::LoseAll).list(Path::new("/db"))?.is_empty());
//!
//! let named: Vec<Synced<&str>> = sync_dirs(&fs, vec![file])?;
//! assert_eq!(named[0].len(), 6);
//! assert_eq!(fs.image(&CrashPolicy::LoseAll).list(Path::new("/db"))?.len(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "stratal-fs knows Unix only: positioned reads, directory syncs and links differ elsewhere"
);

mod fs;
mod file;
mod lock;
mod new_file;
mod sync_behind;
mod synced;
mod std_fs;
mod small_writes;
mod mem_fs;
mod content;
mod names;
mod rate_limiter;
mod byte_budget;
mod handles;
mod open_files;
mod priority;
pub mod sim_fs;
#[cfg(all(test, loom))]
mod interleavings;

pub use file::{File, Hint, ReadPart, read_to_vec};
pub use fs::{Access, DirEntry, FileKind, Fs, Metadata};
pub use lock::{Lock, LockMode};
pub use mem_fs::MemFs;
pub use new_file::{Abandoned, NewFile};
pub use open_files::{FileReplaced, HeldPlace, OpenFileStats, OpenFiles, ReopenedFile};
pub use priority::lower_priority;
pub use rate_limiter::{Origin, RateLimiter, Signal, Timer};
pub use sim_fs::{CrashPolicy, SimFs};
pub use std_fs::StdFs;
pub use synced::{FileSynced, Synced, create_dir_synced, sync_dirs};
