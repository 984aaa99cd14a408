//! The blocks of tables that are damaged: found by their frames, described as far as they can be.

use std::{borrow::Cow, ops::Range, path::Path};

use serde_json::json;
use stratal_archive::Toc;
use stratal_block::{
    BlockContext, BlockId, BlockSpec, Codec, Frame, FrameHeader, annotate_frame_with,
};
use stratal_sst::{FILE_TYPE, TableBlock};
use stratal_types::{FileUid, dump::Dump};

use super::{
    Explained, Trouble,
    archive::{self, clipped, copy_of, usizes},
    block::Block,
};

/// What is left of a table whose contents, properties or index are damaged: its blocks are found by
/// their frames, one behind the other, and numbered as if nothing had happened.
pub(super) fn explain(bytes: &[u8], path: &Path) -> Explained {
    let (toc, trouble) = archive::contents(bytes);
    let Some(toc) = toc.filter(|toc| toc.header.file_type == FILE_TYPE) else {
        return archive::explain(bytes, path);
    };
    let blocks = blocks_by_frames(bytes, &toc);
    let damaged = blocks.iter().find_map(|block| block.trouble.clone());
    let readable = blocks.iter().filter(|block| block.trouble.is_none()).count();
    Explained {
        name: "table",
        title: "a sorted table of Stratal that does not open",
        facts: vec![
            ("db_id", json!(toc.header.db_id.to_string())),
            ("uid", json!(toc.header.uid.to_string())),
            ("readable_blocks", json!(readable)),
        ],
        blocks,
        trouble: trouble.or(damaged),
        dump: |bytes, explained, number| {
            let Some(block) = explained.blocks.get(number) else { return String::new() };
            let uid = archive::contents(bytes).0.map(|toc| toc.header.uid).unwrap_or_default();
            let stored = clipped(bytes, &block.range);
            let Some(found) = Found::again(block, uid) else {
                return Dump::at(block.range.start, stored).finish();
            };
            let plain = found.open(stored).ok();
            dump_frame(found.kind, block.range.start, stored, plain.as_deref())
        },
    }
}

/// A block whose place in the file says what it is.
struct Found {
    kind: TableBlock,
    id: BlockId,
}

impl Found {
    fn new(kind: TableBlock, uid: FileUid, ordinal: u64) -> Self {
        Self { kind, id: kind.id(uid, ordinal) }
    }

    /// The block that was made a [`Block`].
    fn again(block: &Block, uid: FileUid) -> Option<Self> {
        let kind = TableBlock::ALL.into_iter().find(|kind| kind.name() == block.kind)?;
        Some(Self::new(kind, uid, block.ordinal?))
    }

    /// The block at `range`, or what there is of it.
    fn block(&self, bytes: &[u8], range: Range<usize>) -> Block {
        let range = range.start.min(bytes.len())..range.end.min(bytes.len());
        let trouble = self.open(clipped(bytes, &range)).err();
        let trouble = trouble.map(|error| {
            if error.is_corruption() {
                Trouble::damage(range.start, error.to_string())
            } else {
                Trouble::Refused { what: error.to_string() }
            }
        });
        let ordinal = Some(self.id.ordinal);
        Block { ordinal, trouble, ..Block::new(self.kind.name(), range) }
    }

    /// The payload, if the block is whole.
    fn open<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, stratal_block::Error> {
        let codec = BlockSpec::default().resolve(&BlockContext::default())?;
        Ok(codec.open(self.id, stored)?.payload)
    }
}

fn blocks_by_frames(bytes: &[u8], toc: &Toc) -> Vec<Block> {
    let uid = toc.header.uid;
    let mut blocks = Vec::new();
    for entry in &toc.entries {
        let range = usizes(&entry.range());
        let kind = TableBlock::ALL.into_iter().find(|kind| kind.section() == entry.tag);
        let Some(kind) = kind else { continue };
        if let Some(ordinal) = kind.ordinal(copy_of(entry.half) > 0) {
            blocks.push(Found::new(kind, uid, ordinal).block(bytes, range));
            continue;
        }
        let mut rest = clipped(bytes, &range);
        let mut start = range.start;
        let mut ordinals = (TableBlock::FIRST_DATA_ORDINAL, TableBlock::FIRST_PARTITION_ORDINAL);
        while !rest.is_empty() {
            // Blocks of several kinds stand among the data. Behind a frame that cannot be told nothing
            // can be found.
            let kind = FrameHeader::split_from(rest)
                .ok()
                .and_then(|(header, _)| TableBlock::from_tag(header.kind.0))
                .filter(|kind| kind.section() == entry.tag)
                .unwrap_or(kind);
            let next = if kind == TableBlock::Data { &mut ordinals.0 } else { &mut ordinals.1 };
            let ordinal = *next;
            *next += 1;
            let behind = Frame::split_from(rest).map_or(&[][..], |(_, behind)| behind);
            let end = start + rest.len() - behind.len();
            blocks.push(Found::new(kind, uid, ordinal).block(bytes, start..end));
            (rest, start) = (behind, end);
        }
    }
    blocks
}

/// Describes a frame, and `plain`, what its payload decodes to, if that is another.
pub(super) fn dump_frame(
    kind: TableBlock,
    offset: usize,
    stored: &[u8],
    plain: Option<&[u8]>,
) -> String {
    let frame = Frame::from_exact(stored);
    let mut dump = Dump::at(offset, stored);
    match &frame {
        Ok(_) => annotate_frame_with(&mut dump, |dump, len| annotate_whole(kind, dump, len)),
        Err(error) => annotate_broken_frame(kind, error, &mut dump),
    }
    let mut text = dump.finish();
    let is_packed = frame.is_ok_and(|frame| frame.header().codec != Codec::None);
    if let Some(plain) = plain.filter(|_| is_packed) {
        let mut dump = Dump::new(plain);
        dump.note("the payload, decompressed");
        kind.annotate(&mut dump, plain.len());
        text.push_str(&dump.finish());
    }
    text
}

/// Describes a frame whose header cannot be read: the fields stand where they stand.
fn annotate_broken_frame(kind: TableBlock, error: &stratal_block::Error, dump: &mut Dump<'_>) {
    dump.note(format_args!("{error}; the fields as they stand"));
    stratal_block::annotate_broken_frame(dump, |dump, len| annotate_whole(kind, dump, len));
}

/// Describes a payload of `len` bytes to its end, understood or not.
fn annotate_whole(kind: TableBlock, dump: &mut Dump<'_>, len: usize) {
    let before = dump.remaining().len();
    kind.annotate(dump, len);
    let described = before.saturating_sub(dump.remaining().len());
    if described < len {
        dump.field(len.saturating_sub(described), "payload, not understood");
    }
}
