//! `stratal-sst`, alone: no engine.
use std::{path::Path, sync::Arc};

use pb_tables::{Comp, Res};
use stratal_block::Compression;
use stratal_cache::Cache;
use stratal_fs::{Access, Fs as _, NewFile, StdFs};
use stratal_sst::{
    FileSource, Partitioning, Table, TableContext, TableCursor, TableOptions, TableWriter,
};
use stratal_types::{Cursor as _, FileUid, SeqNo};

struct Stratal(Table);

impl pb_tables::Table for Stratal {
    const NAME: &'static str = "stratal";
    const VERSION: &'static str = concat!("stratal-sst ", env!("CARGO_PKG_VERSION"));
    const COMPS: &'static [Comp] = &[Comp::None, Comp::Lz4, Comp::Zstd];
    const MULTI_GET: bool = true;

    type Cache = TableContext;
    type Seeker<'a> = TableCursor;

    fn cache(capacity: u64) -> TableContext {
        TableContext { cache: Arc::new(Cache::new(capacity)), ..TableContext::default() }
    }

    fn write<'a>(
        path: &Path,
        id: u64,
        comp: Comp,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Res<()> {
        let compression = match comp {
            Comp::None => Compression::None,
            Comp::Lz4 => Compression::Lz4,
            Comp::Zstd => Compression::Zstd { level: 3 },
        };
        // By default it depends on the number of keys, and a million are not enough.
        let partitioning = match std::env::args().any(|arg| arg == "--divided=1") {
            true => Partitioning::Always,
            false => Partitioning::default(),
        };
        let options = TableOptions { compression, partitioning, ..TableOptions::default() };
        let spec = Arc::new(options.validate()?);
        let sink = NewFile::create(&StdFs, path)?;
        let uid = FileUid(u128::from(id).to_le_bytes());
        let mut writer = TableWriter::new(&TableContext::default(), sink, uid, spec)?;
        for (key, value) in rows {
            writer.put(key, value)?;
        }
        // The file is synced; its name, as everywhere here, is not.
        let _synced = writer.finish()?.sink.finish()?;
        Ok(())
    }

    fn open(path: &Path, _: u64, cache: &TableContext) -> Res<Self> {
        let file = StdFs.open(path, Access::Read)?;
        Ok(Self(Table::open(cache, Arc::new(FileSource::new(file)?))?))
    }

    #[inline]
    fn get<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        Ok(self.0.get(key)?.map(|value| f(&value)))
    }

    fn seeker(&self) -> TableCursor {
        self.0.cursor()
    }

    #[inline]
    fn seek<R>(
        cursor: &mut TableCursor,
        key: &[u8],
        f: impl FnOnce(&[u8], &[u8]) -> R,
    ) -> Res<Option<R>> {
        cursor.seek(key, SeqNo::MAX)?;
        Ok(cursor.entry().map(|entry| f(entry.key, entry.value)))
    }

    fn forward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        walk(self.0.cursor(), f)
    }

    fn forward_once(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        walk(self.0.scanner(), f)
    }

    fn backward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        let mut cursor = self.0.cursor();
        cursor.seek_to_last()?;
        while let Some(entry) = cursor.entry() {
            f(entry.key, entry.value);
            cursor.retreat()?;
        }
        Ok(())
    }

    fn multi_get(&self, keys: &[&[u8]], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        for (i, value) in self.0.multi_get(keys)?.iter().enumerate() {
            f(i, value.as_deref());
        }
        Ok(())
    }
}

fn walk(mut cursor: TableCursor, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
    cursor.seek_to_first()?;
    while let Some(entry) = cursor.entry() {
        f(entry.key, entry.value);
        cursor.advance()?;
    }
    Ok(())
}

fn main() {
    pb_tables::child_main::<Stratal>();
}
