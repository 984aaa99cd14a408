//! Segments of the write-ahead log.

use std::path::Path;

use serde_json::json;
use stratal_manifest::FileName;
use stratal_types::dump::Dump;
use stratal_wal::{
    Error, Lsn, Record, RecordHeader, RecordKind, SegmentHeader, annotate_record, annotate_segment,
};

use super::{
    Explained, Trouble,
    block::{Block, TORN, dump_by, torn_blocks},
    file_name,
};

/// Both copies of the header and what stands around them.
const HEADER_LEN: usize = 1024;
const _: () = assert!(HEADER_LEN as u64 == SegmentHeader::DATA_OFFSET);

/// Where the records of a segment end, and why.
#[derive(Debug, Default)]
struct Records {
    blocks: Vec<Block>,
    end: usize,
    last: Option<Lsn>,
    synced: Lsn,
    operations: u64,
    batches: u64,
    is_closed: bool,
    /// What stands where the next record would, if that is not nothing.
    tear: Option<Error>,
    /// What is wrong with a record that is whole: its offset, and that.
    malformed: Option<(usize, String)>,
}

pub(super) fn explain(bytes: &[u8], path: &Path) -> Explained {
    let copies = [0, SegmentHeader::MIRROR_OFFSET]
        .map(|at| bytes.get(at..).and_then(<[u8]>::first_chunk).map(SegmentHeader::decode));
    let sound = copies.iter().flatten().find_map(|copy| copy.as_ref().ok()).copied();
    let header_block = Block::new("header", 0..bytes.len().min(HEADER_LEN));
    let mut explained = Explained {
        name: "wal",
        title: "a log segment of a Stratal database",
        facts: Vec::new(),
        blocks: vec![header_block],
        trouble: None,
        dump,
    };
    let Some(header) = sound else {
        let too_new =
            copies.iter().flatten().find(|it| matches!(it, Err(Error::Unsupported { .. })));
        explained.trouble = Some(match too_new {
            Some(Err(error)) => Trouble::Refused { what: error.to_string() },
            _ if bytes.len() < SegmentHeader::LEN => {
                Trouble::damage(bytes.len(), "the file ends too early")
            }
            _ => Trouble::damage(0, "both copies of the header are damaged"),
        });
        return explained;
    };
    let found = Records::read(bytes, &header);
    let count = |kind| found.blocks.iter().filter(|block| block.kind == kind).count();
    let is_torn = found.tear.is_some();
    explained.facts = vec![
        ("db_id", json!(header.db_id.to_string())),
        ("number", json!(header.number)),
        ("predecessor", json!(header.predecessor)),
        ("records", json!(found.blocks.len())),
        ("groups", json!(count("group"))),
        ("batches", json!(found.batches)),
        ("operations", json!(found.operations)),
        ("first_lsn", json!(header.start.0)),
        ("last_lsn", json!(found.last.map(|lsn| lsn.0))),
        ("end_lsn", json!(lsn_at(&header, found.end).0)),
        ("synced_lsn", json!(found.synced.0)),
        ("synced_offset", json!(header.offset_of(found.synced.max(header.start)))),
        ("carried_bytes", json!(header.carried_len)),
        ("clean_end", json!(found.is_closed)),
        ("torn_at", json!(is_torn.then_some(found.end))),
    ];
    explained.trouble = trouble(bytes, path, &header, &copies, &found);
    let behind = match found.tear {
        Some(_) => torn(bytes, &header, found.end),
        None => Vec::new(),
    };
    let records = behind.iter().filter(|block| block.label.is_some()).count();
    explained.facts.push(("records_behind", json!(records)));
    explained.blocks.extend(found.blocks);
    explained.blocks.extend(behind);
    explained
}

fn torn(bytes: &[u8], header: &SegmentHeader, start: usize) -> Vec<Block> {
    let fields_at = |at: usize| {
        let fields = RecordHeader::decode(bytes.get(at..)?.first_chunk()?).ok()?;
        fields.may_be_at(header.salt, lsn_at(header, at)).then_some(fields)
    };
    // Bytes that look like records and are none cost a check each: not more than so many.
    let mut checks_len_left = (bytes.len() as u64).saturating_mul(8);
    let record = |at: usize| {
        let fields = fields_at(at)?;
        checks_len_left = checks_len_left.checked_sub(fields.record_len())?;
        let record = Record::decode(bytes.get(at..)?, header.salt, lsn_at(header, at)).ok()?;
        Some((name_of(record.kind), usize::try_from(record.encoded_len()).ok()?))
    };
    let said_len = |rest: &[u8]| {
        let fields = fields_at(bytes.len().checked_sub(rest.len())?)?;
        usize::try_from(fields.record_len()).ok()
    };
    torn_blocks(bytes, start, record, said_len)
}

const fn name_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Group => "group",
        RecordKind::Mark => "mark",
        RecordKind::End => "end",
    }
}

impl Records {
    /// Reads what is whole, up to the first place where nothing is.
    fn read(bytes: &[u8], header: &SegmentHeader) -> Self {
        let mut found = Self { end: HEADER_LEN, synced: header.synced, ..Self::default() };
        loop {
            let rest = bytes.get(found.end..).unwrap_or_default();
            if rest.iter().all(|&byte| byte == 0) {
                return found;
            }
            let lsn = lsn_at(header, found.end);
            let record = match Record::decode(rest, header.salt, lsn) {
                Ok(record) => record,
                Err(error) => {
                    found.tear = Some(error);
                    return found;
                }
            };
            let end = found.end + usize::try_from(record.encoded_len()).unwrap_or(rest.len());
            found.take(&record, end);
        }
    }

    fn take(&mut self, record: &Record<'_>, end: usize) {
        self.is_closed |= record.kind == RecordKind::End;
        self.synced = self.synced.max(record.synced);
        self.last = Some(record.lsn);
        if record.kind == RecordKind::Group {
            match stratal::record::decode(record.payload) {
                Ok(batches) => {
                    self.batches += batches.len() as u64;
                    self.operations +=
                        batches.iter().map(|it| it.operations.len() as u64).sum::<u64>();
                }
                Err(error) => {
                    self.malformed.get_or_insert((self.end, error.to_string()));
                }
            }
        }
        self.blocks.push(Block::new(name_of(record.kind), self.end..end));
        self.end = end;
    }
}

/// The LSN of a record at that offset.
fn lsn_at(header: &SegmentHeader, offset: usize) -> Lsn {
    header.start.plus((offset as u64).saturating_sub(SegmentHeader::DATA_OFFSET))
}

/// A tail that nobody synced may be torn by a crash; anything else that is wrong is damage.
fn trouble(
    bytes: &[u8],
    path: &Path,
    header: &SegmentHeader,
    copies: &[Option<Result<SegmentHeader, Error>>],
    found: &Records,
) -> Option<Trouble> {
    for (copy, at) in copies.iter().zip([0, SegmentHeader::MIRROR_OFFSET]) {
        if !matches!(copy, Some(Ok(_))) {
            return Some(Trouble::damage(
                at,
                "this copy of the header is damaged, the other is whole",
            ));
        }
    }
    if let Some(FileName::Wal(number)) =
        file_name(path).filter(|it| it.number() != Some(header.number))
    {
        let what = format!("the file is named for segment {number}, but is {}", header.number);
        return Some(Trouble::damage(0, what));
    }
    if let Some((offset, what)) = &found.malformed {
        return Some(Trouble::damage(*offset, what.as_str()));
    }
    if lsn_at(header, found.end) < header.carried_end() {
        return Some(Trouble::damage(found.end, "the carried part is not whole"));
    }
    let error = found.tear.as_ref();
    if let Some(Error::Unsupported { .. }) = error {
        return error.map(|error| Trouble::Refused { what: error.to_string() });
    }
    let torn_lsn = lsn_at(header, found.end);
    let synced = found.synced.max(synced_behind(bytes, header, found.end));
    if found.is_closed && error.is_some() {
        return Some(Trouble::damage(found.end, "what stands behind the end is no whole record"));
    }
    if synced > torn_lsn {
        let what = error.map_or_else(|| "there is no record".to_owned(), ToString::to_string);
        let what = format!("{what}; the log was synced up to LSN {synced}, this is {torn_lsn}");
        return Some(Trouble::damage(found.end, what));
    }
    None
}

/// The highest LSN that a whole record behind `offset` says was synced.
fn synced_behind(bytes: &[u8], header: &SegmentHeader, offset: usize) -> Lsn {
    let mut synced = Lsn::ZERO;
    // Bytes that look like records and are none cost a check each: not more than so many.
    let mut checks_len_left = bytes.len().saturating_mul(4) as u64;
    for at in (offset..bytes.len()).step_by(8) {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(Ok(fields)) = rest.first_chunk().map(RecordHeader::decode) else { break };
        let lsn = lsn_at(header, at);
        let is_new = fields.synced_at(lsn).is_some_and(|it| it > synced);
        if !is_new || !fields.may_be_at(header.salt, lsn) {
            continue;
        }
        let Some(left) = checks_len_left.checked_sub(fields.record_len()) else { break };
        checks_len_left = left;
        if let Ok(record) = Record::decode(rest, header.salt, lsn) {
            synced = record.synced;
        }
    }
    synced
}

/// The record as it stands in the file and, of a group, what its payload means.
fn dump(bytes: &[u8], explained: &Explained, number: usize) -> String {
    let Some(Block { kind, label, range, .. }) = explained.blocks.get(number) else {
        return String::new();
    };
    let stored = bytes.get(range.clone()).unwrap_or_default();
    // The log is described from its begin up to where records end.
    let mut text = match (*kind, label) {
        (TORN, _) => dump_record(range.start, stored, "no whole record, its fields not verified"),
        (_, Some(label)) => dump_record(range.start, stored, &format!("{kind}, {label}")),
        (_, None) => dump_by(bytes, range, annotate_segment),
    };
    if *kind == "group"
        && let Some((fields, rest)) = stored.split_first_chunk::<{ RecordHeader::LEN }>()
        && let Ok(fields) = RecordHeader::decode(fields)
        && let Some(payload) = rest.get(..usize::try_from(fields.payload_len).unwrap_or(usize::MAX))
    {
        let mut dump = Dump::at(range.start + RecordHeader::LEN, payload);
        dump.note("the payload");
        stratal::record::annotate(&mut dump);
        text.push_str(&dump.finish());
    }
    text
}

/// The fields of a record as they stand, right or wrong.
fn dump_record(offset: usize, bytes: &[u8], title: &str) -> String {
    let mut dump = Dump::at(offset, bytes);
    dump.note(title);
    annotate_record(&mut dump);
    dump.finish()
}
