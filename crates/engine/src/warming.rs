//! Tables that are ready to be read before anybody reads them.

use std::{collections::HashSet, sync::Arc};

use crate::{Tree, files::TableHandle, view::View};

impl Tree {
    /// Opens the tables that the tree has and `before` had not, and loads what lookups in them begin
    /// with: whoever wrote them does that, and not the first who reads. To be called with no lock held.
    pub(crate) fn warm_since(&self, before: &View) {
        self.tables_since(&numbers_of(before)).iter().for_each(|table| warm(table));
    }

    /// The tables that the tree has, but for those of these numbers.
    pub(crate) fn tables_since(&self, known: &HashSet<u64>) -> Vec<Arc<TableHandle>> {
        let state = self.state.load_full();
        let tables = state.view.tables().map(|(_, table)| table);
        tables.filter(|table| !known.contains(&table.meta.number)).cloned().collect()
    }
}

/// The numbers of all tables of `view`.
pub(crate) fn numbers_of(view: &View) -> HashSet<u64> {
    view.tables().map(|(_, table)| table.meta.number).collect()
}

/// Makes a table ready. What fails here fails whoever reads, and is told to him.
pub(crate) fn warm(table: &TableHandle) {
    if let Ok(table) = table.table() {
        drop(table.warm());
    }
}
