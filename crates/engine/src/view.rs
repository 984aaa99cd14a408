//! One version of a tree, with a handle for each of its tables.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use stratal_compaction::plan;
use stratal_manifest::TreeVersion;
use stratal_merge::PointSource;
use stratal_types::{Comparator, Fragments, KeyRange, SeqNo, Trailer, key_hash};

use crate::{
    Error,
    files::{Files, TableHandle},
    multi_get::Found,
};

/// The tables of a tree at one moment, in search order. Immutable.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) version: Arc<TreeVersion>,
    /// By level, then newest first.
    pub(crate) levels: Vec<Vec<RunView>>,
}

/// Tables that do not overlap, ascending.
#[derive(Clone, Debug)]
pub(crate) struct RunView {
    pub(crate) age: u64,
    pub(crate) tables: Arc<[Arc<TableHandle>]>,
    comparator: Arc<dyn Comparator>,
}

impl View {
    /// The tables of `version`. Handles are taken over from `before` where it has them.
    pub(crate) fn new(
        version: Arc<TreeVersion>,
        before: Option<&View>,
        files: &Arc<Files>,
    ) -> Self {
        let known: HashMap<u64, &Arc<TableHandle>> = before
            .into_iter()
            .flat_map(View::tables)
            .map(|(_, handle)| (handle.meta.number, handle))
            .collect();
        let comparator = &version.comparator;
        let handle = |meta: &Arc<stratal_manifest::TableMeta>| match known.get(&meta.number) {
            Some(handle) => Arc::clone(handle),
            None => Arc::new(TableHandle::new(
                Arc::clone(meta),
                Arc::clone(files),
                Arc::clone(comparator),
            )),
        };
        let run = |run: &stratal_manifest::Run| RunView {
            age: run.age,
            tables: run.tables.iter().map(handle).collect(),
            comparator: Arc::clone(comparator),
        };
        let levels =
            version.levels.iter().map(|level| level.runs.iter().map(run).collect()).collect();
        Self { version, levels }
    }

    /// The same without the tables for which `is_gone` holds.
    pub(crate) fn without(&self, is_gone: &impl Fn(&TableHandle) -> bool) -> Self {
        let kept = |run: &RunView| run.filtered(|table| !is_gone(table));
        let levels = self
            .levels
            .iter()
            .map(|runs| runs.iter().map(kept).filter(|run| !run.tables.is_empty()).collect());
        Self { version: Arc::clone(&self.version), levels: levels.collect() }
    }

    /// Every table with its place, in search order.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (plan::Place, &Arc<TableHandle>)> {
        self.runs().flat_map(|(place, run)| run.tables.iter().map(move |table| (place, table)))
    }

    /// Every run with its place, in search order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (plan::Place, &RunView)> {
        self.levels.iter().enumerate().flat_map(|(level, runs)| {
            runs.iter().map(move |run| (plan::Place { level, age: run.age }, run))
        })
    }

    /// What a planner sees.
    pub(crate) fn shape(&self, watermark: SeqNo) -> plan::Shape {
        let table = |handle: &Arc<TableHandle>| plan::Table::from(&*handle.meta);
        let run = |run: &RunView| plan::Run {
            age: run.age,
            tables: run.tables.iter().map(table).collect(),
        };
        plan::Shape {
            levels: self.levels.iter().map(|runs| runs.iter().map(run).collect()).collect(),
            watermark,
            ..plan::Shape::default()
        }
    }
}

impl RunView {
    /// The tables of this run for which `wanted` holds.
    pub(crate) fn filtered(&self, wanted: impl Fn(&TableHandle) -> bool) -> Self {
        let tables = self.tables.iter().filter(|table| wanted(table)).cloned().collect();
        Self { tables, ..self.clone() }
    }

    pub(crate) fn comparator(&self) -> &dyn Comparator {
        self.comparator.as_ref()
    }

    /// The number of the first table that is not wholly before `key`.
    pub(crate) fn position(&self, key: &[u8]) -> usize {
        self.tables.partition_point(|table| table.meta.span.is_before(key, self.comparator()))
    }

    fn table_of(&self, key: &[u8]) -> Option<&Arc<TableHandle>> {
        let table = self.tables.get(self.position(key))?;
        (!table.meta.span.is_after(key, self.comparator())).then_some(table)
    }

    /// For each key and its [`key_hash`], ascending, the newest version below `bound`. A table is asked
    /// once for all keys that may be in it.
    pub(crate) fn multi_newest(
        &self,
        keys: &[(&[u8], u64)],
        bound: SeqNo,
    ) -> Result<Vec<Found>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        let mut rest = keys;
        while let Some((first, _)) = rest.first() {
            let position = self.position(first);
            let Some(handle) = self.tables.get(position) else { break };
            let span = &handle.meta.span;
            // Those that stand before the table are in none.
            let before = rest.partition_point(|(key, _)| span.is_after(key, self.comparator()));
            let to = rest.partition_point(|(key, _)| !span.is_before(key, self.comparator()));
            found.resize(found.len() + before, None);
            if let Some(here) = rest.get(before..to).filter(|here| !here.is_empty()) {
                let versions = handle.table()?.multi_lookup(here, bound);
                let versions = versions.map_err(|source| handle.error(source))?;
                let versions = versions.into_iter();
                found.extend(versions.map(|found| found.map(|found| (found.trailer, found.value))));
            }
            rest = rest.get(to..).unwrap_or_default();
        }
        found.resize(keys.len(), None);
        Ok(found)
    }

    /// The range tombstones of the tables that overlap `range`.
    pub(crate) fn tombstones(&self, range: &KeyRange) -> Result<Arc<Fragments>, Error> {
        let mut parts = Vec::new();
        for handle in self.tables.iter().filter(|handle| handle.meta.range_tombstones > 0) {
            if handle.meta.span.overlaps(range, self.comparator()) {
                let table = handle.table()?;
                parts.push(table.tombstones().map_err(|source| handle.error(source))?);
            }
        }
        match &parts[..] {
            [] => Ok(Arc::default()),
            [one] => Ok(Arc::clone(one)),
            many => {
                let many = many.iter().map(Arc::as_ref);
                Ok(Arc::new(Fragments::merge(many, self.comparator())))
            }
        }
    }
}

/// A run answers for the one table that may have the key.
impl PointSource for RunView {
    type Value = Bytes;
    type Error = Error;

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        let Some(handle) = self.table_of(key) else { return Ok(None) };
        if handle.meta.range_tombstones == 0 {
            return Ok(None);
        }
        let tombstones = handle.table()?.tombstones().map_err(|source| handle.error(source))?;
        Ok(tombstones.covering(key, bound, self.comparator()))
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        let Some(handle) = self.table_of(key) else { return Ok(None) };
        let found = handle.table()?.lookup_hashed(key, key_hash(key), bound);
        let found = found.map_err(|source| handle.error(source))?;
        Ok(found.map(|version| (version.trailer, version.value)))
    }
}
