//! The durable database: log with the system per put, never synced per put; one thread each for
//! flushes, merges and the log.
use pb_core::{Caps, Comp, Engine, Info, Opts, Res};
use std::path::Path;
use stratal::{Database, Durability, Keyspace, KeyspaceOptions, TreeOptions};
use stratal_block::Compression;
use stratal_filter::FilterSize;
use stratal_sst::TableOptions;

struct Stratal {
    db: Database,
    ks: Keyspace,
    durability: Durability,
}

fn compression(comp: Comp) -> Compression {
    match comp {
        Comp::None => Compression::None,
        Comp::Lz4 => Compression::Lz4,
        Comp::Zstd => Compression::Zstd { level: 3 },
    }
}

impl Engine for Stratal {
    const NAME: &'static str = "stratal";
    const VERSION: &'static str = concat!("stratal ", env!("CARGO_PKG_VERSION"));
    const CAPS: Caps = Caps { delete_range: true, kv_sep: false, lz4: true, zstd: true, wal: true };

    fn open(dir: &Path, o: &Opts) -> Res<Self> {
        let table = TableOptions {
            compression: compression(o.comp),
            block_len_target: o.block_bytes.try_into()?,
            filter: Some(FilterSize::BitsPerKey(o.filter_bits.into()).into()),
            ..TableOptions::default()
        };
        let options = TreeOptions {
            write_buffer_len: usize::try_from(o.memtable_bytes)?,
            table,
            // The others compress every level when asked to.
            compress_from_level: 0,
            ..TreeOptions::default()
        };
        // Half of it is the cache's.
        let db = Database::builder(dir.join("db"))
            .memory_budget(2 * o.cache_bytes)
            .tree_options(options)
            .open()?;
        let ks = db.keyspace("t", KeyspaceOptions::default())?;
        // Without a log there is no such thing as this engine; the nearest is one that buffers.
        let durability = if o.wal { Durability::Os } else { Durability::Memory };
        Ok(Self { db, ks, durability })
    }
    #[inline]
    fn put(&self, k: &[u8], v: &[u8]) -> Res<()> {
        let mut batch = self.db.batch();
        batch.durability(self.durability).put(&self.ks, k, v);
        batch.commit()?;
        Ok(())
    }
    fn delete(&self, k: &[u8]) -> Res<()> {
        self.ks.delete(k)?;
        Ok(())
    }
    fn delete_range(&self, lo: &[u8], hi: &[u8]) -> Res<()> {
        self.ks.delete_range(lo, hi)?;
        Ok(())
    }
    #[inline]
    fn get<R>(&self, k: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        Ok(self.ks.get(k)?.map(|v| f(&v)))
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut count = 0;
        for row in self.ks.range(from..)?.take(n) {
            let (k, v) = row?;
            f(&k, &v);
            count += 1;
        }
        Ok(count)
    }
    fn scan_rev(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut count = 0;
        for row in self.ks.range(..=from)?.rev().take(n) {
            let (k, v) = row?;
            f(&k, &v);
            count += 1;
        }
        Ok(count)
    }
    fn flush(&self) -> Res<()> {
        Ok(self.db.flush()?)
    }
    fn wait_idle(&self) -> Res<()> {
        self.db.flush()?;
        Ok(self.db.wait_idle()?)
    }
    fn compact_all(&self) -> Res<()> {
        Ok(self.db.compact()?)
    }
    fn info(&self) -> Info {
        let levels = self.ks.stats().levels;
        let shape: Vec<_> = levels.iter().map(|l| format!("{}/{}", l.runs, l.tables)).collect();
        Info { filter_bytes: None, shape: format!("runs/tables by level {}", shape.join(" ")) }
    }
    fn close(self) -> Res<()> {
        self.db.flush()?;
        drop(self.ks);
        Ok(self.db.close()?)
    }
}

fn main() {
    pb_core::child_main::<Stratal>();
}
