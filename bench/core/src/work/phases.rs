//! Phases of one kind of work on one thread.
use super::{Bench, Out, Phase};
use crate::{
    data::{self, Rng, Values},
    engine::{Engine, Res},
    meter::{self, Lat},
};
use std::{fmt::Write as _, time::Instant};

impl<E: Engine> Bench<E> {
    /// `count` puts; `pick(j)` gives the key index of the j-th.
    pub(super) fn fill(
        &mut self,
        work: &str,
        count: u64,
        ver: u8,
        pick: impl Fn(u64) -> u64,
    ) -> Res<()> {
        let mut vals = Values::new(self.vlen);
        let mut lat = Lat::default();
        let keys = self.keys.clone();
        let p = Phase::start();
        let e = self.e();
        for j in 0..count {
            let i = pick(j);
            let k = keys.key(i);
            let v = vals.get(i, ver);
            let t = meter::ticks();
            e.put(&k, v)?;
            lat.add(meter::ticks() - t);
        }
        let mut o = Out { ops: count, bytes: count * self.pair(), lat, ..Default::default() };
        o.extra = format!(",\"shape\":{:?}", e.info().shape);
        self.emit(work, &p, o);
        // The same load again, counted until no background work is left.
        self.e().wait_idle()?;
        let i = self.e().info();
        let mut o = Out { ops: count, bytes: count * self.pair(), ..Default::default() };
        let _ = write!(o.extra, ",\"shape\":{:?},\"idle\":1", i.shape);
        if let Some(f) = i.filter_bytes {
            let _ = write!(o.extra, ",\"filter\":{f}");
        }
        self.emit(&format!("{work}+idle"), &p, o);
        Ok(())
    }

    /// Point reads of present keys. `lo..lo+span` limits the key indices.
    pub(super) fn reads(
        &mut self,
        work: &str,
        count: u64,
        lo: u64,
        span: u64,
        warm: bool,
    ) -> Res<()> {
        let keys = self.keys.clone();
        let mut bad = 0;
        let mut lat = Lat::default();
        let vlen = self.vlen;
        if warm {
            self.warm(count / 2, lo, span)?;
        }
        let mut r = Rng::new(9);
        let p = Phase::start();
        let e = self.e();
        for j in 0..count {
            let i = lo + r.below(span);
            let k = keys.key(i);
            let full = j % 1024 == 0;
            let t = if j % 8 == 0 { meter::ticks() } else { 0 };
            let ok =
                e.get(&k, |v| if full { data::value_ok(v, i, vlen) } else { data::tag_ok(v, i) })?;
            if t != 0 {
                lat.add(meter::ticks() - t);
            }
            bad += u64::from(ok != Some(true));
        }
        self.bad += bad;
        let o = Out { ops: count, lat, ..Default::default() };
        self.emit(work, &p, o);
        Ok(())
    }

    /// Puts every block of the span into the cache, by one ascending pass and some reads.
    pub(super) fn warm(&mut self, count: u64, lo: u64, span: u64) -> Res<()> {
        let keys = self.keys.clone();
        let mut left = span as usize;
        let mut from = keys.key(lo);
        while left > 0 {
            let mut last = from;
            let got =
                self.e().scan(&from, left.min(10_000), &mut |k, _| last.copy_from_slice(k))?;
            if got < 2 {
                break;
            }
            left -= got.min(left);
            from = last;
        }
        let mut r = Rng::new(5);
        for _ in 0..count {
            let i = lo + r.below(span);
            self.e().get(&keys.key(i), |_| ())?;
        }
        Ok(())
    }

    /// Reads of `at_once` present keys, anywhere, in one call. An operation is a key.
    pub(super) fn multi_gets(&mut self, work: &str, count: u64, at_once: usize) -> Res<()> {
        let keys = self.keys.clone();
        let mut bad = 0;
        let mut lat = Lat::default();
        let mut r = Rng::new(15);
        let mut asked = vec![(0, [0; data::KEY_LEN]); at_once];
        let calls = count / at_once as u64;
        let p = Phase::start();
        let e = self.e();
        for _ in 0..calls {
            asked.fill_with(|| {
                let i = r.below(keys.n);
                (i, keys.key(i))
            });
            let ks: Vec<data::Key> = asked.iter().map(|(_, k)| *k).collect();
            let mut right = 0;
            let t = meter::ticks();
            e.multi_get(&ks, &mut |at, v| {
                right += usize::from(v.is_some_and(|v| data::tag_ok(v, asked[at].0)));
            })?;
            lat.add(meter::ticks() - t);
            bad += (at_once - right) as u64;
        }
        self.bad += bad;
        let extra = format!(",\"native\":{}", u8::from(E::CAPS.multi_get));
        self.emit(work, &p, Out { ops: calls * at_once as u64, lat, extra, ..Default::default() });
        Ok(())
    }

    pub(super) fn missing(&mut self, work: &str, count: u64) -> Res<()> {
        let keys = self.keys.clone();
        let mut bad = 0;
        let mut lat = Lat::default();
        let mut r = Rng::new(11);
        let p = Phase::start();
        let e = self.e();
        for j in 0..count {
            let k = keys.missing(r.below(keys.n));
            let t = if j % 8 == 0 { meter::ticks() } else { 0 };
            let hit = e.get(&k, |_| ())?.is_some();
            if t != 0 {
                lat.add(meter::ticks() - t);
            }
            bad += u64::from(hit);
        }
        self.bad += bad;
        self.emit(work, &p, Out { ops: count, lat, ..Default::default() });
        Ok(())
    }

    /// Seek to a random key, then read it and the 9 after it ("next 10").
    pub(super) fn seeks(&mut self, work: &str, count: u64, strict: bool) -> Res<()> {
        let keys = self.keys.clone();
        let mut bad = 0;
        let mut lat = Lat::default();
        let mut r = Rng::new(13);
        let p = Phase::start();
        let e = self.e();
        for _ in 0..count {
            let i = r.below(keys.n - 10);
            let k = keys.key(i);
            let mut at = 0;
            let mut ok = true;
            let t = meter::ticks();
            let got = e.scan(&k, 10, &mut |kk, v| {
                if strict {
                    if at == 0 {
                        ok &= kk == k;
                    }
                    ok &= data::tag_ok(v, i + at);
                }
                at += 1;
            })?;
            lat.add(meter::ticks() - t);
            bad += u64::from(!ok || got != 10);
        }
        self.bad += bad;
        self.emit(work, &p, Out { ops: count, lat, ..Default::default() });
        Ok(())
    }

    pub(super) fn full_scan(&mut self, work: &str, rev: bool, expect: Option<u64>) -> Res<()> {
        let keys = self.keys.clone();
        let p = Phase::start();
        let e = self.e();
        let (mut cnt, mut bad, mut bytes) = (0u64, 0u64, 0u64);
        let mut prev = [0u8; data::KEY_LEN];
        let mut f = |k: &[u8], v: &[u8]| {
            // Strictly monotonic, and (untouched data) the right value.
            let ord = if rev { k < &prev[..] } else { k > &prev[..] };
            bad += u64::from(cnt > 0 && !ord);
            prev.copy_from_slice(k);
            bytes += (k.len() + v.len()) as u64;
            if expect == Some(keys.n) {
                let i = if rev { keys.n - 1 - cnt } else { cnt };
                bad += u64::from(!data::tag_ok(v, i));
            }
            cnt += 1;
        };
        if rev {
            e.scan_rev(&[0xFF; 17], usize::MAX, &mut f)?;
        } else {
            e.scan(&[], usize::MAX, &mut f)?;
        }
        if let Some(x) = expect {
            bad += cnt.abs_diff(x);
        }
        self.bad += bad;
        self.emit(work, &p, Out { ops: cnt, bytes, ..Default::default() });
        Ok(())
    }

    pub(super) fn major(&mut self, work: &str, live: u64) -> Res<()> {
        let before = meter::disk(&self.dir).1;
        let p = Phase::start();
        let written = meter::io().wchar;
        self.e().compact_all()?;
        let written = meter::io().wchar - written;
        let i = self.e().info();
        // Where background work has left one run there is nothing to measure.
        let is_done_before = written < live;
        let bytes = if is_done_before { 0 } else { live * self.pair() };
        let mut o = Out { ops: live, bytes, ..Default::default() };
        let _ = write!(o.extra, ",\"disk_before\":{before},\"shape\":{:?}", i.shape);
        if let Some(f) = i.filter_bytes {
            let _ = write!(o.extra, ",\"filter\":{f}");
        }
        self.emit(work, &p, o);
        Ok(())
    }

    /// Clean close, open, first read.
    pub(super) fn reopen(&mut self, work: &str, cold: bool) -> Res<()> {
        self.reopen_at(work, cold, self.keys.n / 3)
    }

    /// The same; the first read is of key `i`.
    pub(super) fn reopen_at(&mut self, work: &str, cold: bool, i: u64) -> Res<()> {
        let t0 = Instant::now();
        self.e.take().expect("open").close()?;
        let close = t0.elapsed().as_secs_f64();
        if cold {
            meter::drop_page_cache(&self.dir);
        }
        meter::trim();
        let k = self.keys.key(i);
        let p = Phase::start();
        self.open()?;
        let ok = self.e().get(&k, |v| data::tag_ok(v, i))?;
        self.bad += u64::from(ok != Some(true));
        let o = Out { ops: 1, extra: format!(",\"close_secs\":{close:.4}"), ..Default::default() };
        self.emit(work, &p, o);
        Ok(())
    }
}
