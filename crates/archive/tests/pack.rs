//! The example `pack`, run as it is: what went in comes out, and damage costs no more than it hits.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/pack/pack.rs"]
mod pack;

use std::{collections::BTreeMap, io::Write, path::Path};

use stratal_archive::{ArchiveHeader, ArchiveWriter, Section, SectionTag};
use stratal_fs::{Access, Fs, MemFs, read_to_vec};
use stratal_testkit::Rng;

/// Runs the tool; gives what it prints, and what it says if it fails.
fn run(fs: &MemFs, line: &str) -> (String, Option<String>) {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let mut out = Vec::new();
    let error = pack::run(fs, &words, &mut out).err().map(|error| error.to_string());
    (String::from_utf8(out).unwrap(), error)
}

fn put(fs: &MemFs, path: &str, bytes: &[u8]) {
    fs.create_dir(Path::new(path).parent().unwrap()).unwrap();
    fs.create(Path::new(path)).unwrap().write_all_at(bytes, 0).unwrap();
}

fn get(fs: &MemFs, path: &str) -> Option<Vec<u8>> {
    let file = fs.open(Path::new(path), Access::Read).ok()?;
    Some(read_to_vec(file.as_ref(), 1 << 20).unwrap())
}

/// A directory of files by name.
fn notes() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("notes/empty", vec![]),
        ("notes/long", Rng::new(3).bytes(150_000)),
        ("notes/sub/deep/ünï", b"text".to_vec()),
        ("notes/sub/short", b"x".to_vec()),
    ])
}

fn packed(notes: &BTreeMap<&str, Vec<u8>>) -> (MemFs, Vec<u8>) {
    let fs = MemFs::new();
    for (name, bytes) in notes {
        put(&fs, &format!("/{name}"), bytes);
    }
    put(&fs, "/other", b"a file alone");
    let (said, error) = run(&fs, "create /a.pack /notes /other");
    assert_eq!(error, None);
    assert!(said.starts_with(&format!("{} files, ", notes.len() + 1)), "{said}");
    let bytes = get(&fs, "/a.pack").unwrap();
    assert_eq!(get(&fs, "/a.pack.unfinished"), None);
    (fs, bytes)
}

#[test]
fn what_was_packed_is_listed_verified_and_extracted() {
    let notes = notes();
    let (fs, _) = packed(&notes);
    let lines: String =
        notes.iter().map(|(name, bytes)| format!("{:>12}  {name}\n", bytes.len())).collect();
    assert_eq!(run(&fs, "list /a.pack"), (format!("{lines}          12  other\n"), None));
    assert_eq!(run(&fs, "verify /a.pack"), ("/a.pack: everything is whole\n".into(), None));
    let (said, error) = run(&fs, "extract /a.pack /out");
    assert_eq!((said.lines().count(), error), (5, None));
    for (name, bytes) in notes.iter().chain([(&"other", &b"a file alone".to_vec())]) {
        assert_eq!(get(&fs, &format!("/out/{name}")).as_ref(), Some(bytes), "{name}");
    }
    // Nothing is written over.
    assert!(run(&fs, "extract /a.pack /out").1.is_some());
}

/// Whichever byte is damaged: the tool says so, and extracts every other file as it was.
#[test]
fn damage_is_named_and_costs_only_the_file_that_it_hits() {
    let mut notes = notes();
    notes.insert("notes/long", b"not so long".to_vec());
    let (fs, whole) = packed(&notes);
    let (mut nothing_lost, mut one_lost) = (0, 0);
    // All of header, sections, and contents, and some of the gap.
    let places = (0..whole.len()).filter(|at| whole[*at] != 0 || at % 16 == 0);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let fs_2 = MemFs::new();
        put(&fs_2, "/a.pack", &bytes);
        let (said, error) = run(&fs_2, "verify /a.pack");
        assert!(error.is_some_and(|error| error.contains("1 parts are damaged")), "{at}: {said}");
        let (said, error) = run(&fs_2, "extract /a.pack /out");
        let lost: Vec<_> = notes
            .iter()
            .filter(|(name, bytes)| match get(&fs_2, &format!("/out/{name}")) {
                Some(found) => {
                    assert_eq!(found, **bytes, "{at}: {name}");
                    false
                }
                None => true,
            })
            .collect();
        match (lost.len() + usize::from(get(&fs_2, "/out/other").is_none()), error) {
            (0, None) => nothing_lost += 1,
            (1, Some(error)) => {
                assert!(error.contains("1 files are damaged") && said.contains("left out"));
                one_lost += 1;
            }
            (lost, error) => panic!("{at}: {lost} files lost, {error:?}"),
        }
    }
    println!("{nothing_lost} damaged bytes cost nothing, {one_lost} one file each");
    let sections = notes.values().map(Vec::len).sum::<usize>() + 12;
    assert_eq!(one_lost, sections);
    assert!(nothing_lost > 0);
    drop(fs);
}

/// A pack that somebody made by hand.
fn forged(list: &[u8], sections: &[(SectionTag, &[u8])], file_type: [u8; 4]) -> Vec<u8> {
    let header = ArchiveHeader { file_type, ..ArchiveHeader::default() };
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    for (tag, bytes) in sections {
        writer.section(*tag).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.section(pack::List::TAG).unwrap();
    writer.write_all(list).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn foreign_and_hostile_packs_are_refused() {
    let first = SectionTag(*b"F000");
    let named = |name: &str| {
        let mut list = u16::try_from(name.len()).unwrap().to_le_bytes().to_vec();
        list.extend(name.as_bytes());
        list
    };
    let one = |name: &str| forged(&named(name), &[(first, b"evil")], pack::FILE_TYPE);
    let cases = [
        (one("../evil"), "no name for a file"),
        (one("/etc/evil"), "no name for a file"),
        (one("a/./b"), "no name for a file"),
        (one("a\\b"), "no name for a file"),
        (one(""), "no name for a file"),
        (forged(&[9, 0, b'a'], &[(first, b"")], pack::FILE_TYPE), "ends within a name"),
        (forged(&[9], &[], pack::FILE_TYPE), "ends within a length"),
        (forged(&named("a"), &[], pack::FILE_TYPE), "not there"),
        (
            forged(&named("a"), &[(first, b""), (SectionTag(*b"Newe"), b"")], pack::FILE_TYPE),
            "critical section Newe is unknown",
        ),
        (forged(&[], &[], *b"ELSE"), "an archive of type ELSE, no pack"),
        (b"PK\x03\x04 not this kind".to_vec(), "not an archive"),
    ];
    for (bytes, expected) in cases {
        let fs = MemFs::new();
        put(&fs, "/a.pack", &bytes);
        for verb in ["list /a.pack", "verify /a.pack", "extract /a.pack /out"] {
            let (said, error) = run(&fs, verb);
            assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{error:?}");
            assert_eq!(said, "", "{expected}");
        }
        assert!(fs.list(Path::new("/out")).is_err(), "{expected}: something was extracted");
    }
    // What a reader may skip does not hinder it.
    let fs = MemFs::new();
    let sections = [(first, &b"good"[..]), (SectionTag(*b"newe"), b"?")];
    put(&fs, "/a.pack", &forged(&named("a"), &sections, pack::FILE_TYPE));
    assert_eq!(run(&fs, "extract /a.pack /out"), ("a\n".into(), None));
}

#[test]
fn mistakes_are_explained() {
    let fs = MemFs::new();
    put(&fs, "/a/x", b"1");
    put(&fs, "/b/a/x", b"2");
    for line in ["", "create /p", "lost /p", "list", "extract /p"] {
        assert!(run(&fs, line).1.is_some_and(|error| error.starts_with("usage")), "{line}");
    }
    let (_, error) = run(&fs, "create /p /a /b/a");
    assert_eq!(error.as_deref(), Some("two files would have the same name"));
    assert!(run(&fs, "create /p /nowhere").1.is_some());
    assert!(run(&fs, "list /p").1.is_some());
    assert_eq!(fs.list(Path::new("/")).unwrap().len(), 2, "nothing was begun");
}
