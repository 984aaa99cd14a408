// Shared by the adapters of lsm-tree and its forks, whose tables have the same calls. Included, not
// linked: their crates are distinct types. The including file names the crate `lsm` and says how a
// table is written, cached, opened and hashed.
//
// Index and filter are pinned, which is the faster of two ways.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lsm::{
    Cache, Checksum, CompressionType, InternalValue, SeqNo, Slice, Table, ValueType,
    config::BloomConstructionPolicy, table::writer::Writer,
};
use pb_tables::Res;

struct Lsm(Table);

/// Sees every version.
const NEWEST: SeqNo = SeqNo::MAX >> 1;

fn next_tree() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

impl pb_tables::Table for Lsm {
    const NAME: &'static str = NAME;
    const VERSION: &'static str = VERSION;
    const COMPS: &'static [Comp] = COMPS;
    const MULTI_GET: bool = MULTI_GET;

    type Cache = Arc<Cache>;
    type Seeker<'a> = &'a Table;

    fn cache(capacity: u64) -> Arc<Cache> {
        Arc::new(new_cache(capacity))
    }

    fn write<'a>(
        path: &Path,
        id: u64,
        comp: Comp,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Res<()> {
        let compression = match comp {
            Comp::None => CompressionType::None,
            Comp::Lz4 => CompressionType::Lz4,
            Comp::Zstd => zstd(),
        };
        let mut writer = writer(path, id)?
            .use_data_block_size(4096)
            .use_data_block_compression(compression)
            .use_bloom_policy(BloomConstructionPolicy::BitsPerKey(10.0));
        for (key, value) in rows {
            writer.write(InternalValue::from_components(key, value, 0, ValueType::Value))?;
        }
        // Syncs.
        writer.finish()?;
        Ok(())
    }

    fn open(path: &Path, id: u64, cache: &Arc<Cache>) -> Res<Self> {
        Ok(Self(recover(path, id, cache.clone())?))
    }

    #[inline]
    fn get<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        Ok(self.0.get(key, NEWEST, hash(key))?.map(|row| f(&row.value)))
    }

    fn seeker(&self) -> &Table {
        &self.0
    }

    /// Its iterators do not move elsewhere: each seek is another.
    #[inline]
    fn seek<R>(
        table: &mut &Table,
        key: &[u8],
        f: impl FnOnce(&[u8], &[u8]) -> R,
    ) -> Res<Option<R>> {
        let row = table.range(Slice::from(key)..).next().transpose()?;
        Ok(row.map(|row| f(&row.key.user_key, &row.value)))
    }

    fn forward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        for row in self.0.iter() {
            let row = row?;
            f(&row.key.user_key, &row.value);
        }
        Ok(())
    }

    fn backward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        for row in self.0.iter().rev() {
            let row = row?;
            f(&row.key.user_key, &row.value);
        }
        Ok(())
    }

    /// What its compactions read with.
    fn forward_once(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        for row in self.0.scan()? {
            let row = row?;
            f(&row.key.user_key, &row.value);
        }
        Ok(())
    }

    fn multi_get(&self, keys: &[&[u8]], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        multi_get(&self.0, keys, f)
    }
}

fn main() {
    pb_tables::child_main::<Lsm>();
}
