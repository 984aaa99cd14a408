//! What a writer notes of the entries of a block.

use std::io;

use stratal_types::EntryRef;

use super::TableWriter;
use crate::section::ordinal;

impl<W: io::Write> TableWriter<W> {
    /// Notes what filter, locator, fence and properties need to know of an entry of the block at hand,
    /// before it is there.
    #[inline]
    pub(super) fn count(&mut self, entry: EntryRef<'_>, hash: u64, new_key: bool) {
        if self.counts.stats.rows == 0 {
            self.count_first(entry.key, hash, new_key);
        } else if new_key {
            self.count_key(entry.key, hash);
        }
        if new_key && self.locator.is_some() {
            self.locate(hash);
        }
        self.counts.count(entry, new_key);
        self.last_trailer = entry.trailer;
    }

    /// Notes the key of the block's first entry.
    fn count_first(&mut self, key: &[u8], hash: u64, new_key: bool) {
        let is_first_of_all = self.properties.entries == 0;
        if self.filter.is_some() {
            self.hashes.begin(self.filter_hashes.of_key(key, hash, None));
            if new_key {
                let previous = (!is_first_of_all).then_some(&self.last_key[..]);
                self.hashes.add(self.filter_hashes.of_key(key, hash, previous), true);
            }
        }
        if is_first_of_all {
            self.properties.first_key.extend_from_slice(key);
        }
    }

    /// Notes a key that is new, and not the block's first.
    #[inline]
    fn count_key(&mut self, key: &[u8], hash: u64) {
        if self.filter.is_none() {
            return;
        }
        if self.filter_hashes.is_of_keys_alone() {
            self.hashes.push(hash);
        } else {
            let previous = self.block.last_key().unwrap_or(&self.last_key);
            self.hashes.add(self.filter_hashes.of_key(key, hash, Some(previous)), false);
        }
    }

    fn locate(&mut self, hash: u64) {
        let block = self.next_data_ordinal - ordinal::FIRST_DATA;
        if self.locator.as_mut().is_some_and(|locator| !locator.add(hash, block)) {
            self.locator = None;
        }
    }
}
