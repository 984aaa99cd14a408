//! Settings of a tree: released bytes do not change, and other bytes are typed errors.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;

use stratal_block::{Checksum, Compression, Parity, Seal};
use stratal_engine::{
    FilterPolicy, KeptOptions, LazyLeveledOptions, SettingsError, StrategyOptions, TreeSettings,
    Ttl, annotate_settings,
};
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{FilterMembership, Partitioning, TableDictionary, TableOptions};
use stratal_testkit::{golden, mutate};
use stratal_types::CutOptions;
use stratal_types::dump::{Dump, bytes_of};

const FORMAT: &str = include_str!("../FORMAT.md");

fn append() -> TreeSettings {
    TreeSettings { merge_operator: Some("append".into()), ..TreeSettings::default() }
}

/// Every option other than its default.
fn options() -> KeptOptions {
    let strategy = StrategyOptions::LazyLeveled(LazyLeveledOptions {
        levels: 5,
        runs: 3,
        ratio: 6,
        promote_len: 1 << 20,
        job_len_max: 1 << 21,
        deletes_percent: 20,
    });
    let size = FilterSize::FalsePositiveRate(0.125);
    KeptOptions {
        strategy,
        cut: CutOptions { table_len: 1 << 20, below_len_max: 1 << 24 },
        compress_from_level: 1,
        filters: FilterPolicy::BitsPerKey(7.5),
        prefix: Some("delimited:2f".into()),
        table: TableOptions {
            block_len_target: 8 << 10,
            compression: Compression::Zstd { level: -3 },
            dictionary: TableDictionary::Train { len_max: 4 << 10, sample_len: 1 << 20 },
            checksum: Checksum::Crc32c,
            seal: Seal::None,
            parity: Parity::Xor { data: 8 },
            entry_digests: true,
            filter: Some(FilterSpec { kind: FilterKind::Burr, size }),
            filter_membership: FilterMembership::Prefixes,
            locator: true,
            partitioning: Partitioning::Auto { keys: 1 << 16 },
            partition_len_target: 32 << 10,
        },
        digests_at_insert: false,
    }
}

fn all() -> TreeSettings {
    TreeSettings { options: Some(options()), ..append() }
}

/// Options that differ from [`options`] and are forms of their own.
fn others() -> Vec<KeptOptions> {
    let of_table = |table| KeptOptions { table, ..options() };
    let table = || options().table;
    let strategies = StrategyOptions::NAMES.map(|name| StrategyOptions::named(name).unwrap());
    let strategies = strategies.map(|strategy| KeptOptions { strategy, ..options() });
    let filters = [FilterPolicy::Uniform, FilterPolicy::Len(1 << 20)];
    let filters = filters.map(|filters| KeptOptions { filters, ..options() });
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd { level: 22 }];
    let compressions =
        compressions.map(|compression| of_table(TableOptions { compression, ..table() }));
    let parities = [Parity::None, Parity::SecDed, Parity::ReedSolomon { data: 4, parity: 2 }];
    let parities = parities.map(|parity| of_table(TableOptions { parity, ..table() }));
    let sizes = [None, Some(FilterSize::BitsPerKey(12.0).into())];
    let sizes = sizes.map(|filter| of_table(TableOptions { filter, ..table() }));
    let partitionings = [Partitioning::Never, Partitioning::Always]
        .map(|partitioning| of_table(TableOptions { partitioning, ..table() }));
    let mut others = vec![KeptOptions::default(), KeptOptions { prefix: None, ..options() }];
    others.push(KeptOptions { digests_at_insert: true, ..options() });
    others.extend(strategies);
    others.extend(filters);
    others.extend(compressions);
    others.extend(parities);
    others.extend(sizes);
    others.extend(partitionings);
    others
}

#[test]
fn options_of_every_form_read_back() {
    for options in others() {
        let settings = TreeSettings { options: Some(options), ..TreeSettings::default() };
        assert_eq!(TreeSettings::decode(&settings.encode()), Ok(settings));
    }
}

#[test]
fn a_form_that_a_newer_version_knows_leaves_the_default() {
    // A strategy, a filter policy, a compression and a kind of filter that are not known.
    let newer = [2, 2, 99, 1, 8, 1, 9, 14, 1, 77, 24, 10, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let read = TreeSettings::decode(&newer).unwrap();
    assert_eq!(read.options, Some(KeptOptions::default()));
    for (what, bytes) in [
        ("a strategy cut short", &[2, 2, 1, 0x80][..]),
        ("a length of over 32 bits", &[12, 5, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a size that is no number", &[8, 9, 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
        ("an infinite size", &[8, 9, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f]),
        ("neither yes nor no", &[28, 1, 2]),
        ("a name of no length", &[10, 0]),
        ("no cut", &[4, 1, 9]),
    ] {
        let read = TreeSettings::decode(bytes);
        assert!(matches!(read, Err(SettingsError::Malformed { .. })), "{what}: {read:?}");
    }
}

#[test]
fn v1_merge_operator() {
    reads_and_writes("merge_operator", &append());
}

#[test]
fn v1_options() {
    reads_and_writes("options", &all());
}

fn reads_and_writes(golden_name: &str, settings: &TreeSettings) {
    let bytes = settings.encode();
    let mut dump = Dump::new(&bytes);
    annotate_settings(&mut dump);
    let text = dump.finish();
    let name = format!("tests/golden/v1/{golden_name}.dump");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let stored = golden(path, &text);
    assert_eq!(stored, text);
    assert_eq!(TreeSettings::decode(&bytes_of(&stored).unwrap()).as_ref(), Ok(settings));
    assert!(FORMAT.contains(stored.trim_end()), "FORMAT.md shows\n{stored}");
}

#[test]
fn v1_ttl() {
    let ttl = Some(Ttl { ttl_ms: 3_600_000, since_ms: 1_760_000_000_000 });
    let settings = TreeSettings { ttl, ..TreeSettings::default() };
    let bytes = settings.encode();
    let mut dump = Dump::new(&bytes);
    annotate_settings(&mut dump);
    let text = dump.finish();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/ttl.dump");
    let stored = golden(path, &text);
    assert_eq!(stored, text);
    assert_eq!(TreeSettings::decode(&bytes_of(&stored).unwrap()).unwrap(), settings);
    assert!(FORMAT.contains(stored.trim_end()), "FORMAT.md shows\n{stored}");
    let both = TreeSettings { ttl, ..all() };
    assert_eq!(TreeSettings::decode(&both.encode()), Ok(both));
}

#[test]
fn every_mutant_is_refused_or_is_other_settings() {
    for settings in [append(), all()] {
        check_mutants(&settings);
    }
}

fn check_mutants(settings: &TreeSettings) {
    let bytes = settings.encode();
    let (mut refused, mut others) = (0, 0);
    mutate::for_each_mutant(&bytes, |what, mutant| {
        let mut dump = Dump::new(mutant);
        annotate_settings(&mut dump);
        dump.finish();
        match TreeSettings::decode(mutant) {
            Err(_) => refused += 1,
            Ok(mutated) => {
                others += 1;
                assert_ne!(&mutated, settings, "{what}");
                // What decodes can be written, and reads back.
                assert_eq!(TreeSettings::decode(&mutated.encode()), Ok(mutated), "{what}");
            }
        }
    });
    assert!(refused > 40 && others > 30, "{refused} refused, {others} other settings");
}

#[test]
fn fields_that_are_not_known_are_skipped_or_refused_as_their_tags_say() {
    let malformed = |bytes: &[u8]| {
        let decoded = TreeSettings::decode(bytes);
        assert!(matches!(decoded, Err(SettingsError::Malformed { .. })), "{bytes:?}: {decoded:?}");
    };
    let with = |tail: &[u8]| [&append().encode()[..], tail].concat();
    assert_eq!(TreeSettings::decode(&with(&[34, 1, 9, 40, 0])), Ok(append()));
    assert_eq!(TreeSettings::decode(&with(&[3, 0])), Err(SettingsError::Unsupported { tag: 3 }));
    malformed(&with(&append().encode()));
    malformed(&[2, 0, 1, 1, b'a']);
    malformed(&[1]);
    malformed(&[1, 0]);
    malformed(&[1, 2, 0xff, 0xfe]);
    malformed(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    let long = "x".repeat(256);
    malformed(&TreeSettings { merge_operator: Some(long), ..TreeSettings::default() }.encode());
    malformed(&[33, 2, 0, 1]);
    malformed(&[33, 1, 5]);
    malformed(&[33, 3, 5, 1, 1]);
}
