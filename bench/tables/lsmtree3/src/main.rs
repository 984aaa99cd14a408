//! Tables of lsm-tree 3.1.10, alone: no tree.
use std::{path::Path, sync::Arc};

use lsm_tree as lsm;
use pb_tables::Comp;

include!("../../lsm_common.rs");

const NAME: &str = "lsmtree3";
const VERSION: &str = "lsm-tree 3.1.10";
const COMPS: &[Comp] = &[Comp::None, Comp::Lz4];
const MULTI_GET: bool = false;

fn zstd() -> CompressionType {
    unreachable!("not in COMPS")
}

fn writer(path: &Path, id: u64) -> lsm::Result<Writer> {
    Writer::new(path.to_owned(), id, 6)
}

fn new_cache(capacity: u64) -> Cache {
    Cache::with_capacity_bytes(capacity)
}

fn recover(path: &Path, _: u64, cache: Arc<Cache>) -> lsm::Result<Table> {
    // Another id of a tree each time, because ids are what the cache knows blocks by.
    Table::recover(path.to_owned(), Checksum::from_raw(0), 0, next_tree(), cache, None, true, true)
}

fn hash(key: &[u8]) -> u64 {
    lsm::table::filter::standard_bloom::Builder::get_hash(key)
}

fn multi_get(_: &Table, _: &[&[u8]], _: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
    unreachable!("not MULTI_GET")
}
