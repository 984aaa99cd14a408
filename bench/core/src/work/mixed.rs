//! Phases in which reads and writes meet.
use super::{Bench, Out, Phase};
use crate::{
    data::{self, Rng, Values},
    engine::{Engine, Res},
    meter::{self, Lat},
};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

impl<E: Engine> Bench<E> {
    /// One writer (random overwrites, unthrottled) and one reader.
    pub(super) fn read_while_writing(&mut self, dur: Duration) -> Res<()> {
        let keys = self.keys.clone();
        let stop = AtomicBool::new(false);
        let (w, bad) = (AtomicU64::new(0), AtomicU64::new(0));
        let vlen = self.vlen;
        let p = Phase::start();
        let e = self.e();
        let (rd, rl, wl) = std::thread::scope(|s| {
            let wr = s.spawn(|| -> Lat {
                let mut vals = Values::new(vlen);
                let mut r = Rng::new(21);
                let mut lat = Lat::default();
                let mut cnt = 0u64;
                while !stop.load(Relaxed) {
                    let i = r.below(keys.n);
                    let v = vals.get(i, 3);
                    let t = meter::ticks();
                    if e.put(&keys.key(i), v).is_err() {
                        bad.fetch_add(1, Relaxed);
                    }
                    lat.add(meter::ticks() - t);
                    cnt += 1;
                }
                w.store(cnt, Relaxed);
                lat
            });
            let mut lat = Lat::default();
            let mut r = Rng::new(22);
            let mut cnt = 0u64;
            let t0 = Instant::now();
            loop {
                let i = r.below(keys.n);
                let t = meter::ticks();
                let ok = e.get(&keys.key(i), |v| data::tag_ok(v, i));
                lat.add(meter::ticks() - t);
                if !matches!(ok, Ok(Some(true))) {
                    bad.fetch_add(1, Relaxed);
                }
                cnt += 1;
                if cnt.is_multiple_of(64) && t0.elapsed() >= dur {
                    break;
                }
            }
            stop.store(true, Relaxed);
            (cnt, lat, wr.join().expect("writer"))
        });
        self.bad += bad.load(Relaxed);
        let wn = w.load(Relaxed);
        let secs = p.t.elapsed().as_secs_f64();
        let extra = format!(
            ",\"writes\":{wn},\"writes_s\":{:.0},\"reads_s\":{:.0},\"w_p99\":{:.0},\"w_max\":{:.0}",
            wn as f64 / secs,
            rd as f64 / secs,
            wl.quantile_ns(0.99),
            wl.max_ns()
        );
        self.emit("readwhilewriting", &p, Out { ops: rd, lat: rl, extra, bytes: 0 });
        self.e().wait_idle()
    }

    /// 1000 ranges of n/10000 keys (10 % of all), natively or key by key.
    pub(super) fn delete_ranges(&mut self) -> Res<()> {
        let keys = self.keys.clone();
        let (ranges, width) = (1000.min(keys.n / 20), (keys.n / 10_000).max(1));
        let native = E::CAPS.delete_range;
        let stride = keys.n / ranges;
        let p = Phase::start();
        let e = self.e();
        for x in 0..ranges {
            let lo = x * stride;
            if native {
                e.delete_range(&keys.key(lo), &keys.key(lo + width))?;
            } else {
                for i in lo..lo + width {
                    e.delete(&keys.key(i))?;
                }
            }
        }
        let o = Out {
            ops: ranges,
            extra: format!(",\"native\":{}", u8::from(native)),
            ..Default::default()
        };
        self.emit("deleterange", &p, o);
        let live = keys.n - ranges * width;
        self.full_scan("scan_after_deleterange", false, Some(live))?;
        // Reads: 10 % deleted, 90 % live, both must answer rightly.
        let (mut bad, mut lat, cnt) = (0, Lat::default(), self.reads / 4);
        let mut r = Rng::new(31);
        let p = Phase::start();
        let e = self.e();
        for _ in 0..cnt {
            let i = r.below(keys.n);
            let gone = i % stride < width && i / stride < ranges;
            let t = meter::ticks();
            let ok = e.get(&keys.key(i), |v| data::tag_ok(v, i))?;
            lat.add(meter::ticks() - t);
            bad += u64::from(ok != if gone { None } else { Some(true) });
        }
        self.bad += bad;
        self.emit("read_after_deleterange", &p, Out { ops: cnt, lat, ..Default::default() });
        self.e().wait_idle()?;
        self.major("major_after_deleterange", live)?;
        self.full_scan("scan_after_deleterange_major", false, Some(live))
    }
}
