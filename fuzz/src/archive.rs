//! Archives: headers, tables of contents, and files, as found and with their checks set right.

use std::ops::Range;

use stratal_archive::{
    ArchiveHeader, Error, Half, Opener, Part, Progress, Toc, TocEntry, Trailer, VERSION,
    annotate_header, annotate_toc, annotate_trailer,
};
use stratal_types::dump::{Dump, bytes_of};

/// A header decodes to what encodes to the same bytes, or does not decode.
pub fn header(data: &[u8]) {
    let Some(bytes) = data.first_chunk() else { return };
    if let Ok(header) = ArchiveHeader::decode(bytes) {
        assert_eq!(header.encode(), *bytes);
    }
}

/// A table of contents with a right beginning and a right check: the first eight bytes say where it
/// stands. One that decodes describes a file of which every byte belongs to one section or part.
pub fn toc(data: &[u8]) {
    let Some((offset, fields)) = data.split_first_chunk() else { return };
    let offset = u64::from_le_bytes(*offset);
    let mut table = Toc::MAGIC.to_vec();
    table.extend(VERSION.to_le_bytes());
    table.extend(fields);
    table.extend(Toc::check_of(&table, offset).to_le_bytes());
    match Toc::decode(&table, offset) {
        Ok(toc) => assert_covers(&toc),
        Err(Error::Malformed { .. }) => {}
        Err(error) => panic!("the check holds and the version is known: {error}"),
    }
}

/// The data as a file: opening it ends, in a bounded number of reads.
pub fn file(data: &[u8]) {
    open(data, Opener::new(data.len() as u64));
    open(data, Opener::new(data.len() as u64).salvage());
}

/// The data as a file whose end is made a valid trailer, and the bytes before it a table with a right
/// check. The first byte says how many sections it has.
pub fn file_resealed(data: &[u8]) {
    const TABLE_LEN_MIN: usize = 72;
    const ENTRY_LEN: usize = 32;
    let Some(&sections) = data.first() else { return };
    let toc_len = TABLE_LEN_MIN + ENTRY_LEN * usize::from(sections % 16);
    let mut bytes = data.to_vec();
    let Some((rest, trailer)) = bytes.split_last_chunk_mut::<{ Trailer::LEN }>() else { return };
    let Some(start) = rest.len().checked_sub(toc_len) else { return };
    let toc_offset = start as u64;
    if let Some((table, check)) = rest.get_mut(start..).and_then(<[u8]>::split_last_chunk_mut) {
        if let Some(magic) = table.first_chunk_mut() {
            *magic = Toc::MAGIC;
        }
        *check = Toc::check_of(table, toc_offset).to_le_bytes();
    }
    *trailer = Trailer { toc_offset, toc_len: u32::try_from(toc_len).unwrap_or(0) }.encode();
    file(&bytes);
}

/// The data as each thing that can be described: the description holds the same bytes.
pub fn described(data: &[u8]) {
    let describe: [fn(&mut Dump<'_>); 3] =
        [annotate_header, |dump| annotate_toc(7, dump), annotate_trailer];
    for describe in describe {
        let mut dump = Dump::new(data);
        describe(&mut dump);
        assert_eq!(bytes_of(&dump.finish()).as_deref(), Some(data));
    }
}

fn open(file: &[u8], mut opener: Opener) {
    let mut bytes: &[u8] = &[];
    for _ in 0..1000 {
        match opener.advance(bytes) {
            Ok(Progress::Need(range)) => {
                assert!(!range.is_empty());
                bytes = slice(file, &range).expect("only bytes of the file are asked for");
            }
            Ok(Progress::Done(toc)) => return assert_covers(&toc),
            Err(_) => return,
        }
    }
    panic!("opening does not end");
}

fn slice<'a>(file: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

fn assert_covers(toc: &Toc) {
    let section = |half| toc.entries.iter().filter(move |entry| entry.half == half);
    let ranges = [toc.part_range(Part::Header)]
        .into_iter()
        .chain(section(Half::Primary).map(TocEntry::range))
        .chain([toc.part_range(Part::Contents(Half::Primary)), toc.part_range(Part::Gap)])
        .chain(section(Half::Mirror).map(TocEntry::range))
        .chain([toc.part_range(Part::Contents(Half::Mirror))]);
    let end = ranges.fold(0, |end, range| {
        assert_eq!(range.start, end);
        range.end
    });
    assert_eq!(end, toc.file_len);
}
