//! Any set of sections reads back, whatever is lost; any bytes end in an answer.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{collections::BTreeMap, num::NonZeroU8, ops::Range};

use common::{DATA, HEADER, SEALED_HEADER, drive, file_of, open, salvage, usizes};
use proptest::prelude::*;
use stratal_archive::{
    ArchiveHeader, Error, GAP_LEN, Half, HeaderSeal, Opener, Part, SECTIONS_MAX, Section,
    SectionHasher, SectionTag, Toc, Trailer,
};
use stratal_types::{DbId, FileUid};

/// A section's bytes, and those of its second copy if it has one.
type Content = (Vec<u8>, Option<Vec<u8>>);

fn sections() -> impl Strategy<Value = Vec<(SectionTag, Content)>> {
    let tag = prop::array::uniform4(prop_oneof![b'0'..=b'9', b'A'..=b'Z', b'a'..=b'z']);
    let bytes = || prop::collection::vec(any::<u8>(), 0..3000);
    prop::collection::btree_map(tag, (bytes(), prop::option::of(bytes())), 0..12)
        .prop_map(BTreeMap::into_iter)
        .prop_map(|sections| sections.map(|(tag, content)| (SectionTag(tag), content)).collect())
        .prop_shuffle()
}

fn header() -> impl Strategy<Value = ArchiveHeader> {
    let seal = any::<(NonZeroU8, u32, [u8; 32], [u8; 16])>()
        .prop_map(|(cipher, epoch, salt, key_check)| HeaderSeal { cipher, epoch, salt, key_check });
    let seal = prop::option::of(seal);
    (any::<([u8; 4], [u8; 16], [u8; 16])>(), seal).prop_map(|((file_type, db_id, uid), seal)| {
        ArchiveHeader { file_type, db_id: DbId(db_id), uid: FileUid(uid), seal }
    })
}

fn write(header: ArchiveHeader, sections: &[(SectionTag, Content)]) -> (Vec<u8>, Toc) {
    let primary: Vec<_> = sections.iter().map(|(tag, (first, _))| (*tag, &first[..])).collect();
    let mirror = sections.iter().rev();
    let mirror: Vec<_> =
        mirror.filter_map(|(tag, (_, second))| Some((*tag, second.as_deref()?))).collect();
    file_of(header, &primary, &mirror)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sections_read_back_and_doubled_ones_survive_any_loss_of_4096_bytes(
        header in header(),
        sections in sections(),
        lost_at in any::<prop::sample::Index>(),
    ) {
        let (file, written) = write(header, &sections);
        let toc = open(&file).unwrap();
        prop_assert_eq!(&toc, &written);
        prop_assert_eq!(toc.header, header);
        for (tag, (first, second)) in &sections {
            let copies: Vec<_> = toc.find(*tag).map(|entry| &file[usizes(entry.range())]).collect();
            let expected: Vec<_> = [Some(first), second.as_ref()].into_iter().flatten().collect();
            prop_assert_eq!(copies, expected);
        }

        let start = lost_at.index(file.len());
        let end = file.len().min(start + 4096);
        let mut damaged = file;
        damaged[start..end].fill(0);
        let found = open(&damaged).unwrap();
        prop_assert!(toc.describes_same(&found));
        for (tag, (_, second)) in &sections {
            let mut copies = toc.find(*tag);
            let intact = copies.any(|it| it.verify(&damaged[usizes(it.range())]).is_ok());
            prop_assert!(intact || second.is_none());
        }
    }

    #[test]
    fn sections_and_parts_cover_every_byte_once(header in header(), sections in sections()) {
        let (file, toc) = write(header, &sections);
        assert_covers(&toc);
        prop_assert_eq!(toc.file_len, file.len() as u64);
    }

    #[test]
    fn pieces_hash_like_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..2000), cuts: [prop::sample::Index; 3]) {
        let (file, toc) = file_of(HEADER, &[(DATA, &bytes)], &[]);
        let entry = toc.get(DATA, Half::Primary).unwrap();
        let mut cuts = cuts.map(|cut| cut.index(bytes.len() + 1));
        cuts.sort_unstable();
        let mut hasher = SectionHasher::new();
        let mut start = 0;
        for end in cuts.into_iter().chain([bytes.len()]) {
            prop_assert_eq!(hasher.verify(entry).is_ok(), start == bytes.len());
            hasher.update(&file[usizes(entry.range())][start..end]);
            start = end;
        }
        prop_assert_eq!(hasher.verify(entry), Ok(()));
        prop_assert_eq!(hasher.check(), entry.check);
        hasher.update(b"x");
        prop_assert!(matches!(hasher.verify(entry), Err(Error::Overlong { .. })), "one byte too many");
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..10_000),
        offset: u64,
    ) {
        prop_assert!(open(&bytes).is_err());
        prop_assert!(salvage(&bytes).is_err());
        prop_assert!(Toc::decode(&bytes, offset).is_err());
    }

    /// The fields of a table are made nonsense of and its check is set right again: it is refused, or
    /// describes a file that can be.
    #[test]
    fn a_forged_table_is_refused_or_lays_out_a_file(
        sections in sections(),
        half in prop::sample::select(&Half::BOTH),
        forgeries in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (file, toc) = write(HEADER, &sections);
        let range = toc.part_range(Part::Contents(half));
        let mut table = file[usizes(range.start..range.end - Trailer::LEN as u64)].to_vec();
        let checked_len = table.len() - 8;
        for (at, value) in forgeries {
            table[at.index(checked_len)] = value;
        }
        let check = Toc::check_of(&table[..checked_len], range.start).to_le_bytes();
        table[checked_len..].copy_from_slice(&check);
        match Toc::decode(&table, range.start) {
            Ok(toc) => assert_covers(&toc),
            Err(Error::Malformed { offset, .. }) => prop_assert!(range.contains(&offset)),
            Err(Error::UnsupportedVersion { version, .. }) => prop_assert_ne!(version, 1),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// Every byte of the file belongs to one section or part.
fn assert_covers(toc: &Toc) {
    let parts = Part::ALL.map(|part| toc.part_range(part));
    let mut ranges: Vec<Range<u64>> =
        toc.entries.iter().map(stratal_archive::TocEntry::range).collect();
    ranges.extend(parts);
    ranges.sort_by_key(|range| (range.start, range.end));
    let end = ranges.iter().fold(0, |end, range| {
        assert_eq!(range.start, end);
        range.end
    });
    assert_eq!(end, toc.file_len);
    let gap = toc.part_range(Part::Gap);
    assert_eq!(gap.end - gap.start, GAP_LEN);
}

/// One field of a table is set to a value, and the check is set right again.
#[test]
fn forged_fields_are_refused_for_what_is_wrong_with_them() {
    let sections: Vec<_> = [(*b"DATA", Some(vec![1])), (*b"PROP", Some(vec![2, 3]))]
        .into_iter()
        .map(|(tag, second)| (SectionTag(tag), (vec![9; 100], second)))
        .collect();
    let (file, toc) = write(HEADER, &sections);
    let start = toc.part_range(Part::Contents(Half::Primary)).start;
    let entry = |index: usize, field: usize| 128 + 32 * index + field;
    let far = u64::MAX.to_le_bytes();
    let cases: [(usize, &[u8], &str); 21] = [
        (0, b"?", "no table of contents"),
        (12, &[2], "half is unknown"),
        (12, &[1], "do not stand where the sections end"),
        (13, &[1], "reserved bytes"),
        (20, &[3], "count of sections"),
        (20, &[0xff; 4], "count of sections"),
        (56, &[0], "file's length"),
        (65, &[1], "in the clear has a seal"),
        (119, &[1], "in the clear has a seal"),
        (64, &[1, 0, 1], "reserved bytes of the seal"),
        (127, &[1], "reserved bytes of the contents"),
        (entry(0, 0), b"-", "not four letters"),
        (entry(1, 0), b"DATA", "twice in one half"),
        (entry(3, 0), b"PROP", "twice in one half"),
        (entry(3, 0), b"NONE", "no primary copy"),
        (entry(0, 4), &[1], "no primary copy"),
        (entry(2, 4), &[0], "twice in one half"),
        (entry(2, 5), &[7], "reserved bytes"),
        (entry(1, 8), &far, "does not begin where"),
        (entry(0, 16), &far, "too long"),
        (entry(2, 16), &[0, 0, 0, 4], "mirrored sections are too long"),
    ];
    for (at, value, expected) in cases {
        let end = start + 128 + 32 * 4 + 8;
        let mut table = file[usizes(start..end)].to_vec();
        table[at..at + value.len()].copy_from_slice(value);
        let checked_len = table.len() - 8;
        let check = Toc::check_of(&table[..checked_len], start).to_le_bytes();
        table[checked_len..].copy_from_slice(&check);
        let Err(Error::Malformed { what, .. }) = Toc::decode(&table, start) else {
            panic!("byte {at} = {value:?} should be refused: {expected}");
        };
        assert!(what.contains(expected), "byte {at} = {value:?}: {what}");
    }
}

#[test]
fn a_forged_header_is_refused_for_what_is_wrong_with_it() {
    let cases = [
        (HEADER, 48, 1, None),
        (HEADER, 49, 1, Some((48, "in the clear has a seal"))),
        (HEADER, 103, 1, Some((48, "in the clear has a seal"))),
        (HEADER, 104, 1, Some((104, "reserved bytes of the header"))),
        (HEADER, 119, 1, Some((104, "reserved bytes of the header"))),
        (SEALED_HEADER, 48, 0, Some((48, "in the clear has a seal"))),
        (SEALED_HEADER, 51, 1, Some((48, "reserved bytes of the seal"))),
        (SEALED_HEADER, 103, 1, None),
    ];
    for (header, at, value, expected) in cases {
        let mut bytes = header.encode();
        bytes[at] = value;
        let check = Toc::check_of(&bytes[..120], 0).to_le_bytes();
        bytes[120..].copy_from_slice(&check);
        match (ArchiveHeader::decode(&bytes), expected) {
            (Ok(header), None) => assert_eq!(header.encode(), bytes),
            (Err(Error::Malformed { offset, what }), Some((at, part))) => {
                assert_eq!(offset, at);
                assert!(what.contains(part), "{what}");
            }
            (other, _) => panic!("byte {at} = {value}: {other:?}"),
        }
    }
}

#[test]
fn newer_versions_are_refused_as_such_wherever_they_are_noticed() {
    let (file, toc) = file_of(HEADER, &[(DATA, b"x")], &[]);
    let newer = Error::UnsupportedVersion { version: 2, supported: 1 };
    let reseal = |bytes: &mut [u8], seed: u64| {
        let checked_len = bytes.len() - 8;
        let check = Toc::check_of(&bytes[..checked_len], seed);
        bytes[checked_len..].copy_from_slice(&check.to_le_bytes());
    };
    let mirror = usizes(toc.part_range(Part::Contents(Half::Mirror)));
    let (table, trailer) = (mirror.start..mirror.end - 32, mirror.end - 32..mirror.end);
    for (range, seed) in [(table, mirror.start as u64), (trailer, 0)] {
        let mut file = file.clone();
        file[range.start + 8] = 2;
        reseal(&mut file[range], seed);
        assert_eq!(open(&file), Err(newer.clone()));
    }
    let mut file = file[..ArchiveHeader::LEN].to_vec();
    file[8] = 2;
    reseal(&mut file, 0);
    file.resize(20_000, 0xaa);
    assert_eq!(open(&file), Err(newer));
}

#[test]
fn the_tail_that_was_read_holds_the_mirrored_half() {
    let properties = [(SectionTag(*b"PROP"), &b"items=1"[..])];
    let data = vec![7; 100_000];
    let (file, _) = file_of(HEADER, &[(DATA, &data), properties[0]], &properties);
    let opened =
        drive(Opener::new(file.len() as u64), |range| file[usizes(range)].to_vec()).unwrap();
    assert_eq!((opened.reads, opened.bytes_read), (1, 64 << 10));
    let (start, tail) = opened.opener.tail();
    assert_eq!(tail, &file[usize::try_from(start).unwrap()..]);
    let entry = opened.toc.get(properties[0].0, Half::Mirror).unwrap();
    entry.verify(&tail[usizes(entry.offset - start..entry.range().end - start)]).unwrap();
}

#[test]
fn unknown_critical_sections_refuse_the_file_and_others_do_not() {
    let (critical, skippable) = (SectionTag(*b"Newe"), SectionTag(*b"newe"));
    let (_, toc) = file_of(HEADER, &[(DATA, b""), (skippable, b""), (critical, b"")], &[]);
    assert_eq!(toc.require_known(&[DATA]), Err(Error::UnknownSection { tag: critical }));
    assert!(!toc.require_known(&[DATA]).unwrap_err().is_corruption());
    assert_eq!(toc.require_known(&[DATA, critical]), Ok(()));
}

/// The length of its bytes, unless they begin with a blank.
enum Counted {}

impl Section for Counted {
    const TAG: SectionTag = DATA;
    type View<'a> = (usize, &'a [u8]);
    type Error = Error;

    fn parse(bytes: &[u8]) -> Result<(usize, &[u8]), Error> {
        match bytes {
            [b' ', ..] => Err(Error::Malformed { offset: 0, what: "a blank" }),
            _ => Ok((bytes.len(), bytes)),
        }
    }
}

#[test]
fn a_section_is_read_as_its_own_sort_if_its_check_holds() {
    let other = SectionTag(*b"DATB");
    let (_, toc) = file_of(HEADER, &[(DATA, b"four"), (other, b"four")], &[(DATA, b" ")]);
    let entry = |tag, half| *toc.get(tag, half).unwrap();
    let primary = entry(DATA, Half::Primary);
    assert_eq!(primary.view::<Counted>(b"four"), Ok((4, &b"four"[..])));
    assert!(matches!(primary.view::<Counted>(b"five"), Err(Error::Checksum { .. })));
    assert!(matches!(primary.view::<Counted>(b"fou"), Err(Error::Truncated { .. })));
    let mirror = entry(DATA, Half::Mirror).view::<Counted>(b" ");
    assert_eq!(mirror, Err(Error::Malformed { offset: 0, what: "a blank" }));
    let foreign = entry(other, Half::Primary).view::<Counted>(b"four");
    assert_eq!(foreign, Err(Error::UnknownSection { tag: other }));
}

#[test]
fn the_most_sections_allowed_take_one_read_more() {
    let tags: Vec<_> = (0..SECTIONS_MAX)
        .map(|i| {
            let digit = |place: usize| b"0123456789abcdef"[i >> (4 * place) & 15];
            SectionTag([b's', digit(2), digit(1), digit(0)])
        })
        .collect();
    let sections: Vec<_> = tags.iter().map(|tag| (*tag, &b"tiny"[..])).collect();
    let (file, toc) = file_of(HEADER, &sections, &[]);
    let opened =
        drive(Opener::new(file.len() as u64), |range| file[usizes(range)].to_vec()).unwrap();
    assert_eq!(opened.toc, toc);
    assert_eq!(opened.reads, 2);

    let mut damaged = file;
    let len = damaged.len();
    damaged[len - 40] ^= 1;
    let found = open(&damaged).unwrap();
    assert!(toc.describes_same(&found));
    assert_eq!(found.served_by(), Half::Primary);
}

#[test]
fn fewer_bytes_than_asked_for_are_noticed_and_the_opener_begins_anew() {
    let (file, toc) = file_of(HEADER, &[(DATA, b"x")], &[]);
    let len = file.len() as u64;
    let mut opener = Opener::new(len);
    let whole = stratal_archive::Progress::Need(0..len);
    assert_eq!(opener.advance(b"ignored"), Ok(whole));
    let short = &file[..file.len() - 1];
    let error = Error::Truncated { expected: len, actual: len - 1 };
    assert_eq!(opener.advance(short), Err(error));
    let found = drive(opener, |range| file[usizes(range)].to_vec()).unwrap().toc;
    assert_eq!(found, toc);
}

/// A file that reads as `bytes_at` says, without being held.
fn virtual_file(
    file_len: u64,
    bytes_at: impl Fn(Range<u64>) -> Vec<u8>,
) -> Result<common::Opened, Error> {
    drive(Opener::new(file_len), |range| {
        assert!(range.end <= file_len);
        bytes_at(range)
    })
}

/// Trailers stand one behind another in the whole file, each as `trailer_at` says for its offset.
fn trailers(range: Range<u64>, trailer_at: impl Fn(u64) -> Trailer) -> Vec<u8> {
    let first = range.start / 32 * 32;
    let bytes: Vec<u8> =
        (first..range.end).step_by(32).flat_map(|at| trailer_at(at).encode()).collect();
    bytes[usizes(range.start - first..range.end - first)].to_vec()
}

#[test]
fn a_file_full_of_trailers_is_given_up_after_bounded_reading() {
    let file_len = 100 << 30;
    let leading_to = |toc_len: u32| {
        virtual_file(file_len, |range| {
            trailers(range, |at| Trailer { toc_offset: at.saturating_sub(toc_len.into()), toc_len })
        })
    };
    let shortest = leading_to(136).unwrap_err();
    assert!(matches!(shortest, Error::Checksum { .. }), "{shortest}");
    let longest = leading_to(136 + 32 * 4096).unwrap_err();
    assert!(matches!(longest, Error::Checksum { .. }), "{longest}");
    let impossible = leading_to(137).unwrap_err();
    assert!(matches!(impossible, Error::NotAnArchive { .. }), "{impossible}");
    let misplaced = virtual_file(file_len, |range| {
        trailers(range, |at| Trailer { toc_offset: at, toc_len: 136 })
    });
    assert!(matches!(misplaced, Err(Error::NotAnArchive { .. })), "{misplaced:?}");
}
