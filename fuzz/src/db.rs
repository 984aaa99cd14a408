//! Records of the database's log.

use stratal::record::{VERSION, annotate, decode, encode};
use stratal_types::dump::Dump;

/// Any bytes as a payload. What decodes would be written the same.
pub fn record(data: &[u8]) {
    if let Ok(batches) = decode(data) {
        assert_eq!(encode(&batches), data);
    }
    let mut dump = Dump::new(data).with_rows_max(2);
    annotate(&mut dump);
    assert!(data.is_empty() || !dump.finish().is_empty());
}

/// The same behind a version that is known.
pub fn record_of_this_version(data: &[u8]) {
    record(&[&[VERSION], data].concat());
}
