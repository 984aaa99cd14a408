//! What a process does from its start to its end.
use super::Bench;
use crate::{
    data,
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
        self.reads("readrandom", q, 0, n, false)?;
        self.reads("readhot", q * 2, n / 4, n / 10, true)?;
        self.missing("readmissing", q * 2)?;
        self.seeks("seekrandom10", q / 4, true)?;
        self.full_scan("readseq", false, Some(n))?;
        self.full_scan("readreverse", true, Some(n))?;
        let seed = 99;
        self.fill("overwrite", n, 1, |j| data::mix(j ^ seed) % n)?;
        self.read_while_writing(Duration::from_millis(1500))?;
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

    /// For profilers: a compacted tree, then only hot reads for `dur`.
    pub(super) fn suite_hot(&mut self, dur: Duration) -> Res<()> {
        let n = self.keys.n;
        self.open()?;
        let perm = std::mem::take(&mut self.perm);
        self.fill("fillrandom", n, 0, |j| u64::from(perm[j as usize]))?;
        self.major("major", n)?;
        let t0 = Instant::now();
        let mut x = 0;
        while t0.elapsed() < dur {
            self.reads("readhot", self.reads, n / 4, n / 10, x == 0)?;
            x += 1;
        }
        Ok(())
    }
}
