//! Blocks: frames as found and with their check set right, payloads of every codec, and sorted
//! blocks that were made up or damaged.

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Codec, Error, Frame,
    FrameHeader, Limits, Parity, Seal, SortedBlock, SortedBlockBuilder, SortedBlockOptions,
    SortedCursor, annotate_frame_with, annotate_sorted_block, verify,
};
use stratal_types::{
    Bytewise, Comparator, EntryKind, FileUid, Reverse, SeqNo, Shortlex, Trailer, dump::Dump,
    key_hash,
};

const ID: BlockId = BlockId { uid: FileUid([7; 16]), ordinal: 1, kind: BlockKind(1) };
const LIMITS: Limits = Limits { plain_len_max: 1 << 20, ratio_max: 1 << 12 };

/// Frames one after another, each opened. One that opens is what its header says.
pub fn frames(data: &[u8]) {
    let mut rest = data;
    while let Ok((frame, behind)) = Frame::split_from(rest) {
        assert_eq!(frame.header().frame_len(), rest.len() - behind.len());
        open(&rest[..rest.len() - behind.len()]);
        rest = behind;
    }
    let mut dump = Dump::new(data).with_rows_max(2);
    annotate_frame_with(&mut dump, annotate_sorted_block);
    assert!(!dump.finish().is_empty());
}

/// A frame of this kind whose check is made to fit: what an adversary can write.
pub fn frame_resealed(data: &[u8]) {
    let mut bytes = data.to_vec();
    if let [_, _, _, kind, ..] = &mut bytes[..] {
        *kind = ID.kind.0;
    }
    open(&bytes);
    if let (Err(Error::Checksum { expected, .. }), Some(check)) =
        (verify(ID, &bytes), bytes.last_chunk_mut())
    {
        *check = expected.to_le_bytes();
        assert!(verify(ID, &bytes).is_ok());
        open(&bytes);
    }
}

/// A payload for each codec, in a frame that is right: the first four bytes say how long it claims
/// to be once decoded.
pub fn payload(data: &[u8]) {
    let Some((plain_len, payload)) = data.split_first_chunk() else { return };
    let Ok(stored_len) = u32::try_from(payload.len()) else { return };
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let plain_len = match codec {
            Codec::None => stored_len,
            _ => u32::from_le_bytes(*plain_len) % (LIMITS.plain_len_max + 2),
        };
        let checksum = Checksum::Crc32c;
        let (kind, seal, parity) = (ID.kind, Seal::None, Parity::None);
        let header = FrameHeader { kind, codec, checksum, seal, parity, stored_len, plain_len };
        let mut frame = Vec::new();
        header.encode_into(&mut frame);
        frame.extend_from_slice(payload);
        frame.extend_from_slice(&[0; 8]);
        frame_resealed(&frame);
    }
}

/// The data as a sorted block: one that parses answers everything.
pub fn sorted_block(data: &[u8]) {
    ask_everything(data, data);
}

/// A sorted block of rows found in the data, as it was written and then damaged: the first byte says
/// how many damages, which are taken from the front, and how the block is written.
pub fn sorted_block_damaged(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (damages, rows) = data.split_at(data.len().min(3 * usize::from(first >> 5)));
    let options =
        SortedBlockOptions { tags: first & 1 == 0, heads: first & 2 == 0, digests: first & 4 != 0 };
    let mut bytes = sorted_block_of(rows, options);
    let block = SortedBlock::parse(&bytes[..]);
    assert!(block.is_ok_and(|block| block.verify(&Bytewise).is_ok()));
    for &[low, high, value] in damages.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        bytes[at] = value;
    }
    ask_everything(&bytes, rows);
}

fn open(stored: &[u8]) {
    let codec = codec();
    let mut plain = Vec::new();
    if codec.open_into(ID, stored, &mut plain).is_ok() {
        assert!(verify(ID, stored).is_ok_and(|header| header.plain_len as usize == plain.len()));
        let sealed = codec.seal(ID, &plain);
        let opened = sealed.as_ref().map(|sealed| codec.open(ID, sealed));
        assert!(opened.is_ok_and(|opened| opened.is_ok_and(|opened| opened[..] == plain)));
    }
}

fn codec() -> BlockCodec {
    match BlockSpec::default().resolve(&BlockContext { limits: LIMITS, ..BlockContext::default() })
    {
        Ok(codec) => codec,
        Err(error) => panic!("the default spec is valid: {error}"),
    }
}

/// Rows of up to sixteen bytes of key, in order, each twice if its bytes say so.
fn sorted_block_of(data: &[u8], options: SortedBlockOptions) -> Vec<u8> {
    let mut rows: Vec<(&[u8], Trailer, &[u8])> = data
        .chunks(24)
        .filter_map(|row| {
            let (&[shape, seqno], row) = row.split_first_chunk()?;
            let (key, value) = row.split_at(usize::from(shape & 15).min(row.len()));
            let kind = EntryKind::from_tag(shape >> 5).unwrap_or(EntryKind::Put);
            let trailer = Trailer::new(SeqNo::from(u32::from(seqno)), kind);
            (!key.is_empty()).then_some((key, trailer, value))
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(b.0).then(b.1.cmp(&a.1)));
    rows.dedup_by_key(|row| (row.0, row.1));
    let mut builder = SortedBlockBuilder::new(options);
    for (key, trailer, value) in &rows {
        assert!(builder.add(key, *trailer, value).is_ok());
    }
    let estimated_len = builder.estimated_len();
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    assert!(bytes.len() <= estimated_len);
    bytes
}

fn ask_everything(bytes: &[u8], probe: &[u8]) {
    let Ok(block) = SortedBlock::parse(bytes) else { return };
    let probe = &probe[..probe.len().min(20)];
    let mut key = Vec::new();
    for i in 0..=block.len() {
        assert_eq!(block.entry(i).is_some(), i < block.len());
        block.key_into(i, &mut key);
        assert_eq!(block.compare_key(i, &key).is_some(), i < block.len());
        assert!(!block.key_eq(i, probe) || key == probe);
        if i % 16 == 0 {
            search(&block, &key);
        }
    }
    search(&block, probe);
    for comparator in [&Reverse as &dyn Comparator, &Shortlex] {
        // Whether it is in order is for the block to say; only that it says so is asked.
        drop(block.verify(comparator));
    }
    if block.verify(&Bytewise).is_ok() {
        assert_finds_its_rows(&block, &mut key);
    }

    let (rows, mut cursor) = (block.len(), SortedCursor::new(block));
    cursor.seek_to_first();
    assert_eq!(
        std::iter::from_fn(|| cursor.entry().map(drop).map(|()| cursor.advance())).count(),
        rows
    );
    cursor.retreat();
    assert_eq!(cursor.row(), rows.checked_sub(1));
}

/// A block in bytewise order finds each of its rows.
fn assert_finds_its_rows(block: &SortedBlock<&[u8]>, key: &mut Vec<u8>) {
    for i in 0..block.len() {
        let Some(bound) = block.trailer(i).and_then(|trailer| trailer.seqno().next()) else {
            continue;
        };
        block.key_into(i, key);
        // Kinds of one number are versions too.
        for found in [block.find(key, key_hash(key), bound), Some(block.seek(key, bound))] {
            assert!(found.is_some_and(|found| found <= i && block.key_eq(found, key)));
        }
    }
}

fn search(block: &SortedBlock<&[u8]>, key: &[u8]) {
    for bound in [SeqNo::ZERO, SeqNo::from(100), SeqNo::MAX] {
        let found = block.find(key, key_hash(key), bound);
        assert!(found.is_none_or(|i| block.key_eq(i, key)));
        assert!(block.seek(key, bound) <= block.len());
        assert!(block.seek_by(key, bound, &Reverse, &mut Vec::new()) <= block.len());
    }
}
