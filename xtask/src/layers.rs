//! Which crate stands on which, and what no crate may stand on.
//!
//! `layers.txt` lists `floor crate`, bottom first; `#` begins a comment. A crate depends only on
//! crates of lower floors, or named on an earlier line of its own floor. Since floors never
//! descend in the file, both mean the same: on an earlier line. Tests are free (a dev-dependency
//! is not part of what users build).
//!
//! `testkit` stands beside the house: nothing but tests may use it, and it uses only what lies on
//! the ground.

use crate::packages::{DependencyKind, Package};

/// The list, at the root of the workspace.
pub(crate) const FILE: &str = "layers.txt";

const TESTKIT: &str = "testkit";

/// What [`TESTKIT`] may stand on.
const TESTKIT_USES: [&str; 2] = ["types", "fs"];

/// Engines that Stratal is measured against (in `bench/`, a workspace of its own) and must not be
/// made of. A trailing `*` stands for any ending.
const PEERS: [&str; 6] = ["fjall", "lsm-tree", "rocksdb", "librocksdb-sys", "redb", "coordinode*"];

/// What is wrong with `packages` under the rules in `layers`, the text of [`FILE`].
pub(crate) fn complaints(layers: &str, packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    let ranks = ranks(layers, &mut complaints);
    let crates: Vec<(&str, &Package)> = packages
        .iter()
        .filter_map(|package| Some((package.folder.strip_prefix("crates/")?, package)))
        .collect();

    for name in &ranks {
        if !crates.iter().any(|(folder, _)| folder == name) {
            complaints.push(format!("{FILE} lists {name}, but there is no crates/{name}"));
        }
    }
    for package in packages {
        complaints.extend(peers(package));
    }
    for (folder, package) in &crates {
        let expected = package_name(folder);
        if package.name != expected {
            complaints.push(format!(
                "crates/{folder} holds package {}, which should be {expected}",
                package.name
            ));
        }
        if *folder != TESTKIT && !ranks.contains(folder) {
            complaints.push(format!("crates/{folder} is not listed in {FILE}"));
        }
        for (below, _) in crates.iter().filter(|(_, below)| is_built_on(package, &below.name)) {
            complaints.extend(edge(&ranks, folder, below));
        }
    }
    complaints
}

/// Crates in the order of the file: a crate's place is its rank.
fn ranks<'a>(layers: &'a str, complaints: &mut Vec<String>) -> Vec<&'a str> {
    let mut ranks: Vec<&str> = Vec::new();
    let mut top = 0;
    for (i, line) in layers.lines().enumerate() {
        let line_number = i + 1;
        let words: Vec<&str> =
            line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let (floor, name) = match words.as_slice() {
            [] => continue,
            [floor, name] => (floor.parse::<u8>(), *name),
            _ => {
                complaints.push(format!("{FILE}:{line_number}: expected `floor crate`"));
                continue;
            }
        };
        match floor {
            Ok(floor) if floor >= top => top = floor,
            Ok(floor) => complaints.push(format!(
                "{FILE}:{line_number}: floor {floor} stands above floor {top}; list the lowest first"
            )),
            Err(_) => complaints.push(format!("{FILE}:{line_number}: floors are small numbers")),
        }
        if name == TESTKIT {
            complaints.push(format!("{FILE}:{line_number}: {TESTKIT} stands beside the floors"));
        } else if ranks.contains(&name) {
            complaints.push(format!("{FILE}:{line_number}: {name} is listed twice"));
        } else {
            ranks.push(name);
        }
    }
    ranks
}

fn package_name(folder: &str) -> String {
    match folder {
        "db" => "stratal".into(),
        _ => format!("stratal-{folder}"),
    }
}

fn is_built_on(package: &Package, name: &str) -> bool {
    package
        .dependencies
        .iter()
        .any(|dependency| dependency.kind != DependencyKind::Dev && dependency.package == name)
}

/// What is wrong with crate `upper` being built on crate `lower`.
fn edge(ranks: &[&str], upper: &str, lower: &str) -> Option<String> {
    if upper == TESTKIT {
        return (!TESTKIT_USES.contains(&lower))
            .then(|| format!("{TESTKIT} depends on {lower}; it may use {TESTKIT_USES:?} only"));
    }
    if lower == TESTKIT {
        return Some(format!("{upper} depends on {TESTKIT}, which belongs in dev-dependencies"));
    }
    let rank = |name| ranks.iter().position(|&listed| listed == name);
    match (rank(upper), rank(lower)) {
        (Some(upper_rank), Some(lower_rank)) if lower_rank >= upper_rank => {
            Some(format!("{upper} depends on {lower}, which is not below it ({FILE})"))
        }
        // An unlisted crate is complained about as such.
        _ => None,
    }
}

fn peers(package: &Package) -> impl Iterator<Item = String> {
    package.dependencies.iter().map(|dependency| &dependency.package).filter_map(|name| {
        let is_peer = PEERS.iter().any(|peer| match peer.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == peer,
        });
        is_peer.then(|| {
            format!("{} depends on {name}, an engine it is measured against", package.name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Dependency;

    const LAYERS: &str = "# bottom first\n0 types\n0 fs  # the door\n\n1 block\n3 sst\n7 db\n";

    /// A package in `crates/`, built on these and tested with those.
    fn package(folder: &str, normal: &[&str], dev: &[&str]) -> Package {
        let lines = |names: &[&str], kind| -> Vec<Dependency> {
            names.iter().map(|&name| Dependency { package: name.into(), kind }).collect()
        };
        Package {
            name: package_name(folder),
            folder: format!("crates/{folder}"),
            dependencies: [lines(normal, DependencyKind::Normal), lines(dev, DependencyKind::Dev)]
                .concat(),
        }
    }

    /// A workspace without fault.
    fn house() -> Vec<Package> {
        vec![
            package("types", &["thiserror"], &[]),
            package("fs", &["stratal-types"], &["proptest"]),
            package("block", &["stratal-types"], &["stratal-testkit", "stratal-sst"]),
            package("sst", &["stratal-types", "stratal-block"], &["stratal-testkit"]),
            package("db", &["stratal-sst"], &[]),
            package("testkit", &["stratal-types", "stratal-fs", "proptest"], &[]),
        ]
    }

    /// The house with the crate of the same folder replaced, or added.
    fn house_with(package: Package) -> Vec<Package> {
        let mut packages = house();
        packages.retain(|old| old.folder != package.folder);
        packages.push(package);
        packages
    }

    #[track_caller]
    fn complains(layers: &str, packages: &[Package], expected: &[&str]) {
        assert_eq!(complaints(layers, packages), expected);
    }

    #[test]
    fn a_house_built_bottom_first_is_accepted() {
        complains(LAYERS, &house(), &[]);
    }

    #[test]
    fn an_upward_edge_is_complained_about() {
        complains(
            LAYERS,
            &house_with(package("block", &["stratal-sst"], &[])),
            &["block depends on sst, which is not below it (layers.txt)"],
        );
    }

    #[test]
    fn on_one_floor_only_earlier_lines_are_below() {
        complains(
            LAYERS,
            &house_with(package("types", &["stratal-fs"], &[])),
            &["types depends on fs, which is not below it (layers.txt)"],
        );
    }

    #[test]
    fn a_build_dependency_counts_as_an_edge() {
        let mut types = package("types", &[], &[]);
        types
            .dependencies
            .push(Dependency { package: "stratal-block".into(), kind: DependencyKind::Build });
        complains(
            LAYERS,
            &house_with(types),
            &["types depends on block, which is not below it (layers.txt)"],
        );
    }

    #[test]
    fn a_crate_must_be_listed() {
        complains(
            LAYERS,
            &house_with(package("wal", &["stratal-types"], &[])),
            &["crates/wal is not listed in layers.txt"],
        );
    }

    #[test]
    fn a_listed_crate_must_exist() {
        let layers = format!("{LAYERS}7 cli\n");
        complains(&layers, &house(), &["layers.txt lists cli, but there is no crates/cli"]);
    }

    #[test]
    fn a_crate_is_listed_once() {
        let layers = format!("{LAYERS}8 sst\n");
        complains(&layers, &house(), &["layers.txt:8: sst is listed twice"]);
    }

    #[test]
    fn floors_never_descend_and_lines_have_two_words() {
        let layers = LAYERS.replace("7 db", "2 db\nattic x\n9\n9 testkit");
        complains(
            &layers,
            &house_with(package("x", &[], &[])),
            &[
                "layers.txt:7: floor 2 stands above floor 3; list the lowest first",
                "layers.txt:8: floors are small numbers",
                "layers.txt:9: expected `floor crate`",
                "layers.txt:10: testkit stands beside the floors",
            ],
        );
    }

    #[test]
    fn packages_are_named_after_their_folder() {
        let mut fs = package("fs", &["stratal-types"], &[]);
        fs.name = "stratal-files".into();
        let testkit = package("testkit", &["stratal-types"], &[]);
        let mut packages = house_with(fs);
        packages.retain(|package| package.folder != testkit.folder);
        packages.push(testkit);
        complains(
            LAYERS,
            &packages,
            &["crates/fs holds package stratal-files, which should be stratal-fs"],
        );
    }

    #[test]
    fn testkit_is_for_tests_and_stands_on_the_ground() {
        complains(
            LAYERS,
            &house_with(package("sst", &["stratal-testkit"], &[])),
            &["sst depends on testkit, which belongs in dev-dependencies"],
        );
        complains(
            LAYERS,
            &house_with(package("testkit", &["stratal-block"], &[])),
            &["testkit depends on block; it may use [\"types\", \"fs\"] only"],
        );
    }

    #[test]
    fn no_crate_is_made_of_the_engines_it_is_measured_against() {
        for peer in ["fjall", "lsm-tree", "rocksdb", "redb", "coordinode-lsm-tree"] {
            let expected =
                format!("stratal-fs depends on {peer}, an engine it is measured against");
            complains(LAYERS, &house_with(package("fs", &[], &[peer])), &[&expected]);
        }
    }
}
