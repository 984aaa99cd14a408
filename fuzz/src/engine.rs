//! Settings of a tree.

use stratal_engine::{TreeSettings, annotate_settings};
use stratal_types::dump::Dump;

/// Any bytes as settings. What decodes reads back from what is written.
pub fn settings(data: &[u8]) {
    if let Ok(settings) = TreeSettings::decode(data) {
        let bytes = settings.encode();
        assert!(bytes.len() <= data.len());
        assert_eq!(TreeSettings::decode(&bytes).as_ref(), Ok(&settings));
    }
    let mut dump = Dump::new(data).with_rows_max(2);
    annotate_settings(&mut dump);
    assert!(data.is_empty() || !dump.finish().is_empty());
}
