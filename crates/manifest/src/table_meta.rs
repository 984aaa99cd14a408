#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use stratal_types::fields::{take_slice, take_u64};
use stratal_types::{FileUid, KeyRange, SeqNo, varint};

use crate::{
    Error,
    bytes::{
        end, put_field, put_range, skip_unknown, take_field, take_number, take_range, take_seqno,
        take_uid,
    },
};

/// All that is known about a table without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// The number in its file's name: unique in the database, never reused.
    pub number: u64,
    /// Who the file is.
    pub uid: FileUid,
    /// Length of the file, in bytes.
    pub file_len: u64,
    /// The hull of its keys and range tombstones.
    pub span: KeyRange,
    /// The lowest sequence number in it, range tombstones included.
    pub seqno_min: SeqNo,
    /// The highest.
    pub seqno_max: SeqNo,
    /// Stored versions of keys.
    pub entries: u64,
    /// Those of them that are deletes of one key.
    pub deletes: u64,
    /// Range-tombstone fragments.
    pub range_tombstones: u64,
    /// Bytes of all user keys, versions counted apart.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// The level it was written for.
    pub birth_level: u32,
    /// When it was written, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Digest of the whole file.
    pub digest: u64,
    /// The tables that it replaced when it was written, for repair.
    pub lineage: Vec<FileUid>,
    /// The number that stands in for every number stored in the table, where it was ingested.
    pub seqno_overlay: Option<SeqNo>,
    /// The highest bound at which reads find it; `None` if it has not expired.
    pub expired_at: Option<SeqNo>,
    /// Its values are judged by age up to this number: none below it is older than the tree keeps them.
    pub judged_to: Option<SeqNo>,
    /// The highest sequence number of an entry, where that is not [`seqno_max`](Self::seqno_max): a range
    /// tombstone has that one. `None` says nothing.
    pub entry_seqno_max: Option<SeqNo>,
}

impl Default for TableMeta {
    fn default() -> Self {
        Self {
            number: 0,
            uid: FileUid::default(),
            file_len: 0,
            span: KeyRange::ALL,
            seqno_min: SeqNo::ZERO,
            seqno_max: SeqNo::ZERO,
            entries: 0,
            deletes: 0,
            range_tombstones: 0,
            key_bytes: 0,
            value_bytes: 0,
            birth_level: 0,
            created_at_ms: 0,
            digest: 0,
            lineage: Vec::new(),
            seqno_overlay: None,
            expired_at: None,
            judged_to: None,
            entry_seqno_max: None,
        }
    }
}

const SEQNO_OVERLAY: u64 = 1;
const EXPIRED_AT: u64 = 3;
const JUDGED_TO: u64 = 4;
const ENTRY_SEQNO_MAX: u64 = 6;

impl TableMeta {
    /// The highest sequence number that a reader sees in the table.
    pub fn visible_seqno_max(&self) -> SeqNo {
        self.seqno_overlay.unwrap_or(self.seqno_max)
    }

    /// The lowest sequence number that a reader sees in the table.
    pub fn visible_seqno_min(&self) -> SeqNo {
        self.seqno_overlay.unwrap_or(self.seqno_min)
    }

    /// No entry of the table has a higher sequence number for a reader; a range tombstone may.
    pub fn visible_entry_seqno_max(&self) -> SeqNo {
        self.seqno_overlay.or(self.entry_seqno_max).unwrap_or(self.seqno_max)
    }

    /// Reads a description that ends with `bytes`.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        let input = &mut bytes;
        let mut meta = Self {
            number: take_number(input)?,
            uid: take_uid(input)?,
            file_len: take_number(input)?,
            span: take_range(input)?,
            seqno_min: take_seqno(input)?,
            seqno_max: take_seqno(input)?,
            entries: take_number(input)?,
            deletes: take_number(input)?,
            range_tombstones: take_number(input)?,
            key_bytes: take_number(input)?,
            value_bytes: take_number(input)?,
            birth_level: take_level(input)?,
            created_at_ms: take_number(input)?,
            digest: take_u64(input)?,
            lineage: take_lineage(input)?,
            seqno_overlay: None,
            expired_at: None,
            judged_to: None,
            entry_seqno_max: None,
        };
        let mut last = 0;
        while !input.is_empty() {
            let (tag, mut value) = take_field(input, &mut last)?;
            let field = match tag {
                SEQNO_OVERLAY => &mut meta.seqno_overlay,
                EXPIRED_AT => &mut meta.expired_at,
                JUDGED_TO => &mut meta.judged_to,
                ENTRY_SEQNO_MAX => &mut meta.entry_seqno_max,
                tag => {
                    skip_unknown(tag, EXPIRED_AT, "table field")?;
                    continue;
                }
            };
            if field.replace(take_seqno(&mut value)?).is_some() {
                return Err(Error::Malformed { what: "a field stands twice" });
            }
            end(value)?;
        }
        Ok(meta)
    }

    /// Appends the description.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.number);
        out.extend_from_slice(&self.uid.0);
        varint::put(out, self.file_len);
        put_range(out, &self.span);
        for number in [
            self.seqno_min.get(),
            self.seqno_max.get(),
            self.entries,
            self.deletes,
            self.range_tombstones,
            self.key_bytes,
            self.value_bytes,
            self.birth_level.into(),
            self.created_at_ms,
        ] {
            varint::put(out, number);
        }
        out.extend_from_slice(&self.digest.to_le_bytes());
        varint::put(out, self.lineage.len() as u64);
        self.lineage.iter().for_each(|uid| out.extend_from_slice(&uid.0));
        let fields = [
            (SEQNO_OVERLAY, self.seqno_overlay),
            (EXPIRED_AT, self.expired_at),
            (JUDGED_TO, self.judged_to),
            (ENTRY_SEQNO_MAX, self.entry_seqno_max),
        ];
        for (tag, seqno) in fields {
            if let Some(seqno) = seqno {
                put_field(out, tag, |out| varint::put(out, seqno.get()));
            }
        }
    }
}

fn take_lineage(input: &mut &[u8]) -> Result<Vec<FileUid>, Error> {
    let count = take_number(input)?;
    let bytes = take_slice(input, count.saturating_mul(FileUid::LEN as u64))?;
    Ok(bytes.as_chunks().0.iter().copied().map(FileUid).collect())
}

/// Takes the number of a level.
pub(crate) fn take_level(input: &mut &[u8]) -> Result<u32, Error> {
    let level = u32::try_from(take_number(input)?);
    level.map_err(|_| Error::Malformed { what: "a level's number is too wide" })
}
