//! RocksDB of the system (Debian's 7.8), through its C interface. Everything that `Opts` does not
//! name is as it ships it.
mod sys;

use pb_core::{Caps, Comp, Engine, Info, Key, Opts, Res};
use std::{
    ffi::{CStr, CString, c_char, c_int},
    path::Path,
    ptr, slice,
    time::{Duration, Instant},
};

/// Owns every pointer, and frees it once, after the database is closed. RocksDB's calls may be made
/// from any thread, on the database and with options that nobody changes.
struct Rocks {
    db: *mut sys::Db,
    options: *mut sys::Options,
    table: *mut sys::Table,
    cache: *mut sys::Cache,
    family: *mut sys::Family,
    read: *mut sys::Read,
    write: *mut sys::Write,
    /// Waits for the log to be synced.
    write_synced: *mut sys::Write,
}

// SAFETY: see the type.
unsafe impl Send for Rocks {}
// SAFETY: see the type.
unsafe impl Sync for Rocks {}

fn comp(c: Comp) -> c_int {
    match c {
        Comp::None => 0,
        Comp::Lz4 => 4,
        Comp::Zstd => 7,
    }
}

fn text(bytes: &[u8]) -> *const c_char {
    bytes.as_ptr().cast()
}

/// Makes a call that may fail with a message.
fn tried<R>(call: impl FnOnce(sys::Err) -> R) -> Res<R> {
    let mut error = ptr::null_mut();
    let result = call(&mut error);
    if error.is_null() {
        return Ok(result);
    }
    // SAFETY: the message is a C string, which is ours to free.
    let message = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: as above, and it is not used again.
    unsafe { sys::rocksdb_free(error.cast()) };
    Err(message.into())
}

/// An iterator of the database, freed when dropped.
struct Iter(*mut sys::Iterator);

impl Iter {
    fn new(rocks: &Rocks) -> Self {
        // SAFETY: both are open as long as `rocks` is, and the iterator is dropped before.
        Self(unsafe { sys::rocksdb_create_iterator(rocks.db, rocks.read) })
    }
    /// Up to `n` rows from where it stands.
    fn rows(
        &mut self,
        n: usize,
        step: unsafe extern "C" fn(*mut sys::Iterator),
        f: &mut impl FnMut(&[u8], &[u8]),
    ) -> Res<usize> {
        let mut count = 0;
        // SAFETY: the iterator is ours; key and value are read only while it is valid and stands
        // still, and lie in `len` bytes each.
        unsafe {
            while count < n && sys::rocksdb_iter_valid(self.0) != 0 {
                let (mut k_len, mut v_len) = (0, 0);
                let k = sys::rocksdb_iter_key(self.0, &mut k_len);
                let v = sys::rocksdb_iter_value(self.0, &mut v_len);
                f(slice::from_raw_parts(k.cast(), k_len), slice::from_raw_parts(v.cast(), v_len));
                count += 1;
                if count < n {
                    step(self.0);
                }
            }
        }
        // SAFETY: the iterator is ours.
        tried(|err| unsafe { sys::rocksdb_iter_get_error(self.0, err) })?;
        Ok(count)
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not used again.
        unsafe { sys::rocksdb_iter_destroy(self.0) }
    }
}

impl Rocks {
    fn property(&self, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: the database is open; what comes back is a C string of ours, or nothing.
        unsafe {
            let found = sys::rocksdb_property_value(self.db, name.as_ptr());
            if found.is_null() {
                return None;
            }
            let value = CStr::from_ptr(found).to_string_lossy().into_owned();
            sys::rocksdb_free(found.cast());
            Some(value)
        }
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe {
            if !self.db.is_null() {
                sys::rocksdb_column_family_handle_destroy(self.family);
                sys::rocksdb_close(self.db);
            }
            sys::rocksdb_options_destroy(self.options);
            sys::rocksdb_block_based_options_destroy(self.table);
            sys::rocksdb_cache_destroy(self.cache);
            sys::rocksdb_readoptions_destroy(self.read);
            sys::rocksdb_writeoptions_destroy(self.write);
            sys::rocksdb_writeoptions_destroy(self.write_synced);
        }
    }
}

impl Engine for Rocks {
    const NAME: &'static str = "rocksdb7";
    const VERSION: &'static str = "RocksDB of the system (7.8.3)";
    const CAPS: Caps = Caps {
        delete_range: true,
        kv_sep: true,
        lz4: true,
        zstd: true,
        wal: true,
        durable: true,
        multi_get: true,
    };

    fn open(dir: &Path, o: &Opts) -> Res<Self> {
        let path = CString::new(dir.join("db").to_str().ok_or("a path in UTF-8")?)?;
        // SAFETY: everything is made here, changed only here, and owned by `rocks` from then on; the
        // filter becomes the table options'.
        let mut rocks = unsafe {
            let options = sys::rocksdb_options_create();
            let table = sys::rocksdb_block_based_options_create();
            let cache = sys::rocksdb_cache_create_lru(usize::try_from(o.cache_bytes)?);
            let filter = sys::rocksdb_filterpolicy_create_bloom_full(o.filter_bits.into());
            sys::rocksdb_block_based_options_set_block_size(table, o.block_bytes as usize);
            sys::rocksdb_block_based_options_set_block_cache(table, cache);
            sys::rocksdb_block_based_options_set_filter_policy(table, filter);
            sys::rocksdb_options_set_create_if_missing(options, 1);
            sys::rocksdb_options_set_write_buffer_size(options, usize::try_from(o.memtable_bytes)?);
            sys::rocksdb_options_set_compression(options, comp(o.comp));
            sys::rocksdb_options_set_max_background_jobs(options, 2);
            sys::rocksdb_options_set_block_based_table_factory(options, table);
            if let Some(threshold) = o.kv_sep {
                sys::rocksdb_options_set_enable_blob_files(options, 1);
                sys::rocksdb_options_set_min_blob_size(options, threshold.into());
                sys::rocksdb_options_set_blob_compression_type(options, comp(o.comp));
                sys::rocksdb_options_set_blob_file_size(options, 64 << 20);
                sys::rocksdb_options_set_enable_blob_gc(options, 1);
                sys::rocksdb_options_set_blob_cache(options, cache);
            }
            let write = sys::rocksdb_writeoptions_create();
            sys::rocksdb_writeoptions_disable_WAL(write, c_int::from(!o.wal));
            let write_synced = sys::rocksdb_writeoptions_create();
            sys::rocksdb_writeoptions_set_sync(write_synced, 1);
            Self {
                db: ptr::null_mut(),
                family: ptr::null_mut(),
                options,
                table,
                cache,
                read: sys::rocksdb_readoptions_create(),
                write,
                write_synced,
            }
        };
        // With its only family by name, because it gives no handle of it otherwise.
        let (names, options) = ([c"default".as_ptr()], [rocks.options.cast_const()]);
        // SAFETY: options and path are valid; there is one name, one of options, place for one handle.
        rocks.db = tried(|err| unsafe {
            sys::rocksdb_open_column_families(
                rocks.options,
                path.as_ptr(),
                1,
                names.as_ptr(),
                options.as_ptr(),
                &mut rocks.family,
                err,
            )
        })?;
        Ok(rocks)
    }
    #[inline]
    fn put(&self, k: &[u8], v: &[u8]) -> Res<()> {
        // SAFETY: the database is open; key and value are copied.
        tried(|err| unsafe {
            sys::rocksdb_put(self.db, self.write, text(k), k.len(), text(v), v.len(), err)
        })
    }
    fn put_durable(&self, k: &[u8], v: &[u8]) -> Res<()> {
        // SAFETY: as in `put`.
        tried(|err| unsafe {
            sys::rocksdb_put(self.db, self.write_synced, text(k), k.len(), text(v), v.len(), err)
        })
    }
    fn delete(&self, k: &[u8]) -> Res<()> {
        // SAFETY: as in `put`.
        tried(|err| unsafe { sys::rocksdb_delete(self.db, self.write, text(k), k.len(), err) })
    }
    fn delete_range(&self, lo: &[u8], hi: &[u8]) -> Res<()> {
        // SAFETY: as in `put`; the batch is made and freed here.
        unsafe {
            let batch = sys::rocksdb_writebatch_create();
            sys::rocksdb_writebatch_delete_range(batch, text(lo), lo.len(), text(hi), hi.len());
            let written = tried(|err| sys::rocksdb_write(self.db, self.write, batch, err));
            sys::rocksdb_writebatch_destroy(batch);
            written
        }
    }
    #[inline]
    fn get<R>(&self, k: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        // SAFETY: the database is open.
        let found = tried(|err| unsafe {
            sys::rocksdb_get_pinned(self.db, self.read, text(k), k.len(), err)
        })?;
        if found.is_null() {
            return Ok(None);
        }
        // SAFETY: the value lies in `len` bytes until it is destroyed, once.
        unsafe {
            let mut len = 0;
            let value = sys::rocksdb_pinnableslice_value(found, &mut len);
            let result = f(slice::from_raw_parts(value.cast(), len));
            sys::rocksdb_pinnableslice_destroy(found);
            Ok(Some(result))
        }
    }
    fn multi_get(&self, keys: &[Key], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        let texts: Vec<_> = keys.iter().map(|k| text(k)).collect();
        let lens: Vec<_> = keys.iter().map(|k| k.len()).collect();
        let mut values = vec![ptr::null_mut(); keys.len()];
        let mut errors = vec![ptr::null_mut(); keys.len()];
        // SAFETY: the database and its family are open; all arrays have the length of `keys`.
        unsafe {
            sys::rocksdb_batched_multi_get_cf(
                self.db,
                self.read,
                self.family,
                keys.len(),
                texts.as_ptr(),
                lens.as_ptr(),
                values.as_mut_ptr(),
                errors.as_mut_ptr(),
                false,
            );
        }
        let mut failed = Ok(());
        for (at, (value, error)) in values.into_iter().zip(errors).enumerate() {
            if let Err(why) = tried(|err| {
                // SAFETY: `err` is valid for the time of the call.
                unsafe { *err = error }
            }) {
                failed = Err(why);
            }
            if value.is_null() {
                f(at, None);
                continue;
            }
            // SAFETY: as in `get`.
            unsafe {
                let mut len = 0;
                let bytes = sys::rocksdb_pinnableslice_value(value, &mut len);
                f(at, Some(slice::from_raw_parts(bytes.cast(), len)));
                sys::rocksdb_pinnableslice_destroy(value);
            }
        }
        failed
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = Iter::new(self);
        // SAFETY: the iterator is alive, and copies the key.
        unsafe { sys::rocksdb_iter_seek(rows.0, text(from), from.len()) };
        rows.rows(n, sys::rocksdb_iter_next, f)
    }
    fn scan_rev(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = Iter::new(self);
        // SAFETY: as in `scan`.
        unsafe { sys::rocksdb_iter_seek_for_prev(rows.0, text(from), from.len()) };
        rows.rows(n, sys::rocksdb_iter_prev, f)
    }
    fn flush(&self) -> Res<()> {
        // SAFETY: the database is open; the options, which say to wait, are made and freed here.
        unsafe {
            let options = sys::rocksdb_flushoptions_create();
            let flushed = tried(|err| sys::rocksdb_flush(self.db, options, err));
            sys::rocksdb_flushoptions_destroy(options);
            flushed
        }
    }
    fn wait_idle(&self) -> Res<()> {
        self.flush()?;
        // This version has no call that waits: idle is nothing running or due for 20 ms.
        let busy = [
            "compaction-pending",
            "num-running-compactions",
            "mem-table-flush-pending",
            "num-running-flushes",
        ];
        let mut idle_since = Instant::now();
        while idle_since.elapsed() < Duration::from_millis(20) {
            if busy.iter().any(|name| {
                self.property(&format!("rocksdb.{name}")).is_none_or(|value| value != "0")
            }) {
                idle_since = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
    fn compact_all(&self) -> Res<()> {
        /// `BottommostLevelCompaction::kForce`
        const FORCE: u8 = 2;
        // SAFETY: the database is open; no bounds mean all keys; the options are made and freed here.
        unsafe {
            let options = sys::rocksdb_compactoptions_create();
            sys::rocksdb_compactoptions_set_bottommost_level_compaction(options, FORCE);
            sys::rocksdb_compact_range_opt(self.db, options, ptr::null(), 0, ptr::null(), 0);
            sys::rocksdb_compactoptions_destroy(options);
        }
        Ok(())
    }
    fn info(&self) -> Info {
        let tables = self.property("rocksdb.aggregated-table-properties").unwrap_or_default();
        let filter = tables
            .split(';')
            .find_map(|part| part.trim().strip_prefix("filter block size=")?.parse().ok());
        let level =
            |i| self.property(&format!("rocksdb.num-files-at-level{i}")).unwrap_or_default();
        let levels: Vec<String> = (0..7).map(level).collect();
        Info { filter_bytes: filter, shape: format!("tables per level [{}]", levels.join(", ")) }
    }
    fn close(self) -> Res<()> {
        self.flush()
    }
}

fn main() {
    pb_core::child_main::<Rocks>();
}
