//! How a tree fares under loads that differ in shape, with what it says about its own work.
use super::{
    Bench, Out, Phase,
    loads::{Change, Changes, Load},
};
use crate::{
    data::{self, Rng, Values},
    engine::{Engine, Res},
    meter::{self, Lat},
};
use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// How long the reader pauses after each burst of reads: it is to see what the writer and the
/// background do to it, not to compete with them for the processor.
const PAUSE: Duration = Duration::from_millis(1);
const BURST: u64 = 16;

/// What the reader saw.
#[derive(Default)]
struct Seen {
    lat: Lat,
    ops: u64,
    bad: u64,
    /// Sum and number of what the engine said about a get.
    sources: (f64, u64),
    sources_max: f64,
}

impl<E: Engine> Bench<E> {
    /// Loads, then writes as fast as it goes while one thread reads at a moderate pace.
    pub(super) fn suite_shape(&mut self, name: &str) -> Res<()> {
        let load = Load::named(name).ok_or_else(|| format!("no such load: {name}"))?;
        let n = self.keys.n;
        let perm = std::mem::take(&mut self.perm);
        let loaded = load.loaded(n);
        self.open()?;
        match load {
            Load::Time | Load::Queue => self.fill("shape_load", loaded, 0, |j| j)?,
            _ => self.fill("shape_load", loaded, 0, |j| u64::from(perm[j as usize]))?,
        }
        drop(perm);
        self.idle_reads(name, load)?;
        self.changes(name, load)?;
        let live = load.live(n, load.len(n));
        self.full_scan(&format!("shape_{name}_scan"), false, Some(live.end - live.start))
    }

    /// What reads take with nobody beside them.
    fn idle_reads(&mut self, name: &str, load: Load) -> Res<()> {
        let stop = AtomicBool::new(false);
        let p = Phase::start();
        let seen = std::thread::scope(|s| {
            let reader = s.spawn(|| self.reader(load, &AtomicU64::new(0), &stop));
            std::thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::Relaxed);
            reader.join().expect("no panic")
        })?;
        self.bad += seen.bad;
        let o = Out { ops: seen.ops, lat: seen.lat, ..Default::default() };
        self.emit(&format!("shape_{name}_idle"), &p, o);
        Ok(())
    }

    fn changes(&mut self, name: &str, load: Load) -> Res<()> {
        let n = self.keys.n;
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let (mut vals, mut lat) = (Values::new(self.vlen), Lat::default());
        let p = Phase::start();
        let seen = std::thread::scope(|s| {
            let reader = s.spawn(|| self.reader(load, &done, &stop));
            let written = Changes::new(load, n).try_for_each(|change| {
                let t = meter::ticks();
                match change {
                    Change::Put(i) => self.e().put(&self.keys.key(i), vals.get(i, 1)),
                    Change::Delete(i) => self.e().delete(&self.keys.key(i)),
                }?;
                lat.add(meter::ticks() - t);
                done.fetch_add(1, Ordering::AcqRel);
                Ok(())
            });
            stop.store(true, Ordering::Relaxed);
            let seen = reader.join().expect("no panic");
            written.and(seen)
        })?;
        self.bad += seen.bad;
        let ops = load.len(n);
        let mut o = Out { ops, bytes: ops * self.pair(), lat, ..Default::default() };
        let _ = write!(
            o.extra,
            ",\"r_ops\":{},\"r_p50\":{:.0},\"r_p99\":{:.0},\"r_max\":{:.0}",
            seen.ops,
            seen.lat.quantile_ns(0.5),
            seen.lat.quantile_ns(0.99),
            seen.lat.max_ns()
        );
        if seen.sources.1 > 0 {
            let mean = seen.sources.0 / seen.sources.1 as f64;
            let _ =
                write!(o.extra, ",\"read_amp\":{mean:.3},\"read_amp_max\":{:.0}", seen.sources_max);
        }
        self.emit(&format!("shape_{name}"), &p, o);
        self.e().wait_idle()?;
        let live = load.live(n, ops);
        let live_bytes = (live.end - live.start) * self.pair();
        let mut o = Out { ops, bytes: ops * self.pair(), ..Default::default() };
        let _ = write!(o.extra, ",\"live\":{live_bytes},\"shape\":{:?}", self.e().info().shape);
        if let Some(said) = self.e().amplification() {
            let _ = write!(
                o.extra,
                ",\"write_amp\":{:.3},\"idle_read_amp\":{:.0},\"space_amp\":{:.3}",
                said.write, said.read, said.space
            );
        }
        self.emit(&format!("shape_{name}+idle"), &p, o);
        Ok(())
    }

    /// Reads keys that live, until it is told to stop.
    fn reader(&self, load: Load, done: &AtomicU64, stop: &AtomicBool) -> Res<Seen> {
        let (e, n) = (self.e(), self.keys.n);
        let mut rng = Rng::new(43);
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..BURST {
                let live = load.live(n, done.load(Ordering::Acquire));
                let i = live.start + rng.below(live.end - live.start);
                let k = self.keys.key(i);
                let t = meter::ticks();
                let ok = e.get(&k, |v| data::tag_ok(v, i))?;
                seen.lat.add(meter::ticks() - t);
                // The writer went on meanwhile, and may be at a delete that it has not counted.
                let may_be_gone = || i < load.live(n, done.load(Ordering::Acquire) + 1).start;
                seen.bad += u64::from(match ok {
                    Some(is_right) => !is_right,
                    None => !may_be_gone(),
                });
                seen.ops += 1;
            }
            if seen.ops.is_multiple_of(BURST * 16)
                && let Some(said) = e.amplification()
            {
                seen.sources.0 += said.read;
                seen.sources.1 += 1;
                seen.sources_max = seen.sources_max.max(said.read);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(seen)
    }
}
