//! Work on a tree's tables: jobs that are planned, held back, chosen, and stopped.

use std::{collections::BTreeSet, sync::Arc};

use stratal_compaction::plan::JobKind;
use stratal_engine::{Error, Job, Tree};
use stratal_testkit::Rng;

use crate::{hook_fs::Hook, subject::Subject};

/// What can come of a job that was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// It is done.
    Success,
    /// It is done, or does not fit any more.
    Stale,
}

/// Jobs until a tree must be at rest.
const JOBS_MAX: usize = 3000;

impl Subject<'_> {
    pub(crate) fn plan_and_run(&mut self, is_major: bool) {
        let job = if is_major { self.tree().plan_major() } else { self.tree().plan() };
        if let Some(job) = job {
            self.note_loss(&job, true);
            self.run(&job, Allowed::Success);
            self.counts.add(if is_major { "merge towards one run" } else { "merge" });
        }
    }

    pub(crate) fn run(&mut self, job: &Job, allowed: Allowed) {
        match self.tree().run(job) {
            Ok(done) if done.parts > 1 => self.counts.add("job in parts"),
            Ok(_) => {}
            Err(Error::StaleJob(_)) if allowed == Allowed::Stale => self.counts.add("stale job"),
            Err(error) => panic!("{self}: {error}: {job:?}"),
        }
        self.counts.add(match job.kind {
            JobKind::Drop(_) => "removal of tables",
            JobKind::Expire => "expiry of tables",
            JobKind::Forget(None) => "removal of expired tables",
            JobKind::Forget(Some(_)) => "refusal of readers",
            JobKind::TrivialMove => "move",
            _ => "job",
        });
    }

    /// Merges until nothing is left to do, which must come.
    pub(crate) fn settle(&mut self, is_major: bool) {
        for _ in 0..JOBS_MAX {
            let job = if is_major { self.tree().plan_major() } else { self.tree().plan() };
            let Some(job) = job else {
                self.counts.add(if is_major { "full compaction" } else { "compaction" });
                return;
            };
            self.note_loss(&job, true);
            self.run(&job, Allowed::Success);
        }
        panic!("{self}: {JOBS_MAX} jobs, and the tree is not at rest");
    }

    /// Tables that a caller chooses: those between one of them and another place that overlap.
    pub(crate) fn merge_chosen_tables(&mut self, rng: &mut Rng) {
        let version = self.tree().version();
        let order = self.world.comparator.as_ref();
        let tables: Vec<_> = version.tables().collect();
        let Some((place, first)) = tables.get(rng.index(tables.len())) else { return };
        let level = place.level as usize + rng.index(3);
        let mut chosen = BTreeSet::from([first.number]);
        if rng.chance(3, 4) {
            let mut span = first.span.clone();
            let between = |at: &stratal_manifest::Place| {
                let is_behind =
                    at.level > place.level || (at.level == place.level && at.age <= place.age);
                is_behind && at.level as usize <= level
            };
            loop {
                let before = chosen.len();
                for (at, table) in &tables {
                    if between(at)
                        && table.span.overlaps(&span, order)
                        && chosen.insert(table.number)
                    {
                        span = span.hull(&table.span, order);
                    }
                }
                if chosen.len() == before {
                    break;
                }
            }
        }
        let chosen: Vec<u64> = chosen.into_iter().collect();
        match self.tree().plan_tables(&chosen, level) {
            Ok(job) => {
                self.run(&job, Allowed::Success);
                self.counts.add("merge of chosen tables");
            }
            Err(Error::InvalidArgument(_)) => self.counts.add("refused choice of tables"),
            Err(error) => panic!("{self}: {error}"),
        }
    }

    pub(crate) fn run_held(&mut self, rng: &mut Rng) {
        if self.held_jobs.is_empty() {
            return;
        }
        let job = self.held_jobs.swap_remove(rng.index(self.held_jobs.len()));
        if rng.chance(1, 8) {
            self.tree().give_back(&job);
            return self.counts.add("job given back");
        }
        self.note_loss(&job, false);
        self.run(&job, Allowed::Stale);
        self.counts.add("held job");
    }

    fn compact(&mut self, is_major: bool) -> Result<(), Error> {
        if !self.is_expiring && !self.is_aging {
            return self.tree().compact(is_major).map(drop);
        }
        let plan = |tree: &Tree| if is_major { tree.plan_major() } else { tree.plan() };
        while let Some(job) = plan(self.tree()) {
            self.note_loss(&job, true);
            self.tree().run(&job)?;
        }
        Ok(())
    }

    /// Begins a job of which some operation of the disk fails, or that is told to end. Nothing is changed
    /// by one that ends so.
    pub(crate) fn stop_midway(&mut self, rng: &mut Rng) {
        let is_told = rng.chance(1, 3);
        if is_told {
            let tree = Arc::clone(self.tree());
            self.fs.arm(rng.below(8), Hook::Call(Box::new(move || tree.stop_jobs())));
        } else {
            self.fs.arm(rng.below(24), Hook::Fail);
        }
        let done = match rng.below(5) {
            0..=1 => self.tree().flush().map(drop),
            2 if !self.is_patient => self.compact(true),
            _ => self.compact(false),
        };
        self.fs.disarm();
        match done {
            Ok(()) => {}
            Err(Error::Stopped) if is_told => self.counts.add("job told to end"),
            Err(Error::Io { .. } | Error::Table { .. } | Error::Manifest(_)) if !is_told => {
                self.counts.add("job stopped midway");
            }
            Err(error) => panic!("{self}: {error}"),
        }
    }
}
