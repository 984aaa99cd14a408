//! The part of `rocksdb/c.h` (RocksDB 7.8) that the adapter calls.
use std::ffi::{c_char, c_double, c_int, c_uchar};

macro_rules! opaque {
    ($($name:ident)*) => { $(#[repr(C)] pub struct $name { _private: [u8; 0] })* };
}

opaque!(Db Options Table Cache Filter Read Write Flush Compact Batch Iterator Pinned Family);

/// Set to a message, for `rocksdb_free`, by calls that fail.
pub type Err = *mut *mut c_char;
type Text = *const c_char;

#[link(name = "rocksdb")]
unsafe extern "C" {
    pub fn rocksdb_options_create() -> *mut Options;
    pub fn rocksdb_options_destroy(o: *mut Options);
    pub fn rocksdb_options_set_create_if_missing(o: *mut Options, on: c_uchar);
    pub fn rocksdb_options_set_write_buffer_size(o: *mut Options, bytes: usize);
    pub fn rocksdb_options_set_compression(o: *mut Options, kind: c_int);
    pub fn rocksdb_options_set_max_background_jobs(o: *mut Options, jobs: c_int);
    pub fn rocksdb_options_set_block_based_table_factory(o: *mut Options, t: *mut Table);
    pub fn rocksdb_options_set_enable_blob_files(o: *mut Options, on: c_uchar);
    pub fn rocksdb_options_set_min_blob_size(o: *mut Options, bytes: u64);
    pub fn rocksdb_options_set_blob_file_size(o: *mut Options, bytes: u64);
    pub fn rocksdb_options_set_blob_compression_type(o: *mut Options, kind: c_int);
    pub fn rocksdb_options_set_enable_blob_gc(o: *mut Options, on: c_uchar);
    pub fn rocksdb_options_set_blob_cache(o: *mut Options, cache: *mut Cache);

    pub fn rocksdb_block_based_options_create() -> *mut Table;
    pub fn rocksdb_block_based_options_destroy(t: *mut Table);
    pub fn rocksdb_block_based_options_set_block_size(t: *mut Table, bytes: usize);
    pub fn rocksdb_block_based_options_set_block_cache(t: *mut Table, cache: *mut Cache);
    /// Takes the filter over.
    pub fn rocksdb_block_based_options_set_filter_policy(t: *mut Table, filter: *mut Filter);
    pub fn rocksdb_filterpolicy_create_bloom_full(bits: c_double) -> *mut Filter;
    pub fn rocksdb_cache_create_lru(bytes: usize) -> *mut Cache;
    pub fn rocksdb_cache_destroy(cache: *mut Cache);

    pub fn rocksdb_open_column_families(
        o: *const Options,
        path: Text,
        count: c_int,
        names: *const Text,
        options: *const *const Options,
        families: *mut *mut Family,
        err: Err,
    ) -> *mut Db;
    pub fn rocksdb_close(db: *mut Db);

    pub fn rocksdb_writeoptions_create() -> *mut Write;
    pub fn rocksdb_writeoptions_destroy(w: *mut Write);
    pub fn rocksdb_writeoptions_set_sync(w: *mut Write, on: c_uchar);
    pub fn rocksdb_writeoptions_disable_WAL(w: *mut Write, off: c_int);
    pub fn rocksdb_put(
        db: *mut Db,
        w: *const Write,
        k: Text,
        k_len: usize,
        v: Text,
        v_len: usize,
        err: Err,
    );
    pub fn rocksdb_delete(db: *mut Db, w: *const Write, k: Text, k_len: usize, err: Err);
    pub fn rocksdb_write(db: *mut Db, w: *const Write, batch: *mut Batch, err: Err);
    pub fn rocksdb_writebatch_create() -> *mut Batch;
    pub fn rocksdb_writebatch_destroy(batch: *mut Batch);
    pub fn rocksdb_writebatch_delete_range(
        batch: *mut Batch,
        lo: Text,
        lo_len: usize,
        hi: Text,
        hi_len: usize,
    );

    pub fn rocksdb_readoptions_create() -> *mut Read;
    pub fn rocksdb_readoptions_destroy(r: *mut Read);
    pub fn rocksdb_get_pinned(
        db: *mut Db,
        r: *const Read,
        k: Text,
        k_len: usize,
        err: Err,
    ) -> *mut Pinned;
    pub fn rocksdb_column_family_handle_destroy(family: *mut Family);
    pub fn rocksdb_batched_multi_get_cf(
        db: *mut Db,
        r: *const Read,
        family: *mut Family,
        count: usize,
        keys: *const Text,
        key_lens: *const usize,
        values: *mut *mut Pinned,
        errors: *mut *mut c_char,
        is_sorted: bool,
    );
    pub fn rocksdb_pinnableslice_value(v: *const Pinned, len: *mut usize) -> Text;
    pub fn rocksdb_pinnableslice_destroy(v: *mut Pinned);

    pub fn rocksdb_create_iterator(db: *mut Db, r: *const Read) -> *mut Iterator;
    pub fn rocksdb_iter_destroy(i: *mut Iterator);
    pub fn rocksdb_iter_valid(i: *const Iterator) -> c_uchar;
    pub fn rocksdb_iter_seek(i: *mut Iterator, k: Text, k_len: usize);
    pub fn rocksdb_iter_seek_for_prev(i: *mut Iterator, k: Text, k_len: usize);
    pub fn rocksdb_iter_next(i: *mut Iterator);
    pub fn rocksdb_iter_prev(i: *mut Iterator);
    pub fn rocksdb_iter_key(i: *const Iterator, len: *mut usize) -> Text;
    pub fn rocksdb_iter_value(i: *const Iterator, len: *mut usize) -> Text;
    pub fn rocksdb_iter_get_error(i: *const Iterator, err: Err);

    pub fn rocksdb_flushoptions_create() -> *mut Flush;
    pub fn rocksdb_flushoptions_destroy(f: *mut Flush);
    pub fn rocksdb_flush(db: *mut Db, f: *const Flush, err: Err);
    pub fn rocksdb_compactoptions_create() -> *mut Compact;
    pub fn rocksdb_compactoptions_destroy(c: *mut Compact);
    pub fn rocksdb_compactoptions_set_bottommost_level_compaction(c: *mut Compact, how: c_uchar);
    pub fn rocksdb_compact_range_opt(
        db: *mut Db,
        c: *mut Compact,
        lo: Text,
        lo_len: usize,
        hi: Text,
        hi_len: usize,
    );
    pub fn rocksdb_property_value(db: *mut Db, name: Text) -> *mut c_char;
    pub fn rocksdb_free(at: *mut std::ffi::c_void);
}
