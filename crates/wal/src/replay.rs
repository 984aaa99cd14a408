use std::collections::{BTreeMap, BTreeSet};

use stratal_types::DbId;

use crate::{
    Error, Lsn, RecordKind, SegmentHeader, Wal, WalContext, WalSpec,
    reader::SegmentReader,
    tail::Tail,
    wal::{Resume, segments_in},
};

/// Reads a log from its oldest needed segment to its end. Writes nothing.
///
/// Records come in order, one at a time. In memory are a window of a segment, and the records that
/// are not proven synced.
#[derive(Debug)]
pub struct Replay {
    ctx: WalContext,
    /// The chain, oldest segment first.
    links: Vec<SegmentHeader>,
    /// Which of them is read.
    current: usize,
    reader: Option<SegmentReader>,
    at: Lsn,
    tail: Tail,
    /// The highest LSN that anything says was synced.
    synced: Lsn,
    /// Why a newer segment was not taken, if so.
    rejected: Option<Break>,
    next_number: u64,
    is_finished: bool,
    report: ReplayReport,
}

/// A group, as it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed<'a> {
    /// Where it begins.
    pub lsn: Lsn,
    /// The segment it was read from.
    pub segment: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments read.
    pub segments: u64,
    /// Groups.
    pub groups: u64,
    /// Where the log ends.
    pub end: Lsn,
    /// Up to where the log is proven to have been synced.
    pub synced: Lsn,
    /// Whether the log was closed: nothing can be missing.
    pub was_closed: bool,
    /// Bytes of log behind its end that could not be used. They may include the last group that was
    /// synced, if nothing was written after its sync.
    pub cut_len: u64,
    /// The segment and offset where those bytes begin.
    pub cut_at: Option<(u64, u64)>,
    /// Segments that were begun and never became part of the log, or were cut with the tail.
    pub ignored: Vec<u64>,
    /// Segments of which one copy of the header was damaged.
    pub healed_headers: u64,
}

/// Where a chain of segments breaks.
#[derive(Clone, Copy, Debug)]
struct Break {
    segment: u64,
    offset: u64,
    what: &'static str,
}

impl From<Break> for Error {
    fn from(Break { segment, offset, what }: Break) -> Self {
        Self::Corruption { segment, offset, what }
    }
}

/// The headers of all segments from the floor on.
#[derive(Debug, Default)]
struct Headers {
    sound: BTreeMap<u64, SegmentHeader>,
    unreadable: BTreeSet<u64>,
    foreign: Option<(u64, DbId)>,
    healed: u64,
}

impl Replay {
    /// Finds the segments that make up the log. `floor` is the oldest segment that is needed, as
    /// [`Wal::floor`] gave it; those below are not looked at. 0 if there was none yet.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if there is a floor and no segment to be read, [`Error::WrongDatabase`],
    /// [`Error::Unsupported`], [`Error::Io`].
    pub fn open(ctx: WalContext, floor: u64) -> Result<Self, Error> {
        let all = segments_in(&*ctx.fs, &ctx.dir)?;
        let last_number = all.last().map_or(0, |(number, _)| *number);
        let next_number = last_number.saturating_add(1).max(floor);
        let headers = Headers::read(&ctx, all.iter().map(|(n, _)| *n).filter(|n| *n >= floor))?;
        if let (true, Some((segment, actual))) = (headers.sound.is_empty(), headers.foreign) {
            return Err(Error::WrongDatabase { segment, expected: ctx.db_id, actual });
        }
        let mut synced = headers.sound.values().map(|it| it.synced).max().unwrap_or_default();

        // The newest segment from which the chain holds, down to the floor.
        let (mut links, mut rejected) = (Vec::new(), None);
        let mut broken = BTreeSet::new();
        for (number, header) in headers.sound.iter().rev() {
            match chain_to(&ctx, &headers, *number, floor, &mut broken)? {
                Ok(chain) => {
                    links = chain;
                    break;
                }
                Err(why) => {
                    let mut reader = SegmentReader::open(&ctx, *number)?;
                    let remains = reader.remains(header, SegmentHeader::DATA_OFFSET)?;
                    synced = synced.max(remains.synced);
                    // A segment that nobody ever synced explains nothing.
                    if why.segment != *number || remains.synced > header.start {
                        rejected.get_or_insert(why);
                    }
                }
            }
        }
        if links.is_empty() && floor > 0 {
            let missing = Break { segment: floor, offset: 0, what: "no segment can be read" };
            return Err(rejected.unwrap_or(missing).into());
        }
        let newest = links.last().map_or(0, |link| link.number);
        let unreadable = headers.unreadable.iter().copied();
        let ignored = headers.sound.keys().copied().chain(unreadable).filter(|n| *n > newest);
        let start = links.first().map_or(Lsn::ZERO, |link| link.start);
        let report = ReplayReport {
            segments: links.len() as u64,
            ignored: ignored.collect(),
            healed_headers: headers.healed,
            ..ReplayReport::default()
        };
        Ok(Self {
            ctx,
            links,
            current: 0,
            reader: None,
            at: start,
            tail: Tail::new(start),
            synced,
            rejected,
            next_number,
            is_finished: false,
            report,
        })
    }

    /// The next group, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if something is damaged that was synced, [`Error::Unsupported`] for a
    /// record from a newer version, [`Error::Io`]. After an error there is no going on.
    pub fn next_record(&mut self) -> Result<Option<Replayed<'_>>, Error> {
        while !self.is_finished {
            let lsn = self.at;
            if self.advance()? == Some(RecordKind::Group) {
                let Some(link) = self.links.get(self.current) else { break };
                let Some(reader) = &mut self.reader else { break };
                // In the window, where it has just been verified.
                let (record, _) = reader.record(link, lsn)??;
                let (segment, payload) = (link.number, record.payload);
                return Ok(Some(Replayed { lsn, segment, payload }));
            }
        }
        Ok(None)
    }

    /// Where the log ends, as far as it has been read.
    pub fn end_lsn(&self) -> Lsn {
        self.at
    }

    /// Up to where anything that was read says that the log was synced.
    pub fn synced_lsn(&self) -> Lsn {
        self.synced
    }

    /// Reads what is left, and says what was found.
    pub fn finish(mut self) -> Result<ReplayReport, Error> {
        while self.next_record()?.is_some() {}
        Ok(self.report)
    }

    /// Reads what is left, and takes the log up: what is not proven synced is written to a new
    /// segment and synced before this returns.
    ///
    /// Until then nothing is changed on disk, and that segment is all that is changed: it can be
    /// interrupted anywhere, and everything done again.
    pub fn into_wal(mut self, spec: WalSpec) -> Result<(Wal, ReplayReport), Error> {
        while self.next_record()?.is_some() {}
        let durable = self.report.synced;
        let used = self.links.iter().rev().find(|link| link.start < durable);
        let before = self.links.first().map_or(0, |link| link.predecessor);
        let durable_in = used.map_or(before, |link| link.number);
        let Self { ctx, tail, next_number, report, .. } = self;
        let wal = Wal::resume(ctx, spec, Resume { tail, durable, durable_in, next_number })?;
        Ok((wal, report))
    }

    /// Reads one record, of any kind, or notices the end.
    fn advance(&mut self) -> Result<Option<RecordKind>, Error> {
        let Some(link) = self.links.get(self.current).copied() else {
            self.end()?;
            return Ok(None);
        };
        let next = self.links.get(self.current + 1);
        if next.is_some_and(|next| self.at >= next.start) {
            self.current += 1;
            self.reader = None;
            return Ok(None);
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(SegmentReader::open(&self.ctx, link.number)?),
        };
        let what = match reader.record(&link, self.at)? {
            Ok((record, stored)) => {
                let end = self.at.plus(stored.len() as u64);
                let goes_too_far =
                    next.is_some_and(|next| end > next.start || record.kind == RecordKind::End);
                if !goes_too_far {
                    let kind = record.kind;
                    self.synced = self.synced.max(record.synced);
                    if kind == RecordKind::End {
                        self.report.was_closed = true;
                        self.end()?;
                        return Ok(None);
                    }
                    self.report.groups += u64::from(kind == RecordKind::Group);
                    self.tail.push_whole(stored);
                    self.tail.release(self.synced);
                    self.at = end;
                    return Ok(Some(kind));
                }
                "a record goes on behind the end of its segment"
            }
            Err(unsupported @ Error::Unsupported { .. }) => return Err(unsupported),
            Err(Error::Checksum { .. }) => "a record's check does not hold",
            Err(_) => "there is no record",
        };
        let damage = Break { segment: link.number, offset: link.offset_of(self.at), what };
        self.cut(damage)?;
        Ok(None)
    }

    /// Ends the log at damage, unless anything says that more was synced.
    fn cut(&mut self, damage: Break) -> Result<(), Error> {
        let later = self.links.split_off(self.current + 1);
        let link = self.links.last().copied();
        for (link, from) in link
            .iter()
            .map(|link| (link, damage.offset))
            .chain(later.iter().map(|link| (link, SegmentHeader::DATA_OFFSET)))
        {
            let mut reader = SegmentReader::open(&self.ctx, link.number)?;
            let from = from.min(reader.len());
            let remains = reader.remains(link, from)?;
            self.synced = self.synced.max(remains.synced).max(link.synced);
            self.report.cut_len += remains.data_end - from;
        }
        self.report.ignored.extend(later.iter().map(|link| link.number));
        self.report.ignored.sort_unstable();
        if self.synced > self.at {
            return Err(self.rejected.unwrap_or(damage).into());
        }
        if self.report.cut_len > 0 {
            self.report.cut_at = Some((damage.segment, damage.offset));
        }
        self.end()
    }

    /// Notes where the log ends.
    fn end(&mut self) -> Result<(), Error> {
        if self.synced > self.at {
            let segment = self.links.last().map_or(0, |link| link.number);
            let short = Break { segment, offset: 0, what: "the log ends early" };
            return Err(self.rejected.unwrap_or(short).into());
        }
        self.is_finished = true;
        self.report.end = self.at;
        self.report.synced = self.tail.boundary_at(self.synced);
        Ok(())
    }
}

impl Headers {
    fn read(ctx: &WalContext, numbers: impl Iterator<Item = u64>) -> Result<Self, Error> {
        let mut headers = Self::default();
        for number in numbers {
            let mut reader = SegmentReader::open(ctx, number)?;
            let block = reader.bytes(0, SegmentHeader::DATA_OFFSET)?;
            let copies = [0, SegmentHeader::MIRROR_OFFSET].map(|at| {
                let copy = block.get(at..).and_then(<[u8]>::first_chunk)?;
                match SegmentHeader::decode(copy) {
                    // Blocks that a disk gives out again may show what they held before: a header
                    // of another segment, or of another database.
                    Ok(header) if header.db_id != ctx.db_id => {
                        headers.foreign = Some((number, header.db_id));
                        None
                    }
                    Ok(header) if header.number != number => None,
                    Err(unsupported @ Error::Unsupported { .. }) => Some(Err(unsupported)),
                    decoded => decoded.ok().map(Ok),
                }
            });
            let is_whole = copies.iter().all(|copy| matches!(copy, Some(Ok(_))));
            match copies.into_iter().flatten().next().transpose()? {
                Some(header) => {
                    headers.healed += u64::from(!is_whole);
                    headers.sound.insert(number, header);
                }
                None => {
                    headers.unreadable.insert(number);
                }
            }
        }
        Ok(headers)
    }
}

/// The chain that ends with segment `number`, oldest first, or where it breaks. Adds segments that no
/// chain can hold to `broken`.
fn chain_to(
    ctx: &WalContext,
    headers: &Headers,
    mut number: u64,
    floor: u64,
    broken: &mut BTreeSet<u64>,
) -> Result<Result<Vec<SegmentHeader>, Break>, Error> {
    let mut chain: Vec<SegmentHeader> = Vec::new();
    let (offset, what) = loop {
        let Some(header) = headers.sound.get(&number).filter(|_| !broken.contains(&number)) else {
            break (0, "the segment is missing, or its header is damaged");
        };
        if chain.last().is_some_and(|next| next.start < header.start) {
            break (0, "the segment begins behind its own end");
        }
        if !SegmentReader::open(ctx, number)?.carried_is_whole(header)? {
            break (SegmentHeader::DATA_OFFSET, "the carried part is not whole");
        }
        chain.push(*header);
        if header.predecessor < floor.max(1) {
            chain.reverse();
            return Ok(Ok(chain));
        }
        number = header.predecessor;
    };
    broken.extend(chain.iter().map(|header| header.number).chain([number]));
    Ok(Err(Break { segment: number, offset, what }))
}
