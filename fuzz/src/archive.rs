//! Archives: headers, tables of contents, and files, as found, with their checks set right, and whole
//! ones that are then damaged. The same for plain `sfa` archives.

use std::{io::Write, ops::Range};

use stratal_archive::{
    ArchiveHeader, ArchiveWriter, Error, Half, Opener, Part, Progress, SectionTag, Toc, TocEntry,
    Trailer, VERSION, annotate_header, annotate_toc, annotate_trailer, sfa,
};
use stratal_types::dump::{Dump, bytes_of};

use crate::inputs::{SplitMix64, mutated};

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
    const TABLE_LEN_MIN: usize = 136;
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

/// Sections of the data as an archive, damaged in places that the first eight bytes choose: it opens to
/// the same contents, whose sections verify only if they are whole, or not at all.
pub fn damaged(data: &[u8]) {
    let Some((random, file)) = built(data, |sections| {
        let header = ArchiveHeader::default();
        let mut writer = ArchiveWriter::new(Vec::new(), header).expect("memory takes all");
        for (letter, section) in (b'A'..).zip(sections) {
            let tag = SectionTag([letter; 4]);
            writer.section(tag).expect("the tag is new and valid");
            writer.write_all(section).expect("memory takes all");
            if letter % 2 == 0 {
                writer.mirror(tag, section.to_vec()).expect("the section was begun");
            }
        }
        writer.finish().expect("memory takes all").0
    }) else {
        return;
    };
    let whole = open(&file, Opener::new(file.len() as u64)).expect("it was written whole");
    let mut random = SplitMix64::new(random);
    let damaged = mutated(&mut random, &file, std::slice::from_ref(&file));
    if let Some(toc) = open(&damaged, Opener::new(damaged.len() as u64)) {
        assert!(whole.describes_same(&toc), "other contents");
        for entry in &whole.entries {
            let before = slice(&file, &entry.range()).expect("it lies within the file");
            let now = slice(&damaged, &entry.range()).expect("the length is the same");
            assert_eq!(entry.verify(now).is_ok(), now == before, "{entry:?}");
        }
    }
}

/// The data as a plain archive, as found, and with a valid trailer of the table that its first byte
/// says the length of. What opens would be written the same.
pub fn plain(data: &[u8]) {
    plain_contents(data);
    let Some((&toc_len, rest)) = data.split_first() else { return };
    let toc_start = rest.len().saturating_sub(usize::from(toc_len));
    let (before, toc) = rest.split_at(toc_start);
    let trailer = sfa::Trailer::of(toc, before.len() as u64).encode();
    plain_contents(&[before, toc, &trailer].concat());
    // The same with the table's magic in its place.
    let toc = [&sfa::Toc::MAGIC, toc].concat();
    let trailer = sfa::Trailer::of(&toc, before.len() as u64).encode();
    plain_contents(&[before, &toc, &trailer].concat());
}

/// Sections of the data as a plain archive, damaged like the others: it opens to contents that are
/// stored whole, or not at all.
pub fn plain_damaged(data: &[u8]) {
    let Some((random, file)) = built(data, |sections| {
        let mut writer = sfa::Writer::new(Vec::new());
        for section in sections {
            let name = section.get(..section.len() / 4).unwrap_or_default();
            writer.section(name).expect("the name is short");
            writer.write_all(section).expect("memory takes all");
        }
        writer.finish().expect("memory takes all").0
    }) else {
        return;
    };
    let whole = plain_contents(&file).expect("it was written whole");
    let mut random = SplitMix64::new(random);
    let damaged = mutated(&mut random, &file, std::slice::from_ref(&file));
    if let Some(toc) = plain_contents(&damaged)
        && damaged.len() == file.len()
    {
        assert_eq!(toc, whole);
    }
}

/// A seed of damage, and the file that `write` makes of the sections that the data is cut into.
fn built(data: &[u8], write: impl FnOnce(&[&[u8]]) -> Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let (seed, data) = data.split_first_chunk()?;
    let (&sections, data) = data.split_first()?;
    let len = data.len().div_ceil(usize::from(sections % 8) + 1).max(1);
    Some((u64::from_le_bytes(*seed), write(&data.chunks(len).collect::<Vec<_>>())))
}

/// Opens a plain archive, and describes it. What opens encodes to what is stored.
fn plain_contents(file: &[u8]) -> Option<sfa::Toc> {
    let mut dump = Dump::new(file);
    sfa::annotate(&mut dump);
    assert_eq!(bytes_of(&dump.finish()).as_deref(), Some(file));
    let toc = sfa::open(file).ok()?;
    let encoded = toc.encode();
    let trailer = sfa::Trailer::of(&encoded, toc.offset).encode();
    assert!(file.ends_with(&[&encoded[..], &trailer].concat()));
    assert!(toc.entries.iter().all(|entry| entry.bytes_in(file).is_some()));
    Some(toc)
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

fn open(file: &[u8], mut opener: Opener) -> Option<Toc> {
    let mut bytes: &[u8] = &[];
    for _ in 0..1000 {
        match opener.advance(bytes) {
            Ok(Progress::Need(range)) => {
                assert!(!range.is_empty());
                bytes = slice(file, &range).expect("only bytes of the file are asked for");
            }
            Ok(Progress::Done(toc)) => {
                assert_covers(&toc);
                return Some(toc);
            }
            Err(_) => return None,
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
