//! Tables that are ready to be read before anybody reads them.

use std::collections::HashSet;

use crate::{Tree, view::View};

impl Tree {
    /// Opens the tables that the tree has and `before` had not, and loads what lookups in them begin
    /// with: whoever wrote them does that, and not the first who reads. To be called with no lock held.
    ///
    /// What fails here fails whoever reads, and is told to him.
    pub(crate) fn warm_since(&self, before: &View) {
        let known: HashSet<u64> = before.tables().map(|(_, table)| table.meta.number).collect();
        let state = self.state.load_full();
        let is_new = |number: u64| !known.contains(&number);
        for (_, handle) in state.view.tables().filter(|(_, table)| is_new(table.meta.number)) {
            if let Ok(table) = handle.table() {
                drop(table.warm());
            }
        }
    }
}
