//! The durable database: log with the system per put, never synced per put; one thread each for
//! flushes, merges and the log.
use pb_core::{Caps, Engine, Info, Key};
use std::path::Path;
use stratal::{Database, Durability, Keyspace, KeyspaceOptions, TreeOptions, TreeStats};
include!("../../stratal_common.rs");

struct Stratal {
    db: Database,
    ks: Keyspace,
    durability: Durability,
}

impl Stratal {
    #[inline]
    fn put_at(&self, durability: Durability, k: &[u8], v: &[u8]) -> Res<()> {
        let mut batch = self.db.batch();
        batch.durability(durability).put(&self.ks, k, v);
        batch.commit()?;
        Ok(())
    }
}

impl Engine for Stratal {
    const NAME: &'static str = "stratal";
    const VERSION: &'static str = concat!("stratal ", env!("CARGO_PKG_VERSION"));
    const CAPS: Caps = Caps {
        delete_range: true,
        kv_sep: false,
        lz4: true,
        zstd: true,
        wal: true,
        durable: true,
        multi_get: true,
    };

    fn open(dir: &Path, o: &Opts) -> Res<Self> {
        // Half of it is the cache's.
        let db = Database::builder(dir.join("db"))
            .memory_budget(2 * o.cache_bytes)
            .tree_options(tree_options(o)?)
            .background_nice(u8::try_from(o.args.num("nice", 0))?)
            .open()?;
        let ks = db.keyspace("t", KeyspaceOptions::default())?;
        // Without a log there is no such thing as this engine; the nearest is one that buffers.
        let durability = if o.wal { Durability::Os } else { Durability::Memory };
        Ok(Self { db, ks, durability })
    }
    #[inline]
    fn put(&self, k: &[u8], v: &[u8]) -> Res<()> {
        self.put_at(self.durability, k, v)
    }
    fn put_durable(&self, k: &[u8], v: &[u8]) -> Res<()> {
        self.put_at(Durability::Sync, k, v)
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
    fn multi_get(&self, keys: &[Key], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        for (at, value) in self.ks.multi_get(keys)?.iter().enumerate() {
            f(at, value.as_deref());
        }
        Ok(())
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = self.ks.cursor(from..)?;
        rows.seek_to_first()?;
        let mut count = 0;
        while let Some((k, v)) = rows.row()? {
            f(k, v);
            count += 1;
            if count == n {
                break;
            }
            rows.advance()?;
        }
        Ok(count)
    }
    fn scan_rev(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = self.ks.cursor(..=from)?;
        rows.seek_to_last()?;
        let mut count = 0;
        while let Some((k, v)) = rows.row()? {
            f(k, v);
            count += 1;
            if count == n {
                break;
            }
            rows.retreat()?;
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
        Info { filter_bytes: None, shape: shape(&self.ks.stats()) }
    }
    fn amplification(&self) -> Option<Amplification> {
        Some(amplification_of(&self.ks.stats()))
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
