//! What is left to do once reads see what a job made, on several threads.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Helpers, Tree,
    crew::{Task, do_all},
    files::TableHandle,
    view::View,
    warming::{numbers_of, warm},
};

/// Something that whoever waits for a job waits for, and that does not depend on anything else of it.
enum Chore {
    /// A file that nobody holds any more goes.
    Remove(PathBuf),
    /// A table is made ready to be read.
    Warm(Arc<TableHandle>),
}

impl Tree {
    /// As [`warm_since`](Self::warm_since), and removes what was given up by now: the files that the job
    /// replaced, of which each takes the system as long as it has pages. All of that is divided between
    /// this thread and the helpers. To be called with no lock held.
    pub(crate) fn settle_since(&self, before: Arc<View>, helpers: &Helpers) {
        let known = numbers_of(&before);
        // Handles of what was replaced go with it, and their files are given up.
        drop(before);
        let new = self.tables_since(&known).into_iter().map(Chore::Warm);
        let remove = self.store.files.take_unused().into_iter().map(Chore::Remove);

        let mut shares: Vec<Vec<Chore>> = Vec::new();
        shares.resize_with(helpers.count.saturating_add(1), Vec::new);
        for (at, chore) in remove.chain(new).enumerate() {
            let count = shares.len();
            if let Some(share) = shares.get_mut(at % count) {
                share.push(chore);
            }
        }
        let task = |share: Vec<Chore>| {
            let files = Arc::clone(&self.store.files);
            Box::new(move || {
                for chore in share {
                    match chore {
                        Chore::Remove(path) => files.remove(&path),
                        Chore::Warm(table) => warm(&table),
                    }
                }
            }) as Task<()>
        };
        let tasks = shares.into_iter().filter(|share| !share.is_empty()).map(task).collect();
        do_all(Some(helpers.pool.as_ref()), tasks);
    }
}
