//! Merging, splitting and comparing table files.

use crate::support::Desk;

/// Tables of tab-separated rows.
fn desk(tables: &[(&str, &str)]) -> Desk {
    let desk = Desk::new();
    for (name, rows) in tables {
        desk.run_with(&["table", "write", name, "-"], rows.as_bytes()).exits(0);
    }
    desk
}

#[test]
fn of_tables_that_have_the_same_key_the_last_one_named_counts() {
    let desk = desk(&[("a.sst", "k\told\nx\t1\n"), ("b.sst", "k\tnew\ny\t2\n")]);
    desk.run("table merge m.sst a.sst b.sst").exits(0).prints_start("3 entries of 3 from 2 tables");
    desk.run("table scan m.sst").exits(0).prints("k\tnew\nx\t1\ny\t2\n");
    desk.run("table merge n.sst b.sst a.sst").exits(0);
    desk.run("table get n.sst k").exits(0).prints("old\n");
    // The same inputs give the same bytes, and another order another file.
    desk.run("table merge o.sst a.sst b.sst").exits(0);
    assert!(desk.read("m.sst") == desk.read("o.sst") && desk.read("m.sst") != desk.read("n.sst"));
    for keep in ["newest", "live", "versions"] {
        let merge = format!("table merge p.sst a.sst b.sst --keep {keep} --json");
        let report = desk.run(&merge).exits(0).json();
        assert_eq!((&report["inputs"], &report["entries"]), (&2.into(), &3.into()));
        let verify = format!("table verify p.sst --digest {}", report["digest"].as_str().unwrap());
        desk.run(&verify).exits(0);
    }
    desk.run("table merge m.sst").exits(2);
    desk.run("table merge m.sst a.sst none.sst").exits(1).says(&["none.sst"]);
    desk.run_with(&["table", "write", "r.sst", "-", "--comparator", "reverse"], b"k\tv\n").exits(0);
    desk.run("table merge m.sst a.sst r.sst").exits(5).says(&["a.sst", "comparator"]);
}

#[test]
fn a_database_s_tables_are_merged_with_their_deletes() {
    let desk = Desk::new();
    let tables = |db: &str| -> Vec<String> {
        let mut found: Vec<_> = std::fs::read_dir(desk.path().join(db).join("tables"))
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    desk.run_with(&["load", "db", "-"], b"a\t1\nb\t2\nc\t3\nd\t4\n").exits(0);
    desk.run("flush db").exits(0);
    desk.run("delete db a").exits(0);
    desk.run("delete-range db c e").exits(0);
    desk.run("put db e 5").exits(0);
    desk.run("flush db").exits(0);
    let inputs = tables("db").join(" ");
    desk.run(&format!("table merge live.sst {inputs} --keep live")).exits(0);
    desk.run("table scan live.sst").exits(0).prints("b\t2\ne\t5\n");
    let info = desk.run("table info live.sst --json").json();
    assert_eq!((&info["deletes"], &info["range_tombstones"]), (&0.into(), &0.into()));
    desk.run(&format!("table merge all.sst {inputs}")).exits(0);
    desk.run("table scan all.sst").exits(0).prints("b\t2\ne\t5\n");
    let info = desk.run("table info all.sst --json").json();
    assert_eq!((&info["deletes"], &info["range_tombstones"]), (&1.into(), &1.into()));
}

#[test]
fn pieces_hold_what_lies_between_the_keys() {
    let rows: String = (0..2000).map(|i| format!("key{i:04}\tvalue of {i}, and more\n")).collect();
    let desk = desk(&[("t.sst", &rows)]);
    desk.run("table split t.sst p.sst --at key0500 --at key1500").exits(0);
    let piece = |name: &str| desk.run(&format!("table scan {name}")).exits(0).text();
    let all = piece("p-1.sst") + &piece("p-2.sst") + &piece("p-3.sst");
    assert!(all == rows);
    assert!(piece("p-2.sst").starts_with("key0500\t") && piece("p-3.sst").starts_with("key1500\t"));
    let report = desk.run("table split t.sst q.sst --at a --at z --json").exits(0).json();
    assert_eq!((&report["file"], &report["entries"]), (&"q-2.sst".into(), &2000.into()));
    assert!(!desk.exists("q-1.sst") && !desk.exists("q-3.sst"));

    let sized = desk.run("table split t.sst s.sst --size 16KiB --compression none").exits(0).text();
    assert!(sized.lines().count() > 2, "{sized}");
    let all: String =
        (1..=sized.lines().count()).map(|number| piece(&format!("s-{number}.sst"))).collect();
    assert!(all == rows);

    desk.run("table split t.sst r.sst --at b --at a").exits(2).says(&["--at"]);
    desk.run("table split t.sst r.sst").exits(2);
    desk.run("table split t.sst r.sst --at b --size 1MiB").exits(2);
    assert!(desk.names().iter().all(|name| !name.starts_with('r')), "{:?}", desk.names());
}

#[test]
fn differences_are_printed_side_by_side() {
    let desk = desk(&[("a.sst", "k\told\nl\t0\nx\t1\n"), ("b.sst", "k\tnew\nl\t0\ny\t\\xff\n")]);
    desk.run("table diff a.sst b.sst").exits(0).prints("-k\told\n+k\tnew\n-x\t1\n+y\t\\xff\n");
    desk.run("table diff a.sst b.sst --exit-code").exits(1);
    desk.run("table diff a.sst a.sst --exit-code").exits(0).prints("");
    desk.run("table diff a.sst b.sst --json").exits(0).prints(concat!(
        "{\"key\":\"k\",\"left\":\"old\",\"right\":\"new\"}\n",
        "{\"key\":\"x\",\"left\":\"1\",\"right\":null}\n",
        "{\"key\":\"y\",\"left\":null,\"right\":\"\\\\xff\"}\n",
    ));
    desk.run("table diff a.sst none.sst").exits(1).says(&["none.sst"]);
    desk.run_with(&["table", "write", "r.sst", "-", "--comparator", "reverse"], b"k\tv\n").exits(0);
    desk.run("table diff a.sst r.sst").exits(5).says(&["comparator"]);
}

#[test]
fn the_digest_of_a_file_is_that_of_all_its_bytes() {
    let desk = desk(&[("a.sst", "k\t1\n")]);
    let info = desk.run("table info a.sst --json").json();
    assert!(info.get("digest").is_none(), "reading the whole file is asked for by name");
    let info = desk.run("table info a.sst --digest --json").exits(0).json();
    let digest = info["digest"].as_str().unwrap();
    desk.run(&format!("table verify a.sst --digest {digest}")).exits(0);
    let other = "0".repeat(32);
    let report = desk.run(&format!("table verify a.sst --digest {other} --json")).exits(4).json();
    assert_eq!((&report["ok"], &report["damage"][0]["kind"]), (&false.into(), &"file".into()));
    let verdict = report["damage"][0]["verdict"].as_str().unwrap();
    assert!(verdict.contains(digest) && verdict.contains(&other), "{verdict}");
    desk.run("table verify a.sst --digest 12").exits(2);
}
