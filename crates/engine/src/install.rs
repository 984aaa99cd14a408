//! How what a flush or a merge made becomes what reads see.

use std::{collections::HashSet, sync::Arc};

use stratal_compaction::plan::Job;
use stratal_manifest::{Version, VersionEdit};

use crate::{
    Error, Helpers, Pinning, Tree,
    files::{JobLedger, TableHandle},
    job::JobBoard,
    read_state::ReadState,
    view::View,
};

impl Tree {
    pub(crate) fn install(
        &self,
        job: &Job,
        ledger: &JobLedger,
        helpers: Option<&Helpers>,
        change: impl FnOnce(&mut VersionEdit) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut manifest = self.store.manifest.lock();
        let view = Arc::clone(&self.state.load().view);
        // Without the board: the job itself is on it.
        let shape = self.shape(&view, &JobBoard::default());
        job.check(&shape, self.comparator.as_ref())
            .map_err(|invalid| Error::StaleJob(invalid.to_string()))?;
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        change(&mut edit)?;
        let version = self.commit(&mut manifest, &edit, ledger)?;
        self.swap_view(&version, |_| {});
        drop(manifest);
        match helpers {
            Some(helpers) => self.settle_since(view, helpers),
            None => self.warm_since(&view),
        }
        Ok(())
    }

    /// What every edit carries.
    pub(crate) fn stamp(&self, edit: &mut VersionEdit) {
        edit.set_clock(self.store.clock().next());
        edit.set_retention_floor(self.store.clock().floor());
        let marks = self.store.times.lock().unwritten();
        for mark in marks {
            edit.mark_time(mark);
        }
    }

    /// Makes `edit` durable. If nobody knows whether it is, its files stay until somebody does.
    pub(crate) fn commit(
        &self,
        manifest: &mut stratal_manifest::Manifest,
        edit: &VersionEdit,
        ledger: &JobLedger,
    ) -> Result<Arc<Version>, Error> {
        match self.store.append(manifest, edit) {
            Ok(version) => {
                ledger.release();
                self.store.times.lock().note_put_down(&version.times);
                Ok(version)
            }
            Err(error) => {
                if !manifest.is_settled() {
                    self.store.keep_in_limbo(ledger.release());
                }
                Err(error)
            }
        }
    }

    /// Lets reads see `version`, and `change` what is in memory, at one stroke. For the installer.
    pub(crate) fn swap_view(&self, version: &Version, change: impl FnOnce(&mut ReadState)) {
        let Some(tree) = version.trees.get(&self.id) else { return };
        let _swap = self.swap.lock();
        let before = self.state.load_full();
        let view = View::new(Arc::clone(tree), Some(&before.view), &self.store.files);
        let kept: HashSet<u64> = view.tables().map(|(_, table)| table.meta.number).collect();
        let mut state = ReadState { view: Arc::new(view), ..ReadState::clone(&before) };
        change(&mut state);
        let pinning = self.spec.load().options().pinning;
        if pinning != Pinning::default() {
            state.view.pin(pinning);
        }
        self.state.store(Arc::new(state));
        let gone = |table: &&Arc<TableHandle>| !kept.contains(&table.meta.number);
        before.view.tables().map(|(_, table)| table).filter(gone).for_each(|table| table.doom());
    }
}
