use std::collections::VecDeque;

use crate::{
    Error, Lsn,
    record::{RecordFields, RecordHeader, RecordKind, encode_parts, restamp},
};

/// Records kept together. A record never lies in two chunks.
const CHUNK_LEN: usize = 256 << 10;

/// The end of the log, in memory: every record that is not known to be durable, and some that are.
#[derive(Debug)]
pub(crate) struct Tail {
    chunks: VecDeque<Chunk>,
    end: Lsn,
    /// A chunk that was emptied, to be filled again.
    spare: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Chunk {
    start: Lsn,
    bytes: Vec<u8>,
}

impl Chunk {
    fn end(&self) -> Lsn {
        self.start.plus(self.bytes.len() as u64)
    }

    /// Where the byte at `lsn` stands, or the nearest to it.
    fn index_of(&self, lsn: Lsn) -> usize {
        usize::try_from(lsn.since(self.start)).unwrap_or(usize::MAX).min(self.bytes.len())
    }

    /// The records, each with where it begins in the chunk, and its LSN.
    fn records(&self) -> impl Iterator<Item = (usize, Lsn, RecordHeader)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let fields = self.bytes.get(at..)?.first_chunk()?;
            let header = RecordHeader::decode(fields).ok()?;
            let found = (at, self.start.plus(at as u64), header);
            at = at.saturating_add(usize::try_from(header.record_len()).ok()?);
            Some(found)
        })
    }
}

impl Tail {
    pub(crate) const fn new(start: Lsn) -> Self {
        Self { chunks: VecDeque::new(), end: start, spare: None }
    }

    /// Where the next record begins.
    pub(crate) const fn end(&self) -> Lsn {
        self.end
    }

    /// Where the first record kept begins.
    pub(crate) fn start(&self) -> Lsn {
        self.chunks.front().map_or(self.end, |chunk| chunk.start)
    }

    /// Appends a record; its `lsn` is [`end`](Self::end).
    pub(crate) fn push(
        &mut self,
        fields: RecordFields,
        len: usize,
        parts: &[&[u8]],
    ) -> Result<(), Error> {
        let bytes = self.room_for(len);
        encode_parts(fields, parts, bytes)?;
        self.end = self.chunks.back().map_or(self.end, Chunk::end);
        Ok(())
    }

    /// Appends a record as it stands in a segment.
    pub(crate) fn push_whole(&mut self, record: &[u8]) {
        self.room_for(record.len()).extend_from_slice(record);
        self.end = self.end.plus(record.len() as u64);
    }

    /// Forgets the records from `lsn` on.
    pub(crate) fn truncate(&mut self, lsn: Lsn) {
        while let Some(chunk) = self.chunks.back_mut() {
            if chunk.start < lsn {
                let len = chunk.index_of(lsn);
                chunk.bytes.truncate(len);
                break;
            }
            self.chunks.pop_back();
        }
        self.end = self.end.min(lsn);
    }

    /// Lets go of chunks that lie wholly below `lsn`.
    pub(crate) fn release(&mut self, lsn: Lsn) {
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= lsn) {
            if let Some(Chunk { mut bytes, .. }) = self.chunks.pop_front()
                && bytes.capacity() <= CHUNK_LEN
            {
                bytes.clear();
                self.spare = Some(bytes);
            }
        }
    }

    /// The bytes from `lsn` on, in pieces.
    pub(crate) fn bytes_from(&self, lsn: Lsn) -> impl Iterator<Item = &[u8]> {
        // Records not yet written are few and last: begin at the back.
        let behind = self.chunks.iter().rev().take_while(|chunk| chunk.end() > lsn).count();
        let chunks = self.chunks.iter().skip(self.chunks.len() - behind);
        chunks.map(move |chunk| chunk.bytes.get(chunk.index_of(lsn)..).unwrap_or_default())
    }

    /// Gives every record from `lsn` on another salt.
    pub(crate) fn restamp(&mut self, lsn: Lsn, salt: u32) {
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.end() > lsn) {
            let records: Vec<_> = chunk.records().filter(|(_, at, _)| *at >= lsn).collect();
            for (at, lsn, header) in records {
                let len = usize::try_from(header.record_len()).unwrap_or(usize::MAX);
                if let Some(record) = chunk.bytes.get_mut(at..).and_then(|it| it.get_mut(..len)) {
                    restamp(record, salt, lsn);
                }
            }
        }
    }

    /// The last place at or before `lsn` where a record begins or the log ends.
    pub(crate) fn boundary_at(&self, lsn: Lsn) -> Lsn {
        let starts = self.chunks.iter().flat_map(Chunk::records).map(|(_, lsn, _)| lsn);
        let starts = starts.chain([self.end]).take_while(|start| *start <= lsn);
        starts.last().unwrap_or(self.start())
    }

    /// Whether any record from `lsn` on holds a commit group.
    pub(crate) fn holds_groups(&self, lsn: Lsn) -> bool {
        self.chunks
            .iter()
            .flat_map(Chunk::records)
            .any(|(_, at, header)| at >= lsn && header.flags == RecordKind::Group.flags())
    }

    /// A chunk with room for `len` bytes more.
    fn room_for(&mut self, len: usize) -> &mut Vec<u8> {
        let fits = |chunk: &Chunk| chunk.bytes.capacity() - chunk.bytes.len() >= len;
        if !self.chunks.back().is_some_and(fits) {
            let spare = self.spare.take().filter(|spare| spare.capacity() >= len);
            let bytes = spare.unwrap_or_else(|| Vec::with_capacity(len.max(CHUNK_LEN)));
            self.chunks.push_back(Chunk { start: self.end, bytes });
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last].bytes
    }
}
