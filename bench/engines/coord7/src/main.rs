//! coordinode-lsm-tree 7.4.0 (no log, no threads of its own; its row cache is on, as it ships it).
use coord7 as lsm;
include!("../../lsm_common.rs");

const NAME: &str = "coord7";
const VERSION: &str = "coordinode-lsm-tree 7.4.0";
const CAPS: Caps = Caps {
    delete_range: true,
    kv_sep: true,
    lz4: true,
    zstd: true,
    wal: false,
    durable: false,
    multi_get: false,
};
const MAX: SeqNo = lsm::MAX_SEQNO;

fn zstd_type() -> CompressionType {
    CompressionType::zstd(3).expect("a level there is")
}
fn blob_compression(c: Config, t: CompressionType) -> Config {
    c.blob_compression(t)
}
fn step(t: &AnyTree, s: &Arc<Leveled>, seq: SeqNo) -> Res<bool> {
    let done = t.compact(s.clone(), seq)?;
    Ok(!matches!(done.action, lsm::compaction::CompactionAction::Nothing))
}
fn remove_range(t: &AnyTree, lo: &[u8], hi: &[u8], seq: SeqNo) {
    t.remove_range(lo, hi, seq);
}
#[inline]
fn get_impl<R>(t: &AnyTree, k: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
    Ok(t.get_pinned(k, MAX)?.map(|v| f(v.as_ref())))
}
