//! Real data, in and out, byte for byte.

use std::{collections::BTreeMap, path::Path};

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
