//! Tables that are encrypted, repaired, checked and divided as the command line says.

use crate::support::Desk;

const SECRET: &str = "a\tthe first of all secrets\nb\tthe second of all secrets\n";

/// A desk with two keys and rows.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("key", [7; 32]).file("other", "0a".repeat(32) + "\n").file("in.tsv", SECRET);
    desk
}

#[test]
fn an_encrypted_table_is_for_those_who_have_the_key() {
    let desk = desk();
    for (cipher, name) in [("aes-256-gcm", "a.sst"), ("chacha20-poly1305", "c.sst")] {
        let write = format!("table write {name} in.tsv --compression none --encrypt {cipher}");
        desk.run(&write).exits(5).says(&["key"]);
        assert!(!desk.exists(name));
        desk.run(&format!("{write} --key-file key")).exits(0);
        let file = desk.read(name);
        assert!(!file.windows(7).any(|bytes| bytes == b"secrets"), "nothing stands in the clear");
        for verb in ["get FILE a", "scan FILE", "info FILE", "verify FILE", "dump FILE"] {
            let verb = format!("table {}", verb.replace("FILE", name));
            desk.run(&verb).exits(5).prints("").says(&[name, "key"]);
            desk.run(&format!("{verb} --key-file other")).exits(5).prints("").says(&[name]);
            desk.run(&format!("{verb} --key-file key")).exits(0);
        }
        desk.run(&format!("inspect {name}")).exits(5);
        desk.run(&format!("inspect {name} --key-file other")).exits(5);
        let shown = desk.run(&format!("inspect {name} --block 0 --key-file key")).exits(0).text();
        assert!(shown.contains("payload"), "{shown}");
        desk.run(&format!("table scan {name} --key-file key")).exits(0).prints(SECRET);
        let info = desk.run(&format!("table info {name} --key-file key --json")).json();
        assert_eq!((&info["encryption"], &info["key_epoch"]), (&cipher.into(), &1.into()));
        // A key is used for one file: the next one is another.
        desk.run(&format!("{write} --key-file key")).exits(0);
        assert!(desk.read(name) != file);
    }
    desk.run("table scan a.sst --key-file none").exits(1).says(&["none"]);
    desk.run("table scan a.sst --key-file in.tsv").exits(2).says(&["32 bytes"]);
    // A table in the clear opens whatever key there is.
    desk.run("table write p.sst in.tsv").exits(0);
    desk.run("table scan p.sst --key-file key").exits(0).prints(SECRET);
    assert!(desk.run("table info p.sst --json").json()["encryption"].is_null());
    desk.run("load db in.tsv --key-file key").exits(2).says(&["--key-file"]);
    assert!(!desk.exists("db"));
}

#[test]
fn what_is_made_of_an_encrypted_table_is_encrypted_unless_it_is_said() {
    let desk = desk();
    desk.run("table write a.sst in.tsv --encrypt aes-256-gcm --key-file key").exits(0);
    desk.run_with(&["table", "write", "p.sst", "-"], b"c\tknown to all\n").exits(0);
    let cipher = |name: &str| {
        let info = desk.run(&format!("table info {name} --key-file key --json")).exits(0).json();
        info["encryption"].as_str().map(str::to_owned)
    };
    let verbs = ["merge o.sst a.sst p.sst", "merge p2.sst p.sst a.sst", "salvage a.sst s.sst"];
    for (verb, out) in verbs.into_iter().zip(["o.sst", "p2.sst", "s.sst"]) {
        desk.run(&format!("table {verb}")).exits(5);
        assert!(!desk.exists(out));
        desk.run(&format!("table {verb} --key-file key")).exits(0);
        assert_eq!(cipher(out).as_deref(), Some("aes-256-gcm"), "{verb}");
        desk.run(&format!("table {verb} --key-file key --encrypt none")).exits(0);
        assert_eq!(cipher(out), None, "{verb}");
        desk.run(&format!("table get {out} b")).exits(0).prints("the second of all secrets\n");
    }
    desk.run("table split a.sst s.sst --at b --key-file key").exits(0);
    assert_eq!(cipher("s-1.sst").or(cipher("s-2.sst")).as_deref(), Some("aes-256-gcm"));
    desk.run("table diff a.sst p.sst").exits(5);
    let found = desk.run("table diff a.sst p.sst --key-file key").exits(0).text();
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn a_sort_that_does_not_fit_in_memory_may_be_of_secrets() {
    let desk = desk();
    let row = |i: u64| format!("{:016x}\t{i:0150}\n", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    desk.file("rows.tsv", (0..120_000).map(row).collect::<String>());
    let write = "table write t.sst rows.tsv --encrypt chacha20-poly1305 --key-file key --memory";
    desk.run(&format!("{write} 16MiB")).exits(0);
    let spilled = desk.run("table scan t.sst --key-file key").exits(0);
    desk.run(&format!("{write} 1GiB")).exits(0);
    let whole = desk.run("table scan t.sst --key-file key").exits(0);
    assert!(whole.stdout() == spilled.stdout());
    assert_eq!(whole.text().lines().count(), 120_000);
}

#[test]
fn parity_checksum_and_partitions_are_chosen_when_writing() {
    let desk = Desk::new();
    let row = |i: u32| format!("key{i:05}\tvalue of {i}, which takes some room\n");
    let rows: String = (0..3000).map(row).collect();
    desk.file("in.tsv", &rows);
    for options in [
        "--parity sec-ded",
        "--parity xor:4 --checksum crc32c",
        "--parity rs:4+2 --partition always",
        "--partition 1 --checksum crc32c",
        "--partition never",
    ] {
        desk.run(&format!("table write t.sst in.tsv --compression none {options}")).exits(0);
        desk.run("table scan t.sst").exits(0).prints(&rows);
        desk.run("table verify t.sst").exits(0);
        let written = desk.read("t.sst");
        let mut bytes = written.clone();
        let at = bytes.windows(13).position(|found| found == b"value of 1234").unwrap();
        bytes[at] ^= 1;
        desk.file("t.sst", bytes);
        let is_repaired = options.contains("parity");
        let got = desk.run("table get t.sst key01234").exits(if is_repaired { 0 } else { 4 });
        assert_eq!(got.text().contains("value of 1234"), is_repaired, "{options}");
        // Damage that costs nothing is damage; and can be undone.
        let verdict = if is_repaired { "repaired whenever it is read" } else { "are lost" };
        let found = desk.run("table verify t.sst").exits(4).text();
        assert!(found.contains(verdict), "{options}: {found}");
        let scrubbed = desk.run("table scrub t.sst s.sst").exits(if is_repaired { 0 } else { 4 });
        assert!(scrubbed.text().contains(if is_repaired { "1 parts repaired" } else { "0 parts" }));
        assert_eq!(desk.read("s.sst") == written, is_repaired, "{options}");
    }
    desk.run("table scrub t.sst t.sst").exits(2).says(&["the one to read"]);
    for options in [
        "--parity rs:4",
        "--parity rs:40+2",
        "--parity raid",
        "--parity rs:4+2 --checksum crc32c",
        "--partition sometimes",
        "--checksum md5",
        "--encrypt rot13",
        "--compression zstd --dictionary 1",
    ] {
        desk.run(&format!("table write u.sst in.tsv {options}")).exits(2);
        assert!(!desk.exists("u.sst"), "{options}");
    }
}

#[test]
fn a_dictionary_and_digests_are_chosen_when_writing() {
    let desk = Desk::new();
    let row = |i: u32| format!("key{i:05}\t{{\"name\": \"number {i}\", \"active\": true}}\n");
    let rows: String = (0..6000).map(row).collect();
    desk.file("in.tsv", &rows);
    let write = "table write t.sst in.tsv --block-size 512 --compression zstd";
    desk.run(write).exits(0);
    let without = desk.read("t.sst").len();
    desk.run(&format!("{write} --dictionary 1KiB --digests")).exits(0);
    desk.run("table scan t.sst").exits(0).prints(&rows);
    desk.run("table verify t.sst").exits(0);
    let info = desk.run("table info t.sst --json").exits(0).text();
    assert!(info.contains("\"entry_digests\":1") && !info.contains("\"dictionary_bytes\":0"));
    let alone = desk.read("t.sst");
    desk.run(&format!("{write} --dictionary 1KiB --digests --threads 3")).exits(0);
    assert!(desk.read("t.sst") == alone, "threads make the same file");
    desk.run(&format!("{write} --threads 0")).exits(2);
    // Digests take 24 kB.
    assert!(desk.read("t.sst").len() < without, "{} {without}", desk.read("t.sst").len());
}
