//! Tables of coordinode-lsm-tree 7.4.0, alone: no tree.
use std::{path::Path, sync::Arc};

use coord7 as lsm;
use lsm::{SharedComparator, fs::StdFs, table::RecoverParams};
use pb_tables::Comp;

include!("../../lsm_common.rs");

const NAME: &str = "coord7";
const VERSION: &str = "coordinode-lsm-tree 7.4.0";
const COMPS: &[Comp] = &[Comp::None, Comp::Lz4, Comp::Zstd];
const MULTI_GET: bool = true;

fn zstd() -> CompressionType {
    CompressionType::Zstd(3)
}

fn writer(path: &Path, id: u64) -> lsm::Result<Writer> {
    Writer::new(path.to_owned(), id, 6, Arc::new(StdFs))
}

/// Its default keeps rows it has answered with; here it does so when asked to.
fn new_cache(capacity: u64) -> Cache {
    let keep_rows = std::env::args().any(|arg| arg == "--row-cache=1");
    Cache::with_capacity_bytes(capacity).with_row_cache(keep_rows)
}

fn recover(path: &Path, id: u64, cache: Arc<Cache>) -> lsm::Result<Table> {
    let comparator: SharedComparator = Arc::new(lsm::DefaultUserComparator);
    let params = RecoverParams::new(
        path.to_owned(),
        Checksum::from_raw(0),
        id,
        Arc::new(StdFs),
        comparator,
        cache,
    );
    // Another id of a tree each time, because ids are what the cache knows blocks by.
    Table::recover(RecoverParams {
        tree_id: next_tree(),
        pin_filter: true,
        pin_index: true,
        ..params
    })
}

fn hash(key: &[u8]) -> u64 {
    lsm::hash::hash64(key)
}

/// It wants keys sorted, and so sorting them is part of it.
fn multi_get(table: &Table, keys: &[&[u8]], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_unstable_by_key(|&i| keys[i]);
    let sorted: Vec<(&[u8], u64)> = order.iter().map(|&i| (keys[i], hash(keys[i]))).collect();
    for (i, row) in order.into_iter().zip(table.batch_get(&sorted, NEWEST)?) {
        f(i, row.as_ref().map(|row| &row.value[..]));
    }
    Ok(())
}
