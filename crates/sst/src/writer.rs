mod counting;
mod placing;
mod beside;
mod carry;
mod digests;

use std::{
    cmp::Ordering,
    io::{self, Write as _},
    sync::Arc,
};

use stratal_archive::{ArchiveHeader, ArchiveWriter, SectionTag, WriteError};
use stratal_block::{
    Dictionary, FileKey, NewRow, SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor,
    Step,
};
use stratal_filter::FilterBuilder;
use stratal_types::{
    Counter, EntryDigest, EntryKind, EntryRef, FileUid, Fragments, KEY_LEN_MAX, SeqNo, Trailer,
    VALUE_LEN_MAX, key_hash,
};

use carry::CarryState;

use crate::{
    Error, FileDigest, Properties, TableContext, TableIdentity, TableSpec,
    completed::{BlockHashes, Completed},
    counts::Counts,
    digest::Digesting,
    handle::BlockHandle,
    index::{IndexBuilder, Partitions},
    locator::LocatorBuilder,
    membership::FilterHashes,
    options::TableCodecs,
    seal,
    seal_queue::SealQueue,
    section::{self, TableBlock, ordinal},
    training::{Training, train},
};

/// Writes one table. Rotating to the next is a second [`new`](Self::new) with the same spec.
///
/// Entries are added in internal order. The writer holds one data block, and index (some 20 bytes a
/// block) and filter hashes (8 bytes a key) of the blocks before it, until the table is large enough
/// to be divided: from then on, of one partition. Where a dictionary is made, the writer also holds what it is
/// made of. Everything else has gone to the sink.
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
    key: Option<FileKey>,
    codecs: TableCodecs,
    dictionary: Option<Dictionary>,
    /// What came before there is a dictionary, if one is to be made.
    training: Option<Training>,
    output: Output<W>,
    block: SortedBlockBuilder,
    /// Whether entries in `block` came with digests.
    came_with_digests: bool,
    /// Of the entries in `block`.
    counts: Counts,
    is_bytewise: bool,
    partitions: Partitions,
    /// The upper level of the index, once partitions are written.
    top: IndexBuilder,
    filter: Option<FilterBuilder>,
    filter_hashes: FilterHashes,
    /// `None` if none is wanted, or there can be none.
    locator: Option<LocatorBuilder>,
    /// Of the entries in `block`.
    hashes: BlockHashes,
    /// Without the entries in `block`.
    properties: Properties,
    tombstones: Fragments,
    /// The key added last, if `block` has none.
    last_key: Vec<u8>,
    /// Of the entry added last.
    last_trailer: Trailer,
    /// The block completed last, whose fence waits for the next key.
    unfenced: Option<(Unfenced, Completed)>,
    carry: CarryState,
    /// Blocks under way to the file.
    queue: SealQueue<Completed>,
    /// Used before.
    spare: Vec<Completed>,
    next_data_ordinal: u64,
    next_partition_ordinal: u64,
    /// Of the block at hand, for compression.
    plain: Vec<u8>,
    stored: Vec<u8>,
}

/// How an entry follows the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Following {
    /// Whether it is the first version of its key.
    new_key: bool,
    /// The step between the keys, if the entry before is in the block at hand.
    step: Option<Step>,
}

/// A block whose fence is not known yet.
#[derive(Debug)]
enum Unfenced {
    Plain(Vec<u8>),
    /// As it is to be stored.
    Sealed(Vec<u8>),
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
        let dictionary = spec.given_dictionary().cloned();
        let codecs = spec
            .codecs(key.clone(), dictionary.as_ref())
            .map_err(|source| Error::Block { kind: TableBlock::Data.name(), offset: 0, source })?;
        let heads = ctx.comparator.is_bytewise();
        let digests = spec.options().entry_digests;
        let block_options = SortedBlockOptions { heads, digests, ..SortedBlockOptions::default() };
        let training = spec.training().map(|(_, _, sample_len)| {
            Training::new(block_options, spec.options().block_len_target, sample_len)
        });
        let filter_hashes = FilterHashes::new(spec.options().filter_membership, ctx);
        Ok(Self {
            block: SortedBlockBuilder::new(block_options),
            came_with_digests: false,
            counts: Counts::NONE,
            is_bytewise: heads,
            partitions: Partitions::new(spec.partition_limits(), ctx.comparator.as_ref()),
            top: IndexBuilder::new(ctx.comparator.as_ref()),
            filter: spec
                .options()
                .filter
                .map(|spec| FilterBuilder::new(spec).with_membership(filter_hashes.membership())),
            filter_hashes,
            locator: spec.options().locator.then(LocatorBuilder::default),
            hashes: BlockHashes::default(),
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
            key,
            codecs,
            dictionary,
            training,
            last_key: Vec::new(),
            last_trailer: Trailer::new(SeqNo::MAX, EntryKind::Put),
            unfenced: None,
            carry: CarryState::default(),
            queue: SealQueue::new(),
            spare: Vec::new(),
            next_data_ordinal: ordinal::FIRST_DATA,
            next_partition_ordinal: ordinal::FIRST_PARTITION,
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
        self.add_checked(entry, None)
    }

    #[inline]
    pub(crate) fn add_checked(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> Result<(), Error> {
        check_len("key", entry.key.len(), 1, KEY_LEN_MAX)?;
        check_len("value", entry.value.len(), 0, VALUE_LEN_MAX)?;
        let following = self.check_order(entry)?;
        if matches!(self.output, Output::Failed) {
            return Err(Error::WriterFailed);
        }
        if self.training.is_some() {
            return self.add_in_training(entry, digest);
        }
        self.add_in_order(entry, following, digest)
    }

    fn add_in_training(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> Result<(), Error> {
        let Some(training) = &mut self.training else { return Ok(()) };
        let added = training.add(entry, digest);
        let is_full = added.map_err(|source| self.abandon_block(TableBlock::Data, source))?;
        self.last_key.clear();
        self.last_key.extend_from_slice(entry.key);
        self.last_trailer = entry.trailer;
        if is_full { self.end_training(false) } else { Ok(()) }
    }

    /// Makes the dictionary and writes what came before it; `ends` if nothing follows.
    fn end_training(&mut self, ends: bool) -> Result<(), Error> {
        let Some(training) = self.training.take() else { return Ok(()) };
        let Some((level, len_max, _)) = self.spec.training() else { return Ok(()) };
        let blocks = training.into_blocks();
        match train(&blocks, level, len_max, ends) {
            Ok(dictionary) => {
                self.codecs = self
                    .spec
                    .codecs(self.key.clone(), Some(&dictionary))
                    .map_err(|source| self.abandon_block(TableBlock::Data, source))?;
                self.dictionary = Some(dictionary);
            }
            Err(reason) => self.properties.dictionary = format!("none: {reason}"),
        }
        self.last_key.clear();
        for plain in blocks {
            let rows = SortedBlock::parse(plain)
                .map_err(|source| self.abandon_block(TableBlock::Data, source))?;
            let mut rows = SortedCursor::new(rows);
            rows.seek_to_first();
            while let Some(entry) = rows.entry() {
                let following = Following { new_key: self.last_key() != entry.key, step: None };
                let digest = rows.row().and_then(|row| rows.block().digest(row));
                self.add_in_order(entry, following, digest)?;
                rows.advance();
            }
        }
        Ok(())
    }

    /// Adds an entry, which is in order.
    #[inline]
    fn add_in_order(
        &mut self,
        entry: EntryRef<'_>,
        following: Following,
        digest: Option<EntryDigest>,
    ) -> Result<(), Error> {
        let EntryRef { key, trailer, value } = entry;
        let target = self.spec.options().block_len_target as usize;
        if self.block.is_empty() || !self.block.has_room_for(key.len() + value.len(), target) {
            self.begin_block(key)?;
        }
        let key_hash = key_hash(key);
        self.count(entry, key_hash, following.new_key);
        let row = NewRow { key, key_hash, trailer, value, digest, step: following.step };
        self.came_with_digests |= digest.is_some();
        self.block.add_row(&row).map_err(|source| self.abandon_block(TableBlock::Data, source))
    }

    /// Completes the block at hand, if it has entries, for one that begins with `key`.
    fn begin_block(&mut self, key: &[u8]) -> Result<(), Error> {
        if !self.block.is_empty() {
            self.complete_block()?;
        }
        self.fence_before(Some(key))
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
        self.len_with(self.block.estimated_len())
    }

    /// No less than [`estimated_len`](Self::estimated_len), and sooner known.
    #[inline]
    pub(crate) fn len_max(&self) -> u64 {
        self.len_with(self.block.len_max())
    }

    #[inline]
    fn len_with(&self, block_len: usize) -> u64 {
        let written = match &self.output {
            Output::Open(archive) => archive.position(),
            _ => 0,
        };
        let under_way = self.queue.payload_len() + self.unfenced_len();
        let waiting = self.training.as_ref().map_or(0, Training::len);
        written.saturating_add((under_way + waiting + block_len) as u64)
    }

    fn unfenced_len(&self) -> usize {
        self.unfenced
            .as_ref()
            .map_or(0, |(Unfenced::Plain(bytes) | Unfenced::Sealed(bytes), _)| bytes.len())
    }

    /// Bytes the writer holds, roughly: the data block at hand, buffers, and what waits to be written.
    /// While it [finishes](Self::finish), filter, index and the index's second copy are added.
    pub fn memory(&self) -> usize {
        let buffers = self.queue.memory() + self.unfenced_len() + self.stored.capacity();
        let buffers =
            buffers + self.plain.capacity() + self.last_key.capacity() + self.hashes.memory();
        // Rows take more than they will as a block.
        let rows = self.block.estimated_len().saturating_mul(2);
        let locator = self.locator.as_ref().map_or(0, LocatorBuilder::memory);
        let waiting = self.training.as_ref().map_or(0, Training::len);
        buffers + rows + waiting + self.top.memory() + self.partitions.memory() + locator
    }

    /// The key added last; empty before the first.
    #[inline]
    pub(crate) fn last_key(&self) -> &[u8] {
        self.block.last_key().unwrap_or(&self.last_key)
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        let in_training = self.training.as_ref().map_or(0, Training::entries);
        self.properties.entries + self.counts.stats.rows + in_training
    }

    /// Writes what is left. A table without entries and range tombstones leaves the sink untouched.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] and [`Error::Block`]; the file is then unusable.
    pub fn finish(mut self) -> Result<Finished<W>, Error> {
        self.end_training(true)?;
        let entries = self.entries();
        match self.output {
            Output::Untouched(sink) if entries == 0 && self.tombstones.is_empty() => {
                return Ok(Finished { sink, info: None });
            }
            Output::Failed => return Err(Error::WriterFailed),
            _ => {}
        }
        if entries > 0 {
            if !self.block.is_empty() {
                self.complete_block()?;
            }
            self.fence_before(None)?;
            while self.place_oldest()? {}
            self.partitions.close();
            if !self.top.is_empty() || self.is_partitioned_with(self.properties.keys) {
                self.write_partitions()?;
                self.write_top()?;
            } else {
                self.write_whole()?;
            }
        }
        self.write_dictionary()?;
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

    /// How `entry` follows the one before it, or an error if it does not stand behind that.
    #[inline]
    pub(crate) fn check_order(&self, entry: EntryRef<'_>) -> Result<Following, Error> {
        let step = if self.is_bytewise { self.block.step_to(entry.key) } else { None };
        let order = match step {
            Some(step) => step.order(),
            None => self.compare_last(entry.key),
        };
        let is_behind = match order {
            Ordering::Less => true,
            Ordering::Equal => entry.trailer < self.last_trailer,
            Ordering::Greater => false,
        };
        if is_behind {
            Ok(Following { new_key: order.is_lt(), step })
        } else {
            Err(self.refuse(entry))
        }
    }

    /// The order of the key added last and `key`; without one, that comes first.
    fn compare_last(&self, key: &[u8]) -> Ordering {
        match self.last_key() {
            [] => Ordering::Less,
            last => self.ctx.comparator.compare(last, key),
        }
    }

    #[cold]
    fn refuse(&self, entry: EntryRef<'_>) -> Error {
        Error::OutOfOrder { previous: self.last_key().to_vec(), key: entry.key.to_vec() }
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

    /// The ordinal of the next block among the data that is no data block.
    fn take_partition_ordinal(&mut self) -> u64 {
        let ordinal = self.next_partition_ordinal;
        self.next_partition_ordinal += 1;
        ordinal
    }

    /// Seals `plain`, which is no data block, and appends it to the section at hand.
    fn write_block(
        &mut self,
        kind: TableBlock,
        ordinal: u64,
        plain: &[u8],
    ) -> Result<BlockHandle, Error> {
        let mut stored = std::mem::take(&mut self.stored);
        stored.clear();
        self.codecs
            .meta
            .seal_into(kind.id(self.header.uid, ordinal), plain, &mut stored)
            .map_err(|source| self.abandon_block(kind, source))?;
        let handle = self.append(&stored, ordinal);
        self.stored = stored;
        handle
    }

    /// Appends a block to the section at hand.
    fn append(&mut self, stored: &[u8], ordinal: u64) -> Result<BlockHandle, Error> {
        let Output::Open(archive) = &mut self.output else { return Err(Error::WriterFailed) };
        let offset = archive.position();
        let too_long = || Error::Length {
            what: "block",
            len: stored.len() as u64,
            min: 0,
            max: u32::MAX.into(),
        };
        let len = u32::try_from(stored.len()).map_err(|_| too_long())?;
        if let Err(error) = archive.write_all(stored) {
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

fn write_error(error: WriteError) -> Error {
    match error {
        WriteError::Io(error) => Error::Write(error),
        other => Error::Write(io::Error::other(other)),
    }
}

#[inline]
fn check_len(what: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) { Ok(()) } else { Err(out_of_range(what, len, min, max)) }
}

#[cold]
fn out_of_range(what: &'static str, len: usize, min: usize, max: usize) -> Error {
    Error::Length { what, len: len as u64, min: min as u64, max: max as u64 }
}
