use std::{collections::BTreeMap, ops::Bound};

use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
use stratal_types::{Comparator, EntryKind, EntryRef, Fragments, KeyRange, SeqNo, Trailer};

use crate::{Error, counts::Counts, index::Stats};

/// What a table says about itself.
///
/// Stored twice, as a sorted block of names and values. Numbers are `u64`, little-endian; names
/// that this version does not know are kept and ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Name of the comparator that sorted the table.
    pub comparator: String,
    /// How data blocks were compressed, as text.
    pub compression: String,
    /// What sort of filter the table has, as text; empty if it has none.
    pub filter: String,
    /// Name of the extractor whose prefixes the filter is over; empty if it is over none.
    pub prefix_extractor: String,
    /// The id of the dictionary that data blocks were compressed with, as text; empty if none was asked
    /// for, and otherwise `none: ` and the reason.
    pub dictionary: String,
    /// Stored versions.
    pub entries: u64,
    /// Distinct user keys.
    pub keys: u64,
    /// Deletes, weak ones included.
    pub deletes: u64,
    /// Weak deletes.
    pub weak_deletes: u64,
    /// Merge operands.
    pub merges: u64,
    /// Pointers into value files.
    pub pointers: u64,
    /// Bytes of all user keys, versions counted apart.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Range tombstones, as disjoint fragments of one number each.
    pub range_tombstones: u64,
    /// Lowest sequence number, range tombstones included.
    pub seqno_min: u64,
    /// Highest sequence number, range tombstones included.
    pub seqno_max: u64,
    /// Highest sequence number of an entry.
    pub entry_seqno_max: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Bytes of the data blocks as stored.
    pub data_bytes: u64,
    /// Bytes of the index as stored, all partitions, one copy of what stands twice.
    pub index_bytes: u64,
    /// How many blocks of the index lead to a data block: 1 or 2, or 0 without entries.
    pub index_levels: u64,
    /// Partitions of the index; 0 unless it has 2 levels.
    pub index_partitions: u64,
    /// Partitions that have a filter; 0 unless the index has 2 levels.
    pub filter_partitions: u64,
    /// Bytes of the filter as stored, all partitions.
    pub filter_bytes: u64,
    /// Bytes of the locator as stored; 0 if there is none.
    pub locator_bytes: u64,
    /// Whether entries carry digests: 1 or 0.
    pub entry_digests: u64,
    /// Bytes of the dictionary block as stored, one copy.
    pub dictionary_bytes: u64,
    /// Bytes at which data blocks were closed.
    pub block_len_target: u64,
    /// The first user key in the table's order; empty if there are only range tombstones.
    pub first_key: Vec<u8>,
    /// The last user key in the table's order; empty if there are only range tombstones.
    pub last_key: Vec<u8>,
    /// Where the first range tombstone begins; empty if there is none.
    pub tombstones_start: Vec<u8>,
    /// Where the last range tombstone ends; empty if there is none.
    pub tombstones_end: Vec<u8>,
    /// What the writer's caller added.
    pub user: BTreeMap<String, Vec<u8>>,
}

/// How many numeric properties there are.
const NUMBERS: usize = 23;

/// Before the names of the properties that callers add.
const USER_PREFIX: &str = "user.";

impl Properties {
    /// What [`compression`](Self::compression) is where there is none.
    pub(crate) const NOT_COMPRESSED: &str = "none";

    /// Properties before the first entry.
    pub(crate) fn new() -> Self {
        Self { seqno_min: SeqNo::MAX.get(), ..Self::default() }
    }

    /// Counts one more entry; `new_key` if it is the first version of its key.
    pub(crate) fn count(&mut self, entry: EntryRef<'_>, new_key: bool) {
        let mut counts = Counts::NONE;
        counts.count(entry, new_key);
        self.count_block(&counts);
    }

    /// Adds what was counted of the entries of a data block.
    pub(crate) fn count_block(&mut self, counts: &Counts) {
        let Stats { rows, seqno_min, seqno_max } = counts.stats;
        self.entries += rows;
        self.keys += counts.keys;
        self.key_bytes += counts.key_bytes;
        self.value_bytes += counts.value_bytes;
        self.seqno_min = self.seqno_min.min(seqno_min);
        self.seqno_max = self.seqno_max.max(seqno_max);
        self.entry_seqno_max = self.entry_seqno_max.max(seqno_max);
        for (kind, count) in counts.kinds() {
            self.deletes += if kind.is_delete() { count } else { 0 };
            self.weak_deletes += if kind == EntryKind::WeakDelete { count } else { 0 };
            self.merges += if kind == EntryKind::Merge { count } else { 0 };
            self.pointers += if kind.is_pointer() { count } else { 0 };
        }
    }

    /// Counts every range tombstone of `fragments`.
    pub(crate) fn count_tombstones(&mut self, fragments: &Fragments) {
        self.range_tombstones += fragments.len() as u64;
        if let Some((lowest, highest)) = fragments.seqno_range() {
            self.count_seqno(lowest);
            self.count_seqno(highest);
        }
        if let Some(KeyRange { start: Bound::Included(start), end: Bound::Excluded(end) }) =
            fragments.span()
        {
            (self.tombstones_start, self.tombstones_end) = (start, end);
        }
    }

    fn count_seqno(&mut self, seqno: SeqNo) {
        self.seqno_min = self.seqno_min.min(seqno.get());
        self.seqno_max = self.seqno_max.max(seqno.get());
    }

    /// The smallest range that holds every key and every range tombstone.
    pub fn span(&self, comparator: &dyn Comparator) -> KeyRange {
        let keys = KeyRange::closed(&*self.first_key, &*self.last_key);
        let tombstones = KeyRange::half_open(&*self.tombstones_start, &*self.tombstones_end);
        match (self.entries, self.range_tombstones) {
            (_, 0) => keys,
            (0, _) => tombstones,
            _ => keys.hull(&tombstones, comparator),
        }
    }

    /// Every numeric property by name.
    pub fn numbers(&self) -> [(&'static str, u64); NUMBERS] {
        let mut copy = self.clone();
        copy.numbers_mut().map(|(name, number)| (name, *number))
    }

    /// The one list that writing, reading and reporting go by.
    fn numbers_mut(&mut self) -> [(&'static str, &mut u64); NUMBERS] {
        [
            ("block_len_target", &mut self.block_len_target),
            ("data_blocks", &mut self.data_blocks),
            ("data_bytes", &mut self.data_bytes),
            ("deletes", &mut self.deletes),
            ("dictionary_bytes", &mut self.dictionary_bytes),
            ("entries", &mut self.entries),
            ("entry_digests", &mut self.entry_digests),
            ("entry_seqno_max", &mut self.entry_seqno_max),
            ("filter_bytes", &mut self.filter_bytes),
            ("filter_partitions", &mut self.filter_partitions),
            ("index_bytes", &mut self.index_bytes),
            ("index_levels", &mut self.index_levels),
            ("index_partitions", &mut self.index_partitions),
            ("key_bytes", &mut self.key_bytes),
            ("keys", &mut self.keys),
            ("locator_bytes", &mut self.locator_bytes),
            ("merges", &mut self.merges),
            ("pointers", &mut self.pointers),
            ("range_tombstones", &mut self.range_tombstones),
            ("seqno_max", &mut self.seqno_max),
            ("seqno_min", &mut self.seqno_min),
            ("value_bytes", &mut self.value_bytes),
            ("weak_deletes", &mut self.weak_deletes),
        ]
    }

    fn texts_mut(&mut self) -> [(&'static str, &mut String); 5] {
        [
            ("comparator", &mut self.comparator),
            ("compression", &mut self.compression),
            ("dictionary", &mut self.dictionary),
            ("filter", &mut self.filter),
            ("prefix_extractor", &mut self.prefix_extractor),
        ]
    }

    fn keys_mut(&mut self) -> [(&'static str, &mut Vec<u8>); 4] {
        [
            ("first_key", &mut self.first_key),
            ("last_key", &mut self.last_key),
            ("tombstones_end", &mut self.tombstones_end),
            ("tombstones_start", &mut self.tombstones_start),
        ]
    }

    /// The sorted block that stores them.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, stratal_block::Error> {
        let mut pairs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut copy = self.clone();
        let numbers = copy.numbers_mut().map(|(name, value)| (name, value.to_le_bytes().to_vec()));
        let texts = copy.texts_mut().map(|(name, value)| (name, value.clone().into_bytes()));
        let keys = copy.keys_mut().map(|(name, value)| (name, value.clone()));
        for (name, value) in numbers.into_iter().chain(texts).chain(keys) {
            pairs.insert(name.to_owned(), value);
        }
        for (name, value) in &self.user {
            pairs.insert(format!("{USER_PREFIX}{name}"), value.clone());
        }
        let options = SortedBlockOptions { tags: false, ..SortedBlockOptions::default() };
        let mut block = SortedBlockBuilder::new(options);
        for (name, value) in &pairs {
            block.add(name.as_bytes(), Trailer::new(SeqNo::ZERO, EntryKind::Put), value)?;
        }
        let mut bytes = Vec::new();
        block.finish_into(&mut bytes);
        Ok(bytes)
    }

    /// Reads them back from a block that begins at `offset`.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Self, Error> {
        let malformed = |what| Error::Malformed { what, offset };
        let block = SortedBlock::parse(bytes).map_err(|source| Error::Block {
            kind: "properties",
            offset,
            source,
        })?;
        let mut pairs = BTreeMap::new();
        for i in 0..block.len() {
            let mut name = Vec::new();
            block.key_into(i, &mut name);
            let name =
                String::from_utf8(name).map_err(|_| malformed("a property's name is not UTF-8"))?;
            pairs.insert(name, block.value(i).unwrap_or_default().to_vec());
        }
        let mut take = |name: &str| pairs.remove(name).ok_or(malformed("a property is missing"));
        let mut properties = Self::default();
        for (name, number) in properties.numbers_mut() {
            let value = <[u8; 8]>::try_from(take(name)?);
            *number = value
                .map(u64::from_le_bytes)
                .map_err(|_| malformed("a numeric property is not 8 bytes"))?;
        }
        for (name, text) in properties.texts_mut() {
            *text = String::from_utf8(take(name)?)
                .map_err(|_| malformed("a textual property is not UTF-8"))?;
        }
        for (name, key) in properties.keys_mut() {
            *key = take(name)?;
        }
        let user = pairs.into_iter().filter_map(|(name, value)| {
            name.strip_prefix(USER_PREFIX).map(|name| (name.to_owned(), value))
        });
        properties.user = user.collect();
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_read_back() {
        let mut properties = Properties::new();
        for (by, (_, number)) in (100..).zip(properties.numbers_mut()) {
            *number = by;
        }
        properties.comparator = "bytewise".into();
        properties.first_key = vec![0, 255];
        properties.user.insert("created_at".into(), vec![1; 300]);
        let bytes = properties.encode().unwrap();
        assert_eq!(Properties::decode(&bytes, 0).unwrap(), properties);
    }

    #[test]
    fn a_missing_property_is_an_error() {
        let options = SortedBlockOptions { tags: false, ..SortedBlockOptions::default() };
        let mut block = SortedBlockBuilder::new(options);
        block.add(b"entries", Trailer::new(SeqNo::ZERO, EntryKind::Put), &[0; 8]).unwrap();
        let mut bytes = Vec::new();
        block.finish_into(&mut bytes);
        assert!(matches!(Properties::decode(&bytes, 7), Err(Error::Malformed { offset: 7, .. })));
    }
}
