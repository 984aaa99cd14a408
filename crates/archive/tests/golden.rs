//! Released bytes are still written and read, and `FORMAT.md` shows them.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{DATA, HEADER, PROPERTIES, SEALED_HEADER, file_of, open};
use stratal_archive::{
    ArchiveHeader, GAP_LEN, Half, Part, SectionTag, Toc, Trailer, annotate_header, annotate_toc,
    annotate_trailer,
};
use stratal_testkit::golden;
use stratal_types::dump::{Dump, bytes_of};

#[test]
fn v1_no_sections() {
    reads_and_writes("no_sections", HEADER, &[], &[]);
}

#[test]
fn v1_doubled_section() {
    let dumps = reads_and_writes(
        "doubled_section",
        HEADER,
        &[(DATA, b"a section of its own bytes"), (PROPERTIES, b"items=1")],
        &[(PROPERTIES, b"items=1 (2nd)")],
    );
    let page = include_str!("../FORMAT.md");
    for dump in dumps {
        assert!(page.contains(&dump), "FORMAT.md should contain\n{dump}");
    }
}

#[test]
fn v1_empty_and_skippable_sections() {
    let (empty, skippable) = (SectionTag(*b"Zero"), SectionTag(*b"opt1"));
    reads_and_writes(
        "empty_and_skippable",
        HEADER,
        &[(empty, b""), (skippable, b"?"), (DATA, b"")],
        &[(skippable, b""), (empty, b"")],
    );
}

#[test]
fn v1_sealed() {
    reads_and_writes("sealed", SEALED_HEADER, &[(DATA, b"not for everyone")], &[]);
}

/// The archive of these sections is written as stored, and what is stored reads as these sections.
/// Returns the two dumps: what stands before the gap, and what stands behind it.
fn reads_and_writes(
    name: &str,
    header: ArchiveHeader,
    sections: &[(SectionTag, &[u8])],
    mirrored: &[(SectionTag, &[u8])],
) -> [String; 2] {
    let (file, toc) = file_of(header, sections, mirrored);
    let gap = toc.part_range(Part::Gap);
    let halves = [(Half::Primary, 0..gap.start), (Half::Mirror, gap.end..toc.file_len)];
    let mut stored = Vec::new();
    let dumps = halves.map(|(half, range)| {
        let dump = dump(&file, &toc, half, range.start);
        let path = format!("{}/tests/golden/v1/{name}.{half}.dump", env!("CARGO_MANIFEST_DIR"));
        let golden = golden(path, &dump);
        assert_eq!(golden, dump, "what is written differs from what is stored");
        if half == Half::Mirror {
            stored.resize(stored.len() + usize::try_from(GAP_LEN).unwrap(), 0);
        }
        stored.extend(bytes_of(&golden).unwrap());
        dump
    });

    let read = open(&stored).unwrap();
    assert!(read.describes_same(&toc));
    assert_eq!(read.header, header);
    let expected = sections.iter().map(|section| (Half::Primary, section));
    let expected = expected.chain(mirrored.iter().map(|section| (Half::Mirror, section)));
    assert_eq!(read.entries.len(), sections.len() + mirrored.len());
    for (half, (tag, bytes)) in expected {
        let entry = read.get(*tag, half).unwrap();
        let range = common::usizes(entry.range());
        assert_eq!(&stored[range.clone()], *bytes, "{tag} {half}");
        entry.verify(&stored[range]).unwrap();
    }
    for part in Part::ALL {
        read.check_part(part, &stored[common::usizes(read.part_range(part))]).unwrap();
    }
    dumps
}

/// One half of `file`, byte by byte.
fn dump(file: &[u8], toc: &Toc, half: Half, start: u64) -> String {
    let contents = toc.part_range(Part::Contents(half));
    let range = common::usizes(start..contents.end);
    let mut dump = Dump::at(range.start, &file[range]);
    if half == Half::Primary {
        dump.note("header");
        annotate_header(&mut dump);
    }
    for entry in toc.entries.iter().filter(|entry| entry.half == half) {
        dump.field(usize::try_from(entry.len).unwrap(), format_args!("section {}", entry.tag));
    }
    dump.note(format_args!("{half} contents"));
    annotate_toc(contents.start, &mut dump);
    dump.note("trailer");
    annotate_trailer(&mut dump);
    assert!(dump.remaining().is_empty());
    dump.finish()
}

#[test]
fn a_check_that_does_not_hold_is_named_and_nothing_panics_where_fields_are_cut() {
    let (file, toc) = file_of(HEADER, &[(DATA, b"x")], &[]);
    let contents = common::usizes(toc.part_range(Part::Contents(Half::Mirror)));
    let trailer = contents.end - Trailer::LEN..contents.end;
    let parts = [
        (&file[..ArchiveHeader::LEN], annotate_header as fn(&mut Dump<'_>)),
        (&file[trailer], annotate_trailer),
        (&file[contents], |dump: &mut Dump<'_>| annotate_toc(0, dump)),
    ];
    for (bytes, annotate) in parts {
        let mut damaged = bytes.to_vec();
        damaged[9] ^= 1;
        let mut dump = Dump::new(&damaged);
        annotate(&mut dump);
        assert!(dump.finish().contains("check (does not hold"));
        for len in 0..bytes.len() {
            let mut dump = Dump::new(&bytes[..len]);
            annotate(&mut dump);
            assert_eq!(bytes_of(&dump.finish()).unwrap(), &bytes[..len]);
        }
    }
}
