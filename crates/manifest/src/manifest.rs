use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_fs::{Access, File, Fs, read_to_vec};
use stratal_types::DbId;

use crate::{
    Comparators, Error, FileName, ManifestHeader, Record, RecordKind, RecoveryMode, RecoveryReport,
    Version, VersionEdit, VersionSet, read_version, recovery::END_RECORD_LEN,
};

/// What the process brings.
#[derive(Clone)]
pub struct ManifestContext {
    /// Where files live.
    pub fs: Arc<dyn Fs>,
    /// The database's directory. It must exist, durably.
    pub dir: PathBuf,
    /// The database.
    pub db_id: DbId,
    /// Gives the salt of a new file. In production: from the operating system, afresh for each call.
    pub salts: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Finds the comparators of trees.
    pub comparators: Comparators,
}

impl fmt::Debug for ManifestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fs, dir, db_id, .. } = self;
        f.debug_struct("ManifestContext")
            .field("fs", fs)
            .field("dir", dir)
            .field("db_id", db_id)
            .finish_non_exhaustive()
    }
}

/// How a manifest is kept. None of this is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestOptions {
    /// Bytes of edits before which no new file is begun. Above that, one is begun when the edits are
    /// twice as long as the snapshot. Default: 64 KiB.
    pub rotate_len_min: u64,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self { rotate_len_min: 64 << 10 }
    }
}

/// The current version and the file that makes it durable. One owner installs edits.
///
/// Dropping it writes nothing: the manifest is then as after a crash. [`close`](Self::close) ends it
/// properly.
#[derive(Debug)]
pub struct Manifest {
    ctx: ManifestContext,
    options: ManifestOptions,
    set: VersionSet,
    log: Option<Log>,
    /// The generation of the file that was last known to be current.
    generation: u64,
    next_generation: u64,
    /// Other generations of which there may be a file or a marker.
    stale: BTreeSet<u64>,
    is_settled: bool,
    /// Whether a file that this process wrote may be current with an edit that is not installed.
    has_unknown: bool,
}

/// The current file, as long as it may be appended to.
#[derive(Debug)]
struct Log {
    file: Box<dyn File>,
    path: PathBuf,
    salt: u32,
    len: u64,
    sequence: u64,
    /// At this length a new file is begun.
    rotate_at: u64,
}

/// How far a new file came that did not come to be.
enum Failure {
    /// Its marker was not attempted: it is as if it had never been begun.
    Harmless(Error),
    /// It may be current after a restart.
    Unknown(Error),
}

impl Manifest {
    /// Begins a manifest where there is none, with an empty version.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if there is a marker, [`Error::Io`], [`Error::UnknownOutcome`].
    pub fn create(ctx: ManifestContext, options: ManifestOptions) -> Result<Self, Error> {
        let generations = Generations::list(&*ctx.fs, &ctx.dir)?;
        if let Some(generation) = generations.markers.last() {
            return Err(Error::AlreadyExists { generation: *generation });
        }
        let set = VersionSet::new(ctx.db_id, Arc::clone(&ctx.comparators));
        let mut manifest = Self::new(ctx, options, set, 0, generations.all);
        let version = Arc::clone(manifest.version());
        manifest.rotate(&version).map_err(|failure| match failure {
            Failure::Harmless(err) | Failure::Unknown(err) => err,
        })?;
        Ok(manifest)
    }

    /// Reads the current manifest. Writes nothing: the first edit does.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is no marker, or not the file that it names; and those of
    /// [`read_version`].
    pub fn open(
        ctx: ManifestContext,
        options: ManifestOptions,
        mode: RecoveryMode,
    ) -> Result<(Self, RecoveryReport), Error> {
        let mut generations = Generations::list(&*ctx.fs, &ctx.dir)?;
        let marker = generations.markers.last().copied();
        let missing = || Error::Missing { path: ctx.dir.join("MANIFEST.*") };
        let generation = marker.ok_or_else(missing)?;
        let path = ctx.dir.join(FileName::Manifest(generation).to_string());
        let read =
            ctx.fs.open(&path, Access::Read).and_then(|file| read_to_vec(&*file, usize::MAX));
        let bytes = read.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path: path.clone() },
            _ => Error::Io { op: "read", path: path.clone(), source },
        })?;
        let (set, mut report) =
            read_version(&bytes, generation, ctx.db_id, &ctx.comparators, mode)?;
        let next_generation = generations.all.last().copied();
        generations.all.remove(&generation);
        report.stale = generations.all.iter().copied().collect();
        let mut manifest = Self::new(ctx, options, set, generation, generations.all);
        manifest.next_generation = next_generation.unwrap_or(generation).saturating_add(1);
        // An end is written once every edit before it is synced, by whoever made this file current.
        manifest.is_settled = report.was_closed;
        Ok((manifest, report))
    }

    fn new(
        ctx: ManifestContext,
        options: ManifestOptions,
        set: VersionSet,
        generation: u64,
        stale: BTreeSet<u64>,
    ) -> Self {
        let next_generation = stale.last().map_or(1, |last| last.saturating_add(1));
        Self {
            ctx,
            options,
            set,
            log: None,
            generation,
            next_generation,
            stale,
            is_settled: false,
            has_unknown: false,
        }
    }

    /// The current version.
    pub const fn version(&self) -> &Arc<Version> {
        self.set.current()
    }

    /// The current version with its index.
    pub const fn version_set(&self) -> &VersionSet {
        &self.set
    }

    /// The generation of the current file.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether what is on disk is surely the current version. As long as it is not, no file may be
    /// removed because the version does not name it, and no log segment retired.
    ///
    /// It is not after an [`Error::UnknownOutcome`]; nor after an [`open`](Self::open) of one that was
    /// not [closed](Self::close), since the process before may have been killed between writing what
    /// was read and syncing it, and power may still fail. The next edit that succeeds settles it, or
    /// [`settle`](Self::settle).
    pub const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Applies an edit, durably, and returns the new version.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEdit`] and [`Error::UnknownComparator`] if the edit does not fit, and
    /// [`Error::Io`] if the disk failed before anything could be durable: the edit is not and will
    /// not be. [`Error::UnknownOutcome`] if it may be. Whatever the error, the current version stays.
    pub fn append(&mut self, edit: &VersionEdit) -> Result<Arc<Version>, Error> {
        let version = self.set.prepare(edit)?;
        let is_due = self.log.as_ref().is_none_or(|log| log.len >= log.rotate_at);
        if is_due {
            match self.rotate(&version) {
                Ok(()) => {}
                // The old file is as good as before. Not to be tried again at once.
                Err(Failure::Harmless(err)) => match &mut self.log {
                    Some(log) => {
                        log.rotate_at = log.len.saturating_mul(2);
                        self.append_to_log(edit)?;
                    }
                    None => return Err(err),
                },
                Err(Failure::Unknown(err)) => return Err(err),
            }
        } else {
            self.append_to_log(edit)?;
        }
        self.set.commit(edit, Arc::clone(&version));
        Ok(version)
    }

    /// Makes the current version surely the one on disk, if it is not, by a new file.
    pub fn settle(&mut self) -> Result<(), Error> {
        if self.is_settled {
            return Ok(());
        }
        let version = Arc::clone(self.version());
        self.rotate(&version).map_err(|failure| match failure {
            Failure::Harmless(err) | Failure::Unknown(err) => err,
        })
    }

    /// Ends the manifest: puts down, synced, that this was all. One that nothing was appended to stays
    /// as it was found.
    pub fn close(mut self) -> Result<(), Error> {
        if self.has_unknown {
            self.settle()?;
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let synced_len = log.len;
        let payload = [0; END_RECORD_LEN - Record::HEADER_LEN];
        let mut bytes = Vec::with_capacity(2 * END_RECORD_LEN);
        for sequence in [log.sequence, log.sequence + 1] {
            let record = Record { kind: RecordKind::End, sequence, synced_len, payload: &payload };
            record.encode_into(log.salt, &mut bytes);
        }
        let closed = log.file.write_all_at(&bytes, log.len).and_then(|()| log.file.sync_data());
        closed.map_err(|source| Error::Io { op: "close", path: log.path.clone(), source })
    }

    /// Appends to the current file.
    fn append_to_log(&mut self, edit: &VersionEdit) -> Result<(), Error> {
        let Some(log) = &mut self.log else { return Ok(()) };
        match log.append(edit) {
            Ok(()) => Ok(()),
            Err((op, source)) => {
                let path = log.path.clone();
                self.log = None;
                self.note_unknown();
                Err(Error::UnknownOutcome { op, path, source })
            }
        }
    }

    /// Begins a file with a snapshot of `version`, and makes it current.
    fn rotate(&mut self, version: &Version) -> Result<(), Failure> {
        let generation = self.next_generation;
        self.next_generation = generation.saturating_add(1);
        let path = self.path(FileName::Manifest(generation));
        let log = match self.write_snapshot(generation, &path, version) {
            Ok(log) => log,
            Err((op, source)) => {
                // No marker names it. If it cannot be removed now, it goes with the next rotation.
                if self.ctx.fs.remove_file(&path).is_err() {
                    self.stale.insert(generation);
                }
                return Err(Failure::Harmless(Error::Io { op, path, source }));
            }
        };
        // From here on the new file may be found current after a crash, whatever happens.
        self.stale.insert(generation);
        self.log = None;
        let marker = self.path(FileName::Marker(generation));
        let created = self.ctx.fs.create(&marker).map(drop);
        if let Err(source) = created.and_then(|()| self.ctx.fs.sync_dir(&self.ctx.dir)) {
            self.note_unknown();
            let err = Error::UnknownOutcome { op: "create", path: marker, source };
            return Err(Failure::Unknown(err));
        }
        self.stale.remove(&generation);
        self.stale.extend((self.generation > 0).then_some(self.generation));
        self.generation = generation;
        self.log = Some(log);
        self.is_settled = true;
        self.has_unknown = false;
        self.remove_stale();
        Ok(())
    }

    fn note_unknown(&mut self) {
        self.is_settled = false;
        self.has_unknown = true;
    }

    /// Writes and syncs a new file, name and all.
    fn write_snapshot(
        &self,
        generation: u64,
        path: &Path,
        version: &Version,
    ) -> Result<Log, (&'static str, io::Error)> {
        let salt = (self.ctx.salts)();
        let header = ManifestHeader { salt, db_id: self.ctx.db_id, generation };
        let mut bytes = header.encode().to_vec();
        let mut payload = Vec::new();
        version.to_edit().encode(&mut payload);
        let record =
            Record { kind: RecordKind::Snapshot, sequence: 0, synced_len: 0, payload: &payload };
        record.encode_into(salt, &mut bytes);

        let file = self.ctx.fs.create(path).map_err(|err| ("create", err))?;
        file.write_all_at(&bytes, 0).map_err(|err| ("write", err))?;
        file.sync_all().map_err(|err| ("sync", err))?;
        self.ctx.fs.sync_dir(&self.ctx.dir).map_err(|err| ("sync the directory of", err))?;
        let len = bytes.len() as u64;
        let edits_len = len.saturating_mul(2).max(self.options.rotate_len_min);
        let rotate_at = len.saturating_add(edits_len);
        Ok(Log { file, path: path.into(), salt, len, sequence: 1, rotate_at })
    }

    /// Removes what other generations have left, markers first. What cannot be removed now is tried
    /// again with the next rotation.
    fn remove_stale(&mut self) {
        let (fs, dir) = (&self.ctx.fs, &self.ctx.dir);
        self.stale.retain(|generation| {
            let names = [FileName::Marker(*generation), FileName::Manifest(*generation)];
            !names.into_iter().all(|name| {
                let removed = fs.remove_file(&dir.join(name.to_string()));
                removed.map_or_else(|err| err.kind() == io::ErrorKind::NotFound, |()| true)
            })
        });
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.ctx.dir.join(name.to_string())
    }
}

impl Log {
    fn append(&mut self, edit: &VersionEdit) -> Result<(), (&'static str, io::Error)> {
        let mut payload = Vec::new();
        edit.encode(&mut payload);
        let (sequence, synced_len) = (self.sequence, self.len);
        let record = Record { kind: RecordKind::Edit, sequence, synced_len, payload: &payload };
        let mut bytes = Vec::new();
        record.encode_into(self.salt, &mut bytes);
        self.file.write_all_at(&bytes, self.len).map_err(|err| ("write", err))?;
        self.file.sync_data().map_err(|err| ("sync", err))?;
        self.len += bytes.len() as u64;
        self.sequence += 1;
        Ok(())
    }
}

/// The generations of which there is something in a directory.
#[derive(Debug, Default)]
struct Generations {
    markers: BTreeSet<u64>,
    all: BTreeSet<u64>,
}

impl Generations {
    fn list(fs: &dyn Fs, dir: &Path) -> Result<Self, Error> {
        let listed = fs.list(dir);
        let listed = listed.map_err(|source| Error::Io { op: "list", path: dir.into(), source })?;
        let mut generations = Self::default();
        for name in listed.iter().filter_map(|entry| FileName::parse(entry.name.to_str()?)) {
            match name {
                FileName::Marker(generation) => {
                    generations.markers.insert(generation);
                    generations.all.insert(generation);
                }
                FileName::Manifest(generation) => {
                    generations.all.insert(generation);
                }
                _ => {}
            }
        }
        Ok(generations)
    }
}
