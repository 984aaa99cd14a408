//! redb 4.4, a copy-on-write B-tree: no LSM, but what reads are to be measured by.
//!
//! It has no put outside a transaction: puts are gathered and committed 1,000 at a time with
//! `Durability::None`. A scan commits what is gathered first; a get sees the last commit.
use pb_core::{Caps, Engine, Opts, Res};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use std::{
    path::Path,
    sync::{Mutex, RwLock},
};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("t");
const BATCH: usize = 1000;

/// A key and its new value, or none.
type Change = (Vec<u8>, Option<Vec<u8>>);

struct Redb {
    /// Alone for compaction, shared for everything else.
    db: RwLock<Database>,
    pending: Mutex<Vec<Change>>,
}

impl Redb {
    fn push(&self, change: Change) -> Res<()> {
        let mut pending = self.pending.lock().unwrap();
        pending.push(change);
        if pending.len() >= BATCH {
            self.commit(&mut pending, Durability::None)?;
        }
        Ok(())
    }
    fn commit(&self, pending: &mut Vec<Change>, durability: Durability) -> Res<()> {
        let mut transaction = self.db.read().unwrap().begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in pending.drain(..) {
                match value {
                    Some(value) => drop(table.insert(&key[..], &value[..])?),
                    None => drop(table.remove(&key[..])?),
                }
            }
        }
        Ok(transaction.commit()?)
    }
    fn commit_pending(&self) -> Res<()> {
        let mut pending = self.pending.lock().unwrap();
        match pending.is_empty() {
            true => Ok(()),
            false => self.commit(&mut pending, Durability::None),
        }
    }
}

impl Engine for Redb {
    const NAME: &'static str = "redb4";
    const VERSION: &'static str = "redb 4.4.0";
    const CAPS: Caps = Caps {
        delete_range: false,
        kv_sep: false,
        lz4: false,
        zstd: false,
        wal: false,
        durable: true,
        multi_get: false,
    };

    fn open(dir: &Path, o: &Opts) -> Res<Self> {
        let db = Database::builder()
            .set_cache_size(usize::try_from(o.cache_bytes)?)
            .create(dir.join("db.redb"))?;
        let this = Self { db: RwLock::new(db), pending: Mutex::default() };
        // So that the table is there for those who only read.
        this.commit(&mut Vec::new(), Durability::Immediate)?;
        Ok(this)
    }
    fn put(&self, k: &[u8], v: &[u8]) -> Res<()> {
        self.push((k.into(), Some(v.into())))
    }
    fn put_durable(&self, k: &[u8], v: &[u8]) -> Res<()> {
        self.commit(&mut vec![(k.into(), Some(v.into()))], Durability::Immediate)
    }
    fn delete(&self, k: &[u8]) -> Res<()> {
        self.push((k.into(), None))
    }
    fn get<R>(&self, k: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        let table = self.db.read().unwrap().begin_read()?.open_table(TABLE)?;
        Ok(table.get(k)?.map(|v| f(v.value())))
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        self.commit_pending()?;
        let table = self.db.read().unwrap().begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        for row in table.range(from..)?.take(n) {
            let (k, v) = row?;
            f(k.value(), v.value());
            count += 1;
        }
        Ok(count)
    }
    fn scan_rev(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        self.commit_pending()?;
        let table = self.db.read().unwrap().begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        for row in table.range(..=from)?.rev().take(n) {
            let (k, v) = row?;
            f(k.value(), v.value());
            count += 1;
        }
        Ok(count)
    }
    fn flush(&self) -> Res<()> {
        self.commit(&mut self.pending.lock().unwrap(), Durability::Immediate)
    }
    fn wait_idle(&self) -> Res<()> {
        self.flush()
    }
    fn compact_all(&self) -> Res<()> {
        self.flush()?;
        self.db.write().unwrap().compact()?;
        Ok(())
    }
    fn close(self) -> Res<()> {
        self.flush()
    }
}

fn main() {
    pb_core::child_main::<Redb>();
}
