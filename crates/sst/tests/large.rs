//! A table of 10 GB: what writing it holds, and what opening it reads. Takes minutes and the disk.
//!
//! ```text
//! cargo test --release -p stratal-sst --test large -- --ignored --nocapture
//! ```
//!
//! `STRATAL_LARGE_GB` chooses another size, and `TMPDIR` where the file stands meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
#![allow(clippy::disallowed_methods, reason = "how files are opened is not what is tested")]

use std::{
    env,
    fs::{self, File},
    io::{self, BufWriter},
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use stratal_block::Compression;
use stratal_cache::Cache;
use stratal_sst::{ReadAt, Table, TableContext, TableOptions, TableWriter};
use stratal_testkit::Rng;
use stratal_types::{Cursor, FileUid, SeqNo};

const VALUE_LEN: usize = 100;

/// A file that counts what is read of it.
#[derive(Debug)]
struct CountingFile {
    file: File,
    len: u64,
    read: AtomicU64,
}

impl ReadAt for CountingFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut bytes, range.start)?;
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        Ok(bytes.into())
    }
}

/// Removes the file when the test ends, however it ends.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Most bytes of memory this process has had.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn key(i: u64) -> String {
    format!("key {i:014}")
}

#[test]
#[ignore = "takes 10 GB of disk and minutes; run it with --release"]
fn ten_gigabytes_are_written_in_64_mb_and_opened_in_10_ms() {
    let gigabytes: u64 = env::var("STRATAL_LARGE_GB").map_or(10, |text| text.parse().unwrap());
    let path = Temporary(env::temp_dir().join(format!("stratal-large-{}.sst", std::process::id())));
    let noise = Rng::new(1).bytes(1 << 16);
    let value = |i: u64| {
        let at = (i.wrapping_mul(0x9e37_79b9) % (noise.len() - VALUE_LEN) as u64) as usize;
        noise.get(at..at + VALUE_LEN).unwrap()
    };

    let ctx = TableContext { cache: Arc::new(Cache::new(8 << 20)), ..TableContext::default() };
    let options = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let spec = Arc::new(options.validate().unwrap());
    let started = Instant::now();
    let sink = BufWriter::with_capacity(1 << 20, File::create(&path.0).unwrap());
    let mut writer = TableWriter::new(&ctx, sink, FileUid([3; 16]), spec).unwrap();
    let (mut rows, mut held) = (0, 0);
    while writer.estimated_len() < gigabytes * 1_000_000_000 {
        writer.put(key(rows).as_bytes(), value(rows)).unwrap();
        rows += 1;
        if rows % 4096 == 0 {
            held = held.max(writer.memory());
        }
    }
    let finished = writer.finish().unwrap();
    let (info, peak) = (finished.info.unwrap(), peak_memory());
    println!(
        "wrote {rows} rows, {} bytes in {:.1?}; held at most {held} bytes, peak memory {peak}",
        info.file_len,
        started.elapsed()
    );
    println!(
        "{} data blocks; index {} bytes in {} partitions, filter {} bytes in {}",
        info.properties.data_blocks,
        info.properties.index_bytes,
        info.properties.index_partitions,
        info.properties.filter_bytes,
        info.properties.filter_partitions
    );
    drop(finished.sink);

    let file = File::open(&path.0).unwrap();
    let source = Arc::new(CountingFile { file, len: info.file_len, read: AtomicU64::new(0) });
    let read = || source.read.load(Ordering::Relaxed);
    let started = Instant::now();
    let table = Table::open(&ctx, Arc::clone(&source) as Arc<dyn ReadAt>).unwrap();
    let (opened_in, opened_by) = (started.elapsed(), read());
    println!("opened in {opened_in:.1?}, having read {opened_by} bytes");

    let started = Instant::now();
    assert_eq!(table.get(key(rows / 3).as_bytes()).unwrap().as_deref(), Some(value(rows / 3)));
    println!("first get: {:.1?}, {} bytes read", started.elapsed(), read() - opened_by);

    let mut rng = Rng::new(9);
    let before = read();
    for _ in 0..10_000 {
        let i = rng.below(rows);
        assert_eq!(table.get(key(i).as_bytes()).unwrap().as_deref(), Some(value(i)));
        assert!(table.get(format!("{}+", key(i)).as_bytes()).unwrap().is_none());
    }
    println!("a present and an absent key, at random: {} bytes read", (read() - before) / 10_000);

    let mut cursor = table.cursor();
    cursor.seek(key(rows / 2).as_bytes(), SeqNo::MAX).unwrap();
    for i in rows / 2..rows / 2 + 500_000.min(rows / 4) {
        let entry = cursor.entry().unwrap();
        assert_eq!((entry.key, entry.value), (key(i).as_bytes(), value(i)));
        cursor.advance().unwrap();
    }
    println!("peak memory with a cache of 8 MiB, after reading: {}", peak_memory());

    assert!(opened_in < Duration::from_millis(10) && opened_by < 1_000_000);
    assert!(peak < 64_000_000, "{peak} bytes of memory while writing");
    assert!(peak_memory() < 64_000_000, "{} bytes of memory while reading", peak_memory());
}
