//! Damaged archives: found all the same, or reported; noticed in every case.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{DATA, HEADER, INDEX, PROPERTIES, SEALED_HEADER, file_of, open, salvage, usizes};
use stratal_archive::{ArchiveHeader, Error, Half, Part, SectionTag, Toc};
use stratal_testkit::{Rng, mutate};

/// Bytes in a row that may be lost anywhere.
const LOSS_LEN: usize = 4096;

/// An archive with one plain and two doubled sections, of sizes that share no alignment.
fn subject() -> (Vec<u8>, Toc) {
    let mut rng = Rng::new(0xa2c);
    let (data, index, properties) = (rng.bytes(777), rng.bytes(333), rng.bytes(201));
    let (index_2, properties_2) = (rng.bytes(339), rng.bytes(201));
    file_of(
        HEADER,
        &[(DATA, &data), (INDEX, &index), (PROPERTIES, &properties)],
        &[(PROPERTIES, &properties_2), (INDEX, &index_2)],
    )
}

/// What is wrong with a file of this table's length, by everything that can be checked.
fn damage(toc: &Toc, file: &[u8]) -> Vec<Error> {
    let parts = Part::ALL.map(|part| toc.check_part(part, &file[usizes(toc.part_range(part))]));
    let sections = toc.entries.iter().map(|entry| entry.verify(&file[usizes(entry.range())]));
    parts.into_iter().chain(sections).filter_map(Result::err).collect()
}

fn is_intact(toc: &Toc, file: &[u8], tag: SectionTag) -> bool {
    toc.find(tag).any(|entry| entry.verify(&file[usizes(entry.range())]).is_ok())
}

/// Small files of every shape: without sections, with empty ones, with plain and doubled ones of odd
/// lengths, with an archive inside, encrypted, and with so many sections that the contents fill sectors.
fn corpus() -> Vec<(&'static str, Vec<u8>, Toc)> {
    let (inner, _) = file_of(HEADER, &[(DATA, b"inner")], &[]);
    let many: Vec<_> = (0..40)
        .map(|i| (SectionTag([b'a' + i / 26, b'a' + i % 26, b'0', b'0']), &b"tiny"[..]))
        .collect();
    let mut files = vec![("subject", subject())];
    let mut add = |name, sections: &[(SectionTag, &[u8])], mirrored: &[(SectionTag, &[u8])]| {
        files.push((name, file_of(HEADER, sections, mirrored)));
    };
    add("no sections", &[], &[]);
    add("empty", &[(DATA, b""), (INDEX, b"")], &[(INDEX, b"")]);
    add("nested", &[(DATA, &inner)], &[]);
    add("many", &many, &many[..20]);
    files.push(("sealed", file_of(SEALED_HEADER, &[(DATA, b"ciphertext")], &[])));
    files.into_iter().map(|(name, (file, toc))| (name, file, toc)).collect()
}

#[test]
fn every_small_damage_is_survived_or_reported_and_always_noticed() {
    let mut total = mutate::Counts::default();
    for (name, file, toc) in corpus() {
        assert_eq!(damage(&toc, &file), [], "{name}");
        let (mut served_by_primary, mut refused) = (0, 0);
        let counts = mutate::for_each_mutant(&file, |mutation, mutant| {
            let result = open(mutant);
            match &result {
                Ok(found) => {
                    assert!(toc.describes_same(found), "{name}, {mutation}: {found:?}");
                    assert_ne!(damage(&toc, mutant), [], "{name}, {mutation}");
                    if found.served_by() == Half::Primary {
                        served_by_primary += 1;
                        let mirror = Part::Contents(Half::Mirror);
                        let mirror =
                            toc.check_part(mirror, &mutant[usizes(toc.part_range(mirror))]);
                        assert_ne!(mirror, Ok(()), "{name}, {mutation}");
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.is_corruption(), "{name}, {mutation}: {error}");
                }
            }
            match mutation {
                mutate::Mutation::BitFlipped { .. }
                | mutate::Mutation::ByteSet { .. }
                | mutate::Mutation::SectorZeroed { .. } => {
                    assert!(result.is_ok(), "{name}, {mutation}: {result:?}");
                    for entry in toc.entries.iter().filter(|entry| entry.half == Half::Mirror) {
                        assert!(
                            is_intact(&toc, mutant, entry.tag),
                            "{name}, {mutation}: {entry:?}"
                        );
                    }
                }
                mutate::Mutation::Doubled => {
                    let (expected, actual) = (file.len() as u64, mutant.len() as u64);
                    assert_eq!(result, Err(Error::Overlong { expected, actual }), "{name}");
                }
                mutate::Mutation::Cut { len } => check_cut(&toc, mutant, len as u64),
                _ => {}
            }
        });
        println!(
            "{name}: {counts}; {served_by_primary} served by the primary contents, {refused} refused"
        );
        assert!(served_by_primary > 0, "{name}");
        total += counts;
    }
    println!("all: {total}");
    assert!(total.sectors_zeroed > 0 && total.sectors_swapped > 0);
}

/// What is left of a file says how long it was, as long as one copy of its contents is left.
fn check_cut(toc: &Toc, rest: &[u8], len: u64) {
    let contents_end = toc.part_range(Part::Contents(Half::Primary)).end;
    let error = open(rest).unwrap_err();
    if len >= contents_end {
        assert_eq!(error, Error::Truncated { expected: toc.file_len, actual: len });
        let found = salvage(rest).unwrap();
        assert!(toc.describes_same(&found));
        for entry in found.entries.iter().filter(|entry| entry.half == Half::Primary) {
            entry.verify(&rest[usizes(entry.range())]).unwrap();
        }
    } else {
        let expected = match stratal_archive::FILE_LEN_MIN {
            min if len < min => Error::Truncated { expected: min, actual: len },
            _ => Error::ContentsLost { file_len: len, searched: len },
        };
        assert_eq!(error, expected);
        assert_eq!(salvage(rest).unwrap_err(), expected);
    }
}

#[test]
fn losing_any_4096_bytes_loses_no_contents_and_no_doubled_section() {
    let (file, toc) = subject();
    let noise = Rng::new(5).bytes(LOSS_LEN);
    let fills: [(&str, &[u8]); 4] = [
        ("zero", &[0; LOSS_LEN]),
        ("ff", &[0xff; LOSS_LEN]),
        ("noise", &noise),
        ("the file's begin", &file[..LOSS_LEN]),
    ];
    let mut served = [0; 2];
    // From windows that hold only the first byte of the file to those that hold only the last one.
    for start in 1 - LOSS_LEN.cast_signed()..file.len().cast_signed() {
        let from = usize::try_from(start).unwrap_or(0);
        let to = usize::try_from(start + LOSS_LEN.cast_signed()).unwrap().min(file.len());
        for (fill_name, fill) in fills {
            let mut damaged = file.clone();
            damaged[from..to].copy_from_slice(&fill[..to - from]);
            let found = open(&damaged).unwrap_or_else(|e| panic!("{fill_name} at {start}: {e}"));
            assert!(toc.describes_same(&found), "{fill_name} at {start}");
            served[usize::from(found.served_by().tag())] += 1;
            for tag in [INDEX, PROPERTIES] {
                assert!(is_intact(&toc, &damaged, tag), "{fill_name} at {start}: {tag}");
            }
        }
    }
    println!(
        "{} windows at every offset; served by primary and mirror: {served:?}",
        served[0] + served[1]
    );
    assert!(served.iter().all(|&count| count > 0));
}

#[test]
fn other_files_and_parts_of_this_one_are_named_for_what_they_are() {
    let (file, toc) = subject();
    let gap = toc.part_range(Part::Gap);
    let mut lost = file.clone();
    lost[usizes(toc.part_range(Part::Contents(Half::Primary)))].fill(0);
    lost[usizes(toc.part_range(Part::Contents(Half::Mirror)))].fill(0);
    let file_len = file.len() as u64;
    assert_eq!(open(&lost), Err(Error::ContentsLost { file_len, searched: file_len }));

    let mut no_header = lost.clone();
    no_header[..ArchiveHeader::LEN].fill(b'x');
    assert_eq!(open(&no_header), Err(Error::NotAnArchive { found: *b"xxxxxxxx" }));
    let mut bad_header = lost;
    bad_header[20] ^= 1;
    assert!(matches!(open(&bad_header), Err(Error::Checksum { offset: 0, .. })));

    let min = stratal_archive::FILE_LEN_MIN;
    assert_eq!(open(b""), Err(Error::Truncated { expected: min, actual: 0 }));
    assert_eq!(open(&file[..5]), Err(Error::Truncated { expected: min, actual: 5 }));
    assert_eq!(open(b"PK\x03\x04"), Err(Error::NotAnArchive { found: *b"PK\x03\x04\0\0\0\0" }));
    let junk = Rng::new(9).bytes(300_000);
    assert_eq!(open(&junk), Err(Error::NotAnArchive { found: junk[..8].try_into().unwrap() }));
    assert!(matches!(open(&file[usizes(gap.start..file_len)]), Err(Error::NotAnArchive { .. })));

    let mut appended = file.clone();
    appended.resize(file.len() + 200_000, 0);
    let actual = appended.len() as u64;
    assert_eq!(open(&appended), Err(Error::Overlong { expected: file_len, actual }));
    assert!(toc.describes_same(&salvage(&appended).unwrap()));
}

#[test]
fn an_archive_inside_a_section_is_not_taken_for_the_file() {
    let (inner, _) = subject();
    let sections: [(SectionTag, &[u8]); 1] = [(DATA, &inner)];
    let (file, toc) = file_of(HEADER, &sections, &sections);
    let mut damaged = file;
    damaged[usizes(toc.part_range(Part::Contents(Half::Mirror)))].fill(0);
    let found = open(&damaged).unwrap();
    assert!(toc.describes_same(&found));
    assert_eq!(found.served_by(), Half::Primary);
}

#[test]
fn contents_of_another_file_or_place_do_not_verify() {
    let (file, toc) = subject();
    let mut other_header = HEADER;
    other_header.uid.0[0] ^= 1;
    let (data, index) = ([1; 777], [2; 333]);
    let (other, other_toc) =
        file_of(other_header, &[(DATA, &data), (INDEX, &index), (PROPERTIES, &[3; 201])], &[]);
    for part in [Part::Header, Part::Contents(Half::Primary)] {
        let bytes = &other[usizes(other_toc.part_range(part))];
        assert!(toc.check_part(part, bytes).unwrap_err().is_corruption(), "{part:?}");
    }
    let contents = |half| usizes(toc.part_range(Part::Contents(half)));
    let moved = &file[contents(Half::Mirror)];
    assert!(toc.check_part(Part::Contents(Half::Primary), moved).is_err());
    let mut swapped = file.clone();
    swapped[contents(Half::Primary)].copy_from_slice(moved);
    swapped[contents(Half::Mirror)].copy_from_slice(&file[contents(Half::Primary)]);
    assert!(matches!(open(&swapped), Err(Error::ContentsLost { .. })));
}
