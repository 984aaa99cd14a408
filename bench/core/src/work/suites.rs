//! What a process does from its start to its end.
use super::Bench;
use crate::{
    data, meter,
    engine::{Engine, Res},
};
use std::time::{Duration, Instant};

impl<E: Engine> Bench<E> {
    pub(super) fn suite_seq(&mut self) -> Res<()> {
        let n = self.keys.n;
        self.open()?;
        self.fill("fillseq", n, 0, |j| j)?;
        self.full_scan("readseq_seqfill", false, Some(n))
    }

    pub(super) fn suite_rand(&mut self) -> Res<()> {
        let n = self.keys.n;
        let q = self.reads;
        let perm = std::mem::take(&mut self.perm);
        self.open()?;
        self.fill("fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        drop(perm);
        // Tree as the background work left it (several runs).
        self.reads("readrandom_frag", q / 2, 0, n, false)?;
        self.missing("readmissing_frag", q)?;
        self.seeks("seekrandom10_frag", q / 10, true)?;
        // Fully compacted.
        self.major("major", n)?;
        self.reopen("reopen", false)?;
        self.reopen("reopen_cold", true)?;
        self.reads("readrandom_cold", 5_000, 0, n, false)?;
        // From here on the page cache stands behind the engine's.
        meter::fill_page_cache(&self.dir);
        self.reads("readrandom", q, 0, n, false)?;
        self.reads("readhot", q * 2, n / 4, n / 10, true)?;
        self.missing("readmissing", q * 2)?;
        self.seeks("seekrandom10", q / 4, true)?;
        self.full_scan("readseq", false, Some(n))?;
        self.full_scan("readreverse", true, Some(n))?;
        let seed = 99;
        self.fill("overwrite", n, 1, |j| data::mix(j ^ seed) % n)?;
        self.reads("readidle", q / 4, 0, n, false)?;
        self.read_while_writing(Duration::from_millis(3000))?;
        self.major("major_overwritten", n)?;
        self.delete_ranges()
    }

    /// Growth: load and read only (for larger n).
    pub(super) fn suite_grow(&mut self) -> Res<()> {
        let n = self.keys.n;
        let q = self.reads;
        let perm = std::mem::take(&mut self.perm);
        self.open()?;
        self.fill("fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        drop(perm);
        self.reads("readrandom_frag", q, 0, n, false)?;
        self.reads("readhot_frag", q, n / 4, n / 50, true)?;
        self.missing("readmissing_frag", q)?;
        self.seeks("seekrandom10_frag", q / 10, true)?;
        self.full_scan("readseq_frag", false, Some(n))
    }

    /// With a cache that holds everything, which costs each engine what it costs.
    pub(super) fn suite_cached(&mut self) -> Res<()> {
        self.load_compacted()?;
        self.reads_of_everything_cached()
    }

    /// What a row costs in databases of different sizes: one process measures one size.
    pub(super) fn suite_curve(&mut self) -> Res<()> {
        self.load_compacted()?;
        // With the cache of all other suites, for what is held in memory.
        self.reopen("reopen", false)?;
        self.reads_of_everything_cached()
    }

    fn load_compacted(&mut self) -> Res<()> {
        let n = self.keys.n;
        let perm = std::mem::take(&mut self.perm);
        self.open()?;
        self.fill("fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        drop(perm);
        self.seeks("seekrandom10_frag", self.reads / 10, true)?;
        self.major("major", n)
    }

    fn reads_of_everything_cached(&mut self) -> Res<()> {
        let (n, q) = (self.keys.n, self.reads);
        // Four times the data is enough for every engine. Of the largest ones so much must do.
        let most = (meter::memory_len() / 3 * 2).min(4 * n * self.pair());
        self.opts.cache_bytes = self.opts.cache_bytes.max(most);
        self.reopen("reopen_cached", false)?;
        self.warm(q, 0, n)?;
        self.reads("get_cached", q * 2, 0, n, false)?;
        self.multi_gets("multiget_cached", q * 2, 32)?;
        self.missing("missing_cached", q * 2)?;
        self.seeks("seek_cached", q / 4, true)?;
        for (work, rev) in [("scan_cached", false), ("reverse_cached", true)] {
            self.full_scan(work, rev, Some(n))?;
        }
        Ok(())
    }

    pub(super) fn suite_blob(&mut self) -> Res<()> {
        let n = self.keys.n;
        let q = self.reads;
        let perm = std::mem::take(&mut self.perm);
        self.open()?;
        self.fill("blob_fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        self.reads("blob_readrandom", q, 0, n, false)?;
        self.seeks("blob_seekrandom10", q / 10, true)?;
        self.full_scan("blob_readseq", false, Some(n))?;
        self.fill("blob_overwrite", n, 1, |j| data::mix(j ^ 99) % n)?;
        self.major("blob_major", n)?;
        self.full_scan("blob_readseq_after_major", false, Some(n))
    }

    /// For profilers: a compacted tree, then one kind of read for `dur`, of so many percent of the keys.
    pub(super) fn suite_hot(&mut self, what: &str, percent: u64, dur: Duration) -> Res<()> {
        let n = self.keys.n;
        let span = (n / 100 * percent).clamp(1, n);
        let lo = if span <= n / 2 { n / 4 } else { 0 };
        let perm = std::mem::take(&mut self.perm);
        self.open()?;
        self.fill("fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        drop(perm);
        self.major("major", n)?;
        self.warm(self.reads / 2, lo, span)?;
        let t0 = Instant::now();
        while t0.elapsed() < dur {
            match what {
                "get" => self.reads("hot_get", self.reads, lo, span, false)?,
                "missing" => self.missing("hot_missing", self.reads)?,
                "seek" => self.seeks("hot_seek", self.reads / 10, true)?,
                "scan" => self.full_scan("hot_scan", false, Some(n))?,
                other => return Err(format!("--what={other}: get, missing, seek or scan").into()),
            }
        }
        Ok(())
    }
}
