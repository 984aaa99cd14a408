//! Records of the log: what is written reads back, and damage is a typed error.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use proptest::prelude::*;
use stratal::record::{Error, LoggedBatch, annotate, decode, encode};
use stratal_engine::{Operation, TreeId};
use stratal_testkit::{mutate, strategies};
use stratal_types::{SeqNo, dump::Dump};

fn operation() -> impl Strategy<Value = Operation> {
    let key = strategies::small_key;
    prop_oneof![
        (key(), strategies::any_value(40)).prop_map(|(key, value)| Operation::Put { key, value }),
        key().prop_map(|key| Operation::Delete { key }),
        key().prop_map(|key| Operation::WeakDelete { key }),
        (key(), key()).prop_map(|(from, to)| Operation::DeleteRange { from, to }),
        (key(), strategies::any_value(40))
            .prop_map(|(key, operand)| Operation::Merge { key, operand }),
    ]
}

fn batches() -> impl Strategy<Value = Vec<LoggedBatch>> {
    let operations = prop::collection::vec((0u64..400, operation()), 1..6);
    prop::collection::vec((0u64..1000, operations), 0..5).prop_map(|batches| {
        let mut next = 0;
        let mut logged = Vec::new();
        for (gap, operations) in batches {
            let first = SeqNo::new(next + gap).unwrap();
            next = first.get() + operations.len() as u64;
            let operations = operations.into_iter().map(|(tree, op)| (TreeId(tree), op)).collect();
            logged.push(LoggedBatch { first, operations });
        }
        logged
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(batches in batches()) {
        let bytes = encode(&batches);
        prop_assert_eq!(decode(&bytes).unwrap(), batches);
    }

    #[test]
    fn what_is_read_would_be_written_the_same(mut bytes in prop::collection::vec(0u8..8, 0..60)) {
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        if let Ok(batches) = decode(&bytes) {
            prop_assert_eq!(encode(&batches), bytes);
        }
    }
}

#[test]
fn every_mutant_is_refused_or_is_another_record() {
    let operations = vec![
        (TreeId(1), Operation::Put { key: b"key".to_vec(), value: vec![7; 700] }),
        (TreeId(2), Operation::DeleteRange { from: b"a".to_vec(), to: b"b".to_vec() }),
    ];
    let batch = LoggedBatch { first: 9.into(), operations: operations.clone() };
    let bytes = encode(&[batch, LoggedBatch { first: 11.into(), operations }]);
    let (mut refused, mut others) = (0, 0);
    let counts = mutate::for_each_mutant(&bytes, |what, mutant| {
        let mut dump = Dump::new(mutant);
        annotate(&mut dump);
        assert!(!dump.finish().is_empty() || mutant.is_empty());
        match decode(mutant) {
            Ok(batches) => {
                others += 1;
                assert_eq!(encode(&batches), mutant, "{what}");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(
                    error.is_corruption(),
                    matches!(error, Error::Malformed { .. }),
                    "{what}"
                );
            }
        }
    });
    println!("{counts:?}: {refused} refused, {others} read as other records");
    assert!(refused > 1000);
}

#[test]
fn counts_and_lengths_that_cannot_be_are_refused_before_anything_is_allocated() {
    let cases: [&[u8]; 7] = [
        &[1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[1, 5, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, b'k'],
        &[1, 5, 1, 1, 1, 1, b'k', 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 5, 0],
        &[1, 5, 1, 2, 1, 0],
        &[1, 5, 1, 9, 1, 1, b'k', 0],
        &[1, 5, 1, 2, 1, 1, b'k', 5, 1, 2, 1, 1, b'k'],
    ];
    for case in cases {
        assert!(matches!(decode(case), Err(Error::Malformed { .. })), "{case:?}");
    }
    assert!(matches!(decode(&[2]), Err(Error::Unsupported { found: 2, known: 1 })));
}
