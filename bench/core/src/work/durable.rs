//! Puts that wait until they are on stable storage.
use super::{Bench, Out, Phase};
use crate::{
    data::{self, Values},
    engine::{Engine, Res},
    meter::{self, Lat},
};
use std::{
    fs::File,
    io::Write as _,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Bytes appended before each sync of the bare file: about what a log writes for a record.
const RECORD: usize = 150;

impl<E: Engine> Bench<E> {
    /// One thread, and sixteen, for `each` of time; before and between what the device takes for a
    /// bare append and sync, since that changes by the hour.
    pub(super) fn suite_durable(&mut self, each: Duration) -> Res<()> {
        if !E::CAPS.durable {
            return Ok(());
        }
        self.open()?;
        self.bare_sync(each / 2)?;
        let first = self.durable_puts(1, 0..self.keys.n / 2, each)?;
        self.bare_sync(each / 2)?;
        let all = self.durable_puts(16, first..self.keys.n, each)?;
        // All of it must be there when it is opened again.
        self.reopen_at("durable_reopen", false, 0)?;
        let mut bad = 0;
        for i in 0..all {
            let ok = self.e().get(&self.keys.key(i), |v| data::tag_ok(v, i))?;
            bad += u64::from(ok != Some(true));
        }
        self.bad += bad;
        let p = Phase::start();
        self.emit("durable_check", &p, Out { ops: all, ..Default::default() });
        Ok(())
    }

    /// Puts of these keys by `threads` threads, until all are put or the time is over. Returns the
    /// first key that nobody put.
    fn durable_puts(&mut self, threads: u64, keys_of: Range<u64>, dur: Duration) -> Res<u64> {
        let next = AtomicU64::new(keys_of.start);
        let (e, keys, vlen) = (self.e(), &self.keys, self.vlen);
        let p = Phase::start();
        let t0 = Instant::now();
        let put_all = || -> Res<Lat> {
            let (mut vals, mut lat) = (Values::new(vlen), Lat::default());
            while t0.elapsed() < dur {
                let i = next.fetch_add(1, Relaxed);
                if i >= keys_of.end {
                    break;
                }
                let (k, v) = (keys.key(i), vals.get(i, 0));
                let t = meter::ticks();
                e.put_durable(&k, v)?;
                lat.add(meter::ticks() - t);
            }
            Ok(lat)
        };
        let all: Vec<Res<Lat>> = std::thread::scope(|s| {
            let started: Vec<_> = (0..threads).map(|_| s.spawn(put_all)).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let mut lat = Lat::default();
        for one in all {
            lat.merge(&one?);
        }
        let end = next.load(Relaxed).min(keys_of.end);
        let ops = end - keys_of.start;
        let bytes = ops * self.pair();
        self.emit(&format!("durable{threads}"), &p, Out { ops, bytes, lat, ..Default::default() });
        Ok(end)
    }

    fn bare_sync(&mut self, dur: Duration) -> Res<()> {
        let path = self.dir.join("bare");
        let mut file = File::create(&path)?;
        let (mut lat, mut ops) = (Lat::default(), 0);
        let p = Phase::start();
        while p.t.elapsed() < dur {
            let t = meter::ticks();
            file.write_all(&[7; RECORD])?;
            file.sync_data()?;
            lat.add(meter::ticks() - t);
            ops += 1;
        }
        self.emit("fdatasync", &p, Out { ops, lat, ..Default::default() });
        Ok(std::fs::remove_file(path)?)
    }
}
