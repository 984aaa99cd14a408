//! Writing tables from more records than fit in memory, and from csv and ndjson.

use std::collections::BTreeMap;

use stratal_testkit::Rng;

use crate::support::Desk;

/// Rows of about 170 bytes in random order, of which some have the same key.
fn rows(count: u64) -> String {
    let mut rng = Rng::new(5);
    let row = |i: u64| format!("{:016x}\t{i:0150}\n", rng.below(count * 4) * 0x1357_9bdf);
    (0..count).map(row).collect()
}

/// What `rows` become: the last value of each key, in order.
fn sorted(rows: &str) -> String {
    let rows = rows.lines().map(|row| row.split_once('\t').unwrap());
    let rows: BTreeMap<_, _> = rows.collect();
    rows.into_iter().map(|(key, value)| format!("{key}\t{value}\n")).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn input_of_several_times_the_memory_is_sorted_within_it_to_the_same_bytes() {
    let desk = Desk::new();
    let rows = rows(400_000);
    desk.file("rows.tsv", &rows);
    let sorted = sorted(&rows);
    assert!(sorted.len() < rows.len() - 1000, "some keys come more than once");
    desk.file("sorted.tsv", &sorted);
    desk.run("table write memory.sst rows.tsv --memory 1GiB").exits(0);
    for input in ["rows.tsv", "sorted.tsv"] {
        let peak = desk.peak_memory(&format!("table write t.sst {input} --memory 16MiB"));
        println!("{input}: at most {peak} KiB for {} bytes", rows.len());
        // What the process takes by itself beside the budget.
        assert!(peak > 1024 && f64::from(peak) < (16.0 * 1.15 + 32.0) * 1024.0, "{peak} KiB");
        assert!(desk.read("t.sst") == desk.read("memory.sst"), "{input}");
    }
    assert_eq!(desk.names(), ["memory.sst", "rows.tsv", "sorted.tsv", "t.sst"]);
    let scan = desk.run("table scan t.sst").exits(0);
    assert!(scan.stdout() == sorted.as_bytes());
}

#[test]
fn what_a_sort_put_aside_goes_also_when_it_fails() {
    let desk = Desk::new();
    desk.file("rows.tsv", rows(120_000) + "bad\n");
    desk.run("table write t.sst rows.tsv --memory 16MiB").exits(3).says(&["line 120001"]);
    assert_eq!(desk.names(), ["rows.tsv"]);
    // And what a killed sort left is replaced.
    desk.file("t.sst.run-1", "left behind").file("t.sst.unfinished", "left behind");
    desk.run("table write t.sst rows.tsv --memory 16MiB --skip-bad 1").exits(0);
    assert_eq!(desk.names(), ["rows.tsv", "t.sst"]);
    desk.run("table verify t.sst").exits(0);
}

#[test]
fn keys_are_sorted_under_any_order_when_they_do_not_fit() {
    let desk = Desk::new();
    let rows = rows(120_000);
    desk.file("rows.tsv", &rows);
    for order in ["reverse", "shortlex"] {
        let write = format!("table write t.sst rows.tsv --comparator {order} --memory");
        desk.run(&format!("{write} 16MiB")).exits(0);
        let spilled = desk.read("t.sst");
        desk.run(&format!("{write} 1GiB")).exits(0);
        assert!(desk.read("t.sst") == spilled, "{order}");
    }
    let scan = desk.run("table scan t.sst").exits(0);
    assert!(scan.stdout() == sorted(&rows).as_bytes(), "keys of one length");
}

const CSV: &str = "id,city,note\n2,Bern,\"a, b\"\n10,\"Z\u{fc}rich\",\"two\nlines\"\n1,Chur,\n";

#[test]
fn csv_rows_are_objects_under_the_key_of_a_column() {
    let desk = Desk::new();
    desk.file("in.csv", CSV);
    let scanned = concat!(
        "1\t{\"id\":\"1\",\"city\":\"Chur\",\"note\":\"\"}\n",
        "10\t{\"id\":\"10\",\"city\":\"Z\u{fc}rich\",\"note\":\"two\\\\nlines\"}\n",
        "2\t{\"id\":\"2\",\"city\":\"Bern\",\"note\":\"a, b\"}\n",
    );
    desk.run("table write t.sst in.csv --key id").exits(0);
    desk.run("table scan t.sst").exits(0).prints(scanned);
    desk.run("load db in.csv --key id").exits(0);
    desk.run("scan db").exits(0).prints(scanned);
    desk.file("in.csv.zst", zstd::encode_all(CSV.as_bytes(), 3).unwrap());
    desk.run("table write u.sst in.csv.zst --key id").exits(0);
    assert_eq!(desk.read("t.sst"), desk.read("u.sst"));
    desk.run_with(
        &["table", "write", "v.sst", "-", "--format", "csv", "--key", "city"],
        CSV.as_bytes(),
    )
    .exits(0);
    desk.run("table get v.sst Bern")
        .exits(0)
        .prints("{\"id\":\"2\",\"city\":\"Bern\",\"note\":\"a, b\"}\n");

    desk.run("table write w.sst in.csv").exits(2).says(&["--key HEADER"]);
    desk.run("table write w.sst in.csv --key moon").exits(3).says(&["line 1", "moon", "id, city"]);
    desk.file("bad.csv", "id,city\n1,Chur\n2\n3,Bern,x\n4,Davos\n");
    desk.run("table write w.sst bad.csv --key id").exits(3).says(&["line 3", "1 fields"]);
    desk.run("table write w.sst bad.csv --key id --skip-bad 2").exits(0);
    desk.run("table scan w.sst --keys-only").prints("1\n4\n");
    desk.file("bytes.csv", b"id,city\n1,\xff\n");
    desk.run("load db bytes.csv --key id").exits(3).says(&["line 2", "UTF-8"]);
}

#[test]
fn ndjson_lines_are_values_under_the_key_at_a_pointer() {
    let desk = Desk::new();
    let lines = "{\"a\":{\"id\":\"x\\u00fc\"},\"n\":1}\n{ \"n\": 20, \"a\": {\"id\": 7} }\n";
    desk.file("in.ndjson", lines);
    let scanned = concat!(
        "7\t{ \"n\": 20, \"a\": {\"id\": 7} }\n",
        "x\u{fc}\t{\"a\":{\"id\":\"x\\\\u00fc\"},\"n\":1}\n",
    );
    desk.run("table write t.sst in.ndjson --key /a/id").exits(0);
    desk.run("table scan t.sst").exits(0).prints(scanned);
    desk.run("load db in.ndjson --key /a/id").exits(0);
    desk.run("scan db").exits(0).prints(scanned);
    desk.run("table write u.sst in.ndjson --key id").exits(2).says(&["begins with /"]);
    desk.run("table write u.sst in.ndjson --key /b").exits(3).says(&["line 1", "at /b"]);
    desk.run("table write u.sst in.ndjson --format tsv --key /b").exits(2);
    desk.run("table write u.sst in.ndjson").exits(3).says(&["\"key\""]);
}

#[test]
fn acks_name_the_last_line_of_a_row() {
    let desk = Desk::new();
    desk.file("in.csv", CSV);
    let acks = desk.run("load db in.csv --key id --acks --batch 1").exits(0).text();
    let acked: Vec<_> = acks.lines().filter_map(|line| line.strip_prefix("acked ")).collect();
    assert_eq!(acked, ["2", "4", "5"]);
}
