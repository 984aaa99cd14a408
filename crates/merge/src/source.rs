use std::sync::Arc;

use stratal_types::{Fragments, SeqNo};

/// Where some of the entries of a read come from.
#[derive(Clone, Debug)]
pub struct Source<C> {
    /// Its entries.
    pub cursor: C,
    /// Its range tombstones. They hold over the entries of every source.
    pub tombstones: Arc<Fragments>,
    /// No *entry* of it has a higher number ([`SeqNo::MAX`] if that is not known). Lets the cursor
    /// pass over entries under a tombstone that no older source could hold. What is not older as a
    /// whole is passed over in parts, as far as the cursor [knows](stratal_types::Cursor::pass_older).
    pub seqno_max: SeqNo,
}

impl<C> Source<C> {
    /// A source about whose numbers nothing is known.
    pub fn new(cursor: C, tombstones: Arc<Fragments>) -> Self {
        Self { cursor, tombstones, seqno_max: SeqNo::MAX }
    }
}
