use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use stratal_testkit::Rng;

use crate::support::Desk;

const CITIES: &str = "b\tBern\na\tAarau\nd\tDavos\nc\tChur\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("in.tsv", CITIES);
    desk.run("load db in.tsv").exits(0);
    desk
}

#[test]
fn what_is_loaded_is_there_and_changes_stay() {
    let desk = desk();
    desk.run("scan db").exits(0).prints("a\tAarau\nb\tBern\nc\tChur\nd\tDavos\n");
    desk.run("scan db --reverse --limit 2 --keys-only").exits(0).prints("d\nc\n");
    desk.run("get db a d").exits(0).prints("Aarau\nDavos\n");
    desk.run("get db x").exits(1).prints("").says(&["not found: x\n"]);
    desk.run("count db").exits(0).prints("4\n");
    desk.run("count db --from b --to d --json").exits(0).prints("{\"count\":2}\n");
    desk.run("put db e Eglisau").exits(0).prints("");
    desk.run("delete db a nobody").exits(0);
    desk.run("flush db").exits(0);
    desk.run("delete-range db c e").exits(0);
    desk.run("delete-range db b b").exits(0);
    desk.run("delete-range db e b").exits(2);
    desk.run("scan db").exits(0).prints("b\tBern\ne\tEglisau\n");
    desk.run("compact db").exits(0);
    desk.run("scan db").exits(0).prints("b\tBern\ne\tEglisau\n");
    desk.run("verify db").exits(0);
    desk.run("count db").exits(0).prints("2\n");
}

#[test]
fn records_are_loaded_under_any_strategy_and_found_under_any_other() {
    let desk = Desk::new();
    let rows: String = (0..2000).map(|row| format!("key{row:05}\tvalue {row}\n")).collect();
    desk.file("in.tsv", &rows);
    for strategy in ["leveled", "tiered", "lazy", "fifo:1GiB", "leveled"] {
        desk.run(&format!("load db in.tsv --compaction {strategy}")).exits(0);
        desk.run("count db").exits(0).prints("2000\n");
        desk.run("flush db").exits(0);
    }
    desk.run("scan db").exits(0).prints(rows);
    // What forgets must be told when.
    for strategy in ["fifo", "fifo:", "fifo:0", "fifo:much", "levelled"] {
        desk.run(&format!("load db in.tsv --compaction {strategy}")).exits(2);
    }
    let bench = "bench fillrandom,readrandom --num 2000 --compaction tiered --json";
    assert_eq!(desk.run(bench).exits(0).text().lines().count(), 2);
}

#[test]
fn only_some_verbs_make_a_database() {
    let desk = Desk::new();
    for verb in [
        "get db k",
        "delete db k",
        "delete-range db a b",
        "scan db",
        "count db",
        "flush db",
        "compact db",
        "stats db",
        "verify db",
        "keyspaces db",
    ] {
        desk.run(verb).exits(1).prints("");
        assert!(!desk.exists("db"), "{verb}");
    }
    desk.run("load db missing.tsv").exits(1);
    assert!(!desk.exists("db"));
    desk.run("put db k v").exits(0);
    desk.run("get db k").exits(0).prints("v\n");
    desk.run("keyspaces other --create more --comparator reverse")
        .exits(0)
        .prints("default\tbytewise\nmore\treverse\n");
    desk.file("file", "not a database");
    desk.run("scan file").exits(3);
    desk.run("put file k v").exits(3);
    std::fs::create_dir(desk.path().join("mine")).unwrap();
    desk.file("mine/thesis.tex", "years of work");
    desk.run("scan mine").exits(2);
    desk.run("put mine k v").exits(2);
    assert_eq!(std::fs::read_dir(desk.path().join("mine")).unwrap().count(), 1);
}

#[test]
fn keyspaces_are_apart_and_have_orders_of_their_own() {
    let desk = desk();
    desk.run("keyspaces db --create r --comparator reverse").exits(0);
    desk.run("keyspaces db --create r").exits(2);
    desk.run("load db in.tsv --keyspace r").exits(0);
    desk.run("scan db --keyspace r --keys-only").exits(0).prints("d\nc\nb\na\n");
    desk.run("delete-range db c a --keyspace r").exits(0);
    desk.run("scan db --keyspace r --keys-only").exits(0).prints("d\na\n");
    desk.run("scan db --keys-only").exits(0).prints("a\nb\nc\nd\n");
    desk.run("scan db --keyspace no").exits(1);
    desk.run("keyspaces db --drop default").exits(2);
    desk.run("keyspaces db --drop r").exits(0).prints("default\tbytewise\n");
    desk.run("scan db --keyspace r").exits(1);
    desk.run("keyspaces db --create x --comparator moon").exits(2);
    desk.run("keyspaces db --create x --ttl 5").exits(2);
    desk.run("keyspaces db --create x --ttl 90m").exits(0);
    let all = desk.run("keyspaces db --json").exits(0).json()["keyspaces"].clone();
    assert_eq!((&all[0]["ttl_seconds"], &all[1]["ttl_seconds"]), (&().into(), &5400.0.into()));
}

#[test]
fn a_bad_line_is_named_and_what_came_before_is_kept() {
    let desk = Desk::new();
    let ran = desk
        .run_with(&["load", "db", "-", "--acks", "--batch", "2"], b"a\t1\nb\t2\nc\t3\nbad\nd\t4\n");
    ran.exits(3).prints("acked 2\nacked 3\n").says(&["line 4"]);
    desk.run("scan db").exits(0).prints("a\t1\nb\t2\nc\t3\n");
    desk.run_with(&["load", "db", "-", "--skip-bad", "1"], b"a\t1\nbad\nd\t4\n").exits(0);
    desk.run_with(&["load", "db", "-", "--delete"], b"a\nc\nnobody\n").exits(0);
    desk.run("scan db").exits(0).prints("b\t2\nd\t4\n");
}

#[test]
fn readers_share_and_a_second_writer_is_told_to_wait() {
    let desk = desk();
    let mut writer = Command::new(env!("CARGO_BIN_EXE_stratal"))
        .args(["load", "db", "-", "--acks", "--batch", "1"])
        .current_dir(desk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"k\tv\n").unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "acked 1");
    desk.run("put db x y").exits(5);
    desk.run("scan db").exits(5);
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    desk.run("get db k").exits(0).prints("v\n");
}

/// A process that is killed at any moment loses nothing that it had acknowledged, and what is there is
/// a prefix of whole batches.
#[test]
fn kill_9_loses_nothing_acknowledged() {
    const BATCH: usize = 7;
    let mut rng = Rng::new(9);
    let lines: Vec<String> =
        (0..60_000).map(|i| format!("key{:05}\tvalue {i}\n", i * 7919 % 20_000)).collect();
    let desk = Desk::new();
    desk.file("in.tsv", lines.concat());
    for (round, durability) in ["os", "sync", "os", "sync", "os", "os"].into_iter().enumerate() {
        let db = format!("db{round}");
        let batch = BATCH.to_string();
        let mut load = Command::new(env!("CARGO_BIN_EXE_stratal"))
            .args(["load", &db, "in.tsv", "--acks", "--batch", &batch, "--durability", durability])
            .current_dir(desk.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = load.stdout.take().unwrap();
        let acks = std::thread::spawn(move || {
            let numbers = BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("acked ")?.parse::<usize>().ok());
            numbers.last().unwrap_or(0)
        });
        std::thread::sleep(Duration::from_millis(20 + rng.below(250)));
        load.kill().unwrap();
        load.wait().unwrap();
        let acked = acks.join().unwrap();

        let found = desk.run(&format!("scan {db}"));
        if found.code() == 1 {
            assert_eq!(acked, 0, "killed before there was a database");
            continue;
        }
        let found = found.exits(0).text();
        // Some prefix of whole batches, at least as long as what was acknowledged.
        let prefixes = (acked..=lines.len()).filter(|len| len % BATCH == 0 || *len == lines.len());
        let mut state: BTreeMap<&str, &str> = BTreeMap::new();
        let mut applied = 0;
        let is_prefix = prefixes.take(2000).any(|len| {
            state.extend(
                lines[applied..len].iter().filter_map(|line| line.trim_end().split_once('\t')),
            );
            applied = len;
            let rows: usize = state.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
            rows == found.len()
                && state.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect::<String>()
                    == found
        });
        assert!(is_prefix, "round {round}: {acked} lines acknowledged");
        // The database opens and goes on.
        desk.run(&format!("put {db} zzz last")).exits(0);
        desk.run(&format!("get {db} zzz")).exits(0).prints("last\n");
        desk.run(&format!("verify {db}")).exits(0);
    }
}

/// Whatever a database holds, `--memory` is what it takes, and a little for the process itself.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_within_the_budget() {
    let desk = Desk::new();
    let row = |i: u64| format!("{:016x}\t{:0150}\n", i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i);
    desk.file("rows.tsv", (0..250_000).map(row).collect::<String>());
    let peaks = [
        ("load d rows.tsv --memory 16MiB --durability memory", 16),
        ("load d rows.tsv --memory 24MiB", 24),
        ("scan d --memory 16MiB", 16),
        ("compact d --memory 16MiB", 16),
        ("scan d --reverse --memory 16MiB", 16),
    ];
    for (args, budget) in peaks {
        let peak = desk.peak_memory(args);
        let allowed = (f64::from(budget) * 1.15 + 32.0) * 1024.0;
        println!("{args}: at most {peak} KiB");
        assert!(peak > 1024 && f64::from(peak) < allowed, "{args}: {peak} KiB");
    }
}

#[test]
fn how_tables_are_kept_is_said_once() {
    let desk = Desk::new();
    desk.file("in.tsv", "a\t1\n");
    let options = "--compaction lazy --level-runs 5 --level-ratio 6 --level-size 1MiB --table-size 2MiB \
        --block-size 8KiB --compression zstd:5 --compress-from-level 1 --filter-bits 12 --prefix fixed:1 \
        --digests insert";
    desk.run(&format!("load db in.tsv {options}")).exits(0);
    let kept = desk.run("stats db --json").exits(0).json()["keyspaces"][0]["options"].clone();
    let expected = serde_json::json!({
        "compaction": "lazy", "table_bytes": 2 << 20, "block_bytes": 8 << 10,
        "compression": "zstd:5", "compress_from_level": 1, "digests": "insert",
        "filter": "blocked bloom, 12 bits per key", "prefix": "fixed:1",
    });
    assert_eq!(kept, expected);
    desk.run("load db in.tsv --block-size 16KiB").exits(0);
    let now = desk.run("stats db --json").exits(0).json()["keyspaces"][0]["options"].clone();
    assert_eq!((&now["block_bytes"], &now["compaction"]), (&(16 << 10).into(), &"lazy".into()));
    for wrong in ["--block-size 1", "--prefix x", "--filter-bits 99", "--level-ratio 1"] {
        desk.run(&format!("load new in.tsv {wrong}")).exits(2);
        assert!(!desk.exists("new"), "nothing is made for {wrong}");
    }
    desk.run("load db in.tsv --compaction tiered --level-ratio 3").exits(2);
    let bench =
        "bench fillseq --num 1000 --table-size 64KiB --filter-bits 0 --compression lz4 --json";
    desk.run(bench).exits(0);
}

/// One keyspace in several levels, another that is empty. No length depends on chance.
fn two_keyspaces() -> Desk {
    let desk = Desk::new();
    let rows: String = (0..2000).map(|row| format!("{:02}/{row:04}\tvalue\n", row % 50)).collect();
    desk.file("in.tsv", rows).file("few.tsv", "00/0000\tnew\n07/x\ty\n").file("gone", "03/0003\n");
    desk.run("load db in.tsv --compaction leveled --table-size 16KiB --prefix delimited:2f")
        .exits(0);
    desk.run("compact db").exits(0);
    desk.run("load db few.tsv").exits(0);
    desk.run("load db gone --format lines --delete").exits(0);
    desk.run("delete-range db 10/ 11/").exits(0);
    desk.run("flush db").exits(0);
    desk.run("put db 99/ later").exits(0);
    desk.run("keyspaces db --create second --comparator reverse").exits(0);
    desk
}

#[test]
fn statistics_are_told_in_full() {
    let desk = two_keyspaces();
    let text = desk.run("stats db --tables --open-files 2").exits(0).text();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stats.txt");
    assert_eq!(text, stratal_testkit::golden(path, &text));
    let stats = desk.run("stats db --json --tables --open-files 2").exits(0).json();
    assert_eq!(
        stats["open_files"],
        serde_json::json!({"max": 2, "open": 2, "opened": 3, "reopened": 0})
    );
    let any = desk.run("stats db --json --open-files 0").exits(0).json();
    assert_eq!(
        any["open_files"],
        serde_json::json!({"max": null, "open": 3, "opened": 3, "reopened": 0})
    );
    let first = &stats["keyspaces"][0];
    assert_eq!(first["live_keys_estimate"], 2000 + 3 - 2 + 1);
    assert_eq!(
        first["value_log"],
        serde_json::json!({"files": 0, "live_bytes": 0, "stale_bytes": 0})
    );
    let tables = first["tables"].as_array().unwrap();
    let levels = first["levels"].as_array().unwrap();
    let sum = |of: &[serde_json::Value], name: &str| {
        of.iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>()
    };
    for name in ["bytes", "entries", "deletes", "range_tombstones"] {
        assert_eq!(sum(tables, name), sum(levels, name), "{name}");
    }
    assert_eq!(sum(levels, "tables"), tables.len() as u64);
    for table in tables {
        assert!(desk.exists(&format!("db/{}", table["file"].as_str().unwrap())));
    }
    assert!(first["filters"]["bits_per_key"].as_f64().unwrap() > 10.0);
    assert_eq!(first["amplification"]["read"], 3);
    assert!(stats["keyspaces"][1]["tables"].as_array().unwrap().is_empty());
    assert!(desk.run("stats db --json").exits(0).json()["keyspaces"][0]["tables"].is_null());
}

#[test]
fn stats_and_verify_report_in_json() {
    let desk = desk();
    desk.run("flush db").exits(0);
    let stats = desk.run("stats db --json").exits(0).json();
    assert_eq!(stats["keyspaces"][0]["name"], "default");
    assert_eq!(stats["keyspaces"][0]["levels"][0]["entries"], 4);
    assert!(stats["wal"].is_object() && stats["health"].is_string());
    assert!(desk.run("stats db").exits(0).text().contains("keyspace default"));
    let report = desk.run("verify db --json").exits(0).json();
    assert_eq!(report["ok"], true);
    assert!(report["blocks"].as_u64().unwrap() > 0);

    let tables = std::fs::read_dir(desk.path().join("db/tables")).unwrap();
    let table = tables.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let report = desk.run("verify db --json").exits(4).json();
    assert_eq!((&report["ok"], &report["damage"][0]["offset"]), (&false.into(), &128.into()));
    desk.run("get db a").exits(4).says(&["offset 128"]);
}

#[test]
fn bench_measures_every_workload() {
    let desk = Desk::new();
    let workloads = "fillseq,fillrandom,overwrite,readrandom,readhot,readmissing,readseq,readreverse,seekrandom,compact,deleterandom";
    let ran = desk.run(&format!("bench {workloads} --num 500 --dir b --json")).exits(0);
    let text = ran.text();
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 11);
    assert!(rows.iter().all(|row| row["ops_per_second"].as_f64().unwrap() > 0.0));
    let scanned = rows.iter().find(|row| row["workload"] == "readseq").unwrap();
    assert_eq!(scanned["ops"], 500);
    desk.run("bench fillseq --num 10 --dir b").exits(2);
}
