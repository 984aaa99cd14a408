//! What a table's filter is over, and what it can be asked.

use std::sync::Arc;

use stratal_filter::Membership;
use stratal_types::{Counter, KeyRange, PrefixExtractor, SeqNo, key_hash};

use crate::{Error, Table, TableContext, block::CachedFilter, index::IndexCursor};

/// What the filter of a new table is over. Prefixes are those that the
/// [context's extractor](TableContext::prefix_extractor) cuts; without one it is over whole keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterMembership {
    /// Whole keys: tells that a key is absent.
    #[default]
    Keys,
    /// Prefixes: tells that no key begins with a prefix, in less space. A key whose prefix is there
    /// may be there, and so may one that has no prefix.
    Prefixes,
    /// Whole keys and prefixes.
    Both,
}

/// What is added to a filter for each key.
#[derive(Clone, Debug)]
pub(crate) struct FilterHashes {
    has_keys: bool,
    extractor: Option<Arc<dyn PrefixExtractor>>,
}

impl FilterHashes {
    pub(crate) fn new(membership: FilterMembership, ctx: &TableContext) -> Self {
        let extractor = match membership {
            FilterMembership::Keys => None,
            FilterMembership::Prefixes | FilterMembership::Both => ctx.prefix_extractor.clone(),
        };
        let has_keys = extractor.is_none() || membership == FilterMembership::Both;
        Self { has_keys, extractor }
    }

    /// What the filter's header says.
    pub(crate) fn membership(&self) -> Membership {
        match &self.extractor {
            None => Membership::WholeKeys,
            Some(extractor) if self.has_keys => Membership::Both(extractor.id()),
            Some(extractor) => Membership::Prefixes(extractor.id()),
        }
    }

    /// The name of the extractor under which the filter is built; empty if there is none.
    pub(crate) fn extractor_name(&self) -> &str {
        self.extractor.as_ref().map_or("", |extractor| extractor.name())
    }

    /// Whether it is the key's hash and nothing else.
    #[inline]
    pub(crate) const fn is_of_keys_alone(&self) -> bool {
        self.extractor.is_none()
    }

    /// What to add for `key`, whose hash is `hash` and which follows `previous`, if anything stands
    /// before it in the same filter: first of its prefix, then of itself.
    pub(crate) fn of_key(
        &self,
        key: &[u8],
        hash: u64,
        previous: Option<&[u8]>,
    ) -> impl Iterator<Item = u64> {
        let cut = |key| self.extractor.as_ref().and_then(|extractor| extractor.prefix(key));
        let prefix = cut(key).filter(|prefix| previous.and_then(cut) != Some(*prefix));
        prefix.map(key_hash).into_iter().chain(self.has_keys.then_some(hash))
    }
}

impl Table {
    /// Partitions whose filters are asked for a prefix before it is taken for present.
    const PARTITIONS_ASKED_MAX: usize = 16;

    /// Whether the filter lets through `key`, whose [`key_hash`] is `hash`. `true` without a filter.
    ///
    /// # Errors
    ///
    /// Those of reading the filter, and in a table of two levels the index. Damage to a filter is no
    /// error; it lets through every key.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> Result<bool, Error> {
        if !self.is_divided() {
            return self.may_contain_in_whole(key, hash);
        }
        let mut index = IndexCursor::default();
        index.seek_partition(self, key, SeqNo::MAX)?;
        self.may_contain_in(&index, key, hash)
    }

    /// Whether a key may begin with `prefix`. `false` is certain.
    ///
    /// The filter can tell if it is over prefixes, under the extractor that the context brings, and if
    /// that cuts a prefix from `prefix` itself; otherwise the answer is `true`. In a table of two
    /// levels it takes one probe for each partition that keys with the prefix could be in, 16 at most.
    ///
    /// # Errors
    ///
    /// Those of [`may_contain`](Self::may_contain).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stratal_sst::{FilterMembership, Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::{DelimitedPrefix, FileUid};
    ///
    /// let ctx = TableContext {
    ///     prefix_extractor: Some(Arc::new(DelimitedPrefix::new(b'/'))),
    ///     ..TableContext::default()
    /// };
    /// let options = TableOptions { filter_membership: FilterMembership::Both, ..Default::default() };
    /// let mut writer =
    ///     TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), Arc::new(options.validate()?))?;
    /// writer.put(b"AD/Vila", b"1418")?;
    /// let table = Table::open(&ctx, Arc::new(bytes::Bytes::from(writer.finish()?.sink)))?;
    /// assert!(table.may_contain_prefix(b"AD/")?);
    /// assert!(!table.may_contain_prefix(b"FR/Paris")?);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn may_contain_prefix(&self, prefix: &[u8]) -> Result<bool, Error> {
        if self.properties().entries == 0 {
            return Ok(false);
        }
        let Some(extractor) = &self.context().prefix_extractor else { return Ok(true) };
        let Some(cut) = extractor.prefix(prefix) else { return Ok(true) };
        let (id, hash) = (extractor.id(), key_hash(cut));
        let ask = |filter: &CachedFilter| self.count(filter.may_contain_prefix(id, hash));
        if !self.is_divided() {
            return Ok(self.filter()?.is_none_or(|filter| ask(&filter)));
        }
        let comparator = self.comparator();
        let found = comparator.prefix_range(prefix);
        let range = KeyRange { start: found.start, end: found.end };
        let mut index = IndexCursor::default();
        index.seek_partition_of_start(self, &range.start)?;
        for _ in 0..Self::PARTITIONS_ASKED_MAX {
            if index.partition_fence(self)?.is_none() {
                return Ok(false);
            }
            let Some(filter) = index.filter(self)? else { return Ok(true) };
            if ask(&filter) {
                return Ok(true);
            }
            // The fence may stand before every key with the prefix although it is not before the
            // prefix: then they are in the next partition.
            let end = index.partition_end(self);
            if end.is_some_and(|(fence, _)| range.is_before(&fence, comparator)) {
                return Ok(false);
            }
            index.advance_partition();
        }
        Ok(true)
    }

    /// Whether the filter over the whole table lets through `key`.
    pub(crate) fn may_contain_in_whole(&self, key: &[u8], hash: u64) -> Result<bool, Error> {
        Ok(self.filter()?.is_none_or(|filter| self.ask(&filter, key, hash)))
    }

    /// For each key and its hash whether the filter over the whole table lets it through.
    pub(crate) fn may_contain_each(&self, keys: &[(&[u8], u64)]) -> Result<Vec<bool>, Error> {
        let Some(filter) = self.filter()? else { return Ok(vec![true; keys.len()]) };
        Ok(self.ask_each(&filter, keys))
    }

    fn ask_each(&self, filter: &CachedFilter, keys: &[(&[u8], u64)]) -> Vec<bool> {
        if !filter.has_keys() {
            return keys.iter().map(|&(key, hash)| self.ask(filter, key, hash)).collect();
        }
        let hashes: Vec<u64> = keys.iter().map(|&(_, hash)| hash).collect();
        let mut answers = vec![true; keys.len()];
        filter.may_contain_batch(&hashes, &mut answers);
        let rejects = answers.iter().filter(|&&may| !may).count();
        self.context().metrics.add(Counter::FilterProbes, hashes.len() as u64);
        self.context().metrics.add(Counter::FilterRejects, rejects as u64);
        answers
    }

    /// Whether the filter of the partition that `index` is in lets through `key`; `false` behind the
    /// last, where there are no keys.
    pub(crate) fn may_contain_in(
        &self,
        index: &IndexCursor,
        key: &[u8],
        hash: u64,
    ) -> Result<bool, Error> {
        if index.partition_fence(self)?.is_none() {
            return Ok(false);
        }
        Ok(index.filter(self)?.is_none_or(|filter| self.ask(&filter, key, hash)))
    }

    pub(crate) fn ask(&self, filter: &CachedFilter, key: &[u8], hash: u64) -> bool {
        self.answer(filter, key, hash).is_none_or(|may| self.count(may))
    }

    /// As [`ask`](Self::ask), and counts a rejection alone: a key that is let through counts when it is
    /// [looked up](Self::lookup_past_filter).
    pub(crate) fn ask_ahead(&self, filter: &CachedFilter, key: &[u8], hash: u64) -> bool {
        self.answer(filter, key, hash).is_none_or(|may| may || self.count(false))
    }

    /// Notes that a key is looked for that the filter has let through.
    pub(crate) fn note_let_through(&self) {
        if self.properties().filter_bytes > 0 {
            self.count(true);
        }
    }

    /// What a filter says of `key`; `None` if it cannot be asked.
    fn answer(&self, filter: &CachedFilter, key: &[u8], hash: u64) -> Option<bool> {
        if filter.has_keys() {
            return Some(filter.may_contain(hash));
        }
        // Whoever has no such prefix has no such key.
        let extractor = self.context().prefix_extractor.as_ref()?;
        let prefix = extractor.prefix(key)?;
        Some(filter.may_contain_prefix(extractor.id(), key_hash(prefix)))
    }

    /// Notes that a key was looked for, which the filter let through, and was not there.
    pub(crate) fn note_absent(&self) {
        if self.properties().filter_bytes > 0 {
            self.context().metrics.add(Counter::FilterFalsePositives, 1);
        }
    }

    fn count(&self, may: bool) -> bool {
        self.context().metrics.add(Counter::FilterProbes, 1);
        self.context().metrics.add(Counter::FilterRejects, u64::from(!may));
        may
    }
}
