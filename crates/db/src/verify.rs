use std::{io, path::PathBuf};

use stratal_fs::{Access, read_to_vec};
use stratal_manifest::{FileName, RecoveryMode, TableMeta, read_version};
use stratal_sst::{FileSource, Table, TableContext};
use stratal_types::{
    comparator_named,
    sync::{Arc, atomic::Ordering},
};
use stratal_wal::{Replay, WalContext};

use crate::{
    Error,
    inner::{Core, Inner},
    record,
};

/// What [`Database::verify`](crate::Database::verify) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files read.
    pub files: u64,
    /// Blocks of tables, records of the log, and edits of the manifest read.
    pub blocks: u64,
    /// Everything that is wrong.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty()
    }
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where it begins, in bytes; 0 if that cannot be told.
    pub offset: u64,
    /// What should be there: a sort of block, `log`, `manifest` or `file`.
    pub kind: String,
    /// What is wrong.
    pub verdict: String,
    /// Keys behind this one cannot be read for it; `None` if it costs no keys, or from the first on.
    pub from_key: Option<Vec<u8>>,
    /// Keys up to and with this one cannot be read for it; `None` if it costs no keys, or to the last.
    pub to_key: Option<Vec<u8>>,
}

impl Damage {
    fn of(kind: &str, error: Error) -> Result<Self, Error> {
        let (file, offset, verdict) = match error {
            Error::Corruption { file, offset, what } => (file, offset, what),
            Error::Missing { file } => (file, 0, "it is missing".into()),
            error => return Err(error),
        };
        Ok(Self { file, offset, kind: kind.into(), verdict, from_key: None, to_key: None })
    }
}

impl Inner {
    pub(crate) fn verify(&self) -> Result<VerifyReport, Error> {
        let mut report = VerifyReport::default();
        self.verify_identity(&mut report)?;
        self.verify_manifest(&mut report)?;
        self.verify_log(&mut report)?;
        for core in self.cores().iter().filter(|core| !core.is_dropped()) {
            self.verify_keyspace(core, &mut report)?;
        }
        Ok(report)
    }

    fn verify_identity(&self, report: &mut VerifyReport) -> Result<(), Error> {
        let read = stratal_engine::identity::read(self.fs.as_ref(), &self.dir);
        let file = self.dir.join(FileName::Identity.to_string());
        report.files += 1;
        let error = match read {
            Ok(Some(found)) if found == self.store.db_id() => return Ok(()),
            Ok(Some(_)) => Error::corruption(file, 0, "it is that of another database"),
            Ok(None) => Error::Missing { file },
            Err(error) => self.engine_error(error),
        };
        report.damage.push(Damage::of("file", error)?);
        Ok(())
    }

    fn verify_manifest(&self, report: &mut VerifyReport) -> Result<(), Error> {
        // It may be replaced while it is read.
        let mut result = Ok(0);
        for _ in 0..3 {
            result = self.read_manifest();
            if result.is_ok() {
                break;
            }
        }
        report.files += 1;
        match result {
            Ok(edits) => report.blocks += edits,
            Err(error) => report.damage.push(Damage::of("manifest", error)?),
        }
        Ok(())
    }

    fn read_manifest(&self) -> Result<u64, Error> {
        let entries = self.fs.list(&self.dir);
        let entries = entries.map_err(|error| Error::io("list", &self.dir, error))?;
        let names = entries.iter().filter_map(|entry| FileName::parse(entry.name.to_str()?));
        let current = names.filter_map(|name| match name {
            FileName::Marker(generation) => Some(generation),
            _ => None,
        });
        let missing = || Error::Missing { file: self.dir.join("MANIFEST.*") };
        let generation = current.max().ok_or_else(missing)?;
        let path = self.dir.join(FileName::Manifest(generation).to_string());
        let read =
            self.fs.open(&path, Access::Read).and_then(|file| read_to_vec(&*file, usize::MAX));
        let bytes = read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing { file: path.clone() },
            _ => Error::io("read", &path, error),
        })?;
        let comparators: stratal_manifest::Comparators = Arc::new(comparator_named);
        let db_id = self.store.db_id();
        let read = read_version(&bytes, generation, db_id, &comparators, RecoveryMode::Tail);
        let (_, report) = read.map_err(|error| Error::of_manifest(error, &self.dir))?;
        Ok(report.edits + 1)
    }

    fn verify_log(&self, report: &mut VerifyReport) -> Result<(), Error> {
        // While it is written to, what is read may look damaged. Then once more, with writers waiting.
        let result = self.read_log().or_else(|_| {
            let _log = self.log.lock();
            self.read_log()
        });
        match result {
            Ok((segments, records)) => {
                report.files += segments;
                report.blocks += records;
            }
            Err(error) => {
                report.files += 1;
                report.damage.push(Damage::of("log", error)?);
            }
        }
        Ok(())
    }

    fn read_log(&self) -> Result<(u64, u64), Error> {
        let fail = |error| self.wal_error(error);
        let context = WalContext {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            db_id: self.store.db_id(),
            // Nothing is written.
            salts: Arc::new(|| 0),
        };
        let mut replay = Replay::open(context, self.floor.load(Ordering::Acquire)).map_err(fail)?;
        while let Some(found) = replay.next_record().map_err(fail)? {
            if let Err(error) = record::decode(found.payload) {
                let file = self.dir.join(stratal_wal::segment_file_name(found.segment));
                return Err(Error::corruption(file, 0, error));
            }
        }
        self.check_log_end(&replay)?;
        let report = replay.finish().map_err(fail)?;
        Ok((report.segments, report.groups))
    }

    fn verify_keyspace(&self, core: &Core, report: &mut VerifyReport) -> Result<(), Error> {
        // Keeps the files while they are read.
        let rows = core.tree.range::<&[u8]>(..);
        let version = core.tree.version();
        for (_, meta) in version.tables() {
            report.files += 1;
            if let Err(error) = self.verify_table(core, meta, report) {
                report.damage.push(Damage::of("file", error)?);
            }
        }
        drop(rows);
        Ok(())
    }

    fn verify_table(
        &self,
        core: &Core,
        meta: &TableMeta,
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        let path = self.dir.join(FileName::Table(meta.number).to_string());
        let source = FileSource::reopened(self.store.open_files(), &self.fs, &path);
        let source = source.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing { file: path.clone() },
            _ => Error::io("open", &path, error),
        })?;
        let context = TableContext {
            comparator: Arc::clone(core.tree.comparator()),
            // Verification reads around the cache.
            cache: Arc::new(stratal_cache::Cache::new(1 << 20)),
            ..TableContext::default()
        };
        let fail = |error| Error::of_table(error, path.clone());
        let table = Table::open(&context, Arc::new(source)).map_err(fail)?;
        let info = table.info();
        if info.uid != meta.uid || info.file_len != meta.file_len {
            let what = "it is another file than the manifest names";
            return Err(Error::corruption(path, 0, what));
        }
        let found = table.verify().map_err(fail)?;
        report.blocks += found.blocks;
        report.damage.extend(found.healed.iter().map(|healed| Damage {
            file: path.clone(),
            offset: healed.offset,
            kind: healed.kind.into(),
            verdict: "damaged, and repaired whenever it is read".into(),
            from_key: None,
            to_key: None,
        }));
        report.damage.extend(found.damage.into_iter().map(|damage| {
            let (from_key, to_key) = damage.keys.unwrap_or_default();
            Damage {
                file: path.clone(),
                offset: damage.offset,
                kind: damage.kind.into(),
                verdict: damage.error.to_string(),
                from_key,
                to_key,
            }
        }));
        Ok(())
    }
}
