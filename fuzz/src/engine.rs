//! Settings of a tree.

use stratal_engine::{TreeSettings, annotate_settings};
use stratal_types::dump::Dump;

/// Any bytes as settings. What decodes reads back from what is written.
pub fn settings(data: &[u8]) {
    if let Ok(settings) = TreeSettings::decode(data) {
        let bytes = settings.encode();
        // What the bytes leave out is written.
        let again = TreeSettings::decode(&bytes);
        assert_eq!(again.as_ref(), Ok(&settings));
        assert_eq!(again.map(|settings| settings.encode()), Ok(bytes));
    }
    let mut dump = Dump::new(data).with_rows_max(2);
    annotate_settings(&mut dump);
    assert!(data.is_empty() || !dump.finish().is_empty());
}
