use std::path::Path;

use pb_core::{Comp, Res};

/// Blocks of 4 KiB and filters of 10 bits per key, everywhere.
///
/// Calls are monomorphised, and hand out borrowed bytes: an adapter takes the cheapest public call.
pub trait Table: Sized {
    const NAME: &'static str;
    const VERSION: &'static str;
    /// The compressions it can do.
    const COMPS: &'static [Comp];
    /// Whether it has a call for many keys at once.
    const MULTI_GET: bool = false;

    /// A cache of blocks that tables share.
    type Cache;
    /// What is kept from one seek to the next.
    type Seeker<'a>
    where
        Self: 'a;

    fn cache(capacity: u64) -> Self::Cache;

    /// Writes `rows`, which ascend, to a new file and syncs it. `id` is another for each file of a
    /// process.
    fn write<'a>(
        path: &Path,
        id: u64,
        comp: Comp,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Res<()>;

    /// Opens a table that `write` has made. Nothing of it is in the cache then, also if it was open
    /// before with the same cache.
    fn open(path: &Path, id: u64, cache: &Self::Cache) -> Res<Self>;

    fn get<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>>;

    fn seeker(&self) -> Self::Seeker<'_>;

    /// The first row at or behind `key`.
    fn seek<R>(
        seeker: &mut Self::Seeker<'_>,
        key: &[u8],
        f: impl FnOnce(&[u8], &[u8]) -> R,
    ) -> Res<Option<R>>;

    /// All rows, ascending, through the cache.
    fn forward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()>;

    /// All rows, descending, through the cache.
    fn backward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()>;

    /// All rows, ascending, by whatever way is meant for reading a table once.
    fn forward_once(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        self.forward(f)
    }

    /// `f` is told of each key by its place in `keys`, which are distinct and in no order. Called
    /// only if [`MULTI_GET`](Self::MULTI_GET).
    fn multi_get(&self, _keys: &[&[u8]], _f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        Err("it has no call for many keys".into())
    }
}
