use std::{
    io::{self, Write as _},
    sync::Arc,
};

use stratal_archive::{ArchiveHeader, ArchiveWriter, SectionTag, WriteError};
use stratal_block::{Compression, SortedBlockBuilder, SortedBlockOptions};
use stratal_filter::FilterBuilder;
use stratal_types::{
    Counter, EntryKind, EntryRef, FileUid, Fragments, InternalKey, KEY_LEN_MAX, SeqNo, Trailer,
    VALUE_LEN_MAX, key_hash,
};

use crate::{
    Error, FileDigest, Partitioning, Properties, TableContext, TableIdentity, TableSpec,
    digest::Digesting,
    handle::BlockHandle,
    index::{BlockFence, IndexBuilder, Partition, PartitionFence, Partitions, Stats},
    membership::FilterHashes,
    options::TableCodecs,
    seal,
    section::{self, TableBlock, ordinal},
    tombstones,
};

/// Writes one table. Rotating to the next is a second [`new`](Self::new) with the same spec.
///
/// Entries are added in internal order. The writer holds one data block, and index (some 20 bytes a
/// block) and filter hashes (8 bytes a key) of the blocks before it, until the table is large enough
/// to be divided: from then on, of one partition. Everything else has gone to the sink.
///
/// The same entries, options, identity and context give the same bytes.
///
/// An error that [wrote nothing](Error::OutOfOrder) leaves the writer usable; after a failed write
/// every call fails, and the file should be removed.
#[derive(Debug)]
pub struct TableWriter<W> {
    ctx: TableContext,
    spec: Arc<TableSpec>,
    header: ArchiveHeader,
    codecs: TableCodecs,
    output: Output<W>,
    block: SortedBlockBuilder,
    /// Of the entries in `block`.
    stats: Stats,
    partitions: Partitions,
    /// The upper level of the index, once partitions are written.
    top: IndexBuilder,
    filter: Option<FilterBuilder>,
    filter_hashes: FilterHashes,
    /// Whether the filter at hand has nothing yet of the keys added.
    filter_begins: bool,
    properties: Properties,
    tombstones: Fragments,
    /// The entry added last.
    last_key: Vec<u8>,
    last_trailer: Trailer,
    /// The data block written last, whose fence waits for the next key.
    unfenced: Option<BlockFence>,
    next_ordinal: u64,
    plain: Vec<u8>,
    stored: Vec<u8>,
}

/// The sink, which sees its first byte when there is something to write.
#[derive(Debug)]
enum Output<W> {
    Untouched(W),
    Open(Box<ArchiveWriter<Digesting<W>>>),
    Failed,
}

/// A finished table.
#[derive(Debug)]
#[must_use]
pub struct Finished<W> {
    /// The sink, for the caller to flush and sync.
    pub sink: W,
    /// What was written; `None` if nothing was added, and then the sink was not touched.
    pub info: Option<TableInfo>,
}

/// What is known about a table once it is written or opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Length of the file, in bytes.
    pub file_len: u64,
    /// The file's identity.
    pub uid: FileUid,
    /// The checksum of the whole file, which its writer knows; [`Table::digest`](crate::Table::digest)
    /// reads the file for it.
    pub digest: Option<FileDigest>,
    /// What the table says about itself.
    pub properties: Properties,
}

impl<W: io::Write> TableWriter<W> {
    /// Starts a table in `sink`, which is `identity`; if only the table's uid is given, it cannot be
    /// encrypted. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// Of a table to be encrypted, [`Error::KeyNeeded`] if the context has no key and
    /// [`Error::InvalidOption`] if the identity has no salt.
    pub fn new(
        ctx: &TableContext,
        sink: W,
        identity: impl Into<TableIdentity>,
        spec: Arc<TableSpec>,
    ) -> Result<Self, Error> {
        let identity = identity.into();
        let (key, seal) = seal::begin(ctx, identity, spec.options().seal)?.unzip();
        let codecs = spec.codecs(key).map_err(|source| Error::Block {
            kind: TableBlock::Data.name(),
            offset: 0,
            source,
        })?;
        let heads = ctx.comparator.is_bytewise();
        let filter_hashes = FilterHashes::new(spec.options().filter_membership, ctx);
        Ok(Self {
            block: SortedBlockBuilder::new(SortedBlockOptions {
                heads,
                ..SortedBlockOptions::default()
            }),
            stats: Stats::NONE,
            partitions: Partitions::new(spec.partition_limits(), ctx.comparator.as_ref()),
            top: IndexBuilder::new(ctx.comparator.as_ref()),
            filter: spec
                .options()
                .filter
                .map(|spec| FilterBuilder::new(spec).with_membership(filter_hashes.membership())),
            filter_hashes,
            filter_begins: true,
            properties: Properties::new(),
            tombstones: Fragments::EMPTY,
            output: Output::Untouched(sink),
            ctx: ctx.clone(),
            spec,
            header: ArchiveHeader {
                file_type: section::FILE_TYPE,
                db_id: ctx.db_id,
                uid: identity.uid,
                seal,
            },
            codecs,
            last_key: Vec::new(),
            last_trailer: Trailer::new(SeqNo::MAX, EntryKind::Put),
            unfenced: None,
            next_ordinal: ordinal::FIRST_FREE,
            plain: Vec::new(),
            stored: Vec::new(),
        })
    }

    /// Adds `key` with `value`, for tables without versions: each key once, ascending.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.add(EntryRef::new(key, Trailer::new(SeqNo::ZERO, EntryKind::Put), value))
    }

    /// Adds an entry, which stands behind all others in internal order: user keys ascending,
    /// versions of one key newest first.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] and [`Error::Length`] refuse the entry and change nothing.
    /// [`Error::Write`] and [`Error::Block`] end the table.
    pub fn add(&mut self, entry: EntryRef<'_>) -> Result<(), Error> {
        check_len("key", entry.key.len(), 1, KEY_LEN_MAX)?;
        check_len("value", entry.value.len(), 0, VALUE_LEN_MAX)?;
        let new_key = self.check_order(entry)?;
        if matches!(self.output, Output::Failed) {
            return Err(Error::WriterFailed);
        }
        let len = entry.key.len() + entry.value.len();
        let target = self.spec.options().block_len_target as usize;
        if !self.block.is_empty() && !self.block.has_room_for(len, target) {
            self.write_data_block()?;
        }
        self.fence_before(Some(entry.key))?;

        let hash = key_hash(entry.key);
        self.block
            .add_with_hash(entry.key, hash, entry.trailer, entry.value)
            .map_err(|source| self.abandon_block(TableBlock::Data, source))?;
        // The versions of a key may go on in a partition that they did not begin in.
        if self.filter.is_some() && (new_key || self.filter_begins) {
            let previous = (!self.filter_begins).then_some(&self.last_key[..]);
            for hash in self.filter_hashes.of_key(entry.key, hash, previous) {
                self.partitions.add_hash(hash);
            }
            self.filter_begins = false;
        }
        if self.properties.entries == 0 {
            self.properties.first_key.extend_from_slice(entry.key);
        }
        self.properties.count(entry, new_key);
        self.stats.count(entry.seqno());
        self.last_key.clear();
        self.last_key.extend_from_slice(entry.key);
        self.last_trailer = entry.trailer;
        Ok(())
    }

    /// Adds range tombstones to those given before. They may cover keys that the table does not have,
    /// and a table may have nothing else. Their bounds are 1 to 65,535 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], and then nothing has changed.
    pub fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), Error> {
        for fragment in fragments.iter() {
            check_len("range bound", fragment.start.len(), 1, KEY_LEN_MAX)?;
            check_len("range bound", fragment.end.len(), 1, KEY_LEN_MAX)?;
        }
        let comparator = self.ctx.comparator.as_ref();
        self.tombstones = Fragments::merge([&self.tombstones, fragments], comparator);
        Ok(())
    }

    /// Stores `value` among the table's properties under a name of the caller's, such as a creation
    /// time. The last value given for a name counts.
    pub fn user_property(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.properties.user.insert(name.into(), value.into());
    }

    /// Bytes the file would have, roughly, if it were finished now.
    pub fn estimated_len(&self) -> u64 {
        let written = match &self.output {
            Output::Open(archive) => archive.position(),
            _ => 0,
        };
        written.saturating_add(self.block.estimated_len() as u64)
    }

    /// Bytes the writer holds, roughly: the data block at hand, buffers, and what waits to be written.
    /// While it [finishes](Self::finish), filter, index and the index's second copy are added.
    pub fn memory(&self) -> usize {
        let buffers = self.plain.capacity() + self.stored.capacity() + self.last_key.capacity();
        // Rows take more than they will as a block.
        let rows = self.block.estimated_len().saturating_mul(2);
        buffers + rows + self.top.memory() + self.partitions.memory()
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        self.properties.entries
    }

    /// Writes what is left. A table without entries and range tombstones leaves the sink untouched.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] and [`Error::Block`]; the file is then unusable.
    pub fn finish(mut self) -> Result<Finished<W>, Error> {
        match self.output {
            Output::Untouched(sink)
                if self.properties.entries == 0 && self.tombstones.is_empty() =>
            {
                return Ok(Finished { sink, info: None });
            }
            Output::Failed => return Err(Error::WriterFailed),
            _ => {}
        }
        if self.properties.entries > 0 {
            self.write_data_block()?;
            self.fence_before(None)?;
            self.partitions.close();
            if !self.top.is_empty() || self.is_partitioned_now() {
                self.write_partitions()?;
                self.write_top()?;
            } else {
                self.write_whole()?;
            }
        }
        self.write_tombstones()?;
        self.write_properties()?;
        let archive = self.take_archive()?;
        let (sink, toc) = archive.finish().map_err(write_error)?;
        let (sink, digest) = sink.finish();
        self.ctx.metrics.add(Counter::BytesWritten, toc.file_len);
        let info = TableInfo {
            file_len: toc.file_len,
            uid: self.header.uid,
            digest: Some(digest),
            properties: self.properties,
        };
        Ok(Finished { sink, info: Some(info) })
    }

    /// Whether `entry` begins a new user key, or an error if it does not stand behind the last one.
    pub(crate) fn check_order(&self, entry: EntryRef<'_>) -> Result<bool, Error> {
        if self.properties.entries == 0 {
            return Ok(true);
        }
        let last = InternalKey::new(&self.last_key, self.last_trailer);
        if last.compare(&entry.internal_key(), self.ctx.comparator.as_ref()).is_lt() {
            return Ok(self.last_key != entry.key);
        }
        Err(Error::OutOfOrder { previous: self.last_key.clone(), key: entry.key.to_vec() })
    }

    fn write_data_block(&mut self) -> Result<(), Error> {
        self.plain.clear();
        self.block.finish_into(&mut self.plain);
        if self.properties.data_blocks == 0 {
            self.begin_section(section::DATA)?;
        }
        let ordinal = self.take_ordinal();
        let plain = std::mem::take(&mut self.plain);
        let handle = self.write_block(TableBlock::Data, ordinal, &plain)?;
        self.plain = plain;
        self.properties.data_blocks += 1;
        self.properties.data_bytes += u64::from(handle.len);
        let stats = std::mem::replace(&mut self.stats, Stats::NONE);
        self.unfenced = Some(BlockFence { handle, stats });
        Ok(())
    }

    /// The ordinal of the next block among the data.
    fn take_ordinal(&mut self) -> u64 {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        ordinal
    }

    /// Puts the fence between the block written last, if it has none yet, and `next`.
    fn fence_before(&mut self, next: Option<&[u8]>) -> Result<(), Error> {
        let Some(block) = self.unfenced.take() else { return Ok(()) };
        let last = InternalKey::new(&self.last_key, self.last_trailer);
        self.partitions
            .add_fence(block, last, next, self.ctx.comparator.as_ref())
            .map_err(|source| self.abandon_block(TableBlock::Index, source))?;
        if next.is_some() && self.partitions.is_full() {
            self.partitions.close();
            self.filter_begins = true;
            if !self.top.is_empty() || self.is_partitioned_now() {
                self.write_partitions()?;
            }
        }
        Ok(())
    }

    /// Whether the table, which may not have been divided before, is to be now.
    fn is_partitioned_now(&self) -> bool {
        match self.spec.options().partitioning {
            Partitioning::Never => false,
            Partitioning::Always => true,
            Partitioning::Auto { keys } => {
                let waiting = self.partitions.waiting_len() as u64;
                self.properties.keys >= keys || waiting / Partitioning::WAITING_LEN_PER_KEY >= keys
            }
        }
    }

    /// Writes every partition that waits, and puts its fence into the upper level.
    fn write_partitions(&mut self) -> Result<(), Error> {
        for partition in self.partitions.take_closed() {
            let filter =
                self.write_filter(TableBlock::FilterPartition, partition.hashes.iter().copied())?;
            let kind = TableBlock::IndexPartition;
            let ordinal = self.take_ordinal();
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
    fn write_top(&mut self) -> Result<(), Error> {
        let bytes = self.top.finish();
        self.write_index(2, &bytes)
    }

    /// Writes one filter and one index over everything.
    fn write_whole(&mut self) -> Result<(), Error> {
        let partitions = self.partitions.take_closed();
        let hashes = partitions.iter().flat_map(|partition| partition.hashes.iter().copied());
        self.write_filter(TableBlock::Filter, hashes)?;
        let index = match &partitions[..] {
            [partition] => Ok(partition.index.clone()),
            _ => self.partitions.whole_index(&partitions),
        };
        let index = index.map_err(|source| self.abandon_block(TableBlock::Index, source))?;
        self.write_index(1, &index)
    }

    /// Writes a filter over `hashes`, in its section or, if it is one of many, at the next place.
    /// `None` if there is none to be written.
    fn write_filter(
        &mut self,
        kind: TableBlock,
        hashes: impl Iterator<Item = u64>,
    ) -> Result<Option<BlockHandle>, Error> {
        let Some(filter) = &mut self.filter else { return Ok(None) };
        hashes.for_each(|hash| filter.add(hash));
        let mut bytes = Vec::new();
        if !filter.finish_into(&mut bytes) {
            return Ok(None);
        }
        let ordinal = if kind == TableBlock::Filter {
            self.begin_section(section::FILTER)?;
            ordinal::FILTER
        } else {
            self.properties.filter_partitions += 1;
            self.take_ordinal()
        };
        let handle = self.write_block(kind, ordinal, &bytes)?;
        let kind = self.spec.options().filter.map_or("", |spec| spec.kind.name());
        kind.clone_into(&mut self.properties.filter);
        self.filter_hashes.extractor_name().clone_into(&mut self.properties.prefix_extractor);
        self.properties.filter_bytes += u64::from(handle.len);
        Ok(Some(handle))
    }

    /// Writes the block of the index that leads to all others.
    fn write_index(&mut self, levels: u64, bytes: &[u8]) -> Result<(), Error> {
        let kind = TableBlock::Index;
        let handle = self.write_doubled(section::INDEX, kind, ordinal::INDEX, bytes)?;
        self.properties.index_bytes += u64::from(handle.len);
        self.properties.index_levels = levels;
        Ok(())
    }

    fn write_tombstones(&mut self) -> Result<(), Error> {
        if self.tombstones.is_empty() {
            return Ok(());
        }
        let kind = TableBlock::Tombstones;
        let bytes = tombstones::encode(&self.tombstones, self.ctx.comparator.as_ref())
            .map_err(|source| self.abandon_block(kind, source))?;
        self.properties.count_tombstones(&self.tombstones);
        self.write_doubled(section::TOMBSTONES, kind, ordinal::TOMBSTONES, &bytes)?;
        Ok(())
    }

    fn write_properties(&mut self) -> Result<(), Error> {
        self.properties.comparator = self.ctx.comparator.name().to_owned();
        self.properties.compression = compression_name(self.spec.options().compression);
        self.properties.block_len_target = self.spec.options().block_len_target.into();
        self.properties.last_key.clone_from(&self.last_key);
        let kind = TableBlock::Properties;
        let bytes = self.properties.encode().map_err(|source| self.abandon_block(kind, source))?;
        self.write_doubled(section::PROPERTIES, kind, ordinal::PROPERTIES, &bytes)?;
        Ok(())
    }

    /// Writes a section of one block, and keeps its second copy for the end of the file.
    fn write_doubled(
        &mut self,
        tag: SectionTag,
        kind: TableBlock,
        ordinals: [u64; 2],
        plain: &[u8],
    ) -> Result<BlockHandle, Error> {
        let [first, second] = ordinals;
        self.begin_section(tag)?;
        let handle = self.write_block(kind, first, plain)?;
        let mirror = self
            .codecs
            .meta
            .seal(kind.id(self.header.uid, second), plain)
            .map_err(|source| self.abandon_block(kind, source))?;
        self.archive()?.mirror(tag, mirror).map_err(write_error)?;
        Ok(handle)
    }

    /// Seals `plain` and appends it to the section at hand.
    fn write_block(
        &mut self,
        kind: TableBlock,
        ordinal: u64,
        plain: &[u8],
    ) -> Result<BlockHandle, Error> {
        let codec = match kind {
            TableBlock::Data => &self.codecs.data,
            _ => &self.codecs.meta,
        };
        self.stored.clear();
        codec
            .seal_into(kind.id(self.header.uid, ordinal), plain, &mut self.stored)
            .map_err(|source| self.abandon_block(kind, source))?;
        let Output::Open(archive) = &mut self.output else { return Err(Error::WriterFailed) };
        let offset = archive.position();
        let too_long = || Error::Length {
            what: "block",
            len: self.stored.len() as u64,
            min: 0,
            max: u32::MAX.into(),
        };
        let len = u32::try_from(self.stored.len()).map_err(|_| too_long())?;
        if let Err(error) = archive.write_all(&self.stored) {
            self.output = Output::Failed;
            return Err(Error::Write(error));
        }
        Ok(BlockHandle { offset, len, ordinal })
    }

    fn begin_section(&mut self, tag: SectionTag) -> Result<(), Error> {
        let result = self.archive()?.section(tag).map_err(write_error);
        if result.is_err() {
            self.output = Output::Failed;
        }
        result
    }

    /// The archive, begun if it is not yet.
    fn archive(&mut self) -> Result<&mut ArchiveWriter<Digesting<W>>, Error> {
        if let Output::Untouched(_) = self.output {
            let archive = self.take_archive()?;
            self.output = Output::Open(Box::new(archive));
        }
        match &mut self.output {
            Output::Open(archive) => Ok(archive),
            _ => Err(Error::WriterFailed),
        }
    }

    fn take_archive(&mut self) -> Result<ArchiveWriter<Digesting<W>>, Error> {
        match std::mem::replace(&mut self.output, Output::Failed) {
            Output::Untouched(sink) => {
                ArchiveWriter::new(Digesting::new(sink), self.header).map_err(write_error)
            }
            Output::Open(archive) => Ok(*archive),
            Output::Failed => Err(Error::WriterFailed),
        }
    }

    /// Ends the table after a block could not be built or sealed.
    fn abandon_block(&mut self, kind: TableBlock, source: stratal_block::Error) -> Error {
        let offset = self.estimated_len();
        self.output = Output::Failed;
        Error::Block { kind: kind.name(), offset, source }
    }
}

/// As `--compression` of the command takes it.
fn compression_name(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd { level } => format!("zstd:{level}"),
        other => format!("{other:?}"),
    }
}

fn write_error(error: WriteError) -> Error {
    match error {
        WriteError::Io(error) => Error::Write(error),
        other => Error::Write(io::Error::other(other)),
    }
}

fn check_len(what: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    Err(Error::Length { what, len: len as u64, min: min as u64, max: max as u64 })
}
