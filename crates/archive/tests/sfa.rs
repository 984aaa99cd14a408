//! Plain `sfa` archives: what the published crate writes is read, what is written it reads, released
//! bytes stay, and damage is noticed wherever the format has a check.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    cell::Cell,
    io::{self, Cursor, ErrorKind, Write},
};

use common::usizes;
use proptest::prelude::*;
use stratal_archive::{
    Progress,
    sfa::{
        Error, FILE_LEN_MIN, NAME_LEN_MAX, Opener, TOC_LEN_MAX, Toc, TocEntry, Trailer, WriteError,
        Writer, annotate, open,
    },
};
use stratal_testkit::{Rng, golden, mutate};
use stratal_types::dump::{Dump, bytes_of};

/// Names and bytes of sections, in order.
type Sections = Vec<(Vec<u8>, Vec<u8>)>;

fn sections_of(sections: &[(&[u8], &[u8])]) -> Sections {
    sections.iter().map(|(name, bytes)| (name.to_vec(), bytes.to_vec())).collect()
}

fn write(sections: &Sections) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, bytes) in sections {
        writer.section(&name[..]).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let (file, toc) = writer.finish().unwrap();
    assert_eq!(toc, open(&file).unwrap());
    file
}

/// The same by the published crate.
fn write_published(sections: &Sections) -> Vec<u8> {
    let mut writer = sfa::Writer::from_writer(Cursor::new(Vec::new()));
    for (name, bytes) in sections {
        writer.start(&name[..]).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.into_inner().unwrap().into_inner()
}

fn read(file: &[u8]) -> Sections {
    let toc = open(file).unwrap();
    let bytes_of = |entry: &TocEntry| entry.bytes_in(file).unwrap().to_vec();
    toc.entries.iter().map(|entry| (entry.name.clone(), bytes_of(entry))).collect()
}

/// The contents by the published crate.
fn open_published(file: &[u8]) -> Result<Vec<TocEntry>, sfa::Error> {
    let reader = sfa::Reader::from_reader(&mut Cursor::new(file))?;
    let entries = reader.toc().iter().map(|entry| TocEntry {
        name: entry.name().to_vec(),
        offset: entry.pos(),
        len: entry.len(),
    });
    Ok(entries.collect())
}

fn read_published(file: &[u8]) -> Sections {
    let entries = open_published(file).unwrap().into_iter();
    let bytes_of = |entry: &TocEntry| file[usizes(entry.range())].to_vec();
    entries.map(|entry| (entry.name.clone(), bytes_of(&entry))).collect()
}

/// What the published writer leaves out: sections before the first byte of the file.
fn without_empty_begin(sections: &Sections) -> Sections {
    let begin = sections.iter().position(|(_, bytes)| !bytes.is_empty());
    begin.map_or_else(Vec::new, |begin| sections[begin..].to_vec())
}

fn sections() -> impl Strategy<Value = Sections> {
    let name = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![b"data".to_vec(), b"tli".to_vec(), b"meta".to_vec()]),
    ];
    let bytes = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(any::<u8>(), 60_000..70_000),
    ];
    prop::collection::vec((name, bytes), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_crates_read_what_either_writes(sections in sections()) {
        let (ours, theirs) = (write(&sections), write_published(&sections));
        let expected = without_empty_begin(&sections);
        prop_assert_eq!(&read(&ours), &sections);
        prop_assert_eq!(&read(&theirs), &expected);
        prop_assert_eq!(&read_published(&ours), &sections);
        prop_assert_eq!(&read_published(&theirs), &expected);
        prop_assert_eq!(ours == theirs, sections == expected);
    }

    /// Whatever this reader takes, the published one takes for the same. What that one takes and this
    /// one does not is malformed.
    #[test]
    fn what_is_read_of_mutated_archives_the_published_crate_reads_too(
        sections in sections(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        keep_check: bool,
    ) {
        let mut file = write(&sections);
        let len = file.len();
        let toc_start = usize::try_from(open(&file).unwrap().offset).unwrap();
        for (at, value) in changes {
            let at = at.index(len - toc_start);
            // The published reader makes room for as many entries as the count says, there or not.
            if !(4..8).contains(&at) {
                file[toc_start + at] = value;
            }
        }
        if !keep_check {
            let trailer = Trailer::of(&file[toc_start..len - Trailer::LEN], toc_start as u64);
            file[len - Trailer::LEN..].copy_from_slice(&trailer.encode());
        }
        match (open(&file), open_published(&file)) {
            (Ok(toc), theirs) => prop_assert_eq!(toc.entries, theirs.unwrap()),
            (Err(Error::Malformed { .. }), _) | (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(false, "refused without need: {error}"),
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(open(&bytes).is_err());
    }
}

#[test]
fn released_bytes_are_written_and_read_by_both_crates() {
    let page = include_str!("../FORMAT.md");
    let two = [(&b"data"[..], &b"a section of its own bytes"[..]), (b"meta", b"items=1")];
    let odd = [(&b""[..], &b"x"[..]), (b"same", b""), (b"same", b"2nd"), (b"\xff\n\"", b"y")];
    let cases = [("no_sections", &[][..]), ("two_sections", &two), ("odd_names", &odd)];
    for (name, sections) in cases {
        let sections = sections_of(sections);
        let file = write(&sections);
        let mut dump = Dump::new(&file);
        annotate(&mut dump);
        let dump = dump.finish();
        assert!(!dump.contains("(not described)"), "{dump}");
        let path = format!("{}/tests/golden/sfa1/{name}.dump", env!("CARGO_MANIFEST_DIR"));
        let golden = golden(path, &dump);
        assert_eq!(golden, dump, "what is written differs from what is stored");
        let stored = bytes_of(&golden).unwrap();
        assert_eq!(write_published(&sections), stored, "{name}");
        assert_eq!(read(&stored), sections, "{name}");
        assert_eq!(read_published(&stored), sections, "{name}");
        assert!(name != "two_sections" || page.contains(&dump), "FORMAT.md should contain\n{dump}");
    }
}

/// Every flipped bit, zeroed or swapped sector, and cut of every file of a small corpus: the same
/// contents or a typed error. Sections stand under no check, so what is in them is not asked.
#[test]
fn every_small_damage_leaves_the_same_contents_or_an_error() {
    let mut rng = Rng::new(0x5fa);
    let long: Sections =
        (0..40).map(|i| (format!("section number {i}").into_bytes(), rng.bytes(i * 7))).collect();
    let corpus = [
        sections_of(&[]),
        sections_of(&[(b"data", b"a section of its own bytes"), (b"meta", b"items=1")]),
        sections_of(&[(b"data", &rng.bytes(3000))]),
        long,
    ];
    let mut counts = mutate::Counts::default();
    let (same, refused) = (Cell::new(0_u64), Cell::new(0_u64));
    for sections in &corpus {
        let file = write(sections);
        let toc = open(&file).unwrap();
        counts += mutate::for_each_mutant(&file, |mutation, mutant| match open(mutant) {
            Ok(found) => {
                assert_eq!(found, toc, "{mutation}");
                assert_eq!(mutant.len(), file.len(), "{mutation}");
                let checked = usize::try_from(toc.offset).unwrap();
                assert_eq!(mutant[checked..], file[checked..], "{mutation} went unnoticed");
                same.set(same.get() + 1);
            }
            Err(error) => {
                // Version and kind of check are not told from damage.
                let is_beyond = matches!(
                    error,
                    Error::UnsupportedVersion { .. } | Error::UnsupportedCheck { .. }
                );
                assert!(error.is_corruption() || is_beyond, "{mutation}: {error}");
                refused.set(refused.get() + 1);
            }
        });
    }
    println!("{counts}; {} opened to the same contents, {} refused", same.get(), refused.get());
    assert!(same.get() > 0 && refused.get() > 0);
    assert_eq!(same.get() + refused.get(), counts.total());
}

/// The format has no length of the whole: it cannot know that it was cut to another archive.
#[test]
fn an_archive_at_the_begin_of_another_is_what_a_cut_leaves() {
    let inner = write(&sections_of(&[(b"data", b"inner")]));
    let outer = write(&vec![(b"outer".to_vec(), inner.clone())]);
    assert_eq!(read(&outer), [(b"outer".to_vec(), inner.clone())]);
    assert_eq!(outer[..inner.len()], inner);
    assert_eq!(read(&outer[..inner.len()]), [(b"data".to_vec(), b"inner".to_vec())]);
}

/// A file of these contents, under a check that holds.
fn file_of(before: &[u8], toc: &[u8]) -> Vec<u8> {
    let trailer = Trailer::of(toc, before.len() as u64).encode();
    [before, toc, &trailer].concat()
}

#[test]
fn impossible_contents_are_refused_though_their_check_holds() {
    let entry = |name: &[u8], offset, len| TocEntry { name: name.to_vec(), offset, len };
    let toc = |entries| Toc { entries, offset: 10 }.encode();
    let counted = |count: u32| {
        let mut bytes = toc(vec![entry(b"ab", 0, 10)]);
        bytes[4..8].copy_from_slice(&count.to_le_bytes());
        bytes
    };
    let cases: [(&str, Vec<u8>, Option<&str>); 10] = [
        ("whole", toc(vec![entry(b"ab", 0, 10)]), None),
        ("overlapping", toc(vec![entry(b"ab", 0, 10), entry(b"", 3, 2)]), None),
        ("with room", toc(vec![entry(b"ab", 9, 0), entry(b"", 3, 2)]), None),
        ("too long", toc(vec![entry(b"ab", 1, 10)]), Some("before the contents")),
        ("behind", toc(vec![entry(b"ab", 11, 0)]), Some("before the contents")),
        ("overflowing", toc(vec![entry(b"ab", 9, u64::MAX)]), Some("before the contents")),
        ("counted less", counted(0), Some("go on behind")),
        ("counted more", counted(2), Some("end within")),
        ("counted most", counted(u32::MAX), Some("end within")),
        ("of another magic", b"TOC?\0\0\0\0".to_vec(), Some("no table")),
    ];
    for (name, toc, expected) in cases {
        match (open(&file_of(&[7; 10], &toc)), expected) {
            (Ok(_), None) => {}
            (Err(Error::Malformed { what, offset }), Some(words)) => {
                assert!(what.contains(words), "{name}: {what}");
                assert!((10..=10 + toc.len() as u64).contains(&offset), "{name}: {offset}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let file = write(&sections_of(&[(b"data", b"bytes")]));
    let at = |from_end: usize, value: u8| {
        let mut file = file.clone();
        let len = file.len();
        file[len - from_end] = value;
        open(&file).unwrap_err()
    };
    assert_eq!(at(38, b'Z'), Error::NotAnArchive { found: *b"ZFA!" });
    assert_eq!(at(34, 2), Error::UnsupportedVersion { version: 2, supported: 1 });
    assert_eq!(at(33, 9), Error::UnsupportedCheck { tag: 9 });
    assert!(matches!(at(20, 9), Error::Checksum { .. }));
    assert!(matches!(at(16, 99), Error::Malformed { .. }));
    assert_eq!(open(b""), Err(Error::Truncated { expected: FILE_LEN_MIN, actual: 0 }));
    let mut short = file_of(b"", b"");
    short.splice(0..0, [0; 8]);
    assert!(matches!(open(&short), Err(Error::Malformed { .. })), "a table of no bytes");
    assert!(!at(34, 2).is_corruption() && at(38, b'Z').is_corruption());
}

#[test]
fn contents_out_of_the_first_read_take_one_more_and_no_more_than_allowed() {
    let name = vec![b'n'; NAME_LEN_MAX];
    let file = write(&vec![(name.clone(), b"one".to_vec()), (name, b"two".to_vec())]);
    let len = file.len() as u64;
    let toc = open(&file).unwrap();
    let toc_range = toc.offset..len - Trailer::LEN as u64;

    let mut opener = Opener::new(len);
    assert_eq!(opener.advance(b""), Ok(Progress::Need(len - 65_536..len)));
    let tail = &file[file.len() - 65_536..];
    assert_eq!(opener.advance(tail), Ok(Progress::Need(toc_range.clone())));
    let short = &file[usizes(toc_range.start..toc_range.end - 1)];
    let truncated = Error::Truncated { expected: toc_range.end, actual: toc_range.end - 1 };
    assert_eq!(opener.advance(short), Err(truncated));
    assert_eq!(opener.advance(b""), Ok(Progress::Need(len - 65_536..len)), "it begins anew");
    assert!(matches!(opener.advance(tail), Ok(Progress::Need(_))));
    assert_eq!(opener.advance(&file[usizes(toc_range.clone())]), Ok(Progress::Done(toc)));

    let toc_len = toc_range.end - toc_range.start;
    for (max, allowed) in [(toc_len, true), (toc_len - 1, false)] {
        let mut opener = Opener::new(len).with_toc_len_max(max);
        opener.advance(b"").unwrap();
        let expected = Error::TocTooLong { len: toc_len, max };
        assert_eq!(opener.advance(tail).err(), (!allowed).then_some(expected));
    }
}

#[test]
fn mistakes_are_refused_and_a_failing_sink_ends_the_archive() {
    let mut writer = Writer::new(Vec::new());
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::InvalidInput);
    let too_long = writer.section(vec![0; NAME_LEN_MAX + 1]);
    assert!(matches!(too_long, Err(WriteError::NameTooLong { max: NAME_LEN_MAX, .. })));
    while writer.section(vec![0; NAME_LEN_MAX]).is_ok() {}
    let full = writer.section(vec![0; NAME_LEN_MAX]);
    assert!(matches!(full, Err(WriteError::TocTooLong { max: TOC_LEN_MAX, .. })));
    writer.write_all(b"x").unwrap();
    let (file, toc) = writer.finish().unwrap();
    assert_eq!(open(&file), Ok(toc));

    let sections = sections_of(&[(b"data", b"bytes"), (b"meta", b"more")]);
    let whole = write(&sections);
    for room in 0..whole.len() {
        let mut stored = vec![0; room];
        let mut writer = Writer::new(&mut stored[..]);
        let written = sections.iter().try_for_each(|(name, bytes)| {
            writer.section(&name[..]).map_err(io::Error::other)?;
            writer.write_all(bytes)
        });
        let poisoned = written.is_err().then(|| writer.section("more"));
        assert!(poisoned.is_none_or(|it| matches!(it, Err(WriteError::Poisoned))), "{room}");
        assert!(writer.finish().is_err(), "{room}");
        assert_eq!(stored, whole[..room]);
        assert!(open(&stored).is_err(), "{room}");
    }
}

#[test]
fn what_does_not_open_is_still_described_whole() {
    let file = write(&sections_of(&[(b"data", b"bytes")]));
    mutate::for_each_mutant(&file, |mutation, mutant| {
        let mut dump = Dump::new(mutant);
        annotate(&mut dump);
        let text = dump.finish();
        assert_eq!(bytes_of(&text).as_deref(), Some(mutant), "{mutation}");
        assert_eq!(open(mutant).is_err(), text.contains("not to be opened"), "{mutation}: {text}");
    });
}
