//! Settings of a tree: released bytes do not change, and other bytes are typed errors.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;

use stratal_engine::{SettingsError, TreeSettings, annotate_settings};
use stratal_testkit::{golden, mutate};
use stratal_types::dump::{Dump, bytes_of};

const FORMAT: &str = include_str!("../FORMAT.md");

fn append() -> TreeSettings {
    TreeSettings { merge_operator: Some("append".into()) }
}

#[test]
fn v1_merge_operator() {
    let bytes = append().encode();
    let mut dump = Dump::new(&bytes);
    annotate_settings(&mut dump);
    let text = dump.finish();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/merge_operator.dump");
    let stored = golden(path, &text);
    assert_eq!(stored, text);
    assert_eq!(TreeSettings::decode(&bytes_of(&stored).unwrap()).unwrap(), append());
    assert!(FORMAT.contains(stored.trim_end()), "FORMAT.md shows\n{stored}");
}

#[test]
fn every_mutant_is_refused_or_is_other_settings() {
    let bytes = append().encode();
    let (mut refused, mut others) = (0, 0);
    mutate::for_each_mutant(&bytes, |what, mutant| {
        let mut dump = Dump::new(mutant);
        annotate_settings(&mut dump);
        dump.finish();
        match TreeSettings::decode(mutant) {
            Err(_) => refused += 1,
            Ok(settings) => {
                others += 1;
                assert_ne!(settings, append(), "{what}");
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
    assert_eq!(TreeSettings::decode(&with(&[2, 1, 9, 40, 0])), Ok(append()));
    assert_eq!(TreeSettings::decode(&with(&[3, 0])), Err(SettingsError::Unsupported { tag: 3 }));
    malformed(&with(&append().encode()));
    malformed(&[2, 0, 1, 1, b'a']);
    malformed(&[1]);
    malformed(&[1, 0]);
    malformed(&[1, 2, 0xff, 0xfe]);
    malformed(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    let long = "x".repeat(256);
    malformed(&TreeSettings { merge_operator: Some(long) }.encode());
}
