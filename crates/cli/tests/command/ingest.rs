//! What is ingested is what would have been loaded.

use crate::support::Desk;

/// Loads `inputs`, one after the other, into a database of each sort; they must be the same.
fn same(desk: &Desk, inputs: &[&str], memory: &str) {
    for (number, input) in inputs.iter().enumerate() {
        let loaded = desk.run(&format!("load plain {input} --json")).exits(0).json();
        let args = format!("load straight {input} --ingest --json --memory {memory}");
        let ingested = desk.run(&args).exits(0).json();
        for field in ["records", "bytes"] {
            assert_eq!(loaded[field], ingested[field], "{input}");
        }
        assert!(ingested["seconds"].is_number() && ingested["records_per_second"].is_number());
        let expected = desk.run("scan plain").exits(0);
        desk.run("scan straight").exits(0).prints(expected.stdout());
        let backwards = desk.run("scan plain --reverse").exits(0);
        desk.run("scan straight --reverse").exits(0).prints(backwards.stdout());
        // Nothing is left of the sort.
        let leftovers = std::fs::read_dir(desk.path().join("straight"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("run-"));
        assert_eq!(leftovers.count(), 0);
        desk.run("verify straight").exits(0);
        if number + 1 == inputs.len() {
            desk.run("compact straight").exits(0);
            desk.run("scan straight").exits(0).prints(expected.stdout());
        }
    }
}

#[test]
fn the_places_are_the_same_however_they_come_in() {
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/data/cities15000.tsv.zst");
    let desk = Desk::new();
    // In one piece in memory, and in runs.
    same(&desk, &[places], "256MiB");
    let desk = Desk::new();
    same(&desk, &[places, places], "16MiB");
}

#[test]
fn the_last_of_several_records_wins_and_what_was_there_is_replaced() {
    let desk = Desk::new();
    desk.file("first.tsv", "m\t1\nb\t1\nm\t2\na\t1\n");
    desk.file("second.tsv", "c\t3\nm\t3\nm\t4\nz\t3\n");
    desk.file("keys.txt", "m\nx\na\nm\n");
    desk.file("rows.ndjson", "{\"key\":\"q\",\"value\":\"5\"}\n{\"key\":\"b\",\"value\":\"5\"}\n");
    let inputs = ["first.tsv", "second.tsv", "keys.txt --delete", "rows.ndjson"];
    same(&desk, &inputs, "64MiB");
    desk.run("scan straight").exits(0).prints("b\t5\nc\t3\nq\t5\nz\t3\n");
    desk.run("load straight first.tsv --ingest --acks").exits(0).prints_start("acked 4\n4 records");
    desk.run("load straight first.tsv --ingest --batch 7").exits(2);
    desk.run("load straight first.tsv --ingest --durability os").exits(2);
}

#[test]
fn records_are_sorted_as_their_keyspace_is() {
    let desk = Desk::new();
    desk.file("in.tsv", "a\t1\nbb\t2\nc\t3\naa\t4\n");
    desk.run("keyspaces db --create back --comparator reverse").exits(0);
    desk.run("keyspaces db --create short --comparator shortlex").exits(0);
    desk.run("load db in.tsv --ingest --keyspace back").exits(0);
    desk.run("load db in.tsv --ingest --keyspace short").exits(0);
    desk.run("scan db --keyspace back").exits(0).prints("c\t3\nbb\t2\naa\t4\na\t1\n");
    desk.run("scan db --keyspace short").exits(0).prints("a\t1\nc\t3\naa\t4\nbb\t2\n");
}

#[test]
fn what_stands_before_a_bad_line_is_ingested() {
    let desk = Desk::new();
    desk.file("in.tsv", "b\t1\na\t1\nno tab here\nc\t1\n");
    desk.run("load db in.tsv --ingest").exits(3).says(&["3"]);
    desk.run("scan db").exits(0).prints("a\t1\nb\t1\n");
    desk.run("load db in.tsv --ingest --skip-bad 1").exits(0).prints_start("3 records");
    desk.run("scan db").exits(0).prints("a\t1\nb\t1\nc\t1\n");
    desk.file("empty.tsv", "");
    desk.run("load db empty.tsv --ingest").exits(0).prints_start("0 records");
}

/// In any order, and already sorted.
#[cfg(target_os = "linux")]
#[test]
fn memory_for_an_ingestion_stays_within_the_budget() {
    let desk = Desk::new();
    let row = |i: u64| format!("{:016x}\t{:0150}\n", i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i);
    let mut rows: Vec<String> = (0..250_000).map(row).collect();
    desk.file("rows.tsv", rows.concat());
    rows.sort();
    desk.file("sorted.tsv", rows.concat());
    let peaks = [
        ("load d rows.tsv --ingest --memory 16MiB", 16),
        ("load e sorted.tsv --ingest --memory 16MiB", 16),
        ("load e rows.tsv --ingest --memory 24MiB", 24),
    ];
    for (args, budget) in peaks {
        let peak = desk.peak_memory(args);
        let allowed = (f64::from(budget) * 1.15 + 32.0) * 1024.0;
        println!("{args}: at most {peak} KiB");
        assert!(peak > 1024 && f64::from(peak) < allowed, "{args}: {peak} KiB");
    }
    let expected = desk.run("scan d").exits(0);
    desk.run("scan e").exits(0).prints(expected.stdout());
}
