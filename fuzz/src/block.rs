//! Blocks: frames as found, with their check or their tail set right, and as written and then
//! damaged; payloads of every codec, dictionaries; and sorted blocks that were made up or damaged.

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Codec, Compression,
    Dictionary, Error, FileKey, FileKeyInfo, Frame, FrameHeader, Limits, Outcome, Parity, RootKey,
    Scrubbed, Seal, SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor,
    annotate_frame_with, annotate_sorted_block, scrub, verify,
};
use stratal_types::{
    Bytewise, Comparator, DbId, EntryKind, FileUid, Reverse, SeqNo, Shortlex, Trailer, dump::Dump,
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
    if let Err(Error::Checksum { expected, .. }) = verify(ID, &bytes)
        && let Ok(trailer) = Frame::from_exact(&bytes).map(|frame| frame.trailer().len())
    {
        let end = bytes.len() - trailer;
        bytes[end - 8..end].copy_from_slice(&expected.to_le_bytes());
        assert!(verify(ID, &bytes).is_ok());
        open(&bytes);
    }
}

/// A block that has only its end right: a header of this kind there, which speaks of a block of this
/// length, and a fitting CRC. The first three bytes choose the parity, the others are the block's.
pub fn tail_resealed(data: &[u8]) {
    let Some((&[scheme, shards, more], data)) = data.split_first_chunk() else { return };
    let data_shards = 1 + shards % 8;
    let parity = match scheme % 3 {
        0 => Parity::SecDed,
        1 => Parity::Xor { data: data_shards },
        _ => Parity::ReedSolomon { data: data_shards, parity: 1 + more % 8 },
    };
    let mut bytes = data.to_vec();
    // The longest payload for which there is room.
    let Some(stored_len) = (0..=bytes.len()).rev().find(|&stored_len| {
        Frame::OVERHEAD + stored_len + parity.overhead(stored_len) <= bytes.len()
    }) else {
        return;
    };
    bytes.truncate(Frame::OVERHEAD + stored_len + parity.overhead(stored_len));
    let Ok(stored_len) = u32::try_from(stored_len) else { return };
    let header = FrameHeader {
        kind: ID.kind,
        codec: Codec::None,
        checksum: Checksum::Xxh3,
        seal: Seal::None,
        parity,
        stored_len,
        plain_len: stored_len,
    };
    let mut copy = Vec::new();
    header.encode_into(&mut copy);
    let header_at = bytes.len() - 36;
    bytes[header_at..header_at + 16].copy_from_slice(&copy);
    let tail_at = bytes.len() - parity.overhead(0);
    let crc_at = bytes.len() - 4;
    let crc = crc_fast::crc32_iscsi(&bytes[tail_at..crc_at]);
    bytes[crc_at..].copy_from_slice(&crc.to_le_bytes());
    open(&bytes);
}

/// A block of the data, as it was written and then damaged: the first two bytes choose the spec and
/// how many damages, which are taken from the front. It opens to the same, or not at all.
pub fn frame_damaged(data: &[u8]) {
    let Some((&[choice, parity], data)) = data.split_first_chunk() else { return };
    let (damages, plain) = data.split_at(data.len().min(3 * usize::from(parity >> 6)));
    let id = known_dictionary().id();
    let spec = BlockSpec {
        checksum: [Checksum::Xxh3, Checksum::Crc32c][usize::from(choice & 1)],
        compression: [
            Compression::None,
            Compression::Lz4,
            Compression::Zstd { level: 1 },
            Compression::ZstdDictionary { level: 1, id },
        ][usize::from(choice >> 1 & 3)],
        seal: [Seal::None, Seal::Aes256Gcm, Seal::ChaCha20Poly1305][usize::from(choice >> 3) % 3],
        parity: match parity & 3 {
            0 => Parity::None,
            1 => Parity::SecDed,
            2 => Parity::Xor { data: 1 + (parity >> 2 & 7) },
            _ => Parity::ReedSolomon { data: 1 + (parity >> 2 & 7), parity: 1 + (choice >> 6) },
        },
    };
    let Ok(codec) = spec.resolve(&context(spec.seal)) else { return };
    let Ok(stored) = codec.seal(ID, plain) else { panic!("{spec:?} seals {} bytes", plain.len()) };
    let mut mutant = stored.clone();
    for &[low, high, value] in damages.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % mutant.len();
        mutant[at] ^= value;
    }
    match codec.open(ID, &mutant) {
        Ok(opened) => {
            assert_eq!(opened[..], *plain, "{spec:?}");
            match scrub(ID, &mutant) {
                Ok(Scrubbed::Clean) => assert_eq!(mutant, stored, "{spec:?}"),
                Ok(Scrubbed::Healed(written)) => assert_eq!(written, stored, "{spec:?}"),
                Err(error) => panic!("{spec:?}: opens, and then {error}"),
            }
        }
        Err(error) => assert!(mutant != stored, "{spec:?}: {error}"),
    }
    let elsewhere = BlockId { ordinal: ID.ordinal + 1, ..ID };
    assert!(codec.open(elsewhere, &mutant).is_err());
}

/// The data as a dictionary, and as what it compresses: found in a file, nobody knows who made it.
pub fn dictionary(data: &[u8]) {
    let Ok(dictionary) = Dictionary::new(data) else { return };
    let compression = Compression::ZstdDictionary { level: 1, id: dictionary.id() };
    let spec = BlockSpec { compression, ..BlockSpec::default() };
    let context = BlockContext { dictionaries: vec![dictionary], ..context(Seal::None) };
    // Some can be read with and not written with.
    let Ok(codec) = spec.resolve(&context) else { return };
    if let Ok(stored) = codec.seal(ID, data) {
        assert!(codec.open(ID, &stored).is_ok_and(|opened| opened[..] == *data));
    }
}

/// A payload for each codec, in a frame that is right: the first four bytes say how long it claims
/// to be once decoded.
pub fn payload(data: &[u8]) {
    let Some((plain_len, payload)) = data.split_first_chunk() else { return };
    let Ok(stored_len) = u32::try_from(payload.len()) else { return };
    let with_dictionary = Codec::ZstdDictionary(known_dictionary().id());
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd, with_dictionary] {
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
    let codec = codec(Seal::None);
    let mut plain = Vec::new();
    let outcome = codec.open_into(ID, stored, &mut plain);
    if let Ok(outcome) = outcome {
        let written = match scrub(ID, stored) {
            Ok(Scrubbed::Clean) => stored.to_vec(),
            Ok(Scrubbed::Healed(written)) => written,
            Err(error) => panic!("opens, and then {error}"),
        };
        assert!(verify(ID, &written).is_ok_and(|header| header.plain_len as usize == plain.len()));
        assert_eq!(verify(ID, stored).is_ok(), outcome == Outcome::Clean);
        assert_eq!(scrub(ID, &written), Ok(Scrubbed::Clean));
        let sealed = codec.seal(ID, &plain);
        let opened = sealed.as_ref().map(|sealed| codec.open(ID, sealed));
        assert!(opened.is_ok_and(|opened| opened.is_ok_and(|opened| opened[..] == plain)));
    }
    // Nobody can make up a block for a file that has a key.
    assert!(self::codec(Seal::Aes256Gcm).open(ID, stored).is_err());
}

fn codec(seal: Seal) -> BlockCodec {
    let spec = BlockSpec { seal, ..BlockSpec::default() };
    match spec.resolve(&context(seal)) {
        Ok(codec) => codec,
        Err(error) => panic!("{spec:?} is valid: {error}"),
    }
}

fn context(seal: Seal) -> BlockContext {
    let info = FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: ID.uid, salt: [9; 32] };
    let key = FileKey::derive(&RootKey::new(1, [1; 32]), &info);
    BlockContext {
        limits: LIMITS,
        dictionaries: vec![known_dictionary()],
        key: (seal != Seal::None).then_some(key),
    }
}

fn known_dictionary() -> Dictionary {
    match Dictionary::new(b"some bytes that are known beforehand, row 0001, row 0002, row 0003") {
        Ok(dictionary) => dictionary,
        Err(error) => panic!("these bytes are a dictionary: {error}"),
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
