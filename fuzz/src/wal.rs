//! The log: any bytes are a segment, a header, a record, or an error, and what is replayed is taken up.

use std::{path::Path, sync::Arc};

use stratal_fs::{Access, Fs, MemFs, read_to_vec};
use stratal_types::{DbId, dump::Dump};
use stratal_wal::{
    AppendMode, Error, Lsn, Record, RecordHeader, Replay, SegmentHeader, Wal, WalContext,
    WalOptions, annotate_segment, segment_file_name,
};

use crate::inputs::{SplitMix64, mutated};

/// The salt of segments that are written here.
const SALT: u32 = 0x5a17;

/// Reads `data` as a record of the segment and place that it says it is of.
///
/// # Panics
///
/// If what was read would be written otherwise.
pub fn record(data: &[u8]) {
    let Some(fields) = data.first_chunk() else { return };
    let Ok(header) = RecordHeader::decode(fields) else { return };
    let (salt, lsn) = (SALT, Lsn(u64::from(header.place ^ SALT) * 8));
    let check = |data: &[u8]| {
        let Ok(record) = Record::decode(data, salt, lsn) else { return };
        let mut again = Vec::new();
        assert!(record.encode_into(salt, &mut again).is_ok());
        assert!(data.starts_with(&again));
        assert_eq!(again.len() as u64, record.encoded_len());
    };
    check(data);
    if let Some(repaired) = with_record_check(data, lsn) {
        check(&repaired);
    }
}

/// Reads `data` as a segment's header.
///
/// # Panics
///
/// If what was read would be written otherwise.
pub fn segment_header(data: &[u8]) {
    let Some(data) = data.first_chunk() else { return };
    for data in [*data, with_header_check(data)] {
        if let Ok(header) = SegmentHeader::decode(&data) {
            assert_eq!(header.encode(), data);
        }
    }
}

/// Describes `data` as a segment, replays a log that consists of it, and takes that log up.
///
/// # Panics
///
/// If the log that was taken up does not hold what was replayed.
pub fn replay(data: &[u8]) {
    let mut dump = Dump::new(data);
    annotate_segment(&mut dump);
    dump.finish();

    let header = data.first_chunk().map(with_header_check);
    let repaired = header.map(|header| {
        let mut data = data.to_vec();
        data[..header.len()].copy_from_slice(&header);
        (header, data)
    });
    let (db_id, number, data) = match repaired {
        Some((header, data)) => match SegmentHeader::decode(&header) {
            Ok(header) => (header.db_id, header.number, data),
            Err(_) => (DbId::default(), 1, data),
        },
        None => (DbId::default(), 1, data.to_vec()),
    };
    let fs = MemFs::new();
    let path = Path::new("/").join(segment_file_name(number));
    let written = fs.create(&path).and_then(|file| file.write_all_at(&data, 0));
    assert!(written.is_ok());
    let context = || WalContext {
        fs: Arc::new(fs.clone()),
        dir: "/".into(),
        db_id,
        salts: Arc::new(|| SALT),
    };

    let Ok((found, mut wal)) = take_up(context()) else { return };
    // A log at the end of the range of LSNs or numbers can be read, and not continued.
    if number > 1 << 60 || wal.end_lsn() > Lsn(1 << 60) {
        return;
    }
    assert!(wal.append(&[b"more"], AppendMode::Through).is_ok());
    assert!(wal.close().is_ok());
    match take_up(context()) {
        Ok((again, _)) => {
            assert_eq!(again.split_last().map(|(_, before)| before), Some(&found[..]));
        }
        Err(err) => panic!("what was written does not read: {err}"),
    }
}

/// Logs pieces of the data and closes the log, then damages it in places that the first eight bytes
/// choose.
///
/// # Panics
///
/// If what is replayed is not what was logged, from the begin up to some record.
pub fn damaged(data: &[u8]) {
    let Some((seed, data)) = data.split_first_chunk() else { return };
    let Some((pieces, data)) = data.split_first() else { return };
    // A log in which nothing was logged has no segment.
    if data.is_empty() {
        return;
    }
    let fs = MemFs::new();
    let context = || WalContext {
        fs: Arc::new(fs.clone()),
        dir: "/".into(),
        db_id: DbId::default(),
        salts: Arc::new(|| SALT),
    };
    let options = WalOptions { preallocate: false, ..WalOptions::default() };
    let created = options.validate().and_then(|spec| Wal::create(context(), spec));
    let mut wal = created.expect("there is room, and no log yet");
    let len = data.len().div_ceil(usize::from(*pieces) % 8 + 1).max(1);
    let logged: Vec<&[u8]> = data.chunks(len).collect();
    for payload in &logged {
        wal.append(&[payload], AppendMode::Through).expect("there is room");
    }
    wal.close().expect("there is room");

    let path = Path::new("/").join(segment_file_name(1));
    let file = fs.open(&path, Access::ReadWrite).expect("the log has a segment");
    let bytes = read_to_vec(file.as_ref(), 1 << 20).expect("the segment is small");
    let mut random = SplitMix64::new(u64::from_le_bytes(*seed));
    let damaged = mutated(&mut random, &bytes, std::slice::from_ref(&bytes));
    let written = file.set_len(0).and_then(|()| file.write_all_at(&damaged, 0));
    written.expect("there is room");
    if let Ok((found, _)) = take_up(context()) {
        assert!(logged.starts_with(&found.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
}

fn take_up(context: WalContext) -> Result<(Vec<Vec<u8>>, Wal), Error> {
    let mut replay = Replay::open(context, 0)?;
    let mut found = Vec::new();
    while let Some(record) = replay.next_record()? {
        found.push(record.payload.to_vec());
    }
    let options = WalOptions { preallocate: false, ..WalOptions::default() };
    Ok((found, replay.into_wal(options.validate()?)?.0))
}

/// A header whose check holds.
fn with_header_check(data: &[u8; SegmentHeader::LEN]) -> [u8; SegmentHeader::LEN] {
    let mut data = *data;
    let check = crc_fast::crc64_nvme(&data[..88]);
    data[88..].copy_from_slice(&check.to_le_bytes());
    data
}

/// A record as long as `data` whose check holds, if there is room for its length.
fn with_record_check(data: &[u8], lsn: Lsn) -> Option<Vec<u8>> {
    let len = data.len() / 8 * 8;
    let mut data = data.get(..len)?.to_vec();
    let payload_len = u32::try_from(len.checked_sub(RecordHeader::LEN)?).ok()?;
    data[..4].copy_from_slice(&payload_len.to_le_bytes());
    let (salt, lsn) = (SALT.to_le_bytes(), lsn.0.to_le_bytes());
    let check = crc_fast::crc32_iscsi(&[&salt[..], &lsn, &data[..4], &data[8..]].concat());
    data[4..8].copy_from_slice(&check.to_le_bytes());
    Some(data)
}
