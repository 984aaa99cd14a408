//! What stands in a table beside its data blocks.

use std::io;

use stratal_block::Compression;

use super::{TableWriter, check_len};
use crate::{
    Error, Properties,
    handle::BlockHandle,
    index::{Partition, PartitionFence},
    locator::LocatorBuilder,
    section::{self, TableBlock, ordinal},
    tombstones,
};

impl<W: io::Write> TableWriter<W> {
    /// Writes every partition that waits, and puts its fence into the upper level.
    pub(super) fn write_partitions(&mut self) -> Result<(), Error> {
        self.locator = None;
        for mut partition in self.partitions.take_closed() {
            let hashes = std::mem::take(&mut partition.hashes);
            let filter = self.write_filter(TableBlock::FilterPartition, [hashes].into_iter())?;
            let kind = TableBlock::IndexPartition;
            let ordinal = self.take_partition_ordinal();
            let handle = self.write_block(kind, ordinal, &partition.index)?;
            self.properties.index_partitions += 1;
            self.properties.index_bytes += u64::from(handle.len);
            let Partition { blocks, stats, .. } = partition;
            let row = PartitionFence { handle, blocks, stats, filter };
            self.top
                .add_partition(partition.fence(), row)
                .map_err(|source| self.abandon_block(kind, source))?;
        }
        Ok(())
    }

    /// Writes the upper level of the index.
    pub(super) fn write_top(&mut self) -> Result<(), Error> {
        let bytes = self.top.finish();
        self.write_index(2, &bytes)
    }

    /// Writes one filter and one index over everything.
    pub(super) fn write_whole(&mut self) -> Result<(), Error> {
        let mut partitions = self.partitions.take_closed();
        // The filter takes the hashes over: they are not held twice.
        let hashes = partitions.iter_mut().map(|partition| std::mem::take(&mut partition.hashes));
        self.write_filter(TableBlock::Filter, hashes)?;
        self.write_locator()?;
        let index = match &partitions[..] {
            [partition] => Ok(partition.index.clone()),
            _ => self.partitions.whole_index(&partitions),
        };
        let index = index.map_err(|source| self.abandon_block(TableBlock::Index, source))?;
        self.write_index(1, &index)
    }

    /// Writes a filter over `hashes`, in its section or, if it is one of many, at the next place.
    /// `None` if there is none to be written.
    pub(super) fn write_filter(
        &mut self,
        kind: TableBlock,
        hashes: impl Iterator<Item = Vec<u64>>,
    ) -> Result<Option<BlockHandle>, Error> {
        let Some(filter) = &mut self.filter else { return Ok(None) };
        for hashes in hashes {
            filter.add_all(hashes);
        }
        let mut bytes = Vec::new();
        if !filter.finish_into(&mut bytes) {
            return Ok(None);
        }
        let ordinal = if kind == TableBlock::Filter {
            self.begin_section(section::FILTER)?;
            ordinal::FILTER
        } else {
            self.properties.filter_partitions += 1;
            self.take_partition_ordinal()
        };
        let handle = self.write_block(kind, ordinal, &bytes)?;
        let kind = self.spec.options().filter.map_or("", |spec| spec.kind.name());
        kind.clone_into(&mut self.properties.filter);
        self.filter_hashes.extractor_name().clone_into(&mut self.properties.prefix_extractor);
        self.properties.filter_bytes += u64::from(handle.len);
        Ok(Some(handle))
    }

    pub(super) fn write_locator(&mut self) -> Result<(), Error> {
        let Some(bytes) = self.locator.take().and_then(LocatorBuilder::finish) else {
            return Ok(());
        };
        self.begin_section(section::LOCATOR)?;
        let handle = self.write_block(TableBlock::Locator, ordinal::LOCATOR, &bytes)?;
        self.properties.locator_bytes = handle.len.into();
        Ok(())
    }

    /// Writes the block of the index that leads to all others.
    pub(super) fn write_index(&mut self, levels: u64, bytes: &[u8]) -> Result<(), Error> {
        let kind = TableBlock::Index;
        let handle = self.write_doubled(section::INDEX, kind, ordinal::INDEX, bytes)?;
        self.properties.index_bytes += u64::from(handle.len);
        self.properties.index_levels = levels;
        Ok(())
    }

    pub(super) fn write_dictionary(&mut self) -> Result<(), Error> {
        let Some(dictionary) = self.dictionary.take() else { return Ok(()) };
        if self.properties.entries == 0 {
            return Ok(());
        }
        let kind = TableBlock::Dictionary;
        let bytes = dictionary.bytes();
        let handle = self.write_doubled(section::DICTIONARY, kind, ordinal::DICTIONARY, bytes)?;
        self.properties.dictionary = dictionary.id().to_string();
        self.properties.dictionary_bytes = handle.len.into();
        Ok(())
    }

    pub(super) fn write_tombstones(&mut self) -> Result<(), Error> {
        if self.tombstones.is_empty() {
            return Ok(());
        }
        let kind = TableBlock::Tombstones;
        check_len(
            "bounds of range tombstones",
            self.tombstones.bounds_len(),
            0,
            tombstones::BOUNDS_LEN_MAX,
        )?;
        let bytes = tombstones::encode(&self.tombstones, self.ctx.comparator.as_ref())
            .map_err(|source| self.abandon_block(kind, source))?;
        self.properties.count_tombstones(&self.tombstones);
        self.write_doubled(section::TOMBSTONES, kind, ordinal::TOMBSTONES, &bytes)?;
        Ok(())
    }

    pub(super) fn write_properties(&mut self) -> Result<(), Error> {
        self.properties.entry_digests = self.spec.options().entry_digests.into();
        self.properties.comparator = self.ctx.comparator.name().to_owned();
        self.properties.compression = compression_name(self.spec.options().compression);
        self.properties.block_len_target = self.spec.options().block_len_target.into();
        self.properties.last_key.clone_from(&self.last_key);
        let kind = TableBlock::Properties;
        let bytes = self.properties.encode().map_err(|source| self.abandon_block(kind, source))?;
        self.write_doubled(section::PROPERTIES, kind, ordinal::PROPERTIES, &bytes)?;
        Ok(())
    }
}

/// As `--compression` of the command takes it.
pub(super) fn compression_name(compression: Compression) -> String {
    match compression {
        Compression::None => Properties::NOT_COMPRESSED.to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd { level } => format!("zstd:{level}"),
        other => format!("{other:?}"),
    }
}
