//! How fast writers may go while flushes or merges are behind.
//!
//! Two backlogs grow with writes: bytes in memtables, which flushes take away, and runs in level 0, which
//! merges take away. Each has a length from which on writers are slowed, and one at which they wait. How
//! far a backlog is from the one to the other is its *fill*, f.
//!
//! For each byte that goes, a writer may bring (1 − f) ÷ f: nobody is slowed at 0, at one half writes come
//! as fast as they go, and toward 1 they come to rest. A steady stream of writes so settles where it is as
//! fast as what takes it away, below the stop, and each put waits a little instead of one a long time.
//! This is a proportional controller; what it needs to know is the time that a byte takes to go, which is
//! measured of the last jobs.
//!
//! Nobody sleeps for less than [`NAP`]: what is shorter is summed up over all writers.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates, of which the last digits mean nothing"
)]

use std::time::{Duration, Instant};

use stratal_types::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    Executor,
    inner::{Core, Inner},
};

/// The shortest time that a writer is made to wait.
const NAP: Duration = Duration::from_millis(1);
/// Writers never owe more than this: who has many bytes to write waits for them, not for others'.
const OWED_MAX: Duration = Duration::from_secs(1);
/// Nanoseconds that a byte takes to go, as long as no job has shown it.
const NANOS_PER_BYTE: f64 = 10.0;
/// What a memtable takes for an operation beside its bytes in the log.
const OPERATION_LEN: u64 = 48;
/// A fill of more counts as this much.
const FILL_MAX: f64 = 0.99;

/// How long bytes took to go: of jobs that are alike, each counts twice as much as the one before, and a
/// small one changes little of what a large one has shown.
#[derive(Debug, Default)]
pub(crate) struct Drain(Mutex<Measured>);

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    bytes: f64,
    nanos: f64,
    /// What the job under way takes away, and since when it runs: one that takes long is noticed
    /// before it is done.
    running: Option<(u64, Instant)>,
}

/// What is known of backlogs and of how fast they go.
#[derive(Debug)]
pub(crate) struct Pacing {
    began: Instant,
    pub(crate) flushes: Drain,
    pub(crate) merges: Drain,
    /// When, in nanoseconds from the beginning, everything that was paid for by waiting is written.
    owed_until: AtomicU64,
    /// Nanoseconds that writers were slowed.
    slowed: AtomicU64,
    /// Nanoseconds that writers stood still.
    stopped: AtomicU64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            flushes: Drain::default(),
            merges: Drain::default(),
            owed_until: AtomicU64::new(0),
            slowed: AtomicU64::new(0),
            stopped: AtomicU64::new(0),
        }
    }
}

/// How far `len` is from `slow` to `stop`: 0 below the one, 1 from the other on.
pub(crate) fn fill(len: u64, slow: u64, stop: u64) -> f64 {
    let span = stop.saturating_sub(slow).max(1);
    (len.saturating_sub(slow) as f64 / span as f64).min(1.0)
}

/// Nanoseconds that a byte costs its writer.
fn toll(fill: f64, nanos_per_byte: f64) -> f64 {
    let fill = fill.min(FILL_MAX);
    nanos_per_byte * fill / (1.0 - fill)
}

impl Drain {
    /// Takes note that a job begins which is to take `bytes` away.
    pub(crate) fn begin(&self, bytes: u64) {
        self.0.lock().running = Some((bytes, Instant::now()));
    }

    /// Takes note that the job is over, and that `bytes` went by it.
    pub(crate) fn end(&self, bytes: u64) {
        let begun = self.0.lock().running.take();
        if let Some((_, since)) = begun {
            self.note(bytes, since.elapsed());
        }
    }

    /// Takes note that `bytes` went in that time.
    fn note(&self, bytes: u64, took: Duration) {
        if bytes == 0 {
            // It says nothing of how long they take, and would let all that is known fade.
            return;
        }
        let mut measured = self.0.lock();
        let bytes = bytes as f64;
        let kept = measured.bytes / (measured.bytes + 2.0 * bytes);
        measured.bytes = measured.bytes * kept + bytes;
        measured.nanos = measured.nanos * kept + took.as_nanos() as f64;
    }

    fn nanos_per_byte(&self) -> f64 {
        let Measured { bytes, nanos, running } = *self.0.lock();
        let known = if bytes > 0.0 { nanos / bytes } else { NANOS_PER_BYTE };
        match running {
            Some((len, since)) if len > 0 => {
                known.max(since.elapsed().as_nanos() as f64 / len as f64)
            }
            _ => known,
        }
    }
}

impl Pacing {
    /// What a byte costs whoever writes to `core`, in nanoseconds; 0 while nothing is behind.
    fn toll(&self, memory_fill: f64, core: &Core) -> f64 {
        let (sealed, runs) = core.fills();
        let flush = memory_fill.max(sealed);
        let of = |fill: f64, drain: &Drain| {
            if fill > 0.0 { toll(fill, drain.nanos_per_byte()) } else { 0.0 }
        };
        of(flush, &self.flushes).max(of(runs, &self.merges))
    }

    /// How long somebody has to wait who brings what costs `nanos` at `now`.
    fn owe(&self, nanos: f64, now: Duration) -> Duration {
        let now = now.as_nanos() as u64;
        // Whoever has not written for long has nothing to his credit.
        let latest = now.saturating_add(OWED_MAX.as_nanos() as u64);
        let add = |until: u64| until.clamp(now, latest).saturating_add(nanos as u64);
        let before = self
            .owed_until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| Some(add(until)))
            .unwrap_or_else(|until| until);
        Duration::from_nanos(add(before) - now)
    }

    /// For how long writers were slowed, and for how long they stood still; of all of them together.
    pub(crate) fn waited(&self) -> (Duration, Duration) {
        let of = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Acquire));
        (of(&self.slowed), of(&self.stopped))
    }
}

impl Inner {
    /// Slows a writer of `count` operations, which take `len` bytes in the log, as far as flushes or
    /// merges of the keyspaces that they go to are behind.
    pub(crate) fn slow_down<'a>(
        &self,
        cores: &(impl Iterator<Item = &'a Core> + Clone),
        count: u64,
        len: u64,
    ) {
        let toll = || {
            let memory = self.memory.fill();
            cores.clone().map(|core| self.pacing.toll(memory, core)).fold(0.0, f64::max)
        };
        let nanos = toll() * len.saturating_add(count.saturating_mul(OPERATION_LEN)) as f64;
        if nanos == 0.0 {
            return;
        }
        let owed = self.pacing.owe(nanos, self.pacing.began.elapsed());
        if owed >= NAP {
            let start = Instant::now();
            self.work.wait_while(owed, || toll() > 0.0 && !self.is_failed());
            add(&self.pacing.slowed, start);
        }
    }

    /// What writers are slowed or stopped by.
    pub(crate) fn why_throttled(&self) -> Option<String> {
        if self.executor == Executor::Inline {
            return None;
        }
        if self.memory.fill() > 0.0 {
            return Some("flushes are behind: memtables hold nearly all they may".into());
        }
        self.cores().iter().find_map(|core| match core.fills() {
            (flush, _) if flush > 0.0 => {
                Some(format!("keyspace {:?} is behind with flushes", core.name))
            }
            (_, merge) if merge > 0.0 => Some(format!(
                "keyspace {:?} is behind with merges: {} runs in level 0",
                core.name,
                core.level0_runs()
            )),
            _ => None,
        })
    }

    /// Waits until no writer to these keyspaces has to stand still.
    pub(crate) fn stand_still(&self, must_wait: impl Fn() -> bool) -> Result<(), crate::Error> {
        if !must_wait() {
            return Ok(());
        }
        let start = Instant::now();
        let done = self.work.wait_for_relief(must_wait);
        add(&self.pacing.stopped, start);
        done
    }
}

fn add(nanos: &AtomicU64, since: Instant) {
    nanos.fetch_add(since.elapsed().as_nanos() as u64, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_costs_what_the_fill_says() {
        // (length, fill, nanoseconds a byte at 10 when nothing is behind)
        let rows = [
            (0, 0.0, 0.0),
            (100, 0.0, 0.0),
            (125, 0.25, 10.0 / 3.0),
            (150, 0.5, 10.0),
            (175, 0.75, 30.0),
        ];
        for (len, wanted, nanos) in rows {
            let fill = fill(len, 100, 200);
            assert!((fill - wanted).abs() < 1e-9, "{len}: {fill}");
            assert!((toll(fill, 10.0) - nanos).abs() < 1e-9, "{len}");
        }
        assert!((fill(1_000, 100, 200) - 1.0).abs() < 1e-9);
        assert!(toll(1.0, 10.0).is_finite());
        assert!((fill(7, 7, 7) - 0.0).abs() < 1e-9 && (fill(8, 7, 7) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_owed_is_summed_up_and_forgotten_by_whoever_rests() {
        let pacing = Pacing::default();
        let at = Duration::from_micros;
        assert_eq!(pacing.owe(600_000.0, at(0)), at(600));
        assert_eq!(pacing.owe(600_000.0, at(0)), at(1_200), "two who write at once share");
        assert_eq!(pacing.owe(600_000.0, at(10_000)), at(600), "no credit for having rested");
        pacing.owe(1e15, at(10_000));
        assert!(
            pacing.owe(1_000.0, at(10_000)) <= OWED_MAX + at(1),
            "nobody pays for others' batches"
        );
    }

    #[test]
    fn old_jobs_count_less() {
        let drain = Drain::default();
        assert!((drain.nanos_per_byte() - NANOS_PER_BYTE).abs() < 1e-9);
        let job = 64 << 20;
        for (nanos, jobs) in [(100, 1), (2, 6), (100, 6)] {
            for _ in 0..jobs {
                drain.note(job, Duration::from_nanos(job * nanos));
            }
            let measured = drain.nanos_per_byte();
            assert!((measured - nanos as f64).abs() < 2.0, "{measured}");
        }
    }

    #[test]
    fn jobs_that_take_little_away_change_little() {
        let drain = Drain::default();
        drain.note(64 << 20, Duration::from_nanos((64 << 20) * 10));
        for _ in 0..1000 {
            drain.note(0, Duration::from_secs(1));
            drain.note(100, Duration::from_micros(50));
        }
        let measured = drain.nanos_per_byte();
        assert!(measured < 20.0, "{measured}");
    }

    /// What became of a stream of writes.
    struct Stream {
        stops: u32,
        longest: Duration,
        bytes_per_second: f64,
    }

    /// A writer who takes `write` nanoseconds a byte beside flushes that take `flush`, each of a whole
    /// memtable: both ends of the queue move in steps, as they do in a database.
    fn stream(write: f64, flush: f64) -> Stream {
        const MEMTABLE: u64 = 64 << 20;
        const ROW: u64 = 116;
        let pacing = Pacing::default();
        pacing.flushes.note(1 << 20, Duration::from_nanos((f64::from(1 << 20) * flush) as u64));
        let (mut now, mut len, mut active, mut written) = (0.0_f64, 0_u64, 0_u64, 0_u64);
        let mut flushed_at = None;
        let (mut stops, mut longest) = (0, Duration::ZERO);
        while written < 1 << 30 {
            if flushed_at.is_some_and(|at| at <= now) {
                (len, flushed_at) = (len - MEMTABLE, None);
            }
            if active >= MEMTABLE && flushed_at.is_none() {
                flushed_at = Some(now + MEMTABLE as f64 * flush);
                active -= MEMTABLE;
            }
            let mut wait = Duration::ZERO;
            if len >= 2 * MEMTABLE {
                stops += 1;
                wait = Duration::from_nanos((flushed_at.unwrap_or(now) - now) as u64 + 1);
            } else {
                let fill = fill(len, MEMTABLE * 3 / 2, 2 * MEMTABLE);
                let nanos = toll(fill, pacing.flushes.nanos_per_byte()) * ROW as f64;
                if nanos > 0.0 {
                    let owed = pacing.owe(nanos, Duration::from_nanos(now as u64));
                    wait = if owed >= NAP { owed } else { Duration::ZERO };
                }
                now += write * ROW as f64;
                (len, active, written) = (len + ROW, active + ROW, written + ROW);
            }
            now += wait.as_nanos() as f64;
            longest = longest.max(wait);
        }
        Stream { stops, longest, bytes_per_second: written as f64 / now * 1e9 }
    }

    #[test]
    fn a_stream_faster_than_flushes_never_stops_and_is_as_fast_as_they_are() {
        // Nanoseconds a byte of the writer, and of flushes.
        for (write, flush) in [(2.0, 3.0), (2.0, 10.0), (1.0, 50.0), (15.0, 16.0)] {
            let Stream { stops, longest, bytes_per_second } = stream(write, flush);
            let share = bytes_per_second * flush / 1e9;
            assert_eq!(stops, 0, "{write} {flush}");
            assert!(longest < Duration::from_millis(10), "{write} {flush}: {longest:?}");
            assert!(share > 0.9, "{write} {flush}: {share}");
        }
    }

    #[test]
    fn a_stream_slower_than_flushes_is_not_slowed() {
        let Stream { stops, longest, bytes_per_second } = stream(10.0, 3.0);
        assert_eq!((stops, longest), (0, Duration::ZERO));
        assert!((bytes_per_second * 10.0 / 1e9 - 1.0).abs() < 0.01);
    }
}
