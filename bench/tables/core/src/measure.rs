//! The measurements. One process fills tables of one implementation with one set of rows under one
//! compression, and prints one JSON line per figure.
use std::{
    collections::HashMap,
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process,
    time::Instant,
};

use pb_core::{Comp, Res, meter};

use crate::{Probe, Rows, Table, check_word};

/// Keys of one call with many.
const BATCH: usize = 32;
/// Passes over a cached table.
const PASSES: u64 = 3;
/// Times a table is written, and scanned when just opened: what one such takes depends on the disk.
const REPEATS: usize = 3;
/// Times a table is opened.
const OPENS: usize = 51;
/// Every so many answers are compared in full.
const FULL_EVERY: usize = 1024;

/// Entry point of an implementation's binary. See `README.md` for the arguments.
pub fn child_main<T: Table>() {
    let args: HashMap<String, String> = env::args()
        .skip(1)
        .filter_map(|arg| {
            let (name, value) = arg.strip_prefix("--")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    let text = |name: &str, default: &str| args.get(name).map_or(default, |arg| arg).to_owned();
    let number = |name: &str, default: u64| {
        args.get(name).map_or(default, |arg| {
            arg.parse().unwrap_or_else(|_| panic!("--{name}: number expected"))
        })
    };
    let comp = match text("comp", "none").as_str() {
        "none" => Comp::None,
        "lz4" => Comp::Lz4,
        "zstd" => Comp::Zstd,
        other => panic!("--comp={other}"),
    };
    if !T::COMPS.contains(&comp) {
        eprintln!("{} has no {comp:?}", T::NAME);
        process::exit(3);
    }
    let rows_path = PathBuf::from(text("rows", "rows"));
    let rows = Rows::load(&rows_path).expect("a file of rows made by pb-tables-data");
    let dir = PathBuf::from(text("dir", "data")).join(format!("{}-{}", T::NAME, process::id()));
    fs::create_dir_all(&dir).expect("create the directory for tables");
    let set = rows_path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("?");
    let head = format!(
        "\"table\":\"{}{}\",\"ver\":\"{}\",\"rows\":\"{set}\",\"comp\":\"{}\",\"n\":{},\"hash\":\"{:016x}\",\"round\":{}",
        T::NAME,
        text("suffix", ""),
        T::VERSION,
        text("comp", "none"),
        rows.len(),
        rows.hash,
        number("round", 0),
    );
    let mut run = Run::<T> {
        rows,
        dir: dir.clone(),
        comp,
        cache: number("cache", 1024) << 20,
        small: number("small", 16) << 20,
        tables: number("tables", 200) as usize,
        head,
        bad: 0,
        files: 0,
        table: None,
    };
    let only = text("hot", "");
    let result = if only.is_empty() { run.all() } else { run.hot(&only, number("ms", 3000)) };
    fs::remove_dir_all(&dir).expect("remove the directory of tables");
    if let Err(error) = result {
        println!("{{{},\"row\":\"ERROR\",\"error\":{:?}}}", run.head, error.to_string());
        process::exit(1);
    }
}

struct Run<T: Table> {
    rows: Rows,
    dir: PathBuf,
    comp: Comp,
    /// Bytes of a cache that holds everything, and of one that holds little.
    cache: u64,
    small: u64,
    /// Tables open at once.
    tables: usize,
    head: String,
    /// Wrong answers; a run with any is void.
    bad: u64,
    /// Files named so far.
    files: u64,
    /// The table of all rows, cached.
    table: Option<(T, T::Cache)>,
}

/// A stopwatch for wall time and the time of processors.
struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> Self {
        Self { cpu: meter::cpu_secs(), began: Instant::now() }
    }
}

impl<T: Table> Run<T> {
    fn all(&mut self) -> Res<()> {
        for _ in 1..REPEATS {
            let path = self.write()?;
            fs::remove_file(path)?;
        }
        let path = self.write()?;
        let cache = T::cache(self.cache);
        self.table = Some((T::open(&path, 1, &cache)?, cache));
        self.verify()?;
        self.get_hit("get_hit")?;
        self.get_miss("get_miss")?;
        self.seek()?;
        self.multi_get("multi_get")?;
        self.walk(true)?;
        self.walk(false)?;
        self.table = None;
        self.uncached(&path)?;
        for _ in 0..REPEATS {
            self.scan_once(&path)?;
        }
        self.open(&path)?;
        self.held(&path)?;
        fs::remove_file(&path)?;
        self.held_by_many()
    }

    /// For profilers: one row alone, over and over.
    fn hot(&mut self, row: &str, ms: u64) -> Res<()> {
        if row == "write" {
            let began = Instant::now();
            while began.elapsed().as_millis() < ms.into() {
                let path = self.write()?;
                fs::remove_file(&path)?;
            }
            return Ok(());
        }
        let path = self.write()?;
        let cache = T::cache(if row.ends_with("uncached") { self.small } else { self.cache });
        self.table = Some((T::open(&path, 1, &cache)?, cache));
        self.verify()?;
        let began = Instant::now();
        while began.elapsed().as_millis() < ms.into() {
            match row {
                "get_hit" | "get_uncached" => self.get_hit(row)?,
                "get_miss" => self.get_miss(row)?,
                "seek" => self.seek()?,
                "multi_get" | "multi_get_uncached" => self.multi_get(row)?,
                "next" => self.walk(true)?,
                "prev" => self.walk(false)?,
                "scan_once" => self.scan_once(&path)?,
                "open" => self.open(&path)?,
                _ => return Err(format!("--hot={row}").into()),
            }
        }
        Ok(())
    }

    fn emit(&self, row: &str, unit: &str, value: f64, more: &str) {
        println!(
            "{{{},\"row\":\"{row}\",\"unit\":\"{unit}\",\"value\":{value:.3},\"bad\":{}{more}}}",
            self.head, self.bad
        );
    }

    /// Nanoseconds of each of `ops`.
    fn emit_ns(&self, row: &str, ops: u64, watch: &Watch) {
        let secs = watch.began.elapsed().as_secs_f64();
        let cpu = meter::cpu_secs() - watch.cpu;
        let each = 1e9 / ops as f64;
        self.emit(row, "ns", secs * each, &format!(",\"ops\":{ops},\"cpu\":{:.3}", cpu * each));
    }

    /// Megabytes of keys and values a second, in `passes` over them.
    fn emit_mb_s(&self, row: &str, passes: u64, watch: &Watch) {
        let secs = watch.began.elapsed().as_secs_f64();
        let cpu = meter::cpu_secs() - watch.cpu;
        let mb = (passes * self.rows.plain_len) as f64 / 1e6;
        self.emit(row, "MB/s", mb / secs, &format!(",\"cpu\":{:.3}", mb / cpu));
    }

    fn table(&self) -> &T {
        let (table, _) = self.table.as_ref().expect("open");
        table
    }

    fn next_path(&mut self) -> PathBuf {
        self.files += 1;
        self.dir.join(format!("{}.sst", self.files))
    }

    /// All rows into one file, which is synced.
    fn write(&mut self) -> Res<PathBuf> {
        let path = self.next_path();
        // What was freed before would hide what is taken now.
        // SAFETY: the call only gives free memory back to the system.
        unsafe { libc::malloc_trim(0) };
        meter::reset_peak();
        let before = meter::rss_kb();
        let watch = Watch::start();
        T::write(&path, 1, self.comp, self.rows.iter())?;
        self.emit_mb_s("write", 1, &watch);
        let peak = meter::rss_peak_kb().saturating_sub(before);
        self.emit("write_memory", "MiB", peak as f64 / 1024.0, "");
        let len = fs::metadata(&path)?.len();
        self.emit("bytes", "B", len as f64 / self.rows.len() as f64, "");
        Ok(path)
    }

    /// Every row, by three ways, compared in full. Afterwards everything is cached.
    fn verify(&mut self) -> Res<()> {
        let (rows, table) = (&self.rows, self.table());
        let mut bad = 0;
        let mut i = 0;
        table.forward(&mut |key, value| {
            bad += u64::from(i >= rows.len() || rows.row(i) != (key, value));
            i += 1;
        })?;
        bad += rows.len().abs_diff(i) as u64;
        let mut i = rows.len();
        table.backward(&mut |key, value| {
            i = i.wrapping_sub(1);
            bad += u64::from(i >= rows.len() || rows.row(i) != (key, value));
        })?;
        bad += i as u64;
        let mut i = 0;
        table.forward_once(&mut |key, value| {
            bad += u64::from(i >= rows.len() || rows.row(i) != (key, value));
            i += 1;
        })?;
        bad += rows.len().abs_diff(i) as u64;
        for (key, value) in rows.iter() {
            bad += u64::from(table.get(key, |found| found == value)? != Some(true));
        }
        self.bad += bad;
        Ok(())
    }

    fn get_hit(&mut self, row: &str) -> Res<()> {
        let mut bad = 0;
        let watch = Watch::start();
        for (i, &probe) in self.rows.probes().iter().enumerate() {
            let right = |value: &[u8]| self.is_right(i, probe, value);
            bad += u64::from(self.table().get(self.rows.present(probe), right)? != Some(true));
        }
        self.emit_ns(row, self.rows.probes().len() as u64, &watch);
        self.bad += bad;
        Ok(())
    }

    /// Whether this is the value of the probe's row.
    #[inline]
    fn is_right(&self, i: usize, probe: Probe, value: &[u8]) -> bool {
        check_word(value) == probe.check
            && (!i.is_multiple_of(FULL_EVERY) || self.rows.row(probe.row).1 == value)
    }

    fn get_miss(&mut self, row: &str) -> Res<()> {
        let mut found = 0;
        let watch = Watch::start();
        for &probe in self.rows.probes() {
            found += u64::from(self.table().get(self.rows.absent(probe), |_| ())?.is_some());
        }
        self.emit_ns(row, self.rows.probes().len() as u64, &watch);
        self.bad += found;
        Ok(())
    }

    fn seek(&mut self) -> Res<()> {
        let mut bad = 0;
        let watch = Watch::start();
        let mut seeker = self.table().seeker();
        for (i, &probe) in self.rows.probes().iter().enumerate() {
            let key = self.rows.present(probe);
            let right = |found: &[u8], value: &[u8]| found == key && self.is_right(i, probe, value);
            bad += u64::from(T::seek(&mut seeker, key, right)? != Some(true));
        }
        self.emit_ns("seek", self.rows.probes().len() as u64, &watch);
        drop(seeker);
        self.bad += bad;
        Ok(())
    }

    fn multi_get(&mut self, row: &str) -> Res<()> {
        if !T::MULTI_GET {
            return Ok(());
        }
        let mut bad = 0;
        let mut keys = Vec::with_capacity(BATCH);
        let watch = Watch::start();
        for (i, probes) in self.rows.probes().chunks_exact(BATCH).enumerate() {
            keys.clear();
            keys.extend(probes.iter().map(|&probe| self.rows.present(probe)));
            let mut right = 0;
            self.table().multi_get(&keys, &mut |k, value| {
                right +=
                    u64::from(value.is_some_and(|value| self.is_right(i + k, probes[k], value)));
            })?;
            bad += BATCH as u64 - right;
        }
        self.emit_ns(row, (self.rows.probes().len() / BATCH * BATCH) as u64, &watch);
        self.bad += bad;
        Ok(())
    }

    /// All rows, cached, in either direction.
    fn walk(&mut self, forward: bool) -> Res<()> {
        let expected = self.rows.iter().fold(0, |sum, (key, value)| sum + touch(key, value));
        let mut bad = 0;
        let watch = Watch::start();
        for _ in 0..PASSES {
            let mut sum = 0;
            let mut take = |key: &[u8], value: &[u8]| sum += touch(key, value);
            match forward {
                true => self.table().forward(&mut take)?,
                false => self.table().backward(&mut take)?,
            }
            bad += u64::from(black_box(sum) != expected);
        }
        let (step, scan) = if forward { ("next", "scan") } else { ("prev", "scan_back") };
        self.emit_ns(step, PASSES * self.rows.len() as u64, &watch);
        self.emit_mb_s(scan, PASSES, &watch);
        self.bad += bad;
        Ok(())
    }

    /// Gets from a table just opened, through a cache that holds little of it.
    fn uncached(&mut self, path: &Path) -> Res<()> {
        let open = || -> Res<_> {
            let cache = T::cache(self.small);
            Ok(Some((T::open(path, 1, &cache)?, cache)))
        };
        let (first, second) = (open()?, open()?);
        self.table = first;
        self.get_hit("get_uncached")?;
        self.table = second;
        self.multi_get("multi_get_uncached")?;
        self.table = None;
        Ok(())
    }

    /// All rows of a table just opened, by the way meant for reading it once.
    fn scan_once(&mut self, path: &Path) -> Res<()> {
        let expected = self.rows.iter().fold(0, |sum, (key, value)| sum + touch(key, value));
        let cache = T::cache(self.small);
        let mut sum = 0;
        let watch = Watch::start();
        T::open(path, 1, &cache)?.forward_once(&mut |key, value| sum += touch(key, value))?;
        self.emit_mb_s("scan_once", 1, &watch);
        self.bad += u64::from(sum != expected);
        Ok(())
    }

    /// Opening, alone and with the first answer. What some load at once others load then.
    fn open(&mut self, path: &Path) -> Res<()> {
        let (mut opens, mut opens_cpu) = (Vec::with_capacity(OPENS), Vec::with_capacity(OPENS));
        let (mut answers, mut answers_cpu) = (opens.clone(), opens.clone());
        for i in 0..OPENS {
            let cache = T::cache(self.small);
            let probe = self.rows.probes()[i % self.rows.probes().len()];
            let key = self.rows.present(probe);
            let watch = Watch::start();
            let table = T::open(path, 1, &cache)?;
            opens.push(watch.began.elapsed().as_secs_f64() * 1e6);
            opens_cpu.push((meter::cpu_secs() - watch.cpu) * 1e6);
            let right = table.get(key, |value| check_word(value) == probe.check)?;
            answers.push(watch.began.elapsed().as_secs_f64() * 1e6);
            answers_cpu.push((meter::cpu_secs() - watch.cpu) * 1e6);
            self.bad += u64::from(right != Some(true));
        }
        let cpu = |values: &mut [f64]| format!(",\"cpu\":{:.3}", median(values));
        self.emit("open", "us", median(&mut opens), &cpu(&mut opens_cpu));
        self.emit("open_get", "us", median(&mut answers), &cpu(&mut answers_cpu));
        Ok(())
    }

    /// Memory of one large table after one answer.
    fn held(&mut self, path: &Path) -> Res<()> {
        let cache = T::cache(self.cache);
        let before = heap();
        let table = T::open(path, 1, &cache)?;
        let probe = self.rows.probes()[0];
        let right =
            table.get(self.rows.present(probe), |value| check_word(value) == probe.check)?;
        self.bad += u64::from(right != Some(true));
        self.emit("held", "KiB", heap().saturating_sub(before) as f64 / 1024.0, "");
        drop(table);
        Ok(())
    }

    /// Memory of each of many tables, open at once, after one answer of each.
    fn held_by_many(&mut self) -> Res<()> {
        let each = self.rows.len() / self.tables;
        if each == 0 {
            return Ok(());
        }
        let mut paths = Vec::with_capacity(self.tables);
        for i in 0..self.tables {
            let path = self.next_path();
            let rows = (i * each..(i + 1) * each).map(|row| self.rows.row(row));
            T::write(&path, i as u64 + 2, self.comp, rows)?;
            paths.push(path);
        }
        let cache = T::cache(self.cache);
        let mut open = Vec::with_capacity(self.tables);
        let before = heap();
        for (i, path) in paths.iter().enumerate() {
            let table = T::open(path, i as u64 + 2, &cache)?;
            let (key, value) = self.rows.row(i * each + each / 2);
            let right = table.get(key, |found| found == value)?;
            self.bad += u64::from(right != Some(true));
            open.push(table);
        }
        let held = heap().saturating_sub(before) as f64 / self.tables as f64;
        self.emit("held_small", "KiB", held / 1024.0, &format!(",\"ops\":{}", self.tables));
        drop(open);
        Ok(())
    }
}

/// Looks at a row the way somebody does who needs a little of it: both ends, and both lengths.
#[inline]
fn touch(key: &[u8], value: &[u8]) -> u64 {
    let last = |bytes: &[u8]| bytes.last().map_or(0, |&byte| u64::from(byte));
    (key.len() + value.len()) as u64 + last(key) + last(value)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes of the heap in use, as the system's allocator counts them.
fn heap() -> u64 {
    // SAFETY: the call only reads counters.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

#[cfg(test)]
mod tests;
