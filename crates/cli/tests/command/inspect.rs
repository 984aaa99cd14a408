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
