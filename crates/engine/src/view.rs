//! One version of a tree, with a handle for each of its tables.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, Range},
    sync::Arc,
};

use bytes::Bytes;
use stratal_compaction::plan;
use stratal_manifest::{TableMeta, TreeVersion};
use stratal_types::{Comparator, Fragments, KeyRange, SeqNo, Trailer, key_hash};

use crate::{
    Error,
    files::{Files, TableHandle},
    multi_get::Found,
    span_heads::SpanHeads,
};

/// The tables of a tree at one moment, in search order. Immutable.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) version: Arc<TreeVersion>,
    /// By level, then newest first.
    pub(crate) levels: Vec<Vec<RunView>>,
    /// The same runs, in search order: most levels have none.
    in_order: Vec<RunView>,
    /// For reads of runs that have none.
    pub(crate) no_tombstones: Arc<Fragments>,
    /// The highest bounds at which reads find tables that have expired, by number.
    expired: Arc<Expired>,
}

type Expired = BTreeMap<u64, SeqNo>;

/// Tables that do not overlap, ascending.
#[derive(Clone, Debug)]
pub(crate) struct RunView {
    pub(crate) age: u64,
    pub(crate) tables: Arc<[Arc<TableHandle>]>,
    /// In bytewise order.
    heads: Option<Arc<SpanHeads>>,
    comparator: Arc<dyn Comparator>,
    has_tombstones: bool,
    /// As the view has it; `None` if nothing has expired.
    expired: Option<Arc<Expired>>,
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
        let expired =
            version.tables().filter_map(|(_, meta)| Some((meta.number, meta.expired_at?)));
        let expired: Arc<Expired> = Arc::new(expired.collect());
        let shown = (!expired.is_empty()).then_some(&expired);
        let comparator = &version.comparator;
        let handle = |meta: &Arc<TableMeta>| match known.get(&meta.number) {
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
            heads: heads_of(run.tables.iter(), comparator.as_ref()),
            comparator: Arc::clone(comparator),
            has_tombstones: run.tables.iter().any(|table| table.range_tombstones > 0),
            expired: shown.cloned(),
        };
        let levels =
            version.levels.iter().map(|level| level.runs.iter().map(run).collect()).collect();
        Self::of(version, levels, expired)
    }

    /// The same, but that reads above `at` do not find the tables numbered `numbers`.
    pub(crate) fn expiring(&self, numbers: &[u64], at: SeqNo) -> Self {
        let mut expired = Expired::clone(&self.expired);
        for number in numbers {
            let last = expired.entry(*number).or_insert(at);
            *last = at.min(*last);
        }
        let expired = Arc::new(expired);
        let shown = |run: &RunView| RunView { expired: Some(Arc::clone(&expired)), ..run.clone() };
        let levels = self.levels.iter().map(|runs| runs.iter().map(shown).collect()).collect();
        Self::of(Arc::clone(&self.version), levels, expired)
    }

    fn of(version: Arc<TreeVersion>, levels: Vec<Vec<RunView>>, expired: Arc<Expired>) -> Self {
        let in_order = levels.iter().flatten().cloned().collect();
        Self { version, levels, in_order, no_tombstones: Arc::default(), expired }
    }

    /// Every run, in search order.
    pub(crate) fn in_order(&self) -> &[RunView] {
        &self.in_order
    }

    /// The highest bound at which a read finds any of the tables numbered `numbers`, which have expired.
    pub(crate) fn last_finding(&self, numbers: &[u64]) -> SeqNo {
        let bounds = numbers.iter().filter_map(|number| self.expired.get(number));
        bounds.max().copied().unwrap_or(SeqNo::ZERO)
    }

    /// Whether any table has expired and is there for reads of the past.
    pub(crate) fn has_expired(&self) -> bool {
        !self.expired.is_empty()
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
        let table = |handle: &Arc<TableHandle>| {
            let expired_at = self.expired.get(&handle.meta.number).copied();
            let table = plan::Table::from(&*handle.meta);
            plan::Table { expired_at, busy: expired_at.is_some(), ..table }
        };
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

/// Of spans in bytewise order.
fn heads_of<'m>(
    tables: impl Iterator<Item = &'m Arc<TableMeta>> + Clone,
    comparator: &dyn Comparator,
) -> Option<Arc<SpanHeads>> {
    let heads = || Arc::new(SpanHeads::of(tables.map(|table| &table.span)));
    comparator.is_bytewise().then(heads)
}

impl RunView {
    /// The tables of this run for which `wanted` holds.
    pub(crate) fn filtered(&self, wanted: impl Fn(&TableHandle) -> bool) -> Self {
        let tables: Arc<[_]> = self.tables.iter().filter(|table| wanted(table)).cloned().collect();
        let heads = heads_of(tables.iter().map(|table| &table.meta), self.comparator());
        Self { tables, heads, ..self.clone() }
    }

    pub(crate) fn comparator(&self) -> &dyn Comparator {
        self.comparator.as_ref()
    }

    /// The number of the first table that is not wholly before `key`.
    pub(crate) fn position(&self, key: &[u8]) -> usize {
        match &self.heads {
            Some(heads) => self.position_among(heads.ends_at(heads.head(key)), key),
            None => self.position_among(0..self.tables.len(), key),
        }
    }

    /// The same, where all tables that stand before `unknown` are before `key`, and none behind.
    #[inline]
    fn position_among(&self, unknown: Range<usize>, key: &[u8]) -> usize {
        let tables = self.tables.get(unknown.clone()).unwrap_or_default();
        let is_before =
            |table: &Arc<TableHandle>| table.meta.span.is_before(key, self.comparator());
        let found = if tables.is_empty() { 0 } else { tables.partition_point(is_before) };
        unknown.start + found
    }

    /// The numbers of the tables that may have keys in `range`, and perhaps of one more at either end.
    pub(crate) fn near(&self, range: &KeyRange) -> Range<usize> {
        let start = match &range.start {
            Bound::Included(key) | Bound::Excluded(key) => self.position(key),
            Bound::Unbounded => 0,
        };
        let end = match &range.end {
            Bound::Included(key) | Bound::Excluded(key) => {
                let begins =
                    |table: &Arc<TableHandle>| !table.meta.span.is_after(key, self.comparator());
                self.tables.partition_point(begins)
            }
            Bound::Unbounded => self.tables.len(),
        };
        start..end
    }

    /// Whether any table may have range tombstones.
    pub(crate) fn has_tombstones(&self) -> bool {
        self.has_tombstones
    }

    /// Whether a read at `bound` finds `table`.
    pub(crate) fn shows(&self, table: &TableHandle, bound: SeqNo) -> bool {
        let expired = self.expired.as_ref().and_then(|expired| expired.get(&table.meta.number));
        expired.is_none_or(|at| bound <= *at)
    }

    /// The table that a read at `reader` asks for `key`.
    pub(crate) fn table_of(&self, key: &[u8], reader: SeqNo) -> Option<&Arc<TableHandle>> {
        let (at, is_behind) = match &self.heads {
            Some(heads) => {
                let head = heads.head(key);
                let at = self.position_among(heads.ends_at(head), key);
                (at, heads.begins_behind(at, head))
            }
            None => (self.position(key), None),
        };
        if is_behind == Some(true) {
            return None;
        }
        let table = self.tables.get(at)?;
        let is_behind = is_behind.is_none() && table.meta.span.is_after(key, self.comparator());
        (!is_behind && self.shows(table, reader)).then_some(table)
    }

    /// For each key and its [`key_hash`], ascending, the newest version below `bound`. A table is asked
    /// once for all keys that may be in it.
    pub(crate) fn multi_newest(
        &self,
        keys: &[(&[u8], u64)],
        bound: SeqNo,
    ) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let mut rest = keys;
        while let Some((first, _)) = rest.first() {
            let position = self.position(first);
            let Some(handle) = self.tables.get(position) else { break };
            let span = &handle.meta.span;
            // Those that stand before the table are in none.
            let before = rest.partition_point(|(key, _)| span.is_after(key, self.comparator()));
            let to = rest.partition_point(|(key, _)| !span.is_before(key, self.comparator()));
            let here = rest.get(before..to).unwrap_or_default();
            rest = rest.get(to..).unwrap_or_default();
            found.resize(found.len() + before, None);
            if here.is_empty() || !self.shows(handle, bound) {
                found.resize(found.len() + here.len(), None);
                continue;
            }
            let versions = handle.table()?.multi_lookup(here, bound);
            let versions = versions.map_err(|source| handle.error(source))?;
            if found.is_empty() {
                found = versions;
            } else {
                found.extend(versions);
            }
        }
        found.resize(keys.len(), None);
        Ok(found)
    }

    /// The range tombstones of the tables that overlap `range`.
    pub(crate) fn tombstones(&self, range: &KeyRange) -> Result<Arc<Fragments>, Error> {
        self.tombstones_at(range, SeqNo::ZERO)
    }

    /// The same of those tables that a read at `bound` finds.
    pub(crate) fn tombstones_at(
        &self,
        range: &KeyRange,
        bound: SeqNo,
    ) -> Result<Arc<Fragments>, Error> {
        if !self.has_tombstones {
            return Ok(Arc::default());
        }
        let mut parts = Vec::new();
        for handle in self.tables.iter().filter(|handle| handle.meta.range_tombstones > 0) {
            let is_newer =
                bound > SeqNo::ZERO && !handle.meta.visible_seqno_min().is_visible_at(bound);
            if !is_newer
                && handle.meta.span.overlaps(range, self.comparator())
                && self.shows(handle, bound)
            {
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

/// A run answers for the one table that may have the key. The read's own bound, `reader`, says whether
/// the table is found; it may ask for a version below a lower one.
impl RunView {
    pub(crate) fn covering(
        &self,
        key: &[u8],
        bound: SeqNo,
        reader: SeqNo,
    ) -> Result<Option<SeqNo>, Error> {
        let Some(handle) = self.table_of(key, reader) else { return Ok(None) };
        if handle.meta.range_tombstones == 0 {
            return Ok(None);
        }
        let tombstones = handle.table()?.tombstones().map_err(|source| handle.error(source))?;
        Ok(tombstones.covering(key, bound, self.comparator()))
    }

    pub(crate) fn newest(
        &self,
        key: &[u8],
        bound: SeqNo,
        reader: SeqNo,
    ) -> Result<Option<(Trailer, Bytes)>, Error> {
        let Some(handle) = self.table_of(key, reader) else { return Ok(None) };
        let found = handle.table()?.lookup_hashed(key, key_hash(key), bound);
        let found = found.map_err(|source| handle.error(source))?;
        Ok(found.map(|version| (version.trailer, version.value)))
    }
}
