//! Values that claim a weight, and keys for them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{convert::Infallible, ops::Range};

use stratal_cache::{Cache, CacheKey, FileId, Priority, Resident};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// A value that counts for `weight` bytes, overhead included, and takes none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Weighted {
    pub(crate) weight: u64,
    pub(crate) version: u64,
}

impl Resident for Weighted {
    fn weight(&self) -> usize {
        usize::try_from(self.weight - Cache::ENTRY_OVERHEAD).unwrap()
    }
}

pub(crate) fn weighing(weight: u64) -> Weighted {
    Weighted { weight, version: 0 }
}

/// The blocks of one file, by number.
#[derive(Clone, Copy)]
pub(crate) struct File(pub(crate) FileId);

impl File {
    pub(crate) fn new() -> Self {
        Self(FileId::next())
    }

    pub(crate) fn block(self, number: u64) -> CacheKey {
        CacheKey { file: self.0, offset: number * 4 * KIB, role: 0 }
    }
}

/// Reads blocks of 4 KiB through the cache; how many had to be loaded.
pub(crate) fn read_all(cache: &Cache, file: File, blocks: Range<u64>) -> usize {
    blocks.filter(|&block| read(cache, &file.block(block))).count()
}

/// Reads block `key` of 4 KiB through the cache; whether it had to be loaded.
pub(crate) fn read(cache: &Cache, key: &CacheKey) -> bool {
    read_weighing(cache, key, Priority::Normal, 4 * KIB)
}

/// Reads a value through the cache; whether it had to be loaded.
pub(crate) fn read_weighing(
    cache: &Cache,
    key: &CacheKey,
    priority: Priority<'_>,
    weight: u64,
) -> bool {
    let mut loaded = false;
    let value = cache.get_or_load(key, priority, || {
        loaded = true;
        Ok::<_, Infallible>(weighing(weight))
    });
    assert_eq!(value.unwrap().weight, weight);
    loaded
}
