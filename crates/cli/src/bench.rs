//! Workloads on a database of their own, one after the other.

use std::{path::PathBuf, time::Instant};

use serde_json::{Value, json};
use stratal::{Database, Durability, Keyspace, TreeOptions, TreeStats};
use stratal_block::Compression;
use stratal_sst::TableOptions;

use crate::{
    args::{BenchArgs, Common, Workload},
    database::in_directory,
    failure::Failure,
    output::Output,
    rows::rate,
    stats::{amplification_json, amplification_text},
};

/// Records written at once by the workloads that write: one, as applications do.
const BATCH_LEN: u64 = 1;

/// Rows read after each seek.
const ROWS_PER_SEEK: usize = 10;

pub(crate) fn run(args: &BenchArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let dir = directory(args)?;
    let table = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let base = TreeOptions { table, compress_from_level: 0, ..TreeOptions::default() };
    let options = args.tree.over(&base)?.unwrap_or(base);
    let db = in_directory(&dir.path, args.cache, options, common)?;
    let keyspace = db.open_keyspace("default").map_err(|error| Failure::database(&error))?;
    let bench = Bench { args, db: &db, keyspace: &keyspace };
    let results = bench.run_all(out);
    drop(keyspace);
    let closed = db.close().map_err(|error| Failure::database(&error));
    results.and(closed)
}

/// A directory that goes when the benchmark ends, unless the caller named it.
struct Directory {
    path: PathBuf,
    is_ours: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_ours {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

fn directory(args: &BenchArgs) -> Result<Directory, Failure> {
    let (path, is_ours) = match &args.dir {
        Some(dir) => (dir.clone(), false),
        None => (std::env::temp_dir().join(format!("stratal-bench-{}", std::process::id())), true),
    };
    if path.exists() {
        return Err(Failure::Usage(format!("{} exists already", path.display())));
    }
    Ok(Directory { path, is_ours })
}

struct Bench<'a> {
    args: &'a BenchArgs,
    db: &'a Database,
    keyspace: &'a Keyspace,
}

/// What one workload took.
struct Measured {
    ops: u64,
    bytes: u64,
    seconds: f64,
    /// Nanoseconds of single operations, ascending.
    latencies: Vec<u64>,
}

impl Bench<'_> {
    fn run_all(&self, out: &mut Output) -> Result<(), Failure> {
        for &workload in &self.args.workloads {
            let measured = self.measure(workload)?;
            report(workload, &measured, &self.keyspace.stats(), out)?;
            out.flush()?;
        }
        if out.json {
            return Ok(());
        }
        out.line(format!("amplification: {}", amplification_text(&self.keyspace.stats())))
    }

    fn measure(&self, workload: Workload) -> Result<Measured, Failure> {
        let num = self.args.num;
        let reads = self.args.reads.unwrap_or(num);
        let order = Shuffle::new(num);
        let mut random = Random(workload as u64 + 1);
        match workload {
            Workload::Fillseq => each(num, |i| self.write(i)),
            Workload::Fillrandom | Workload::Overwrite => each(num, |i| self.write(order.at(i))),
            Workload::Readrandom => each(reads, |_| self.read(random.below(num), true)),
            Workload::Readhot => {
                let hot = (num / 100).max(1);
                each(reads, |_| self.read(order.at(random.below(hot)), true))
            }
            Workload::Readmissing => each(reads, |_| self.read(num + random.below(num), false)),
            Workload::Readseq => self.scan(false),
            Workload::Readreverse => self.scan(true),
            Workload::Seekrandom => each(reads, |_| self.seek(random.below(num))),
            Workload::Deleterandom => each(num, |i| self.delete(order.at(i))),
            Workload::Compact => {
                let started = Instant::now();
                self.db.compact()?;
                let seconds = started.elapsed().as_secs_f64();
                let stats = self.db.stats();
                let levels = stats.keyspaces.iter().flat_map(|(_, tree)| &tree.levels);
                let bytes = levels.map(|level| level.len).sum();
                Ok(Measured { ops: 1, bytes, seconds, latencies: Vec::new() })
            }
        }
    }

    fn write(&self, i: u64) -> Result<u64, Failure> {
        let (key, value) = (self.key(i), self.value(i));
        let bytes = (key.len() + value.len()) as u64;
        let mut batch = self.db.batch();
        batch.durability(Durability::from(self.args.durability)).put(self.keyspace, key, value);
        batch.commit()?;
        Ok(bytes * BATCH_LEN)
    }

    fn delete(&self, i: u64) -> Result<u64, Failure> {
        let key = self.key(i);
        let bytes = key.len() as u64;
        let mut batch = self.db.batch();
        batch.durability(Durability::from(self.args.durability)).delete(self.keyspace, key);
        batch.commit()?;
        Ok(bytes)
    }

    fn read(&self, i: u64, must_be_there: bool) -> Result<u64, Failure> {
        let key = self.key(i);
        let found = self.keyspace.get(&key)?;
        if found.is_some() != must_be_there {
            let what = if must_be_there { "is not there; fill first" } else { "is there" };
            return Err(Failure::Usage(format!("record {i} {what}")));
        }
        Ok(key.len() as u64 + found.map_or(0, |value| value.len() as u64))
    }

    fn seek(&self, i: u64) -> Result<u64, Failure> {
        let rows = self.keyspace.range(self.key(i)..)?;
        let mut bytes = 0;
        for row in rows.take(ROWS_PER_SEEK) {
            let (key, value) = row?;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok(bytes)
    }

    fn scan(&self, reverse: bool) -> Result<Measured, Failure> {
        let started = Instant::now();
        let mut rows = self.keyspace.range::<&[u8]>(..)?;
        let (mut ops, mut bytes) = (0, 0);
        while let Some(row) = if reverse { rows.next_back() } else { rows.next() } {
            let (key, value) = row?;
            ops += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Measured { ops, bytes, seconds, latencies: Vec::new() })
    }

    /// Keys ascend with their number.
    fn key(&self, i: u64) -> Vec<u8> {
        let digits = format!("{i:0width$}", width = usize::from(self.args.key_size));
        digits.into_bytes()
    }

    /// Half noise, half one byte over and over.
    fn value(&self, i: u64) -> Vec<u8> {
        let mut random = Random(i);
        let mut value = vec![b'v'; self.args.value_size];
        for run in value.chunks_mut(32) {
            let half = run.len() / 2;
            for byte in run.iter_mut().take(half) {
                let [low, ..] = random.next().to_le_bytes();
                *byte = low;
            }
        }
        value
    }
}

/// Does `op` for each number below `count`; `op` says how many bytes it moved.
fn each(count: u64, mut op: impl FnMut(u64) -> Result<u64, Failure>) -> Result<Measured, Failure> {
    let mut latencies = Vec::new();
    let mut bytes = 0;
    let started = Instant::now();
    let mut before = started;
    for i in 0..count {
        bytes += op(i)?;
        let now = Instant::now();
        latencies.push(u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX));
        before = now;
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Measured { ops: count, bytes, seconds, latencies })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn report(
    workload: Workload,
    measured: &Measured,
    stats: &TreeStats,
    out: &mut Output,
) -> Result<(), Failure> {
    let Measured { ops, bytes, seconds, latencies } = measured;
    let name = format!("{workload:?}").to_lowercase();
    let ops_per_second = rate(*ops, *seconds);
    let megabytes_per_second = *bytes as f64 / 1e6 / seconds.max(1e-9);
    let at = |permille: usize| {
        let i = (latencies.len().saturating_sub(1)) * permille / 1000;
        latencies.get(i).copied()
    };
    let percentiles = [("p50", at(500)), ("p99", at(990)), ("p999", at(999)), ("max", at(1000))];
    if out.json {
        let mut row = serde_json::Map::new();
        row.insert("workload".into(), Value::String(name));
        row.insert("ops".into(), json!(ops));
        row.insert("seconds".into(), json!(seconds));
        row.insert("ops_per_second".into(), json!(ops_per_second));
        row.insert("bytes_per_second".into(), json!(*bytes as f64 / seconds.max(1e-9)));
        for (name, nanos) in percentiles {
            if let Some(nanos) = nanos {
                row.insert(format!("{name}_seconds"), json!(nanos as f64 / 1e9));
            }
        }
        row.insert("amplification".into(), amplification_json(stats));
        return out.json(&Value::Object(row));
    }
    let mut line =
        format!("{name:<13} {ops_per_second:>12.0} ops/s {megabytes_per_second:>9.1} MB/s");
    for (name, nanos) in percentiles {
        if let Some(nanos) = nanos {
            line = format!("{line}  {name} {:.1} µs", nanos as f64 / 1e3);
        }
    }
    out.line(line)
}

/// Chance that repeats itself (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The numbers below some end in an order that looks random, without a list of them: a step that has no
/// divisor in common with their count.
struct Shuffle {
    count: u64,
    step: u64,
}

impl Shuffle {
    fn new(count: u64) -> Self {
        let mut step = (count / 2).max(1) | 1;
        step += 0x9e37 % count.max(1);
        while gcd(step, count) != 1 {
            step += 1;
        }
        Self { count, step }
    }

    fn at(&self, i: u64) -> u64 {
        let product = u128::from(i) * u128::from(self.step) % u128::from(self.count.max(1));
        u64::try_from(product).unwrap_or(0)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for count in [1, 2, 3, 10, 97, 1000] {
            let order = Shuffle::new(count);
            let mut seen: Vec<u64> = (0..count).map(|i| order.at(i)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }
}
