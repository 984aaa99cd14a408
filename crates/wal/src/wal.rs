use std::{io, ops::Range, path::Path};

use stratal_fs::Fs;
use stratal_types::sync::Arc;

use crate::{
    Error, Lsn, RecordKind, SegmentHeader, Syncer, WalContext, WalSpec,
    record::{RecordFields, payload_len_of, record_len},
    segment::{Reserve, Segment},
    segment_file_name, segment_number,
    sync::Shared,
    tail::Tail,
};

/// A log that is appended to. One owner appends; [`Syncer`]s, on any threads, sync.
///
/// Dropping it writes nothing: the log is then as after a crash of the process, and what was still
/// buffered is lost. [`close`](Self::close) ends it properly.
#[derive(Debug)]
pub struct Wal {
    ctx: WalContext,
    spec: WalSpec,
    shared: Arc<Shared>,
    tail: Tail,
    /// Up to where records are written to the active segment.
    written: Lsn,
    /// The active segment, unless it ended and no other is begun yet.
    active: Option<Arc<Segment>>,
    next_number: u64,
    /// The highest synced LSN that a record or header carries.
    marked: Lsn,
    /// Where the last group ends.
    groups_end: Lsn,
    /// Whether it is time to [run ahead](Syncer::run_ahead).
    is_ahead_due: bool,
}

/// How far an append goes before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendMode {
    /// The group may wait in memory: it survives neither a crash of the process nor of the machine.
    Buffered,
    /// The group and all before it are given to the system: they survive a crash of the process.
    Through,
}

/// Where a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its record: durable once [`Wal::durable_lsn`] has reached the end.
    pub range: Range<Lsn>,
    /// The segment that is needed for as long as the group is needed from the log.
    pub segment: u64,
    /// Whether it is time that somebody calls [`Syncer::run_ahead`]: best another thread than this one.
    pub is_ahead_due: bool,
}

/// Where a log is taken up again.
#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) tail: Tail,
    pub(crate) durable: Lsn,
    /// The segment in which `durable` lies, 0 if there is none.
    pub(crate) durable_in: u64,
    pub(crate) next_number: u64,
}

/// Bytes of each of the two records that end a log: whatever sector is lost, one of them is left.
const END_RECORD_LEN: u32 = 512;

impl Wal {
    /// Begins a log where there is none. Nothing is written before the first append.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if there is a segment, [`Error::Io`].
    pub fn create(ctx: WalContext, spec: WalSpec) -> Result<Self, Error> {
        if let Some((segment, _)) = segments_in(&*ctx.fs, &ctx.dir)?.last() {
            return Err(Error::AlreadyExists { segment: *segment });
        }
        let tail = Tail::new(Lsn::ZERO);
        Self::resume(ctx, spec, Resume { tail, durable: Lsn::ZERO, durable_in: 0, next_number: 1 })
    }

    /// Takes up a log. What is not durable is written to a new segment and synced first; if that is
    /// nothing, the new segment is created with the first append.
    pub(crate) fn resume(ctx: WalContext, spec: WalSpec, from: Resume) -> Result<Self, Error> {
        let Resume { mut tail, durable, durable_in, next_number } = from;
        let is_settled = !tail.holds_groups(durable);
        if is_settled {
            tail.truncate(durable);
        }
        let shared =
            Shared::new(std::sync::Arc::clone(&ctx.fs), ctx.dir.clone(), durable, durable_in);
        let mut wal = Self {
            ctx,
            spec,
            shared: Arc::new(shared),
            written: durable,
            active: None,
            next_number,
            marked: durable,
            groups_end: tail.end(),
            tail,
            is_ahead_due: false,
        };
        if !is_settled {
            wal.restart()?;
            wal.shared.sync()?;
        }
        Ok(wal)
    }

    /// Appends a group: `parts`, back to back, are its payload.
    ///
    /// Returns once the group is in memory or with the system, by `mode`. Waits for a sync only if
    /// more than [`unsynced_len_max`](crate::WalOptions::unsynced_len_max) would be unsynced.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] before anything is written. After any other error the group is not in
    /// this log: see [`Error::Io`]. Groups appended before it are; the next append, flush or mark
    /// begins another segment with those that are not durable.
    pub fn append(&mut self, parts: &[&[u8]], mode: AppendMode) -> Result<Appended, Error> {
        let range = self.append_record(RecordKind::Group, parts, mode)?;
        self.groups_end = range.end;
        let segment = self.active.as_ref().map_or(0, |active| active.header.number);
        let is_ahead_due = std::mem::take(&mut self.is_ahead_due);
        Ok(Appended { range, segment, is_ahead_due })
    }

    /// Gives what is buffered to the system. After a failure, begins the next segment, with all that
    /// is not durable.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.notice_failure();
        if self.active.is_none() && self.shared.durable() < self.tail.end() {
            return self.restart();
        }
        self.write_buffered()
    }

    /// Puts down how far the log is synced, if no record says so yet: so that damage below it will
    /// be known for what it is. For when no append is due after a sync. Returns whether it was
    /// needed. Does not sync.
    pub fn mark(&mut self) -> Result<bool, Error> {
        let synced = self.shared.durable().min(self.groups_end);
        if synced <= self.marked {
            return Ok(false);
        }
        self.append_record(RecordKind::Mark, &[], AppendMode::Through)?;
        Ok(true)
    }

    /// Ends the log: syncs everything, and puts down, synced, that this was all. A log that nothing
    /// was appended to stays as it was found.
    ///
    /// Returns where the log ends; all of it is durable.
    pub fn close(mut self) -> Result<Lsn, Error> {
        self.flush()?;
        self.shared.sync()?;
        let synced = self.tail.end();
        let Some(salt) = self.active.as_ref().map(|active| active.header.salt) else {
            return Ok(synced);
        };
        let payload_len = END_RECORD_LEN - u32::try_from(crate::RecordHeader::LEN).unwrap_or(0);
        let payload = vec![0; usize::try_from(payload_len).unwrap_or(0)];
        for _ in 0..2 {
            self.encode(RecordKind::End, &[&payload], salt, synced)?;
        }
        self.write_buffered()?;
        self.shared.sync()?;
        Ok(synced)
    }

    /// Like [`close`](Self::close), for a log of which nothing is needed any more: its end is put into a
    /// segment of its own, which is also returned. Once that is durably the [floor](Self::floor), all
    /// others may go, and the next replay reads the end and nothing else.
    pub fn close_unneeded(mut self) -> Result<(Lsn, u64), Error> {
        self.flush()?;
        self.shared.sync()?;
        // It is never appended to.
        self.spec.0.preallocate = false;
        self.restart()?;
        let segment = self.segment();
        Ok((self.close()?, segment))
    }

    /// Goes on in a segment of its own if the active one takes more space than a new one would: for a log
    /// of which nothing is needed any more. Once that is synced, all others may be
    /// [retired](Self::retire). Returns whether it did.
    ///
    /// Waits for the system to make a file, and for nothing else. Does not sync.
    pub fn move_on(&mut self) -> Result<bool, Error> {
        self.flush()?;
        let end = self.tail.end();
        if !self.active.as_ref().is_some_and(|active| active.is_grown(end)) {
            return Ok(false);
        }
        self.rotate()?;
        // Something that can be synced: the floor is never above a segment that is not.
        self.append_record(RecordKind::Mark, &[], AppendMode::Through)?;
        Ok(true)
    }

    /// A handle for syncing.
    pub fn syncer(&self) -> Syncer {
        Syncer::new(Arc::clone(&self.shared))
    }

    /// Up to where the log is durable: every record that ends at or below this survives a crash.
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.durable()
    }

    /// Where the next record begins.
    pub const fn end_lsn(&self) -> Lsn {
        self.tail.end()
    }

    /// Bytes of log that are not durable. At
    /// [`unsynced_len_max`](crate::WalOptions::unsynced_len_max) appends begin to wait.
    pub fn unsynced_len(&self) -> u64 {
        self.tail.end().since(self.shared.durable())
    }

    /// The segment that is appended to; if there is none at the moment, the number of the next.
    pub fn segment(&self) -> u64 {
        self.active.as_ref().map_or(self.next_number, |active| active.header.number)
    }

    /// The floor to put down when segments from `needed` on are still needed: at most the segment in
    /// which the durable part of the log ends, so that a replay from the floor always finds a segment
    /// there, and that there is none means damage. 0 as long as nothing is durable.
    pub fn floor(&self, needed: u64) -> u64 {
        needed.min(self.shared.durable_end().1)
    }

    /// Removes segments below `floor`, oldest first, and returns how many bytes of files that were.
    ///
    /// The floor came from [`floor`](Self::floor) and is durable elsewhere: replay must be told it.
    pub fn retire(&self, floor: u64) -> Result<u64, Error> {
        let mut removed_len = 0;
        let floor = self.floor(floor);
        for (number, len) in segments_in(&*self.ctx.fs, &self.ctx.dir)? {
            if number >= floor {
                break;
            }
            self.remove(number)?;
            removed_len += len;
        }
        Ok(removed_len)
    }

    fn remove(&self, number: u64) -> Result<(), Error> {
        let path = self.ctx.dir.join(segment_file_name(number));
        let removed = self.ctx.fs.remove_file(&path);
        removed.map_err(|source| Error::Io { op: "remove", path, source })
    }

    fn append_record(
        &mut self,
        kind: RecordKind,
        parts: &[&[u8]],
        mode: AppendMode,
    ) -> Result<Range<Lsn>, Error> {
        let len = record_len(payload_len_of(parts)?);
        self.tail.release(self.shared.durable().min(self.written));
        if self.unsynced_len() + len > self.spec.0.unsynced_len_max as u64 {
            self.flush()?;
            self.shared.sync()?;
        }
        let salt = self.segment_for(len)?;
        let start = self.tail.end();
        let synced = self.shared.durable();
        self.encode(kind, parts, salt, synced)?;
        let buffered = self.tail.end().since(self.written);
        if mode == AppendMode::Through || buffered > self.spec.0.buffer_len as u64 {
            self.write_buffered().inspect_err(|_| self.tail.truncate(start))?;
        }
        self.marked = synced;
        Ok(start..self.tail.end())
    }

    fn encode(
        &mut self,
        kind: RecordKind,
        parts: &[&[u8]],
        salt: u32,
        synced: Lsn,
    ) -> Result<(), Error> {
        let len = record_len(payload_len_of(parts)?);
        let lsn = self.tail.end();
        let fields = RecordFields { kind, lsn, synced, salt };
        self.tail.push(fields, usize::try_from(len).unwrap_or(usize::MAX), parts)
    }

    /// Gives up the active segment if a sync of it failed.
    fn notice_failure(&mut self) {
        if self.active.is_some() && self.shared.has_failed() {
            self.active = None;
        }
    }

    /// Sees to it that there is a segment for a record of `len` bytes; returns its salt.
    fn segment_for(&mut self, len: u64) -> Result<u32, Error> {
        self.notice_failure();
        match &self.active {
            Some(active) => {
                let end = active.header.offset_of(self.tail.end());
                if end > SegmentHeader::DATA_OFFSET && end + len > self.spec.0.segment_len {
                    self.rotate()?;
                }
            }
            None => self.restart()?,
        }
        self.active.as_ref().map(|active| active.header.salt).ok_or(Error::Closed)
    }

    /// Writes what is in memory and not in the active segment.
    fn write_buffered(&mut self) -> Result<(), Error> {
        let end = self.tail.end();
        let Some(segment) = self.active.as_ref().filter(|_| self.written < end) else {
            return Ok(());
        };
        for bytes in self.tail.bytes_from(self.written) {
            match segment.write(self.written, bytes) {
                Ok(is_ahead_due) => self.is_ahead_due |= is_ahead_due,
                Err(err) => {
                    self.active = None;
                    self.shared.note_failed();
                    return Err(err);
                }
            }
            self.written = self.written.plus(bytes.len() as u64);
        }
        self.shared.note_written(end);
        Ok(())
    }

    /// Begins the segment behind the active one.
    fn rotate(&mut self) -> Result<(), Error> {
        self.write_buffered()?;
        // From the moment a successor may exist that says where this segment ends, nothing is
        // appended to it any more, whether the successor comes to be or not.
        let Some(ended) = self.active.take() else { return Ok(()) };
        let segment = self.create_segment(ended.header.number, self.tail.end())?;
        self.shared.follow(Arc::clone(&segment));
        self.active = Some(segment);
        self.is_ahead_due = true;
        Ok(())
    }

    /// Begins a segment with everything that is not durable.
    fn restart(&mut self) -> Result<(), Error> {
        let (durable, durable_in) = self.shared.durable_end();
        let segment = self.create_segment(durable_in, durable)?;
        self.written = self.tail.end();
        self.shared.restart(Arc::clone(&segment), self.written);
        self.active = Some(segment);
        Ok(())
    }

    /// Creates a segment that takes over from `predecessor` at `start` and carries what follows.
    ///
    /// Whatever fails, the number and the salt are used up: the next attempt is another segment.
    fn create_segment(&mut self, predecessor: u64, start: Lsn) -> Result<Arc<Segment>, Error> {
        let reserve = self.spec.0.preallocate.then(|| Reserve::new(self.spec.0.segment_len));
        let created = match self.try_create_segment(predecessor, start, reserve) {
            // There may still be room for what is written, if not for a whole segment.
            Err(Error::Io { op: "allocate", source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                self.try_create_segment(predecessor, start, None)
            }
            created => created,
        };
        Ok(Arc::new(created?))
    }

    fn try_create_segment(
        &mut self,
        predecessor: u64,
        start: Lsn,
        reserve: Option<Reserve>,
    ) -> Result<Segment, Error> {
        let number = self.next_number;
        self.next_number += 1;
        let salt = (self.ctx.salts)();
        self.tail.restamp(start, salt);
        let carried = || self.tail.bytes_from(start);
        let mut check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        carried().for_each(|bytes| check.update(bytes));
        let header = SegmentHeader {
            salt,
            db_id: self.ctx.db_id,
            number,
            predecessor,
            start,
            synced: self.shared.durable().min(start),
            carried_len: self.tail.end().since(start),
            carried_check: check.finalize(),
        };
        let created = Segment::create(&*self.ctx.fs, &self.ctx.dir, header, reserve, carried());
        if created.is_ok() {
            self.marked = header.synced;
        } else {
            // Nothing in it was acknowledged. If it cannot be removed, replay ignores it.
            self.remove(number).unwrap_or_default();
        }
        created
    }
}

/// The segments in `dir` with the lengths of their files, ascending.
pub(crate) fn segments_in(fs: &dyn Fs, dir: &Path) -> Result<Vec<(u64, u64)>, Error> {
    let entries =
        fs.list(dir).map_err(|source| Error::Io { op: "list", path: dir.into(), source })?;
    let mut segments: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((segment_number(&entry.name)?, entry.len)))
        .collect();
    segments.sort_unstable();
    Ok(segments)
}
