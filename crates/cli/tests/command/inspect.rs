use stratal_types::dump::bytes_of;

use crate::support::Desk;

fn desk() -> Desk {
    let desk = Desk::new();
    let lines: String = (0..500).map(|i| format!("key{i:05}\tvalue number {i}\n")).collect();
    desk.run_with(&["table", "write", "t.sst", "-"], lines.as_bytes()).exits(0);
    desk
}

#[test]
fn a_table_is_explained() {
    let desk = desk();
    let text = desk.run("inspect t.sst").exits(0).text();
    for word in
        ["sorted table", "500 entries", "key00000", "key00499", "section DATA", "lz4", "index"]
    {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    let json = desk.run("inspect t.sst --json").exits(0).json();
    assert_eq!((&json["type"], &json["properties"]["entries"]), (&"table".into(), &500.into()));
}

/// The parts that are listed are the file, without gap or overlap.
#[test]
fn the_layout_covers_every_byte() {
    let desk = desk();
    let json = desk.run("inspect t.sst --json").exits(0).json();
    let mut end = 0;
    for part in json["layout"].as_array().unwrap() {
        assert_eq!(part["offset"].as_u64(), Some(end), "{part}");
        end += part["bytes"].as_u64().unwrap();
    }
    assert_eq!(end, desk.read("t.sst").len() as u64);
}

#[test]
fn every_block_is_dumped_whole() {
    let desk = desk();
    let file = desk.read("t.sst");
    let mut blocks = 0;
    loop {
        let ran = desk.run(&format!("inspect t.sst --json --block {blocks}"));
        if ran.code() == 1 {
            break;
        }
        let json = ran.json();
        let from = usize::try_from(json["offset"].as_u64().unwrap()).unwrap();
        let len = usize::try_from(json["bytes"].as_u64().unwrap()).unwrap();
        let dump = json["dump"].as_str().unwrap();
        let stored = dump.split("# the payload").next().unwrap();
        assert_eq!(bytes_of(stored).as_deref(), Some(&file[from..from + len]), "{dump}");
        assert!(!dump.contains("not described"), "{dump}");
        blocks += 1;
    }
    assert!(blocks > 5, "{blocks}");
    let text = desk.run("inspect t.sst --block 0").exits(0).text();
    assert!(text.contains("row 0: suffix of \"key00000\""), "{text}");
}

/// A database with a table, a manifest, and a put that is in the log alone.
fn database() -> Desk {
    let desk = Desk::new();
    desk.run_with(&["load", "db", "-"], b"a\t1\nb\t2\n").exits(0);
    desk.run("flush db").exits(0);
    desk.run("put db c three").exits(0);
    desk
}

/// The paths of a database's files whose names begin so, ascending.
fn files(desk: &Desk, start: &str) -> Vec<String> {
    let (dir, start) = start.rsplit_once('/').unwrap();
    let entries = std::fs::read_dir(desk.path().join(dir)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut paths: Vec<_> =
        names.filter(|name| name.starts_with(start)).map(|name| format!("{dir}/{name}")).collect();
    paths.sort();
    paths
}

#[test]
fn every_file_of_a_database_is_recognised() {
    let desk = database();
    let kinds = [
        ("db/IDENTITY", "identity", "the identity"),
        ("db/LOCK", "lock", "the lock file"),
        ("db/MANIFEST.", "marker", "marker"),
        ("db/manifest-", "manifest", "a manifest"),
        ("db/wal-", "wal", "a log segment"),
        ("db/tables/", "table", "a sorted table"),
    ];
    let db_id = desk.run("inspect db/IDENTITY --json").json()["db_id"].clone();
    for (start, kind, words) in kinds {
        let found = files(&desk, start);
        assert!(!found.is_empty(), "{start}");
        for file in found {
            let json = desk.run(&format!("inspect {file} --json")).exits(0).json();
            assert_eq!((&json["type"], &json["file"]), (&kind.into(), &file.as_str().into()));
            assert_eq!(json["bytes"], desk.read(&file).len());
            if !matches!(kind, "lock" | "marker") {
                assert_eq!(json["db_id"], db_id, "{json}");
            }
            let text = desk.run(&format!("inspect {file}")).exits(0).text();
            assert!(text.contains(words), "{text}");
            // Its name does not matter, but where there is nothing else.
            if !matches!(kind, "lock" | "marker") {
                desk.file("copy", desk.read(&file));
                assert_eq!(desk.run("inspect copy --json").exits(0).json()["type"], kind);
            }
        }
    }
}

#[test]
fn a_log_segment_says_what_was_logged() {
    let desk = database();
    let file = files(&desk, "db/wal-").pop().unwrap();
    let json = desk.run(&format!("inspect {file} --json")).exits(0).json();
    for (name, value) in [("groups", 1), ("batches", 1), ("operations", 1), ("records", 3)] {
        assert_eq!(json[name], value, "{json}");
    }
    assert_eq!((&json["clean_end"], &json["damage"]), (&true.into(), &serde_json::Value::Null));
    let dump = desk.run(&format!("inspect {file} --block 1")).exits(0).text();
    assert!(dump.contains("put, tree 1, \"c\" \"three\""), "{dump}");
    desk.run(&format!("inspect {file} --block 4")).exits(1).says(&["no block 4, only 4"]);
}

#[test]
fn a_manifest_says_what_the_database_consists_of() {
    let desk = database();
    let file = files(&desk, "db/manifest-").pop().unwrap();
    let json = desk.run(&format!("inspect {file} --json")).exits(0).json();
    assert_eq!((&json["tables"], &json["clean_end"]), (&1.into(), &true.into()), "{json}");
    let tree = &json["trees"][0];
    assert_eq!((&tree["name"], &tree["entries"]), (&"default".into(), &2.into()), "{json}");
    let dump = desk.run(&format!("inspect {file} --block 1")).exits(0).text();
    assert!(dump.contains("# snapshot") && dump.contains("create_tree"), "{dump}");
}

/// The blocks of a file, one behind the other, are its bytes.
#[test]
fn blocks_of_other_files_are_dumped_whole() {
    let desk = database();
    for start in ["db/IDENTITY", "db/manifest-", "db/wal-"] {
        for file in files(&desk, start) {
            let bytes = desk.read(&file);
            let blocks = desk.run(&format!("inspect {file} --json")).json()["blocks"].clone();
            let mut read = Vec::new();
            for number in 0..blocks.as_u64().unwrap() {
                let json = desk.run(&format!("inspect {file} --block {number} --json")).json();
                assert_eq!(json["offset"], read.len(), "{json}");
                let stored = json["dump"].as_str().unwrap().split("# the payload").next().unwrap();
                assert!(!stored.contains("not described"), "{stored}");
                read.extend(bytes_of(stored).unwrap());
            }
            assert!(bytes.starts_with(&read), "{file}");
            assert!(bytes[read.len()..].iter().all(|&byte| byte == 0), "{file}");
        }
    }
}

/// Whichever bit is wrong, it is found where it is or where what it belongs to begins.
#[test]
fn damage_of_other_files_is_explained_and_located() {
    let desk = database();
    for start in ["db/IDENTITY", "db/manifest-", "db/wal-"] {
        let file = files(&desk, start).pop().unwrap();
        let whole = desk.read(&file);
        let name = file.strip_prefix("db/").unwrap();
        let used = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        let blocks = desk.run(&format!("inspect {file} --json")).json()["blocks"].clone();
        let mut found = 0;
        for at in (0..used.min(1200)).step_by(used.min(1200) / 20) {
            let mut bytes = whole.clone();
            // The second of two end records is 512 bytes, most of them zeros.
            bytes.truncate(used + 512);
            bytes[at] ^= 0x10;
            desk.file(name, &bytes);
            let ran = desk.run(&format!("inspect {name} --json"));
            let json = ran.json();
            if ran.code() == 4 {
                let offset = json["damage"]["offset"].as_u64().unwrap();
                assert!(usize::try_from(offset).unwrap() <= at, "{at}: {json}");
                ran.says(&[name, &format!("offset {offset}")]);
                found += 1;
            } else {
                // Zeros between the copies of a header are under no check, and an end stands twice.
                assert!(start != "db/IDENTITY" && ran.code() == 0, "{at}: {json}");
            }
            desk.run(&format!("inspect {name}"));
        }
        println!("{name}: {found} of 20 flips found, {blocks} blocks");
        assert!(found > 3, "{name}: {found}");
        for len in [5, used / 2] {
            desk.file(name, &whole[..len]);
            let ran = desk.run(&format!("inspect {name}"));
            // What stands twice at the end may be lost without a loss.
            let may_be_torn = start != "db/IDENTITY" && len == used / 2;
            assert!(ran.code() == 4 || may_be_torn && ran.code() == 0, "{len}: {}", ran.text());
        }
        desk.file(name, "PK and more, long enough to be something".repeat(60));
        desk.run(&format!("inspect {name}")).exits(3).says(&["begins with"]);
        desk.file(name, "").run(&format!("inspect {name}")).exits(4).says(&["empty"]);
        desk.file(name, "junk").run(&format!("inspect {name}")).exits(3).says(&["begins with"]);
    }
    desk.run("inspect db").exits(2);
    desk.run("inspect nothing").exits(1);
}

/// What a process that was killed leaves unsynced is no damage, only the end of what is known.
#[test]
fn a_torn_tail_is_told_from_damage() {
    let desk = database();
    let file = files(&desk, "db/wal-").pop().unwrap();
    let whole = desk.read(&file);
    // Within the first record, and nothing behind it.
    desk.file("wal", &whole[..1024 + 20]);
    let json = desk.run("inspect wal --json").exits(0).json();
    assert_eq!((&json["torn_at"], &json["clean_end"]), (&1024.into(), &false.into()), "{json}");
    // Within the first record, and the end says that it was synced.
    let mut bytes = whole;
    bytes[1024 + 20] ^= 1;
    desk.file("wal", bytes);
    let ran = desk.run("inspect wal --json").exits(4).says(&["offset 1024", "synced up to"]);
    assert_eq!(ran.json()["torn_at"], 1024);
}
