//! The rows of the comparison and where they should be: the one place that says so.

use super::results::Sample;

/// A row: one figure of one phase.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) is_more_better: bool,
    pub(super) suite: &'static str,
    /// The phase that has it; none for a figure of all phases, the greatest of which counts.
    pub(super) work: Option<&'static str>,
    pub(super) value: fn(&Sample) -> Option<f64>,
    pub(super) versus: Versus,
    pub(super) floor: Option<Target>,
    pub(super) goal: Option<Target>,
}

/// Which of ours is compared, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versus {
    /// The database with every LSM engine.
    All,
    /// The database with engines that have a log.
    Logged,
    /// The tree with engines that have none.
    Bare,
}

/// Where a row should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// So many times better than the best LSM peer.
    Times(f64),
    /// Not above this, in the row's unit.
    AtMost(f64),
}

use Target::{AtMost, Times};
use Versus::{All, Bare, Logged};

/// A ratio this far below one is noise.
pub(super) const AS_GOOD_AS: f64 = 0.87;

/// Bytes of 16 and 100.
const ROW_LEN: f64 = 116.0;
const MIB: f64 = 1_048_576.0;

fn ns(sample: &Sample) -> Option<f64> {
    sample.get("ns_op")
}
fn mb_s(sample: &Sample) -> Option<f64> {
    sample.get("mb_s")
}
fn ms(sample: &Sample) -> Option<f64> {
    Some(sample.get("secs")? * 1e3)
}
fn per_second(sample: &Sample) -> Option<f64> {
    Some(sample.get("ops")? / sample.get("secs")?)
}
fn cpu_ns(sample: &Sample) -> Option<f64> {
    sample.get("cpu_ns_op")
}
fn p99_us(sample: &Sample) -> Option<f64> {
    Some(sample.get("p99")? / 1e3)
}
fn p9999_us(sample: &Sample) -> Option<f64> {
    Some(sample.get("p9999")? / 1e3)
}
fn max_ms(sample: &Sample) -> Option<f64> {
    Some(sample.get("max")? / 1e6)
}
/// What the system was given to write, however: a log may be written through memory.
fn written(sample: &Sample) -> Option<f64> {
    Some(sample.get("wbytes")? / sample.get("ubytes")?)
}
fn per_live_byte(sample: &Sample) -> Option<f64> {
    Some(sample.get("disk_apparent")? / (sample.get("ops")? * ROW_LEN))
}
fn peak_mib(sample: &Sample) -> Option<f64> {
    Some(sample.get("rss_peak_kb")? * 1024.0 / MIB)
}
fn reads_s(sample: &Sample) -> Option<f64> {
    Some(sample.get("reads_s")? / 1e3)
}
fn writes_s(sample: &Sample) -> Option<f64> {
    Some(sample.get("writes_s")? / 1e3)
}

const fn row(
    name: &'static str,
    (suite, work): (&'static str, &'static str),
    (unit, value): (&'static str, fn(&Sample) -> Option<f64>),
    versus: Versus,
    targets: (Option<Target>, Option<Target>),
) -> Row {
    let (floor, goal) = targets;
    let (is_more_better, work) = (false, Some(work));
    Row { name, unit, is_more_better, suite, work, value, versus, floor, goal }
}

/// Of which more is better.
const fn rate(
    name: &'static str,
    place: (&'static str, &'static str),
    figure: (&'static str, fn(&Sample) -> Option<f64>),
    versus: Versus,
    targets: (Option<Target>, Option<Target>),
) -> Row {
    Row { is_more_better: true, ..row(name, place, figure, versus, targets) }
}

const fn times(floor: f64, goal: f64) -> (Option<Target>, Option<Target>) {
    (Some(Times(floor)), Some(Times(goal)))
}

const NS: (&str, fn(&Sample) -> Option<f64>) = ("ns", ns);
const CPU: (&str, fn(&Sample) -> Option<f64>) = ("ns of CPU", cpu_ns);
const MB_S: (&str, fn(&Sample) -> Option<f64>) = ("MB/s", mb_s);
const P99: (&str, fn(&Sample) -> Option<f64>) = ("µs", p99_us);
const NO_WORSE: (Option<Target>, Option<Target>) = (Some(Times(1.0)), None);
const NONE: (Option<Target>, Option<Target>) = (None, None);
const STALL: (Option<Target>, Option<Target>) = (None, Some(AtMost(10.0)));

pub(super) const ROWS: &[Row] = &[
    row("get, everything cached", ("cached", "get_cached"), NS, All, times(2.0, 5.0)),
    row("get, everything cached, p99", ("cached", "get_cached"), P99, All, NONE),
    row("get, hot tenth", ("rand", "readhot"), NS, All, times(1.5, 3.0)),
    row("get, uniform", ("rand", "readrandom"), NS, All, times(1.2, 2.0)),
    row("get, uniform, several runs", ("rand", "readrandom_frag"), NS, All, NONE),
    row("get, absent", ("rand", "readmissing"), NS, All, times(1.5, 3.0)),
    row("get, absent, several runs", ("rand", "readmissing_frag"), NS, All, NONE),
    row("get, cold device", ("rand", "readrandom_cold"), NS, All, times(1.0, 1.1)),
    row("get of 32, per key, cached", ("cached", "multiget_cached"), NS, All, times(3.0, 8.0)),
    row("seek + 10 next", ("rand", "seekrandom10"), NS, All, times(1.5, 4.0)),
    row("seek + 10 next, several runs", ("rand", "seekrandom10_frag"), NS, All, NONE),
    row("seek + 10 next, everything cached", ("cached", "seek_cached"), NS, All, NONE),
    rate("full scan", ("rand", "readseq"), MB_S, All, times(2.0, 6.0)),
    rate("reverse scan", ("rand", "readreverse"), MB_S, All, times(2.0, 6.0)),
    rate("full scan, everything cached", ("cached", "scan_cached"), MB_S, All, NONE),
    row("fillrandom, log", ("rand", "fillrandom"), NS, Logged, times(1.5, 3.0)),
    row("fillrandom, no log", ("rand", "fillrandom"), NS, Bare, times(1.5, 3.0)),
    row("fillseq, log", ("seq", "fillseq"), NS, Logged, times(1.5, 3.0)),
    row("fillseq, no log", ("seq", "fillseq"), NS, Bare, times(1.5, 3.0)),
    row("overwrite to idle, log", ("rand", "overwrite+idle"), NS, Logged, times(1.2, 2.0)),
    row("overwrite to idle, no log", ("rand", "overwrite+idle"), NS, Bare, times(1.2, 2.0)),
    row("fillrandom to idle, processor, log", ("rand", "fillrandom+idle"), CPU, Logged, NONE),
    row("fillrandom to idle, processor, no log", ("rand", "fillrandom+idle"), CPU, Bare, NONE),
    rate(
        "durable commits, 1 thread",
        ("durable", "durable1"),
        ("/s", per_second),
        Logged,
        NO_WORSE,
    ),
    rate(
        "durable commits, 16 threads",
        ("durable", "durable16"),
        ("/s", per_second),
        Logged,
        (Some(Times(1.2)), None),
    ),
    rate("bare append and fdatasync", ("durable", "fdatasync"), ("/s", per_second), Logged, NONE),
    rate(
        "reads beside writes, log",
        ("rand", "readwhilewriting"),
        ("k/s", reads_s),
        Logged,
        times(1.5, 3.0),
    ),
    rate(
        "reads beside writes, no log",
        ("rand", "readwhilewriting"),
        ("k/s", reads_s),
        Bare,
        times(1.5, 3.0),
    ),
    rate(
        "writes beside reads, log",
        ("rand", "readwhilewriting"),
        ("k/s", writes_s),
        Logged,
        times(1.5, 3.0),
    ),
    rate(
        "writes beside reads, no log",
        ("rand", "readwhilewriting"),
        ("k/s", writes_s),
        Bare,
        times(1.5, 3.0),
    ),
    row(
        "p99 of reads beside writes, log",
        ("rand", "readwhilewriting"),
        P99,
        Logged,
        times(1.5, 3.0),
    ),
    row(
        "p99 of reads beside writes, no log",
        ("rand", "readwhilewriting"),
        P99,
        Bare,
        times(1.5, 3.0),
    ),
    row("p99 of the same reads, alone", ("rand", "readidle"), P99, All, NONE),
    row("delete-range, log", ("rand", "deleterange"), NS, Logged, times(1.0, 2.0)),
    row("delete-range, no log", ("rand", "deleterange"), NS, Bare, times(1.0, 2.0)),
    rate("full compaction, fresh data", ("rand", "major"), MB_S, All, times(2.0, 5.0)),
    rate(
        "full compaction, overwritten data",
        ("rand", "major_overwritten"),
        MB_S,
        All,
        times(2.0, 5.0),
    ),
    row(
        "bytes written per byte put, log",
        ("rand", "fillrandom+idle"),
        ("×", written),
        Logged,
        NO_WORSE,
    ),
    row(
        "bytes written per byte put, no log",
        ("rand", "fillrandom+idle"),
        ("×", written),
        Bare,
        NO_WORSE,
    ),
    row(
        "bytes on disk per live byte, compacted",
        ("rand", "major"),
        ("×", per_live_byte),
        All,
        (Some(Times(1.0)), Some(AtMost(1.05))),
    ),
    Row {
        name: "peak memory",
        unit: "MiB",
        is_more_better: false,
        suite: "rand",
        work: None,
        value: peak_mib,
        versus: All,
        // Cache and two write buffers of 64 MiB each are the budget.
        floor: Some(AtMost(192.0 * 1.15 + 32.0)),
        goal: Some(Times(1.0)),
    },
    row("p99.99 of a put, log", ("rand", "fillrandom"), ("µs", p9999_us), Logged, NO_WORSE),
    row("p99.99 of a put, no log", ("rand", "fillrandom"), ("µs", p9999_us), Bare, NO_WORSE),
    row("longest put, log", ("rand", "fillrandom"), ("ms", max_ms), Logged, STALL),
    row("longest put, no log", ("rand", "fillrandom"), ("ms", max_ms), Bare, STALL),
    row(
        "reopen, clean, with first get",
        ("rand", "reopen"),
        ("ms", ms),
        All,
        (Some(AtMost(2.0)), Some(Times(1.0))),
    ),
    row("large values: put to idle", ("blob", "blob_fillrandom+idle"), NS, All, NONE),
    row("large values: get", ("blob", "blob_readrandom"), NS, All, NONE),
    rate("large values: full scan", ("blob", "blob_readseq"), MB_S, All, NONE),
];

/// Whether a row is among those asked for; all are if none is.
pub(super) fn is_wanted(name: &str, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench_peers::suites;

    #[test]
    fn rows_have_names_of_their_own_and_suites_that_exist() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            assert!(suites::named(row.suite).is_ok(), "{}", row.name);
        }
    }
}
