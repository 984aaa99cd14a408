//! Bodies for table files.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use stratal_archive::{ArchiveHeader, ArchiveWriter, SectionTag};
use stratal_block::{BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec};
use stratal_sst::{
    FILE_TYPE, Partitioning, Table, TableBlock, TableContext, TableOptions, TableWriter,
};
use stratal_types::{Bytewise, Cursor, FileUid, Fragments, RangeTombstone, SeqNo};

const UID: FileUid = FileUid([0x5a; 16]);
const ROWS: u32 = 40;
/// For an index of one level, and of two.
const LEVELS: [Partitioning; 2] = [Partitioning::Never, Partitioning::Always];

/// Any bytes as a table file.
pub fn file(data: &[u8]) {
    if let Ok(table) = Table::open(&TableContext::default(), Arc::new(Bytes::copy_from_slice(data)))
    {
        ask(&table);
    }
}

/// A whole table with a few bytes changed: what it still answers is right.
///
/// The input is read as triples: two bytes of offset, one to change the byte there.
///
/// The table has one level, and then two.
pub fn damaged(data: &[u8]) {
    for partitioning in LEVELS {
        damaged_table(data, small_table(partitioning));
    }
}

fn damaged_table(data: &[u8], mut file: Vec<u8>) {
    for change in data.as_chunks::<3>().0 {
        let [low, high, flip] = *change;
        let at = usize::from(u16::from_le_bytes([low, high])) % file.len();
        if let Some(byte) = file.get_mut(at) {
            *byte ^= flip;
        }
    }
    let Ok(table) = Table::open(&TableContext::default(), Arc::new(Bytes::from(file))) else {
        return;
    };
    for i in 0..ROWS {
        if let Ok(found) = table.get(key(i).as_bytes()) {
            let expected = (!(10..20).contains(&i)).then(|| value(i));
            assert_eq!(found.as_deref(), expected.as_deref().map(str::as_bytes), "row {i}");
        }
    }
    ask(&table);
}

/// A file whose every check holds, around blocks that an attacker chose.
///
/// The input is the lengths of two payloads, as `u16` each, and three payloads: index, data block and
/// range tombstones. Properties are those of a real table, so that the others are reached; first of
/// one whose index has one level, then of one where it has two. There the index is the upper level,
/// and the third payload is also a partition of the index, behind the data block.
pub fn resealed(data: &[u8]) {
    let Some((&[a, b, c, d], rest)) = data.split_first_chunk() else { return };
    let len = |bytes| usize::from(u16::from_le_bytes(bytes));
    let (index, rest) = rest.split_at(len([a, b]).min(rest.len()));
    let (rows, tombstones) = rest.split_at(len([c, d]).min(rest.len()));
    for partitioning in LEVELS {
        let Some(file) = forged(partitioning, index, rows, tombstones) else { continue };
        let source = Arc::new(Bytes::from(file));
        if let Ok(table) = Table::open(&TableContext::default(), source) {
            ask(&table);
        }
    }
}

/// Everything a reader may ask. Any answer is well; a panic or an endless loop is not.
fn ask(table: &Table) {
    let mut answers = 0usize;
    for probe in [&b""[..], b"key 0000", b"key 0015", b"\xff\xff"] {
        answers += usize::from(table.get(probe).is_ok());
        answers += usize::from(table.lookup(probe, SeqNo::from(3u32)).is_ok());
        let mut cursor = table.cursor();
        answers += usize::from(cursor.seek(probe, SeqNo::MAX).is_ok() && cursor.retreat().is_ok());
    }
    // A hostile index may name one block any number of times, but no more often than it has rows.
    answers += table.range::<&[u8]>(..).take(10_000).flatten().count();
    answers += table.prefix(b"key").rev().take(10_000).flatten().count();
    answers += usize::from(table.estimate("key 0003".as_bytes()..).is_ok());
    answers += usize::from(table.may_contain_prefix(b"key").is_ok());
    answers += usize::from(table.verify().is_ok_and(|report| report.is_ok()));
    std::hint::black_box(answers);
}

fn key(i: u32) -> String {
    format!("key {i:04}")
}

fn value(i: u32) -> String {
    format!("value number {i}, of some length")
}

/// Rows in several blocks; those from 10 up to 20 are deleted by range.
fn small_table(partitioning: Partitioning) -> Vec<u8> {
    let write = || {
        let options =
            TableOptions { block_len_target: 512, partitioning, ..TableOptions::default() };
        let spec = Arc::new(options.validate()?);
        let mut writer = TableWriter::new(&TableContext::default(), Vec::new(), UID, spec)?;
        for i in 0..ROWS {
            writer.put(key(i).as_bytes(), value(i).as_bytes())?;
        }
        let tombstone = RangeTombstone::new(key(10), key(20), SeqNo::from(9u32));
        writer.add_tombstones(&Fragments::build([&tombstone], &Bytewise))?;
        Ok::<_, stratal_sst::Error>(writer.finish()?.sink)
    };
    write().expect("a small table can be written")
}

/// A table file of these payloads under the properties of [`small_table`]; `None` if a payload
/// cannot be a section.
fn forged(
    partitioning: Partitioning,
    index: &[u8],
    rows: &[u8],
    tombstones: &[u8],
) -> Option<Vec<u8>> {
    let genuine = small_table(partitioning);
    let table =
        Table::open(&TableContext::default(), Arc::new(Bytes::from(genuine.clone()))).ok()?;
    let properties =
        table.blocks().ok()?.into_iter().find(|block| block.kind == TableBlock::Properties)?;
    let from = usize::try_from(properties.offset).ok()?;
    let properties = genuine.get(from..from + properties.len as usize)?;

    let codec = BlockSpec::default().resolve(&BlockContext::default()).ok()?;
    let header = ArchiveHeader { file_type: FILE_TYPE, uid: UID, ..ArchiveHeader::default() };
    let mut archive = ArchiveWriter::new(Vec::new(), header).ok()?;
    let mut section = |tag: &[u8; 4], stored: &[u8]| {
        archive.section(SectionTag(*tag)).ok()?;
        archive.write_all(stored).ok()
    };
    let mut data = seal(&codec, TableBlock::Data, 16, rows)?;
    if partitioning == Partitioning::Always {
        data.extend(seal(&codec, TableBlock::IndexPartition, 17, tombstones)?);
    }
    section(b"DATA", &data)?;
    section(b"INDX", &seal(&codec, TableBlock::Index, 2, index)?)?;
    section(b"RDEL", &seal(&codec, TableBlock::Tombstones, 6, tombstones)?)?;
    section(b"PROP", properties)?;
    archive.finish().ok().map(|(file, _)| file)
}

fn seal(codec: &BlockCodec, kind: TableBlock, ordinal: u64, plain: &[u8]) -> Option<Vec<u8>> {
    codec.seal(BlockId { uid: UID, ordinal, kind: BlockKind(kind.tag()) }, plain).ok()
}
