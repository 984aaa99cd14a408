//! `inspect --block N`: any part of any file, whole or damaged.

use std::io::Write;

use serde_json::Value;
use stratal_archive::{ArchiveHeader, ArchiveWriter, Half, Part, SectionTag, Toc, sfa};
use stratal_types::{DbId, FileUid, dump::bytes_of};

use crate::support::Desk;

const DATA: SectionTag = SectionTag(*b"DATA");
const NOTES: SectionTag = SectionTag(*b"note");

/// An archive that is no table.
fn archive() -> (Vec<u8>, Toc) {
    let (db_id, uid) = (DbId([1; 16]), FileUid([2; 16]));
    let header = ArchiveHeader { file_type: *b"ELSE", db_id, uid, seal: None };
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    for (tag, bytes) in [(DATA, &b"some data"[..]), (NOTES, b""), (SectionTag(*b"more"), b"more")] {
        writer.section(tag).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.mirror(NOTES, b"twice".to_vec()).unwrap();
    writer.finish().unwrap()
}

fn plain_archive() -> Vec<u8> {
    let mut writer = sfa::Writer::new(Vec::new());
    for (name, bytes) in [("data", &b"some data"[..]), ("meta", b"items=1")] {
        writer.section(name).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().0
}

/// One file of each kind: tables with and without compression, those of a database, other archives.
fn desk() -> (Desk, Vec<String>) {
    let desk = Desk::new();
    let lines: String =
        (0..500).map(|i| format!("key{i:05}\tvalue number {i} of the table\n")).collect();
    for codec in ["none", "lz4", "zstd"] {
        let words = ["table", "write", codec, "-", "--compression", codec, "--block-size", "2KiB"];
        desk.run_with(&words, lines.as_bytes()).exits(0);
    }
    desk.run_with(&["load", "db", "-"], b"a\t1\nb\t2\n").exits(0);
    desk.run("flush db").exits(0);
    desk.run("put db c three").exits(0);
    let mut files =
        vec!["none".into(), "lz4".into(), "zstd".into(), "archive".into(), "sfa".into()];
    let names = std::fs::read_dir(desk.path().join("db")).unwrap();
    for name in names.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        if ["IDENTITY", "manifest-", "wal-"].iter().any(|start| name.starts_with(start)) {
            desk.file(&name, desk.read(&format!("db/{name}")));
            files.push(name);
        }
    }
    desk.file("archive", archive().0).file("sfa", plain_archive());
    (desk, files)
}

/// What `--block N --json` says of every block, and how it exits.
fn blocks(desk: &Desk, file: &str) -> Vec<(Value, i32)> {
    let mut blocks = Vec::new();
    loop {
        let ran = desk.run(&format!("inspect {file} --json --block {}", blocks.len()));
        if ran.code() == 1 {
            let count = blocks.len();
            ran.says(&[&format!("there is no block {count}, only {count}")]).prints("");
            return blocks;
        }
        let code = ran.code();
        blocks.push((ran.json(), code));
    }
}

/// Where a block stands.
fn place(block: &Value) -> std::ops::Range<usize> {
    let number = |name: &str| usize::try_from(block[name].as_u64().unwrap()).unwrap();
    number("offset")..number("offset") + number("bytes")
}

/// The bytes that the dump is about, without what they decode to.
fn dumped(block: &Value) -> Vec<u8> {
    let dump = block["dump"].as_str().unwrap();
    assert!(!dump.contains("not described"), "{dump}");
    bytes_of(dump.split("# the payload").next().unwrap()).unwrap()
}

#[test]
fn every_block_of_every_kind_of_file_is_dumped_with_its_fields() {
    let (desk, files) = desk();
    let mut counts = Vec::new();
    for file in &files {
        let (bytes, found) = (desk.read(file), blocks(&desk, file));
        assert!(!found.is_empty(), "{file}");
        for (number, (block, code)) in found.iter().enumerate() {
            assert_eq!(*code, 0, "{file}: {block}");
            assert_eq!((&block["block"], &block["damage"]), (&number.into(), &Value::Null));
            assert_eq!(dumped(block), bytes[place(block)], "{file}: {block}");
            let fields = block["fields"].as_array().unwrap();
            let hex: String = fields.iter().map(|field| field["hex"].as_str().unwrap()).collect();
            let dump = bytes_of(block["dump"].as_str().unwrap()).unwrap();
            assert_eq!(hex, stratal_types::dump::hex(&dump), "{file}: {block}");
            let text = desk.run(&format!("inspect {file} --block {number}")).exits(0).text();
            assert!(text.ends_with(block["dump"].as_str().unwrap()), "{text}");
        }
        let said = desk.run(&format!("inspect {file} --json")).exits(0).json();
        assert_eq!(said["blocks"], found.len(), "{said}");
        counts.push(format!("{file} {}", found.len()));
    }
    println!("blocks: {}", counts.join(", "));
    desk.file("foreign", "PK\x03\x04 something else entirely\n".repeat(60));
    desk.run("inspect foreign --block 0").exits(3).prints("").says(&["not an archive"]);
    desk.run("inspect db/LOCK --block 0").exits(1).says(&["there is no block 0, only 0"]);
    desk.run("inspect nothing --block 0").exits(1);
    desk.run("inspect none --block x").exits(2);
}

/// Whatever is wrong with a block of a table, it is dumped whole, named, and no other block suffers.
#[test]
fn a_damaged_block_of_a_table_is_dumped_and_named() {
    let (desk, _) = desk();
    let (mut dumps, mut undone) = (0, 0);
    for file in ["none", "lz4"] {
        let (whole, before) = (desk.read(file), blocks(&desk, file));
        for (number, (block, _)) in before.iter().enumerate() {
            // In the frame's magic, its length, its payload, and its check.
            for at in [0, 8, 30, place(block).len() - 1] {
                let mut bytes = whole.clone();
                bytes[place(block).start + at] ^= 0x40;
                desk.file("damaged", &bytes);
                let ran = desk.run(&format!("inspect damaged --json --block {number}")).exits(4);
                let (offset, json) = (place(block).start, ran.json());
                assert_eq!((place(&json), &json["kind"]), (place(block), &block["kind"]));
                assert_eq!(dumped(&json), bytes[place(block)], "{json}");
                assert_eq!(json["damage"]["offset"], offset, "{json}");
                ran.says(&["damaged", &format!("damaged at offset {offset}")]);
                dumps += 1;
                undone += usize::from(json["dump"].as_str().unwrap().contains("not understood"));
            }
            let other = (number + 1) % before.len();
            let json = desk.run(&format!("inspect damaged --json --block {other}")).exits(0).json();
            assert_eq!(json["dump"], before[other].0["dump"]);
        }
    }
    println!("{dumps} damaged blocks dumped, {undone} of them without understanding the payload");
    assert!(undone < dumps / 2, "{undone} of {dumps}");
}

/// Without an index, or without properties, blocks are found by their frames and numbered the same.
#[test]
fn a_table_that_does_not_open_still_shows_its_blocks() {
    let (desk, _) = desk();
    for file in ["none", "lz4", "zstd"] {
        let before = blocks(&desk, file);
        for kind in ["index", "properties"] {
            let mut bytes = desk.read(file);
            let hit = before.iter().filter(|(block, _)| block["kind"] == kind);
            let hit: Vec<usize> = hit.map(|(block, _)| place(block).start).collect();
            assert_eq!(hit.len(), 2, "{file}: {kind} stands twice");
            for start in &hit {
                bytes[start + 25] ^= 1;
            }
            desk.file("damaged", bytes);
            let json = desk.run("inspect damaged --json").exits(4).json();
            assert_eq!(json["readable_blocks"], before.len() - 2, "{json}");
            assert_eq!(json["damage"]["offset"], hit[0], "{json}");
            let now = blocks(&desk, "damaged");
            assert_eq!(now.len(), before.len());
            for ((now, code), (block, _)) in now.iter().zip(&before) {
                assert_eq!(place(now), place(block));
                if block["kind"] == kind {
                    assert_eq!(*code, 4, "{now}");
                } else {
                    assert_eq!((&now["dump"], code), (&block["dump"], &0), "{file}");
                }
            }
        }
        // The length of the first data frame: what stands behind it cannot be told from it.
        let mut bytes = desk.read(file);
        let index = before.iter().filter(|(block, _)| block["kind"] == "index");
        for (block, _) in index {
            bytes[place(block).start + 25] ^= 1;
        }
        bytes[place(&before[0].0).start + 11] ^= 0x40;
        desk.file("damaged", bytes);
        let now = blocks(&desk, "damaged");
        assert_eq!(now[0].1, 4);
        assert!(now.len() < before.len() && now.len() >= 6, "{}", now.len());
    }
}

#[test]
fn a_table_without_contents_is_its_header() {
    let (desk, _) = desk();
    let mut bytes = desk.read("none");
    let text = desk.run("inspect none --json").json();
    for part in text["layout"].as_array().unwrap() {
        if part["what"].as_str().unwrap().starts_with("table of contents") {
            bytes[place(part)].fill(0);
        }
    }
    desk.file("damaged", bytes);
    desk.run("inspect damaged").exits(4).says(&["no table of contents"]);
    let now = blocks(&desk, "damaged");
    assert_eq!((now.len(), &now[0].0["kind"]), (1, &"header".into()));
}

/// Records are dumped though they are damaged, with the fields that their place says they are.
#[test]
fn a_damaged_record_is_dumped_and_named() {
    let (desk, files) = desk();
    for start in ["wal-", "manifest-"] {
        let file = files.iter().rev().find(|file| file.starts_with(start)).unwrap();
        let (whole, before) = (desk.read(file), blocks(&desk, file));
        let (last, _) = before.last().unwrap();
        let (mut damaged, mut behind) = (0, 0);
        for (number, (block, _)) in before.iter().enumerate().skip(1) {
            let range = place(block);
            let mut bytes = whole.clone();
            // Another field than the length, so that the record ends where it did.
            bytes[range.start + 13] ^= 1;
            desk.file("damaged", &bytes);
            let ran = desk.run(&format!("inspect damaged --json --block {number}"));
            let (code, json) = (ran.code(), ran.json());
            assert_eq!((place(&json), dumped(&json)), (range.clone(), bytes[range].to_vec()));
            assert_eq!(json["kind"], "no whole record");
            let dump = json["dump"].as_str().unwrap();
            assert!(dump.contains("payload_len") && dump.contains("not verified"), "{dump}");
            // The end that a crash may have left is no damage.
            assert_eq!(code == 4, !json["damage"].is_null(), "{json}");
            assert!(code == 4 || code == 0 && place(block).end + 512 >= place(last).end, "{json}");
            damaged += usize::from(code == 4);
            // What stands before and behind is whole, and numbered as it was.
            for (other, (block, _)) in before.iter().enumerate().filter(|it| it.0 != number) {
                let json = desk.run(&format!("inspect damaged --json --block {other}")).exits(0);
                let json = json.json();
                assert_eq!((&json["kind"], place(&json)), (&block["kind"], place(block)));
                assert_eq!(dumped(&json), whole[place(block)], "{json}");
                behind += usize::from(json["title"].as_str().unwrap().contains("behind"));
            }
        }
        let records = before.len() - 1;
        assert!(damaged > 0 && behind == records * (records - 1) / 2, "{file}: {damaged} {behind}");
    }
    let mut bytes = desk.read("IDENTITY");
    bytes[20] ^= 1;
    desk.file("damaged", &bytes);
    let ran = desk.run("inspect damaged --json --block 0").exits(4).says(&["offset 0"]);
    assert_eq!(dumped(&ran.json()), bytes);
}

#[test]
fn a_damaged_part_of_another_archive_is_dumped_and_named() {
    let (desk, _) = desk();
    let ((whole, toc), before) = (archive(), blocks(&desk, "archive"));
    let kinds: Vec<_> = before.iter().map(|(block, _)| block["title"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "header",
            "section DATA, primary copy",
            "section note, primary copy",
            "section more, primary copy",
            "contents primary copy",
            "gap",
            "section note, mirror copy",
            "contents mirror copy",
        ]
    );
    for (number, (block, _)) in before.iter().enumerate() {
        let range = place(block);
        if range.is_empty() {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[range.start + range.len() / 2] ^= 1;
        desk.file("damaged", &bytes);
        let ran = desk.run(&format!("inspect damaged --json --block {number}")).exits(4);
        assert_eq!(
            (place(&ran.json()), dumped(&ran.json())),
            (range.clone(), bytes[range].to_vec())
        );
        desk.run("inspect damaged").exits(4);
        for other in (0..before.len()).filter(|other| *other != number) {
            desk.run(&format!("inspect damaged --block {other}")).exits(0);
        }
    }
    // Cut within the gap: what is left is told, and what is missing.
    let gap = toc.part_range(Part::Gap);
    desk.file("damaged", &whole[..usize::try_from(gap.start).unwrap() + 10]);
    desk.run("inspect damaged").exits(4);
    desk.run("inspect damaged --block 1").exits(0);
    desk.run("inspect damaged --block 5").exits(4).says(&["ends too early"]);
    let contents = toc.part_range(Part::Contents(Half::Primary));
    desk.file("damaged", &whole[..usize::try_from(contents.start).unwrap()]);
    desk.run("inspect damaged --block 0").exits(4);
    desk.run("inspect damaged --block 1").exits(1);
}

#[test]
fn a_plain_archive_is_recognised_by_its_end() {
    let (desk, _) = desk();
    let json = desk.run("inspect sfa --json").exits(0).json();
    assert_eq!((&json["type"], &json["sections"][1]["name"]), (&"sfa".into(), &"meta".into()));
    let mut bytes = plain_archive();
    let len = bytes.len();
    bytes[len - sfa::Trailer::LEN - 1] ^= 1;
    desk.file("damaged", &bytes);
    let json = desk.run("inspect damaged --json").exits(4).json();
    assert_eq!((&json["type"], &json["damage"]["offset"]), (&"sfa".into(), &16.into()), "{json}");
    let dump = desk.run("inspect damaged --json --block 0").exits(4).json();
    assert_eq!(dumped(&dump), bytes[..len - sfa::Trailer::LEN]);
    desk.run("inspect damaged --block 1").exits(0);
    bytes[len - 34] = 7;
    desk.file("damaged", &bytes);
    desk.run("inspect damaged").exits(5).says(&["version 7"]);
}
