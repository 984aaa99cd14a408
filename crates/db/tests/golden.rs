//! Released bytes do not change.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use stratal::record::{LoggedBatch, annotate, decode, encode};
use stratal_engine::{Operation, TreeId};
use stratal_testkit::golden;
use stratal_types::dump::{Dump, bytes_of};

const FORMAT: &str = include_str!("../FORMAT.md");

fn two_batches() -> Vec<LoggedBatch> {
    let put = Operation::Put { key: b"AD/Vila".to_vec(), value: b"1418".to_vec() };
    let delete = Operation::Delete { key: b"AD/Canillo".to_vec() };
    let weak = Operation::WeakDelete { key: b"1418/AD".to_vec() };
    let range = Operation::DeleteRange { from: b"BE".to_vec(), to: b"BF".to_vec() };
    vec![
        LoggedBatch { first: 5.into(), operations: vec![(TreeId(1), put), (TreeId(1), delete)] },
        LoggedBatch {
            first: 9.into(),
            operations: vec![(TreeId(300), weak), (TreeId(300), range)],
        },
    ]
}

fn reads_and_writes(name: &str, batches: &[LoggedBatch], is_in_format: bool) {
    let bytes = encode(batches);
    let mut dump = Dump::new(&bytes);
    annotate(&mut dump);
    let text = dump.finish();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let stored = golden(path.with_extension("dump"), &text);
    assert_eq!(stored, text);
    assert_eq!(decode(&bytes_of(&stored).unwrap()).unwrap(), batches);
    assert!(!is_in_format || FORMAT.contains(stored.trim_end()), "FORMAT.md shows\n{stored}");
}

#[test]
fn v1_two_batches() {
    reads_and_writes("v1/two_batches", &two_batches(), true);
}

#[test]
fn v1_no_batch() {
    reads_and_writes("v1/no_batch", &[], false);
}

#[test]
fn v1_operand() {
    let merge = Operation::Merge { key: b"visits".to_vec(), operand: b"1".to_vec() };
    let batch = LoggedBatch { first: 7.into(), operations: vec![(TreeId(1), merge)] };
    reads_and_writes("v1/operand", &[batch], true);
}
