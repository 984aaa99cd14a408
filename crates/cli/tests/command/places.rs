//! Real data, in and out, byte for byte.

use std::{collections::BTreeMap, path::Path};

use stratal_testkit::Rng;

use crate::support::Desk;

/// Writes the places, reads them back by scan and by key; twice the same bytes.
fn round_trip(packed: &Path, count: usize) {
    let desk = Desk::new();
    let plain = zstd::decode_all(&std::fs::read(packed).unwrap()[..]).unwrap();
    let mut lines: Vec<&[u8]> = plain.split_inclusive(|&byte| byte == b'\n').collect();
    let key_of = |line: &&[u8]| line.split(|&byte| byte == b'\t').next().unwrap().to_vec();
    lines.sort_by_key(key_of);
    assert_eq!(lines.len(), count);

    let packed = packed.to_str().unwrap();
    for name in ["a.sst", "b.sst"] {
        desk.run_with(&["table", "write", name, packed], b"").exits(0);
    }
    assert_eq!(desk.read("a.sst"), desk.read("b.sst"));
    assert_eq!(desk.run("table scan a.sst").exits(0).stdout(), lines.concat());
    lines.reverse();
    assert_eq!(desk.run("table scan a.sst --reverse").exits(0).stdout(), lines.concat());

    let values: BTreeMap<&[u8], &[u8]> = lines
        .iter()
        .map(|line| {
            let tab = line.iter().position(|&byte| byte == b'\t').unwrap();
            (&line[..tab], &line[tab + 1..])
        })
        .collect();
    for some in values.iter().collect::<Vec<_>>().chunks(500) {
        let keys = some.iter().map(|(key, _)| std::str::from_utf8(key).unwrap());
        let args: Vec<&str> = ["table", "get", "a.sst"].into_iter().chain(keys).collect();
        let expected: Vec<&[u8]> = some.iter().map(|(_, value)| **value).collect();
        desk.run_with(&args, b"").exits(0).prints(expected.concat());
    }
    desk.run("table verify a.sst").exits(0);
    assert!(desk.run("inspect a.sst").exits(0).text().contains(&format!("{count} entries")));
}

/// Loads the places into a database and changes them in every way, in an order that depends on `seed`,
/// beside a plain map; after each step the two must agree.
fn life(packed: &Path, seed: u64, steps: usize) {
    let desk = Desk::new();
    let plain = zstd::decode_all(&std::fs::read(packed).unwrap()[..]).unwrap();
    let plain = String::from_utf8(plain).unwrap();
    let mut truth: BTreeMap<String, String> = plain
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let keys: Vec<String> = truth.keys().cloned().collect();
    let mut rng = Rng::new(seed);
    desk.run_with(&["load", "db", packed.to_str().unwrap()], b"").exits(0);
    for step in 0..steps {
        let from = rng.index(keys.len());
        let some = &keys[from..keys.len().min(from + 1 + rng.index(2000))];
        match rng.below(7) {
            0 => {
                let input: String = some.iter().map(|key| format!("{key}\n")).collect();
                desk.run_with(&["load", "db", "-", "--delete"], input.as_bytes()).exits(0);
                truth.retain(|key, _| !some.contains(key));
            }
            1 => {
                let (first, last) = (&some[0], &some[some.len() - 1]);
                desk.run_with(&["delete-range", "db", first, last], b"").exits(0);
                truth.retain(|key, _| key < first || key >= last);
            }
            2 | 3 => {
                let value = format!("overwritten in step {step}");
                let input: String = some.iter().map(|key| format!("{key}\t{value}\n")).collect();
                desk.run_with(&["load", "db", "-"], input.as_bytes()).exits(0);
                truth.extend(some.iter().map(|key| (key.clone(), value.clone())));
            }
            4 => drop(desk.run("flush db").exits(0)),
            5 => drop(desk.run("compact db").exits(0)),
            _ => {}
        }
        desk.run("count db").exits(0).prints(format!("{}\n", truth.len()));
        if step % 3 == 0 || step + 1 == steps {
            let expected: String =
                truth.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
            let found = desk.run("scan db").exits(0).text();
            assert!(found == expected, "seed {seed}, step {step}: a scan differs");
        }
    }
    let probes: Vec<&str> = keys.iter().step_by(keys.len() / 400 + 1).map(String::as_str).collect();
    let args: Vec<&str> = ["get", "db"].into_iter().chain(probes.iter().copied()).collect();
    let expected: String =
        probes.iter().filter_map(|key| truth.get(*key)).map(|value| format!("{value}\n")).collect();
    let ran = desk.run_with(&args, b"");
    assert!(ran.text() == expected, "seed {seed}: gets differ");
    desk.run("verify db").exits(0);
}

#[test]
fn the_bundled_places_live_in_a_database_as_in_a_map() {
    let places = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/cities15000.tsv.zst"));
    life(places, 1, 25);
    life(places, 2, 25);
}

#[test]
#[ignore = "needs the full set of places, which is not bundled"]
fn all_places_live_in_a_database_as_in_a_map() {
    let path = std::env::var_os("STRATAL_PLACES").expect("STRATAL_PLACES names the places");
    for seed in 0..3 {
        life(Path::new(&path), seed, 60);
    }
}

#[test]
fn the_bundled_places_come_out_as_they_went_in() {
    round_trip(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/cities15000.tsv.zst")), 34_006);
}

/// `STRATAL_PLACES` names the file; `cargo xtask soak places` sets it.
#[test]
#[ignore = "needs the full set of places, which is not bundled"]
fn all_places_come_out_as_they_went_in() {
    let path = std::env::var_os("STRATAL_PLACES").expect("STRATAL_PLACES names the places");
    round_trip(Path::new(&path), 234_908);
}
