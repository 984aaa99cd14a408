use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use stratal_testkit::Rng;
use stratal_types::dump::hex;

use crate::support::Desk;

const CITIES: &str = "b\tBern\na\tAarau\nd\tDavos\nc\tChur\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("in.tsv", CITIES);
    desk.run("table write t.sst in.tsv").exits(0);
    desk
}

#[test]
fn scan_prints_the_sorted_input() {
    let desk = desk();
    desk.run("table scan t.sst").exits(0).prints("a\tAarau\nb\tBern\nc\tChur\nd\tDavos\n");
    desk.run("table scan t.sst --reverse --limit 2").exits(0).prints("d\tDavos\nc\tChur\n");
    desk.run("table scan t.sst --from b --to d").exits(0).prints("b\tBern\nc\tChur\n");
    desk.run("table scan t.sst --from b --to d --reverse").exits(0).prints("c\tChur\nb\tBern\n");
    desk.run("table scan t.sst --from d --to b").exits(0).prints("");
    desk.run("table scan t.sst --keys-only --prefix c").exits(0).prints("c\n");
    desk.run("table scan t.sst --prefix c --from d").exits(0).prints("");
    desk.run("table scan t.sst --limit 0").exits(0).prints("");
    desk.run("table scan t.sst --limit 1 --format ndjson")
        .exits(0)
        .prints("{\"key\":\"a\",\"value\":\"Aarau\"}\n");
    desk.run("table scan t.sst --keys-only --limit 1 --json").exits(0).prints("{\"key\":\"a\"}\n");
    desk.run("table scan t.sst --hex --limit 1").exits(0).prints("61\t4161726175\n");
    desk.run("table scan t.sst --hex --prefix 62").exits(0).prints("62\t4265726e\n");
}

#[test]
fn get_prints_values_and_names_what_is_missing() {
    let desk = desk();
    desk.run("table get t.sst a d").exits(0).prints("Aarau\nDavos\n");
    desk.run("table get t.sst a x").exits(1).prints("Aarau\n").says(&["not found: x\n"]);
    desk.run("table get t.sst a --raw").exits(0).prints("Aarau");
    desk.run("table get t.sst a --json")
        .exits(0)
        .prints("{\"found\":true,\"key\":\"a\",\"value\":\"Aarau\"}\n");
    let missing = desk.run("table get t.sst x --json").exits(1).json();
    assert_eq!(missing["found"], false);
    desk.run("table get t.sst 61 --hex").exits(0).prints("4161726175\n");
    desk.run("table get t.sst zz --hex").exits(2);
    desk.run_with(&["table", "get", "t.sst", ""], b"").exits(2);
    desk.run("table get t.sst \\q").exits(2).says(&["unknown escape"]);
}

#[test]
fn any_bytes_go_in_and_come_out() {
    let desk = Desk::new();
    let mut rng = Rng::new(11);
    let records: Vec<(Vec<u8>, Vec<u8>)> = (0..300)
        .map(|_| {
            let (key_len, value_len) = (1 + rng.index(2), rng.index(30));
            (rng.bytes(key_len), rng.bytes(value_len))
        })
        .collect();
    let line = |(key, value): (&Vec<u8>, &Vec<u8>)| format!("{}\t{}\n", hex(key), hex(value));
    let input: String = records.iter().map(|(key, value)| line((key, value))).collect();
    desk.run_with(&["table", "write", "t.sst", "-", "--hex"], input.as_bytes()).exits(0);
    let distinct: BTreeMap<_, _> = records.into_iter().collect();
    let sorted: String = distinct.iter().map(line).collect();
    assert!(distinct.len() < 300, "some keys come more than once");
    desk.run("table scan t.sst --hex").exits(0).prints(sorted);

    // What scan prints as text is taken back unchanged.
    let text = desk.run("table scan t.sst").exits(0);
    desk.run_with(&["table", "write", "u.sst", "-"], text.stdout()).exits(0);
    let again = desk.run("table scan u.sst --hex").exits(0);
    assert_eq!(again.stdout(), desk.run("table scan t.sst --hex").stdout());
    // As ndjson too.
    let json = desk.run("table scan t.sst --format ndjson").exits(0);
    desk.run_with(&["table", "write", "v.sst", "-", "--format", "ndjson"], json.stdout()).exits(0);
    assert_eq!(desk.read("u.sst"), desk.read("v.sst"));
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_its_order_or_packing() {
    let desk = desk();
    let sorted = desk.run("table scan t.sst").text();
    desk.file("sorted.tsv", &sorted);
    desk.file("no-newline", sorted.trim_end());
    let zstd = zstd::encode_all(CITIES.as_bytes(), 3).unwrap();
    desk.file("in.tsv.zst", zstd);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, CITIES.as_bytes()).unwrap();
    desk.file("in.tsv.gz", gz.finish().unwrap());
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut lz4, CITIES.as_bytes()).unwrap();
    desk.file("in.tsv.lz4", lz4.finish().unwrap());
    for input in ["in.tsv", "sorted.tsv", "no-newline", "in.tsv.zst", "in.tsv.gz", "in.tsv.lz4"] {
        desk.run(&format!("table write u.sst {input}")).exits(0);
        assert_eq!(desk.read("t.sst"), desk.read("u.sst"), "{input}");
    }
}

#[test]
fn of_one_key_the_last_record_counts() {
    let desk = Desk::new();
    desk.file("in", "k\t1\nj\t0\nk\t2\nk\t3\n");
    desk.run("table write t.sst in").exits(0);
    desk.run("table scan t.sst").prints("j\t0\nk\t3\n");
}

#[test]
fn words_are_keys_without_values() {
    let desk = Desk::new();
    desk.file("words.lines", "pear\napple\n");
    desk.run("table write t.sst words.lines").exits(0);
    desk.run("table scan t.sst").prints("apple\t\npear\t\n");
}

#[test]
fn a_bad_line_is_named_and_leaves_what_was_there() {
    let desk = desk();
    let before = desk.read("t.sst");
    let cases = ["a\t1\nno tab\n", "a\t1\n\n", "a\t1\n\t2\n", "a\t1\nb\t2\t3\n", "a\t1\nb\t\\q\n"];
    for input in cases {
        desk.run_with(&["table", "write", "t.sst", "-"], input.as_bytes())
            .exits(3)
            .says(&["line 2"]);
        assert_eq!(desk.read("t.sst"), before);
    }
    desk.file("in", "a\t1\nbad\nb\t2\nbad\nc\t3\n");
    desk.run("table write t.sst in --skip-bad 1").exits(3).says(&["line 4"]);
    desk.run("table write t.sst in --skip-bad 2").exits(0);
    desk.run("table scan t.sst").prints("a\t1\nb\t2\nc\t3\n");
    let long = format!("{}\tv\n", "k".repeat(65_536));
    desk.run_with(&["table", "write", "t.sst", "-"], long.as_bytes()).exits(3).says(&["65536"]);
    desk.file("in.zst", "this is not zstd");
    desk.run("table write t.sst in.zst").exits(3);
    let names: Vec<_> =
        std::fs::read_dir(desk.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("unfinished")), "{names:?}");
}

#[test]
fn no_records_leave_no_file() {
    let desk = Desk::new();
    desk.run_with(&["table", "write", "t.sst", "-"], b"").exits(0);
    assert!(!desk.exists("t.sst"));
    desk.run("table scan t.sst").exits(1);
}

#[test]
fn orders_and_options_are_chosen_when_writing() {
    let desk = Desk::new();
    desk.file("in", "b\t1\naa\t2\na\t3\n");
    let cases = [
        ("--comparator reverse", "b\t1\naa\t2\na\t3\n"),
        ("--comparator shortlex", "a\t3\nb\t1\naa\t2\n"),
        ("--compression zstd:19 --block-size 512 --filter-bits 0", "a\t3\naa\t2\nb\t1\n"),
        ("--compression none --filter-bits 14.5", "a\t3\naa\t2\nb\t1\n"),
        ("--filter burr --filter-bits 8.2", "a\t3\naa\t2\nb\t1\n"),
    ];
    for (options, sorted) in cases {
        desk.run(&format!("table write t.sst in {options}")).exits(0);
        desk.run("table scan t.sst").exits(0).prints(sorted);
        desk.run("table get t.sst aa").exits(0).prints("2\n");
        desk.run("table verify t.sst").exits(0);
    }
    for options in [
        "--comparator moon",
        "--compression lz5",
        "--block-size 1",
        "--filter-bits 99",
        "--filter burr --filter-bits 18",
    ] {
        desk.run(&format!("table write u.sst in {options}")).exits(2);
        assert!(!desk.exists("u.sst"), "{options}");
    }
}

#[test]
fn info_and_verify_report_in_text_and_json() {
    let desk = desk();
    let info = desk.run("table info t.sst --json").exits(0).json();
    assert_eq!((&info["entries"], &info["first_key"]), (&4.into(), &"a".into()));
    assert!(desk.run("table info t.sst").exits(0).text().contains("entries"));
    let report = desk.run("table verify t.sst --json").exits(0).json();
    assert_eq!(
        (&report["ok"], &report["files"], &report["blocks"]),
        (&true.into(), &1.into(), &6.into())
    );
    assert_eq!(report["damage"].as_array().unwrap().len(), 0);
}

#[test]
fn damage_is_found_and_located() {
    let desk = desk();
    let mut bytes = desk.read("t.sst");
    bytes[200] ^= 4;
    desk.file("t.sst", &bytes);
    let report = desk.run("table verify t.sst --json").exits(4).json();
    let damage = &report["damage"][0];
    assert_eq!(report["ok"], false);
    assert_eq!(
        (&damage["file"], &damage["offset"], &damage["kind"]),
        (&"t.sst".into(), &128.into(), &"data".into())
    );
    assert_eq!((&damage["from_key"], &damage["to_key"]), (&serde_json::Value::Null, &"d".into()));
    let text = desk.run("table verify t.sst").exits(4).text();
    assert!(text.contains("t.sst: offset 128: data"), "{text}");
    desk.run("table get t.sst a").exits(4).says(&["t.sst", "offset 128"]);
    desk.run("table scan t.sst").exits(4).prints("");
}

#[test]
fn what_is_no_table_is_refused_by_its_own_code() {
    let desk = desk();
    let whole = desk.read("t.sst");
    desk.file(
        "foreign",
        "PK\x03\x04 something else entirely, long enough to be a table".repeat(100),
    );
    desk.file("cut", &whole[..whole.len() / 2]);
    desk.file("empty", "");
    let cases = [("missing.sst", 1), ("foreign", 3), ("cut", 4), ("empty", 4), (".", 2)];
    for verb in ["get FILE a", "scan FILE", "info FILE"] {
        for (file, code) in cases {
            let args = format!("table {}", verb.replace("FILE", file));
            desk.run(&args).exits(code).prints("").says(&["stratal: "]);
        }
    }
    for (file, code) in cases {
        let ran = desk.run(&format!("table verify {file}")).exits(code);
        assert!(code != 4 || ran.text().contains(file), "{}", ran.text());
        desk.run(&format!("inspect {file}")).exits(code);
    }
    desk.run("table scan").exits(2);
    desk.run("table frobnicate t.sst").exits(2);
}

/// A reader that goes away, as `head` does, is not an error.
#[test]
fn a_closed_standard_output_ends_quietly() {
    let desk = Desk::new();
    let lines: String = (0..200_000).map(|i| format!("key{i:08}\tvalue\n")).collect();
    desk.run_with(&["table", "write", "t.sst", "-"], lines.as_bytes()).exits(0);
    let mut scan = Command::new(env!("CARGO_BIN_EXE_stratal"))
        .args(["table", "scan", "t.sst"])
        .current_dir(desk.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(scan.stdout.take());
    let output = scan.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn what_can_be_read_of_a_damaged_table_is_saved() {
    let desk = Desk::new();
    let line = |i: u32| format!("key{i:04}\tvalue of {i}, which takes some room\n");
    desk.file("in.tsv", (0..500).map(line).collect::<String>());
    desk.run("table write t.sst in.tsv --block-size 512 --compression none").exits(0);
    desk.run("table salvage t.sst whole.sst").exits(0).prints("whole.sst: 500 entries saved\n");
    assert_eq!(desk.run("table scan whole.sst").exits(0).stdout(), desk.read("in.tsv"));

    let mut bytes = desk.read("t.sst");
    let at = bytes.windows(12).position(|found| found == b"value of 123").unwrap();
    bytes[at] ^= 1;
    desk.file("t.sst", bytes);
    let ran = desk.run("table salvage t.sst saved.sst --json").exits(4);
    let report = ran.json();
    let lost = &report["damage"][0];
    let (behind, to) = (lost["from_key"].as_str().unwrap(), lost["to_key"].as_str().unwrap());
    assert!(behind < "key0123" && to >= "key0123", "{report}");
    let kept: String = (0..500)
        .filter(|i| !(behind < &*format!("key{i:04}") && &*format!("key{i:04}") <= to))
        .map(line)
        .collect();
    assert_eq!(report["entries"], kept.lines().count());
    desk.run("table scan saved.sst").exits(0).prints(kept);
    desk.run("table salvage saved.sst saved.sst").exits(2).says(&["the one to read"]);
    desk.run("table salvage in.tsv saved.sst").exits(3);
}

#[test]
fn a_dump_names_every_byte_of_a_table() {
    let desk = Desk::new();
    desk.file("in.tsv", "a\t1\nb\t2\n");
    desk.run("table write t.sst in.tsv").exits(0);
    let len = desk.read("t.sst").len();
    let dump = desk.run("table dump t.sst").exits(0).text();
    for words in ["magic", "data block, ordinal 16", "index block", "properties block"] {
        assert!(dump.contains(words), "{words}: {dump}");
    }
    let last = dump.lines().rfind(|line| line.contains("..")).unwrap();
    let ends = last.split_once("..").unwrap().1.split(' ').next().unwrap();
    assert_eq!(usize::from_str_radix(ends, 16).unwrap(), len, "{last}");
    desk.run("table dump in.tsv").exits(3);
}

#[test]
fn rows_are_printed_as_csv_that_reads_back() {
    let desk = Desk::new();
    desk.file("in.tsv", "a\tplain\nb,c\twith \"quotes\"\nd\\n\t\n");
    desk.run("table write t.sst in.tsv").exits(0);
    let csv = "key,value\na,plain\n\"b,c\",\"with \"\"quotes\"\"\"\nd\\n,\n";
    desk.run("table scan t.sst --format csv").exits(0).prints(csv);
    let reverse = "key\nd\\n\n\"b,c\"\na\n";
    desk.run("table scan t.sst --format csv --reverse --keys-only").exits(0).prints(reverse);
    desk.file("back.csv", csv);
    desk.run("table write u.sst back.csv --key key").exits(0);
    let value = "{\"key\":\"b,c\",\"value\":\"with \\\\\"quotes\\\\\"\"}";
    desk.run("table get u.sst b,c").exits(0).prints(format!("{value}\n"));
}
